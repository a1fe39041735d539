"""The schedule of one lane's step: who has gone, who goes on, who joins (docs/simulator.md, "A step of a lane")."""

from __future__ import annotations

from scoville.serving.compiled.arrivals import done
from scoville.serving.compiled.jit import inlined, jit
from scoville.serving.compiled.prefixes import drop_from_host, find, find_on_host, insert, place_of, refer
from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import entry as E
from scoville.serving.compiled.records import lane as L
from scoville.serving.compiled.records import request as Q
from scoville.serving.compiled.running import best, computed_of, join, preempt, take, take_head
from scoville.serving.compiled.state import ABANDONED, DECODE, PREFILL, PREFILL_FIRST, STATIC, Floats, Ints
from scoville.serving.compiled.structures import blocks, request, seen


@jit
def schedule(m: Ints, f: Floats, l: int, now: int, cutoff: int) -> None:
    """Choose the tokens of a lane's next step; leaves them in the lane's record and in v."""
    m[l + L.MOVED] = m[l + L.PREEMPTED] = m[l + L.ADMITTED] = 0
    m[l + L.SERVED] = m[l + L.CHUNK] = m[l + L.PREFILL] = m[l + L.SAMPLED] = m[l + L.SEQUENCES] = m[l + L.TOKENS] = 0
    if m[l + L.COUNT] == 0 and m[l + L.WAITING] == 0:
        return
    for i in range(m[C.V_SIZE]):
        m[m[l + L.V] + i] = 0
    if m[C.PATIENCE] > 0 and m[l + L.WAITING] > 0:
        _abandon(m, l, now, cutoff)
    if m[C.CLASSES] > 1 and m[C.FULL] == 0 and m[C.POLICY] != STATIC:
        _displace(m, f, l, cutoff)
    empty = m[l + L.COUNT] == 0
    each = 1 + m[C.DRAFTS]
    prompts_only = m[C.POLICY] == PREFILL_FIRST and _serves_prompts_only(m, l, cutoff)
    if m[l + L.DECODES] > 0 and not prompts_only:
        _serve_decodes(m, f, l)
    if m[l + L.PARTIAL] >= 0:
        _serve_partial(m, f, l, m[C.BUDGET] - m[l + L.SERVED] * each)
    left = m[C.BUDGET] - m[l + L.SERVED] * each - m[l + L.PREFILL]
    if m[l + L.WAITING] > 0 and m[l + L.PREEMPTED] == 0 and (empty or m[C.POLICY] != STATIC):
        _admit(m, l, now, cutoff, left)
    decoded = m[l + L.SERVED] * each
    m[l + L.TOKENS] = decoded + m[l + L.PREFILL]
    m[l + L.SAMPLED] += decoded
    m[l + L.SEQUENCES] += m[l + L.SERVED]
    v = m[l + L.V]
    m[v], m[v + 1], m[v + 2], m[v + 3] = 1, decoded, m[l + L.PREFILL], m[l + L.SEQUENCES]
    if m[l + L.SERVED] > 0:
        if m[C.DRAFTS] > 0:
            _sum_reads(m, l)
        else:
            for w in range(m[C.SPANS]):
                m[m[l + L.V] + 4 + 3 * w] = m[m[l + L.READS] + w]


@jit
def _abandon(m: Ints, l: int, now: int, cutoff: int) -> None:
    for k in range(m[C.QUEUES]):
        r = m[m[l + L.QUEUE_FIRST] + k]
        while r >= 0:
            q = request(m, r)
            if m[q + Q.SCHEDULED] >= 0 or m[q + Q.CAME] > cutoff or m[q + Q.CAME] + m[C.PATIENCE] > now:
                break
            take_head(m, l, r)
            done(m, r, now, ABANDONED)
            r = m[m[l + L.QUEUE_FIRST] + k]


@jit
def _displace(m: Ints, f: Floats, l: int, cutoff: int) -> None:
    while m[l + L.LAST] >= 0:
        r = best(m, l, cutoff)
        if r < 0 or m[request(m, r) + Q.KLASS] >= m[request(m, m[l + L.LAST]) + Q.KLASS]:
            return
        if m[l + L.COUNT] < m[C.MAX_SEQUENCES] and asks(m, l, r, m[C.BUDGET])[0]:
            return
        preempt(m, f, l, m[l + L.LAST], False)


@jit
def may_displace(m: Ints, l: int, cutoff: int) -> bool:
    """Whether a better class waits than one that runs: it could come to displace it when blocks run out."""
    if m[C.FULL] != 0 or m[C.POLICY] == STATIC or m[l + L.LAST] < 0:
        return False
    r = best(m, l, cutoff)
    return r >= 0 and m[request(m, r) + Q.KLASS] < m[request(m, m[l + L.LAST]) + Q.KLASS]


