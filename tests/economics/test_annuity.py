"""Annuities against hand-worked cases and against a loan paid off year by year."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.economics.annuity import YEAR_S, crf, hourly

rates = st.floats(0, 0.5)
years = st.integers(1, 30)


def test_two_years_at_ten_percent_by_hand() -> None:
    # 100 borrowed at 10 %; two equal payments p: (100 x 1.1 - p) x 1.1 = p, so 121 = 2.1 p and p = 57.619.
    assert float(crf(0.10, 2 * YEAR_S)) * 100 == pytest.approx(121 / 2.1, rel=1e-14)


def test_one_year_repays_all_with_interest() -> None:
    assert float(crf(0.08, YEAR_S)) == pytest.approx(1.08, rel=1e-14)


def test_without_interest_shares_are_equal() -> None:
    assert float(crf(0.0, 4 * YEAR_S)) == 0.25


@given(st.floats(1e-15, 1e-9), years)
def test_tiny_rates_join_rate_zero(rate: float, life: int) -> None:
    assert float(crf(rate, life * YEAR_S)) == pytest.approx(1 / life, rel=1e-6)


@given(rates, years)
def test_payments_repay_the_loan(rate: float, life: int) -> None:
    payment, debt = float(hourly(1.0, rate, life * YEAR_S)) * 8760, 1.0
    for _ in range(life):
        debt = debt * (1 + rate) - payment
    # What is left is rounding, grown by the interest on it.
    assert abs(debt) < 1e-12 * (1 + rate) ** life * life


@given(rates, rates, years)
def test_dearer_capital_costs_more(a: float, b: float, life: int) -> None:
    low, high = sorted((a, b))
    assert crf(low, life * YEAR_S) <= crf(high, life * YEAR_S) * (1 + 1e-12)


def test_broadcasts() -> None:
    assert crf(np.array([[0.0], [0.08]]), np.array([3, 5, 6]) * YEAR_S).shape == (2, 3)


@pytest.mark.parametrize(("rate", "life"), [(-0.01, 5.0), (0.08, 0.0)])
def test_nonsense_is_refused(rate: float, life: float) -> None:
    with pytest.raises(ValueError, match="rate >= 0 and a life > 0"):
        crf(rate, life * YEAR_S)
