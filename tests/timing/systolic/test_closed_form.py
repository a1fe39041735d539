"""The closed form against the search that it stands for, over chips drawn at random, and against its plain source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scoville.errors import FactError
from scoville.facts import Draws, Facts, load
from scoville.timing import RooflineTimer, chips
from scoville.timing.chips import Chips
from scoville.timing.systolic import Hardware, Heads, SystolicTimes
from scoville.timing.systolic.attention import attention
from scoville.timing.systolic.closed_form import (
    FEW_ROWS,
    Machines,
    attention_pace,
    plain,
    product_seconds,
    product_times,
)
from scoville.timing.systolic.kernels import SystolicKernels
from scoville.timing.systolic.steps import Links, step_seconds, step_work
from scoville.transformer import load as load_model
from scoville.transformer.architecture import FORMATS
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, uniform_mix

Array = NDArray[np.float64]
ROWS = np.array([1, 4, 16, 48, 128, 300, 700, 2048, 8192.0])
PAIRS = (("mxfp4", "fp8"), ("fp8", "fp8"), ("bf16", "bf16"), ("mxfp4", "mxfp4"))
RATES = ("fp4", "fp8", "bf16")
# Of Llama-3.1-70B under tensor parallelism: attention in and out, feed-forward in and out, head.
SHAPES = tuple(
    shape
    for tp in (1, 2, 4, 8, 16)
    for shape in (
        (10240 // tp, 8192), (8192, 8192 // tp), (57344 // tp, 8192), (8192, 28672 // tp), (128256 // tp, 8192),
    )
)  # fmt: skip


def drawn(rng: np.random.Generator) -> Hardware:
    """A chip between 0.3 and 20 PFLOP/s in its own format, some with long arrays, small memories, narrow networks."""
    while True:
        slices, arrays = (
            int(rng.choice([8, 16, 24, 32, 48, 64, 96, 128, 144, 192])),
            int(rng.choice([1, 2, 4, 8, 15, 32])),
        )
        rows = int(rng.choice([16, 32, 64, 128, 256]))
        columns = int(rng.choice([16, 32, 64, 128, 256])) if rng.random() < 0.4 else rows
        clock = rng.uniform(0.8e9, 2e9)
        native = 2 * rows * columns * arrays * slices * clock
        if 3e14 < native < 2e16:
            break
    top, wide = rng.choice([1.0, 2.0]), rng.choice([0.25, 0.5, 1.0])
    speed = {"fp4": top, "fp8": wide * top, "bf16": wide * rng.choice([0.25, 0.5]) * top}
    bandwidth = np.exp(rng.uniform(np.log(1e12), np.log(20e12)))
    sram = min(np.exp(rng.uniform(np.log(2**16), np.log(2**22))), 2**29 / slices)
    feed = arrays * clock * (rows + columns)
    return Hardware(
        name="drawn",
        slices_count=slices,
        arrays_count=arrays,
        rows_count=rows,
        columns_count=columns,
        clock_count_per_s=clock,
        compute_flop_per_s={(w, a): native * min(speed[w], speed[a]) for w in RATES for a in RATES},
        memory_bytes_per_s=bandwidth,
        sram_bytes=sram,
        sram_bytes_per_s=feed * np.exp(rng.uniform(np.log(0.5), np.log(4))),
        fabric_bytes_per_s=bandwidth / slices * np.exp(rng.uniform(np.log(1.2), np.log(16))),
        vector_flop_per_s=native * min(speed.values()) * 0.06,
        memory_frac=0.88,
        compute_frac=0.83,
    )


def machines(chips: list[Hardware]) -> Machines:
    def each(name: str) -> Array:
        return np.array([getattr(c, name) for c in chips], float)

    names = (
        "slices_count", "arrays_count", "rows_count", "columns_count", "clock_count_per_s", "memory_bytes_per_s",
        "sram_bytes", "sram_bytes_per_s", "fabric_bytes_per_s", "vector_flop_per_s",
    )  # fmt: skip
    found: dict[str, Any] = {name: each(name) for name in names}
    return Machines(
        **found,
        compute_flop_per_s={p: np.array([c.compute_flop_per_s[p] for c in chips]) for p in chips[0].compute_flop_per_s},
        memory_frac=chips[0].memory_frac,
        compute_frac=chips[0].compute_frac,
    )  # fmt: skip


def rank_correlation(a: Array, b: Array) -> float:
    """Spearman's."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="module")
