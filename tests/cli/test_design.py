"""`scoville design` as a user sees it: from a space file to tables and a folder, and refusals in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scoville.cli import app

SPACE = """
title = "A small chip"

[[serve]]
model = "llama-3.1-8b"
traffic = "requests.csv"
weights = "fp8"
activations = "fp8"
kv = "fp8"
ttft = "2 s"
tpot = "50 ms"

[design.compute]
process = "n3"
clock = "1.5 GHz"
slices = [24, 32]
arrays_per_slice = 9
spare_arrays_per_slice = 1
array_rows = 64
array_columns = 64
rates = { fp8 = 1.0, bf16 = 0.25 }
vector_lanes_per_slice = 128
sram_per_slice = "1 MiB"

[design.memory]
kind = "hbm3e"
stacks = 4

[design.io]
process = "n3"
scale_up = "300 GB/s"
scale_up_domain = 64
host = "64 GB/s"

[design.package]
kind = "cowos-s"
power_cap = "1000 W"

[mapping]
tensor = [1]
batch = [8, 32]

[program]
volume = "100000 chips"
start = "2026-10"

[prices]
vintage = "2026-09"

[ownership]
owner = "hyperscaler"

[compare]
bought = []
reference = ""

[search]
finalists = 1
samples = 100
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    rows = "\n".join(f"{i / 4},500,50" for i in range(200))
    (tmp_path / "requests.csv").write_text(f"arrival_s,input_tokens,output_tokens\n{rows}\n")
    file = tmp_path / "small.toml"
    file.write_text(SPACE)
    return file


def test_a_search_prints_tables_and_leaves_a_report(space: Path, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    done = CliRunner().invoke(app, ["design", str(space), "--out", str(folder)])
    assert done.exit_code == 0, done.output
    for expected in ("2 designs, 4 points", "The best design beside bought chips", "What each mm2 buys", "Supply"):
        assert expected in done.output, expected
    found = json.loads((folder / "result.json").read_text())
    assert found["designs_count"] == 2
    assert (folder / "report.html").stat().st_size > 100_000
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == [], "the checkpoint's folder was left"
    made = CliRunner().invoke(app, ["chip", str(folder / "design.toml"), "--samples", "100"])
    assert made.exit_code == 0, made.output


def test_a_bad_space_is_refused_before_any_work(space: Path, tmp_path: Path) -> None:
    space.write_text(space.read_text().replace("stacks = 4", "stax = 4"))
    done = CliRunner().invoke(app, ["design", str(space), "--out", str(tmp_path / "found")])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"scoville: {space}:")
    assert "did you mean 'stacks'" in done.stderr
    assert not (tmp_path / "found").exists()


def test_a_space_without_a_design_that_can_serve_says_why(space: Path, tmp_path: Path) -> None:
    space.write_text(space.read_text().replace('"50 ms"', '"0.01 ms"'))
    done = CliRunner().invoke(app, ["design", str(space), "--out", str(tmp_path / "found")])
    assert done.exit_code == 2
    assert "none of the 2 designs can serve" in done.stderr
    assert "per output token in the mean (asked for 10 us)" in done.stderr, "how quick a design can be is not said"
    assert list(tmp_path.glob(".*")) == [], "the checkpoint of a search that is over was left"


def test_a_space_whose_designs_are_all_too_small_says_no_more_than_that(space: Path, tmp_path: Path) -> None:
    space.write_text(space.read_text().replace("llama-3.1-8b", "deepseek-r1"))
    done = CliRunner().invoke(app, ["design", str(space), "--out", str(tmp_path / "found")])
    assert done.exit_code == 2
    assert done.stderr.rstrip().endswith("of 4 points 4 cannot hold a model and its cache")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"1000 W"', '"100 W"', "W over the power cap of 100 W"),
        ("slices = [24, 32]", "slices = [640, 700]", "mm2 over the reticle's 26 x 33 mm"),
        ("[compare]", '[limits]\ndie_area = "20 mm2"\n[compare]', "mm2 over [limits] die_area"),
        ("[compare]", '[limits]\npower = "20 W"\n[compare]', "W over [limits] power"),
    ],
)
def test_a_space_whose_designs_all_break_a_limit_names_it_and_by_how_much(
    space: Path, tmp_path: Path, before: str, after: str, said: str
) -> None:
    space.write_text(space.read_text().replace(before, after))
    done = CliRunner().invoke(app, ["design", str(space), "--out", str(tmp_path / "found")])
    assert done.exit_code == 2
    assert "4 breaks a limit; design" in done.stderr
    assert said in done.stderr
