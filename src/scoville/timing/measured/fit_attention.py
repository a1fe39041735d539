"""Fits the attention tables: raw kernel measurements to sides per layout and residuals on them.

Raw: the context and generation attention tables of ai-dynamo/aiconfigurator (Apache-2.0), Parquet in
`CHIP/attention/FAMILY/VERSION/`. `fit_tables` writes nothing; it returns the frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import least_squares

from scoville.facts import Accelerator, Facts, load
from scoville.timing.measured.attention import (
    COEFFICIENTS,
    RESIDUAL_STEP,
    SHIFT_BIN,
    AttentionSides,
    AttentionTimes,
    HeadLayout,
    Phase,
    Work,
    assemble,
    work,
)
from scoville.timing.measured.attention_roofline import LATENT_DIM, sizes

Array = NDArray[np.float64]
CHIPS = {"a100_sxm": "a100-sxm", "h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "l40s": "l40s"}
HOST_S = 3e-4
SEED = 20261123
HELD_OUT_FRAC = 0.15
SERIES = ("chip", "family", "phase", "query", "cache", "window", "head_dim", "group")
CELL = (*SERIES, "kind", "units", "length")
BY_HEADS = (*SERIES[:-1], "kv_heads", "bin", "length")
LAYOUT = ("heads", "kv_heads", "head_dim")
_FORMATS = {"bfloat16": "bf16", "fp8": "fp8"}


def read(folder: Path, chips: Mapping[str, str] = CHIPS) -> pl.DataFrame:
    """All attention rows below `folder`, one measurement each: chip, family, layout, batch, tokens, `time_s`.

    `chips` gives the chip of each folder. MLA rows are those of a layout with one KV head of LATENT_DIM.
    """
    frames = []
    for chip, name in chips.items():
        for path in sorted(
            [
                *folder.glob(f"{chip}/attention/*/*/*_attention_perf.parquet"),
                *folder.glob(f"{chip}/mla/*/*/*_mla_perf.parquet"),
            ]
        ):
            prefill, latent = path.name.startswith("context"), path.name.endswith("_mla_perf.parquet")
            raw = pl.read_parquet(path)
            family = path.parent.parent.name
            query = pl.col("mla_dtype" if latent else "attn_dtype")
            columns = {
                "window": pl.col("window_size") if "window_size" in raw.columns else pl.lit(0),
                "head_dim": pl.lit(LATENT_DIM) if latent else pl.col("head_dim"),
                "heads": pl.col("num_heads"),
                "kv_heads": pl.lit(1) if latent else pl.col("num_key_value_heads"),
                "batch": pl.col("batch_size"),
                "new_tokens": pl.col("isl") if prefill else pl.lit(1),
                "cached_tokens": pl.lit(0) if prefill else pl.col("step"),
            }
            frames.append(
                raw.select(
                    chip=pl.lit(name),
                    family=pl.lit(family),
                    phase=pl.lit("prefill" if prefill else "decode"),
                    query=query.replace_strict(_FORMATS),
                    cache=pl.col("kv_cache_dtype").replace_strict(_FORMATS),
                    **{column: value.cast(pl.Int32) for column, value in columns.items()},
                    time_s=pl.col("latency") * 1e-3,
                )
            )
    several = pl.when(pl.col("batch") > 1).then(1).otherwise(2)
    kind = pl.when(pl.col("phase") == "prefill").then(1).when(pl.col("kv_heads") == 1).then(0).otherwise(several)
    return pl.concat(frames).with_columns(
        group=pl.col("heads") // pl.col("kv_heads"),
        kind=kind.cast(pl.Int32),
        units=pl.col("batch") * pl.col("kv_heads"),
        length=pl.col("new_tokens") + pl.when(pl.col("phase") == "decode").then(pl.col("cached_tokens")).otherwise(0),
    )


def held_out(raw: pl.DataFrame) -> pl.DataFrame:
    """The head layouts (heads, KV heads, head_dim) that no fit sees, drawn by SEED; of all chips, formats, phases."""
    parts = []
    latent = pl.col("head_dim") == LATENT_DIM
    for rows in (raw.filter(~latent), raw.filter(latent)):
        layouts = rows.select(LAYOUT).unique().sort(LAYOUT)
        if layouts["head_dim"][0] == LATENT_DIM:
            layouts = layouts[1:-1]  # what lies outside the measured head counts is extrapolated anyway
        chosen = np.random.default_rng(SEED).permutation(len(layouts))[: round(HELD_OUT_FRAC * len(layouts))]
        parts.append(layouts[np.sort(chosen)])
    return pl.concat(parts)


@dataclass(frozen=True)
class Peaks:
    """What the fit needs of a chip: peak FLOP/s by query format, bytes/s, and bytes of on-chip memory (0: unknown)."""

    flop_per_s: dict[str, float]
    bytes_per_s: float
    on_chip_bytes: float

    @classmethod
    def of(cls, chip: Accelerator) -> Peaks:
        """From the chip's facts; without an fp8 rate, bf16's."""
        bf16 = chip.compute["bf16", "bf16"].number
        fp8 = chip.compute["fp8", "fp8"].number if ("fp8", "fp8") in chip.compute else bf16
        main, sram = chip.tier("main"), chip.tier("sram")
        assert main is not None and main.bandwidth is not None
        return cls({"bf16": bf16, "fp8": fp8}, main.bandwidth.number, sram.capacity.number if sram else 0.0)


def _phase(rows: pl.DataFrame) -> Phase:
    return "decode" if rows["phase"][0] == "decode" else "prefill"


def row_work(rows: pl.DataFrame) -> Work:
    """Work of every row of one window."""
    window = int(rows["window"][0]) or None
    batch, new, cached = (rows[c].to_numpy().astype(float) for c in ("batch", "new_tokens", "cached_tokens"))
    return work(batch, new, cached, window)


def replayed(rows: pl.DataFrame, w: Work, peaks: Peaks) -> NDArray[np.bool_]:
    """Rows whose cache may have stayed in on-chip memory between replays, and is large enough for that to matter."""
    _, token_bytes = sizes(_phase(rows), int(rows["head_dim"][0]), rows["cache"][0])
    read = w.kv_tokens * rows["kv_heads"].to_numpy() * token_bytes
    matters = read / peaks.bytes_per_s > 0.15 * rows["time_s"].to_numpy()
    return np.asarray(matters & (read < 2 * peaks.on_chip_bytes))


def device_bound(rows: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """Without vLLM's rows of MLA that the host's time may hide: it measured them from Python, step by step.

    Kept is what takes HOST_S or more, and at most four times what its arithmetic and its reading take at peak.
    """
    eager = (pl.col("head_dim") == LATENT_DIM) & (pl.col("family") == "vllm")
    parts = [rows.filter(~eager)]
    for key, part in rows.filter(eager).group_by(["chip", "phase", "cache"], maintain_order=True):
        peaks, w = Peaks.of(facts.accelerator(str(key[0]))), row_work(part)
        flop, token_bytes = sizes(_phase(part), LATENT_DIM, str(key[2]))
        least = flop * part["heads"].to_numpy() * w.pairs / peaks.flop_per_s["bf16"]
        least = least + w.kv_tokens * token_bytes / peaks.bytes_per_s
        t = part["time_s"].to_numpy()
        parts.append(part.filter((t >= HOST_S) & (t <= 4 * least)))
    return pl.concat(parts)


def operating(rows: pl.DataFrame) -> pl.DataFrame:
    """The range that serving works in: decode batch 1-512, context 128-64k; prompts from 16 tokens."""
    decode = (pl.col("phase") == "decode") & (pl.col("batch") <= 512) & pl.col("length").is_between(128, 65536)
    return rows.filter(decode | ((pl.col("phase") == "prefill") & (pl.col("length") >= 16)))


def fit_sides(rows: pl.DataFrame, peaks: Peaks) -> Array:
    """COEFFICIENTS of one series, per KV head: least log error, robust (soft L1 beyond 5 %), on the operating range.

    A decode row that may have been replayed from on-chip memory counts where the sides are below it, and a fifth where
    they are above: reading from memory is not faster. Coefficients keep to their physical starting values where the
    rows say nothing about them, and never fall below the chip's peak rates.
    """
    rows = operating(rows)
    if len(rows) > 600:
        rows = rows.gather_every(-(-len(rows) // 600))
    w, k = row_work(rows), rows["kv_heads"].to_numpy().astype(float)
    decode = rows["phase"][0] == "decode"
    dim, group = int(rows["head_dim"][0]), int(rows["group"][0])
    flop, token_bytes = sizes(_phase(rows), dim, rows["cache"][0])
    log_t = np.log(rows["time_s"].to_numpy()) - rows["shift"].to_numpy()
    flop_s, byte_s = flop / peaks.flop_per_s[rows["query"][0]], token_bytes / peaks.bytes_per_s
    floor = np.log([1e-7, flop_s * group, 1e-13, 1e-8, byte_s if decode else 1e-14, 1e-13, 0.01])
    ceiling = np.array([*[5.0] * 6, 0.0])
    fixed = min(0.8 * float(np.exp(log_t.min())), 12e-6)
    if decode:
        padded = 16.0 * -(-group // 16)
        start = [fixed, 2 * flop_s * padded, 3e-9, 2e-6, 1.2 * byte_s, 5e-9, 0.1]
    else:
        start = [fixed, 1.6 * flop_s * group, 100 * flop_s * group, 2e-6, 2 * byte_s, 1e-8, 0.1]
    x0 = np.maximum(np.log(start), floor + 0.05)
    light = replayed(rows, w, peaks) & decode

    def model(x: Array) -> Array:
        e = np.exp(x)
        compute = k * (e[1] * w.pairs + e[2] * w.query_tokens)
        memory = e[3] + k * (e[4] * w.kv_tokens + e[5] * w.sequences)
        return np.asarray(e[0] + np.maximum(compute, memory) + e[6] * np.minimum(compute, memory))

    def residuals(x: Array) -> Array:
        r = np.log(model(x)) - log_t
        r = np.where(light & (r > 0), 0.2 * r, r)
        return np.concatenate([r, 0.01 * (x - x0)])

    longest = int(np.argmax(log_t))
    bound = log_t[longest] - np.log(0.9 * k[longest] * w.pairs[longest])  # as if all of it were arithmetic
    best = None
    for shift in (np.zeros(7), np.log([1, 1, 1, 0.3, 1, 0.3, 1]), np.array([0, bound - x0[1], 0, 0, 0, 0, 0])):
        from_x = np.maximum(x0 + shift, floor + 0.01)
        found = least_squares(residuals, from_x, bounds=(floor, ceiling), loss="soft_l1", f_scale=0.05, max_nfev=60)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return np.asarray(np.exp(best.x))


def fit_series(rows: pl.DataFrame, facts: Facts) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Sides, residuals on them, and shifts by KV heads, of all series in `rows`."""
    side_rows, parts = [], []
    peaks = {chip: Peaks.of(facts.accelerator(chip)) for chip in rows["chip"].unique()}
    rows = _with_shift(rows).with_columns(several=(pl.col("kind") > 0).cast(pl.Int32))
    for key, part in sorted(rows.group_by([*SERIES, "several"], maintain_order=True), key=lambda x: x[0]):
        if operating(part).is_empty():
            continue
        coefficients = fit_sides(part, peaks[str(key[0])])
        side_rows.append([*key, *coefficients.tolist()])
        own = _scaled(coefficients, part["kv_heads"].to_numpy().astype(float), row_work(part))
        parts.append(part.with_columns(r=np.log(part["time_s"].to_numpy() / own)))
    sides_frame = pl.DataFrame(side_rows, schema=[*SERIES, "kind", *COEFFICIENTS], orient="row")
    cells = pl.concat(parts).group_by(CELL).agg(residual=_steps((pl.col("r") - pl.col("shift")).mean())).sort(CELL)
    shifts = (
        rows.filter(pl.col("phase") == "prefill").group_by(BY_HEADS).agg(_steps(pl.col("shift").first())).sort(BY_HEADS)
    )
    return _small(sides_frame.with_columns(pl.col(COEFFICIENTS).cast(pl.Float32))), _small(cells), _small(shifts)


