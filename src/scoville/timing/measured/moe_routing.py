"""How tokens spread over experts: the laws under which the published tables were measured.

Real routers lie between the balanced law and the steeper power law; how skewed they are depends on model and traffic.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
DISTRIBUTIONS = ("balanced", "power_law_1.01", "power_law_1.2")
TILE_ROWS = 16  # least rows that the matrix units multiply at a time
_DRAWS = 16


class Load(NamedTuple):
    """Expected work of the busiest rank, per number of tokens; each (tokens,).

    rows      tokens times their experts on this rank
    touched   experts with at least one row
    padded    rows, those of each expert rounded up to whole tiles
    """

    rows: Array
    touched: Array
    padded: Array


@lru_cache(maxsize=1024)
def routing_load(tokens: tuple[int, ...], experts: int, top_k: int, expert: int, distribution: str) -> Load:
    """Rows, experts touched and padded rows for each number of tokens; see `rows_by_expert`."""
    out = np.empty((3, len(tokens)))
    for i, t in enumerate(tokens):
        n = rows_by_expert(t, experts, top_k, expert, distribution)
        padded = -(-n // TILE_ROWS) * TILE_ROWS
        out[:, i] = n.sum(1).mean(), (n > 0).sum(1).mean(), padded.sum(1).mean()
    return Load(*out)


def rows_by_expert(tokens: int, experts: int, top_k: int, expert: int, distribution: str) -> Counts:
    """Rows of each expert of the busiest rank in some draws, (draws, experts / expert): the published benchmark's law.

    Balanced: token i takes experts i, i + s, i + 2 s, ... with s = experts / top_k rounded up. Power law: the experts'
    shares are drawn from a density x^-alpha on [1, 0.8 tokens] ([0.01, 2] where rows are no more than experts), scaled
    to tokens x top_k, rounded, no expert above `tokens`; what rounding leaves goes rank by rank to the emptiest
    experts, or is taken from the fullest. ai-dynamo/aiconfigurator@095f58a, collector (Apache-2.0).
    """
    share = experts // expert
    if distribution == "balanced":
        stride = -(-experts // top_k)
        first = np.arange(tokens) if tokens >= stride else np.arange(tokens) * stride // tokens
        once = np.bincount(first % experts, minlength=experts)
        return sum(np.roll(once, i * stride) for i in range(top_k))[None, :share]  # type: ignore[index]
    low, high = (1.0, 0.8 * tokens) if tokens * top_k > experts else (0.01, 2.0)
    e = 1.0 - float(distribution.rpartition("_")[2])
    u = np.random.default_rng(7).random((_DRAWS, experts))
    x = ((high**e - low**e) * u + low**e) ** (1 / e)
    whole = np.minimum(np.rint(x / x.sum(1, keepdims=True) * (tokens * top_k)).astype(np.int64), tokens)
    ranks = np.sort(whole.reshape(_DRAWS, expert, share), -1)
    left = tokens * top_k - whole.sum(1)[:, None]
    r = np.arange(expert)
    more, less = np.maximum(left, 0), np.maximum(-left, 0)
    ranks = np.sort(_fill(ranks, more // expert + (r < more % expert)), -1)
    ranks = -_fill(-ranks[..., ::-1], less // expert + (r < less % expert))
    ranks = np.clip(ranks, 0, tokens)
    return np.asarray(ranks[np.arange(_DRAWS), ranks.sum(-1).argmax(1)])


def _fill(n: Counts, units: Counts) -> Counts:
    """`units` (...) are added one by one to the smallest of `n` (..., m), which ascend."""
    below = np.cumsum(n, -1)
    j = np.arange(1, n.shape[-1] + 1)
    raised = (j * n - below <= units[..., None]).sum(-1)
    total = np.take_along_axis(below, (raised - 1)[..., None], -1)[..., 0] + units
    level, rest = total // raised, total % raised
    return np.where(j <= raised[..., None], level[..., None] + (j <= rest[..., None]), n)
