"""Replays: what is conserved, what is measured, what the steady state says, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.serving.replays import MS, MakeTrace, flat_engine, hand, same

from scoville.errors import DeploymentError
from scoville.facts import Facts
from scoville.serving import Targets, shape, steady_state
from scoville.serving.costs import TICKS_PER_S
from scoville.serving.engine import Engine, engine
from scoville.serving.reference import replay as replay_slowly
from scoville.serving.settings import Fleet, preset
from scoville.serving.simulate import simulate
from scoville.serving.workload import workload
from scoville.timing import Chips, RooflineTimer
from scoville.traffic import Trace

PRESETS = ("vllm", "sglang", "tensorrt-llm")


# -- what holds for every replay ---------------------------------------------------------------------------------------


def test_threads_do_not_show(one: Engine, trace: MakeTrace) -> None:
    t = trace(600, 60.0, scv=4.0)
    assert same(simulate(t, one, 5, threads=1), simulate(t, one, 5, threads=4))


def test_a_number_of_replicas_is_a_fleet_that_takes_turns(one: Engine, trace: MakeTrace) -> None:
    t = trace(100, 60.0)
    assert same(simulate(t, one, 3), simulate(t, one, Fleet(replicas=3)))


def test_replicas_take_turns(one: Engine, trace: MakeTrace) -> None:
    """The replicas of a fleet see what each sees alone with every third request."""
    t = trace(300, 40.0)
    fleet = simulate(t, one, 3)
    for k in range(3):
        mine = slice(k, None, 3)
        part = Trace("part", "part", t.arrival_s[mine], t.input_tokens[mine], t.output_tokens[mine])
        np.testing.assert_allclose(simulate(part, one, 1).ttft_s, fleet.ttft_s[mine], rtol=0, atol=1e-9)


def test_a_leap_is_its_steps(one: Engine, trace: MakeTrace) -> None:
    """All but the cache's occupancy within a leap, which is a mean."""
    t = trace(300, 30.0, scv=4.0)
    leaping, stepping = simulate(t, one, 2), simulate(t, one, 2, leap=False)
    a, b = leaping.pools[0], stepping.pools[0]
    assert a.leaps_count < b.leaps_count
    np.testing.assert_allclose(a.timeline_cache_frac, b.timeline_cache_frac, atol=0.005)
    np.testing.assert_allclose(leaping.share_frac, stepping.share_frac, rtol=1e-9)
    assert a.energy_j == pytest.approx(b.energy_j, rel=1e-9)
    of_sums = ("energy_j", "compute_frac", "memory_frac", "timeline_sequences_count", "timeline_cache_frac")
    rest = {name: getattr(a, name) for name in (*of_sums, "leaps_count")}
    assert same(leaping, replace(stepping, pools=(replace(b, **rest),), share_frac=leaping.share_frac))


def test_a_replay_is_the_reference_in_seconds(one: Engine, trace: MakeTrace) -> None:
    t = trace(60, 30.0, scv=9.0)
    settings = replace(one.settings, token_budget=512, max_sequences=32)
    tight = replace(one, settings=settings, cache_blocks=1200)
    t = replace(t, input_tokens=np.minimum(t.input_tokens, 8000))
    got = simulate(t, tight, 1)
    arrival = np.array([round(a * TICKS_PER_S) for a in t.arrival_s.tolist()])
    asked = workload(arrival, t.input_tokens.astype(np.int64), t.output_tokens.astype(np.int64))
    wanted = replay_slowly(asked, one.costs, settings, Fleet(), 1200, 0)
    assert got.preemptions_count.tolist() == [r.preemptions for r in wanted.requests]
    assert got.preemptions_count.sum() > 0
    last = np.array([r.finish - r.arrival for r in wanted.requests]) / TICKS_PER_S
    np.testing.assert_allclose(got.end_s, last, rtol=1e-12)
    np.testing.assert_allclose(got.ttft_s, [(r.first - r.arrival) / TICKS_PER_S for r in wanted.requests], rtol=1e-12)
    assert got.duration_s == pytest.approx(wanted.end / TICKS_PER_S)
    assert got.energy_j == pytest.approx(wanted.work[0] + one.costs.idle_w * got.duration_s)
    assert got.recomputed_tokens == wanted.recomputed_tokens
    assert got.busy_frac == pytest.approx(wanted.busy / wanted.end)
    np.testing.assert_allclose(got.share_frac, [r.share / wanted.busy for r in wanted.requests], rtol=1e-9)


