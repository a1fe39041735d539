"""Prices of tokens add up to the fleet's cost; the fleet covers the peak and no more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scoville.economics import EngineTime, TokenVolume, fleet, token_prices
from scoville.errors import DeploymentError

volumes = st.one_of(st.just(0.0), st.floats(1e-3, 1e9))
times = st.one_of(st.just(0.0), st.floats(1e-9, 1.0))


@given(st.floats(1e-6, 1e6), st.tuples(volumes, volumes, volumes), st.tuples(times, times, times))
def test_price_times_volume_is_the_cost(
    cost: float, served: tuple[float, float, float], engine: tuple[float, float, float]
) -> None:
    assume(sum(v * t for v, t in zip(served, engine, strict=True)) > 1e-9)
    volume = TokenVolume(*(np.array([v]) for v in served))
    p = token_prices(cost, volume, EngineTime(*(np.array([t]) for t in engine)))
    uncached, cached, output = served
    by_class = (
        p.uncached_input_usd_per_token * uncached
        + p.cached_input_usd_per_token * cached
        + p.output_usd_per_token * output
    )
    assert by_class[0] == pytest.approx(cost, rel=1e-9)
    assert (p.all_usd_per_token * volume.total_tokens_per_s)[0] == pytest.approx(cost, rel=1e-9)
    if uncached + cached > 0:
        in_and_out = p.input_usd_per_token * (uncached + cached) + p.output_usd_per_token * output
        assert in_and_out[0] == pytest.approx(cost, rel=1e-9)


@given(st.lists(st.floats(0.1, 10), min_size=4, max_size=4), st.floats(1, 5), st.floats(0, 1), st.floats(0.1, 1))
def test_the_fleet_s_cost_is_what_its_tokens_bring(
    draws: list[float], peak: float, headroom: float, utilisation: float
) -> None:
    # Idle time, headroom and the last replica's spare part are in the prices: what is served pays for every chip.
    usd_per_h, spread = np.array(draws), np.array([1.0, 1.1, 0.9, 1.3])
    volume = TokenVolume(np.full(4, 5e5), np.full(4, 2e5), np.full(4, 1e5))
    bought = fleet(
        volume.total_tokens_per_s,
        peak_to_average=peak,
        headroom_frac=headroom,
        max_utilisation_frac=utilisation,
        replica_tokens_per_s=20_000 * spread,
        chips_per_replica=8,
        site_power_w=2_000,
    )
    cost = bought.cost_usd_per_s(usd_per_h)
    p = token_prices(cost, volume, EngineTime(20e-6 / spread, 1e-6 * spread, 400e-6 / spread))
    paid = p.input_usd_per_token * 7e5 + p.output_usd_per_token * 1e5
    assert np.allclose(paid, bought.chips_count * usd_per_h / 3600, rtol=1e-9)
    assert np.all(bought.mean_utilisation_frac <= utilisation / peak / (1 + headroom) * (1 + 1e-9))


def test_prices_stand_in_the_proportion_of_engine_time() -> None:
    p = token_prices(1.0, TokenVolume(*np.ones((3, 1))), EngineTime(np.array([3.0]), np.array([0.5]), np.array([60.0])))
    assert p.output_usd_per_token / p.uncached_input_usd_per_token == pytest.approx(20)
    assert p.cached_input_usd_per_token / p.uncached_input_usd_per_token == pytest.approx(1 / 6)


def test_a_prompt_token_pays_what_it_adds_and_an_output_token_its_share_of_the_step() -> None:
    # Steady state by hand: a decode step of t = 20 ms for a batch of 32, a = 0.1 ms more per prompt token, 1,000 tokens
    # in and 200 out. TPOT = t + a I B / O = 20 + 0.1 x 1,000 x 32 / 200 = 36 ms; 32 / (200 x 0.036) = 4.444 requests/s.
    requests_per_s = 32 / (200 * 0.036)
    volume = TokenVolume(*(np.array([requests_per_s * n]) for n in (1_000, 0, 200)))
    engine = EngineTime(np.array([1e-4]), np.array([0.0]), np.array([0.020 / 32]))
    busy = requests_per_s * np.array([1_000 * 1e-4, 200 * 0.020 / 32])
    assert busy == pytest.approx([4 / 9, 5 / 9])  # all of the engine's time
    p = token_prices(16 / 3600, volume, engine)  # 8 chips at 2 USD/h
    assert p.input_usd_per_token * 1e6 == pytest.approx(0.444, abs=1e-3)
    assert p.output_usd_per_token * 1e6 == pytest.approx(2.778, abs=1e-3)


def test_prices_broadcast_over_draws_and_configurations() -> None:
    p = token_prices(
        np.ones((3, 1)),
        TokenVolume(np.full(5, 9.0), np.zeros(5), np.ones(5)),
        EngineTime(np.ones((3, 1)), np.zeros((3, 1)), np.ones((3, 1))),
    )
    assert p.output_usd_per_token.shape == p.all_usd_per_token.shape == (3, 5)


def test_only_output_still_has_a_price_for_input() -> None:
    p = token_prices(1.0, TokenVolume(*(np.array([v]) for v in (0.0, 0.0, 2.0))), EngineTime(*np.ones((3, 1))))
    assert p.input_usd_per_token[0] == p.output_usd_per_token[0] == 0.5


@pytest.mark.parametrize("served", [(0.0, 0.0, 0.0), (-1.0, 0.0, 5.0)])
def test_nothing_served_or_less_is_refused(served: tuple[float, float, float]) -> None:
    with pytest.raises(DeploymentError, match="token prices"):
        token_prices(1.0, TokenVolume(*(np.array([v]) for v in served)), EngineTime(*np.ones((3, 1))))


def sized(**changes: float) -> tuple[int, float]:
    terms: dict[str, float] = {
        "peak_to_average": 1.0,
        "headroom_frac": 0.0,
        "max_utilisation_frac": 1.0,
        "replica_tokens_per_s": 100.0,
        "chips_per_replica": 8,
        "site_power_w": 2_000.0,
    }
    demand = changes.pop("demand", 300.0)
    f = fleet(demand, **{**terms, **changes})
    return int(f.replicas_count), float(f.power_w)


def test_replicas_are_whole_and_cover_peak_headroom_and_utilisation() -> None:
    assert sized() == (3, 3 * 8 * 2_000.0)
    assert sized(demand=300.0001)[0] == 4
    assert sized(peak_to_average=2.0)[0] == 6
    assert sized(headroom_frac=0.5)[0] == 5
    assert sized(max_utilisation_frac=0.5)[0] == 6
    # 300 x 1.1 / 110 is 3.0000000000000004 in floating point, and 3 replicas all the same.
    assert sized(headroom_frac=0.1, replica_tokens_per_s=110.0)[0] == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"demand": 0.0},
        {"peak_to_average": 0.9},
        {"headroom_frac": -0.1},
        {"max_utilisation_frac": 0.0},
        {"max_utilisation_frac": 1.1},
        {"replica_tokens_per_s": 0.0},
        {"chips_per_replica": 0},
    ],
)
def test_a_fleet_of_nonsense_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(DeploymentError, match=r"fleet: .* must be"):
        sized(**changes)
