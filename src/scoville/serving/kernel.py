"""The compiled heart of the simulator: one replica, from its first arrival to its last token, in integers.

docs/simulator.md is the rule book; `reference.py` is the same in plain steps. Between events all running sequences
decode one token a step and a step's time grows by the same number of ticks each time, so a run of steps is summed in
closed form (a leap). A leap ends at a finish, at an arrival that could be admitted, where the cache runs out, where a
sequence fills a window, and where another side of a piece or the power cap takes over. With `leap = False` every step
is taken by itself, with the same result.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

# Positions in `totals`.
STEPS, BUSY, DECODED, PREFILLED, RECOMPUTED, PREEMPTED, MOST_SEQUENCES, MOST_BLOCKS, LEAPS, END = range(10)
_SUB_BITS = 6
HISTOGRAM_BINS = (64 - _SUB_BITS) << _SUB_BITS

_LATEST = (1 << 63) - 1
_NEVER = -(1 << 60)  # no step of a stay in decode, so that what its last stay left in the heap is known as such

_jit = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@_jit
def gap_bin(ticks: int) -> int:
    """Bin of a gap: 64 to the octave, at most 1.6 % wide (as in HdrHistogram); below 128 ticks a bin each."""
    shift = max(math.frexp(max(ticks, 1))[1] - 1 - _SUB_BITS, 0)
    if shift > 0 and ticks >> shift < 1 << _SUB_BITS:  # rounded up to the next power of two
        shift -= 1
    return (shift << _SUB_BITS) + (ticks >> shift)


@_jit
def bin_end(index: int) -> int:
    """The first gap beyond a bin."""
    shift = max((index >> _SUB_BITS) - 1, 0)
    return ((index - (shift << _SUB_BITS)) + 1) << shift


@_jit
def _count_gaps(histogram: NDArray[np.int64], first: int, growth: int, steps: int, each: int) -> None:
    """Add `each` gaps for every one of `steps` gaps first, first + growth, ..."""
    if growth < 0:
        first, growth = first + growth * (steps - 1), -growth
    at = gap_bin(first)
    done = 0
    while done < steps:
        end = bin_end(at)
        more = steps - done
        if growth > 0:
            more = min(more, (end - first - done * growth + growth - 1) // growth)
        histogram[at] += more * each
        done += more
        at = at + 1 if done == steps else gap_bin(first + done * growth)


@_jit
def _push(keys: NDArray[np.int64], items: NDArray[np.int64], size: int, key: int, item: int) -> int:
    """Insert into a binary heap by (key, item); returns the new size."""
    i = size
    while i > 0:
        up = (i - 1) >> 1
        if keys[up] < key or (keys[up] == key and items[up] <= item):
            break
        keys[i], items[i] = keys[up], items[up]
        i = up
    keys[i], items[i] = key, item
    return size + 1


@_jit
def _pop(keys: NDArray[np.int64], items: NDArray[np.int64], size: int) -> int:
    """Remove the least entry of the heap; returns the new size."""
    size -= 1
    key, item = keys[size], items[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (keys[right] < keys[child] or (keys[right] == keys[child] and items[right] < items[child])):
            child = right
        if key < keys[child] or (key == keys[child] and item <= items[child]):
            break
        keys[i], items[i] = keys[child], items[child]
        i = child
    keys[i], items[i] = key, item
    return size


@_jit
def _largest_from(steps: NDArray[np.int64], gaps: NDArray[np.int64], size: int, first: int) -> int:
    """Largest gap of decode steps `first` and later, from the peaks: steps ascend, gaps descend; 0 if none."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if steps[middle] >= first:
            high = middle
        else:
            low = middle + 1
    return gaps[low] if low < size else 0


@_jit
def _blocks(tokens: int, block: int) -> int:
    return (tokens + block - 1) // block


@_jit
def _seen(start: int, count: int, window: int) -> int:
    """Sum of min(start + i, window) for i = 1..count; window < 0 is none."""
    growing = count if window < 0 else min(max(window - start, 0), count)
    return growing * start + growing * (growing + 1) // 2 + (count - growing) * max(window, 0)


