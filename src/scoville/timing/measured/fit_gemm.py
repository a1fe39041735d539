"""Fits the gemm tables: raw rows -> one kernel per table, residuals on the grid of (n, k, m), held-out scores.

Raw tables: ai-dynamo/aiconfigurator@095f58a (Apache-2.0), <chip>/gemm/<engine>/<version>/gemm_perf.parquet, latencies
in ms. Three things are read off them and put right here.

1. Where several kernels were timed for a shape the fastest stands, as the engines' dispatch chooses.
2. vLLM's fp8_block kernels were launched from Python one by one: times under 0.05 to 0.3 ms, by kernel, are the host's.
   Engines replay graphs. Only rows well above the host's floor count; below, the rows of TensorRT-LLM on the same chip
   stand in (both call DeepGEMM on Hopper; where both are bound by the device they agree within 15 %).
3. On L40S weights up to 16 MiB, in TensorRT-LLM's table at times 50, stay in the cache between repetitions and are read
   at up to three times the memory's bandwidth; those of a model don't. Such rows are left out, and everywhere those
   above 95 % of the bandwidth; the residual is carried over from the neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import least_squares

from scoville.facts import Facts, load
from scoville.timing.measured.gemm import (
    GEMM_FORMATS,
    RESIDUAL_STEP,
    GemmChip,
    GemmFormat,
    GemmKernel,
    gemm_bytes,
    gemm_chip,
    gemm_times_of,
    roofline_seconds,
)

Array = NDArray[np.float64]
SEED = 20261123
HELD_OUT_FRAC = 0.15
SHAPE = ["n", "k"]
TABLE = ["chip", "family", "format"]
_NAMES = {
    "bfloat16": "bf16",
    "fp8": "fp8",
    "fp8_block": "fp8_block",
    "sq": "int8",
    "int8_wo": "int8_bf16",
    "int4_wo": "int4_bf16",
}
_CACHED_WEIGHT_BYTES = {"l40s": 16.8e6}
_STREAM_FRAC = 0.95  # of the bandwidth: what streams from memory stays below
_HOST_FLOORS = 1.7  # rows slower than this many floors are bound by the device
_LIBRARIES = {  # format, engine families and chips that share a kernel library
    "bf16": ("bf16", ("vllm", "trtllm"), ("a100-sxm", "h100-sxm", "h200-sxm", "l40s")),  # cuBLAS
    "fp8_vllm": ("fp8", ("vllm",), ("h100-sxm", "h200-sxm", "l40s")),  # CUTLASS
    "fp8_trtllm": ("fp8", ("trtllm",), ("h100-sxm", "h200-sxm", "l40s")),  # cuBLASLt, scales computed at run time
    "fp8_block": ("fp8_block", ("vllm", "trtllm"), ("h100-sxm", "h200-sxm")),  # DeepGEMM, on Hopper only
    "int8": ("int8", ("trtllm",), ("a100-sxm",)),
    "int8_bf16": ("int8_bf16", ("trtllm",), ("a100-sxm",)),
    "int4_bf16": ("int4_bf16", ("trtllm",), ("a100-sxm",)),
}
_FIT_ROWS = 2500  # per table, evenly over its shapes

_PARAMETERS = [f.name for f in fields(GemmKernel)]
_START = np.array([3e-6, 0.85, 0.85, 0.3, 4e-12, 0.3, 1e-9, 2500.0, 2e-10])
_LOW = np.array([2e-7, 0.1, 0.2, 0.0, 0.0, 0.0, 0.0, 64.0, 0.0])
_HIGH = np.array([3e-5, 1.0, 1.0, 1.0, 5e-11, 1.0, 1e-8, 1e5, 2e-9])


class Table(NamedTuple):
    """Rows of one chip, engine family and format, with what the model needs."""

    name: tuple[str, str, str]
    chip: GemmChip
    format: GemmFormat
    rows: pl.DataFrame


def read(folder: Path) -> pl.DataFrame:
    """All gemm rows under `folder`: chip, family, format, kernel, m, n, k, time_s."""
    frames = []
    for file in sorted(folder.glob("*/gemm/*/*/gemm_perf.parquet")):
        chip, _, family = file.relative_to(folder).parts[:3]
        frames.append(
            pl.read_parquet(file).select(
                pl.lit(chip.replace("_", "-")).alias("chip"),
                pl.lit(family).alias("family"),
                pl.col("gemm_dtype").replace_strict(_NAMES).alias("format"),
                pl.col("kernel_source").alias("kernel"),
                *(pl.col(c).cast(pl.Int32) for c in ("m", "n", "k")),
                (pl.col("latency") / 1e3).alias("time_s"),
            )
        )
    return pl.concat(frames)


def operating(raw: pl.DataFrame) -> pl.DataFrame:
    """The rows that an engine would see, one per shape, with `own` False where the other family's row stands in."""
    block = (pl.col("family") == "vllm") & (pl.col("format") == "fp8_block")
    floor = pl.col("time_s").quantile(0.05).over("chip", "kernel")
    own = raw.filter(~block | (pl.col("time_s") > _HOST_FLOORS * floor)).with_columns(own=pl.lit(True))
    cell = [*TABLE, "m", *SHAPE]
    lent = raw.filter(format="fp8_block", family="trtllm").with_columns(
        pl.lit("vllm").alias("family"), own=pl.lit(False)
    )
    lent = lent.join(own, on=cell, how="anti").join(raw.filter(block), on=["chip", *SHAPE], how="semi")
    rows = pl.concat([own, lent]).group_by(cell).agg(pl.col("time_s").min(), pl.col("own").first())
    return rows.sort(cell)


