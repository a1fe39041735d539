"""The years of a company: sums that must hold, cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.economics import company as model

B = 1e9


def array(*values: float) -> model.Array:
    return np.array(values, dtype=float)


def first_year() -> model.FirstYear:
    """The reported 2025, BUSD: 34.0 in all, 7.5 cost of revenue, 19.18 research, of it 65 % compute."""
    return model.FirstYear(array(13.07 * B), array(34 * B), array(7.5 * B), array(19.18 * B), array(0.65))


def plan(compute: float = 600 * B, since: int = 1) -> model.Plan:
    return model.Plan(array(280 * B), array(compute), since, array(0.6), array(0.6))


def flat(value: float, years: int = 3) -> model.Array:
    return np.full((1, years), value)


def years_of(inference: float, revenue: float = 200 * B) -> model.Years:
    return model.Years(flat(revenue), flat(inference), flat(50 * B), flat(20 * B), flat(30 * B))


def test_the_known_year_comes_out_as_reported() -> None:
    years = model.project(first_year(), plan(), 6)
    assert years.total_costs_usd[0, 0] == pytest.approx(34 * B), "the parts of 2025 must add up to its costs"
    assert years.result_usd[0, 0] == pytest.approx(-20.93 * B), "13.07 - 34.0"
    assert years.other_usd[0, 0] == pytest.approx(7.32 * B), "34.0 - 7.5 - 19.18"
    assert years.compute_usd[0, 0] == pytest.approx((7.5 + 12.467) * B)


def test_compute_adds_up_to_the_plan_and_revenue_ends_at_its_target() -> None:
    for since in (0, 1):
        years = model.project(first_year(), plan(since=since), 6)
        assert years.compute_usd[0, since:].sum() == pytest.approx(600 * B), f"counted from year {since}"
    assert years.revenue_usd[0, -1] == pytest.approx(280 * B)
    growths = years.revenue_usd[0, 1:] / years.revenue_usd[0, :-1]
    assert growths == pytest.approx((280 / 13.07) ** 0.2), "one rate of growth"
    assert years.inference_usd[0, -1] / years.compute_usd[0, -1] == pytest.approx(0.6)
    assert years.other_usd[0, -1] == pytest.approx(7.32 * B * (280 / 13.07) ** 0.6)


def test_parts_add_up_in_every_year() -> None:
    years = model.project(first_year(), plan(), 6)
    parts = years.inference_usd + years.training_usd + years.staff_usd + years.other_usd
    assert years.total_costs_usd == pytest.approx(parts)
    assert years.result_usd == pytest.approx(years.revenue_usd - parts)
    assert years.research_usd[0, 0] == pytest.approx(19.18 * B), "training and staff of 2025 are its research"


def test_growth_by_hand() -> None:
    assert model.growth(array(100.0), array(231.0), 1, 3) == pytest.approx(1.1), "110 + 121"
    assert model.growth(array(100.0), array(300.0), 0, 3) == pytest.approx(1.0), "100 three times"


@given(st.floats(0.1, 100), st.floats(1.05, 50), st.integers(0, 2), st.integers(3, 10))
def test_growth_meets_any_sum(first: float, times: float, since: int, years: int) -> None:
    factor = model.growth(array(first), array(first * times), since, years)
    assert (first * factor ** np.arange(since, years)).sum() == pytest.approx(first * times, rel=1e-9)


def test_a_product_is_revenue_over_price() -> None:
    """4e9 tokens a minute are 2.1e15 a year; at 3.92 BUSD each million costs 1.864 USD."""
    years = model.project(first_year(), plan(), 6)
    product = model.sell(years, array(0.3), array(0.5), array(4e9 / 60), array(-0.4))
    assert product.sold_tokens[0, 0] == pytest.approx(4e9 * 60 * 24 * 365)
    assert product.price_usd_per_token[0, 0] * 1e6 == pytest.approx(0.3 * 13_070 / (4e-3 * 525_600), rel=1e-6)
    assert product.price_usd_per_token[0, 5] == pytest.approx(product.price_usd_per_token[0, 0] * 0.6**5)
    assert product.sold_tokens * product.price_usd_per_token == pytest.approx(product.revenue_usd)
    assert product.revenue_usd[0, -1] == pytest.approx(140 * B)


def test_power_comes_late_by_the_delay() -> None:
    """Nothing at the end of 2026, 1.3 GW of 2027, 5 of 2028; three months late: 0.975 and 4.075."""
    power = {2: array(1.3e9), 3: array(5e9)}
    on_time = model.in_service(1, power, 5, array(0.0))
    assert on_time[0] == pytest.approx([0, 0, 1.3e9, 5e9, 5e9])
    late = model.in_service(1, power, 5, array(0.25 * model.YEAR_S))
    assert late[0] == pytest.approx([0, 0, 0.975e9, 4.075e9, 5e9])
    never = model.in_service(1, power, 5, array(9 * model.YEAR_S))
    assert never[0] == pytest.approx([0] * 5), "later than the horizon is never"


def chips(power_w: float = 1e9, highest: float = 1.0) -> model.Chips:
    """1.125 kW at PUE 1.2 are 1.35 kW of the grid."""
    return model.Chips(flat(power_w), array(1350.0), array(1.27), array(highest))


def test_a_gigawatt_of_chips_by_hand() -> None:
    """1 GW / 1.35 kW = 740,741 chips; x 1.27 USD/h x 8,760 h = 8.241 BUSD."""
    fleet = chips()
    assert fleet.chips_count[0, 1] == pytest.approx(740_741, rel=1e-6)
    assert fleet.chips_count[0, 0] == pytest.approx(740_741 / 2, rel=1e-6), "from nothing: half of it in the mean"
    assert fleet.fleet_usd[0, 1] / B == pytest.approx(8.241, abs=5e-4)


def test_what_a_fleet_displaces() -> None:
    """8.241 BUSD at a ratio of 0.5 do the work of 16.48 bought: 8.241 saved, 16.5 % of 100 BUSD."""
    owned = model.own(years_of(100 * B), chips(), array(0.5))
    assert owned.displaced_usd[0, 1] / B == pytest.approx(16.481, abs=1e-3)
    assert owned.saving_usd[0, 1] / B == pytest.approx(8.241, abs=1e-3)
    assert owned.served_frac[0, 1] == pytest.approx(0.1648, abs=1e-4)
    assert owned.idle_frac[0, 1] == pytest.approx(0.0)


def test_chips_beyond_the_highest_share_are_idle_and_paid_for() -> None:
    """10 GW cost 82.41 BUSD and could displace 164.8 of 100 BUSD, of which 80 % may move: 51.5 % idle, 2.41 lost."""
    owned = model.own(years_of(100 * B), chips(10e9, 0.8), array(0.5))
    assert owned.served_frac[0, 1] == pytest.approx(0.8)
    assert owned.idle_frac[0, 1] == pytest.approx(1 - 80 / 164.81, abs=1e-4)
    assert owned.saving_usd[0, 1] / B == pytest.approx(80 - 82.409, abs=1e-3)


@given(st.floats(0.05, 3.0), st.floats(0.0, 2e10), st.floats(0.0, 1.0))
def test_power_chips_and_tokens_agree(ratio: float, power: float, highest: float) -> None:
    """Power over a chip's power is chips, chips x hours is cost, busy cost over the ratio is what is displaced."""
    years, fleet = years_of(100 * B), chips(power, highest)
    owned = model.own(years, fleet, array(ratio))
    busy = fleet.chips_count * (1 - owned.idle_frac)
    assert busy * 1.27 * 8760 / ratio == pytest.approx(owned.served_frac * years.inference_usd, rel=1e-9, abs=1e-3)
    assert (owned.served_frac <= highest + 1e-12).all(), "more is served than may move"
    assert owned.displaced_usd - owned.saving_usd == pytest.approx(owned.fleet_usd), "idle chips are paid for"


