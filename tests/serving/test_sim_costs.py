"""Compiled step costs: the timer's own step time and work, for any mix, to the rounding of integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoville.facts import Draws, Facts
from scoville.serving.costs import SHARE_BITS, TICKS_PER_S, StepCosts, compile_costs
from scoville.serving.settings import EngineSettings, Speculation
from scoville.timing import Chips, RooflineTimer, chips
from scoville.timing.records import StepTime
from scoville.transformer.operators import OperatorTable
from scoville.transformer.step import StepMix, Window, experts_touched, seen_tokens

ENGINE = EngineSettings(token_budget=4096, max_sequences=512, block_tokens=16)
DRAFTS = replace(ENGINE, speculation=Speculation((0.8, 0.6, 0.4), pass_frac=1 / 61))
CASES: list[dict[str, Any]] = [
    {"model": "llama-3.1-8b", "weights": "bf16"},
    {"model": "llama-3.1-70b", "tensor": 4},
    {"model": "gpt-oss-20b", "weights": "declared"},
    {"model": "gpt-oss-120b", "weights": "declared", "tensor": 2, "expert": 2},
    {"model": "mixtral-8x7b", "tensor": 4, "expert": 4},
    {"model": "mixtral-8x7b", "tensor": 4, "expert": 2},
    {"model": "deepseek-v3", "tensor": 8, "expert": 8},
    {"model": "deepseek-v3.2", "tensor": 8, "expert": 8},
    {"model": "gemma-3-27b", "tensor": 2},
    {"model": "qwen3.5-397b-a17b", "weights": "fp8", "tensor": 4, "expert": 4},  # linear attention
    {"model": "deepseek-v3", "attention_data": 8, "expert": 8},
    {"model": "deepseek-v3", "tensor": 2, "attention_data": 4, "expert": 8},
    {"model": "gpt-oss-120b", "weights": "declared", "attention_data": 2, "expert": 2},
    {"model": "gpt-oss-20b", "weights": "declared", "tensor": 8, "expert": 8},
]
SMALLEST = len(CASES) - 1  # a model so small on so many chips that a step's coefficients are a few dozen ticks
PIPELINES: list[tuple[dict[str, Any], float]] = [  # and how much another stage may take longer than the one compiled
    ({"model": "llama-3.1-70b", "tensor": 2, "pipeline": 2}, 0.01),
    ({"model": "llama-3.1-70b", "pipeline": 8}, 0.01),
    ({"model": "qwen3.5-397b-a17b", "weights": "fp8", "tensor": 2, "pipeline": 4}, 0.01),
    ({"model": "gpt-oss-120b", "weights": "declared", "pipeline": 2}, 0.01),
    # Dense layers first, 15 or 16 layers a stage, the vocabulary in a stage with fewer.
    ({"model": "deepseek-v3", "tensor": 4, "expert": 4, "pipeline": 4}, 0.05),
    ({"model": "llama-3.1-405b", "tensor": 4, "pipeline": 4}, 0.05),
]
CHIPS = ["h100-sxm", "b200-sxm", "mi300x", "tpu-v7", "jalapeno"]
# Decodes by cached tokens, prompts by (cached, new) tokens, and whether each prompt ends in this step.
Mix = tuple[list[int], list[tuple[int, int, bool]]]
MIX: st.SearchStrategy[Mix] = st.tuples(
    st.builds(lambda few, times: few * times, st.lists(st.integers(1, 130_000), max_size=10), st.integers(1, 50)),
    st.lists(st.tuples(st.one_of(st.just(0), st.integers(0, 100_000)), st.integers(1, 400), st.booleans()), max_size=8),
).filter(lambda mix: bool(mix[0] or mix[1]))


def within(tokens: int, window: Window) -> int:
    return tokens if window is None else min(tokens, window)


def read(c: int, n: int, window: Window) -> int:
    return c + n if window is None else min(c + n, window + n - 1)


def pairs(c: int, n: int, window: Window) -> int:
    return sum(within(c + i, window) for i in range(1, n + 1))


def as_v(mix: Mix, windows: tuple[Window, ...], each: int = 1) -> tuple[int, int, list[int]]:
    """Tokens, sampled tokens and v, as docs/simulator.md has them; `each` tokens a decode."""
    decodes, prompts = mix
    d, new = each * len(decodes), sum(n for _, n, _ in prompts)
    v = [1, d, new, len(decodes) + len(prompts)]
    for w in windows:
        v += [
            sum(within(c + each, w) for c in decodes),
            sum(read(c, n, w) for c, n, _ in prompts),
            sum(pairs(c, n, w) for c, n, _ in prompts),
        ]
    return d + new, d + sum(ends for _, _, ends in prompts), v


def as_step(mix: Mix, windows: tuple[Window, ...], each: int = 1, *, exact: bool = False) -> StepMix:
    """The same for the timer; `exact`: every token of a decode sees what is before it, not what the last one sees."""
    decodes, prompts = mix
    count: Callable[[float], np.ndarray] = lambda x: np.array([float(x)])  # noqa: E731
    last = {w: count(sum(within(c + each, w) for c in decodes)) for w in windows}
    alike = {w: each * tokens for w, tokens in last.items()}
    truly = {w: count(sum(float(seen_tokens(c, each, w)) for c in decodes)) for w in windows}
    spans = {w: count(sum(read(c, each, w) for c in decodes)) for w in windows}
    return StepMix(
        decode_sequences_count=count(len(decodes)),
        decode_tokens=count(each * len(decodes)),
        prefill_sequences_count=count(len(prompts)),
        prefill_tokens=count(sum(n for _, n, _ in prompts)),
        sampled_tokens=count(each * len(decodes) + sum(ends for _, _, ends in prompts)),
        decode_pairs_tokens=truly if exact else alike,
        decode_kv_tokens=spans if exact else last,
        prefill_pairs_tokens={w: count(sum(pairs(c, n, w) for c, n, _ in prompts)) for w in windows},
        prefill_kv_tokens={w: count(sum(read(c, n, w) for c, n, _ in prompts)) for w in windows},
    )


def timed(t: OperatorTable, on: Chips, steps: Sequence[StepMix]) -> list[StepTime]:
    """The timer on each lane of a group: what is a rank's own is that lane's, what is everyone's is of all lanes."""
    rows = [t.layout.features(step)[0] for step in steps]
    everyones = sum(float(row[t.layout.column("tokens")]) for row in rows)
    for row in rows:
        row[t.layout.column("tokens")] = everyones
        for e, k in t.layout.expert_kinds:
            row[t.layout.column(f"experts:{e}/{k}")] = experts_touched(np.array(everyones), e, k)
    return [RooflineTimer().time(t, on, row[None, :]) for row in rows]


