"""Which batch sizes are tried, what stops a larger one, and the two sentences of a prediction that has none."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from scoville.errors import DeploymentError, TrafficError
from scoville.facts import Facts
from scoville.serving import SteadyState, Targets, check_context, steady_state
from scoville.serving.batch import around, batch_sizes, busiest, limit
from scoville.serving.predict import predict
from scoville.timing import Chips
from scoville.transformer import load


def test_batch_sizes_reach_from_one_to_the_most() -> None:
    sizes = batch_sizes(8191)
    assert (sizes[0], sizes[-1]) == (1, 8191)
    assert (sizes == np.round(sizes)).all()
    big = sizes[sizes > 20]
    assert (big[1:] / big[:-1]).max() < 1.2
    assert batch_sizes(1).tolist() == [1]


def test_every_integer_between_the_neighbours() -> None:
    tried = np.array([1.0, 10, 20, 50])
    assert around(tried, 0).tolist() == list(range(1, 12))
    assert around(tried, 2).tolist() == list(range(10, 52))
    assert around(tried, 3).tolist() == list(range(20, 52))
    assert around(np.array([1.0]), 0).tolist() == [1, 2]
    many = around(np.array([1e5, 2e5]), 1)
    assert (many[0], many[-1], len(many)) == (1e5, 2e5 + 1, 2000)


@pytest.fixture
def two(table: Any, known_shape: Any, h100: Chips, timer: Any) -> SteadyState:
    """Batch 32 and 33, both feasible and bound by memory."""
    loose = Targets(60.0, 1.0)
    return steady_state(table(tensor=4), h100, known_shape(), np.array([32.0, 33.0]), loose, timer(20e-3, 1e-6))


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        ({}, "memory bandwidth"),
        ({"ttft_met": False}, "latency target (TTFT)"),
        ({"tpot_met": False, "ttft_met": False}, "latency target (TPOT)"),
        ({"stable": False, "ttft_met": False, "tpot_met": False}, "prefill throughput"),
        ({"fits": False, "stable": False}, "token budget"),
        ({"fits": False, "memory_frac": 1.1, "stable": False}, "memory capacity"),
    ],
)
def test_what_a_larger_batch_breaks(two: SteadyState, broken: dict[str, Any], name: str) -> None:
    assert two.feasible.all()
    state = dataclasses.replace(two, **{k: np.array([[getattr(two, k)[0, 0], v]]) for k, v in broken.items()})
    assert limit(state, 0) == name
    assert limit(state, 1) == busiest(state, 1) == "memory bandwidth"


def test_prefill_that_cannot_keep_up_is_said(table: Any, known_shape: Any, facts: Facts) -> None:
    long = known_shape(fresh_input_tokens=100_000.0, output_tokens=1.0, pairs_tokens={None: 5e9})
    with pytest.raises(DeploymentError, match="prefill cannot keep up with the prompts of even a single sequence") as e:
        predict(facts.accelerator("h100-sxm"), facts, table(tensor=4), long, Targets(1.0, 1.0))
    assert "inf" not in str(e.value)


def test_short_answers_to_long_prompts_miss_their_target(table: Any, known_shape: Any, facts: Facts) -> None:
    """60,000 tokens in and 20 out: full steps take hundreds of milliseconds, and P95 TPOT cannot be 50."""
    n = 60_000.0
    long = known_shape(
        input_tokens=n, fresh_input_tokens=n, output_tokens=20.0, held_tokens={None: n + 10},
        pairs_tokens={None: n * n / 2}, prompt_kv_tokens={None: 4.5 * n},
    )  # fmt: skip
    with pytest.raises(DeploymentError, match="no batch size meets the targets; batch 1 has TTFT"):
        predict(facts.accelerator("h200-sxm"), facts, table(tensor=8), long, Targets(1000.0, 0.05))
    found = predict(facts.accelerator("h200-sxm"), facts, table(tensor=8), long, Targets(1000.0, 2.0), samples=100)
    assert found.tpot_percentile_s.central >= found.tpot_s.central > 0.05


def test_requests_longer_than_the_model_takes(table: Any, known_shape: Any, facts: Facts) -> None:
    long = known_shape(longest_tokens=131_073)
    with pytest.raises(TrafficError, match=r"the longest request has 131,073 tokens, Llama-3.1-70B takes at most"):
        predict(facts.accelerator("h100-sxm"), facts, table(tensor=4), long, Targets(1.0, 1.0))
    check_context(known_shape(longest_tokens=131_072), load("llama-3.1-70b"))
    check_context(long, load("mistral-7b"))  # declares no limit
