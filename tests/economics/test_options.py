"""Renting, owning, building and buying tokens over quarters, against cases worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scoville.economics import OwnershipTerms, crf, owned
from scoville.economics.annuity import hourly
from scoville.economics.build import Risks, Schedule, schedule, spread
from scoville.economics.cashflow import QUARTER_S, RESIDUAL, TAX, YEAR_S, npv, straight_line
from scoville.economics.demand import beyond, capacity, growth_path, label, quarter, week
from scoville.economics.equipment import Equipment, NotOffered, equipment
from scoville.economics.holding import hold
from scoville.economics.options import (
    API,
    CHIPS,
    FACILITY,
    PREPAID,
    RENT,
    Generations,
    Money,
    Need,
    Ownership,
    Rental,
    api,
    own,
    rent,
)  # fmt: skip
from scoville.economics.tokens import fleet
from scoville.errors import StudyError
from scoville.facts import Draws, Facts
from scoville.silicon.design import read_design
from scoville.silicon.program import program

ONE = np.ones(1)
FLAT = np.ones(168)
HOURS = 2190.0  # of a quarter


def never(n: int = 1) -> Generations:
    return Generations(np.inf, np.ones(n), np.ones(n), np.ones(n))


def need(*peak: float, mean: float = 1.0) -> Need:
    row = np.array([peak])
    return Need(row * mean, row, FLAT)


def money(tax: float = 0.0) -> Money:
    return Money(0.1 * ONE, tax * ONE, straight_line(YEAR_S), straight_line(YEAR_S), 0.5 * ONE)


def rental(**changed: object) -> Rental:
    return replace(Rental("chip", 10 * ONE, 2 * ONE, ONE, never(), 1.0, 4), **changed)  # type: ignore[arg-type]


def machine(life_years: float = 2) -> Equipment:
    return Equipment(
        "chip",
        1000 * ONE,
        0 * ONE,
        400 * ONE,
        0 * ONE,
        0 * ONE,
        0 * ONE,
        5 * ONE,
        life_years * YEAR_S * ONE,
        8 * YEAR_S * ONE,
    )


def ownership(quarters: int, e: Equipment | None = None, **changed: object) -> Ownership:
    flat = np.full((1, quarters), 1000.0)
    made = Ownership(e or machine(), 10 * ONE, flat, 0 * flat, never(), np.zeros((1, quarters)))
    return replace(made, **changed)  # type: ignore[arg-type]


def test_quarters_are_read_and_written() -> None:
    assert label(quarter("2026-Q4")) == label(quarter("2026-11")) == "2026-Q4"
    with pytest.raises(StudyError, match="'2026-13' is no quarter"):
        quarter("2026-13")


def test_capacity_is_that_of_a_fleet() -> None:
    found = capacity(1e12 / 86400, peak_to_average=1.5, headroom_frac=0.1, max_utilisation_frac=0.8, spares_frac=0.0)
    of = fleet(
        1e12 / 86400, peak_to_average=1.5, headroom_frac=0.1, max_utilisation_frac=0.8, replica_tokens_per_s=40_000,
        chips_per_replica=8, site_power_w=1.0,
    )  # fmt: skip
    held = hold(np.array([[float(found)]]), np.array([[5000.0]]), 9.0, chips_per_replica=8)
    assert float(held.serving_count[0, 0]) == float(of.chips_count) == 4776


def test_a_week_has_its_peak_and_its_mean() -> None:
    shape = week(1.8, 0.7)
    assert (shape.mean(), shape.max()) == pytest.approx((1, 1.8))
    assert shape[5 * 24 :].mean() / shape[: 5 * 24].mean() == pytest.approx(0.7)
    with pytest.raises(ValueError, match=r"not between 1\.0\d+ and 2\.1"):
        week(2.4, 0.8)
    assert growth_path(100.0, [0.5], 6)[0, [1, 5]] == pytest.approx([100, 150])


def test_by_the_hour_only_missing_hours_count() -> None:
    # a need of 100 at the peak, a week flat: all that is not owned is missing all the time
    assert beyond(np.array([100.0]), np.array([40.0]), FLAT) == pytest.approx([60])
    # hours 1.5 and 0.5 of the mean: at the trough a third of the peak, 33.3, is less than what is owned
    assert beyond(np.array([100.0]), np.array([40.0]), np.repeat([1.5, 0.5], 84)) == pytest.approx([30])


def test_chips_serve_their_life_and_are_replaced() -> None:
    held = hold(np.array([[0.0, 20, 20, 20, 20, 30]]), np.full((1, 6), 10.0), 2.0)
    assert held.begun_count[0].tolist() == [0, 2, 0, 2, 0, 3]
    assert held.serving_count[0].tolist() == [0, 2, 2, 2, 2, 3]


def test_limits_hold_a_ramp_back_and_software_grows_into_its_chips() -> None:
    row = np.array([[0.0, 50, 50, 50]])
    held = hold(row, np.full((1, 4), 10.0), 9.0, most_begun_count=2.0)
    assert held.serving_count[0].tolist() == [0, 2, 4, 5]
    held = hold(row, np.full((1, 4), 10.0), 9.0, maturity_frac=np.array([[0.5, 0.5, 1, 1]]))
    assert held.serving_count[0].tolist() == [0, 10, 10, 10]
    assert held.idle_count[0].tolist() == [0, 0, 5, 5], "what ripening software leaves over stands idle"
    held = hold(row, np.full((1, 4), 10.0), 9.0, most_serving_count=3.0)
    assert held.serving_count.max() == 3


def test_rent_by_hand() -> None:
    # 2 chips of 10 tokens/s for 20; an hour is 2 USD: 2 x 2 x 2,190 a quarter
    found = rent("rent", need(0, 20, 20, 20), rental(), money(tax=0.25))
    assert found.flows.lines_usd[RENT][0] == pytest.approx([0, -8760, -8760, -8760])
    assert found.flows.lines_usd[TAX][0] == pytest.approx([0, 2190, 2190, 2190])


def test_take_or_pay_is_owed_for_idle_chips() -> None:
    path = need(0, 20, 10, 10)
    kept = rent("rent", path, rental(take_or_pay_frac=0.75), money())
    assert kept.flows.lines_usd[RENT][0] == pytest.approx([0, -8760, -8760 * 0.875, -8760 * 0.875])
    assert kept.idle_count[0].tolist() == [0, 0, 1, 1]
    free = rent("rent", path, rental(term_count=0), money())
    assert free.flows.lines_usd[RENT][0] == pytest.approx([0, -8760, -4380, -4380])


def test_a_prepayment_moves_money_and_changes_no_sum() -> None:
    path = need(0, 20, 20, 20, 20, 20)
    later, before = (rent("rent", path, rental(prepaid_frac=p), money()).flows for p in (0.0, 0.5))
    assert before.net_usd.sum() == pytest.approx(later.net_usd.sum())
    assert before.lines_usd[PREPAID][0] == pytest.approx([-4 * 4380, 0, 0, 0, -4380, 0])
    assert npv(before.net_usd, 0.1)[0] < npv(later.net_usd, 0.1)[0]


def test_rents_move_by_their_path_when_they_are_signed_anew() -> None:
    found = rent("rent", need(*[0] + [10] * 8), rental(path_frac=0.5 * ONE), money())
    paid = -found.flows.lines_usd[RENT][0] / HOURS
    # signed in the second quarter, at 2 x 0.5^(1/4), and a year later at half of it
    assert paid[1:5] == pytest.approx([2 * 0.5**0.25] * 4)
    assert paid[5:] == pytest.approx([0.5**0.25] * 4)


def test_owning_by_hand() -> None:
    # 1 chip of 1,000 and its building of 400, bought a quarter ahead; two years later another; at the end the second
    # one is a year old and fetches half, and of the building 2 of 8 years are gone... all at the last quarter's end.
    e = machine(1)
    found = own("buy", need(0, 10, 10, 10, 10, 10), ownership(6, e), money(), rental())
    lines = found.flows.lines_usd
    assert lines[CHIPS][0] == pytest.approx([-1000, 0, 0, 0, -1000, 0])
    assert lines[FACILITY][0] == pytest.approx([-400, 0, 0, 0, 0, 0])
    # the first is sold after its year for 500; the second after one quarter for 1000 x 0.5^(1/4); of the building
    # 8 - 1.25 years of 8 are left
    assert lines[RESIDUAL][0] == pytest.approx([0, 0, 0, 0, 500, 1000 * 0.5**0.25 + 400 * (8 - 1.25) / 8])
    assert RENT not in lines


def test_taxes_take_off_everything_that_is_not_got_back() -> None:
    found = own("buy", need(0, 10, 10, 10, 10, 10), ownership(6, machine(1)), money(tax=0.25), rental())
    before = found.flows.net_usd.sum() - found.flows.lines_usd[TAX].sum()
    assert found.flows.lines_usd[TAX].sum() == pytest.approx(-0.25 * before)


def test_what_is_not_owned_is_rented() -> None:
    found = own("half", need(0, 20, 20), ownership(3, base_frac=0.5), money(), rental())
    assert (found.owned_count[0].tolist(), found.rented_count[0].tolist()) == ([0, 1, 1], [0, 1, 1])
    assert found.flows.lines_usd[RENT][0] == pytest.approx([0, -4380, -4380])
    capped = own("capped", need(0, 20, 20), ownership(3, most_w=5.0), money(), rental())
    assert capped.owned_count[0].tolist() == [0, 1, 1], "5 W at 5 W a chip carry one"


def test_a_new_generation_serves_more_for_another_price() -> None:
    g = Generations(2, 2 * ONE, 1.5 * ONE, ONE)
    found = rent("rent", need(0, 20, 20, 20), rental(term_count=0, generations=g), money())
    assert -found.flows.lines_usd[RENT][0] / HOURS == pytest.approx([0, 4, 3, 3])


def test_tokens_of_an_api_by_hand() -> None:
    found = api("api", need(0, 100, 100), 1e-6 * ONE, 0.81 * ONE, money())
    assert found.flows.lines_usd[API][0] == pytest.approx(
        [0, -100 * QUARTER_S * 1e-6 * 0.81**0.25, -100 * QUARTER_S * 1e-6 * 0.9]
    )


@pytest.mark.parametrize("chip", ["gb300-nvl72", "h100-sxm", "jalapeno"])
def test_equipment_makes_the_hour_that_it_costs(facts: Facts, chip: str) -> None:
    draws, terms = Draws(1, 200), OwnershipTerms("hyperscaler", "2026-09")
    e, hour = (f(facts.accelerator(chip), facts, draws, terms) for f in (equipment, owned))
    assert not isinstance(e, NotOffered) and not isinstance(hour, NotOffered)
    wacc = draws.sample(facts.get("terms-hyperscaler", "wacc"))
    made = hourly(e.price_usd, wacc, e.life_s) + hourly(e.facility_usd, wacc, e.facility_life_s)
    assert made + e.running_usd_per_s * 3600 == pytest.approx(hour.total_usd_per_h, rel=1e-12)


def test_over_its_life_an_owned_chip_costs_its_annuity() -> None:
    """Without taxes and resale the present value of owning for a life is that of the annuity of `crf`."""
    found = own(
        "buy", need(*[0] + [10] * 8), ownership(9, base_frac=1.0), replace(money(), resale_frac=0 * ONE), rental()
    )
    spent = {k: v for k, v in found.flows.lines_usd.items() if k == CHIPS}[CHIPS]
    # the purchase stands at the first quarter's end; years count from there
    yearly = np.zeros(9)
    yearly[[4, 8]] = 1000 * float(crf(0.1, 2 * YEAR_S))
    assert float(npv(-spent[0], 0.1)) == pytest.approx(float(npv(yearly, 0.1)))


def risks(n: int, **changed: float) -> Risks:
    base = {
        "delay_s": 0.0,
        "claim_frac": 1.0,
        "cancelled_frac": 0.0,
        "porting_start_frac": 0.5,
        "porting_s": YEAR_S,
        "porting_usd_per_s": 1.0,
    }
    return Risks(**{k: np.full(n, v) for k, v in {**base, **changed}.items()})


def planned(facts: Facts, n: int = 1, **changed: float) -> tuple[Schedule, float]:
    plan = program(read_design("jalapeno"), facts, start="2026-10")
    return schedule(plan, risks(n, **changed), 40), float(np.asarray(plan.nre_usd))


def test_a_programme_pays_all_of_its_cost_and_then_serves(facts: Facts) -> None:
    made, nre = planned(facts)
    assert made.nre_usd.sum() == pytest.approx(nre)
    first = int(made.serves_count[0])
    assert first * QUARTER_S >= 0 and made.maturity_frac[0, first] == 0.5
    assert made.maturity_frac[0, first + 4] == 1.0
    assert made.software_usd[0, first - 1 : first + 1].tolist() == [0, QUARTER_S]


def test_a_delay_moves_volume_and_a_stopped_programme_saves_the_rest(facts: Facts) -> None:
    (plan, nre), (late, _), (stopped, _) = (
        planned(facts), planned(facts, delay_s=2 * QUARTER_S), planned(facts, cancelled_frac=1.0),
    )  # fmt: skip
    assert late.serves_count[0] == plan.serves_count[0] + 2
    assert stopped.serves_count[0] == np.inf and 0 < stopped.nre_usd.sum() < nre
    assert stopped.software_usd.sum() == 0


def test_a_payment_is_spread_whole() -> None:
    assert spread(np.array([1.2, 3.0]), np.array([4.7, 3.0]), 6).sum(axis=1) == pytest.approx([1, 1])
