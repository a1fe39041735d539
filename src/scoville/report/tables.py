"""The answer in the terminal: two tables, the findings, the waterfall, what it hangs on, and what to know about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from scoville.report import grid, theme, wording
from scoville.report.charts import hangs, margin
from scoville.study.answer import Answer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_GLYPH = {"filled": "●", "half": "◐", "hollow": "○"}
_BAR_COLUMNS = 32
_LIMIT_COLUMNS = 11


def show(answer: Answer, console: Console) -> None:
    """Print the whole answer, fitted to the width of the console."""
    for part in parts(answer, console.width):
        console.print(part)


def parts(answer: Answer, width: int) -> list[RenderableType]:
    """The answer as rich renderables in the order of the page, with empty lines between its parts.

    `width` (columns) decides how the tables are laid out; no cell is ever cut short.
    """
    from rich.text import Text

    shown: list[RenderableType] = [Text(answer.title, style="bold"), *(_quiet(line) for line in circumstances(answer))]
    if answer.user_facts:
        shown += ["", Text(notice(answer), style="bold")]
    shown += ["", *(Text(finding) for finding in answer.findings)]
    does, costs, replays = grid.does(answer), grid.costs(answer), grid.replays(answer)
    shown += ["", _heading(does), ""]
    shown += [_fitting((lambda: _table(does, stacked=False), lambda: _folded(does)), width)]
    shown += ["", _heading(costs), ""]
    layouts = (lambda: _table(costs, stacked=False), lambda: _by_tenure(costs, stacked=False))
    shown += [_fitting((*layouts, lambda: _by_tenure(costs, stacked=True)), width), ""]
    shown += [Text(f"{line.name}: {line.refusal.rstrip('.')}.") for line in does.lines if line.refusal]
    shown += [_quiet(line) for line in (legend(answer), grid.LIMIT, *grid.bases(answer))]
    if replays is not None:
        layouts = (lambda: _table(replays, stacked=False), lambda: _narrow(replays))
        shown += ["", _heading(replays), "", _fitting(layouts, width), "", _quiet(grid.REPLAYS)]
    if answer.waterfall is not None and answer.waterfall.layers:
        name = wording.name_of(answer, answer.waterfall.accelerator)
        shown += ["", _head(f"Who gets what of a token on {name}, bought", "USD per million tokens"), "", _fall(answer)]
    if answer.drivers:
        shown += ["", _head("What it hangs on", answer.driver_outcome), "", _drivers(answer)]
    notes = grid.footnotes(answer)
    if notes:
        shown += ["", _head("Notes", ""), *(_note(note) for note in notes)]
    if answer.approximations:
        shown += ["", _head("Approximations", ""), *(_note(line) for line in answer.approximations)]
    return shown


def circumstances(answer: Answer) -> tuple[str, ...]:
    """What was asked, a line for each part of it."""
    owner = f", {answer.owner}" if answer.owner else ""
    per_day = wording.plain(answer.demand_tokens_per_s * 86400 / 1e9)
    return (
        f"Traffic: {answer.traffic}",
        f"Demand: {per_day} billion tokens a day, peak {wording.plain(answer.peak_to_average_frac)} times the average",
        f"Model: {answer.model}; {answer.precision}",
        f"Targets: {answer.targets}",
        f"Prices: {answer.vintage}{owner}; {answer.samples_count:,} samples, seed {answer.seed}",
    )


def notice(answer: Answer) -> str:
    """That the result rests on facts of the user's own, and on which."""
    return f"This result uses your own facts: {'; '.join(answer.user_facts)}."


def legend(answer: Answer) -> str:
    """What brackets and marks mean, for the shapes that occur."""
    present = {theme.evidence_shape(row.evidence) for row in answer.rows}
    shapes = ", ".join(f"{_GLYPH[s]} {words}" for s, words in theme.EVIDENCE_WORDS.items() if s in present)
    return f"In brackets P10–P90 of {answer.samples_count:,} samples. Timing: {shapes}."


def _heading(table: grid.Grid) -> Text:
    groups = list(dict.fromkeys(head.group for head in table.heads if head.group))
    units = {head.unit for head in table.heads if head.group}
    return _head(table.title, ", ".join([*units, wording.listed(groups)]) if groups else "")


def _head(title: str, measure: str) -> Text:
    from rich.text import Text

    return Text.assemble((title, "bold"), (f"  {measure}" if measure else "", "dim"))


def _quiet(line: str) -> Text:
    from rich.text import Text

    return Text(line, style="dim")


def _note(line: str) -> RenderableType:
    from rich.padding import Padding

    return Padding(_quiet(line), (0, 0, 0, 2))


def _fitting(candidates: Sequence[Callable[[], Table]], width: int) -> Table:
    """The first of the layouts that fits; the last one where none does."""
    from rich.console import Console

    ruler = Console(width=10_000)
    for layout in candidates[:-1]:
        if ruler.measure(made := layout()).maximum <= width:
            return made
    return candidates[-1]()


def _empty(stacked: bool) -> Table:
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 1 if stacked else 2, 0, 0), header_style="bold", leading=stacked)
    made.add_column("chip", overflow="fold")
    return made


def _table(table: grid.Grid, stacked: bool) -> Table:
    """A row for each accelerator, ranges beside their values, or under them."""
    made = _empty(stacked)
    for head in table.heads:
        name = "\n".join(part for part in (head.group, head.name + ("" if head.group else _unit(head))) if part)
        name = name.replace(" targets", "\ntargets")
        made.add_column(name, justify="right" if head.numeric else "left", overflow="fold")
    for line in table.lines:
        cells = _refused(line, len(table.heads)) if line.refusal else line.cells
        made.add_row(
            _chip(line), *(_cell(c, stacked or not h.numeric) for c, h in zip(cells, table.heads, strict=True))
        )
    return made


