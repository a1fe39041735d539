"""`scoville predict` as a user sees it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from scoville.cli.predict import operators, predict
from scoville.errors import FactError

app = typer.Typer()
app.command()(predict)
WORDS = ("--model", "llama-3.1-8b", "--accelerator", "h100", "--input", "1000", "--output", "200", "--batch", "8")


def test_the_energy_says_what_it_is_of() -> None:
    done = CliRunner().invoke(app, WORDS)
    assert done.exit_code == 0, done.output
    assert "energy of the chip's arithmetic, memory and links, J per token (not validated)" in done.output


def test_operators_beyond_what_was_measured_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    same: dict[str, Any] = {
        "runs_count": 2, "flop": 1e9, "memory_bytes": 1e6, "link_bytes": 0.0, "limit": "compute", "rate": "bf16",
    }  # fmt: skip
    found = [
        SimpleNamespace(name=s, source=s, time_s=t, **same) for s, t in (("measured", 3e-6), ("extrapolated", 1e-6))
    ]
    operators("A step", found)  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert "time from" in said
    assert "Extrapolated: 25% of the time is of shapes outside what was measured." in said
    operators("A step", found[:1])  # type: ignore[arg-type]
    assert "Extrapolated" not in capsys.readouterr().out


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
