"""Fits tables of one's own: a folder as data/README.md describes, measured on one machine, to the files timing reads.

Nothing is left out for scores: a short set has no configuration to spare.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import polars as pl

from scoville.facts import Facts
from scoville.timing.measured import fit_attention, fit_gemm


def fit_own(folder: Path, facts: Facts) -> dict[str, pl.DataFrame]:
    """Frames by name, in the columns of the bundled ones: gemm, gemm_parameters, and the three of attention."""
    parameters, residuals = [], []
    for table in fit_gemm.tables(fit_gemm.operating(fit_gemm.read(folder)), facts):
        kernel = fit_gemm.fit_kernel([table])
        knots, frame = fit_gemm.residual_rows(table, kernel)
        names = dict(zip(fit_gemm.TABLE, table.name, strict=True))
        parameters.append({**names, **asdict(kernel), **asdict(table.chip), "m": knots})
        residuals.append(frame)
    found = {
        "gemm": pl.concat(residuals),
        "gemm_parameters": pl.DataFrame(parameters, schema_overrides={"m": pl.List(pl.Int32)}),
    }
    chips = {path.name: path.name.replace("_", "-") for path in sorted(folder.iterdir()) if path.is_dir()}
    if any(folder.glob("*/attention/*/*/*_attention_perf.parquet")):
        sides, cells, shifts = fit_attention.fit_series(fit_attention.read(folder, chips), facts)
        found |= {"attention_sides": sides, "attention": cells, "attention_kv_heads": shifts}
    return found
