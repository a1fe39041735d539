"""Writers: Parquet keeps every column, Mooncake JSON lines what that format has fields for.

A file appears whole or not at all: it is written beside its place under another name and then moved there, replacing
what was there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scoville.errors import TrafficError, nearest
from scoville.traffic.readers.mooncake import BLOCK_TOKENS
from scoville.traffic.trace import Trace

if TYPE_CHECKING:
    import polars as pl

_MOONCAKE_FIELDS = ("arrival_s", "input_tokens", "output_tokens", "block_hashes", "block_offsets")


class Writer(Protocol):
    """One format. `name` is what --to takes, `endings` are those of its files."""

    name: str
    endings: tuple[str, ...]

    def write(self, trace: Trace, path: Path) -> tuple[str, ...]:
        """Write the whole trace; returns what the format could not keep, one sentence each."""
        ...


class ParquetWriter:
    """All columns under their Trace names (block_hashes as lists, with block_tokens); source and notes as metadata."""

    name = "parquet"
    endings: tuple[str, ...] = (".parquet",)

    def write(self, trace: Trace, path: Path) -> tuple[str, ...]:
        """Reading it back gives an equal trace, if the first request comes at 0."""
        import polars as pl

        plain = [c for c in trace.columns() if not c.startswith("block_")]
        frame = pl.DataFrame({c: getattr(trace, c) for c in plain})
        if trace.block_hashes is not None:
            frame = frame.with_columns(_block_lists(trace), pl.lit(trace.block_tokens, pl.Int32).alias("block_tokens"))
        about = {"scoville.source": trace.source, "scoville.notes": "\n".join(trace.notes)}
        frame.write_parquet(path, metadata=about)
        return ()


class MooncakeWriter:
    """timestamp in ms, rounded to the nearest whole (halves to even), input_length, output_length, hash_ids."""

    name = "mooncake"
    endings: tuple[str, ...] = (".jsonl",)

    def write(self, trace: Trace, path: Path) -> tuple[str, ...]:
        """Without block hashes, hash_ids are empty lists. Raises TrafficError for blocks of another size than 512."""
        import polars as pl

        if trace.block_hashes is not None and trace.block_tokens != BLOCK_TOKENS:
            raise TrafficError(
                f"{trace.name}: blocks of {trace.block_tokens} tokens cannot be written as Mooncake's, which have"
                f" {BLOCK_TOKENS}; expected those, or write Parquet"
            )
        timestamps = np.rint(trace.arrival_s * 1000).astype(np.int64)
        frame = pl.DataFrame(
            {"timestamp": timestamps, "input_length": trace.input_tokens, "output_length": trace.output_tokens}
        )
        frame.with_columns(_block_lists(trace).alias("hash_ids")).write_ndjson(path)
        lost = [c for c in trace.columns() if c not in _MOONCAKE_FIELDS]
        notes: tuple[str, ...] = (f"Mooncake has no field for {', '.join(lost)}: left out",) if lost else ()
        if float(np.abs(timestamps / 1000 - trace.arrival_s).max()) > 1e-9:
            notes += ("arrivals rounded to whole milliseconds",)
        return notes


WRITERS: dict[str, Writer] = {writer.name: writer for writer in (ParquetWriter(), MooncakeWriter())}


def write(trace: Trace, path: Path, *, format: str | None = None) -> tuple[str, ...]:
    """Write `trace` to `path` as `format` (a name of WRITERS; None: by the path's ending), replacing what is there.

    Returns what could not be kept. Raises TrafficError for an unknown format or a place that cannot be written.
    """
    writer = _writer(path, format)
    with _replaced(path) as beside:
        return writer.write(trace, beside)


def _writer(path: Path, format: str | None) -> Writer:
    if format is not None:
        if format not in WRITERS:
            raise TrafficError(f"cannot write '{format}'; {nearest(format, WRITERS)}")
        return WRITERS[format]
    for writer in WRITERS.values():
        if path.name.lower().endswith(writer.endings):
            return writer
    endings = ", ".join(e for w in WRITERS.values() for e in w.endings)
    raise TrafficError(f"{path.name}: no format known by this ending; expected one of {endings}")


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """A new file beside `path` that takes its place when the block ends well, and goes away otherwise."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise TrafficError(f"{path}: cannot be written: {error.strerror}") from None
    beside = Path(name)
    try:
        yield beside
        # mkstemp makes files for the owner alone; an ordinary file has what the umask leaves.
        mask = os.umask(0)
        os.umask(mask)
        beside.chmod(0o666 & ~mask)
        beside.replace(path)
    except OSError as error:
        raise TrafficError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)


def _block_lists(trace: Trace) -> pl.Series:
    """block_hashes cut by request, as a series of lists; empty lists without hashes."""
    import polars as pl

    empty = pl.Series("block_hashes", [[]], dtype=pl.List(pl.Int64))
    rows = pl.DataFrame({"request": np.arange(len(trace))})
    if trace.block_hashes is None or trace.block_offsets is None:
        return empty.new_from_index(0, len(trace))
    flat = pl.DataFrame(
        {"request": np.repeat(np.arange(len(trace)), np.diff(trace.block_offsets)), "block_hashes": trace.block_hashes}
    )
    lists = flat.group_by("request", maintain_order=True).agg("block_hashes")
    joined = rows.join(lists, on="request", how="left", maintain_order="left")
    return joined.get_column("block_hashes").fill_null(pl.lit(empty))
