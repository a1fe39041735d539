"""A response surface: what takes long to compute, from a few hundred computed points, its own error in the range.

The steady state or the simulator is asked at points that fill the space of its inputs (a Latin hypercube: McKay,
Beckman and Conover, Technometrics 21, 1979). A polynomial in the inputs, each scaled to -1 to 1, is fitted to the
logarithm of the outcome, since rates multiply: linear in those inputs that matter, with squares and products of those
that matter most (Myers, Montgomery and Anderson-Cook, "Response Surface Methodology", 2016, chapter 3). How many of
each is decided by predicted residuals (Allen's PRESS: each point from the others), and the error that is told and drawn
by five-fold cross-validation of all of it, the choice included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from scoville.economics.sensitivity import Outcome, Quantiles, streams
from scoville.errors import StudyError
from scoville.facts import Draws, Fact, Range

Array = NDArray[np.float64]
Terms = tuple[tuple[int, ...], ...]

_FOLDS = 5
_LEAST_POINTS = 40
_LINEAR = (8, 16, 32, 64)
_QUADRATIC = (0, 3, 6, 10)
_RIDGE_FRAC = 1e-3
_TINY = 1e-12  # keeps equal columns from dividing by zero


@dataclass(frozen=True, eq=False)
class Surface:
    """A fitted outcome, a function of draws as the computed one is.

    inputs              the streams it knows, with the facts that each moves
    terms               products of inputs by position: () the constant, (2,) linear, (2, 2) a square, (1, 2) a product
    coefficients_frac   of the terms, in logarithms of the outcome
    residuals_frac      of every point when it was left out, ascending: log of computed over fitted
    explained_frac      share of the points' variance that the surface finds when they are left out
    """

    name: str
    measure: str
    inputs: Mapping[str, tuple[Fact, ...]]
    terms: Terms
    coefficients_frac: Array
    residuals_frac: Array
    explained_frac: float

    def at(self, draws: Draws) -> Array:
        """The fitted outcome, (n,), without its error."""
        x = np.column_stack([_scaled(draws, name, facts) for name, facts in self.inputs.items()])
        return np.asarray(np.exp(_columns(x, self.terms) @ self.coefficients_frac))

    def sample(self, draws: Draws) -> Array:
        """The fitted outcome, (n,), times an error drawn from those of left-out points: what belongs into a range.

        The error is a stream of its own, so that sensitivities name it beside the facts; in a central draw it is the
        median.
        """
        u = draws.uniform(f"surface {self.name}")
        at = (np.arange(len(self.residuals_frac)) + 0.5) / len(self.residuals_frac)
        return self.at(draws) * np.exp(np.interp(u, at, self.residuals_frac))

    @property
    def error(self) -> Range:
        """Relative error of left-out points: P10, root mean square, P90."""
        r = np.expm1(self.residuals_frac)
        low, high = np.percentile(r, (10, 90))
        return Range(float(low), float(np.sqrt(np.mean(r**2))), float(high), "frac")

    def said(self) -> str:
        """In words, for the answer."""
        squares = sum(len(t) == 2 for t in self.terms)
        return (
            f"{self.name}: response surface of {len(self.residuals_frac)} computed points in {len(self.inputs)} inputs "
            f"({sum(len(t) == 1 for t in self.terms)} linear, {squares} quadratic terms); left-out points are missed "
            f"by {100 * self.error.central:.1f} % (root mean square), P10 to P90 {100 * self.error.p10:+.1f} to "
            f"{100 * self.error.p90:+.1f} %, which is in the ranges; it explains {100 * self.explained_frac:.1f} % of "
            f"their variance"
        )


def fit(outcome: Outcome, name: str, measure: str, *, points: int = 300, seed: int = 1) -> Surface:
    """A surface through the outcome at so many points of all its inputs.

    Raises StudyError for fewer than 40 points, for an outcome without inputs, and where it is not positive and finite
    at some point (a deployment that misses its targets there: ask for what is defined everywhere).
    """
    inputs = streams(outcome)
    if not inputs or points < _LEAST_POINTS:
        raise StudyError(
            f"surface {name}: {points} points in {len(inputs)} inputs; expected at least {_LEAST_POINTS} points and "
            f"one input with a range"
        )
    rng = np.random.default_rng(seed)
    cells = np.column_stack([rng.permutation(points) for _ in inputs])
    drawn = Quantiles(dict(zip(inputs, ((cells + rng.random(cells.shape)) / points).T, strict=True)), points)
    y = np.broadcast_to(np.asarray(outcome(drawn), float), (points,))
    bad = int((~(np.isfinite(y) & (y > 0))).sum())
    if bad:
        raise StudyError(
            f"surface {name}: {bad} of {points} points are not positive numbers; expected an outcome that is one "
            f"everywhere"
        )
    x = np.column_stack([_scaled(drawn, stream, facts) for stream, facts in inputs.items()])
    log = np.log(y)
    terms, coefficients = _fitted(x, log)
    fold = rng.permutation(points) % _FOLDS
    residuals = np.empty(points)
    for k in range(_FOLDS):
        others, left_out = fold != k, fold == k
        some, weights = _fitted(x[others], log[others])
        residuals[left_out] = log[left_out] - _columns(x[left_out], some) @ weights
    variance = float(log.var())
    explained = 1 - float(np.mean(residuals**2)) / variance if variance > 0 else 1.0
    return Surface(name, measure, inputs, terms, coefficients, np.sort(residuals), explained)


def _scaled(draws: Draws, name: str, facts: tuple[Fact, ...]) -> Array:
    """An input between -1 and 1: the value of the first fact that it moves, or its quantile where it moves none."""
    if not facts:
        return 2 * draws.uniform(name) - 1
    first = facts[0]
    return 2 * (draws.sample(first) - first.low) / (first.high - first.low) - 1


def _columns(x: Array, terms: Terms) -> Array:
    """The terms at inputs (n, k): (n, terms)."""
    out = np.ones((len(x), len(terms)))
    for j, term in enumerate(terms):
        for i in term:
            out[:, j] *= x[:, i]
    return out


def _fitted(x: Array, y: Array) -> tuple[Terms, Array]:
    """Terms and their coefficients by least squares: the sizes with the smallest sum of predicted residuals."""
    n, k = x.shape
    order = [int(i) for i in _ranked(x, y)]
    squares = sorted({min(m, k) for m in _QUADRATIC})
    # All terms at once, in this order: every choice is some of their columns.
    pairs = [tuple(sorted(p)) for p in combinations_with_replacement(order[: squares[-1]], 2)]
    every: Terms = ((), *((i,) for i in order), *pairs)
    a = _columns(x, every)
    gram, moments = a.T @ a, a.T @ y
    best = (float("inf"), [0], np.array([y.mean()]))
    for linear in sorted({min(m, k) for m in _LINEAR}):
        for quadratic in squares:
            among = set(order[:quadratic])
            take = [*range(1 + linear), *(1 + k + j for j, p in enumerate(pairs) if among.issuperset(p))]
            if len(take) > n / 2:
                continue
            inverse = np.linalg.inv(gram[np.ix_(take, take)] + _TINY * n * np.eye(len(take)))
            weights, some = inverse @ moments[take], a[:, take]
            leverage = ((some @ inverse) * some).sum(axis=1)
            press = float((((y - some @ weights) / np.maximum(1 - leverage, 1e-9)) ** 2).sum())
            if press < best[0] * (1 - 1e-9):
                best = press, take, weights
    return tuple(every[j] for j in best[1]), best[2]


def _ranked(x: Array, y: Array) -> NDArray[np.intp]:
    """Inputs by how much they move the outcome, most first: a ridge fit of linear and square terms of all at once."""
    a = np.concatenate([x, x**2 - (x**2).mean(axis=0)], axis=1)
    a = a - a.mean(axis=0)
    spread = a.std(axis=0)
    scaled = a / np.where(spread > 0, spread, 1.0)
    gram = scaled.T @ scaled / len(y)
    ridge = _RIDGE_FRAC + max(0.0, a.shape[1] / len(y)) * 0.1
    b = np.linalg.solve(gram + ridge * np.eye(len(gram)), scaled.T @ (y - y.mean()) / len(y))
    size = b.reshape(2, -1)
    return np.argsort(-np.hypot(size[0], size[1]), kind="stable")
