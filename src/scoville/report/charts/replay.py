"""Charts of a replay: what share of requests waits how long, what the replicas did over time, gaps between tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scoville.report import theme, wording
from scoville.report.charts.speed import ticks
from scoville.report.summary import Summary
from scoville.serving.replay import Replay
from scoville.units import show

if TYPE_CHECKING:
    import altair as alt

Array = NDArray[np.float64]
_POINTS = 400
_TIME = "datum.value >= 1000 ? format(datum.value / 1000, '~g') + ' s' : format(datum.value, '~g') + ' ms'"


def charts(summary: Summary, replay: Replay) -> dict[str, alt.LayerChart | alt.VConcatChart]:
    """Every chart that the replay has something for, by the name of its file."""
    made: dict[str, Callable[[Summary, Replay], alt.LayerChart | alt.VConcatChart | None]] = {
        "latency": latency,
        "timeline": timeline,
        "gaps": gaps,
    }
    return {name: chart for name, make in made.items() if (chart := make(summary, replay)) is not None}


def latency(summary: Summary, replay: Replay) -> alt.LayerChart:
    """Share of requests by TTFT and by TPOT, targets marked."""
    import altair as alt

    t = summary.targets
    lines = (
        ("TTFT", replay.ttft_s, t.ttft_s, t.ttft_percentile_frac),
        ("TPOT", replay.tpot_s, t.tpot_s, t.tpot_percentile_frac),
    )
    points = [p for name, values, _, _ in lines for p in _distribution(name, values)]
    targets: list[dict[str, Any]] = [
        {"name": name, "ms": at * 1e3, "share": share, "label": f"{name} target {show(at, 's')}"}
        for name, _, at, share in lines
    ]
    every = [p["ms"] for p in (*points, *targets)]
    low, high = min(every) / 1.15, max(every) * 1.15
    x = alt.X("ms:Q", scale=alt.Scale(type="log", domain=[low, high], nice=False), axis=_time_axis(low, high))
    y = alt.Y("share:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title=None, format="%", tickCount=5))
    hues = alt.Scale(domain=["TTFT", "TPOT"], range=[theme.CATEGORY[0], theme.CATEGORY[2]])
    colour = alt.Color("name:N", scale=hues, legend=None)
    marks = alt.Chart(alt.InlineData(values=targets)).encode(x=x, color=colour)
    names = [_halfway(points, name) for name, *_ in lines if any(p["name"] == name for p in points)]
    layers: list[Any] = [
        marks.mark_rule(strokeDash=[3, 3]),
        alt.Chart(alt.InlineData(values=points)).mark_line().encode(x=x, y=y, color=colour, order="share:Q"),
        marks.mark_point(size=70, fill=theme.PAPER, opacity=1).encode(y=y),
        alt.Chart(alt.InlineData(values=names))
        .mark_text(align="right", dx=-8, fontWeight=600)
        .encode(x=x, y=y, text="name:N", color=colour),
    ]
    # Away from each other, so that labels of targets close together do not run into each other.
    first = min(targets, key=lambda p: float(p["ms"]))
    for target in targets:
        label = alt.Chart(alt.InlineData(values=[target]))
        label = label.mark_text(align="right" if target is first else "left", baseline="bottom", dy=-6)
        layers.append(label.encode(x=x, y=alt.value(0), text="label:N", color=colour))
    return theme.titled(
        layers,
        latency_title(summary),
        "Share of requests whose time to first token (TTFT) or mean time per later token (TPOT) is at most so long; "
        "a curve that passes above its circle meets the target",
        _foot(summary),
        height=340,
        shift=44,
    )


def latency_title(s: Summary) -> str:
    """What share of requests meets each target."""
    t = s.targets
    starts = share(s.ttft_met_frac), f"start within {show(t.ttft_s, 's')}"
    keeps = share(s.tpot_met_frac), f"keep to {show(t.tpot_s, 's')} per token"
    good = s.ttft_met_frac >= t.ttft_percentile_frac, s.tpot_met_frac >= t.tpot_percentile_frac
    first, second = (keeps, starts) if good[1] > good[0] else (starts, keeps)
    only = "" if any(good) else "Only "
    joint = " and" if all(good) else ", and" if not any(good) else ", but only"
    return f"{only}{first[0]} of requests {first[1]}{joint} {second[0]} {second[1]}"


def timeline(summary: Summary, replay: Replay) -> alt.VConcatChart:
    """Arrivals, running sequences and cache over time, one above the other."""
    import altair as alt

    unit, per_unit_s = _clock(float(replay.pools[0].timeline_s[-1]))
    edges = np.concatenate([[0.0], replay.pools[0].timeline_s])
    arrived = np.histogram(replay.arrival_s - replay.arrival_s[0], edges)[0] / np.diff(edges)
    scale = alt.Scale(domain=[0, float(edges[-1]) / per_unit_s], nice=False)
    x = alt.X("at:Q", scale=scale, axis=alt.Axis(title=None, labels=False, tickCount=8))
    last = alt.X("at:Q", scale=scale, axis=alt.Axis(title=f"{unit} from the first arrival", tickCount=8))
    panels = []
    for title, values, portion in (
        ("requests/s that arrive", arrived, False),
        ("running sequences per replica", replay.pools[0].timeline_sequences_count, False),
        ("share of the cache in use", replay.pools[0].timeline_cache_frac, True),
    ):
        rows = [
            {"at": float(a) / per_unit_s, "y": float(v)}
            for a, v in zip(edges, np.append(values, values[-1]), strict=True)
        ]
        span = alt.Scale(domain=[0, 1]) if portion else alt.Scale(domainMin=0)
        y = alt.Y("y:Q", scale=span, axis=alt.Axis(title=title, tickCount=3, format="%" if portion else ",~r"))
        panels.append(
            alt.Chart(alt.InlineData(values=rows))
            .mark_area(
                interpolate="step-after", color=theme.CATEGORY[0], opacity=0.25,
                line={"color": theme.CATEGORY[0], "strokeWidth": 1, "opacity": 1},
            )
            .encode(x=last if portion else x, y=y)
        )  # fmt: skip
    return theme.stacked(
        panels,
        timeline_title(summary),
        f"Means over {show(float(replay.pools[0].timeline_s[0]), 's')}; {len(replay):,} requests, {_what(summary)}",
        _foot(summary),
        height=110,
        shift=44,
    )


def timeline_title(s: Summary) -> str:
    """What limits the replicas at their fullest."""
    if s.preemptions_count:
        return (
            f"The cache runs full: {_count(s.preemptions_count, 'preemption')}, {s.recomputed_tokens:,} tokens "
            "computed again"
        )
    if s.most_sequences_count >= s.engine.max_sequences:
        return f"The limit of {s.engine.max_sequences:,} sequences is reached: more requests have to wait"
    return (
        f"Never more than {_count(s.most_sequences_count, 'sequence')} on a replica, nor "
        f"{wording.percent(s.most_cache_frac)} of its cache in use"
    )


def gaps(summary: Summary, replay: Replay) -> alt.LayerChart | None:
    """Share of all gaps between tokens that are longer than a time; None where every answer has a single token."""
    import altair as alt

    if not replay.gap_count.any():
        return None
    rows = _longer(replay)
    lowest = min(row["share"] for row in rows)
    low, high = rows[0]["ms"] / 1.15, rows[-1]["ms"] * 1.6  # room for the last label
    x = alt.X("ms:Q", scale=alt.Scale(type="log", domain=[low, high], nice=False), axis=_time_axis(low, high))
    levels = [level for level in (1.0, 0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6) if level >= lowest / 2]
    axis = alt.Axis(title=None, values=levels, format="~%")
    y = alt.Y("share:Q", scale=alt.Scale(type="log", domain=[lowest / 2, 1.0], nice=False), axis=axis)
    g = summary.gap
    marks = [
        {"ms": at * 1e3, "share": level, "label": f"{name} {show(at, 's')}"}
        for name, level, at in (("half over", 0.5, g.p50_s), ("5 % over", 0.05, g.p95_s), ("1 % over", 0.01, g.p99_s))
        if level >= lowest
    ]
    marks.append({"ms": g.max_s * 1e3, "share": lowest, "label": f"longest {show(g.max_s, 's')}"})
    marked = alt.Chart(alt.InlineData(values=marks)).encode(x=x, y=y)
    return theme.titled(
        [
            alt.Chart(alt.InlineData(values=rows))
            .mark_line(interpolate="step-after", color=theme.CATEGORY[0])
            .encode(x=x, y=y),
            marked.mark_point(size=50, color=theme.CATEGORY[0], fill=theme.PAPER, opacity=1),
            marked.mark_text(align="left", baseline="bottom", dx=7, dy=-3).encode(text="label:N"),
        ],
        gaps_title(summary),
        f"Share of the {int(replay.gap_count.sum()):,} gaps between two tokens of an answer that are longer; "
        + _what(summary),
        _foot(summary),
        height=320,
        shift=52,
    )  # fmt: skip


def gaps_title(s: Summary) -> str:
    """The middle of all gaps, and the hundredth that users notice."""
    half, hundredth = show(s.gap.p50_s, "s"), show(s.gap.p99_s, "s")
    return f"Half of all tokens follow within {half}, 1 % take over {hundredth}"


def _distribution(name: str, values_s: Array) -> list[dict[str, Any]]:
    """Points of the cumulative distribution; zeros have no place on the axis and lift its start."""
    shares = np.linspace(0, 1, _POINTS + 1)
    found = np.quantile(values_s, shares, method="inverted_cdf")
    rows = [
        {"name": name, "ms": float(v) * 1e3, "share": float(p)} for v, p in zip(found, shares, strict=True) if v > 0
    ]
    return rows


def _halfway(points: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The point of a curve that is nearest to one half."""
    return min((p for p in points if p["name"] == name), key=lambda p: abs(p["share"] - 0.5))


