"""Small studies: the bundled question with fewer samples and chips, and edits of it written to a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from scoville.facts import Facts, load
from scoville.study import Answer, answer, read_question

ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[..., Answer]


def text(
    chips: Sequence[str] = ("h100-sxm",), *, samples: int = 100, seed: int = 1, study: str = "own-the-token"
) -> str:
    """A bundled study with other chips, samples and seed."""
    whole = (ROOT / "studies" / f"{study}.toml").read_text(encoding="utf-8")
    names = ", ".join(f'"{c}"' for c in chips)
    whole = re.sub(r"compare = \[.*?\]", f"compare = [{names}]", whole, flags=re.S)
    whole = re.sub(r"samples = \d+", f"samples = {samples}", whole)
    return re.sub(r"seed = \d+", f"seed = {seed}", whole)


@pytest.fixture(scope="session")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="session")
def small() -> Callable[..., str]:
    return text


@pytest.fixture(scope="session")
def ask(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """ask(text, my_facts="") -> Answer; the same question is answered once."""
    known: dict[tuple[str, str], Answer] = {}
    folder = tmp_path_factory.mktemp("studies")

    def ask(question: str, my_facts: str = "") -> Answer:
        if (question, my_facts) not in known:
            (folder / "q.toml").write_text(question, encoding="utf-8")
            theirs = facts
            if my_facts:
                (folder / "my.toml").write_text(my_facts, encoding="utf-8")
                theirs = load([folder / "my.toml"])
            known[question, my_facts] = answer(read_question(folder / "q.toml"), theirs)
        return known[question, my_facts]

    return ask


@pytest.fixture(scope="session")
def three(ask: Ask) -> Answer:
    """Three chips: rented and owned, from a server and from a rack, and one that nobody rents."""
    return ask(text(("h100-sxm", "tpu-v7", "jalapeno")))


@pytest.fixture(scope="session")
def price() -> Callable[[Answer, str, str], Any]:
    """price(answer, "h100-sxm", "rent")"""

    def find(found: Answer, chip: str, tenure: str) -> Any:
        row = next(r for r in found.rows if r.accelerator == chip)
        return getattr(row, tenure)

    return find
