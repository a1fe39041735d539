"""How an engine schedules: what each of its features does to what users see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.serving.replays import MS, MakeTrace, flat_engine, hand, same

from scoville.errors import TrafficError
from scoville.facts import Draws, Facts
from scoville.serving.engine import Engine, engine
from scoville.serving.replay import ABANDONED, FINISHED
from scoville.serving.settings import Fleet, Speculation, preset
from scoville.serving.simulate import simulate
from scoville.timing import RooflineTimer, chips
from scoville.transformer.step import uniform_mix


def with_settings(of: Engine, **changes: Any) -> Engine:
    return replace(of, settings=replace(of.settings, **changes))


# -- policies ----------------------------------------------------------------------------------------------------------


def test_prompts_first_trade_gaps_for_first_tokens(one: Engine, trace: MakeTrace) -> None:
    t = trace(2000, 30.0)
    mixed = simulate(t, one, 1)
    eager = simulate(t, with_settings(one, policy="prefill_first"), 1)
    assert eager.ttft_s.mean() < mixed.ttft_s.mean()
    assert eager.gap_count.sum() == mixed.gap_count.sum()


def test_static_batches_are_slower_than_continuous_ones(one: Engine, trace: MakeTrace) -> None:
    """A batch waits for its longest answer (Yu et al., Orca, OSDI 2022)."""
    t = trace(500, 10.0)
    static, continuous = (
        simulate(t, with_settings(one, policy=p, max_sequences=32), 1) for p in ("static", "decode_first")
    )
    assert static.ttft_s.mean() > 3 * continuous.ttft_s.mean()
    assert static.duration_s > continuous.duration_s
    assert static.served.all()


def test_full_reservation_runs_fewer_at_once_and_preempts_none(one: Engine, trace: MakeTrace) -> None:
    t = trace(400, 40.0, spread=0.4)
    small = replace(one, cache_blocks=1000)
    full, eager = simulate(t, with_settings(small, reservation="full"), 1), simulate(t, small, 1)
    assert full.most_sequences_count < eager.most_sequences_count
    assert full.preemptions_count.sum() == 0 < eager.preemptions_count.sum()


def test_larger_budgets_serve_prompts_sooner_and_make_decodes_wait(one: Engine, trace: MakeTrace) -> None:
    """A chunk shares its step with decodes (Agrawal et al., Sarathi-Serve, OSDI 2024)."""
    t = trace(1000, 25.0, spread=1.2)
    small, large = (simulate(t, with_settings(one, token_budget=b, max_sequences=256), 1) for b in (512, 8192))
    assert np.quantile(large.max_gap_s, 0.95) > 1.5 * np.quantile(small.max_gap_s, 0.95)
    assert large.ttft_s.mean() < small.ttft_s.mean()


# -- asynchronous scheduling -------------------------------------------------------------------------------------------


def test_asynchronous_scheduling_hides_the_host(table: Any, facts: Facts) -> None:
    """All requests at once and prompts of one token: the same steps, none slower, all faster by the host's time."""
    h100, t, s = facts.accelerator("h100-sxm"), table(model="llama-3.1-8b"), preset("vllm", facts)
    decodes = hand([(0.0, 1, 50 + i) for i in range(60)])
    serial, beside = (simulate(decodes, engine(h100, facts, t, replace(s, asynchronous=a)), 1) for a in (False, True))
    assert serial.steps_count == beside.steps_count
    assert (beside.end_s < serial.end_s).all()
    host_s = chips(h100, facts, Draws.central()).step_overhead_s[0]
    saved = (serial.end_s - beside.end_s)[-1] / serial.steps_count
    assert 0 < saved <= host_s * 1.5


def test_asynchronous_scheduling_sees_requests_a_step_later() -> None:
    """B comes during the step from 0 to 1 ms, whose successor was made by then, so that it starts at 2 ms."""
    t = hand([(0.0, 4, 4), (0.5 * MS, 4, 1)])
    np.testing.assert_allclose(simulate(t, flat_engine(), 1).queue_s, [0.0, 0.5 * MS])
    np.testing.assert_allclose(simulate(t, flat_engine(asynchronous=True), 1).queue_s, [0.0, 1.5 * MS])