@jit
def _serves_prompts_only(m: Ints, l: int, cutoff: int) -> bool:
    if m[l + L.PARTIAL] >= 0:
        q = request(m, m[l + L.PARTIAL])
        chunk = min(m[q + Q.PROMPT] + m[q + Q.GOT] - m[q + Q.COMPUTED], m[C.BUDGET])
        lacks = blocks(m[q + Q.COMPUTED] + chunk, m[C.BLOCK]) - blocks(m[q + Q.COMPUTED], m[C.BLOCK])
        return m[C.FULL] != 0 or lacks <= m[l + L.FREE] + m[l + L.IDLE]
    if m[l + L.COUNT] >= m[C.MAX_SEQUENCES]:
        return False
    r = best(m, l, cutoff)
    return r >= 0 and asks(m, l, r, m[C.BUDGET])[0]


@inlined
def _serve_decodes(m: Ints, f: Floats, l: int) -> None:
    if m[C.FULL] != 0:
        m[l + L.SERVED] = m[l + L.DECODES]
        return
    if m[C.DRAFTS] == 0:
        need = m[m[l + L.RESIDUE] + m[l + L.TURN]]
        if need <= m[l + L.FREE] + m[l + L.IDLE]:
            take(m, l, need)
            m[l + L.SERVED] = m[l + L.DECODES]
            return
    _serve_each(m, f, l)


@jit
def _serve_each(m: Ints, f: Floats, l: int) -> None:
    """Decodes one by one, where blocks may not do for all."""
    r = m[l + L.FIRST]
    while r >= 0:
        q = request(m, r)
        if m[q + Q.PHASE] == DECODE:
            computed = computed_of(m, l, r)
            ahead = blocks(computed + 1 + m[C.DRAFTS], m[C.BLOCK])
            need = max(0, ahead - max(blocks(computed, m[C.BLOCK]), m[q + Q.HELD]))
            while need > m[l + L.FREE] + m[l + L.IDLE]:
                x = m[l + L.LAST]
                preempt(m, f, l, x, False)
                m[l + L.PREEMPTED] = 1
                if x == r:
                    return
            take(m, l, need)
            if m[C.DRAFTS] > 0:
                m[q + Q.HELD] = max(m[q + Q.HELD], ahead)
            m[l + L.SERVED] += 1
        r = m[q + Q.NEXT]


@jit
def _serve_partial(m: Ints, f: Floats, l: int, left: int) -> None:
    r = m[l + L.PARTIAL]
    q = request(m, r)
    known = m[q + Q.PROMPT] + m[q + Q.GOT]
    chunk = min(known - m[q + Q.COMPUTED], left)
    if chunk == 0:
        return
    if m[C.FULL] == 0:
        need = blocks(m[q + Q.COMPUTED] + chunk, m[C.BLOCK]) - blocks(m[q + Q.COMPUTED], m[C.BLOCK])
        while need > m[l + L.FREE] + m[l + L.IDLE]:
            x = m[l + L.LAST]
            served = m[l + L.SERVED] > 0
            if x != r and served:
                m[l + L.SERVED] -= 1
            preempt(m, f, l, x, served)
            m[l + L.PREEMPTED] = 1
            if x == r:
                return
        take(m, l, need)
    m[l + L.CHUNK] = chunk
    _count_prompt(m, l, m[q + Q.COMPUTED], chunk, known)


@inlined
def _count_prompt(m: Ints, l: int, start: int, chunk: int, known: int) -> None:
    m[l + L.PREFILL] += chunk
    m[l + L.SEQUENCES] += 1
    if start + chunk == known:
        m[l + L.SAMPLED] += 1
    for w in range(m[C.SPANS]):
        window = m[m[C.WINDOWS] + w]
        end = start + chunk
        m[m[l + L.V] + 5 + 3 * w] += end if window < 0 else min(end, window + chunk - 1)
        m[m[l + L.V] + 6 + 3 * w] += seen(start, chunk, window)


