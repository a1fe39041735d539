"""The roofline timer: the array path against plain Python, and what must hold whatever the figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.timing.conftest import one_sample, paper_chip

from scoville.errors import FactError
from scoville.facts import Draws, Facts
from scoville.timing import Chips, RooflineTimer, StepTime, chips
from scoville.transformer import load
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, uniform_mix

Central = Callable[[str], Chips]
TIMER = RooflineTimer()
CASES = [
    ("llama-3.1-70b", Parallelism(1)),
    ("llama-3.1-70b", Parallelism(8)),
    ("llama-3.1-70b", Parallelism(4, 4)),
    ("llama-3.1-8b", Parallelism(1, 3)),
    ("mixtral-8x7b", Parallelism(4, 1, 4)),
    ("mixtral-8x7b", Parallelism(8, 1, 1, 2)),
    ("gpt-oss-120b", Parallelism(2, 2, 2)),
    ("deepseek-v3", Parallelism(1, 1, 32, 32)),
    ("deepseek-v3.2", Parallelism(2, 2, 16, 8)),
    ("qwen3.5-397b-a17b", Parallelism(16)),
]
CASE = st.sampled_from(CASES)
PRECISION = st.sampled_from([Precision(), Precision("bf16"), Precision("fp8", "fp8", "fp8"), Precision("mxfp4")])
CHIP = st.sampled_from(["h100-sxm", "a100-sxm", "b200-sxm", "tpu-v7", "jalapeno"])
STEP = st.tuples(
    st.integers(0, 600), st.integers(0, 20_000), st.integers(1, 4), st.integers(0, 3), st.integers(1, 4000)
)


@cache
def table(name: str, parallelism: Parallelism, precision: Precision | None = None) -> OperatorTable:
    return operator_table(load(name), precision or Precision(), parallelism)


def features(t: OperatorTable, steps: list[tuple[int, int, int, int, int]]) -> NDArray[np.float64]:
    """Rows for (decodes, context, query tokens each, prompts, tokens each), the busiest group with a third more."""
    d, c, q, s, p = (np.array(v, float) for v in zip(*steps, strict=True))
    groups = t.parallelism.attention_data
    return t.layout.features(
        uniform_mix(
            t.architecture,
            decode_sequences=d,
            context_tokens=c,
            query_per_decode=q,
            prefill_sequences=s,
            prefill_tokens=s * p,
            worst_rank_frac=1.0 if groups == 1 else min(1.0, 1.33 / groups),
        )
    )


def by_hand(t: OperatorTable, on: Chips, x: NDArray[np.float64]) -> dict[str, float]:
    """Stage, latency, energy and parts of one step, from the rows of `explain` in plain Python.

    `busy_s` is compute_s and memory_s together; apart they follow from peaks where nothing is measured.
    """
    rows = TIMER.explain(t, on, x)
    overhead = float(on.step_overhead_s[0] * on.time_frac[0])
    stages = [overhead] * t.parallelism.pipeline
    parts = {"busy_s": 0.0, "link_s": 0.0, "overhead_s": overhead}
    bound = {} if on.kernels else {"compute_s": 0.0, "memory_s": 0.0}
    joules = 0.0
    for row, op in zip(rows, t.operators, strict=True):
        for s, runs in enumerate(op.per_stage_count):
            stages[s] += row.time_s * runs
        joules += row.runs_count * row.memory_bytes * float(on.memory_j_per_byte[0])
        joules += row.runs_count * row.link_bytes * float(on.link_j_per_byte[0])
        if op.collective is None:
            joules += row.runs_count * row.flop * float(on.compute_power_frac[0] * on.tdp_w[0]) / row.peak_flop_per_s
            launch = row.fixed_s
            if row.source == "roofline" and row.time_s:
                assert launch == float((on.launch_s[op.kind.split("_")[0]] * on.time_frac)[0])
            rate = on.rate(op.weight_rate, op.activation_rate)[1]
            compute = row.flop / row.peak_flop_per_s / float(on.compute_efficiency_frac[op.kind, rate][0])
            memory = row.memory_bytes / float((on.memory_bytes_per_s * on.memory_efficiency_frac[op.kind])[0])
            if bound:
                bound["compute_s" if compute > memory else "memory_s"] += row.runs_count * (row.time_s - launch)
            parts["busy_s"] += row.runs_count * (row.time_s - launch)
            parts["overhead_s"] += row.runs_count * launch
        else:
            parts["link_s"] += row.runs_count * row.time_s
    latency = sum(stages) - overhead * (len(stages) - 1)
    idle = float(on.idle_w[0]) * len(stages)
    slow = max(1.0, joules / (float(on.tdp_w[0]) * len(stages) - idle) / max(stages))
    stage = max(stages) * slow
    return {
        "stage_s": stage,
        "latency_s": latency * slow,
        **{name: part * slow for name, part in (parts | bound).items()},
        "energy_j": (joules + idle * stage) * t.parallelism.stage_chips,
        "flop": sum(r.runs_count * r.flop for r in rows) * t.parallelism.stage_chips,
        "memory_bytes": sum(r.runs_count * r.memory_bytes for r in rows) * t.parallelism.stage_chips,
        "link_bytes": sum(r.runs_count * r.link_bytes for r in rows) * t.parallelism.stage_chips,
    }


@settings(max_examples=40)
@given(CASE, PRECISION, CHIP, st.lists(STEP, min_size=1, max_size=4), st.integers(1, 3), st.sampled_from([1.0, 0.05]))
def test_the_array_path_equals_the_sum_of_its_operators(
    facts: Facts,
    case: tuple[str, Parallelism],
    precision: Precision,
    chip: str,
    steps: list[tuple[int, int, int, int, int]],
    samples: int,
    cap: float,
) -> None:
    """With a twentieth of the power, steps are throttled. Measured collectives have the samples' mean overlap."""
    t = table(*case, precision)
    on = chips(facts.accelerator(chip), facts, Draws(3, samples))
    on = replace(on, tdp_w=on.tdp_w * cap, idle_w=on.idle_w * cap, compute_power_frac=on.compute_power_frac / cap)
    if on.kernels:
        on = replace(on, overlap_frac={k: np.full(samples, v.mean()) for k, v in on.overlap_frac.items()})
    x = features(t, steps)
    got = TIMER.time(t, on, x)
    assert got.stage_s.shape == got.energy_j.shape == (samples, len(steps))
    for i in range(samples):
        for j in range(len(steps)):
            for name, value in by_hand(t, one_sample(on, i), x[j]).items():
                array = got.compute_s + got.memory_s if name == "busy_s" else getattr(got, name)
                assert array[..., j].reshape(-1)[i if array.ndim == 2 else 0] == pytest.approx(value, rel=1e-12), name


