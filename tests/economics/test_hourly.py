"""The hour of an accelerator: one worked by hand, its parts, what moves it which way, and what nobody offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scoville.economics import HourlyCost, NotOffered, OwnershipTerms, owned, rented, site_power_w
from scoville.economics.annuity import YEAR_S
from scoville.errors import StudyError
from scoville.facts import Accelerator, Draws, Fact, Facts

CENTRAL = Draws.central()
TERMS = OwnershipTerms("hyperscaler", "2026-04")
Make = Callable[..., Any]


@pytest.fixture
def h100(fact: Make, chip: Make) -> Accelerator:
    # Street price and bill of materials: siliconanalysts.com/tools/cost-bridge, 2026-02; utility power, owner's cost:
    # SemiAnalysisAI/InferenceX-app, GPU_SPECS, 2026-04; all-in power: its gpu-keys.ts, 2026-08; TDP: NVIDIA.
    made: Accelerator = chip(
        fact("price_chip", 28_000.0, "usd", low=25_000.0, high=40_000.0, as_of="2026-02"),
        fact("bom_total", 3_320.0, "usd"),
        fact("bom_logic", 300.0, "usd"),
        fact("bom_memory", 1_350.0, "usd"),
        fact("utility_power", 1_730.0, "w", vintage="2026-04"),
        fact("all_in_power", 1_370.0, "w", vintage="2026-08"),
        fact("tdp", 700.0, "w"),
        fact("own_hourly", 1.30, "usd_per_h", vintage="2026-04", owner="hyperscaler"),
        fact("rent_3yr", 1.30, "usd_per_h", vintage="2026-04"),
        fact("rent_3yr", 2.00, "usd_per_h", vintage="2026-09"),
        fact("rent_1yr", 2.35, "usd_per_h", vintage="2026-03"),
        name="H100 SXM5",
    )
    return made


def own(accelerator: Accelerator, facts: Facts, draws: Draws = CENTRAL, terms: OwnershipTerms = TERMS) -> HourlyCost:
    cost = owned(accelerator, facts, draws, terms)
    assert isinstance(cost, HourlyCost)
    return cost


def test_h100_by_hand(h100: Accelerator, facts: Facts) -> None:
    # Terms stated here rather than read: 8 %, 5 and 15 years, 12.5 USD/W, 0.08 USD/kWh, PUE 1.2.
    terms = OwnershipTerms("hyperscaler", "2026-04", 0.08, 5 * YEAR_S, 15 * YEAR_S, 0.08 / 3.6e6, 1.2, 12.5)
    cost = own(h100, facts, terms=terms)
    assert cost.parts is not None
    # CRF(8 %, 5 a) = 0.08 / (1 - 1.08**-5) = 0.08 / (1 - 0.6805832) = 0.2504565
    # CRF(8 %, 15 a) = 0.08 / (1 - 1.08**-15) = 0.08 / (1 - 0.3152417) = 0.1168295
    # chip     28,000 x 0.909 = 25,452;  server 4,000 x 0.909 = 3,636;  network 29,088 x 0.19 / 0.81 = 6,823.11
    # silicon  300 x 0.2504565 / 8760 = 0.008577;  memory 1,350 -> 0.038597;  packaging and rest 1,670 -> 0.047747
    # margin   (25,452 - 3,320) = 22,132 -> 0.632774
    # system and network 3,636 + 6,823.11 = 10,459.11 -> 0.299036
    # data centre 1,370 W x 12.5 = 17,125 x 0.1168295 / 8760 = 0.228391
    # power    1.37 kW x 1.2 x 0.8 x 0.08 = 0.105216
    # operation 1,370 x 0.3 / 8760 = 0.046918, repairs 35,911.11 x 0.045 x 0.10 / 8760 = 0.018447
    expected = {
        "silicon": 0.008577,
        "memory": 0.038597,
        "packaging": 0.047747,
        "vendor margin": 0.632774,
        "not split": 0.0,
        "system and network": 0.299036,
        "data centre": 0.228391,
        "power": 0.105216,
        "operation": 0.065365,
    }
    assert {name: float(usd[0]) for name, usd in cost.parts.layers()} == pytest.approx(expected, abs=1e-6)
    assert cost.total_usd_per_h[0] == pytest.approx(1.425703, abs=2e-6)
    assert cost.basis == "bottom-up from price_chip 2026-02"
    assert cost.notes == (
        "price_chip is of 2026-02, asked for 2026-04",
        "all-in power is the figure of 2026-08",
        "published for 2026-04: 1.30 USD/h, this is +10% off it",
    )


def test_parts_sum_to_the_total(h100: Accelerator, fact: Make, chip: Make, facts: Facts) -> None:
    watts = fact("all_in_power", 1_207.0, "w")
    chips = (
        h100,
        chip(watts, fact("price_chip", 20_000.0, "usd")),
        chip(watts, fact("price_chip", 20_000.0, "usd"), fact("bom_total", 5_000.0, "usd")),
        chip(watts, fact("price_system", 50_000.0, "usd")),
        chip(watts, fact("own_hourly", 1.21, "usd_per_h", owner="hyperscaler")),
    )
    for accelerator in chips:
        cost = own(accelerator, facts, Draws(7, 200))
        assert cost.parts is not None
        layers = [usd for _, usd in cost.parts.layers()]
        assert all(usd.shape == (200,) for usd in layers)
        assert np.array_equal(cost.total_usd_per_h, np.sum(layers, axis=0))


def test_what_is_not_known_is_one_part_that_says_so(fact: Make, chip: Make, facts: Facts) -> None:
    watts, price = fact("all_in_power", 1_000.0, "w"), fact("price_chip", 20_000.0, "usd")
    bill = (fact("bom_total", 6_400.0, "usd"), fact("bom_logic", 900.0, "usd"), fact("bom_memory", 2_900.0, "usd"))
    for accelerator, label in (
        (chip(watts, price), "chip, not split"),
        (chip(watts, price, fact("bom_total", 5_000.0, "usd")), "chip's bill of materials, not split"),
        (chip(watts, fact("price_system", 50_000.0, "usd")), "chip and system, not split"),
        (chip(watts, fact("price_system", 50_000.0, "usd"), *bill), "vendor margin and system, not split"),
        (chip(watts, fact("own_hourly", 1.21, "usd_per_h")), "chip, system and network, not split"),
    ):
        parts = own(accelerator, facts).parts
        assert parts is not None
        assert parts.unsplit == label
        assert parts.unsplit_usd_per_h[0] > 0


def test_a_bill_of_materials_may_be_given_by_its_parts_alone(fact: Make, chip: Make, facts: Facts) -> None:
    lines = {"bom_logic": 600.0, "bom_memory": 2_900.0, "bom_packaging": 1_200.0, "bom_test": 600.0}
    base = (fact("all_in_power", 1_390.0, "w"), fact("price_chip", 15_000.0, "usd"))
    listed = own(chip(*base, *(fact(n, v, "usd") for n, v in lines.items())), facts).parts
    summed = own(
        chip(*base, fact("bom_total", 5_300.0, "usd"), *(fact(n, v, "usd") for n, v in lines.items())), facts
    ).parts
    assert listed is not None
    assert summed is not None
    for (name, a), (_, b) in zip(listed.layers(), summed.layers(), strict=True):
        assert a == pytest.approx(b, rel=1e-12, abs=1e-15), name


@pytest.mark.parametrize(
    "term", ["wacc_frac", "electricity_usd_per_j", "pue_frac", "facility_usd_per_w", "it_life_s", "facility_life_s"]
)
def test_dearer_terms_never_make_an_hour_cheaper(h100: Accelerator, facts: Facts, term: str) -> None:
    values: tuple[Any, ...] = {
        "wacc_frac": (0.0, 0.05, 0.08, 0.2),
        "electricity_usd_per_j": (0.0, 1e-8, 5e-8),
        "pue_frac": (1.0, 1.1, 1.5),
        "facility_usd_per_w": (0.0, 10.0, 20.0),
        "it_life_s": (6 * YEAR_S, 5 * YEAR_S, 3 * YEAR_S),
        "facility_life_s": (20 * YEAR_S, 15 * YEAR_S, 10 * YEAR_S),
    }[term]
    totals = [own(h100, facts, terms=replace(TERMS, **{term: v})).total_usd_per_h[0] for v in values]
    assert totals == sorted(totals)
    assert totals[0] < totals[-1]


def test_a_lower_price_is_never_dearer(fact: Make, chip: Make, facts: Facts) -> None:
    watts = fact("all_in_power", 1_000.0, "w")
    for name in ("price_chip", "price_system"):
        totals = [own(chip(watts, fact(name, p, "usd")), facts).total_usd_per_h[0] for p in (1e3, 1e4, 3e4, 1e5)]
        assert totals == sorted(totals)


def test_all_chips_share_one_draw_of_the_terms(fact: Make, chip: Make, facts: Facts) -> None:
    draws = Draws(3, 500)
    one, two = (
        own(chip(fact("all_in_power", w, "w"), fact("price_system", 40_000.0, "usd")), facts, draws) for w in (1e3, 2e3)
    )
    assert one.parts is not None
    assert two.parts is not None
    assert np.allclose(two.parts.power_usd_per_h, 2 * one.parts.power_usd_per_h, rtol=1e-12)
    assert np.std(one.parts.power_usd_per_h) > 0


def site_w(accelerator: Accelerator, facts: Facts, vintage: str = "2026-04") -> float:
    power = site_power_w(accelerator, facts, CENTRAL, OwnershipTerms("hyperscaler", vintage, pue_frac=1.2))
    assert power is not None
    return float(power[0])


def test_power_of_the_site_is_it_power_times_pue(h100: Accelerator, fact: Make, chip: Make, facts: Facts) -> None:
    # 1,370 W of IT whatever the vintage: the 1,730 W of 2026-04 have an overhead of their own inside.
    assert [site_w(h100, facts, v) for v in ("2026-02", "2026-04", "2026-09")] == pytest.approx([1_644.0] * 3)
    assert "all-in power is the figure of 2026-08" in own(h100, facts).notes
    assert (
        "all-in power is the figure of 2026-08" not in own(h100, facts, terms=replace(TERMS, vintage="2026-09")).notes
    )
    two = chip(*(fact("all_in_power", w, "w", vintage=v) for w, v in ((1e3, "2026-04"), (2e3, "2026-09"))))
    assert [site_w(two, facts, v) for v in ("2026-02", "2026-08", "2026-09")] == pytest.approx([1_200, 1_200, 2_400])


def test_utility_power_has_pue_inside(fact: Make, chip: Make, facts: Facts) -> None:
    price = fact("price_chip", 20_000.0, "usd")
    utility = chip(price, fact("utility_power", 1_800.0, "w", vintage="2026-09"))
    terms = replace(TERMS, pue_frac=1.2)
    assert site_w(utility, facts) == pytest.approx(1_800.0)
    cost, same = (
        own(utility, facts, terms=terms),
        own(chip(price, fact("all_in_power", 1_500.0, "w")), facts, terms=terms),
    )
    assert cost.total_usd_per_h == pytest.approx(same.total_usd_per_h)
    assert cost.notes[:2] == (
        "utility power is the figure of 2026-09",
        "power is the published utility power, which has PUE inside",
    )
    # Of a given utility power, less is IT where PUE is higher: the site's energy stays, the facility shrinks.
    worse = own(utility, facts, terms=replace(TERMS, pue_frac=1.5))
    assert cost.parts is not None
    assert worse.parts is not None
    assert worse.parts.power_usd_per_h == pytest.approx(cost.parts.power_usd_per_h)
    assert worse.parts.data_centre_usd_per_h == pytest.approx(cost.parts.data_centre_usd_per_h * 1.2 / 1.5)


def test_power_is_estimated_from_tdp_where_nobody_states_it(fact: Make, chip: Make, facts: Facts) -> None:
    cost = own(chip(fact("tdp", 400.0, "w"), fact("price_chip", 12_000.0, "usd")), facts)
    assert "all-in power estimated from TDP by the ratio seen on other chips" in cost.notes
    refused = owned(chip(fact("price_chip", 1.0, "usd"), name="X1"), facts, CENTRAL, TERMS)
    assert refused == NotOffered("own", "X1: neither all-in power, utility power nor TDP is known")


def test_a_price_stated_for_an_owner_is_what_that_owner_pays(fact: Make, chip: Make, facts: Facts) -> None:
    watts = fact("all_in_power", 1_125.0, "w")
    contract = own(chip(watts, fact("price_chip", 22_500.0, "usd", owner="hyperscaler")), facts)
    street = own(chip(watts, fact("price_chip", 22_500.0, "usd")), facts)
    assert contract.parts is not None
    assert street.parts is not None
    factor = facts.get("terms-hyperscaler", "purchase_factor", vintage=TERMS.vintage).number
    assert street.parts.unsplit_usd_per_h / contract.parts.unsplit_usd_per_h == pytest.approx(factor)
    other = chip(watts, fact("price_chip", 22_500.0, "usd", owner="hyperscaler"), name="Jalapeño")
    refused = owned(other, facts, CENTRAL, OwnershipTerms("neocloud", "2026-04"))
    assert isinstance(refused, NotOffered)
    assert "Jalapeño holds for a neocloud up to 2026-04; known: price_chip 2026-04 hyperscaler" in refused.reason


def test_a_system_price_may_include_the_network(fact: Make, chip: Make, facts: Facts) -> None:
    watts = fact("all_in_power", 2_100.0, "w")
    bare = own(chip(watts, fact("price_system", 50_000.0, "usd", includes=("server",))), facts)
    full = own(chip(watts, fact("price_system", 50_000.0, "usd", includes=("server", "network"))), facts)
    assert bare.parts is not None
    assert full.parts is not None
    assert full.parts.system_network_usd_per_h[0] == 0
    share = facts.get("site", "network_share").number
    whole = bare.parts.system_network_usd_per_h + bare.parts.unsplit_usd_per_h
    assert bare.parts.system_network_usd_per_h / whole == pytest.approx(share)


def test_without_a_price_the_published_cost_counts_as_it_stands(fact: Make, chip: Make, facts: Facts) -> None:
    tpu = chip(
        fact("all_in_power", 1_207.0, "w"),
        fact("own_hourly", 1.21, "usd_per_h", vintage="2026-09", owner="hyperscaler"),
        fact("own_hourly", 1.03, "usd_per_h", vintage="2026-09", owner="vendor"),
        name="TPU v7",
    )
    cost = own(tpu, facts, terms=OwnershipTerms("hyperscaler", "2026-10"))
    assert cost.total_usd_per_h[0] == pytest.approx(1.21, rel=1e-12)
    assert cost.basis == "published own_hourly 2026-09 hyperscaler"
    assert cost.notes == ("own_hourly is of 2026-09, asked for 2026-10",)
    assert isinstance(owned(tpu, facts, CENTRAL, OwnershipTerms("neocloud", "2026-10")), NotOffered)
    outside = replace(
        tpu, facts={"own_hourly": tuple(replace(f, owner="external") for f in tpu.facts["own_hourly"][:1])}
    )
    anyone = own(outside, facts, terms=OwnershipTerms("neocloud", "2026-10"))
    assert anyone.basis == "published own_hourly 2026-09 external"
    assert isinstance(owned(tpu, facts, CENTRAL, TERMS), NotOffered)  # published five months later
    assert owned(replace(tpu, facts={}), facts, CENTRAL, TERMS) == NotOffered(
        "own", "no purchase price and no owner's cost of TPU v7 is known"
    )


def test_a_published_cost_below_its_own_power_bill_is_not_split(fact: Make, chip: Make, facts: Facts) -> None:
    cost = own(chip(fact("all_in_power", 5_000.0, "w"), fact("own_hourly", 0.5, "usd_per_h")), facts)
    assert cost.parts is None
    assert cost.total_usd_per_h[0] == 0.5


def test_a_price_of_another_month_is_said(fact: Make, chip: Make, facts: Facts) -> None:
    for as_of, asked, said in (
        ("2026", "2026-09", False),  # any month of the year, so not known to be another
        ("2026-09-14", "2026-09", False),
        ("2025", "2026-09", True),
        ("2026-02", "2026-09", True),
        ("2026-10", "2026-09", True),
    ):
        price = fact("price_chip", 20_000.0, "usd", as_of=as_of)
        notes = own(chip(price, fact("tdp", 400.0, "w")), facts, terms=replace(TERMS, vintage=asked)).notes
        assert (f"price_chip is of {as_of}, asked for {asked}" in notes) == said, as_of


def test_rent_is_the_newest_quote_up_to_the_vintage(h100: Accelerator) -> None:
    for vintage, usd, notes in (
        ("2026-04", 1.30, ()),
        ("2026-08", 1.30, ("rent_3yr is of 2026-04, asked for 2026-08",)),
        ("2026-09", 2.00, ()),
        ("", 2.00, ()),
    ):
        cost = rented(h100, CENTRAL, vintage=vintage)
        assert isinstance(cost, HourlyCost)
        assert (float(cost.total_usd_per_h[0]), cost.notes, cost.parts) == (usd, notes, None)


def test_rent_that_is_not_offered_says_why(h100: Accelerator, chip: Make, fact: Make) -> None:
    jalapeno = chip(fact("price_chip", 22_500.0, "usd"), name="Jalapeño")
    assert rented(jalapeno, CENTRAL, vintage="2026-09") == NotOffered("rent", "nobody rents Jalapeño")
    spot = rented(h100, CENTRAL, vintage="2026-09", term="spot")
    assert isinstance(spot, NotOffered)
    assert spot.reason.endswith("known terms: 3yr, 1yr")
    early = rented(h100, CENTRAL, vintage="2026-01")
    assert isinstance(early, NotOffered)
    assert early.reason.endswith("up to 2026-01; the first price is of 2026-04")


def test_the_market_s_quote_comes_before_a_seller_s(fact: Make, chip: Make) -> None:
    quotes: tuple[Fact, ...] = tuple(
        fact("rent_3yr", usd, "usd_per_h", vintage="2026-04", owner=owner)
        for usd, owner in ((2.5, "hyperscaler"), (2.0, ""), (1.5, "neocloud"))
    )
    cost = rented(chip(*quotes), CENTRAL, vintage="2026-04")
    sellers = rented(chip(quotes[0], quotes[2]), CENTRAL, vintage="2026-04")
    assert isinstance(cost, HourlyCost)
    assert isinstance(sellers, HourlyCost)
    assert (cost.total_usd_per_h[0], sellers.total_usd_per_h[0]) == (2.0, 1.5)
    assert sellers.basis == "rent_3yr 2026-04 from a neocloud"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"owner": "startup"}, "owner is 'startup'; allowed: hyperscaler, neocloud"),
        ({"wacc_frac": -0.1}, "wacc_frac is -0.1; expected a finite number >= 0"),
        ({"pue_frac": 0.9}, "pue_frac is 0.9; expected a finite number >= 1"),
        ({"it_life_s": float("inf")}, "it_life_s is inf"),
    ],
)
def test_terms_out_of_range_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        replace(TERMS, **fields)


def test_an_unknown_rental_term_is_refused(h100: Accelerator) -> None:
    with pytest.raises(StudyError, match="rental term is '2yr'; allowed: 3yr, 1yr, on_demand, spot"):
        rented(h100, CENTRAL, vintage="2026-04", term="2yr")  # type: ignore[arg-type]
