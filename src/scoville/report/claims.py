"""Audited claims in the terminal and as files: claims.json and charts/claims.png."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from scoville.claims import Audit, Line, Need, Report
from scoville.claims.records import VERDICTS
from scoville.facts import Range
from scoville.report import theme, wording
from scoville.report.charts.claims import claims as chart
from scoville.report.charts.claims import drawn
from scoville.report.folder import as_json, pictures, replaced
from scoville.units import to_unit

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

RESULT = "claims.json"
_INDENT = 3
_FIGURE_COLUMNS = 40


def write(report: Report, folder: Path) -> list[Path]:
    """Write the audits into `folder` and return its files; an earlier result there is replaced when all is written.

    Raises StudyError where `folder` is a file, holds something that is no such result, or cannot be written.
    """
    with replaced(folder, RESULT) as new:
        (new / RESULT).write_text(as_json(report), encoding="utf-8")
        specs = {"claims": theme.specification(chart(report))} if drawn(report) else {}
        names = [RESULT, *pictures(specs, new)]
    return [folder / name for name in names]


def show(report: Report, console: Console) -> None:
    """Print all audits, the verdicts first, fitted to the width of the console."""
    for part in parts(report):
        console.print(part)


def parts(report: Report) -> list[RenderableType]:
    """The audits as rich renderables, with empty lines between them."""
    from rich.text import Text

    shown: list[RenderableType] = [Text(title(report), style="bold"), "", _verdicts(report)]
    for number, audit in enumerate(report.audits, start=1):
        if audit.lines:
            shown += ["", *_audit(number, audit)]
    shown += ["", Text("Assumptions", style="bold")]
    return [*shown, *(_indented(f"{line}", 0, "dim") for line in report.assumptions)]


def title(report: Report) -> str:
    """How many claims got which verdict."""
    count = Counter(audit.verdict for audit in report.audits)
    listed = wording.listed(
        f"{count[v]} {v.removesuffix(' by').removesuffix(' because')}" for v in VERDICTS if count[v]
    )
    return f"{wording.counted(len(report.audits), 'claim')} about {report.name}: {listed}"


def _verdicts(report: Report) -> Table:
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column("", justify="right")
    made.add_column("claim", overflow="fold")
    made.add_column("claimed", justify="right")
    made.add_column("model (P10–P90)", justify="right")
    made.add_column("verdict", overflow="fold")
    for number, audit in enumerate(report.audits, start=1):
        line = headline(audit)
        modelled = _modelled(line.modelled, line) if line is not None else ""
        made.add_row(str(number), audit.claim.name, claimed(audit), modelled, _short(audit))
    return made


def claimed(audit: Audit) -> str:
    """The claimed figure in its own unit, with the claim's sense."""
    fact, sense = audit.claim.claimed, {"at least": ">= ", "at most": "<= ", "about": ""}[audit.claim.sense]
    line = Line("", fact.unit, fact.measure)
    return f"{sense}{_stated(audit.claim.figure, line)} {fact.unit}".strip()


def headline(audit: Audit) -> Line | None:
    """The line that stands for the claim: the first that decides, else none."""
    return next((line for line in audit.lines if line.decides), None)


def _short(audit: Audit) -> str:
    return {"plausible only if": "plausible only if ...", "not checkable because": "not checkable"}.get(
        audit.verdict, audit.verdict
    )


def _audit(number: int, audit: Audit) -> list[RenderableType]:
    from rich.text import Text

    c = audit.claim
    against = "" if c.against == "none named" else f"; against {c.against}"
    shown: list[RenderableType] = [
        Text(f"{number:>2}  {c.name}", style="bold"),
        _indented(f"{c.claimant}, {c.claimed.as_of} ({c.claimed.kind}), {c.claimed.source}{against}", style="dim"),
        _indented(f"Basis: {c.basis}.", style="dim"),
        _figures(audit),
    ]
    if any(need.possible for need in audit.needs):
        shown.append(_needs(audit.needs, c.claimed.name))
    shown.append(_indented(sentence(audit), style="bold"))
    return [
        *shown,
        *(_indented(note) for note in audit.notes),
        *(_indented(f"Timed: {said}.", style="dim") for said in audit.chosen),
    ]


def sentence(audit: Audit) -> str:
    """The verdict in one sentence."""
    joined = ": " if audit.verdict == "plausible" else " "
    return f"{audit.verdict[0].upper()}{audit.verdict[1:]}{joined}{audit.because}."


def _figures(audit: Audit) -> RenderableType:
    from rich.padding import Padding
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column("", min_width=_FIGURE_COLUMNS, overflow="fold")
    shows = {
        "claimed": any(line.claimed for line in audit.lines),
        "model (P10–P90)": True,
        "roofline (P10–P90)": any(line.roofline for line in audit.lines),
        "limit": any(math.isfinite(line.limit) for line in audit.lines),
    }
    heads = [head for head, is_there in shows.items() if is_there]
    for head in heads:
        made.add_column(head, justify="right")
    for line in audit.lines:
        cells = {
            "claimed": _stated(line.claimed, line),
            "model (P10–P90)": _modelled(line.modelled, line),
            "roofline (P10–P90)": _modelled(line.roofline, line),
            "limit": wording.digits(_in(line.limit, line)) if math.isfinite(line.limit) else "",
        }
        unit = "" if line.unit in ("", "x") else f", {line.unit}"
        made.add_row(f"{line.what}{unit}", *(cells[head] for head in heads))
        if line.bare is not None:
            cells = dict.fromkeys(cells, "") | {"model (P10–P90)": _modelled(line.bare, line)}
            made.add_row("  if a step is one kernel: no launches", *(cells[head] for head in heads))
    return Padding(made, (0, 0, 0, _INDENT))


def _needs(needs: tuple[Need, ...], claimed: str) -> RenderableType:
    from rich.padding import Padding
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column("what would have to be true", min_width=_FIGURE_COLUMNS, overflow="fold")
    made.add_column("model", justify="right")
    made.add_column("the claim needs", justify="right")
    beside = ""
    for need in needs:
        if need.beside != beside:
            beside = need.beside
            made.add_row(f"with the {beside}:", "", "", style="dim")
        side = "<= " if need.bound < need.usual else ">= " if math.isfinite(need.bound) else ""
        needed = f"{side}{_number(need.needed, need)}" if need.possible else "no value is enough alone"
        unit = f", {need.unit}" if need.unit else ""
        made.add_row(f"{need.text}{unit}", _number(need.usual, need), needed)
    return Padding(made, (0, 0, 0, _INDENT))


def _number(value: float, need: Need) -> str:
    return wording.digits(to_unit(value, need.measure, need.unit) if need.unit else value)


def _in(value: float, line: Line) -> float:
    return to_unit(value, line.measure, line.unit) if line.unit else value


def _stated(r: Range | None, line: Line) -> str:
    """A claimed figure as it was said, with its own ends where it has any."""
    if r is None:
        return ""
    low, centre, high = (_in(x, line) for x in (r.p10, r.central, r.p90))
    said = f"{centre:,.0f}" if abs(centre) >= 1000 else f"{centre:.3g}"
    return said if low == high else f"{said} ({low:.4g}–{high:.4g})"


def _modelled(r: Range | None, line: Line) -> str:
    if r is None:
        return ""
    low, centre, high = (wording.digits(_in(x, line)) for x in (r.p10, r.central, r.p90))
    return centre if low == high else f"{centre} ({low}–{high})"


def _indented(text: str, columns: int = _INDENT, style: str = "") -> RenderableType:
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text, style=style), (0, 0, 0, columns))