def like(facts: Facts) -> Chips:
    return chips(facts.accelerator("jalapeno"), facts, Draws.central(), "systolic")


def test_products_take_what_the_search_of_layouts_finds() -> None:
    """Over 200 such chips: mean error 1.5 %, 98 % of products within -12 and +21 %, the worst -28 and +38 %."""
    rng = np.random.default_rng(11)
    found, searched = [], []
    for _ in range(24):
        chip, (n, k), formats = drawn(rng), SHAPES[rng.integers(len(SHAPES))], PAIRS[rng.integers(len(PAIRS))]
        found.append(product_times(machines([chip]), ROWS, n, k, *formats)[0])
        searched.append(SystolicTimes(chip).gemm_seconds(ROWS, n, k, *formats))
    times, best = np.array(found), np.array(searched)
    error = times / best - 1
    assert np.abs(error).mean() < 0.025, "the mean error of a product passed 2.5 %"
    assert np.abs(error).max() < 0.6, "a product is off by more than 60 %"
    assert np.abs(error[:, :3]).mean() < 0.005, "products of up to 16 rows, as decodes are, are no longer exact"
    for j, rows in enumerate(ROWS):
        assert rank_correlation(times[:, j], best[:, j]) > 0.98, f"chips come in another order at {rows:g} rows"


def test_experts_take_what_the_search_of_layouts_finds() -> None:
    rng = np.random.default_rng(3)
    for _ in range(2):
        chip = drawn(rng)
        rows, experts = np.array([1.0, 8.0, 64.0]), 32.0
        found = product_times(machines([chip]), rows, 5760, 2880, "mxfp4", "fp8", experts)[0]
        best = SystolicTimes(chip).moe_seconds(rows * experts, np.full(3, experts), 5760, 2880, "mxfp4", "fp8")
        assert np.abs(found / best - 1).max() < 0.25, "experts are off by more than a quarter"


def full_step(chip: Hardware, like: Chips, work: tuple[OperatorTable, Array]) -> Array:
    """Seconds of steps by the whole timer, with no cap on power."""
    table, features = work
    assert isinstance(like.kernels, SystolicKernels)
    on = replace(
        like,
        compute_flop_per_s={p: np.array([x]) for p, x in chip.compute_flop_per_s.items()},
        memory_bytes_per_s=np.array([chip.memory_bytes_per_s]),
        tdp_w=np.array([1e9]),
        kernels=replace(like.kernels, times=SystolicTimes(chip), _drawn={}),
    )
    return np.asarray(RooflineTimer().time(table, on, features).stage_s[0])


@pytest.mark.parametrize("sharding", ["TP8", "TP4 PP2"])
def test_whole_steps_take_what_the_timer_of_finished_chips_says(like: Chips, sharding: str) -> None:
    """Over 12 chips, decodes and prompts mixed: mean error 0.9 %, the worst 12 %, a step of 8,192 prompt tokens."""
    model = load_model("llama-3.1-70b")
    table = operator_table(model, Precision("fp8", "fp8", "fp8"), Parallelism.parse(sharding))
    batch, prompt = np.array([1, 64, 256, 64, 0.0]), np.array([0, 0, 0, 512, 8192.0])
    features = table.layout.features(
        uniform_mix(
            model, decode_sequences=batch, context_tokens=2000, prefill_sequences=np.ceil(prompt / 1000),
            prefill_tokens=prompt,
        )
    )  # fmt: skip
    rng = np.random.default_rng(7)
    on = [drawn(rng) for _ in range(4)]
    links = Links(np.full(4, 6e11), np.full(4, 2e11), np.full(4, 128.0))
    stage, latency = step_seconds(machines(on), links, step_work(table, features, like))
    whole = np.array([full_step(chip, like, (table, features)) for chip in on]).T
    error = stage / whole - 1
    assert np.abs(error).mean() < 0.025, "the mean error of a step passed 2.5 %"
    assert np.abs(error).max() < 0.2, "a step is off by more than 20 %"
    assert (latency >= stage).all(), "all stages together are shorter than one"


