"""The best designs through the full timer and the simulator, beside the chips that can be bought."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scoville.errors import DesignError
from scoville.facts import Accelerator, Draws, Facts, Range
from scoville.search.answer import Bought, Designed, Finalist
from scoville.search.coarse import Coarse
from scoville.search.deployed import Deployed, Load, deployed, kernels_of
from scoville.search.evaluate import hour
from scoville.search.found import Found
from scoville.search.space import Space, Value
from scoville.search.sweep import Spread
from scoville.serving.candidates import candidate_parallelisms
from scoville.silicon.accelerator import accelerator
from scoville.silicon.design import Design, bundled, read_design
from scoville.timing.chips import SYSTOLIC
from scoville.transformer.step import Parallelism

Tried = tuple[str, Any, tuple[Deployed, ...]]  # which of the methods of `Trial`, of what, what it found
_NEAR = 1.25  # mappings that cost at most so many times the best one's, by the sweep, are replayed
_MOST_MAPPINGS = 8  # of a chip that is not of the space and timed by its arrays: a search of layouts for each
_APART = 2  # settings in which one finalist differs from another, at least, where the sweep kept such designs


def chosen(space: Space, found: Found) -> tuple[int, ...]:
    """The numbers of the finalists: the cheapest, then the next that differ in two settings from all before."""
    numbers = [int(n) for n in found.cheapest[0].number]
    picked: list[int] = []
    for number in numbers:
        if all(_apart(space.settings(number), space.settings(p)) >= _APART for p in picked):
            picked.append(number)
    picked += [n for n in numbers if n not in picked]
    return tuple(picked[: space.finalists_count])


def _apart(a: dict[str, Value], b: dict[str, Value]) -> int:
    return sum(a.get(key) != b.get(key) for key in {*a, *b} - {"compute.array_columns"})


@dataclass(frozen=True, eq=False)
class Trial:
    """What every chip is tried with; a function of a space and facts, so that it can be done anywhere."""

    space: Space
    facts: Facts
    loads: tuple[Load, ...]

    def design(self, number: int, nre_usd_per_chip: float, mappings: Sequence[Sequence[Parallelism]]) -> Tried:
        """A design of the space under everything that is served, with these mappings for each."""
        return "design", number, self._made(self.space.design(number), nre_usd_per_chip, mappings)

    def bought(self, name: str) -> Tried:
        """A bought chip likewise, in any sharding that divides the model."""
        return "bought", name, self._all(self.facts.accelerator(name), 0.0, None)

    def reference(self, name: str, nre_usd_per_chip: float) -> Tried:
        """A bundled design likewise, made and sold as those of the space are."""
        return "reference", name, self._made(read_design(name), nre_usd_per_chip, None)

    def do(self, kind: str, *arguments: Any) -> Tried:
        """Any of these by its name, as a part of work that is spread over machines."""
        done: Tried = getattr(self, kind)(*arguments)
        return done

    def _made(
        self, design: Design, nre_usd_per_chip: float, mappings: Sequence[Sequence[Parallelism]] | None
    ) -> tuple[Deployed, ...]:
        """The chip of a design; one that breaks a limit under these facts serves nothing."""
        space = self.space
        try:
            chip = accelerator(
                design, self.facts, date=space.terms.vintage, volume=space.volume_count, seller=space.seller
            )
        except DesignError as error:
            return tuple(Deployed(design.id, design.name, s.name, refusal=str(error)) for s in space.serve)
        return self._all(chip, nre_usd_per_chip, mappings)

    def _all(
        self, chip: Accelerator, nre_usd_per_chip: float, mappings: Sequence[Sequence[Parallelism]] | None
    ) -> tuple[Deployed, ...]:
        space, facts = self.space, self.facts
        nre = hour(facts, space.terms).of_nre_usd_per_h * nre_usd_per_chip
        draws = Draws(space.seed, space.samples_count)
        most = _MOST_MAPPINGS if mappings is None and kernels_of(chip, facts) == SYSTOLIC else 1000
        ways = mappings or [self._mappings(chip, load) for load in self.loads]
        return tuple(
            deployed(chip, load, facts, space.terms, draws, nre, way, most)
            for load, way in zip(self.loads, ways, strict=True)
        )

    def _mappings(self, chip: Accelerator, load: Load) -> Sequence[Parallelism]:
        """Any sharding that divides the model, the space's among them: without a pipeline first, fewest chips first."""
        most = self.facts.get("engine", "most_chips").number
        any_ = (*candidate_parallelisms(load.serve.architecture, chip, most), *load.serve.mappings)
        return sorted(dict.fromkeys(any_), key=lambda p: (p.pipeline > 1, p.chips, str(p)))


