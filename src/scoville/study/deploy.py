"""Which deployment of a chip serves the traffic at the lowest cost under the targets.

Found at the central values, then found again in every Monte Carlo sample among the best few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scoville.facts import Accelerator, Draws, Facts
from scoville.serving import SteadyState, Targets, TrafficShape, steady_state
from scoville.serving.batch import around, batch_sizes, busiest, limit, most_batch
from scoville.serving.candidates import candidate_parallelisms
from scoville.study.answer import Replayed
from scoville.study.lockstep import expected_per_s
from scoville.timing import Chips, Timer, cache_room_bytes, chips
from scoville.transformer import Architecture
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision
from scoville.units import show

Array = NDArray[np.float64]

_SHORTLIST = 4  # deployments that compete in each sample
_SHORTLIST_FRAC = 0.6  # the best one's fleet over theirs, at the central values: at least this
_EXPECTED = 4  # deployments that a replay is expected to like best, beside the best by the steady state
_SAMPLE_BATCHES = 16
_SAMPLE_LOW, _SAMPLE_HIGH = 1 / 8, 2.0  # of the central batch: a chip that turns out slow needs far smaller ones


@dataclass(frozen=True)
class Workload:
    """What every chip is asked to do; `tables` caches the operators by sharding, which do not depend on the chip.

    `peak_requests_per_s` is the demand at its peak; `needed_requests_per_s` what a fleet must be able to serve: the
    peak with headroom, over the highest utilisation.
    """

    architecture: Architecture
    precision: Precision
    shape: TrafficShape
    targets: Targets
    peak_requests_per_s: float
    needed_requests_per_s: float
    block_tokens: float
    sequence_s: float
    timer: Timer
    tables: dict[Parallelism, OperatorTable]

    def table(self, parallelism: Parallelism) -> OperatorTable:
        """Operators under a sharding."""
        if parallelism not in self.tables:
            self.tables[parallelism] = operator_table(self.architecture, self.precision, parallelism)
        return self.tables[parallelism]

    def merit(self, requests_per_s: Array, chips_per_replica: int) -> Array:
        """Orders deployments: fewer chips in the fleet first, then more requests per chip; -inf where none are served.

        Any shape. Whole replicas count, as they are bought: 9 requests/s are served by 3 replicas of 4/s on 2 chips
        each at -6 and a bit, or by one of 10/s on 8 chips at -8 and a bit, which has more requests per chip to no use.
        """
        served = np.asarray(requests_per_s, float)
        each = np.where(served > 0, served, 1.0)
        fleet = np.ceil(self.needed_requests_per_s / each * (1 - 1e-12)) * chips_per_replica
        per_chip = each / chips_per_replica
        return np.asarray(np.where(served > 0, per_chip / (1 + per_chip) - fleet, -np.inf))

    def steady(self, parallelism: Parallelism, on: Chips, batch: Array) -> SteadyState:
        """The steady state at these batch sizes."""
        return steady_state(
            self.table(parallelism),
            on,
            self.shape,
            batch,
            self.targets,
            self.timer,
            demand_requests_per_s=self.peak_requests_per_s,
            block_tokens=self.block_tokens,
            sequence_s=self.sequence_s,
        )


@dataclass(frozen=True)
class Deployment:
    """One sharding on one chip at the central values, at every batch size that was tried."""

    parallelism: Parallelism
    state: SteadyState

    def served_per_s(self) -> Array:
        """Requests per second of a replica, shape (m,); 0 where a target, memory or stability is broken."""
        return np.asarray(np.where(self.state.feasible[0], self.state.requests_per_s[0], 0.0))

    @property
    def best(self) -> int:
        """The position of the batch that serves most."""
        return int(np.argmax(self.served_per_s()))

    def merit(self, work: Workload) -> float:
        """That of its best batch; -inf where there is none."""
        return float(work.merit(self.served_per_s(), self.parallelism.chips).max())


@dataclass(frozen=True)
class Choice:
    """The best deployment of a chip: position `best` of its batch sizes, why no larger one, and the runners-up.

    `candidates` are the deployments that compete in each sample, the best by the steady state first, which is `picked`.
    `load_frac` says by sharding which part of the steady state's load a replay found to hold (1 where none was made),
    `expected_frac` which part it is expected to, `replayed` what it found for the deployment chosen, `not_replayed` why
    there was none.
    """

    accelerator: Accelerator
    chips: Chips
    deployment: Deployment
    best: int
    limit: str
    busiest: str
    all: tuple[Deployment, ...]
    candidates: tuple[Deployment, ...]
    picked: Deployment
    expected_frac: dict[Parallelism, float]
    load_frac: dict[Parallelism, float] = field(default_factory=dict)
    replayed: Replayed | None = None
    not_replayed: str = ""

    @property
    def requests_per_s(self) -> float:
        """Of a replica of the deployment chosen, at the highest load that meets the targets."""
        steady = float(self.deployment.state.requests_per_s[0, self.best])
        return steady * self.load_frac.get(self.deployment.parallelism, 1.0)


@dataclass(frozen=True)
class Sampled:
    """Each sample's best deployment; arrays of shape (n,), NaN where no deployment met the targets in that sample."""

    meets: NDArray[np.bool_]
    chips_per_replica_count: Array
    requests_per_s: Array
    tpot_s: Array
    tpot_percentile_s: Array
    ttft_percentile_s: Array
    prefill_s_per_token: Array
    cached_s_per_token: Array
    decode_s_per_token: Array
    energy_j_per_token: Array


