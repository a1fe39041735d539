"""Yields: the tabulated ones, what joins the formulas, and harvesting against dies whose defects are thrown."""

from __future__ import annotations

from collections.abc import Callable
from math import comb, exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scoville.facts import load
from scoville.silicon import yields
from scoville.silicon.yields import Model

FORMULAS: list[tuple[str, Model, float, Callable[[float, float], NDArray[np.float64]]]] = [
    ("poisson", "poisson", 1, yields.poisson),
    ("murphy", "murphy", 1, yields.murphy),
    ("seeds", "seeds", 1, yields.seeds),
    ("negative_binomial_3", "negative-binomial", 3, lambda a, d: yields.negative_binomial(a, d, 3)),
    ("negative_binomial_10", "negative-binomial", 10, lambda a, d: yields.negative_binomial(a, d, 10)),
    ("bose_einstein", "bose-einstein", 4, lambda a, d: yields.bose_einstein(a, d, 4)),
]
DIE = {
    "array_mm2": 0.4, "arrays_count": 16, "slice_rest_mm2": 1.5, "slices_count": 64, "rest_mm2": 300.0,
}  # fmt: skip
AREA = 300 + 64 * (1.5 + 16 * 0.4)


@pytest.mark.parametrize("formula", [f for f in FORMULAS if f[0] != "bose_einstein"], ids=lambda f: f[0])
@pytest.mark.parametrize("density", ["07", "10", "15"])
def test_yields_of_a_reticle_sized_die_are_as_tabulated(formula: tuple, density: str) -> None:
    name, _, _, yield_of = formula
    tabulated = load().get("yield-reticle-die", f"{name}_at_{density}").number
    assert yield_of(858, int(density) / 100 / 100) == pytest.approx(tabulated, abs=0.0005)


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f[0])
@pytest.mark.parametrize("density", [0.0, 1e-5, 0.001, 0.003])
def test_without_spares_harvesting_is_the_formula_over_the_whole_die(formula: tuple, density: float) -> None:
    _, model, parameter, yield_of = formula
    found = yields.harvested(
        density, **DIE, spare_arrays_count=0, spare_slices_count=0, model=model, parameter=parameter
    )
    assert found == pytest.approx(float(yield_of(AREA, density)), abs=2e-5)


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f[0])
def test_every_formula_is_a_mean_of_poisson_yields(formula: tuple) -> None:
    _, model, parameter, yield_of = formula
    factors, weights = yields.densities(model, parameter, 3.0)
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    assert (weights * np.exp(-factors * 1.7)).sum() == pytest.approx(float(yield_of(1, 1.7)), abs=1e-5)


def test_harvesting_at_one_density_is_the_binomial_sum_written_out() -> None:
    density = 0.0012
    array = exp(-density * 0.4)
    rest_of_slice = exp(-density * 1.5)
    in_slice = rest_of_slice * sum(comb(16, k) * (1 - array) ** k * array ** (16 - k) for k in range(2))
    by_hand = exp(-density * 300) * sum(comb(64, k) * (1 - in_slice) ** k * in_slice ** (64 - k) for k in range(4))
    found = yields.harvested(density, **DIE, spare_arrays_count=1, spare_slices_count=3, model="poisson")
    assert found == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("clustering", [2.0, 10.0])
def test_harvesting_is_what_thrown_defects_give(clustering: float) -> None:
    rng, dies, density = np.random.default_rng(5), 40_000, 0.0015
    local = rng.gamma(clustering, density / clustering, dies)
    rest = rng.poisson(local * 300) == 0
    slice_rest = rng.poisson(local[:, None] * 1.5, (dies, 64)) == 0
    bad_arrays = rng.binomial(16, -np.expm1(-local * 0.4)[:, None], (dies, 64))
    good = rest & ((~(slice_rest & (bad_arrays <= 1))).sum(axis=1) <= 2)
    found = yields.harvested(density, **DIE, spare_arrays_count=1, spare_slices_count=2, parameter=clustering)
    assert found == pytest.approx(good.mean(), abs=4 * np.sqrt(0.25 / dies))


def test_clustering_helps_a_bare_die_more_than_one_with_spares() -> None:
    bare = [float(yields.negative_binomial(AREA, 0.0012, a)) for a in (2, 1e6)]
    spared = [
        float(yields.harvested(0.0012, **DIE, spare_arrays_count=1, spare_slices_count=1, parameter=a))
        for a in (2, 1e6)
    ]
    assert bare[0] / bare[1] > spared[0] / spared[1] > 0.99


@given(st.floats(1, 900), st.floats(1e-6, 0.01), st.floats(1.01, 3))
def test_more_area_or_more_defects_never_yield_more(area: float, density: float, times: float) -> None:
    for _, _, _, yield_of in FORMULAS:
        base = yield_of(area, density)
        assert 0 <= yield_of(area * times, density) <= base <= 1
        assert yield_of(area, density * times) <= base


@given(st.integers(0, 4), st.integers(0, 6), st.floats(1e-5, 0.004))
def test_another_spare_never_yields_less(arrays: int, slices: int, density: float) -> None:
    def of(a: int, s: int) -> float:
        return float(yields.harvested(density, **DIE, spare_arrays_count=a, spare_slices_count=s))

    assert of(arrays, slices) <= of(arrays + 1, slices) + 1e-12
    assert of(arrays, slices) <= of(arrays, slices + 1) + 1e-12


def test_with_everything_spare_only_the_rest_must_be_good() -> None:
    found = yields.harvested(0.002, **DIE, spare_arrays_count=16, spare_slices_count=64)
    assert found == pytest.approx(float(yields.negative_binomial(300, 0.002, 3)), abs=1e-6)


def test_many_designs_and_many_samples_are_one_call() -> None:
    spares = np.array([0.0, 1.0, 2.0])
    many = yields.harvested(0.001, **DIE, spare_arrays_count=spares, spare_slices_count=0)
    one_by_one = [float(yields.harvested(0.001, **DIE, spare_arrays_count=s, spare_slices_count=0)) for s in spares]
    assert many == pytest.approx(one_by_one, rel=1e-12)
    clustering = np.array([2.0, 3.0, 10.0])
    sampled = yields.harvested(0.001, **DIE, spare_arrays_count=1, spare_slices_count=0, parameter=clustering)
    alone = [
        float(yields.harvested(0.001, **DIE, spare_arrays_count=1, spare_slices_count=0, parameter=c))
        for c in clustering
    ]
    assert sampled == pytest.approx(alone, abs=1e-9)


def test_prices_form_is_bose_einstein_with_one_layer() -> None:
    assert yields.bose_einstein(100, 0.01, 1) == pytest.approx(1 / (1 + 1.0))
