"""Evaluations of many points against the scalar path, the owner's hour, the steady state, and facts of nature."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scoville import traffic
from scoville.economics import HourlyCost, OwnershipTerms, owned
from scoville.facts import Draws, Facts, load
from scoville.search.evaluate import Candidates, Points, Task, candidates, evaluate, hour, reference, task
from scoville.search.one import Asked, evaluate_one
from scoville.serving.shape import TrafficShape, shape
from scoville.serving.steady import Targets, steady_state
from scoville.silicon.accelerator import accelerator
from scoville.silicon.cost import prices
from scoville.silicon.design import Design, read_design
from scoville.silicon.technology import technology
from scoville.timing import RooflineTimer, chips
from scoville.timing.chips import Chips
from scoville.transformer import load as load_model
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, windows

Array = NDArray[np.float64]
TARGETS = Targets(ttft_s=2.0, tpot_s=0.05)
TERMS = OwnershipTerms("hyperscaler", "2026-11")
DATE, VOLUME, NRE = "2026-11", 1e5, 300.0
MODEL = load_model("llama-3.1-70b")


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="module")
def like(facts: Facts) -> Chips:
    return reference(facts)


@pytest.fixture(scope="module")
def served() -> TrafficShape:
    return shape(traffic.load("azure-2023-conv"), windows(MODEL), 8192.0)


def drawn(n: int, seed: int) -> Design:
    """n designs around the disclosed one."""
    rng = np.random.default_rng(seed)
    base = read_design("jalapeno")
    side, arrays, clock = rng.choice([32, 64, 128.0], n), rng.choice([4, 8, 16.0], n), rng.uniform(1e9, 2e9, n)
    feed = arrays * clock * 2 * side
    return replace(
        base,
        slices_count=rng.choice([32, 48, 64, 96.0], n),
        arrays_per_slice_count=arrays + 1,
        spare_arrays_per_slice_count=np.ones(n),
        rows_count=side,
        columns_count=side,
        clock_count_per_s=clock,
        sram_per_slice_bytes=rng.uniform(2**18, 2**21, n),
        sram_bandwidth_per_slice_bytes_per_s=feed,
        fabric_bandwidth_per_slice_bytes_per_s=feed / 4,
        stacks_count=rng.choice([4, 6, 8.0], n),
        scale_up_bytes_per_s=rng.uniform(3e11, 9e11, n),
        scale_up_domain_count=rng.choice([4, 64.0], n),
        power_cap_w=rng.uniform(400, 1200, n),
    )


def alone(design: Design, i: int) -> Design:
    """The i-th of several designs, its numbers floats."""
    numbers = {f.name: value for f in fields(design) if isinstance(value := getattr(design, f.name), np.ndarray)}
    one: dict[str, Any] = {name: float(value[i]) for name, value in numbers.items()}
    return replace(design, **one)


def built(design: Design, facts: Facts, like: Chips, nre: float = NRE) -> Candidates:
    return candidates(
        design,
        technology(design, facts),
        prices(design, facts, date=DATE, volume=VOLUME),
        hour(facts, TERMS),
        like,
        nre_usd_per_chip=nre,
    )


def table(sharding: str, precision: str = "fp8") -> OperatorTable:
    return operator_table(MODEL, Precision(precision, precision, precision), Parallelism.parse(sharding))


def test_random_points_equal_the_scalar_path(facts: Facts, like: Chips, served: TrafficShape) -> None:
    design, rng = drawn(64, 1), np.random.default_rng(2)
    tech, price = technology(design, facts), prices(design, facts, date=DATE, volume=VOLUME)
    found = built(design, facts, like)
    for sharding in ("TP1", "TP8", "TP4 PP4", "TP16"):
        sharded = table(sharding)
        for batch in (8, 256):
            points = evaluate(found, task(sharded, served, np.array([batch]), TARGETS, like, sequence_s=1e-5))
            for i in rng.integers(0, 64, 8):
                asked = Asked(sharded, served, TARGETS, batch, sequence_s=1e-5)
                one = evaluate_one(alone(design, i), tech, price, hour(facts, TERMS), like, asked, nre_usd_per_chip=NRE)
                for name, value in one.items():
                    many = float(getattr(points, name)[i, 0])
                    assert many == pytest.approx(value, rel=1e-9), f"{name} of one point is another among many"


@pytest.mark.parametrize("name", ["a100", "h100"])
def test_an_hour_costs_what_the_owner_of_such_a_chip_pays(name: str, facts: Facts, like: Chips) -> None:
    design = read_design(name)
    chip = accelerator(design, facts, date=DATE, volume=VOLUME)
    cost = owned(chip, facts, Draws.central(), TERMS)
    assert isinstance(cost, HourlyCost)
    assert built(design, facts, like).usd_per_h[0] == pytest.approx(cost.total_usd_per_h[0], rel=1e-9)


def test_a_chip_made_for_its_owner_is_paid_in_full(facts: Facts) -> None:
    chip = accelerator(read_design("h100"), facts, date=DATE, volume=VOLUME, seller="none")
    cost = owned(chip, facts, Draws.central(), TERMS)
    assert isinstance(cost, HourlyCost)
    assert cost.parts is not None
    share = cost.parts.vendor_margin_usd_per_h[0] / cost.total_usd_per_h[0]
    assert share == pytest.approx(0.0, abs=1e-9), "an owner gets a chip without a margin for less than its bill"


@pytest.mark.parametrize("sharding", ["TP8", "TP4 PP2"])
def test_points_agree_with_the_steady_state_of_the_whole_timer(
    sharding: str, facts: Facts, like: Chips, served: TrafficShape
) -> None:
    """An H100 as designed: TPOT within 4 %, its percentile within 6, TTFT within 9 and its percentile within 12."""
    design, sharded, batch = read_design("h100"), table(sharding), np.array([4, 16, 64, 128, 256.0])
    chip = accelerator(design, facts, date=DATE, volume=VOLUME)
    on = chips(chip, facts, Draws.central(), "systolic")
    state = steady_state(sharded, on, served, batch, TARGETS, RooflineTimer(), demand_requests_per_s=np.inf)
    points = evaluate(built(design, facts, like), task(sharded, served, batch, TARGETS, like))

    def off(name: str) -> float:
        return float(np.abs(getattr(points, name)[0] / getattr(state, name)[0] - 1).max())

    assert off("tpot_s") < 0.06
    assert off("tpot_percentile_s") < 0.1
    assert off("ttft_s") < 0.15
    assert off("ttft_percentile_s") < 0.2
    assert points.memory_frac[0] == pytest.approx(state.memory_frac[0], rel=1e-9), "another need of memory"


def test_a_design_is_priced_once_and_each_sharding_is_asked_for_itself(
    facts: Facts, like: Chips, served: TrafficShape
) -> None:
    found, sharded = built(drawn(32, 3), facts, like), table("TP8")
    batches = np.array([16, 64, 256.0])
    together = evaluate(found, task(sharded, served, batches, TARGETS, like))
    for j, batch in enumerate(batches):
        by_itself = evaluate(found, task(sharded, served, np.array([batch]), TARGETS, like))
        assert by_itself.tpot_s[:, 0] == pytest.approx(together.tpot_s[:, j], rel=1e-12)
    assert together.tpot_s.shape == (32, 3)
    assert (np.diff(together.tpot_s, axis=1) > 0).all(), "more sequences get their tokens sooner"
    assert (together.loaded_usd_per_token > together.usd_per_token).all(), "the one-time cost is lost"


def test_infeasible_is_what_breaks_a_limit_or_does_not_fit(facts: Facts, like: Chips, served: TrafficShape) -> None:
    design = drawn(32, 4)

    def points(design: Design, work: Task) -> Points:
        return evaluate(built(design, facts, like), work)

    eager = task(table("TP8"), served, np.array([16.0]), Targets(60.0, 10.0), like)
    base = points(replace(design, scale_up_domain_count=64.0, power_cap_w=3000.0), eager)
    assert base.feasible.any(), "no design is feasible under targets that hold nothing back"
    assert not points(replace(design, scale_up_domain_count=4.0), eager).feasible.any(), "TP8 in a domain of 4"
    assert not points(replace(design, power_cap_w=1.0), eager).feasible.any(), "a TDP over the cap"
    assert not points(replace(design, stacks_count=0.0), eager).feasible.any(), "a chip without memory"
    huge = task(table("TP1"), served, np.array([4096.0]), Targets(60.0, 10.0), like)
    assert not points(design, huge).fits.any(), "4,096 sequences of a 70B model fit on one chip"
    hasty = task(table("TP8"), served, np.array([16.0]), Targets(60.0, 1e-4), like)
    assert not points(design, hasty).feasible.any(), "a token in 0.1 ms"


def test_a_chip_of_sram_alone_needs_many_of_its_kind(facts: Facts, like: Chips, served: TrafficShape) -> None:
    """40 chips of 2 GB hold a 70B model in 8 bits; they read it at the speed of their own memory."""
    design = replace(
        read_design("jalapeno"), memory="none", stacks_count=0.0, slices_count=512.0, sram_per_slice_bytes=4.0 * 2**20,
        scale_up_domain_count=64.0, package="organic", power_cap_w=1e6,
    )  # fmt: skip
    found = built(design, facts, like)
    few = evaluate(found, task(table("TP8"), served, np.array([4.0]), TARGETS, like))
    small = replace(served, chunk_tokens=512.0)
    many = evaluate(found, task(table("TP8 PP8"), small, np.array([4.0]), TARGETS, like))
    assert not few.fits[0, 0] and many.fits[0, 0]
    assert found.machines.memory_bytes_per_s[0] > 1e14, "the memory is not the slices' own"
    assert 0 < many.tpot_s[0, 0] < 0.2


def test_power_stays_under_the_cap_and_over_what_leaks(facts: Facts, like: Chips, served: TrafficShape) -> None:
    design = drawn(64, 5)
    found = built(design, facts, like)
    points = evaluate(found, task(table("TP8"), served, np.array([4, 64, 512.0]), TARGETS, like))
    assert (points.power_w > found.static_w[:, None]).all()
    assert (points.power_w <= found.cap_w[:, None] * 1.001).all(), "a chip draws more than its cap"
