"""The prefix cache of a lane: entries by the id of their content, the idle ones in order of age, and a host tier."""

from __future__ import annotations

from scoville.serving.compiled.jit import inlined, jit
from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import entry as E
from scoville.serving.compiled.records import lane as L
from scoville.serving.compiled.records import request as Q
from scoville.serving.compiled.state import REFERS, Ints
from scoville.serving.compiled.structures import GOLDEN, request


@jit
def _place(m: Ints, table: int, size: int, id: int) -> int:
    """Where a table has an id, or would have it (open addressing, linear probing)."""
    at = ((id * GOLDEN) >> 20) & (size - 1)
    while m[table + at] != 0 and m[m[table + at] + E.ID] != id:
        at = (at + 1) & (size - 1)
    return table + at


@jit
def _remove(m: Ints, table: int, size: int, id: int) -> None:
    """Take an id out of a table and move up what stands behind it."""
    mask = size - 1
    hole = _place(m, table, size, id) - table
    m[table + hole] = 0
    at = (hole + 1) & mask
    while m[table + at] != 0:
        home = ((m[m[table + at] + E.ID] * GOLDEN) >> 20) & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            m[table + hole] = m[table + at]
            m[table + at] = 0
            hole = at
        at = (at + 1) & mask


@inlined
def place_of(m: Ints, l: int, id: int) -> int:
    """Where the table of entries on the chip has an id, or would have it."""
    return _place(m, m[l + L.TABLE], m[C.TABLE_SIZE], id)


@jit
def find(m: Ints, l: int, id: int) -> int:
    """The entry of an id on the chip, 0 if none."""
    return m[place_of(m, l, id)]


@jit
def find_on_host(m: Ints, l: int, id: int) -> int:
    """The entry of an id in the host tier, 0 if none."""
    return m[_place(m, m[l + L.HOST_TABLE], m[C.HOST_TABLE_SIZE], id)]


@inlined
def _append(m: Ints, oldest: int, newest: int, e: int) -> None:
    """To the end of a list whose ends stand at these places of the array; 0 is none."""
    last = m[newest]
    m[e + E.PREVIOUS], m[e + E.NEXT] = last, 0
    if last != 0:
        m[last + E.NEXT] = e
    else:
        m[oldest] = e
    m[newest] = e


@inlined
def _unlink(m: Ints, oldest: int, newest: int, e: int) -> None:
    """Take an entry out of a list."""
    before, after = m[e + E.PREVIOUS], m[e + E.NEXT]
    if before != 0:
        m[before + E.NEXT] = after
    else:
        m[oldest] = after
    if after != 0:
        m[after + E.PREVIOUS] = before
    else:
        m[newest] = before


@inlined
def insert(m: Ints, l: int, place: int, at: int) -> None:
    """Make an entry of the id at a position of a request's list, which then refers to it; `place` is in the table."""
    e = m[l + L.SPARE]
    m[place] = e
    m[l + L.SPARE] = m[e + E.NEXT]
    m[e + E.ID] = m[at]
    m[e + E.REFS] = 1
    m[at] = e | REFERS


@inlined
def refer(m: Ints, l: int, at: int) -> None:
    """A request refers to the entry of an id of its list."""
    e = find(m, l, m[at])
    m[at] = e | REFERS
    if m[e + E.REFS] == 0:
        _unlink(m, l + L.OLDEST, l + L.NEWEST, e)
        m[l + L.IDLE] -= m[C.ID_BLOCKS]
    m[e + E.REFS] += 1


@inlined
def _unrefer(m: Ints, l: int, e: int) -> None:
    """One request fewer refers to an entry; with none it is idle, the most recent one."""
    m[e + E.REFS] -= 1
    if m[e + E.REFS] == 0:
        _append(m, l + L.OLDEST, l + L.NEWEST, e)
        m[l + L.IDLE] += m[C.ID_BLOCKS]


