"""Programmes: cost by process and reuse, and dates against the one programme whose dates are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scoville.errors import DesignError, FactError
from scoville.facts import Draws, Facts, load
from scoville.silicon import program as programs
from scoville.silicon.design import read_design
from scoville.silicon.program import month_after, program

MONTH = 365 * 86400 / 12
# facts of claims and SemiAnalysis, 2026-08-25: concept October 2024, first RTL February 2025, tape-out November 2025,
# silicon May 2026; volume comes by the end of 2027.
JALAPENO = {"rtl_s": "2025-02", "tape_out_s": "2025-11", "silicon_s": "2026-05", "volume_s": "2027-12"}


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


def test_parts_add_up_and_a_reused_design_costs_less(facts: Facts) -> None:
    design = read_design("jalapeno")
    new = program(design, facts, start="2026-01")
    successor = program(design, facts, start="2026-01", reused_frac=None)
    assert sum(new.parts_usd.values()) == pytest.approx(float(new.nre_usd))
    kept = 1 - facts.get("programme", "reuse_share").number
    for part in (programs.DESIGN, programs.VERIFICATION, programs.SOFTWARE):
        assert successor.parts_usd[part] == pytest.approx(new.parts_usd[part] * kept), part
    for part in (programs.IP, programs.MASKS, programs.RESPINS):
        assert successor.parts_usd[part] == new.parts_usd[part], part


def test_a_newer_process_costs_more(facts: Facts) -> None:
    design = replace(read_design("jalapeno"), io_process="")
    costs = [
        float(program(replace(design, process=p), facts, start="2026-01").nre_usd)
        for p in ("n28", "n16", "n7", "n3", "n2")
    ]
    assert costs == sorted(costs)


def test_jalapenos_programme_costs_what_was_estimated(facts: Facts) -> None:
    # process-n3.design_nre: 500 to 1,000 MUSD "all-in to volume" (useluminix.com on Jalapeño).
    assert "500-1000 all-in to volume" in facts.get("process-n3", "design_nre").note
    assert 500e6 <= float(program(read_design("jalapeno"), facts, start="2024-10").nre_usd) <= 1000e6


def test_jalapenos_dates_are_possible_and_its_tape_out_was_early(facts: Facts) -> None:
    drawn = program(read_design("jalapeno"), facts, Draws(1, 4000), start="2024-10")
    reached = {name: np.asarray(getattr(drawn, name)) for name in JALAPENO}
    for name, month in JALAPENO.items():
        months = sorted(drawn.month(float(s)) for s in reached[name])
        assert months[0] <= month <= months[-1], f"{name}: {month} lies outside of {months[0]} to {months[-1]}"
    share_earlier = np.mean([drawn.month(float(s)) < JALAPENO["tape_out_s"] for s in reached["tape_out_s"]])
    assert share_earlier < 0.1, "nine months from RTL to tape-out are said to be a record"
    p10, p90 = np.percentile(reached["volume_s"], (10, 90))
    assert drawn.month(p10) <= JALAPENO["volume_s"] <= drawn.month(p90)


def test_three_programmes_in_four_are_late(facts: Facts) -> None:
    # Siemens EDA / Wilson Research Group 2024: 75 % of projects behind schedule.
    late = Draws(2, 20_000).sample(facts.get("programme", "slip")) > 0
    assert late.mean() == pytest.approx(0.75, abs=0.03)


def test_milestones_come_in_their_order_in_every_sample(facts: Facts) -> None:
    drawn = program(read_design("h100"), facts, Draws(1, 500), start="2026-06")
    order = [
        np.asarray(s)
        for s in (0 * np.asarray(drawn.rtl_s), drawn.rtl_s, drawn.tape_out_s, drawn.silicon_s, drawn.volume_s)
    ]
    assert all((a < b).all() for a, b in pairwise(order))


def test_months_are_counted_from_the_first_of_the_start() -> None:
    assert month_after("2026-01", 0) == "2026-01"
    assert month_after("2026-01", 11.99 * MONTH) == "2026-12"
    assert month_after("2026-11", 2.5 * MONTH) == "2027-01"


def test_shares_of_more_than_all_are_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[programme.ip_share]\nvalue = "60 %"\nsource = "a quote"\nas_of = "2026"\nkind = "reported"\n',
        encoding="utf-8",
    )
    with pytest.raises(FactError, match="sum to more than 1"):
        program(read_design("h100"), load([own]), start="2026-01")


@pytest.mark.parametrize(
    ("change", "start", "reused", "says"),
    [
        ({}, "2026", 0.0, "'2026' is no month; expected YYYY-MM"),
        ({}, "2026-01", 1.5, "the reused share is 1.5; expected a number from 0 to 1"),
        ({"process": "n1"}, "2026-01", 0.0, "the process 'n1' is unknown"),
    ],
)
def test_nonsense_is_refused(change: dict[str, str], start: str, reused: float, says: str, facts: Facts) -> None:
    with pytest.raises(DesignError, match=says):
        program(replace(read_design("h100"), **change), facts, start=start, reused_frac=reused)  # type: ignore[arg-type]
