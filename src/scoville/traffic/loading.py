"""From a bundled name or a path to a Trace; the format is seen from the content unless it is named."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Mapping
from pathlib import Path

from scoville.errors import TrafficError, nearest
from scoville.traffic.bundled import BUNDLED
from scoville.traffic.readers import READERS, Reader, ReadOptions
from scoville.traffic.readers.columns import UNREADABLE
from scoville.traffic.trace import Trace

_HEAD_BYTES = 65536


def load(
    name_or_path: str | Path,
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
    duration_s: float | None = None,
) -> Trace:
    """The trace of a bundled name (see BUNDLED) or of a file or folder.

    `format` is a name of READERS, None to recognise it. `columns` names the headers of a plain CSV or Parquet file by
    role, e.g. {"arrival": "ts[ms]", "input": "prompt", "output": "answer"}. `seed` and `duration_s` steer formats that
    hold distributions (ServeGen). Raises TrafficError: no such name or file, unknown format, or a wrong line, with
    file, line and field.
    """
    if format is not None and format not in READERS:
        raise TrafficError(f"unknown traffic format '{format}'; {nearest(format, READERS)}")
    options = ReadOptions(columns or {}, seed, duration_s)
    text = str(name_or_path)
    path = Path(name_or_path)
    bundled = BUNDLED.get(text.lower())
    if bundled is not None and not path.exists():
        if format not in (None, bundled.format):
            raise TrafficError(f"{text} is in the format {bundled.format}; it cannot be read as {format}")
        trace = _read(READERS[bundled.format], bundled.path, options)
        return dataclasses.replace(trace, name=text.lower(), source=bundled.source)
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise TrafficError(f"{path}: no such file; bundled traces are {', '.join(sorted(BUNDLED))}")
        raise TrafficError(f"'{text}' is neither a file nor a bundled trace; {nearest(text, BUNDLED)}")
    reader = READERS[format] if format is not None else recognise(path, plain=columns is not None)
    return _read(reader, path, options)


def _read(reader: Reader, path: Path, options: ReadOptions) -> Trace:
    """Refuses what the reader would not heed; a seed is always welcome."""
    if options.columns and "columns" not in reader.takes:
        raise TrafficError(
            f"{path.name}: the format {reader.name} has its own column names; --columns is for plain tables"
        )
    if options.duration_s is not None and "duration_s" not in reader.takes:
        raise TrafficError(
            f"{path.name}: a duration is for formats to draw from, such as servegen; {reader.name} is not one"
        )
    return reader.read(path, options)


def recognise(path: Path, *, plain: bool = False) -> Reader:
    """The reader whose format the file is in; `plain` leaves only those that take column names.

    Raises TrafficError if none recognises it.
    """
    head = _head(path)
    if path.is_file() and not head:
        raise TrafficError(f"{path.name}: the file is empty; expected at least one request")
    for reader in READERS.values():
        if (not plain or "columns" in reader.takes) and reader.recognises(path, head):
            return reader
    raise TrafficError(f"{path.name}: not a traffic format that is known; name it with --format: {', '.join(READERS)}")


def _head(path: Path) -> bytes:
    if path.is_dir():
        return b""
    try:
        with path.open("rb") as f:
            head = f.read(_HEAD_BYTES)
        if head[:2] != b"\x1f\x8b":
            return head
        with gzip.open(path) as f:
            return f.read(_HEAD_BYTES)
    except UNREADABLE as error:
        raise TrafficError(f"{path}: cannot be read: {error}") from None
