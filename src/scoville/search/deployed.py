"""A chip, designed or bought, under what is served: the best sharding, the highest load that a replay holds, the cost.

Designed chips are timed by their arrays (the systolic timer), bought ones by kernels measured on them where there are
any, else by their arrays or the fitted roofline. All are priced by the same economics.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scoville import traffic
from scoville.economics import HourlyCost, NotOffered, OwnershipTerms, owned, waterfall
from scoville.errors import DeploymentError, FactError, ScovilleError
from scoville.facts import Accelerator, Draws, Facts, Range
from scoville.search.front import front
from scoville.search.space import Serve
from scoville.serving import SteadyState, TrafficShape, check_context, shape, steady_state
from scoville.serving.batch import around, batch_sizes, most_batch
from scoville.serving.settings import EngineSettings, preset, whole
from scoville.timing import RooflineTimer, cache_room_bytes, chips, timing_evidence
from scoville.timing.chips import SYSTOLIC, Chips
from scoville.traffic import Trace
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, windows
from scoville.units import show

if TYPE_CHECKING:
    from scoville.serving.replay import Replay

Array = NDArray[np.float64]

_ENGINE = "vllm"
_TURNOVERS = 20  # requests per sequence that runs at a time: filling and draining is then a small part of a replay
_LEAST_REQUESTS, _MOST_REQUESTS = 2_000, 10_000
_TRIED = 2  # shardings that are replayed, the best by the steady state
_TOLERANCE = 0.02
_WAIT_FRAC = 0.05  # of the replay's arrivals: the longest wait for a first token that a steady load can have
_SAMPLE_BATCHES = 16


@dataclass(frozen=True, eq=False)
class Load:
    """What a chip serves, reduced once: the requests, their moments, the engine, operators by sharding."""

    serve: Serve
    trace: Trace
    shape: TrafficShape
    settings: EngineSettings
    seed: int
    tables: dict[Parallelism, OperatorTable] = field(default_factory=dict)

    def table(self, parallelism: Parallelism) -> OperatorTable:
        """Operators under a sharding."""
        if parallelism not in self.tables:
            self.tables[parallelism] = operator_table(self.serve.architecture, self.serve.precision, parallelism)
        return self.tables[parallelism]

    def steady(self, parallelism: Parallelism, on: Chips, batch: Array, timer: RooflineTimer) -> SteadyState:
        """The steady state of one replica of many: arrivals at one of them are random."""
        return steady_state(
            self.table(parallelism),
            on,
            self.shape,
            batch,
            self.serve.targets,
            timer,
            demand_requests_per_s=math.inf,
            block_tokens=float(self.settings.block_tokens),
            sequence_s=self.settings.sequence_s,
        )

    @property
    def tokens_per_request(self) -> float:
        """Input and output."""
        return self.shape.input_tokens + self.shape.output_tokens

    def requests(self, running: float) -> Trace:
        """Requests for a replica that holds so many: at random moments, drawn from the trace, one a second.

        Those that share prefixes stay in a row, and come as they came.
        """
        count = int(min(max(_TURNOVERS * running, _LEAST_REQUESTS), _MOST_REQUESTS))
        generator = np.random.default_rng(self.seed)
        if self.trace.block_hashes is not None:
            return self.trace
        chosen = generator.integers(0, len(self.trace), count)
        return Trace(
            name=self.trace.name,
            source=self.trace.source,
            arrival_s=np.concatenate([[0.0], np.cumsum(generator.exponential(size=count - 1))]),
            input_tokens=self.trace.input_tokens[chosen],
            output_tokens=self.trace.output_tokens[chosen],
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One layer of a token's cost; the central ones add up to the token's."""

    name: str
    cost: Range  # usd_per_token


@dataclass(frozen=True, slots=True)
class Speed:
    """The least cost of a token at a speed per user, by the steady state."""

    parallelism: str
    batch_count: int
    tokens_per_s_per_user: float
    usd_per_token: float