@jit
def drop_from_host(m: Ints, l: int, e: int) -> None:
    """Remove an entry from the host tier."""
    _remove(m, m[l + L.HOST_TABLE], m[C.HOST_TABLE_SIZE], m[e + E.ID])
    _unlink(m, l + L.HOST_OLDEST, l + L.HOST_NEWEST, e)
    m[e + E.NEXT] = m[l + L.HOST_SPARE]
    m[l + L.HOST_SPARE] = e


@jit
def _keep_on_host(m: Ints, l: int, id: int) -> None:
    if m[l + L.HOST_SPARE] == 0:
        drop_from_host(m, l, m[l + L.HOST_OLDEST])
    e = m[l + L.HOST_SPARE]
    m[l + L.HOST_SPARE] = m[e + E.NEXT]
    m[_place(m, m[l + L.HOST_TABLE], m[C.HOST_TABLE_SIZE], id)] = e
    m[e + E.ID] = id
    _append(m, l + L.HOST_OLDEST, l + L.HOST_NEWEST, e)


@jit
def evict(m: Ints, l: int) -> None:
    """Give up the entry that has been idle longest; its blocks are free."""
    e = m[l + L.OLDEST]
    _remove(m, m[l + L.TABLE], m[C.TABLE_SIZE], m[e + E.ID])
    _unlink(m, l + L.OLDEST, l + L.NEWEST, e)
    blocks = m[C.ID_BLOCKS]
    m[l + L.IDLE] -= blocks
    m[l + L.FREE] += blocks
    if m[C.HOST_ENTRIES_COUNT] > 0:
        _keep_on_host(m, l, m[e + E.ID])
    m[e + E.NEXT] = m[l + L.SPARE]
    m[l + L.SPARE] = e


@jit
def forget(m: Ints, l: int) -> None:
    """Empty a lane's cache and its host tier, as after a failure."""
    for i in range(m[C.TABLE_SIZE]):
        m[m[l + L.TABLE] + i] = 0
    for i in range(m[C.HOST_TABLE_SIZE]):
        m[m[l + L.HOST_TABLE] + i] = 0
    m[l + L.OLDEST] = m[l + L.NEWEST] = m[l + L.HOST_OLDEST] = m[l + L.HOST_NEWEST] = 0
    m[l + L.SPARE] = _chain(m, m[l + L.ENTRIES], m[C.ENTRIES_COUNT])
    m[l + L.HOST_SPARE] = _chain(m, m[l + L.HOST_ENTRIES], m[C.HOST_ENTRIES_COUNT])


@jit
def _chain(m: Ints, first: int, count: int) -> int:
    """Make a list of unused entries; returns its first, 0 if there is none."""
    after = 0
    for i in range(count - 1, -1, -1):
        e = first + i * E.SIZE
        m[e + E.NEXT] = after
        after = e
    return after


@jit
def register(m: Ints, l: int, r: int, computed: int) -> None:
    """Make entries of the request's ids that its computed tokens cover wholly."""
    q = request(m, r)
    covered = min(computed // m[C.ID_TOKENS], m[q + Q.IDS])
    for i in range(covered):
        at = m[q + Q.FIRST_ID] + i
        id = m[at]
        if id & REFERS != 0:
            continue
        place = place_of(m, l, id)
        if m[place] == 0:
            insert(m, l, place, at)
            if m[C.HOST_ENTRIES_COUNT] > 0:
                e = find_on_host(m, l, id)
                if e != 0:
                    drop_from_host(m, l, e)
    m[q + Q.REFS] = max(m[q + Q.REFS], covered)


@inlined
def restore(m: Ints, at: int) -> int:
    """Put the id of an entry back into a request's list; returns the entry."""
    e = m[at] & ~REFERS
    m[at] = m[e + E.ID]
    return e


@jit
def give_up(m: Ints, l: int, r: int) -> int:
    """Drop the request's references, from the last id to the first; returns how many blocks they were."""
    q = request(m, r)
    shared = 0
    for i in range(m[q + Q.REFS] - 1, -1, -1):
        at = m[q + Q.FIRST_ID] + i
        if m[at] & REFERS != 0:
            _unrefer(m, l, restore(m, at))
            shared += m[C.ID_BLOCKS]
    m[q + Q.REFS] = 0
    return shared
