"""The front of designs: what a million tokens cost at each speed per user, with other chips as marks beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoville.facts import Range
from scoville.report import theme, wording
from scoville.report.charts.speed import ticks
from scoville.units import to_unit

if TYPE_CHECKING:
    import altair as alt

DESIGNS = "designs of the space"


@dataclass(frozen=True, slots=True)
class Spot:
    """A point of the chart: a chip at a speed and cost. `label` says what it is where a pointer rests on it.

    `drawn` is its range; without one it is a point of the chip's line.
    """

    chip: str
    tokens_per_s_per_user: float
    usd_per_token: float
    label: str
    drawn: Range | None = None


def front(
    spots: Sequence[Spot], colours: Mapping[str, str], title: str, subtitle: str, foot: str
) -> alt.LayerChart:  # fmt: skip
    """A line along each chip's points, the designs' thick; points with a range as marks, the legend names the chips.

    `colours` has one for every chip of the spots; the second chip of a colour is dashed. The marks of the designs'
    colour have their name beside them.
    """
    import altair as alt

    own = colours[DESIGNS]
    every = [{**_row(s), "colour": colours[s.chip]} for s in spots]
    line = [r for r in every if r["line"] and r["chip"] == DESIGNS]
    others = [r for r in every if r["line"] and r["chip"] != DESIGNS]
    marks = [r for r in every if not r["line"]]
    x_ends = min(r["speed"] for r in every) / 1.15, max(r["speed"] for r in every) * 1.15
    y_ends = min(r["low"] for r in every) / 1.2, max(r["high"] for r in every) * 1.2
    axis: dict[str, Any] = {"format": "~g", "labelOverlap": True}
    x_axis = alt.Axis(title="tokens/s per user", values=ticks(*x_ends), **axis)
    y_axis = alt.Axis(title=None, values=ticks(*y_ends), **axis)
    y_scale = alt.Scale(type="log", domain=list(y_ends), nice=False)
    x = alt.X("speed:Q", scale=alt.Scale(type="log", domain=list(x_ends), nice=False), axis=x_axis)
    y = alt.Y("usd:Q", scale=y_scale, axis=y_axis)
    named = [chip for chip in dict.fromkeys(s.chip for s in spots) if colours[chip] != own]
    shown = [DESIGNS, *named]
    legend = alt.Legend(
        title=None, orient="top", direction="horizontal", symbolType="stroke", symbolStrokeWidth=3, symbolSize=260,
        columns=alt.ExprRef("width < 430 ? 2 : 3"),
    )  # fmt: skip
    before = [[colours[c] for c in named[:i]] for i in range(len(named))]
    dashes = [theme.DASH[0], *(theme.DASH[seen.count(colours[c])] for c, seen in zip(named, before, strict=True))]
    colour = alt.Color(
        "chip:N", scale=alt.Scale(domain=shown, range=[colours[c] for c in shown]), legend=legend if named else None
    )
    dash = alt.StrokeDash("chip:N", scale=alt.Scale(domain=shown, range=dashes), legend=legend if named else None)
    hover = [
        alt.Tooltip("chip:N", title="chip"), alt.Tooltip("label:N", title="as"),
        alt.Tooltip("speed:Q", title="tokens/s per user", format=",.3~r"),
        alt.Tooltip("words:N", title="USD per million tokens"),
    ]  # fmt: skip
    base = alt.Chart(alt.InlineData(values=line)).encode(x=x, y=y)
    thin = alt.Chart(alt.InlineData(values=[*others, *line[:1]])).encode(x=x, y=y)
    beside = alt.Chart(alt.InlineData(values=marks)).encode(x=x, color=alt.Color("colour:N", scale=None))
    best = beside.transform_filter(f"datum.colour == '{own}'").encode(y=y, text="chip:N", color=alt.value(theme.INK))
    layers: list[Any] = [
        thin.mark_line(strokeWidth=1.2).encode(order="speed:Q", color=colour, strokeDash=dash),
        base.mark_line(strokeWidth=2.5, color=own).encode(order="speed:Q"),
        base.mark_point(size=30, filled=True, color=own, opacity=1).encode(tooltip=hover),
        best.mark_text(align="left", baseline="top", dx=10, dy=6, stroke=theme.PAPER, strokeWidth=4),
        beside.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q"),
        beside.mark_point(size=110, filled=True, opacity=1).encode(y=y, tooltip=hover),
        best.mark_text(align="left", baseline="top", dx=10, dy=6, fontWeight=600),
    ]
    return theme.titled(layers, title, subtitle, foot, height=400, shift=36)


def _row(s: Spot) -> dict[str, Any]:
    low, usd, high = (
        to_unit(v, "usd_per_token", "USD/Mtok")
        for v in ((s.drawn.p10, s.usd_per_token, s.drawn.p90) if s.drawn else (s.usd_per_token,) * 3)
    )
    words = wording.ranged(s.drawn, "USD/Mtok") if s.drawn else wording.digits(usd)
    return {
        "chip": s.chip, "label": s.label, "speed": s.tokens_per_s_per_user, "usd": usd, "low": low, "high": high,
        "words": words, "line": s.drawn is None,
    }  # fmt: skip
