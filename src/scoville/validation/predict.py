"""Settings as the simulator runs them: closed loops from a burst, or all requests at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoville.errors import ScovilleError
from scoville.facts import Accelerator, Draws, Facts
from scoville.serving.engine import Engine, engine
from scoville.serving.settings import EngineSettings, Fleet, preset
from scoville.serving.simulate import simulate
from scoville.timing import Chips, chips
from scoville.traffic import Trace
from scoville.transformer import Architecture
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision
from scoville.validation.rows import Setting

Compile = Callable[[Accelerator, Facts, OperatorTable, EngineSettings], Engine]
_LONGEST_FIRST_UNIT_TOKENS = 256
_CLIENT_S = 1e-3  # from an answer's end to the client's next request: a judgement; any time at all costs it a step
_SPREAD_FRAC = 0.1  # of fixed answer lengths either way, about that of InferenceX's: a judgement, not fitted


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a run of a setting gives; `reason` says why it gives nothing (then all numbers are NaN).

    queue_s is the mean time from arrival until a request is first scheduled, a part of its TTFT.
    """

    ttft_s: float = float("nan")
    ttft_median_s: float = float("nan")
    tpot_s: float = float("nan")
    tpot_median_s: float = float("nan")
    queue_s: float = float("nan")
    output_tokens_per_s: float = float("nan")
    most_sequences_count: int = 0
    reason: str = ""

    @property
    def queued(self) -> bool:
        """Whether half of the TTFT or more is queueing."""
        return bool(self.queue_s >= 0.5 * self.ttft_s)

    def of(self, metric: str, *, median: bool = False) -> float:
        """The figure of a metric: seconds, or output tokens per second."""
        if metric == "throughput":
            return self.output_tokens_per_s
        return float(getattr(self, f"{metric}_median_s" if median else f"{metric}_s"))


class Deployments:
    """The one place where a setting becomes an engine; tables and engines are kept, so that runs share them.

    `compile` makes the engine, by default the serving room's own; a correction of the timer or of an engine's overhead
    is another function, or other facts. `with_engine` keeps the operator tables, which depend on neither.
    """

    def __init__(
        self,
        facts: Facts,
        architectures: Mapping[str, Architecture],
        compile: Compile = engine,
        tables: dict[tuple[str, Precision, Parallelism], OperatorTable] | None = None,
    ) -> None:
        self.facts = facts
        self._architectures = architectures
        self._compile = compile
        self._tables = {} if tables is None else tables
        self._engines: dict[tuple[object, ...], Engine | ScovilleError] = {}
        self._peaks: dict[str, Chips] = {}
        self._lock = Lock()

    def with_engine(self, compile: Compile = engine, facts: Facts | None = None) -> Deployments:
        """The same deployments with other engines or facts."""
        return Deployments(facts or self.facts, self._architectures, compile, self._tables)

    def table(self, setting: Setting) -> OperatorTable:
        """The operators of a setting's replica. Raises DeploymentError where the sharding does not divide the model."""
        key = (setting.model, setting.precision, setting.parallelism)
        if key not in self._tables:
            self._tables[key] = operator_table(
                self._architectures[setting.model], setting.precision, setting.parallelism
            )
        return self._tables[key]

    def architecture(self, model: str) -> Architecture:
        """The model of a setting."""
        return self._architectures[model]

    def peaks(self, accelerator: str) -> Chips:
        """The chip at the facts' central values."""
        if accelerator not in self._peaks:
            self._peaks[accelerator] = chips(self.facts.accelerator(accelerator), self.facts, Draws.central())
        return self._peaks[accelerator]

    def engine(self, setting: Setting) -> Engine:
        """The engine of a setting's replica: its family's preset with the run's own token budget, if it is known.

        Raises ScovilleError where it does not fit.
        """
        s = setting
        key = (s.accelerator, s.model, s.precision, s.parallelism, s.engine, s.token_budget)
        with self._lock:
            if key not in self._engines:
                try:
                    own = preset(s.engine, self.facts)
                    own = replace(own, token_budget=s.token_budget or own.token_budget)
                    chip = self.facts.accelerator(s.accelerator)
                    self._engines[key] = self._compile(chip, self.facts, self.table(s), own)
                except ScovilleError as error:
                    self._engines[key] = error
            found = self._engines[key]
        if isinstance(found, ScovilleError):
            raise found
        return found


