"""The charts of a search, each with a finding as its title that holds for the answer at hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scoville.facts import Range
from scoville.report import theme, wording
from scoville.report.charts import bill, designs, marginal, regret, volume
from scoville.report.charts.bill import Bill
from scoville.report.charts.designs import Spot
from scoville.report.designs import wording as said
from scoville.search.answer import Answer, Marginal, Served
from scoville.search.deployed import Speed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

BEST = "the best design"
_LAST = "as the last step has it; another breaks a limit"
_SITE = ("data centre", "power", "operation", "one-time cost")
_CHIP = "chip, margin, system and network"
_VOLUMES_FRAC = (0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


def charts(answer: Answer) -> dict[str, alt.LayerChart]:
    """Every chart that the answer has something for, by the name of its file, in the order of the page."""
    made: dict[str, alt.LayerChart | None] = {}
    for i, served in enumerate(answer.served):
        made["cost-against-speed" + (f"-{i + 1}" if len(answer.served) > 1 else "")] = front(answer, served)
    made |= {
        "cost-by-layer": layers(answer),
        "cost-against-volume": against_volume(answer),
        "what-a-mm2-buys": marginals(answer),
        "regret": regrets(answer),
    }
    return {name: chart for name, chart in made.items() if chart is not None}


def colours(answer: Answer) -> dict[str, str]:
    """The designs' and the best one's colour, and one for each chip beside it, in every chart.

    A chip at another price ("Jalapeño, at the cost of its design") has the colour of that chip.
    """
    others = theme.CATEGORY[1:]
    chips = list(dict.fromkeys(_chip(b.name) for b in answer.bought))
    hues = {b.name: others[chips.index(_chip(b.name)) % len(others)] for b in answer.bought}
    return {designs.DESIGNS: theme.CATEGORY[0], BEST: theme.CATEGORY[0], **hues}


def _chip(name: str) -> str:
    return name.partition(", ")[0]


def front(answer: Answer, served: Served) -> alt.LayerChart | None:
    """Cost against speed of all designs, with the bought chips, for one thing served; None without points."""
    points = [p for p in answer.fronts if p.serve == served.name]
    lower = _lower(sorted((p.tokens_per_s_per_user, p.loaded_usd_per_token, said.at(p)) for p in points))
    if not lower:
        return None
    spots = [Spot(designs.DESIGNS, speed, usd, how) for speed, usd, how in lower]
    won = said.winning(answer)
    simulated = [(BEST, d) for d in (won.deployed if won else ())]
    simulated += [(b.name, d) for b in answer.bought for d in b.deployed]
    for name, d in simulated:
        if d.serve == served.name and d.usd_per_token is not None:
            label = f"{d.parallelism}, batch {d.batch_count:,.0f}"
            spots += [_along(name, x) for x in d.curve if name != BEST]
            spots.append(Spot(name, d.tokens_per_s_per_user, d.usd_per_token.central, label, d.usd_per_token))
    return designs.front(
        spots,
        colours(answer),
        front_title(answer, served),
        "USD per million tokens (owned, designs with their share of the one-time cost) over mean tokens/s per user. "
        "Thick line: the least of all designs, by the sweep; thin lines: steady state; points: replayed at the highest "
        "load under the targets, P10 to P90",
        said.foot(answer),
    )


def front_title(answer: Answer, served: Served) -> str:
    """What the best design costs there beside the cheapest bought chip."""
    won = said.winning(answer)
    own = next((d for d in won.deployed if d.serve == served.name), None) if won else None
    head = f"{served.name}: " if len(answer.served) > 1 else ""
    if own is None or own.usd_per_token is None:
        return f"{head}No design that was simulated meets the targets"
    usd = own.usd_per_token.central
    there = [
        (b.reference, d.usd_per_token.central, b.name)
        for b in answer.bought
        for d in b.deployed
        if d.serve == served.name and d.usd_per_token is not None
    ]
    start = f"{head}The best design serves a million tokens for ${said.usd_per_mtok(usd)}"
    if not there:
        return f"{start}; no chip beside it can"
    reference, cheapest, name = min(there)
    what = "the reference" if reference else "the cheapest bought chip"
    ratio = cheapest / usd
    much = f"{_times(ratio)} as much" if ratio >= 1 else f"{wording.percent(1 - ratio)} less"
    return f"{start}; {name}, {what}, takes {much}"


def layers(answer: Answer) -> alt.LayerChart | None:
    """Cost by layer of the best design and of the chips beside it; None without two of them."""
    shown = bills(answer)
    if len(shown) < 2:
        return None
    return bill.layers(
        shown,
        said.UNIT,
        "USD per million tokens",
        layers_title(shown),
        "USD per million tokens of the mix by layer, owned; lines under the bars from P10 to P90 of the sum",
        said.foot(answer),
    )


def bills(answer: Answer) -> tuple[Bill, ...]:
    """The mix's cost by layer: the best design first, then bought chips, the cheapest first, then the reference."""
    won = said.winning(answer)
    chips = [(BEST, won.deployed, won.mix)] if won else []
    chips += [(b.name, b.deployed, b.mix) for b in said.rivals(answer)]
    weights = {s.name: s.weight_frac for s in answer.served}
    found = []
    for name, deployed, mix in chips:
        parts: dict[str, tuple[float, float, float]] = {}
        for d in deployed:
            for p in d.parts:
                ends = zip(parts.get(p.name, (0.0,) * 3), (p.cost.p10, p.cost.central, p.cost.p90), strict=True)
                low, centre, high = (x + weights[d.serve] * y for x, y in ends)
                parts[p.name] = (low, centre, high)
        if mix is not None and parts:
            found.append(Bill(name, tuple((n, Range(*r, mix.measure)) for n, r in parts.items()), mix))
    return tuple(found)


