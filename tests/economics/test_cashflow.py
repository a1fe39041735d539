"""Net present value, rates of return, pay-back and depreciation, against hand-worked cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scoville.economics.annuity import crf
from scoville.economics.cashflow import (
    QUARTER_S,
    RESIDUAL,
    TAX,
    YEAR_S,
    CashFlows,
    declining_balance,
    discount,
    irr,
    npv,
    pay_back,
    straight_line,
    written_off,
)


def yearly(*usd: float) -> np.ndarray:
    """Payments at the ends of years, as flows by quarter; the first one stands a year after the start."""
    flows = np.zeros(4 * len(usd))
    flows[3::4] = usd
    return flows


def test_net_present_value_of_a_hand_worked_case() -> None:
    # 500 / 1.1 + 500 / 1.21 + 500 / 1.331 = 454.545 + 413.223 + 375.657 = 1243.426
    assert float(npv(yearly(500, 500, 500), 0.1)) == pytest.approx(1243.426, abs=5e-4)


def test_an_annuity_at_the_capital_recovery_factor_is_worth_its_purchase() -> None:
    # 1,000 repaid over 5 years at 8 %: 250.46 a year
    assert float(npv(yearly(*[1000 * float(crf(0.08, 5 * YEAR_S))] * 5), 0.08)) == pytest.approx(1000, rel=1e-12)


def test_each_sample_is_discounted_at_its_own_rate() -> None:
    flows = np.stack([yearly(110), yearly(110)])
    assert npv(flows, np.array([0.0, 0.1])) == pytest.approx([110, 100])
    with pytest.raises(ValueError, match="above -100 %"):
        discount(-1.0, 4)


def test_rate_of_return_of_a_hand_worked_case() -> None:
    # -1000, then 600 and 600: 1000 x^2 = 600 x + 600 with x = 1 + r, x = (0.6 + sqrt(0.36 + 2.4)) / 2 = 1.13066
    (rate,) = irr(yearly(-1000, 600, 600))
    assert rate == pytest.approx((0.6 + math.sqrt(2.76)) / 2 - 1, abs=1e-9)
    assert abs(float(npv(yearly(-1000, 600, 600), rate))) < 1e-6


def test_flows_with_two_rates_of_return_say_both() -> None:
    # -100, 230, -132: zero at 10 % and at 20 %, since (x - 1.1)(x - 1.2) = x^2 - 2.3 x + 1.32
    assert irr(yearly(-100, 230, -132)) == pytest.approx((0.1, 0.2), abs=1e-9)


@pytest.mark.parametrize("flows", [yearly(100, 200), yearly(-100, -5), np.zeros(8), yearly(100, -200, 150)])
def test_flows_without_a_rate_of_return_say_none(flows: np.ndarray) -> None:
    # 100, -200, 150: the discriminant 200^2 - 4 x 100 x 150 is negative
    assert irr(flows) == ()


def test_a_loss_has_a_negative_rate_of_return() -> None:
    assert irr(yearly(-1000, 500)) == pytest.approx((-0.5,), abs=1e-9)


def test_pay_back_without_and_with_discounting() -> None:
    flows = np.array([-100.0, 40, 40, 40])
    # 100 = 40 + 40 + half of the third 40, which comes in the fourth quarter
    assert float(pay_back(flows)) == pytest.approx(3.5 * QUARTER_S)
    # at 100 % a year a quarter is worth 2^-0.25: 84.09 against 28.28 + 23.78 + 20 = 72.07
    assert math.isnan(float(pay_back(flows, 1.0)))


def test_pay_back_counts_only_what_stays_paid_back() -> None:
    assert float(pay_back([-10.0, 20, -30, 40])) == pytest.approx(3.5 * QUARTER_S)
    assert float(pay_back([5.0, 1, 1, 1])) == 0
    assert math.isnan(float(pay_back([-10.0, 20, -30, 10])))


def test_depreciation_of_the_tax_code() -> None:
    # IRS Publication 946, table A-1, 5 and 7 years, half-year convention
    by_year = declining_balance(5 * YEAR_S).reshape(-1, 4).sum(axis=1)
    assert by_year == pytest.approx([0.2, 0.32, 0.192, 0.1152, 0.1152, 0.0576], abs=1e-12)
    by_year = declining_balance(7 * YEAR_S).reshape(-1, 4).sum(axis=1)
    assert by_year == pytest.approx([0.1429, 0.2449, 0.1749, 0.1249, 0.0893, 0.0892, 0.0893, 0.0446], abs=1e-4)
    # 150 % over 15 years: 5, 9.5, 8.55, ... 5.9, ... 2.95 %
    by_year = declining_balance(15 * YEAR_S, 1.5).reshape(-1, 4).sum(axis=1)
    assert by_year[[0, 1, 2, 9, 15]] == pytest.approx([0.05, 0.095, 0.0855, 0.0591, 0.0295], abs=1e-4)
    assert straight_line(5 * YEAR_S) == pytest.approx(np.full(20, 0.05))


def test_all_of_a_purchase_is_written_off_but_for_what_it_is_sold_for() -> None:
    purchases = np.zeros((1, 10))
    purchases[0, 1] = 100.0
    sales = np.zeros((1, 10))
    sales[0, 1] = 30.0
    taken = written_off(purchases, straight_line(2 * YEAR_S), np.array([4]), sales)
    # an eighth in each of the quarters 2 to 5; then the book value is 50, and 30 are got for it
    assert taken[0] == pytest.approx([0, 0, 12.5, 12.5, 12.5, 12.5 + 20, 0, 0, 0, 0])


def test_what_is_not_sold_before_the_end_is_sold_there() -> None:
    purchases, sales = np.full((2, 6), 10.0), np.full((2, 6), 4.0)
    taken = written_off(purchases, straight_line(YEAR_S), np.array([3, 99]), sales)
    assert taken.sum(axis=1) == pytest.approx([36, 36])


def test_lines_add_up_to_the_net_and_taxes_are_no_spending() -> None:
    flows = CashFlows(
        {"chips": np.array([[-8.0, -2.0]]), TAX: np.array([[1.0, 1.0]]), RESIDUAL: np.array([[0.0, 3.0]])}
    )
    assert flows.net_usd.tolist() == [[-7.0, 2.0]]
    assert flows.spent_usd.tolist() == [[8.0, 2.0]]