def _longer(replay: Replay) -> list[dict[str, Any]]:
    """From the shortest gap on: which share of all gaps is longer than the upper edge of each bin that holds some."""
    filled = np.flatnonzero(replay.gap_count)
    total = int(replay.gap_count.sum())
    longer = total - np.cumsum(replay.gap_count)
    start = float(replay.gap_s[max(int(filled[0]) - 1, 0)])
    rows = [{"ms": start * 1e3, "share": 1.0}]
    rows += [{"ms": float(replay.gap_s[i]) * 1e3, "share": int(longer[i]) / total} for i in filled if longer[i]]
    rows.append({"ms": float(replay.max_gap_s.max()) * 1e3, "share": rows[-1]["share"]})
    return rows


def _time_axis(low_ms: float, high_ms: float) -> alt.Axis:
    import altair as alt

    return alt.Axis(title=None, values=ticks(low_ms, high_ms), labelExpr=_TIME, labelOverlap=True)


def _clock(longest_s: float) -> tuple[str, float]:
    """Unit of a time axis, and its seconds.

    >>> _clock(90.0), _clock(3600.0), _clock(86400.0)
    (('seconds', 1.0), ('minutes', 60.0), ('hours', 3600.0))
    """
    return ("hours", 3600.0) if longest_s > 3 * 3600 else ("minutes", 60.0) if longest_s > 180 else ("seconds", 1.0)


def share(frac: float) -> str:
    """A share in percent, to a tenth and rounded down, so that a target that is missed never reads as met.

    >>> share(0.9499), share(0.95), share(1.0), share(0.9999)
    ('94.9 %', '95 %', '100 %', '99.9 %')
    """
    return f"{math.floor(frac * 1000 + 1e-9) / 10:g} %"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _what(s: Summary) -> str:
    a = s.setting
    return f"{a.model} on {s.replicas_count} x {a.parallelism} {a.accelerator_name}"


def _foot(s: Summary) -> str:
    a = s.setting
    rate = f" at {wording.plain(s.load_requests_per_s)} requests/s" if math.isfinite(s.load_requests_per_s) else ""
    evidence = wording.EVIDENCE.get(a.evidence, a.evidence)
    return (
        f"Replayed: {s.requests_count:,} requests of {a.trace}{rate}, engine as {s.engine.name}, {a.precision}. "
        f"Timing: {evidence}. Source: {a.source}, Scoville {s.scoville_version}."
    )
