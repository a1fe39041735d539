"""The steady state: hand calculations, conservation laws, physical sanity, and what more hardware may never do."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest

from scoville.facts import Draws, Facts
from scoville.serving import SteadyState, Targets, full_chunk_tokens, steady_state, worst_rank_frac
from scoville.serving.batch import limit, most_batch
from scoville.serving.steady import bubble_frac, gamma_percentile
from scoville.timing import Chips, RooflineTimer, cache_room_bytes, chips
from scoville.transformer.step import Parallelism

LOOSE = Targets(60.0, 1.0)
ROOFLINE = RooflineTimer()


def one(value: np.ndarray) -> float:
    assert value.shape == (1, 1)
    return float(value[0, 0])


# -- by hand -------------------------------------------------------------------------------------------------------


def test_the_docstrings_example(table: Any, known_shape: Any, h100: Chips, timer: Any) -> None:
    s = steady_state(table(tensor=4), h100, known_shape(), np.array([32.0]), LOOSE, timer(20e-3, 0.1e-3))
    assert one(s.tpot_s) == pytest.approx(36e-3)
    assert one(s.requests_per_s) == pytest.approx(32 / (200 * 36e-3))
    assert one(s.requests_per_s * 1000 * s.prefill_s_per_token) == pytest.approx(16 / 36)
    assert one(s.decode_s_per_token) == pytest.approx(20e-3 / 32)
    # Steps full of prompts: 8,160 tokens in 20 + 816 ms, so a request loads prefill with 1,000 x 836 / 8,160 ms.
    load = 4.444444 * 1000 * 0.836 / 8160
    wait = load * (1000 * 0.836 / 8160) / (2 * (1 - load))
    # Half a step, the wait, one step in which the first token comes out, and its own 1,000 tokens; then 16 / 36 of the
    # prompts that arrive in the rest of a step, whose variance is 0.1^2 x 32 / 200 / (1 - (16 / 36)^2).
    later = 16 / 36 * (0.036 + 0.0019938 / 0.036) / 2
    assert one(s.ttft_s) == pytest.approx(0.018 + wait + 0.020 + 0.100 + later, rel=1e-5)


def test_prompts_and_occupancy_spread_the_time_per_token(table: Any, known_shape: Any, h100: Chips, timer: Any) -> None:
    """B = 100: TPOT 20 + 50 = 70 ms, 5 / 7 of it prompts of 0.1 s each, 0.5 of them per step, over 200 steps."""
    state = steady_state(table(tensor=4), h100, known_shape(), np.array([100.0]), LOOSE, timer(20e-3, 0.1e-3))
    variance = 0.1**2 * 0.5 / 200 / (2 / 7) ** 2
    # sigma is 17.5 ms, so k = 16: chi-squared with 32 degrees of freedom, whose P95 is 46.194 in any table.
    assert variance**0.5 == pytest.approx(17.5e-3)
    assert one(state.tpot_percentile_s) == pytest.approx(0.070 * 46.194 / 32, rel=1e-4)


def test_a_pipeline_cycles_through_its_stages(table: Any, known_shape: Any, h100: Chips, timer: Any) -> None:
    """4 stages of 5 ms: a token every 20 ms for each of B sequences, B / 4 in each micro-batch."""
    seen: list[np.ndarray] = []

    class Watching(timer):  # type: ignore[misc]
        def time(self, table: Any, chips: Chips, features: np.ndarray) -> Any:
            seen.append(features[:, table.layout.column("rank_decode_tokens")])
            return super().time(table, chips, features)

    spread = table(tensor=2, pipeline=4)
    s = steady_state(spread, h100, known_shape(), np.array([64.0]), LOOSE, Watching(5e-3, 0.0))
    assert one(s.tpot_s) == pytest.approx(20e-3)
    assert one(s.requests_per_s) == pytest.approx(64 / (200 * 20e-3))
    assert seen[0][0] == 16


def test_prompts_pass_every_stage(table: Any, known_shape: Any, h100: Chips, timer: Any) -> None:
    """With next to no load TTFT is half a token's time, one cycle, and the prompt's own time in each stage."""
    few = known_shape(output_tokens=1e6)
    for stages in (1, 2, 4):
        t = table(tensor=2, pipeline=stages)
        s = steady_state(t, h100, few, np.array([1.0]), LOOSE, timer(5e-3, 0.1e-3))
        cycle = stages * 5e-3
        assert one(s.ttft_s) == pytest.approx(cycle / 2 + cycle + stages * 0.1, rel=1e-3)


def test_a_prompt_is_prefilled_by_one_attention_group(table: Any, known_shape: Any, h100: Chips) -> None:
    """Eight groups: each has an eighth of the rate, and a budget of its own; the load is that of all together."""
    few = known_shape(output_tokens=1e6)
    t = table(model="deepseek-r1", attention_data=8, expert=8, weights="declared", kv="fp8")
    s = steady_state(t, h100, few, np.array([8.0]), LOOSE, ROOFLINE)
    step, prompt = one(s.decode_s_per_token) * 8, 1000 * one(s.prefill_s_per_token)
    assert one(s.ttft_s) == pytest.approx(1.5 * step + 8 * prompt, rel=0.02)
    assert float(full_chunk_tokens(few, t.parallelism, 768.0)) == 8 * 8192 - 768


def test_pipeline_bubbles(known_shape: Any) -> None:
    """Prompt tokens of the fullest of P micro-batches over the mean, against drawing them."""
    prompts = known_shape()
    assert float(bubble_frac(prompts, Parallelism(tensor=2), np.array([50.0]))[0]) == 1.0
    # m = 1,000 x B / (200 P) tokens each: 4,000 for B = 1,600 and P = 2: four prompts of 1,000 in the mean.
    got = float(bubble_frac(prompts, Parallelism(pipeline=2), np.array([1600.0]))[0])
    drawn = np.random.default_rng(1).poisson(4.0, (200_000, 2)).max(axis=1).mean() / 4
    assert got == pytest.approx(drawn, rel=0.05)
    # A single prompt now and then: all of its time is waited for in each stage.
    assert float(bubble_frac(prompts, Parallelism(pipeline=4), np.array([1.0]))[0]) == 4.0
    # Every micro-batch full: nothing to wait for.
    full = np.array([8192 * 4 * 200 / 1000])
    assert float(bubble_frac(prompts, Parallelism(pipeline=4), full)[0]) == pytest.approx(1.0)


@pytest.mark.parametrize(("groups", "each"), [(2, 50), (8, 32), (32, 16), (64, 40)])
def test_the_busiest_group(groups: int, each: int) -> None:
    n = groups * each
    # Requests come and go by themselves, so each group's number is Poisson.
    drawn = np.random.default_rng(2).poisson(each, (20_000, groups)).max(axis=1).mean()
    assert float(worst_rank_frac(np.array([float(n)]), groups)[0]) * n == pytest.approx(drawn, rel=0.04)


def test_the_busiest_group_at_its_bounds() -> None:
    assert worst_rank_frac(np.array([1.0, 10.0]), 1).tolist() == [1.0, 1.0]
    assert worst_rank_frac(np.array([1.0]), 64).tolist() == [pytest.approx((1 / 64 + 2.35 / 8), rel=0.01)]
    assert (worst_rank_frac(np.arange(1.0, 5000), 16) >= 1 / 16).all()


@pytest.mark.parametrize(
    ("freedom", "frac", "table_value"),
    [
        (2, 0.95, 5.991), (4, 0.95, 9.488), (10, 0.95, 18.307), (30, 0.95, 43.773),
        (2, 0.99, 9.210), (10, 0.99, 23.209), (10, 0.50, 9.342), (4, 0.90, 7.779),
    ],
)  # fmt: skip
def test_gamma_percentiles_against_tables_of_chi_squared(freedom: int, frac: float, table_value: float) -> None:
    """Chi-squared with f degrees of freedom is gamma with mean f and variance 2 f; values of any statistical table."""
    got = float(gamma_percentile(np.array(float(freedom)), np.array(2.0 * freedom), frac))
    assert got == pytest.approx(table_value, rel=1e-3)


def gamma_below(k: float, x: float) -> float:
    """P(k, x) of a gamma distribution with mean k, by its definition: y^(k-1) e^-y / Gamma(k), in 20,000 trapezoids.

    For k < 1, in y = x v^(1/k) the singularity at 0 is gone: dy y^(k-1) = x^k / k dv.
    """
    v = np.linspace(0.0, 1.0, 20_001)
    if k < 1:
        return float(x**k / math.gamma(k + 1) * np.trapezoid(np.exp(-x * v ** (1 / k)), v))
    return float(x**k / math.gamma(k) * np.trapezoid(v ** (k - 1) * np.exp(-x * v), v))


SHAPES = np.geomspace(1e-3, 10, 41)


@pytest.mark.parametrize(("frac", "peak"), [(0.9, 0.203), (0.95, 0.0878), (0.99, 0.0158)])
def test_gamma_percentiles_are_exact_down_to_the_highest(frac: float, peak: float) -> None:
    for k in SHAPES[peak < SHAPES]:
        x = float(gamma_percentile(np.array(k), np.array(k), frac))
        assert gamma_below(float(k), x) == pytest.approx(frac, abs=2e-4)
    got = gamma_percentile(np.ones_like(SHAPES), 1 / SHAPES, frac)
    assert np.diff(got).max() <= 0  # more variance (smaller k): never less
    assert got.min() > 1
    highest = float(gamma_percentile(np.array(1.0), np.array(1 / peak), frac))
    assert got[peak > SHAPES] == pytest.approx(highest, rel=1e-4)


@pytest.mark.parametrize("k", [1e-3, 0.01, 0.1, 0.5, 3.0])
def test_a_median_is_the_gammas_own(k: float) -> None:
    x = float(gamma_percentile(np.array(k), np.array(k), 0.5))
    assert x < k
    assert x == 0 or gamma_below(k, x) == pytest.approx(0.5, abs=4e-3)


def test_no_percentile_below_the_mean_nor_beyond_the_longest_step(
    table: Any, known_shape: Any, h100: Chips, timer: Any
) -> None:
    """Prompts of 60,000 and answers of 20 tokens; a full step takes 20 + 819 ms, 12 ms less for 118 in decode."""
    long = known_shape(fresh_input_tokens=60_000.0, output_tokens=20.0, prompt_second_frac=2.0)
    batch = np.array([0.01, 0.1, 0.5, 1.0, 2.0, 2.7, 10.0, 100.0])
    for frac in (0.5, 0.9, 0.95, 0.99):
        s = steady_state(table(tensor=4), h100, long, batch, Targets(60.0, 1.0, frac, frac), timer(20e-3, 0.1e-3))
        high = s.tpot_percentile_s[s.stable]
        assert frac == 0.5 or (high >= s.tpot_s[s.stable]).all()
        assert high.max() <= 0.0200001 + 0.1e-3 * 8192
        assert frac < 0.9 or np.diff(high).min() >= -0.1e-3 * 3


def test_a_gamma_without_variance_is_its_mean() -> None:
    assert float(gamma_percentile(np.array(2.0), np.array(0.0), 0.99)) == pytest.approx(2.0)


# -- memory --------------------------------------------------------------------------------------------------------


def test_memory_fits_up_to_its_boundary(table: Any, known_shape: Any, h100: Chips, timer: Any) -> None:
    """TP4 of Llama-3.1-70B: 40,960 bytes of fp8 cache per token and chip; held are 1,100 tokens and half a block."""
    t, s = table(tensor=4), known_shape()
    batch = np.arange(1.0, 1500)
    state = steady_state(t, h100, s, batch, LOOSE, timer(1e-3, 0.0))
    room = float(cache_room_bytes(t, h100)[0])
    most = (batch + 2.3263 * np.sqrt(batch)) * (1100 + 8) * 40_960 + 8192 * 40_960
    assert state.fits[0].tolist() == (most <= room).tolist()
    assert 0 < state.fits.sum() < len(batch)
    assert np.diff(state.memory_frac[0]).min() > 0


def test_nothing_fits_beside_weights_that_do_not(table: Any, known_shape: Any, h100: Chips) -> None:
    t = table(tensor=1)
    assert float(cache_room_bytes(t, h100)[0]) < 70e9 * 0.05
    tight = dataclasses.replace(h100, memory_bytes=np.array([40e9]))
    state = steady_state(t, tight, known_shape(), np.array([1.0]), LOOSE, ROOFLINE)
    assert not state.fits.any()
    assert np.isinf(state.memory_frac).all()


def test_a_prompt_longer_than_the_budget_takes_its_cache(table: Any, known_shape: Any, h100: Chips, timer: Any) -> None:
    t = table(tensor=4)
    short, long = known_shape(), known_shape(fresh_input_tokens=50_000.0, prompt_second_frac=2.0)
    a, b = (
        float(steady_state(t, h100, s, np.array([1.0]), LOOSE, timer(1e-3, 1e-9)).memory_frac[0, 0])
        for s in (short, long)
    )
    assert (b - a) * float(cache_room_bytes(t, h100)[0]) == pytest.approx((100_000 - 8192) * 40_960, rel=1e-6)


# -- laws ----------------------------------------------------------------------------------------------------------

SHARDINGS = [
    ("llama-3.1-70b", "fp8", {"tensor": 4}),
    ("llama-3.1-70b", "fp8", {"tensor": 2, "pipeline": 2}),
    ("gpt-oss-120b", "declared", {"tensor": 2, "expert": 2}),
    ("gpt-oss-120b", "declared", {"attention_data": 8, "expert": 8}),
    ("gpt-oss-120b", "declared", {"tensor": 4, "pipeline": 4}),
]
BATCHES = np.array([1.0, 2, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120])


@pytest.fixture(
    scope="module", params=SHARDINGS, ids=lambda p: f"{p[0]}-{'-'.join(f'{k}{v}' for k, v in p[2].items())}"
)
def sharded(request: pytest.FixtureRequest, table: Any) -> Any:
    model, weights, ranks = request.param
    return table(model=model, weights=weights, **ranks)


@pytest.fixture(scope="module")
def windowed(sharded: Any, known_shape: Any) -> Any:
    """A bursty, long-tailed traffic with the windows of the model."""
    spans = sharded.layout.windows
    return known_shape(
        prompt_second_frac=2.0,
        prompt_third_frac=6.0,
        output_inverse_frac=2.0,
        gap_scv_frac=3.0,
        held_tokens={w: 1100.0 if w is None else 128.0 for w in spans},
        pairs_tokens={w: 1e6 if w is None else 120e3 for w in spans},
        prompt_kv_tokens={w: 1000.0 if w is None else 600.0 for w in spans},
    )


def test_engine_time_is_shared_out_and_little_holds(sharded: Any, windowed: Any, facts: Facts) -> None:
    on = chips(facts.accelerator("h100-sxm"), facts, Draws(3, 20))
    s = steady_state(sharded, on, windowed, BATCHES, LOOSE, ROOFLINE)
    rate, i, o = s.requests_per_s, windowed.fresh_input_tokens, windowed.output_tokens
    np.testing.assert_allclose(rate * (i * s.prefill_s_per_token + o * s.decode_s_per_token), 1.0, rtol=1e-12)
    np.testing.assert_allclose(rate * o * s.tpot_s, np.broadcast_to(BATCHES, rate.shape), rtol=1e-12)
    assert (s.tpot_percentile_s >= s.tpot_s).all()
    assert (s.ttft_percentile_s[s.stable] > s.ttft_s[s.stable] * 0.9).all()
    assert np.isinf(s.ttft_s[~s.stable]).all()
    assert (s.energy_j_per_token > 0).all()
    assert np.array_equal(s.feasible, s.fits & s.stable & s.ttft_met & s.tpot_met)


def test_samples_are_each_what_they_would_be_alone(sharded: Any, windowed: Any, facts: Facts) -> None:
    on = chips(facts.accelerator("h100-sxm"), facts, Draws.central())
    both = steady_state(sharded, on, windowed, BATCHES, LOOSE, ROOFLINE)
    alone = [steady_state(sharded, on, windowed, BATCHES[j : j + 1], LOOSE, ROOFLINE) for j in (0, 7)]
    for field in dataclasses.fields(SteadyState):
        if field.name != "batch_count":
            for j, a in zip((0, 7), alone, strict=True):
                x, y = getattr(both, field.name)[0, j], getattr(a, field.name)[0, 0]
                assert x == pytest.approx(y, rel=1e-12), field.name


def better(on: Chips, what: str, factor: float) -> Chips:
    if what == "compute":
        return dataclasses.replace(on, compute_flop_per_s={k: v * factor for k, v in on.compute_flop_per_s.items()})
    if what == "links":
        links = [dataclasses.replace(x, bandwidth_bytes_per_s=x.bandwidth_bytes_per_s * factor) for x in on.links]
        return dataclasses.replace(on, links=tuple(links))
    field = {"bandwidth": "memory_bytes_per_s", "memory": "memory_bytes"}[what]
    return dataclasses.replace(on, **{field: getattr(on, field) * factor})


@pytest.mark.parametrize("what", ["compute", "bandwidth", "memory", "links"])
@pytest.mark.parametrize("demand", [0.0, 500.0])
@pytest.mark.parametrize(("ttft", "tpot"), [(0.3, 0.2), (2.0, 0.04)])
@pytest.mark.parametrize("factor", [1.1, 4.0])
def test_more_never_hurts(
    sharded: Any, windowed: Any, h100: Chips, what: str, demand: float, factor: float, ttft: float, tpot: float
) -> None:
    targets = Targets(ttft, tpot)
    a, b = (
        steady_state(sharded, c, windowed, np.arange(1.0, 2500), targets, ROOFLINE, demand_requests_per_s=demand)
        for c in (h100, better(h100, what, factor))
    )
    able = a.stable
    # The best batch is a whole number, so that throughput moves in steps of one sequence.
    assert (b.stable | ~able).all()
    assert (b.tpot_s[able] <= a.tpot_s[able] * (1 + 1e-9)).all()
    assert (b.fits | ~a.fits).all()
    best = [float(np.where(s.feasible, s.requests_per_s, 0.0).max()) for s in (a, b)]
    first = float(a.batch_count[np.argmax(np.where(a.feasible, a.requests_per_s, 0.0))])
    assert best[1] >= best[0] * (1 - 1 / first)


def test_tighter_targets_never_serve_more(sharded: Any, windowed: Any, h100: Chips) -> None:
    def best(targets: Targets) -> float:
        s = steady_state(sharded, h100, windowed, BATCHES, targets, ROOFLINE)
        return float(np.where(s.feasible, s.requests_per_s, 0.0).max())

    grid = [0.05, 0.2, 0.5, 2.0], [0.01, 0.02, 0.05, 0.2], [0.8, 0.95, 0.99]
    served = {key: best(Targets(key[0], key[1], key[2], key[2])) for key in itertools.product(*grid)}
    for (ttft, tpot, frac), value in served.items():
        for other, more in served.items():
            if other[0] >= ttft and other[1] >= tpot and other[2] <= frac:
                assert more >= value


def test_a_full_batch_of_the_budget_leaves_no_room_for_prompts(table: Any, known_shape: Any, h100: Chips, timer: Any):
    roomy = dataclasses.replace(h100, memory_bytes=np.array([1e15]))
    t = timer(1e-3, 1e-9)
    s = steady_state(table(tensor=4), roomy, known_shape(), np.array([8191.0, 8192.0]), LOOSE, t)
    assert s.fits[0].tolist() == [True, False]


def test_each_group_has_a_budget_of_its_own(known_shape: Any, table: Any, h100: Chips, timer: Any) -> None:
    roomy = dataclasses.replace(h100, memory_bytes=np.array([1e15]))
    spread = table(model="gpt-oss-120b", weights="declared", attention_data=4, expert=4)
    spans = {w: 1100.0 if w is None else 128.0 for w in spread.layout.windows}
    s = known_shape(held_tokens=spans, pairs_tokens=spans, prompt_kv_tokens=spans)
    assert most_batch(s, spread.parallelism) == 4 * 8192 - 1
    batch = np.array([8192.0, 4 * 8192 - 1, 4 * 8192])
    state = steady_state(spread, roomy, s, batch, LOOSE, timer(1e-3, 1e-9))
    assert state.fits[0].tolist() == [True, True, False]
    assert limit(state, 1) == "token budget"
