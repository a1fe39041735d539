"""docs/company.md says what the code says."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from scoville.facts import load
from scoville.study.company import company
from scoville.study.company_answer import CompanyAnswer
from scoville.study.company_file import _File

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "company.md").read_text("utf-8")
B = 1e9


@pytest.fixture(scope="module")
def answer() -> CompanyAnswer:
    return company(ROOT / "studies" / "frontier-lab.toml", load())


def rows(first: str) -> dict[str, list[str]]:
    """The rows of the table whose head begins so, by their first cell."""
    table = PAGE[PAGE.index(first) :].split("\n\n", 1)[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0]: row[1:] for row in cells}


def test_the_years_are_as_they_come_out(answer: CompanyAnswer) -> None:
    for name, cells in rows("| | 2025 |").items():
        assert [float(c) for c in cells] == pytest.approx([x / B for x in answer.fan(name).central], abs=0.051), name


def test_the_claims_are_as_they_come_out(answer: CompanyAnswer) -> None:
    told = rows("| claim | ratio |")
    assert list(told) == [c.name for c in answer.claims]
    for c in answer.claims:
        ratio, *saved, served, idle, result, needed = told[c.name]
        assert float(ratio) == pytest.approx(c.ratio.central, abs=6e-4), c.name
        assert [float(x) for x in saved] == pytest.approx([x / B for x in c.saving.central[2:]], abs=0.051), c.name
        shares = [c.served.central[-1], c.idle.central[-1]]
        assert [float(x.removesuffix(" %")) / 100 for x in (served, idle)] == pytest.approx(shares, abs=0.0051), c.name
        assert float(result) == pytest.approx(c.result.central[-1] / B, abs=0.051), c.name
        if math.isinf(c.needed.central):
            assert needed == "no share", c.name
        else:
            assert float(needed.removesuffix(" %")) / 100 == pytest.approx(c.needed.central, abs=0.0051), c.name


def test_the_samples_are_as_they_come_out(answer: CompanyAnswer) -> None:
    for name, (saving, result, positive) in rows("| claim | saving in 2030 |").items():
        claim = next(c for c in answer.claims if c.name == name)
        for cell, fan in ((saving, claim.saving), (result, claim.result)):
            figures = [float(x) for x in re.findall(r"-?[\d.]+", cell)]
            assert figures == pytest.approx([x[-1] / B for x in (fan.p50, fan.p10, fan.p90)], abs=0.06), name
        told = 0.0 if positive == "<1 %" else float(positive.removesuffix(" %")) / 100
        assert told == pytest.approx(claim.profitable_frac, abs=0.0101), name


def test_what_decides_is_told_in_order(answer: CompanyAnswer) -> None:
    told = [int(x) for x in re.findall(r"\((\d+)\s*%", PAGE[PAGE.index("What decides: ") :].split("no published")[0])]
    assert told == [round(100 * d.variance_share_frac) for d in answer.drivers[:5]]
    assert f"explains {100 * answer.claim_variance_frac:.0f} %" in PAGE


def test_the_published_figures_stand_beside_what_is_computed(answer: CompanyAnswer) -> None:
    told = list(rows("| | computed | published |").values())
    shown = [c for c in answer.checks if c.measure in ("usd", "w")]
    assert [[float(x) for x in row] for row in told] == [
        pytest.approx([c.computed.central / B, c.published / B], abs=0.051) for c in shown
    ]


def test_figures_worked_by_hand(answer: CompanyAnswer) -> None:
    for text, value in (
        ("1.846", (280 / 13.07) ** 0.2), ("12.5", 19.18 * 0.65), ("0.79", math.log(34 / 12.48) / math.log(13.07 / 3.7)),
        ("46.0", 7.32 * (280 / 13.07) ** 0.6), ("1,870,370", 2.525e9 / 1350),
        ("20.8", 2.525e9 / 1350 * 1.27 * 8760 / B), ("0.660", 1.27 / 19_641 / 0.7 / 2.31 * 11_781 * 1.4),
        ("0.305", 1.27 / 19_641 / 0.7 / 5 * 11_781 * 1.4), ("2.10e15", 4e9 * 525_600),
        ("1.90e15", 2.6e9 * 2000 * 365), ("13,749", 19_641 * 0.7), ("30.7", 261.2 / 8.5),
        ("22.9", 12.5 + 12.5 / 1.2), ("1.14", math.log(1 + 0.627 * 6.23 / 3.75) / 0.627),
        ("9.34", 3.75 * (math.exp(0.627 * 1.5) - 1) / 0.627), ("26.7", 156.7 * 0.5 * (1 - 0.6595)),
    ):  # fmt: skip
        assert text in PAGE, text
        assert value == pytest.approx(float(text.replace(",", "")), rel=6e-3), text
    f = 1.672
    assert 19.97 * sum(f**k for k in range(1, 6)) == pytest.approx(600, rel=1e-3)
    life = answer.life
    assert life.overtakes.central / (365 * 86400) == pytest.approx(1.14, abs=0.005)
    assert (life.training.central / B, life.inference.central / B) == pytest.approx((6.23, 9.34), abs=0.006)
    assert answer.overtakes_year == 2029
    assert answer.fan("tokens of a chip").central[-1] == pytest.approx(4890, abs=5)


def test_every_setting_is_told() -> None:
    table = PAGE[PAGE.index("| table | settings |") :]
    told = set(re.findall(r"`\[*([a-z_]+)\]*`", table))
    for name, field in _File.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            assert set(getattr(kind, "model_fields", {})) <= told, name
        assert name in told | {"title"}, name
