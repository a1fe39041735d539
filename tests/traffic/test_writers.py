"""What is written comes back, or the loss is told; a failed write leaves what was there."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.errors import TrafficError
from scoville.traffic import Trace, load, write, writers

TOKENS = st.integers(1, 2**31 - 1)


@st.composite
def traces(draw: st.DrawFn, *, whole_ms: bool = False, block_tokens: int = 16, all_columns: bool = True) -> Trace:
    """Traces whose first request comes at 0, with any of the optional columns."""
    n = draw(st.integers(1, 6))
    gaps = st.integers(0, 10**6).map(lambda ms: ms / 1000) if whole_ms else st.floats(0, 1e6)
    # From integers, so that whole milliseconds stay the nearest floats to them.
    arrival = np.cumsum([0.0, *(draw(gaps) for _ in range(n - 1))])
    arrival = np.rint(arrival * 1000) / 1000 if whole_ms else arrival
    inputs = np.array([draw(st.integers(1, 2000)) for _ in range(n)])
    columns: dict[str, object] = {}

    def optional() -> bool:
        return draw(st.booleans())

    if optional():
        lists = [draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=-(-int(i) // block_tokens))) for i in inputs]
        # A file of empty lists means no hashes to Mooncake, so at least one block is there.
        lists[0] = lists[0] or [7]
        columns |= {
            "block_hashes": np.array([b for blocks in lists for b in blocks], dtype=np.int64),
            "block_offsets": np.cumsum([0, *map(len, lists)]),
            "block_tokens": block_tokens,
        }
    if all_columns:
        for field in ("client_ids", "session_ids"):
            if optional():
                columns[field] = np.array([draw(st.integers(0, 2**31 - 1)) for _ in range(n)])
        if optional():
            columns["parent"] = np.array([draw(st.integers(-1, i - 1)) for i in range(n)])
            columns["think_s"] = np.array([draw(st.floats(0, 1e6)) for _ in range(n)])
        if optional():
            columns["priority"] = np.array([draw(st.integers(0, 127)) for _ in range(n)])
        if optional():
            columns["token_limit"] = np.zeros(n, dtype=np.int64)
    return Trace(
        name="t",
        source="somewhere",
        arrival_s=arrival,
        input_tokens=inputs,
        output_tokens=np.array([draw(TOKENS) for _ in range(n)]),
        notes=("one", "two"),
        **columns,  # type: ignore[arg-type]
    )


@given(traces())
def test_parquet_round_trip_is_equal(trace: Trace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        assert write(trace, path) == ()
        back = load(path)
    assert back.equals(trace)
    assert (back.source, back.notes) == (trace.source, trace.notes)


@given(traces(whole_ms=True, block_tokens=512, all_columns=False))
def test_mooncake_round_trip_is_equal_on_whole_milliseconds(trace: Trace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        assert write(trace, path) == ()
        assert load(path).equals(trace)


def small(**columns: object) -> Trace:
    return Trace("t", "s", np.array([0.0, 0.0005, 0.0015, 0.0026]), np.full(4, 20), np.full(4, 2), **columns)  # type: ignore[arg-type]


def test_mooncake_rounds_halves_to_even_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    notes = write(small(client_ids=np.arange(4)), path)
    assert [json.loads(line)["timestamp"] for line in path.read_text().splitlines()] == [0, 0, 2, 3]
    assert notes == ("Mooncake has no field for client_ids: left out", "arrivals rounded to whole milliseconds")


def test_mooncake_blocks_have_512_tokens(tmp_path: Path) -> None:
    blocks = small(block_hashes=np.arange(4), block_offsets=np.arange(5), block_tokens=16)
    with pytest.raises(TrafficError, match="blocks of 16 tokens cannot be written as Mooncake's, which have 512"):
        write(blocks, tmp_path / "t.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"old")

    def fail(trace: Trace, path: Path) -> tuple[str, ...]:
        path.write_bytes(b"half")
        raise stop

    monkeypatch.setattr(writers.WRITERS["parquet"], "write", fail)
    with pytest.raises((KeyboardInterrupt, TrafficError)):
        write(small(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_endings_formats_and_places(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match=r"t\.xlsx: no format known by this ending; expected one of \.parquet"):
        write(small(), tmp_path / "t.xlsx")
    with pytest.raises(TrafficError, match="cannot write 'excel'; known: mooncake, parquet"):
        write(small(), tmp_path / "t.csv", format="excel")
    with pytest.raises(TrafficError, match="cannot be written: No such file or directory"):
        write(small(), tmp_path / "none" / "t.parquet")
