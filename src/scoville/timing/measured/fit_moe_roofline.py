"""Fits the roofline of routed experts across chips, by engine family and format; scores it with a chip left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import least_squares

from scoville.facts import Facts, load
from scoville.timing.measured.fit_moe import Work, log_error, read, thin, work
from scoville.timing.measured.generation import Generation
from scoville.timing.measured.moe import MOE_FORMATS, MoeChip, MoeFormat, moe_chip
from scoville.timing.measured.moe_roofline import MoeAcross

Array = NDArray[np.float64]
Parts = Sequence[tuple[MoeChip, MoeFormat, Work]]
UNTUNED = "vllm_modeloptfp8moe_flashinfer"  # see the text of `fit_moe`
MOST = 2000  # rows of a chip's gated, and of its other experts
_LOW = MoeAcross(1e-6, 1e-6, 0.03, 0.03, 0.2, 1e-3, 0.05, 0.01, 0.05, 0.01)
_START = MoeAcross(2.5e-5, 2.5e-5, 0.5, 0.5, 0.85, 0.5, 1.5, 0.7, 1.0, 0.5)
_HIGH = MoeAcross(3e-4, 3e-4, 1.2, 1.2, 1.1, 1.0, 20.0, 20.0, 3.0, 1.0)
_TIE = 0.5  # of a generation's parameters to the other's, so that one without a chip follows it; of unit_frac to a half


def errors(kernel: MoeAcross, generation: Generation, parts: Parts) -> Array:
    """Log of predicted over measured, per row."""
    return np.concatenate([log_error(kernel.on(generation), *p) for p in parts])


def fit(parts: Mapping[str, Parts], generations: Mapping[str, Generation]) -> MoeAcross:
    """Least log error, robust (soft L1 beyond 10 %), every chip weighing the same."""
    count = {chip: sum(len(p[2].seconds) for p in own) for chip, own in parts.items()}

    def residuals(logs: Array) -> Array:
        k = MoeAcross(*np.exp(logs))
        found = [np.sqrt(3 * MOST / count[c]) * errors(k, generations[c], own) for c, own in parts.items()]
        tie = _TIE * np.log([k.fixed_warp_s / k.fixed_s, k.compute_warp_frac / k.compute_frac, k.unit_frac / 0.5])
        return np.concatenate([*found, tie])

    low, start, high = (np.log(astuple(k)) for k in (_LOW, _START, _HIGH))
    found = least_squares(residuals, start, bounds=(low, high), loss="soft_l1", f_scale=0.1, max_nfev=60)
    return MoeAcross(*(float(x) for x in np.exp(found.x)))


def works(rows: pl.DataFrame, chip: MoeChip, fmt: MoeFormat) -> Parts:
    """Gated and other experts of one table, thinned."""
    gated = ~pl.col("kernel").str.contains("nongated")
    parts = ((True, rows.filter(gated)), (False, rows.filter(~gated)))
    return [(chip, fmt, thin(work(part, g), MOST)) for g, part in parts if len(part)]


def fit_across(rows: pl.DataFrame, facts: Facts) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Per family and format one set for all chips, with its range over the fits with a chip left out; and scores: mean
    and median error on a chip in sample, and when the others alone were fitted."""
    values: list[list[object]] = []
    scores: list[list[object]] = []
    tuned = rows.filter(~pl.col("kernel").str.starts_with(UNTUNED)).sort("family", "format", "chip")
    for (family, name), group in tuned.group_by(["family", "format"], maintain_order=True):
        fmt = MOE_FORMATS[str(name)]
        chips = [str(c) for c in group["chip"].unique(maintain_order=True)]
        generations = {c: Generation.of(facts.accelerator(c), facts) for c in chips}
        parts = {c: works(group.filter(chip=c), moe_chip(facts, c, fmt), fmt) for c in chips}
        together, apart = fit(parts, generations), []
        for c in chips if len(chips) > 1 else ():
            kernel = fit({other: own for other, own in parts.items() if other != c}, generations)
            apart.append(kernel)
            inside, outside = (np.expm1(errors(k, generations[c], parts[c])) for k in (together, kernel))
            scores.append([family, name, c, len(outside), *_score(inside), *_score(outside)])
        for field in fields(MoeAcross):
            spread = [getattr(k, field.name) for k in (together, *apart)]
            values.append([family, name, field.name, spread[0], min(spread), max(spread)])
    names = [f"{kind}_{f}_frac" for kind in ("shared", "left_out") for f in ("mean", "median", "bias")]
    return (
        pl.DataFrame(values, schema=["family", "format", "parameter", "value", "low", "high"], orient="row"),
        pl.DataFrame(scores, schema=["family", "format", "chip", "rows", *names], orient="row"),
    )


def _score(error: Array) -> list[float]:
    return [float(np.abs(error).mean()), float(np.median(np.abs(error))), float(np.median(error))]


def fit_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """Nothing to keep but facts; to be read: `moe_across` and `moe_across_scores`, as `fit_across`."""
    rows = read(folder).filter(~pl.col("held_out") & ~pl.col("set_aside"))
    across, scores = fit_across(rows, load())
    return {"moe_across": across, "moe_across_scores": scores}
