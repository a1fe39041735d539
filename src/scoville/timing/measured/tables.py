"""The tables of this folder's data/, and those of one's own beside them: the folder that SCOVILLE_OPERATORS names.

`scoville calibrate --device cuda` writes such a folder. Its rows take the place of the bundled ones of the same chip,
engine family and, for matrix products, format.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scoville.errors import DeploymentError

if TYPE_CHECKING:
    import polars as pl

OPERATORS = "SCOVILLE_OPERATORS"
Array = NDArray[np.float64]
_KEY = ("chip", "family", "format")


def frame(name: str) -> pl.DataFrame:
    """A table by its file's name, such as 'gemm'. Raises DeploymentError for a folder that has none or another's."""
    import polars as pl

    bundled = pl.read_parquet((files("scoville.timing.measured") / "data" / f"{name}.parquet").read_bytes())
    folder = os.environ.get(OPERATORS, "")
    if not folder:
        return bundled
    if not (Path(folder) / "gemm.parquet").is_file():
        raise DeploymentError(
            f"{OPERATORS}: {folder} holds no gemm.parquet; expected a folder that `scoville calibrate --device` wrote"
        )
    path = Path(folder) / f"{name}.parquet"
    if not path.is_file():
        return bundled
    try:
        own = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        raise DeploymentError(f"{OPERATORS}: {path} cannot be read as Parquet; measure anew") from None
    if own.schema != bundled.schema:
        raise DeploymentError(f"{OPERATORS}: {path} has other columns than this version reads; measure anew")
    return pl.concat([bundled.join(own, on=[c for c in _KEY if c in own.columns], how="anti"), own])


def place(knots: Array, x: Array) -> tuple[NDArray[np.intp], Array]:
    """Index of the knot below, and how far towards the next in log units; held at the ends."""
    i = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    logs = np.log(knots)
    return i, np.asarray((np.log(np.clip(x, knots[0], knots[-1])) - logs[i]) / (logs[i + 1] - logs[i]))
