"""Fact files written on the spot, and the bundled facts read once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scoville.facts import Facts, load

Write = Callable[[str], Path]


@pytest.fixture(scope="session")
def bundled() -> Facts:
    return load()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "my.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def read(write: Write) -> Callable[[str], Facts]:
    return lambda text: load([write(text)])
