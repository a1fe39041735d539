"""Reads fact files: the bundled TOML and a user's own, which adds facts or replaces those of the same key.

The grammar is in docs/facts.md. Each error is one sentence with file, line and table.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from scoville import units
from scoville.errors import FactError, nearest
from scoville.facts import names
from scoville.facts.book import Facts, Subject, normal
from scoville.facts.records import Fact
from scoville.facts.schema import FactEntry, Quantity, SourceEntry, SubjectEntry, check

_NUMBER = re.compile(r"\s*[-+]?\.?\d")
_UNIT = re.compile(r"\s*[-+]?[\d.,_]+(?:[eE][-+]?\d+)?\s*(.*?)\s*$")


@dataclass(frozen=True)
class _File:
    """One TOML file, parsed: `label` is how errors and places name it."""

    label: str
    text: str
    tables: dict[str, Any]
    user: bool

    def at(self, subject: str, name: str = "") -> str:
        """'file:line: [subject.name]', the line being that of the table's header."""
        table = f"{subject}.{name}" if name else subject
        header = re.search(rf'^\s*\[+\s*"?{re.escape(subject)}"?{re.escape("." + name) if name else ""}\s*\]', self.text, re.M)
        line = f":{self.text.count(chr(10), 0, header.end()) + 1}" if header else ""
        return f"{self.label}{line}: [{table}]"


def load(user_files: Sequence[Path] = ()) -> Facts:
    """Every bundled fact, with those of the user's files added or put in their place (later files win).

    Raises FactError for a file that cannot be read or a table that makes no sense, UnitError for a wrong unit.
    """
    files = [*_bundled(), *(_user(Path(p)) for p in user_files)]
    sources = _sources(files)
    subjects = _subjects(files)
    aliases = {normal(a): s.id for s in subjects.values() for a in (s.id, *s.aliases)}
    ranges: dict[str, Fact] = {}
    facts: dict[str, Fact] = {}
    for file in files:
        for subject_name, name, table in _entries(file):
            subject = subjects[aliases[normal(subject_name)]]
            fact = _fact(file, subject, name, table, sources)
            if fact.key in facts and not (file.user and not facts[fact.key].user):
                raise FactError(f"{fact.place}: the fact {fact.key} is already in {facts[fact.key].place}")
            facts[fact.key] = fact
            if subject.id == "default-range":
                ranges[name] = fact
    return Facts(subjects, [_with_range(f, ranges) for f in facts.values()])


def _bundled() -> list[_File]:
    root = resources.files("scoville.facts")
    found = [(p.name, p) for p in root.iterdir() if p.name.endswith(".toml")]
    found += [(f"accelerators/{p.name}", p) for p in (root / "accelerators").iterdir() if p.name.endswith(".toml")]
    return [_parsed(f"facts/{name}", p.read_text("utf-8"), user=False) for name, p in sorted(found)]


def _user(path: Path) -> _File:
    try:
        return _parsed(str(path), path.read_text("utf-8"), user=True)
    except OSError as error:
        raise FactError(f"{path}: cannot be read ({error.strerror}); expected a TOML file of facts") from None
    except UnicodeDecodeError:
        raise FactError(f"{path}: is not UTF-8 text; expected a TOML file of facts") from None


def _parsed(label: str, text: str, *, user: bool) -> _File:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column \d+\)", str(error))
        line, reason = (f":{place[1]}", str(error)[: place.start()]) if place else ("", str(error))
        raise FactError(f"{label}{line}: is not valid TOML: {reason}") from None
    file = _File(label, text, tables, user)
    for subject, table in tables.items():
        if not isinstance(table, dict):
            raise FactError(f"{label}: '{subject}' stands outside a table; expected [subject] and [subject.fact] tables")
    return file


def _sources(files: Sequence[_File]) -> dict[str, SourceEntry]:
    return {
        key: check(SourceEntry, table, file.at(key))
        for file in files
        for key, table in file.tables.items()
        if table.get("category") == "source"
    }


def _subjects(files: Sequence[_File]) -> dict[str, Subject]:
    """Subjects by id; several files may speak of one subject, the user's words replacing the bundled ones."""
    found: dict[str, Subject] = {}
    for file in files:
        for key, table in file.tables.items():
            if table.get("category") == "source":
                continue
            plain = {k: v for k, v in table.items() if not isinstance(v, dict) and not _is_list_of_tables(v)}
            entry = check(SubjectEntry, plain, file.at(key))
            id = _id(key, found) if file.user else key
            old = found.get(id)
            if old is None and file.user and not entry.category:
                raise FactError(
                    f"{file.at(key)}: unknown subject '{key}'; {nearest(key, found)} A new subject needs a category, "
                    'such as category = "accelerator"'
                )
            old = old or Subject(id)
            found[id] = Subject(
                id,
                entry.category or old.category,
                entry.name or old.name or id,
                entry.vendor or old.vendor,
                (*old.aliases, *entry.aliases),
                entry.note or old.note,
            )
    return found


