"""Requests of a lane: queues, the list of running ones, decodes, blocks, and how they go."""

from __future__ import annotations

from scoville.serving.compiled.jit import inlined, jit
from scoville.serving.compiled.prefixes import evict, give_up, register
from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import lane as L
from scoville.serving.compiled.records import request as Q
from scoville.serving.compiled.state import DECODE, LONG_AGO, WAITING, Floats, Ints
from scoville.serving.compiled.structures import blocks, gap_bin, largest_from, push, request

# -- lists of requests: `first` and `last` are where the array has their ends ------------------------------------------


@inlined
def _link(m: Ints, first: int, last: int, r: int, before: int, after: int) -> None:
    """Put a request between two neighbours of a list; -1 is none."""
    q = request(m, r)
    m[q + Q.PREVIOUS], m[q + Q.NEXT] = before, after
    if before >= 0:
        m[request(m, before) + Q.NEXT] = r
    else:
        m[first] = r
    if after >= 0:
        m[request(m, after) + Q.PREVIOUS] = r
    else:
        m[last] = r


@inlined
def _unlink(m: Ints, first: int, last: int, r: int) -> None:
    """Take a request out of a list."""
    q = request(m, r)
    before, after = m[q + Q.PREVIOUS], m[q + Q.NEXT]
    if before >= 0:
        m[request(m, before) + Q.NEXT] = after
    else:
        m[first] = after
    if after >= 0:
        m[request(m, after) + Q.PREVIOUS] = before
    else:
        m[last] = before


# -- queues ----------------------------------------------------------------------------------------------------------


@inlined
def queue_of(m: Ints, r: int) -> int:
    """The queue of a lane that a request waits in: by class, and by client where that counts."""
    return m[request(m, r) + Q.KLASS] * m[C.CLIENTS] + (m[request(m, r) + Q.CLIENT] if m[C.FAIR] else 0)


@jit
def append(m: Ints, l: int, r: int) -> None:
    """To the end of its queue."""
    k = queue_of(m, r)
    first, last = m[l + L.QUEUE_FIRST] + k, m[l + L.QUEUE_LAST] + k
    _link(m, first, last, r, m[last], -1)
    m[request(m, r) + Q.PHASE] = WAITING
    m[l + L.WAITING] += 1


@jit
def prepend(m: Ints, l: int, r: int) -> None:
    """To the head of its queue."""
    k = queue_of(m, r)
    first, last = m[l + L.QUEUE_FIRST] + k, m[l + L.QUEUE_LAST] + k
    _link(m, first, last, r, -1, m[first])
    m[request(m, r) + Q.PHASE] = WAITING
    m[l + L.WAITING] += 1


@jit
def take_head(m: Ints, l: int, r: int) -> None:
    """Remove the head of a queue."""
    k = queue_of(m, r)
    _unlink(m, m[l + L.QUEUE_FIRST] + k, m[l + L.QUEUE_LAST] + k, r)
    m[l + L.WAITING] -= 1


@jit
def best(m: Ints, l: int, cutoff: int) -> int:
    """The next request to be admitted, of those that came by the cutoff; -1 if none."""
    if m[l + L.WAITING] == 0:
        return -1
    for klass in range(m[C.CLASSES]):
        chosen, lowest = -1, 0
        for client in range(m[C.CLIENTS]):
            r = m[m[l + L.QUEUE_FIRST] + klass * m[C.CLIENTS] + client]
            if (
                r >= 0
                and m[request(m, r) + Q.CAME] <= cutoff
                and (chosen < 0 or m[m[l + L.COUNTERS] + client] < lowest)
            ):
                chosen, lowest = r, m[m[l + L.COUNTERS] + client]
        if chosen >= 0:
            return chosen
    return -1


# -- blocks ----------------------------------------------------------------------------------------------------------


@inlined
def take(m: Ints, l: int, count: int) -> None:
    """Take free blocks, at the cost of idle entries."""
    while m[l + L.FREE] < count:
        evict(m, l)
    m[l + L.FREE] -= count


@jit
def held(m: Ints, r: int, computed: int) -> int:
    """Blocks that a running request holds with so many tokens computed or about to be."""
    q = request(m, r)
    if m[C.FULL] != 0:
        return blocks(m[q + Q.PROMPT] + m[q + Q.OUTPUT], m[C.BLOCK]) + m[C.SEQUENCE_BLOCKS]
    return max(blocks(computed, m[C.BLOCK]), m[q + Q.HELD]) + m[C.SEQUENCE_BLOCKS]


@jit
def release(m: Ints, l: int, r: int, computed: int, taken: int) -> None:
    """Free what a request holds: `computed` tokens are in the cache, `taken` have their blocks."""
    own = held(m, r, taken)
    if m[C.PREFIX] != 0:
        register(m, l, r, computed)
        own -= give_up(m, l, r)
    m[l + L.FREE] += own
    m[request(m, r) + Q.HELD] = 0