def without_heat(on: Chips) -> Chips:
    """The chip without energy, so that no power cap binds."""
    zeros = {name: 0 * getattr(on, name) for name in ("compute_power_frac", "memory_j_per_byte", "link_j_per_byte")}
    return replace(on, **zeros)


def stage_ticks(times: Sequence[StepTime]) -> float:
    return max(float(time.stage_s[0, 0]) for time in times) * TICKS_PER_S


def duration(costs: StepCosts, lanes: Sequence[Mix], each: int = 1) -> int:
    """The rule of a group's step without drafting and without the host's memory."""
    parts = [as_v(mix, costs.windows, each) for mix in lanes]
    everyones = sum(tokens for tokens, _, _ in parts)
    return max(
        costs.host,
        int(costs.shared_cap[everyones]) + max(costs.capped(*part) for part in parts),
        int(costs.shared[everyones]) + max(costs.own(*part) for part in parts),
    )


def work(costs: StepCosts, lanes: Sequence[Mix], each: int = 1) -> np.ndarray:
    parts = [as_v(mix, costs.windows, each) for mix in lanes]
    total = costs.work_shared[sum(tokens for tokens, _, _ in parts)].copy()
    for tokens, sampled, v in parts:
        total += costs.work_base[tokens] + costs.work_head * sampled + np.array(v, float) @ costs.work_v
    return total


Compile = Callable[..., tuple[OperatorTable, Chips, StepCosts]]


