"""Hand-made chips, so that no test hangs on the bundled figures of a chip; terms and site are the bundled facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scoville.facts import Accelerator, Fact, Facts, load

MakeFact = Callable[..., Fact]
MakeChip = Callable[..., Accelerator]


def _fact(name: str, value: float, measure: str, **fields: Any) -> Fact:
    defaults: dict[str, Any] = {"low": value, "high": value, "unit": "", "source": "test", "as_of": "2026-04"}
    return Fact("chip", name, value, **{**defaults, "measure": measure, "kind": "estimated", **fields})


def _chip(*facts: Fact, name: str = "Test chip") -> Accelerator:
    by_name: dict[str, tuple[Fact, ...]] = {}
    for fact in facts:
        by_name[fact.name] = (*by_name.get(fact.name, ()), fact)
    newest = {n: max(fs, key=lambda f: f.vintage) for n, fs in by_name.items()}
    return Accelerator(
        id="chip",
        name=name,
        vendor="",
        compute={},
        memory=(),
        links=(),
        tdp=newest.get("tdp"),
        all_in_power=newest.get("all_in_power"),
        idle_power=None,
        microarchitecture=None,
        facts=by_name,
    )


@pytest.fixture(scope="session")
def fact() -> MakeFact:
    """fact(name, value, measure, low=..., vintage=..., owner=...)"""
    return _fact


@pytest.fixture(scope="session")
def chip() -> MakeChip:
    """chip(*facts, name=...)"""
    return _chip


@pytest.fixture(scope="session")
def facts() -> Facts:
    """The bundled facts."""
    return load()
