"""The oracle itself, against schedules worked by hand: a step takes 10 ticks and 1 per token unless said otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.serving.generated import flat_costs

from scoville.serving.costs import SHARE_BITS, TICKS_PER_S, StepCosts
from scoville.serving.reference import Schedule
from scoville.serving.reference import replay as replay_slowly
from scoville.serving.reference_router import random
from scoville.serving.settings import Autoscaling, EngineSettings, Failure, Fleet, Speculation
from scoville.serving.workload import workload

COSTS = flat_costs(10, 1)


def replay(
    requests: list[tuple[int, int, int]],
    *,
    costs: StepCosts = COSTS,
    fleet: Fleet = Fleet(),  # noqa: B008
    blocks: int = 100,
    state: int = 0,
    columns: dict[str, Any] | None = None,
    **engine: Any,
) -> Schedule:
    """Replay (arrival, prompt, answer) with a budget of 8 tokens, 8 sequences and blocks of a token."""
    arrival, prompt, output = (np.array(x, np.int64) for x in zip(*requests, strict=True))
    more = {k: v if k == "id_tokens" else np.array(v, np.int64) for k, v in (columns or {}).items()}
    s = EngineSettings(**{"token_budget": 8, "max_sequences": 8, "block_tokens": 1, **engine})
    return replay_slowly(workload(arrival, prompt, output, **more), costs, s, fleet, blocks, state)


def tokens(s: Schedule) -> list[list[int]]:
    return [r.tokens_at for r in s.requests]


def seconds(ticks: int) -> float:
    return ticks / TICKS_PER_S


# -- one lane ----------------------------------------------------------------------------------------------------------


def test_chunks_share_steps_with_decodes() -> None:
    """A (4 in, 3 out) and B (9 in, 2 out) arrive at 0, C (1 in, 1 out) at 18.

    0-18: A 4, B 4 of 9. 18-35: A decodes, B 5, and C, who came just in time, 1 of the 2 left. 35-47: A and B decode.
    A is charged with 18 x 4/8 + 17 x 1/7 + 12 x 1/2 ticks.
    """
    done = replay([(0, 4, 3), (0, 9, 2), (18, 1, 1)], block_tokens=16)
    assert tokens(done) == [[18, 35, 47], [35, 47], [35]]
    assert [r.scheduled for r in done.requests] == [0, 0, 18]
    assert (done.steps, done.busy, done.end, done.most_sequences, done.most_blocks) == (3, 47, 47, 3, 3)
    assert done.requests[0].share == pytest.approx(9 + 17 / 7 + 6)
    assert done.sequence_ticks == 2 * 18 + 3 * 17 + 2 * 12
    assert done.replica_ticks == 47


def test_the_last_admitted_makes_room_and_starts_over() -> None:
    """Two requests of 4 in, 5 out in a cache of 9 tokens: both prompts, but only one further token at a time.

    0-18 both prompts. At 18 the first gets the ninth place, the second goes with 4 computed tokens and one answer
    token. The first ends alone at 18 + 4 x 11 = 62, the second computes 5 tokens again, 62-77, and decodes 3 times.
    """
    done = replay([(0, 4, 5), (0, 4, 5)], blocks=9)
    assert [r.finish for r in done.requests] == [62, 110]
    assert done.requests[1].gaps == [59, 11, 11, 11]
    assert (done.recomputed_tokens, [r.preemptions for r in done.requests]) == (4, [0, 1])


def test_swapped_tokens_come_back() -> None:
    """The same with room for 4 blocks on the host, 2 ticks each: 18-37 and 70-89 wait 8 ticks for them.

    18-37: the first decodes, while 4 blocks leave. It ends at 37 + 3 x 11 = 70. 70-89: the second computes 1 token on
    top of 4, and decodes 3 times.
    """
    costs = flat_costs(10, 1, block=2)
    done = replay([(0, 4, 5), (0, 4, 5)], blocks=9, costs=costs, on_preemption="swap", host_blocks=4)
    assert tokens(done) == [[18, 37, 48, 59, 70], [18, 89, 100, 111, 122]]
    assert (done.recomputed_tokens, done.moved_blocks) == (0, 8)
    without_room = replay([(0, 4, 5), (0, 4, 5)], blocks=9, costs=costs, on_preemption="swap", host_blocks=3)
    assert (without_room.recomputed_tokens, without_room.moved_blocks) == (4, 0)


def test_a_sequences_state_takes_blocks() -> None:
    """3 in, 2 out need 4 tokens in the cache and 5 blocks of state each: 10 blocks hold one of two requests."""
    done = replay([(0, 3, 2), (0, 3, 2)], blocks=10, state=5)
    assert tokens(done) == [[13, 24], [37, 48]]
    assert done.most_blocks == 9


def test_prompts_first_let_decodes_wait() -> None:
    """B's prompt of 12 takes two steps, 15-33 and 33-47, in which A, in decode since 15, gets nothing."""
    done = replay([(0, 5, 3), (1, 12, 2)], policy="prefill_first")
    assert tokens(done) == [[15, 59, 70], [47, 59]]


