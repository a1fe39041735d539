"""The bundled facts, and the excerpt of published measurements: mapped, predicted and scored once."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoville.facts import Facts, load
from scoville.validation import Deployments, Validation, read, validate

EXCERPT = Path(__file__).parent / "data" / "measured.csv"


@pytest.fixture(scope="session")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="session")
def deployments(facts: Facts) -> Deployments:
    return Deployments(facts, read(EXCERPT, facts).architectures)


@pytest.fixture(scope="session")
def found(facts: Facts, deployments: Deployments) -> Validation:
    return validate(read(EXCERPT, facts), deployments, threads=2)
