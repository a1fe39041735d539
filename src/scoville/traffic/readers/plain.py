"""Plain tables: CSV and Parquet files with one request a row and columns by name.

Required: arrival_s, input_tokens, output_tokens. Optional: client_ids and session_ids (numbers, or any text), parent
(row of the predecessor from 0, -1 if none) with think_s, priority, token_limit; in Parquet also block_hashes (list of
integers) with block_tokens (one value throughout). Other columns are named in the trace's notes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError, nearest
from scoville.traffic.readers.columns import (
    UNITS,
    Column,
    header_of,
    opened,
    parquet_frame,
    parquet_metadata,
    parquet_schema,
    place,
    read_csv,
    read_parquet,
)
from scoville.traffic.readers.reader import ReadOptions
from scoville.traffic.trace import Trace, build

# by role of --columns
_ROLES: dict[str, Column] = {
    "arrival": Column("arrival_s", "arrival_s", unit="s"),
    "input": Column("input_tokens", "input_tokens", low=1),
    "output": Column("output_tokens", "output_tokens", low=1),
    "client": Column("client_ids", "client_ids", unit="id"),
    "session": Column("session_ids", "session_ids", unit="id"),
    "parent": Column("parent", "parent", low=-1),
    "think": Column("think_s", "think_s", unit="s"),
    "priority": Column("priority", "priority", high=127),
    "limit": Column("token_limit", "token_limit"),
}
_REQUIRED = ("arrival", "input", "output")
_HEADER = re.compile(r"^(?P<header>.*?)(?:\[(?P<unit>\w+)\])?$")
_BLOCKS = ("block_hashes", "block_tokens")


class CsvReader:
    """A CSV file, plain or .gz."""

    name = "csv"
    title = "CSV with named columns"
    takes: tuple[str, ...] = ("columns",)

    def recognises(self, path: Path, head: bytes) -> bool:
        """By its ending, or by its column names."""
        names = head.split(b"\n", 1)[0].strip().split(b",")
        return path.name.lower().endswith((".csv", ".csv.gz")) or b"arrival_s" in names

    def read(self, path: Path, options: ReadOptions) -> Trace:
        """The trace, in order of arrival."""
        present = header_of(path)
        columns, notes = _choose(path, present, options.columns, _first_value(path))
        return _trace(path, read_csv(path, columns), notes + _unread(present, columns, ()))


class ParquetReader:
    """A Parquet file; what the Parquet writer wrote comes back equal."""

    name = "parquet"
    title = "Parquet with named columns"
    takes: tuple[str, ...] = ("columns",)

    def recognises(self, path: Path, head: bytes) -> bool:
        """By its first four bytes."""
        return head[:4] == b"PAR1"

    def read(self, path: Path, options: ReadOptions) -> Trace:
        """The trace, in order of arrival."""
        schema, about = parquet_schema(path), parquet_metadata(path)
        present = list(schema)

        def is_time(header: str) -> bool:
            return header in schema and (schema[header].is_temporal() or schema[header].to_python() is str)

        columns, notes = _choose(path, present, options.columns, lambda h: "iso" if is_time(h) else "0")
        arrays = read_parquet(path, columns)
        blocks = _blocks(path) if set(_BLOCKS) <= set(present) else {}
        notes += _unread(present, columns, tuple(blocks) and _BLOCKS)
        notes = tuple(n for n in about.get("scoville.notes", "").split("\n") if n) + notes
        trace = _trace(path, arrays, notes, **blocks)
        return replace(trace, source=about.get("scoville.source", trace.source))


def _choose(
    path: Path, present: list[str], given: Mapping[str, str], first_value: Callable[[str], str]
) -> tuple[list[Column], tuple[str, ...]]:
    """The columns to read: those named by the caller, and the rest where a default header is there."""
    for role in given:
        if role not in _ROLES:
            raise TrafficError(f"--columns: unknown role '{role}'; {nearest(role, _ROLES)}")
    chosen: list[Column] = []
    notes: tuple[str, ...] = ()
    for role, default in _ROLES.items():
        named = given.get(role)
        if named is None:
            if role in _REQUIRED or default.header in present:
                chosen.append(default)
            continue
        header, unit = _split(role, named, default, present)
        if role == "arrival" and not unit:
            unit = _unit_of(header, first_value(header)) if header in present else "s"
            if unit == "s" and not header.endswith("_s"):
                notes += (f"{path.name}: column {header} has no unit and was read as seconds",)
        chosen.append(replace(default, header=header, unit=unit or default.unit))
    headers = {c.header for c in chosen}
    if {"parent", "think_s"} & {c.field for c in chosen} and not {"parent", "think_s"} <= {c.field for c in chosen}:
        raise TrafficError(f"{path.name}:1: columns parent and think_s come together or not at all")
    if len(headers) < len(chosen):
        raise TrafficError("--columns: one column is named for two roles")
    return chosen, notes


def _split(role: str, named: str, default: Column, present: list[str]) -> tuple[str, str]:
    if named in present:  # a header may itself end in brackets
        return named, ""
    m = _HEADER.match(named)
    header, unit = (m["header"], m["unit"] or "") if m else (named, "")
    if unit and default.unit != "s":
        raise TrafficError(f"--columns: {role}={named} gives a unit, but {default.field} has none")
    if unit and unit not in UNITS:
        raise TrafficError(f"--columns: {role}={named} has unknown unit '{unit}'; {nearest(unit, UNITS)}")
    return header, unit


def _unit_of(header: str, first_value: str) -> str:
    """Text that is no number is a date; else the header's ending is the unit, and without one it is seconds."""
    try:
        float(first_value)
    except ValueError:
        return "iso"
    ending = header.rsplit("_", 1)[-1]
    return ending if "_" in header and ending in UNITS else "s"


