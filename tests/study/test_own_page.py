"""The tables of docs/own.md, answered anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scoville.facts import load
from scoville.report.own import tables
from scoville.study.own import own_answer
from scoville.study.own_answer import OwnAnswer
from scoville.study.own_question import OptionTable, ScenarioTable, read_own

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "own.md"
ON_PAGE = 5


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> OwnAnswer:
    found = re.search(r"^```toml my-own.toml\n(.*?)^```", DOCUMENT.read_text("utf-8"), flags=re.M | re.S)
    assert found is not None
    file = tmp_path_factory.mktemp("page") / "my-own.toml"
    file.write_text(found[1], encoding="utf-8")
    return own_answer(read_own(file), load())


def rows(answer: OwnAnswer) -> list[str]:
    return [
        "| " + " | ".join(row) + " |" for _, _, _, cells in tables(answer)[:ON_PAGE] for row in cells
    ]  # fmt: skip


def test_every_row_of_the_page_is_what_the_code_gives(answer: OwnAnswer) -> None:
    text = DOCUMENT.read_text("utf-8")
    assert [row for row in rows(answer) if row not in text] == []


def test_every_finding_of_the_page_is_said(answer: OwnAnswer) -> None:
    text = " ".join(DOCUMENT.read_text("utf-8").split())
    assert [line for line in answer.findings if " ".join(line.split()) not in text] == []


def test_the_page_names_every_setting() -> None:
    text = DOCUMENT.read_text("utf-8")
    names = {*OptionTable.model_fields, *ScenarioTable.model_fields} - {"name", "kind"}
    assert sorted(n for n in names if n not in text) == []
