"""Published hourly costs of April 2026: which rows count, what misses 10 %, and how little of a price that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scoville.economics import HourlyCost, OwnershipTerms, owned
from scoville.facts import Draws, Facts

COUNTED = ("h100-sxm", "h200-sxm", "b200-sxm", "gb200-nvl72", "mi300x", "mi355x")
TEMPORARY = {"b300-sxm": ("b200-sxm", 1.2), "gb300-nvl72": ("gb200-nvl72", 1.2)}
MISSED = {"h200-sxm": -200.0, "b200-sxm": 200.0, "mi300x": 50.0}


def error(facts: Facts, chip: str, more_usd: float = 0.0) -> float:
    """Reckoned over published for a hyperscaler, at a price that much higher, less 1."""
    accelerator = facts.accelerator(chip)
    paid = accelerator.facts
    if more_usd:
        dearer = tuple(
            replace(f, value=f.number + more_usd, low=f.low + more_usd, high=f.high + more_usd)
            for f in accelerator.facts["price_chip"]
        )
        paid = {**accelerator.facts, "price_chip": dearer}
    terms = OwnershipTerms("hyperscaler", "2026-04")
    cost = owned(replace(accelerator, facts=paid), facts, Draws.central(), terms)
    assert isinstance(cost, HourlyCost)
    published = facts.get(chip, "own_hourly", vintage="2026-04", owner="hyperscaler").number
    return float(cost.total_usd_per_h[0]) / published - 1


def test_temporary_rows_are_another_chip_s_times_a_factor(facts: Facts) -> None:
    for chip, (other, factor) in TEMPORARY.items():
        mine, its = (facts.get(c, "own_hourly", vintage="2026-04", owner="hyperscaler").number for c in (chip, other))
        assert mine == pytest.approx(factor * its), f"{chip} stands as a figure of its own"


def test_the_misses_are_none_of_the_temporary_rows(facts: Facts) -> None:
    errors = {chip: error(facts, chip) for chip in COUNTED}
    assert {c for c, e in errors.items() if abs(e) > 0.10} == set(MISSED)
    assert max(map(abs, errors.values())) < 0.105


def test_less_than_one_percent_of_three_prices_is_what_is_missing(facts: Facts) -> None:
    for chip, more_usd in MISSED.items():
        price = facts.get(chip, "price_chip", vintage="2026-04")
        assert abs(more_usd) < 0.01 * price.number and price.low < price.number + more_usd < price.high
        assert abs(error(facts, chip, more_usd)) < 0.10, chip
