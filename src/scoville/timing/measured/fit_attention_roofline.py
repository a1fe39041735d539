"""Fits the attention roofline's parameters across chips, per engine family, and scores them with a chip left out.

Rows of TensorRT-LLM's decode on A100 are set aside: 28 % of those with packed groups read their cache at up to 1.7
times the memory's bandwidth, far more than fits on the chip, so that blocks of the cache must have been shared. The
rule: no series counts in which a row that streams beats the bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import least_squares

from scoville.facts import Facts, load
from scoville.timing.measured.attention import PACKED_GROUP
from scoville.timing.measured.attention_roofline import (
    LATENT_DIM,
    AttentionChip,
    AttentionKernel,
    Shape,
    shape_sides,
    sizes,
)
from scoville.timing.measured.attention_sides import HeadLayout, Phase, Work
from scoville.timing.measured.fit_attention import (
    CHIPS,
    SEED,
    Peaks,
    device_bound,
    operating,
    read,
    replayed,
    row_work,
)

Array = NDArray[np.float64]
FAMILIES = ("vllm", "trtllm")
PHASES: tuple[Phase, ...] = ("decode", "prefill")
EACH = 150  # rows of a series that a fit sees, and a score
_SERIES = ["chip", "family", "phase", "query", "cache", "head_dim", "window"]
_START = AttentionKernel(
    launch_s=3e-6, fixed_s=1e-5, fixed_warp_s=1e-5, fixed_fp8_s=1e-5, compute_frac=0.61, compute_warp_frac=0.5,
    compute_fp8_frac=0.35, mixed_frac=1.0, memory_frac=0.85, memory_warp_frac=0.85, memory_fp8_frac=0.85, block_s=2e-8,
    kv_token_s=3e-10, overlap_frac=0.13, hidden_frac=0.95,
)  # fmt: skip
_RANGE = {"fixed": (1e-6, 1e-4), "memory": (0.3, 0.97), "block": (1e-12, 1e-6), "kv": (1e-14, 1e-7)}
_FITTED = {
    ("decode", "vllm"): (
        "fixed_s", "fixed_warp_s", "fixed_fp8_s", "memory_frac", "memory_warp_frac", "memory_fp8_frac", "block_s",
    ),
    ("prefill", "vllm"): (
        "fixed_s", "fixed_warp_s", "compute_frac", "compute_warp_frac", "mixed_frac", "block_s", "kv_token_s",
    ),
    ("prefill", "trtllm"): (
        "fixed_s", "fixed_warp_s", "compute_frac", "compute_warp_frac", "compute_fp8_frac", "block_s", "kv_token_s",
    ),
}  # fmt: skip
_FITTED["decode", "trtllm"] = _FITTED["decode", "vllm"]
# What the rows at hand say nothing about follows its kin: a generation of which no chip is left, the other.
_KIN = {
    "fixed_warp_s": "fixed_s", "fixed_fp8_s": "fixed_s", "memory_warp_frac": "memory_frac",
    "memory_fp8_frac": "memory_frac", "compute_warp_frac": "compute_frac",
}  # fmt: skip
_TIE = 0.05


def usable(rows: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """Rows of the operating range; decode without what may have been replayed from on-chip memory.

    And without TensorRT-LLM's groups of more than PACKED_GROUP query heads, which fall back to one head at a time, nor
    the series that the module's text sets aside.
    """
    parts = []
    packed = (pl.col("family") != "trtllm") | (pl.col("phase") == "prefill") | (pl.col("group") <= PACKED_GROUP)
    for key, part in operating(rows.filter(packed)).group_by(_SERIES, maintain_order=True):
        if key[2] == "decode":
            peaks, w = Peaks.of(facts.accelerator(str(key[0]))), row_work(part)
            again = replayed(part, w, peaks)
            _, token_bytes = sizes("decode", int(part["head_dim"][0]), part["cache"][0])
            read_s = w.kv_tokens * part["kv_heads"].to_numpy() * token_bytes / peaks.bytes_per_s
            if (read_s > part["time_s"].to_numpy())[~again].any():
                continue
            parts.append(part.filter(~again))
        else:
            parts.append(part)
    return pl.concat(parts)


def sample(rows: pl.DataFrame) -> pl.DataFrame:
    """At most EACH rows of every series, drawn by SEED."""
    parts = rows.sort(pl.all()).group_by(_SERIES, maintain_order=True)
    return pl.concat(part.sample(min(len(part), EACH), seed=SEED) for _, part in parts)


@dataclass(frozen=True)
class Rows:
    """Measured rows of one phase and engine family, laid out for fast prediction."""

    phase: Phase
    family: str
    time_s: Array
    weight_frac: Array  # of each chip alike
    shape: Shape
    chip: AttentionChip
    work: Work

    @classmethod
    def of(cls, rows: pl.DataFrame, facts: Facts) -> Rows:
        """Of one phase and family."""
        phase: Phase = "decode" if rows["phase"][0] == "decode" else "prefill"
        columns = ("heads", "kv_heads", "head_dim", "window", "query", "cache")
        shapes = [
            Shape.of(HeadLayout(h, k, d, w or None, query, cache), phase)
            for h, k, d, w, query, cache in rows.select(columns).iter_rows()
        ]
        own = {c: AttentionChip.of(facts.accelerator(c), facts) for c in rows["chip"].unique()}
        chips = [own[c] for c in rows["chip"]]
        works = np.empty((len(Work._fields), len(rows)))
        for _, part in rows.with_row_index("at").group_by("window"):
            works[:, part["at"].to_numpy()] = np.stack(np.broadcast_arrays(*row_work(part)))
        count = rows.select(pl.len().over("chip"))["len"].to_numpy()
        return cls(
            phase,
            str(rows["family"][0]),
            rows["time_s"].to_numpy(),
            np.sqrt(len(rows) / len(own) / count),
            Shape(*(np.array(x) for x in zip(*shapes, strict=True))),
            AttentionChip(*(np.array([getattr(c, f.name) for c in chips]) for f in fields(AttentionChip))),
            Work(*works),
        )

    def errors(self, kernel: AttentionKernel) -> Array:
        """Log of predicted over measured, per row."""
        time = shape_sides(self.shape, self.phase, self.chip, kernel).seconds(self.work)
        return np.asarray(np.log(time / self.time_s))

    def fit(self) -> AttentionKernel:
        """Least log error, robust (soft L1 beyond 5 %), every chip weighing the same."""
        names = _FITTED[self.phase, self.family]
        start = replace(_START, packed=self.family == "trtllm")

        def kernel(x: Array) -> AttentionKernel:
            return replace(start, **dict(zip(names, np.exp(x).tolist(), strict=True)))

        def residuals(x: Array) -> Array:
            k = kernel(x)
            kin = [np.log(getattr(k, a) / getattr(k, b)) for a, b in _KIN.items() if a in names]
            return np.concatenate([self.weight_frac * self.errors(k), _TIE * np.array(kin)])

        low, high = zip(*(_RANGE.get(n.split("_")[0], (0.01, 1.0)) for n in names), strict=True)
        x0 = np.log([getattr(start, n) for n in names])
        bounds = (np.log(low), np.log(high) + 1e-9)
        found = least_squares(residuals, x0, bounds=bounds, loss="soft_l1", f_scale=0.05, max_nfev=60)
        return kernel(found.x)


def fit_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """Nothing to keep but facts; to be read: `attention_across` and `attention_across_scores`, as `fit_across`."""
    facts = load()
    across, scores = fit_across(sample(usable(device_bound(read(folder), facts), facts)), facts)
    return {"attention_across": across, "attention_across_scores": scores}


def fit_across(rows: pl.DataFrame, facts: Facts) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Per phase and family one kernel for all chips, with its range over the fits with a chip left out; and scores.

    Scores are mean and median error on a chip in sample and when the others alone were fitted; `latent` those of
    DeepSeek-V3's attention, which no fit sees, with its chip left out.
    """
    values, scores = [], []
    latent = pl.col("head_dim") == LATENT_DIM
    for phase in PHASES:
        for family in FAMILIES:
            every = rows.filter(pl.col("phase") == phase, pl.col("family") == family)
            own = every.filter(~latent)
            together, apart = Rows.of(own, facts).fit(), []
            for chip in CHIPS.values():
                kernel = Rows.of(own.filter(pl.col("chip") != chip), facts).fit()
                apart += [kernel] if chip in own["chip"] else []
                for kind, part in (("", own), ("latent", every.filter(latent))):
                    here = part.filter(pl.col("chip") == chip)
                    if len(here):
                        laid = Rows.of(here, facts)
                        inside, outside = (np.expm1(laid.errors(k)) for k in (together, kernel))
                        scores.append([phase, family, kind, chip, len(here), *_score(inside), *_score(outside)])
            for name in _FITTED[phase, family]:
                spread = [getattr(k, name) for k in (together, *apart)]
                values.append([phase, family, name, spread[0], min(spread), max(spread)])
    names = [f"{fit}_{f}_frac" for fit in ("shared", "left_out") for f in ("mean", "median", "bias")]
    return (
        pl.DataFrame(values, schema=["phase", "family", "parameter", "value", "low", "high"], orient="row"),
        pl.DataFrame(scores, schema=["phase", "family", "kind", "chip", "rows", *names], orient="row"),
    )


def _score(error: Array) -> list[float]:
    measures: tuple[Callable[[Array], float], ...] = (np.mean, np.median)
    return [*(float(f(np.abs(error))) for f in measures), float(np.median(error))]
