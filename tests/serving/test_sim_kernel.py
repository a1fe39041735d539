"""The kernel against the oracle that takes docs/simulator.md step by step: the same schedule, tick for tick.

Many more examples, drawn anew each time, and which features they really reached:

    python -m pytest tests/serving/test_sim_kernel.py --hypothesis-profile=thorough --hypothesis-show-statistics
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, seed, settings, target
from hypothesis import strategies as st
from tests.serving.generated import (
    FEATURES,
    MOST_SEQUENCES,
    MOST_TOKENS,
    TOGETHER,
    Case,
    cases,
    flat_costs,
    mixtures,
    replay_arguments,
)

from scoville.facts import Draws, Facts
from scoville.serving import compiled
from scoville.serving.costs import TICKS_PER_S, StepCosts, compile_costs
from scoville.serving.reference import Schedule
from scoville.serving.reference import replay as replay_slowly
from scoville.serving.settings import Autoscaling, EngineSettings, Failure, Fleet
from scoville.serving.workload import workload
from scoville.timing import Chips, chips

OUTCOMES = ("finished", "rejected", "abandoned", "never came")
EXAMPLES = settings.default.max_examples  # of the profile: 100 in the suite
QUICK = settings(max_examples=EXAMPLES // 5, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=3 * EXAMPLES, suppress_health_check=list(HealthCheck))


# -- what both say -----------------------------------------------------------------------------------------------------


def told(case: Case, *, leap: bool) -> dict[str, Any]:
    """The kernel's figures, by the names of the oracle's."""
    got = compiled.replay(*replay_arguments(case), leap=leap)
    columns = "arrival lane scheduled first finish max_gap preemptions retries cached outcome"
    sums = "steps busy end most_sequences most_blocks recomputed_tokens moved_blocks replica_ticks"
    histogram = np.asarray(got.histogram)
    return {
        **{name: np.asarray(getattr(got, name)).tolist() for name in columns.split()},
        **{name: int(getattr(got, name)) for name in sums.split()},
        "histogram": {int(i): int(histogram[i]) for i in np.flatnonzero(histogram)},
        "share": np.asarray(got.share).tolist(),
        "work": np.asarray(got.work).tolist(),
        "sequence_ticks": float(got.sequence_ticks),
        "block_ticks": float(got.block_ticks),
    }


def gap_bin(ticks: int) -> int:
    """64 bins to the octave, below 128 ticks a bin each: the bin's number by counting octaves."""
    octave = 0
    while ticks >> octave >= 128:
        octave += 1
    return 64 * octave + (ticks >> octave)


def expected(s: Schedule, *, leap: bool) -> dict[str, Any]:
    """The oracle's. Within a leap the blocks in use are taken to grow evenly in time: a block per sequence too many or
    too few, and a quarter too few at worst, where steps start at no time and get longer.
    """
    rs = s.requests
    loose = s.sequence_ticks + s.block_ticks / 4 if leap else 0.0
    return {
        "arrival": [r.arrival for r in rs],
        "lane": [r.lane for r in rs],
        "scheduled": [r.scheduled for r in rs],
        "first": [r.first for r in rs],
        "finish": [r.finish for r in rs],
        "max_gap": [max(r.gaps, default=0) for r in rs],
        "preemptions": [r.preemptions for r in rs],
        "retries": [r.retries for r in rs],
        "cached": [r.cached for r in rs],
        "outcome": [OUTCOMES.index(r.outcome) for r in rs],
        "steps": s.steps,
        "busy": s.busy,
        "end": s.end,
        "most_sequences": s.most_sequences,
        "most_blocks": s.most_blocks,
        "recomputed_tokens": s.recomputed_tokens,
        "moved_blocks": s.moved_blocks,
        "replica_ticks": s.replica_ticks,
        "histogram": dict(sorted(Counter(gap_bin(gap) for gap in s.gaps).items())),
        "share": pytest.approx([r.share for r in rs], rel=1e-9),
        "work": pytest.approx(s.work, rel=1e-9),
        "sequence_ticks": pytest.approx(s.sequence_ticks),
        "block_ticks": pytest.approx(s.block_ticks, abs=loose),
    }


