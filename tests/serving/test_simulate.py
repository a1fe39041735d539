"""Replays: what is conserved, what more hardware may not worsen, what is refused, and what the steady state says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from scoville.errors import DeploymentError
from scoville.facts import Facts
from scoville.serving import Targets, shape, steady_state
from scoville.serving.costs import TICKS_PER_S
from scoville.serving.reference import replay as replay_slowly
from scoville.serving.settings import EngineSettings, preset
from scoville.serving.simulate import Engine, Replay, capacity, engine, simulate
from scoville.timing import Chips, RooflineTimer
from scoville.traffic import Trace
from scoville.traffic.synthesis import TraceFit, synthesise

MakeTrace = Callable[..., Trace]


@pytest.fixture(scope="module")
def one(table: Any, facts: Facts) -> Engine:
    """Llama-3.1-8B in fp8 on an H100, as vLLM runs it."""
    return engine(facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b"), preset("vllm", facts))


@pytest.fixture(scope="module")
def trace() -> MakeTrace:
    """trace(requests, rate per second, scv): log-normal prompts of 700 tokens in the middle and answers of 150."""

    def make(requests: int, per_s: float, scv: float = 1.0, seed: int = 5) -> Trace:
        rng = np.random.default_rng(seed)
        prompts = np.clip(rng.lognormal(np.log(700), 0.8, 4000), 1, 8000).astype(np.int32)
        answers = np.clip(rng.lognormal(np.log(150), 0.6, 4000), 1, 2000).astype(np.int32)
        return synthesise(TraceFit("made", "made", prompts, answers, 1 / per_s, scv), requests, seed)

    return make


def same(a: Replay, b: Replay) -> bool:
    """Whether all that two replays tell is equal, except for how many leaps they took."""
    names = [f.name for f in fields(Replay) if f.name not in ("leaps_count", "settings")]
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in names)


# -- what holds for every replay ------------------------------------------------------------------------------------


def test_threads_do_not_show(one: Engine, trace: MakeTrace) -> None:
    t = trace(600, 60.0, scv=4.0)
    assert same(simulate(t, one, 5, threads=1), simulate(t, one, 5, threads=4))


def test_replicas_take_turns(one: Engine, trace: MakeTrace) -> None:
    """The replicas of a fleet see what each sees alone with every third request."""
    t = trace(300, 40.0)
    fleet = simulate(t, one, 3)
    for k in range(3):
        mine = slice(k, None, 3)
        arrival = t.arrival_s[mine]
        part = Trace("part", "part", arrival, t.input_tokens[mine], t.output_tokens[mine])
        np.testing.assert_allclose(simulate(part, one, 1).ttft_s, fleet.ttft_s[mine], rtol=0, atol=1e-9)


def test_a_replay_is_the_reference_in_seconds(one: Engine, trace: MakeTrace) -> None:
    t = trace(60, 30.0, scv=9.0)
    tight = replace(one, settings=replace(one.settings, token_budget=512, max_sequences=32), cache_blocks=600)
    got = simulate(t, tight, 1)
    arrival = [round(a * TICKS_PER_S) for a in t.arrival_s.tolist()]
    asked = zip(arrival, t.input_tokens.tolist(), t.output_tokens.tolist(), strict=True)
    wanted = replay_slowly(list(asked), one.costs, tight.settings, 600)
    assert got.preemptions_count.tolist() == [r.preemptions for r in wanted.requests]
    assert got.preemptions_count.sum() > 0
    last = np.array([r.tokens_at[-1] - r.arrival for r in wanted.requests]) / TICKS_PER_S
    np.testing.assert_allclose(got.end_s, last, rtol=1e-12)
    np.testing.assert_allclose(got.duration_s, wanted.end / TICKS_PER_S, rtol=1e-12)
    assert got.energy_j == pytest.approx(wanted.energy_j + one.costs.idle_w * got.duration_s)
    assert got.recomputed_tokens == wanted.recomputed_tokens
    assert got.busy_frac == pytest.approx(wanted.busy / wanted.end)


PRESETS = ("vllm", "sglang", "tensorrt-llm")


@pytest.mark.parametrize("name", PRESETS)
def test_every_request_gets_its_tokens(table: Any, facts: Facts, trace: MakeTrace, name: str) -> None:
    small = engine(facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b"), preset(name, facts))
    small = replace(small, cache_blocks=12_000 // small.settings.block_tokens)  # three quarters of it are always taken
    t = trace(400, 40.0)
    r = simulate(t, small, 2)
    assert len(r) == 400
    assert (r.queue_s >= 0).all()
    assert (r.ttft_s > r.queue_s).all()
    assert (r.end_s >= r.ttft_s).all()
    assert r.gap_count.sum() == t.output_tokens.sum() - 400
    between = r.tpot_s * np.maximum(t.output_tokens - 1, 0)
    np.testing.assert_allclose(r.ttft_s + between, r.end_s, rtol=1e-9)
    assert (r.max_gap_s >= r.tpot_s * (1 - 1e-12)).all()
    assert r.tokens_per_s * r.duration_s == pytest.approx(t.input_tokens.sum() + t.output_tokens.sum())
    assert r.duration_s == pytest.approx((t.arrival_s + r.end_s).max())
    assert 0 < r.busy_frac <= 1
    assert 0.75 < r.most_cache_frac <= 1
    assert (r.preemptions_count.sum() > 0) == (r.recomputed_tokens > 0) == (name != "tensorrt-llm")


def test_littles_law(one: Engine, trace: MakeTrace) -> None:
    """The running sequences summed over time are the times that requests run, summed over requests."""
    r = simulate(trace(500, 30.0), one, 2)
    assert r.preemptions_count.sum() == 0
    widths = np.diff(np.concatenate([[0.0], r.timeline_s]))
    assert (widths @ r.timeline_sequences_count) * 2 == pytest.approx((r.end_s - r.queue_s).sum())
    assert r.timeline_sequences_count.max() <= r.most_sequences_count
    assert r.timeline_cache_frac.max() <= r.most_cache_frac


def test_the_histogram_holds_the_gaps(one: Engine, trace: MakeTrace) -> None:
    """Its mean is the mean gap within a bin's width, and the largest gap lies in its last bin."""
    r = simulate(trace(500, 30.0), one, 1)
    mean = (r.end_s - r.ttft_s).sum() / r.gap_count.sum()
    assert r.gap_s @ r.gap_count / r.gap_count.sum() == pytest.approx(mean, rel=0.016)
    last = int(np.flatnonzero(r.gap_count)[-1])
    assert r.gap_s[last - 1] <= r.max_gap_s.max() <= r.gap_s[last]


