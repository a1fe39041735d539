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
