"""Drawn traffic has the lengths and burstiness of what it was fitted to; scaled traffic has the demand asked for."""

from __future__ import annotations

import numpy as np
import pytest

from scoville.errors import TrafficError
from scoville.traffic import Trace, fit, load, scale_to_demand, statistics, synthesise


@pytest.fixture(scope="module")
def azure() -> Trace:
    return load("azure-2023-conv")


def test_lengths_and_gaps_agree_within_sampling_error(azure: Trace) -> None:
    n = 200_000
    drawn = synthesise(fit(azure), n, seed=7)
    for was, now in ((azure.input_tokens, drawn.input_tokens), (azure.output_tokens, drawn.output_tokens)):
        assert now.mean() == pytest.approx(was.mean(), abs=4 * was.std() / np.sqrt(n))
    before, after = statistics(azure), statistics(drawn)
    assert before.gap_scv_frac is not None
    assert after.gap_scv_frac == pytest.approx(before.gap_scv_frac, rel=0.03)
    assert drawn.duration_s / (n - 1) == pytest.approx(azure.duration_s / (len(azure) - 1), rel=0.02)


def test_lengths_stay_paired(azure: Trace) -> None:
    pairs = set(zip(azure.input_tokens.tolist(), azure.output_tokens.tolist(), strict=True))
    drawn = synthesise(fit(azure), 5000, seed=1)
    assert set(zip(drawn.input_tokens.tolist(), drawn.output_tokens.tolist(), strict=True)) <= pairs


def test_the_seed_decides(azure: Trace) -> None:
    fitted = fit(azure)
    assert synthesise(fitted, 1000, seed=1).equals(synthesise(fitted, 1000, seed=1))
    assert not synthesise(fitted, 1000, seed=1).equals(synthesise(fitted, 1000, seed=2))


def test_even_gaps_stay_even() -> None:
    even = Trace("t", "s", np.arange(10.0), np.full(10, 5), np.full(10, 5))
    assert synthesise(fit(even), 5, seed=0).arrival_s.tolist() == [0, 1, 2, 3, 4]


def test_what_cannot_be_fitted_or_drawn(azure: Trace) -> None:
    once = Trace("t", "s", np.zeros(5), np.full(5, 5), np.full(5, 5))
    with pytest.raises(TrafficError, match="5 requests in 0 s have no gaps to fit"):
        fit(once)
    with pytest.raises(TrafficError, match="cannot synthesise 0 requests"):
        synthesise(fit(azure), 0, seed=0)


def test_scaling_keeps_the_shape(azure: Trace) -> None:
    """2e12 tokens a day."""
    asked = 2e12 / 86400
    scaled = scale_to_demand(azure, asked)
    assert scaled.demand_tokens_per_s == pytest.approx(asked, rel=1e-12)
    assert np.allclose(scaled.arrival_s / scaled.duration_s, azure.arrival_s / azure.duration_s, rtol=0, atol=1e-12)
    assert np.array_equal(scaled.input_tokens, azure.input_tokens)
    with pytest.raises(TrafficError, match="expected a number above 0"):
        scale_to_demand(azure, 0.0)