def makes_sense(case: Case, s: Schedule) -> None:
    """What must hold of any schedule, whoever made it."""
    for r in s.requests:
        assert r.outcome in OUTCOMES
        if r.outcome == "finished":
            assert len(r.tokens_at) == r.output - int(case.work.got[r.number])
            assert 0 <= r.arrival <= r.scheduled < r.tokens_at[0]
        else:
            assert r.scheduled == -1
    assert s.most_blocks <= case.cache_blocks // case.costs.stages
    assert s.most_sequences <= max(1, case.settings.max_sequences // case.costs.stages)
    assert sum(r.share for r in s.requests) == pytest.approx(s.busy)


def compared(case: Case) -> Schedule:
    """Hold both paths of the kernel to the oracle, and the oracle to what it was asked."""
    wanted = replay_slowly(*replay_arguments(case))
    makes_sense(case, wanted)
    for leap in (False, True):
        got, should = told(case, leap=leap), expected(wanted, leap=leap)
        differing = {name: (got[name], value) for name, value in should.items() if got[name] != value}
        assert not differing, f"leap={leap}: (kernel, oracle) {differing}\n{case!r}"
    return wanted


def agree(case: Case) -> Schedule:
    """The same for a generated case, telling what occurred."""
    wanted = compared(case)
    for what, times in wanted.happened.items():
        if times:
            event(what)
    target(float(sum(times > 0 for times in wanted.happened.values())), label="kinds of event")
    return wanted


def holds(case: Case) -> None:
    agree(case)


# -- generated ---------------------------------------------------------------------------------------------------------


@QUICK
@given(cases(()))
def test_plain_engines(case: Case) -> None:
    agree(case)


@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_alone(feature: str) -> None:
    QUICK(given(cases((feature,)))(holds))()


@pytest.mark.parametrize("features", TOGETHER, ids=", ".join)
def test_features_that_meet(features: tuple[str, ...]) -> None:
    QUICK(given(cases(features))(holds))()


@LONG
@given(mixtures())
def test_features_together(case: Case) -> None:
    agree(case)


def test_generated_cases_reach_every_feature() -> None:
    """The oracle alone, on fixed cases: what the tests above compare does happen.

    A replica that fails while it drains is too rare for so few cases: test_reference.py has one.
    """
    reached: Counter[str] = Counter()

    def look(case: Case) -> None:
        schedule = replay_slowly(*replay_arguments(case))
        makes_sense(case, schedule)
        reached.update(schedule.happened)
        reached["several tokens at once"] += 0 in schedule.gaps

    fixed = settings(max_examples=15, derandomize=False, database=None, suppress_health_check=list(HealthCheck))
    rare = [
        features for features in TOGETHER if "autoscaling" in features
    ] * 3  # draining replicas that are needed again
    for number, features in enumerate([*TOGETHER, ("fair",), ("patience",), *rare]):
        seed(number)(fixed(given(cases(features))(look)))()
    wanted = {
        *OUTCOMES, "preempted", "swapped", "swapped in", "displaced", "prompts only", "overtook by fairness",
        "not seen yet", "several tokens at once", "waited for a stage", "prefix hit", "shared", "evicted", "host hit",
        "dropped", "routed to a prefix", "balanced", "failed up", "step lost", "retried", "held",
        "started", "drained", "up again", "off",
    }  # fmt: skip
    assert {what for what in wanted if reached[what] == 0} == set(), dict(reached)


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_a_better_class_displaces_in_the_middle_of_a_leap() -> None:
    """A (1 in, 4 out, class 1) decodes in a cache of 8 when B (6 in, 2 out, class 0) comes at 13, in its second step.

    At 22 A has 2 blocks and B would find the other 6, but A's next token takes one of them first. At 33 B finds 5 and
    displaces A, although nothing has come or ended since. A's prompt begins again beside it and goes once more at 50.
    """
    work = workload(np.array([0, 13]), np.array([1, 6]), np.array([4, 2]), klass=np.array([1, 0]))
    s = EngineSettings(token_budget=7, max_sequences=2, block_tokens=1)
    done = compared(Case(work, flat_costs(10, 1), s, Fleet(), 8, 0))
    assert [r.preemptions for r in done.requests] == [2, 0]
    assert done.requests[1].scheduled == 33


def test_an_idle_rank_takes_a_batch_while_the_other_leaps() -> None:
    """Static batches, two ranks: B comes to the idle one while A's rank decodes, and joins at the next step's start."""
    work = workload(np.array([0, 25]), np.array([1, 1]), np.array([9, 1]))
    s = EngineSettings(policy="static", token_budget=4, max_sequences=1, block_tokens=1)
    done = compared(Case(work, flat_costs(10, 1, ranks=2), s, Fleet(), 10, 0))
    assert done.requests[1].scheduled == 33


def test_an_eviction_in_a_leap_may_let_a_prompt_in() -> None:
    """The last prompt is found in the cache but for its end, and 13 blocks are too many beside the decode's.

    The decode's next block is an idle entry's, which was the end of what is found: computed from there, the first chunk
    of that prompt ends earlier and needs 10 blocks in all, which there are.
    """
    ids, offsets = np.array([0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3]), np.array([0, 4, 8, 11, 15])
    prompt, output = np.array([193, 193, 145, 237]), np.array([1, 1, 20, 1])
    work = workload(np.zeros(4, np.int64), prompt, output, ids=ids, offsets=offsets, id_tokens=48)
    s = EngineSettings(token_budget=5, max_sequences=5, block_tokens=16, prefix_cache=True)
    compared(Case(work, flat_costs(10, 1), s, Fleet(), 19, 0))


def closed_loop(output: list[int], session: list[int], seats: int, *, asynchronous: bool) -> Schedule:
    """Five users of two sticky replicas: lane 0 decodes in a leap, lane 1 gives up a request at 30."""
    n = len(output)
    work = workload(np.zeros(n, np.int64), np.ones(n, np.int64), np.array(output), session=np.array(session))
    s = EngineSettings(
        token_budget=8, max_sequences=seats, block_tokens=1, asynchronous=asynchronous, patience_s=25 / TICKS_PER_S
    )
    return compared(Case(work, flat_costs(10, 0), s, Fleet(replicas=2, routing="sticky", users=5), 900, 0))


def test_a_request_that_another_groups_start_brings_is_not_seen_by_a_step_that_started_before() -> None:
    """When lane 1 gives up request 4 at 30, request 5 comes to lane 0, whose step at 30 has started by then."""
    done = closed_loop([30, 30, 30, 5, 5, 5, 5], [0, 1, 1, 1, 1, 0, 1], 2, asynchronous=False)
    assert [done.requests[5].arrival, done.requests[5].scheduled] == [30, 40]


def test_a_leap_that_an_arrival_ends_at_once_goes_on_before_later_groups_start() -> None:
    """At 30 request 5 comes as one ends, and lane 0's step has it; then lane 1 gives up one, and request 6 comes."""
    done = closed_loop([30, 30, 30, 3, 3, 5, 5], [0, 1, 1, 1, 1, 0, 0], 3, asynchronous=False)
    assert [(r.arrival, r.scheduled) for r in done.requests[5:]] == [(30, 30), (30, 40)]


def test_a_request_that_comes_as_a_step_has_started_is_seen_by_the_next_asynchronous_schedule() -> None:
    """Lane 0's step starts at 30, then lane 1 gives up a request, and request 6 comes: not after that step's start."""
    done = closed_loop([30, 30, 30, 3, 3, 5, 5], [0, 1, 1, 1, 0, 1, 0], 2, asynchronous=True)
    assert [done.requests[6].arrival, done.requests[6].scheduled] == [30, 40]


def test_decodes_that_are_displaced_again_and_again_still_end_when_they_should() -> None:
    """Each time a prompt that fills the cache displaces two decodes, which go on where they were, one token further.

    Their last decode step stays the same, whatever the number of displacements, and is expected only once.
    """
    times = 40
    arrival = [0, 5, 35, *(45 + 30 * np.arange(times))]
    prompt, output, klass = [1, 500, 1] + [500] * times, [200, 2, 200] + [2] * times, [1, 0, 1] + [0] * times
    work = workload(np.array(arrival), np.array(prompt), np.array(output), klass=np.array(klass))
    s = EngineSettings(token_budget=512, max_sequences=2, block_tokens=16)
    done = compared(Case(work, flat_costs(10, 0, most_tokens=512), s, Fleet(), 32, 0))
    assert [r.preemptions for r in done.requests[:3]] == [times + 1, 0, times]


def test_requests_that_were_held_find_all_the_draining_replicas_that_are_needed_again() -> None:
    """Replicas 1 and 2 drain when 0 fails; six requests are held until both are up again at 400, then dealt to both."""
    tick = 1 / TICKS_PER_S
    work = workload(
        np.array([0] * 6 + [150] * 3 + [360] * 6),
        np.ones(15, np.int64),
        np.array([12] * 6 + [3, 100, 100] + [4] * 6),
    )
    scaling = Autoscaling(least=1, interval_s=100 * tick, requests_per_replica=2, startup_s=tick)
    failures = [Failure(350 * tick, 0, 5000 * tick)]
    fleet = Fleet(replicas=3, routing="least_loaded", autoscaling=scaling, failures=failures)
    s = EngineSettings(token_budget=8, max_sequences=8, block_tokens=1)
    done = compared(Case(work, flat_costs(10, 0), s, fleet, 900, 0))
    assert [r.lane for r in done.requests[9:]] == [1, 2, 1, 2, 1, 2]


def test_the_same_source_runs_uncompiled() -> None:
    """NUMBA_DISABLE_JIT=1 makes plain Python of the kernel, for whoever wants to step through it."""
    program = """
import numpy as np
from tests.serving.generated import flat_costs
from scoville.serving import compiled
from scoville.serving.settings import EngineSettings, Fleet
from scoville.serving.workload import workload
s = EngineSettings(token_budget=8, max_sequences=8, block_tokens=16)
work = workload(np.array([0, 0, 18]), np.array([4, 9, 1]), np.array([3, 2, 1]))
print(compiled.replay(work, flat_costs(10, 1), s, Fleet(), 100).finish.tolist())
"""
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disabled in ("0", "1")
    ]
    assert told == ["[47, 47, 35]\n"] * 2


