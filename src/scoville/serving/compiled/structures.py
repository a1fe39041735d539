"""Small structures of the compiled simulator: heaps, gap bins, random numbers, block arithmetic."""

from __future__ import annotations

from scoville.serving.compiled.jit import inlined, jit, width
from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import group as G
from scoville.serving.compiled.state import SUB_BITS, Ints

GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, signed
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


@inlined
def gap_bin(ticks: int) -> int:
    """Bin of a gap: 64 to the octave, at most 1.6 % wide (as in HdrHistogram); below 128 ticks a bin each."""
    shift = max(width(ticks | 1) - 1 - SUB_BITS, 0)
    return (shift << SUB_BITS) + (ticks >> shift)


@inlined
def bin_end(index: int) -> int:
    """The first gap beyond a bin."""
    shift = max((index >> SUB_BITS) - 1, 0)
    return ((index - (shift << SUB_BITS)) + 1) << shift


@jit
def count_gaps(m: Ints, histogram: int, first: int, growth: int, steps: int, each: int) -> None:
    """Add `each` gaps for every one of `steps` gaps first, first + growth, ..."""
    if growth < 0:
        first, growth = first + growth * (steps - 1), -growth
    at = gap_bin(first)
    done = 0
    while done < steps:
        end = bin_end(at)
        more = steps - done
        if first + (steps - 1) * growth >= end:  # not all of the rest in this bin
            more = min(more, (end - first - done * growth + growth - 1) // growth)
        m[histogram + at] += more * each
        done += more
        at = at + 1 if done == steps else gap_bin(first + done * growth)


@jit
def push(m: Ints, keys: int, items: int, size: int, key: int, item: int) -> int:
    """Insert into a binary heap by (key, item), which stand from `keys` and `items` on; returns the new size."""
    i = size
    while i > 0:
        up = (i - 1) >> 1
        if m[keys + up] < key or (m[keys + up] == key and m[items + up] <= item):
            break
        m[keys + i], m[items + i] = m[keys + up], m[items + up]
        i = up
    m[keys + i], m[items + i] = key, item
    return size + 1


@jit
def pop(m: Ints, keys: int, items: int, size: int) -> int:
    """Remove the least entry of the heap; returns the new size."""
    size -= 1
    key, item = m[keys + size], m[items + size]
    i = 0
    while True:
        a = 2 * i + 1
        if a >= size:
            break
        b = a + 1
        if b < size and (m[keys + b] < m[keys + a] or (m[keys + b] == m[keys + a] and m[items + b] < m[items + a])):
            a = b
        if key < m[keys + a] or (key == m[keys + a] and item <= m[items + a]):
            break
        m[keys + i], m[items + i] = m[keys + a], m[items + a]
        i = a
    m[keys + i], m[items + i] = key, item
    return size


@jit
def largest_from(m: Ints, steps: int, gaps: int, size: int, first: int) -> int:
    """Largest gap of decode steps `first` and later, from the peaks: steps ascend, gaps descend; 0 if none."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if m[steps + middle] >= first:
            high = middle
        else:
            low = middle + 1
    return m[gaps + low] if low < size else 0


@inlined
def request(m: Ints, r: int) -> int:
    """Where the record of a request begins that has arrived; of one that has ended, a blank one."""
    return m[m[C.RECORD_OF] + r]


@inlined
def lane_of(m: Ints, g: int, rank: int) -> int:
    """A group's lane by its rank."""
    return m[g + G.FIRST_LANE] + rank * m[C.LANE_STRIDE]


@inlined
def blocks(tokens: int, block: int) -> int:
    """Blocks that hold so many tokens."""
    return (tokens + block - 1) // block


@inlined
def seen(start: int, count: int, window: int) -> int:
    """Sum of min(start + i, window) for i = 1..count; window < 0 is none."""
    growing = count if window < 0 else min(max(window - start, 0), count)
    return growing * start + growing * (growing + 1) // 2 + (count - growing) * max(window, 0)


@inlined
def _mix(z: int) -> int:
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * _MIX_1
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * _MIX_2
    return z ^ ((z >> 31) & ((1 << 33) - 1))


@jit
def random(seed: int, x: int, y: int) -> int:
    """32 random bits that depend on the three numbers alone (SplitMix64: Steele, Lea and Flood, OOPSLA 2014)."""
    z = _mix(seed + GOLDEN * (x + 1))
    return (_mix(z + GOLDEN * (y + 1)) >> 32) & 0xFFFFFFFF
