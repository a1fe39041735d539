"""docs/claims.md says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scoville.claims import Report
from scoville.claims.audit import QUANTITIES
from scoville.units import to_unit

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "claims.md").read_text("utf-8")
TOLERANCE = 0.15  # the timers' fits move


def cells(heading: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    part = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if not row[0].startswith("---")]


def number(text: str) -> float:
    return float(text.split(" (", maxsplit=1)[0].replace(",", ""))


def test_the_table_of_claims_is_what_the_audit_gives(report: Report) -> None:
    told = {(row[0], row[1]): row for row in cells("The claims about Jalapeño")[1:]}
    found = set()
    for audit in report.audits:
        for line in audit.lines:
            if not line.decides or line.modelled is None or line.claimed is None:
                continue
            unit = "" if line.unit in ("", "x") else f", {line.unit}"
            key = audit.claim.id.removeprefix("claim-"), f"{line.what}{unit}"
            row = told[key]
            found.add(key)
            for cell, value in ((row[2], line.claimed.central), (row[3], line.modelled.central)):
                shown = to_unit(value, line.measure, line.unit) if line.unit else value
                assert number(cell) == pytest.approx(shown, rel=TOLERANCE), f"{key}: {cell}"
            assert row[5] == audit.verdict, key
    assert found == set(told), "rows without a figure"


def test_what_cannot_be_checked_is_named(report: Report) -> None:
    sentence = re.search(r"^Not checkable: (.*?)\n\n", PAGE, flags=re.M | re.S)
    assert sentence
    named = set(re.findall(r"`([a-z-]+)`", sentence[1]))
    assert named == {a.claim.id.removeprefix("claim-") for a in report.audits if a.verdict == "not checkable because"}


def test_the_hand_calculation_adds_up() -> None:
    """0.697 + 0.490 + 1.605 + 0.213 + 0.232 + 0.306 GB = 3.54 GB, 16 % of 15.4 TB/s in 1.43 ms."""
    rows = {row[0]: row for row in cells("By hand")[1:]}
    parts = [float(row[2]) for what, row in rows.items() if what and "sum" not in what]
    b, e = 4.25 / 8, 1e9
    by_hand = [
        61 * (1536 * 24576 + 512 * 32768 + 16384 * 7168) / 8 * b / e,
        61 * (7168 * 1536 + 7168 * 576) * b / e,
        61 * 9 * 3 * 7168 * 2048 / 8 * b / e,
        58 * 7168 * 256 * 2 / e,
        7168 * 129_280 * 2 / 8 / e,
        61 * 576 * 8704 / e,
    ]
    assert parts == pytest.approx(by_hand, abs=6e-4)
    assert sum(parts) == pytest.approx(3.54, abs=0.005)
    assert sum(parts) / 15.4e3 / (1 / 700) == pytest.approx(0.16, abs=0.005)


def test_each_quantity_is_told() -> None:
    told = {name for row in cells("A claim of your own") for name in re.findall(r"`([a-z_]+)`", row[0])}
    assert set(QUANTITIES) <= told


def test_derived_figures_are_told_as_they_come_out() -> None:
    for text, value in (
        ("12,221", 19_641 * 0.7 / 1.125), ("7,780", 11_781 * 1.4 / 2.12), ("13,749", 19_641 * 0.7),
        ("16,493", 11_781 * 1.4),
    ):  # fmt: skip
        assert text in PAGE and round(value) == int(text.replace(",", "")), text
    for text, value in (
        ("0.0257", 1.27 / 3600 / 13_748.7 * 1e6), ("0.0315", 1.56 / 3600 / 13_748.7 * 1e6),
        ("0.0389", 2.31 / 3600 / 16_493.4 * 1e6), ("0.0470", 2.79 / 3600 / 16_493.4 * 1e6),
        ("0.0842", 5.00 / 3600 / 16_493.4 * 1e6),
    ):  # fmt: skip
        assert text in PAGE and value == pytest.approx(float(text), abs=6e-5), text
