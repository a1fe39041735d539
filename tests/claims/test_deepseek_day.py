"""DeepSeek's published day: its arithmetic to the dollar, its speeds as H800 timing has them, the page's tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pages import alike

from scoville.claims.deepseek_day import DECODE, PREFILL, Prediction, arithmetic, nodes_count, predict
from scoville.errors import DeploymentError
from scoville.facts import Fact, Facts

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "known-answers.md"
CASES: tuple[dict[str, Any], ...] = (
    {},
    {"hidden_frac": 1.0},
    {"hidden_frac": 0.0},
    {"routing": "power_law_1.2"},
    {"kernels": "vllm"},
)


@pytest.fixture(scope="module")
def predictions(facts: Facts) -> list[Prediction]:
    return [predict(facts, **case) for case in CASES]


def test_the_day_s_arithmetic(facts: Facts) -> None:
    found = {c.what: c for c in arithmetic(facts)}
    cost = found["cost of the day, USD"]
    # By hand: 226.75 nodes x 8 GPUs x 24 h x 2 USD.
    assert cost.computed.central == cost.published.central == 87_072 == 226.75 * 8 * 24 * 2
    nodes = found["mean nodes, from tokens and speeds"].computed.central
    assert nodes == pytest.approx(608e9 / 86_400 / 73_700 + 168e9 / 86_400 / 14_800)
    assert all(abs(c.error_frac) < 0.002 for c in found.values()), "a published figure contradicts the others"


def test_nothing_published_about_the_speeds_enters_their_prediction(facts: Facts) -> None:
    published = Facts(
        {s: facts.subject(s) for s in facts.subjects()},
        [
            replace(f, value=f.number * 3, low=f.low * 3, high=f.high * 3)
            if f.subject == "deepseek-day" and f.name in ("prefill_per_node", "decode_per_node", "nodes_mean", "cost")
            else f
            for s in facts.subjects()
            for f in facts.of(s)
        ],
    )
    mine, other = (predict(f, samples=5) for f in (facts, published))
    assert [x.computed for x in mine.lines] == [x.computed for x in other.lines]
    assert [x.published for x in mine.lines] != [x.published for x in other.lines]


def test_the_prediction_is_within_its_own_range(predictions: list[Prediction]) -> None:
    found = {line.what: line for line in predictions[0].lines}
    for line in found.values():
        assert line.computed.p10 <= line.computed.central <= line.computed.p90
    assert found["mean nodes"].computed.p10 < 226.75 < found["mean nodes"].computed.p90
    assert found[PREFILL].computed.p10 < 73_700 < found[PREFILL].computed.p90
    assert found[DECODE].computed.p90 < 14_800, "decode is too slow even at P90, as the page says"


def test_what_a_node_does_decides_how_many_are_needed(facts: Facts, predictions: list[Prediction]) -> None:
    for p in predictions:
        found = {line.what: line.computed.central for line in p.lines}
        needed = nodes_count(facts, np.array([found[PREFILL]]), np.array([found[DECODE]]))
        assert found["mean nodes"] == pytest.approx(float(needed[0]))
        assert found["cost of the day, USD"] == pytest.approx(float(needed[0]) * 8 * 24 * 2)


def test_hiding_more_of_the_links_is_never_slower(predictions: list[Prediction]) -> None:
    usual, hidden, shown = ({x.what: x.computed.central for x in p.lines} for p in predictions[:3])
    for what in (PREFILL, DECODE):
        assert shown[what] < usual[what] < hidden[what]
    assert predictions[1].prefill_link_frac < 0.01 < predictions[0].prefill_link_frac < predictions[2].prefill_link_frac


def test_the_speed_for_one_user_is_the_published_one(predictions: list[Prediction]) -> None:
    for p in predictions:
        decode = next(line.computed.central for line in p.lines if line.what == DECODE)
        per_user = decode / 8 / p.sequences_count
        assert p.memory_bound or 21 <= per_user < 21 * (1 + 1 / p.sequences_count) + 0.5


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("user_speed", 1e6, "not one sequence on each of 144 GPUs keeps 1e\\+06 tokens/s"),
        ("formats", "fp8 / fp8", "expected three, of weights / activations / KV cache"),
        ("decode_ranks", 143, "expert = 143 does not divide the 288 experts"),
    ],
)
def test_a_deployment_that_makes_no_sense_is_refused(facts: Facts, name: str, value: Any, says: str) -> None:
    def other(f: Fact) -> Fact:
        if (f.subject, f.name) != ("deepseek-deployment", name):
            return f
        return (
            replace(f, value=value, low=value, high=value)
            if isinstance(value, (int, float))
            else replace(f, value=value)
        )

    subjects = {s: facts.subject(s) for s in facts.subjects()}
    theirs = Facts(subjects, [other(f) for s in subjects for f in facts.of(s)])
    with pytest.raises(DeploymentError, match=says):
        predict(theirs, samples=2)


def test_the_page_has_these_figures(facts: Facts, predictions: list[Prediction]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for row in (*arithmetic_rows(facts), *prediction_rows(predictions)):
        assert alike(row, text), f"docs/known-answers.md lacks or contradicts: {row}"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3f}"


def arithmetic_rows(facts: Facts) -> list[str]:
    return [
        f"| {c.what} | {number(c.published.central)} | {number(c.computed.central)} | {100 * c.error_frac:+.1f} % |"
        for c in arithmetic(facts)
    ]


def prediction_rows(predictions: list[Prediction]) -> list[str]:
    names = (
        "as described",
        "all of dispatch and combine hidden",
        "none hidden",
        "experts not balanced",
        "vLLM's kernels",
    )
    rows = []
    for name, p in zip(names, predictions, strict=True):
        cells = []
        for line in p.lines[:3]:
            c = line.computed
            cells.append(f"{c.central:,.0f} ({c.p10:,.0f}-{c.p90:,.0f}) | {100 * line.error_frac:+.0f} %")
        rows.append(f"| {name} | {p.sequences_count:.0f} | {' | '.join(cells)} |")
    return rows