def uncached(table: Table) -> pl.DataFrame:
    """The table without rows that a replay reads from the cache: above what memory can stream, or with a small weight
    where reading is half of the time or more."""
    limit = _CACHED_WEIGHT_BYTES.get(table.name[0], 0.0)
    m, n, k = shape(table.rows)
    read_s = gemm_bytes(table.format, m, n, k) / table.chip.memory_bytes_per_s
    time_s = table.rows["time_s"].to_numpy()
    cached = (n * k * table.format.weight_bytes < limit) & (2 * read_s > time_s)
    return table.rows.filter(~(cached | (read_s > _STREAM_FRAC * time_s)))


def shape(rows: pl.DataFrame) -> tuple[Array, Array, Array]:
    """m, n, k of the rows as floats."""
    m, n, k = (rows[c].to_numpy().astype(float) for c in ("m", "n", "k"))
    return m, n, k


def held_out(rows: pl.DataFrame) -> pl.DataFrame:
    """The (n, k) that no fit sees, the same for every table."""
    shapes = rows.select(SHAPE).unique().sort(SHAPE)
    return shapes.sample(fraction=HELD_OUT_FRAC, seed=SEED, shuffle=True).sort(SHAPE)


def tables(rows: pl.DataFrame, facts: Facts) -> list[Table]:
    """The rows by table, cached ones left out."""
    found = []
    for (chip, family, fmt), part in rows.group_by(TABLE, maintain_order=True):
        name = (str(chip), str(family), str(fmt))
        one = Table(name, gemm_chip(facts, name[0], name[2]), GEMM_FORMATS[name[2]], part)
        found.append(one._replace(rows=uncached(one)))
    return found


def error(table: Table, kernel: GemmKernel) -> Array:
    """Log of roofline over measured, per row."""
    time = roofline_seconds(kernel, table.chip, table.format, *shape(table.rows))
    return np.asarray(np.log(time / table.rows["time_s"].to_numpy()))


