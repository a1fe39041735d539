"""Requests find a lane; replicas fail, are repaired, start and drain."""

from __future__ import annotations

from scoville.serving.compiled.arrivals import done, switch_off
from scoville.serving.compiled.jit import inlined, jit
from scoville.serving.compiled.prefixes import forget, restore
from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import group as G
from scoville.serving.compiled.records import lane as L
from scoville.serving.compiled.records import replica as R
from scoville.serving.compiled.records import request as Q
from scoville.serving.compiled.running import append, leave, leave_decode, settle, take_head
from scoville.serving.compiled.state import (
    DECODE,
    DOWN,
    DRAINING,
    HELD,
    LONG_AGO,
    MASK_BITS,
    NEVER,
    OFF,
    POWER_OF_TWO,
    PREFIX_AWARE,
    REFERS,
    REJECTED,
    ROUND_ROBIN,
    STARTING,
    STATIC,
    STICKY,
    UP,
    Floats,
    Ints,
)
from scoville.serving.compiled.stepping import cut
from scoville.serving.compiled.structures import random, request


@jit
def touch(m: Ints, g: int) -> None:
    """Have a group looked at when this instant's events are through; the touched ones stand in order of number."""
    if m[g + G.TOUCHED] != 0:
        return
    m[g + G.TOUCHED] = 1
    i = m[C.TOUCHED]
    at = m[C.TOUCHED_GROUPS]
    while i > 0 and m[at + i - 1] > g:
        m[at + i] = m[at + i - 1]
        i -= 1
    m[at + i] = g
    m[C.TOUCHED] += 1


# -- routing ---------------------------------------------------------------------------------------------------------


@inlined
def _lane(m: Ints, i: int) -> int:
    return m[C.LANES] + i * L.SIZE


@inlined
def _is_up(m: Ints, l: int) -> bool:
    return m[m[l + L.REPLICA] + R.STATE] == UP


@jit
def _least_loaded(m: Ints) -> int:
    chosen = -1
    for i in range(m[C.LANES_COUNT]):
        l = _lane(m, i)
        if _is_up(m, l) and (chosen < 0 or m[l + L.LOAD] < m[chosen + L.LOAD]):
            chosen = l
    return chosen


@jit
def _nth_up(m: Ints, n: int) -> int:
    for i in range(m[C.LANES_COUNT]):
        if _is_up(m, _lane(m, i)):
            if n == 0:
                return _lane(m, i)
            n -= 1
    return -1


@jit
def _power_of_two(m: Ints, r: int) -> int:
    up = 0
    for i in range(m[C.LANES_COUNT]):
        up += _is_up(m, _lane(m, i))
    if up <= 1:
        return _nth_up(m, 0)
    number = m[request(m, r) + Q.NUMBER]
    i = (random(m[C.SEED], number, 0) * up) >> 32
    j = (i + 1 + ((random(m[C.SEED], number, 1) * (up - 1)) >> 32)) % up
    first, second = _nth_up(m, i), _nth_up(m, j)
    return second if m[second + L.LOAD] < m[first + L.LOAD] else first


@inlined
def _memory(m: Ints, q: int, i: int, lane: int) -> int:
    """Where the router's memory of the i-th id of a request has the word of a lane."""
    return m[C.MASKS] + m[m[q + Q.FIRST_ID] + i] * m[C.MASK_WORDS] + lane // MASK_BITS


@jit
def _longest_run(m: Ints, q: int) -> int:
    chosen, longest = -1, -1
    for i in range(m[C.LANES_COUNT]):
        l = _lane(m, i)
        if not _is_up(m, l):
            continue
        bit = 1 << (i % MASK_BITS)
        run = 0
        while run < m[q + Q.IDS] and m[_memory(m, q, run, i)] & bit != 0:
            run += 1
        if run > longest or (run == longest and m[l + L.LOAD] < m[chosen + L.LOAD]):
            chosen, longest = l, run
    return chosen


