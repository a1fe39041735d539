"""The terminal: every accelerator at every width, nothing cut short, what matters in words and not by colour alone."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import sample
from rich.console import Console
from test_charts import AWKWARD

from scoville.facts import Range
from scoville.report import grid, tables, wording
from scoville.study.answer import Answer


def printed(answer: Answer, width: int) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        tables.show(answer, console)
    return capture.get()


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("width", [80, 100, 120, 150, 200])
def test_every_accelerator_is_in_both_tables(width: int) -> None:
    text = printed(sample.answer(), width)
    does, costs = text.split("What it does")[1].split("What it costs")
    for row in sample.rows():
        for table in (does, costs.split("In brackets")[0]):
            assert row.name.split()[0] in table


@pytest.mark.parametrize("width", [80, 150])
def test_no_line_is_wider_than_the_terminal_and_none_is_cut_short(width: int) -> None:
    text = printed(sample.answer(), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text


@pytest.mark.parametrize("make", AWKWARD.values(), ids=AWKWARD.keys())
@pytest.mark.parametrize("width", [80, 150])
def test_nothing_is_printed_as_nan(make: object, width: int) -> None:
    assert "nan" not in printed(make(), width).lower().replace("finance", "")  # type: ignore[operator]


def test_a_range_stands_beside_its_value_where_there_is_room() -> None:
    assert "0.112 (0.079–0.17)" in printed(sample.answer(), 150)


def test_the_cheapest_is_marked_in_words() -> None:
    for width in (80, 150):
        text = squeezed(printed(sample.answer(), width))
        assert "cheapest to own" in text and "cheapest to rent" in text


def test_nobody_rents_jalapeno_and_the_reason_is_told() -> None:
    text = squeezed(printed(sample.answer(), 150))
    assert wording.NOT_OFFERED in text
    assert "rent not offered (its owner keeps it)" in text


def test_a_refused_row_says_why() -> None:
    assert "VR200 NVL72: no rate for fp8 and no wider one" in squeezed(printed(sample.answer(), 80))


def test_own_facts_are_announced_and_only_then() -> None:
    assert "This result uses your own facts: h100-sxm.rent_3yr" in printed(sample.answer(), 150)
    assert "your own facts" not in printed(replace(sample.answer(), user_facts=()), 150)


def test_text_from_the_study_is_no_markup() -> None:
    assert "[bold]x[/bold]" in printed(replace(sample.answer(), title="[bold]x[/bold]"), 80)


def test_drivers_are_named_in_words() -> None:
    answer = sample.answer()
    named = replace(answer.drivers[0], label="jalapeno: price system")
    assert "Jalapeño: price of the system" in printed(replace(answer, drivers=(named,)), 120)


def test_cached_input_has_a_column_only_where_there_is_any() -> None:
    answer = sample.answer()
    assert len(grid.costs(answer).heads) == 8
    first = answer.rows[0]
    assert first.own is not None
    own = replace(first.own, cached_input=first.own.input)
    cached = replace(answer, rows=(replace(first, own=own), *answer.rows[1:]))
    assert [h.name for h in grid.costs(cached).heads][:4] == ["input", "cached input", "output", "all"]
    for width in (80, 150):
        text = printed(cached, width)
        assert "…" not in text and max(len(line) for line in text.splitlines()) <= width


def test_lines_of_a_table_have_a_cell_for_every_head() -> None:
    for table in (grid.does(sample.answer()), grid.costs(sample.answer())):
        assert all(line.refusal or len(line.cells) == len(table.heads) for line in table.lines)


def test_a_note_that_holds_for_many_is_said_once() -> None:
    notes = grid.footnotes(sample.answer())
    assert sum("rented by the chip" in note for note in notes) == 1


@pytest.mark.parametrize(
    ("r", "said"),
    [
        (Range(0.24, 0.312, 0.42, "usd_per_token"), "0.312 (0.24–0.42)"),
        (Range(0.3452, 0.3461, 0.3509, "usd_per_token"), "0.346 (0.345–0.351)"),
        (Range(1980.0, 2312.0, 2560.0, "tokens_per_s"), "2,310 (2,000–2,600)"),
        (Range(5.0, 5.0, 5.0, "count"), "5.00"),
        (Range(float("nan"), 5.0, float("nan"), "count"), "5.00"),
        (Range(0.0, 0.0, 0.1, "usd_per_token"), "0 (0–0.10)"),
    ],
)
def test_bounds_have_two_digits_where_they_still_enclose_the_value(r: Range, said: str) -> None:
    assert wording.ranged(r) == said


def test_replay_and_steady_state_stand_side_by_side() -> None:
    for width in (80, 150):
        text = printed(sample.answer(), width)
        table = text.split("Where the replay and the steady state differ")[1].split("Replayed: the highest load")[0]
        for row in sample.rows():
            assert (row.name.split()[0] in table) != bool(row.refusal)
        # The H100: replayed, at random times, steady state.
        assert "1,180" in table and "1,480" in table and "1,690" in table
        assert "70" in table


def test_a_row_without_a_replay_is_marked_in_both_tables() -> None:
    answer = sample.answer()
    table = grid.replays(answer)
    assert table is not None
    for lines in (grid.does(answer).lines, grid.costs(answer).lines):
        assert [line.accelerator for line in lines if line.caveat] == ["tpu-v7"]
    assert [line.accelerator for line in table.lines if line.cells[1].text == "none"] == ["tpu-v7"]
    assert all(len(line.cells) == len(table.heads) for line in table.lines)
    for width in (80, 150, 200):
        text = squeezed(printed(answer, width))
        assert text.count(grid.NOT_REPLAYED) == 2
        assert "TPU v7 (Ironwood): the steady state stands, without a replay: TP4 DP8: the simulator does not" in text


def test_without_any_replay_there_is_no_such_table() -> None:
    answer = sample.answer()
    none = replace(answer, rows=tuple(replace(r, replayed=None) for r in answer.rows))
    assert grid.replays(none) is None
    assert "Where the replay" not in printed(none, 150)
