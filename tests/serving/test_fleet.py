"""Fleets: routing, failures, autoscaling, and requests that wait for others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.serving.replays import MS, MakeTrace, flat_engine, hand, hit_frac, same, sessions

from scoville.errors import DeploymentError, TrafficError
from scoville.serving.engine import Engine
from scoville.serving.replay import FINISHED, NEVER_CAME, REJECTED
from scoville.serving.settings import Autoscaling, Failure, Fleet
from scoville.serving.simulate import simulate


def p95(values: Any) -> float:
    return float(np.quantile(values, 0.95))


# -- routing -----------------------------------------------------------------------------------------------------------


def test_least_loaded_helps_uneven_prompts(one: Engine, trace: MakeTrace) -> None:
    """Power of two choices lies between it and taking turns (Mitzenmacher, IEEE TPDS 2001)."""
    t = trace(4000, 45.0, spread=1.8)
    turns, two, least = (
        p95(simulate(t, one, Fleet(replicas=4, routing=how)).ttft_s)
        for how in ("round_robin", "power_of_two", "least_loaded")
    )
    assert least < two < turns


def test_least_loaded_by_hand() -> None:
    """The long request holds replica 0, so that the next three, one at a time, go to replica 1."""
    t = hand([(0.0, 4, 100), (0.001, 4, 1), (0.003, 4, 1), (0.005, 4, 1)])
    one_seat = flat_engine(max_sequences=1)
    least = simulate(t, one_seat, Fleet(replicas=2, routing="least_loaded"))
    np.testing.assert_allclose(least.queue_s, 0)
    turns = simulate(t, one_seat, Fleet(replicas=2))
    np.testing.assert_allclose(turns.queue_s, [0, 0, 0.097, 0])


def test_routing_by_state_in_one_replica_changes_nothing(one: Engine, trace: MakeTrace) -> None:
    t = trace(200, 20.0)
    assert same(simulate(t, one, 1), simulate(t, one, Fleet(routing="least_loaded")))


def test_the_seed_draws_the_two_choices(one: Engine, trace: MakeTrace) -> None:
    t = trace(300, 60.0)
    first, again, other = (simulate(t, one, Fleet(replicas=4, routing="power_of_two", seed=s)) for s in (7, 7, 8))
    assert same(first, again)
    assert not same(first, other)


def test_prefix_aware_routing_finds_more_than_turns(one: Engine) -> None:
    """A conversation's next turn goes to where the last one lies; sticky sessions find as much."""
    t = sessions(200, 5, per_s=3.0)
    caching = replace(one, settings=replace(one.settings, prefix_cache=True))
    turns, aware, sticky = (
        hit_frac(simulate(t, caching, Fleet(replicas=4, routing=how, balance_requests=8)))
        for how in ("round_robin", "prefix_aware", "sticky")
    )
    assert turns < 0.5 * aware
    assert aware == pytest.approx(sticky, rel=0.05)


def test_prefix_aware_routing_leaves_a_replica_that_is_too_busy(one: Engine) -> None:
    """All sessions share one prefix: without balance all requests go to one replica, with it hits are given up."""
    n = 400
    t = hand(
        [(0.02 * i, 1600, 100) for i in range(n)],
        block_hashes=[0, 1, 2] * n, block_offsets=np.arange(n + 1) * 3, block_tokens=512,
    )  # fmt: skip
    caching = replace(one, settings=replace(one.settings, prefix_cache=True))
    herd, spread = (
        simulate(t, caching, Fleet(replicas=4, routing="prefix_aware", balance_requests=b)) for b in (1000, 4)
    )
    assert herd.busy_frac < 0.3
    assert spread.busy_frac > 0.5
    assert hit_frac(spread) < hit_frac(herd)
    assert spread.tpot_s.mean() < herd.tpot_s.mean()


def test_who_waits_too_long_in_line_is_sent_away(one: Engine, trace: MakeTrace) -> None:
    """Rejected requests are counted and never served; nobody waits behind more than four others."""
    t = trace(1500, 60.0)
    few = replace(one, settings=replace(one.settings, max_sequences=48))
    r = simulate(t, few, Fleet(queue_limit=4))
    away = r.outcome == REJECTED
    assert 0 < away.sum() < 1500
    assert (r.outcome[~away] == FINISHED).all()
    for times in (r.queue_s, r.ttft_s, r.tpot_s, r.max_gap_s, r.end_s):
        assert np.isnan(times[away]).all()
        assert np.isfinite(times[~away]).all()
    assert r.share_frac[away].sum() == 0
    assert r.came.all()
    assert r.queue_s[~away].max() < simulate(t, few, 1).queue_s.max() / 5
    served = t.input_tokens[~away].sum() + t.output_tokens[~away].sum()
    assert r.tokens_per_s * r.duration_s == pytest.approx(served)


# -- failures ----------------------------------------------------------------------------------------------------------


