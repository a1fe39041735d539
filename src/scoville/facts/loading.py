"""Reads fact files: the bundled TOML and a user's own, which adds facts or replaces those of the same key.

The grammar is in docs/facts.md. Each error is one sentence with file, line and table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from scoville import units
from scoville.errors import FactError, nearest
from scoville.facts import names
from scoville.facts.book import Facts, Subject, normal
from scoville.facts.records import Fact
from scoville.facts.schema import FactEntry, SourceEntry, SubjectEntry, check
from scoville.files import parse_toml

_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]")
_NUMBER = re.compile(r"\s*[-+]?\.?\d")
# Subjects that say one thing of each chip: what stands before the chip's id.
_BY_CHIP = {"timing-evidence": "", "timing-family": "", "kernel-gemm": "units_", "kernel-moe": "level2_"}
_UNIT = re.compile(r"\s*[-+]?[\d.,_]+(?:[eE][-+]?\d+)?\s*(.*?)\s*$")


class _File:
    """One TOML file, parsed: `label` is how errors and places name it."""

    def __init__(self, label: str, text: str, tables: dict[str, Any], user: bool) -> None:
        self.label, self.tables, self.user = label, tables, user
        self._lines: dict[str, list[int]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if header := _HEADER.match(line):
                self._lines.setdefault(header[1].replace('"', ""), []).append(number)

    def at(self, subject: str, name: str = "", nth: int = 0) -> str:
        """'file:line: [subject.name]', the line being that of the (nth) table's header, or of the subject's."""
        table = f"{subject}.{name}" if name else subject
        lines = self._lines.get(table) or self._lines.get(subject)
        return f"{self.label}:{lines[min(nth, len(lines) - 1)]}: [{table}]" if lines else f"{self.label}: [{table}]"


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
    origins: dict[str, _File] = {}
    measures: dict[tuple[str, str], str] = {}
    bundled: set[tuple[str, str]] = set()
    for file in files:
        for key, name, table, place in _entries(file):
            subject = subjects[aliases[normal(key)]]
            if file.user:
                _known_by_name(subject, name, place, bundled)
            else:
                bundled.add((subject.id, name))
            fact = _fact(subject, name, table, place, sources, _measure(subject, name, place, measures), file.user)
            if origins.get(fact.key) is file or (fact.key in facts and not file.user):
                raise FactError(f"{place}: the fact {fact.key} is already at {facts[fact.key].place}")
            facts[fact.key], origins[fact.key] = fact, file
            measures.setdefault((subject.id, name), fact.measure)
            if subject.id == "default-range":
                ranges[name] = fact
    remarks = {s.citation: s.note for s in sources.values() if s.note}
    return Facts(subjects, [_with_range(f, ranges, _domain(subjects[f.subject], f)) for f in facts.values()], remarks)


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
    tables = parse_toml(text, label, FactError)
    file = _File(label, text, tables, user)
    for subject, table in tables.items():
        if not isinstance(table, dict):
            raise FactError(
                f"{label}: '{subject}' stands outside a table; expected [subject] and [subject.fact] tables"
            )
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
                meant = nearest(key, found, otherwise="`scoville facts` lists all.")
                raise FactError(
                    f"{file.at(key)}: unknown subject '{key}'; {meant} A new subject needs a category, "
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


def _entries(file: _File) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """(subject, fact name, table, place) of every fact in the file, in its order."""
    for subject, tables in file.tables.items():
        if tables.get("category") == "source":
            continue
        for name, table in tables.items():
            if isinstance(table, dict):
                yield subject, name, table, file.at(subject, name)
            elif _is_list_of_tables(table):
                for nth, one in enumerate(table):
                    yield subject, name, one, file.at(subject, name, nth)


def _known_by_name(subject: Subject, name: str, place: str, known: set[tuple[str, str]]) -> None:
    """Refuse a user's fact of the site, of terms, of timing or of serving that nobody knows by name: a typing error.

    A chip of the user's own may be named wherever chips are.
    """
    own = {n for s, n in known if s == subject.id}
    if not own or subject.category not in ("site", "timing", "rule", "engine", "serving"):
        return  # a subject of the user's, or one that is only looked at
    if name.startswith(_BY_CHIP.get(subject.id, name + "_")):
        return
    allowed = own | {n for s, n in known if s == "site" and subject.category == "site"}
    if name not in allowed:
        raise FactError(f"{place}: nothing is computed with a fact of that name; {nearest(name, allowed)}")


def _measure(subject: Subject, name: str, place: str, known: dict[tuple[str, str], str]) -> str | None:
    """The measure that a fact must have; None where its unit may decide.

    A chip's facts have theirs by name. What else is computed with keeps the measure of its first entry, an owner's
    terms that of the site, what is said of each chip that of the first chip.
    """
    if subject.category != "accelerator":
        if names.domain(subject.category, subject.id, name) is None:
            return None
        if prefix := _BY_CHIP.get(subject.id):
            first = (m for (s, n), m in known.items() if s == subject.id and n.startswith(prefix))
            return known.get((subject.id, name)) or (next(first, None) if name.startswith(prefix) else None)
        return known.get((subject.id, name), known.get(("site", name)) if subject.category == "site" else None)
    measure = names.measure(name)
    if measure is None:
        raise FactError(f"{place}: an accelerator has no fact '{name}'; {nearest(name, names.known())}")
    return measure


def _fact(
    subject: Subject,
    name: str,
    table: dict[str, Any],
    place: str,
    sources: dict[str, SourceEntry],
    measure: str | None,
    user: bool,
) -> Fact:
    entry = check(FactEntry, table, place)
    source = sources.get(entry.source)
    kind = entry.kind or (source.kind if source else None)
    as_of = entry.as_of or (source.as_of if source else None)
    if kind is None or as_of is None:
        field = "as_of" if kind else "kind"
        known = "" if source else f" ('{entry.source}' is no id of a source; {nearest(entry.source, sources)})"
        raise FactError(f"{place}: the field '{field}' is missing here and in its source{known}")
    value, low, high, measure, unit = _quantities(
        entry, measure, place, name, names.domain(subject.category, subject.id, name)
    )
    if entry.includes and name != "price_system":
        raise FactError(f"{place}: includes belongs to the price of a system, not to '{name}'")
    exact = isinstance(value, str) or (measure == "count" and low == high)
    return Fact(
        subject=subject.id,
        name=name,
        value=value,
        low=low,
        high=high,
        measure=measure,
        unit=unit,
        source=source.citation if source else entry.source,
        as_of=as_of,
        kind=kind,
        distribution="fixed" if exact else entry.distribution,
        vintage=entry.vintage,
        owner=entry.owner,
        driver=entry.driver,
        note=entry.note,
        includes=tuple(entry.includes),
        place=place,
        user=user,
    )


def _quantities(
    entry: FactEntry, measure: str | None, place: str, name: str, domain: names.Domain | None
) -> tuple[float | str, float, float, str, str]:
    """(value, low, high, measure, unit as written); the bounds are the value where none were given.

    Without a measure asked for, it is read from the unit, and a value that does not begin with a number is text.
    """
    text = str(entry.value)
    if measure == names.TEXT or (measure is None and not _NUMBER.match(text)):
        if entry.low is not None or entry.high is not None:
            raise FactError(f"{place}: low and high need a number as value, not '{text}'")
        return text, math.nan, math.nan, names.TEXT, ""
    written = _UNIT.match(text)
    unit = written[1] if written else ""
    if measure is None:
        measure = units.measure_of(unit, f"{place} value")
    value = units.parse(text, measure, f"{place} value")
    low = value if entry.low is None else units.parse(str(entry.low), measure, f"{place} low")
    high = value if entry.high is None else units.parse(str(entry.high), measure, f"{place} high")
    for field, number in (("value", value), ("low", low), ("high", high)):
        if domain is not None and number not in domain:
            raise FactError(f"{place} {field} is {getattr(entry, field)}; expected {domain}")
    if not low <= value <= high:
        raise FactError(f"{place}: expected low <= value <= high, got {entry.low}, {text}, {entry.high}")
    if entry.direction is not None:
        if not name.startswith("scale_") or not name.endswith("_bandwidth"):
            raise FactError(f"{place}: direction belongs to the bandwidth of a link, not to '{name}'")
        # Counted both ways, one direction has half; where nobody says, it has between half and all of it.
        if entry.direction == "both":
            value, low, high = value / 2, low / 2, high / 2
        else:
            value, low = (low / 2 + high) / 2, low / 2
    return value, low, high, measure, unit


def _domain(subject: Subject, fact: Fact) -> names.Domain | None:
    return names.domain(subject.category, subject.id, fact.name)


def _with_range(fact: Fact, ranges: dict[str, Fact], domain: names.Domain | None) -> Fact:
    """The fact with the default spread of its kind where its source gave no range, inside of its domain.

    Texts, counts, fixed facts and capacities (which are built, not measured) stay as they are.
    """
    if isinstance(fact.value, str) or fact.low < fact.high or fact.distribution == "fixed":
        return fact
    if fact.measure in ("count", "bytes") or fact.subject == "default-range":
        return fact
    spread = ranges[fact.kind].number
    low, high = sorted((fact.value * (1 - spread), fact.value * (1 + spread)))
    if domain is not None:
        low = max(low, domain.low)
        high = min(high, fact.value if domain.high_open and high >= domain.high else domain.high)
    return replace(fact, low=low, high=high, range_is_default=True)