@dataclass(frozen=True, slots=True)
class Deployed:
    """One chip under one load, at the highest load at which a replay meets both targets; or why not (`refusal`).

    `steady_tokens_per_s_per_chip` is the steady state's for the same deployment. Ranges are P10 to P90 over the facts;
    costs per token include the one-time cost where `nre_usd_per_h` is above 0.
    """

    accelerator: str
    name: str
    serve: str
    refusal: str = ""
    timed_by: str = ""
    parallelism: str = ""
    chips_per_replica_count: int = 0
    batch_count: float = 0.0
    steady_tokens_per_s_per_chip: float = 0.0
    tokens_per_s_per_chip: Range | None = None
    tokens_per_s_per_user: float = 0.0
    ttft_percentile_s: float = 0.0
    tpot_percentile_s: float = 0.0
    energy_j_per_token: float = 0.0
    hourly: Range | None = None
    nre_usd_per_h: float = 0.0
    usd_per_token: Range | None = None
    parts: tuple[Part, ...] = ()
    curve: tuple[Speed, ...] = ()
    basis: str = ""
    notes: tuple[str, ...] = ()


def load(serve: Serve, facts: Facts, seed: int) -> Load:
    """Read the traffic and reduce it. Raises TrafficError for a trace that the model cannot take."""
    trace = traffic.load(serve.trace)
    budget, block = (whole(facts.get("engine", name)) for name in ("token_budget", "block_tokens"))
    reduced = shape(trace, windows(serve.architecture), float(budget))
    check_context(reduced, serve.architecture)
    usual = preset(_ENGINE, facts)
    settings = replace(
        usual,
        token_budget=budget,
        max_sequences=min(usual.max_sequences, budget),
        block_tokens=block,
        prefix_cache=trace.block_hashes is not None,
    )
    return Load(serve, trace, reduced, settings, seed)


def kernels_of(accelerator: Accelerator, facts: Facts) -> str:
    """What times a chip: its engine's kernels where they are measured or it has no arrays known, else its arrays."""
    known = accelerator.microarchitecture is not None and timing_evidence(accelerator, facts) != "measured"
    return SYSTOLIC if known else _ENGINE


def deployed(
    accelerator: Accelerator,
    work: Load,
    facts: Facts,
    terms: OwnershipTerms,
    draws: Draws,
    nre_usd_per_h: float = 0.0,
    mappings: Sequence[Parallelism] = (),
    most_mappings: int = 1000,
) -> Deployed:
    """The chip under the load, with the sharding that costs least by replays.

    Of `mappings` (() are the space's) the first `most_mappings` that fit are tried. A chip that cannot serve it is a
    refusal in one sentence, as is one without a price.
    """
    serve = work.serve
    refused = Deployed(accelerator.id, accelerator.name, serve.name)
    try:
        kernels = kernels_of(accelerator, facts)
        on = chips(accelerator, facts, Draws.central(), kernels)
        timer = RooflineTimer()  # keeps what follows from a sharding and the chip
        states = _states(accelerator, work, on, timer, mappings or serve.mappings, most_mappings)
        best = _best(accelerator, work, on, facts, timer, kernels, states)
    except ScovilleError as error:
        return replace(refused, refusal=str(error))
    central = owned(accelerator, facts, Draws.central(), terms)
    drawn = owned(accelerator, facts, draws, terms)
    if isinstance(central, NotOffered) or isinstance(drawn, NotOffered):
        reason = next(x.reason for x in (central, drawn) if isinstance(x, NotOffered))
        return replace(refused, refusal=reason)
    p, steady, found = best
    per_chip = found.tokens_per_s / p.chips
    sampled = _sampled(accelerator, work, facts, draws, kernels, p, steady.batch_count) * (
        per_chip / steady.tokens_per_s
    )
    hour = float(central.total_usd_per_h[0]) + nre_usd_per_h
    hours = drawn.total_usd_per_h + nre_usd_per_h
    with np.errstate(divide="ignore"):
        costs = hours / 3600 / sampled
    decoding_s = float((found.replay.end_s - found.replay.ttft_s).sum())
    return Deployed(
        accelerator=accelerator.id,
        name=accelerator.name,
        serve=serve.name,
        timed_by=on.provenance,
        parallelism=str(p),
        chips_per_replica_count=p.chips,
        batch_count=decoding_s / found.replay.duration_s,
        steady_tokens_per_s_per_chip=steady.tokens_per_s,
        tokens_per_s_per_chip=Range.of(per_chip, np.where(sampled > 0, sampled, np.nan), "tokens_per_s"),
        tokens_per_s_per_user=float((found.replay.output_tokens - 1).sum(dtype=np.int64)) / decoding_s,
        ttft_percentile_s=found.replay.ttft_percentile_s(serve.targets),
        tpot_percentile_s=found.replay.tpot_percentile_s(serve.targets),
        energy_j_per_token=found.replay.energy_j / (found.replay.tokens_per_s * found.replay.duration_s),
        hourly=Range.of(hour, hours, "usd_per_h"),
        nre_usd_per_h=nre_usd_per_h,
        usd_per_token=Range.of(hour / 3600 / per_chip, costs, "usd_per_token"),
        parts=_parts(central, drawn, per_chip, sampled, nre_usd_per_h),
        curve=_curve(work, states, hour),
        basis=central.basis,
        notes=central.notes,
    )