def test_what_a_failure_loses_is_served_elsewhere(one: Engine, trace: MakeTrace) -> None:
    """Replica 1 is down from 3 s to 8 s: its requests are retried, and its chips are paid for all the same."""
    t = trace(400, 30.0)
    fleet = Fleet(replicas=3, routing="least_loaded")
    whole = simulate(t, one, fleet)
    broken = simulate(t, one, replace(fleet, failures=[Failure(3.0, 1, 8.0)]))
    assert broken.served.all()
    assert broken.retries_count.sum() > 0 == whole.retries_count.sum()
    retried = broken.retries_count > 0
    assert ((broken.arrival_s + broken.end_s)[retried] > 3.0).all()
    assert (broken.arrival_s[retried] < 3.0).all()
    assert broken.recomputed_tokens > 0
    assert broken.chip_s == pytest.approx(3 * broken.duration_s)
    assert broken.ttft_s.mean() > whole.ttft_s.mean()
    assert broken.gap_count.sum() == (t.output_tokens - 1).sum()


def test_requests_are_held_while_all_are_down() -> None:
    """The only replica fails at 2.5 ms, within the third step, and is repaired at 10 ms: the two tokens got are kept.

    Its prompt and these two tokens are computed from 10 to 11 ms, which gives the third token; five more steps follow.
    """
    t = hand([(0.0, 4, 8), (0.005, 4, 1)])
    r = simulate(t, flat_engine(), Fleet(failures=[Failure(0.0025, 0, 0.010)]))
    np.testing.assert_allclose(r.end_s, [16 * MS, 6 * MS])
    np.testing.assert_allclose(r.max_gap_s, [9 * MS, 0])
    assert r.retries_count.tolist() == [1, 0]
    assert r.queue_s[1] == pytest.approx(5 * MS)


# -- autoscaling -------------------------------------------------------------------------------------------------------


def test_autoscaling_costs_less_time_and_more_patience(one: Engine, trace: MakeTrace) -> None:
    """A quiet half hour around a busy spell: replicas are paid for as long as they are needed, and come too late."""
    quiet, busy = trace(600, 1.0), trace(3000, 60.0, seed=6)
    t = replace(
        quiet,
        arrival_s=np.sort(np.concatenate([quiet.arrival_s, 300 + busy.arrival_s])),
        input_tokens=np.concatenate([quiet.input_tokens, busy.input_tokens]),
        output_tokens=np.concatenate([quiet.output_tokens, busy.output_tokens]),
    )
    fixed = Fleet(replicas=4, routing="least_loaded")
    scaling = Autoscaling(least=1, interval_s=5.0, requests_per_replica=40, startup_s=20.0)
    always = simulate(t, one, fixed)
    scaled = simulate(t, one, replace(fixed, autoscaling=scaling))
    assert always.chip_s == pytest.approx(4 * always.duration_s)
    assert scaled.duration_s < scaled.chip_s < 0.6 * always.chip_s
    assert scaled.cost_usd(2.0).sum() == pytest.approx(scaled.chip_s / 3600 * 2.0)
    assert p95(scaled.end_s) > p95(always.end_s)
    assert scaled.busy_frac > always.busy_frac
    assert scaled.served.all()


def test_a_start_by_hand() -> None:
    """Two requests of 100 ms, one seat, one request per replica: replica 1 is ordered at 20 ms and up at 50 ms.

    The third, at 60 ms, goes there and is done at 70 ms. At 80 ms two requests are there still, at 100 ms one, and the
    replica is off: it was paid for from 20 to 100 ms, replica 0 for 200 ms. With three requests per replica it is never
    asked for.
    """
    t = hand([(0.0, 4, 100), (0.001, 4, 100), (0.060, 4, 10)])
    scaling = Autoscaling(least=1, interval_s=0.020, requests_per_replica=1, startup_s=0.030)
    fleet = Fleet(replicas=2, routing="least_loaded", autoscaling=scaling)
    r = simulate(t, flat_engine(max_sequences=1), fleet)
    np.testing.assert_allclose(r.end_s, [0.100, 0.199, 0.010])
    assert r.pools[0].replica_s == pytest.approx(0.200 + 0.080, abs=1e-9)
    slow = replace(fleet, autoscaling=replace(scaling, requests_per_replica=3))
    r = simulate(t, flat_engine(max_sequences=1), slow)
    np.testing.assert_allclose(r.end_s, [0.100, 0.199, 0.150])
    assert r.pools[0].replica_s == pytest.approx(0.210, abs=1e-9)


# -- who waits for whom ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("think_s", [0.0, 2.0])
def test_closed_loops_obey_littles_law(one: Engine, trace: MakeTrace, think_s: float) -> None:
    """N users = throughput x (response + thinking) (Little, 1961), but for the start and the end."""
    t = trace(4000, 1.0)
    r = simulate(t, one, Fleet(replicas=2, routing="least_loaded", users=40, think_s=think_s))
    throughput = len(t) / r.duration_s
    assert throughput * (r.end_s.mean() + think_s) == pytest.approx(40, rel=0.03)
    assert r.served.all()


def test_users_ask_one_request_after_another() -> None:
    """Two users who think for 5 ms; the trace's own arrivals play no part."""
    t = hand([(100.0 * i, 4, 10) for i in range(5)])
    r = simulate(t, flat_engine(), Fleet(users=2, think_s=0.005))
    np.testing.assert_allclose(r.arrival_s, [0, 0, 0.015, 0.015, 0.030])
    np.testing.assert_allclose(r.end_s, 0.010)
    assert simulate(t, flat_engine(), Fleet(users=10)).duration_s == pytest.approx(0.010)


