"""The loads that a search tried: what is served, and what users see, from an idle fleet to one that is overrun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scoville.report import theme, wording
from scoville.report.charts.speed import ticks
from scoville.report.replay_records import Summary
from scoville.units import show

if TYPE_CHECKING:
    import altair as alt

    from scoville.serving.load import Tried

_LATENCY_TOP = 30  # times the target: what is over it says no more than "far too late"


def own_requests_per_s(s: Summary) -> float:
    """The trace's own rate, that loads are multiples of."""
    return s.load_requests_per_s / s.setting.load_frac


def sweep(s: Summary, foot: str) -> alt.VConcatChart | None:
    """Requests served and in time over the load, and the latencies at their percentiles; None without a sweep."""
    import altair as alt

    tried = s.setting.tried
    if len(tried) < 2:
        return None
    own, t = own_requests_per_s(s), s.targets
    scale = alt.Scale(domain=[0, max(p.load_frac for p in tried) * own], nice=False)
    x = alt.X("load:Q", scale=scale, axis=alt.Axis(title=None, labels=False, tickCount=8))
    last = alt.X("load:Q", scale=scale, axis=alt.Axis(title="requests/s that arrive", tickCount=8, format="~r"))
    limit = alt.Chart(alt.InlineData(values=[{"load": own * _best(tried)}] if any(p.met for p in tried) else []))
    mark = limit.mark_rule(strokeDash=[3, 3], color=theme.QUIET)
    panels: list[Any] = [alt.layer(mark.encode(x=x), *_rates(tried, own, x))]
    for name, target, share, axis in (
        ("TTFT", t.ttft_s, t.ttft_percentile_frac, x),
        ("TPOT", t.tpot_s, t.tpot_percentile_frac, last),
    ):
        points = [
            {"load": p.load_frac * own, "ms": seen * 1e3, "met": p.met}
            for p in tried
            if 0 < (seen := p.ttft_percentile_s if name == "TTFT" else p.tpot_percentile_s) <= _LATENCY_TOP * target
        ]
        panels.append(alt.layer(mark.encode(x=axis), *_latency(name, target, share, points, axis)))
    return theme.stacked(
        panels,
        title(s),
        f"A point is a replay of the whole trace at that load, filled where both targets hold; {s.setting.model} on "
        f"{wording.counted(s.chips_count, 'chip')}; latencies over {_LATENCY_TOP} times their "
        f"target are left out",
        foot,
        height=130,
        shift=44,
    )


def title(s: Summary) -> str:
    """Up to which load the targets hold, and which of them ends it."""
    tried, own, t = s.setting.tried, own_requests_per_s(s), s.targets
    best = _best(tried)
    rate = f"{wording.plain(best * own)} requests/s"
    after = next((p for p in tried if p.load_frac > best and not p.met), None)
    if after is None:
        return f"Both targets hold up to {rate}"
    late = [
        name
        for name, seen, target in (
            ("TTFT", after.ttft_percentile_s, t.ttft_s),
            ("TPOT", after.tpot_percentile_s, t.tpot_s),
        )
        if seen > target
    ]
    misses = "misses its" if len(late) == 1 else "miss their"
    return f"Both targets hold up to {rate}, then {wording.listed(late)} {misses} target"


def _best(tried: tuple[Tried, ...]) -> float:
    return max((p.load_frac for p in tried if p.met), default=0.0)


def _rates(tried: tuple[Tried, ...], own: float, x: Any) -> list[Any]:
    import altair as alt

    names = ("served", "in time")
    rows = [
        {"load": p.load_frac * own, "rate": value, "name": name}
        for p in tried
        for name, value in zip(names, (p.requests_per_s, p.goodput_per_s), strict=True)
    ]
    hues = alt.Scale(domain=list(names), range=[theme.BAR, theme.CATEGORY[0]])
    colour = alt.Color("name:N", scale=hues, legend=None)
    y = alt.Y("rate:Q", scale=alt.Scale(domainMin=0), axis=alt.Axis(title="requests/s", tickCount=4, format="~r"))
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, y=y, color=colour)
    heads = [{"name": name, "x": theme.WIDTH - 44 - 70 * (1 - i)} for i, name in enumerate(names)]
    named = alt.Chart(alt.InlineData(values=heads)).mark_text(align="right", baseline="bottom", fontWeight=600)
    return [
        base.mark_line(),
        base.mark_point(size=26, filled=True, opacity=1),
        named.encode(x=alt.X("x:Q", scale=None), y=alt.value(-6), text="name:N", color=colour),
    ]


def _latency(name: str, target: float, share: float, points: list[dict[str, Any]], x: Any) -> list[Any]:
    import altair as alt

    seen = [p["ms"] for p in points] + [target * 1e3]
    low, high = min(seen) / 1.3, max(seen) * 1.3
    label = "datum.value >= 1000 ? format(datum.value / 1000, '~g') + ' s' : format(datum.value, '~g') + ' ms'"
    axis = alt.Axis(title=f"P{share * 100:g} of {name}", values=ticks(low, high), labelExpr=label, labelOverlap=True)
    y = alt.Y("ms:Q", scale=alt.Scale(type="log", domain=[low, high], nice=False), axis=axis)
    base = alt.Chart(alt.InlineData(values=points)).encode(x=x, y=y)
    rule = alt.Chart(alt.InlineData(values=[{"ms": target * 1e3, "label": f"target {show(target, 's')}"}]))
    line = theme.CATEGORY[0]
    return [
        rule.mark_rule(strokeDash=[3, 3]).encode(y=y),
        rule.mark_text(align="left", baseline="bottom", dx=3, dy=-2).encode(x=alt.value(0), y=y, text="label:N"),
        base.mark_line(color=line),
        base.transform_filter("!datum.met").mark_point(
            size=34, fill=theme.PAPER, color=line, strokeWidth=1.4, opacity=1
        ),
        base.transform_filter("datum.met").mark_point(size=34, filled=True, color=line, opacity=1),
    ]
