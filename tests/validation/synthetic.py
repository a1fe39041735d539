"""A table of runs made by the simulator itself, with a known correction and a known scatter."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from scoville.facts import Facts
from scoville.validation import Deployments, predicted, read
from scoville.validation.calibrate import Correction, corrected, group_of
from scoville.validation.rows import COLUMNS

METRICS = ("ttft_ms", "tpot_ms")


def write(
    path: Path,
    facts: Facts,
    true: Correction,
    in_flight: tuple[int, ...] = (1, 4, 16, 64),
    metrics: tuple[str, ...] = METRICS,
    scatter_frac: float = 0.0,
    seed: int = 0,
) -> None:
    """Llama-3.1-8B on one H100 with vLLM, 1,024 tokens in and 128 out and 4,096 in and 256 out."""
    random = np.random.default_rng(seed)
    rows = [
        ["h100_sxm", 1, "Llama-3.1-8B", "bf16", "vllm 0.11", "TP1", given, made, users, metric, 1.0]
        for given, made in ((1024, 128), (4096, 256))
        for users in in_flight
        for metric in metrics
    ]
    _save(path, rows)
    table = read(path, facts)
    settings = [row.setting for row in table.mapped]
    deployments = corrected(Deployments(facts, table.architectures), {group_of(s): true for s in settings})
    made = predicted(settings, deployments, threads=1)
    for row, measured in zip(rows, table.mapped, strict=True):
        row[-1] = made[measured.setting].of(measured.metric) * 1e3 * np.exp(scatter_frac * random.standard_normal())
    _save(path, rows)


def _save(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