@jit
def asks(m: Ints, l: int, r: int, left: int) -> tuple[bool, int, int, int, int, int]:
    """Whether a request's first chunk fits; the chunk, computed tokens, ids found on the chip and the host, blocks."""
    q = request(m, r)
    known = m[q + Q.PROMPT] + m[q + Q.GOT]
    start, on_chip, on_host, idle = m[q + Q.KEPT], 0, 0, 0
    if m[C.PREFIX] != 0 and start == 0:
        most = min((known - 1) // m[C.ID_TOKENS], m[q + Q.IDS])
        while on_chip < most:
            e = find(m, l, m[m[q + Q.FIRST_ID] + on_chip])
            if e == 0:
                break
            if m[e + E.REFS] == 0:
                idle += m[C.ID_BLOCKS]
            on_chip += 1
        if m[C.HOST_ENTRIES_COUNT] > 0:
            at = m[q + Q.FIRST_ID] + on_chip
            while on_chip + on_host < most and find_on_host(m, l, m[at + on_host]) != 0:
                on_host += 1
        start = (on_chip + on_host) * m[C.ID_TOKENS]
    chunk = min(known - start, left)
    total = (
        blocks(m[q + Q.PROMPT] + m[q + Q.OUTPUT], m[C.BLOCK]) if m[C.FULL] != 0 else blocks(start + chunk, m[C.BLOCK])
    )
    need = total + m[C.SEQUENCE_BLOCKS] - on_chip * m[C.ID_BLOCKS]
    available = m[l + L.FREE] + m[l + L.IDLE] - idle
    fits = available - need >= m[C.WATERMARK] or (m[l + L.COUNT] == 0 and available >= need)
    return fits, chunk, start, on_chip, on_host, need


@inlined
def _admit(m: Ints, l: int, now: int, cutoff: int, left: int) -> None:
    while left > 0 and m[l + L.COUNT] < m[C.MAX_SEQUENCES]:
        r = best(m, l, cutoff)
        if r < 0:
            return
        fits, chunk, start, on_chip, on_host, need = asks(m, l, r, left)
        if not fits:
            return
        q = request(m, r)
        take_head(m, l, r)
        if m[C.PREFIX] != 0:
            _take_found(m, l, r, on_chip, on_host, need)
        else:
            take(m, l, need)
        if m[q + Q.SCHEDULED] < 0:
            m[q + Q.SCHEDULED] = now
            m[q + Q.CACHED] = (on_chip + on_host) * m[C.ID_TOKENS]
        elif m[C.SWAP] != 0 and m[q + Q.KEPT] > 0:
            room = blocks(m[q + Q.KEPT], m[C.BLOCK]) + m[C.SEQUENCE_BLOCKS]
            m[l + L.HOST_FREE] += room
            m[l + L.MOVED] += room
        if m[C.FAIR] != 0:
            if m[q + Q.PAID_LANE] != l:
                m[m[l + L.COUNTERS] + m[q + Q.CLIENT]] += m[C.INPUT_WEIGHT] * m[q + Q.PROMPT]
                m[q + Q.PAID_LANE] = l
            m[q + Q.PAID_GOT] = m[q + Q.GOT]
        m[q + Q.KEPT], m[q + Q.COMPUTED], m[q + Q.CHUNK], m[q + Q.PHASE] = 0, start, chunk, PREFILL
        join(m, l, r)
        m[m[l + L.NEW] + m[l + L.ADMITTED]] = r
        m[l + L.ADMITTED] += 1
        left -= chunk
        _count_prompt(m, l, start, chunk, m[q + Q.PROMPT] + m[q + Q.GOT])
        if start + chunk < m[q + Q.PROMPT] + m[q + Q.GOT]:
            return


@jit
def _take_found(m: Ints, l: int, r: int, on_chip: int, on_host: int, need: int) -> None:
    """Refer to what is in the cache, load what is on the host, take blocks for that and for the first chunk."""
    q = request(m, r)
    for i in range(on_chip):
        refer(m, l, m[q + Q.FIRST_ID] + i)
    for i in range(on_chip, on_chip + on_host):
        drop_from_host(m, l, find_on_host(m, l, m[m[q + Q.FIRST_ID] + i]))
    take(m, l, need)
    for i in range(on_chip, on_chip + on_host):
        at = m[q + Q.FIRST_ID] + i
        insert(m, l, place_of(m, l, m[at]), at)
    m[l + L.MOVED] += on_host * m[C.ID_BLOCKS]
    m[q + Q.REFS] = on_chip + on_host


@jit
def _sum_reads(m: Ints, l: int) -> None:
    """Tokens that decodes with drafts read."""
    r = m[l + L.FIRST]
    while r >= 0:
        q = request(m, r)
        if m[q + Q.PHASE] == DECODE:
            for w in range(m[C.SPANS]):
                window = m[m[C.WINDOWS] + w]
                ahead = m[q + Q.COMPUTED] + 1 + m[C.DRAFTS]
                m[m[l + L.V] + 4 + 3 * w] += ahead if window < 0 else min(ahead, window)
        r = m[q + Q.NEXT]
