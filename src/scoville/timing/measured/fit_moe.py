"""Fits the expert tables: raw rows -> one roofline per kernel, residual curves by layout, held-out scores.

Raw tables: ai-dynamo/aiconfigurator@095f58a, systems/data/<chip>/moe/<engine>/<version>/moe_perf.parquet (Apache-2.0);
latencies in ms, of rank 0, which the collector makes the busiest; `num_tokens` counts the tokens of all ranks; a power
law's time is the mean over five random routings. Four things are read off the tables.

1. The kernel is the engine's choice by layout: each layout was timed with one. vLLM's fp8_block on Hopper is
   FlashInfer's CUTLASS where experts are shared out and Triton elsewhere. Each kernel is fitted apart.
2. Rows are set aside that took longer than the same layer with at least as much work: a row 1.6 times as long as one
   with more tokens, on as many ranks or fewer; a curve 1.2 times as long as one on fewer ranks, at half of the tokens
   from 16 on. On Hopper a tenth of TensorRT-LLM's bf16 and fp8 rows are such: their tuning was read from the cache file
   of another layout. Scores count without and with them.
3. vLLM's per-tensor fp8 on Hopper is FlashInfer's CUTLASS with its default tactics: it reads weights at a fifth of the
   bandwidth. It stays out of the roofline across chips (`fit_moe_roofline.py`); the measured tables have it as it is.
4. What fits into the cache stays there between repetitions; see `moe.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import least_squares

from scoville.facts import load
from scoville.timing.measured.moe import (
    MOE_FORMATS,
    RESIDUAL_STEP,
    ExpertLayout,
    MoeChip,
    MoeFormat,
    MoeKernel,
    correlation,
    moe_chip,
    moe_times_of,
    place,
    roofline_seconds,
)
from scoville.timing.measured.moe_routing import DISTRIBUTIONS, Load, routing_load

Array = NDArray[np.float64]
SPLIT_SEED = 20261123
HELD_OUT_FRAC = 0.15
HELD_OUT_ROWS = 3000
LAYOUT = ["hidden", "intermediate", "experts", "top_k", "tensor", "expert"]
FORMAT_NAMES = {
    "bfloat16": "bf16",
    "fp8": "fp8",
    "fp8_block": "fp8_block",
    "int4_wo": "int4_bf16",
    "w4a16_mxfp4": "mxfp4_bf16",
}
_TABLE = ["chip", "family", "format"]
_SLOWER_CURVE, _SLOWER_ROW = 1.2, 1.6


def read(folder: Path) -> pl.DataFrame:
    """Raw rows of all chips in our names, seconds, `held_out` and `set_aside`."""
    parts = []
    for path in sorted(folder.glob("*/moe/*/*/moe_perf.parquet")):
        chip, family = path.parts[-5].replace("_", "-"), path.parts[-3]
        parts.append(
            pl.read_parquet(path).select(
                pl.lit(chip).alias("chip"),
                pl.lit(family).alias("family"),
                pl.col("moe_dtype").replace_strict(FORMAT_NAMES).alias("format"),
                pl.col("kernel_source").alias("kernel"),
                pl.col("distribution"),
                *(
                    pl.col(raw).cast(pl.Int32).alias(name)
                    for raw, name in zip(
                        (
                            "hidden_size",
                            "inter_size",
                            "num_experts",
                            "topk",
                            "moe_tp_size",
                            "moe_ep_size",
                            "num_tokens",
                        ),
                        (*LAYOUT, "tokens"),
                        strict=True,
                    )
                ),
                (pl.col("latency") * 1e-3).alias("seconds"),
            )
        )
    rows = pl.concat(parts).filter(pl.col("distribution").is_in(DISTRIBUTIONS))
    return set_aside(rows).join(split(rows), on=LAYOUT)


def split(rows: pl.DataFrame) -> pl.DataFrame:
    """Which layouts are held out, everywhere: 15 % of the (shape, tensor, expert split) of all tables, by seed."""
    layouts = rows.select(LAYOUT).unique().sort(LAYOUT)
    drawn = np.random.default_rng(SPLIT_SEED).random(len(layouts)) < HELD_OUT_FRAC
    return layouts.with_columns(pl.Series("held_out", drawn))


def set_aside(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds `set_aside`: rows and curves that took longer than more work did; see the module's text."""
    shape = [*_TABLE, "kernel", "distribution", *LAYOUT[:4]]
    out = []
    for _, part in rows.group_by(shape, maintain_order=True):
        knots = np.unique(part["tokens"].to_numpy())
        splits, which = np.unique(part.select("tensor", "expert").to_numpy(), axis=0, return_inverse=True)
        which = which.reshape(-1)
        column = np.searchsorted(knots, part["tokens"].to_numpy())
        time = np.full((len(splits), len(knots)), np.inf)
        time[which, column] = part["seconds"].to_numpy()
        more = np.minimum.accumulate(time[:, ::-1], 1)[:, ::-1]
        fewer = [(splits <= s).all(1) for s in splits]
        row = time > _SLOWER_ROW * np.array([more[f].min(0) for f in fewer])
        same = np.array([time[f].min(0) for f in fewer])
        slower = (time > _SLOWER_CURVE * same) & np.isfinite(time)
        many = knots >= 16
        curve = slower[:, many].sum(1) > 0.5 * np.isfinite(time[:, many]).sum(1)
        out.append(part.with_columns(pl.Series("set_aside", (row | curve[:, None])[which, column])))
    return pl.concat(out)


