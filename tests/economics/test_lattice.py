"""The lattice, against options whose worth is known, and against a tree walked by hand."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from scoville.economics.cashflow import YEAR_S
from scoville.economics.lattice import Stage, Walk, option, staged


def black_scholes(value: float, strike: float, years: float, rate: float, volatility: float) -> float:
    """A European call: Black and Scholes, Journal of Political Economy 81 (1973)."""
    spread = volatility * math.sqrt(years)
    d = (math.log(value / strike) + (rate + volatility**2 / 2) * years) / spread
    normal = NormalDist().cdf
    return value * normal(d) - strike * math.exp(-rate * years) * normal(d - spread)


def test_the_american_put_of_the_textbook() -> None:
    # Hull, "Options, Futures, and Other Derivatives", basic numerical procedures: S = K = 50, 10 %, 40 %, five months,
    # five steps: 4.49 (4.488 with more digits)
    walk = Walk(0.4, 0.1)
    assert option(50, 50, 5 / 12 * YEAR_S, walk, 5, put=True, early=True) == pytest.approx(4.488, abs=1e-3)
    # with 500 steps 4.283
    assert option(50, 50, 5 / 12 * YEAR_S, walk, 500, put=True, early=True) == pytest.approx(4.283, abs=1e-3)


def test_one_step_by_hand() -> None:
    # u = e^0.3 = 1.34986, d = 0.74082, p = (e^0.05 - d) / (u - d) = 0.50975; pays 34.986: e^-0.05 p 34.986 = 16.964
    assert option(100, 100, YEAR_S, Walk(0.3, 0.05), 1) == pytest.approx(16.964, abs=2e-3)


@pytest.mark.parametrize("strike", [60, 100, 140])
def test_many_steps_come_to_black_and_scholes(strike: float) -> None:
    found = option(100, strike, 2 * YEAR_S, Walk(0.35, 0.04), 3000)
    assert found == pytest.approx(black_scholes(100, strike, 2, 0.04, 0.35), abs=0.01)


def test_puts_and_calls_keep_their_parity() -> None:
    walk = Walk(0.3, 0.05)
    call, put = (option(100, 90, YEAR_S, walk, 200, put=p) for p in (False, True))
    assert call - put == pytest.approx(100 - 90 * math.exp(-0.05), abs=1e-9)


def test_early_exercise_of_a_call_is_worth_nothing_without_a_yield() -> None:
    walk = Walk(0.3, 0.05)
    assert option(100, 100, YEAR_S, walk, 100, early=True) == pytest.approx(option(100, 100, YEAR_S, walk, 100))


def test_a_programme_of_one_later_payment_is_a_call() -> None:
    found = staged(100, [Stage(YEAR_S, 100)], Walk(0.2, 0.05), steps_per_year=1000)
    assert found.stopping_usd == pytest.approx(10.4506, abs=0.01)
    assert found.committed_usd == pytest.approx(100 - 100 * math.exp(-0.05))
    assert found.abandonment_usd == pytest.approx(found.stopping_usd - found.committed_usd)


def test_two_stages_by_hand() -> None:
    # One step a year, u = e^0.4 = 1.49182, d = 0.67032, no interest: p = (1 - d) / (u - d) = 0.40131.
    # 100 becomes 222.55, 100 or 44.93 after two years; 90 paid then leaves 132.55, 10, 0; 10 paid after one year:
    # above 0.40131 x 132.55 + 0.59869 x 10 - 10 = 49.18, below max(0.40131 x 10 - 10, 0) = 0; today 19.738 less 3.
    found = staged(100, [Stage(0, 3), Stage(YEAR_S, 10), Stage(2 * YEAR_S, 90)], Walk(0.4, 0.0), steps_per_year=1)
    assert found.stopping_usd == pytest.approx(0.40131 * 49.184 - 3, abs=2e-3)
    assert found.committed_usd == pytest.approx(100 - 3 - 10 - 90)


def test_rights_are_never_worth_less_than_nothing_and_grow_with_uncertainty() -> None:
    stages = [Stage(0, 10), Stage(YEAR_S, 30), Stage(2 * YEAR_S, 60)]
    found = [staged(100, stages, Walk(v, 0.04, 0.05), wait_s=YEAR_S) for v in (0.2, 0.4, 0.6)]
    assert all(f.abandonment_usd >= 0 and f.deferral_usd >= 0 for f in found)
    assert [f.waiting_usd for f in found] == sorted(f.waiting_usd for f in found)


def test_a_certain_programme_in_the_money_begins_at_once_and_never_stops() -> None:
    found = staged(200, [Stage(0, 50), Stage(YEAR_S, 50)], Walk(0.0, 0.0, 0.0), wait_s=YEAR_S)
    assert found.stopping_usd == pytest.approx(100, abs=1e-4)
    assert found.deferral_usd == pytest.approx(0, abs=1e-4)


def test_waiting_saves_a_programme_that_is_not_worth_beginning() -> None:
    found = staged(90, [Stage(0, 100)], Walk(0.5, 0.04), wait_s=2 * YEAR_S, steps_per_year=12)
    assert found.stopping_usd == pytest.approx(-10)
    assert found.waiting_usd == pytest.approx(option(90, 100, 2 * YEAR_S, Walk(0.5, 0.04), 24, early=True), abs=1e-9)


def test_steps_too_long_for_the_volatility_are_refused() -> None:
    with pytest.raises(ValueError, match="too long for a volatility"):
        option(100, 100, 10 * YEAR_S, Walk(0.01, 0.05), 2)
    with pytest.raises(ValueError, match="in order of time"):
        staged(100, [Stage(YEAR_S, 1), Stage(0, 1)], Walk(0.3, 0.04))
