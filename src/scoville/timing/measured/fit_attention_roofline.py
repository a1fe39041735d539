"""Fits the attention roofline's parameters across chips, and scores them with a chip left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import least_squares

from scoville.facts import Facts
from scoville.timing.measured.attention import PACKED_GROUP, HeadLayout, Phase, Work
from scoville.timing.measured.attention_roofline import AttentionChip, AttentionKernel, roofline_sides
from scoville.timing.measured.fit_attention import CHIPS, SEED, Peaks, operating, replayed, row_work

Array = NDArray[np.float64]
_START = (1e-5, 0.6, 0.5, 0.85, 0.8, 1e-8, 0.1)
_LOW = (1e-6, 0.05, 0.05, 0.3, 0.3, 1e-12, 1e-3)
_HIGH = (1e-4, 1.0, 1.0, 1.0, 1.0, 1e-5, 1.0)
_LAYOUT = ("phase", "query", "cache", "window", "heads", "kv_heads", "head_dim")


def streaming(rows: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """Rows of the operating range; decode without what may have been replayed from on-chip memory.

    And without TensorRT-LLM's groups of more than PACKED_GROUP query heads, which fall back to one head at a time.
    """
    parts = []
    packed = (pl.col("family") != "trtllm") | (pl.col("phase") == "prefill") | (pl.col("group") <= PACKED_GROUP)
    for key, part in operating(rows.filter(packed)).group_by(
        ["chip", "phase", "window", "head_dim", "cache"], maintain_order=True
    ):
        chip = facts.accelerator(str(key[0]))
        again = replayed(part, row_work(part), Peaks.of(chip)) if key[1] == "decode" else np.zeros(len(part), bool)
        parts.append(part.filter(~again))
    return pl.concat(parts)


def sample(rows: pl.DataFrame, each: int) -> pl.DataFrame:
    """At most `each` rows of every chip, family, phase, format and head size, drawn by SEED."""
    keys = ["chip", "family", "phase", "query", "cache", "head_dim"]
    parts = rows.sort(pl.all()).group_by(keys, maintain_order=True)
    return pl.concat(part.sample(min(len(part), each), seed=SEED) for _, part in parts)


@dataclass(frozen=True)
class _Part:
    """Rows of one layout on one chip."""

    at: NDArray[np.int64]
    layout: HeadLayout
    phase: Phase
    chip: AttentionChip
    work: Work


class Rows:
    """Measured rows, laid out for fast prediction."""

    def __init__(self, rows: pl.DataFrame, facts: Facts) -> None:
        self.time_s: Array = rows["time_s"].to_numpy()
        self.parts: list[_Part] = []
        for key, part in rows.with_row_index("at").group_by(["chip", *_LAYOUT], maintain_order=True):
            query, cache, window, heads, kv_heads, dim = key[2:]
            layout = HeadLayout(int(heads), int(kv_heads), int(dim), int(window) or None, str(query), str(cache))
            phase: Phase = "decode" if key[1] == "decode" else "prefill"
            chip = AttentionChip.of(facts.accelerator(str(key[0])))
            self.parts.append(_Part(part["at"].to_numpy().astype(np.int64), layout, phase, chip, row_work(part)))

    def predict(self, kernel: AttentionKernel) -> Array:
        """Seconds of every row."""
        out = np.zeros(len(self.time_s))
        for p in self.parts:
            out[p.at] = roofline_sides(p.layout, p.phase, p.chip, kernel).seconds(p.work)
        return out

    def errors(self, kernel: AttentionKernel) -> Array:
        """|time / measured - 1| of every row."""
        return np.asarray(np.abs(self.predict(kernel) / self.time_s - 1))

    def fit(self) -> AttentionKernel:
        """Parameters of one phase: least log error, robust (soft L1 beyond 20 %)."""
        log_t = np.log(self.time_s)

        def residuals(x: Array) -> Array:
            return np.asarray(np.log(self.predict(AttentionKernel(*np.exp(x).tolist()))) - log_t)

        bounds = (np.log(_LOW), np.log(_HIGH) + 1e-9)
        found = least_squares(residuals, np.log(_START), bounds=bounds, loss="soft_l1", f_scale=0.2, max_nfev=30)
        return AttentionKernel(*np.exp(found.x).tolist())


def leave_one_chip_out(rows: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """Per phase and chip: mean and median error in sample, of a fit to the chip alone, and of a fit without it."""
    out = []
    for phase in ("decode", "prefill"):
        own = rows.filter(pl.col("phase") == phase)
        together = Rows(own, facts).fit()
        for chip in CHIPS.values():
            here = Rows(own.filter(pl.col("chip") == chip), facts)
            there = Rows(own.filter(pl.col("chip") != chip), facts)
            scores = [here.errors(kernel) for kernel in (together, here.fit(), there.fit())]
            out.append([phase, chip, len(here.time_s), *(f(e) for e in scores for f in (np.mean, np.median))])
    names = [f"{fit}_{f}_frac" for fit in ("shared", "own", "left_out") for f in ("mean", "median")]
    return pl.DataFrame(out, schema=["phase", "chip", "rows", *names], orient="row")