def layers_title(bills: Sequence[Bill]) -> str:
    """In which layer the first chip differs most from the second; all of the chip is one where one is not split."""
    own, other = bills[:2]
    together = any(bill.UNSPLIT in name for b in (own, other) for name, _ in b.layers)
    gap: dict[str, float] = {}
    for sign, b in ((-1, own), (1, other)):
        for name, r in b.layers:
            group = _CHIP if together and name not in _SITE else name
            gap[group] = gap.get(group, 0.0) + sign * r.central
    name = max(gap, key=lambda n: abs(gap[n]))
    whole = other.total.central - own.total.central
    part, saved = said.usd_per_mtok(abs(gap[name])), said.usd_per_mtok(abs(whole))
    if 0 < gap[name] <= whole:
        return f"Of the ${saved} that the best design saves on a million tokens beside {other.chip}, ${part} are {name}"
    return (
        f"{name[:1].upper()}{name[1:]} makes a million tokens ${part} {_word(gap[name])} on the best design than on "
        f"{other.chip}; all layers ${saved} {_word(whole)}"
    )


def _word(gap: float) -> str:
    return "cheaper" if gap > 0 else "dearer"


def against_volume(answer: Answer) -> alt.LayerChart | None:
    """Cost of the mix by how many chips are made; None where no finalist can serve, or nothing is spent once."""
    points = volume_points(answer)
    if not points:
        return None
    hues = colours(answer)
    rivals = [(b.name, b.mix, hues[b.name]) for b in said.rivals(answer) if b.mix is not None][:3]
    return volume.curve(
        points,
        rivals,
        answer.volume_count,
        volume_title(answer, points),
        "USD per million tokens of the mix on the best design, the one-time cost shared by all chips made; band P10 to "
        "P90. Level lines: other chips",
        said.foot(answer, "Design, unit cost and the central one-time cost are those of the volume asked for."),
    )


def volume_points(answer: Answer) -> list[tuple[float, Range]]:
    """(chips, cost of the mix) of the best design; its one-time cost per token falls as one over the volume."""
    won = said.winning(answer)
    if won is None:
        return []
    nre, bare = said.nre_per_token(answer, won.deployed), said.mixed(answer, won.deployed)
    if not nre or bare is None:
        return []
    found = []
    for frac in _VOLUMES_FRAC:
        low, centre, high = (x + nre / frac for x in (bare.p10, bare.central, bare.p90))
        found.append((frac * answer.volume_count, Range(low, centre, high, bare.measure)))
    return found


def volume_title(answer: Answer, points: list[tuple[float, Range]]) -> str:
    """From which volume on the design is cheaper than the cheapest other chip."""
    rival = next(iter(said.rivals(answer)), None)
    if rival is None or rival.mix is None:
        share = points[0][1].central / points[-1][1].central
        return f"{_times(share)} as much per token at {points[0][0]:,.0f} chips as at {points[-1][0]:,.0f}"
    even = volume.breakeven(points, rival.mix.central)
    if math.isinf(even):
        return f"The design stays dearer than {rival.name} at any volume up to {points[-1][0]:,.0f} chips"
    if even <= points[0][0]:
        return f"The design is cheaper than {rival.name} from {points[0][0]:,.0f} chips on, if not before"
    return f"The design is cheaper than {rival.name} from {wording.whole(even)} chips on"


