"""A company's years as fans: P10 to P90 as a band, P50 as a line; what each claim saves; what decides."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scoville.report import theme, wording
from scoville.study.company_answer import CompanyAnswer, Fan
from scoville.units import to_unit

if TYPE_CHECKING:
    import altair as alt

_HEIGHT = 300
_LABEL_PX = 150  # right of the last year, for the names of lines
_NAMES_PX = 220  # right of the last share, for the names of claims
_LABEL_CHARACTERS = 32
_BOUGHT, _OWN = theme.CATEGORY[0], theme.CATEGORY[5]


def charts(answer: CompanyAnswer) -> dict[str, alt.LayerChart]:
    """Every chart by the name of its file."""
    made = {"revenue": revenue, "inference": inference, "result": result, "saving": saving, "share": share}
    drawn = {name: make(answer) for name, make in made.items()}
    return {**drawn, "decides": decides(answer)} if answer.drivers else drawn


def revenue(answer: CompanyAnswer) -> alt.LayerChart:
    """Revenue by year."""
    fan = answer.fan("revenue")
    first, last = _b(fan.central[0]), _b(fan.central[-1])
    return _fans(
        answer, [("revenue", fan, _BOUGHT)],
        f"Revenue is planned to grow from {first} to {last} BUSD in {answer.years[-1] - answer.years[0]} years",
        "Revenue, USD billions a year; one rate of growth to the target, whose range counts",
    )  # fmt: skip


def inference(answer: CompanyAnswer) -> alt.LayerChart:
    """Spending on inference, all bought and with own chips."""
    bought, own = answer.fan("cost of revenue, all bought"), answer.fan("cost of revenue, with own chips")
    less = 1 - own.p50[-1] / bought.p50[-1]
    return _fans(
        answer, [("all bought", bought, _BOUGHT), ("with own chips", own, _OWN)],
        f"Own chips take {100 * less:.0f} % off the inference bill of {answer.years[-1]} if '{answer.claim}' holds",
        "Spending on inference, USD billions a year; idle own chips are paid for",
    )  # fmt: skip


def result(answer: CompanyAnswer) -> alt.LayerChart:
    """Operating result, all bought and with own chips."""
    bought, own = answer.fan("operating result, all bought"), answer.fan("operating result, with own chips")
    last, chance = answer.years[-1], answer.headline.profitable_frac
    return _fans(
        answer, [("all bought", bought, _BOUGHT), ("with own chips", own, _OWN)],
        f"The chip moves the result of {last} from {_b(bought.p50[-1])} to {_b(own.p50[-1])} BUSD; it is positive in "
        f"{wording.percent(chance)} of the samples",
        f"Operating result, USD billions a year; own chips as in the claim '{answer.claim}'",
    )  # fmt: skip


def _fans(
    answer: CompanyAnswer, fans: Sequence[tuple[str, Fan, str]], title: str, subtitle: str
) -> alt.LayerChart:  # fmt: skip
    import altair as alt

    rows = [_row(name, colour, fan, i, year) for name, fan, colour in fans for i, year in enumerate(answer.years)]
    x = alt.X("year:Q", axis=alt.Axis(title=None, format="d", values=list(answer.years), grid=False),
              scale=alt.Scale(domain=[answer.years[0], answer.years[-1]], nice=False,
                              range=[0, alt.ExprRef(f"width - {_LABEL_PX}")]))  # fmt: skip
    axis = alt.Axis(title=None, format=",d")
    colour = alt.Color("colour:N", scale=None)
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, color=colour, detail="name:N")
    ends = alt.Chart(alt.InlineData(values=_apart([r for r in rows if r["year"] == answer.years[-1]]))).encode(x=x)
    tips = [alt.Tooltip("name:N", title="case"), alt.Tooltip("year:Q", format="d"),
            alt.Tooltip("words:N", title="USD billions")]  # fmt: skip
    layers = [
        base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", axis=axis), y2="high:Q"),
        base.mark_line().encode(y=alt.Y("p50:Q", axis=axis)),
        base.mark_point(filled=True, size=36, opacity=1).encode(y=alt.Y("p50:Q", axis=axis), tooltip=tips),
        ends.mark_text(align="left", dx=8, fontSize=12).encode(y=alt.Y("at:Q"), text="label:N", color=colour),
    ]
    if min(r["low"] for r in rows) < 0:
        ends_at = [{"year": answer.years[0], "until": answer.years[-1], "nil": 0}]
        nil = alt.Chart(alt.InlineData(values=ends_at)).mark_rule(color=theme.INK).encode(x=x, x2="until:Q", y="nil:Q")
        layers.insert(0, nil)
    return theme.titled(layers, title, subtitle, _foot(answer, "Line P50, band P10 to P90."), _HEIGHT, shift=40)


def _apart(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last year's labels, moved apart where two lines end at nearly one height."""
    ordered = sorted(rows, key=lambda r: r["p50"])
    span = (max(r["high"] for r in rows) - min(0.0, *(r["low"] for r in rows))) or 1.0
    at, made = -float("inf"), []
    for r in ordered:
        at = max(r["p50"], at + 0.07 * span)
        made.append({**r, "at": at})
    return made


