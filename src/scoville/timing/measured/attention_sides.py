"""The sides of attention: a fixed part and the longer of arithmetic and traffic, each affine in the work of a step.

The form that steady state, simulator and explanation share: it adds up over sequences of unlike lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.errors import DeploymentError
from scoville.transformer.step import Window, seen_tokens

Array = NDArray[np.float64]
Phase = Literal["decode", "prefill"]


@dataclass(frozen=True, slots=True)
class HeadLayout:
    """Attention heads of one chip. `window` in tokens or None; formats of queries and cache are 'bf16' or 'fp8'."""

    heads: int
    kv_heads: int
    head_dim: int
    window: Window = None
    query: str = "bf16"
    cache: str = "bf16"

    def __post_init__(self) -> None:
        if self.heads < 1 or self.kv_heads < 1 or self.head_dim < 1 or self.heads % self.kv_heads:
            raise DeploymentError(
                f"attention: {self.heads} heads on {self.kv_heads} KV heads of {self.head_dim}; "
                f"expected positive numbers, heads a multiple of KV heads"
            )

    @property
    def group(self) -> int:
        """Query heads that share a KV head."""
        return self.heads // self.kv_heads


class Work(NamedTuple):
    """The work of attention in a step, summed over sequences: arrays of one shape."""

    pairs: Array
    kv_tokens: Array
    query_tokens: Array
    sequences: Array


def work(batch: ArrayLike, new_tokens: ArrayLike, cached_tokens: ArrayLike, window: Window) -> Work:
    """Work of `batch` equal sequences, each with `new_tokens` queries after `cached_tokens`. Broadcasts.

    >>> w = work(2, 1, 99, None)
    >>> float(w.pairs), float(w.kv_tokens), float(w.query_tokens), float(w.sequences)
    (200.0, 200.0, 2.0, 2.0)
    """
    b, n, c = np.broadcast_arrays(*(np.asarray(x, float) for x in (batch, new_tokens, cached_tokens)))
    read = c + n if window is None else np.minimum(c + n, window + n - 1)
    return Work(b * seen_tokens(c, n, window), b * read, b * n, b)


class Side(NamedTuple):
    """Seconds of one side: affine in the work of a step."""

    one_s: float
    pair_s: float
    kv_token_s: float
    query_token_s: float
    sequence_s: float

    def seconds(self, w: Work) -> Array:
        """Seconds for the work of steps."""
        return np.asarray(
            self.one_s
            + self.pair_s * w.pairs
            + self.kv_token_s * w.kv_tokens
            + self.query_token_s * w.query_tokens
            + self.sequence_s * w.sequences
        )


@dataclass(frozen=True, slots=True)
class AttentionSides:
    """`fixed + max(compute, memory)` in seconds, of one layer on one chip.

    Exact for the equal lengths that were measured. For unlike lengths the sums go into the same formula, as if each
    sequence had its share of both sides; a batch of one long and many short sequences that no kernel balances takes
    longer. Which coefficient carries what of the fixed cost of a thread block is a matter of the fit.
    """

    fixed_s: float
    compute: Side
    memory: Side

    @classmethod
    def overlapped(
        cls,
        fixed_s: float,
        pair_s: float,
        query_token_s: float,
        one_s: float,
        kv_token_s: float,
        sequence_s: float,
        overlap_frac: float,
    ) -> AttentionSides:
        """From arithmetic c (by pairs and query tokens) and traffic m (by the rest): max(c, m) + overlap x min(c, m).

        That is the larger of two sides, c + overlap m and m + overlap c. With 0 the shorter one is hidden.
        """
        o = overlap_frac
        return cls(
            fixed_s,
            Side(o * one_s, pair_s, o * kv_token_s, query_token_s, o * sequence_s),
            Side(one_s, o * pair_s, kv_token_s, o * query_token_s, sequence_s),
        )

    def seconds(self, w: Work) -> Array:
        """Seconds for the work of steps; 0 where there is none."""
        busy = np.maximum(self.compute.seconds(w), self.memory.seconds(w))
        return np.asarray(np.where(w.sequences > 0, self.fixed_s + busy, 0.0))
