"""`scoville chip` as a user sees it: tables, a drawing, a facts file for other commands, refusals in a sentence."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scoville.cli import app

DESIGN = """
name = "Mine"
[compute]
process = "n3"
clock = "1.5 GHz"
slices = 32
arrays_per_slice = 9
spare_arrays_per_slice = 1
array_rows = 64
array_columns = 64
rates = { fp8 = 1.0, bf16 = 0.25 }
vector_lanes_per_slice = 128
sram_per_slice = "1 MiB"
[memory]
kind = "hbm3e"
stacks = 4
[io]
process = "n3"
scale_up = "300 GB/s"
scale_up_domain = 64
host = "64 GB/s"
[package]
kind = "cowos-s"
power_cap = "1000 W"
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(DESIGN)
    return file


def run(*words: object) -> str:
    done = CliRunner().invoke(app, ["chip", *(str(w) for w in words)])
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words: object) -> str:
    done = CliRunner().invoke(app, ["chip", *(str(w) for w in words)])
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("scoville: ")
    assert done.stderr.count("\n") == 1, "more than one sentence"
    return done.stderr


def test_a_design_of_ones_own_is_shown_with_units_ranges_and_approximations(mine: Path) -> None:
    text = run(mine, "--samples", 100)
    assert text.startswith("Mine\n")
    for expected in (
        "PFLOP/s",
        "compute die",
        "mm2",
        "TDP",
        "price",
        "volume",
        "in brackets P10–P90",
        "Approximations",
    ):
        assert expected in text, expected


def test_a_designed_chip_is_predicted_like_a_bought_one(mine: Path, tmp_path: Path) -> None:
    facts = tmp_path / "facts.toml"
    run(mine, "--as-facts", facts, "--samples", 100)
    (chip,) = tomllib.loads(facts.read_text())
    words = ("--accelerator", chip, "--facts", str(facts), "--input", "500", "--output", "100", "--timer", "systolic")
    done = CliRunner().invoke(app, ["predict", "--model", "llama-3.1-8b", *words, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["accelerator"] == chip
    assert found["tokens_per_s_per_chip"]["central"] > 0


def test_files_are_written_where_they_were_asked_for(mine: Path, tmp_path: Path) -> None:
    picture, folder = tmp_path / "plan.svg", tmp_path / "chip"
    text = run(mine, "--floorplan", picture, "--out", folder, "--samples", 100)
    assert picture.read_text().startswith("<svg")
    assert {p.name for p in folder.iterdir()} == {"chip.json", "facts.toml", "floorplan.png", "floorplan.svg"}
    assert f"Written: {picture}, " in text
    assert json.loads((folder / "chip.json").read_text())["design"]["name"] == "Mine"


def test_json_is_json_alone(mine: Path) -> None:
    found = json.loads(run(mine, "--json", "--samples", 100))
    assert found["volume_count"] == 100_000
    assert found["milestones"]["volume"][1] == "2026-09"


def test_dearer_facts_of_ones_own_make_a_dearer_chip_and_are_named(mine: Path, tmp_path: Path) -> None:
    facts = tmp_path / "dear.toml"
    facts.write_text(
        '[process-n3.wafer_price]\nvalue = "100000 USD/wafer"\nsource = "me"\nas_of = "2026"\nkind = "reported"\n'
    )
    plain, dear = (json.loads(run(mine, "--json", "--samples", 100, *more)) for more in ((), ("--facts", facts)))
    assert dear["figures"]["price"]["central"] > plain["figures"]["price"]["central"]
    assert dear["user_facts"] == ["process-n3.wafer_price"]
    assert "This result uses your own facts: process-n3.wafer_price." in run(mine, "--samples", 100, "--facts", facts)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("slices = 32", "slices = 400", "mm2 over the reticle"),
        ("stacks = 4", "stacks = 0", "a chip without memory"),
        ("stacks = 4", "stacks = 24", "memory PHYs of 24 stacks"),
        ('"1000 W"', '"50 W"', "over the power cap of 50 W"),
        ('"hbm3e"', '"hbm9"', "the memory 'hbm9' is unknown"),
        ('clock = "1.5 GHz"', 'clock = "1.5 GB"', "compute.clock"),
    ],
)
def test_bad_designs_are_refused_with_what_breaks_the_limit(mine: Path, old: str, new: str, sentence: str) -> None:
    mine.write_text(DESIGN.replace(old, new))
    assert sentence in refused(mine)


def test_what_is_asked_wrongly_is_refused_before_any_work(mine: Path, tmp_path: Path) -> None:
    assert ".svg or .png" in refused(mine, "--floorplan", tmp_path / "plan.pdf")
    assert "did you mean 'h100'" in refused("h1000")
    assert "expected YYYY-MM" in refused(mine, "--date", "soon")
    assert "--volume" in refused(mine, "--volume", "many")
    assert "the seller 'nobody' is unknown" in refused(mine, "--seller", "nobody")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    assert "is no earlier result" in refused(mine, "--out", tmp_path / "full")
