"""Break-even by hand, and the rule of ASIC Clouds at its own border."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scoville.economics.break_even import break_even_chips, two_for_two, yearly_saving
from scoville.errors import StudyError
from scoville.facts import Facts

YEAR_S = 365 * 86400.0


def test_by_hand() -> None:
    # A chip at 1 USD/h with the speed of half of one at 4 USD/h: 8,760 USD a year; 87.6e6 over five years: 2,000 chips.
    saving = yearly_saving(1.0, 4.0, 0.5)
    assert saving == pytest.approx(8760)
    assert break_even_chips(87.6e6, saving, 5 * YEAR_S) == pytest.approx(2000)


def test_what_saves_nothing_never_pays() -> None:
    found = break_even_chips(1e9, yearly_saving(2.0, np.array([1.0, 2.0, 3.0]), 1.0), YEAR_S)
    assert np.isinf(found[:2]).all() and math.isfinite(found[2])


def test_at_two_for_two_the_chip_is_just_paid_for(facts: Facts) -> None:
    rule = two_for_two(facts, 200e6, 100e6, 2.0)
    assert rule.passes and rule.saved_usd == pytest.approx(0.0) and rule.needed_improvement_frac == pytest.approx(2.0)
    assert rule.said().startswith(
        "two for two: passes. The computation costs 2.00 times the one-time cost (at least 2)"
    )


@pytest.mark.parametrize(
    ("tco", "nre", "improvement", "passes", "saved", "needed"),
    [
        (400e6, 100e6, 1.5, False, 400 / 3 - 100, 4 / 3),  # large, a small gain: fails the rule and pays all the same
        (150e6, 100e6, 5.0, False, 20, 3.0),
        (50e6, 100e6, 100.0, False, -50.5, math.inf),  # no gain repays more than the whole cost
        (1000e6, 100e6, 4.0, True, 650, 10 / 9),
    ],
)
def test_the_rule_and_its_sum(
    facts: Facts, tco: float, nre: float, improvement: float, passes: bool, saved: float, needed: float
) -> None:
    rule = two_for_two(facts, tco, nre, improvement)
    assert rule.passes is passes
    assert rule.saved_usd == pytest.approx(saved * 1e6) and rule.needed_improvement_frac == pytest.approx(needed)
    assert f"{'passes' if passes else 'fails'}" in rule.said()
    assert ("saved" if saved >= 0 else "lost") in rule.said()


def test_passing_the_rule_never_loses(facts: Facts) -> None:
    for ratio in (2.0, 3.0, 10.0):
        for improvement in (2.0, 2.5, 20.0):
            rule = two_for_two(facts, ratio * 1e8, 1e8, improvement)
            assert rule.passes and rule.saved_usd >= -1.0


def test_impossible_amounts_are_refused(facts: Facts) -> None:
    with pytest.raises(StudyError, match="one-time cost is 0; expected a number above 0"):
        two_for_two(facts, 1e8, 0.0, 2.0)