@pytest.fixture(scope="module")
def compiled(table: Any, facts: Facts) -> Compile:
    made: dict[Any, tuple[OperatorTable, Chips, StepCosts]] = {}

    def make(
        case: dict[str, Any], chip: str, *, throttled: bool = False, engine: EngineSettings = ENGINE
    ) -> tuple[OperatorTable, Chips, StepCosts]:
        key = (tuple(case.items()), chip, throttled, engine)
        if key not in made:
            t, on = table(**case), chips(facts.accelerator(chip), facts, Draws.central())
            if throttled:  # a twentieth of the power
                cap = 0.05
                fraction = on.compute_power_frac / cap
                on = replace(on, tdp_w=on.tdp_w * cap, idle_w=on.idle_w * cap, compute_power_frac=fraction)
            made[key] = (t, on, compile_costs(t, on, engine))
        return made[key]

    return make


# -- against the timer -------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.integers(0, len(CASES) - 1), st.sampled_from(CHIPS), st.booleans(), st.lists(MIX, min_size=8, max_size=8))
def test_the_timers_step(compiled: Compile, case: int, chip: str, throttled: bool, lanes: list[Mix]) -> None:
    t, on, costs = compiled(CASES[case], chip, throttled=throttled)
    lanes = lanes[: t.parallelism.attention_data]
    assert (costs.windows, costs.ranks) == (t.layout.windows, len(lanes))
    times = timed(t, on, [as_step(mix, costs.windows) for mix in lanes])
    rounding = 1e-3 if case == SMALLEST else 1e-4
    assert duration(costs, lanes) == pytest.approx(stage_ticks(times), rel=rounding)


@settings(max_examples=100)
@given(st.integers(0, len(CASES) - 1), st.sampled_from(CHIPS), MIX)
def test_the_timers_work(compiled: Compile, case: int, chip: str, mix: Mix) -> None:
    """Lanes alike, of which the timer has one and takes all others for the same."""
    t, on, costs = compiled(CASES[case], chip)
    lanes = [mix] * costs.ranks
    told = timed(t, on, [as_step(mix, costs.windows) for mix in lanes])[0]
    energy, flop, memory, link = work(costs, lanes)
    sums = [float(x) for x in (told.flop[0], told.memory_bytes[0], told.link_bytes[0])]
    assert [flop, memory, link] == pytest.approx(sums, rel=1e-9)
    if np.isfinite(on.tdp_w[0]):
        idle = costs.idle_w * float(told.stage_s[0, 0])
        assert energy + idle == pytest.approx(float(told.energy_j[0, 0]), rel=1e-9)


@settings(max_examples=100)
@given(st.sampled_from(PIPELINES), st.sampled_from(CHIPS), MIX)
def test_the_longest_stage_of_a_pipeline(
    compiled: Compile, pipeline: tuple[dict[str, Any], float], chip: str, mix: Mix
) -> None:
    case, uneven = pipeline
    t, on, costs = compiled(case, chip)
    assert costs.stages == case["pipeline"]
    (told,) = timed(t, on, [as_step(mix, costs.windows)])
    if not told.throttled[0, 0]:
        assert (1 - uneven) * stage_ticks([told]) <= duration(costs, [mix]) <= 1.0001 * stage_ticks([told])
    sums = [float(x) for x in (told.flop[0], told.memory_bytes[0], told.link_bytes[0])]
    assert list(work(costs, [mix])[1:]) == pytest.approx(sums, rel=1e-9)


def test_throttled_steps_are_among_them(compiled: Compile) -> None:
    t, on, costs = compiled(CASES[1], "h100-sxm", throttled=True)
    mix: Mix = ([], [(0, 4000, True)])
    (told,) = timed(t, on, [as_step(mix, t.layout.windows)])
    assert bool(told.throttled[0, 0])
    free = replace(costs, cap_base=0 * costs.cap_base, cap_head=0, cap=0 * costs.cap)
    assert duration(free, [mix]) < duration(costs, [mix])


