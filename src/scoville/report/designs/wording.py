"""What tables and charts of a search say in the same words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scoville.facts import Range
from scoville.report import wording
from scoville.search.answer import Answer, Bought, Designed, Finalist, Point, Served
from scoville.search.deployed import Deployed
from scoville.units import to_unit

MIX = "the mix"
UNIT = "USD/Mtok"


def circumstances(answer: Answer) -> tuple[tuple[str, str], ...]:
    """What was asked, by name."""
    served = tuple(
        (
            "Serves" if i == 0 else "and",
            f"{_named(s)}; {s.precision}; {s.traffic}; {s.targets}"
            + (f"; {wording.percent(s.weight_frac)} of the tokens" if len(answer.served) > 1 else ""),
        )
        for i, s in enumerate(answer.served)
    )
    tried = (
        f"{answer.designs_count:,} designs, {answer.points_count:,} points of design, mapping and batch; "
        f"{wording.percent(answer.feasible_count / answer.points_count)} within all limits"
    )
    begun = f"begun in {answer.start}, {answer.volume_count:,.0f} chips share the one-time cost"
    return (
        *served,
        ("Tried", tried),
        ("Programme", begun),
        ("Prices", f"{answer.vintage}, {answer.owner}; {answer.samples_count:,} samples, seed {answer.seed}"),
    )


def _named(s: Served) -> str:
    return s.model if s.model.startswith(f"{s.name}:") else f"{s.name}: {s.model}"


def findings(answer: Answer) -> tuple[str, ...]:
    """The findings as sentences; a number and its percent sign stay together."""
    return tuple(re.sub(r"(?<=\d) %", "\u00a0%", f"{f[:1].upper()}{f[1:].rstrip('.')}.") for f in answer.findings)


def notice(user_facts: Sequence[str]) -> str:
    """That the result rests on facts of the user's own, and on which."""
    return f"This result uses your own facts: {'; '.join(user_facts)}."


def brackets(answer: Answer) -> str:
    """What stands in brackets."""
    return f"In brackets P10–P90 of {answer.samples_count:,} samples."


def foot(answer: Answer, *more: str) -> str:
    """Source and date below a chart."""
    prices = f"prices of {answer.vintage} of a {answer.owner}"
    return " ".join((*more, f"Source: {answer.space_file}, {prices}, Scoville {answer.scoville_version}."))


def usd_per_mtok(usd_per_token: float) -> str:
    """Dollars per million tokens, bare: '0.312'."""
    return wording.digits(to_unit(usd_per_token, "usd_per_token", UNIT))


def winner(answer: Answer) -> Designed:
    """The design that is cheapest by the simulator, or by the sweep where none of the finalists can serve."""
    first = next((f for f in answer.finalists if f.mix is not None), None)
    return first.designed if first else answer.best


def winning(answer: Answer) -> Finalist | None:
    """The finalist that won, where one could serve."""
    return next((f for f in answer.finalists if f.mix is not None), None)


def rivals(answer: Answer) -> tuple[Bought, ...]:
    """Those beside the best design that can serve everything: bought chips, the cheapest first, then the reference."""
    able = (b for b in answer.bought if b.mix)
    return tuple(sorted(able, key=lambda b: (b.reference, b.mix.central if b.mix else 0.0)))


def deployment(serve: str, served_count: int, mapping: str, batch: float) -> str:
    """'TP8, batch 64', with what it serves before it where that is not the only thing."""
    how = f"{mapping}, batch {batch:,.0f}"
    return f"{serve}: {how}" if served_count > 1 else how


def at(p: Point) -> str:
    """A point's deployment and design."""
    return f"design {p.number}, {p.mapping}, batch {p.batch_count:,}"


def mixed(answer: Answer, deployed: Sequence[Deployed]) -> Range | None:
    """Cost of a token of the mix without the one-time cost's share; None where one part cannot be served.

    The one-time cost has no range of its own in the answer, so both ends lose the same.
    """
    total = nre_per_token(answer, deployed)
    parts = {d.serve: d for d in deployed}
    if total is None:
        return None
    low = centre = high = -total
    for s in answer.served:
        cost = parts[s.name].usd_per_token
        if cost is None:
            return None
        low, centre, high = (
            x + s.weight_frac * y for x, y in zip((low, centre, high), (cost.p10, cost.central, cost.p90), strict=True)
        )
    return Range(low, centre, high, "usd_per_token")


def nre_per_token(answer: Answer, deployed: Sequence[Deployed]) -> float | None:
    """The one-time cost's share of a token of the mix, USD; None where one part cannot be served."""
    parts = {d.serve: d for d in deployed}
    total = 0.0
    for s in answer.served:
        d = parts.get(s.name)
        if d is None or d.tokens_per_s_per_chip is None:
            return None
        total += s.weight_frac * d.nre_usd_per_h / 3600 / d.tokens_per_s_per_chip.central
    return total
