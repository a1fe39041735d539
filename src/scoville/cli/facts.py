"""`scoville facts [SUBJECT [NAME]]`: every figure with its range, evidence, date and source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoville.cli.output import digits, plain, print_json, print_table, spread

if TYPE_CHECKING:
    from scoville.facts import Fact, Facts

# Evidence has a shape, the same in every table and chart: filled measured, half the vendor's, hollow all else.
_SHAPES = {"measured": "●", "vendor": "◐"}
_HOLLOW = "○"


def facts(
    subject: Annotated[str | None, typer.Argument(help="A chip by id or alias, or another subject.")] = None,
    name: Annotated[str | None, typer.Argument(help="One fact of it, shown in full.")] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--facts", metavar="PATH", help="A TOML file that adds or overrides facts.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; numbers are SI, in `measure`.")] = False,
) -> None:
    """Show what is known: all subjects, the facts of one, or one fact in full."""
    from scoville.facts import load

    known = load(files or [])
    if subject is None:
        print_json(_overview(known)) if json else _show_overview(known)
        return
    found = _of(known, subject, name)
    if json:
        print_json({"subject": known.subject(subject), "facts": [_record(fact, known) for fact in found]})
    elif name is None:
        _show_subject(known, subject, found)
    else:
        typer.echo("\n\n".join(_in_full(fact, known.about_source(fact)) for fact in found))


def _of(known: Facts, subject: str, name: str | None) -> Sequence[Fact]:
    """The facts asked for, the defaults that complete a chip included."""
    entry = known.subject(subject)
    found = [*known.of(subject)]
    if entry.category == "accelerator":
        found += known.accelerator(entry.id).defaults()
    if name is None:
        return found
    named = [f for f in found if f.name == name]
    return named or [known.get(subject, name)]


def _record(fact: Fact, known: Facts) -> dict[str, Any]:
    """The fact as JSON: numbers are SI, in `measure`; the unit that stands in the file is called `written_unit`."""
    record: dict[str, Any] = plain(fact)
    return {{"unit": "written_unit"}.get(field, field): value for field, value in record.items()} | {
        "about_source": known.about_source(fact)
    }


def _overview(known: Facts) -> dict[str, Any]:
    chips = [
        {"id": a.id, "name": a.name, "vendor": a.vendor, "aliases": a.aliases, "missing": a.missing}
        | {"facts_count": len(known.of(a.id))}
        for a in known.accelerators()
    ]
    chip_ids = {c["id"] for c in chips}
    others = [
        {"id": id, "category": known.subject(id).category, "name": known.subject(id).name}
        | {"facts_count": len(known.of(id))}
        for id in known.subjects()
        if id not in chip_ids
    ]
    return {"accelerators": chips, "subjects": others, "user_facts": [f.key for f in known.user_facts]}


def _show_overview(known: Facts) -> None:
    record = _overview(known)
    complete = sum(not c["missing"] for c in record["accelerators"])
    print_table(
        ("accelerator", "name", "vendor", "facts", "can be timed"),
        [
            (c["id"], c["name"], c["vendor"], c["facts_count"], "no: missing " + ", ".join(c["missing"]))
            if c["missing"]
            else (c["id"], c["name"], c["vendor"], c["facts_count"], "yes")
            for c in record["accelerators"]
        ],
        title=f"{len(record['accelerators'])} accelerators, {complete} of which can be timed",
    )
    typer.echo()
    print_table(
        ("subject", "category", "what it is", "facts"),
        [(s["id"], s["category"], s["name"], s["facts_count"]) for s in record["subjects"]],
        title=f"{len(record['subjects'])} other subjects",
    )
    if record["user_facts"]:
        typer.echo(f"\nFrom your files: {', '.join(record['user_facts'])}")
    typer.echo("\n`scoville facts SUBJECT` lists its facts, `scoville facts SUBJECT NAME` shows one in full.")


def _show_subject(known: Facts, subject: str, found: Sequence[Fact]) -> None:
    entry = known.subject(subject)
    heading = f"{entry.name} ({entry.vendor})" if entry.vendor else entry.name
    print_table(
        ("fact", "value", "range", "evidence", "as of", "holds for", "source"),
        [
            (
                f.name,
                _value(f),
                _range(f),
                _evidence(f),
                f.as_of,
                " ".join(x for x in (f.vintage, f.owner) if x),
                _origin(f),
            )
            for f in found
        ],
        title=heading,
    )
    if entry.note:
        typer.echo(f"\n{entry.note}")
    if entry.category == "accelerator" and (missing := known.accelerator(entry.id).missing):
        typer.echo(f"\nCannot be timed: nobody published {', '.join(missing)}.")
    typer.echo("\n● measured  ◐ vendor's figure  ○ reported, estimated or derived  ~ range by default for its evidence")


def _in_full(fact: Fact, about_source: str) -> str:
    rows = [
        ("value", _value(fact)),
        ("range", _full_range(fact)),
        ("in SI", f"{fact.value:.6g} {fact.measure}" if isinstance(fact.value, float) else "text"),
        ("evidence", _evidence(fact)),
        ("as of", fact.as_of),
        ("vintage", fact.vintage),
        ("owner", fact.owner),
        ("drawn with", fact.driver),
        ("source", fact.source),
        ("", about_source),
        ("note", fact.note),
        ("place", fact.place + (" (yours)" if fact.user else "")),
    ]
    return fact.key + "".join(f"\n  {label:<10}  {text}" for label, text in rows if text)


def _value(fact: Fact) -> str:
    if isinstance(fact.value, str):
        return fact.value
    return f"{digits(_as_written(fact, fact.value), 4)} {fact.unit}".strip()


def _range(fact: Fact) -> str:
    if isinstance(fact.value, str) or fact.low == fact.high:
        return ""
    mark = "~" if fact.range_is_default else ""
    return mark + spread(_as_written(fact, fact.low), _as_written(fact, fact.high))


def _full_range(fact: Fact) -> str:
    if not _range(fact):
        return "none"
    written = f"{_range(fact).removeprefix('~')} {fact.unit}".rstrip()
    return f"{written}, {fact.distribution}" + (f", by default for {fact.kind}" if fact.range_is_default else "")


def _as_written(fact: Fact, value: float) -> float:
    from scoville.units import to_unit

    return to_unit(value, fact.measure, fact.unit) if fact.unit else value


def _evidence(fact: Fact) -> str:
    return f"{_SHAPES.get(fact.kind, _HOLLOW)} {fact.kind}"


def _origin(fact: Fact) -> str:
    if fact.user:
        return f"{fact.source} (yours)"
    return "default, see `default-link`, `default-power`" if fact.note.startswith("default:") else fact.source