def test_a_static_batch_is_served_to_its_end() -> None:
    """B comes at 5, while A is served until 14 + 2 x 11 = 36, and starts then."""
    done = replay([(0, 4, 3), (5, 4, 1)], policy="static")
    assert tokens(done) == [[14, 25, 36], [50]]


def test_the_whole_answer_is_reserved() -> None:
    """Nine blocks hold one request of 4 + 5, though both prompts would fit."""
    done = replay([(0, 4, 5), (0, 4, 5)], blocks=9, reservation="full")
    assert tokens(done) == [[14, 25, 36, 47, 58], [72, 83, 94, 105, 116]]
    assert done.most_blocks == 9


def test_a_better_class_takes_the_seat() -> None:
    """One seat. B, better, comes at 1 and displaces A at 14, with its 4 tokens; A starts over with 5 at 38."""
    done = replay([(0, 4, 3), (1, 4, 2)], max_sequences=1, columns={"klass": [1, 0]})
    assert tokens(done) == [[14, 54, 65], [28, 39]]
    assert (done.recomputed_tokens, done.requests[0].preemptions) == (4, 1)


def test_the_client_that_got_less_is_next() -> None:
    """One seat, all there at 0: client 0 has the first three requests, client 1 the last, which is second."""
    columns = {"client": [0, 0, 0, 1]}
    done = replay([(0, 2, 1)] * 4, max_sequences=1, fair=True, columns=columns)
    assert [r.finish for r in done.requests] == [12, 36, 48, 24]


def test_who_waits_too_long_is_gone() -> None:
    """One seat, patience of 20: at 14 B, there since 1, still waits; at 25 it has waited 24. C is served then."""
    done = replay([(0, 4, 2), (1, 4, 1), (20, 4, 1)], max_sequences=1, patience_s=seconds(20))
    assert [r.outcome for r in done.requests] == ["finished", "abandoned", "finished"]
    assert tokens(done) == [[14, 25], [], [39]]


def test_the_schedule_is_made_a_step_ahead() -> None:
    """The step 14-25 was planned before B came at 3, so that B is in the next; C comes when nothing else is left."""
    done = replay([(0, 4, 3), (3, 2, 1), (40, 2, 1)], asynchronous=True)
    assert tokens(done) == [[14, 25, 38], [38], [52]]
    alone = replay([(0, 4, 1), (3, 2, 1)], asynchronous=True)
    assert tokens(alone) == [[14], [26]]


def test_accepted_drafts_come_at_once() -> None:
    """Two drafts, always or never right. A decode counts 3 tokens; drafting costs 2/4 of a pass of 11 ticks: 13 + 5."""
    costs = flat_costs(10, 1, drafts=2, draft_share=1 << (SHARE_BITS - 2))
    always = replay([(0, 4, 6)], costs=costs, max_sequences=2, speculation=Speculation((1.0, 1.0), 0.25))
    assert tokens(always) == [[14, 32, 32, 32, 50, 50]]
    never = replay([(0, 4, 3)], costs=costs, max_sequences=2, speculation=Speculation((0.0, 1.0), 0.25))
    assert tokens(never) == [[14, 32, 50]]


def test_random_is_splitmix64() -> None:
    """The first outputs of the generator for seed 0, from its published C source: the state grows by the constant."""
    assert random(0, 0, 0) == _mixed(_mixed(0)) >> 32
    assert _mixed(0) == 0xE220A8397B1DCDAF


def _mixed(z: int) -> int:
    word = 2**64
    z = (z + 0x9E3779B97F4A7C15) % word
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) % word
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) % word
    return z ^ z >> 31


# -- the prefix cache --------------------------------------------------------------------------------------------------

PREFIXES: dict[str, Any] = {"block_tokens": 2, "prefix_cache": True}


