"""What each mm2 buys: the change of cost with a square millimetre more of each kind of block, with its range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scoville.facts import Range
from scoville.report import theme, wording

if TYPE_CHECKING:
    import altair as alt

_LABEL_FRAC = 0.24


def bars(
    values: Sequence[tuple[str, Range, str]], unit: str, axis_title: str, title: str, subtitle: str, foot: str
) -> alt.LayerChart:
    """A bar and a line along its range for each (name, value, note), the largest first; left of zero is dearer.

    `unit` is what the values are printed in ("" as they are).
    """
    import altair as alt

    ranked = sorted(values, key=lambda item: -item[1].central)
    rows = [_row(name, r, unit, note) for name, r, note in ranked]
    low, high = min(0.0, *(r["low"] for r in rows)), max(0.0, *(r["high"] for r in rows))
    room = (high - low) * _LABEL_FRAC / (1 - _LABEL_FRAC) or 1.0
    scale = alt.Scale(domain=[low, high + room], nice=False)
    axis = alt.Axis(title=axis_title, format="~g", tickCount=alt.ExprRef("width < 300 ? 3 : 6"), grid=False)
    names = [r["name"] for r in rows]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(grid=False, labelFontSize=13)),
        tooltip=[alt.Tooltip("name:N", title="block"), alt.Tooltip("words:N", title=axis_title)],
    )
    zero = alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_rule(color=theme.QUIET)
    layers = [
        base.mark_bar(height=18).encode(
            x=alt.X("central:Q", scale=scale, axis=axis), color=alt.Color("colour:N", scale=None)
        ),
        base.mark_rule(yOffset=13).encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
        base.mark_text(align="left", dx=8, text=alt.ExprRef("width < 430 ? '' : datum.label")).encode(
            x=alt.X("edge:Q", scale=scale, axis=axis)
        ),
        zero.encode(x=alt.X("at:Q", scale=scale)),
    ]
    return theme.titled(
        layers, title, subtitle, foot, height=36.0 * len(rows) + 6, shift=theme.label_px(r["name"] for r in rows)
    )


def _row(name: str, r: Range, unit: str, note: str) -> dict[str, Any]:
    low, central, high = wording.scaled(r, unit)
    words = wording.ranged(r, unit)
    words = words.replace("–", " to ") if low < 0 else words
    return {
        "name": name, "low": low, "central": central, "high": high, "edge": max(high, central, 0.0),
        "words": words, "label": f"{words}  {note}".rstrip(),
        "colour": theme.CATEGORY[0] if central > 0 else theme.BAR,
    }  # fmt: skip
