"""A search as files: page, charts, floorplan, result.json, the best design and its facts; all at once or none."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scoville.report import floorplan, theme
from scoville.report import page as pages
from scoville.report.chip import Shown, drawing
from scoville.report.chip import sheets as chip_sheets
from scoville.report.designs import sheets
from scoville.report.designs import wording as said
from scoville.report.designs.charts import charts
from scoville.report.folder import finite, pictures, replaced
from scoville.report.script import Script
from scoville.report.sheet import Sheet
from scoville.search.answer import Answer

RESULT = "result.json"
DESIGN, FACTS = "design.toml", "facts.toml"


@dataclass(frozen=True, slots=True)
class Extras:
    """What the report has beside the answer: the best design as a chip, and its facts file."""

    best: Shown
    facts: str


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    sheets: tuple[Sheet, ...]
    charts: tuple[str, ...] = ()
    drawing: bool = False


def write(answer: Answer, extras: Extras, folder: Path, script: Script | None = None) -> list[Path]:
    """Write the result into `folder` and return its files; an earlier result there is replaced when all is written.

    Raises StudyError where `folder` is a file, holds something that is no result, or cannot be written.
    """
    with replaced(folder, RESULT) as new, ExitStack() as stack:
        (new / RESULT).write_text(as_json(answer, extras.best.user_facts), encoding="utf-8")
        specs = {name: theme.specification(chart) for name, chart in charts(answer).items()}
        names = [RESULT, *pictures(specs, new)]
        for name, text in ((DESIGN, said.winner(answer).text), (FACTS, extras.facts)):
            (new / name).write_text(text, encoding="utf-8", newline="\n")
            names.append(name)
        drawn = drawing(extras.best)
        for name in ("floorplan.svg", "floorplan.png"):
            floorplan.write(drawn, new / name)
            names.append(name)
        ready = script or stack.enter_context(Script())
        text = page(answer, extras.best, drawn, specs, ready.text())
        (new / "report.html").write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in ("report.html", *names)]


def as_json(answer: Answer, user_facts: Sequence[str] = ()) -> str:
    """The answer as JSON in SI units, with the keys of the user's own facts; what is not known is null."""
    found = finite({**asdict(answer), "user_facts": list(user_facts)})
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def page(answer: Answer, best: Shown, drawn: str, specs: dict[str, dict[str, Any]], bundle: str) -> str:
    """The whole page as HTML, with the best design's floorplan `drawn` as SVG; everything else is escaped."""
    sections = [s for s in _sections(answer, best) if s.drawing or s.sheets or any(name in specs for name in s.charts)]
    return pages.rendered(
        "designs/page.html.j2",
        specs,
        bundle,
        answer=answer,
        headline=next(iter(said.findings(answer)), answer.title).rstrip("."),
        findings=said.findings(answer)[1:],
        circumstances=said.circumstances(answer),
        notice=said.notice(best.user_facts) if best.user_facts else "",
        sections=sections,
        drawing=drawn,
        command=f"scoville design {shlex.quote(answer.space_file)}",
    )


def _sections(answer: Answer, best: Shown) -> tuple[_Section, ...]:
    def section(title: str, *made: Sheet, charts: Sequence[str] = (), drawing: bool = False) -> _Section:
        return _Section(title, tuple(s for s in made if s.rows), tuple(charts), drawing)

    a = answer
    arithmetic, *rest = chip_sheets(best)
    return (
        section("Beside bought chips", sheets.beside(a), sheets.front(a), charts=("cost-by-layer",)),
        section("The best design", arithmetic, sheets.best(a), *rest, drawing=True),
        section("How many to make", sheets.supply(a), charts=("cost-against-volume",)),
        section(
            "What it hangs on", sheets.marginals(a), sheets.parameters(a), sheets.shifts(a), charts=("what-a-mm2-buys",)
        ),
        section("Serving several", sheets.regrets(a), sheets.reuse(a), charts=("regret",)),
        section("How the answer was found", sheets.tried(a), sheets.finalists(a)),
    )
