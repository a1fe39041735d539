"""Predicted against measured: errors by row, and their scores by group, worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scoville.errors import ScovilleError
from scoville.validation.bounds import Fastest, fastest
from scoville.validation.littles_law import contradictions
from scoville.validation.predict import Deployments, Predicted, predicted
from scoville.validation.rows import Measured, Setting, Table

WITHIN_FRAC = 0.2
_WRONG = "the facts, the format assumed for the cache, or the row are wrong"
QUEUED = "half or more of the TTFT is queueing (simulated time until first scheduled)"


@dataclass(frozen=True, slots=True)
class Scored:
    """A row with its prediction; error_frac is predicted over measured less one, NaN where `reason` says why not.

    queued      a TTFT half of which or more is queueing, by the simulator's own queue time
    set_aside   why the row is left out of the scores ("": it is in them)
    impossible  how the measurement beats what the chip's peaks allow ("": it does not)
    """

    row: Measured
    predicted: Predicted
    error_frac: float
    queued: bool
    set_aside: str
    impossible: str

    @property
    def value(self) -> float:
        """The prediction, in the measure of the row."""
        return self.predicted.of(self.row.metric, median=self.row.median)

    @property
    def reason(self) -> str:
        """Why there is no prediction; "" where there is one."""
        return self.predicted.reason


@dataclass(frozen=True, slots=True)
class Score:
    """Errors of a group of rows of one metric."""

    group: str
    rows_count: int
    mean_frac: float
    median_frac: float
    bias_frac: float
    within_frac: float


@dataclass(frozen=True)
class Validation:
    """A table, scored: its rows in order (those that map), and the table itself for those that do not."""

    table: Table
    rows: tuple[Scored, ...]

    @property
    def in_scores(self) -> tuple[Scored, ...]:
        """Rows that were predicted and not set aside."""
        return tuple(r for r in self.rows if not r.reason and not r.set_aside)

    @property
    def set_aside(self) -> tuple[Scored, ...]:
        """Rows that were predicted and set aside."""
        return tuple(r for r in self.rows if r.set_aside and not r.reason)

    def worst(self, count: int = 10) -> tuple[Scored, ...]:
        """The rows of the scores that are farthest off, by the ratio of predicted and measured either way."""
        return tuple(sorted(self.in_scores, key=lambda r: -abs(np.log1p(r.error_frac)))[:count])


def validate(
    table: Table,
    deployments: Deployments,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Validation:
    """Predict every setting of a table and score every row."""
    settings = [row.setting for row in table.mapped]
    return scored(table, predicted(settings, deployments, threads=threads, progress=progress), deployments)


def scored(table: Table, predictions: Mapping[Setting, Predicted], deployments: Deployments) -> Validation:
    """Compare predictions with the rows they are for."""
    aside = contradictions(table.mapped)
    bounds = {}
    for setting in predictions:
        try:
            bounds[setting] = fastest(setting, deployments)
        except ScovilleError:  # the prediction's own reason says it
            continue
    together = _implied_tokens_per_s(table.mapped)
    rows = []
    for row in table.mapped:
        made = predictions[row.setting]
        rows.append(
            Scored(
                row=row,
                predicted=made,
                error_frac=made.of(row.metric, median=row.median) / row.value - 1,
                queued=row.metric == "ttft" and made.queued,
                set_aside=aside.get(row.setting, ""),
                impossible=_impossible(row, bounds.get(row.setting), together.get(row.setting)),
            )
        )
    return Validation(table, tuple(rows))


def _implied_tokens_per_s(rows: Iterable[Measured]) -> dict[Setting, float]:
    """Output tokens per second that TTFT and TPOT of a closed loop imply: N output / (TTFT + (output - 1) TPOT)."""
    seen: dict[Setting, dict[str, float]] = {}
    for row in rows:
        if row.setting.concurrency is not None:
            seen.setdefault(row.setting, {})[row.metric] = row.value
    return {
        s: s.concurrency * s.output_tokens / (m["ttft"] + (s.output_tokens - 1) * m["tpot"])
        for s, m in seen.items()
        if s.concurrency is not None and {"ttft", "tpot"} <= m.keys()
    }


def _impossible(row: Measured, bound: Fastest | None, together: float | None) -> str:
    if bound is None:
        return ""
    unit, scale = ("tokens/s", 1.0) if row.metric == "throughput" else ("ms", 1e3)
    if bound.beaten(row.metric, row.value):
        return (
            f"faster than the chip's peaks allow: {row.value * scale:.3g} {unit}, where the work at peak makes "
            f"{bound.of(row.metric) * scale:.3g} {unit} with a cache in {row.setting.precision.kv}; {_WRONG}"
        )
    if together is not None and together > bound.output_tokens_per_s:
        return (
            f"faster than the chip's peaks allow: TTFT and TPOT together imply {together:.3g} tokens/s, where the work "
            f"at peak makes {bound.output_tokens_per_s:.3g} with a cache in {row.setting.precision.kv}; {_WRONG}"
        )
    return ""


def score(group: str, rows: Sequence[Scored]) -> Score:
    """The score of rows that have a prediction, at least one."""
    errors = np.array([r.error_frac for r in rows])
    size = np.abs(errors)
    return Score(
        group=group,
        rows_count=len(rows),
        mean_frac=float(size.mean()),
        median_frac=float(np.median(size)),
        bias_frac=float(errors.mean()),
        within_frac=float((size <= WITHIN_FRAC).mean()),
    )


def scores(rows: Iterable[Scored], by: Callable[[Scored], str]) -> tuple[Score, ...]:
    """Scores of groups, the largest mean error first."""
    groups: dict[str, list[Scored]] = {}
    for row in rows:
        groups.setdefault(by(row), []).append(row)
    return tuple(sorted((score(name, mine) for name, mine in groups.items()), key=lambda s: -s.mean_frac))
