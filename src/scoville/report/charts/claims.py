"""Claims against the model: how many times as good as claimed each figure comes out, with its range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scoville.claims import Audit, Line, Report
from scoville.facts import Range
from scoville.report import theme

if TYPE_CHECKING:
    import altair as alt

_ROW = 27.0
_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_COLOURS = {
    "plausible": theme.CATEGORY[2],
    "plausible only if": theme.CATEGORY[1],
    "contradicted by": theme.CATEGORY[5],
    "not checkable because": theme.CATEGORY[6],
}


def drawn(report: Report) -> list[tuple[Audit, Line]]:
    """The figures that decide a claim, each with its audit."""
    return [(a, line) for a in report.audits for line in a.lines if line.decides and line.claimed and line.modelled]


def claims(report: Report) -> alt.LayerChart:
    """A row for each deciding figure: central and P10 to P90 of the model, over the claimed figure; the roofline as a
    hollow mark where the chip has a timer of its own, a step without launches as a diamond. There is at least one.
    """
    import altair as alt

    points = [_point(audit, line) for audit, line in drawn(report)]
    names = [p["name"] for p in points]
    shift = theme.label_px(names)
    every = [p[key] for p in points for key in ("low", "high", "roofline", "bare") if p[key]]
    ends = min(*every, 1.0) / 1.2, max(*every, 1.0) * 1.2
    scale: Any = alt.Scale(type="log", domain=list(ends), nice=False)
    axis = alt.Axis(title=None, format="~g", values=[v for v in _TICKS if ends[0] <= v <= ends[1]])
    x = alt.X("central:Q", scale=scale, axis=axis)
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(grid=False))
    hues = alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values()))
    colour = alt.Color("verdict:N", scale=hues, legend=None)
    base = alt.Chart(alt.InlineData(values=points))
    one = alt.Chart(alt.InlineData(values=[{"central": 1.0}])).mark_rule(color=theme.INK).encode(x=x)
    low = alt.X("low:Q", scale=scale, axis=axis)
    whiskers = base.mark_rule(strokeWidth=1.2).encode(x=low, x2="high:Q", y=y, color=colour)
    tips = [alt.Tooltip("name:N"), alt.Tooltip("verdict:N"), alt.Tooltip("central:Q", format=".3~r")]
    marks = base.mark_point(filled=True, size=80, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips)
    hollow, diamond = (
        alt.Chart(alt.InlineData(values=[{**p, "central": p[key]} for p in points if p[key]])).mark_point(
            filled=False, size=size, strokeWidth=width, shape=shape
        ).encode(x=x, y=y, color=colour)
        for key, shape, size, width in (("roofline", "circle", 60, 1.2), ("bare", "diamond", 80, 1.6))
    )  # fmt: skip
    return theme.titled(
        [one, whiskers, hollow, diamond, marks],
        title(report),
        "Model over claim, P10 to P90; above 1 the model gives more than was claimed (less time where time is claimed)",
        "Green: plausible; amber: plausible only if a parameter of the model is other than taken. Filled: the chip's "
        f"own timer; hollow: the roofline; diamond: a step of one kernel, without "
        f"launches. {report.samples_count:,} samples, seed {report.seed}.",
        _ROW * len(points),
        shift=shift,
    )


def title(report: Report) -> str:
    """How many of the checked claims the model reaches as it stands."""
    checked = [a for a in report.audits if a.verdict != "not checkable because"]
    count = {verdict: sum(a.verdict == verdict for a in checked) for verdict in _COLOURS}
    rest = [
        f"{count[verdict]} {words}"
        for verdict, words in (
            ("plausible only if", "on a condition"),
            ("contradicted by", "contradicted"),
        )
        if count[verdict]
    ]
    return ", ".join((f"{count['plausible']} of {len(checked)} checked claims are plausible as they stand", *rest))


def _point(audit: Audit, line: Line) -> dict[str, Any]:
    assert line.modelled is not None
    r = _over(line.modelled, line, audit)
    other, bare = (_over(x, line, audit).central if x else None for x in (line.roofline, line.bare))
    return {
        "name": _label(audit, line), "low": r.p10, "central": r.central, "high": r.p90, "roofline": other,
        "bare": bare, "verdict": audit.verdict,
    }  # fmt: skip


def _label(audit: Audit, line: Line) -> str:
    """The claim's id in words; what the figure is of, where more than one decides."""
    words = audit.claim.id.removeprefix("claim-").replace("-", " ")
    several = sum(other.decides for other in audit.lines) > 1
    return f"{words}: {line.what.split(',')[0]}" if several else words


def _over(r: Range, line: Line, audit: Audit) -> Range:
    """The model over the claim, or the other way about where less is better."""
    assert line.claimed is not None
    c = line.claimed.central
    if audit.claim.sense == "at most":
        return Range(c / r.p90, c / r.central, c / r.p10, "frac")
    return Range(r.p10 / c, r.central / c, r.p90 / c, "frac")