def test_a_shared_pass_equals_the_plain_source() -> None:
    rng = np.random.default_rng(1)
    on = [drawn(rng) for _ in range(50)]
    x, paces = machines(on).table, machines(on).paces((("fp8", "fp8"),))[0]
    many = product_times(machines(on), ROWS, 7168, 8192, "fp8", "fp8")
    one = plain(product_seconds)
    for i in range(len(on)):
        for j, rows in enumerate(ROWS):
            alone = one(
                float(rows), 1.0, 7168.0, 8192.0, 1.0, 1.0, *paces[:3, i].tolist(), *x[:13, i].tolist(), 1 / 0.83,
                rows > FEW_ROWS,
            )  # fmt: skip
            assert alone == pytest.approx(many[i, j], rel=1e-9), "one chip alone takes another time than among others"


def test_attention_takes_what_the_timer_of_one_chip_says() -> None:
    rng = np.random.default_rng(2)
    fp8 = FORMATS["fp8"]
    for prompt in (True, False):
        for _ in range(20):
            chip = drawn(rng)
            heads = Heads(8, 1, 128, 128, 256.0, 4352.0)
            whole = attention(chip, heads, fp8, fp8, prompt=prompt)
            x, pace = machines([chip]).table[:, 0], machines([chip]).paces((("fp8", "fp8"),))[0, :3, 0]
            pair_s, kv_s = plain(attention_pace)(
                8.0, 1.0, 128.0, 128.0, 256.0, 4352.0, 1.0, float(prompt), *pace.tolist(), *x[:11].tolist(), x[13],
                1 / chip.compute_frac,
            )  # fmt: skip
            assert pair_s == pytest.approx(whole.compute_s_per_pair_tokens, rel=1e-9)
            assert kv_s == pytest.approx(whole.movement_s_per_kv_tokens, rel=1e-9)


def test_more_bandwidth_is_never_slower() -> None:
    rng = np.random.default_rng(4)
    on = [drawn(rng) for _ in range(500)]
    for n, k in ((8192, 8192), (1280, 8192), (57344, 8192)):
        base = product_times(machines(on), ROWS, n, k, "fp8", "fp8")
        for name in ("memory_bytes_per_s", "sram_bytes_per_s", "fabric_bytes_per_s"):
            more = machines([replace(chip, **{name: 2 * getattr(chip, name)}) for chip in on])
            faster = product_times(more, ROWS, n, k, "fp8", "fp8")
            assert (faster <= base * (1 + 1e-12)).all(), f"twice the {name} makes a product slower"


def test_a_chip_whose_memory_is_its_sram_is_timed() -> None:
    """Weights from the slices' own memory: as fast as that memory, not faster."""
    chip = drawn(np.random.default_rng(5))
    own = replace(chip, memory_bytes_per_s=chip.sram_bytes_per_s * chip.slices_count)
    seconds = product_times(machines([own]), [1.0], 8192, 8192, "fp8", "fp8")[0, 0]
    assert (
        8192 * 8192 / own.memory_bytes_per_s
        < seconds
        < product_times(machines([replace(own, memory_bytes_per_s=1e12)]), [1.0], 8192, 8192, "fp8", "fp8")[0, 0]
    ), "a product from SRAM takes less than reading its weights, or as long as from slow memory"


def test_formats_that_no_design_multiplies_are_refused() -> None:
    chip = drawn(np.random.default_rng(6))
    only = replace(chip, compute_flop_per_s={("fp8", "fp8"): 1e15})
    with pytest.raises(FactError, match="no bf16 weights with bf16 activations"):
        product_times(machines([only]), [1.0], 8192, 8192, "bf16", "bf16")
