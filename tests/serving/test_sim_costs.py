"""Compiled step costs: the timer's own step time and energy, for any mix, to the rounding of integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoville.errors import DeploymentError
from scoville.facts import Draws, Facts
from scoville.serving.costs import TICKS_PER_S, StepCosts, compile_costs
from scoville.timing import Chips, RooflineTimer, chips
from scoville.transformer.operators import OperatorTable
from scoville.transformer.step import StepMix, Window

BUDGET, SEQUENCES = 4096, 512
CASES: list[dict[str, Any]] = [
    {"model": "llama-3.1-8b", "weights": "bf16"},
    {"model": "llama-3.1-70b", "tensor": 4},
    {"model": "gpt-oss-20b", "weights": "declared"},
    {"model": "gpt-oss-120b", "weights": "declared", "tensor": 2, "expert": 2},
    {"model": "mixtral-8x7b", "tensor": 4, "expert": 4},
    {"model": "mixtral-8x7b", "tensor": 4, "expert": 2},
    {"model": "deepseek-v3", "tensor": 8, "expert": 8},
    {"model": "gemma-3-27b", "tensor": 2},
    {"model": "gpt-oss-20b", "weights": "declared", "tensor": 8, "expert": 8},
]
SMALLEST = len(CASES) - 1  # a model so small on so many chips that a step's coefficients are a few dozen ticks
CHIPS = ["h100-sxm", "b200-sxm", "mi300x", "tpu-v7", "jalapeno"]
# Decodes by cached tokens, prompts by (cached, new) tokens, and whether each prompt ends in this step.
MIX = st.tuples(
    st.builds(lambda few, times: few * times, st.lists(st.integers(1, 130_000), max_size=10), st.integers(1, 50)),
    st.lists(st.tuples(st.one_of(st.just(0), st.integers(0, 100_000)), st.integers(1, 400), st.booleans()), max_size=8),
).filter(lambda mix: bool(mix[0] or mix[1]))
Mix = tuple[list[int], list[tuple[int, int, bool]]]


def within(tokens: int, window: Window) -> int:
    return tokens if window is None else min(tokens, window)


def read(c: int, n: int, window: Window) -> int:
    return c + n if window is None else min(c + n, window + n - 1)


def pairs(c: int, n: int, window: Window) -> int:
    return sum(within(c + i, window) for i in range(1, n + 1))


def as_v(mix: Mix, windows: tuple[Window, ...]) -> tuple[int, int, list[int]]:
    """Tokens, sampled tokens and v, as docs/simulator.md has them."""
    decodes, prompts = mix
    new = sum(n for _, n, _ in prompts)
    v = [1, len(decodes), new, len(decodes) + len(prompts)]
    for w in windows:
        v += [
            sum(within(c + 1, w) for c in decodes),
            sum(read(c, n, w) for c, n, _ in prompts),
            sum(pairs(c, n, w) for c, n, _ in prompts),
        ]
    return len(decodes) + new, len(decodes) + sum(ends for _, _, ends in prompts), v


def as_step(mix: Mix, windows: tuple[Window, ...]) -> StepMix:
    """The same for the timer."""
    decodes, prompts = mix
    count: Callable[[float], np.ndarray] = lambda x: np.array([float(x)])  # noqa: E731
    seen = {w: count(sum(within(c + 1, w) for c in decodes)) for w in windows}
    return StepMix(
        decode_sequences_count=count(len(decodes)),
        decode_tokens=count(len(decodes)),
        prefill_sequences_count=count(len(prompts)),
        prefill_tokens=count(sum(n for _, n, _ in prompts)),
        sampled_tokens=count(len(decodes) + sum(ends for _, _, ends in prompts)),
        decode_pairs_tokens=seen,
        decode_kv_tokens=seen,
        prefill_pairs_tokens={w: count(sum(pairs(c, n, w) for c, n, _ in prompts)) for w in windows},
        prefill_kv_tokens={w: count(sum(read(c, n, w) for c, n, _ in prompts)) for w in windows},
    )


@pytest.fixture(scope="module")
def compiled(table: Any, facts: Facts) -> Callable[[int, str, bool], tuple[OperatorTable, Chips, StepCosts]]:
    made: dict[tuple[int, str, bool], tuple[OperatorTable, Chips, StepCosts]] = {}

    def make(case: int, chip: str, throttled: bool) -> tuple[OperatorTable, Chips, StepCosts]:
        key = (case, chip, throttled)
        if key not in made:
            t, on = table(**CASES[case]), chips(facts.accelerator(chip), facts, Draws.central())
            if throttled:  # a twentieth of the power
                cap = 0.05
                fraction = on.compute_power_frac / cap
                on = replace(on, tdp_w=on.tdp_w * cap, idle_w=on.idle_w * cap, compute_power_frac=fraction)
            made[key] = (t, on, compile_costs(t, on, BUDGET, SEQUENCES))
        return made[key]

    return make


@settings(max_examples=200)
@given(st.integers(0, len(CASES) - 1), st.sampled_from(CHIPS), st.booleans(), MIX)
def test_the_timers_step(compiled: Any, case: int, chip: str, throttled: bool, mix: Mix) -> None:
    t, on, costs = compiled(case, chip, throttled)
    windows = t.layout.windows
    assert costs.windows == windows
    tokens, sampled, v = as_v(mix, windows)
    told = RooflineTimer().time(t, on, t.layout.features(as_step(mix, windows)))
    rounding = 1e-3 if case == SMALLEST else 1e-4
    assert costs.ticks(tokens, sampled, v) == pytest.approx(float(told.stage_s[0, 0]) * TICKS_PER_S, rel=rounding)
    joules = float(costs.energy_base_j[tokens]) + costs.energy_head_j * sampled + float(costs.energy_j @ v)
    idle = costs.idle_w * float(told.stage_s[0, 0])
    if np.isfinite(on.tdp_w[0]):
        assert joules + idle == pytest.approx(float(told.energy_j[0, 0]), rel=1e-9)


def test_throttled_steps_are_among_them(compiled: Any) -> None:
    t, on, costs = compiled(1, "h100-sxm", True)
    mix: Mix = ([], [(0, 4000, True)])
    told = RooflineTimer().time(t, on, t.layout.features(as_step(mix, t.layout.windows)))
    assert bool(told.throttled[0, 0])
    free = replace(costs, cap_base=0 * costs.cap_base, cap_head=0, cap=0 * costs.cap)
    assert free.ticks(*as_v(mix, costs.windows)) < costs.ticks(*as_v(mix, costs.windows))


def test_no_tokens_take_no_time(compiled: Any) -> None:
    costs = compiled(0, "h100-sxm", False)[2]
    assert costs.ticks(0, 0, [1] + [0] * (costs.size - 1)) == 0


@pytest.mark.parametrize("ranks", [{"pipeline": 2}, {"tensor": 2, "attention_data": 2}])
def test_pipelines_and_data_parallel_attention_are_refused(table: Any, h100: Chips, ranks: dict[str, int]) -> None:
    with pytest.raises(DeploymentError, match="use a sharding without PP and DP"):
        compile_costs(table(**ranks), h100, 64, 8)
