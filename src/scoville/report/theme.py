"""The look: one Altair theme, the heat of a token's cost, a colour for every chip, a shape for every kind of evidence.

Nothing is registered at import; `specification` turns a chart into Vega-Lite with the theme applied.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from scoville.study.answer import Answer

if TYPE_CHECKING:
    import altair as alt

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif'
INK = "#1f2328"
QUIET = "#59636e"
RULE = "#d8dee4"
PAPER = "#ffffff"
BAR = "#8c96a0"
WIDTH = 744  # of a picture, axis labels included, px

# Leaf green, amber, chilli red: lightness falls all the way, so that it survives grey print. For cost per token only.
HEAT = ("#bfe3a1", "#e0c95e", "#eda638", "#dc7128", "#b83a1e", "#7d0f16")

# Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), the pale yellow last.
CATEGORY = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#000000", "#F0E442")

DASH = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 4])

_LEFT = "M0,-1A1,1,0,0,0,0,1"
_RIGHT = "M0,-1A1,1,0,0,1,0,1"
_BACK_LEFT = "A1,1,0,0,1,0,-1Z"
_BACK_RIGHT = "A1,1,0,0,0,0,-1Z"
# Circles: an arc drawn there and back encloses nothing, so it is outlined and not filled.
SHAPE = {
    "filled": _LEFT + _BACK_RIGHT,
    "half": _LEFT + "Z" + _RIGHT + _BACK_RIGHT,
    "hollow": _LEFT + _BACK_LEFT + _RIGHT + _BACK_RIGHT,
}
# How well a row's timing is known, and what kind of figure a fact is: one shape for both.
EVIDENCE_SHAPE = {
    "measured": "filled", "related": "half", "vendor": "half",
    "unmeasured": "hollow", "claimed": "hollow", "estimated": "hollow", "reported": "hollow", "derived": "hollow",
}  # fmt: skip
EVIDENCE_WORDS = {
    "filled": "measured",
    "half": "vendor's figure or related chip",
    "hollow": "estimated or claimed",
}
FACT_WORDS = {"filled": "measured", "half": "vendor's figure", "hollow": "reported, estimated or derived"}


def chip_colours(answer: Answer) -> dict[str, str]:
    """Colour of each accelerator id: the n-th accelerator of the study takes the n-th colour, in every chart.

    Refused rows count too, so that a chip keeps its colour when a target changes. The tenth takes the first colour.
    """
    ids = dict.fromkeys(row.accelerator for row in answer.rows)
    return {chip: CATEGORY[i % len(CATEGORY)] for i, chip in enumerate(ids)}


def chip_dashes(answer: Answer) -> dict[str, list[int]]:
    """Dash of each accelerator's line: solid, and another one each time that the colours come again."""
    ids = dict.fromkeys(row.accelerator for row in answer.rows)
    return {chip: DASH[i // len(CATEGORY) % len(DASH)] for i, chip in enumerate(ids)}


def evidence_shape(kind: str) -> str:
    """'filled', 'half' or 'hollow'; a kind that is not known counts as the weakest."""
    return EVIDENCE_SHAPE.get(kind, "hollow")


def heat_domain(answer: Answer) -> tuple[float, float]:
    """Lowest and highest central cost of an average token (USD per token) over all rows and both tenures.

    At least a factor of four apart, so that small differences do not look like large ones; (1, 4) where nothing is
    priced.
    """
    costs = [
        p.all.central
        for row in answer.rows
        for p in (row.rent, row.own)
        if p is not None and not row.refusal and math.isfinite(p.all.central) and p.all.central > 0
    ]
    low = min(costs, default=1.0)
    return low, max([4 * low, *costs])


def heat(usd_per_token: float, domain: tuple[float, float]) -> str:
    """The colour of a cost: position between the ends of `domain` on a logarithmic scale.

    >>> heat(1.0, (1.0, 4.0)), heat(4.0, (1.0, 4.0)), heat(1.0, (1.0, 1.0))
    ('#bfe3a1', '#7d0f16', '#bfe3a1')
    """
    low, high = domain
    if not (high > low > 0 and usd_per_token > 0 and math.isfinite(usd_per_token)):
        return HEAT[0]
    place = min(1.0, max(0.0, math.log(usd_per_token / low) / math.log(high / low))) * (len(HEAT) - 1)
    i = min(int(place), len(HEAT) - 2)
    ends = ([int(HEAT[k][c : c + 2], 16) for c in (1, 3, 5)] for k in (i, i + 1))
    return "#" + "".join(f"{round(a + (b - a) * (place - i)):02x}" for a, b in zip(*ends, strict=True))


def ink_on(fill: str) -> str:
    """The colour of words on that fill, dark or white, whichever reads better (luma of ITU-R BT.709).

    >>> ink_on("#bfe3a1") == INK, ink_on("#7d0f16") == PAPER
    (True, True)
    """
    red, green, blue = (int(fill[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.42 else PAPER


def config() -> dict[str, Any]:
    """The theme as Vega-Lite configuration."""
    label = {"labelFont": FONT, "labelFontSize": 12, "labelColor": INK}
    title = {"titleFont": FONT, "titleFontSize": 12, "titleColor": QUIET, "titleFontWeight": "normal"}
    return {
        "config": {
            "background": PAPER,
            "font": FONT,
            "padding": 12,
            "view": {"stroke": None, "continuousWidth": WIDTH},
            "title": {
                "anchor": "start", "frame": "group", "offset": 16, "font": FONT, "fontSize": 19, "fontWeight": 600,
                "color": INK, "lineHeight": 24, "subtitleFont": FONT, "subtitleFontSize": 13, "subtitleColor": QUIET,
                "subtitleLineHeight": 18, "subtitlePadding": 6,
            },
            "axis": {
                **label, **title, "domain": False, "ticks": False, "grid": True, "gridColor": RULE, "gridWidth": 0.6,
                "labelPadding": 6, "titlePadding": 10, "labelLimit": 240,
            },
            "axisY": {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleY": -14, "titleX": 0},
            "legend": {
                **label, **title, "symbolSize": 110, "symbolStrokeWidth": 1.5, "rowPadding": 4, "labelLimit": 300,
            },
            "text": {"font": FONT, "fontSize": 12, "color": INK},
            "point": {"size": 90, "strokeWidth": 1.5},
            "rule": {"color": INK, "strokeWidth": 1},
            "line": {"strokeWidth": 2},
        }
    }  # fmt: skip


def label_px(names: Iterable[str]) -> int:
    """Width that an axis takes for the longest of its labels."""
    return min(240, math.ceil(max(6.4 * len(name) for name in names))) + 14


def titled(
    layers: Sequence[alt.Chart], title: str, subtitle: str, foot: str, height: float, shift: int = 0
) -> alt.LayerChart:
    """The layers as one chart, its finding above and its source below, both wrapped to the width of a picture.

    `shift` moves title and foot left to the edge of the picture (the width of the axis labels, px). The layer "foot"
    and the title are what the page takes out and sets as its own text.
    """
    import altair as alt

    note = _note(foot, height, shift)
    return alt.LayerChart(
        layer=[*layers, note], title=_head(title, subtitle, shift), width=WIDTH - shift, height=height
    )


def stacked(
    panels: Sequence[alt.Chart], title: str, subtitle: str, foot: str, height: float, shift: int = 0
) -> alt.VConcatChart:
    """The panels one above the other, each `height` px high, with the title above them and the foot below, as `titled`
    does it.
    """
    import altair as alt

    width = WIDTH - shift
    last = alt.LayerChart(layer=[panels[-1], _note(foot, height, shift)], width=width, height=height)
    return alt.VConcatChart(
        vconcat=[*(panel.properties(width=width, height=height) for panel in panels[:-1]), last],
        title=_head(title, subtitle, shift),
        spacing=30,
    )


def _note(foot: str, height: float, shift: int) -> alt.Chart:
    import altair as alt

    note: alt.Chart = (
        alt.Chart(alt.InlineData(values=[{}]), name="foot")
        .mark_text(align="left", baseline="top", fontSize=11, color=QUIET, text=wrapped(foot, 134), lineHeight=15)
        .encode(x=alt.value(-shift), y=alt.value(height + 54))
    )
    return note


def _head(title: str, subtitle: str, shift: int) -> alt.Title:
    import altair as alt

    return alt.Title(wrapped(title, 74), subtitle=wrapped(subtitle, 114), anchor="start", frame="group", dx=-shift)


def specification(chart: alt.LayerChart | alt.VConcatChart) -> dict[str, Any]:
    """The chart as a Vega-Lite specification with the theme in it; not checked again against the schema."""
    import altair as alt

    alt.theme.register("scoville", enable=False)(config)  # type: ignore[arg-type]
    with alt.theme.enable("scoville"):
        spec: dict[str, Any] = _in_lines(chart.to_dict(validate=False))
    return spec


def _in_lines(part: Any) -> Any:
    """Without Unicode's line and paragraph separators, which end a string for Vega's expression parser."""
    if isinstance(part, str):
        return part.replace("\u2028", " ").replace("\u2029", " ")
    if isinstance(part, dict):
        return {_in_lines(key): _in_lines(value) for key, value in part.items()}
    return [_in_lines(item) for item in part] if isinstance(part, list | tuple) else part


def for_page(spec: dict[str, Any]) -> tuple[dict[str, Any], str, str, str]:
    """A specification for the page, as wide as its box; title, subtitle and foot come beside it as text."""
    title = spec["title"]
    foot = next(layer for layer in spec["layer"] if layer.get("name") == "foot")
    bare = {key: value for key, value in spec.items() if key != "title"}
    bare["layer"] = [layer for layer in spec["layer"] if layer is not foot]
    bare["width"] = "container"
    bare["autosize"] = {"type": "fit-x", "contains": "padding"}
    bare["config"] = {**spec["config"], "padding": 0}
    return bare, _joined(title["text"]), _joined(title["subtitle"]), _joined(foot["mark"]["text"])


def wrapped(text: str, columns: int) -> list[str]:
    """Lines of at most so many characters; a number and its unit stay together, a path is not cut at its hyphens."""
    return textwrap.wrap(re.sub(r"(?<=\d) (?=%|[mu]?s\b|h\b)", "\u00a0", text), columns, break_on_hyphens=False)


def _joined(lines: str | Sequence[str]) -> str:
    return lines if isinstance(lines, str) else " ".join(lines)
