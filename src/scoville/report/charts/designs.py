"""The front of designs: what a million tokens cost at each speed per user, with other chips as marks beside it."""

from __future__ import annotations

import math
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
_LABEL_PX = 15


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
    """A line along each chip's points, the designs' thick; points with a range as marks with the chip's name.

    `colours` has one for every chip of the spots.
    """
    import altair as alt

    every = [{**_row(s), "colour": colours[s.chip]} for s in spots]
    line = [r for r in every if r["line"] and r["chip"] == DESIGNS]
    others = [r for r in every if r["line"] and r["chip"] != DESIGNS]
    marks = _placed([r for r in every if not r["line"]])
    x_ends = min(r["speed"] for r in every) / 1.15, max(r["speed"] for r in every) * 1.6
    y_ends = min(r["low"] for r in every) / 1.2, max(r["high"] for r in every) * 1.2
    axis: dict[str, Any] = {"format": "~g", "labelOverlap": True}
    x_axis = alt.Axis(title="tokens/s per user", values=ticks(*x_ends), **axis)
    y_axis = alt.Axis(title=None, values=ticks(*y_ends), **axis)
    y_scale = alt.Scale(type="log", domain=list(y_ends), nice=False)
    x = alt.X("speed:Q", scale=alt.Scale(type="log", domain=list(x_ends), nice=False), axis=x_axis)
    y = alt.Y("usd:Q", scale=y_scale, axis=y_axis)
    own = colours[DESIGNS]
    hover = [
        alt.Tooltip("chip:N", title="chip"), alt.Tooltip("label:N", title="as"),
        alt.Tooltip("speed:Q", title="tokens/s per user", format=",.3~r"),
        alt.Tooltip("words:N", title="USD per million tokens"),
    ]  # fmt: skip
    base, thin = (alt.Chart(alt.InlineData(values=values)).encode(x=x, y=y) for values in (line, others))
    beside = alt.Chart(alt.InlineData(values=marks)).encode(x=x)
    colour = alt.Color("colour:N", scale=None)
    words: dict[str, Any] = {"y": y, "text": "chip:N"}
    names: list[tuple[alt.Chart, dict[str, Any]]] = [
        (
            beside.transform_filter(f"datum.place == {i}"),
            {"align": "left", "dx": 10, "dy": _LABEL_PX * i, "fontWeight": 600},
        )
        for i in sorted({m["place"] for m in marks})
    ]
    layers: list[Any] = [
        thin.mark_line(strokeWidth=1.2).encode(order="speed:Q", color=colour, detail="chip:N"),
        base.mark_line(strokeWidth=2.5, color=own).encode(order="speed:Q"),
        base.mark_point(size=30, filled=True, color=own, opacity=1).encode(tooltip=hover),
        *(name.mark_text(stroke=theme.PAPER, strokeWidth=4, **place).encode(**words) for name, place in names),
        beside.mark_rule(strokeWidth=1.5).encode(
            y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q", color=colour
        ),
        beside.mark_point(size=110, filled=True, opacity=1).encode(y=y, color=colour, tooltip=hover),
        *(name.mark_text(**place).encode(**words) for name, place in names),
    ]  # fmt: skip
    return theme.titled(layers, title, subtitle, foot, height=380, shift=36)


def _placed(marks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The marks with `place`, how many lines a name moves down so that it stands clear of a neighbour's."""
    placed: list[dict[str, Any]] = []
    for mark in sorted(marks, key=lambda m: -m["usd"]):
        near = [p["place"] for p in placed if _near(mark, p)]
        placed.append({**mark, "place": max(near, default=-1) + 1})
    return placed


def _near(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether names at two marks would touch."""
    return abs(math.log(a["usd"] / b["usd"])) < 0.08 and abs(math.log(a["speed"] / b["speed"])) < 0.9


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