def tried(trial: Trial, coarse: Coarse, designs: Sequence[Designed], spread: Spread) -> Iterator[Tried]:
    """Every finalist, every bought chip, the reference, and the reference's design where one is bundled."""
    space = trial.space
    parts: list[tuple[Any, ...]] = []
    for d in designs:
        near = coarse.near(space.block(d.number, d.number + 1).design, _NEAR)
        parts.append(("design", d.number, d.nre_usd / d.volume_count, near))
    parts += [("bought", name) for name in names(space, trial.facts)]
    if space.reference in bundled():
        parts.append(("reference", space.reference, reference_nre_usd(space, coarse) / space.volume_count))
    return spread(trial.do, parts)


def count(space: Space, facts: Facts, designs: Sequence[Designed]) -> int:
    """How many `tried` yields."""
    return len(designs) + len(names(space, facts)) + (space.reference in bundled())


def reference_nre_usd(space: Space, coarse: Coarse) -> float:
    """The one-time cost of the reference's design."""
    return float(coarse.words(read_design(space.reference))[2].nre_usd) if space.nre else 0.0


def names(space: Space, facts: Facts) -> tuple[str, ...]:
    """The ids of the chips to compare with, the reference last. Raises FactError naming the nearest for an unknown."""
    ids = [facts.accelerator(name).id for name in (*space.bought, *([space.reference] if space.reference else []))]
    return tuple(dict.fromkeys(ids))


def finalist(space: Space, made: Designed, found: tuple[Deployed, ...]) -> Finalist:
    """A design's record."""
    total = mix(space, found)
    return Finalist(
        designed=made,
        deployed=found,
        mix=total,
        coarse_usd_per_token=made.mix_usd_per_token,
        off_frac=None if total is None else total.central / made.mix_usd_per_token - 1,
        refusal="; ".join(f"{d.serve}: {d.refusal}" for d in found if d.refusal),
    )


def others(space: Space, facts: Facts, done: Mapping[tuple[str, Any], tuple[Deployed, ...]]) -> tuple[Bought, ...]:
    """The records of the chips to beat, in the order of the file."""
    reference = facts.accelerator(space.reference).id if space.reference else ""
    found = [
        _bought(space, facts.accelerator(name), done["bought", name], name == reference) for name in names(space, facts)
    ]
    for (kind, name), deployed_ in done.items():
        if kind == "reference":
            chip = facts.accelerator(name)
            made = replace(_bought(space, chip, deployed_, True), name=f"{chip.name}, at the cost of its design")
            found.append(replace(made, accelerator=deployed_[0].accelerator))
    return tuple(found)


def _bought(space: Space, chip: Accelerator, found: tuple[Deployed, ...], reference: bool) -> Bought:
    return Bought(
        accelerator=chip.id,
        name=chip.name,
        deployed=found,
        mix=mix(space, found),
        refusal="; ".join(f"{d.serve}: {d.refusal}" for d in found if d.refusal),
        reference=reference,
    )


def mix(space: Space, found: Sequence[Deployed]) -> Range | None:
    """The cost of a token of the mix; its ends are the sums of the parts' ends. None where one is not served."""
    total = np.zeros(3)
    for serve, d in zip(space.serve, found, strict=True):
        if d.usd_per_token is None:
            return None
        total += serve.weight_frac * np.array([d.usd_per_token.p10, d.usd_per_token.central, d.usd_per_token.p90])
    low, central, high = (float(x) for x in total)
    return Range(low, central, high, "usd_per_token")
