"""What the answer hangs on: the outcome where each uncertain input is in its lowest and in its highest tenth."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from scoville.report import theme, wording
from scoville.study.answer import Answer, Driver
from scoville.units import to_unit

if TYPE_CHECKING:
    import altair as alt

_SHOWN = 10
_LABEL_CHARACTERS = 30
_UNIT = {"usd_per_token": ("USD/Mtok", "USD per million tokens"), "tokens_per_s": ("", "tokens/s"), "w": ("MW", "MW")}
_LABEL_FRAC = 0.2


def ranked(answer: Answer) -> list[Driver]:
    """The drivers that move the outcome most, most first."""
    return sorted(answer.drivers, key=lambda d: -d.variance_share_frac)[:_SHOWN]


def outcome(driver: Driver, value: float) -> float:
    """`at_low` or `at_high` in the unit that is shown (USD per million tokens, MW, or as it is)."""
    unit, _ = _UNIT.get(driver.measure, ("", ""))
    return to_unit(value, driver.measure, unit) if unit else value


def drivers(answer: Answer) -> alt.LayerChart | None:
    """A bar per driver from the outcome at its low end to that at its high end; None where there are no drivers."""
    import altair as alt

    shown = ranked(answer)
    if not shown:
        return None
    values = [_bar(d, wording.driver(answer, d.label)) for d in shown]
    low, high = min(v["left"] for v in values), max(v["right"] for v in values)
    room = (high - low) or abs(high) or 1.0
    scale = alt.Scale(domain=[low - room * 0.06, high + room * _LABEL_FRAC / (1 - _LABEL_FRAC)], nice=False, zero=False)
    unit = _unit(shown[0])
    axis = alt.Axis(title=unit, format="~g", tickCount=alt.ExprRef("width < 300 ? 3 : 6"))
    names = [v["driver"] for v in values]
    hover = [
        alt.Tooltip("driver:N", title="driver"), alt.Tooltip("low_words:N", title=f"in its lowest tenth, {unit}"),
        alt.Tooltip("high_words:N", title=f"in its highest tenth, {unit}"),
        alt.Tooltip("share:N", title="of the variance"),
    ]  # fmt: skip
    y = alt.Y(
        "driver:N", sort=names, title=None,
        axis=alt.Axis(grid=False, labelFontSize=13, labelExpr="split(datum.value, '\\n')"),
    )  # fmt: skip
    base = alt.Chart(alt.InlineData(values=values)).encode(y=y, tooltip=hover)
    ends = alt.Shape(
        "end:N",
        scale=alt.Scale(domain=["lowest tenth", "highest tenth"], range=["triangle-down", "triangle-up"]),
        legend=alt.Legend(
            title=None,
            orient="top",
            columns=1,
            symbolFillColor=theme.INK,
            symbolStrokeColor=theme.INK,
        ),
    )
    tips = [
        {**v, "end": end, "at": v[key]}
        for v in values
        for end, key in (("lowest tenth", "low"), ("highest tenth", "high"))
    ]
    layers = [
        base.mark_rule(strokeWidth=5, color=theme.RULE).encode(x=alt.X("left:Q", scale=scale, axis=axis), x2="right:Q"),
        alt.Chart(alt.InlineData(values=tips))
        .mark_point(fill=theme.INK, stroke=theme.INK, size=80, opacity=1)
        .encode(y=y, x=alt.X("at:Q", scale=scale, axis=axis), shape=ends, tooltip=hover),
        base.mark_text(align="left", dx=12, color=theme.QUIET).encode(
            x=alt.X("right:Q", scale=scale, axis=axis), text="share:N"
        ),
    ]
    return theme.titled(
        layers,
        title(answer),
        f"{answer.driver_outcome[:1].upper()}{answer.driver_outcome[1:]}, mean where an input is in its lowest "
        "and in its highest tenth; percent: share of the variance",
        wording.foot(answer, f"{answer.samples_count:,} samples, seed {answer.seed}."),
        height=38.0 * len(values) + 6,
        shift=theme.label_px(line for name in names for line in name.split("\n")),
    )


def title(answer: Answer) -> str:
    """The driver that explains most, and what it moves the outcome by; or that none stands out."""
    shown = ranked(answer)
    first = shown[0]
    ends = sorted((outcome(first, first.at_low), outcome(first, first.at_high)))
    span = " to ".join(wording.plain(v) for v in ends)
    label = wording.driver(answer, first.label)
    if wording.plain(ends[0]) == wording.plain(ends[1]):
        return f"No single input moves the answer: even {label} leaves it at {wording.plain(ends[0])}"
    if len(shown) > 1 and wording.percent(first.variance_share_frac) == wording.percent(shown[1].variance_share_frac):
        second = wording.driver(answer, shown[1].label)
        share = wording.percent(first.variance_share_frac)
        return f"The answer hangs as much on {label} as on {second}: {share} of the variance each"
    return f"{wording.driver(answer, first.label, starting=True)} moves the answer most, from {span} {_unit(first)}"


def _unit(driver: Driver) -> str:
    return _UNIT.get(driver.measure, ("", driver.measure.replace("_per_", "/").replace("_", " ")))[1]


def _bar(d: Driver, label: str) -> dict[str, Any]:
    low, high = outcome(d, d.at_low), outcome(d, d.at_high)
    name = "\n".join(textwrap.wrap(label, _LABEL_CHARACTERS)) or d.name
    return {
        "driver": name, "low": low, "high": high, "left": min(low, high), "right": max(low, high),
        "low_words": wording.digits(low), "high_words": wording.digits(high),
        "share": wording.percent(d.variance_share_frac),
    }  # fmt: skip
