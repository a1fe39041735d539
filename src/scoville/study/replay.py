"""The simulator decides: a chip's best deployments, replayed with the trace's own arrivals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from scoville.errors import DeploymentError
from scoville.facts import Accelerator, Fact, Facts
from scoville.serving import Targets
from scoville.serving.batch import busiest
from scoville.serving.settings import EngineSettings, preset
from scoville.study.answer import Replayed
from scoville.study.arrivals import Arrivals, arrivals
from scoville.study.deploy import Choice, Deployment, Workload
from scoville.traffic import Trace
from scoville.transformer.step import Parallelism

if TYPE_CHECKING:
    from scoville.serving.engine import Engine
    from scoville.serving.replay import Replay

_ENGINE = "vllm"
_MOST_TRIED = 3  # deployments of a chip, beside the first
_START, _STEP, _NEAR_STEP = 0.75, 1.25, 1.12  # of the search for the highest load
_TOLERANCE = 0.03
_LEAST_LOAD, _MOST_LOAD = 0.01, 100.0
_FULL_FRAC = 0.98
_PREEMPTED_FRAC = 0.01


def engine_facts(facts: Facts) -> tuple[Fact, ...]:
    """What the replayed engine's settings rest on: the study's own budget and blocks, else the defaults of vLLM."""
    own = [facts.get("engine", name) for name in ("token_budget", "block_tokens")]
    return (*own, *(facts.get(f"engine-{_ENGINE}", name) for name in ("policy", "reservation", "max_sequences")))


def engine_settings(facts: Facts, *, prefix_cache: bool) -> EngineSettings:
    """An engine like vLLM with the budget and the blocks that the steady state assumes."""
    budget, block = (int(facts.get("engine", name).number) for name in ("token_budget", "block_tokens"))
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
        """The choice with the load that a replay finds, and with the deployment that is best by it.

        Others are tried, up to three, at first the best with each smaller degree of data-parallel attention: each at the
        load that would make it the best, if that is no more than its steady state's, and if it holds that, up to its
        highest. Where the best by the steady state can't
        be replayed, or all miss the targets at any load, the choice stays as it is and says why.
        """
        known: dict[Parallelism, float] = {}  # the highest load that holds
        below: dict[Parallelism, float] = {}  # a load that does not
        for best in choice.candidates:
            try:
                bench = self._bench(choice.accelerator, best)
                load, replay = _highest(bench.replay, self.work.targets, _START, _STEP)
                break
            except _MissedError as error:  # perhaps not with more chips
                below[best.parallelism] = _LEAST_LOAD
                reason = str(error)
            except DeploymentError as error:
                if best is choice.deployment:
                    return replace(choice, not_replayed=str(error))
        else:
            return replace(choice, not_replayed=reason)
        known[best.parallelism] = load
        tried = 0
        for d in _by_degree(choice.candidates):
            beats = self._load_that_beats(best, load, d)
            if d is best or d.parallelism in below or beats > 1 or tried == _MOST_TRIED:
                continue
            tried += 1
            try:
                other = self._bench(choice.accelerator, d)
                if other.replay(beats).meets(self.work.targets):
                    load, replay = _highest(other.replay, self.work.targets, beats, _NEAR_STEP)
                    best, bench, known[d.parallelism] = d, other, load
                else:
                    below[d.parallelism] = beats
            except DeploymentError:
                continue  # what can't be replayed is no better than what can
        found = self._found(best, bench, load, replay)
        return replace(
            choice,
            deployment=best,
            best=best.best,
            limit=_limit(found),
            busiest=busiest(best.state, best.best),
            candidates=tuple(d for d in choice.candidates if d.parallelism in known),
            load_frac=known,
            replayed=found,
        )

    def _bench(self, accelerator: Accelerator, d: Deployment) -> _Bench:
        """A deployment ready to be replayed. Raises DeploymentError where it can't be."""
        from scoville.serving.engine import engine
        from scoville.serving.simulate import simulate

        shape = self.work.shape
        steady = float(d.state.requests_per_s[0, d.best]) * (shape.input_tokens + shape.output_tokens)
        some = arrivals(self.trace, float(d.state.batch_count[d.best]), steady)
        settings = engine_settings(self.facts, prefix_cache=self.trace.block_hashes is not None)
        made = engine(accelerator, self.facts, self.work.table(d.parallelism), settings)
        with self._loading:
            if not self.loaded:
                one = np.ones(1, dtype=int)
                simulate(Trace("one request", "", np.zeros(1), one, one), made, 1)
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
        at_random, _ = _highest(random.replay, targets, load**0.5, _STEP, 2 * _TOLERANCE)
        ttft, tpot = replay.ttft_percentile_s(targets), replay.tpot_percentile_s(targets)
        decoding_s = float((replay.end_s - replay.ttft_s).sum())
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
        )


def _by_degree(candidates: Sequence[Deployment]) -> list[Deployment]:
    """The best of each degree of data-parallel attention, then the others; the best by steady state first in both."""
    first = {d.parallelism.attention_data: d for d in reversed(candidates)}
    return [d for d in candidates if d in first.values()] + [d for d in candidates if d not in first.values()]


class _MissedError(DeploymentError):
    """No load meets the targets."""


@dataclass(frozen=True, eq=False)
class _Bench:
    """One replica and the requests for it; loads are multiples of the steady state's."""

    engine: Engine
    steady_tokens_per_s: float
    arrivals: Arrivals

    def replay(self, load: float) -> Replay:
        from scoville.serving.simulate import simulate

        return simulate(self.arrivals.at(load * self.steady_tokens_per_s), self.engine, 1)


def _highest(
    replay: Callable[[float], Replay], targets: Targets, start: float, step: float, tolerance: float = _TOLERANCE
) -> tuple[float, Replay]:
    """The highest load that meets the targets, to `tolerance`, and its replay.

    As `load.capacity`, but with fewer replays, since the steady state says where to begin. Raises DeploymentError where the targets are missed at any load, or met at any.
    """
    at = replay(start)
    load, up = start, at.meets(targets)
    while True:
        following = load * step if up else load / step
        step *= step**0.5  # further with each miss
        if not _LEAST_LOAD < following < _MOST_LOAD:
            if up:
                raise DeploymentError(f"the targets are met even at {load:.3g} times the steady-state estimate's load")
            raise _MissedError(
                f"in a replay the targets are missed even at {load:.2g} of the steady-state estimate's load"
            )
        tried = replay(following)
        met = tried.meets(targets)
        if met != up:
            low, high, best = (load, following, at) if up else (following, load, tried)
            break
        load, at = following, tried
    while high / low > 1 + tolerance:
        middle = (low * high) ** 0.5
        tried = replay(middle)
        low, high, best = (middle, high, tried) if tried.meets(targets) else (low, middle, best)
    return low, best


def _limit(found: Replayed) -> str:
    """What stops a higher load in the replay, in the words of `batch.limit`."""
    if found.most_cache_frac >= _FULL_FRAC and found.preempted_frac >= _PREEMPTED_FRAC:
        return "memory capacity"
    return f"latency target ({found.off_target})"