# -- speculation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drafts", [1, 3, 5])
def test_drafts_that_are_always_accepted(drafts: int) -> None:
    """A prompt of one token gives one answer token, each of 100 steps after it drafts + 1."""
    always = flat_engine(speculation=Speculation((1.0,) * drafts))
    r = simulate(hand([(0.0, 1, 1 + 100 * (drafts + 1))]), always, 1)
    assert r.steps_count == 101
    assert r.end_s[0] == pytest.approx(101 * MS)
    assert r.gap_count.sum() == 100 * (drafts + 1)


def test_drafts_that_are_never_accepted() -> None:
    """Where a token more in a step costs nothing, drafts in vain change nothing."""
    t = hand([(0.0003 * i, 1 + i % 7, 5 + 11 * i % 30) for i in range(40)])
    without = simulate(t, flat_engine(max_sequences=4), 1)
    vain = simulate(t, flat_engine(max_sequences=4, speculation=Speculation((0.0, 0.0))), 1)
    np.testing.assert_array_equal(vain.end_s, without.end_s)
    np.testing.assert_array_equal(vain.gap_count, without.gap_count)
    assert vain.steps_count == without.steps_count


@pytest.mark.parametrize(("a", "drafts"), [(0.5, 2), (0.8, 4), (0.9, 7)])
def test_tokens_per_step_by_the_formula(a: float, drafts: int) -> None:
    """(1 - a^(k + 1)) / (1 - a) (Leviathan, Kalman and Matias, ICML 2023, equation 1), within four standard errors."""
    tokens = 20_000
    r = simulate(hand([(0.0, 1, 1 + tokens)]), flat_engine(max_sequences=1, speculation=Speculation((a,) * drafts)), 1)
    steps = r.steps_count - 1
    assert tokens / steps == pytest.approx((1 - a ** (drafts + 1)) / (1 - a), abs=4 * drafts / 2 / steps**0.5)


def test_acceptance_by_position() -> None:
    """The second draft counts only where the first was accepted: 1 + 0.8 + 0.8 x 0.25 tokens per step."""
    r = simulate(hand([(0.0, 1, 20_001)]), flat_engine(speculation=Speculation((0.8, 0.25))), 1)
    assert 20_000 / (r.steps_count - 1) == pytest.approx(2.0, rel=0.02)


def test_drafting_takes_its_share_of_a_pass() -> None:
    """Two drafts at a quarter of a pass make a decode step half as long again; the prompt's step has none."""
    r = simulate(hand([(0.0, 1, 31)]), flat_engine(speculation=Speculation((1.0, 1.0), pass_frac=0.25)), 1)
    assert r.end_s[0] == pytest.approx((1 + 10 * 1.5) * MS)


def test_speculation_pays_where_batches_are_small(table: Any, facts: Facts) -> None:
    """A step of few sequences is bound by reading the weights, which drafts share; one of many by compute."""
    h100, t, s = facts.accelerator("h100-sxm"), table(model="llama-3.1-8b"), preset("vllm", facts)
    plain = engine(h100, facts, t, s)
    drafting = engine(h100, facts, t, replace(s, speculation=Speculation((0.7, 0.6, 0.5), pass_frac=1 / 32)))

    def gain(sequences: int) -> float:
        together = hand([(0.0, 1, 400)] * sequences)
        return float(simulate(together, plain, 1).tpot_s.mean() / simulate(together, drafting, 1).tpot_s.mean())

    assert gain(1) > 1.8
    assert gain(1) > gain(100) > gain(1000)