def _row(name: str, colour: str, fan: Fan, i: int, year: int) -> dict[str, Any]:
    low, middle, high = (to_unit(x[i], fan.measure, "BUSD") for x in (fan.p10, fan.p50, fan.p90))
    words = f"{_b(fan.p50[i])} ({_b(fan.p10[i])} to {_b(fan.p90[i])})"
    return {"name": name, "colour": colour, "year": year, "low": low, "p50": middle, "high": high, "words": words,
            "label": f"{name}: {_b(fan.p50[i])}"}  # fmt: skip


def saving(answer: CompanyAnswer) -> alt.LayerChart:
    """What each claim saves in the last year, and what would be needed for a result of nil."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {
            "claim": "\n".join(textwrap.wrap(c.name, _LABEL_CHARACTERS)), "low": c.saving.p10[-1] / 1e9,
            "p50": c.saving.p50[-1] / 1e9, "high": c.saving.p90[-1] / 1e9,
            "words": f"profitable in {wording.percent(c.profitable_frac)}",
        }
        for c in answer.claims
    ]  # fmt: skip
    gap = -answer.fan("operating result, all bought").p50[-1] / 1e9
    names = [r["claim"] for r in rows]
    most = max(*(r["high"] for r in rows), gap)
    scale = alt.Scale(domain=[min(0.0, *(r["low"] for r in rows)), most * 1.45], nice=False)
    x = alt.X("p50:Q", scale=scale, axis=alt.Axis(title=None, format=",d"))
    y = alt.Y("claim:N", sort=names, title=None,
              axis=alt.Axis(grid=False, labelFontSize=13, labelExpr="split(datum.value, '\\n')"))  # fmt: skip
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=y)
    line = alt.Chart(alt.InlineData(values=[{"p50": gap, "label": f"the loss without the chip: {gap:.0f}"}])).encode(
        x=x
    )
    layers = [
        line.mark_rule(strokeDash=[3, 3], color=theme.QUIET),
        line.mark_text(align="left", baseline="bottom", dx=5, color=theme.QUIET).encode(text="label:N", y=alt.value(0)),
        base.mark_rule(strokeWidth=1.5, color=theme.INK).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        base.mark_point(filled=True, size=80, color=_OWN, opacity=1).encode(x=x),
        base.mark_text(align="right", color=theme.QUIET).encode(x=alt.value("width"), text="words:N"),
    ]
    best = max(answer.claims, key=lambda c: c.saving.p50[-1])
    title = (
        f"In the middle of the samples no claim saves the {gap:.0f} BUSD that {answer.years[-1]} lacks"
        if best.saving.p50[-1] < gap * 1e9
        else f"If '{best.name}' holds, the chip saves the {gap:.0f} BUSD that {answer.years[-1]} lacks"
    )
    return theme.titled(
        layers, title if gap > 0 else f"{answer.years[-1]} is profitable without the chip",
        f"Saving in {answer.years[-1]}, USD billions, P50 with P10 to P90; percent of samples with a positive result",
        _foot(answer, "Chips beyond what inference can use are idle and paid for."),
        46.0 * len(rows), shift=theme.label_px(part for n in names for part in n.split("\n")),
    )  # fmt: skip


def share(answer: CompanyAnswer) -> alt.LayerChart:
    """What each claim saves in the last year by the share of inference on own chips, and the loss without any."""
    import altair as alt

    gap = -answer.fan("operating result, all bought").p50[-1] / 1e9
    rows = [
        {"name": c.name, "colour": theme.CATEGORY[k % len(theme.CATEGORY)], "year": at, "label": c.name, **ends}
        for k, c in enumerate(answer.claims)
        for at, ends in [(0.0, dict.fromkeys(("low", "p50", "high"), 0.0)),
                         *((s.share_frac, _ends(s.saving)) for s in c.by_share)]
    ]  # fmt: skip
    x = alt.X("year:Q", axis=alt.Axis(title="share of inference on own chips", format=".0%", grid=False),
              scale=alt.Scale(domain=[0, 1], nice=False,
                              range=[0, alt.ExprRef(f"width - {_NAMES_PX}")]))  # fmt: skip
    axis = alt.Axis(title=None, format=",d")
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, color=alt.Color("colour:N", scale=None), detail="name:N")
    ends_here = alt.Chart(alt.InlineData(values=_apart([r for r in rows if r["year"] == 1.0])))
    line = [{"from": 0, "until": 1, "gap": gap, "label": f"the loss without the chip: {gap:.0f}"}]
    nil = alt.Chart(alt.InlineData(values=line)).encode(x=alt.X("from:Q"), y="gap:Q")
    layers = [
        base.mark_area(opacity=0.14).encode(y=alt.Y("low:Q", axis=axis), y2="high:Q"),
        base.mark_line().encode(y=alt.Y("p50:Q", axis=axis)),
        nil.mark_rule(strokeDash=[3, 3], color=theme.QUIET).encode(x2="until:Q"),
        nil.mark_text(align="left", baseline="bottom", dx=5, dy=-3, color=theme.QUIET).encode(text="label:N"),
        ends_here.mark_text(align="left", dx=8).encode(
            x=x, y="at:Q", text="label:N", color=alt.Color("colour:N", scale=None)
        ),
    ]
    enough = [c.name for c in answer.claims if c.by_share[-1].saving.p50[-1] >= gap * 1e9]
    last = answer.years[-1]
    title = (
        f"Even all inference on own chips leaves a loss in {last} under every claim"
        if not enough
        else f"All of {last}'s inference on own chips would close the gap under {len(enough)} of "
        f"{wording.counted(len(answer.claims), 'claim')}"
    )
    return theme.titled(
        layers if gap > 0 else [*layers[:2], layers[4]],
        title if gap > 0 else f"{last} is profitable without the chip",
        f"Saving in {last}, USD billions, by the share of inference on own chips, none of them idle",
        _foot(answer, "Line P50, band P10 to P90."), _HEIGHT, shift=40,
    )  # fmt: skip


def _ends(fan: Fan) -> dict[str, float]:
    """The last year of a fan, USD billions."""
    return {"low": fan.p10[-1] / 1e9, "p50": fan.p50[-1] / 1e9, "high": fan.p90[-1] / 1e9}


def decides(answer: CompanyAnswer) -> alt.LayerChart:
    """The inputs that explain most of the last year's result, by share of its variance. There is at least one."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {
            "input": "\n".join(textwrap.wrap(d.label, _LABEL_CHARACTERS)), "share": d.variance_share_frac,
            "words": f"{wording.percent(d.variance_share_frac)}: {d.at_low / 1e9:.0f} to {d.at_high / 1e9:.0f} BUSD",
        }
        for d in answer.drivers
    ]  # fmt: skip
    names = [r["input"] for r in rows]
    scale = alt.Scale(domain=[0, max(r["share"] for r in rows) * 1.45], nice=False)
    y = alt.Y("input:N", sort=names, title=None,
              axis=alt.Axis(grid=False, labelFontSize=13, labelExpr="split(datum.value, '\\n')"))  # fmt: skip
    x = alt.X("share:Q", scale=scale, axis=alt.Axis(title=None, format=".0%"))
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, y=y)
    first = answer.drivers[0]
    return theme.titled(
        [base.mark_bar(color=theme.BAR, height=16), base.mark_text(align="left", dx=6).encode(text="words:N")],
        f"What decides most is {first.label}",
        f"Share of the variance of the result of {answer.years[-1]} (squared rank correlation), and its mean where "
        "the input is in its lowest and in its highest tenth",
        _foot(answer, f"Own chips as in the claim '{answer.claim}'."),
        38.0 * len(rows), shift=theme.label_px(part for n in names for part in n.split("\n")),
    )  # fmt: skip


def _foot(answer: CompanyAnswer, first: str) -> str:
    return (
        f"{first} {answer.samples_count:,} samples, seed {answer.seed}. "
        f"Source: {answer.study_file}, Scoville {answer.scoville_version}."
    )


def _b(usd: float) -> str:
    value = usd / 1e9
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"
