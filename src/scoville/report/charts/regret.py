"""Regret: what a chip made for one thing costs on another, over the chip made for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scoville.report import theme, wording

if TYPE_CHECKING:
    import altair as alt

_CELL_PX = 54
_DEAREST_FRAC = 1.0  # regret at the dark end of the heat


def matrix(
    designs: Sequence[str], served: Sequence[str], regret_frac: Sequence[Sequence[float]], title: str, subtitle: str,
    foot: str,
) -> alt.LayerChart:  # fmt: skip
    """A cell for each design (rows) and thing served (columns): its cost per token over the least one there, less one.

    A regret that is not finite is a chip that cannot serve it.
    """
    import altair as alt

    rows = [
        _row(design, serve, regret_frac[i][j]) for i, design in enumerate(designs) for j, serve in enumerate(served)
    ]
    x = alt.X("served:N", sort=list(served), title=None, scale=alt.Scale(paddingInner=0.04), axis=alt.Axis(
        orient="top", grid=False, labelAngle=0, labelFontSize=13, labelLimit=180))  # fmt: skip
    y = alt.Y("design:N", sort=list(designs), title=None, scale=alt.Scale(paddingInner=0.06), axis=alt.Axis(
        grid=False, labelFontSize=13))  # fmt: skip
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, y=y)
    hover = [
        alt.Tooltip("design:N", title="chip"), alt.Tooltip("served:N", title="serves"),
        alt.Tooltip("words:N", title="dearer than the cheapest there"),
    ]  # fmt: skip
    shown = [
        base.mark_rect().encode(color=alt.Color("heat:N", scale=None), tooltip=hover),
        base.mark_text(fontSize=13).encode(text="words:N", color=alt.Color("ink:N", scale=None)),
    ]
    return theme.titled(
        shown, title, subtitle, foot, height=float(_CELL_PX * len(designs)), shift=theme.label_px(designs)
    )


def words(regret_frac: float) -> str:
    """Regret as the chart and the tables write it.

    >>> words(0.0), words(0.004), words(0.083), words(float("inf"))
    ('cheapest', '<1 %', '+8 %', 'cannot')
    """
    if regret_frac == float("inf"):
        return "cannot"
    if regret_frac <= 0:
        return "cheapest"
    more = wording.percent(regret_frac)
    return more if more.startswith("<") else f"+{more}"


def _row(design: str, served: str, regret_frac: float) -> dict[str, Any]:
    fill = theme.heat(1 + min(max(regret_frac, 0.0), _DEAREST_FRAC), (1.0, 1 + _DEAREST_FRAC))
    return {
        "design": design, "served": served, "words": words(regret_frac), "heat": fill, "ink": theme.ink_on(fill),
    }  # fmt: skip