def _with_shift(rows: pl.DataFrame) -> pl.DataFrame:
    """`shift`: what the number of KV heads adds to the log seconds of a prefill, beside its cell's mean; in turns."""
    bins = (pl.col("units").log(SHIFT_BIN) + 1e-9).round().cast(pl.Int32)
    rows = rows.with_columns(bin=bins, shift=pl.lit(0.0), t=pl.col("time_s").log())
    shared = (pl.col("phase") == "prefill") & (pl.len().over(CELL) > 1)  # one layout alone says nothing
    for _ in range(10):
        rows = rows.with_columns(of_cell=(pl.col("t") - pl.col("shift")).mean().over(CELL))
        rows = rows.with_columns(off=pl.when(shared).then(pl.col("t") - pl.col("of_cell")))
        rows = rows.with_columns(shift=pl.col("off").mean().over(BY_HEADS).fill_null(0.0))
    return rows


def _steps(log: pl.Expr) -> pl.Expr:
    return (log / RESIDUAL_STEP).round().clip(-32000, 32000).cast(pl.Int16)


def _scaled(coefficients: Array, k: Array, w: Work) -> Array:
    """Seconds by coefficients of one KV head for rows of `k` KV heads each."""
    return AttentionSides.overlapped(*coefficients.tolist()).seconds(
        Work(k * w.pairs, k * w.kv_tokens, k * w.query_tokens, k * w.sequences)
    )


