"""Samples: seeded, shared within a driver group, independent of the order of asking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.facts import Draws, Fact

FACT = Fact("lab", "tariff", 3.0, 1.0, 8.0, "usd", "USD", "a test", "2026", "estimated")
N = 40_000


def test_triangular_mean_and_variance() -> None:
    # Triangular distribution: mean (a + b + c) / 3, variance (a^2 + b^2 + c^2 - ab - ac - bc) / 18.
    drawn = Draws(1, N).sample(FACT)
    assert drawn.shape == (N,)
    assert drawn.mean() == pytest.approx(4.0, abs=0.03)
    assert drawn.var() == pytest.approx((1 + 9 + 64 - 3 - 8 - 24) / 18, rel=0.03)
    assert 1 <= drawn.min() < drawn.max() <= 8


@given(st.floats(0.001, 0.999))
def test_triangular_is_the_inverse_of_its_distribution_function(u: float) -> None:
    class Fixed(Draws):
        def uniform(self, key: str) -> np.ndarray:
            return np.full(self.n, u)

    x = Fixed(0, 1).sample(FACT)[0]
    below = (x - 1) ** 2 / (7 * 2) if x <= 3 else 1 - (8 - x) ** 2 / (7 * 5)
    assert below == pytest.approx(u, abs=1e-9)


def test_balanced_has_its_value_as_median_and_triangular_halves() -> None:
    skewed = replace(FACT, distribution="balanced")
    drawn = Draws(1, N).sample(skewed)
    assert 1 <= drawn.min() < drawn.max() <= 8
    assert np.median(drawn) == pytest.approx(3.0, abs=0.05), "the value is not the median"
    # Half of the mass over 1 to 3 and half over 3 to 8, each a triangle with its top at 3: means 1 + 2/3 x 2, 3 + 5/3.
    assert drawn.mean() == pytest.approx((1 + 4 / 3) / 2 + (3 + 5 / 3) / 2, abs=0.03)


def test_balanced_is_triangular_where_the_range_is_symmetric() -> None:
    even = replace(FACT, value=4.5)
    assert np.allclose(Draws(5, 300).sample(even), Draws(5, 300).sample(replace(even, distribution="balanced")))


def test_a_driver_gives_the_same_quantile_to_each_facts_own_range() -> None:
    draws = Draws(7, 1000)
    tariff = replace(FACT, driver="electricity", distribution="uniform")
    heating = replace(tariff, name="heating", value=20.0, low=10.0, high=30.0)
    other = replace(tariff, name="water", driver="")
    assert np.allclose((draws.sample(tariff) - 1) / 7, (draws.sample(heating) - 10) / 20)
    assert abs(np.corrcoef(draws.sample(tariff), draws.sample(other))[0, 1]) < 0.1


def test_the_stream_depends_on_seed_and_key_only() -> None:
    a, b = Draws(3, 500), Draws(3, 500)
    other = replace(FACT, name="other")
    first = a.sample(FACT)
    b.sample(other)
    assert np.array_equal(first, b.sample(FACT))
    assert np.array_equal(first, a.sample(FACT))
    assert not np.array_equal(first, Draws(4, 500).sample(FACT))
    assert not np.array_equal(first, a.sample(replace(FACT, vintage="2026-09")))
    assert np.array_equal(first[:200], Draws(3, 200).sample(FACT))


def test_central_is_every_fact_at_its_value() -> None:
    central = Draws.central()
    assert central.n == 1
    assert central.sample(FACT).tolist() == [3.0]
    assert central.uniform("anything").tolist() == [0.5]


def test_fixed_degenerate_and_text_facts() -> None:
    draws = Draws(1, 3)
    assert draws.sample(replace(FACT, distribution="fixed")).tolist() == [3.0] * 3
    assert draws.sample(replace(FACT, low=3.0, high=3.0)).tolist() == [3.0] * 3
    assert (draws.sample(replace(FACT, low=3.0)) >= 3).all()
    assert (draws.sample(replace(FACT, value=8.0)) <= 8).all()
    with pytest.raises(TypeError):
        draws.sample(replace(FACT, value="soon", measure=""))
    with pytest.raises(ValueError, match="samples"):
        Draws(1, 0)
