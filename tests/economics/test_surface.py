"""The response surface: exact where the outcome is of its form, and honest about its error where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scoville.economics.sensitivity import Outcome, sobol, streams, tornado
from scoville.economics.surface import fit
from scoville.errors import StudyError
from scoville.facts import Draws

Make = Callable[..., Any]


def of(names: tuple[str, ...], function: Callable[[Any], Any]) -> Outcome:
    """A function of inputs between -1 and 1, (n, k), as one of draws."""
    return lambda draws: function(np.column_stack([2 * draws.uniform(n) - 1 for n in names]))


NAMES = tuple(f"x{i}" for i in range(6))


def quadratic(x: Any) -> Any:
    return np.exp(0.3 + 0.5 * x[:, 0] - 0.2 * x[:, 1] ** 2 + 0.1 * x[:, 0] * x[:, 2] + 0.01 * x[:, 4])


def kinked(x: Any) -> Any:
    return np.exp(np.maximum(0.6 * x[:, 0], 0.4 * x[:, 1]) + 0.2 * x[:, 2] * x[:, 3] ** 2)


def test_a_quadratic_in_logarithms_is_found_again() -> None:
    surface = fit(of(NAMES, quadratic), "y", "frac", points=120)
    draws = Draws(3, 500)
    assert surface.at(draws) == pytest.approx(of(NAMES, quadratic)(draws), rel=1e-9)
    assert surface.error.central < 1e-9 and surface.explained_frac == pytest.approx(1.0)
    assert surface.sample(draws) == pytest.approx(surface.at(draws), rel=1e-8)


def test_the_error_told_is_the_error_made() -> None:
    outcome = of(NAMES, kinked)
    surface = fit(outcome, "y", "frac", points=300)
    draws = Draws(5, 20_000)
    made = surface.at(draws) / outcome(draws) - 1
    assert surface.error.central == pytest.approx(float(np.sqrt(np.mean(made**2))), rel=0.25)
    assert 0.01 < surface.error.central < 0.1


def test_the_error_is_in_the_range() -> None:
    outcome = of(NAMES, kinked)
    surface = fit(outcome, "y", "frac", points=300)
    draws = Draws(5, 20_000)
    plain, wider, truth = (np.log(f(draws)).var() for f in (surface.at, surface.sample, outcome))
    assert wider == pytest.approx(plain + np.mean(surface.residuals_frac**2), rel=0.02)
    assert wider == pytest.approx(truth, rel=0.04)
    for q in (10, 50, 90):
        assert np.percentile(surface.sample(draws), q) == pytest.approx(np.percentile(outcome(draws), q), rel=0.02)


def test_more_points_come_nearer() -> None:
    few, many = (fit(of(NAMES, kinked), "y", "frac", points=n).error.central for n in (60, 800))
    assert few > 1.1 * many


def test_inputs_without_influence_do_no_harm() -> None:
    many = (*NAMES, *(f"noise{i}" for i in range(60)))
    surface = fit(of(many, quadratic), "y", "frac", points=200)
    assert surface.error.central < 0.05, "66 inputs, of which four matter, one of them by a product alone"
    assert surface.explained_frac > 0.98


def test_a_surface_is_asked_like_what_it_stands_for(fact: Make) -> None:
    price = fact("price", 10.0, "usd", low=5.0, high=30.0, driver="memory")
    speed = fact("speed", 100.0, "frac", low=80.0, high=130.0)

    def outcome(draws: Draws) -> Any:
        return draws.sample(price) ** 0.5 / draws.sample(speed)

    surface = fit(outcome, "y", "usd", points=200)
    assert surface.inputs == streams(outcome)
    assert set(streams(surface.sample)) == {*streams(outcome), "surface y"}
    first, quick = (sobol(f, tuple(streams(f)), 4096, 1, "usd") for f in (outcome, surface.sample))
    shares = {i.name: i.total_frac for i in quick.indices}
    for i in first.indices:
        assert shares[i.name] == pytest.approx(i.total_frac, abs=0.02), i.name
    assert 0 < shares["surface y"] < 0.01
    bars = [tornado(f, ("memory", "chip.speed"), "usd") for f in (outcome, surface.at)]
    for a, b in zip(*bars, strict=True):
        assert (b.at_low, b.at_high, b.central) == pytest.approx((a.at_low, a.at_high, a.central), rel=0.02), a.name


def test_the_same_seed_gives_the_same_surface() -> None:
    one, other = (fit(of(NAMES, kinked), "y", "frac", points=100, seed=4) for _ in range(2))
    assert np.array_equal(one.residuals_frac, other.residuals_frac)
    assert one.said() == other.said()
    assert "response surface of 100 computed points in 6 inputs" in one.said()


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(StudyError, match=r"surface y: \d+ of 100 points are not positive numbers"):
        fit(of(NAMES, lambda x: x[:, 0]), "y", "frac", points=100)
    with pytest.raises(StudyError, match=r"surface y: 39 points in 6 inputs; expected at least 40 points"):
        fit(of(NAMES, quadratic), "y", "frac", points=39)
    with pytest.raises(StudyError, match="100 points in 0 inputs"):
        fit(lambda draws: np.ones(draws.n), "y", "frac", points=100)