@dataclass(frozen=True, slots=True)
class _Steady:
    """The best batch of a sharding by the steady state, and what a chip serves at it."""

    batch_count: float
    tokens_per_s: float


@dataclass(frozen=True, eq=False)
class _Held:
    """The highest load of a replica that a replay held."""

    tokens_per_s: float
    replay: Replay


def _states(
    accelerator: Accelerator, work: Load, on: Chips, timer: RooflineTimer, mappings: Sequence[Parallelism], most: int
) -> dict[Parallelism, SteadyState]:
    """Each sharding that the chip can take at a range of batches. Raises DeploymentError where none fits."""
    fitting = (p for p in mappings if _reaches(accelerator, p) and float(cache_room_bytes(work.table(p), on)[0]) > 0)
    found = {
        p: work.steady(p, on, batch_sizes(most_batch(work.shape, p)), timer) for p in itertools.islice(fitting, most)
    }
    if not any(state.fits.any() for state in found.values()):
        most = max((p.chips for p in mappings), default=1)
        raise DeploymentError(f"{work.serve.architecture.name} does not fit on up to {most} x {accelerator.name}")
    return found


def _best(
    accelerator: Accelerator,
    work: Load,
    on: Chips,
    facts: Facts,
    timer: RooflineTimer,
    kernels: str,
    states: dict[Parallelism, SteadyState],
) -> tuple[Parallelism, _Steady, _Held]:
    """The sharding whose chips serve most by replays, of the best few by the steady state."""
    targets, found = work.serve.targets, {}
    for p, tried in states.items():
        if tried.feasible.any():
            k = int(np.argmax(np.where(tried.feasible, tried.requests_per_s, 0.0)[0]))
            fine = work.steady(p, on, around(tried.batch_count, k), timer)
            served = np.where(fine.feasible, fine.requests_per_s, 0.0)[0]
            k = int(np.argmax(served))
            found[p] = _Steady(float(fine.batch_count[k]), float(served[k]) * work.tokens_per_request / p.chips)
    if not found:
        tpot, ttft = (
            min(float(np.where(s.fits, getattr(s, name), np.inf).min()) for s in states.values())
            for name in ("tpot_percentile_s", "ttft_percentile_s")
        )
        raise DeploymentError(
            f"no mapping and batch on {accelerator.name} meets both targets: at the percentiles TPOT is at best "
            f"{show(tpot, 's')} (asked for {show(targets.tpot_s, 's')}), TTFT {show(ttft, 's')} (asked for "
            f"{show(targets.ttft_s, 's')})"
        )
    best: tuple[Parallelism, _Steady, _Held] | None = None
    reason = ""
    for p, steady in sorted(found.items(), key=lambda item: -item[1].tokens_per_s)[:_TRIED]:
        if best is not None and steady.tokens_per_s < best[2].tokens_per_s / best[0].chips:
            break  # the steady state is hardly ever beaten by a replay
        try:
            held = _held(accelerator, work, facts, kernels, p, steady)
        except DeploymentError as error:
            reason = reason or str(error)
            continue
        if best is None or held.tokens_per_s / p.chips > best[2].tokens_per_s / best[0].chips:
            best = p, steady, held
    if best is None:
        raise DeploymentError(reason)
    return best


