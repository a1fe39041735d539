"""What the optimum hangs on: how much each choice moves the cost, and where the optimum goes as prices move."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from scoville.facts import Fact, Facts
from scoville.search.answer import Parameter, Shift, Slice
from scoville.search.climb import Cost, cheapest, costs
from scoville.search.found import Slices
from scoville.search.space import Axis, Space, Value, shown

FACTORS = (0.5, 2.0)
WAFER, MEMORY, ELECTRICITY, VOLUME = "wafer price", "memory price", "electricity price", "volume"


def slices(space: Space, found: Slices) -> tuple[Slice, ...]:
    """The least cost at each value of each choice that has several, in the order of the file."""
    measures = {a.key: a.measure for p in space.parts for a in p.axes}
    tied = {a.key for p in space.parts for a in p.axes if a.tied}
    same: dict[str, list[float]] = {}
    for (key, _), (cost, _) in found.items():
        same.setdefault(key, []).append(cost)
    return tuple(
        Slice(
            key=key,
            words=shown(value, measures.get(key, "")),
            value=None if isinstance(value, str) else value,
            measure=measures.get(key, ""),
            usd_per_token=cost,
            over_best_frac=cost / min(same[key]) - 1,
            number=number,
        )
        for (key, value), (cost, number) in found.items()
        if len(same[key]) > 1 and key not in tied
    )


def parameters(sliced: Iterable[Slice]) -> tuple[Parameter, ...]:
    """A design's choices by how much they move the cost, most first; values at which nothing can serve are left out."""
    by_key: dict[str, list[Slice]] = {}
    for s in sliced:
        if ": " not in s.key:  # mapping and batch of one that is served
            by_key.setdefault(s.key, []).append(s)
    found = []
    for key, same in by_key.items():
        best, worst = (pick(same, key=lambda s: s.usd_per_token) for pick in (min, max))
        found.append(Parameter(key, best.words, worst.words, worst.usd_per_token / best.usd_per_token - 1))
    return tuple(sorted(found, key=lambda p: (-p.moves_frac, p.key)))


def shifts(
    space: Space, facts: Facts, cost_of: Callable[[Space, Facts], Cost], best: int, kept: Iterable[int]
) -> tuple[Shift, ...]:
    """The optimum with each price and the volume halved and doubled, among the designs that the sweep kept and, step
    by step, their neighbours."""
    numbers = {best, *kept}
    found = []
    for what in (WAFER, MEMORY, ELECTRICITY, VOLUME):
        for factor in FACTORS:
            cost = cost_of(*changed(space, facts, what, factor))
            stays = costs(space, cost, [best])[best]
            number, usd = cheapest(space, cost, numbers)
            found.append(Shift(what, factor, stays, usd, number, changes(space, best, number)))
    return tuple(found)


def changed(space: Space, facts: Facts, what: str, factor: float) -> tuple[Space, Facts]:
    """The same question with one price, or the volume, so many times what it is."""
    if what == VOLUME:
        return replace(space, volume_count=space.volume_count * factor), facts
    if what == ELECTRICITY and (price := space.terms.electricity_usd_per_j) is not None:
        return replace(space, terms=replace(space.terms, electricity_usd_per_j=price * factor)), facts
    chosen: Callable[[Fact], bool] = {
        WAFER: lambda f: f.name == "wafer_price" and f.subject.startswith("process-"),
        MEMORY: lambda f: f.name == "price" and f.subject.startswith("memory-price-"),
        ELECTRICITY: lambda f: f.name == "electricity",
    }[what]
    return space, scaled(facts, chosen, factor)


def scaled(facts: Facts, chosen: Callable[[Fact], bool], factor: float) -> Facts:
    """All facts, the chosen ones with value and range times `factor`."""
    ids = facts.subjects()

    def one(fact: Fact) -> Fact:
        if not chosen(fact):
            return fact
        return replace(fact, value=fact.number * factor, low=fact.low * factor, high=fact.high * factor)

    return Facts({id: facts.subject(id) for id in ids}, [one(f) for id in ids for f in facts.of(id)])


def changes(space: Space, before: int, after: int) -> tuple[str, ...]:
    """What the second design has otherwise: "compute.slices 64 -> 80"."""
    old, new = space.settings(before), space.settings(after)
    axes: dict[str, Axis] = {a.key: a for p in space.parts for a in p.axes}

    def words(settings: dict[str, Value], key: str) -> str:
        return shown(settings[key], axes[key].measure if key in axes else "") if key in settings else "none"

    return tuple(
        f"{key} {words(old, key)} -> {words(new, key)}"
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key) and not (key in axes and axes[key].tied)
    )