# -- the list of running ones ----------------------------------------------------------------------------------------


@jit
def join(m: Ints, l: int, r: int) -> None:
    """Behind all of its class."""
    klass = m[request(m, r) + Q.KLASS]
    before, after = m[l + L.LAST], -1
    while before >= 0 and m[request(m, before) + Q.KLASS] > klass:
        after, before = before, m[request(m, before) + Q.PREVIOUS]
    _link(m, l + L.FIRST, l + L.LAST, r, before, after)
    m[l + L.COUNT] += 1


@jit
def leave(m: Ints, l: int, r: int) -> None:
    """Out of the running ones."""
    _unlink(m, l + L.FIRST, l + L.LAST, r)
    m[l + L.COUNT] -= 1


# -- decodes ---------------------------------------------------------------------------------------------------------


@inlined
def computed_of(m: Ints, l: int, r: int) -> int:
    """Tokens of a running request in the cache."""
    q = request(m, r)
    return m[q + Q.COMPUTED] + m[l + L.STEP] - m[q + Q.ENTERED] if m[q + Q.PHASE] == DECODE else m[q + Q.COMPUTED]


@jit
def enter_decode(m: Ints, f: Floats, l: int, r: int, now: int) -> None:
    """From its prompt's last token on; `computed` and `got` are up to date."""
    q = request(m, r)
    if m[l + L.DECODES] == 0:
        m[l + L.PEAKS_SIZE] = 0
    m[q + Q.PHASE], m[q + Q.ENTERED], m[q + Q.JOINED], f[q + Q.SHARE_FROM] = (
        DECODE,
        m[l + L.STEP],
        now,
        f[l + L.SHARE_SUM],
    )
    m[l + L.DECODES] += 1
    if m[C.DRAFTS] > 0:
        m[q + Q.HELD] = blocks(m[q + Q.COMPUTED], m[C.BLOCK])
        return
    m[m[l + L.FRESH] + m[l + L.FRESH_SIZE]] = r
    m[l + L.FRESH_SIZE] += 1
    m[m[l + L.RESIDUE] + ((m[q + Q.COMPUTED] - m[l + L.STEP]) % m[C.BLOCK])] += 1
    if m[l + L.HEAP_SIZE] < m[C.HEAP_ROOM]:
        _push_last_step(m, l, r)
    else:
        _rebuild_heap(m, l)
    for w in range(m[C.SPANS]):
        window = m[m[C.WINDOWS] + w]
        if window < 0:
            m[m[l + L.READS] + w] += m[q + Q.COMPUTED] + 1
        else:
            m[m[l + L.READS] + w] += min(m[q + Q.COMPUTED] + 1, window)
            if m[q + Q.COMPUTED] + 1 < window:
                m[m[l + L.BELOW] + w] += 1
                m[
                    m[l + L.CROSSING]
                    + w * (m[C.WIDEST] + 1)
                    + ((m[l + L.STEP] + window - 1 - m[q + Q.COMPUTED]) % (m[C.WIDEST] + 1))
                ] += 1


@inlined
def _last_step(m: Ints, r: int) -> int:
    """The lane's decode step with which a request that decodes ends."""
    q = request(m, r)
    return m[q + Q.ENTERED] + m[q + Q.OUTPUT] - m[q + Q.GOT]


@inlined
def is_last_step(m: Ints, l: int, r: int, key: int) -> bool:
    """Whether an entry of the heap is of the request's present stay in decode."""
    q = request(m, r)
    return m[q + Q.PHASE] == DECODE and m[q + Q.LANE] == l and key == _last_step(m, r)


@jit
def _push_last_step(m: Ints, l: int, r: int) -> None:
    m[l + L.HEAP_SIZE] = push(m, m[l + L.HEAP_KEYS], m[l + L.HEAP_ITEMS], m[l + L.HEAP_SIZE], _last_step(m, r), r)


@jit
def _rebuild_heap(m: Ints, l: int) -> None:
    """Leave no entries but those of the present decodes, one each."""
    m[l + L.HEAP_SIZE] = 0
    r = m[l + L.FIRST]
    while r >= 0:
        if m[request(m, r) + Q.PHASE] == DECODE:
            _push_last_step(m, l, r)
        r = m[request(m, r) + Q.NEXT]