def choose(accelerator: Accelerator, facts: Facts, work: Workload) -> Choice | str:
    """The sharding and batch that serve the demand with the fewest chips under the targets; else one sentence why not.

    All shardings are tried on a coarse grid of batch sizes, the best few at every integer around their best.
    """
    on = chips(accelerator, facts, Draws.central())
    tried = candidate_parallelisms(work.architecture, accelerator, facts.get("engine", "most_chips").number)
    fitting = [p for p in tried if float(cache_room_bytes(work.table(p), on)[0]) > 0]
    if not fitting:
        least = min(work.table(p).resident_bytes for p in tried)
        room = float((on.memory_bytes * on.memory_use_frac - on.reserve_bytes)[0])
        return (
            f"{work.architecture.name} does not fit on up to {max(p.chips for p in tried)} x {accelerator.name}: "
            f"{show(least, 'bytes')} of weights per chip against {show(max(room, 0.0), 'bytes')} of room"
        )
    found = [Deployment(p, work.steady(p, on, batch_sizes(most_batch(work.shape, p)))) for p in fitting]
    ranked = sorted(found, key=lambda d: -d.merit(work))
    if not np.isfinite(ranked[0].merit(work)):
        return _refusal(accelerator, work, found)
    # The merit of a feasible deployment is its number of chips, negative.
    shortlist = [d for d in _distinct(ranked)[:_SHORTLIST] if d.merit(work) >= ranked[0].merit(work) / _SHORTLIST_FRAC]
    # Replays judge data-parallel attention more severely, so those that are expected to stand them best compete too.
    expected = {d.parallelism: float(expected_per_s(d, on, work).max()) for d in ranked if d.served_per_s().max() > 0}
    hopeful = [d for d in ranked if expected.get(d.parallelism, 0.0) > 0]
    hopeful.sort(key=lambda d: -float(work.merit(np.array(expected[d.parallelism]), d.parallelism.chips)))
    shortlist += [d for d in _distinct(hopeful)[:_EXPECTED] if d not in shortlist]
    refined = [_refined(d, on, work) for d in shortlist]
    refined.sort(key=lambda d: -d.merit(work))
    best = refined[0]
    return Choice(
        accelerator=accelerator,
        chips=on,
        deployment=best,
        best=best.best,
        limit=limit(best.state, best.best),
        busiest=busiest(best.state, best.best),
        all=tuple(found),
        candidates=tuple(refined),
        picked=best,
        expected_frac={d.parallelism: expected[d.parallelism] / float(d.served_per_s().max()) for d in refined},
    )


def _distinct(found: Sequence[Deployment]) -> list[Deployment]:
    """The first of those that are equal but in name, as expert parallelism is to tensor parallelism in one group."""
    first: dict[tuple[int, float], Deployment] = {}
    for d in found:
        first.setdefault((d.parallelism.chips, float(d.served_per_s().max())), d)
    return list(first.values())


def _refined(d: Deployment, on: Chips, work: Workload) -> Deployment:
    """The deployment at the integers around its best batch."""
    batch = around(d.state.batch_count, d.best)
    return Deployment(d.parallelism, work.steady(d.parallelism, on, batch))


