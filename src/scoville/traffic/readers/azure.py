"""Azure LLM inference traces (Azure/AzurePublicDataset): TIMESTAMP,ContextTokens,GeneratedTokens, one request a line.

TIMESTAMP is UTC with up to nine decimals of a second ("2023-11-16 18:15:46.6805900", from 2024 on with "+00:00").
"""

from __future__ import annotations

from pathlib import Path

from scoville.traffic.readers.columns import Column, read_csv
from scoville.traffic.readers.reader import ReadOptions
from scoville.traffic.trace import Trace, build

_COLUMNS = (
    Column("arrival_s", "TIMESTAMP", unit="iso"),
    Column("input_tokens", "ContextTokens", low=1),
    Column("output_tokens", "GeneratedTokens", low=1),
)


class AzureReader:
    """Arrivals count from the first request."""

    name = "azure"
    title = "Azure LLM inference trace (CSV)"
    takes: tuple[str, ...] = ()

    def recognises(self, path: Path, head: bytes) -> bool:
        """By its three column names."""
        first = head.split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip().split(",")
        return {c.header for c in _COLUMNS} <= set(first)

    def read(self, path: Path, options: ReadOptions) -> Trace:
        """The trace, in order of arrival."""
        c = read_csv(path, _COLUMNS)
        return build(name=path.name, source=str(path), **c)  # type: ignore[arg-type]
