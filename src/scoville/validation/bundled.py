"""Tables of measured runs that come with Scoville; `data/README.md` says where they are from.

`python -m scoville.validation.bundled TABLE.csv` makes `data/served.parquet` of a table in the columns of `rows`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from scoville.errors import MeasurementError

BUNDLED = {"served": "served.parquet"}
_COLUMNS = (
    "source", "hardware", "n_chips", "model", "precision", "engine", "parallelism", "input_tokens", "output_tokens",
    "batch_or_concurrency", "metric", "value", "note",
)  # fmt: skip
_NOTE = r"source_file=[^;]+"  # the conventions look for it


def bundled(name: str) -> Path | None:
    """The file of a bundled table; None for another name."""
    return Path(str(resources.files("scoville.validation") / "data" / BUNDLED[name])) if name in BUNDLED else None


def lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line (the first row is on 2) and words by column of a Parquet file. Raises MeasurementError."""
    import polars as pl

    try:
        rows = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise MeasurementError(f"{path}: cannot be read as Parquet ({error})") from None
    missing = [name for name in _COLUMNS if name not in rows.columns]
    if missing:
        raise MeasurementError(f"{path}:1: column {missing[0]} is missing; expected {', '.join(_COLUMNS)}")
    for line, row in enumerate(rows.iter_rows(named=True), start=2):
        yield line, {name: "" if word is None else str(word) for name, word in row.items()}


def reduced(table: Path, target: Path) -> None:
    """Write a CSV table as Parquet: the columns that are read, of a note only which file of its source it was in."""
    import polars as pl

    rows = pl.read_csv(table, infer_schema=False)
    numbers: dict[str, type[pl.DataType]] = {
        "n_chips": pl.Int32, "input_tokens": pl.Int32, "output_tokens": pl.Int32, "value": pl.Float64,
    }  # fmt: skip
    rows = rows.with_columns(pl.col("note").str.extract(_NOTE, 0)).select(_COLUMNS)
    rows.cast(numbers).write_parquet(target, compression="zstd", compression_level=22, statistics=False)  # type: ignore[arg-type]


if __name__ == "__main__":
    reduced(Path(sys.argv[1]), Path(__file__).parent / "data" / BUNDLED["served"])