class Work(NamedTuple):
    """Rows of one kernel and format as arrays: layout columns and loads, (rows,)."""

    layout: ExpertLayout
    tokens: Array
    load: Load
    seconds: Array


def work(rows: pl.DataFrame, gated: bool) -> Work:
    """Loads of raw rows; an ExpertLayout of arrays stands for one layout per row."""
    keys = ["experts", "top_k", "expert", "distribution"]
    parts = []
    indexed = rows.with_row_index("row")
    for (experts, top_k, expert, distribution), part in indexed.group_by(keys, maintain_order=True):
        knots = np.unique(part["tokens"].to_numpy())
        per = routing_load(tuple(int(t) for t in knots), experts, top_k, expert, distribution)
        at = np.searchsorted(knots, part["tokens"].to_numpy())
        parts.append((part["row"].to_numpy(), np.stack([x[at] for x in per])))
    loads = np.empty((3, len(rows)))
    for index, values in parts:
        loads[:, index] = values
    columns = [rows[x].to_numpy().astype(float) for x in LAYOUT]
    layout = ExpertLayout._make([*columns, gated])
    return Work(layout, rows["tokens"].to_numpy().astype(float), Load(*loads), rows["seconds"].to_numpy())


_LOW = MoeKernel(1e-6, 0.03, 0.2, 1e-3, 0.05, 0.01, 0.05)
_START = MoeKernel(2.5e-5, 0.5, 0.85, 0.5, 1.5, 0.7, 1.0)
_HIGH = MoeKernel(3e-4, 1.2, 1.1, 1.0, 20.0, 20.0, 3.0)


def log_error(kernel: MoeKernel, chip: MoeChip, fmt: MoeFormat, w: Work) -> Array:
    """log(predicted / measured) of the roofline, weights cached as the tables have them."""
    return np.asarray(np.log(roofline_seconds(kernel, chip, fmt, w.layout, w.tokens, w.load, True) / w.seconds))


def fit_kernel(parts: Sequence[tuple[MoeChip, MoeFormat, Work]]) -> MoeKernel:
    """One set of parameters for all parts, in log error, robustly (soft L1 beyond 10 %), parts weighing alike."""
    most = max(len(p[2].seconds) for p in parts)
    weight = [np.sqrt(most / len(p[2].seconds)) for p in parts]

    def residual(logs: Array) -> Array:
        kernel = MoeKernel(*np.exp(logs))
        return np.concatenate([w * log_error(kernel, *p) for w, p in zip(weight, parts, strict=True)])

    low, start, high = (np.log(astuple(k)[:-1]) for k in (_LOW, _START, _HIGH))  # one chip tells no unit_frac
    found = least_squares(residual, start, bounds=(low, high), loss="soft_l1", f_scale=0.1, max_nfev=60)
    return MoeKernel(*(float(x) for x in np.exp(found.x)))


