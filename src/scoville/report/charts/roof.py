"""The roofline of the chosen chip with the operators of the deployment on it, decode and prefill told apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from scoville.report import theme, wording
from scoville.report.charts.speed import ticks
from scoville.study.answer import Answer, OperatorPoint, Roof

if TYPE_CHECKING:
    import altair as alt

_PHASES = {"decode": "circle", "prefill": "diamond"}
_TERA = 1e12
_HEIGHT = 400.0
_SHIFT = 48
_CHARACTER_PX = 5.4
_LARGEST_MARK_PX = 30.0
_WIDTH = float(theme.WIDTH - _SHIFT)


def chosen(answer: Answer) -> Roof | None:
    """The roof to show: of the cheapest chip to own, else to rent, else the first that has operators on it."""
    drawn = {p.accelerator for p in answer.operators if p.flop_per_byte > 0 and p.achieved_flop_per_s > 0}
    roofs = {roof.accelerator: roof for roof in answer.roofs if roof.accelerator in drawn and roof.peak_flop_per_s}
    for chip in (answer.cheapest_own, answer.cheapest_rent, *roofs):
        if chip in roofs:
            return roofs[chip]
    return None


def roofline(answer: Answer) -> alt.LayerChart | None:
    """FLOP/s over FLOP per byte, both logarithmic; None where no chip has both a roof and operators."""
    import altair as alt

    roof = chosen(answer)
    if roof is None:
        return None
    mine = [p for p in answer.operators if p.accelerator == roof.accelerator]
    drawn = [p for p in mine if p.flop_per_byte > 0 and p.achieved_flop_per_s > 0]
    peaks = sorted(roof.peak_flop_per_s.items(), key=lambda item: item[1])
    ridge = peaks[-1][1] / roof.memory_bytes_per_s
    ceilings = _ceilings(peaks)
    left, right = min(p.flop_per_byte for p in drawn) / 2, max(ridge, *(p.flop_per_byte for p in drawn))
    # Ceilings are named at the right end, where no mark reaches.
    room = _LARGEST_MARK_PX + _CHARACTER_PX * max(len(words) for _, words, _ in ceilings)
    x_ends = left, left * (right / left) ** (_WIDTH / (_WIDTH - room))
    y_ends = min(p.achieved_flop_per_s for p in drawn) / _TERA / 2, peaks[-1][1] / _TERA * 1.8
    x_scale = alt.Scale(type="log", domain=list(x_ends), nice=False)
    y_scale = alt.Scale(type="log", domain=list(y_ends), nice=False)
    axes: dict[str, Any] = {"format": ",~g", "labelOverlap": True}
    x = alt.X(
        "x:Q", scale=x_scale, axis=alt.Axis(title="FLOP per byte of memory traffic", values=ticks(*x_ends), **axes)
    )
    y = alt.Y("y:Q", scale=y_scale, axis=alt.Axis(title=None, values=ticks(*y_ends), **axes))
    colour = theme.chip_colours(answer).get(roof.accelerator, theme.INK)
    values = [_point(p, mine) for p in drawn]
    pick = alt.selection_point(fields=["phase"], bind="legend", name="phase")
    hues = alt.Scale(domain=list(_PHASES), range=[colour, theme.BAR])
    marks = alt.Scale(domain=list(_PHASES), range=list(_PHASES.values()))
    legend = alt.Legend(title=None, orient="top", direction="horizontal", symbolSize=120)
    hover = [
        alt.Tooltip("phase:N", title="phase"), alt.Tooltip("operator:N", title="operator"),
        alt.Tooltip("kind:N", title="kind"), alt.Tooltip("rate:N", title="computes in"),
        alt.Tooltip("x:Q", title="FLOP per byte", format=",.3~r"), alt.Tooltip("y:Q", title="TFLOP/s", format=",.3~r"),
        alt.Tooltip("share:N", title="of its phase's time"), alt.Tooltip("limit:N", title="limit"),
    ]  # fmt: skip
    points = (
        alt.Chart(alt.InlineData(values=values))
        .mark_point(filled=True, stroke=theme.PAPER, strokeWidth=0.8)
        .encode(
            x=x, y=y,
            size=alt.Size("frac:Q", scale=alt.Scale(domain=[0, 1], range=[24, 1600]), legend=None),
            color=alt.Color("phase:N", scale=hues, legend=legend),
            shape=alt.Shape("phase:N", scale=marks, legend=legend),
            opacity=alt.when(pick).then(alt.value(0.9)).otherwise(alt.value(0.1)),
            order=alt.Order("frac:Q", sort="descending"), tooltip=hover,
        )
        .add_params(pick)
    )  # fmt: skip
    names = (
        alt.Chart(alt.InlineData(values=_names(drawn, x_ends, y_ends, roof, ceilings)))
        .mark_text(align="left", fontSize=11, text=alt.ExprRef("width < 430 ? '' : datum.label"))
        .encode(x=alt.X("x:Q", scale=x_scale), y=alt.Y("y:Q", scale=y_scale))
    )
    return theme.titled(
        [*_roofs(roof, ceilings, x_ends, y_ends, x_scale, y_scale), points, names],
        title(answer, mine),
        f"TFLOP/s over FLOP per byte, {wording.name_of(answer, roof.accelerator)}; "
        "area of a mark: its share of the time of its phase",
        wording.foot(answer, *_undrawn(mine)),
        height=_HEIGHT,
        shift=_SHIFT,
    )


def title(answer: Answer, points: list[OperatorPoint]) -> str:
    """What limits most of the time of each phase on that chip."""
    parts = []
    for phase in _PHASES:
        times: dict[str, float] = {}
        for p in points:
            if p.phase == phase:
                times[p.limit] = times.get(p.limit, 0.0) + p.time_frac
        total = sum(times.values())
        if total > 0:
            limit = max(times, key=lambda name: times[name])
            parts.append(f"{wording.percent(times[limit] / total)} of {phase} waits for {limit}")
    return f"On {wording.name_of(answer, points[0].accelerator)}, {wording.listed(parts)}"


def _roofs(
    roof: Roof,
    ceilings: list[tuple[float, str, str]],
    x_ends: tuple[float, float],
    y_ends: tuple[float, float],
    x_scale: Any,
    y_scale: Any,
) -> list[Any]:
    """The slope, a ceiling for each format, and their names."""
    import altair as alt

    slope = roof.memory_bytes_per_s / _TERA
    top = ceilings[-1][0]
    start = max(x_ends[0], y_ends[0] / slope)
    lines = [{"x": start, "y": start * slope, "line": "memory"}, {"x": top / slope, "y": top, "line": "memory"}]
    labels = []
    for level, words, name in ceilings:
        lines += [{"x": level / slope, "y": level, "line": name}, {"x": x_ends[1], "y": level, "line": name}]
        labels.append({"x": x_ends[1], "y": level, "label": words, "short": name})
    draw = alt.Chart(alt.InlineData(values=lines)).mark_line(color=theme.INK, strokeWidth=1)
    place = {"x": alt.X("x:Q", scale=x_scale), "y": alt.Y("y:Q", scale=y_scale)}
    middle = math.sqrt(start * top / slope)
    along = {"x": middle, "y": middle * slope, "label": f"memory {wording.plain(slope)} TB/s"}
    # Angle of the slope on paper, from the pixels that a decade takes in each direction.
    rise = _HEIGHT / math.log10(y_ends[1] / y_ends[0])
    run = _WIDTH / math.log10(x_ends[1] / x_ends[0])
    return [
        draw.encode(**place, detail="line:N"),
        alt.Chart(alt.InlineData(values=labels))
        .mark_text(
            align="right", baseline="bottom", dy=-4, fontSize=11, color=theme.QUIET,
            text=alt.ExprRef("width < 430 ? datum.short : datum.label"),
        )
        .encode(**place),
        alt.Chart(alt.InlineData(values=[along]))
        .mark_text(
            baseline="bottom", dy=-5, fontSize=11, color=theme.QUIET,
            angle=alt.ExprRef(f"360 - 57.29578 * atan2({rise:.2f}, {run:.2f} * width / {_WIDTH})"),
        )
        .encode(**place, text="label:N"),
    ]  # fmt: skip


def _point(p: OperatorPoint, all_points: list[OperatorPoint]) -> dict[str, Any]:
    total = sum(q.time_frac for q in all_points if q.phase == p.phase)
    return {
        "phase": p.phase, "operator": p.operator, "kind": p.kind, "rate": p.rate, "x": p.flop_per_byte,
        "y": p.achieved_flop_per_s / _TERA, "frac": p.time_frac / total if total else 0.0,
        "share": wording.percent(p.time_frac / total) if total else wording.UNKNOWN, "limit": p.limit,
    }  # fmt: skip


def _ceilings(peaks: list[tuple[str, float]]) -> list[tuple[float, str, str]]:
    """(TFLOP/s, words, formats) of each ceiling, lowest first; formats with the same peak share one."""
    levels: dict[float, list[str]] = {}
    for name, peak in peaks:
        levels.setdefault(peak / _TERA, []).append(name)
    return [
        (level, f"{', '.join(names)} {wording.plain(level)} TFLOP/s", ", ".join(names))
        for level, names in sorted(levels.items())
    ]


def _names(
    drawn: list[OperatorPoint],
    x_ends: tuple[float, float],
    y_ends: tuple[float, float],
    roof: Roof,
    ceilings: list[tuple[float, str, str]],
) -> list[dict[str, Any]]:
    """Names beside or below the marks; marks that lie together share the name of the largest and a count.

    Where every place at the marks lies on a mark, on another name, on a ceiling or its name, the name moves down.
    """
    per_x = _WIDTH / math.log(x_ends[1] / x_ends[0])
    per_y = _HEIGHT / math.log(y_ends[1] / y_ends[0])

    def at(p: OperatorPoint) -> tuple[float, float, float]:
        radius = math.sqrt(24 + 1576 * p.time_frac) / 2
        return (
            per_x * math.log(p.flop_per_byte / x_ends[0]),
            per_y * math.log(y_ends[1] * _TERA / p.achieved_flop_per_s),
            radius,
        )

    taken = [(x - r, x + r, y, 2 * r) for x, y, r in map(at, drawn)]
    for level, words, _ in ceilings:
        y = per_y * math.log(y_ends[1] / level)
        ridge = per_x * math.log(level * _TERA / roof.memory_bytes_per_s / x_ends[0])
        taken += [(_WIDTH - _CHARACTER_PX * len(words), _WIDTH, y - 10.0, 11.0), (ridge, _WIDTH, y, 1.0)]
    labels = []
    for phase in _PHASES:
        rest = sorted((p for p in drawn if p.phase == phase), key=lambda p: -p.time_frac)
        while rest:
            x, y, _ = at(rest[0])
            near = [p for p in rest if abs(at(p)[0] - x) < 60 and abs(at(p)[1] - y) < 40]
            rest = [p for p in rest if p not in near]
            text = near[0].operator + (f" +{len(near) - 1}" if len(near) > 1 else "")
            wide = _CHARACTER_PX * len(text)
            edges = [at(p) for p in near]
            first, last = min(u - r for u, _, r in edges), max(u + r for u, _, r in edges)
            below = max(v + r for _, v, r in edges) + 11
            places = [(last + 6, y), (x - wide / 2, below), (last - wide, below), (first, below), (first - wide - 6, y)]
            places += [(first - wide / 2, below + 2.0 * step) for step in range(100)]

            def free(place: tuple[float, float], wide: float = wide) -> bool:
                left, v = place
                inside = left >= 0 and left + wide <= _WIDTH
                return inside and not any(
                    left < b and left + wide > a and abs(v - u) < 7 + tall / 2 for a, b, u, tall in taken
                )

            left, y = next((place for place in places if free(place)), places[0])
            right = left + wide
            taken.append((left, right, y, 14.0))
            place = {"x": x_ends[0] * math.exp(left / per_x), "y": y_ends[1] * math.exp(-y / per_y)}
            labels.append({**place, "label": text})
    return labels


def _undrawn(points: list[OperatorPoint]) -> list[str]:
    """A sentence on the time of operators that do no arithmetic and have no place on the chart."""
    parts = []
    for phase in _PHASES:
        mine = [p for p in points if p.phase == phase]
        total = sum(p.time_frac for p in mine)
        rest = sum(p.time_frac for p in mine if p.flop_per_byte <= 0 or p.achieved_flop_per_s <= 0)
        if total > 0 and rest > 0:
            parts.append(f"{wording.percent(rest / total)} of {phase}")
    return [f"Without a place here, because it computes nothing: {wording.listed(parts)}."] if parts else []
