"""docs/accuracy.md is what the command would write: all of its kernels, a sample of its served runs."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from scoville.facts import Facts, load
from scoville.report.accuracy.__main__ import END, START, cheap, main
from scoville.report.accuracy.kernels import errors
from scoville.report.accuracy.served import TARGETS, Served, cell, deployed, explanations, group_rows, served
from scoville.report.accuracy.timers import classes, timers, verdict
from scoville.validation import validate
from scoville.validation.calibrate import Correction, group_of

PAGE = (Path(__file__).parents[2] / "docs" / "accuracy.md").read_text(encoding="utf-8")
COMMAND = "python -m scoville.report.accuracy docs/accuracy.md"
SAMPLED, MOST_RUNS, SEED = 3, 12, 20261123


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


def test_the_page_has_every_chip_and_kernel_as_they_are_now(facts: Facts) -> None:
    for part, text in cheap(facts).items():
        assert text in PAGE, f"{part} of docs/accuracy.md is out of date: {COMMAND} --kernels-only"


def test_every_chip_is_on_the_page(facts: Facts) -> None:
    missing = [chip.id for chip in facts.accelerators() if f"\n| {chip.id} | " not in PAGE]
    assert not missing, f"chips without a line: {missing}"


def test_a_chip_is_called_measured_where_it_has_tables_and_nowhere_else(facts: Facts) -> None:
    lines = [
        line.split(" | ") for line in timers(facts).splitlines()[2:] if line.startswith("| ") and "none:" not in line
    ]
    odd = [cells[0] for cells in lines if (cells[1] == "measured tables") != (cells[3] == "measured")]
    assert lines and not odd, f"evidence that disagrees with the tables: {odd}"


def test_a_class_above_its_target_says_missed(facts: Facts) -> None:
    assert verdict("a chip left out: mean error 20 %") == "met"
    assert verdict("a chip left out: mean error 13 to 30 % by format") == "**missed**"
    assert verdict("a chip left out: mean error 19 %; latent attention, not fitted, 15 to 68 %").endswith(
        "**missed** by latent attention, not fitted"
    )
    lines = classes(facts).splitlines()
    assert len(lines) == 6 and all("met" in line or "missed" in line for line in lines[2:])


def test_every_row_that_was_left_out_is_scored() -> None:
    folder = Path(__file__).parents[2] / "src" / "scoville" / "timing" / "measured" / "data"
    there = sum(len(pl.read_parquet(file)) for file in folder.glob("*_held_out.parquet"))
    found = errors()
    assert len(found) == there
    assert found["error"].is_finite().all(), "a row left out has no prediction"


def _shares(text: str) -> list[float]:
    return [float(share.strip(" %")) for share in text.split("/")]


def test_a_sample_of_groups_is_predicted_as_the_page_says(facts: Facts) -> None:
    """Groups of a few runs, drawn by a seed: the whole table takes minutes."""
    measured, deployments = deployed(facts)
    runs: dict[tuple[str, str, str], set[object]] = {}
    for row in measured.mapped:
        runs.setdefault(group_of(row.setting), set()).add(row.setting)
    small = sorted(group for group, settings in runs.items() if len(settings) <= MOST_RUNS)
    chosen = random.Random(SEED).sample(small, SAMPLED)
    rows = tuple(row for row in measured.mapped if group_of(row.setting) in chosen)
    found = validate(replace(measured, rows=rows), deployments, threads=2)
    compared = 0
    for target in TARGETS:
        for group, mine in group_rows(target, found.rows).items():
            section = PAGE[PAGE.index(f"### {target.name}\n") :]
            line = re.search(rf"^{re.escape('| ' + ' | '.join(group) + ' |')}(.*)\|$", section, re.M)
            assert line, f"{group} is not under {target.name}"
            count, as_predicted, *_ = line[1].split("|")
            assert int(count) == len(mine)
            assert _shares(cell(mine)) == pytest.approx(_shares(as_predicted), abs=0.3), (
                f"{group}, {target.name}: the page is out of date: {COMMAND}"
            )
            compared += 1
    assert compared >= SAMPLED


def test_the_part_on_served_runs_has_what_it_promises(facts: Facts) -> None:
    """With the same prediction three times over, on four runs of which one contradicts Little's law."""
    measured, deployments = deployed(facts)
    lines = {line + i for line in (370, 374, 404, 1072) for i in (0, 1)}
    some = [row for row in measured.mapped if row.line in lines]
    one = validate(replace(measured, rows=tuple(some)), deployments, threads=2)
    text = served(Served(one, one, one, {"vllm": Correction()}))
    assert "2 rows are set aside" in text and "contradicts Little's law" in text
    assert "faster than the chip's peaks allow" in text
    assert "no cause found" in text and explanations()[370] in text
    assert text.count("| TPOT | mean <= 12%, 85% within 20% | 3 |") == 1


def test_explanations_are_of_rows_that_exist_and_given_once(facts: Facts) -> None:
    measured, _ = deployed(facts)
    assert explanations().keys() <= {row.line for row in measured.rows}


def test_the_marks_around_the_served_runs_are_there() -> None:
    assert PAGE.count(START) == PAGE.count(END) == 1
    assert PAGE.index(START) < PAGE.index(END)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["none.md", "--kernels-only"], "there is no such page"), (["none/page.md"], "there is no such folder")],
)
def test_a_place_that_is_none_is_said_before_the_work(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["accuracy", str(tmp_path / words[0]), *words[1:]])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
