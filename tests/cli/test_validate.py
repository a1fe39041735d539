"""`scoville validate` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from scoville.cli import app

EXCERPT = Path(__file__).parents[1] / "validation" / "data" / "measured.csv"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp("validation") / "result"
    done = CliRunner().invoke(app, ["validate", str(EXCERPT), "--out", str(out)])
    assert done.exit_code == 0, done.output
    return done.output, out


def test_the_terminal_says_how_far_off_and_what_was_left_out(written: tuple[str, Path]) -> None:
    said = " ".join(written[0].split())
    for words in (
        "44 of 44 rows map (100.0%)", "within 20%", "by hardware, worst first", "by engine, model, chip",
        "the rows farthest off", "2 rows are set aside. Little's law gives", "with the rows set aside",
        "faster than the chip's peaks allow", "assumed: ",
    ):  # fmt: skip
        assert words in said, words


def test_every_row_comes_back_with_prediction_and_setting(written: tuple[str, Path]) -> None:
    rows = pl.read_parquet(written[1] / "rows.parquet")
    lines = EXCERPT.read_text(encoding="utf-8").splitlines()
    assert len(rows) == len(lines) - 1
    ratio = rows["predicted"] / rows["measured"] - 1
    assert (ratio - rows["error_frac"]).abs().max() < 1e-12  # type: ignore[operator]
    assert set(rows["accelerator"]) == {"h100-sxm", "h200-sxm", "b200-sxm", "gb200-nvl72", "rtx-pro-6000"}
    assert rows["row_hardware"][0] == "h100_sxm"


def test_the_plot_and_the_numbers_are_written(written: tuple[str, Path]) -> None:
    assert (written[1] / "charts" / "parity.png").read_bytes()[:4] == b"\x89PNG"
    record = json.loads((written[1] / "validation.json").read_text(encoding="utf-8"))
    assert record["mapped_count"] == 44
    assert {s["group"] for s in record["overall"]} >= {"TPOT", "output throughput"}


def test_a_row_that_does_not_map_is_counted_and_explained(tmp_path: Path) -> None:
    head, first, *_ = EXCERPT.read_text(encoding="utf-8").splitlines()
    table = tmp_path / "mine.csv"
    table.write_text("\n".join([head, first, first.replace("h100_sxm", "RTX 4090", 1)]) + "\n")
    done = CliRunner().invoke(app, ["validate", str(table), "--json"])
    record = json.loads(done.output)
    assert (record["rows_count"], record["mapped_count"]) == (2, 1)
    assert record["unmapped"][0]["line"] == 3
    assert "hardware 'RTX 4090' is no accelerator" in record["unmapped"][0]["reason"]


def test_a_table_of_which_nothing_maps_still_ends_well(tmp_path: Path) -> None:
    head, first, *_ = EXCERPT.read_text(encoding="utf-8").splitlines()
    table = tmp_path / "mine.csv"
    table.write_text("\n".join([head, first.replace("h100_sxm", "RTX 4090", 1)]) + "\n")
    done = CliRunner().invoke(app, ["validate", str(table), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "0 of 1 rows map (0.0%)" in done.output
    assert (tmp_path / "out" / "rows.parquet").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["validate", "no-such.csv"], "no-such.csv: cannot be read"),
        (["validate", str(EXCERPT), "--model", "x"], "--model: 'x' is not a name and a path"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_code_2(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