# -- settings ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(0, len(CASES) - 1), st.sampled_from(CHIPS), MIX)
def test_asynchronous_scheduling_hides_the_hosts_time(compiled: Compile, case: int, chip: str, mix: Mix) -> None:
    t, on, costs = compiled(CASES[case], chip, engine=replace(ENGINE, asynchronous=True))
    _, _, inline = compiled(CASES[case], chip)
    lanes = [mix] * costs.ranks
    host = float((on.step_overhead_s * on.time_frac)[0]) * TICKS_PER_S
    assert (costs.host, inline.host) == (round(host), 0)
    quick = replace(on, step_overhead_s=0 * on.step_overhead_s)
    alone = stage_ticks(timed(t, quick, [as_step(mix, costs.windows) for mix in lanes]))
    assert duration(costs, lanes) == pytest.approx(max(host, alone), rel=1e-3)


@settings(max_examples=60)
@given(st.sampled_from([c for c in CASES if c.get("expert", 1) > 1]), st.sampled_from(CHIPS), MIX)
def test_an_uneven_load_of_experts(compiled: Compile, case: dict[str, Any], chip: str, mix: Mix) -> None:
    """As the timer has it for experts with so much more to compute and to exchange; their weights are read as ever.

    Times of whole kernels do not tell the one from the other: they grow by as much at the most.
    """
    more = 1.7
    t, on, costs = compiled(case, chip, engine=replace(ENGINE, expert_imbalance_frac=more))
    lanes = [mix] * costs.ranks
    moe = np.array([op.kind == "moe" for op in t.operators])
    exchange = np.array([op.collective == "all_to_all" for op in t.operators])
    uneven = replace(
        t,
        flop=t.flop * np.where(moe, more, 1.0)[:, None],
        link_bytes=t.link_bytes * np.where(exchange, more, 1.0)[:, None],
    )
    cool = without_heat(on)
    as_kernels = compile_costs(t, cool, replace(ENGINE, expert_imbalance_frac=more))
    even = duration(compile_costs(t, cool, ENGINE), lanes)
    assert even <= duration(as_kernels, lanes) <= more * even
    cool = replace(cool, kernels=None)
    free = compile_costs(t, cool, replace(ENGINE, expert_imbalance_frac=more))
    told = stage_ticks(timed(uneven, cool, [as_step(mix, costs.windows) for mix in lanes]))
    assert duration(free, lanes) == pytest.approx(told, rel=1e-3)
    assert duration(as_kernels, lanes) <= duration(costs, lanes)


def test_without_expert_parallelism_no_rank_is_busiest(table: Any, h100: Chips) -> None:
    t = table(model="mixtral-8x7b", tensor=4)
    even, uneven = (compile_costs(t, h100, replace(ENGINE, expert_imbalance_frac=x)) for x in (1.0, 2.0))
    assert np.array_equal(even.base, uneven.base)


@settings(max_examples=60)
@given(st.integers(0, len(CASES) - 1), st.sampled_from(CHIPS), MIX)
def test_drafts_are_verified_as_the_timer_has_it(compiled: Compile, case: int, chip: str, mix: Mix) -> None:
    t, on, costs = compiled(CASES[case], chip, engine=DRAFTS)
    each, lanes = 1 + costs.drafts, [mix] * costs.ranks
    assert (costs.drafts, costs.draft_share) == (3, round((1 << SHARE_BITS) / 61))
    alike = timed(t, on, [as_step(mix, costs.windows, each) for mix in lanes])
    assert duration(costs, lanes, each) == pytest.approx(stage_ticks(alike), rel=1e-3)
    exact = timed(t, on, [as_step(mix, costs.windows, each, exact=True) for mix in lanes])
    assert duration(costs, lanes, each) == pytest.approx(stage_ticks(exact), rel=0.01)
    assert work(costs, lanes, each)[1] == pytest.approx(float(alike[0].flop[0]), rel=1e-9)


def test_no_tokens_take_no_time(compiled: Compile) -> None:
    costs = compiled(CASES[0], "h100-sxm")[2]
    nothing = [1] + [0] * (costs.size - 1)
    assert (costs.own(0, 0, nothing), costs.capped(0, 0, nothing)) == (0, 0)


def test_a_block_to_the_host(table: Any, h100: Chips) -> None:
    assert compile_costs(table(), h100, ENGINE, block_s=2e-6).block == 2e-6 * TICKS_PER_S
