"""More traffic of the same kind: fit a trace, draw a longer one, or move it to another demand.

Kept by the fit: the joint distribution of input and output lengths (pairs are resampled together), the mean gap and its
squared coefficient of variation (SCV; gaps are gamma distributed). Lost: drifts and waves of the load (so the index of
dispersion over long windows), the order of lengths, clients, sessions, and shared prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError
from scoville.traffic.summary import gap_scv_frac
from scoville.traffic.trace import Trace


@dataclass(frozen=True, eq=False)
class TraceFit:
    """What `synthesise` needs: length pairs, shape (n,) each, and the gaps' mean and SCV."""

    name: str
    source: str
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    gap_mean_s: float
    gap_scv_frac: float


def fit(trace: Trace) -> TraceFit:
    """The fit of a trace. Raises TrafficError with fewer than three requests, or if all arrive at once."""
    scv = gap_scv_frac(trace)
    if scv is None:
        raise TrafficError(
            f"{trace.name}: {len(trace)} requests in {trace.duration_s:g} s have no gaps to fit; expected at least 3"
        )
    gap_mean_s = trace.duration_s / (len(trace) - 1)
    return TraceFit(trace.name, trace.source, trace.input_tokens, trace.output_tokens, gap_mean_s, scv)


def synthesise(fit: TraceFit, requests: int, seed: int) -> Trace:
    """`requests` drawn from the fit; the same seed gives the same trace. Raises TrafficError if requests < 1."""
    if requests < 1:
        raise TrafficError(f"cannot synthesise {requests} requests; expected an integer >= 1")
    rng = np.random.default_rng(seed)
    pick = rng.integers(len(fit.input_tokens), size=requests)
    if fit.gap_scv_frac > 0:
        gaps = rng.gamma(1 / fit.gap_scv_frac, fit.gap_mean_s * fit.gap_scv_frac, size=requests - 1)
    else:
        gaps = np.full(requests - 1, fit.gap_mean_s)
    return Trace(
        name=f"{fit.name}, synthesised",
        source=fit.source,
        arrival_s=np.concatenate([[0.0], np.cumsum(gaps)]),
        input_tokens=fit.input_tokens[pick],
        output_tokens=fit.output_tokens[pick],
        notes=(
            f"{requests} requests drawn with seed {seed} from a fit of {len(fit.input_tokens)} ({fit.name}): length"
            f" pairs resampled, gamma gaps with squared coefficient of variation {fit.gap_scv_frac:.3g}; waves of the"
            " load, sessions and shared prefixes are not kept",
        ),
    )


def scale_to_demand(trace: Trace, tokens_per_s: float) -> Trace:
    """The same requests, nearer together or further apart, so that input + output tokens per second are as asked.

    All gaps are multiplied by one factor: the SCV stays, each wave keeps its height against the mean and gets shorter
    or longer. Think times stay. Raises TrafficError for a demand that is no number above 0, or a trace of no duration.
    """
    if not (np.isfinite(tokens_per_s) and tokens_per_s > 0):
        raise TrafficError(f"cannot scale to {tokens_per_s} tokens/s; expected a number above 0")
    factor = trace.demand_tokens_per_s / tokens_per_s
    note = f"arrivals made {1 / factor:.4g} times as dense to reach {tokens_per_s:.4g} tokens/s"
    return replace(trace.stretched(factor), notes=(*trace.notes, note))
