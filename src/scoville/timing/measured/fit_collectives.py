"""Fits the collectives: raw rows -> one line per table, times at every other payload, scores on what was left out.

Raw tables: ai-dynamo/aiconfigurator@095f58a (Apache-2.0), <chip>/comm/<library>/<version>/*.parquet, latencies in ms.

`message_size` counts elements (half and bfloat16 2 bytes, int8 one): int8 rows repeat the half rows of half the size,
and bytes would put NCCL's all-gather among 8 H100s at 168 of 450 GB/s instead of 335. It is the vector of a reduction,
the gathered total, what one rank sends to all. int8 reductions are left out (models reduce bf16); elsewhere the faster
of two runs of one transfer stands. Engines replay captured graphs: rows launched from Python one by one are left out.
A payload never takes longer than a larger one, which it could be padded to; so outliers upwards vanish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import least_squares

from scoville.facts import load
from scoville.timing.measured.collectives import CollectiveLine, at_clock, line_seconds, table_of
from scoville.timing.measured.generation import Generation

Array = NDArray[np.float64]
TABLE = ["chip", "family", "kind"]
_ELEMENT_BYTES = {"half": 2, "bfloat16": 2, "int8": 1}
_SWITCHED = ("a100-sxm", "h100-sxm", "h200-sxm")  # all links of a server through switches; L40S crosses two hosts' PCIe
_PARAMETERS = [f.name for f in fields(CollectiveLine)]


def read(folder: Path) -> pl.DataFrame:
    """All rows that an engine would see: chip, family, kind, ranks, payload_bytes, time_s; one per configuration."""
    frames = []
    for file in sorted(
        [*folder.glob("*/comm/*/*/nccl_perf.parquet"), *folder.glob("*/comm/*/*/custom_allreduce_perf.parquet")]
    ):
        chip, _, family = file.relative_to(folder).parts[:3]
        raw = pl.read_parquet(file)
        dtype = "nccl_dtype" if "nccl_dtype" in raw.columns else "allreduce_dtype"
        size = pl.col(dtype).replace_strict(_ELEMENT_BYTES)
        reduces = pl.col("op_name").is_in(["all_reduce", "reduce_scatter"])
        frames.append(
            raw.filter(~pl.col("kernel_source").str.contains("eager"), ~(reduces & (pl.col(dtype) == "int8"))).select(
                chip=pl.lit(chip.replace("_", "-")),
                family=pl.lit(family),
                kind=pl.col("op_name").replace("alltoall", "all_to_all"),
                ranks=pl.col("num_gpus").cast(pl.Int32),
                payload_bytes=(pl.col("message_size") * size).cast(pl.Int64),
                time_s=pl.col("latency") / 1e3,
            )
        )
    own = [*TABLE, "ranks"]
    rows = pl.concat(frames).group_by(*own, "payload_bytes").agg(pl.col("time_s").min())
    return rows.sort(*own, "payload_bytes").with_columns(pl.col("time_s").cum_min(reverse=True).over(own))


def left_out(rows: pl.DataFrame) -> pl.Series:
    """True at every other payload: odd powers of two, but for the smallest and the largest of a table."""
    payload = pl.col("payload_bytes")
    inside = (payload > payload.min().over(TABLE)) & (payload < payload.max().over(TABLE))
    odd = payload.log(2).round().cast(pl.Int32) % 2 == 1
    return rows.select(inside & odd).to_series()


_ANY: Mapping[str, float] = {}


def fit_line(
    parts: Sequence[pl.DataFrame], links: Mapping[str, float], clocks: Mapping[str, float] = _ANY
) -> CollectiveLine:
    """One line for these tables of one operation: least soft-L1 log error."""

    def residuals(x: Array) -> Array:
        line = CollectiveLine(*(float(v) for v in np.exp(x)))
        return np.concatenate([error(part, line, links, clocks) for part in parts])

    starts = (np.log([4e-6, 5e-7, 0.7, ramp]) for ramp in (1e4, 1e6, 1e7))
    low, high = np.log([1e-7, 1e-9, 1e-3, 1.0]), np.log([1e-4, 1e-5, 1.0, 1e9])
    found = [least_squares(residuals, x, bounds=(low, high), loss="soft_l1", f_scale=0.1) for x in starts]
    best = min(found, key=lambda f: float(f.cost))
    return CollectiveLine(*(float(f"{v:.4g}") for v in np.exp(best.x)))


def error(
    rows: pl.DataFrame, line: CollectiveLine, links: Mapping[str, float], clocks: Mapping[str, float] = _ANY
) -> Array:
    """Log of line over measured, per row of one table; the line at the chip's clock where `clocks` has it."""
    at, chip = (rows["ranks"].to_numpy(), rows["payload_bytes"].to_numpy()), rows["chip"][0]
    line = at_clock(line, clocks[chip]) if chip in clocks else line
    time = line_seconds(line, rows["kind"][0], links[chip], *at)
    return np.asarray(np.log(time / rows["time_s"].to_numpy()))


