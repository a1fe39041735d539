"""What the cost is made of, chip beside chip: bars divided into layers, whiskers on the sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoville.facts import Range
from scoville.report import theme, wording

if TYPE_CHECKING:
    import altair as alt

_LABEL_FRAC = 0.2
_LONG_NAME = 24  # characters
_BAR_PX = 24
_HUES = (*theme.CATEGORY[:6], theme.CATEGORY[8], theme.CATEGORY[6], theme.CATEGORY[7])
_GREYS = ("#cfd6dc", "#e6e9ec", "#b6bfc7")
UNSPLIT = "not split"
_INSIDE_FRAC = 0.065  # a layer narrower than this share of the axis has no number in it


@dataclass(frozen=True, slots=True)
class Bill:
    """One chip's cost: layers that add up to `total`, by name."""

    chip: str
    layers: tuple[tuple[str, Range], ...]
    total: Range


def layers(
    bills: Sequence[Bill], unit: str, axis_title: str, title: str, subtitle: str, foot: str
) -> alt.LayerChart:  # fmt: skip
    """A bar for each chip, in the order given; layers keep their colour and order in all of them."""
    import altair as alt

    names = list(dict.fromkeys(name for bill in bills for name, _ in bill.layers))
    top = max(max(wording.scaled(b.total, unit)) for b in bills)
    fills = _fills(names)
    rows, sums = _rows(bills, unit, top, fills), _sums(bills, unit)
    scale = alt.Scale(domain=[0, top / (1 - _LABEL_FRAC)], nice=False)
    axis = alt.Axis(title=axis_title, format="~g", tickCount=alt.ExprRef("width < 300 ? 3 : 6"), grid=False)
    columns = 5 if max(len(name) for name in names) < _LONG_NAME else 3
    colour = alt.Scale(domain=names, range=list(fills.values()))
    legend = alt.Legend(
        title=None, orient="top", direction="horizontal", columns=alt.ExprRef(f"width < 430 ? 2 : {columns}"),
        symbolType="square",
    )  # fmt: skip
    axis_y = alt.Axis(grid=False, labelFontSize=13, labelExpr="split(datum.label, ', ')")
    y = alt.Y("chip:N", sort=[b.chip for b in bills], title=None, axis=axis_y)
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=y)
    total = alt.Chart(alt.InlineData(values=sums)).encode(y=y)
    x = alt.X("start:Q", scale=scale, axis=axis)
    shown = [
        base.mark_bar(height=_BAR_PX).encode(
            x=x, x2="end:Q", color=alt.Color("layer:N", scale=colour, legend=legend),
            tooltip=[
                alt.Tooltip("chip:N", title="chip"), alt.Tooltip("layer:N", title="layer"),
                alt.Tooltip("words:N", title=axis_title),
            ],
        ),
        base.transform_filter("datum.inside").mark_text(fontSize=11, text=alt.ExprRef("datum.text")).encode(
            x=alt.X("middle:Q", scale=scale, axis=axis), color=alt.Color("ink:N", scale=None)
        ),
        total.mark_rule(yOffset=_BAR_PX / 2 + 4).encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
        total.mark_text(align="left", dx=8, text=alt.ExprRef("width < 430 ? datum.short : datum.label")).encode(
            x=alt.X("edge:Q", scale=scale, axis=axis)
        ),
    ]  # fmt: skip
    return theme.titled(
        shown,
        title,
        subtitle,
        foot,
        height=44.0 * len(bills) + 6,
        shift=theme.label_px(part for b in bills for part in b.chip.split(", ")),
    )


def _fills(names: Sequence[str]) -> dict[str, str]:
    """A colour for each layer, in order; greys for those that nobody has split."""
    whole = [name for name in names if UNSPLIT in name]
    split = [name for name in names if name not in whole]
    fills = {name: _HUES[i % len(_HUES)] for i, name in enumerate(split)}
    fills |= {name: _GREYS[i % len(_GREYS)] for i, name in enumerate(whole)}
    return {name: fills[name] for name in names}


def _rows(bills: Sequence[Bill], unit: str, top: float, fills: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = []
    for bill in bills:
        start = 0.0
        for name, r in bill.layers:
            _, central, _ = wording.scaled(r, unit)
            rows.append(
                {
                    "chip": bill.chip, "layer": name, "start": start, "end": start + central,
                    "middle": start + central / 2, "text": wording.digits(central, 2), "words": wording.ranged(r, unit),
                    "inside": central > _INSIDE_FRAC * top, "ink": theme.ink_on(fills[name]),
                }
            )  # fmt: skip
            start += central
    return rows


def _sums(bills: Sequence[Bill], unit: str) -> list[dict[str, Any]]:
    found = []
    for bill in bills:
        low, central, high = wording.scaled(bill.total, unit)
        found.append(
            {
                "chip": bill.chip, "low": low, "high": high, "edge": max(high, central),
                "label": wording.ranged(bill.total, unit), "short": wording.digits(central),
            }
        )  # fmt: skip
    return found