def _small(frame: pl.DataFrame) -> pl.DataFrame:
    narrow = ("window", "head_dim", "group", "kind", "kv_heads", "units", "bin", "length")
    return frame.with_columns(pl.col([c for c in narrow if c in frame.columns]).cast(pl.Int32))


def fit_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """`attention` (residuals), `attention_sides`, and `attention_held_out`, a sample of the rows left out of both."""
    facts = load()
    raw = device_bound(read(folder), facts)
    out = held_out(raw)
    sides, residuals, shifts = fit_series(raw.join(out, on=LAYOUT, how="anti"), facts)
    left = raw.join(out, on=LAYOUT, how="semi").filter(pl.col("time_s") > 0)
    per_table = left.group_by("chip", "family", "phase", "query", "cache").len()["len"].count()
    sample = pl.concat(
        part.sample(min(len(part), 2900 // per_table), seed=SEED)
        for _, part in left.sort(pl.all()).group_by("chip", "family", "phase", "query", "cache", maintain_order=True)
    ).drop("kind", "units", "length", "group")
    return {
        "attention": residuals,
        "attention_sides": sides,
        "attention_kv_heads": shifts,
        "attention_held_out": sample.with_columns(seed=pl.lit(SEED, pl.Int32)),
    }


def scored(rows: pl.DataFrame, times: AttentionTimes) -> pl.DataFrame:
    """`rows` of one chip and family with `table_s`, `sides_s` and `covered`."""
    parts = []
    names = ["phase", "query", "cache", "window", *LAYOUT]
    for key, part in rows.group_by(names, maintain_order=True):
        phase: Phase = "decode" if key[0] == "decode" else "prefill"
        layout = HeadLayout(
            int(str(key[4])), int(str(key[5])), int(str(key[6])), int(str(key[3])) or None, str(key[1]), str(key[2])
        )
        at = [part[c].to_numpy() for c in ("batch", "new_tokens", "cached_tokens")]
        table = times.table(layout, phase)
        parts.append(
            part.with_columns(
                table_s=table.seconds(*at),
                sides_s=table.sides.seconds(row_work(part)),
                covered=times.covers(layout, phase, *at),
            )
        )
    return pl.concat(parts)


def score(rows: pl.DataFrame, sides: pl.DataFrame, residuals: pl.DataFrame, shifts: pl.DataFrame) -> pl.DataFrame:
    """All `rows` with what the tables answer."""
    parts = []
    for (chip, family), part in rows.group_by(["chip", "family"], maintain_order=True):
        own = (pl.col("chip") == chip) & (pl.col("family") == family)
        times = assemble(str(chip), str(family), *(t.filter(own) for t in (sides, residuals, shifts)))
        parts.append(scored(part, times))
    return pl.concat(parts)
