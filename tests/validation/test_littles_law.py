"""The rule for rows that contradict Little's law."""

from __future__ import annotations

from pathlib import Path

from tests.validation.test_rows import ROW, table

from scoville.facts import Facts
from scoville.validation import Measured, read
from scoville.validation.littles_law import contradictions


def _rows(path: Path, facts: Facts, *runs: tuple[int, float, float]) -> tuple[Measured, ...]:
    """Rows of runs of 1,000 answer tokens: (in flight, TTFT in ms, TPOT in ms)."""
    words = [
        ROW | {"output_tokens": "1000", "batch_or_concurrency": str(users), "metric": metric, "value": str(value)}
        for users, ttft, tpot in runs
        for metric, value in (("ttft_ms", ttft), ("tpot_ms", tpot))
    ]
    return read(table(path, *words), facts).mapped


def _contradicting(path: Path, facts: Facts, *runs: tuple[int, float, float]) -> list[int | None]:
    return [s.concurrency for s in contradictions(_rows(path, facts, *runs))]


def test_a_run_that_waits_while_its_tokens_come_faster_contradicts_itself(tmp_path: Path, facts: Facts) -> None:
    # 512 x 5 s / (20 s + 5 s) = 102 decode at 5 ms; 64 of them took 10 ms.
    runs = ((32, 100, 7), (64, 120, 10), (512, 20_000, 5))
    assert _contradicting(tmp_path, facts, *runs) == [512]


def test_a_full_engine_that_slows_down_as_its_own_line_says_is_kept(tmp_path: Path, facts: Facts) -> None:
    # From 7 ms at 32 and 10 ms at 64 a line gives 13.6 ms for the 102 that decode.
    assert _contradicting(tmp_path, facts, (32, 0.001, 7), (64, 0.001, 10), (512, 54_700, 13.6)) == []


def test_a_run_of_which_nobody_waits_is_kept_however_fast(tmp_path: Path, facts: Facts) -> None:
    assert _contradicting(tmp_path, facts, (32, 100, 15), (64, 120, 9)) == []


def test_a_run_without_a_lower_concurrency_has_nothing_to_contradict(tmp_path: Path, facts: Facts) -> None:
    assert _contradicting(tmp_path, facts, (512, 20_000, 5)) == []
