"""Few corrections from measured runs: an engine family's overheads, or a user's own chip and engine.

A correction has four numbers: a factor on every time of the chip, seconds per step, per sampled token of a step, and
per request outside the steps. They are fitted to the logarithms of predicted over measured by Gauss-Newton steps on
simulated runs, with Huber's weights (Huber, "Robust Estimation of a Location Parameter", 1964), so that a few odd rows
do not decide, and a ridge towards where the fit starts that is worth one row at the size given as `SCALE`. Their
standard errors are those of the linear fit, widened to the scatter that is left.

Leave one group out: runs of an engine family x model x chip are predicted with a fit to the family's other groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoville.errors import MeasurementError
from scoville.facts import Accelerator, Facts
from scoville.serving.engine import Engine, engine
from scoville.serving.settings import EngineSettings
from scoville.transformer.operators import OperatorTable
from scoville.validation.predict import Deployments, predicted
from scoville.validation.rows import Setting, Table
from scoville.validation.scores import Scored, Validation, scored

Array = NDArray[np.float64]
Group = tuple[str, str, str]
NAMES = ("time_frac", "step_s", "sequence_s", "request_s")
SCALE: Array = np.array([0.1, 1e-3, 20e-6, 20e-3])  # a large correction
_STEP = 0.5  # of SCALE, for slopes: requests meet other steps with any change, which smaller ones would take for one
_ROUNDS = 4
_HUBER = 1.345  # in standard deviations: 95 % as efficient as least squares where errors are normal
_SCATTER, _SCATTER_ROWS = 0.03, 2  # how far runs of one setting differ when nobody has repeated them: a judgement


@dataclass(frozen=True, slots=True)
class Correction:
    """What is added to a prediction: `time_frac` times every time of the chip, and overheads of the engine.

    errors   standard errors of the four numbers, each in its own unit; rows_count: how many rows it was fitted to
    """

    time_frac: float = 1.0
    step_s: float = 0.0
    sequence_s: float = 0.0
    request_s: float = 0.0
    errors: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    rows_count: int = 0

    @property
    def values(self) -> Array:
        """The four numbers, in the order of NAMES."""
        return np.array([getattr(self, name) for name in NAMES])

    def apply(self, s: EngineSettings) -> EngineSettings:
        """An engine's settings with this correction in place of its own overheads."""
        return replace(s, **dict(zip(NAMES, self.values.tolist(), strict=True)))


NONE = Correction()


def _correction(values: Array) -> Correction:
    """From four numbers, in the order of NAMES."""
    time_frac, step_s, sequence_s, request_s = values.tolist()
    return Correction(time_frac, step_s, sequence_s, request_s)


def group_of(setting: Setting) -> Group:
    """Engine family, model, chip."""
    return setting.engine, setting.model, setting.accelerator


def corrected(deployments: Deployments, by: Mapping[Group, Correction]) -> Deployments:
    """The same deployments with corrections by engine family, model and chip."""
    named = {deployments.architecture(model).name: model for _, model, _ in by}

    def compile(chip: Accelerator, facts: Facts, table: OperatorTable, s: EngineSettings) -> Engine:
        return engine(chip, facts, table, by[s.name, named[table.architecture.name], chip.id].apply(s))

    return deployments.with_engine(compile)


@dataclass(frozen=True, eq=False)
class Fit:
    """Rows linearised around a correction by engine family.

    start       family -> correction that the ridge pulls to; at: where the rows are linearised
    rows        those that count: log of measured over predicted `left_frac`, (rows,), and its slopes by the four
                numbers in units of `SCALE`, `slopes_frac`, (rows, 4)
    """

    start: Mapping[str, Correction]
    at: Mapping[str, Correction]
    rows: tuple[Scored, ...]
    left_frac: Array
    slopes_frac: Array
    free: NDArray[np.bool_]

    def solved(self, family: str, without: Group | None = None) -> Correction:
        """The correction of a family, fitted to its rows but for those of one group."""
        mine = np.array(
            [r.row.setting.engine == family and group_of(r.row.setting) != without for r in self.rows], np.bool_
        )
        if not mine.any():
            return self.start[family]
        values, slopes, free = self.at[family].values, self.slopes_frac[mine], self.free.copy()
        prior = (self.start[family].values - values) / SCALE
        x, errors = np.zeros(4), np.zeros(4)
        below = free
        while below.any():  # an overhead that would be negative is none, and the others are fitted to that
            x[free], found = _robust(slopes[:, free], self.left_frac[mine] - slopes[:, ~free] @ x[~free], prior[free])
            errors[free] = np.maximum(errors[free], found)
            below = free & (values + x * SCALE < 0) & (np.arange(4) > 0)
            x[below] = -(values / SCALE)[below]
            free &= ~below
        values += x * SCALE
        values[1:] = np.maximum(values[1:], 0.0)  # rounding
        values[0] = max(values[0], 0.2)
        return replace(_correction(values), errors=tuple((errors * SCALE).tolist()), rows_count=int(mine.sum()))


