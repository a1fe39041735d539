"""The waterfall's bars add up to the token's price."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scoville.economics import HourlyCost, OwnershipTerms, owned, rented, waterfall
from scoville.facts import Accelerator, Draws, Facts

Make = Callable[..., Any]
TERMS = OwnershipTerms("hyperscaler", "2026-04")


def cost(accelerator: Accelerator, facts: Facts, draws: Draws) -> HourlyCost:
    made = owned(accelerator, facts, draws, TERMS)
    assert isinstance(made, HourlyCost)
    return made


@pytest.fixture
def h100(fact: Make, chip: Make) -> Accelerator:
    # siliconanalysts.com/tools/cost-bridge, 2026-02
    made: Accelerator = chip(
        fact("price_chip", 28_000.0, "usd", low=25_000.0, high=40_000.0),
        fact("bom_logic", 300.0, "usd"),
        fact("bom_memory", 1_350.0, "usd"),
        fact("bom_packaging", 750.0, "usd"),
        fact("bom_test", 920.0, "usd"),
        fact("all_in_power", 1_370.0, "w"),
        fact("rent_3yr", 1.3, "usd_per_h", vintage="2026-04"),
    )
    return made


def test_bars_add_up_and_stand_from_the_chip_outward(h100: Accelerator, facts: Facts) -> None:
    bars = waterfall(cost(h100, facts, Draws.central()), 0.25e-6)
    assert [b.name for b in bars] == [
        "silicon", "memory", "packaging", "vendor margin", "system and network", "data centre", "power", "operation",
    ]  # fmt: skip
    assert sum(b.base_usd_per_token for b in bars) == pytest.approx(0.25e-6, rel=1e-12)
    assert all(b.low_usd_per_token == b.base_usd_per_token == b.high_usd_per_token for b in bars)
    # Street price 28,000 at a factor of 0.909 less 3,320 of materials: of 25,452 paid, 87 % are margin.
    by_name = {b.name: b.base_usd_per_token for b in bars}
    chip_usd = sum(by_name[n] for n in ("silicon", "memory", "packaging", "vendor margin"))
    assert by_name["vendor margin"] / chip_usd == pytest.approx(1 - 3_320 / 25_452)


def test_draws_give_the_ranges(h100: Accelerator, facts: Facts) -> None:
    drawn = cost(h100, facts, Draws(1, 1000))
    central = cost(h100, facts, Draws.central())
    bars = waterfall(central, 1e-6, drawn, 1e-6 * drawn.total_usd_per_h / central.total_usd_per_h)
    assert sum(b.base_usd_per_token for b in bars) == pytest.approx(1e-6, rel=1e-12)
    assert all(b.low_usd_per_token < b.high_usd_per_token for b in bars)


def test_an_unknown_bill_of_materials_is_one_bar(fact: Make, chip: Make, facts: Facts) -> None:
    bare = chip(fact("price_chip", 25_000.0, "usd"), fact("all_in_power", 2_090.0, "w"))
    bars = waterfall(cost(bare, facts, Draws.central()), 1.0)
    assert [b.name for b in bars][:2] == ["chip, not split", "system and network"]
    assert sum(b.base_usd_per_token for b in bars) == pytest.approx(1.0, rel=1e-12)


def test_rent_is_one_bar(h100: Accelerator) -> None:
    rent = rented(h100, Draws.central(), vintage="2026-04")
    assert isinstance(rent, HourlyCost)
    (bar,) = waterfall(rent, 0.5)
    assert (bar.name, bar.base_usd_per_token) == ("rent", 0.5)


def test_ranges_keep_the_shape_of_the_draws(h100: Accelerator, facts: Facts) -> None:
    drawn = cost(h100, facts, Draws(1, 50))
    bars = waterfall(cost(h100, facts, Draws.central()), 1.0, drawn, np.linspace(1, 2, 50))
    assert all(np.isfinite(b.high_usd_per_token) for b in bars)