def _folded(table: grid.Grid) -> Table:
    """What it does on a narrow screen: the deployment under the chip, the share that meets targets under the limit."""
    made = _empty(stacked=True)
    heads = table.heads
    made.columns[0].header = f"chip,\n{heads[0].name}, {heads[1].name}"
    for head in heads[2:6]:
        made.add_column(head.name.replace(" per ", "\nper ") + _unit(head), justify="right", no_wrap=True)
    made.add_column(f"{heads[6].name},\n{heads[7].name}", overflow="fold", max_width=_LIMIT_COLUMNS)
    for line in table.lines:
        cells = _refused(line, len(heads)) if line.refusal else line.cells
        how = "none" if line.refusal else f"{cells[0].text}, {heads[1].name} {cells[1].text}"
        last = _cell(cells[6], True).append(f"\n{cells[7].text}" if cells[7].text else "")
        made.add_row(_chip(line, how), *(_cell(c, True) for c in cells[2:6]), last)
    return made


def _narrow(table: grid.Grid) -> Table:
    """The deployment under the chip, each word of a head on a line of its own."""
    made = _empty(stacked=True)
    made.columns[0].header = f"chip,\n{table.heads[0].name}"
    for head in table.heads[1:]:
        made.add_column((head.name + _unit(head)).replace(" ", "\n"), justify="right", no_wrap=True)
    for line in table.lines:
        made.add_row(_chip(line, line.cells[0].text), *(_cell(c, True) for c in line.cells[1:]))
    return made


def _by_tenure(table: grid.Grid, stacked: bool) -> Table:
    """What it costs on a narrow screen: a line for each tenure of an accelerator."""
    made = _empty(stacked)
    groups = list(dict.fromkeys(head.group for head in table.heads))
    size = len(table.heads) // len(groups)
    made.add_column("")
    for head in table.heads[:size]:
        made.add_column(head.name, justify="right", overflow="fold")
    for line in table.lines:
        cells = _refused(line, len(table.heads)) if line.refusal else line.cells
        for i, group in enumerate(groups):
            if line.refusal:
                made.add_row(_chip(line), "none", *[""] * size)
                break
            part = cells[i * size : (i + 1) * size]
            name = _chip(line, with_marks=False) if i == 0 else ""
            made.add_row(name, group, *(_cell(c, stacked) for c in part))
        for mark in line.marks:
            made.add_row("", "", *[""] * (size - 1), _mark(mark))
    return made


def _unit(head: grid.Head) -> str:
    return f", {head.unit}" if head.unit else ""


def _refused(line: grid.Line, columns: int) -> tuple[grid.Cell, ...]:
    return (grid.Cell("none"), *[grid.Cell("")] * (columns - 1))


def _mark(mark: str) -> Text:
    from rich.text import Text

    return Text(mark, style="bold green")


def _chip(line: grid.Line, how: str = "", with_marks: bool = True) -> Text:
    from rich.text import Text

    chip = Text(f"{_GLYPH[line.shape]} {line.name}")
    if how:
        chip.append(f"\n  {how}", style="dim")
    for mark in line.marks if with_marks else ():
        chip.append("\n  ").append(_mark(mark))
    if line.caveat:
        chip.append(f"\n  {line.caveat}", style="dim")
    return chip


def _cell(cell: grid.Cell, stacked: bool) -> Text:
    from rich.text import Text

    text = Text(cell.text, style="bold" if cell.best else "")
    if cell.bracket:
        text.append("\n" if stacked else " ").append(cell.bracket, style="dim")
    return text


def _fall(answer: Answer) -> Table:
    from rich.table import Table
    from rich.text import Text

    fall = answer.waterfall
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column("layer")
    made.add_column("cost", justify="right", no_wrap=True)
    made.add_column("share", justify="right", no_wrap=True)
    made.add_column("bar", no_wrap=True)
    if fall is None:
        return made
    start = 0.0
    for layer in fall.layers:
        bar = _bar(start, layer.cost.central, fall.total.central)
        made.add_row(Text(layer.name), wording.ranged(layer.cost, "USD/Mtok"), margin.share(layer.cost, fall), bar)
        start += layer.cost.central
    whole = _bar(0.0, fall.total.central, fall.total.central)
    made.add_row(Text(margin.TOTAL), wording.ranged(fall.total, "USD/Mtok"), "", whole, style="bold")
    return made


def _bar(start: float, length: float, total: float) -> str:
    """A bar of the waterfall from `start` on; at least one cell, so that no layer vanishes."""
    if not (total > 0 and length > 0):
        return ""
    first = min(round(start / total * _BAR_COLUMNS), _BAR_COLUMNS - 1)
    last = min(max(round((start + length) / total * _BAR_COLUMNS), first + 1), _BAR_COLUMNS)
    return " " * first + "█" * (last - first)


def _drivers(answer: Answer) -> Table:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("input", "in its lowest tenth", "in its highest tenth", "of the variance"):
        made.add_column(name, justify="left" if name == "input" else "right")
    for d in hangs.ranked(answer):
        low, high = (wording.digits(hangs.outcome(d, value)) for value in (d.at_low, d.at_high))
        made.add_row(Text(wording.driver(answer, d.label)), low, high, wording.percent(d.variance_share_frac))
    return made