# -- more of it never hurts -----------------------------------------------------------------------------------------


def test_more_replicas_never_raise_the_mean_ttft_of_smooth_traffic(one: Engine) -> None:
    n = 400
    even = Trace("even", "even", np.arange(n) / 50.0, np.full(n, 900, np.int32), np.full(n, 120, np.int32))
    means = [float(simulate(even, one, k).ttft_s.mean()) for k in (1, 2, 4, 8)]
    assert means == sorted(means, reverse=True)


def test_prompts_first_trade_gaps_for_first_tokens(one: Engine, trace: MakeTrace) -> None:
    t = trace(2000, 30.0)
    mixed = simulate(t, one, 1)
    eager = simulate(t, replace(one, settings=replace(one.settings, policy="prefill_first")), 1)
    assert eager.ttft_s.mean() < mixed.ttft_s.mean()
    assert eager.gap_count.sum() == mixed.gap_count.sum()


def test_a_load_that_is_found_is_the_last_that_holds(one: Engine, trace: MakeTrace) -> None:
    t, targets = trace(4000, 10.0), Targets(ttft_s=0.5, tpot_s=0.02)
    factor, best = capacity(t, one, 1, targets)
    assert best.meets(targets)
    assert same(best, simulate(t.stretched(1 / factor), one, 1))
    assert not simulate(t.stretched(1 / (1.05 * factor)), one, 1).meets(targets)
    assert best.goodput_per_s(targets) <= len(t) / best.duration_s
    slow, _ = capacity(t.stretched(0.1), one, 1, targets)  # found from above
    assert slow == pytest.approx(factor / 10, rel=0.02)


def test_targets_that_no_load_meets(one: Engine, trace: MakeTrace) -> None:
    with pytest.raises(DeploymentError, match="2 replicas miss the targets even at a hundredth of its load"):
        capacity(trace(50, 1.0), one, 2, Targets(ttft_s=1e-6, tpot_s=1.0))


# -- the steady state ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "ranks"), [("llama-3.1-8b", 1), ("llama-3.1-70b", 4)])
@pytest.mark.parametrize(("batch", "mean", "tail"), [(4.0, 0.08, 0.2), (32.0, 0.08, 0.2), (128.0, 0.13, 0.3)])
def test_the_steady_state_agrees_on_poisson_arrivals(
    table: Any,
    facts: Facts,
    h100: Chips,
    trace: MakeTrace,
    model: str,
    ranks: int,
    batch: float,
    mean: float,
    tail: float,
) -> None:
    """Means within 8 %, 95th percentiles within 20 %, energy within 2 %.

    128 sequences are near capacity (256 bring a tenth more requests), where what a busy spell costs grows faster than
    the load, and a formula of the mean batch says too little: 13 % and 30 %.
    """
    t = table(model=model, tensor=ranks)
    unit = trace(20_000, 1.0)
    s = shape(unit, t.layout.windows, 8192.0)
    told = steady_state(t, h100, s, np.array([batch]), Targets(10.0, 1.0), RooflineTimer())
    deployed = engine(facts.accelerator("h100-sxm"), facts, t, preset("vllm", facts))
    per_s = (len(unit) - 1) / unit.duration_s
    r = simulate(unit.stretched(per_s / float(told.requests_per_s[0, 0])), deployed, 1)
    mean_gap = (r.end_s - r.ttft_s).sum() / r.gap_count.sum()
    assert float(told.tpot_s[0, 0]) == pytest.approx(mean_gap, rel=mean)
    assert float(told.ttft_s[0, 0]) == pytest.approx(r.ttft_s.mean(), rel=mean)
    assert float(told.tpot_percentile_s[0, 0]) == pytest.approx(np.quantile(r.tpot_s, 0.95), rel=tail)
    assert float(told.ttft_percentile_s[0, 0]) == pytest.approx(np.quantile(r.ttft_s, 0.95), rel=tail)
    assert float(told.energy_j_per_token[0, 0]) == pytest.approx(r.energy_j / r.duration_s / r.tokens_per_s, rel=0.02)