def fit_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """`collectives` (times at knots), `collectives_parameters`, `collectives_held_out`; and to be read, not kept:
    `collectives_scores`, `collectives_across` and `collectives_across_scores`.

    Scores per table: on the payloads left out; on all of 4 ranks, from a table of 2 and 8 ranks only; of the line."""
    rows = read(folder)
    facts = load()
    links = {c: facts.accelerator(c).links[0].bandwidth.number for c in rows["chip"].unique().sort()}
    out = left_out(rows)
    kept, left = rows.filter(~out), rows.filter(out)
    parameters, scores = [], []
    for key, part in kept.group_by(TABLE, maintain_order=True):
        labels = dict(zip(TABLE, (str(x) for x in key), strict=True))
        line = fit_line([part], links)
        record = {
            **labels,
            **dict(zip(_PARAMETERS, astuple(line), strict=True)),
            "link_bytes_per_s": links[labels["chip"]],
        }
        parameters.append(record)
        own = left.filter(**labels)
        outer = part.filter(pl.col("ranks") != 4)
        bare = {**record, **dict(zip(_PARAMETERS, astuple(fit_line([outer], links)), strict=True))}
        score = {
            **_score(table_of(record, part).seconds(*_at(own)), own, ""),
            **_score(table_of(bare, outer).seconds(*_at(part.filter(ranks=4))), part.filter(ranks=4), "ranks_4_"),
            "line_frac": float(np.abs(np.expm1(error(part, line, links))).mean()),
        }
        scores.append({**labels, **score})
    clocks = {c: Generation.of(facts.accelerator(c), facts).clock_count_per_s for c in links}
    across, across_scores = fit_across(kept, links, clocks)
    narrow = [pl.col("time_s").cast(pl.Float32)]
    return {
        "collectives": kept.with_columns(narrow),
        "collectives_parameters": pl.DataFrame(parameters),
        "collectives_held_out": left.with_columns(narrow),
        "collectives_scores": pl.DataFrame(scores).sort("mean_frac", descending=True),
        "collectives_across": across,
        "collectives_across_scores": across_scores,
    }


def fit_across(
    rows: pl.DataFrame, links: Mapping[str, float], clocks: Mapping[str, float]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Per operation and library one line for all chips with switched links, at an H100's clock, with the range over
    them; mean error in-sample, and on each chip when the others alone were fitted."""
    values, scores = [], []
    for (family, kind), part in rows.group_by("family", "kind", maintain_order=True):
        key = f"{kind}_{family}" if kind == "all_reduce" else str(kind)
        parts = {str(c[0]): p for c, p in part.group_by("chip", maintain_order=True)}
        switched = [parts[c] for c in _SWITCHED]
        line = fit_line(switched, links, clocks)
        single = [*(astuple(fit_line([p], links, clocks)) for p in switched), astuple(line)]
        for name, value, spread in zip(_PARAMETERS, astuple(line), zip(*single, strict=True), strict=True):
            values.append((key, name, value, min(spread), max(spread)))
        for chip, p in parts.items():
            others = fit_line([parts[c] for c in _SWITCHED if c != chip], links, clocks)
            inside = float(np.abs(np.expm1(error(p, line, links, clocks))).mean()) if chip in _SWITCHED else None
            scores.append((key, chip, inside, float(np.abs(np.expm1(error(p, others, links, clocks))).mean())))
    frame = pl.DataFrame(values, schema=["operation", "parameter", "value", "low", "high"], orient="row")
    return frame, pl.DataFrame(scores, schema=["operation", "chip", "all_frac", "left_out_frac"], orient="row")


def _at(rows: pl.DataFrame) -> tuple[Array, Array]:
    return rows["ranks"].to_numpy(), rows["payload_bytes"].to_numpy()


def _score(answer: Array, rows: pl.DataFrame, prefix: str) -> dict[str, float]:
    wrong = np.abs(answer / rows["time_s"].to_numpy() - 1)
    return {f"{prefix}median_frac": float(np.median(wrong)), f"{prefix}mean_frac": float(wrong.mean())}
