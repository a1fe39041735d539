"""Charts of a replay: what share of requests waits how long, what the replicas did over time, gaps between tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scoville.report import theme, wording
from scoville.report.charts.speed import ticks
from scoville.report.charts.sweep import sweep
from scoville.report.replay_records import Summary
from scoville.report.summary import INSTANT_S
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
        "sweep": lambda s, _: sweep(s, _foot(s)),
    }
    return {name: chart for name, make in made.items() if (chart := make(summary, replay)) is not None}


def latency(summary: Summary, replay: Replay) -> alt.LayerChart:
    """Share of requests by TTFT and by TPOT, targets marked."""
    import altair as alt

    t = summary.targets
    lines = (
        ("TTFT", replay.ttft_s[replay.came], t.ttft_s, t.ttft_percentile_frac),
        ("TPOT", replay.tpot_s[replay.came & (replay.output_tokens > 1)], t.tpot_s, t.tpot_percentile_frac),
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
    missing = summary.requests_count - summary.served_count - summary.never_came_count
    unserved = f"; {wording.counted(missing, 'request')} got no answer" if missing else ""
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
        "a curve that passes above its circle meets the target" + unserved,
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
    """Arrivals, running sequences and cache over time, one above the other; a line for each pool."""
    import altair as alt

    first = replay.pools[0].timeline_s
    unit, per_unit_s = _clock(max(float(p.timeline_s[-1]) for p in replay.pools))
    edges = np.concatenate([[0.0], first])
    came = replay.arrival_s[replay.came]
    arrived = np.histogram(came - np.min(came, initial=np.inf), edges)[0] / np.diff(edges)
    scale = alt.Scale(domain=[0, max(float(p.timeline_s[-1]) for p in replay.pools) / per_unit_s], nice=False)
    x = alt.X("at:Q", scale=scale, axis=alt.Axis(title=None, labels=False, tickCount=8))
    last = alt.X("at:Q", scale=scale, axis=alt.Axis(title=f"{unit} from the first arrival", tickCount=8))
    sequences = [(p.name, p.timeline_s, p.timeline_sequences_count) for p in replay.pools]
    cache = [(p.name, p.timeline_s, p.timeline_cache_frac) for p in replay.pools]
    names = [p.name for p in replay.pools]
    hues = alt.Scale(domain=names, range=list(theme.CATEGORY[: len(names)]))
    colour = alt.Color("pool:N", scale=hues, legend=None)
    panels: list[Any] = []
    for title, lines, portion in (
        ("requests/s that arrive", [(names[0], first, arrived)], False),
        ("running sequences per replica", sequences, False),
        ("share of the cache in use", cache, True),
    ):
        rows = [
            {"at": float(a) / per_unit_s, "y": float(v), "pool": name}
            for name, ends, values in lines
            for a, v in zip(np.concatenate([[0.0], ends]), np.append(values, values[-1]), strict=True)
        ]
        span = alt.Scale(domain=[0, 1]) if portion else alt.Scale(domainMin=0)
        y = alt.Y("y:Q", scale=span, axis=alt.Axis(title=title, tickCount=3, format="%" if portion else ",~r"))
        drawn = alt.Chart(alt.InlineData(values=rows))
        if len(lines) == 1:
            shown: Any = drawn.mark_area(
                interpolate="step-after", color=theme.CATEGORY[0], opacity=0.25,
                line={"color": theme.CATEGORY[0], "strokeWidth": 1, "opacity": 1},
            )  # fmt: skip
            if len(names) > 1:  # of no pool in particular
                shown = drawn.mark_area(
                    interpolate="step-after", color=theme.BAR, opacity=0.3,
                    line={"color": theme.BAR, "strokeWidth": 1, "opacity": 1},
                )  # fmt: skip
            panels.append(shown.encode(x=last if portion else x, y=y))
            continue
        lined = drawn.mark_line(interpolate="step-after", strokeWidth=1.2)
        panels.append(lined.encode(x=last if portion else x, y=y, color=colour))
    if len(names) > 1:
        panels[1] = alt.layer(panels[1], _pool_names(names, hues))
    return theme.stacked(
        panels,
        timeline_title(summary),
        f"Means over {show(float(first[0]), 's')}; {wording.counted(int(replay.came.sum()), 'request')}, "
        + _what(summary),
        _foot(summary),
        height=110,
        shift=44,
    )


def _pool_names(names: list[str], hues: Any) -> alt.Chart:
    """The names of the pools in their colours, at the right end above a panel."""
    import altair as alt

    rows = [
        {"name": name, "pool": name, "x": theme.WIDTH - 44 - 70 * (len(names) - 1 - i)} for i, name in enumerate(names)
    ]
    marked: alt.Chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_text(align="right", baseline="bottom", fontWeight=600)
        .encode(
            x=alt.X("x:Q", scale=None),
            y=alt.value(-6),
            text="name:N",
            color=alt.Color("pool:N", scale=hues, legend=None),
        )
    )
    return marked


def timeline_title(s: Summary) -> str:
    """What limits the replicas at their fullest."""
    preempted = s.preemptions_count + (s.offline.preemptions_count if s.offline else 0)
    if preempted:
        lost = f", {s.recomputed_tokens:,} tokens computed again" if s.recomputed_tokens else ""
        return f"The cache runs full: {wording.counted(preempted, 'preemption')}{lost}"
    for p in s.pools:
        limit = max(1, p.engine.max_sequences // (p.lanes_count // p.ranks_count))
        if p.most_sequences_count >= limit:
            whose = "" if len(s.pools) == 1 else f" of the {p.name} pool"
            return f"The limit of {limit:,} sequences{whose} is reached: more requests have to wait"
    if len(s.pools) == 1:
        p = s.pools[0]
        where = "a replica" if p.lanes_count == 1 else "a rank"
        return (
            f"Never more than {wording.counted(p.most_sequences_count, 'sequence')} on {where}, nor "
            f"{wording.percent(p.most_cache_frac)} of its cache in use"
        )
    each = wording.listed(f"{wording.percent(p.most_cache_frac)} for {p.name}" for p in s.pools)
    return f"At most {each} of the cache are in use"


def gaps(summary: Summary, replay: Replay) -> alt.LayerChart | None:
    """Share of all gaps between tokens that are longer than a time; None where every answer has a single token."""
    import altair as alt

    if not replay.gap_count.any():
        return None
    rows = _longer(replay)
    lowest = min(row["share"] for row in rows)
    low, last = rows[0]["ms"] / 1.15, rows[-1]["ms"]
    high = last * max(1.6, (last / low) ** 0.16)  # room for the last label
    x = alt.X("ms:Q", scale=alt.Scale(type="log", domain=[low, high], nice=False), axis=_time_axis(low, high))
    levels = [level for level in (1.0, 0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6) if level >= lowest / 2]
    axis = alt.Axis(title=None, values=levels, format="~%")
    y = alt.Y("share:Q", scale=alt.Scale(type="log", domain=[lowest / 2, 1.0], nice=False), axis=axis)
    g = summary.gap
    marks = [
        {"ms": at * 1e3, "share": level, "label": f"{name} {show(at, 's')}"}
        for name, level, at in (("half over", 0.5, g.p50_s), ("5 % over", 0.05, g.p95_s), ("1 % over", 0.01, g.p99_s))
        if level >= lowest and at > 0
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
    follow = f"follow within {half}" if s.gap.p50_s > 0 else "come together with the one before"
    return f"Half of all tokens {follow}, 1 % take over {hundredth}"


def _distribution(name: str, values_s: Array) -> list[dict[str, Any]]:
    """Points of the cumulative distribution; zeros have no place on the axis and lift its start, what was never served
    (NaN) keeps the curve from its top."""
    shares = np.linspace(0, 1, _POINTS + 1)
    if len(values_s) == 0:
        return []
    found = np.quantile(np.where(np.isnan(values_s), np.inf, values_s), shares, method="inverted_cdf")
    return [
        {"name": name, "ms": float(v) * 1e3, "share": float(p)}
        for v, p in zip(found, shares, strict=True)
        if v > 0 and math.isfinite(v)
    ]


def _halfway(points: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The point of a curve that is nearest to one half."""
    return min((p for p in points if p["name"] == name), key=lambda p: abs(p["share"] - 0.5))


