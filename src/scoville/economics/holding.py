"""A fleet over years: what is bought, or rented for a term, in each quarter, and what of it serves.

Whatever serves in a quarter was bought for it in the quarter before (and is paid then); it serves for its life, and is
replaced by what can be had when that ends. Arrays are (n, q): samples, quarters of service.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from scoville.economics.annuity import Array


@dataclass(frozen=True, slots=True, eq=False)
class Holding:
    """Chips that begin to serve in each quarter, those that serve, and what they can serve.

    `needed_count` are those of them that the need takes, newest last; the rest stand idle. `life_count` is quarters.
    """

    begun_count: Array
    serving_count: Array
    needed_count: Array
    served_tokens_per_s: Array
    life_count: Array

    @property
    def idle_count(self) -> Array:
        """Chips that nothing needs: stranded capacity."""
        return self.serving_count - self.needed_count

    def over_life(self, per_begun: Array) -> Array:
        """In each quarter the sum, over chips that serve in it, of a figure (n, q) that stands when they begin."""
        n, quarters = self.begun_count.shape
        total = np.zeros((n, quarters))
        weighted = self.begun_count * per_begun
        for k in range(quarters):
            alive = np.arange(quarters)[None, k:] - k < self.life_count[:, None]
            total[:, k:] += alive * weighted[:, k, None]
        return total


def hold(
    needed_tokens_per_s: Array,
    tokens_per_s_per_chip: Array,
    life_count: ArrayLike,
    *,
    chips_per_replica: float = 1.0,
    maturity_frac: ArrayLike = 1.0,
    most_begun_count: ArrayLike = np.inf,
    most_serving_count: ArrayLike = np.inf,
) -> Holding:
    """Whole replicas for the need of each quarter, as far as limits allow; nothing is given back before its time.

    `tokens_per_s_per_chip` (n, q) is what a chip serves that begins in that quarter, `maturity_frac` what share of it
    its software reaches in a quarter of service, `life_count` the quarters (n,) that it serves. A limit that is not a
    whole number of replicas is one of chips. Raises ValueError for a life below a quarter, or chips that serve less
    than nothing.
    """
    needed, each = np.broadcast_arrays(np.asarray(needed_tokens_per_s, float), np.asarray(tokens_per_s_per_chip, float))
    n, quarters = needed.shape
    life = np.broadcast_to(np.asarray(life_count, float), (n,))
    if np.any(life < 1) or np.any(each < 0):
        raise ValueError("a fleet needs a life of at least a quarter, and chips that serve >= 0 tokens/s")
    maturity, most_begun, most_serving = (
        np.broadcast_to(np.asarray(x, float), (n, quarters))
        for x in (maturity_frac, most_begun_count, most_serving_count)
    )
    begun, serving, served, used = (np.zeros((n, quarters)) for _ in range(4))
    for k in range(quarters):
        alive = (k - np.arange(k))[None, :] < life[:, None]
        there = begun[:, :k] * alive
        able = (there * each[:, :k]).sum(axis=1) * maturity[:, k]
        rate = each[:, k] * maturity[:, k]
        short = np.maximum(needed[:, k] - able, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            replicas = np.where(short > 0, np.ceil(short / (rate * chips_per_replica) * (1 - 1e-12)), 0.0)
        wanted = np.where(rate > 0, replicas, 0.0) * chips_per_replica
        room = np.maximum(most_serving[:, k] - there.sum(axis=1), 0.0)
        begun[:, k] = np.minimum(np.minimum(wanted, most_begun[:, k]), room)
        serving[:, k] = there.sum(axis=1) + begun[:, k]
        served[:, k] = able + begun[:, k] * rate
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(served[:, k] > 0, needed[:, k] / served[:, k], 0.0)
        used[:, k] = np.minimum(
            np.ceil(serving[:, k] * share * (1 - 1e-12) / chips_per_replica) * chips_per_replica, serving[:, k]
        )
    return Holding(begun, serving, used, served, life)