def fit_kernel(parts: Sequence[Table], start: Sequence[GemmKernel] = ()) -> GemmKernel:
    """One kernel for these tables: least soft-L1 log error over rows spread evenly, each table with the same number."""
    thin = [t._replace(rows=t.rows.gather_every(max(1, len(t.rows) // _FIT_ROWS))) for t in parts]
    scale = _START

    def residuals(x: Array) -> Array:
        kernel = GemmKernel(*(float(v) for v in x * scale))
        return np.concatenate([error(t, kernel) / np.sqrt(len(t.rows)) * np.sqrt(_FIT_ROWS) for t in thin])

    names = np.array(_PARAMETERS)
    no_quantising = all(t.format.activation == "bf16" for t in parts)
    absent = (names == "quantise_s_per_count") & no_quantising
    high = np.where(absent, 1e-15, _HIGH)
    best = None
    starts = [_START, np.where(names == "split_count", 3e4, _START), *(np.array(astuple(x)) for x in start)]
    for x0 in starts:
        x = np.clip(x0, _LOW, high * 0.999) / scale
        found = least_squares(
            residuals, x, bounds=(_LOW / scale, high / scale), loss="soft_l1", f_scale=0.1, max_nfev=80, diff_step=1e-4
        )
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    x = np.where(absent, 0.0, best.x * scale)
    return GemmKernel(*(float(f"{v:.5g}") for v in x))


def fill(values: Array, n: Array, k: Array) -> Array:
    """The grid (N, K, M) with its holes closed: a membrane over (log n, log k), column by column of m."""
    rows, columns, depth = values.shape
    size = rows * columns

    def slopes(x: Array) -> Array:
        gaps = np.log(x[1:] / x[:-1])
        return np.asarray((np.eye(len(x))[1:] - np.eye(len(x))[:-1]) / np.sqrt(gaps)[:, None])

    sheet = np.concatenate([np.kron(slopes(n), np.eye(columns)), np.kron(np.eye(rows), slopes(k))])
    normal = sheet.T @ sheet
    flat = values.reshape(size, depth).copy()
    holes = np.isnan(flat)
    patterns, which = np.unique(holes, axis=1, return_inverse=True)
    for i in range(patterns.shape[1]):
        hole, at = patterns[:, i], which.reshape(-1) == i
        if hole.all():
            flat[:, at] = 0.0
        elif hole.any():
            known = flat[np.ix_(~hole, at)]
            flat[np.ix_(hole, at)] = np.linalg.solve(normal[np.ix_(hole, hole)], -normal[np.ix_(hole, ~hole)] @ known)
    return flat.reshape(values.shape)


def residual_rows(table: Table, kernel: GemmKernel) -> tuple[list[int], pl.DataFrame]:
    """Knots of m, and the residual per (n, k) as a list over them, in steps."""
    m, n, k = shape(table.rows)
    axes = [np.unique(x) for x in (n, k, m)]
    grid = np.full([len(x) for x in axes], np.nan)
    grid[tuple(np.searchsorted(a, x) for a, x in zip(axes, (n, k, m), strict=True))] = -error(table, kernel)
    steps = np.round(fill(grid, axes[0], axes[1]) / RESIDUAL_STEP).astype(np.int16)
    at_n, at_k = np.meshgrid(axes[0], axes[1], indexing="ij")
    frame = pl.DataFrame(
        {
            **{c: [v] * at_n.size for c, v in zip(TABLE, table.name, strict=True)},
            "n": at_n.reshape(-1).astype(np.int32),
            "k": at_k.reshape(-1).astype(np.int32),
            "residual": steps.reshape(-1, len(axes[2])).tolist(),
        },
        schema_overrides={"residual": pl.List(pl.Int16)},
    )
    return axes[2].astype(int).tolist(), frame


def fit_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """`gemm` (residuals), `gemm_parameters`, `gemm_held_out` (a sample of the rows left out); and to be read, not kept:
    `gemm_scores` on all rows left out, `gemm_across` and `gemm_across_scores`, the fits across chips."""
    rows = operating(read(folder))
    out = held_out(rows)
    facts = load()
    parameters: list[dict[str, Any]] = []
    residuals, samples, scores = [], [], []
    found = tables(rows, facts)
    kept = [t._replace(rows=t.rows.join(out, on=SHAPE, how="anti")) for t in found]
    for table, part in zip(found, kept, strict=True):
        left = table.rows.join(out, on=SHAPE, how="semi").filter("own")
        kernel = fit_kernel([part])
        knots, frame = residual_rows(part, kernel)
        labels = dict(zip(TABLE, table.name, strict=True))
        record = {**labels, **_fields(kernel), **_fields(table.chip), "m": knots}
        parameters.append(record)
        residuals.append(frame)
        times = gemm_times_of(" ".join(table.name), table.format, record, frame)
        wrong = np.abs(times.seconds(*shape(left)) / left["time_s"].to_numpy() - 1)
        held = {"rows_count": len(wrong), "median_frac": float(np.median(wrong)), "mean_frac": float(wrong.mean())}
        scores.append({**labels, **held, **_roofline(part, kernel)})
        samples.append(
            left.sample(min(len(left), 125), seed=SEED).sort("m", *SHAPE).with_columns(**_labels(table.name))
        )
    across, across_scores = fit_across(kept, lone(folder, facts))
    return {
        "gemm": pl.concat(residuals),
        "gemm_parameters": pl.DataFrame(parameters, schema_overrides={"m": pl.List(pl.Int32)}),
        "gemm_held_out": pl.concat(samples).select(
            *TABLE, "m", *SHAPE, pl.col("time_s").cast(pl.Float32), seed=pl.lit(SEED, pl.Int32)
        ),
        "gemm_scores": pl.DataFrame(scores).sort("mean_frac", descending=True),
        "gemm_across": across,
        "gemm_across_scores": across_scores,
    }


def lone(folder: Path, facts: Facts) -> list[Table]:
    """Chips with too few shapes for a table of their own: alibaba/InferSim (Apache-2.0), bench_data/gemm, DeepGEMM's
    fp8 product without quantisation, times in us."""
    found = []
    for chip, key in (("h20", "h20"), ("h800", "h800-sxm")):
        file = folder / "h800_h20" / "bench_data" / "gemm" / chip / "data.csv"
        if file.exists():
            rows = pl.read_csv(file).select("m", "n", "k", time_s=pl.col("latency_us") / 1e6)
            found.append(
                Table(
                    (key, "infersim", "fp8_block"), gemm_chip(facts, key, "fp8_block"), GEMM_FORMATS["fp8_block"], rows
                )
            )
    return found


def fit_across(parts: Sequence[Table], lone: Sequence[Table]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Per library one kernel for all chips, with the range over the tables; and its scores, mean error in-sample and
    on each chip when the others alone were fitted. `lone` and what `_LIBRARIES` leaves out are only scored."""
    values, scores = [], []
    for library, (fmt, families, chips) in _LIBRARIES.items():
        asked = [t for t in parts if t.name[2] == fmt and t.name[1] in families]
        asked = [t._replace(rows=(own := t.rows.filter("own")).gather_every(max(1, len(own) // 1000))) for t in asked]
        used = [t for t in asked if t.name[0] in chips]
        kernel = fit_kernel(used)
        single = [fit_kernel([t], [kernel]) for t in used] + [kernel]
        for name in _PARAMETERS:
            spread = [getattr(x, name) for x in single]
            values.append((library, name, getattr(kernel, name), min(spread), max(spread)))
        without = {t.name[0]: [x for x in used if x.name[0] != t.name[0]] for t in used}
        left = {chip: fit_kernel(others, [kernel]) for chip, others in without.items() if others}
        bare = replace(kernel, quantise_s_per_count=0.0)
        for t in asked:
            labels = {"library": library, **dict(zip(TABLE, t.name, strict=True))}
            inside = _roofline(t, kernel) if t in used else {}
            apart = left.get(t.name[0]) if t in used else kernel
            outside = _roofline(t, apart) if apart else {}
            scores.append({**labels, **inside, **{f"left_out_{k}": v for k, v in outside.items()}})
        for t in lone if library == "fp8_block" else ():
            labels = {"library": library, **dict(zip(TABLE, t.name, strict=True))}
            scores.append({**labels, **{f"left_out_{k}": v for k, v in _roofline(t, bare).items()}})
    frame = pl.DataFrame(values, schema=["library", "parameter", "value", "low", "high"], orient="row")
    return frame, pl.DataFrame(scores, infer_schema_length=None)


def _fields(record: GemmKernel | GemmChip) -> dict[str, float]:
    return {f.name: float(getattr(record, f.name)) for f in fields(record)}


def _labels(name: tuple[str, str, str]) -> dict[str, pl.Expr]:
    return {c: pl.lit(v) for c, v in zip(TABLE, name, strict=True)}


def _roofline(table: Table, kernel: GemmKernel) -> dict[str, float]:
    """Mean error of the roofline alone: on all rows, and on those with n and k of 512 and more."""
    wrong = np.abs(np.expm1(error(table, kernel)))
    _, n, k = shape(table.rows)
    return {"all_frac": float(wrong.mean()), "large_frac": float(wrong[(n >= 512) & (k >= 512)].mean())}
