"""A company's years in the terminal and as files: company.json and its charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scoville.report import theme, wording
from scoville.report.charts.company import charts
from scoville.report.folder import as_json, pictures, replaced
from scoville.study.answer import Driver
from scoville.study.company_answer import ClaimOutcome, CompanyAnswer, Fan
from scoville.units import to_unit

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

RESULT = "company.json"

# What is printed of each fan, in which unit: the group, its rows, and the words of a row where they are shorter.
_GROUPS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "Company", "USD, billions", "BUSD",
        ("revenue", "cost of revenue, all bought", "cost of revenue, with own chips", "research and development",
         "training compute", "other costs", "operating result, all bought", "operating result, with own chips"),
    ),
    (
        "Capital plan", "USD, billions", "BUSD",
        ("compute, all bought", "capital, all bought", "cost of own chips", "capital of own chips"),
    ),
    ("Power", "GW; own: at the end of the year", "GW", ("power of all compute", "own power in service")),
)  # fmt: skip


def write(answer: CompanyAnswer, folder: Path) -> list[Path]:
    """Write the answer into `folder` and return its files; an earlier result there is replaced when all is written.

    Raises StudyError where `folder` is a file, holds something that is no such result, or cannot be written.
    """
    with replaced(folder, RESULT) as new:
        (new / RESULT).write_text(as_json(answer), encoding="utf-8")
        specs = {name: theme.specification(chart) for name, chart in charts(answer).items()}
        names = [RESULT, *pictures(specs, new)]
    return [folder / name for name in names]


def show(answer: CompanyAnswer, console: Console) -> None:
    """Print the answer: findings, years, products, claims, checks, what decides, assumptions."""
    for part in parts(answer):
        console.print(part)


def parts(answer: CompanyAnswer) -> list[RenderableType]:
    """The answer as rich renderables, with empty lines between its parts."""
    from rich.padding import Padding
    from rich.text import Text

    shown: list[RenderableType] = [Text(answer.title, style="bold"), ""]
    for line in answer.findings:
        shown += [Text(line)]
    shown += ["", Text(f"P50 (P10–P90) of {answer.samples_count:,} samples, seed {answer.seed}; own chips as in the "
                       f"claim '{answer.claim}'.", style="dim")]  # fmt: skip
    for title, measure, unit, names in _GROUPS:
        shown += ["", _head(title, measure), _by_year(answer, [(n, answer.fan(n), unit) for n in names])]
    shown += ["", _head("Products", ""), _by_year(answer, _products(answer))]
    shown += ["", _head("What the chip saves", "USD, billions"), _savings(answer)]
    shown += ["", _head("Saving by share of inference on own chips, none idle", "P50, USD, billions"),
              _by_share(answer)]  # fmt: skip
    shown += ["", _head("Beside published figures", ""), _checks(answer)]
    shown += ["", _head("What decides", f"operating result of {answer.years[-1]}, USD, billions"),
              _drivers(answer.drivers)]  # fmt: skip
    shown += ["", _head("What decides the saving", f"of {answer.years[-1]}, USD, billions"),
              _drivers(answer.drivers_saving)]  # fmt: skip
    shown += ["", _head("Training against inference", ""), *(Text(line) for line in _overtaken(answer))]
    shown += ["", _head("Assumptions", "")]
    shown += [Padding(Text(line, style="dim"), (0, 0, 0, 2)) for line in answer.assumptions]
    shown += ["", _head("Sources", "")]
    return [*shown, *(Padding(Text(line, style="dim"), (0, 0, 0, 2)) for line in answer.sources)]


def _overtaken(answer: CompanyAnswer) -> tuple[str, str]:
    """Training against inference: over the life of one model, and of the whole company."""
    life, when = answer.life, f"by the end of {answer.overtakes_year}"
    if answer.overtakes_year is None:
        when = f"not by {answer.years[-1]}"
    trained, served = (wording.ranged(r, "BUSD") for r in (life.training, life.inference))
    lived, overtakes = (wording.ranged(r, "years") for r in (life.life, life.overtakes))
    return (
        f"A model released at the end of {answer.years[0]}: training {trained} BUSD, serving {served} BUSD in a life "
        f"of {lived} years; serving overtakes training after {overtakes} years, within its life in "
        f"{wording.percent(life.within_life_frac)} of the samples.",
        f"At central figures all inference since {answer.years[0]} has cost what all training has {when}.",
    )


def _head(title: str, measure: str) -> RenderableType:
    from rich.text import Text

    return Text.assemble((title, "bold"), (f"  {measure}" if measure else "", "dim"))


def _empty(first: str, heads: Sequence[str]) -> Table:
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    made.add_column(first, overflow="fold")
    for head in heads:
        made.add_column(head, justify="right")
    return made


def _by_year(answer: CompanyAnswer, rows: Sequence[tuple[str, Fan, str]]) -> Table:
    made = _empty("", [str(year) for year in answer.years])
    for name, fan, unit in rows:
        made.add_row(name, *(_cell(fan, i, unit) for i in range(len(answer.years))))
    return made


def _cell(fan: Fan, i: int, unit: str) -> str:
    low, middle, high = (_number(to_unit(x[i], fan.measure, unit)) for x in (fan.p10, fan.p50, fan.p90))
    return middle if low == high else f"{middle} ({low}–{high})"


def _number(value: float) -> str:
    """Three digits at most, no more than one after the point.

    >>> [_number(x) for x in (280.4, 13.07, 0.264, -0.01, 1234.0)]
    ['280', '13.1', '0.3', '0', '1,234']
    """
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
    return text.removeprefix("-").removesuffix(".0") if float(text.replace(",", "")) == 0 else text


def _products(answer: CompanyAnswer) -> list[tuple[str, Fan, str]]:
    units = {"revenue": ("BUSD", "BUSD"), "tokens": ("Ttokens", "trillions"), "price of a token": ("USD/Mtok",) * 2}
    rows = []
    for fan in answer.fans:
        what = fan.name.rpartition(": ")[2]
        if ": " in fan.name and what in units:
            rows.append((f"{fan.name}, {units[what][1]}", fan, units[what][0]))
    return [*rows, ("cost of a token, all bought, USD/Mtok", answer.fan("cost of a token, all bought"), "USD/Mtok")]


def _savings(answer: CompanyAnswer) -> Table:
    last = answer.years[-1]
    made = _empty("claim", ["ratio", *(str(y) for y in answer.years[1:]), f"on it, {last}", f"idle, {last}",
                            f"needed, {last}", f"profitable, {last}"])  # fmt: skip
    for c in answer.claims:
        years = (_cell(c.saving, i, "BUSD") for i in range(1, len(answer.years)))
        made.add_row(
            f"{c.name} ({c.said})", wording.ranged(c.ratio), *years, wording.percent(c.served.p50[-1]),
            wording.percent(c.idle.p50[-1]), _needed(c), wording.percent(c.profitable_frac),
        )  # fmt: skip
    made.add_row("without the chip", *[""] * (len(answer.years) + 3), wording.percent(answer.profitable_without_frac))
    return made


def _needed(c: ClaimOutcome) -> str:
    """The share of inference on the chip for a result of nil, at central figures."""
    return f"{100 * c.needed.central:.0f} %" if math.isfinite(c.needed.central) else "no share"


def _by_share(answer: CompanyAnswer) -> Table:
    made = _empty("claim", ["share", *(str(year) for year in answer.years)])
    for c in answer.claims:
        for k, at in enumerate(c.by_share):
            saved = (_number(to_unit(x, "usd", "BUSD")) for x in at.saving.p50)
            made.add_row("" if k else c.name, wording.percent(at.share_frac), *saved)
    return made


def _checks(answer: CompanyAnswer) -> Table:
    made = _empty("", ["computed (P10–P90)", "published", "unit", ""])
    for c in answer.checks:
        low, centre, high = (_number(to_unit(x, c.measure, c.unit)) for x in (c.computed.p10, c.computed.central,
                                                                              c.computed.p90))  # fmt: skip
        source = c.source.split(": ", 1)[1]
        made.add_row(
            c.what, f"{centre} ({low}–{high})", _number(to_unit(c.published, c.measure, c.unit)), c.unit, source
        )
    made.columns[-1].justify = "left"
    return made


def _drivers(drivers: Sequence[Driver]) -> Table:
    made = _empty("input", ["in its lowest tenth", "in its highest tenth", "of the variance"])
    for d in drivers:
        made.add_row(d.label, _number(d.at_low / 1e9), _number(d.at_high / 1e9), wording.percent(d.variance_share_frac))
    return made