def test_a_prefix_is_found_once_it_is_computed() -> None:
    """B has A's two ids, 2 tokens each, and one token more: it computes that one only. C, which has
    only what is there, computes its last id again.
    """
    columns = {"ids": [0, 1, 0, 1, 0, 1], "offsets": [0, 2, 4, 6], "id_tokens": 2}
    done = replay([(0, 4, 1), (14, 5, 1), (25, 4, 1)], columns=columns, **PREFIXES)
    assert tokens(done) == [[14], [25], [37]]
    assert [r.cached for r in done.requests] == [0, 4, 2]
    assert done.most_blocks == 3


def test_the_least_recently_idle_goes_first() -> None:
    """Five blocks. A leaves ids 0 and 1, B ids 2 and 3, the last of each idle first. C, of 4 blocks, takes the free one
    and those of 1, 0 and 3, so that id 2 is all that D finds.
    """
    columns = {"ids": [0, 1, 2, 3, 2, 3], "offsets": [0, 2, 4, 4, 6], "id_tokens": 2}
    done = replay([(0, 4, 1), (20, 4, 1), (40, 8, 1), (60, 5, 1)], blocks=5, columns=columns, **PREFIXES)
    assert [r.cached for r in done.requests] == [0, 0, 0, 2]
    assert done.happened["evicted"] == 3


def test_evicted_prefixes_come_back_from_the_host() -> None:
    """The same with room for three on the host: 3 go there for C, beside its step; D has id 2 and loads 3 (3 ticks)."""
    columns = {"ids": [0, 1, 2, 3, 2, 3], "offsets": [0, 2, 4, 4, 6], "id_tokens": 2}
    arrivals = [(0, 4, 1), (20, 4, 1), (40, 8, 1), (70, 5, 1)]
    done = replay(arrivals, blocks=5, costs=flat_costs(10, 1, block=3), columns=columns, host_blocks=3, **PREFIXES)
    assert [r.cached for r in done.requests] == [0, 0, 0, 4]
    assert tokens(done) == [[14], [34], [40 + 18], [70 + 11 + 3]]
    assert done.moved_blocks == 1


# -- groups and pipelines ----------------------------------------------------------------------------------------------


def test_ranks_step_together() -> None:
    """Two ranks: lane 0 computes 5 tokens while lane 1 computes 2, and what all do takes 3 ticks per token of both."""
    shared = 3 * np.arange(2 * 48 + 1)
    done = replay([(0, 5, 1), (0, 2, 2)], costs=flat_costs(10, 1, ranks=2, shared=shared))
    assert [r.lane for r in done.requests] == [0, 1]
    assert tokens(done) == [[36], [36, 36 + 11 + 3]]
    assert done.requests[0].share == pytest.approx(36 * 5 / 7)


def test_microbatches_follow_each_other_through_the_stages() -> None:
    """Two stages: A 0-14 and 14-28, B enters the first at 14: 14-24 + 2, 28-40. A's next token: first stage 28-39."""
    done = replay([(0, 4, 2), (0, 2, 1)], costs=flat_costs(10, 1, stages=2))
    assert [r.lane for r in done.requests] == [0, 1]
    assert tokens(done) == [[28, 51], [40]]
    assert (done.steps, done.busy) == (3, 14 + 12 + 11)


# -- fleets ------------------------------------------------------------------------------------------------------------


def test_a_failed_replicas_requests_go_elsewhere() -> None:
    """Replica 0 fails at 20, in A's second token: A starts over on replica 1 with its first, beside B at 25."""
    fleet = Fleet(replicas=2, failures=[Failure(seconds(20), 0, seconds(1000))])
    done = replay([(0, 4, 3), (0, 4, 3)], fleet=fleet)
    assert tokens(done) == [[14, 41, 52], [14, 25, 41]]
    assert [(r.lane, r.retries) for r in done.requests] == [(1, 1), (1, 0)]
    assert (done.recomputed_tokens, done.steps) == (4, 5)


def test_requests_are_held_until_a_repair() -> None:
    fleet = Fleet(failures=[Failure(seconds(5), 0, seconds(100))])
    done = replay([(0, 4, 1), (50, 4, 1)], fleet=fleet)
    assert tokens(done) == [[118], [118]]
    assert (done.steps, done.replica_ticks) == (1, 118)
    assert [r.scheduled for r in done.requests] == [0, 100]


def test_a_queue_that_is_full_turns_away() -> None:
    """A limit of one, and one seat: A waits until the step starts, after all arrivals of that instant."""
    done = replay([(0, 4, 1), (0, 4, 1), (1, 4, 1), (2, 4, 1)], max_sequences=1, fleet=Fleet(queue_limit=1))
    assert [r.outcome for r in done.requests] == ["finished", "rejected", "finished", "rejected"]


