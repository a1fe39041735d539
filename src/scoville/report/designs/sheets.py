"""The tables of a search: what was tried, the best design beside bought chips, what it hangs on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scoville.facts import Range
from scoville.report import sheet, wording
from scoville.report.charts.regret import words as regret_words
from scoville.report.designs import wording as said
from scoville.report.grid import Cell, Head
from scoville.report.sheet import Row, Sheet
from scoville.search.answer import Answer, Finalist
from scoville.search.deployed import Deployed
from scoville.units import to_unit

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_MOST_ROWS = 12
_HIDDEN = ""  # a cell that has nothing to say


def show(answer: Answer, console: Console, user_facts: Sequence[str] = ()) -> None:
    """Print the whole answer in the order of the page, and which facts of the user's own it rests on."""
    for part in parts(answer, console.width, user_facts):
        console.print(part)


def parts(answer: Answer, width: int, user_facts: Sequence[str] = ()) -> list[RenderableType]:
    """The answer as rich renderables, with empty lines between its parts."""
    from rich.padding import Padding
    from rich.text import Text

    shown: list[RenderableType] = [Text(answer.title, style="bold")]
    shown += [Text(f"{name}: {words}", style="dim") for name, words in said.circumstances(answer)]
    if user_facts:
        shown.append(Text(said.notice(user_facts), style="bold"))
    shown += ["", *(Text(finding) for finding in said.findings(answer))]
    for made in sheets(answer):
        shown += ["", *sheet.rendered(made, width)]
    if answer.approximations:
        shown += ["", Text("Approximations", style="bold")]
        shown += [Padding(Text(line, style="dim"), (0, 0, 0, 2)) for line in answer.approximations]
    return shown


def sheets(answer: Answer) -> tuple[Sheet, ...]:
    """Every table that the answer has something for, in order."""
    made = (
        tried(answer), beside(answer), finalists(answer), best(answer), front(answer), marginals(answer),
        parameters(answer), shifts(answer), regrets(answer), reuse(answer), supply(answer),
    )  # fmt: skip
    return tuple(s for s in made if s.rows)


def tried(answer: Answer) -> Sheet:
    """Which limit rules out how many points."""
    most = max((n for _, n in answer.broken), default=0)
    rows = [
        Row(name, (Cell(f"{n:,}"), Cell(wording.percent(n / answer.points_count))), n / most if most else math.nan)
        for name, n in sorted(answer.broken, key=lambda item: -item[1])
        if n > 0
    ]
    feasible = Cell(f"{answer.feasible_count:,}"), Cell(wording.percent(answer.feasible_count / answer.points_count))
    rows.append(Row("within all limits", feasible, strong=True))
    heads = (Head("", "points"), Head("", "of all"))
    below = "A point may break more than one limit." if most else ""
    return Sheet("What limits rule out", "", "limit", heads, tuple(rows), (below,) if below else ())


def beside(answer: Answer) -> Sheet:
    """The best design beside the bought chips and the reference, each at its own best under the same load."""
    several = len(answer.served) > 1
    heads = (
        *((Head("", "serves", numeric=False),) if several else ()),
        Head("", "parallelism", numeric=False), Head("", "batch"), Head("", "tokens/s per chip"),
        Head("", "tokens/s per user"), Head("", "J per token"), Head("", "USD per chip-hour"),
        Head("", "USD per million tokens"),
    )  # fmt: skip
    rows: list[Row] = []
    won = said.winning(answer)
    if won is not None:
        rows += _chip(f"{won.designed.name} (designed)", won.deployed, won.mix, several, True)
    for b in answer.bought:
        name = f"{b.name} (reference)" if b.reference else b.name
        rows += _chip(name, b.deployed, b.mix, several, False)
    below = [
        f"{said.brackets(answer)} Costs are owned, input and output together, the design's with its share of the "
        "one-time cost, at the highest load that a replay holds under the targets.",
        *(f"{b.name}: {b.refusal.rstrip('.')}." for b in answer.bought if b.refusal),
    ]
    return Sheet("The best design beside bought chips", "", "chip", heads, tuple(rows), tuple(below))


def _chip(name: str, deployed: tuple[Deployed, ...], mix: Range | None, several: bool, strong: bool) -> list[Row]:
    rows = [
        Row(name if i == 0 else "", _deployed(d, several), strong=strong and not several)
        for i, d in enumerate(deployed)
    ]
    if several:
        cost = sheet.cell(mix, said.UNIT) if mix else Cell("none")
        rows.append(Row("", (Cell(said.MIX), *[Cell(_HIDDEN)] * 6, cost), strong=strong))
    return rows


