"""Attention on systolic arrays: blocks of the cache are the stationary operand, the queries of a head group stream.

Scores: a fold holds C cached keys of a head, R of their elements deep; the queries of all heads that share them pass.
Values: a fold holds R cached values, C elements wide; the weights of the same queries pass. With many queries (a
prompt) the folds are reused, which is FlashAttention (Dao et al. 2022) with the key block as wide as the array; with
few (a decode) loading the next fold takes longer than the stream, and the cache enters at C elements a clock and array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.errors import FactError
from scoville.timing.systolic.hardware import Hardware
from scoville.transformer.architecture import Format

Array = NDArray[np.float64]
_SOFTMAX_FLOP = 5.0  # scale, maximum, subtract, exponential, sum: as transformer.blocks counts a softmax


@dataclass(frozen=True, slots=True)
class Heads:
    """One chip's share of an attention block, as `transformer.blocks` counts it.

    kv_heads_count   heads of the cache, each shared by heads_count / kv_heads_count queries; one for a latent cache
    head_count, v_head_count   elements of a key and of a value
    kv_bytes         read per cached token of a sequence
    query_bytes      moved per query token: queries, output, appended cache
    """

    heads_count: float
    kv_heads_count: float
    head_count: int
    v_head_count: int
    kv_bytes: float
    query_bytes: float


@dataclass(frozen=True, slots=True)
class AttentionTime:
    """fixed + max(compute, movement), both linear: coefficients in seconds per unit.

    A pair is one query token with one cached token; `kv` are cached tokens read; `query` are query tokens.
    """

    fixed_s: float
    compute_s_per_pair_tokens: float
    compute_s_per_query_tokens: float
    movement_s_per_kv_tokens: float
    movement_s_per_query_tokens: float

    def seconds(self, pairs: ArrayLike, kv: ArrayLike, query: ArrayLike) -> Array:
        """Seconds for these numbers of pairs, cached tokens and query tokens; zero where there are no queries."""
        p, c, q = (np.asarray(x, float) for x in (pairs, kv, query))
        compute = self.compute_s_per_pair_tokens * p + self.compute_s_per_query_tokens * q
        movement = self.movement_s_per_kv_tokens * c + self.movement_s_per_query_tokens * q
        return np.where(q > 0, self.fixed_s + np.maximum(compute, movement), 0.0)


def attention(hw: Hardware, heads: Heads, kv: Format, activation: Format, *, prompt: bool) -> AttentionTime:
    """The coefficients of an attention block on the chip; a prompt reads its cache once per tile of queries.

    Compute per pair is the longest of arrays, vector units (softmax) and on-chip memory; movement per cached token the
    longest of off-chip memory, loading into the arrays, and on-chip memory. On average half a fold of C keys per query
    token is masked or past the end. Sequences and heads are taken to spread evenly over the arrays.
    """
    if heads.heads_count < heads.kv_heads_count:
        raise FactError(f"attention of {heads.heads_count:g} heads over {heads.kv_heads_count:g} of the cache: fewer")
    depth, beat = hw.pace(kv, activation)
    rows, columns = hw.rows_count * depth, hw.columns_count
    cycles_per_s = hw.clock_count_per_s * hw.arrays_count * hw.slices_count
    folds = math.ceil(heads.head_count / rows) / columns + math.ceil(heads.v_head_count / columns) / rows
    stream_s = heads.heads_count * folds * beat / (cycles_per_s * hw.compute_frac)
    loads = heads.head_count / depth / columns + math.ceil(heads.v_head_count / columns) / depth  # rows in use only
    load_s = heads.kv_heads_count * loads / cycles_per_s
    softmax_s = heads.heads_count * _SOFTMAX_FLOP / hw.vector_flop_per_s

    # On-chip bytes per pair: queries once per fold of keys; scores out and in; weights out and in; sums out and in.
    size = activation.size_bytes
    passes = math.ceil(heads.v_head_count / columns)
    per_pair = heads.heads_count * (
        heads.head_count * size / columns + 8 + (1 + passes) * size + 8 * heads.v_head_count / rows
    )
    sram = hw.sram_bytes_per_s * hw.slices_count
    again_s = 0.0
    if prompt:  # queries and fp32 sums of a tile take half of the on-chip memory
        tile = hw.sram_bytes * hw.slices_count / 2 / (heads.query_bytes + 4 * heads.heads_count * heads.v_head_count)
        again_s = heads.kv_bytes / max(tile, 1.0) / hw.stream_bytes_per_s
    pair_s = max(stream_s, softmax_s, per_pair / sram, again_s)
    return AttentionTime(
        fixed_s=2 * hw.fill_s,
        compute_s_per_pair_tokens=pair_s,
        compute_s_per_query_tokens=pair_s * columns / 2,
        movement_s_per_kv_tokens=max(heads.kv_bytes / hw.stream_bytes_per_s, load_s, 2 * heads.kv_bytes / sram),
        movement_s_per_query_tokens=heads.query_bytes / hw.stream_bytes_per_s,
    )
