"""The tables of a designed chip: parts add up, no number without a unit, limits named."""

from __future__ import annotations

import json

import pytest

from scoville import facts
from scoville.report import chip, sheet
from scoville.report.sheet import Sheet
from scoville.silicon import read_design


@pytest.fixture(scope="module")
def shown() -> chip.Shown:
    return chip.built(
        read_design("jalapeno"), facts.load(), "designs/jalapeno.toml", date="2026-09", volume=1e5,
        seller="broadcom_xpu", start="", samples=200, seed=3,
    )  # fmt: skip


def by_title(shown: chip.Shown) -> dict[str, Sheet]:
    return {s.title: s for s in chip.sheets(shown)}


def test_every_table_of_a_chip_is_there(shown: chip.Shown) -> None:
    assert list(by_title(shown)) == [
        "Arithmetic", "Memory and links", "Area of a compute die", "Area of an I/O die",
        "Power with everything at full rate", "Making it", "What one chip costs", "One-time cost (NRE)", "Dates",
        "Embodied carbon",
    ]  # fmt: skip


def test_shares_of_a_breakdown_add_up_to_all_of_it(shown: chip.Shown) -> None:
    for s in by_title(shown).values():
        if not s.with_bars:
            continue
        assert s.rows[-1].strong, f"{s.title} ends in no sum"
        shares = [float(row.cells[1].text.strip("<> %")) for row in s.rows[:-1]]
        assert sum(shares) == pytest.approx(100, abs=len(shares) / 2 + 1), s.title
        assert max(row.bar_frac for row in s.rows[:-1]) == 1.0


def test_numbers_have_units(shown: chip.Shown) -> None:
    for s in by_title(shown).values():
        for row in s.rows:
            for head, cell in zip(s.heads, row.cells, strict=True):
                bare = cell.text.replace(",", "").replace(".", "").isdigit()
                said = " ".join((head.name, head.unit, row.name, s.measure))
                named = any(u in said for u in ("mm2", "USD", "W", "kg", "month", "dies", "TFLOP/s"))
                assert not bare or named, f"{s.title}: {row.name} is {cell.text} of what?"


def test_peak_rates_are_those_disclosed(shown: chip.Shown) -> None:
    """13.4 PFLOP/s MXFP4 and a quarter of it in FP8: Hot Chips, 2026-08-25."""
    rows = {row.name: row.cells[0].text for row in by_title(shown)["Arithmetic"].rows}
    assert rows["FP4"] == "13.4 PFLOP/s"
    assert rows["FP8"] == "3.34 PFLOP/s"


def test_a_tdp_over_the_cap_says_by_how_much_and_why_it_passes(shown: chip.Shown) -> None:
    (said,) = by_title(shown)["Power with everything at full rate"].below
    over = shown.chip.figures["TDP"].central > 700
    assert ("over it by less than the model's error" in said) == over
    assert "of the cap of 700 W" in said


def test_json_holds_every_range_in_si(shown: chip.Shown) -> None:
    found = json.loads(chip.as_json(shown))
    assert found["figures"]["TDP"]["measure"] == "w"
    assert found["peak_flop_per_s"]["fp4"] == pytest.approx(13.37e15, rel=1e-3)
    assert {"p10", "central", "p90", "measure"} == set(found["cost"]["memory"])
    assert len(found["floorplan"]["rectangles"]) > 64


@pytest.mark.parametrize("width", [100, 120])
def test_tables_fit_a_terminal(shown: chip.Shown, width: int) -> None:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    chip.show(shown, Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert any(line.startswith("compute die") and "mm2" not in line for line in lines)
    assert not any(line.rstrip().endswith("…") for line in lines), "a cell was cut"


def test_bars_begin_with_a_mark_for_all_that_is_not_nothing() -> None:
    from scoville.facts import Range

    def at(value: float) -> Range:
        return Range(value, value, value, "w")

    made = sheet.breakdown("t", "", [("a", at(1000.0)), ("b", at(0.1)), ("c", at(0.0))], ("all", at(1000.1)), "W")
    assert [row.name for row in made.rows] == ["a", "b", "all"]
    assert made.rows[1].cells[1].text == "<1 %"
