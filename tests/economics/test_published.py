"""Bottom-up against the published USD per accelerator-hour: one set of terms for all chips, tables as in docs/cost.md.

Published: SemiAnalysisAI/InferenceX-app, GPU_SPECS (2026-04), packages/constants/src/gpu-keys.ts (hyperscaler 2026-09),
and the tables of the SemiAnalysis article of 2026-08-25 (neocloud). Rows marked temporary in the first (B300, GB300)
are no evidence, nor is VR200's neocloud figure, which is the hyperscaler's. MI325X has no known price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoville.economics import HourlyCost, OwnershipTerms, owned
from scoville.facts import Draws, Facts

Make = Callable[..., Any]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cost.md"


@dataclass(frozen=True)
class Row:
    """A chip, its price (source of the price in docs/cost.md), kind of price, IT power and published USD/h."""

    chip: str
    price_usd: float
    price_name: str
    all_in_w: float
    published: dict[str, float]
    vintage: str = "2026-04"
    contract: bool = False
    includes: tuple[str, ...] = ()

    def predicted(self, fact: Make, chip: Make, facts: Facts, owner: str, factor: float | None = None) -> float:
        """The cost; at another purchase factor than the facts', by its being linear in equipment bought at it."""
        for_whom = owner if self.contract else ""
        price = fact(self.price_name, self.price_usd, "usd", owner=for_whom, includes=self.includes)
        accelerator = chip(price, fact("all_in_power", self.all_in_w, "w"))
        cost = owned(accelerator, facts, Draws.central(), OwnershipTerms(owner, self.vintage))  # type: ignore[arg-type]
        assert isinstance(cost, HourlyCost)
        whole = float(cost.total_usd_per_h[0])
        if factor is None:
            return whole
        rest = replace(self, price_usd=0.0).predicted(fact, chip, facts, owner)
        adder = facts.get("site", "system_adder").number
        with_server = (self.price_usd + adder) / self.price_usd if self.price_name == "price_chip" else 1.0
        at = facts.get(f"terms-{owner}", "purchase_factor", vintage=self.vintage).number
        return whole + (whole - rest) * with_server * (factor / at - 1)

    def error(self, fact: Make, chip: Make, facts: Facts, owner: str, factor: float | None = None) -> float:
        return self.predicted(fact, chip, facts, owner, factor) / self.published[owner] - 1


def both(hyperscaler: float, neocloud: float) -> dict[str, float]:
    return {"hyperscaler": hyperscaler, "neocloud": neocloud}


APRIL = (
    Row("H100", 28_000, "price_chip", 1_370, both(1.30, 1.69)),
    Row("H200", 32_000, "price_chip", 1_370, both(1.41, 1.74)),
    Row("B200", 35_000, "price_chip", 1_710, both(1.95, 2.34)),
    Row("GB200", 50_000, "price_system", 1_870, both(2.21, 2.75)),
    Row("MI300X", 15_000, "price_chip", 1_390, both(1.12, 1.40)),
    Row("MI355X", 25_000, "price_chip", 2_090, both(1.48, 1.90)),
)
SEPTEMBER = (
    Row("H100", 28_000, "price_chip", 1_370, both(1.17, 1.55), "2026-09"),
    Row("H200", 32_000, "price_chip", 1_370, both(1.22, 1.59), "2026-09"),
    Row("B200", 35_000, "price_chip", 1_710, both(1.73, 2.07), "2026-09"),
    Row("B300", 61_900, "price_system", 1_900, both(2.26, 2.52), "2026-09", includes=("server", "network")),
    Row("GB200", 50_000, "price_system", 1_870, both(1.86, 2.26), "2026-09"),
    Row("GB300", 55_500, "price_system", 2_120, both(2.31, 2.79), "2026-09"),
    Row("VR200", 108_300, "price_system", 3_300, {"hyperscaler": 3.61}, "2026-09"),
    Row("MI300X", 15_000, "price_chip", 1_390, both(0.95, 1.16), "2026-09"),
    Row("MI355X", 25_000, "price_chip", 2_090, {"hyperscaler": 1.50}, "2026-09"),
    Row("Jalapeño", 22_500, "price_chip", 1_125, {"hyperscaler": 1.27}, "2026-09", contract=True),
)
FITTED = {"2026-04": list(APRIL), "2026-09": [r for r in SEPTEMBER if not r.contract]}
UTILITY_W = {"H100": 1_730, "H200": 1_730, "B200": 2_170, "GB200": 2_100, "MI300X": 1_790, "MI355X": 2_650}


def table(rows: Iterable[Row], fact: Make, chip: Make, facts: Facts) -> list[str]:
    lines = []
    for row in rows:
        cells = [row.chip, f"{row.price_usd:,.0f}", f"{row.all_in_w / 1000:.3g}"]
        for owner in ("hyperscaler", "neocloud"):
            if owner not in row.published:
                cells += ["-"] * 3
                continue
            off = f"{row.error(fact, chip, facts, owner):+.1%}".replace("%", " %")
            cells += [f"{row.predicted(fact, chip, facts, owner):.2f}", f"{row.published[owner]:.2f}", off]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def errors(rows: Iterable[Row], owner: str, fact: Make, chip: Make, facts: Facts) -> Any:
    return np.array([r.error(fact, chip, facts, owner) for r in rows if owner in r.published])


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.parametrize(
    ("row", "id"),
    list(zip(APRIL, ["h100-sxm", "h200-sxm", "b200-sxm", "gb200-nvl72", "mi300x", "mi355x"], strict=True)),
    ids=lambda x: x if isinstance(x, str) else "",
)
@pytest.mark.parametrize("owner", ["hyperscaler", "neocloud"])
def test_the_table_s_rows_are_the_bundled_chips(
    row: Row, id: str, owner: str, fact: Make, chip: Make, facts: Facts
) -> None:
    terms = OwnershipTerms(owner, "2026-04")  # type: ignore[arg-type]
    cost = owned(facts.accelerator(id), facts, Draws.central(), terms)
    assert isinstance(cost, HourlyCost)
    assert cost.total_usd_per_h[0] == pytest.approx(row.predicted(fact, chip, facts, owner), rel=1e-9)
    published = facts.get(id, "own_hourly", vintage="2026-04", owner=owner)
    assert (published.vintage, published.number) == ("2026-04", row.published[owner])
    assert facts.get(id, "utility_power").number == UTILITY_W[row.chip]


