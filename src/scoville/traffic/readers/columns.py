"""Named columns of a CSV or Parquet file, read in bulk; on any trouble the first wrong line is found and named.

The fast path reads typed columns with polars and checks them as arrays. Only if that fails is the file walked line by
line, with the same rules, to name file, line and field.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError, nearest
from scoville.traffic.trace import INT32_MAX, LATEST_S

if TYPE_CHECKING:
    import polars as pl

_SECONDS_IN = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}
# What reading a damaged file raises, whether it is plain, gzip or CSV.
UNREADABLE = (OSError, EOFError, zlib.error, csv.Error)
_TEXT = ("iso", "id")
UNITS = (*_SECONDS_IN, "iso")


@dataclass(frozen=True)
class Column:
    """One column to read: its header, the Trace field it becomes, and what it may hold.

    unit is that of a time (one of UNITS; "iso" is a date and time in text, ISO 8601, UTC), "" for integers, "id" for
    names of any kind: integers >= 0 stay as they are, other text is numbered in order of appearance.
    """

    field: str
    header: str
    unit: str = ""
    low: int = 0
    high: int = INT32_MAX

    @property
    def earliest(self) -> float:
        """The least time that the column may hold, in its unit; arrivals may count from anywhere."""
        return -self.latest if self.field == "arrival_s" else 0.0

    @property
    def latest(self) -> float:
        """The greatest time that the column may hold, in its unit."""
        return LATEST_S / _SECONDS_IN[self.unit]

    @property
    def expected(self) -> str:
        """What is allowed, for error sentences."""
        if self.unit == "id":
            return "a name or number"
        if self.unit == "iso":
            return "a date and time such as 2023-11-16 18:15:46.6805900"
        if self.unit:
            return f"a number of {self.unit} from {self.earliest:g} to {self.latest:g}"
        return f"an integer >= {self.low}" if self.high >= INT32_MAX else f"an integer from {self.low} to {self.high}"


def read_csv(path: Path, columns: Sequence[Column]) -> dict[str, NDArray[np.generic]]:
    """Arrays of shape (rows,) by Trace field; times in seconds, dates counted from the earliest.

    Raises TrafficError naming file, line and field of the first wrong value, or the columns that are missing.
    """
    import polars as pl

    require(path, header_of(path), columns)
    types = {c.header: pl.String if c.unit in _TEXT else pl.Float64 if c.unit else pl.Int64 for c in columns}
    try:
        frame = pl.read_csv(path, columns=[c.header for c in columns], schema_overrides=types)
        try:
            return {c.field: _values(frame.get_column(c.header), c) for c in columns}
        except _WrongValueError:
            _name_wrong_line(path, columns)
            # No line is wrong, so the empty rows that polars makes of blank lines were to blame.
            frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
            return {c.field: _values(frame.get_column(c.header), c) for c in columns}
    except _WrongValueError as wrong:  # only polars minds, e.g. a date without seconds
        raise TrafficError(f"{place(path, wrong.row)}: {wrong}") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        _name_wrong_line(path, columns)
        raise TrafficError(f"{path.name}: cannot be read as CSV: {str(error).splitlines()[0]}") from None


def read_parquet(path: Path, columns: Sequence[Column]) -> dict[str, NDArray[np.generic]]:
    """As read_csv, from a Parquet file; rows are named by their number from 1. Integers must be stored as integers."""
    schema = parquet_schema(path)
    require(path, list(schema), columns)
    for c in columns:
        stored = schema[c.header]
        fits = {
            "iso": stored.is_temporal() or stored.to_python() is str,
            "id": stored.is_integer() or stored.to_python() is str,
            "": stored.is_integer(),
        }
        if not fits.get(c.unit, stored.is_numeric()):
            raise TrafficError(f"{path.name}: column {c.header} is stored as {stored}; expected {c.expected}")
    out: dict[str, NDArray[np.generic]] = {}
    for c in columns:  # one at a time, so that no more than one column is held twice
        try:
            out[c.field] = _values(parquet_frame(path, (c.header,)).get_column(c.header), c)
        except _WrongValueError as wrong:
            raise TrafficError(f"{place(path, wrong.row)}: {wrong}") from None
    return out


def parquet_schema(path: Path) -> dict[str, pl.DataType]:
    """Stored types by column. Raises TrafficError if the file is no Parquet."""
    import polars as pl

    with _parquet_errors(path):
        return dict(pl.read_parquet_schema(path))


def parquet_metadata(path: Path) -> dict[str, str]:
    """The file's own key-value texts. Raises TrafficError if the file is no Parquet."""
    import polars as pl

    with _parquet_errors(path):
        return pl.read_parquet_metadata(path)


