"""Cost per token: a bar for every chip and tenure, its heat the cost, a whisker from P10 to P90."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scoville.report import theme, wording
from scoville.study.answer import Answer, Price, Row

if TYPE_CHECKING:
    import altair as alt

_TENURES = {"rent": "rented", "own": "owned"}
_DECADES = 20.0
# Room to the right of the longest whisker for its label, as a share of the width.
_LABEL_FRAC = 0.34


def cost_per_token(answer: Answer) -> alt.LayerChart | None:
    """USD per million tokens of every chip, rented and owned, cheapest chip first; None where nothing has a price."""
    import altair as alt

    rows = [row for row in answer.rows if not row.refusal and (row.rent or row.own)]
    if not rows:
        return None
    rows.sort(key=lambda row: min(p.all.central for p in (row.rent, row.own) if p))
    domain = theme.heat_domain(answer)
    bars = [
        _bar(answer, row, tenure, p, domain) for row in rows for tenure in _TENURES if (p := wording.price(row, tenure))
    ]
    absent = [
        {"chip": row.name, "tenure": words, "label": f"{words}: {wording.NOT_OFFERED}", "why": _why(row, tenure)}
        for row in rows
        for tenure, words in _TENURES.items()
        if wording.price(row, tenure) is None
    ]
    top, bottom = max(b["high"] for b in bars), min(b["low"] for b in bars)
    log = bottom > 0 and top / bottom > _DECADES
    scale = (
        alt.Scale(
            type="log", domain=[bottom / 1.3, top * (top / bottom) ** (_LABEL_FRAC / (1 - _LABEL_FRAC))], nice=False
        )
        if log
        else alt.Scale(domain=[0, top / (1 - _LABEL_FRAC)], nice=False)
    )
    y = alt.Y("chip:N", sort=[row.name for row in rows], title=None, axis=alt.Axis(grid=False, labelFontSize=13))
    offset = alt.YOffset("tenure:N", sort=list(_TENURES.values()))
    axis = alt.Axis(
        title="USD per million tokens", format="~g", tickCount=alt.ExprRef("width < 300 ? 3 : 6"), grid=False
    )
    hover = [
        alt.Tooltip("chip:N", title="chip"), alt.Tooltip("tenure:N", title="tenure"),
        alt.Tooltip("words:N", title="USD per million tokens"), alt.Tooltip("hourly:N", title="USD per chip-hour"),
        alt.Tooltip("wins:N", title="cheapest in"), alt.Tooltip("evidence:N", title="timing"),
        alt.Tooltip("basis:N", title="basis"),
    ]  # fmt: skip
    base = alt.Chart(alt.InlineData(values=bars)).encode(y=y, yOffset=offset, tooltip=hover)
    x = alt.X("central:Q", scale=scale, axis=axis)
    # A bar from zero has no place on a logarithmic axis; there it runs from P10 to P90.
    ends = {"x": alt.X("low:Q", scale=scale, axis=axis), "x2": alt.X2("high:Q")} if log else {"x": x}
    layers: list[Any] = [base.mark_bar(height=13).encode(**ends, color=alt.Color("heat:N", scale=None))]
    layers += [
        base.mark_rule(strokeWidth=3, color=theme.PAPER).encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
        base.mark_rule(strokeWidth=1).encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
        base.mark_point(shape="circle", filled=True, color=theme.PAPER, size=90, opacity=1).encode(x=x),
        base.mark_point(size=90, opacity=1, stroke=theme.INK).encode(
            x=x, shape=shapes(bars), fill=alt.Fill("ink:N", scale=None)
        ),
        base.mark_text(
            align="left", dx=8, text=alt.ExprRef("width < 430 ? datum.short : datum.label"), fontSize=12
        ).encode(x=alt.X("high:Q", scale=scale, axis=axis)),
    ]  # fmt: skip
    if absent:
        layers.append(
            alt.Chart(alt.InlineData(values=absent))
            .mark_text(align="left", dx=4, color=theme.QUIET, fontSize=12, text=alt.ExprRef("datum.label"))
            .encode(y=y, yOffset=offset, x=alt.value(0), tooltip=[alt.Tooltip("why:N", title="why")])
        )
    subtitle = (
        "USD per million tokens, input and output together; bars are central values, whiskers P10 to P90, "
        "marks say how the timing is known"
    )
    return theme.titled(
        layers,
        title(answer),
        subtitle.replace("bars", "points") if log else subtitle,
        wording.foot(answer, *_left_out(answer)),
        height=46.0 * len(rows) + 6,
        shift=theme.label_px(row.name for row in rows),
    )


def shapes(values: list[dict[str, Any]]) -> alt.Shape:
    """The shape of evidence, with a legend of the shapes that occur in `values` (their field "evidence")."""
    import altair as alt

    present = {v["evidence"] for v in values}
    known = {words: theme.SHAPE[shape] for shape, words in theme.EVIDENCE_WORDS.items() if words in present}
    legend = alt.Legend(
        title=None, orient="top", symbolFillColor=theme.INK, symbolStrokeColor=theme.INK,
        columns=alt.ExprRef("width < 430 ? 1 : 3"), direction="horizontal",
    )  # fmt: skip
    return alt.Shape("evidence:N", scale=alt.Scale(domain=list(known), range=list(known.values())), legend=legend)


def title(answer: Answer) -> str:
    """Who is cheapest to rent and to own, and by how much; true for any answer with a price."""
    rent, own = (wording.priced(answer, tenure) for tenure in _TENURES)
    feasible = [row for row in answer.rows if not row.refusal]
    if len(feasible) == 1:
        only = feasible[0]
        costs = [f"{wording.usd(p.all.central)} {_TENURES[t]}" for t in _TENURES if (p := wording.price(only, t))]
        return f"Only {only.name} can do it: {wording.listed(costs)} per million tokens"
    verdicts = [_verdict(entries, words) for entries, words in ((rent, "rent"), (own, "own")) if entries]
    if len(verdicts) == 2 and verdicts[0][0] == verdicts[1][0] and verdicts[0][1].endswith(" to rent"):
        (who, claim, lead), (_, _, other) = verdicts
        text = f"{who} {claim} and to own{lead}" if lead == other else f"{who} {claim}{lead}, and to own{other}"
    else:
        text = "; ".join(f"{who} {claim}{lead}" for who, claim, lead in verdicts)
    absent = "" if rent else "; none is for rent" if own else ""
    return text[:1].upper() + text[1:] + absent


def _verdict(entries: list[tuple[Row, Price]], words: str) -> tuple[str, str, str]:
    """('B200', 'is cheapest to own', ', 16 % below H200'), ('B200 and H200', 'are equally cheap to own', '')."""
    ranked = sorted(entries, key=lambda e: e[1].all.central)
    (first, p), rest = ranked[0], ranked[1:]
    if not rest:
        return f"only {first.name}", "is for rent" if words == "rent" else "has an owner's cost", ""
    same = [row.name for row, q in ranked if wording.usd(q.all.central) == wording.usd(p.all.central)]
    if len(same) > 1:
        return wording.listed(same), f"are equally cheap to {words}", ""
    second, q = rest[0]
    lead = f", {wording.percent(1 - p.all.central / q.all.central)} below {second.name}"
    return first.name, f"is cheapest to {words}", lead


def _bar(answer: Answer, row: Row, tenure: str, p: Price, domain: tuple[float, float]) -> dict[str, Any]:
    low, central, high = wording.scaled(p.all, "USD/Mtok")
    words = _TENURES[tenure]
    winner = answer.cheapest_rent if tenure == "rent" else answer.cheapest_own
    mark = f", cheapest to {tenure}" if row.accelerator == winner else ""
    return {
        "chip": row.name, "tenure": words, "low": low, "central": central, "high": high,
        "heat": theme.heat(p.all.central, domain), "ink": theme.INK,
        "label": f"{words} {wording.ranged(p.all, 'USD/Mtok')}{mark}",
        "short": f"{words} {wording.digits(central)}",
        "words": wording.ranged(p.all, "USD/Mtok"), "hourly": wording.ranged(p.hourly, "USD/h"),
        "wins": f"{wording.percent(p.cheapest_frac)} of the samples", "basis": p.basis,
        "evidence": theme.EVIDENCE_WORDS[theme.evidence_shape(row.evidence)],
    }  # fmt: skip


def _why(row: Row, tenure: str) -> str:
    return (row.not_rented if tenure == "rent" else row.not_owned) or wording.NOT_OFFERED


def _left_out(answer: Answer) -> list[str]:
    refused = [row.name for row in answer.rows if row.refusal]
    missing = [f"Not shown, because no deployment was found: {wording.listed(refused)}."] if refused else []
    return missing + wording.steady_only(answer)
