"""How many designs of a chip for Llama-3.1-70B one core evaluates in a second, in a process of its own with one thread.

One evaluation is a design under a sharding at a batch: the whole step (every operator and collective) and the one that
says how prefill runs, memory, latency, power, area, yield, price and cost per token. Only points that are feasible
count: designs that break no limit, under targets that hold little back. What depends on a design or on a sharding alone
is done once for it, inside of the time that is measured, which is that of the processor. 1,000 random points must equal
the scalar path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoville.silicon.design import Design

TARGET_PER_S = 2e6
TARGET_SEARCH_S = 60.0
TARGET_DEVIATION = 1e-9
BLOCK, BLOCKS = 4096, 16
SHARDINGS = tuple(f"TP{tensor} PP{pipeline}" for pipeline in (1, 2, 4) for tensor in (1, 2, 4, 8, 16))
BATCHES = (4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
CHECKED = 1000
STUDY = Path(__file__).parents[1] / "studies" / "designs" / "llama-70b-chat.toml"


def _designs(n: int, seed: int) -> Design:
    """n designs drawn at random, side by side."""
    from dataclasses import replace

    import numpy as np

    from scoville.silicon.design import read_design

    rng = np.random.default_rng(seed)
    side, arrays, clock = rng.choice([32, 64, 128.0], n), rng.choice([4, 8, 16.0], n), rng.uniform(1e9, 2e9, n)
    feed = arrays * clock * 2 * side
    return replace(
        read_design("jalapeno"),
        slices_count=rng.choice([32, 48, 64, 80, 96.0], n),
        arrays_per_slice_count=arrays + 1,
        spare_arrays_per_slice_count=np.ones(n),
        rows_count=side,
        columns_count=side,
        clock_count_per_s=clock,
        sram_per_slice_bytes=rng.uniform(2**18, 2**21, n),
        sram_bandwidth_per_slice_bytes_per_s=feed,
        fabric_bandwidth_per_slice_bytes_per_s=feed / 4,
        stacks_count=rng.choice([4, 6, 8.0], n),
        scale_up_bytes_per_s=rng.uniform(3e11, 9e11, n),
        scale_up_domain_count=np.full(n, 64.0),
        power_cap_w=rng.uniform(700, 1500, n),
    )


def _some(design: Design, chosen: Any) -> Design:
    """Those of several designs; of one position a design of plain floats."""
    from dataclasses import fields, replace

    import numpy as np

    numbers = {f.name: value for f in fields(design) if isinstance(value := getattr(design, f.name), np.ndarray)}
    return replace(design, **{name: value[chosen] for name, value in numbers.items()})


def measure() -> dict[str, float]:
    """Speeds, the largest deviations from the scalar path, and how much longer the other paths take."""
    import numpy as np

    from scoville import traffic
    from scoville.economics import OwnershipTerms
    from scoville.facts import Draws, load
    from scoville.search.evaluate import candidates, evaluate, hour, reference, task
    from scoville.search.one import Asked, evaluate_one
    from scoville.serving.shape import shape
    from scoville.serving.steady import Targets
    from scoville.silicon.cost import prices
    from scoville.silicon.technology import technology
    from scoville.timing import RooflineTimer, chips
    from scoville.transformer import load as load_model
    from scoville.transformer.sharding import operator_table
    from scoville.transformer.step import Parallelism, Precision, windows

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    facts, model = load(), load_model("llama-3.1-70b")
    like, rate = reference(facts), hour(facts, OwnershipTerms("hyperscaler", "2026-11"))
    served = shape(traffic.load("azure-2023-conv"), windows(model), 8192.0)
    targets = Targets(ttft_s=20.0, tpot_s=0.5)
    tables = [operator_table(model, Precision("fp8", "fp8", "fp8"), Parallelism.parse(s)) for s in SHARDINGS]
    first = _designs(BLOCK, 0)
    tech, price = technology(first, facts), prices(first, facts, date="2026-11", volume=1e5)

    def built(design: Design) -> Any:
        return candidates(design, tech, price, rate, like, nre_usd_per_chip=300.0)

    drawn = [_designs(2 * BLOCK, seed) for seed in range(BLOCKS)]
    blocks = [_some(d, np.flatnonzero(~built(d).broken)[:BLOCK]) for d in drawn]
    designs = sum(np.size(d.clock_count_per_s) for d in blocks)

    def speed(shardings: int, batches: tuple[float, ...]) -> tuple[float, float]:
        """Feasible points a second, the best of three, and their share of all."""
        best, feasible = np.inf, 0
        for _ in range(3):
            start, feasible = time.process_time(), 0
            tasks = [task(table, served, np.array(batches), targets, like) for table in tables[:shardings]]
            for block in blocks:
                found = built(block)
                for work in tasks:
                    feasible += int(evaluate(found, work).feasible.sum())
            best = min(best, time.process_time() - start)
        return feasible / best, feasible / (designs * shardings * len(batches))

    speed(1, BATCHES[:1])  # compiles
    result: dict[str, float] = {}
    for name, shardings, batches in (
        ("sharded", len(SHARDINGS), BATCHES[3:4]), ("all", len(SHARDINGS), BATCHES), ("once", 1, BATCHES[:1]),
    ):  # fmt: skip
        result[name], result[f"{name}_share"] = speed(shardings, batches)

    rng, worst, spent = np.random.default_rng(1), 0.0, 0.0
    found = built(blocks[0])
    for k in range(CHECKED // 50):
        table, batch = tables[k % len(tables)], int(rng.choice(BATCHES))
        points = evaluate(found, task(table, served, np.array([batch]), targets, like))
        asked = Asked(table, served, targets, batch)
        for i in rng.integers(0, len(found), 50):
            design = _some(blocks[0], i)
            start = time.process_time()
            one = evaluate_one(design, tech, price, rate, like, asked, nre_usd_per_chip=300.0)
            spent += time.process_time() - start
            for name, value in one.items():
                worst = max(worst, abs(float(getattr(points, name)[i, 0]) - value) / max(abs(value), 1e-30))
    result |= {"deviation": worst, "scalar": CHECKED / spent}

    table, timer = tables[3], RooflineTimer()
    features = table.layout.by_tokens(np.array([32.0, 1024.0, 8192.0]))
    on = chips(facts.accelerator("jalapeno"), facts, Draws.central(), "systolic")
    start = time.process_time()
    timer.time(table, on, features)
    result["whole"] = 1 / (time.process_time() - start)
    return result | _searches()


def _searches() -> dict[str, float]:
    """Seconds and points of a whole sweep of some 1 and 10 million points, fronts and all."""
    from scoville.facts import load
    from scoville.search.coarse import Coarse
    from scoville.search.deployed import load as load_traffic
    from scoville.search.space_file import read_space
    from scoville.search.sweep import sweep

    facts, text = load(), STUDY.read_text(encoding="utf-8")
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, clocks in (("small", '"1.7 GHz"'), ("large", '["1.4 GHz", "1.7 GHz"]')):
            changed = text.replace('clock = "1.7 GHz"', f"clock = {clocks}")
            if name == "small":
                changed = changed.replace("to = 128, step = 16", "to = 128, step = 48").replace(
                    '["500 W", "700 W", "1000 W"]', '["700 W"]'
                )
            path = Path(folder) / f"{name}.toml"
            path.write_text(changed, encoding="utf-8")
            space = read_space(path)
            start, wall = time.process_time(), time.perf_counter()
            coarse = Coarse(space, facts, tuple(load_traffic(s, facts, space.seed) for s in space.serve))
            found = sweep(space, coarse.block)
            result[f"{name}_s"] = time.process_time() - start
            result[f"{name}_wall_s"] = time.perf_counter() - wall
            result[f"{name}_points"] = float(found.tried_count)
            result[f"{name}_feasible"] = float(found.feasible_count)
    return result


def rows() -> Iterator[tuple[str, str, str, bool]]:
    """Speeds of evaluation, the time of a whole sweep and how it grows, deviations from the scalar path."""
    threads = dict.fromkeys(
        ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.search"], check=True, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[1], env=os.environ | threads,
    )  # fmt: skip
    r = json.loads(done.stdout)
    for what, name, fixed in (
        ("70B evaluations/s, a core: design x sharding", "sharded", True),
        ("the same, eight batches of each", "all", True),
        ("the same, one sharding and batch a design", "once", False),
    ):
        text = f"{r[name] / 1e6:.2f} M/s, {r[f'{name}_share']:.0%} feasible"
        yield what, "> 2 M/s" if fixed else "none", text, not fixed or r[name] > TARGET_PER_S
    seconds = r["large_wall_s"] * 1e7 / r["large_points"]
    yield "sweep of 10 million points", f"< {TARGET_SEARCH_S:.0f} s", f"{seconds:.1f} s", seconds < TARGET_SEARCH_S
    growth = r["large_s"] / r["large_points"] / (r["small_s"] / r["small_points"])
    sizes = f"{r['small_points'] / 1e6:.1f} to {r['large_points'] / 1e6:.0f} M"
    yield f"time a point from {sizes} points", "< 1.2 x", f"{growth:.2f} x", growth < 1.2
    deviation = r["deviation"]
    yield (
        f"largest deviation of {CHECKED:,} points from the scalar path",
        f"< {TARGET_DEVIATION:g}",
        f"{deviation:.1e}",
        deviation < TARGET_DEVIATION,
    )
    yield "faster than the scalar path", "none", f"{r['all'] / r['scalar']:,.0f} x", True
    yield "faster than the whole systolic timer", "none", f"{r['all'] / r['whole']:,.0f} x", True


if __name__ == "__main__":
    print(json.dumps(measure()))
