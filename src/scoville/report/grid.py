"""The two tables of an answer as plain words, one line per accelerator: the terminal and the page show the same."""

from __future__ import annotations

from dataclasses import dataclass

from scoville.facts import Range
from scoville.report import theme, wording
from scoville.study.answer import Answer, Price, Row

LIMIT = (
    "Limit: what stops a larger batch or a higher load; in brackets, where it differs, what takes most of a step. "
    "Cheapest in: share of the samples in which no other chip is cheaper that way."
)
REPLAYS = (
    "Replayed: the highest load at which the requests meet both targets as they come in the trace; at random times: "
    "the same requests without its rushes and lulls; steady state: the estimate that picks the deployments. Latencies "
    "and the share of requests that are preempted are of the replay. Tables and charts show the replay's figures, the "
    "batch as the mean number of sequences in decode, and the steady state's where there is none."
)
NOT_REPLAYED = "steady state, no replay"
_PRICES = {"rent": "rented", "own": "owned"}


@dataclass(frozen=True, slots=True)
class Head:
    """A column: its group ("rented, USD per million tokens" or ""), name, unit, and whether it holds numbers."""

    group: str
    name: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """A value with its range in brackets; `heat` is a colour for a cost per token, `best` marks the cheapest.

    `behind` names the list of facts that the value rests on ("" for none); only the page shows them.
    """

    text: str
    bracket: str = ""
    heat: str = ""
    best: bool = False
    behind: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One accelerator; `refusal` stands in place of `cells` where no deployment was found.

    `caveat` says in few words that its figures are of another making than those of the other lines.
    """

    accelerator: str
    name: str
    shape: str  # filled | half | hollow: the evidence of its timing
    marks: tuple[str, ...]  # ("cheapest to own",)
    cells: tuple[Cell, ...]
    refusal: str
    caveat: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: its first column is always the chip, the others are `heads`."""

    title: str
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]


def does(answer: Answer) -> Grid:
    """What it does: the deployment chosen on each accelerator, its speed, the fleet, what binds."""
    heads = (
        Head("", "parallelism", numeric=False),
        Head("", "batch"),
        Head("", "tokens/s per chip"),
        Head("", "tokens/s per user"),
        Head("", "chips"),
        Head("", "power", "MW"),
        Head("", "limit", numeric=False),
        Head("", "meets targets"),
    )
    return Grid("What it does", heads, tuple(_line(row, answer, _deployment(row)) for row in answer.rows))


def costs(answer: Answer) -> Grid:
    """What it costs, rented and owned: input, cached input where the traffic has any, output and all tokens; and in
    which share of the samples the chip is the cheapest that way.
    """
    domain = theme.heat_domain(answer)
    cached = any(p.cached_input for row in answer.rows for p in (row.rent, row.own) if p)
    kinds = ("input", *(("cached input",) if cached else ()), "output", "all", "cheapest in")
    heads = tuple(Head(words, kind, "USD per million tokens") for words in _PRICES.values() for kind in kinds)
    lines = []
    for row in answer.rows:
        cells: list[Cell] = []
        for tenure in _PRICES:
            best = (answer.cheapest_rent if tenure == "rent" else answer.cheapest_own) == row.accelerator
            behind = f"price-{tenure}-{row.accelerator}"
            cells += _price(wording.price(row, tenure), len(kinds), cached, domain, best, behind)
        lines.append(_line(row, answer, cells))
    return Grid("What it costs", heads, tuple(lines))


def replays(answer: Answer) -> Grid | None:
    """Where the replay and the steady state differ, a line for each deployment; None where none was replayed."""
    rows = [row for row in answer.rows if not row.refusal]
    if not any(row.replayed for row in rows):
        return None
    heads = (
        Head("", "parallelism", numeric=False),
        Head("", "replayed", "tokens/s per chip"),
        Head("", "at random times"),
        Head("", "steady state"),
        Head("", "of steady", "%"),
        Head("", f"TTFT P{answer.percentile_ttft_frac * 100:g}", "s"),
        Head("", f"TPOT P{answer.percentile_tpot_frac * 100:g}", "ms"),
        Head("", "preempted"),
    )
    return Grid("Where the replay and the steady state differ", heads, tuple(_replay(row) for row in rows))


