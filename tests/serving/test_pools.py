"""Two pools: what the link between them takes, by hand, and what each of them does as if alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.serving.replays import flat_engine, hand

from scoville.errors import DeploymentError
from scoville.serving import Targets
from scoville.serving.engine import Engine
from scoville.serving.pools import Link, best_split, disaggregate, scale_out
from scoville.serving.replay import FINISHED, REJECTED
from scoville.serving.settings import Fleet
from scoville.serving.simulate import simulate
from scoville.traffic import Trace

MakeTrace = Callable[..., Trace]
FAST = Link("fast", 1e15, 0.0)


def test_two_pools_by_hand() -> None:
    """Steps of 1 ms; a byte a token over 10,000 bytes/s, one cache after the other, 0.5 ms later.

    Both prompts fill the first step. Their caches take 2 and 2.8 ms and arrive at 3.5 and 6.3 ms; decodes begin then,
    and in the next step at 6.5 ms. The last request has a single token and never leaves the first pool.
    """
    t = hand([(0.0, 20, 5), (0.0, 28, 3), (0.020, 48, 1)])
    made = disaggregate(t, flat_engine(), flat_engine(), Fleet(), Fleet(), Link("slow", 1e4, 0.0005))
    np.testing.assert_allclose(made.ttft_s, [0.001, 0.001, 0.001])
    np.testing.assert_allclose(made.end_s, [0.0075, 0.0085, 0.001])
    np.testing.assert_allclose(made.max_gap_s, [0.0035, 0.0065, 0.0])
    np.testing.assert_allclose(made.tpot_s, [0.0065 / 4, 0.0075 / 2, 0.0])
    assert made.duration_s == pytest.approx(0.021)
    assert [p.steps_count for p in made.pools] == [2, 5]
    assert [p.replica_s for p in made.pools] == [pytest.approx(0.021)] * 2
    assert made.share_frac.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("routing", ["round_robin", "least_loaded"])
def test_each_prefill_replica_has_its_own_link(routing: Any) -> None:
    t = hand([(0.0, 40, 2), (0.0, 40, 2)])
    slow, engine = Link("slow", 1e4, 0.0), flat_engine()
    two = disaggregate(t, engine, engine, Fleet(replicas=2, routing=routing), Fleet(), slow)
    np.testing.assert_allclose(two.end_s, 0.001 + 0.004 + 0.001)
    one = disaggregate(t, engine, engine, Fleet(routing=routing), Fleet(), slow)
    np.testing.assert_allclose(one.end_s, [0.006, 0.010])


def test_a_pool_that_nothing_comes_to_stands_by_and_costs() -> None:
    """Single-token answers never leave the first pool; the second is there all the same."""
    prompts, answers = disaggregate(
        hand([(0.0, 48, 1), (0.010, 48, 1)]), flat_engine(), flat_engine(), Fleet(), Fleet(replicas=2), FAST
    ).pools
    assert (answers.steps_count, answers.busy_frac, answers.most_sequences_count) == (0, 0.0, 0)
    assert answers.chip_s == pytest.approx(2 * prompts.chip_s)


def test_the_timeline_of_prompts_reaches_to_the_end_of_the_answers() -> None:
    t = hand([(0.0, 48, 2000), (0.010, 48, 2)])
    prompts, answers = disaggregate(t, flat_engine(), flat_engine(), Fleet(), Fleet(), FAST).pools
    assert prompts.timeline_s[-1] == pytest.approx(answers.timeline_s[-1]) == pytest.approx(2.0)
    widths = np.diff(prompts.timeline_s, prepend=0.0)
    assert (prompts.timeline_sequences_count * widths).sum() == pytest.approx(0.002)


def test_the_first_token_is_that_of_prompts_alone(one: Engine, trace: MakeTrace) -> None:
    t = trace(300, 20.0)
    made = disaggregate(t, one, one, Fleet(replicas=2), Fleet(), FAST)
    alone = simulate(replace(t, output_tokens=np.ones_like(t.output_tokens)), one, 2)
    np.testing.assert_array_equal(made.ttft_s, alone.ttft_s)
    assert (made.outcome == FINISHED).all()
    assert made.gap_count.sum() == (t.output_tokens - 1).sum()


def test_answers_need_no_room_where_prompts_are_served() -> None:
    t = hand([(0.0, 20, 100)])
    small, large = flat_engine(blocks=2), flat_engine()
    assert disaggregate(t, small, large, Fleet(), Fleet(), FAST).served.all()
    with pytest.raises(DeploymentError, match="request 0 of hand has 20 prompt and 100 answer tokens"):
        disaggregate(t, large, small, Fleet(), Fleet(), FAST)
    with pytest.raises(DeploymentError, match="request 0 of hand has 20 prompt and 1 answer tokens"):
        disaggregate(t, flat_engine(blocks=1), large, Fleet(), Fleet(), FAST)


def test_who_is_turned_away_between_the_pools_has_no_times() -> None:
    t = hand([(0.0, 4, 50), (0.002, 4, 50), (0.004, 4, 50)])
    made = disaggregate(t, flat_engine(), flat_engine(max_sequences=1), Fleet(), Fleet(queue_limit=1), FAST)
    assert made.outcome.tolist() == [FINISHED, FINISHED, REJECTED]
    assert np.isnan([made.ttft_s[2], made.tpot_s[2], made.end_s[2]]).all()


@pytest.mark.parametrize("fleet", [Fleet(users=2), Fleet(turns_follow=True)])
def test_loops_are_for_one_pool(fleet: Fleet) -> None:
    with pytest.raises(DeploymentError, match="two pools: closed loops and turns"):
        disaggregate(hand([(0.0, 4, 4)]), flat_engine(), flat_engine(), fleet, Fleet(), FAST)


def test_every_split_is_tried_and_the_best_comes_first(one: Engine, trace: MakeTrace) -> None:
    t = trace(150, 10.0)
    found = best_split(t, one, one, 3, FAST, Targets(0.5, 0.02), tolerance_frac=0.1)
    assert sorted((s.prefill_replicas, s.decode_replicas) for s in found) == [(1, 2), (2, 1)]
    assert found[0].tokens_per_s_per_chip >= found[1].tokens_per_s_per_chip
    with pytest.raises(DeploymentError, match=r"1 chips are too few .* expected at least 2"):
        best_split(t, one, one, 1, FAST, Targets(0.5, 0.02))


def test_a_link_is_what_the_replica_has_or_none(one: Engine) -> None:
    link = scale_out("H100", one, 0.5)
    assert link.bytes_per_s == one.scale_out_bytes_per_s / 2
    with pytest.raises(DeploymentError, match="H100 has no link that leaves the replica"):
        scale_out("H100", replace(one, scale_out_bytes_per_s=0.0), 0.5)
    with pytest.raises(DeploymentError, match="link none: 0 bytes/s"):
        Link("none", 0.0, 0.0)