def _deployed(d: Deployed, several: bool) -> tuple[Cell, ...]:
    start = (Cell(d.serve),) if several else ()
    if d.tokens_per_s_per_chip is None or d.hourly is None or d.usd_per_token is None:
        return (*start, Cell("none"), *[Cell(_HIDDEN)] * 6)
    return (
        *start,
        Cell(d.parallelism),
        Cell(f"{d.batch_count:,.0f}"),
        sheet.cell(d.tokens_per_s_per_chip),
        Cell(wording.digits(d.tokens_per_s_per_user)),
        Cell(wording.digits(d.energy_j_per_token)),
        sheet.cell(d.hourly),
        sheet.cell(d.usd_per_token, said.UNIT),
    )


def best(answer: Answer) -> Sheet:
    """What the best design is made of."""
    made = said.winner(answer)
    rows = [Row(s.key, (Cell(s.words),)) for s in made.settings]
    rows += [
        Row("compute die", (Cell(f"{wording.plain(made.compute_die_mm2)} mm2"),)),
        *((Row("I/O die", (Cell(f"{wording.plain(made.io_die_mm2)} mm2"),)),) if made.io_die_mm2 > 0 else ()),
        Row("TDP", (Cell(f"{wording.plain(made.tdp_w)} W"),)),
    ]
    return Sheet("The best design", made.name, "", (Head("", "", numeric=False),), tuple(rows))


def finalists(answer: Answer) -> Sheet:
    """The sweep's cost against the simulated one, for each design that was simulated."""
    heads = (Head("", "sweep"), Head("", "simulated"), Head("", "off"), Head("", "deployment", numeric=False))
    rows = tuple(_finalist(answer, f) for f in answer.finalists)
    off = [abs(f.off_frac) for f in answer.finalists if f.off_frac is not None]
    below: tuple[str, ...] = ()
    if off:
        mean, worst = wording.percent(sum(off) / len(off)), wording.percent(max(off))
        below = (f"The simulated cost is off the sweep's by {mean} in the mean, {worst} at worst.",)
    return Sheet("Finalists, simulated", "USD per million tokens of the mix", "design", heads, rows, below)


def _finalist(answer: Answer, f: Finalist) -> Row:
    coarse = Cell(said.usd_per_mtok(f.coarse_usd_per_token))
    if f.mix is None or f.off_frac is None:
        return Row(f.designed.name, (coarse, Cell("none"), Cell(_HIDDEN), Cell(f.refusal.rstrip("."))))
    how = ", ".join(
        said.deployment(d.serve, len(answer.served), d.parallelism, d.batch_count) for d in f.deployed if d.parallelism
    )
    won = said.winning(answer) is f
    return Row(
        f.designed.name, (coarse, sheet.cell(f.mix, said.UNIT), Cell(_signed(f.off_frac)), Cell(how)), strong=won
    )


def front(answer: Answer) -> Sheet:
    """The cheapest and the thriftiest point at each speed."""
    several = len(answer.served) > 1
    heads = (
        Head("", "USD per million tokens"), Head("", "J per token"), Head("", "as", numeric=False),
        Head("", "least J per token"), Head("", "at USD per million tokens"),
    )  # fmt: skip
    rows = []
    for at in answer.at_speed:
        name = f"{wording.plain(at.tokens_per_s_per_user)} tokens/s"
        name = f"{at.serve}, {name}" if several else name
        if at.cheapest is None or at.thriftiest is None:
            rows.append(Row(name, (Cell("none is so quick"), *[Cell(_HIDDEN)] * 4)))
            continue
        cheap, thrifty = at.cheapest, at.thriftiest
        cells = (
            said.usd_per_mtok(cheap.loaded_usd_per_token), wording.digits(cheap.energy_j_per_token), said.at(cheap),
            wording.digits(thrifty.energy_j_per_token), said.usd_per_mtok(thrifty.loaded_usd_per_token),
        )  # fmt: skip
        rows.append(Row(name, tuple(Cell(c) for c in cells)))
    count = f"{len(answer.fronts):,} points on the exact front"
    below = ("A joule per token is a watt per token/s. Costs are the sweep's, with the one-time cost.",)
    return Sheet("What a speed per user costs", count, "a user gets at least", heads, tuple(rows), below)


