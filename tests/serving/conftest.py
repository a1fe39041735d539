"""A model, a chip and a timer whose every figure is known by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scoville import transformer
from scoville.facts import Draws, Facts, load
from scoville.serving import TrafficShape
from scoville.serving.engine import Engine, engine
from scoville.serving.settings import preset
from scoville.timing import Chips, StepTime, chips
from scoville.traffic import Trace
from scoville.traffic.synthesis import TraceFit, synthesise
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision

Array = NDArray[np.float64]
MakeTable = Callable[..., OperatorTable]
MakeShape = Callable[..., TrafficShape]
MakeTrace = Callable[..., Trace]


@dataclass(frozen=True)
class LinearTimer:
    """Every stage takes `step_s`, and `prompt_s` more for each prompt token of the busiest rank; the memory does it."""

    step_s: float
    prompt_s: float

    def time(self, table: OperatorTable, chips: Chips, features: Array) -> StepTime:
        column = table.layout.column("rank_prefill_tokens")
        stage = np.broadcast_to(self.step_s + self.prompt_s * features[:, column], (chips.n, len(features))).copy()
        latency, zero = stage * table.parallelism.pipeline, np.zeros_like(stage)
        row = np.zeros(len(features))
        return StepTime(stage, latency, zero, latency, zero, zero, row, row, row, stage, zero > 0, "test", 0.0)


@pytest.fixture(scope="session")
def timer() -> type[LinearTimer]:
    return LinearTimer


@pytest.fixture(scope="session")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="session")
def h100(facts: Facts) -> Chips:
    return chips(facts.accelerator("h100-sxm"), facts, Draws.central())


@pytest.fixture(scope="session")
def table() -> MakeTable:
    """table(tensor=2, model="llama-3.1-70b", kv="fp8")"""
    made: dict[tuple[object, ...], OperatorTable] = {}

    def make(*, model: str = "llama-3.1-70b", weights: str = "fp8", kv: str = "fp8", **ranks: int) -> OperatorTable:
        key = (model, weights, kv, *sorted(ranks.items()))
        if key not in made:
            precision = Precision(weights, "fp8" if weights == "fp8" else "bf16", kv)
            made[key] = operator_table(transformer.load(model), precision, Parallelism(**ranks))
        return made[key]

    return make


@pytest.fixture(scope="session")
def known_shape() -> MakeShape:
    """Prompts of 1,000 and answers of 200 tokens, all alike, Poisson arrivals; any field may be given."""

    def make(**fields: object) -> TrafficShape:
        i, o, chunk = 1000.0, 200.0, 8192.0
        base: dict[str, object] = {
            "name": "known",
            "input_tokens": i,
            "output_tokens": o,
            "cached_input_tokens": 0.0,
            "fresh_input_tokens": i,
            "prompt_second_frac": 1.0,
            "prompt_third_frac": 1.0,
            "output_inverse_frac": 1.0,
            "gap_scv_frac": 1.0,
            "chunk_tokens": chunk,
            "longest_tokens": int(i + o),
            "held_tokens": {None: i + o / 2},
            "pairs_tokens": {None: i * i / 2},
            "prompt_kv_tokens": {None: i},
        }
        return TrafficShape(**{**base, **fields})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def one(table: MakeTable, facts: Facts) -> Engine:
    """Llama-3.1-8B in fp8 on an H100, as vLLM runs it; what a request spends outside of it is left out."""
    alone = replace(preset("vllm", facts), request_s=0.0)
    return engine(facts.accelerator("h100-sxm"), facts, table(model="llama-3.1-8b"), alone)


@pytest.fixture(scope="session")
def trace() -> MakeTrace:
    """trace(requests, rate per second, scv): log-normal prompts of 700 tokens in the middle and answers of 150."""

    def make(requests: int, per_s: float, scv: float = 1.0, seed: int = 5, spread: float = 0.8) -> Trace:
        rng = np.random.default_rng(seed)
        prompts = np.clip(rng.lognormal(np.log(700), spread, 4000), 1, 30_000).astype(np.int32)
        answers = np.clip(rng.lognormal(np.log(150), 0.6, 4000), 1, 2000).astype(np.int32)
        return synthesise(TraceFit("made", "made", prompts, answers, 1 / per_s, scv), requests, seed)

    return make