def test_blocks_do_not_show(central: Central) -> None:
    """Enough steps for several blocks: each as if it were timed alone."""
    t = table("llama-3.1-70b", Parallelism(2, 2))
    x = features(t, [(b % 500, 10 * b, 1, b % 3, 100) for b in range(1, 5000)])
    on = central("h100-sxm")
    whole = TIMER.time(t, on, x)
    for j in (0, 1500, 2500, 4998):
        alone = TIMER.time(t, on, x[j : j + 1])
        assert whole.latency_s[0, j] == pytest.approx(alone.latency_s[0, 0], rel=1e-13)
        assert whole.energy_j[0, j] == pytest.approx(alone.energy_j[0, 0], rel=1e-13)


def run(case: tuple[str, Parallelism], on: Chips, *steps: tuple[int, int, int, int, int]) -> StepTime:
    t = table(*case)
    return TIMER.time(t, on, features(t, list(steps)))


@given(CASE, CHIP, STEP)
def test_parts_sum_to_the_latency(
    facts: Facts, case: tuple[str, Parallelism], chip: str, step: tuple[int, int, int, int, int]
) -> None:
    r = run(case, chips(facts.accelerator(chip), facts, Draws(5, 4)), step)
    np.testing.assert_allclose(r.compute_s + r.memory_s + r.link_s + r.overhead_s, r.latency_s, rtol=1e-12)
    for part in (r.compute_s, r.memory_s, r.link_s, r.overhead_s):
        assert (part >= 0).all()


@given(CASE, CHIP, STEP.filter(lambda step: step[0] + step[3] > 0), st.floats(1.0, 8.0))
def test_a_better_chip_is_never_slower(
    facts: Facts, case: tuple[str, Parallelism], chip: str, step: tuple[int, int, int, int, int], f: float
) -> None:
    on = chips(facts.accelerator(chip), facts, Draws.central())
    now = run(case, on, step)
    better = [
        replace(on, memory_bytes_per_s=on.memory_bytes_per_s * f),
        replace(on, compute_flop_per_s={k: v * f for k, v in on.compute_flop_per_s.items()}),
        replace(on, links=tuple(replace(x, bandwidth_bytes_per_s=x.bandwidth_bytes_per_s * f) for x in on.links)),
        replace(on, links=tuple(replace(x, latency_s=x.latency_s / f) for x in on.links)),
        replace(on, step_overhead_s=on.step_overhead_s / f),
    ]
    for other in better:
        then = run(case, other, step)
        assert (then.latency_s <= now.latency_s * (1 + 1e-12)).all()
        assert (then.stage_s <= now.stage_s * (1 + 1e-12)).all()


