"""The front of designs: what a million tokens cost at each speed per user, with the bought chips beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoville.report import theme, wording
from scoville.report.charts.speed import ticks
from scoville.units import to_unit

if TYPE_CHECKING:
    import altair as alt

DESIGNS = "designs of the space"
_SHADES = (theme.CATEGORY[1], theme.CATEGORY[2], theme.CATEGORY[3], theme.CATEGORY[5], theme.CATEGORY[4])


@dataclass(frozen=True, slots=True)
class Spot:
    """A point of the chart: a chip at a speed and cost. `label` says what it is where a pointer rests on it."""

    chip: str
    tokens_per_s_per_user: float
    usd_per_token: float
    label: str
    best: bool = False


def front(spots: Sequence[Spot], title: str, subtitle: str, foot: str, target_per_s: float) -> alt.LayerChart:
    """A line along each chip's points, the designs' in one colour; the best design has a ring and its name.

    `target_per_s` is the least speed of a user, drawn as a line where it lies within the picture (0: none).
    """
    import altair as alt

    chips = list(dict.fromkeys([DESIGNS, *(s.chip for s in spots)]))
    colours = {c: theme.CATEGORY[0] if c == DESIGNS else _SHADES[(i - 1) % len(_SHADES)] for i, c in enumerate(chips)}
    rows = [_row(s) for s in sorted(spots, key=lambda s: (chips.index(s.chip), s.tokens_per_s_per_user))]
    speeds, costs = [r["speed"] for r in rows], [r["usd"] for r in rows]
    x_scale = alt.Scale(type="log", domain=[min(speeds) / 1.15, max(speeds) * 1.15], nice=False)
    y_scale = alt.Scale(type="log", domain=[min(costs) / 1.2, max(costs) * 1.2], nice=False)
    axis: dict[str, Any] = {"format": "~g", "labelOverlap": True}
    x_axis = alt.Axis(title="tokens/s per user", values=ticks(min(speeds) / 1.15, max(speeds) * 1.15), **axis)
    y_axis = alt.Axis(title=None, values=ticks(min(costs) / 1.2, max(costs) * 1.2), **axis)
    legend = alt.Legend(
        title=None, orient="top", direction="horizontal", symbolType="stroke", symbolStrokeWidth=3, symbolSize=260,
        columns=alt.ExprRef("width < 430 ? 2 : 4"),
    )  # fmt: skip
    colour = alt.Color("chip:N", scale=alt.Scale(domain=chips, range=list(colours.values())), legend=legend)
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("speed:Q", scale=x_scale, axis=x_axis), y=alt.Y("usd:Q", scale=y_scale, axis=y_axis), color=colour
    )
    hover = [
        alt.Tooltip("chip:N", title="chip"), alt.Tooltip("label:N", title="as"),
        alt.Tooltip("speed:Q", title="tokens/s per user", format=",.3~r"),
        alt.Tooltip("usd:Q", title="USD per million tokens", format=",.3~r"),
    ]  # fmt: skip
    layers: list[Any] = []
    if x_scale.domain[0] <= target_per_s <= x_scale.domain[1]:
        words = f"target {wording.plain(target_per_s)} tokens/s"
        mark = alt.Chart(alt.InlineData(values=[{"speed": target_per_s, "label": words}])).encode(
            x=alt.X("speed:Q", scale=x_scale)
        )
        layers = [
            mark.mark_rule(strokeDash=[3, 3], color=theme.QUIET),
            mark.mark_text(align="left", baseline="top", dx=5, color=theme.QUIET).encode(
                text="label:N", y=alt.value(0)
            ),
        ]
    layers += [
        base.mark_line(strokeWidth=2, interpolate="linear").encode(order="speed:Q", detail="chip:N"),
        base.mark_point(size=34, filled=True).encode(tooltip=hover),
        base.transform_filter("datum.best").mark_point(size=190, filled=False, strokeWidth=2).encode(
            color=alt.value(theme.INK), tooltip=hover
        ),
        base.transform_filter("datum.best").mark_text(align="left", baseline="top", dx=11, dy=5, fontWeight=600).encode(
            text="name:N", color=alt.value(theme.INK)
        ),
    ]  # fmt: skip
    return theme.titled(layers, title, subtitle, foot, height=380, shift=36)


def _row(s: Spot) -> dict[str, Any]:
    return {
        "chip": s.chip, "label": s.label, "speed": s.tokens_per_s_per_user, "best": s.best,
        "usd": to_unit(s.usd_per_token, "usd_per_token", "USD/Mtok"), "name": "the best design",
    }  # fmt: skip