def _replay(row: Row) -> Line:
    r, steady = row.replayed, row.tokens_per_s_per_chip
    if r is not None:
        numbers = [
            wording.digits(r.tokens_per_s_per_chip),
            wording.digits(r.random_tokens_per_s_per_chip),
            wording.digits(r.steady_tokens_per_s_per_chip),
            wording.whole(100 * r.of_steady_frac),
            wording.digits(r.ttft_percentile_s),
            wording.digits(1e3 * r.tpot_percentile_s),
            wording.percent(r.preempted_frac),
        ]
    else:
        rate = wording.digits(steady.central) if steady else wording.UNKNOWN
        numbers = ["none", wording.UNKNOWN, rate, *[wording.UNKNOWN] * 4]
    cells = (Cell(row.parallelism), *(Cell(number) for number in numbers))
    return Line(row.accelerator, row.name, theme.evidence_shape(row.evidence), (), cells, "")


def footnotes(answer: Answer) -> tuple[str, ...]:
    """What is particular to single accelerators, each said once with the chips it holds for; then the waterfall's."""
    holds: dict[str, list[str]] = {}
    for row in answer.rows:
        if row.refusal:
            continue
        own = [
            f"rent {wording.NOT_OFFERED} ({row.not_rented})" if row.not_rented and row.rent is None else "",
            f"no owner's cost ({row.not_owned})" if row.not_owned and row.own is None else "",
            f"computes in {row.computes_in}" if row.computes_in else "",
            f"replayed with {row.replayed.requests}" if row.replayed else "",
            f"the steady state stands, without a replay: {row.not_replayed}" if row.not_replayed else "",
            *row.notes,
            *(note for p in (row.rent, row.own) if p for note in p.notes),
        ]
        for note in dict.fromkeys(note.rstrip(".") for note in own if note):
            holds.setdefault(note, []).append(row.name)
    every = sum(not row.refusal for row in answer.rows)
    notes = [
        f"{'All chips' if len(names) == every > 1 else wording.listed(names)}: {note}." for note, names in holds.items()
    ]
    fall = answer.waterfall.notes if answer.waterfall else ()
    return (*notes, *(f"Layers of a token: {note.rstrip('.')}." for note in fall))


def bases(answer: Answer) -> tuple[str, ...]:
    """On what terms chips are rented and owned, each said once with the chips it holds for."""
    said = []
    for tenure, words in _PRICES.items():
        by_basis: dict[str, list[str]] = {}
        for row, p in wording.priced(answer, tenure):
            by_basis.setdefault(p.basis, []).append(row.name)
        for basis, names in by_basis.items():
            whom = "" if len(by_basis) == 1 else f" ({wording.listed(names)})"
            said.append(f"{words[:1].upper()}{words[1:]}{whom}: {basis.rstrip('.')}.")
    return tuple(said)


def _line(row: Row, answer: Answer, cells: list[Cell]) -> Line:
    marks = wording.cheapest(answer, row.accelerator)
    caveat = NOT_REPLAYED if row.not_replayed else ""
    return Line(row.accelerator, row.name, theme.evidence_shape(row.evidence), marks, tuple(cells), row.refusal, caveat)


def _deployment(row: Row) -> list[Cell]:
    return [
        Cell(row.parallelism or wording.UNKNOWN),
        Cell(f"{row.batch_count:,}"),
        _cell(row.tokens_per_s_per_chip),
        _cell(row.tokens_per_s_per_user),
        _cell(row.chips, count=True),
        _cell(row.power, "MW"),
        Cell(row.limit or wording.UNKNOWN, f"({row.busiest})" if row.busiest not in ("", row.limit) else ""),
        Cell(wording.percent(row.meets_targets_frac)),
    ]


def _cell(r: Range | None, unit: str = "", count: bool = False) -> Cell:
    return Cell(*wording.in_words(r, unit, count)) if r is not None else Cell(wording.UNKNOWN)


def _price(
    p: Price | None, columns: int, cached: bool, domain: tuple[float, float], best: bool, behind: str
) -> list[Cell]:
    if p is None:
        return [Cell("")] * (columns - 1) + [Cell(wording.NOT_OFFERED)]
    unit = "USD/Mtok"
    middle = [_cell(p.cached_input, unit)] if cached else []
    heat = theme.heat(p.all.central, domain)
    every = Cell(*wording.in_words(p.all, unit), heat=heat, best=best, behind=behind if p.facts else "")
    return [_cell(p.input, unit), *middle, _cell(p.output, unit), every, Cell(wording.percent(p.cheapest_frac))]
