"""Cost against volume: the one-time cost of a design shared among more chips, beside the price of a bought one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scoville.facts import Range
from scoville.report import theme, wording
from scoville.report.charts.speed import ticks

if TYPE_CHECKING:
    import altair as alt


def curve(
    points: Sequence[tuple[float, Range]],
    bought: Sequence[tuple[str, Range, str]],
    asked_count: float,
    title: str,
    subtitle: str,
    foot: str,
) -> alt.LayerChart:
    """USD per million tokens of the design at each volume (chips), with its band; a line for each (chip, cost,
    colour) beside it.

    `asked_count` is the volume of the question, marked on the curve's axis.
    """
    import altair as alt

    unit = "USD/Mtok"
    rows = [_row(volume, r, unit) for volume, r in points]
    lines = [{"name": name, "usd": wording.scaled(r, unit)[1], "colour": colour} for name, r, colour in bought]
    volumes = [r["volume"] for r in rows]
    costs = [*(r["low"] for r in rows), *(r["high"] for r in rows), *(x["usd"] for x in lines)]
    x_scale = alt.Scale(type="log", domain=[min(volumes), max(volumes)], nice=False)
    y_scale = alt.Scale(type="log", domain=[min(costs) / 1.2, max(costs) * 1.2], nice=False)
    x_axis = alt.Axis(title="chips made of the design", values=ticks(min(volumes), max(volumes)), format="~s",
                      labelOverlap=True)  # fmt: skip
    y_axis = alt.Axis(title=None, values=ticks(min(costs) / 1.2, max(costs) * 1.2), format="~g", labelOverlap=True)
    x, y = alt.X("volume:Q", scale=x_scale, axis=x_axis), alt.Y("usd:Q", scale=y_scale, axis=y_axis)
    base = alt.Chart(alt.InlineData(values=rows))
    level = alt.Chart(alt.InlineData(values=lines)).encode(y=y)
    asked = alt.Chart(alt.InlineData(values=[{"volume": asked_count, "label": f"asked: {asked_count:,.0f}"}])).encode(
        x=alt.X("volume:Q", scale=x_scale)
    )
    made = theme.CATEGORY[0]
    shown = [
        base.mark_area(opacity=0.16, color=made).encode(x=x, y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q"),
        asked.mark_rule(strokeDash=[3, 3], color=theme.QUIET),
        asked.mark_text(align="left", baseline="top", dx=5, color=theme.QUIET).encode(text="label:N", y=alt.value(0)),
        level.mark_rule(strokeWidth=2).encode(color=alt.Color("colour:N", scale=None)),
        level.mark_text(align="right", baseline="bottom", dx=-4, dy=-3).encode(x=alt.value("width"), text="name:N"),
        base.mark_line(color=made).encode(x=x, y=y),
        base.mark_point(size=40, filled=True, color=made, opacity=1).encode(
            x=x, y=y, tooltip=[alt.Tooltip("volume:Q", title="chips", format=","),
                               alt.Tooltip("words:N", title="USD per million tokens")],
        ),
    ]  # fmt: skip
    return theme.titled(shown, title, subtitle, foot, height=320, shift=40)


def breakeven(points: Sequence[tuple[float, Range]], usd_per_token: float) -> float:
    """From which volume on the design is cheaper than that, by interpolation; infinite if never.

    >>> from scoville.facts import Range
    >>> at = lambda v: Range(v, v, v, "usd_per_token")
    >>> round(breakeven([(100, at(4.0)), (400, at(1.0))], 2.0))
    200
    """
    if points and points[0][1].central <= usd_per_token:
        return points[0][0]
    for (v0, r0), (v1, r1) in itertools.pairwise(points):
        if r1.central <= usd_per_token < r0.central:
            share = math.log(r0.central / usd_per_token) / math.log(r0.central / r1.central)
            return float(v0 * (v1 / v0) ** share)
    return math.inf


def _row(volume: float, r: Range, unit: str) -> dict[str, Any]:
    low, central, high = wording.scaled(r, unit)
    return {"volume": volume, "low": low, "usd": central, "high": high, "words": wording.ranged(r, unit)}