def test_the_seed_decides_which_drafts_are_accepted() -> None:
    t = hand([(0.0, 1, 500), (0.0, 1, 500)])
    e = flat_engine(speculation=Speculation((0.5, 0.5)))
    first, again, other = (simulate(t, e, Fleet(seed=s)) for s in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


# -- data-parallel attention and pipelines -----------------------------------------------------------------------------


def test_ranks_with_equal_requests_take_the_time_of_one_with_half() -> None:
    """Two ranks of data-parallel attention step together and each has every second request."""
    pairs = [(i // 2 * 0.002, 3 + i // 2 % 5, 4 + i // 2 % 9) for i in range(60)]
    both = simulate(hand(pairs), flat_engine(token_s=0.01 * MS, ranks=2), 1)
    half = simulate(hand(pairs[::2]), flat_engine(token_s=0.01 * MS), 1)
    np.testing.assert_array_equal(both.end_s[::2], half.end_s)
    np.testing.assert_array_equal(both.end_s[1::2], half.end_s)
    assert both.steps_count == half.steps_count


def test_ranks_wait_for_the_fullest() -> None:
    """Rank 0 has a prompt of 40 tokens, rank 1 one of 2: both steps take as long as 40 tokens do."""
    r = simulate(hand([(0.0, 40, 1), (0.0, 2, 1)]), flat_engine(token_s=0.1 * MS, ranks=2), 1)
    np.testing.assert_allclose(r.ttft_s, [5 * MS, 5 * MS])


def test_experts_are_shared_by_the_ranks(table: Any, facts: Facts) -> None:
    """Two ranks with a request each are slower than one alone: experts see the tokens of both."""
    h200 = facts.accelerator("h200-sxm")
    t = table(model="deepseek-v3", attention_data=8, expert=8)
    e = engine(h200, facts, t, preset("vllm", facts))
    alone, all_ranks = (simulate(hand([(0.0, 2000, 50)] * n), e, 1) for n in (1, 8))
    assert alone.end_s[0] < all_ranks.end_s[0] < 8 * alone.end_s[0]
    uneven = engine(h200, facts, t, replace(preset("vllm", facts), expert_imbalance_frac=1.5))
    assert simulate(hand([(0.0, 2000, 50)] * 8), uneven, 1).ttft_s[0] > all_ranks.ttft_s[0]


def test_a_pipeline_by_hand() -> None:
    """Two stages, 1 ms a step: A's prompt passes them from 0 to 2 ms, B's, in the other microbatch, from 1 to 3 ms.

    A's decodes then start at 2, 4, 6 ms ..., B's at 3, 5, 7 ms.
    """
    r = simulate(hand([(0.0, 4, 4), (0.0, 4, 4)]), flat_engine(stages=2), 1)
    np.testing.assert_allclose(r.ttft_s, [2 * MS, 3 * MS])
    np.testing.assert_allclose(r.tpot_s, [2 * MS, 2 * MS])


def test_a_pipeline_gives_a_token_every_stages_stage_times(table: Any, facts: Facts) -> None:
    """Two microbatches of 64 decodes, both busy: a token each for every two stage times of the timer."""
    h100 = facts.accelerator("h100-sxm")
    t = table(tensor=2, pipeline=2)
    e = engine(h100, facts, t, replace(preset("vllm", facts), asynchronous=False, sequence_s=0.0))
    r = simulate(hand([(0.0, 1, 2001)] * 128), e, 1)
    mix = uniform_mix(t.architecture, decode_sequences=64, context_tokens=1000)
    stage = RooflineTimer().time(t, chips(h100, facts, Draws.central()), t.layout.features(mix)).stage_s[0, 0]
    assert r.tpot_s.mean() == pytest.approx(2 * stage, rel=0.01)


# -- classes, fairness, patience ---------------------------------------------------------------------------------------


def test_a_better_class_waits_less(one: Engine, trace: MakeTrace) -> None:
    t = trace(1500, 60.0)
    classes = np.arange(1500) % 2
    few = with_settings(one, max_sequences=64)
    plain, ranked = simulate(t, few, 1), simulate(replace(t, priority=classes), few, 1)
    first = classes == 0
    assert ranked.queue_s[first].mean() < 0.2 * plain.queue_s[first].mean()
    assert ranked.queue_s[~first].mean() > plain.queue_s[~first].mean()
    assert ranked.served.all()


def test_an_offline_class_fills_the_valleys(one: Engine, trace: MakeTrace) -> None:
    """A heap of offline work at the start is served beside the day's traffic, which hardly notices."""
    online = trace(600, 5.0)
    heap = [(0.0, 1000, 200)] * 400
    offline = hand(heap)
    both = replace(
        online,
        arrival_s=np.concatenate([offline.arrival_s, online.arrival_s]),
        input_tokens=np.concatenate([offline.input_tokens, online.input_tokens]),
        output_tokens=np.concatenate([offline.output_tokens, online.output_tokens]),
        priority=np.repeat([1, 0], [400, 600]),
    )
    few = with_settings(one, max_sequences=32)
    alone, beside = simulate(online, few, 1), simulate(both, few, 1)
    assert beside.served.all()
    assert beside.busy_frac > alone.busy_frac
    assert np.quantile(beside.queue_s[400:], 0.95) < 0.1 < np.median(beside.queue_s[:400])


def greedy(one: Engine, trace: MakeTrace) -> tuple[Any, Any]:
    """A trace of two clients, of whom 0 asks for nine tenths, and an engine that one of them overloads."""
    t = trace(1500, 60.0)
    clients = (np.arange(1500) % 10 == 0).astype(int)
    return replace(t, client_ids=clients), with_settings(one, max_sequences=48)


def test_fairness_protects_from_a_greedy_client(one: Engine, trace: MakeTrace) -> None:
    """The other one's P95 wait is a fraction of what it is without (Sheng et al., OSDI 2024)."""
    t, few = greedy(one, trace)
    plain, fair = simulate(t, few, 1), simulate(t, with_settings(few, fair=True), 1)
    other = t.client_ids == 1
    waits = [np.quantile(r.queue_s[other], 0.95) for r in (plain, fair)]
    assert waits[1] < 0.2 * waits[0]
    assert fair.served.all()
    assert fair.duration_s == pytest.approx(plain.duration_s, rel=0.05)


def test_fairness_needs_clients(trace: MakeTrace) -> None:
    with pytest.raises(
        TrafficError, match="made, synthesised has no client_ids, which fairness goes by; it has arrival_s, input"
    ):
        simulate(trace(5, 1.0), flat_engine(fair=True), 1)


def test_who_has_no_patience_is_counted_and_never_served(one: Engine, trace: MakeTrace) -> None:
    t = trace(1500, 60.0)
    few = with_settings(one, max_sequences=48)
    patient, hasty = simulate(t, few, 1), simulate(t, with_settings(few, patience_s=1.0), 1)
    gone = hasty.outcome == ABANDONED
    assert 0 < gone.sum() < 1500
    assert (hasty.outcome[~gone] == FINISHED).all()
    assert np.isnan(hasty.ttft_s[gone]).all()
    assert np.isnan(hasty.end_s[gone]).all()
    assert (hasty.share_frac[gone] == 0).all()
    assert hasty.came.all()
    assert hasty.queue_s[~gone].max() < 1.0 < patient.queue_s.max()
    assert hasty.gap_count.sum() == (t.output_tokens[~gone] - 1).sum()


# -- preemption --------------------------------------------------------------------------------------------------------


def test_swapping_saves_what_recomputation_loses(table: Any, facts: Facts, trace: MakeTrace) -> None:
    h100, t8 = facts.accelerator("h100-sxm"), table(model="llama-3.1-8b")
    s = replace(preset("vllm", facts), cache_blocks=1000)
    t = trace(300, 40.0, spread=0.4)
    again = simulate(t, engine(h100, facts, t8, s), 1)
    swapped = simulate(t, engine(h100, facts, t8, replace(s, on_preemption="swap", host_blocks=100_000)), 1)
    assert again.recomputed_tokens > 0 == again.pools[0].moved_blocks_count
    assert swapped.recomputed_tokens == 0 < swapped.pools[0].moved_blocks_count
    assert swapped.preemptions_count.sum() > 0
    assert swapped.served.all()


def test_moving_blocks_takes_time() -> None:
    """Two requests of 24 in, 40 out in a cache of seven blocks of 16 tokens: at 49 tokens each would need four.

    The second one goes with 48 tokens, three blocks, and comes back when the first is done: six times 0.5 ms.
    """
    t = hand([(0.0, 24, 40), (0.0, 24, 40)])
    tight = flat_engine(blocks=7, on_preemption="swap", host_blocks=10, block_s=0.5 * MS)
    r = simulate(t, tight, 1)
    assert r.preemptions_count.tolist() == [0, 1]
    assert r.pools[0].moved_blocks_count == 6
    free = simulate(t, flat_engine(blocks=7, on_preemption="swap", host_blocks=10), 1)
    assert r.duration_s == pytest.approx(free.duration_s + 6 * 0.5 * MS)