def test_a_better_claim_never_saves_less() -> None:
    years, fleet = years_of(100 * B), chips(6e9, 0.8)
    saved = [model.own(years, fleet, array(r)).saving_usd[0, -1] for r in (1.5, 1.0, 0.66, 0.5, 0.3)]
    assert saved == sorted(saved)
    assert saved[1] == pytest.approx(0.0, abs=1.0), "at parity nothing is saved"


def test_share_needed_for_a_result_of_nil() -> None:
    """Loss of 10 BUSD, inference 100: at a ratio of 0.66 34 BUSD for all of it, so 29.4 %."""
    years = years_of(100 * B, 190 * B)
    needed = model.share_needed(years, array(0.66))
    assert needed[0, 0] == pytest.approx(10 / 34)
    saved = model.saving_at_share(years.inference_usd, float(needed[0, 0]), array(0.66))
    assert years.result_usd + saved == pytest.approx(0.0, abs=1.0)
    assert np.isinf(model.share_needed(years, array(1.0))).all(), "nothing is saved at parity"
    assert (model.share_needed(years_of(100 * B, 300 * B), array(1.2)) == 0).all(), "positive without any chip"


def test_the_day_that_inference_overtakes_training() -> None:
    """1 BUSD of training, inference of 2 BUSD a year: 0.5 years; growing by 0.8 a year ln(1.4) / 0.8 = 0.4206."""
    y = model.YEAR_S
    life = model.ModelLife(np.full(3, 1 * B), np.full(3, 2 * B / y), array(0.0, 0.8, -2.5) / y, np.full(3, 1.0) * y)
    assert life.overtakes_s / y == pytest.approx([0.5, 0.420590, np.inf], abs=1e-6)
    assert life.inference_usd[:2] / B == pytest.approx([2.0, 2 * (np.exp(0.8) - 1) / 0.8])


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(-1, 2))
def test_spending_is_equal_on_that_day(training: float, inference: float, growth: float) -> None:
    life = model.ModelLife(array(training), array(inference), array(growth), array(1.0))
    day = life.overtakes_s
    if np.isfinite(day[0]) and abs(growth * day[0]) < 50:
        until = model.ModelLife(array(training), array(inference), array(growth), day)
        assert until.inference_usd[0] == pytest.approx(training, rel=1e-6)
