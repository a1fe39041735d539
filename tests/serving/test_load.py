"""The load that a fleet takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.serving.replays import MakeTrace, hand, same

from scoville.errors import DeploymentError
from scoville.serving import Targets
from scoville.serving.engine import Engine
from scoville.serving.load import Tried, capacity, sweep
from scoville.serving.replay import Replay
from scoville.serving.settings import Fleet
from scoville.serving.simulate import simulate
from scoville.traffic import Trace

TARGETS = Targets(ttft_s=0.5, tpot_s=0.02)


def on(one: Engine, fleet: int | Fleet = 1) -> Callable[[Trace], Replay]:
    return lambda trace: simulate(trace, one, fleet)


def test_a_load_that_is_found_is_the_last_that_holds(one: Engine, trace: MakeTrace) -> None:
    t = trace(4000, 10.0)
    found = capacity(t, on(one), TARGETS)
    assert found.replay.meets(TARGETS)
    assert same(found.replay, simulate(t.stretched(1 / found.load_frac), one, 1))
    assert not simulate(t.stretched(1 / (1.05 * found.load_frac)), one, 1).meets(TARGETS)
    slow = capacity(t.stretched(0.1), on(one), TARGETS)  # found from above
    assert slow.load_frac == pytest.approx(found.load_frac / 10, rel=0.02)


def test_all_tries_are_told(one: Engine, trace: MakeTrace) -> None:
    told: list[Tried] = []
    found = capacity(trace(1000, 10.0), on(one), TARGETS, progress=told.append)
    assert sorted(told, key=lambda x: x.load_frac) == list(found.tried)
    assert max(x.load_frac for x in told if x.met) == found.load_frac
    least_missed = min(x.load_frac for x in told if not x.met)
    assert found.load_frac < least_missed <= 1.01 * found.load_frac
    coarse = capacity(trace(1000, 10.0), on(one), TARGETS, tolerance_frac=0.2)
    assert len(coarse.tried) < len(told)
    assert coarse.load_frac <= found.load_frac <= 1.2 * coarse.load_frac


def test_goodput_rises_with_the_load_and_falls_beyond_it(one: Engine, trace: MakeTrace) -> None:
    """A request that misses its targets is throughput, but no goodput."""
    points = sweep(trace(4000, 10.0), on(one), [0.5, 1, 2, 4, 8, 16], TARGETS)
    goodput = [p.goodput_per_s for p in points]
    best = int(np.argmax(goodput))
    assert 0 < best < 5
    assert goodput[:best] == sorted(goodput[:best])
    assert goodput[best:] == sorted(goodput[best:], reverse=True)
    assert all(p.goodput_per_s <= p.requests_per_s for p in points)
    assert [p.met for p in points] == sorted((p.met for p in points), reverse=True)
    assert points[0].requests_per_s == pytest.approx(5.0, rel=0.05)
    assert points[0].tokens_per_s > 5.0 * 500


def test_twice_the_replicas_take_twice_the_load_and_more(one: Engine, trace: MakeTrace) -> None:
    """Two replicas with least-loaded routing pool their queues."""
    t = trace(3000, 10.0)
    single = capacity(t, on(one), TARGETS).load_frac
    double = capacity(t, on(one, Fleet(replicas=2, routing="least_loaded")), TARGETS).load_frac
    assert 1.9 * single < double < 2.5 * single


def test_requests_that_were_not_served_miss_the_targets(one: Engine, trace: MakeTrace) -> None:
    """With a line of one the served are served well, but more than one in twenty is sent away."""
    t = trace(1500, 60.0)
    few = replace(one, settings=replace(one.settings, max_sequences=48))
    r = simulate(t, few, Fleet(queue_limit=1))
    assert np.nanquantile(r.ttft_s, 0.95) < TARGETS.ttft_s
    assert r.ttft_percentile_s(TARGETS) == np.inf
    assert not r.meets(TARGETS)
    assert r.goodput_per_s(TARGETS) <= r.served.sum() / r.duration_s
    assert not r.met(TARGETS)[~r.served].any()


def test_targets_that_no_load_meets(one: Engine, trace: MakeTrace) -> None:
    with pytest.raises(DeploymentError, match="the fleet misses the targets even at a hundredth of its load; add repl"):
        capacity(trace(50, 1.0), on(one, 2), Targets(ttft_s=1e-6, tpot_s=1.0))


def test_a_trace_too_short_to_find_a_limit(one: Engine) -> None:
    few = hand([(0.0, 10, 5), (1.0, 10, 5), (2.0, 10, 5)])
    with pytest.raises(DeploymentError, match="meets the targets however fast its 3 requests come; only a longer"):
        capacity(few, on(one), Targets(1.0, 1.0))
