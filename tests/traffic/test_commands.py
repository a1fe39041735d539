"""`scoville traffic ...`, run in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scoville.cli import app
from scoville.traffic import load


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["traffic", *words])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def test_show_prints_the_figures_and_the_notes() -> None:
    out = run("show", "mooncake-synthetic")
    assert "3,993" in out
    assert "65.1" in out
    assert "note: spans 0.284 h, less than a day: no diurnal shape" in out


def test_show_speaks_json() -> None:
    found = json.loads(run("show", "azure-2023-conv", "--json"))
    assert found["requests_count"] == 19366
    assert found["input"]["mean_tokens"] == pytest.approx(1154.697, abs=1e-3)
    assert found["prefix"] is None


def test_show_draws_the_day_of_a_pool() -> None:
    assert "tokens/s by hour" in run("show", "servegen-deepseek-r1")


def test_convert_to_parquet_and_back(tmp_path: Path) -> None:
    parquet, lines = tmp_path / "t.parquet", tmp_path / "t.jsonl"
    run("convert", "mooncake-synthetic", str(parquet))
    run("convert", str(parquet), str(lines))
    assert load(lines).equals(load("mooncake-synthetic"))


def test_synthesise_and_scale(tmp_path: Path) -> None:
    path, scaled = tmp_path / "more.parquet", tmp_path / "busy.parquet"
    done = json.loads(run("synthesise", "azure-2023-conv", str(path), "--requests", "500", "--seed", "3", "--json"))
    assert (done["requests_count"], len(load(path))) == (500, 500)
    run("scale", str(path), str(scaled), "--tokens-per-day", "2e12 tokens/day")
    assert load(scaled).demand_tokens_per_s * 86400 == pytest.approx(2e12)


def test_columns_and_format_reach_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("ts,in,out\n0,5,6\n500,7,8\n", encoding="utf-8")
    words = ("show", str(path), "--format", "csv", "--columns", "arrival=ts[ms],input=in,output=out", "--json")
    assert json.loads(run(*words))["duration_s"] == 0.5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("show", "azure-2024"), "scoville: 'azure-2024' is neither a file nor a bundled trace; "),
        (("show", "azure-2023-conv", "--columns", "ts"), "scoville: --columns: 'ts' is not role=header; "),
        (("show", "servegen-deepseek-r1", "--duration", "5"), "scoville: --duration: '5' has no unit; "),
        (("convert", "azure-2023-conv", "t.xlsx"), "scoville: t.xlsx: no format known by this ending; "),
        (("scale", "azure-2023-conv", "t.parquet", "--tokens-per-day", "2e12"),
         "scoville: --tokens-per-day: '2e12' has no unit; "),
    ],
)  # fmt: skip
def test_a_user_error_is_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    err = run(*words, code=2)
    assert err.startswith(sentence)
    assert err.count("\n") == 1
