"""The record of a request from its arrival to its end, and what follows: the next of its session or of its user, the
rest of a replica that drains.
"""

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
def born(m: Ints, r: int, now: int) -> int:
    """Make a record of a request that arrives."""
    q = m[C.FREE_RECORD]
    if q > 0:
        m[C.FREE_RECORD] = m[q + Q.NEXT]
    else:
        q = m[C.NEXT_RECORD]
        m[C.NEXT_RECORD] += Q.SIZE
    m[m[C.RECORD_OF] + r] = q
    blank, fields, at, n = m[C.BLANK], m[C.INPUT_FIELDS], m[C.INPUTS] + r, m[C.REQUESTS_COUNT]
    for i in range(Q.SIZE):
        m[q + i] = m[blank + i]
    for i in range(m[C.INPUTS_COUNT]):
        m[q + m[fields + i]] = m[at + i * n]
    m[q + Q.NUMBER] = m[C.FIRST_NUMBER] + r * m[C.NUMBER_STEP]
    m[q + Q.ARRIVAL] = now
    return q


@jit
def _tell(m: Ints, r: int, outcome: int) -> None:
    """Write what a request saw, and give up its record."""
    q = request(m, r)
    m[q + Q.PHASE] = outcome
    at, n = m[C.OUTPUTS] + r, m[C.REQUESTS_COUNT]
    for field in Q.OUTPUTS:
        m[at] = m[q + field]
        at += n
    m[q + Q.NEXT] = m[C.FREE_RECORD]
    m[C.FREE_RECORD] = q
    m[m[C.RECORD_OF] + r] = m[C.RECORDS]
    m[C.UNFINISHED] -= 1


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
    _tell(m, r, outcome)
    if m[C.USERS] > 0 and m[C.NEXT_USER] < m[C.REQUESTS_COUNT]:
        follow(m, m[C.NEXT_USER], now + m[C.USER_THINK])
        m[C.NEXT_USER] += 1
    if m[C.TURNS_FOLLOW] != 0:
        if outcome == FINISHED:
            x = m[m[C.CHILDREN] + r]
            while x >= 0:
                follow(m, x, now + m[m[C.THINKS] + x])
                x = m[m[C.SIBLINGS] + x]
        elif m[m[C.CHILDREN] + r] >= 0:
            _never(m, r)


@jit
def _never(m: Ints, r: int) -> None:
    """None of a request's successors will come, nor theirs."""
    x = m[m[C.CHILDREN] + r]
    while x != r:
        born(m, x, -1)
        _tell(m, x, NEVER_CAME)
        if m[m[C.CHILDREN] + x] >= 0:
            x = m[m[C.CHILDREN] + x]
            continue
        while x != r and m[m[C.SIBLINGS] + x] < 0:
            x = m[m[C.PARENTS] + x]
        if x != r:
            x = m[m[C.SIBLINGS] + x]


@jit
def switch_off(m: Ints, k: int, now: int) -> None:
    """A replica stops, and stops costing."""
    m[k + R.STATE] = OFF
    m[C.REPLICA_TICKS] += now - m[k + R.SINCE]
