"""Owning over years as charts: break-even over volume and over the share of the claim, and what is spent when."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from scoville.report import theme
from scoville.report.wording import plain
from scoville.study.lines import percent
from scoville.study.own_answer import BreakEven, OwnAnswer

if TYPE_CHECKING:
    import altair as alt

_HEIGHT = 300.0
_SHIFT = 60
_LEAST, _MOST = -1.0, 1.0  # of the other's cost; far below, building is out of the question


def charts(answer: OwnAnswer) -> dict[str, alt.LayerChart]:
    """By file name; a question in which nothing is built has no break-even."""
    found = {"spending": spending(answer)}
    if answer.curves:
        found |= {"break-even-volume": volume(answer), "break-even-claim": claim(answer)}
    return found


def volume(answer: OwnAnswer) -> alt.LayerChart:
    """What building saves over the volume."""
    said = [
        f"{b.option} pays against {b.against} "
        + (
            f"from {plain(b.demand_tokens_per_s * 86400e-12)} trillion tokens a day"
            if math.isfinite(b.demand_tokens_per_s)
            else "at no volume"
        )
        for b in _hardest(answer)
    ]
    return _curves(answer, "tokens_per_s", 86400e-12, "; ".join(said), "trillion tokens a day in the first quarter")


def claim(answer: OwnAnswer) -> alt.LayerChart:
    """What building saves over the share of the claim."""
    said = [
        f"{b.option} pays against {b.against} "
        + (f"if {percent(b.claim_frac)} of its stated rate hold" if math.isfinite(b.claim_frac) else "at no rate")
        for b in _hardest(answer)
    ]
    return _curves(answer, "frac", 100.0, "; ".join(said), "share of the chip's stated tokens/s that holds, %")


def _hardest(answer: OwnAnswer) -> list[BreakEven]:
    """Each built chip's break-even against the cheapest option that builds nothing."""
    pairs = {(c.option, c.against) for c in answer.choices}
    return [b for b in answer.break_even if (b.option, b.against) in pairs]


def _curves(answer: OwnAnswer, measure: str, unit: float, title: str, axis: str) -> alt.LayerChart:
    import altair as alt

    chosen = [c for c in answer.curves if c.measure == measure]
    built = list(dict.fromkeys(c.option for c in chosen))
    names = list(dict.fromkeys(c.against for c in chosen))
    rows = [
        {"against": c.against, "built": c.option, "x": x * unit, "saving": s * 100}
        for c in chosen
        for x, s in zip(c.x, c.saving, strict=True)
        if _LEAST <= s <= _MOST
    ]
    scale = alt.Scale(type="log" if measure == "tokens_per_s" else "linear", nice=False)
    x = alt.X("x:Q", scale=scale, axis=alt.Axis(title=axis, format=".3~r"))
    y = alt.Y("saving:Q", axis=alt.Axis(title=None, format="d"))
    hues = alt.Scale(domain=names, range=list(theme.CATEGORY[: len(names)]))
    dashes = alt.Scale(domain=built, range=theme.DASH[: len(built)])
    strokes = ("solid", "dashed", "dotted", "dash-dotted")
    keys = "; ".join(f"{stroke}: {name}" for stroke, name in zip(strokes, built, strict=False))
    keys = f"{keys[0].upper()}{keys[1:]}. " if built[1:] else ""
    base = alt.Chart(alt.InlineData(values=rows))
    line = base.mark_line(clip=True).encode(
        x=x, y=y, color=alt.Color("against:N", scale=hues, legend=alt.Legend(title="against", orient="top", columns=3)),
        strokeDash=alt.StrokeDash("built:N", scale=dashes, legend=None),
    )  # fmt: skip
    level = alt.Chart(alt.InlineData(values=[{"saving": 0.0}])).mark_rule(color=theme.INK).encode(y=y)
    return theme.titled(
        [level, line], title, "What building saves of the other's cost, present value after tax, %; above 0 it pays",
        f"{keys}Central values; below -100 % not drawn. {_source(answer)}", _HEIGHT, shift=_SHIFT,
    )  # fmt: skip


def spending(answer: OwnAnswer) -> alt.LayerChart:
    """Cumulated net payments of each option by quarter."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    for option in answer.options:
        flows = [x.quarters_usd for x in answer.lines if x.option == option.name]
        total = accumulate(-sum(quarter) for quarter in zip(*flows, strict=True))
        rows += [
            {"option": option.name, "quarter": label, "usd": usd / 1e9}
            for label, usd in zip(answer.quarters, total, strict=True)
        ]
    names = [o.name for o in answer.options]
    years = [q for q in answer.quarters if q.endswith("Q1")]
    x = alt.X("quarter:O", sort=list(answer.quarters), axis=alt.Axis(title=None, values=years, labelAngle=0))
    hues = alt.Scale(domain=names, range=list(theme.CATEGORY[: len(names)]))
    line = alt.Chart(alt.InlineData(values=rows)).mark_line().encode(
        x=x, y=alt.Y("usd:Q", axis=alt.Axis(title=None, format="~g")),
        color=alt.Color("option:N", scale=hues, legend=alt.Legend(title=None, orient="top", columns=3)),
    )  # fmt: skip
    best = max(answer.options, key=lambda o: o.npv.central)
    mean = max(answer.options, key=lambda o: o.mean_npv_usd)
    also = "" if mean is best else f"; with all that may go wrong, {mean.name}"
    return theme.titled(
        [line], f"{best.name} costs least in present value{also}",
        "Paid from the start on, after tax, not discounted, billion USD; at the end what is left is sold",
        f"Central values. {_source(answer)}", _HEIGHT, shift=_SHIFT,
    )  # fmt: skip


def _source(answer: OwnAnswer) -> str:
    return f"{answer.study_file}, decided in {answer.quarters[0]}; scoville {answer.scoville_version}"
