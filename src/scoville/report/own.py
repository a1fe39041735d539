"""An answer about owning in the terminal: findings, then a table for each question, then what is taken for granted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scoville.facts import Range
from scoville.report import theme
from scoville.report.charts.own import charts
from scoville.report.folder import as_json, pictures, replaced
from scoville.report.wording import UNKNOWN, digits, plain
from scoville.study.lines import percent
from scoville.study.own_answer import OptionRow, OwnAnswer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

Rows = Sequence[Sequence[str]]
RESULT = "own.json"


def write(answer: OwnAnswer, folder: Path) -> list[Path]:
    """Write own.json and charts into `folder` and return its files; an earlier result there is replaced.

    Raises StudyError where `folder` is a file, holds something that is no such result, or cannot be written.
    """
    with replaced(folder, RESULT) as new:
        (new / RESULT).write_text(as_json(answer), encoding="utf-8")
        names = [RESULT, *pictures({n: theme.specification(c) for n, c in charts(answer).items()}, new)]
    return [folder / name for name in names]


def show(answer: OwnAnswer, console: Console) -> None:
    """Print the whole answer, fitted to the width of the console."""
    for part in parts(answer):
        console.print(part)


def parts(answer: OwnAnswer) -> list[RenderableType]:
    """The answer as rich renderables, with empty lines between them."""
    from rich.text import Text

    shown: list[RenderableType] = [Text(answer.title, style="bold")]
    shown += [Text(line, style="dim") for line in circumstances(answer)]
    shown += ["", *(Text(line) for line in answer.findings)]
    for title, measure, heads, rows in tables(answer):
        if rows:
            shown += ["", Text.assemble((title, "bold"), (f"  {measure}", "dim")), _table(heads, rows)]
    if answer.schedule:
        shown += ["", Text("Programmes", style="bold"), *(Text(line) for line in answer.schedule)]
    shown += ["", Text("Assumptions", style="bold")]
    return [*shown, *(Text(line, style="dim") for line in answer.assumptions)]


def circumstances(answer: OwnAnswer) -> tuple[str, ...]:
    """What was asked, in a line each."""
    first, last = (plain(x * 86400 / 1e12) for x in (answer.demand_tokens_per_s[1], answer.demand_tokens_per_s[-1]))
    return (
        f"Demand: {first} trillion tokens a day in {answer.quarters[1]}, {last} in {answer.quarters[-1]}",
        *(
            f"{c.name}: {plain(c.tokens.central)} tokens/s ({plain(c.tokens.p10)}–{plain(c.tokens.p90)}), {c.basis}"
            for c in answer.chips
        ),
        f"Decided in {answer.quarters[0]} by a {answer.owner}; {answer.samples_count:,} samples, seed {answer.seed}",
    )


def tables(answer: OwnAnswer) -> list[tuple[str, str, Sequence[str], Rows]]:
    """Title, measure, heads and cells of every table, in the order of the page."""
    names = [o.name for o in answer.options]
    return [
        (
            "What each option comes to", "MUSD of present value after tax, P10–P90 in brackets",
            ("option", "NPV", "mean", f"against {names[0]}", "USD/Mtok", "cheapest in", "pays back", "IRR, %"),
            [_option(o) for o in answer.options],
        ),
        (
            "What it takes", "at the most",
            ("option", "chips", "of them owned", "MW", "idle", "overtakes training"),
            [
                (
                    o.name, f"{o.peak_chips_count:,.0f}", f"{o.peak_owned_count:,.0f}", digits(o.most_power_w / 1e6),
                    percent(o.idle_frac), o.overtakes or UNKNOWN,
                )
                for o in answer.options
            ],
        ),
        (
            "When building breaks even", "tokens a day of the first quarter, chips, share of what is said of the chip",
            ("option", "against", "Ttokens/day", "own chips", "share of the claim", ""),
            [
                (
                    b.option, b.against, _or(b.demand_tokens_per_s * 86400 / 1e12), _or(b.chips_count),
                    percent(b.claim_frac) if math.isfinite(b.claim_frac) else UNKNOWN,
                    "; ".join(note for note in (b.volume_note, b.claim_note) if note),
                )
                for b in answer.break_even
            ],
        ),
        (
            f"Regret: least at its worst is {answer.least_regret}", "MUSD above the best option of the scenario",
            ("scenario", *names),
            [(r.scenario, *(digits(x / 1e6) for x in r.regret_usd)) for r in answer.regret],
        ),
        (
            "Rights to stop and to wait", "MUSD after tax",
            ("option", "against", "committed", "free to stop", "free to wait too", "stopping adds", "waiting adds"),
            [
                (c.option, c.against, *(
                    digits(x / 1e6)
                    for x in (c.committed_usd, c.stopping_usd, c.waiting_usd, c.abandonment_usd, c.deferral_usd)
                ))
                for c in answer.choices
            ],
        ),
        (
            "Who gets it", "present value before taxes and resale",
            ("option", "receiver", "MUSD", "share"),
            [(r.option, r.receiver, digits(r.usd / 1e6), percent(max(r.share_frac, 0.0))) for r in answer.receivers],
        ),
        (
            "Cash flows", "MUSD of present value by line",
            ("option", "line", "MUSD"),
            [(x.option, x.line, digits(x.present_usd / 1e6)) for x in answer.lines],
        ),
    ]  # fmt: skip


def _option(o: OptionRow) -> tuple[str, ...]:
    rates = ", ".join(digits(r * 100) for r in o.rates_frac)
    return (
        o.name, _range(o.npv, 1e6), digits(o.mean_npv_usd / 1e6), _range(o.against, 1e6), _range(o.per_token, 1e-6),
        percent(o.cheapest_frac), o.pays_back or UNKNOWN, rates or UNKNOWN,
    )  # fmt: skip


def _range(r: Range, unit: float) -> str:
    if r.central == r.p10 == r.p90 == 0:
        return UNKNOWN
    return f"{digits(r.central / unit)} ({digits(r.p10 / unit)} to {digits(r.p90 / unit)})"


def _or(value: float) -> str:
    return digits(value) if math.isfinite(value) else UNKNOWN


def _table(heads: Sequence[str], rows: Rows) -> Table:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    words = {"option", "against", "receiver", "scenario", "line", "", "pays back", "overtakes training"}
    for head in heads:
        made.add_column(head, justify="left" if head in words else "right", overflow="fold")
    before = ""
    for row in rows:
        first, before = ("" if row[0] == before else row[0]), row[0]
        made.add_row(Text(first), *(Text(cell) for cell in row[1:]))
    return made