def _longer(replay: Replay) -> list[dict[str, Any]]:
    """From the shortest gap on: which share of all gaps is longer than the upper edge of each bin that holds some."""
    filled = np.flatnonzero(replay.gap_count)
    total = int(replay.gap_count.sum())
    longer = total - np.cumsum(replay.gap_count)
    later = filled[replay.gap_s[filled] >= INSTANT_S]  # tokens of one step have no gap that a logarithm could show
    first = int(later[0]) if len(later) else int(filled[-1])
    before = 1.0 if first == filled[0] else int(longer[first - 1]) / total
    rows = [{"ms": float(replay.gap_s[max(first - 1, 0)]) * 1e3, "share": before}]
    rows += [{"ms": float(replay.gap_s[i]) * 1e3, "share": int(longer[i]) / total} for i in later if longer[i]]
    rows.append({"ms": float(np.nanmax(replay.max_gap_s)) * 1e3, "share": rows[-1]["share"]})
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


def _what(s: Summary) -> str:
    pools = wording.listed(
        f"{p.fleet.replicas} x {p.deployed.parallelism} {p.deployed.accelerator_name}"
        + (f" for {p.name}" if len(s.pools) > 1 else "")
        for p in s.pools
    )
    return f"{s.setting.model} on {pools}"


def _foot(s: Summary) -> str:
    a = s.setting
    rate = f" at {wording.plain(s.load_requests_per_s)} requests/s" if math.isfinite(s.load_requests_per_s) else ""
    beside = f", {s.offline.requests_count:,} of {a.offline_trace} offline" if s.offline else ""
    evidence = wording.listed(dict.fromkeys(wording.EVIDENCE.get(d.evidence, d.evidence) for d in a.deployed))
    return (
        f"Replayed: {wording.counted(s.requests_count, 'request')} of {a.trace}{rate}{beside}, engine as "
        f"{s.pools[0].engine.name}, {a.precision}. Timing: {evidence}. Source: {a.source}, Scoville "
        f"{s.scoville_version}."
    )