def marginals(answer: Answer) -> Sheet:
    """What a mm2 buys."""
    heads = (
        Head("", "a step"), Head("", "mm2"), Head("", "a step more", "USD/Mtok"), Head("", "a step less", "USD/Mtok"),
        Head("", "cost by 1 % more silicon"),
    )  # fmt: skip
    rows = []
    for m in answer.marginals:
        cells = (
            m.step,
            wording.UNKNOWN if m.more_mm2 is None else wording.digits(m.more_mm2),
            _change(m.more_usd_per_token),
            _change(m.less_usd_per_token),
            wording.UNKNOWN if m.relative_frac is None else _signed(m.relative_frac, 2),
        )
        name = f"{m.block} ({m.forbidden})" if m.forbidden else m.block
        rows.append(Row(name, tuple(Cell(c) for c in cells)))
    below = ("Costs of the mix by the sweep, mapping and batch chosen anew; less is better.",)
    return Sheet("What each mm2 buys", f"around {_swept(answer)}", "block", heads, tuple(rows), below)


def parameters(answer: Answer) -> Sheet:
    """How much each choice moves the cost."""
    ranked = sorted(answer.parameters, key=lambda p: -p.moves_frac)[:_MOST_ROWS]
    most = max((p.moves_frac for p in ranked), default=0.0)
    rows = tuple(
        Row(
            p.key,
            (Cell(p.best), Cell(p.worst), Cell(_signed(p.moves_frac))),
            p.moves_frac / most if most > 0 else math.nan,
        )
        for p in ranked
    )
    heads = (Head("", "best"), Head("", "worst"), Head("", "costs more"))
    below = ("The least cost of the mix at the worst value over that at the best, all else at its best for each.",)
    return Sheet("What the choice hangs on", "", "choice", heads, rows, below)


def shifts(answer: Answer) -> Sheet:
    """How the optimum moves with prices and volume."""
    heads = (
        Head("", "times"), Head("", answer.best.name, "USD/Mtok"), Head("", "the optimum then", "USD/Mtok"),
        Head("", "and differs in", numeric=False),
    )  # fmt: skip
    rows = tuple(
        Row(
            s.what,
            (
                Cell(wording.plain(s.factor_frac)),
                Cell(said.usd_per_mtok(s.stays_usd_per_token)),
                Cell(said.usd_per_mtok(s.usd_per_token)),
                Cell(", ".join(s.changes) or "nothing"),
            ),
        )
        for s in answer.shifts
    )
    return Sheet("The optimum under other prices", f"beside {_swept(answer)}", "what changes", heads, rows)


def _swept(answer: Answer) -> str:
    """The sweep's cheapest design, which need not be the simulator's."""
    return f"{answer.best.name}, the cheapest by the sweep"


def regrets(answer: Answer) -> Sheet:
    """What a chip made for one thing costs on the others."""
    names = [s.name for s in answer.served]
    if len(names) < 2:
        return Sheet("The regret of specialising", "", "", (), ())
    by_pair = {(r.made_for, r.serve): r for r in answer.regrets}
    made_for = list(dict.fromkeys(r.made_for for r in answer.regrets))
    rows = tuple(
        Row(f"made for {m}", tuple(Cell(regret_words(by_pair[m, s].over_own_frac)) for s in names)) for m in made_for
    )
    below = ("Cost of a token over that on the chip made for it, by the sweep, with the one-time cost.",)
    heads = tuple(Head("", f"serves {name}") for name in names)
    return Sheet("The regret of specialising", "", "chip", heads, rows, below)


def reuse(answer: Answer) -> Sheet:
    """What one design for two generations saves."""
    heads = (
        Head("", "one design", "USD/Mtok"), Head("", "a design each", "USD/Mtok"), Head("", "saves"),
    )  # fmt: skip
    rows = tuple(
        Row(
            f"{r.now}, then {r.next}",
            (
                Cell(said.usd_per_mtok(r.shared_usd_per_token)),
                Cell(said.usd_per_mtok(r.apart_usd_per_token)),
                Cell(_signed(r.saved_frac)),
            ),
        )
        for r in answer.reuse
    )
    return Sheet("One design for two generations", "", "generations", heads, rows)


def supply(answer: Answer) -> Sheet:
    """What can be had of it."""
    bound = answer.supply
    rows = (
        Row("asked", (Cell(f"{bound.wanted_count:,.0f}"),)),
        Row("supply allows", (Cell(f"{bound.allowed_count:,.0f}" if math.isfinite(bound.allowed_count) else "all"),)),
    )
    return Sheet("Supply", bound.by, "", (Head("", "chips"),), rows, (bound.words,) if bound.words else ())


def _signed(frac: float, places: int = 0) -> str:
    return "cannot" if math.isinf(frac) else f"{100 * frac:+.{places}f} %"


def _change(usd_per_token: float | None) -> str:
    if usd_per_token is None:
        return wording.UNKNOWN
    value = to_unit(usd_per_token, "usd_per_token", said.UNIT)
    return f"{'+' if value > 0 else ''}{wording.digits(value)}"
