"""One audit of all claims about the reference chip, and hand-made claims for the verdicts."""

from __future__ import annotations

import pytest

from scoville.claims import Report, audit
from scoville.claims.bench import Bench
from scoville.facts import Facts, load


@pytest.fixture(scope="session")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="session")
def bench(facts: Facts) -> Bench:
    """Few samples: for what is checked at central values."""
    return Bench(facts, 20, 1)


@pytest.fixture(scope="session")
def report(facts: Facts) -> Report:
    """The whole audit as the command makes it."""
    return audit(facts, "jalapeno")
