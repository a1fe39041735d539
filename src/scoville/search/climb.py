"""From a few designs of a space to the cheapest near them: what a sweep kept is tried anew, then step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from scoville.search.space import Space
from scoville.silicon.design import Design

Array = NDArray[np.float64]
Cost = Callable[[Design], Array]  # of n designs side by side, (n,); infinite where one cannot serve


def costs(space: Space, cost: Cost, numbers: Iterable[int]) -> dict[int, float]:
    """The cost of each of these designs."""
    by_part: dict[int, list[int]] = {}
    for number in sorted(set(numbers)):
        by_part.setdefault(space.part_of(number), []).append(number)
    found: dict[int, float] = {}
    for k, inside in by_part.items():
        design = space.parts[k].designs(np.array(inside) - space.first(k))
        found |= dict(zip(inside, cost(design).tolist(), strict=True))
    return found


def neighbours(space: Space, number: int) -> tuple[int, ...]:
    """One step up or down on each axis, and the same numbers with any other words where their axes are as long."""
    k = space.part_of(number)
    part, at = space.parts[k], number - space.first(k)
    found, radix = [], 1
    for axis in reversed([a for a in part.axes if not a.tied]):
        position = at // radix % len(axis.values)
        found += [number - radix] if position > 0 else []
        found += [number + radix] if position + 1 < len(axis.values) else []
        radix *= len(axis.values)
    shape = [(a.key, len(a.values)) for a in part.axes]
    for other, p in enumerate(space.parts):
        if other != k and [(a.key, len(a.values)) for a in p.axes] == shape:
            found.append(space.first(other) + at)
    return tuple(found)


def cheapest(space: Space, cost: Cost, numbers: Iterable[int]) -> tuple[int, float]:
    """The cheapest of these designs, then of its neighbours, as long as one is cheaper; of equal ones the first.

    A local optimum: exact among `numbers` and their neighbours, no more.
    """
    known = costs(space, cost, numbers)
    best = min(known, key=lambda n: (known[n], n))
    while True:
        fresh = [n for n in neighbours(space, best) if n not in known]
        known |= costs(space, cost, fresh)
        near = min((best, *fresh), key=lambda n: (known[n], n))
        if near == best:
            return best, known[best]
        best = near
