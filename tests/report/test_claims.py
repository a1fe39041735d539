"""Audited claims as they are printed and drawn."""

from __future__ import annotations

import io

from rich.console import Console

from scoville.claims import Audit, Claim, Line, Need, Report
from scoville.facts import Fact, Range
from scoville.report import claims as page
from scoville.report import theme
from scoville.report.charts.claims import claims as chart
from scoville.report.charts.claims import drawn, title

MEASURE = "tokens_per_s"


def figure(value: float, low: float, high: float) -> Range:
    return Range(low, value, high, MEASURE)


def audit(verdict: str, *, sense: str = "at least", decides: bool = True) -> Audit:
    fact = Fact(
        "claim-x", "claimed", 19641.0, 19641.0, 19641.0, MEASURE, "tok/s", "who said so", "2026-08-25", "vendor"
    )
    claim = Claim("claim-x", "Very many tokens", "somebody", "GB300", "a basis", fact, None, sense, {})  # type: ignore[arg-type]
    lines = (
        Line("chip", "tok/s", MEASURE, figure(19641, 19641, 19641), figure(9000, 8000, 10000), figure(7000, 6000, 8000),
             40000.0, decides),
    )  # fmt: skip
    needs = (
        Need("share", "%", "frac", 0.5, 0.9, 1.0, possible=True),
        Need("latency", "us", "s", 5e-6, float("nan"), 0.0, possible=False),
        Need("latency", "us", "s", 5e-6, 1e-6, 0.0, possible=True, beside="share of 100 %"),
    )
    return Audit(claim, lines, needs, verdict, "the share is at least 90 %", ("chip: TP8",), ("A note.",))  # type: ignore[arg-type]


def report(*audits: Audit) -> Report:
    return Report("chip", "Chip", 100, 1, audits, ("an assumption",))


def printed(found: Report, width: int = 120) -> str:
    out = io.StringIO()
    page.show(found, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def points(found: Report) -> list[dict[str, float]]:
    """What the filled marks of the chart show."""
    spec = theme.specification(chart(found))
    datasets = [*spec.get("datasets", {}).values(), *(layer["data"].get("values", []) for layer in spec["layer"])]
    return next(rows for rows in datasets if rows and "low" in rows[0])


def test_a_claim_is_printed_as_it_was_said_beside_the_model() -> None:
    text = printed(report(audit("plausible only if")))
    for part in (
        "1 claim about Chip: 1 plausible only if", ">= 19,641 tok/s", "9,000 (8,000–10,000)", "7,000 (6,000–8,000)",
        "somebody, 2026-08-25 (vendor), who said so; against GB300", "no value is enough alone", ">= 90.0",
        "with the share of 100 %:", "<= 1.00", "Plausible only if the share is at least 90 %.", "Timed: chip: TP8.",
    ):  # fmt: skip
        assert part in text, part


def test_no_line_is_wider_than_the_terminal() -> None:
    for width in (100, 120):
        text = printed(report(audit("plausible"), audit("contradicted by")), width)
        assert max(len(row.rstrip()) for row in text.splitlines()) <= width


def test_the_title_counts_the_claims_by_verdict() -> None:
    found = report(audit("plausible"), audit("plausible"), audit("not checkable because"))
    assert page.title(found) == "3 claims about Chip: 2 plausible and 1 not checkable"


def test_the_chart_shows_only_figures_that_decide_and_says_what_it_finds() -> None:
    found = report(audit("plausible"), audit("plausible only if"), audit("plausible", decides=False))
    assert len(drawn(found)) == 2
    assert title(found) == "2 of 3 checked claims are plausible as they stand, 1 on a condition"
    assert points(found)[0]["central"] == 9000 / 19641


def test_less_than_claimed_is_better_where_time_is_claimed() -> None:
    (point,) = points(report(audit("plausible", sense="at most")))
    assert point["central"] == 19641 / 9000
    assert point["low"] < point["central"] < point["high"]
