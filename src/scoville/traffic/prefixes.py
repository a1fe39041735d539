"""What of a request's content others can share, as ids of blocks: what a prefix cache works with.

A block is a fixed number of tokens; equal ids are equal blocks with equal blocks before them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError
from scoville.traffic.trace import Trace

Blocks = tuple[NDArray[np.int64], NDArray[np.int64], int]


def prefix_blocks(trace: Trace, block_tokens: int) -> Blocks | None:
    """(ids, offsets, tokens per id): request i's full blocks are ids[offsets[i]:offsets[i + 1]], from its first token.

    ids are flat, int64, from 0 to below len(ids); offsets have shape (n + 1,).

    With block hashes they are those of the trace, of its prompts and in its block size, which has to be a multiple of
    `block_tokens`; a last block that is part-filled is left out. Else they are made from conversations, in blocks of
    `block_tokens`: a turn's prompt begins with its predecessor's prompt and answer, as far as it is long enough, so it
    shares floor(min(both of them, its prompt) / block_tokens) blocks with it, and what follows to the end of its answer
    is its own. The predecessor is `parent`, or the session's previous request in a trace without parents. With 16
    tokens to a block, 40 in and 30 out are 4 blocks; a next turn of 100 in and 20 out shares these 4 and has 3 new.

    None for a trace with neither. Raises TrafficError for blocks that don't fit those of the trace.
    """
    if block_tokens < 1:
        raise TrafficError(f"{trace.name}: prefix blocks of {block_tokens} tokens; expected an integer >= 1")
    if trace.block_hashes is not None and trace.block_offsets is not None:
        if trace.block_tokens % block_tokens:
            raise TrafficError(
                f"{trace.name}: its prefix blocks of {trace.block_tokens} tokens are no multiple of cache blocks of"
                f" {block_tokens}; expected a block size that divides {trace.block_tokens}"
            )
        return _from_hashes(trace, trace.block_hashes, trace.block_offsets)
    if trace.parent is not None:
        return _from_turns(trace, trace.parent, block_tokens)
    if trace.session_ids is not None:
        return _from_turns(trace, _previous(trace.session_ids), block_tokens)
    return None


def _from_hashes(trace: Trace, hashes: NDArray[np.int64], offsets: NDArray[np.int64]) -> Blocks:
    counts = np.diff(offsets)
    full = np.minimum(counts, trace.input_tokens // trace.block_tokens)
    part = np.flatnonzero(counts > full)  # at most one block is part-filled: a request has no more than its tokens fill
    return _small(np.delete(hashes, offsets[part + 1] - 1)), _cut(full), trace.block_tokens


def _small(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ids in their order, from 0 to below their number; without sorting where they span no more than that."""
    if len(ids) == 0:
        return ids
    low, high = int(ids.min()), int(ids.max())
    if high - low >= len(ids):
        return np.unique(ids, return_inverse=True)[1].astype(np.int64)
    ids -= low
    return ids


def _from_turns(trace: Trace, parent: NDArray[np.int64], block_tokens: int) -> Blocks:
    inputs = trace.input_tokens.astype(np.int64)
    total = inputs + trace.output_tokens
    follows = parent >= 0
    shared = np.where(follows, np.minimum(total[parent], inputs), 0) // block_tokens
    blocks = total // block_tokens
    offsets, own = _cut(blocks), _cut(blocks - shared)
    # Each request's ids as a rising run that ends with its own; then the shared ones are taken from the predecessor,
    # whose are final by then, since it is earlier.
    ids = np.ones(int(offsets[-1]), dtype=np.int64)
    some = np.flatnonzero(blocks)
    first = own[some] - shared[some]
    ids[offsets[some]] = np.diff(first, prepend=0) - np.concatenate([[0], blocks[some][:-1] - 1])[: len(some)]
    np.cumsum(ids, out=ids)
    sharing = np.flatnonzero(shared)
    ranges = (offsets[sharing], offsets[parent[sharing]], shared[sharing])
    for to, of, count in zip(*(a.tolist() for a in ranges), strict=True):
        ids[to : to + count] = ids[of : of + count]
    return ids, offsets, block_tokens


def _previous(sessions: NDArray[np.int32]) -> NDArray[np.int64]:
    """Index of the session's request before each one, -1 for its first."""
    order = np.argsort(sessions, kind="stable")
    previous = np.full(len(sessions), -1, dtype=np.int64)
    same = sessions[order][1:] == sessions[order][:-1]
    previous[order[1:][same]] = order[:-1][same]
    return previous


def _cut(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Offsets, shape (n + 1,), of runs of so many."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
