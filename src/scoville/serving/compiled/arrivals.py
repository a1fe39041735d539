"""What follows the end of a request: the next of its session or of its user, and the rest of a replica that drains."""

from __future__ import annotations

from scoville.serving.compiled.jit import jit
from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import lane as L
from scoville.serving.compiled.records import replica as R
from scoville.serving.compiled.records import request as Q
from scoville.serving.compiled.state import (
    DRAINING,
    FINISHED,
    NEVER_CAME,
    OFF,
    Ints,
)
from scoville.serving.compiled.structures import push, request


@jit
def follow(m: Ints, r: int, at: int) -> None:
    """Let a request arrive at an instant, which may be beyond what the clock counts."""
    if at < 0:
        m[C.OUT_OF_TICKS] = 1
        return
    m[C.ARRIVALS_SIZE] = push(m, m[C.ARRIVAL_KEYS], m[C.ARRIVAL_ITEMS], m[C.ARRIVALS_SIZE], at, r)


@jit
def done(m: Ints, r: int, now: int, outcome: int) -> None:
    """A request has ended, in one way or another."""
    q = request(m, r)
    m[q + Q.PHASE] = outcome
    m[C.UNFINISHED] -= 1
    m[C.END] = max(m[C.END], now)
    if outcome == FINISHED:
        m[q + Q.FINISH] = now
    if m[q + Q.LANE] >= 0:
        l = m[q + Q.LANE]
        m[l + L.LOAD] -= 1
        if m[C.FAIR] != 0:
            m[m[l + L.PRESENT] + m[q + Q.CLIENT]] -= 1
        k = m[l + L.REPLICA]
        m[k + R.LOAD] -= 1
        if m[k + R.STATE] == DRAINING and m[k + R.LOAD] == 0:
            switch_off(m, m[l + L.REPLICA], now)
    if m[C.USERS] > 0 and m[C.NEXT_USER] < m[C.REQUESTS_COUNT]:
        follow(m, m[C.NEXT_USER], now + m[C.USER_THINK])
        m[C.NEXT_USER] += 1
    if m[C.TURNS_FOLLOW] != 0 and m[q + Q.CHILD] >= 0:
        if outcome == FINISHED:
            x = m[q + Q.CHILD]
            while x >= 0:
                follow(m, x, now + m[request(m, x) + Q.THINK])
                x = m[request(m, x) + Q.SIBLING]
        else:
            _never(m, r)


@jit
def _never(m: Ints, r: int) -> None:
    """None of a request's successors will come, nor theirs."""
    x = m[request(m, r) + Q.CHILD]
    while x != r:
        m[request(m, x) + Q.PHASE] = NEVER_CAME
        m[request(m, x) + Q.ARRIVAL] = -1
        m[C.UNFINISHED] -= 1
        if m[request(m, x) + Q.CHILD] >= 0:
            x = m[request(m, x) + Q.CHILD]
            continue
        while x != r and m[request(m, x) + Q.SIBLING] < 0:
            x = m[request(m, x) + Q.PARENT]
        if x != r:
            x = m[request(m, x) + Q.SIBLING]


@jit
def switch_off(m: Ints, k: int, now: int) -> None:
    """A replica stops, and stops costing."""
    m[k + R.STATE] = OFF
    m[C.REPLICA_TICKS] += now - m[k + R.SINCE]
