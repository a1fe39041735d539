"""Several models and traffics: what a chip made for one costs the others, and what one design for two saves.

Regret is the cost of serving j on a chip made for i, over that on the chip made for j. Reuse compares, for two
generations of what is served, of equal volume, one design whose one-time cost both share with a design each:

    shared = min over designs d of the mean of  u(d, j) + r(d, j) / 2   over the two
    apart  = the mean of  min over d of  u(d, j) + r(d, j)

with u the cost of a token without the one-time cost and r that cost's share of a token at the volume.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from scoville.search.answer import Regret, Reuse

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def regrets(
    made_for: tuple[str, ...], served: tuple[str, ...], number: Ints, usd_per_token: Array
) -> tuple[Regret, ...]:
    """The matrix, row by row: `usd_per_token` (chips, served) of the chips `number`, made for `made_for`.

    The chip made for each that is served is among them, by its name.
    """
    own = {name: usd_per_token[made_for.index(name), j] for j, name in enumerate(served)}
    return tuple(
        Regret(
            made_for=made,
            serve=name,
            number=int(number[i]),
            usd_per_token=float(usd_per_token[i, j]),
            over_own_frac=float(usd_per_token[i, j] / own[name] - 1),
        )
        for i, made in enumerate(made_for)
        for j, name in enumerate(served)
    )


def reuse(
    served: tuple[str, ...], number: Ints, usd_per_token: Array, loaded_usd_per_token: Array
) -> tuple[Reuse, ...]:
    """For every ordered pair that is served; costs (designs, served) without and with the one-time cost."""
    found = []
    half = (usd_per_token + loaded_usd_per_token) / 2
    for i, j in combinations(range(len(served)), 2):
        both = (half[:, i] + half[:, j]) / 2
        best = int(np.lexsort((number, both))[0])
        if not np.isfinite(both[best]):
            continue
        apart = (loaded_usd_per_token[:, i].min() + loaded_usd_per_token[:, j].min()) / 2
        found.append(Reuse(served[i], served[j], int(number[best]), float(both[best]), float(apart)))
    return tuple(found)