# -- real models -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(table: Any, h100: Chips, facts: Facts) -> Callable[[int], StepCosts]:
    """Dense, windows of 128, experts on a throttled chip, latent attention by data-parallel ranks, a pipeline."""
    b200 = chips(facts.accelerator("b200-sxm"), facts, Draws.central())
    s = EngineSettings(token_budget=MOST_TOKENS, max_sequences=MOST_SEQUENCES, block_tokens=1)
    made = [
        compile_costs(t, on, s)
        for t, on in (
            (table(model="llama-3.1-8b"), h100),
            (table(model="gpt-oss-20b", weights="declared"), h100),
            (table(model="mixtral-8x7b", tensor=2, expert=2), replace(b200, tdp_w=b200.idle_w + 100.0)),
            (table(model="deepseek-v3", attention_data=2, tensor=4, expert=8), b200),
            (table(model="llama-3.1-70b", tensor=2, pipeline=2), b200),
        )
    ]
    return made.__getitem__


@settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
@given(mixtures(), st.integers(0, 4))
def test_real_models(real: Callable[[int], StepCosts], case: Case, model: int) -> None:
    assume(case.settings.speculation is None)
    costs = real(model)
    slower = 10**8  # steps take some 1e11 ticks
    work = replace(case.work, arrival=case.work.arrival * slower, think=case.work.think * slower)
    work = replace(work, token_at=np.where(work.token_at < 0, -1, work.token_at * slower))
    blocks = case.cache_blocks // case.costs.stages * costs.stages
    fleet, s = case.fleet, case.settings
    fleet = replace(
        fleet,
        think_s=fleet.think_s * slower,
        failures=[replace(f, at_s=f.at_s * slower, repaired_s=f.repaired_s * slower) for f in fleet.failures],
        autoscaling=fleet.autoscaling
        and replace(
            fleet.autoscaling,
            interval_s=fleet.autoscaling.interval_s * slower,
            startup_s=fleet.autoscaling.startup_s * slower,
        ),
    )
    s = replace(s, patience_s=s.patience_s and s.patience_s * slower)
    agree(Case(work, costs, s, fleet, blocks, case.sequence_blocks))
