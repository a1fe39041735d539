"""The share of dies that work: five formulas of yield, and harvesting of dies whose spare units cover the bad ones.

A is a die's area, D the defect density (defects per mm2 that kill what they hit), AD the mean number on a die. Each
formula is a Poisson law whose density is spread in its own way from wafer to wafer and place to place, with mean D:
not at all (Poisson), as a triangle from 0 to 2 D (Murphy), as a Gamma distribution (negative binomial, Bose-Einstein),
as a Lévy distribution (Seeds). So harvesting is reckoned the same way for all: exactly for one density, then averaged
over the densities. Clustering thereby falls on all parts of a die at once, as it does on a wafer.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Model = Literal["poisson", "murphy", "seeds", "negative-binomial", "bose-einstein"]

_MURPHY_NODES = 12
# k nodes err by about (s / (2 + s))^(2 k) on exp(-s x); few steps, so that a die's yield hardly depends on its company.
_GAMMA_NODES = ((0.5, 6), (2.0, 16), (np.inf, 64))
_SEEDS_NODES = 128


def poisson(area_mm2: ArrayLike, defects_per_mm2: ArrayLike) -> Floats:
    """exp(-AD): defects fall anywhere, independently. 858 mm2 at 0.1 per cm2: 0.424. Textbook form."""
    return _exp(-_mean(area_mm2, defects_per_mm2))


def murphy(area_mm2: ArrayLike, defects_per_mm2: ArrayLike) -> Floats:
    """((1 - exp(-AD)) / AD)^2, 1 for AD = 0. 858 mm2 at 0.1 per cm2: 0.451. Murphy, Proc. IEEE 52 (1964)."""
    mean = _mean(area_mm2, defects_per_mm2)
    safe = np.where(mean > 0, mean, 1.0)
    return np.where(mean > 0, (-np.expm1(-safe) / safe) ** 2, 1.0)


def seeds(area_mm2: ArrayLike, defects_per_mm2: ArrayLike) -> Floats:
    """exp(-sqrt(AD)), the classic form. 858 mm2 at 0.1 per cm2: 0.396. Seeds, IEDM 1967.

    1 / (1 + AD) is often called Seeds' (or Price's) too: here that is `bose_einstein` with one layer.
    """
    return _exp(-np.sqrt(_mean(area_mm2, defects_per_mm2)))


def negative_binomial(area_mm2: ArrayLike, defects_per_mm2: ArrayLike, clustering_count: ArrayLike) -> Floats:
    """(1 + AD / a)^-a with clustering a: 2 to 3 is seen, infinity is Poisson. 858 mm2, 0.1 per cm2, a = 3: 0.470.

    Stapper, IBM J. Res. Dev. 27 (1983).
    """
    alpha = np.asarray(clustering_count, float)
    return _exp(-alpha * np.log1p(_mean(area_mm2, defects_per_mm2) / alpha))


def bose_einstein(area_mm2: ArrayLike, defects_per_mm2: ArrayLike, layers_count: ArrayLike) -> Floats:
    """(1 + AD)^-n with n critical layers, D being the density of one layer. Price, Proc. IEEE 58 (1970)."""
    return _exp(-np.asarray(layers_count, float) * np.log1p(_mean(area_mm2, defects_per_mm2)))


def _exp(x: Floats) -> Floats:
    y: Floats = np.exp(x)
    return y


def _mean(area_mm2: ArrayLike, defects_per_mm2: ArrayLike) -> Floats:
    mean: Floats = np.asarray(area_mm2, float) * np.asarray(defects_per_mm2, float)
    return mean


def densities(model: Model, parameter: ArrayLike = 1.0, most_defects: float = 1.0) -> tuple[Floats, Floats]:
    """Densities, as multiples of D, and their weights, such that a formula is the weighted mean of Poisson yields.

    Good to about 1e-6 of a yield for dies of up to `most_defects` defects on average. `parameter` is the clustering of
    the negative binomial, or Bose-Einstein's number of layers. Both results have shape (k, *parameter's shape); the
    weights of each column sum to 1. Gauss quadratures (Golub and Welsch 1969), except for Seeds': its density is
    D / (2 z^2) with z normal, taken at equal steps of log z.
    """
    alpha = np.asarray(parameter, float)
    if model == "poisson":
        return np.ones((1, *alpha.shape)), np.ones((1, *alpha.shape))
    if model == "murphy":  # the triangle from 0 to 2, each half by itself
        x, w = np.polynomial.legendre.leggauss(_MURPHY_NODES)
        rising = (x + 1) / 2
        nodes, weights = np.append(rising, 2 - rising), np.tile(w / 2 * rising, 2)
        shape = (len(nodes),) + (1,) * alpha.ndim
        return _spread(nodes.reshape(shape), alpha), _spread(weights.reshape(shape), alpha)
    if model == "seeds":
        z = np.exp(np.linspace(-12, 2.3, _SEEDS_NODES))
        weights = z * np.exp(-(z**2) / 2)
        shape = (len(z),) + (1,) * alpha.ndim
        return (
            _spread((0.5 / z**2).reshape(shape), alpha),
            _spread((weights / weights.sum()).reshape(shape), alpha),
        )
    scale = most_defects / alpha.min() if model == "negative-binomial" else most_defects
    nodes, weights = _gamma(alpha, next((k for reach, k in _GAMMA_NODES if scale <= reach), _GAMMA_NODES[-1][1]))
    return (nodes / alpha, weights) if model == "negative-binomial" else (nodes, weights)


def _spread(column: Floats, like: Floats) -> Floats:
    return np.broadcast_to(column, (len(column), *like.shape))


def _gamma(alpha: Floats, k: int) -> tuple[Floats, Floats]:
    """`k` Gauss nodes and weights of the Gamma distribution of shape `alpha` and scale 1 (generalised Laguerre)."""
    i = np.arange(k, dtype=float)
    jacobi = np.zeros((*alpha.shape, k, k))
    jacobi[..., range(k), range(k)] = 2 * i + alpha[..., None]
    jacobi[..., range(1, k), range(k - 1)] = np.sqrt(i[1:] * (i[1:] + alpha[..., None] - 1))
    nodes, vectors = np.linalg.eigh(jacobi)
    return np.moveaxis(nodes, -1, 0), np.moveaxis(vectors[..., 0, :] ** 2, -1, 0)


def harvested(
    defects_per_mm2: ArrayLike,
    *,
    array_mm2: ArrayLike,
    arrays_count: ArrayLike,
    spare_arrays_count: ArrayLike,
    slice_rest_mm2: ArrayLike,
    slices_count: ArrayLike,
    spare_slices_count: ArrayLike,
    rest_mm2: ArrayLike,
    model: Model = "negative-binomial",
    parameter: ArrayLike = 3.0,
) -> Floats:
    """The share of dies good enough: everything outside of slices good, and enough slices with enough arrays.

    A die has `slices_count` slices of `arrays_count` arrays of `array_mm2` each and `slice_rest_mm2` of their own
    (SRAM, control) where any defect kills the slice; `rest_mm2` (links, memory interfaces) must be good. A slice may
    lack `spare_arrays_count` arrays, a die `spare_slices_count` slices. At one density defects are independent, so
    both are binomial sums; they are averaged over `densities(model, parameter)`. Without spares this is the formula
    itself over the whole area. All broadcast; the result has their common shape.
    """
    density = np.asarray(defects_per_mm2, float)
    array, per_slice, rest = (np.asarray(x, float) * density for x in (array_mm2, slice_rest_mm2, rest_mm2))
    arrays, slices = np.asarray(arrays_count, float), np.asarray(slices_count, float)
    most_defects = float(np.max(rest + slices * (per_slice + arrays * array), initial=0.0))
    factors, weights = densities(model, parameter, most_defects)
    spare_arrays, spare_slices = np.asarray(spare_arrays_count, float), np.asarray(spare_slices_count, float)
    total: Floats = np.zeros(np.broadcast_shapes(*(np.shape(x) for x in (array, per_slice, rest, arrays, slices,
                             spare_arrays, spare_slices, factors[0]))))  # fmt: skip
    for factor, weight in zip(factors, weights, strict=True):
        enough = _enough(-factor * array, arrays, spare_arrays)
        log_slice = np.log(np.maximum(enough, 1e-300)) - factor * per_slice
        total = total + weight * np.exp(-factor * rest) * _enough(log_slice, slices, spare_slices)
    return total


def _enough(log_good: Floats, count: Floats, spare: Floats) -> Floats:
    """P(at most `spare` of `count` independent units are bad), each good with probability exp(log_good).

    The binomial sum, term by term from the one with no bad unit; where all units are spare it is 1.
    """
    most = int(spare.max(initial=0))
    good = np.exp(count * log_good)
    if most == 0:
        return good
    odds = np.expm1(-log_good)  # (1 - p) / p
    term, total = good, good
    for bad in range(1, most + 1):
        term = term * odds * ((count - bad + 1) / bad)
        total = total + np.where(bad <= spare, term, 0.0)
    return np.minimum(total, 1.0)