@jit
def _prefix_aware(m: Ints, r: int) -> int:
    q = request(m, r)
    most, least = -1, -1
    for i in range(m[C.LANES_COUNT]):
        l = _lane(m, i)
        if _is_up(m, l):
            load = m[l + L.LOAD]
            most = max(most, load)
            least = load if least < 0 else min(least, load)
    if most < 0:
        return -1
    if most - least > m[C.BALANCE_REQUESTS] and most * 1000 > m[C.BALANCE_THOUSANDTHS] * least:
        chosen = _least_loaded(m)
    else:
        chosen = _longest_run(m, q)
    lane = (chosen - m[C.LANES]) // L.SIZE
    for i in range(m[q + Q.IDS]):
        m[_memory(m, q, i, lane)] |= 1 << (lane % MASK_BITS)
    return chosen


@inlined
def _round_robin(m: Ints) -> int:
    for i in range(m[C.LANES_COUNT]):
        n = (m[C.NEXT_ROBIN] + i) % m[C.LANES_COUNT]
        if _is_up(m, _lane(m, n)):
            m[C.NEXT_ROBIN] = (n + 1) % m[C.LANES_COUNT]
            return _lane(m, n)
    return -1


@jit
def _route(m: Ints, r: int) -> int:
    """The lane for a request, -1 if no replica is up."""
    if m[C.ROUTING] == ROUND_ROBIN:
        return _round_robin(m)
    if m[C.ROUTING] == POWER_OF_TWO:
        return _power_of_two(m, r)
    if m[C.ROUTING] == PREFIX_AWARE:
        return _prefix_aware(m, r)
    session = m[request(m, r) + Q.SESSION]
    if m[C.ROUTING] == STICKY and session >= 0:
        l = m[m[C.SESSION_LANE] + session]
        if l < 0 or not _is_up(m, l):
            l = _least_loaded(m)
        if l >= 0:
            m[m[C.SESSION_LANE] + session] = l
        return l
    return _least_loaded(m)


@jit
def arrive(m: Ints, r: int, now: int) -> None:
    """A request comes to the router: to a lane, or held, or rejected."""
    q = request(m, r)
    m[q + Q.LANE] = -1
    l = _route(m, r)
    if l < 0:
        m[q + Q.PHASE], m[q + Q.NEXT] = HELD, -1
        if m[C.HELD] > 0:
            m[request(m, m[C.HELD_LAST]) + Q.NEXT] = r
        else:
            m[C.HELD_FIRST] = r
        m[C.HELD_LAST] = r
        m[C.HELD] += 1
        return
    if m[C.QUEUE_LIMIT] >= 0 and m[l + L.WAITING] >= m[C.QUEUE_LIMIT] and m[q + Q.RETRIES] == 0:
        done(m, r, now, REJECTED)
        return
    m[q + Q.LANE] = l
    m[l + L.LOAD] += 1
    m[m[l + L.REPLICA] + R.LOAD] += 1
    if m[C.FAIR] != 0:
        _lift(m, l, m[q + Q.CLIENT])
        m[m[l + L.PRESENT] + m[q + Q.CLIENT]] += 1
    m[q + Q.CAME] = now
    m[l + L.LATEST] = now
    alone = m[l + L.WAITING] == 0
    append(m, l, r)
    g = m[l + L.GROUP]
    if m[g + G.BUSY] == 0:
        touch(m, g)
    elif (
        m[C.QUEUES] > 1
        or (alone and m[C.PATIENCE] > 0)
        or (alone and m[l + L.COUNT] < m[C.MAX_SEQUENCES] and (m[C.POLICY] != STATIC or m[l + L.COUNT] == 0))
    ):
        cut(m, g, now)
        if m[g + G.EVENT] == now:
            touch(m, g)


@jit
def _lift(m: Ints, l: int, client: int) -> None:
    """A client that comes back to a lane starts at the lowest counter of those that are there."""
    present, counters = m[l + L.PRESENT], m[l + L.COUNTERS]
    if m[present + client] > 0:
        return
    lowest = -1
    for k in range(m[C.CLIENTS]):
        if m[present + k] > 0 and (lowest < 0 or m[counters + k] < lowest):
            lowest = m[counters + k]
    m[counters + client] = max(m[counters + client], lowest)


