"""Ten thousand samples of a company's years, as `scoville company` draws them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from scoville import facts
from scoville.study.company import company

STUDY = Path(__file__).parents[1] / "studies" / "frontier-lab.toml"


def rows() -> Iterable[tuple[str, str, str, bool]]:
    """The shipped question, facts read beforehand."""
    known = facts.load()
    start = time.perf_counter()
    samples = company(STUDY, known).samples_count
    seconds = time.perf_counter() - start
    yield (
        f"{samples:,} samples of {STUDY.stem}",
        "10,000 in < 10 s",
        f"{seconds:.2f} s",
        samples >= 10_000 and seconds < 10,
    )