def test_april(fact: Make, chip: Make, facts: Facts) -> None:
    hyperscaler, neocloud = (errors(APRIL, owner, fact, chip, facts) for owner in ("hyperscaler", "neocloud"))
    assert np.max(abs(hyperscaler)) == pytest.approx(0.104, abs=5e-4)
    assert rms(hyperscaler) == pytest.approx(0.084, abs=5e-4)
    # Not fitted: a neocloud pays street prices.
    assert np.max(abs(neocloud)) == pytest.approx(0.183, abs=5e-4)
    assert rms(neocloud) == pytest.approx(0.111, abs=5e-4)


def test_september(fact: Make, chip: Make, facts: Facts) -> None:
    hyperscaler = errors(FITTED["2026-09"], "hyperscaler", fact, chip, facts)
    assert np.max(abs(hyperscaler)) == pytest.approx(0.142, abs=5e-4)
    assert rms(hyperscaler) == pytest.approx(0.094, abs=5e-4)
    # Not fitted: the neocloud's column of August, and the contract price of Jalapeño.
    neocloud = errors(SEPTEMBER, "neocloud", fact, chip, facts)
    assert np.max(abs(neocloud)) == pytest.approx(0.123, abs=5e-4)
    assert rms(neocloud) == pytest.approx(0.063, abs=1e-3)
    assert SEPTEMBER[-1].error(fact, chip, facts, "hyperscaler") == pytest.approx(-0.029, abs=5e-4)


def test_april_s_factor_does_not_hold_in_september(fact: Make, chip: Make, facts: Facts) -> None:
    stale = errors([replace(r, vintage="2026-04") for r in FITTED["2026-09"]], "hyperscaler", fact, chip, facts)
    assert np.max(stale) == pytest.approx(0.276, abs=5e-4)
    assert np.median(stale) == pytest.approx(0.06, abs=2e-3)


def test_the_document_s_tables_are_these(fact: Make, chip: Make, facts: Facts) -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for line in (*table(APRIL, fact, chip, facts), *table(SEPTEMBER, fact, chip, facts)):
        assert line in lines, f"docs/cost.md lacks or contradicts: {line}"


def fitted(rows: list[Row], fact: Make, chip: Make, facts: Facts) -> tuple[float, float]:
    """The purchase factor, to 0.001, with the smallest largest error over these rows, and that error."""
    factors = np.linspace(0.6, 1.1, 501)
    # The cost is linear in the factor: two points give the line.
    lines = [[r.error(fact, chip, facts, "hyperscaler", x) for x in (0.0, 1.0)] for r in rows]
    worst = np.max([abs(low + (high - low) * factors) for low, high in lines], axis=0)
    return float(factors[np.argmin(worst)]), float(np.min(worst))


@pytest.mark.parametrize("vintage", ["2026-04", "2026-09"])
def test_the_purchase_factor_is_the_fit(vintage: str, fact: Make, chip: Make, facts: Facts) -> None:
    factor = facts.get("terms-hyperscaler", "purchase_factor", vintage=vintage)
    assert fitted(FITTED[vintage], fact, chip, facts)[0] == pytest.approx(factor.number, abs=0.0011)


@pytest.mark.parametrize(
    ("vintage", "moved", "worst"),
    [
        ("2026-04", {"H200": 0.913, "B200": 0.907}, 0.108),
        ("2026-09", {"H200": 0.807, "B300": 0.756}, 0.168),
    ],
)
def test_no_chip_alone_carries_the_fit(
    vintage: str, moved: dict[str, float], worst: float, fact: Make, chip: Make, facts: Facts
) -> None:
    factor, rows = facts.get("terms-hyperscaler", "purchase_factor", vintage=vintage), FITTED[vintage]
    held_out = {r.chip: fitted([o for o in rows if o is not r], fact, chip, facts)[0] for r in rows}
    assert held_out == pytest.approx({r.chip: moved.get(r.chip, factor.number) for r in rows}, abs=0.0011)
    assert factor.low < min(held_out.values()) < max(held_out.values()) < factor.high
    left_out = [abs(r.error(fact, chip, facts, "hyperscaler", held_out[r.chip])) for r in rows]
    assert max(left_out) == pytest.approx(worst, abs=1e-3)


def test_the_published_utility_power_gives_nearly_the_same_fit(fact: Make, chip: Make, facts: Facts) -> None:
    pue = facts.get("site", "pue").number
    factor, worst = fitted([replace(r, all_in_w=UTILITY_W[r.chip] / pue) for r in APRIL], fact, chip, facts)
    assert factor == pytest.approx(0.891, abs=0.0011)
    assert worst == pytest.approx(0.102, abs=5e-4)