# -- replicas --------------------------------------------------------------------------------------------------------


@inlined
def _replica(m: Ints, i: int) -> int:
    return m[C.REPLICAS] + i * R.SIZE


@jit
def _append_pending(m: Ints, r: int) -> None:
    """To come to the router at once, after those that already do."""
    m[request(m, r) + Q.NEXT] = -1
    if m[C.PENDING_FIRST] >= 0:
        m[request(m, m[C.PENDING_LAST]) + Q.NEXT] = r
    else:
        m[C.PENDING_FIRST] = r
    m[C.PENDING_LAST] = r


@jit
def take_pending(m: Ints) -> int:
    """The first request that comes to the router at once, -1 if none does."""
    r = m[C.PENDING_FIRST]
    if r >= 0:
        m[C.PENDING_FIRST] = m[request(m, r) + Q.NEXT]
    return r


@jit
def _up(m: Ints, k: int) -> None:
    """A replica is up; requests that were held are routed."""
    m[k + R.STATE] = UP
    m[k + R.READY] = NEVER
    if m[C.HELD] > 0:
        m[C.PENDING_FIRST], m[C.PENDING_LAST] = m[C.HELD_FIRST], m[C.HELD_LAST]
        m[C.HELD] = 0


@jit
def _fail(m: Ints, f: Floats, k: int, now: int, repaired: int) -> None:
    """A replica goes down with all that runs on it; its requests are routed anew."""
    if m[k + R.STATE] != UP and m[k + R.STATE] != DRAINING:
        return
    if m[k + R.STATE] == DRAINING:
        switch_off(m, k, now)
    else:
        m[k + R.STATE], m[k + R.READY] = DOWN, repaired
    number = (k - m[C.REPLICAS]) // R.SIZE
    for i in range(m[C.STAGES]):
        g = m[C.GROUPS] + (i * m[C.REPLICAS_COUNT] + number) * G.SIZE
        m[g + G.BUSY] = 0
        m[g + G.LAST_END] = LONG_AGO
        m[g + G.EVENT] = NEVER
        m[m[g + G.STAGES] + i] = now
    for i in range(m[C.STAGES] * m[C.RANKS]):
        l = _lane(m, i * m[C.REPLICAS_COUNT] + number)
        while m[l + L.FIRST] >= 0:
            r = m[l + L.FIRST]
            q = request(m, r)
            leave(m, l, r)
            if m[q + Q.PHASE] == DECODE:
                leave_decode(m, f, l, r)
            settle(m, l, r)
            m[C.RECOMPUTED] += m[q + Q.COMPUTED]
            _lose(m, l, r)
        for queue in range(m[C.QUEUES]):
            while m[m[l + L.QUEUE_FIRST] + queue] >= 0:
                r = m[m[l + L.QUEUE_FIRST] + queue]
                take_head(m, l, r)
                m[C.RECOMPUTED] += m[request(m, r) + Q.KEPT]
                _lose(m, l, r)
        m[l + L.PARTIAL] = -1
    _forget(m, number)


@jit
def _forget(m: Ints, number: int) -> None:
    """Empty the caches of a replica, and the router's memory of it."""
    for i in range(m[C.STAGES] * m[C.RANKS]):
        lane = i * m[C.REPLICAS_COUNT] + number
        l = _lane(m, lane)
        m[l + L.FREE], m[l + L.IDLE], m[l + L.HOST_FREE] = m[C.CAPACITY], 0, m[C.HOST_BLOCKS]
        if m[C.PREFIX] != 0:
            forget(m, l)
        if m[C.ROUTING] == PREFIX_AWARE:
            _forget_lane(m, lane)