def marginals(answer: Answer) -> alt.LayerChart | None:
    """What 10 mm2 more of each block save; None where nothing can be stepped."""
    rows = [
        (m.block, _saved(m, answer), _LAST if m.more_mm2 is None else "")
        for m in answer.marginals
        if m.usd_per_token_per_mm2 is not None
    ]
    if not rows:
        return None
    return marginal.bars(
        rows,
        "%",
        "% of the cost of a token saved by 10 mm2 more",
        marginals_title(rows),
        "Per cent of the cost of a token of the mix saved by 10 mm2 more of each block of the design that the sweep "
        "finds best, at the rate of the next step; lines under the bars reach to the rate of the last step",
        said.foot(answer),
    )


def marginals_title(rows: Sequence[tuple[str, Range, str]]) -> str:
    """Which block's next mm2 saves most, of those that no limit forbids, and which forbidden one would save more."""
    ranked = sorted(rows, key=lambda row: -row[1].central)
    free = [row for row in ranked if not row[2]]
    over = ranked[0] if ranked[0][2] and ranked[0][1].central > 0 else None
    if not free or free[0][1].central <= 0:
        start = "No mm2 more pays that a limit leaves free" if over else "No block's next mm2 pays"
    else:
        start = f"The next mm2 saves most as {free[0][0]}"
    return f"{start}; {over[0]} would save more, but a limit forbids them" if over else start


def _saved(m: Marginal, answer: Answer) -> Range:
    """Saved by 10 mm2 more, over the cost: the slope over both steps, and those of each where both are allowed."""
    steps = ((m.more_mm2, m.more_usd_per_token), (m.less_mm2, m.less_usd_per_token))
    slopes = [usd / mm2 for mm2, usd in steps if mm2 and usd is not None]
    share = -10 / answer.best.mix_usd_per_token
    central, *ends = (share * slope for slope in (m.usd_per_token_per_mm2 or 0.0, *slopes))
    return Range(min(central, *ends), central, max(central, *ends), "frac")


def regrets(answer: Answer) -> alt.LayerChart | None:
    """The matrix of regret; None where one thing is served."""
    names = [s.name for s in answer.served]
    if len(names) < 2 or not answer.regrets:
        return None
    made_for = list(dict.fromkeys(r.made_for for r in answer.regrets))
    by_pair = {(r.made_for, r.serve): r.over_own_frac for r in answer.regrets}
    return regret.matrix(
        [f"made for {m}" for m in made_for],
        names,
        [[by_pair[m, s] for s in names] for m in made_for],
        regrets_title(answer),
        "Cost of a token over that on the chip made for it, by the sweep, with the one-time cost; columns are served",
        said.foot(answer),
    )


def regrets_title(answer: Answer) -> str:
    """What specialising costs at worst, and what a chip for the mix costs at worst."""
    names = {s.name for s in answer.served}
    special = max((r.over_own_frac for r in answer.regrets if r.made_for in names), default=0.0)
    mixed = max((r.over_own_frac for r in answer.regrets if r.made_for not in names), default=math.nan)
    start = (
        "A chip made for one of them cannot serve another"
        if math.isinf(special)
        else f"A chip made for one of them costs up to {wording.percent(special)} more on another"
    )
    if math.isnan(mixed):
        return start
    if math.isinf(mixed):
        return f"{start}, nor can one made for the mix serve all"
    most = "less than 1 %" if mixed < 0.01 else f"at most {wording.percent(mixed)}"
    return f"{start}; one made for the mix {most} more"


def _along(name: str, x: Speed) -> Spot:
    how = f"{x.parallelism}, batch {x.batch_count:,}, steady state"
    return Spot(name, x.tokens_per_s_per_user, x.usd_per_token, how)


def _times(ratio: float) -> str:
    return f"{wording.digits(ratio, 2)} times"


def _lower(points: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """The points, ascending by speed, than which no quicker one is as cheap."""
    kept: list[tuple[float, float, str]] = []
    least = math.inf
    for point in reversed(points):
        if point[1] < least:
            least = point[1]
            kept.append(point)
    return kept[::-1]