def test_users_ask_again_when_they_have_thought() -> None:
    done = replay([(0, 4, 1)] * 3, fleet=Fleet(users=1, think_s=seconds(6)))
    assert [r.arrival for r in done.requests] == [0, 20, 40]


def test_turns_follow_their_predecessors() -> None:
    """B thinks 5 ticks after A; C follows D, which is rejected."""
    columns = {"parent": [-1, 0, 3, -1], "think": [0, 5, 0, 0]}
    done = replay(
        [(0, 4, 1), (0, 4, 1), (0, 4, 1), (0, 4, 1)], columns=columns, fleet=Fleet(turns_follow=True, queue_limit=1)
    )
    assert [r.outcome for r in done.requests] == ["finished", "finished", "never came", "rejected"]
    assert [r.arrival for r in done.requests] == [0, 19, -1, 0]


def test_replicas_start_and_drain() -> None:
    """Looked at every 10 ticks, one request a replica: at 10 three want two more, of which there is one.

    It is up at 25 and gets D at 26: 26-40, 40-51, 51-62. Replica 0 serves A, B and C one after another, until 42. At 50
    one request is left: replica 1 drains, and is off at 62, with D.
    """
    scaling = Autoscaling(least=1, interval_s=seconds(10), requests_per_replica=1, startup_s=seconds(15))
    fleet = Fleet(replicas=2, routing="least_loaded", autoscaling=scaling)
    done = replay([(0, 4, 1), (1, 4, 1), (2, 4, 1), (26, 4, 3)], max_sequences=1, fleet=fleet)
    assert tokens(done) == [[14], [28], [42], [40, 51, 62]]
    assert [r.lane for r in done.requests] == [0, 0, 0, 1]
    assert done.replica_ticks == 62 + (62 - 10)


def test_a_draining_replica_is_needed_again_or_fails() -> None:
    """Replica 1, ordered at 10, gets D at 12 and drains at 20 or 30, when A and D are left of four, 2 a replica.

    With E and F at 35, four at 40 want it back. If it fails at 33 instead, it is off: D starts over beside A, and at 40
    it is started anew.
    """
    scaling = Autoscaling(least=1, interval_s=seconds(10), requests_per_replica=2, startup_s=seconds(1))
    asked = [(0, 4, 9), (0, 1, 1), (1, 1, 1), (12, 4, 9), (35, 1, 9), (35, 1, 9)]
    fleet = Fleet(replicas=2, routing="least_loaded", autoscaling=scaling)
    back = replay(asked, fleet=fleet)
    assert [back.happened[x] for x in ("started", "drained", "up again")] == [1, 2, 1]
    assert [r.lane for r in back.requests] == [0, 0, 0, 1, 0, 0]
    lost = replay(asked, fleet=replace(fleet, failures=[Failure(seconds(33), 1, seconds(34))]))
    assert [lost.happened[x] for x in ("failed draining", "started", "up again")] == [1, 2, 0]
    assert (lost.requests[3].lane, lost.requests[3].retries) == (0, 1)


def test_prefixes_choose_the_lane_unless_loads_differ() -> None:
    """B follows A's content to lane 0. C does not: lane 0 has two requests, lane 1 none."""
    columns = {"ids": [0, 0, 0], "offsets": [0, 1, 2, 3], "id_tokens": 2}
    fleet = Fleet(replicas=2, routing="prefix_aware", balance_requests=1, balance_ratio=1.5)
    done = replay([(0, 4, 9), (1, 4, 9), (2, 4, 9)], columns=columns, fleet=fleet, block_tokens=2)
    assert [r.lane for r in done.requests] == [0, 0, 1]


def test_sessions_stay() -> None:
    fleet = Fleet(replicas=3, routing="sticky")
    done = replay([(t, 4, 9) for t in range(5)], fleet=fleet, columns={"session": [3, -1, 3, 1, -1]})
    assert [r.lane for r in done.requests] == [0, 1, 0, 2, 1]


def test_a_request_from_another_pool_goes_on() -> None:
    """Its 4 tokens are there, and its first token came 30 ticks before: one more is computed, at 100-111."""
    columns = {"computed": [4], "got": [1], "token_at": [70]}
    done = replay([(100, 4, 3)], columns=columns)
    assert tokens(done) == [[111, 122]]
    assert done.requests[0].gaps == [41, 11]