@pytest.mark.parametrize("name", PRESETS)
def test_every_request_gets_its_tokens(table: Any, facts: Facts, trace: MakeTrace, name: str) -> None:
    alone = replace(preset(name, facts), request_s=0.0)
    small = engine(facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b"), alone)
    small = replace(small, cache_blocks=12_000 // small.settings.block_tokens)  # three quarters of it are always taken
    t = trace(400, 40.0)
    t = replace(t, input_tokens=np.minimum(t.input_tokens, 8000))
    r = simulate(t, small, 2)
    assert len(r) == 400
    assert r.served.all()
    assert r.came.all()
    np.testing.assert_allclose(r.arrival_s, t.arrival_s, atol=1e-9)
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
    pool = r.pools[0]
    assert r.preemptions_count.sum() == 0
    widths = np.diff(np.concatenate([[0.0], pool.timeline_s]))
    assert (widths @ pool.timeline_sequences_count) * 2 == pytest.approx((r.end_s - r.queue_s).sum())
    assert pool.timeline_sequences_count.max() <= r.most_sequences_count
    assert pool.timeline_cache_frac.max() <= r.most_cache_frac
    assert pool.timeline_s[-1] == pytest.approx(r.duration_s)


def test_the_histogram_holds_the_gaps(one: Engine, trace: MakeTrace) -> None:
    """Its mean is the mean gap within a bin's width, and the largest gap lies in its last bin."""
    r = simulate(trace(500, 30.0), one, 1)
    mean = (r.end_s - r.ttft_s).sum() / r.gap_count.sum()
    assert r.gap_s @ r.gap_count / r.gap_count.sum() == pytest.approx(mean, rel=0.016)
    last = int(np.flatnonzero(r.gap_count)[-1])
    assert r.gap_s[last - 1] <= r.max_gap_s.max() <= r.gap_s[last]


# -- what it costs and uses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("routing", ["round_robin", "least_loaded"])
def test_shares_add_up_to_the_price_of_the_fleet(one: Engine, trace: MakeTrace, routing: Any) -> None:
    """Three chips for the whole run at $2 an hour, idle time included; who asks for more pays more."""
    r = simulate(trace(300, 20.0), one, Fleet(replicas=3, routing=routing))
    assert r.chip_s == pytest.approx(3 * r.duration_s)
    assert r.share_frac.sum() == pytest.approx(1)
    assert r.cost_usd(2.0).sum() == pytest.approx(3 * r.duration_s / 3600 * 2.0)
    assert (r.share_frac > 0).all()
    both = r.input_tokens + r.output_tokens
    assert r.share_frac[both > 2000].mean() > r.share_frac[both < 500].mean()


def test_shares_by_hand() -> None:
    """Of a step of 4 prompt tokens with one of 12 the first request pays a quarter, and half of the decode after it."""
    r = simulate(hand([(0.0, 4, 2), (0.0, 12, 2)]), flat_engine(), 1)
    np.testing.assert_allclose(r.share_frac, [(1 / 4 + 1 / 2) / 2, (3 / 4 + 1 / 2) / 2])


def test_use_of_memory_by_hand(one: Engine) -> None:
    """One sequence of 8B: a step reads all weights but the table of embeddings, and 65,536 bytes for each cached token.

    8,030,261,248 parameters, 128,256 x 4,096 = 525,336,576 of them embeddings and as many in the last product, which
    stays in bf16: 7,504,924,672 + 525,336,576 bytes. 4,000 tokens after a prompt of one have a mean context of 2,001. A
    token takes 2 FLOP for each parameter, and 4 x 32 layers x 4,096 for each token of context. H100: 3.35 TB/s, 1,979
    TFLOP/s in fp8.
    """
    r = simulate(hand([(0.0, 1, 4001)]), one, 1)
    pool = r.pools[0]
    assert r.busy_frac == pytest.approx(1)
    per_step = 7_504_924_672 + 525_336_576 + 2001 * 65_536
    assert pool.memory_frac == pytest.approx(per_step / r.tpot_s[0] / 3.35e12, rel=0.01)
    flop = 2 * 7_504_924_672 + 2001 * 4 * 32 * 4096
    assert pool.compute_frac == pytest.approx(flop / r.tpot_s[0] / 1.979e15, rel=0.01)
    assert pool.link_frac == 0
    assert simulate(hand([(0.0, 1, 4001)]), one, 4).pools[0].memory_frac == pytest.approx(pool.memory_frac / 4)


def test_the_link_is_used_where_tensors_are_cut(table: Any, facts: Facts, trace: MakeTrace) -> None:
    cut = engine(facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b", tensor=2), preset("vllm", facts))
    pool = simulate(trace(100, 20.0), cut, 1).pools[0]
    assert 0 < pool.link_frac < pool.busy_frac
    assert pool.chips_count == 2
    assert pool.chip_s == 2 * pool.replica_s


def test_a_step_is_never_shorter_than_its_work(one: Engine, trace: MakeTrace) -> None:
    """No resource is used for longer than the chips are busy."""
    pool = simulate(trace(1000, 60.0), one, 1).pools[0]
    assert max(pool.compute_frac, pool.memory_frac, pool.link_frac) <= pool.busy_frac


def test_energy_lies_between_idling_and_full_power(one: Engine, trace: MakeTrace) -> None:
    """700 W is the most that an H100 takes."""
    r = simulate(trace(300, 30.0), one, 2)
    assert one.costs.idle_w < r.energy_j / r.chip_s < 700


# -- more of it never hurts --------------------------------------------------------------------------------------------


def test_more_replicas_never_raise_the_mean_ttft_of_smooth_traffic(one: Engine) -> None:
    n = 400
    even = Trace("even", "even", np.arange(n) / 50.0, np.full(n, 900, np.int32), np.full(n, 120, np.int32))
    means = [float(simulate(even, one, k).ttft_s.mean()) for k in (1, 2, 4, 8)]
    assert means == sorted(means, reverse=True)


# -- the steady state --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "ranks"), [("llama-3.1-8b", 1), ("llama-3.1-70b", 4)])
@pytest.mark.parametrize(("batch", "mean", "tail"), [(4.0, 0.1, 0.2), (32.0, 0.1, 0.2), (128.0, 0.13, 0.3)])
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
    """Means within 10 %, 95th percentiles within 20 %, energy within 2 %, of an engine that schedules between steps.

    128 sequences are near capacity (256 bring a tenth more requests), where what a busy spell costs grows faster than
    the load, and a formula of the mean batch says too little: 13 % and 30 %.
    """
    t = table(model=model, tensor=ranks)
    unit = trace(20_000, 1.0)
    s = shape(unit, t.layout.windows, 8192.0)
    between_steps = replace(preset("vllm", facts), asynchronous=False, request_s=0.0)
    told = steady_state(
        t, h100, s, np.array([batch]), Targets(10.0, 1.0), RooflineTimer(), sequence_s=between_steps.sequence_s
    )
    deployed = engine(facts.accelerator("h100-sxm"), facts, t, between_steps)
    per_s = (len(unit) - 1) / unit.duration_s
    r = simulate(unit.stretched(per_s / float(told.requests_per_s[0, 0])), deployed, 1)
    mean_gap = (r.end_s - r.ttft_s).sum() / r.gap_count.sum()
    assert float(told.tpot_s[0, 0]) == pytest.approx(mean_gap, rel=mean)
    assert float(told.ttft_s[0, 0]) == pytest.approx(r.ttft_s.mean(), rel=mean)
    assert float(told.tpot_percentile_s[0, 0]) == pytest.approx(np.quantile(r.tpot_s, 0.95), rel=tail)
    assert float(told.ttft_percentile_s[0, 0]) == pytest.approx(np.quantile(r.ttft_s, 0.95), rel=tail)
    assert float(told.energy_j_per_token[0, 0]) == pytest.approx(r.energy_j / r.duration_s / r.tokens_per_s, rel=0.02)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_request_that_never_fits_is_named(one: Engine) -> None:
    t = hand([(0.0, 100, 10), (0.0, 30_000, 3000)])
    with pytest.raises(DeploymentError, match=r"request 1 of hand has 30,000 prompt and 3,000 .* holds 32,000; use"):
        simulate(t, replace(one, cache_blocks=2000), 1)
    assert len(simulate(t, replace(one, cache_blocks=-(-33_000 // 16)), 1)) == 2


def test_microbatches_share_the_cache() -> None:
    """Ten blocks of 16 tokens make two microbatches of five each; 81 tokens need six."""
    small = flat_engine(blocks=10, stages=2)
    assert simulate(hand([(0.0, 70, 10)]), small, 1).served.all()
    with pytest.raises(DeploymentError, match="holds 80 for each of the 2 microbatches of a pipeline; use more chips"):
        simulate(hand([(0.0, 71, 10)]), small, 1)


def test_a_replay_beyond_the_clock(one: Engine) -> None:
    """64 bits of ticks are 6.67 days, whether the trace is longer or the replica falls behind."""
    late = hand([(0.0, 10, 5), (600_000.0, 10, 5)])
    with pytest.raises(DeploymentError, match=r"hand: the replay takes more than 6.67 days"):
        simulate(late, one, 1)
    just = replace(late, arrival_s=np.array([0.0, 576_459.0]))
    slow = replace(one, costs=replace(one.costs, base=one.costs.base + TICKS_PER_S))
    assert simulate(just, one, 1).duration_s == pytest.approx(576_459.0, abs=0.1)
    with pytest.raises(DeploymentError, match="if they can't keep up"):
        simulate(just, slow, 1)


def test_more_replicas_than_requests(one: Engine, trace: MakeTrace) -> None:
    r = simulate(trace(3, 1.0), one, 8)
    assert (r.end_s > 0).all()
    assert r.chip_s == pytest.approx(8 * r.duration_s)


def test_the_clock_of_the_trace_is_kept() -> None:
    """A trace that begins at 100 s: arrivals are as given, all else counts from them."""
    r = simulate(hand([(100.0, 4, 3), (100.5, 4, 1)]), flat_engine(), 1)
    np.testing.assert_allclose(r.arrival_s, [100.0, 100.5])
    np.testing.assert_allclose(r.end_s, [3 * MS, MS])
    assert r.duration_s == pytest.approx(0.501)


# -- the engine --------------------------------------------------------------------------------------------------------


def test_presets_have_names(facts: Facts) -> None:
    assert {preset(name, facts).name for name in PRESETS} == set(PRESETS)
    assert facts.subjects("engine") == tuple(sorted(f"engine-{name}" for name in PRESETS))
    with pytest.raises(DeploymentError, match=r"unknown preset 'vlm'.*vllm"):
        preset("vlm", facts)


def test_a_model_that_does_not_fit(table: Any, facts: Facts) -> None:
    big = table(model="llama-3.1-405b", tensor=2)
    with pytest.raises(DeploymentError, match=r"does not fit on TP2 x H100.* of weights per chip; use more chips"):
        engine(facts.accelerator("h100-sxm"), facts, big, preset("vllm", facts))


def test_a_cache_of_less_than_a_block(table: Any, facts: Facts) -> None:
    with pytest.raises(DeploymentError, match=r"Llama-3.1-8B on TP1 PP2 x H100.*: no cache block fits"):
        engine(
            facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b", pipeline=2),
            replace(preset("vllm", facts), cache_blocks=1),
        )  # fmt: skip


def test_a_host_tier_needs_the_bandwidth_of_the_host(table: Any, facts: Facts) -> None:
    """Llama-3.1-8B's block of 16 tokens has 2^20 bytes; an H100 moves 64 GB/s."""
    t, s = table(model="llama-3.1-8b"), replace(preset("vllm", facts), on_preemption="swap", host_blocks=100)
    assert engine(facts.accelerator("h100-sxm"), facts, t, s).costs.block == round(2**20 / 64e9 * TICKS_PER_S)
    with pytest.raises(DeploymentError, match="nobody has published host_bandwidth of jalapeno; add it with --facts"):
        engine(facts.accelerator("jalapeno"), facts, t, s)


def test_linear_attention_has_a_state_and_a_cache(table: Any, facts: Facts, trace: MakeTrace) -> None:
    """Each sequence holds blocks of state from its admission on."""
    t = table(model="qwen3.5-397b-a17b", tensor=8)
    hybrid = engine(facts.accelerator("h200-sxm"), facts, t, preset("vllm", facts))
    assert hybrid.sequence_blocks > 0
    short = simulate(hand([(0.0, 1, 1)]), hybrid, 1)
    assert short.most_cache_frac == pytest.approx((hybrid.sequence_blocks + 1) / hybrid.lane_blocks)


def test_the_cache_takes_what_the_memory_leaves(one: Engine, table: Any, facts: Facts) -> None:
    """32 layers x 8 heads x 128 x 2 in fp8 make 65,536 bytes a token."""
    wide = engine(facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b"), preset("tensorrt-llm", facts))
    assert wide.cache_blocks == one.cache_blocks // 2
    assert 50e9 < one.cache_blocks * 16 * 65_536 < 72e9
    assert one.cache_bytes_per_token == 65_536
    asked = replace(preset("vllm", facts), cache_blocks=77)
    assert engine(facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b"), asked).cache_blocks == 77