# -- what is refused ------------------------------------------------------------------------------------------------


def test_a_request_that_never_fits_is_named(one: Engine) -> None:
    t = Trace("two", "two", np.zeros(2), np.array([100, 30_000], np.int32), np.array([10, 3000], np.int32))
    tight = replace(one, cache_blocks=2000)
    with pytest.raises(DeploymentError, match=r"request 1 of two has 30,000 prompt and 3,000 .* holds 32,000"):
        simulate(t, tight, 1)
    assert len(simulate(t, replace(one, cache_blocks=-(-33_000 // 16)), 1)) == 2


def test_a_replay_beyond_the_clock(one: Engine, trace: MakeTrace) -> None:
    """64 bits of ticks are 6.67 days, whether the trace is longer or the replica falls behind."""
    late = Trace("late", "late", np.array([0.0, 600_000.0]), np.full(2, 10, np.int32), np.full(2, 5, np.int32))
    with pytest.raises(DeploymentError, match=r"late: the replay takes more than 6.67 days"):
        simulate(late, one, 1)
    just = replace(late, arrival_s=np.array([0.0, 576_459.0]))
    slow = replace(one, costs=replace(one.costs, base=one.costs.base + TICKS_PER_S))
    assert simulate(just, one, 1).duration_s == pytest.approx(576_459.0, abs=0.1)
    with pytest.raises(DeploymentError, match="if they can't keep up"):
        simulate(just, slow, 1)


def test_a_trace_too_short_to_find_a_limit(one: Engine) -> None:
    few = Trace("few", "few", np.arange(3.0), np.full(3, 10, np.int32), np.full(3, 5, np.int32))
    with pytest.raises(DeploymentError, match="meet the targets however fast its 3 requests come"):
        capacity(few, one, 1, Targets(1.0, 1.0))


@pytest.mark.parametrize("replicas", [0, -1])
def test_no_replicas(one: Engine, trace: MakeTrace, replicas: int) -> None:
    with pytest.raises(DeploymentError, match=f"replicas is {replicas}; expected an integer >= 1"):
        simulate(trace(3, 1.0), one, replicas)


def test_more_replicas_than_requests(one: Engine, trace: MakeTrace) -> None:
    r = simulate(trace(3, 1.0), one, 8)
    assert (r.end_s > 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token_budget": 0}, "token_budget is 0; expected an integer >= 1"),
        ({"max_sequences": 0}, "max_sequences is 0"),
        ({"block_tokens": -1}, "block_tokens is -1"),
        ({"max_sequences": 65, "token_budget": 64}, "max_sequences = 65 exceeds token_budget = 64"),
        ({"watermark_frac": 1.0}, "watermark_frac is 1; expected 0 up to below 1"),
        ({"watermark_frac": float("nan")}, "watermark_frac is nan"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        EngineSettings(**{"token_budget": 8192, "max_sequences": 1024, "block_tokens": 16, **changes})


def test_presets_have_names(facts: Facts) -> None:
    assert {preset(name, facts).name for name in PRESETS} == set(PRESETS)
    assert facts.subjects("engine") == tuple(sorted(f"engine-{name}" for name in PRESETS))
    with pytest.raises(DeploymentError, match=r"unknown preset 'vlm'.*vllm"):
        preset("vlm", facts)


@pytest.mark.parametrize(
    ("model", "ranks", "message"),
    [
        ("llama-3.1-405b", 2, "does not fit on TP2 x H100.* of weights per chip; use more chips"),
        ("qwen3.5-397b-a17b", 8, "does not replay linear attention yet"),
    ],
)
def test_models_that_cannot_be(table: Any, facts: Facts, model: str, ranks: int, message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        engine(facts.accelerator("h100-sxm"), facts, table(model=model, tensor=ranks), preset("vllm", facts))


def test_the_cache_takes_what_the_memory_leaves(one: Engine, table: Any, facts: Facts) -> None:
    """32 layers x 8 heads x 128 x 2 in fp8 make 65,536 bytes a token."""
    wide = engine(facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b"), preset("sglang", facts))
    assert wide.cache_blocks == one.cache_blocks // 4
    assert 50e9 < one.cache_blocks * 16 * 65_536 < 72e9
    asked = replace(preset("vllm", facts), cache_blocks=77)
    assert engine(facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b"), asked).cache_blocks == 77
