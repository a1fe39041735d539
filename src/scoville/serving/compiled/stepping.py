"""How long a group's step takes, how many such steps can be taken at once, and what they leave behind.

Between events all running sequences decode one token a step and a step's time grows by the same number of ticks each
time, so a run of steps is summed in closed form (a leap). A leap ends at a finish, at an arrival that could be
admitted, where the cache runs out, where a sequence fills a window, and where another side of a piece, another lane or
the power cap takes over. Without leaps every step is taken by itself, with the same result.
"""

from __future__ import annotations

import math

from scoville.serving.compiled.arrivals import done
from scoville.serving.compiled.jit import inlined, jit
from scoville.serving.compiled.prefixes import register
from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import group as G
from scoville.serving.compiled.records import lane as L
from scoville.serving.compiled.records import request as Q
from scoville.serving.compiled.running import (
    enter_decode,
    flush_peaks,
    is_last_step,
    leave,
    leave_decode,
    release,
    settle,
    take,
    tell_gap,
)
from scoville.serving.compiled.scheduling import may_displace, schedule
from scoville.serving.compiled.state import (
    DECODE,
    FINISHED,
    NEVER,
    PEAKS,
    TIMELINE_BINS,
    Floats,
    Ints,
)
from scoville.serving.compiled.structures import count_gaps, gap_bin, lane_of, pop, random, request

_MANY = 1 << 40


