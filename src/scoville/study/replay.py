"""The simulator decides: a chip's best deployments, replayed with the trace's own arrivals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from scoville.errors import DeploymentError
from scoville.facts import Accelerator, Fact, Facts
from scoville.serving import Targets
from scoville.serving.batch import busiest
from scoville.serving.settings import EngineSettings, preset, whole
from scoville.study.answer import Replayed
from scoville.study.arrivals import Arrivals, arrivals
from scoville.study.deploy import Choice, Deployment, Workload
from scoville.traffic import Trace
from scoville.transformer.step import Parallelism

if TYPE_CHECKING:
    from scoville.serving.engine import Engine
    from scoville.serving.replay import Replay

_ENGINE = "vllm"
_HOPE = 1.3  # a deployment is not tried at more than so many times the load that is expected of it
_TOLERANCE = 0.03
_LEAST_STEP, _MOST_STEP = 1.03, 2.0  # between two loads, as long as all meet the targets or all miss them
_POWER = 1.5  # of the load by which latency grows, about
_RANDOM_FRAC = 1.25  # requests at random times hold more than as they come
_LEAST_LOAD, _MOST_LOAD = 0.01, 100.0
_FULL_FRAC = 0.98
_PREEMPTED_FRAC = 0.01


def engine_facts(facts: Facts) -> tuple[Fact, ...]:
    """What the replayed engine's settings rest on: the study's own budget and blocks, else the defaults of vLLM."""
    own = [facts.get("engine", name) for name in ("token_budget", "block_tokens")]
    usual = ("policy", "reservation", "max_sequences", "asynchronous", "sequence_time")
    return (*own, *(facts.get(f"engine-{_ENGINE}", name) for name in usual))


def engine_settings(facts: Facts, *, prefix_cache: bool) -> EngineSettings:
    """An engine like vLLM with the budget and the blocks that the steady state assumes."""
    budget, block = (whole(facts.get("engine", name)) for name in ("token_budget", "block_tokens"))
    usual = preset(_ENGINE, facts)
    return replace(
        usual,
        token_budget=budget,
        max_sequences=min(usual.max_sequences, budget),
        block_tokens=block,
        prefix_cache=prefix_cache,
    )


@dataclass(eq=False)
class Replays:
    """Replays of one study; may be called from several threads, the result does not depend on them.

    `loaded` tells whether the compiled simulator has run once: loading takes a second, compiling it some more.
    """

    trace: Trace
    facts: Facts
    work: Workload
    loaded: bool = False
    _loading: Lock = field(default_factory=Lock)

    def decide(self, choice: Choice) -> Choice:
        """The choice with the deployment that is best by replays, and the load that it holds.

        A stretch of the requests orders the deployments: the one of which most is expected searches its highest load,
        each other one is tried at the load that would make it better, if that is not beyond hope, and searches on if it
        holds that. All requests then find the highest load of the best. Where none can be replayed, or all miss the
        targets at any load, the choice stays as it is and says why.
        """
        best: Deployment | None = None
        known: dict[Parallelism, float] = {}  # the highest load that holds, of the stretch
        reason = ""
        for d in sorted(choice.candidates, key=lambda d: -self._expected_merit(choice, d)):
            start = expected = choice.expected_frac[d.parallelism]
            if expected <= 0:
                continue
            if best is not None:
                start = self._load_that_beats(best, known[best.parallelism], d)
                if start > _HOPE * expected:
                    continue
            try:
                tried = self._bench(choice.accelerator, d, expected)
                some = tried.short()
                first = some.replay(start)
                if best is not None and not first.meets(self.work.targets):
                    continue
                load, last = _highest(some.replay, self.work.targets, start, first)
            except DeploymentError as error:  # what can't be replayed is no better than what can
                reason = reason or str(error)
                continue
            best, bench, replay, known[d.parallelism] = d, tried, last, load
        if best is None:
            return replace(choice, not_replayed=reason or "no deployment is expected to hold any load")
        load = known[best.parallelism]
        if not bench.is_short:
            try:
                load, replay = _highest(bench.replay, self.work.targets, load, bench.replay(load))
            except DeploymentError as error:
                return replace(choice, not_replayed=str(error))
        found = self._found(best, bench, load, replay)
        whole = load / known[best.parallelism]  # what all requests hold of what the stretch does
        return replace(
            choice,
            deployment=best,
            best=best.best,
            limit=_limit(found),
            busiest=busiest(best.state, best.best),
            candidates=tuple(d for d in choice.candidates if d.parallelism in known),
            load_frac={p: x * whole for p, x in known.items()} | {best.parallelism: load},
            replayed=found,
        )

    def _expected_merit(self, choice: Choice, d: Deployment) -> float:
        served = d.served_per_s()[d.best] * choice.expected_frac[d.parallelism]
        return float(self.work.merit(served, d.parallelism.chips))

    def _bench(self, accelerator: Accelerator, d: Deployment, expected: float) -> _Bench:
        """A deployment of which that share of its steady state's load is expected, ready to be replayed.

        Raises DeploymentError where it can't be.
        """
        from scoville.serving.engine import engine
        from scoville.serving.simulate import simulate

        shape = self.work.shape
        steady = float(d.state.requests_per_s[0, d.best]) * (shape.input_tokens + shape.output_tokens)
        some = arrivals(self.trace, float(d.state.batch_count[d.best]) * expected, steady * expected)
        settings = engine_settings(self.facts, prefix_cache=self.trace.block_hashes is not None)
        made = engine(accelerator, self.facts, self.work.table(d.parallelism), settings)
        with self._loading:
            if not self.loaded:
                simulate(some.first(), made, 1)
                self.loaded = True
        return _Bench(made, steady, some)

    def _load_that_beats(self, best: Deployment, load: float, other: Deployment) -> float:
        """The load, over its steady state's, at which another deployment's fleet has no more chips than the best's."""
        served = float(best.served_per_s()[best.best]) * load
        chips = np.ceil(self.work.needed_requests_per_s / served * (1 - 1e-12)) * best.parallelism.chips
        replicas = np.floor(chips / other.parallelism.chips)
        if replicas < 1:
            return float("inf")
        return float(self.work.needed_requests_per_s / replicas / other.served_per_s()[other.best])

    def _found(self, d: Deployment, bench: _Bench, load: float, replay: Replay) -> Replayed:
        targets = self.work.targets
        random = _Bench(bench.engine, bench.steady_tokens_per_s, bench.arrivals.at_random())
        start = load * _RANDOM_FRAC
        at_random, _ = _highest(random.replay, targets, start, random.replay(start), 2 * _TOLERANCE)
        ttft, tpot = replay.ttft_percentile_s(targets), replay.tpot_percentile_s(targets)
        decoding_s = float((replay.end_s - replay.ttft_s).sum())
        shape, cached = self.work.shape, bench.engine.settings.prefix_cache
        steady_per_chip = bench.steady_tokens_per_s / d.parallelism.chips
        return Replayed(
            requests=bench.arrivals.words,
            requests_count=len(replay),
            steady_batch_count=int(d.state.batch_count[d.best]),
            steady_tokens_per_s_per_chip=steady_per_chip,
            random_tokens_per_s_per_chip=at_random * steady_per_chip,
            tokens_per_s_per_chip=load * steady_per_chip,
            tokens_per_s_per_user=float((replay.output_tokens - 1).sum(dtype=np.int64)) / decoding_s,
            batch_count=decoding_s / len(replay) * load * float(d.state.requests_per_s[0, d.best]),
            ttft_percentile_s=ttft,
            tpot_percentile_s=tpot,
            preempted_frac=float((replay.preemptions_count > 0).mean()),
            most_cache_frac=replay.most_cache_frac,
            off_target="TTFT" if ttft / targets.ttft_s > tpot / targets.tpot_s else "TPOT",
            cached_frac=float(replay.cached_tokens.sum() / replay.input_tokens.sum(dtype=np.int64)) if cached else None,
            unlimited_cached_frac=shape.cached_input_tokens / shape.input_tokens if cached else None,
        )


