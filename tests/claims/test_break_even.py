"""The derived break-even of the reference chip repeated from its inputs, and the way from there to the model's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scoville.claims.break_even import BreakEven, bridge, claimed_frac, derived
from scoville.economics.break_even import two_for_two
from scoville.facts import Facts, Range

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "known-answers.md"


@pytest.fixture(scope="module")
def steps(facts: Facts) -> dict[str, BreakEven]:
    return {b.what: b for b in bridge(facts)}


def test_the_derived_figures_are_repeated(facts: Facts) -> None:
    for case in derived(facts):
        assert case.derived is not None
        low, middle, high = (case.chips.p10, case.chips.central, case.chips.p90)
        assert (low, middle, high) == pytest.approx(
            (case.derived.low, case.derived.number, case.derived.high), rel=0.02
        ), case.what
        assert abs(case.error_frac or 0.0) < 0.02
    assert derived(facts)[0].saving.central == pytest.approx(
        facts.get("jalapeno-break-even", "saving").number, rel=0.01
    )
    programme = facts.get("jalapeno-programme", "nre_break_even_chips")
    assert (programme.low, programme.number, programme.high) == (22_000, 33_000, 44_000)


def test_by_hand(facts: Facts) -> None:
    ratio = 19_641 * 0.7 / (11_781 * 1.4)
    assert claimed_frac(facts) == pytest.approx(ratio)
    owned, at_share, rented = (c.chips.p10 for c in derived(facts))
    assert owned == pytest.approx(0.5e9 / (4 * 8760 * (ratio * 2.31 - 1.27)))
    assert at_share == pytest.approx(0.5e9 / (4 * 8760 * (0.7 * ratio * 2.31 - 1.27)))
    assert rented == pytest.approx(0.5e9 / (4 * 8760 * (ratio * 5.00 - 1.27)))


def test_the_way_begins_at_the_derived_figures(facts: Facts, steps: dict[str, BreakEven]) -> None:
    for case, name in zip(
        derived(facts), ("owned GB300", "owned GB300, 0.7 of the speed", "rented GB300"), strict=True
    ):
        assert steps[f"{name}: published"].chips == case.chips


def test_what_is_not_replaced_stays(steps: dict[str, BreakEven]) -> None:
    for name in ("owned GB300", "rented GB300"):
        published, speed, hours, cost = (
            steps[f"{name}: {s}"] for s in ("published", "modelled speed", "and hours", "and one-time cost")
        )
        assert published.own == speed.own and published.other == speed.other != hours.other
        assert speed.relative == hours.relative == cost.relative != published.relative
        assert hours.saving == cost.saving and hours.chips != cost.chips


def test_less_than_two_thirds_of_the_speed_saves_nothing(steps: dict[str, BreakEven]) -> None:
    at_share = steps["owned GB300, 0.7 of the speed: and hours"]
    published = steps["owned GB300, 0.7 of the speed: published"]
    assert at_share.saving.central < published.saving.central / 2
    assert at_share.never_frac > 0.35, "at 0.7 of the speed a chip should hardly ever pay"


def test_the_page_has_these_figures(facts: Facts, steps: dict[str, BreakEven]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    # Where next to nothing is saved, chips are the one-time cost over next to nothing: no two versions agree on them.
    firm = {name: s for name, s in steps.items() if s.saving.central > 1000 or s.what.endswith("published")}
    for row in (*derived_rows(facts), *step_rows(firm)):
        assert alike(row, text), f"docs/known-answers.md lacks or contradicts: {row}"
    for rule in (*RULES, *reference(facts)):
        assert two_for_two(facts, *rule).said() in " ".join(text.split()), (
            "docs/known-answers.md lacks a rule's sentence"
        )


RULES = ((200e6, 100e6, 2.0), (400e6, 100e6, 1.5))


def reference(facts: Facts) -> list[tuple[float, float, float]]:
    """100,000 chips over four years instead of owned and of rented GB300, at published figures."""
    nre, found = facts.get("jalapeno-break-even", "nre").number, []
    for case in (derived(facts)[0], derived(facts)[2]):
        hour = case.relative.central * case.other.central
        found.append((100_000 * 4 * 8760 * hour, nre, hour / case.own.central))
    return found


def three(chips: Range) -> str:
    return " / ".join(count(c) for c in (chips.p10, chips.central, chips.p90))


def count(value: float) -> str:
    return "never" if value == float("inf") else f"{value:,.0f}"


def derived_rows(facts: Facts) -> list[str]:
    return [
        f"| {c.what} | {c.saving.central:,.0f} | {three(c.chips)} | "
        f"{c.derived.low:,.0f} / {c.derived.number:,.0f} / {c.derived.high:,.0f} |"
        for c in derived(facts)
        if c.derived is not None
    ]


def step_rows(steps: dict[str, BreakEven]) -> list[str]:
    return [
        f"| {c.what} | {c.relative.central:.3f} | {c.own.central:.3f} | {c.other.central:.3f} | "
        f"{c.saving.central:,.0f} ({c.saving.p10:,.0f} to {c.saving.p90:,.0f}) | "
        f"{three(c.chips)} | {100 * c.never_frac:.0f} % |"
        for c in steps.values()
    ]


def alike(row: str, text: str) -> bool:
    """Whether the page has the row, its figures within 15 % (shares within 10 points, savings within 500 USD)."""
    first = row.split("|")[1]
    for line in text.splitlines():
        if line.startswith(f"|{first}|"):
            found = [re.findall(r"never|-?[\d,]*\.?\d+", x.replace(first, "", 1)) for x in (row, line)]
            return all(_near(a, b) for a, b in zip(*found, strict=True))
    return False


def _near(figure: str, other: str) -> bool:
    if "never" in (figure, other):
        return figure == other
    a, b = (float(x.replace(",", "")) for x in (figure, other))
    slack = 500 if "," in figure or "," in other else 10 if "." not in figure else 0.005
    return abs(a - b) <= 0.15 * abs(b) + slack