def _parts(
    central: HourlyCost, drawn: HourlyCost, per_chip: float, sampled: Array, nre_usd_per_h: float
) -> tuple[Part, ...]:
    """The layers of the chip-hour, in the proportions of a token, and the one-time cost last."""
    ok = sampled > 0
    usd = float(central.total_usd_per_h[0]) / 3600 / per_chip
    drawn_usd = drawn.total_usd_per_h / 3600 / np.where(ok, sampled, per_chip)
    found = [
        Part(x.name, Range(x.low_usd_per_token, x.base_usd_per_token, x.high_usd_per_token, "usd_per_token"))
        for x in waterfall(central, usd, drawn, drawn_usd)
    ]
    if nre_usd_per_h > 0:
        each = nre_usd_per_h / 3600 / np.where(ok, sampled, np.nan)
        found.append(Part("one-time cost", Range.of(nre_usd_per_h / 3600 / per_chip, each, "usd_per_token")))
    return tuple(found)


def _curve(work: Load, states: dict[Parallelism, SteadyState], usd_per_h: float) -> tuple[Speed, ...]:
    """The cheapest at each speed per user that can be had, of all shardings, slowest first."""
    points: list[Speed] = []
    for p, s in states.items():
        rate = s.requests_per_s[0] * work.tokens_per_request / p.chips
        for k in np.flatnonzero(s.fits[0] & s.stable[0]):
            points.append(
                Speed(str(p), int(s.batch_count[k]), 1 / float(s.tpot_s[0, k]), usd_per_h / 3600 / float(rate[k]))
            )
    on = front(np.array([[-x.tokens_per_s_per_user, x.usd_per_token] for x in points]))
    return tuple(sorted((points[k] for k in on), key=lambda x: x.tokens_per_s_per_user))


def _reaches(accelerator: Accelerator, p: Parallelism) -> bool:
    """Tensor parallelism stays inside the scale-up domain."""
    domain = min((link.domain.number for link in accelerator.links[:1] if link.domain), default=1.0)
    return p.tensor <= domain


def _held(accelerator: Accelerator, work: Load, facts: Facts, kernels: str, p: Parallelism, steady: _Steady) -> _Held:
    """The highest load that a replay of one replica holds under the targets."""
    from scoville.serving.engine import engine
    from scoville.serving.load import capacity
    from scoville.serving.simulate import simulate

    made = engine(accelerator, facts, work.table(p), replace(work.settings, kernels=kernels))
    requests = work.requests(steady.batch_count)
    asked = requests.demand_tokens_per_s / (steady.tokens_per_s * p.chips)
    at_steady = requests.stretched(asked)
    # Under a target longer than the replay a queue could grow all along: what is served counts, not what is asked.
    asked_s = replace(work.serve.targets, ttft_s=min(work.serve.targets.ttft_s, _WAIT_FRAC * at_steady.duration_s))
    found = capacity(at_steady, lambda t: simulate(t, made, 1), asked_s, tolerance_frac=_TOLERANCE)
    replay = found.replay
    served = replay.tokens_per_s * replay.duration_s / max(replay.duration_s - float(np.nanmean(replay.end_s)), 1e-9)
    return _Held(min(found.load_frac * steady.tokens_per_s * p.chips, served), replay)


def _sampled(
    accelerator: Accelerator, work: Load, facts: Facts, draws: Draws, kernels: str, p: Parallelism, batch: float
) -> Array:
    """Tokens/s of a chip in each sample at its best batch, by the steady state, shape (n,); 0 where a target breaks."""
    try:
        on = chips(accelerator, facts, draws, kernels)
    except FactError:
        return np.zeros(draws.n)
    high = min(2 * batch, most_batch(work.shape, p))
    grid = np.unique(np.round(np.geomspace(max(batch / 8, 1), high, _SAMPLE_BATCHES)))
    state = work.steady(p, on, grid, RooflineTimer())
    served = np.where(state.feasible, state.requests_per_s, 0.0).max(axis=1)
    return np.asarray(served * work.tokens_per_request / p.chips)