def thin(w: Work, most: int = 6000) -> Work:
    """Every n-th row, so that at most `most` remain."""
    s = slice(None, None, -(-len(w.seconds) // most))
    columns = [np.asarray(x)[s] for x in w.layout[:6]]
    layout = ExpertLayout._make([*columns, w.layout.gated])
    return Work(layout, w.tokens[s], Load(*(x[s] for x in w.load)), w.seconds[s])


def curves(rows: pl.DataFrame, log_ratio: Array, knots: Sequence[int]) -> pl.DataFrame:
    """One row per (distribution, layout): `log_ratio` over the knots, gaps filled along log tokens.

    Curves with fewer than 60 % of the knots are dropped.
    """
    at = np.log(np.asarray(knots, float))
    out: list[dict[str, object]] = []
    frame = rows.with_columns(pl.Series("log_ratio", log_ratio)).sort("tokens")
    for key, part in frame.group_by(["distribution", *LAYOUT], maintain_order=True):
        if len(part) >= 0.6 * len(knots):
            filled = np.interp(at, np.log(part["tokens"].to_numpy().astype(float)), part["log_ratio"].to_numpy())
            out.append({**dict(zip(("distribution", *LAYOUT), key, strict=True)), "log_ratio": filled.tolist()})
    return pl.DataFrame(out).sort("distribution", *LAYOUT)


REACH = np.array([1.3, 3.0, 5.0, 1.3, 6.0, 6.0])  # octaves; the last is of sharing at all
NOISE_FRAC = 2.0**-8


def left_out_error(points: Array, values: Array, noise_frac: float) -> float:
    """Mean |error| of each layout's curve kriged from the others (Dubrule, "Cross validation of kriging", 1983)."""
    inverse = np.linalg.inv(correlation(points, points) + noise_frac * np.eye(len(points)))
    ones = inverse.sum(1)
    inverse -= np.outer(ones, ones) / ones.sum()
    return float(np.abs(np.expm1((inverse @ values) / np.diag(inverse)[:, None])).mean())


def fit_reach(frame: pl.DataFrame) -> tuple[Array, float]:
    """Reach of each axis and noise with the least left-one-layout-out error among the layouts of the fit."""
    groups = []
    for _, part in frame.group_by("distribution", maintain_order=True):
        groups.append((part.select(LAYOUT).to_numpy().astype(float), np.asarray(part["log_ratio"].to_list())))

    def score(reach: Array, noise_frac: float) -> float:
        total = sum(len(v) for _, v in groups)
        return sum(left_out_error(place(x, reach), v, noise_frac) * len(v) for x, v in groups) / total

    reach, noise_frac = REACH.copy(), NOISE_FRAC
    if max(len(v) for _, v in groups) < 8:
        return reach, noise_frac
    best = score(reach, noise_frac)
    for factor in (2.5, 1.6):
        for axis in range(len(reach) + 1):
            for f in (1 / factor, factor):
                r, n = reach.copy(), noise_frac
                if axis < len(reach):
                    r[axis] *= f
                else:
                    n *= f * f
                if (found := score(r, n)) < best:
                    best, reach, noise_frac = found, r, n
    return reach, noise_frac


def fit_table(rows: pl.DataFrame, chip: MoeChip, fmt: MoeFormat) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Parameters (one row per kernel) and residual curves of one chip, family and format, from its fitted rows."""
    knots = sorted(rows["tokens"].unique())
    parameters, residuals = [], []
    for (name,), part in rows.group_by("kernel", maintain_order=True):
        gated = "nongated" not in str(name)
        w = work(part, gated)
        kernel = fit_kernel([(chip, fmt, thin(w))])
        frame = curves(part, -log_error(kernel, chip, fmt, w), knots)
        reach, noise_frac = fit_reach(frame)
        named = {f.name: getattr(kernel, f.name) for f in fields(kernel)} | {
            f.name: getattr(chip, f.name) for f in fields(chip)
        }
        fitted = {"kernel": str(name), "gated": gated, "reach": reach.tolist(), "noise_frac": noise_frac}
        parameters.append(fitted | named | {"tokens": knots})
        steps = pl.col("log_ratio").list.eval((pl.element() / RESIDUAL_STEP).round().cast(pl.Int16))
        residuals.append(
            frame.select(pl.lit(str(name)).alias("kernel"), pl.exclude("log_ratio"), steps.alias("residual"))
        )
    return pl.DataFrame(parameters), pl.concat(residuals)


def predicted(rows: pl.DataFrame, parameters: pl.DataFrame, residuals: pl.DataFrame, fmt: MoeFormat) -> Array:
    """Seconds of raw rows by a fitted table, weights cached as the raw rows have them."""
    times = moe_times_of("", fmt, parameters, residuals)
    out = np.empty(len(rows))
    keys = [*LAYOUT, "distribution", "kernel"]
    for key, part in rows.with_row_index("row").group_by(keys, maintain_order=True):
        gated = "nongated" not in str(key[-1])
        tokens = part["tokens"].to_numpy()
        out[part["row"].to_numpy()] = times.seconds(tokens, *key[:7], gated=gated, cached=True)
    return out


def tables(rows: pl.DataFrame) -> Iterator[tuple[tuple[str, str, str], pl.DataFrame]]:
    """Raw rows by (chip, family, format)."""
    for key, part in rows.sort(_TABLE).group_by(_TABLE, maintain_order=True):
        yield (str(key[0]), str(key[1]), str(key[2])), part


def score(error: Array) -> dict[str, float]:
    """Median, mean and ninth decile of |predicted / measured - 1|."""
    e = np.abs(error)
    return {"median": float(np.median(e)), "mean": float(e.mean()), "p90": float(np.quantile(e, 0.9))}


def fit_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """The tables `moe` and `moe_parameters`, a sample of left-out rows `moe_held_out`; and `moe_scores`."""
    facts = load()
    rows = read(folder)
    parameters, residuals, held, errors, scores = [], [], [], [], []
    for (chip_id, family, name), part in tables(rows):
        fmt = MOE_FORMATS[name]
        chip = moe_chip(facts, chip_id, fmt)
        p, r = fit_table(part.filter(~pl.col("held_out") & ~pl.col("set_aside")), chip, fmt)
        tag = [pl.lit(x).alias(c) for c, x in zip(_TABLE, (chip_id, family, name), strict=True)]
        parameters.append(p.select(*tag, pl.all()))
        residuals.append(r.select(*tag, pl.all()))
        out = part.filter("held_out")
        if len(out):
            error = predicted(out, p, r, fmt) / out["seconds"].to_numpy() - 1
            clean = ~out["set_aside"].to_numpy()
            raw = {f"{k}_with_set_aside": v for k, v in score(error).items()}
            row: dict[str, object] = {"chip": chip_id, "family": family, "format": name}
            row |= {"layouts": out.select(LAYOUT).n_unique(), "rows": int(clean.sum())}
            scores.append(row | score(error[clean]) | raw)
            held.append(out.filter(~pl.col("set_aside")))
            errors.append(out.select("chip", "set_aside", pl.Series("error", error)))
    for (chip_id,), found in pl.concat(errors).group_by("chip", maintain_order=True):
        every = found["error"].to_numpy()
        clean = every[~found["set_aside"].to_numpy()]
        raw = {f"{k}_with_set_aside": v for k, v in score(every).items()}
        named = {"chip": chip_id, "family": "all", "format": "all", "layouts": None, "rows": len(clean)}
        scores.append(named | score(clean) | raw)
    sample = pl.concat(held).drop("set_aside", "held_out").with_columns(pl.lit(SPLIT_SEED).alias("split_seed"))
    chips = sample.partition_by("chip", maintain_order=True)
    per_chip = [x.sample(min(len(x), HELD_OUT_ROWS // len(chips)), seed=SPLIT_SEED) for x in chips]
    return {
        "moe": pl.concat(residuals),
        "moe_parameters": pl.concat(parameters),
        "moe_held_out": pl.concat(per_chip).sort(sample.columns),
        "moe_scores": pl.DataFrame(scores).sort("mean", descending=True),
    }