def test_turns_follow_the_end_of_those_before(one: Engine) -> None:
    """Arrival = end of the predecessor + thinking; first turns come as in the trace."""
    t = sessions(100, 4, per_s=3.0, think_s=2.0)
    r = simulate(t, one, Fleet(turns_follow=True))
    assert t.parent is not None
    assert t.think_s is not None
    later = t.parent >= 0
    assert later.sum() == 300
    ends = (r.arrival_s + r.end_s)[t.parent[later]]
    np.testing.assert_allclose(r.arrival_s[later], ends + t.think_s[later], rtol=0, atol=1e-9)
    np.testing.assert_allclose(r.arrival_s[~later], t.arrival_s[~later], rtol=0, atol=1e-9)


def test_who_is_sent_away_asks_nothing_more() -> None:
    """The third request finds one waiting and is rejected: its follower, and that one's, never come."""
    t = hand(
        [(0.0, 4, 50), (0.001, 4, 5), (0.002, 4, 5), (0.1, 4, 5), (0.2, 4, 5), (0.3, 4, 5)],
        parent=[-1, -1, -1, 2, 3, 1], think_s=[0.0] * 6,
    )  # fmt: skip
    r = simulate(t, flat_engine(max_sequences=1), Fleet(queue_limit=1, turns_follow=True))
    assert r.outcome.tolist() == [FINISHED, FINISHED, REJECTED, NEVER_CAME, NEVER_CAME, FINISHED]
    assert r.came.tolist() == [True, True, True, False, False, True]
    assert np.isnan(r.arrival_s[3:5]).all()
    assert np.isnan(r.end_s[2:5]).all()
    assert r.arrival_s[5] == pytest.approx(0.055)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fleet", "message"),
    [
        (Fleet(routing="sticky"), "hand has no session_ids, which sticky routing goes by; it has arrival_s, input_tok"),
        (Fleet(turns_follow=True), "hand has no parent, which turns that follow each other goes by"),
        (Fleet(routing="prefix_aware"), "hand has neither block hashes nor sessions, which prefix-aware routing goes"),
    ],
)
def test_traces_that_lack_what_the_fleet_goes_by(fleet: Fleet, message: str) -> None:
    with pytest.raises(TrafficError, match=message):
        simulate(hand([(0.0, 4, 4)]), flat_engine(), fleet)


@pytest.mark.parametrize(
    ("fleet", "message"),
    [
        (Fleet(queue_limit=0), "queue_limit is 0, which turns every request away; expected an integer >= 1, or none"),
        (Fleet(users=1, think_s=1e7), r"think_s is 1e\+07 s; the simulator's clock counts 6.67 days, 576,459 s"),
        (Fleet(failures=[Failure(0.0, 0, float("inf"))]), "repaired_s of replica 0 is inf s; the simulator's clock"),
        (Fleet(balance_ratio=float("nan")), "balance_ratio is nan; expected a number from 0 to"),
        (Fleet(seed=2**63), "seed is 9223372036854775808; expected an integer below 2.63"),
    ],
)
def test_fleets_beyond_the_simulator(fleet: Fleet, message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        simulate(hand([(0.0, 4, 4)]), flat_engine(), fleet)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interval_s": 1e7}, r"interval_s is 1e\+07 s; the simulator's clock"),
        ({"interval_s": 1e-5}, "interval_s is 1e-05; expected at least 0.001 s"),
        ({"startup_s": 1e7}, r"startup_s is 1e\+07 s; the simulator's clock"),
    ],
)
def test_autoscaling_beyond_the_simulator(changes: dict[str, float], message: str) -> None:
    usual = Autoscaling(least=1, interval_s=1.0, requests_per_replica=1, startup_s=1.0)
    with pytest.raises(DeploymentError, match=message):
        simulate(hand([(0.0, 4, 4)]), flat_engine(), Fleet(autoscaling=replace(usual, **changes)))


def test_pauses_beyond_the_clock() -> None:
    t = hand([(0.0, 4, 4), (1.0, 4, 4)], parent=[-1, 0], think_s=[0.0, 1e7])
    with pytest.raises(DeploymentError, match=r"hand: the replay takes more than 6.67 days"):
        simulate(t, flat_engine(), Fleet(turns_follow=True))


def test_pauses_that_add_up_beyond_the_clock() -> None:
    t = hand([(0.0, 4, 4), (1.0, 4, 4), (2.0, 4, 4)])
    with pytest.raises(DeploymentError, match=r"hand: the replay takes more than 6.67 days"):
        simulate(t, flat_engine(), Fleet(users=1, think_s=3.9 * 86400))


@pytest.mark.parametrize("replicas", [0, -1])
def test_no_replicas(replicas: int) -> None:
    with pytest.raises(DeploymentError, match=f"replicas is {replicas}; expected a number >= 1"):
        simulate(hand([(0.0, 4, 4)]), flat_engine(), replicas)
