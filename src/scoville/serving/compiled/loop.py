"""The events of a run in order of time."""

from __future__ import annotations

from scoville.serving.compiled.arrivals import born
from scoville.serving.compiled.fleet import arrive, change, fails_now, next_change, take_pending, touch
from scoville.serving.compiled.jit import entry, jit, pointer
from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import group as G
from scoville.serving.compiled.records import lane as L
from scoville.serving.compiled.records import replica as R
from scoville.serving.compiled.state import NEVER, OFF, Floats, Ints
from scoville.serving.compiled.stepping import cut_short, finish_step, start
from scoville.serving.compiled.structures import lane_of, pop


@entry
def run(integers: Ints, floats: Floats) -> None:
    """Replay until every request has ended, or the ticks run out. `floats` is the same memory as `integers`."""
    m, f = pointer(integers), pointer(floats)
    _begin(m)
    groups = m[C.GROUPS]
    end = groups + m[C.GROUPS_COUNT] * G.SIZE
    changes = m[C.INTERVAL] > 0 or m[C.FAILURES_COUNT] > 0
    changing = next_change(m)
    while m[C.UNFINISHED] > 0 and m[C.OUT_OF_TICKS] == 0:
        now = min(changing, _next_arrival(m))
        for g in range(groups, end, G.SIZE):
            now = min(now, m[g + G.EVENT])
        for g in range(groups, end, G.SIZE):
            if m[g + G.EVENT] == now:
                m[g + G.EVENT] = NEVER
                if m[g + G.BUSY] != 0:
                    finish_step(m, f, g, now)
                touch(m, g)
            elif changing <= now and fails_now(m, m[g + G.REPLICA], now) and cut_short(m, g, now):
                finish_step(m, f, g, m[g + G.EVENT])
        m[C.STARTED] = 0
        # What comes to the router, replicas' changes, and starts of steps, in this order as long as there is any.
        more = True
        while more:
            r = take_pending(m)
            if r < 0 and changing <= now:
                if change(m, f, now):
                    continue
                changing = NEVER
            if r < 0:
                r = _take_arrival(m, now)
            if r >= 0:
                arrive(m, r, now)
                continue
            g = _take_touched(m)
            more = g > 0
            m[C.STARTED] = max(m[C.STARTED], g)
            if more and m[g + G.EVENT] == now:  # a request that came has cut its leap
                m[g + G.EVENT] = NEVER
                finish_step(m, f, g, now)
            if more and m[g + G.BUSY] == 0:
                if m[m[g + G.STAGES]] <= now:
                    start(m, f, g, now)
                else:
                    m[g + G.EVENT] = m[m[g + G.STAGES]] if _has_work(m, g) else NEVER
        if changes:
            changing = next_change(m)
    for i in range(m[C.REPLICAS_COUNT]):
        k = m[C.REPLICAS] + i * R.SIZE
        if m[k + R.STATE] != OFF:
            m[C.REPLICA_TICKS] += m[C.END] - m[k + R.SINCE]


@jit
def _begin(m: Ints) -> None:
    """In a closed loop the first request of each user comes at 0."""
    if m[C.USERS] > 0:
        m[C.NEXT_OPEN] = m[C.REQUESTS_COUNT]
        m[C.NEXT_USER] = min(m[C.USERS], m[C.REQUESTS_COUNT])
        for r in range(m[C.NEXT_USER]):
            m[m[C.ARRIVAL_KEYS] + r], m[m[C.ARRIVAL_ITEMS] + r] = 0, r
        m[C.ARRIVALS_SIZE] = m[C.NEXT_USER]


@jit
def _next_arrival(m: Ints) -> int:
    """When a request arrives next."""
    if m[C.TURNS_FOLLOW] != 0:
        while m[C.NEXT_OPEN] < m[C.REQUESTS_COUNT] and m[m[C.PARENTS] + m[C.NEXT_OPEN]] >= 0:
            m[C.NEXT_OPEN] += 1
    at = NEVER
    if m[C.NEXT_OPEN] < m[C.REQUESTS_COUNT]:
        at = m[m[C.ARRIVALS] + m[C.NEXT_OPEN]]
    if m[C.ARRIVALS_SIZE] > 0:
        at = min(at, m[m[C.ARRIVAL_KEYS]])
    return at


@jit
def _take_arrival(m: Ints, now: int) -> int:
    """The next request that arrives at this instant, by number; -1 if none does."""
    if _next_arrival(m) > now:
        return -1
    r = m[C.NEXT_OPEN]
    comes = r < m[C.REQUESTS_COUNT] and m[m[C.ARRIVALS] + r] <= now
    if m[C.ARRIVALS_SIZE] > 0 and m[m[C.ARRIVAL_KEYS]] <= now and (not comes or m[m[C.ARRIVAL_ITEMS]] < r):
        r = m[m[C.ARRIVAL_ITEMS]]
        m[C.ARRIVALS_SIZE] = pop(m, m[C.ARRIVAL_KEYS], m[C.ARRIVAL_ITEMS], m[C.ARRIVALS_SIZE])
    else:
        m[C.NEXT_OPEN] += 1
    born(m, r, now)
    return r


@jit
def _take_touched(m: Ints) -> int:
    """The first group that may start a step, 0 if there is none."""
    if m[C.TOUCHED] == 0:
        return 0
    at = m[C.TOUCHED_GROUPS]
    g = m[at]
    m[C.TOUCHED] -= 1
    for i in range(m[C.TOUCHED]):
        m[at + i] = m[at + i + 1]
    m[g + G.TOUCHED] = 0
    return g


@jit
def _has_work(m: Ints, g: int) -> bool:
    for i in range(m[C.RANKS]):
        l = lane_of(m, g, i)
        if m[l + L.COUNT] + m[l + L.WAITING] > 0:
            return True
    return False