@dataclass(frozen=True, eq=False)
class _Bench:
    """One replica and the requests for it; loads are multiples of the steady state's."""

    engine: Engine
    steady_tokens_per_s: float
    arrivals: Arrivals

    def replay(self, load: float) -> Replay:
        from scoville.serving.simulate import simulate

        return simulate(self.arrivals.at(load * self.steady_tokens_per_s), self.engine, 1)

    @property
    def is_short(self) -> bool:
        """Whether these are so few requests that a stretch of them would save nothing."""
        return self.arrivals.stretch() is self.arrivals

    def short(self) -> _Bench:
        """With a stretch of the requests."""
        return _Bench(self.engine, self.steady_tokens_per_s, self.arrivals.stretch())


def _highest(
    replay: Callable[[float], Replay], targets: Targets, start: float, first: Replay, tolerance: float = _TOLERANCE
) -> tuple[float, Replay]:
    """The highest load that meets the targets, to `tolerance`, and its replay; `first` is the one at `start`.

    As `load.capacity`, but with fewer replays, since `start` is near: in logarithms the latency over its target is
    interpolated between the last loads that met and missed, and the next load lies a little beyond where it is 1, on
    the side that is still far. Raises DeploymentError where the targets are missed at any load, or met at any.
    """
    narrow = math.log1p(tolerance)
    load, made, least, width = math.log(start), first, math.log(_LEAST_STEP), math.inf
    low = high = best = None  # load and latency over target of those nearest to the answer, and the lower one's replay
    while True:
        met, over = made.meets(targets), _log_over(made, targets)
        aside = (1 if met else -1) * 0.45 * narrow
        if met:
            low, best = (load, over), made
        else:
            high = (load, over)
        if low is None or high is None or best is None:
            step = min(max(least, abs(over) / _POWER), math.log(_MOST_STEP))
            load += step + aside if met else aside - step
            least *= 3
            if not math.log(_LEAST_LOAD) < load < math.log(_MOST_LOAD):
                raise DeploymentError(
                    f"the targets are met even at {math.exp(load):.3g} times the steady-state estimate's load"
                    if met
                    else f"in a replay the targets are missed even at {math.exp(load):.2g} of the steady-state "
                    f"estimate's load"
                )
        else:
            before, width = width, high[0] - low[0]
            if width <= narrow:
                return math.exp(low[0]), best
            load = (low[0] + high[0]) / 2
            if width < before / 2 and math.isfinite(high[1]) and low[1] < high[1]:
                reached = low[0] - low[1] * width / (high[1] - low[1]) + aside
                load = min(max(reached, low[0] + 0.1 * width), high[0] - 0.1 * width)
        made = replay(math.exp(load))


def _log_over(made: Replay, targets: Targets) -> float:
    """Logarithm of the latency over its target, of the one that is nearer to it."""
    over = max(made.ttft_percentile_s(targets) / targets.ttft_s, made.tpot_percentile_s(targets) / targets.tpot_s)
    return math.log(max(over, 1e-9))


def _limit(found: Replayed) -> str:
    """What stops a higher load in the replay, in the words of `batch.limit`."""
    if found.most_cache_frac >= _FULL_FRAC and found.preempted_frac >= _PREEMPTED_FRAC:
        return "memory capacity"
    return f"latency target ({found.off_target})"
