"""Tables of any heads as plain words, with a bar where parts add up: the terminal and the page show the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scoville.facts import Range
from scoville.report import wording
from scoville.report.grid import Cell, Head

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

_BAR_COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Row:
    """A line: its name, its cells, and its bar's end as a share of the table's longest (NaN: none).

    `strong` marks a sum or a winner.
    """

    name: str
    cells: tuple[Cell, ...]
    bar_frac: float = math.nan
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: `first` heads the names, `heads` the cells, `below` is said under it."""

    title: str
    measure: str
    first: str
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    below: tuple[str, ...] = ()

    @property
    def with_bars(self) -> bool:
        """Whether any row has a bar."""
        return any(math.isfinite(row.bar_frac) for row in self.rows)


def cell(r: Range, unit: str = "") -> Cell:
    """A range in that unit, its P10 and P90 in brackets."""
    return Cell(*wording.in_words(r, unit))


def breakdown(
    title: str,
    measure: str,
    parts: Sequence[tuple[str, Range]],
    total: tuple[str, Range],
    unit: str,
    below: Iterable[str] = (),
) -> Sheet:
    """Parts that add up to a total, with their ranges, shares and bars; parts of nothing are left out."""
    shown = [(name, r) for name, r in parts if r.central > 0 or r.p90 > 0]
    whole = total[1].central
    most = max((r.central for _, r in shown), default=0.0)
    rows = [
        Row(name, (cell(r, unit), Cell(wording.percent(r.central / whole))), r.central / most if most > 0 else math.nan)
        for name, r in shown
    ]
    rows.append(Row(total[0], (cell(total[1], unit), Cell("")), strong=True))
    return Sheet(title, measure, "", (Head("", "", unit), Head("", "share")), tuple(rows), tuple(below))


def rendered(sheet: Sheet, width: int) -> list[RenderableType]:
    """The sheet for a terminal of so many columns: head, table, what is said under it."""
    from rich.text import Text

    head = Text.assemble((sheet.title, "bold"), (f"  {sheet.measure}" if sheet.measure else "", "dim"))
    return [head, _fitting(sheet, width), *(Text(line, style="dim") for line in sheet.below)]


def _fitting(sheet: Sheet, width: int) -> RichTable:
    """Ranges beside their values, or under them where that is too wide."""
    from rich.console import Console

    beside = _table(sheet, stacked=False)
    fits = Console(width=10_000).measure(beside).maximum <= width
    return beside if fits else _table(sheet, stacked=True)


def _table(sheet: Sheet, stacked: bool) -> RichTable:
    from rich.table import Table
    from rich.text import Text

    headed = bool(sheet.first) or any(_head(h) for h in sheet.heads)
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=headed)
    made.add_column(sheet.first, overflow="fold")
    for head in sheet.heads:
        name = _head(head).replace(" per ", "\nper ") if stacked else _head(head)
        side: Literal["left", "right"] = "right" if head.numeric else "left"
        made.add_column(name, justify=side, overflow="fold", no_wrap=stacked and head.numeric)
    if sheet.with_bars:
        made.add_column("", no_wrap=True)
    for row in sheet.rows:
        cells = [_text(c, stacked) for c in row.cells]
        bar = [_bar(row.bar_frac)] if sheet.with_bars else []
        made.add_row(Text(row.name), *cells, *bar, style="bold" if row.strong else "")
    return made


def _head(head: Head) -> str:
    return ", ".join(part for part in (head.name, head.unit) if part)


def _text(c: Cell, stacked: bool) -> Text:
    from rich.text import Text

    words = Text(c.text, style="bold" if c.best else "")
    if c.bracket:
        words.append("\n" if stacked else " ").append(c.bracket, style="dim")
    return words


def _bar(frac: float) -> str:
    return "█" * max(1, round(frac * _BAR_COLUMNS)) if frac > 0 else ""
