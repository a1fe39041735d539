"""How many steps of Llama-3.1-70B one core times in a second, in a process of its own with one thread.

Twelve shardings on two chips in two precisions, 40,000 mixes of decodes, contexts and prompts each; every operator of
every step is evaluated. Steps drawn at random must equal the sum over `explain`, which is plain Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TARGET_PER_S = 1e6
TARGET_DEVIATION = 1e-12
MIXES = 40_000
CHECKED = 300


def measure() -> dict[str, float]:
    """Steps per second with and without building tables and features, the best of three, and the largest deviation."""
    import numpy as np

    from scoville.facts import Draws, load
    from scoville.timing import RooflineTimer, chips
    from scoville.transformer import load as load_model
    from scoville.transformer.sharding import operator_table
    from scoville.transformer.step import Layout, Parallelism, Precision, uniform_mix

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    model, facts, timer = load_model("llama-3.1-70b"), load(), RooflineTimer()
    on = [chips(facts.accelerator(name), facts, Draws.central()) for name in ("h100-sxm", "b200-sxm")]
    shardings = [Parallelism(tensor, pipeline) for tensor in (1, 2, 4, 8) for pipeline in (1, 2, 4)]
    cases = [(p, w) for p in shardings for w in (Precision("bf16"), Precision("fp8", "fp8", "fp8"))]
    rng = np.random.default_rng(0)
    batch, context = rng.integers(1, 512, MIXES), rng.integers(1, 32_768, MIXES)
    prompts, chunk = rng.integers(0, 4, MIXES), rng.integers(1, 2048, MIXES)
    steps = len(cases) * len(on) * MIXES

    alone, everything = [], []
    for _ in range(3):
        start, spent = time.perf_counter(), 0.0
        for sharding, precision in cases:
            table = operator_table(model, precision, sharding)
            mix = uniform_mix(
                model, decode_sequences=batch, context_tokens=context, prefill_sequences=prompts,
                prefill_tokens=prompts * chunk,
            )  # fmt: skip
            features = Layout.of(model).features(mix)
            ready = time.perf_counter()
            for chip in on:
                timer.time(table, chip, features)
            spent += time.perf_counter() - ready
        everything.append(time.perf_counter() - start)
        alone.append(spent)

    deviation = 0.0
    for i in rng.integers(0, MIXES, CHECKED):
        sharding, precision = cases[int(rng.integers(len(cases)))]
        table, chip = operator_table(model, precision, sharding), on[int(rng.integers(len(on)))]
        row = features[i]
        found = timer.time(table, chip, features[i : i + 1])
        if not found.throttled[0, 0]:  # a throttled step takes longer than its operators
            scalar = float(chip.step_overhead_s[0] * chip.time_frac[0])
            scalar += sum(o.runs_count * o.time_s for o in timer.explain(table, chip, row))
            deviation = max(deviation, abs(float(found.latency_s[0, 0]) / scalar - 1))
    return {"alone": steps / min(alone), "everything": steps / min(everything), "deviation": deviation}


def rows() -> Iterator[tuple[str, str, str, bool]]:
    """Speed of timing alone, of timing with all that it needs, and the deviation from the scalar path."""
    threads = dict.fromkeys(
        ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.timing"], check=True, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[1], env=os.environ | threads,
    )  # fmt: skip
    found = json.loads(done.stdout)
    for what, name in (("features ready", "alone"), ("tables and features built", "everything")):
        speed = found[name]
        text = f"{speed / 1e6:.2f} M/s"
        yield f"70B steps on one core, {what}", "> 1 M/s", text, speed > TARGET_PER_S
    deviation = found["deviation"]
    yield (
        "largest deviation from the scalar path",
        f"< {TARGET_DEVIATION:g}",
        f"{deviation:.1e}",
        (deviation < TARGET_DEVIATION),
    )


if __name__ == "__main__":
    print(json.dumps(measure()))