def parquet_frame(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of the file. Raises TrafficError if it is damaged."""
    import polars as pl

    with _parquet_errors(path):
        return pl.read_parquet(path, columns=list(columns))


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise TrafficError(f"{path.name}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def place(path: Path, row: int) -> str:
    """Where a row (from 0) of a CSV or Parquet file is: "t.csv:812", or "t.parquet: row 811"."""
    if path.suffix == ".parquet":
        return f"{path.name}: row {row + 1}"
    with opened(path) as lines:
        rows = csv.reader(lines)
        next(rows)
        for _ in range(row + 1):
            while not next(rows):  # a blank line is no row
                pass
        return f"{path.name}:{rows.line_num}"


def header_of(path: Path) -> list[str]:
    """Column names of a CSV file, from its first line. Raises TrafficError if the file is empty."""
    with opened(path) as lines:
        first = next(csv.reader(lines), None)
    if not first:
        raise TrafficError(f"{path.name}:1: the file is empty; expected a line of column names")
    if any("\n" in name for name in first):
        raise TrafficError(f"{path.name}:1: a quote is opened and not closed; expected a line of column names")
    return first


def require(path: Path, present: Sequence[str], columns: Sequence[Column]) -> None:
    """Raises TrafficError if a wanted column is absent from `present`, or is there twice."""
    for c in columns:
        if present.count(c.header) > 1:
            raise TrafficError(f"{path.name}:1: column {c.header} is there {present.count(c.header)} times")
        if c.header not in present:
            raise TrafficError(
                f"{path.name}:1: no column {c.header} for {c.field}; {nearest(c.header, present)}"
                " (name it with --columns, e.g. arrival=ts[ms],input=prompt,output=answer)"
            )


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The file as text, decompressed if it ends in .gz. Raises TrafficError if it cannot be read or is not UTF-8."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as unpacked:
                yield unpacked
        else:
            with path.open(encoding="utf-8-sig", newline="") as plain:
                yield plain
    except UNREADABLE as error:
        raise TrafficError(f"{path.name}: cannot be read: {str(error).splitlines()[0]}") from None
    except UnicodeDecodeError:
        raise TrafficError(f"{path.name}: is not UTF-8 text") from None


class _WrongValueError(Exception):
    """The first wrong row (from 0) of a column, and what it holds."""

    def __init__(self, row: int, column: Column, value: object) -> None:
        super().__init__(f"{column.header} is {value}; expected {column.expected}")
        self.row = row


def _values(series: pl.Series, column: Column) -> NDArray[np.generic]:
    """The series as float64 seconds or integers, or _WrongValueError with the first wrong row."""
    if column.unit == "iso":
        return _since_first(series, column)
    _refuse_nulls(series, series, column)
    if column.unit == "id":
        return _numbered(series)
    if column.unit:
        times: NDArray[np.float64] = series.to_numpy().astype(np.float64, copy=False)
        _refuse(~((times >= column.earliest) & (times <= column.latest)), times, column)
        return in_seconds(times, column.unit)
    counts: NDArray[np.integer] = series.to_numpy()
    _refuse((counts < column.low) | (counts > column.high), counts, column)
    return counts


def _since_first(series: pl.Series, column: Column) -> NDArray[np.float64]:
    """Seconds from the earliest date and time in the series."""
    import polars as pl

    if series.dtype == pl.String:
        text = series.str.strip_suffix("Z").str.strip_suffix("+00:00").str.replace("T", " ", literal=True)
        times = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ns", strict=False)
    else:
        times = series.cast(pl.Datetime("ns"))
    _refuse_nulls(times, series, column)
    ticks: NDArray[np.int64] = times.to_physical().to_numpy()
    since: NDArray[np.int64] = ticks - ticks.min(initial=2**63 - 1)
    return since.astype(np.float64) / 1e9


def _numbered(series: pl.Series) -> NDArray[np.integer]:
    """Integers as they are; other text by order of first appearance."""
    import polars as pl

    numbers = series.cast(pl.Int64, strict=False)
    if not numbers.null_count() and (numbers.is_empty() or ((numbers >= 0).all() and (numbers <= INT32_MAX).all())):
        return np.asarray(numbers.to_numpy())
    names = series.cast(pl.String)
    known = names.unique(maintain_order=True)
    return np.asarray(names.replace_strict(known, np.arange(len(known))).to_numpy())


def _refuse(wrong: NDArray[np.bool_], given: NDArray[np.generic], column: Column) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise _WrongValueError(row, column, given[row])


def in_seconds(a: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
    """Times in `unit` (one of UNITS but "iso") as seconds. Powers of ten divide, so that 1500 ms are exactly 1.5 s."""
    factor = _SECONDS_IN[unit]
    return a if factor == 1.0 else a / round(1 / factor) if factor < 1 else a * factor


def _refuse_nulls(parsed: pl.Series, given: pl.Series, column: Column) -> None:
    if parsed.null_count():
        row = int(np.argmax(parsed.is_null().to_numpy()))
        value = given[row]
        raise _WrongValueError(row, column, "missing" if value is None else value)


def _name_wrong_line(path: Path, columns: Sequence[Column]) -> None:
    """Raises TrafficError for the first line that breaks a rule; returns if there is none."""
    with opened(path) as lines:
        rows = csv.reader(lines)
        header = next(rows)
        at = {c: header.index(c.header) for c in columns}
        for row in rows:
            if not row:  # a blank line is no row
                continue
            where = f"{path.name}:{rows.line_num}"
            if len(row) != len(header):
                raise TrafficError(f"{where}: {len(row)} fields; expected {len(header)} as in the first line")
            for c in columns:
                value = row[at[c]]
                if not _allowed(value, c):
                    shown = value.strip().splitlines()[0][:40] if value.strip() else "missing"
                    raise TrafficError(f"{where}: {c.header} is {shown}; expected {c.expected}")


def _allowed(value: str, column: Column) -> bool:
    try:
        if column.unit == "id":
            return value != ""
        if "_" in value:  # Python reads 1_000, no other program does
            return False
        if column.unit == "iso":
            return datetime.fromisoformat(value.removesuffix("Z").removesuffix("+00:00")).tzinfo is None
        if column.unit:
            return column.earliest <= float(value) <= column.latest
        return column.low <= int(value) <= column.high
    except ValueError:
        return False