def predicted(
    settings: Sequence[Setting],
    deployments: Deployments,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[Setting, Predicted]:
    """Run every distinct setting once; `progress` hears how many are done. The result does not depend on `threads`.

    A setting that cannot be run (it does not fit) has the reason in its record.
    """
    asked = sorted(dict.fromkeys(settings), key=_work, reverse=True)
    for s in asked[-1:]:
        run(s, deployments)  # compiles the kernel, once for all threads
    made: dict[Setting, Predicted] = {}
    with ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1)) as pool:
        waiting = {pool.submit(run, s, deployments): s for s in asked}
        try:
            for done in as_completed(waiting):
                made[waiting[done]] = done.result()
                if progress is not None:
                    progress(len(made))
        except BaseException:  # Ctrl-C ends the runs that go on, and starts no other
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {s: made[s] for s in dict.fromkeys(settings)}


def _work(s: Setting) -> float:
    """About how long a run takes: the long ones start first."""
    return s.requests_count * (s.output_tokens + s.input_tokens / _LONGEST_FIRST_UNIT_TOKENS)


def requests(setting: Setting) -> Trace:
    """The requests of a run, all waiting at its start; lengths are drawn with the same seed for every setting.

    Where all answers of a closed loop have one length, simulated ones end in the same step, their successors' prompts
    share a step, and so on for ever: a lockstep that no real loop keeps, since clients, network and tokenizer take
    their time. Answers are spread about that length instead, by `_SPREAD_FRAC` either way with the same mean.
    """
    n = setting.requests_count
    random = np.random.default_rng(0)

    def drawn(shortest: float, longest: float) -> NDArray[np.int32]:
        return random.integers(max(1, int(np.ceil(shortest))), int(longest), n, dtype=np.int32, endpoint=True)

    least, made = setting.shortest_frac, setting.output_tokens
    given = drawn(least * setting.input_tokens, setting.input_tokens)
    step = int(_SPREAD_FRAC * made) if least == 1 and setting.concurrency is not None else 0
    answers = drawn(made - step, made + step) if step else drawn(least * made, made)
    return Trace("the row's requests", "", np.zeros(n), given, answers)


def run(setting: Setting, deployments: Deployments) -> Predicted:
    """One setting, simulated."""
    try:
        one = deployments.engine(setting)
        think_s = _CLIENT_S if setting.concurrency is not None else 0.0
        routing: Any = "least_loaded" if setting.replicas_count > 1 else "round_robin"
        fleet = Fleet(replicas=setting.replicas_count, routing=routing, users=setting.concurrency, think_s=think_s)
        trace = requests(setting)
        replay = simulate(trace, one, fleet, threads=1)
    except ScovilleError as error:
        return Predicted(reason=str(error))
    served = replay.served
    answers = replay.output_tokens[served]
    more = replay.tpot_s[served & (replay.output_tokens > 1)]
    ttft = replay.ttft_s[served] + setting.late_tokens * replay.tpot_s[served]
    return Predicted(
        ttft_s=float(ttft.mean()),
        ttft_median_s=float(np.median(ttft)),
        tpot_s=float(more.mean()) if len(more) else float("nan"),
        tpot_median_s=float(np.median(more)) if len(more) else float("nan"),
        queue_s=float(replay.queue_s[served].mean()),
        output_tokens_per_s=float(answers.sum(dtype=np.int64)) / replay.duration_s,
        most_sequences_count=replay.most_sequences_count,
    )