def fit(
    table: Table,
    deployments: Deployments,
    *,
    names: Sequence[str] = NAMES,
    start: Mapping[str, Correction] | None = None,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Fit:
    """Fit the named numbers of a correction for each engine family of a table.

    `start`, by family, is where the fit begins and what its ridge pulls to; without one that is no correction, so that
    a fit of families never leans on an earlier one to the same rows. Rows that are set aside, and TTFT that is mostly
    queueing, don't count. Raises MeasurementError where no row is left.
    """
    free = np.array([name in names for name in NAMES])
    settings = [row.setting for row in table.mapped]
    begin: dict[str, Correction] = {s.engine: (start or {}).get(s.engine, NONE) for s in settings}
    at = begin
    found: Fit | None = None
    for turn in range(_ROUNDS):
        if progress is not None:
            progress(f"round {turn + 1} of {_ROUNDS}")

        def run(change: Array, at: Mapping[str, Correction] = at) -> Validation:
            by = {f: _correction(c.values + change) for f, c in at.items()}
            groups = {g: by[g[0]] for g in map(group_of, settings)}
            made = predicted(settings, corrected(deployments, groups), threads=threads)
            return scored(table, made, deployments)

        now = run(np.zeros(4))
        count = [not (r.reason or r.set_aside or r.queued) for r in now.rows]
        rows = tuple(r for r, c in zip(now.rows, count, strict=True) if c)
        if not rows:
            raise MeasurementError(
                f"{table.path}: no row can be predicted and counts, so there is nothing to calibrate with; "
                f"`scoville validate` says why of each"
            )
        values = np.log([r.value for r in rows])
        left = np.log([r.row.value for r in rows]) - values
        slopes = np.zeros((len(rows), 4))
        for j in np.flatnonzero(free):
            moved = run(np.where(np.arange(4) == j, _STEP * SCALE[j], 0.0))
            there = np.log([r.value for r, c in zip(moved.rows, count, strict=True) if c])
            slopes[:, j] = (there - values) / _STEP
        found = Fit(begin, at, rows, left, slopes, free)
        if turn < _ROUNDS - 1:
            at = {family: found.solved(family) for family in at}
    assert found is not None
    return found


def left_out(table: Table, deployments: Deployments, of: Fit, *, threads: int | None = None) -> Validation:
    """Every row predicted with the correction fitted to the other groups of its engine family."""
    made: dict[Group, Correction] = {}
    for row in table.mapped:
        group = group_of(row.setting)
        if group not in made:
            made[group] = of.solved(group[0], without=group)
    settings = [row.setting for row in table.mapped]
    return scored(table, predicted(settings, corrected(deployments, made), threads=threads), deployments)


def _robust(slopes: Array, left: Array, prior: Array) -> tuple[Array, Array]:
    """Least squares with Huber's weights and a ridge of one row per number: solution and standard errors.

    The errors are Huber's, "Robust Statistics" (1981), section 7.6. The scale leaves out as many of the smallest
    residuals as there are numbers, which the fit has made small. A handful of rows may lie on a line by luck: their
    scatter is taken together with `_SCATTER_ROWS` rows that scatter by `_SCATTER`.
    """
    n, p = slopes.shape
    x: Array = np.zeros(p)
    weights: Array = np.ones(n)
    for _ in range(20):
        rest = left - slopes @ x
        scale = max(1.4826 * float(np.median(np.sort(np.abs(rest))[min(p, n - 1) :])), 1e-3)
        weights = np.minimum(1.0, _HUBER * scale / np.maximum(np.abs(rest), 1e-12))
        normal = (slopes * weights[:, None]).T @ slopes + scale**2 * np.eye(p)
        x = np.asarray(np.linalg.solve(normal, (slopes * weights[:, None]).T @ left + scale**2 * prior), float)
    squares = float(((weights * (left - slopes @ x)) ** 2).sum()) + _SCATTER_ROWS * _SCATTER**2
    inside = max(float((weights >= 1).mean()), 0.3)
    spread = (1 + p / n * (1 - inside) / inside) * math.sqrt(squares / (max(n - p, 0) + _SCATTER_ROWS)) / inside
    return x, spread * np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes + spread**2 * np.eye(p))))
