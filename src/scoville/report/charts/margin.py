"""The margin waterfall: who gets what of the price of a token served on a bought chip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scoville.facts import Range
from scoville.report import theme, wording
from scoville.study.answer import Answer, Waterfall
from scoville.units import to_unit

if TYPE_CHECKING:
    import altair as alt

_LABEL_FRAC = 0.26
TOTAL = "all of it"


def waterfall(answer: Answer) -> alt.LayerChart | None:
    """A step for each layer, the total below; None where the answer has no waterfall."""
    import altair as alt

    fall = answer.waterfall
    if fall is None or not fall.layers:
        return None
    steps = _steps(fall)
    top = max(s["high"] for s in steps)
    scale = alt.Scale(domain=[min(0.0, *(s["start"] for s in steps)), top / (1 - _LABEL_FRAC)], nice=False)
    names = [s["layer"] for s in steps]
    axis = alt.Axis(
        title="USD per million tokens", format="~g", tickCount=alt.ExprRef("width < 300 ? 3 : 6"), grid=False
    )
    hover = [
        alt.Tooltip("layer:N", title="layer"), alt.Tooltip("words:N", title="USD per million tokens"),
        alt.Tooltip("share:N", title="share"),
    ]  # fmt: skip
    base = alt.Chart(alt.InlineData(values=steps)).encode(
        y=alt.Y("layer:N", sort=names, title=None, axis=alt.Axis(grid=False, labelFontSize=13)), tooltip=hover
    )
    layers = [
        base.mark_bar(height=18).encode(
            x=alt.X("start:Q", scale=scale, axis=axis), x2="end:Q", color=alt.Color("colour:N", scale=None)
        ),
        base.mark_rule().encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
        base.mark_text(align="left", dx=8, text=alt.ExprRef("width < 430 ? datum.share : datum.label")).encode(
            x=alt.X("edge:Q", scale=scale, axis=axis)
        ),
    ]
    return theme.titled(
        layers,
        title(answer, fall),
        f"USD per million tokens by layer, {wording.name_of(answer, fall.accelerator)}, bought; "
        "whiskers P10 to P90 of each layer by itself",
        wording.foot(answer, *(f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in fall.notes)),
        height=30.0 * len(steps) + 6,
        shift=theme.label_px(names),
    )


def title(answer: Answer, fall: Waterfall) -> str:
    """Which layer takes the most of a token, and the next."""
    name = wording.name_of(answer, fall.accelerator)
    ranked = sorted(fall.layers, key=lambda layer: -layer.cost.central)
    shares = [share(layer.cost, fall) for layer in ranked]
    if len(ranked) == 1:
        return f"What a token costs on {name} is known only as a whole"
    first, second = ranked[0].name, ranked[1].name
    if shares[0] == shares[1]:
        return f"{_capital(first)} and {second} take {shares[0]} each of a token served on {name}"
    return f"{_capital(first)} takes {shares[0]} of a token served on {name}, {second} {shares[1]}"


def share(cost: Range, fall: Waterfall) -> str:
    """A layer's share of the total, as percent."""
    return wording.percent(cost.central / fall.total.central) if fall.total.central else wording.UNKNOWN


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _steps(fall: Waterfall) -> list[dict[str, Any]]:
    steps, start = [], 0.0
    largest = max(layer.cost.central for layer in fall.layers)
    for name, cost, last in [*((layer.name, layer.cost, False) for layer in fall.layers), (TOTAL, fall.total, True)]:
        base = 0.0 if last else start
        low, centre, high = (to_unit(v, "usd_per_token", "USD/Mtok") for v in (cost.p10, cost.central, cost.p90))
        part = share(cost, fall)
        steps.append(
            {
                "layer": name, "start": base, "end": base + centre, "low": base + low, "high": base + high,
                "edge": base + max(high, centre), "words": wording.ranged(cost, "USD/Mtok"), "share": part,
                "label": wording.ranged(cost, "USD/Mtok") if last else f"{wording.digits(centre)}, {part}",
                "colour": theme.INK if last else theme.QUIET if cost.central == largest else theme.BAR,
            }
        )  # fmt: skip
        start = base + centre
    return steps