@given(CASE, CHIP, STEP, STEP)
def test_more_work_never_takes_less_time(
    facts: Facts,
    case: tuple[str, Parallelism],
    chip: str,
    step: tuple[int, int, int, int, int],
    more: tuple[int, int, int, int, int],
) -> None:
    """More decodes, more context, more query tokens, more prompts: each alone and all together."""
    on = chips(facts.accelerator(chip), facts, Draws.central())
    steps = [step]
    for i in range(4):
        grown = list(steps[-1])
        grown[i] += more[i]
        steps.append((grown[0], grown[1], grown[2], grown[3], grown[4]))
    r = run(case, on, *steps)
    for values in (r.latency_s[0], r.stage_s[0], r.energy_j[0], r.flop, r.memory_bytes):
        assert (np.diff(values) >= -1e-12 * values[:-1]).all()


@given(CASE, CHIP, STEP)
def test_a_pipeline_emits_no_faster_than_its_latency_over_its_stages(
    facts: Facts, case: tuple[str, Parallelism], chip: str, step: tuple[int, int, int, int, int]
) -> None:
    r = run(case, chips(facts.accelerator(chip), facts, Draws(2, 3)), step)
    stages = case[1].pipeline
    assert (r.stage_s * stages >= r.latency_s * (1 - 1e-12)).all()
    assert (r.stage_s <= r.latency_s * (1 + 1e-12)).all()
    if stages == 1:
        np.testing.assert_allclose(r.stage_s, r.latency_s, rtol=1e-12)


@given(CASE, CHIP, STEP, st.floats(0.02, 1.0))
def test_power_lies_between_idle_and_the_cap(
    facts: Facts, case: tuple[str, Parallelism], chip: str, step: tuple[int, int, int, int, int], share: float
) -> None:
    """A cap far below TDP: steps take longer, and those that do draw exactly the cap."""
    on = chips(facts.accelerator(chip), facts, Draws(4, 3))
    # The arithmetic's share grows so that its joules stay, the idle power shrinks with the cap.
    capped = replace(
        on, tdp_w=on.tdp_w * share, idle_w=on.idle_w * share, compute_power_frac=on.compute_power_frac / share
    )
    free, tight = run(case, on, step), run(case, capped, step)
    for r, c in ((free, on), (tight, capped)):
        power = r.energy_j / (r.stage_s * case[1].chips)
        assert (power >= c.idle_w[:, None] * (1 - 1e-12)).all()
        assert (power <= c.tdp_w[:, None] * (1 + 1e-12)).all()
        np.testing.assert_allclose(power[r.throttled], np.broadcast_to(c.tdp_w[:, None], power.shape)[r.throttled])
    assert (tight.latency_s >= free.latency_s * (1 - 1e-12)).all()


def test_the_cap_binds() -> None:
    """140 GB at 40 pJ a byte are 5.6 J in the 47 ms that they take: 120 W. With 50 W left, 5.6 J take 112 ms."""
    case = ("llama-3.1-70b", Parallelism(1))
    on = paper_chip(tdp_w=np.array([150.0]), idle_w=np.array([100.0]))
    r = run(case, on, (1, 100, 1, 0, 0))
    assert r.throttled.all()
    assert r.stage_s[0, 0] == pytest.approx((r.energy_j[0, 0] - 100 * r.stage_s[0, 0]) / 50, rel=1e-12)
    assert r.stage_s[0, 0] == pytest.approx(139e9 * 40e-12 / 50, rel=0.02)
    assert r.energy_j[0, 0] / r.stage_s[0, 0] == pytest.approx(150, rel=1e-12)
    assert not run(case, paper_chip(), (1, 100, 1, 0, 0)).throttled.any()


def test_a_chip_whose_power_nobody_states_has_no_cap_and_no_energy() -> None:
    case, step = ("llama-3.1-70b", Parallelism(2, 2)), (8, 500, 1, 1, 200)
    known, unknown = (run(case, on, step) for on in (paper_chip(), paper_chip(tdp_w=np.full(1, np.nan))))
    np.testing.assert_array_equal(unknown.latency_s, known.latency_s)
    np.testing.assert_array_equal(unknown.stage_s, known.stage_s)
    assert np.isnan(unknown.energy_j).all()
    assert not unknown.throttled.any()