@inlined
def spent(duration: int, rise: int, steps: int) -> int:
    """Ticks of so many steps of a leap."""
    return steps * duration + rise * (steps * (steps - 1) // 2)


@jit
def steps_until(duration: int, rise: int, steps: int, until: int) -> int:
    """The fewest of so many steps that last until then, at least one."""
    if until <= duration:
        return 1
    # The root of spent(x) = until in a form without cancellation, about: then exactly, in a step or two.
    b = float(duration) - 0.5 * rise
    root = 2.0 * until / (b + math.sqrt(max(b * b + 2.0 * rise * until, 0.0)))
    at = max(int(min(root, float(steps))), 1)
    while at > 1 and spent(duration, rise, at - 1) >= until:
        at -= 1
    while at < steps and spent(duration, rise, at) < until:
        at += 1
    return at


# -- planning --------------------------------------------------------------------------------------------------------


@inlined
def _bound(m: Ints, l: int, steps: int) -> int:
    """Steps until a decode of the lane ends, its blocks run out, or a sequence fills a window."""
    steps = min(steps, m[m[l + L.HEAP_KEYS]] - m[l + L.STEP])
    free, decodes = m[l + L.FREE] + m[l + L.IDLE], m[l + L.DECODES]
    if m[C.PREFIX] != 0 and m[l + L.WAITING] > 0:  # an eviction changes what a waiting prompt finds
        free = m[l + L.FREE]
    if m[C.FULL] == 0 and steps > 1 and ((steps - 1) // m[C.BLOCK] + 1) * decodes > free:
        # Steps that the free blocks last: the first one has its blocks already.
        most = 1 + (free // decodes) * m[C.BLOCK]
        rest = free % decodes
        slot = (
            m[l + L.TURN] - 1 if m[l + L.TURN] > 0 else m[C.BLOCK] - 1
        )  # a whole number of rounds after the first step
        while most < steps and m[m[l + L.RESIDUE] + slot] <= rest:
            rest -= m[m[l + L.RESIDUE] + slot]
            most += 1
            slot = slot - 1 if slot > 0 else m[C.BLOCK] - 1
        steps = min(steps, most)
    for w in range(m[C.SPANS]):
        if m[m[C.WINDOWS] + w] > 0 and m[m[l + L.BELOW] + w] > 0:
            away = 1
            while (
                away < steps
                and m[m[l + L.CROSSING] + w * (m[C.WIDEST] + 1) + ((m[l + L.STEP] + away) % (m[C.WIDEST] + 1))] == 0
            ):
                away += 1
            steps = min(steps, away)
    return max(steps, 1)


@inlined
def _measure(m: Ints, l: int, steps: int) -> int:
    """Ticks of the lane's part and how they grow; returns for how many of the steps that holds."""
    for w in range(m[C.SPANS]):
        m[m[l + L.GROWTH] + 4 + 3 * w] = (
            0 if steps == 1 else (m[l + L.DECODES] if m[m[C.WINDOWS] + w] < 0 else m[m[l + L.BELOW] + w])
        )
    own, rise = m[m[C.BASE] + m[l + L.TOKENS]] + m[m[C.HEAD] + m[l + L.SAMPLED]], 0
    for p in range(m[C.PIECES]):
        runs = False
        a, b, da, db = 0, 0, 0, 0
        for k in range(m[m[C.PIECE_FROM] + p], m[m[C.PIECE_FROM] + p + 1]):
            i = m[m[C.PIECE_COLUMN] + k]
            x = m[m[l + L.V] + i]
            if x != 0:
                runs = runs or i > 0
                a += m[m[C.COMPUTE] + p * m[C.V_SIZE] + i] * x
                b += m[m[C.MEMORY] + p * m[C.V_SIZE] + i] * x
                da += m[m[C.COMPUTE] + p * m[C.V_SIZE] + i] * m[m[l + L.GROWTH] + i]
                db += m[m[C.MEMORY] + p * m[C.V_SIZE] + i] * m[m[l + L.GROWTH] + i]
        if not runs:
            continue
        over, slope = (a - b, da - db) if a >= b else (b - a, db - da)
        if steps > 1 and over + slope * (steps - 1) < 0:
            steps = over // -slope + 1  # the last step at which this side is still the longer
        own += m[m[C.FIXED] + p] + max(a, b)
        rise += da if a > b or (a == b and (da >= db or steps == 1)) else db
    cap, cap_rise = m[m[C.CAP_BASE] + m[l + L.TOKENS]] + m[C.CAP_HEAD] * m[l + L.SAMPLED], 0
    for i in range(m[C.V_SIZE]):
        cap += m[m[C.CAP] + i] * m[m[l + L.V] + i]
    for w in range(m[C.SPANS]):
        cap_rise += m[m[C.CAP] + 4 + 3 * w] * m[m[l + L.GROWTH] + 4 + 3 * w]
    m[l + L.OWN], m[l + L.OWN_RISE], m[l + L.CAP], m[l + L.CAP_RISE] = own, rise, cap, cap_rise
    return steps


@inlined
def _still(over: int, slope: int, steps: int) -> int:
    """Of so many steps, those for which over + slope x (step - 1) stays at least 0; over >= 0."""
    return over // -slope + 1 if steps > 1 and over + slope * (steps - 1) < 0 else steps


@jit
def _drafting(m: Ints, g: int) -> int:
    """What drafts add to a group's step."""
    longest, sequences = 0, 0
    for i in range(m[C.RANKS]):
        l = lane_of(m, g, i)
        d = m[l + L.SERVED]
        if d == 0:
            continue
        sequences += d
        own = m[m[C.BASE] + d] + m[m[C.HEAD] + d]
        for p in range(m[C.PIECES]):
            runs = False
            a, b = 0, 0
            for k in range(m[m[C.PIECE_FROM] + p], m[m[C.PIECE_FROM] + p + 1]):
                j = m[m[C.PIECE_COLUMN] + k]
                x = 1 if j == 0 else d if j in (1, 3) else m[m[l + L.V] + j] if j >= 4 and (j - 4) % 3 == 0 else 0
                if x != 0:
                    runs = runs or j > 0
                    a += m[m[C.COMPUTE] + p * m[C.V_SIZE] + j] * x
                    b += m[m[C.MEMORY] + p * m[C.V_SIZE] + j] * x
            if runs:
                own += m[m[C.FIXED] + p] + max(a, b)
        longest = max(longest, own)
    if sequences == 0:
        return 0
    return (m[C.DRAFTS] * m[C.DRAFT_SHARE] * (m[m[C.SHARED] + sequences] + longest)) >> 16


@jit
def start(m: Ints, f: Floats, g: int, now: int) -> None:
    """Schedule a group's next step, or run of steps, and set when it ends; nothing if no lane has tokens."""
    m[g + G.EVENT] = NEVER
    cutoff = now
    hold_back = False
    if m[C.ASYNCHRONOUS] != 0 and m[g + G.LAST_END] == now:
        for i in range(m[C.RANKS]):
            hold_back = hold_back or m[lane_of(m, g, i) + L.COUNT] > 0
    if hold_back:
        cutoff = m[g + G.LAST_START]
    tokens, moved = 0, 0
    leaps = m[C.LEAP] != 0
    for i in range(m[C.RANKS]):
        l = lane_of(m, g, i)
        schedule(m, f, l, now, cutoff)
        tokens += m[l + L.TOKENS]
        moved = max(moved, m[l + L.MOVED])
        if m[l + L.PREFILL] > 0 or m[l + L.PREEMPTED] != 0 or m[l + L.MOVED] > 0:
            leaps = False
        if hold_back and m[l + L.WAITING] > 0 and m[l + L.LATEST] > cutoff:
            leaps = False
        if leaps and m[C.CLASSES] > 1 and may_displace(m, l, cutoff):
            leaps = False
    if tokens == 0:
        return
    steps = _MANY if leaps else 1
    if leaps:
        for i in range(m[C.RANKS]):
            l = lane_of(m, g, i)
            if m[l + L.TOKENS] > 0:
                steps = _bound(m, l, steps)
    own, own_rise, cap, cap_rise = 0, 0, 0, 0
    for i in range(m[C.RANKS]):
        l = lane_of(m, g, i)
        if m[l + L.TOKENS] == 0:
            continue
        steps = _measure(m, l, steps)
        # The longest lane, as long as it stays so.
        if m[l + L.OWN] > own or (m[l + L.OWN] == own and m[l + L.OWN_RISE] > own_rise):
            steps = _still(m[l + L.OWN] - own, m[l + L.OWN_RISE] - own_rise, steps)
            own, own_rise = m[l + L.OWN], m[l + L.OWN_RISE]
        else:
            steps = _still(own - m[l + L.OWN], own_rise - m[l + L.OWN_RISE], steps)
        if m[l + L.CAP] > cap or (m[l + L.CAP] == cap and m[l + L.CAP_RISE] > cap_rise):
            steps = _still(m[l + L.CAP] - cap, m[l + L.CAP_RISE] - cap_rise, steps)
            cap, cap_rise = m[l + L.CAP], m[l + L.CAP_RISE]
        else:
            steps = _still(cap - m[l + L.CAP], cap_rise - m[l + L.CAP_RISE], steps)
    duration, rise = own, own_rise
    if m[C.RANKS] > 1:
        duration += m[m[C.SHARED] + tokens]
        cap += m[m[C.SHARED_CAP] + tokens]
    if cap > duration or (cap == duration and cap_rise > rise):
        steps = _still(cap - duration, cap_rise - rise, steps)
        duration, rise = cap, cap_rise
    else:
        steps = _still(duration - cap, rise - cap_rise, steps)
    if m[C.HOST] > duration:
        steps = _still(m[C.HOST] - duration, -rise, steps)
        duration, rise = m[C.HOST], 0
    else:
        steps = _still(duration - m[C.HOST], rise, steps)
    duration += moved * m[C.MOVE]
    if m[C.DRAFTS] > 0:
        duration += _drafting(m, g)
    if steps > 1 and m[C.PATIENCE] > 0:
        steps = _patient(m, g, now, duration, rise, steps)
    m[g + G.START], m[g + G.DURATION], m[g + G.RISE], m[g + G.STEPS], m[g + G.TOKENS], m[g + G.BUSY] = (
        now,
        duration,
        rise,
        steps,
        tokens,
        1,
    )
    if m[C.STAGES] == 1:
        if duration > (NEVER - now) // steps - max(rise, 0) * steps // 2:
            m[C.OUT_OF_TICKS] = 1
            return
        m[g + G.EVENT] = now + spent(duration, rise, steps)
        return
    enter = now
    for stage in range(m[C.STAGES]):
        if stage > 0:
            enter = max(enter + duration, m[m[g + G.STAGES] + stage])
        m[m[g + G.STAGES] + stage] = enter + duration
    if enter > NEVER - duration:
        m[C.OUT_OF_TICKS] = 1
        return
    m[g + G.EVENT] = enter + duration


@jit
def _patient(m: Ints, g: int, now: int, duration: int, rise: int, steps: int) -> int:
    """Steps until the head of a queue gives up."""
    nearest = NEVER
    for i in range(m[C.RANKS]):
        l = lane_of(m, g, i)
        for k in range(m[C.QUEUES]):
            r = m[m[l + L.QUEUE_FIRST] + k]
            if r >= 0 and m[request(m, r) + Q.SCHEDULED] < 0:
                nearest = min(nearest, m[request(m, r) + Q.CAME] + m[C.PATIENCE])
    return steps if nearest == NEVER else steps_until(duration, rise, steps, nearest - now)


@jit
def cut(m: Ints, g: int, at: int) -> None:
    """End the run of steps in work where a request that comes now is seen: not by a step that has started by now."""
    if m[g + G.STEPS] == 1:
        return
    until = at - m[g + G.START]
    if m[C.ASYNCHRONOUS] == 0 and g <= m[C.STARTED]:
        until += 1
    steps = steps_until(m[g + G.DURATION], m[g + G.RISE], m[g + G.STEPS], until)
    if m[C.ASYNCHRONOUS] != 0 and until > 0:
        steps = min(steps + 1, m[g + G.STEPS])
    m[g + G.STEPS] = steps
    m[g + G.EVENT] = m[g + G.START] + spent(m[g + G.DURATION], m[g + G.RISE], steps)


@jit
def cut_short(m: Ints, g: int, at: int) -> bool:
    """Keep only the steps in work that have ended by an instant; False if none has."""
    if m[g + G.BUSY] == 0 or m[g + G.STEPS] == 1 or m[g + G.START] + m[g + G.DURATION] > at:
        return False
    steps = steps_until(m[g + G.DURATION], m[g + G.RISE], m[g + G.STEPS], at - m[g + G.START])
    if m[g + G.START] + spent(m[g + G.DURATION], m[g + G.RISE], steps) > at:
        steps -= 1
    m[g + G.STEPS] = steps
    m[g + G.EVENT] = m[g + G.START] + spent(m[g + G.DURATION], m[g + G.RISE], steps)
    return True


# -- execution -------------------------------------------------------------------------------------------------------


@jit
def finish_step(m: Ints, f: Floats, g: int, now: int) -> None:
    """Time has passed: tokens come, requests finish."""
    steps, duration, rise = m[g + G.STEPS], m[g + G.DURATION], m[g + G.RISE]
    ran = spent(duration, rise, steps)
    m[C.STEPS] += steps
    m[C.LEAPS] += 1
    m[C.BUSY] += ran
    m[C.END] = max(m[C.END], now)
    m[g + G.BUSY] = 0
    m[g + G.LAST_END] = now
    m[g + G.LAST_START] = m[g + G.START] + ran - (duration + rise * (steps - 1)) if m[C.STAGES] == 1 else m[g + G.START]
    sequences, used, taken = 0, 0, 0
    for i in range(m[C.RANKS]):
        l = lane_of(m, g, i)
        if m[l + L.TOKENS] > 0:
            taken += _take_leap(m, l, steps)
        sequences += m[l + L.COUNT]
        now_used = m[C.CAPACITY] - m[l + L.FREE] - m[l + L.IDLE]
        used += now_used
        m[C.MOST_SEQUENCES] = max(m[C.MOST_SEQUENCES], m[l + L.COUNT])
        m[C.MOST_BLOCKS] = max(m[C.MOST_BLOCKS], now_used)
        m[C.MOVED] += m[l + L.MOVED]
    _draw(m, f, g, m[g + G.START], now, sequences, used - taken, taken)
    if m[C.RANKS] > 1:
        for k in range(4):
            f[m[C.WORK] + k] += steps * f[m[C.WORK_SHARED] + 4 * m[g + G.TOKENS] + k]
    for i in range(m[C.RANKS]):
        l = lane_of(m, g, i)
        if m[l + L.TOKENS] > 0:
            _apply(m, f, l, steps, now, duration, rise, ran, m[g + G.TOKENS])


@inlined
def _take_leap(m: Ints, l: int, steps: int) -> int:
    """Blocks that the decodes of a leap take after its first step."""
    if m[C.FULL] != 0 or steps == 1:
        return 0
    rounds = (steps - 1) // m[C.BLOCK]
    taken = rounds * m[l + L.DECODES]
    slot = m[l + L.TURN] - 1 if m[l + L.TURN] > 0 else m[C.BLOCK] - 1
    for _ in range(steps - 1 - rounds * m[C.BLOCK]):
        taken += m[m[l + L.RESIDUE] + slot]
        slot = slot - 1 if slot > 0 else m[C.BLOCK] - 1
    take(m, l, taken)
    return taken


@inlined
def _draw(m: Ints, f: Floats, g: int, began: int, ended: int, sequences: int, used: int, taken: int) -> None:
    """Running sequences and blocks in use over time, in bins."""
    while (ended - 1) // TIMELINE_BINS >= m[C.BIN_TICKS]:
        _widen_bins(m, f)
    while m[g + G.BIN_UNTIL] <= began:
        m[g + G.BIN] += 1
        m[g + G.BIN_UNTIL] = _end_of_bin(m, m[g + G.BIN])
    at, bound, whole, origin = m[g + G.BIN], m[g + G.BIN_UNTIL], ended - began, began
    while began < ended:
        until = min(ended, bound)
        f[m[C.TIMELINE] + at] += float(until - began) * sequences
        # Blocks are taken evenly over a leap, so that the middle of a bin has its mean.
        share = 0.5 if until - began == whole else (until - origin + began - origin) / (2 * whole)
        f[m[C.TIMELINE] + TIMELINE_BINS + at] += float(until - began) * (used + taken * share)
        began = until
        at += 1
        bound = _end_of_bin(m, at)


@jit
def _end_of_bin(m: Ints, at: int) -> int:
    """When a bin of the timeline ends; the last one that the clock counts may end beyond it."""
    return NEVER if at + 1 > NEVER // m[C.BIN_TICKS] else (at + 1) * m[C.BIN_TICKS]


@jit
def _widen_bins(m: Ints, f: Floats) -> None:
    """Two bins of the timeline become one, so that they go twice as far."""
    for start_at in (m[C.TIMELINE], m[C.TIMELINE] + TIMELINE_BINS):
        for i in range(TIMELINE_BINS // 2):
            f[start_at + i] = f[start_at + 2 * i] + f[start_at + 2 * i + 1]
        for i in range(TIMELINE_BINS // 2, TIMELINE_BINS):
            f[start_at + i] = 0.0
    m[C.BIN_TICKS] *= 2
    for i in range(m[C.GROUPS_COUNT]):
        g = m[C.GROUPS] + i * G.SIZE
        m[g + G.BIN] //= 2
        m[g + G.BIN_UNTIL] = _end_of_bin(m, m[g + G.BIN])


@inlined
def _apply(m: Ints, f: Floats, l: int, steps: int, now: int, duration: int, rise: int, ran: int, tokens: int) -> None:
    for k in range(4):
        f[m[C.WORK] + k] += steps * f[m[C.WORK_BASE] + 4 * m[l + L.TOKENS] + k]
    m[C.SAMPLED_SUM] += steps * m[l + L.SAMPLED]
    for i in range(m[C.V_SIZE]):
        f[m[C.SUMS] + i] += steps * m[m[l + L.V] + i]
    if steps > 1:
        for w in range(m[C.SPANS]):
            f[m[C.SUMS] + 4 + 3 * w] += m[m[l + L.GROWTH] + 4 + 3 * w] * (steps * (steps - 1) // 2)
    ending = 0
    per_token = ran / tokens
    if m[l + L.SERVED] > 0:
        f[l + L.SHARE_SUM] += per_token * (1 + m[C.DRAFTS])
        if m[C.DRAFTS] > 0:
            ending = _accept(m, l, now)
        else:
            _decode(m, l, steps, now, duration, rise, ran)
    if m[l + L.PREFILL] > 0:
        ending = _yield(m, f, l, now, per_token, ending)
    if m[C.DRAFTS] == 0:
        while m[l + L.HEAP_SIZE] > 0 and m[m[l + L.HEAP_KEYS]] <= m[l + L.STEP]:
            key, r = m[m[l + L.HEAP_KEYS]], m[m[l + L.HEAP_ITEMS]]
            m[l + L.HEAP_SIZE] = pop(m, m[l + L.HEAP_KEYS], m[l + L.HEAP_ITEMS], m[l + L.HEAP_SIZE])
            if is_last_step(m, l, r, key):
                leave_decode(m, f, l, r)
                ending = _sorted_in(m, r, ending)
    for i in range(ending):
        r = m[m[C.ENDING] + i]
        q = request(m, r)
        if m[C.DRAFTS] > 0 and m[q + Q.PHASE] == DECODE:
            leave_decode(m, f, l, r)
        leave(m, l, r)
        settle(m, l, r)
        release(m, l, r, m[q + Q.COMPUTED], m[q + Q.COMPUTED])
        done(m, r, now, FINISHED)


@inlined
def _sorted_in(m: Ints, r: int, size: int) -> int:
    """Insert into the requests that finish, in order of number."""
    i = size
    while i > 0 and m[m[C.ENDING] + (i - 1)] > r:
        m[m[C.ENDING] + i] = m[m[C.ENDING] + (i - 1)]
        i -= 1
    m[m[C.ENDING] + i] = r
    return size + 1


@inlined
def _decode(m: Ints, l: int, steps: int, now: int, duration: int, rise: int, ran: int) -> None:
    """Every decode gets a token in each of the steps."""
    # Gaps between tokens: the new decodes had their last token when they joined, the others at the last decode.
    first_end = now - (ran - duration)
    gap = first_end - m[l + L.LAST_DECODE]
    for i in range(m[l + L.FRESH_SIZE]):
        q = request(m, m[m[l + L.FRESH] + i])
        own = first_end - m[q + Q.JOINED]
        m[q + Q.MAX_GAP] = max(m[q + Q.MAX_GAP], own)
        m[m[C.HISTOGRAM] + gap_bin(own)] += 1
    if m[l + L.SERVED] > m[l + L.FRESH_SIZE]:
        m[m[C.HISTOGRAM] + gap_bin(gap)] += m[l + L.SERVED] - m[l + L.FRESH_SIZE]
    if steps > 1:
        count_gaps(m, m[C.HISTOGRAM], duration + rise, rise, steps - 1, m[l + L.SERVED])
    if m[l + L.PEAKS_SIZE] + 2 > PEAKS:
        flush_peaks(m, l)
    _add_peak(m, l, m[l + L.STEP] + 1, gap)
    if steps > 1:
        _add_peak(m, l, m[l + L.STEP] + steps, max(duration + rise * (steps - 1), duration + rise))
    m[l + L.FRESH_SIZE] = 0
    m[l + L.LAST_DECODE] = now
    for w in range(m[C.SPANS]):
        if m[m[C.WINDOWS] + w] < 0:
            m[m[l + L.READS] + w] += m[l + L.DECODES] * steps
        else:
            for i in range(steps):
                if m[m[l + L.BELOW] + w] == 0:
                    break
                m[m[l + L.READS] + w] += m[m[l + L.BELOW] + w]
                slot = (m[l + L.STEP] + 1 + i) % (m[C.WIDEST] + 1)
                m[m[l + L.BELOW] + w] -= m[m[l + L.CROSSING] + w * (m[C.WIDEST] + 1) + slot]
                m[m[l + L.CROSSING] + w * (m[C.WIDEST] + 1) + slot] = 0
    m[l + L.STEP] += steps
    m[l + L.TURN] = (m[l + L.TURN] - steps) % m[C.BLOCK]


@inlined
def _add_peak(m: Ints, l: int, step: int, gap: int) -> None:
    while m[l + L.PEAKS_SIZE] > 0 and m[m[l + L.PEAKS] + (m[l + L.PEAKS_SIZE] - 1)] <= gap:
        m[l + L.PEAKS_SIZE] -= 1
    m[m[l + L.PEAK_STEPS] + m[l + L.PEAKS_SIZE]], m[m[l + L.PEAKS] + m[l + L.PEAKS_SIZE]] = step, gap
    m[l + L.PEAKS_SIZE] += 1


@jit
def _accept(m: Ints, l: int, now: int) -> int:
    """Every decode gets a token and the drafts that are accepted; returns how many requests finish."""
    ending = 0
    m[l + L.STEP] += 1
    r = m[l + L.FIRST]
    while r >= 0:
        q = request(m, r)
        if m[q + Q.PHASE] == DECODE:
            accepted = 0
            while (
                accepted < m[C.DRAFTS]
                and random(m[C.SEED], m[q + Q.NUMBER], (m[q + Q.GOT] << 8) + accepted + 1)
                < m[m[C.ACCEPTANCE] + accepted]
            ):
                accepted += 1
            got = min(1 + accepted, m[q + Q.OUTPUT] - m[q + Q.GOT])
            m[q + Q.MAX_GAP] = max(m[q + Q.MAX_GAP], now - m[q + Q.JOINED])
            m[m[C.HISTOGRAM] + gap_bin(now - m[q + Q.JOINED])] += 1
            m[m[C.HISTOGRAM] + gap_bin(0)] += got - 1
            m[q + Q.JOINED] = now
            m[q + Q.GOT] += got
            m[q + Q.COMPUTED] += got
            m[q + Q.ENTERED] = m[l + L.STEP]
            if m[q + Q.GOT] == m[q + Q.OUTPUT]:
                ending = _sorted_in(m, r, ending)
        r = m[q + Q.NEXT]
    return ending


@jit
def _yield(m: Ints, f: Floats, l: int, now: int, per_token: float, ending: int) -> int:
    """Prompts have been computed further; those that ended yield a token. Returns how many requests finish."""
    old, chunk = m[l + L.PARTIAL], m[l + L.CHUNK]
    if chunk > 0:
        m[l + L.PARTIAL] = -1
    i = 0
    while i < m[l + L.ADMITTED] or chunk > 0:
        # By class, then in order of admission: the prompt in work comes before the new ones of its class.
        from_old = chunk > 0 and (
            i == m[l + L.ADMITTED] or m[request(m, m[m[l + L.NEW] + i]) + Q.KLASS] >= m[request(m, old) + Q.KLASS]
        )
        if from_old:
            r = old
            n = chunk
            chunk = 0
        else:
            r = m[m[l + L.NEW] + i]
            n = m[request(m, r) + Q.CHUNK]
            i += 1
        q = request(m, r)
        m[q + Q.COMPUTED] += n
        f[q + Q.SHARE] += n * per_token
        if m[C.PREFIX] != 0:
            register(m, l, r, m[q + Q.COMPUTED])
        if m[q + Q.COMPUTED] < m[q + Q.PROMPT] + m[q + Q.GOT]:
            m[l + L.PARTIAL] = r
            continue
        m[q + Q.GOT] += 1
        tell_gap(m, r, now)
        if m[q + Q.FIRST] < 0:
            m[q + Q.FIRST] = now
        if m[q + Q.GOT] == m[q + Q.OUTPUT]:
            ending = _sorted_in(m, r, ending)
        else:
            enter_decode(m, f, l, r, now)
    return ending