def _first_value(path: Path) -> Callable[[str], str]:
    def look(header: str) -> str:
        with opened(path) as lines:
            rows = csv.DictReader(lines)
            return str((next(rows, None) or {}).get(header) or "0")

    return look


def _unread(present: list[str], columns: list[Column], others: tuple[str, ...]) -> tuple[str, ...]:
    left = [h for h in present if h not in {c.header for c in columns} and h not in others]
    return (f"columns that have no meaning here were not read: {', '.join(left)}",) if left else ()


def _blocks(path: Path) -> dict[str, object]:
    """block_hashes, block_offsets and block_tokens of a Parquet file."""
    import polars as pl

    frame = parquet_frame(path, _BLOCKS)
    hashes, size = frame["block_hashes"], frame["block_tokens"]
    if not (isinstance(hashes.dtype, pl.List) and hashes.dtype.inner.is_integer()):
        raise TrafficError(f"{path.name}: column block_hashes is stored as {hashes.dtype}; expected lists of integers")
    if not size.dtype.is_integer() or size.n_unique() > 1 or hashes.null_count() or size.null_count():
        raise TrafficError(f"{path.name}: block_tokens must be one integer throughout, and no block list missing")
    if frame.is_empty():
        return {}
    flat = hashes.explode(empty_as_null=False)
    if flat.null_count():
        raise TrafficError(f"{path.name}: block_hashes holds a missing id; expected integers")
    return {
        "block_hashes": flat.cast(pl.Int64).to_numpy(),
        "block_offsets": np.concatenate([[0], np.cumsum(hashes.list.len().to_numpy().astype(np.int64))]),
        "block_tokens": int(size[0]),
    }


def _trace(path: Path, arrays: dict[str, NDArray[np.generic]], notes: tuple[str, ...], **blocks: object) -> Trace:
    _check_rows(path, arrays)
    return build(name=path.name, source=str(path), notes=notes, **arrays, **blocks)  # type: ignore[arg-type]


def _check_rows(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Rules between columns, checked before rows are sorted, so that the sentence has their line."""
    if "token_limit" in arrays:
        limit, outputs = (arrays[field].astype(np.int64) for field in ("token_limit", "output_tokens"))
        wrong = (limit != 0) & (limit < outputs)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise TrafficError(
                f"{place(path, row)}: token_limit is {limit[row]};"
                f" expected 0 for none, or at least the {outputs[row]} output tokens"
            )
    if "parent" in arrays:
        parent = arrays["parent"].astype(np.int64)
        turn = np.empty(len(parent), dtype=np.int64)  # of each row in order of arrival
        turn[np.argsort(arrays["arrival_s"], kind="stable")] = np.arange(len(parent))
        known = (parent >= -1) & (parent < len(parent))
        wrong = ~known | ((parent >= 0) & (turn[np.where(known, parent, 0)] >= turn))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise TrafficError(
                f"{place(path, row)}: parent is {parent[row]}; expected the row (from 0) of an earlier request, or -1"
            )