def _refusal(accelerator: Accelerator, work: Workload, found: Sequence[Deployment]) -> str:
    """Why no deployment is possible: the nearest that any came, so that the reader knows which target to move."""
    t = work.targets
    percent = f"P{t.ttft_percentile_frac * 100:g} TTFT", f"P{t.tpot_percentile_frac * 100:g} TPOT"
    fitting = [(d, d.state.fits[0]) for d in found if d.state.fits[0].any()]
    if not fitting:
        return f"{work.architecture.name} fits on {accelerator.name}, but not beside the cache of a single request"
    if not any((d.state.stable[0] & ok).any() for d, ok in fitting):
        return f"prefill cannot keep up on {accelerator.name} at any batch size"
    ttft = min(float(np.where(ok, d.state.ttft_percentile_s[0], np.inf).min()) for d, ok in fitting)
    tpot = min(float(np.where(ok, d.state.tpot_percentile_s[0], np.inf).min()) for d, ok in fitting)
    where = f"no batch size on {accelerator.name} meets"
    first = f"{percent[0]} {show(t.ttft_s, 's')} (best {show(ttft, 's')})"
    second = f"{percent[1]} {show(t.tpot_s, 's')} (best {show(tpot, 's')})"
    if ttft > t.ttft_s and tpot <= t.tpot_s:
        return f"{where} {first}"
    if tpot > t.tpot_s and ttft <= t.ttft_s:
        return f"{where} {second}"
    return f"{where} both {first} and {second}"


def sample(choice: Choice, facts: Facts, draws: Draws, work: Workload) -> Sampled:
    """The best of the candidates, and its best batch, anew in each sample; a replay's finding scales its load in all.

    Batch sizes are tried on a coarse grid; between the best and the next, everything is smooth, so the batch at which
    the first target (or memory) is just met is interpolated.
    """
    on = chips(choice.accelerator, facts, draws)
    n = draws.n
    columns = (
        "requests_per_s",
        "tpot_s",
        "tpot_percentile_s",
        "ttft_percentile_s",
        "prefill_s_per_token",
        "cached_s_per_token",
        "decode_s_per_token",
        "energy_j_per_token",
    )
    best = {name: np.full(n, np.nan) for name in columns}
    value, per_replica = np.full(n, -np.inf), np.full(n, np.nan)
    rows = np.arange(n)
    for candidate in choice.candidates:
        parallelism, centre = candidate.parallelism, float(candidate.state.batch_count[candidate.best])
        low, high = max(1.0, centre * _SAMPLE_LOW), min(most_batch(work.shape, parallelism), centre * _SAMPLE_HIGH)
        grid = np.unique(np.round(np.geomspace(low, high, _SAMPLE_BATCHES)))
        state = work.steady(parallelism, on, grid)
        served = np.where(state.feasible, state.requests_per_s, 0.0)
        pick = np.argmax(served, axis=1)
        after = np.minimum(pick + 1, len(grid) - 1)
        with np.errstate(invalid="ignore"):  # times without bound, where nothing is feasible: left out below
            part = _room_frac(state, work.targets, rows, pick, after)
            gap = np.maximum(grid[after] - grid[pick], 1.0)
            part = np.floor(part * gap + 1e-9) / gap  # whole sequences
            after = np.where(part > 0, after, pick)  # what lies beyond a limit may be infinite
            at = {name: getattr(state, name)[rows, pick] for name in columns}
            at = {name: here + part * (getattr(state, name)[rows, after] - here) for name, here in at.items()}
        at["requests_per_s"] = at["requests_per_s"] * choice.load_frac.get(parallelism, 1.0)
        merit = work.merit(np.where(served[rows, pick] > 0, at["requests_per_s"], 0.0), parallelism.chips)
        better = merit > value
        value = np.where(better, merit, value)
        per_replica = np.where(better, parallelism.chips, per_replica)
        for name in columns:
            best[name] = np.where(better, at[name], best[name])
    return Sampled(meets=np.isfinite(value), chips_per_replica_count=per_replica, **best)


def _room_frac(
    state: SteadyState, targets: Targets, rows: NDArray[np.intp], pick: NDArray[np.intp], after: NDArray[np.intp]
) -> Array:
    """How far from batch `pick` towards `after` the first limit is met, shape (n,), 0 to 1; 0 if that gains nothing."""
    part = np.ones(len(rows))
    for values, most in (
        (state.tpot_percentile_s, targets.tpot_s),
        (state.ttft_percentile_s, targets.ttft_s),
        (state.memory_frac, 1.0),
    ):
        here, there = values[rows, pick], values[rows, after]
        over = there > most
        step = np.divide(most - here, there - here, out=np.zeros(len(rows)), where=over & np.isfinite(there))
        part = np.where(over, np.minimum(part, np.clip(step, 0.0, 1.0)), part)
    part = np.where(state.stable[rows, after], part, 0.0)
    return np.where(state.requests_per_s[rows, after] > state.requests_per_s[rows, pick], part, 0.0)
