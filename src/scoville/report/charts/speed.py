"""Cost against speed: what a million tokens cost where each user gets so many tokens per second, a line per chip."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from scoville.report import theme, wording
from scoville.study.answer import Answer, ParetoPoint
from scoville.units import to_unit

if TYPE_CHECKING:
    import altair as alt

_TENURES = {"own": "owned", "rent": "rented"}


def pareto(answer: Answer) -> alt.LayerChart | None:
    """Cost per million tokens over tokens/s per user, along each chip's front; None where no point has a price.

    Costs are the owner's, or those of rent where more chips have a rent.
    """
    import altair as alt

    tenure = max(_TENURES, key=lambda t: len(fronts(answer, t)))
    lines = fronts(answer, tenure)
    if not lines:
        return None
    colours, dashes = theme.chip_colours(answer), theme.chip_dashes(answer)
    names = {chip: wording.name_of(answer, chip) for chip in lines}
    points = [_point(names[chip], p, tenure) for chip, line in lines.items() for p in line]
    speeds, costs = [p["speed"] for p in points], [p["usd"] for p in points]
    x_scale = alt.Scale(type="log", domain=[min(speeds) / 1.1, max(speeds) * 1.1], nice=False)
    y_scale = alt.Scale(type="log", domain=[min(costs) / 1.15, max(costs) * 1.15], nice=False)
    axis: dict[str, Any] = {"format": "~g", "labelOverlap": True}
    x = alt.X("speed:Q", scale=x_scale, axis=alt.Axis(title="tokens/s per user", values=ticks(*_ends(speeds)), **axis))
    y = alt.Y("usd:Q", scale=y_scale, axis=alt.Axis(title=None, values=ticks(*_ends(costs)), **axis))
    pick = alt.selection_point(fields=["chip"], bind="legend", name="chip")
    legend = alt.Legend(
        title=None, orient="top", direction="horizontal", symbolType="stroke", symbolStrokeWidth=3, symbolSize=260,
        columns=alt.ExprRef("width < 430 ? 2 : 4"),
    )  # fmt: skip
    hues = alt.Scale(domain=list(names.values()), range=[colours.get(chip, theme.BAR) for chip in lines])
    marks = alt.Scale(domain=list(names.values()), range=[dashes.get(chip, theme.DASH[0]) for chip in lines])
    colour = alt.Color("chip:N", scale=hues, legend=legend)
    dash = alt.StrokeDash("chip:N", scale=marks, legend=legend)
    dim = alt.when(pick).then(alt.value(1.0)).otherwise(alt.value(0.12))
    base = alt.Chart(alt.InlineData(values=points)).encode(x=x, y=y, color=colour, opacity=dim)
    hover = [
        alt.Tooltip("chip:N", title="chip"), alt.Tooltip("deployment:N", title="deployment"),
        alt.Tooltip("speed:Q", title="tokens/s per user", format=",.3~r"),
        alt.Tooltip("rate:Q", title="tokens/s per chip", format=",.3~r"),
        alt.Tooltip("usd:Q", title="USD per million tokens", format=",.3~r"), alt.Tooltip("meets:N", title="targets"),
    ]  # fmt: skip
    layers: list[Any] = []
    target = _target(answer)
    if target and x_scale.domain[0] <= target <= x_scale.domain[1]:
        mark = alt.Chart(alt.InlineData(values=[{"speed": target, "label": _target_words(answer, target)}])).encode(
            x=alt.X("speed:Q", scale=x_scale)
        )
        layers += [
            mark.mark_rule(strokeDash=[3, 3], color=theme.QUIET),
            mark.mark_text(align="left", baseline="top", dx=5, color=theme.QUIET).encode(
                text="label:N", y=alt.value(0)
            ),
        ]
    layers += [
        base.mark_line(strokeWidth=2).encode(order="order:Q", strokeDash=dash).add_params(pick),
        base.transform_filter("!datum.filled")
        .mark_point(size=34, fill=theme.PAPER, strokeWidth=1.4)
        .encode(tooltip=hover),
        base.transform_filter("datum.filled").mark_point(size=60, filled=True).encode(tooltip=hover),
    ]
    priceless = [row.name for row in answer.rows if not row.refusal and row.accelerator not in lines]
    left_out = (
        [f"Not shown, because it has no price {_TENURES[tenure]}: {wording.listed(priceless)}."] if priceless else []
    )
    return theme.titled(
        layers,
        title(answer, tenure, lines),
        f"USD per million tokens ({_TENURES[tenure]}) over mean tokens/s per user, each chip along its best batch "
        f"sizes; filled points meet the targets{_late(answer)}",
        wording.foot(answer, *left_out, *_whose(answer)),
        height=380,
        shift=36,
    )


def fronts(answer: Answer, tenure: str) -> dict[str, list[ParetoPoint]]:
    """Priced points on each chip's front, slowest user first, chips in the order of the study."""
    found: dict[str, list[ParetoPoint]] = {row.accelerator: [] for row in answer.rows}
    for p in answer.pareto:
        usd = _cost(p, tenure)
        if p.on_front and usd is not None and usd > 0 and p.tokens_per_s_per_user > 0:
            found.setdefault(p.accelerator, []).append(p)
    return {chip: sorted(line, key=lambda p: p.tokens_per_s_per_user) for chip, line in found.items() if line}


