"""Readers of the formats that traffic comes in. Registered here, by name, in the order in which they are tried."""

from __future__ import annotations

from scoville.traffic.readers.azure import AzureReader
from scoville.traffic.readers.reader import Reader, ReadOptions

READERS: dict[str, Reader] = {r.name: r for r in (AzureReader(),)}

__all__ = ["READERS", "ReadOptions", "Reader"]
