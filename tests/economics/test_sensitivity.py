"""Sobol indices against functions whose indices are known in closed form; the tornado against hand arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scoville.economics import OwnershipTerms, owned
from scoville.economics.sensitivity import Outcome, Quantiles, sobol, streams, tornado
from scoville.errors import StudyError
from scoville.facts import Draws, Facts

Make = Callable[..., Any]


def of(names: tuple[str, ...], function: Callable[[Any], Any]) -> Outcome:
    """A function of a matrix of quantiles, (n, k), as one of draws."""
    return lambda draws: function(np.column_stack([draws.uniform(name) for name in names]))


def ishigami(u: Any) -> Any:
    x = np.pi * (2 * u - 1)
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def within(found: Any, first: dict[str, float], total: dict[str, float]) -> None:
    """Each index within four of its own standard errors, and these errors small."""
    assert {i.name for i in found.indices} == set(first)
    for i in found.indices:
        assert 0 <= i.first_error_frac < 0.04 and 0 <= i.total_error_frac < 0.04, i
        assert abs(i.first_frac - first[i.name]) <= 4 * i.first_error_frac + 1e-12, i
        assert abs(i.total_frac - total[i.name]) <= 4 * i.total_error_frac + 1e-12, i


def test_ishigami() -> None:
    # Ishigami and Homma (1990), a = 7, b = 0.1: V = a^2/8 + b pi^4/5 + b^2 pi^8/18 + 1/2 = 13.845.
    a, b = 7.0, 0.1
    v1, v2 = (1 + b * np.pi**4 / 5) ** 2 / 2, a**2 / 8
    v13 = b**2 * np.pi**8 * (1 / 18 - 1 / 50)
    v = v1 + v2 + v13
    names = ("x1", "x2", "x3")
    found = sobol(of(names, ishigami), names, 16384, 1, "frac")
    assert found.variance == pytest.approx(v, rel=0.03) == pytest.approx(13.845, rel=0.03)
    assert found.mean == pytest.approx(a / 2, abs=0.06)
    within(
        found,
        {"x1": v1 / v, "x2": v2 / v, "x3": 0.0},
        {"x1": (v1 + v13) / v, "x2": v2 / v, "x3": v13 / v},
    )
    assert found.interaction_frac == pytest.approx(v13 / v, abs=4 * found.interaction_error_frac)
    assert found.interaction_error_frac < 0.03
    assert [i.name for i in found.indices] == ["x1", "x2", "x3"], "the largest total comes first"
    assert found.evaluations_count == 16384 * 5


def test_sobol_g() -> None:
    # Sobol' g of Saltelli et al. (2010): product of (|4 x - 2| + a) / (1 + a); V_i = 1 / (3 (1 + a_i)^2).
    a = np.array([0, 1, 4.5, 9, 99, 99.0])
    names = tuple(f"x{i}" for i in range(len(a)))
    found = sobol(of(names, lambda u: np.prod((abs(4 * u - 2) + a) / (1 + a), axis=1)), names, 16384, 2, "frac")
    v = 1 / (3 * (1 + a) ** 2)
    whole = np.prod(1 + v) - 1
    within(
        found,
        dict(zip(names, v / whole, strict=True)),
        dict(zip(names, v * np.prod(1 + v) / (1 + v) / whole, strict=True)),
    )


def test_the_bootstrap_error_is_the_scatter_over_seeds() -> None:
    names = ("x1", "x2", "x3")
    runs = [sobol(of(names, ishigami), names, 1024, seed, "frac") for seed in range(40)]
    for field in ("first", "total"):
        by_name = {n: [getattr(i, f"{field}_frac") for r in runs for i in r.indices if i.name == n] for n in names}
        said = {n: [getattr(i, f"{field}_error_frac") for r in runs for i in r.indices if i.name == n] for n in names}
        for n in names:
            assert np.std(by_name[n]) == pytest.approx(np.mean(said[n]), rel=0.35), (field, n)


def test_more_samples_than_fit_one_call_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("x1", "x2", "x3")
    whole = sobol(of(names, ishigami), names, 256, 1, "frac")
    monkeypatch.setattr("scoville.economics.sensitivity._LARGEST", 300)
    assert sobol(of(names, ishigami), names, 256, 1, "frac") == whole


def test_a_driver_is_one_input_for_all_its_facts(fact: Make) -> None:
    near = fact("near", 10.0, "usd", low=5.0, high=20.0, driver="memory")
    far = fact("far", 100.0, "usd", low=50.0, high=200.0, driver="memory")
    alone = fact("alone", 1.0, "usd", low=0.0, high=2.0, distribution="uniform")
    fixed = fact("fixed", 3.0, "usd")

    def outcome(draws: Draws) -> Any:
        return draws.sample(near) * 10 - draws.sample(far) + draws.sample(alone) + draws.sample(fixed)

    assert streams(outcome) == {"memory": (near, far), "chip.alone": (alone,)}
    found = sobol(outcome, tuple(streams(outcome)), 2048, 1, "usd")
    assert found.indices[0].name == "chip.alone", "the two facts of one driver cancel in every sample"
    assert found.indices[0].total_frac == pytest.approx(1.0, abs=0.05)
    assert found.indices[1].total_frac == pytest.approx(0.0, abs=1e-9)
    bars = tornado(outcome, ("memory", "chip.alone"), "usd")
    assert [b.name for b in bars] == ["chip.alone", "memory"]
    assert [x for b in bars for x in (b.at_low, b.at_high, b.central)] == pytest.approx([3.2, 4.8, 4, 4, 4, 4])


def test_quantiles_that_are_drawn_give_what_draws_give(fact: Make) -> None:
    price = fact("price", 10.0, "usd", low=5.0, high=30.0, driver="memory")
    draws = Draws(7, 100)
    assert np.array_equal(Quantiles({"memory": draws.uniform("memory")}, 100).sample(price), draws.sample(price))
    assert np.array_equal(Quantiles({}, 3).sample(price), [10.0] * 3), "what is not given stays at its value"


def test_an_owned_hour_hangs_on_its_streams_alone(facts: Facts) -> None:
    chip, terms = facts.accelerator("h100-sxm"), OwnershipTerms("hyperscaler", "2026-09")

    def hour(draws: Draws) -> Any:
        return owned(chip, facts, draws, terms).total_usd_per_h  # type: ignore[union-attr]

    names = tuple(streams(hour))
    bars = {b.name: b for b in tornado(hour, names, "usd_per_h")}
    assert all(b.central == pytest.approx(float(hour(Draws.central())[0])) for b in bars.values())
    found = sobol(hour, names, 2048, 1, "usd_per_h")
    assert found.mean == pytest.approx(hour(Draws(3, 20000)).mean(), rel=0.01)
    assert found.variance == pytest.approx(hour(Draws(3, 20000)).var(), rel=0.1)
    assert abs(found.interaction_frac) < 0.1, "annuities multiply, but over narrow ranges"
    unmoved = next(i for i in found.indices if i.name == "h100-sxm.bom_total")
    assert abs(unmoved.first_frac) + unmoved.total_frac < 1e-12, "a bill of materials splits the hour, no more"
    longest = max(bars.values(), key=lambda b: b.span).name
    assert longest == found.indices[0].name, "the tornado and the indices name the same input first"


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda u: np.zeros(len(u)), "the outcome is 0 in every sample"),
        (lambda u: np.where(u[:, 0] < 0.5, np.nan, 1.0), "not finite in"),
    ],
)
def test_what_has_no_variance_is_refused(function: Any, says: str) -> None:
    with pytest.raises(StudyError, match=says):
        sobol(of(("x",), function), ("x",), 64, 1, "frac")
    with pytest.raises(StudyError, match="expected at least 2 samples"):
        sobol(of(("x",), function), (), 64, 1, "frac")
    with pytest.raises(StudyError, match="expected 0 <= low < high < 1"):
        tornado(of(("x",), function), ("x",), "frac", low_frac=0.9, high_frac=0.1)
