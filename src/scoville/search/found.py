"""What a sweep keeps of its points: exact fronts, the cheapest designs, the least cost at each value of each choice.

Parts of a sweep are added up in any order, and cut in any way, to the same result: a few thousand numbers however many
points there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoville.search.front import front

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

# Objectives of a front, less is better: the chip's own cost, the same with its share of the one-time cost, energy (a
# watt per token/s is a joule per token), and the time per output token of a user.
OBJECTIVES = ("usd_per_token", "loaded_usd_per_token", "energy_j_per_token", "tpot_s")
_CHEAPEST = 64


@dataclass(frozen=True, eq=False)
class Kept:
    """Points of a front, arrays (k,); `place` (k, 3) is number of the design, position of mapping, of batch."""

    place: Ints
    usd_per_token: Array
    loaded_usd_per_token: Array
    energy_j_per_token: Array
    tpot_s: Array

    @classmethod
    def none(cls) -> Kept:
        """Nothing yet."""
        return cls(np.empty((0, 3), np.int64), *(np.empty(0) for _ in OBJECTIVES))

    @classmethod
    def of(cls, place: Ints, values: Array) -> Kept:
        """The front of points whose `values` (k, 4) are as in OBJECTIVES; of equal ones the first by place."""
        order = np.lexsort(place.T[::-1])
        on = order[front(values[order])]
        return cls(place[on], *values[on].T)

    @property
    def values(self) -> Array:
        """The objectives side by side, (k, 4)."""
        return np.stack([getattr(self, name) for name in OBJECTIVES], axis=1)

    def __len__(self) -> int:
        return len(self.place)

    def __add__(self, other: Kept) -> Kept:
        return Kept.of(np.concatenate([self.place, other.place]), np.concatenate([self.values, other.values]))


@dataclass(frozen=True, eq=False)
class Cheapest:
    """The designs with the least cost, ascending: `number` (k,) and `usd_per_token` (k,)."""

    number: Ints
    usd_per_token: Array

    @classmethod
    def none(cls) -> Cheapest:
        """Nothing yet."""
        return cls(np.empty(0, np.int64), np.empty(0))

    @classmethod
    def of(cls, number: Ints, usd_per_token: Array) -> Cheapest:
        """The cheapest of these; those without a finite cost are left out, of equal ones the first stays ahead."""
        kept = np.flatnonzero(np.isfinite(usd_per_token))
        order = kept[np.lexsort((number[kept], usd_per_token[kept]))[:_CHEAPEST]]
        return cls(number[order], usd_per_token[order])

    def __add__(self, other: Cheapest) -> Cheapest:
        return Cheapest.of(
            np.concatenate([self.number, other.number]), np.concatenate([self.usd_per_token, other.usd_per_token])
        )


Key = tuple[str, str | float]
Slices = Mapping[Key, tuple[float, int]]


@dataclass(frozen=True, eq=False)
class Found:
    """What some blocks came to.

    `fronts` has one for each that is served, `cheapest` one for the mix and, where several are served, one for each.
    `slices` has, by choice and value, the least cost of the mix and the design. `tried_count` points, of which
    `feasible_count` fit, stay within all limits and meet the target; `starts` are the blocks.
    """

    fronts: tuple[Kept, ...]
    cheapest: tuple[Cheapest, ...]
    slices: Slices = field(default_factory=dict)
    broken: Mapping[str, int] = field(default_factory=dict)
    tried_count: int = 0
    feasible_count: int = 0
    starts: frozenset[int] = frozenset()

    @classmethod
    def none(cls, serves: int) -> Found:
        """Nothing yet, of a space that serves so many."""
        return cls((Kept.none(),) * serves, (Cheapest.none(),) * (1 if serves == 1 else 1 + serves))

    def __add__(self, other: Found) -> Found:
        return Found(
            fronts=tuple(a + b for a, b in zip(self.fronts, other.fronts, strict=True)),
            cheapest=tuple(a + b for a, b in zip(self.cheapest, other.cheapest, strict=True)),
            slices=least((*self.slices.items(), *other.slices.items())),
            broken={k: self.broken.get(k, 0) + other.broken.get(k, 0) for k in sorted({*self.broken, *other.broken})},
            tried_count=self.tried_count + other.tried_count,
            feasible_count=self.feasible_count + other.feasible_count,
            starts=self.starts | other.starts,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain lists; floats keep every digit."""
        return {
            "fronts": [[k.place.tolist(), k.values.tolist()] for k in self.fronts],
            "cheapest": [[c.number.tolist(), c.usd_per_token.tolist()] for c in self.cheapest],
            "slices": [[*key, *value] for key, value in self.slices.items()],
            "broken": dict(self.broken),
            "tried": self.tried_count,
            "feasible": self.feasible_count,
            "starts": sorted(self.starts),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Found:
        """What `to_json` gave."""
        return cls(
            fronts=tuple(
                Kept(np.array(p, np.int64).reshape(-1, 3), *np.array(v, float).reshape(-1, len(OBJECTIVES)).T)
                for p, v in raw["fronts"]
            ),
            cheapest=tuple(Cheapest(np.array(n, np.int64), np.array(c, float)) for n, c in raw["cheapest"]),
            slices={(key, value): (cost, number) for key, value, cost, number in raw["slices"]},
            broken=raw["broken"],
            tried_count=raw["tried"],
            feasible_count=raw["feasible"],
            starts=frozenset(raw["starts"]),
        )


def least(items: Iterable[tuple[Key, tuple[float, int]]]) -> dict[Key, tuple[float, int]]:
    """By key the least cost, and of equal ones the first design; keys in order."""
    found: dict[Key, tuple[float, int]] = {}
    for key, value in items:
        if key not in found or value < found[key]:
            found[key] = value
    return dict(sorted(found.items(), key=lambda item: (item[0][0], isinstance(item[0][1], str), item[0][1])))


def by_value(key: str, values: Array, usd_per_token: Array, number: Ints) -> dict[Key, tuple[float, int]]:
    """The least cost at each value of one choice; all (n,). Costs that are not finite count for nothing."""
    finite = np.flatnonzero(np.isfinite(usd_per_token))
    order = finite[np.lexsort((number[finite], usd_per_token[finite]))]
    distinct, first = np.unique(values[order], return_index=True)
    return {
        (key, float(value)): (float(usd_per_token[order[at]]), int(number[order[at]]))
        for value, at in zip(distinct, first, strict=True)
    }
