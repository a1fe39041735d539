"""The facts by subject, name, vintage and owner."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scoville.errors import FactError, nearest
from scoville.facts.chips import assemble
from scoville.facts.records import Accelerator, Fact

_LISTED = "`scoville facts` lists all"


@dataclass(frozen=True, slots=True)
class Subject:
    """What facts are about: a chip, a process, a company, a claim."""

    id: str
    category: str = ""
    name: str = ""
    vendor: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""


def normal(name: str) -> str:
    """A name as compared: case, underscores, spaces and the vendor's name in front do not matter.

    >>> normal("NVIDIA H100_80GB HBM3")
    'h100-80gb-hbm3'
    """
    return re.sub(r"[\s_]+", "-", name.strip().lower()).removeprefix("nvidia-").removeprefix("amd-")


class Facts:
    """Everything that is known, read once; asking never changes it."""

    def __init__(
        self, subjects: Mapping[str, Subject], facts: Iterable[Fact], remarks: Mapping[str, str] | None = None
    ) -> None:
        self._remarks = dict(remarks or {})
        self._subjects = dict(subjects)
        self._ids = {normal(a): s.id for s in subjects.values() for a in (s.id, *s.aliases)}
        self._facts: dict[str, dict[str, list[Fact]]] = {id: {} for id in subjects}
        for fact in facts:
            self._facts[fact.subject].setdefault(fact.name, []).append(fact)
        for entries in self._facts.values():
            for same in entries.values():
                same.sort(key=lambda f: (f.vintage, f.owner))
        self._chips: dict[str, Accelerator] = {}

    @property
    def user_facts(self) -> tuple[Fact, ...]:
        """What user files added or put in the place of a bundled fact."""
        return tuple(f for id in self._subjects for f in self.of(id) if f.user)

    def subjects(self, category: str = "") -> tuple[str, ...]:
        """The ids of all subjects (of that category), in alphabetical order."""
        return tuple(sorted(id for id, s in self._subjects.items() if not category or s.category == category))

    def subject(self, name: str) -> Subject:
        """A subject by id or alias. Raises FactError naming the nearest."""
        id = self._ids.get(normal(name))
        if id is None:
            raise FactError(f"no subject '{name}'; {nearest(name, self._spellings(self._subjects), otherwise=_LISTED)}")
        return self._subjects[id]

    def of(self, subject: str) -> tuple[Fact, ...]:
        """Every fact of a subject, oldest vintage first. Raises FactError naming the nearest subject."""
        return tuple(f for same in self._facts[self.subject(subject).id].values() for f in same)

    def find(self, subject: str, name: str, *, vintage: str = "", owner: str = "") -> Fact | None:
        """As `get`, but None where nobody has said anything."""
        id = self._ids.get(normal(subject))
        if id is None:
            return None
        return _newest(self._facts[id].get(name, ()), vintage, owner)

    def get(self, subject: str, name: str, *, vintage: str = "", owner: str = "") -> Fact:
        """The newest fact of that name that had been published by `vintage` (YYYY-MM; "" = of any month).

        With an `owner`, a figure of that owner, else one that holds for any; without, one that holds for any, else the
        newest of whichever owner. Raises FactError naming what there is.
        """
        id = self.subject(subject).id
        entries = self._facts[id].get(name)
        if entries is None:
            raise FactError(f"{id} has no fact '{name}'; {nearest(name, self._facts[id])}")
        fact = _newest(entries, vintage, owner)
        if fact is None:
            there = ", ".join(f.key.removeprefix(f"{id}.{name}") or "undated" for f in entries)
            asked = " ".join(x for x in (f"by {vintage}" if vintage else "", f"for {owner}" if owner else "") if x)
            raise FactError(f"{id}.{name} has no entry {asked}; there are {there} (@month/owner)")
        return fact

    def accelerator(self, name: str) -> Accelerator:
        """A chip by id or alias, in any case. Raises FactError naming the nearest."""
        id = self._ids.get(normal(name))
        if id is None or self._subjects[id].category != "accelerator":
            chips = self._spellings({i: self._subjects[i] for i in self.subjects("accelerator")})
            raise FactError(f"unknown accelerator '{name}'; {nearest(name, chips, otherwise=_LISTED)}")
        if id not in self._chips:
            s = self._subjects[id]
            self._chips[id] = assemble(s.id, s.name, s.vendor, s.aliases, self._facts[id], self.get)
        return self._chips[id]

    def accelerators(self) -> tuple[Accelerator, ...]:
        """All chips, those with missing figures too, in alphabetical order of their ids."""
        return tuple(self.accelerator(id) for id in self.subjects("accelerator"))

    def about_source(self, fact: Fact) -> str:
        """What is to be known about the fact's source, such as what its figures include; "" for nothing."""
        return self._remarks.get(fact.source, "")

    def drivers(self) -> dict[str, tuple[Fact, ...]]:
        """The groups that are drawn once per sample, with their facts."""
        groups: dict[str, list[Fact]] = {}
        for id in self._subjects:
            for fact in self.of(id):
                if fact.driver:
                    groups.setdefault(fact.driver, []).append(fact)
        return {d: tuple(fs) for d, fs in sorted(groups.items())}

    @staticmethod
    def _spellings(subjects: Mapping[str, Subject]) -> list[str]:
        return [a for s in subjects.values() for a in (s.id, *s.aliases)]


def _newest(entries: Sequence[Fact], vintage: str, owner: str) -> Fact | None:
    """Of entries sorted by vintage: published by then, by preference of this owner (or of none), the newest."""
    then = [f for f in entries if not vintage or f.vintage <= vintage]
    anybodys = [f for f in then if not f.owner]
    fitting = ([f for f in then if f.owner == owner] or anybodys) if owner else (anybodys or then)
    return fitting[-1] if fitting else None