def test_the_time_factor_of_a_chip_scales_every_time() -> None:
    case = ("mixtral-8x7b", Parallelism(4, 2, 4))
    one, slow = (run(case, paper_chip(time_frac=np.array([f])), (9, 500, 1, 1, 300)) for f in (1.0, 1.7))
    for name in ("stage_s", "latency_s", "compute_s", "memory_s", "link_s", "overhead_s"):
        np.testing.assert_allclose(getattr(slow, name), 1.7 * getattr(one, name), rtol=1e-12)


def test_what_does_not_run_is_not_launched() -> None:
    """A step without prompts starts no prefill attention, one without decodes no decode attention."""
    t = table("llama-3.1-70b", Parallelism(1))
    for step, idle in (((5, 100, 1, 0, 0), "attention_prefill"), ((0, 0, 1, 1, 100), "attention_decode")):
        rows = {r.name: r for r in TIMER.explain(t, paper_chip(), features(t, [step])[0])}
        assert rows[idle].time_s == 0
        assert rows["mlp_up"].time_s > 0


def test_limits() -> None:
    """One token reads weights; a long prompt computes; a short step on a fast chip waits for launches; slow links."""
    case = ("llama-3.1-70b", Parallelism(8))
    slow = paper_chip(links=tuple(replace(x, bandwidth_bytes_per_s=np.array([1e8])) for x in paper_chip().links))
    quick = paper_chip(memory_bytes_per_s=np.array([1e15]), compute_flop_per_s={("bf16", "bf16"): np.array([1e19])})
    assert run(case, paper_chip(), (1, 100, 1, 0, 0)).limit()[0, 0] == "memory bandwidth"
    assert run(("llama-3.1-70b", Parallelism(1)), paper_chip(), (0, 0, 1, 1, 8192)).limit()[0, 0] == "compute"
    assert run(case, slow, (64, 100, 1, 0, 0)).limit()[0, 0] == "link"
    assert run(case, quick, (1, 1, 1, 0, 0)).limit()[0, 0] == "overhead"


def test_overlap_hides_its_share_of_dispatch_and_combine() -> None:
    case = ("deepseek-v3", Parallelism(1, 1, 8, 8))
    shown, hidden = (
        run(case, paper_chip(overlap_frac={"all_to_all": np.array([f]), "all_reduce": np.zeros(1)}), (80, 100, 1, 0, 0))
        for f in (0.0, 0.75)
    )
    np.testing.assert_allclose(hidden.link_s, shown.link_s / 4, rtol=1e-12)


def test_explain_names_rate_and_limit(central: Central) -> None:
    t = table("gpt-oss-120b", Parallelism(2))
    rows = {r.name: r for r in TIMER.explain(t, central("h100-sxm"), features(t, [(1, 100, 1, 0, 0)])[0])}
    assert rows["experts_up"].rate == "fp4xbf16"
    assert rows["qkv_projection"].rate == "bf16"
    assert (rows["all_reduce_attention"].limit, rows["all_reduce_attention"].rate) == ("link", "")
    assert rows["norm_final"].limit == "launch"
    assert rows["head"].limit == "memory bandwidth"


def test_a_chip_without_a_wide_enough_rate_is_refused() -> None:
    on = paper_chip(compute_flop_per_s={("fp8", "fp8"): np.array([2e15])})
    with pytest.raises(FactError, match="no compute rate for bf16 weights"):
        run(("llama-3.1-70b", Parallelism(1)), on, (1, 1, 1, 0, 0))


def test_weights_keep_their_size_where_they_are_multiplied_in_a_wider_format(central: Central) -> None:
    """FP8 weights on an A100: half the bytes of bf16, at the bf16 rate; by the roofline, since nobody measured them."""
    a100 = replace(central("a100-sxm"), kernels=None)
    narrow, wide = (table("llama-3.1-70b", Parallelism(4), Precision(w, a)) for w, a in (("fp8", "fp8"), ("bf16",) * 2))
    x = features(narrow, [(1, 100, 1, 0, 0), (0, 0, 1, 1, 8000)])
    eight, sixteen = TIMER.time(narrow, a100, x), TIMER.time(wide, a100, x)
    assert eight.memory_s[0, 0] < 0.55 * sixteen.memory_s[0, 0]
    assert eight.compute_s[0, 1] == pytest.approx(sixteen.compute_s[0, 1], rel=0.01)
