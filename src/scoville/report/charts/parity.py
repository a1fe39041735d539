"""Parity: predicted over measured, both logarithmic, a panel for each metric, with the band of 20 % either way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scoville.report import theme
from scoville.report.charts.speed import ticks
from scoville.validation.rows import METRICS
from scoville.validation.scores import WITHIN_FRAC, Score, Scored, Validation, score

if TYPE_CHECKING:
    import altair as alt

_TITLES = {"tpot": "TPOT, ms", "ttft": "TTFT, ms", "throughput": "output tokens/s"}
_SCALES = {"tpot": 1e3, "ttft": 1e3, "throughput": 1.0}
_HEIGHT = 330.0
_SHIFT = 62


def parity(found: Validation) -> alt.VConcatChart:
    """Every row of the scores as a mark, coloured by chip; a TTFT that is mostly queueing is hollow.

    `found` has at least one row in its scores.
    """
    drawn = {m: [r for r in found.in_scores if r.row.metric == m] for m in METRICS}
    panels: list[Any] = [_panel(metric, rows, found) for metric, rows in drawn.items() if rows]
    return theme.stacked(
        panels,
        title({m: score(m, rows) for m, rows in drawn.items() if rows}),
        f"Predicted over measured, a mark a row; the band is {WITHIN_FRAC:.0%} either way, the line is equality",
        _foot(found),
        height=_HEIGHT,
        shift=_SHIFT,
    )


def title(found: dict[str, Score]) -> str:
    """How far off the predictions are, metric by metric."""
    names = {"tpot": "TPOT", "ttft": "TTFT", "throughput": "throughput"}
    parts = [f"{names[m]} by {s.median_frac:.0%}" for m, s in found.items()]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Half of the predictions miss {listed} or less"


def _panel(metric: str, rows: list[Scored], found: Validation) -> alt.LayerChart:
    import altair as alt

    scale = _SCALES[metric]
    points = [_point(r, scale) for r in rows]
    every = [p[k] for p in points for k in ("measured", "predicted")]
    ends = min(every) / 1.25, max(every) * 1.25
    values = ticks(*ends)
    axis: dict[str, Any] = {"format": ",~g", "values": values, "labelOverlap": True}
    log = alt.Scale(type="log", domain=list(ends), nice=False)
    x = alt.X("measured:Q", scale=log, axis=alt.Axis(title=f"measured {_TITLES[metric]}", **axis))
    y_axis = alt.Axis(title=f"predicted {_TITLES[metric]}", **axis)
    y = alt.Y("predicted:Q", scale=log, axis=y_axis)
    chips = list(dict.fromkeys(r.row.setting.accelerator for r in found.in_scores))
    hues = alt.Scale(domain=chips, range=[theme.CATEGORY[i % len(theme.CATEGORY)] for i in range(len(chips))])
    legend = alt.Legend(title=None, orient="top", direction="horizontal", symbolSize=90)
    steps = [ends[0] * (ends[1] / ends[0]) ** (i / 40) for i in range(41)]
    band = [{"measured": v, "low": v * (1 - WITHIN_FRAC), "high": v * (1 + WITHIN_FRAC)} for v in steps]
    area = (
        alt.Chart(alt.InlineData(values=band))
        .mark_area(color=theme.RULE, opacity=0.7, clip=True)
        .encode(x=x, y=alt.Y("low:Q", scale=log, axis=y_axis), y2="high:Q")
    )
    line = (
        alt.Chart(alt.InlineData(values=[{"measured": v, "predicted": v} for v in ends]))
        .mark_line(color=theme.QUIET, strokeWidth=1)
        .encode(x=x, y=y)
    )
    marks = alt.Chart(alt.InlineData(values=points)).encode(
        x=x,
        y=y,
        color=alt.Color("chip:N", scale=hues, legend=legend),
        tooltip=[
            alt.Tooltip("setting:N", title="run"), alt.Tooltip("line:Q", title="line"),
            alt.Tooltip("measured:Q", format=",.3~r"), alt.Tooltip("predicted:Q", format=",.3~r"),
            alt.Tooltip("error:N", title="error"),
        ],
    )  # fmt: skip
    direct = marks.transform_filter("!datum.queued").mark_circle(size=26, opacity=0.65)
    queued = marks.transform_filter("datum.queued").mark_point(size=26, opacity=0.8, strokeWidth=1.1)
    return alt.LayerChart(layer=[area, line, direct, queued])


def _point(r: Scored, scale: float) -> dict[str, Any]:
    return {
        "measured": r.row.value * scale, "predicted": r.value * scale, "chip": r.row.setting.accelerator,
        "setting": str(r.row.setting), "line": r.row.line, "queued": r.queued, "error": f"{r.error_frac:+.0%}",
    }  # fmt: skip


def _foot(found: Validation) -> str:
    said = [f"{found.table.path.name}: {len(found.in_scores):,} of {len(found.table.rows):,} rows."]
    if any(r.queued for r in found.in_scores):
        said.append("Hollow: a TTFT half of which or more is queueing.")
    if found.set_aside:
        said.append(f"{len(found.set_aside)} rows that contradict Little's law are left out.")
    return " ".join(said)
