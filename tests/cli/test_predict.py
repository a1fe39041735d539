"""`scoville predict` as a user sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from scoville.cli.predict import predict
from scoville.errors import FactError

app = typer.Typer()
app.command()(predict)
WORDS = ("--model", "llama-3.1-8b", "--accelerator", "h100", "--input", "1000", "--output", "200", "--batch", "8")


def test_the_energy_says_what_it_is_of() -> None:
    done = CliRunner().invoke(app, WORDS)
    assert done.exit_code == 0, done.output
    assert "energy of the chip's arithmetic, memory and links, J per token (not validated)" in done.output


def test_operators_beyond_what_was_measured_are_marked() -> None:
    """One KV head at 130,000 tokens lies outside the tables of attention; 1,000 tokens and 8 sequences inside most."""
    long = ("--model", "llama-3.1-8b", "--accelerator", "h100", "--parallelism", "TP8", "--input", "130000",
            "--output", "200", "--batch", "1", "--ttft", "1000 s")  # fmt: skip
    done = CliRunner().invoke(app, long)
    assert done.exit_code == 0, done.output
    assert "time from" in done.output and "extrapolated" in done.output
    assert "of the time is of shapes outside what was measured" in done.output
    near = CliRunner().invoke(app, WORDS)
    assert "measured" in near.output


@pytest.mark.parametrize(
    ("table", "value"),
    [
        ("engine.token_budget", "0 tokens"),
        ("h100-sxm.memory_bandwidth", "0 TB/s"),
        ("h100-sxm.tdp", "0 W"),
        ("efficiency.gemm_memory", "0"),
    ],
)
def test_facts_of_nothing_end_in_a_sentence(tmp_path: Path, table: str, value: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(f'[{table}]\nvalue = "{value}"\nsource = "me"\nas_of = "2026-11"\nkind = "measured"\n')
    error = CliRunner().invoke(app, (*WORDS, "--facts", str(mine))).exception
    assert isinstance(error, FactError)
    assert f"mine.toml:1: [{table}] value is {value}; expected " in str(error)
