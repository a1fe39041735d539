"""docs/timing.md shows the milliseconds of steps on chips without tables; they are what the timer says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoville.facts import Draws, Facts
from scoville.timing import RooflineTimer, chips
from scoville.transformer import load
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, uniform_mix

DOCUMENT = Path(__file__).parents[2] / "docs" / "timing.md"
CHIPS = {"B200": "b200-sxm", "MI300X": "mi300x", "TPU v7": "tpu-v7", "Jalapeño": "jalapeno"}
MODELS = {
    "Llama-3.1-70B": ("llama-3.1-70b", Precision("fp8", "fp8", "fp8")),
    "gpt-oss-120b": ("gpt-oss-120b", Precision("declared", "bf16", "bf16")),
}


def documented() -> list[tuple[str, str, list[float]]]:
    """(model, chip, milliseconds) of every row; a row that names no model goes on with the one above."""
    table = DOCUMENT.read_text(encoding="utf-8").partition("| of 8,192 |")[2].partition("\n\n")[0]
    rows, model = [], ""
    for label, *cells in re.findall(r"^\| ([^|]+) \|" + r" ([\d.]+) \|" * 5, table, flags=re.M):
        model = next((m for m in MODELS if label.startswith(m)), model)
        chip = next(c for c in CHIPS if label.endswith(c))
        rows.append((model, chip, [float(x) for x in cells]))
    return rows


def test_all_rows_are_read() -> None:
    assert {(model, chip) for model, chip, _ in documented()} == {(m, c) for m in MODELS for c in CHIPS}


@pytest.mark.parametrize(("model", "chip", "shown_ms"), documented())
def test_milliseconds_on_chips_without_tables(facts: Facts, model: str, chip: str, shown_ms: list[float]) -> None:
    name, precision = MODELS[model]
    table = operator_table(load(name), precision, Parallelism(4))
    mix = uniform_mix(
        table.architecture,
        decode_sequences=np.array([1, 64, 256, 0, 0]),
        context_tokens=2048,
        prefill_sequences=np.array([0, 0, 0, 1, 1]),
        prefill_tokens=np.array([0, 0, 0, 2048, 8192]),
    )
    on = replace(chips(facts.accelerator(CHIPS[chip]), facts, Draws.central()), time_frac=np.ones(1))
    found_ms = RooflineTimer().time(table, on, table.layout.features(mix)).latency_s[0] * 1e3
    np.testing.assert_allclose(found_ms, shown_ms, rtol=0.005, err_msg=f"{model} on four {chip}")