@jit
def _forget_lane(m: Ints, lane: int) -> None:
    """Empty the router's memory of a lane."""
    keep = ~(1 << (lane % MASK_BITS))
    for i in range(m[C.MASK_IDS]):
        m[m[C.MASKS] + i * m[C.MASK_WORDS] + lane // MASK_BITS] &= keep


@jit
def _lose(m: Ints, l: int, r: int) -> None:
    """Take a request from a lane that is lost; it comes to the router again."""
    q = request(m, r)
    for i in range(m[q + Q.REFS]):
        if m[m[q + Q.FIRST_ID] + i] & REFERS != 0:
            restore(m, m[q + Q.FIRST_ID] + i)
    m[q + Q.REFS] = m[q + Q.HELD] = m[q + Q.COMPUTED] = m[q + Q.KEPT] = 0
    m[q + Q.RETRIES] += 1
    m[q + Q.PAID_LANE] = -1
    m[l + L.LOAD] -= 1
    m[m[l + L.REPLICA] + R.LOAD] -= 1
    if m[C.FAIR] != 0:
        m[m[l + L.PRESENT] + m[q + Q.CLIENT]] -= 1
    _append_pending(m, r)


@jit
def fails_now(m: Ints, k: int, now: int) -> bool:
    """Whether a replica fails at this instant."""
    i = m[C.NEXT_FAILURE]
    while i < m[C.FAILURES_COUNT] and m[m[C.FAILURES] + 3 * i] <= now:
        if _replica(m, m[m[C.FAILURES] + 3 * i + 1]) == k:
            return m[k + R.STATE] == UP or m[k + R.STATE] == DRAINING
        i += 1
    return False


@jit
def next_change(m: Ints) -> int:
    """When replicas change next."""
    at = m[C.NEXT_CHECK]
    if m[C.NEXT_FAILURE] < m[C.FAILURES_COUNT]:
        at = min(at, m[m[C.FAILURES] + 3 * m[C.NEXT_FAILURE]])
    for i in range(m[C.REPLICAS_COUNT]):
        at = min(at, m[_replica(m, i) + R.READY])
    return at


@jit
def change(m: Ints, f: Floats, now: int) -> bool:
    """One failure, repair, start or decision of the autoscaler, in their order; False if there is none now."""
    if m[C.NEXT_FAILURE] < m[C.FAILURES_COUNT]:
        at = m[C.FAILURES] + 3 * m[C.NEXT_FAILURE]
        if m[at] <= now:
            m[C.NEXT_FAILURE] += 1
            _fail(m, f, _replica(m, m[at + 1]), now, m[at + 2])
            return True
    for state in (DOWN, STARTING):
        for i in range(m[C.REPLICAS_COUNT]):
            k = _replica(m, i)
            if m[k + R.STATE] == state and m[k + R.READY] <= now:
                if state == STARTING:
                    _forget(m, i)
                _up(m, k)
                return True
    if m[C.NEXT_CHECK] <= now:
        m[C.NEXT_CHECK] += m[C.INTERVAL]
        _scale(m, now)
        return True
    return False


@jit
def _scale(m: Ints, now: int) -> None:
    asked, up, counted = m[C.HELD], 0, 0
    for i in range(m[C.REPLICAS_COUNT]):
        k = _replica(m, i)
        asked += m[k + R.LOAD]
        state = m[k + R.STATE]
        up += state == UP
        counted += state not in (OFF, DRAINING)
    needed = (asked + m[C.PER_REPLICA] - 1) // m[C.PER_REPLICA]
    wanted = min(max(needed, m[C.LEAST]), m[C.REPLICAS_COUNT])
    for _ in range(wanted - counted):
        _start_one(m, now)
    if wanted < counted and up > m[C.LEAST]:
        for i in range(m[C.REPLICAS_COUNT] - 1, -1, -1):
            k = _replica(m, i)
            if m[k + R.STATE] == UP:
                m[k + R.STATE] = DRAINING
                if m[k + R.LOAD] == 0:
                    switch_off(m, k, now)
                return


@jit
def _start_one(m: Ints, now: int) -> None:
    for state in (DRAINING, OFF):
        for i in range(m[C.REPLICAS_COUNT]):
            k = _replica(m, i)
            if m[k + R.STATE] == state:
                if state == DRAINING:
                    _up(m, k)
                else:
                    m[k + R.STATE], m[k + R.READY], m[k + R.SINCE] = STARTING, now + m[C.STARTUP], now
                return
