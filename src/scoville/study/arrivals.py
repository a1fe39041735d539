"""The requests that a study replays: the whole trace, a stretch of a long one, or a short one several times over."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoville.errors import DeploymentError
from scoville.traffic import Trace, extended

_TURNOVERS = 20  # requests per sequence that runs at a time: filling and draining is then a small part of a replay
_MOST_REQUESTS = 20_000  # of a longer trace a stretch is enough, and a study is to be answered in seconds
_STRETCH = 5_000  # are enough to tell deployments apart
_STRETCH_TURNOVERS = 10
_SEED = 1


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Requests as the simulator gets them, which of the trace's they are, in words, and how many run at a time."""

    trace: Trace
    words: str
    running_count: float = 0.0

    def at(self, tokens_per_s: float) -> Trace:
        """The same pattern of arrivals at another mean rate."""
        return self.trace.stretched(rate_tokens_per_s(self.trace) / tokens_per_s)

    def stretch(self) -> Arrivals:
        """A stretch that tells deployments apart, nearest to all in lengths and gaps; all where they are few."""
        count = int(max(_STRETCH, np.ceil(_STRETCH_TURNOVERS * self.running_count)))
        if 2 * count > len(self.trace):
            return self
        first = _nearest_stretch(self.trace, count)
        return Arrivals(_from(self.trace, np.arange(first, first + count)), self.words, self.running_count)

    def first(self) -> Trace:
        """The first request alone."""
        return _from(self.trace, np.arange(1))

    def at_random(self) -> Arrivals:
        """The same requests in the same time at random moments (Poisson): without the trace's rushes and lulls."""
        gaps = np.random.default_rng(_SEED).exponential(size=len(self.trace) - 1)
        arrival = np.concatenate([[0.0], np.cumsum(gaps)])
        return Arrivals(
            replace(self.trace, arrival_s=arrival * (self.trace.duration_s / arrival[-1])),
            self.words,
            self.running_count,
        )


def rate_tokens_per_s(trace: Trace) -> float:
    """Mean rate of input and output tokens; the last arrival is followed by a gap like the others.

    Raises DeploymentError where the trace has no rate, and so no arrivals to replay.
    """
    n = len(trace)
    if n < 2 or trace.duration_s <= 0:
        many = "one request" if n == 1 else f"{n:,} requests at one moment"
        raise DeploymentError(f"{trace.name} has no arrivals to replay: {many}")
    tokens = float(trace.input_tokens.sum(dtype=np.int64) + trace.output_tokens.sum(dtype=np.int64))
    return tokens / trace.duration_s * (n - 1) / n


def arrivals(trace: Trace, running: float, tokens_per_s: float) -> Arrivals:
    """The requests for one replica that serves `tokens_per_s` and holds `running` sequences; the trace has a rate.

    20,000 requests are enough. Of a longer trace whose demand takes several replicas, one of them gets its share at
    random, as the steady state has it too; what is still longer is cut to the stretch whose lengths and gaps are
    nearest to the whole. A shorter one than 20 per running sequence, and than 20,000, follows upon itself.
    """
    n = len(trace)
    least = int(min(np.ceil(_TURNOVERS * running), _MOST_REQUESTS))
    enough = _MOST_REQUESTS
    asked = _from(trace, np.arange(n))
    words = f"all {n:,} requests"
    share = max(tokens_per_s / rate_tokens_per_s(trace), enough / n)
    if share < 1 and trace.block_hashes is None:  # requests that share a prefix go to the same replica
        asked = _from(trace, np.flatnonzero(np.random.default_rng(_SEED).random(n) < share))
        words = f"a random {share * 100:.3g} % of {n:,} requests"
    if len(asked) > enough:
        first = _nearest_stretch(asked, enough)
        asked = _from(asked, np.arange(first, first + enough))
        words = (
            f"{enough:,} requests in a row of {words.removeprefix('all ')}, in lengths and gaps nearest to the whole"
        )
    times = -(-least // len(asked)) if 2 * len(asked) <= _MOST_REQUESTS else 1
    if times > 1:
        return Arrivals(extended(asked, times * len(asked)), f"{words}, {times:,} times over", running)
    return Arrivals(asked, words, running)


def _moments(trace: Trace, first: int, end: int) -> NDArray[np.float64]:
    """Logarithms of mean prompt, mean answer, and the coefficient of variation of the gaps, plus one."""
    gaps = np.diff(trace.arrival_s[first:end])
    mean = float(gaps.mean())
    uneven = float(gaps.std()) / mean if mean > 0 else 0.0
    means = float(trace.input_tokens[first:end].mean()), float(trace.output_tokens[first:end].mean())
    return np.asarray(np.log([*means, 1 + uneven]))


def _nearest_stretch(trace: Trace, count: int) -> int:
    """The first request of the stretch, of those a quarter of it apart, whose moments are nearest to the whole's."""
    whole = _moments(trace, 0, len(trace))
    starts = [*range(0, len(trace) - count, max(count // 4, 1)), len(trace) - count]
    moving = [s for s in starts if trace.arrival_s[s + count - 1] > trace.arrival_s[s]] or starts
    return int(min(moving, key=lambda s: float(np.abs(_moments(trace, s, s + count) - whole).sum())))


def _from(trace: Trace, kept: NDArray[np.intp]) -> Trace:
    """These requests with arrivals, lengths and prefixes only; prefixes where they are in a row, or all."""
    hashes, offsets = trace.block_hashes, trace.block_offsets
    if hashes is not None and offsets is not None:
        first, end = int(kept[0]), int(kept[-1]) + 1
        hashes, offsets = hashes[offsets[first] : offsets[end]], offsets[first : end + 1] - offsets[first]
    return Trace(
        name=trace.name,
        source=trace.source,
        arrival_s=trace.arrival_s[kept] - trace.arrival_s[kept[0]],
        input_tokens=trace.input_tokens[kept],
        output_tokens=trace.output_tokens[kept],
        block_hashes=hashes,
        block_offsets=offsets,
        block_tokens=trace.block_tokens,
    )