def _id(key: str, found: dict[str, Subject]) -> str:
    """The subject that a user calls by its id or an alias, or the new id itself."""
    return next((s.id for s in found.values() for a in (s.id, *s.aliases) if normal(a) == normal(key)), key)


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _entries(file: _File) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(subject, fact name, table) of every fact in the file, in its order."""
    for subject, tables in file.tables.items():
        if tables.get("category") == "source":
            continue
        for name, table in tables.items():
            if isinstance(table, dict):
                yield subject, name, table
            elif _is_list_of_tables(table):
                for one in table:
                    yield subject, name, one


def _fact(file: _File, subject: Subject, name: str, table: dict[str, Any], sources: dict[str, SourceEntry]) -> Fact:
    try:
        entry = check(FactEntry, table, "")
    except FactError as error:
        raise FactError(f"{file.at(subject.id, name)}{error}") from None
    place = f"{file.label} [{subject.id}.{name}]"
    source = sources.get(entry.source)
    kind = entry.kind or (source.kind if source else None)
    as_of = entry.as_of or (source.as_of if source else None)
    for field, value in (("kind", kind), ("as_of", as_of)):
        if value is None:
            known = "" if source else f" ('{entry.source}' is no entry of sources.toml; {nearest(entry.source, sources)})"
            raise FactError(f"{file.at(subject.id, name)}: the field '{field}' is missing here and in its source{known}")
    measure: str | None = None
    if subject.category == "accelerator":
        measure = names.measure(name)
        if measure is None:
            raise FactError(
                f"{file.at(subject.id, name)}: an accelerator has no fact '{name}'; {nearest(name, names.known())}"
            )
    value, low, high, measure, unit = _quantities(entry, measure, file, subject.id, name)
    return Fact(
        subject=subject.id,
        name=name,
        value=value,
        low=low,
        high=high,
        measure=measure,
        unit=unit,
        source=source.citation if source else entry.source,
        as_of=str(as_of),
        kind=kind or "estimated",
        distribution="fixed" if measure in ("", "count") and entry.low is None and entry.high is None else entry.distribution,
        vintage=entry.vintage,
        owner=entry.owner,
        driver=entry.driver,
        note=entry.note,
        place=place,
        user=file.user,
    )


def _quantities(
    entry: FactEntry, measure: str | None, file: _File, subject: str, name: str
) -> tuple[float | str, float, float, str, str]:
    """(value, low, high, measure, unit as written); the bounds are the value where none were given."""
    text = str(entry.value)
    if measure == names.TEXT or (measure is None and isinstance(entry.value, str) and not _NUMBER.match(text)):
        if entry.low is not None or entry.high is not None:
            raise FactError(f"{file.at(subject, name)}: low and high need a number as value, not '{text}'")
        return text, math.nan, math.nan, names.TEXT, ""

    m = _UNIT.match(text)
    unit = m[1] if m else ""

    def number(field: str, quantity: Quantity) -> float:
        return units.parse(str(quantity), str(measure), f"{file.at(subject, name)} {field}")

    if measure is None:
        measure = units.measure_of(unit, f"{file.at(subject, name)} value")
    value = number("value", entry.value)
    low = value if entry.low is None else number("low", entry.low)
    high = value if entry.high is None else number("high", entry.high)
    if not low <= value <= high:
        raise FactError(f"{file.at(subject, name)}: expected low <= value <= high, got {entry.low}, {text}, {entry.high}")
    if entry.direction is not None:
        if "_bandwidth" not in name:
            raise FactError(f"{file.at(subject, name)}: direction belongs to the bandwidth of a link, not to '{name}'")
        # Counted both ways, one direction has half; not stated, it has between half and all of it.
        low, high = low / 2, high / 2 if entry.direction == "both" else high
        value = value / 2 if entry.direction == "both" else (low + high) / 2
    return value, low, high, measure, unit


def _with_range(fact: Fact, ranges: dict[str, Fact]) -> Fact:
    """The fact with the default spread of its kind where its source gave no range.

    Texts, counts, fixed facts and capacities (which are built, not measured) stay as they are.
    """
    if isinstance(fact.value, str) or fact.low < fact.high or fact.distribution == "fixed":
        return fact
    if fact.measure in ("count", "bytes") or fact.subject == "default-range":
        return fact
    spread = ranges[fact.kind].number
    low, high = sorted((fact.value * (1 - spread), fact.value * (1 + spread)))
    return replace(fact, low=low, high=high, range_is_default=True)
