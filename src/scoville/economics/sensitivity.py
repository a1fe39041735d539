"""What an answer hangs on: Sobol indices and a tornado of any function of `Draws`.

The inputs of such a function are the streams that it draws: a driver that several facts share (electricity, HBM price,
WACC) is one input, drawn once per sample for all of them. `Quantiles` puts chosen quantiles in the place of drawn ones,
so whatever of this package takes `Draws` can be asked, whole chains too.

Sobol indices: of the outcome's variance V, the first-order index of an input is the share V(E[y | x]) / V that it
explains by itself, the total index E[V(y | all but x)] / V what it explains with all interactions that it is part of
(Sobol', "Sensitivity estimates for nonlinear mathematical models", 1993; Homma and Saltelli, 1996). Without
interactions both are equal and sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.errors import StudyError
from scoville.facts import Draws, Fact

Array = NDArray[np.float64]
Outcome = Callable[[Draws], Array]

_RESAMPLES = 400
_LARGEST = 1 << 18  # samples of one call of the function


class Quantiles(Draws):
    """Draws with the given quantiles, (n,) by stream; a fact of any other stream stays at its value in all samples.

    `asked` says which facts were drawn by each stream, those that have a range; a stream that was asked for by its name
    alone has none.
    """

    def __init__(self, quantiles: Mapping[str, Array], n: int) -> None:
        super().__init__(0, n)
        self._given = quantiles
        self.asked: dict[str, list[Fact]] = {}

    def uniform(self, key: str) -> Array:
        """See `Draws.uniform`; 0.5 of a stream that was not given."""
        self.asked.setdefault(key, [])
        given = self._given.get(key)
        return np.full(self.n, 0.5) if given is None else given

    def sample(self, fact: Fact) -> Array:
        """See `Draws.sample`."""
        if fact.distribution == "fixed" or fact.low == fact.high:
            return np.full(self.n, fact.number)
        stream = fact.driver or fact.key
        same = self.asked.setdefault(stream, [])
        if fact not in same:
            same.append(fact)
        return super().sample(fact) if stream in self._given else np.full(self.n, fact.number)


def streams(outcome: Outcome) -> dict[str, tuple[Fact, ...]]:
    """Every input of the function, by name, with the facts that it moves: found by asking it once, at central values.

    An input that is only drawn on some other value of another one is not found.
    """
    draws = Quantiles({}, 1)
    outcome(draws)
    return {name: tuple(facts) for name, facts in draws.asked.items()}


@dataclass(frozen=True, slots=True)
class SobolIndex:
    """One input's shares of the outcome's variance, each with its standard error by bootstrap."""

    name: str
    first_frac: float
    first_error_frac: float
    total_frac: float
    total_error_frac: float


@dataclass(frozen=True, slots=True)
class Sobol:
    """Indices of all inputs, the largest total first; the outcome's mean and variance, in its own measure squared.

    evaluations_count        samples that the function was asked for
    interaction_frac         share of the variance that no input explains by itself: 1 less the first-order indices
    interaction_error_frac   its standard error, which may make it negative
    """

    indices: tuple[SobolIndex, ...]
    mean: float
    variance: float
    measure: str
    evaluations_count: int
    interaction_frac: float
    interaction_error_frac: float


def sobol(outcome: Outcome, names: Sequence[str], samples: int, seed: int, measure: str) -> Sobol:
    """First-order and total indices of the named inputs; those not named stay at their central values.

    Design of Saltelli et al., "Variance based sensitivity analysis of model output" (Computer Physics Communications
    181, 2010): two matrices A and B of n samples, and for each input A with that column of B, n (k + 2) evaluations.
    Estimators of Jansen ("Analysis of variance designs for model output", 1999; their table 2, c and f):

        first = 1 - mean((f(B) - f(A_B))^2) / 2V      total = mean((f(A) - f(A_B))^2) / 2V

    with 2V = mean((f(A) - f(B))^2) over the same rows, so that an input without influence has indices of exactly 0.
    Standard errors by bootstrap over the rows (Archer, Saltelli and Sobol', 1997). The function returns shape (n,).
    Raises StudyError where the outcome is not finite in some sample, or does not vary.

    y = x1 + 2 x2 of uniform x has variances 1/12 and 4/12: shares of 0.2 and 0.8.

    >>> shares = sobol(lambda d: d.uniform("x1") + 2 * d.uniform("x2"), ("x1", "x2"), 4096, 1, "frac")
    >>> [(i.name, round(i.first_frac, 1), round(i.total_frac, 1)) for i in shares.indices]
    [('x2', 0.8, 0.8), ('x1', 0.2, 0.2)]
    """
    n, k = samples, len(names)
    if n < 2 or k < 1:
        raise StudyError(f"Sobol indices: {n} samples of {k} inputs; expected at least 2 samples and 1 input")
    drawn = [Draws(seed, n), Draws(seed, n)]
    a, b = ({name: d.uniform(f"sobol {side} {name}") for name in names} for d, side in zip(drawn, "AB", strict=True))
    designs = [a, b, *({**a, name: b[name]} for name in names)]
    per_call = max(1, _LARGEST // n)
    values = []
    for i in range(0, len(designs), per_call):
        some = designs[i : i + per_call]
        columns = {name: np.concatenate([d[name] for d in some]) for name in names}
        values.append(_finite(outcome(Quantiles(columns, n * len(some))), n * len(some)).reshape(len(some), n))
    y = np.concatenate(values)
    scatter = (y[0] - y[1]) ** 2
    if not scatter.any():
        raise StudyError(f"Sobol indices: the outcome is {y[0, 0]:g} in every sample; expected one that varies")
    own, others = (y[1] - y[2:]) ** 2, (y[0] - y[2:]) ** 2
    first, total = 1 - own.mean(axis=1) / scatter.mean(), others.mean(axis=1) / scatter.mean()
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES) / n
    spread = (weights @ scatter)[:, None]
    again = 1 - weights @ own.T / spread
    first_error, total_error = again.std(axis=0, ddof=1), (weights @ others.T / spread).std(axis=0, ddof=1)
    order = sorted(range(k), key=lambda i: -total[i])
    return Sobol(
        tuple(
            SobolIndex(names[i], float(first[i]), float(first_error[i]), float(total[i]), float(total_error[i]))
            for i in order
        ),
        float(y[:2].mean()),
        float(scatter.mean() / 2),
        measure,
        n * (k + 2),
        float(1 - first.sum()),
        float(again.sum(axis=1).std(ddof=1)),
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """A tornado's bar: the outcome where one input is at its low and at its high quantile, all others central."""

    name: str
    at_low: float
    at_high: float
    central: float
    measure: str

    @property
    def span(self) -> float:
        """Length of the bar."""
        return abs(self.at_high - self.at_low)


def tornado(
    outcome: Outcome, names: Sequence[str], measure: str, *, low_frac: float = 0.1, high_frac: float = 0.9
) -> tuple[Bar, ...]:
    """Bars of the named inputs, longest first: each alone at its `low_frac` and `high_frac` quantile.

    One call of 2 k + 1 samples. Raises StudyError where the outcome is not finite, or the quantiles are out of order.
    """
    if not 0 <= low_frac < high_frac < 1:
        raise StudyError(f"tornado: quantiles of {low_frac:g} and {high_frac:g}; expected 0 <= low < high < 1")
    found = []
    central = float(_finite(outcome(Quantiles({}, 1)), 1)[0])
    ends = np.array([low_frac, high_frac])
    for name in names:
        at = _finite(outcome(Quantiles({name: ends}, 2)), 2)
        found.append(Bar(name, float(at[0]), float(at[1]), central, measure))
    return tuple(sorted(found, key=lambda bar: -bar.span))


def _finite(values: Array, n: int) -> Array:
    y = np.broadcast_to(np.asarray(values, float), (n,))
    bad = int((~np.isfinite(y)).sum())
    if bad:
        raise StudyError(f"sensitivity: the outcome is not finite in {bad} of {n} samples; expected a number in each")
    return y