def title(answer: Answer, tenure: str, lines: dict[str, list[ParetoPoint]]) -> str:
    """Who is cheapest among the points that meet the targets, and who still is at twice their speed."""
    verb = "own" if tenure == "own" else "rent"
    best = _best([p for line in lines.values() for p in line if p.meets_targets], tenure)
    if best is None:
        return "No chip meets the targets at any batch size"
    name = wording.name_of(answer, best.accelerator)
    if len(lines) == 1:
        return f"{name} meets the targets from {wording.usd(_cost(best, tenure) or 0)} per million tokens"
    start = f"{name} is cheapest to {verb} at the targets"
    speed = 2 * best.tokens_per_s_per_user
    fast = _best([p for line in lines.values() for p in line if p.tokens_per_s_per_user >= speed], tenure)
    if fast is None:
        return f"{start}; twice its speed is out of reach for all"
    more = (_cost(fast, tenure) or 0) / (_cost(best, tenure) or 1)
    times = f"{wording.plain(round(more, 1))} times the cost"
    if fast.accelerator == best.accelerator:
        return f"{start}, and still at twice the speed, at {times}"
    return f"{start}; at twice the speed {wording.name_of(answer, fast.accelerator)} is, at {times}"


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each decade between the ends; every whole decade only where there are more than four.

    >>> ticks(8, 120)
    [10.0, 20.0, 50.0, 100.0]
    """
    decades = range(-12, 19)
    steps = (1, 2, 5) if high / low < 1e4 else (1,)
    return [float(f"{s}e{d}") for d, s in itertools.product(decades, steps) if low <= float(f"{s}e{d}") <= high]


def _ends(values: list[float]) -> tuple[float, float]:
    return min(values) / 1.15, max(values) * 1.15


def _best(points: list[ParetoPoint], tenure: str) -> ParetoPoint | None:
    return min(points, key=lambda p: _cost(p, tenure) or 0, default=None)


def _cost(p: ParetoPoint, tenure: str) -> float | None:
    return p.own_usd_per_token if tenure == "own" else p.rent_usd_per_token


def _target(answer: Answer) -> float | None:
    return 1 / answer.tpot_target_s if answer.tpot_target_s > 0 else None


def _target_words(answer: Answer, target: float) -> str:
    return f"target {wording.plain(target)} tokens/s{_percentile(answer)}"


def _percentile(answer: Answer) -> str:
    frac = answer.percentile_tpot_frac
    return f" at P{100 * frac:g}" if frac > 0 else ""


def _late(answer: Answer) -> str:
    """Why hollow points stand right of the line: it is the target of a percentile, the points are means."""
    if _target(answer) is None:
        return ""
    near = "right" if any(row.replayed for row in answer.rows) else "just right"
    return f". The line is the target{_percentile(answer)}, points are means: those {near} of it can miss it"


def _whose(answer: Answer) -> list[str]:
    """That the points are the steady state's, and who decides which of them meet the targets."""
    if not any(row.replayed for row in answer.rows):
        return []
    decides = "Points are the steady state's; up to which of them the targets are met is the replay's finding."
    return [decides, *wording.steady_only(answer)]


def _point(name: str, p: ParetoPoint, tenure: str) -> dict[str, Any]:
    return {
        "chip": name, "deployment": f"{p.parallelism}, batch {p.batch_count:,}", "speed": p.tokens_per_s_per_user,
        "rate": p.tokens_per_s_per_chip, "usd": to_unit(_cost(p, tenure) or 0, "usd_per_token", "USD/Mtok"),
        "filled": p.meets_targets, "meets": "met" if p.meets_targets else "missed", "order": p.tokens_per_s_per_user,
    }  # fmt: skip