@jit
def leave_decode(m: Ints, f: Floats, l: int, r: int) -> None:
    """Bring `computed`, `got`, the largest gap and the share up to date, and take it out of the sums."""
    q = request(m, r)
    m[l + L.DECODES] -= 1
    f[q + Q.SHARE] += f[l + L.SHARE_SUM] - f[q + Q.SHARE_FROM]
    m[q + Q.TOKEN_AT] = m[q + Q.JOINED]
    if m[C.DRAFTS] > 0:
        return
    stayed = m[l + L.STEP] - m[q + Q.ENTERED]
    computed = m[q + Q.COMPUTED] + stayed
    m[m[l + L.RESIDUE] + ((m[q + Q.COMPUTED] - m[q + Q.ENTERED]) % m[C.BLOCK])] -= 1
    m[q + Q.MAX_GAP] = max(
        m[q + Q.MAX_GAP],
        largest_from(m, m[l + L.PEAK_STEPS], m[l + L.PEAKS], m[l + L.PEAKS_SIZE], m[q + Q.ENTERED] + 2),
    )
    if stayed > 0:
        m[q + Q.TOKEN_AT] = m[l + L.LAST_DECODE]
    else:
        for i in range(m[l + L.FRESH_SIZE]):
            if m[m[l + L.FRESH] + i] == r:
                m[m[l + L.FRESH] + i] = m[m[l + L.FRESH] + (m[l + L.FRESH_SIZE] - 1)]
                m[l + L.FRESH_SIZE] -= 1
                break
    for w in range(m[C.SPANS]):
        window = m[m[C.WINDOWS] + w]
        if window < 0:
            m[m[l + L.READS] + w] -= computed + 1
        else:
            m[m[l + L.READS] + w] -= min(computed + 1, window)
            if computed + 1 < window:
                m[m[l + L.BELOW] + w] -= 1
                m[
                    m[l + L.CROSSING]
                    + w * (m[C.WIDEST] + 1)
                    + ((m[l + L.STEP] + window - 1 - computed) % (m[C.WIDEST] + 1))
                ] -= 1
    m[q + Q.GOT] += stayed
    m[q + Q.COMPUTED] = computed
    m[q + Q.ENTERED] = LONG_AGO


@jit
def flush_peaks(m: Ints, l: int) -> None:
    """Bring all largest gaps up to date, when there is no room for further peaks."""
    r = m[l + L.FIRST]
    while r >= 0:
        q = request(m, r)
        if m[q + Q.PHASE] == DECODE:
            m[q + Q.MAX_GAP] = max(
                m[q + Q.MAX_GAP],
                largest_from(m, m[l + L.PEAK_STEPS], m[l + L.PEAKS], m[l + L.PEAKS_SIZE], m[q + Q.ENTERED] + 2),
            )
        r = m[q + Q.NEXT]
    m[l + L.PEAKS_SIZE] = 0


@jit
def tell_gap(m: Ints, r: int, now: int) -> None:
    """Count the gap before a token that comes at the end of a prompt's last chunk."""
    q = request(m, r)
    if m[q + Q.TOKEN_AT] >= 0:
        m[q + Q.MAX_GAP] = max(m[q + Q.MAX_GAP], now - m[q + Q.TOKEN_AT])
        m[m[C.HISTOGRAM] + gap_bin(now - m[q + Q.TOKEN_AT])] += 1


# -- leaving ---------------------------------------------------------------------------------------------------------


@jit
def settle(m: Ints, l: int, r: int) -> None:
    """Fairness counts the tokens that a request has got since its admission."""
    q = request(m, r)
    if m[C.FAIR] != 0:
        m[m[l + L.COUNTERS] + m[q + Q.CLIENT]] += m[C.OUTPUT_WEIGHT] * (m[q + Q.GOT] - m[q + Q.PAID_GOT])
        m[q + Q.PAID_GOT] = m[q + Q.GOT]


@jit
def preempt(m: Ints, f: Floats, l: int, r: int, served: bool) -> None:
    """Back to the head of its queue; `served`: decodes have the blocks of this step's token."""
    q = request(m, r)
    leave(m, l, r)
    taken = 0
    if m[q + Q.PHASE] == DECODE:
        leave_decode(m, f, l, r)
        taken = 1 if served and m[C.DRAFTS] == 0 else 0
    else:
        m[l + L.PARTIAL] = -1
    settle(m, l, r)
    computed = m[q + Q.COMPUTED]
    release(m, l, r, computed, computed + taken)
    m[q + Q.PREEMPTIONS] += 1
    room = blocks(computed, m[C.BLOCK]) + m[C.SEQUENCE_BLOCKS]
    if m[C.SWAP] != 0 and m[l + L.HOST_FREE] >= room:
        m[l + L.HOST_FREE] -= room
        m[l + L.MOVED] += room
        m[q + Q.KEPT] = computed
    else:
        m[C.RECOMPUTED] += computed
        m[q + Q.KEPT] = 0
    prepend(m, l, r)