@_jit
def replay(
    arrival: NDArray[np.int64],
    prompt: NDArray[np.int64],
    output: NDArray[np.int64],
    budget: int,
    max_sequences: int,
    block: int,
    capacity: int,
    watermark: int,
    full: bool,
    prefill_first: bool,
    leap: bool,
    base: NDArray[np.int64],
    head: NDArray[np.int64],
    fixed: NDArray[np.int64],
    compute: NDArray[np.int64],
    memory: NDArray[np.int64],
    uses: NDArray[np.bool_],
    cap_base: NDArray[np.int64],
    cap_head: int,
    cap: NDArray[np.int64],
    windows: NDArray[np.int64],
    energy_base: NDArray[np.float64],
    energy_head: float,
    energy_v: NDArray[np.float64],
    scheduled: NDArray[np.int64],
    first_token: NDArray[np.int64],
    finish: NDArray[np.int64],
    max_gap: NDArray[np.int64],
    preemptions: NDArray[np.int64],
    histogram: NDArray[np.int64],
    timeline: NDArray[np.float64],
    bin_ticks: int,
    totals: NDArray[np.int64],
) -> float:
    """Replay the requests of one replica; results go into the arrays from `scheduled` on.

    Returns joules, without those of idling, or -1 if ticks run out: 64 bits hold 6.67 days.

    arrival (n,) ticks, non-decreasing; prompt, output (n,) tokens >= 1. `windows` has -1 for the whole context.
    `timeline` (2, bins) collects ticks x sequences and ticks x blocks by bins of `bin_ticks`.
    """
    n = len(arrival)
    pieces, size, spans = len(fixed), len(cap), len(windows)
    got = np.zeros(n, np.int64)  # answer tokens before the present stay
    entered = np.zeros(n, np.int64)  # decode step count at which the present stay began to decode
    context = np.zeros(n, np.int64)  # computed tokens then
    joined = np.zeros(n, np.int64)  # time of the token that the prefill of this stay yielded
    token_at = np.full(n, -1, np.int64)  # time of the last token before a preemption
    running = np.zeros(n, np.bool_)
    following, preceding = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    first, last = -1, -1
    heap_keys, heap_items, heap_size = np.empty(max_sequences + 1, np.int64), np.empty(max_sequences + 1, np.int64), 0
    stack, stack_size = np.empty(max_sequences + 1, np.int64), 0  # preempted, next to run last
    new, new_size = np.empty(max_sequences + 1, np.int64), 0  # began to decode after the last decode step
    peaks_at, peaks, peaks_size = np.empty(1024, np.int64), np.empty(1024, np.int64), 0
    residue = np.zeros(block, np.int64)  # decodes by (computed - step count) mod block
    widest = 1
    for w in range(spans):
        widest = max(widest, windows[w])
    below = np.zeros(spans, np.int64)  # decodes whose next read is shorter than the window
    reads = np.zeros(spans, np.int64)  # tokens that decodes read in the next step
    crossing = np.zeros((spans, widest + 1), np.int64)  # decodes by the step at which they fill the window
    v = np.zeros(size, np.int64)
    growth = np.zeros(size, np.int64)
    now, step, decodes, free = 0, 0, 0, capacity
    turn = 0  # (-step) mod block: the residue whose decodes need a block in the next step
    bin_now, bin_until = 0, bin_ticks  # the time bin that holds `now`, and its end
    partial, partial_computed = -1, 0
    next_arrival, count, last_decode = 0, 0, 0
    finished = 0
    # Pieces by their non-zero coefficients alone: those of piece p stand from start[p] to start[p + 1].
    start, column = np.zeros(pieces + 1, np.int64), np.zeros(pieces * size, np.int64)
    for p in range(pieces):
        start[p + 1] = start[p]
        for i in range(size):
            if uses[p, i]:
                column[start[p + 1]] = i
                start[p + 1] += 1
    joules = 0.0  # of what goes by the tokens of a step
    sampled_sum = 0
    sums = np.zeros(size, np.int64)  # of v over all steps

    while finished < n:
        if count == 0 and stack_size == 0 and arrival[next_arrival] > now:
            now = arrival[next_arrival]
            peaks_size = 0

        # -- what runs goes on -----------------------------------------------------------------------------------
        preempted = False
        prompts_only = False
        if prefill_first:
            waiting = stack_size > 0 or (next_arrival < n and arrival[next_arrival] <= now)
            if partial >= 0:
                chunk = min(prompt[partial] + got[partial] - partial_computed, budget)
                need = _blocks(partial_computed + chunk, block) - _blocks(partial_computed, block)
                prompts_only = full or need <= free
            elif waiting and count < max_sequences:
                r = stack[stack_size - 1] if stack_size > 0 else next_arrival
                chunk = min(prompt[r] + got[r], budget)
                need = _blocks(prompt[r] + output[r], block) if full else _blocks(chunk, block)
                prompts_only = free - need >= watermark or (count == 0 and free >= need)
        served = 0 if prompts_only else decodes
        if served > 0 and not full:
            need = residue[turn]
            if need <= free:
                free -= need
            else:
                served = 0
                r = first
                while r >= 0:
                    if r == partial:
                        break
                    computed = context[r] + step - entered[r]
                    if computed % block == 0:
                        alone = False
                        while free == 0 and not alone:
                            x = last
                            alone = x == r
                            # preempt x
                            preempted = True
                            before = preceding[x]
                            last = before
                            if before >= 0:
                                following[before] = -1
                            else:
                                first = -1
                            count -= 1
                            preemptions[x] += 1
                            totals[PREEMPTED] += 1
                            if x == partial:
                                free += _blocks(partial_computed, block)
                                totals[RECOMPUTED] += partial_computed
                                partial = -1
                            else:
                                held = context[x] + step - entered[x]
                                free += _blocks(held, block)
                                totals[RECOMPUTED] += held
                                residue[(context[x] - entered[x]) % block] -= 1
                                max_gap[x] = max(max_gap[x], _largest_from(peaks_at, peaks, peaks_size, entered[x] + 2))
                                got[x] += step - entered[x]
                                token_at[x] = last_decode if step > entered[x] else joined[x]
                                entered[x] = _NEVER
                                decodes -= 1
                                for w in range(spans):
                                    if windows[w] < 0:
                                        reads[w] -= held + 1
                                    else:
                                        reads[w] -= min(held + 1, windows[w])
                                        if held + 1 < windows[w]:
                                            below[w] -= 1
                                            crossing[w, (step + windows[w] - 1 - held) % (widest + 1)] -= 1
                                for i in range(new_size):
                                    if new[i] == x:
                                        new[i] = new[new_size - 1]
                                        new_size -= 1
                                        break
                            running[x] = False
                            stack[stack_size] = x
                            stack_size += 1
                        if alone:
                            break
                        free -= 1
                    served += 1
                    r = following[r]
        left = budget - served
        prefill, sampled, sequences = 0, served, served
        for i in range(size):
            v[i] = 0
        done_partial = False
        if partial >= 0 and left > 0:
            known = prompt[partial] + got[partial]
            chunk = min(known - partial_computed, left)
            need = 0 if full else _blocks(partial_computed + chunk, block) - _blocks(partial_computed, block)
            if need > free:
                x = partial
                last = preceding[x]
                if last >= 0:
                    following[last] = -1
                else:
                    first = -1
                count -= 1
                preemptions[x] += 1
                totals[PREEMPTED] += 1
                totals[RECOMPUTED] += partial_computed
                free += _blocks(partial_computed, block)
                partial = -1
                running[x] = False
                stack[stack_size] = x
                stack_size += 1
                preempted = True
            else:
                free -= need
                left -= chunk
                prefill += chunk
                sequences += 1
                for w in range(spans):
                    end = partial_computed + chunk
                    v[5 + 3 * w] += end if windows[w] < 0 else min(end, windows[w] + chunk - 1)
                    v[6 + 3 * w] += _seen(partial_computed, chunk, windows[w])
                partial_computed += chunk
                done_partial = partial_computed == known
                if done_partial:
                    sampled += 1

        # -- admission -------------------------------------------------------------------------------------------
        admitted = 0
        ends = -1  # the request admitted last, if its prompt does not end in this step
        ends_computed = 0
        first_new = -1  # the first request admitted in this step; the others follow it in the list
        while not preempted and left > 0 and count < max_sequences:
            if partial >= 0 and not done_partial:
                break
            from_stack = stack_size > 0
            if from_stack:
                r = stack[stack_size - 1]
            elif next_arrival < n and arrival[next_arrival] <= now:
                r = next_arrival
            else:
                break
            known = prompt[r] + got[r]
            chunk = min(known, left)
            need = _blocks(prompt[r] + output[r], block) if full else _blocks(chunk, block)
            if not (free - need >= watermark or (count == 0 and free >= need)):
                break
            if from_stack:
                stack_size -= 1
            else:
                next_arrival += 1
            free -= need
            left -= chunk
            prefill += chunk
            sequences += 1
            count += 1
            admitted += 1
            running[r] = True
            preceding[r], following[r] = last, -1
            if last >= 0:
                following[last] = r
            else:
                first = r
            last = r
            if first_new < 0:
                first_new = r
            if scheduled[r] < 0:
                scheduled[r] = now
            for w in range(spans):
                v[5 + 3 * w] += chunk
                v[6 + 3 * w] += _seen(0, chunk, windows[w])
            if chunk == known:
                sampled += 1
            else:
                ends, ends_computed = r, chunk
                break
        tokens = served + prefill
        if tokens == 0:
            continue
        totals[MOST_SEQUENCES] = max(totals[MOST_SEQUENCES], count)

        # -- the step's duration, and how it grows from step to step ---------------------------------------------
        v[0], v[1], v[2], v[3] = 1, served, prefill, sequences
        for w in range(spans):
            v[4 + 3 * w] = reads[w] if served > 0 else 0
        steps = 1
        if leap and prefill == 0 and not preempted:
            steps = heap_keys[0] - step
            if not full and steps > 1 and ((steps - 1) // block + 1) * decodes > free:
                # Steps that the free blocks last: the first one has its blocks already.
                most = 1 + (free // decodes) * block
                rest = free % decodes
                slot = turn - 1 if turn > 0 else block - 1  # a whole number of rounds after the first step
                while most < steps and residue[slot] <= rest:
                    rest -= residue[slot]
                    most += 1
                    slot = slot - 1 if slot > 0 else block - 1
                steps = min(steps, most)
            for w in range(spans):
                if windows[w] > 0 and below[w] > 0:
                    away = 1
                    while crossing[w, (step + away) % (widest + 1)] == 0:
                        away += 1
                    steps = min(steps, away)
        for w in range(spans):
            growth[4 + 3 * w] = 0 if steps == 1 else (decodes if windows[w] < 0 else below[w])
        duration, rise = base[tokens] + head[sampled], 0
        for p in range(pieces):
            runs = False
            a, b, da, db = 0, 0, 0, 0
            for k in range(start[p], start[p + 1]):
                i = column[k]
                if v[i] != 0:
                    runs = True
                    a += compute[p, i] * v[i]
                    b += memory[p, i] * v[i]
                    da += compute[p, i] * growth[i]
                    db += memory[p, i] * growth[i]
            if not runs:
                continue
            over, slope = (a - b, da - db) if a >= b else (b - a, db - da)
            if steps > 1 and over + slope * (steps - 1) < 0:
                steps = over // -slope + 1  # the last step at which this side is still the longer
            duration += fixed[p] + max(a, b)
            rise += da if a > b or (a == b and (da >= db or steps == 1)) else db
        limit, limit_rise = cap_base[tokens] + cap_head * sampled + cap[0] + cap[1] * served + cap[3] * sequences, 0
        for w in range(spans):
            limit += cap[4 + 3 * w] * v[4 + 3 * w]
            limit_rise += cap[4 + 3 * w] * growth[4 + 3 * w]
        if prefill > 0:
            limit += cap[2] * prefill
            for w in range(spans):
                limit += cap[5 + 3 * w] * v[5 + 3 * w] + cap[6 + 3 * w] * v[6 + 3 * w]
        over, slope = (
            (duration - limit, rise - limit_rise) if duration >= limit else (limit - duration, limit_rise - rise)
        )
        if steps > 1 and over + slope * (steps - 1) < 0:
            steps = over // -slope + 1
        if limit > duration:
            duration, rise = limit, limit_rise
        if (
            steps > 1
            and stack_size == 0
            and next_arrival < n
            and (arrival[next_arrival] < now + steps * duration + rise * (steps * (steps - 1) // 2))
        ):
            until = arrival[next_arrival] - now
            low, high = 1, steps
            if until > 0:
                while low < high:  # the fewest steps that reach the arrival
                    middle = (low + high) // 2
                    if middle * duration + rise * (middle * (middle - 1) // 2) >= until:
                        high = middle
                    else:
                        low = middle + 1
                steps = low
        spent = steps * duration + rise * (steps * (steps - 1) // 2)

        # -- book-keeping of the run of steps --------------------------------------------------------------------
        joules += steps * energy_base[tokens]
        sampled_sum += steps * sampled
        sums[0] += steps
        sums[1] += steps * served
        sums[3] += steps * sequences
        for w in range(spans):
            sums[4 + 3 * w] += steps * v[4 + 3 * w] + growth[4 + 3 * w] * (steps * (steps - 1) // 2)
        if prefill > 0:
            sums[2] += prefill
            for w in range(spans):
                sums[5 + 3 * w] += v[5 + 3 * w]
                sums[6 + 3 * w] += v[6 + 3 * w]
        totals[STEPS] += steps
        totals[LEAPS] += 1
        totals[BUSY] += spent
        totals[DECODED] += steps * served
        totals[PREFILLED] += prefill
        taken = 0
        if not full and steps > 1:
            rounds = (steps - 1) // block
            taken = rounds * decodes
            slot = turn - 1 if turn > 0 else block - 1
            for _ in range(steps - 1 - rounds * block):
                taken += residue[slot]
                slot = slot - 1 if slot > 0 else block - 1
        if spent > _LATEST - now:
            return -1.0
        began, ended = now, now + spent
        while bin_now < timeline.shape[1] - 1 and bin_until <= began:
            bin_now += 1
            bin_until += bin_ticks
        at, bound = bin_now, bin_until
        while began < ended:
            until = ended if at == timeline.shape[1] - 1 else min(ended, bound)
            timeline[0, at] += float(until - began) * count
            # Blocks are taken evenly over a leap, so that the middle of a bin has its mean.
            share = 0.5 if until - began == spent else (until - now + began - now) / (2 * spent)
            timeline[1, at] += float(until - began) * (capacity - free + taken * share)
            began = until
            at += 1
            bound += bin_ticks
        now = ended
        free -= taken
        totals[MOST_BLOCKS] = max(totals[MOST_BLOCKS], capacity - free)

        if served > 0:
            # Gaps between tokens: the new decodes had their last token when they joined, the others at the last decode.
            gap = now - spent + duration - last_decode
            for i in range(new_size):
                r = new[i]
                own = now - spent + duration - joined[r]
                max_gap[r] = max(max_gap[r], own)
                histogram[gap_bin(own)] += 1
            if served > new_size:
                histogram[gap_bin(gap)] += served - new_size
            if steps > 1:
                _count_gaps(histogram, duration + rise, rise, steps - 1, served)
            biggest = max(duration + rise * (steps - 1), duration + rise if steps > 1 else 0)
            for part in range(2):
                index, value = (step + 1, gap) if part == 0 else (step + steps, biggest)
                if part == 1 and steps == 1:
                    break
                while peaks_size > 0 and peaks[peaks_size - 1] <= value:
                    peaks_size -= 1
                if peaks_size == len(peaks):
                    longer_at, longer = np.empty(2 * peaks_size, np.int64), np.empty(2 * peaks_size, np.int64)
                    longer_at[:peaks_size], longer[:peaks_size] = peaks_at, peaks
                    peaks_at, peaks = longer_at, longer
                peaks_at[peaks_size], peaks[peaks_size] = index, value
                peaks_size += 1
            new_size = 0
            last_decode = now
            for w in range(spans):
                if windows[w] < 0:
                    reads[w] += decodes * steps
                else:
                    for i in range(steps):
                        if below[w] == 0:
                            break
                        reads[w] += below[w]
                        slot = (step + 1 + i) % (widest + 1)
                        below[w] -= crossing[w, slot]
                        crossing[w, slot] = 0
            step += steps
            turn = (turn - steps) % block
            while heap_size > 0 and heap_keys[0] <= step:
                key, r = heap_keys[0], heap_items[0]
                heap_size = _pop(heap_keys, heap_items, heap_size)
                if not running[r] or key != entered[r] + output[r] - got[r]:
                    continue  # left by preemption
                computed = context[r] + step - entered[r]
                free += _blocks(prompt[r] + output[r], block) if full else _blocks(computed, block)
                residue[(context[r] - entered[r]) % block] -= 1
                decodes -= 1
                for w in range(spans):
                    if windows[w] < 0:
                        reads[w] -= computed + 1
                    else:
                        reads[w] -= min(computed + 1, windows[w])
                        if computed + 1 < windows[w]:
                            below[w] -= 1
                            crossing[w, (step + windows[w] - 1 - computed) % (widest + 1)] -= 1
                max_gap[r] = max(max_gap[r], _largest_from(peaks_at, peaks, peaks_size, entered[r] + 2))
                finish[r] = now
                finished += 1
                running[r] = False
                count -= 1
                before, after = preceding[r], following[r]
                if before >= 0:
                    following[before] = after
                else:
                    first = after
                if after >= 0:
                    preceding[after] = before
                else:
                    last = before

        # -- prompts that ended yield a token --------------------------------------------------------------------
        r = partial if done_partial else first_new
        while r >= 0:
            after = first_new if r == partial and done_partial else following[r]
            if r != ends:
                known = prompt[r] + got[r]
                got[r] += 1
                if token_at[r] >= 0:
                    max_gap[r] = max(max_gap[r], now - token_at[r])
                    histogram[gap_bin(now - token_at[r])] += 1
                if first_token[r] < 0:
                    first_token[r] = now
                if got[r] == output[r]:
                    finish[r] = now
                    finished += 1
                    running[r] = False
                    count -= 1
                    free += _blocks(prompt[r] + output[r], block) if full else _blocks(known, block)
                    x, after_x = preceding[r], following[r]
                    if x >= 0:
                        following[x] = after_x
                    else:
                        first = after_x
                    if after_x >= 0:
                        preceding[after_x] = x
                    else:
                        last = x
                else:
                    entered[r], context[r], joined[r] = step, known, now
                    new[new_size] = r
                    new_size += 1
                    decodes += 1
                    residue[(known - step) % block] += 1
                    if heap_size == len(heap_keys):
                        more_keys, more_items = np.empty(2 * heap_size, np.int64), np.empty(2 * heap_size, np.int64)
                        more_keys[:heap_size], more_items[:heap_size] = heap_keys, heap_items
                        heap_keys, heap_items = more_keys, more_items
                    heap_size = _push(heap_keys, heap_items, heap_size, step + output[r] - got[r], r)
                    for w in range(spans):
                        if windows[w] < 0:
                            reads[w] += known + 1
                        else:
                            reads[w] += min(known + 1, windows[w])
                            if known + 1 < windows[w]:
                                below[w] += 1
                                crossing[w, (step + windows[w] - 1 - known) % (widest + 1)] += 1
            r = after
        if done_partial:
            partial = -1
        if ends >= 0:
            partial, partial_computed = ends, ends_computed
    totals[END] = now
    return joules + energy_head * sampled_sum + float(np.sum(energy_v * sums))
