"""Readers of the formats that traffic comes in. Registered here, by name, in the order in which they are tried."""

from __future__ import annotations

from scoville.traffic.readers.aiperf import AiperfReader
from scoville.traffic.readers.azure import AzureReader
from scoville.traffic.readers.mooncake import MooncakeReader
from scoville.traffic.readers.plain import CsvReader, ParquetReader
from scoville.traffic.readers.reader import Reader, ReadOptions
from scoville.traffic.readers.servegen import ServeGenReader
from scoville.traffic.readers.vllm import VllmReader

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        AzureReader(),
        MooncakeReader(),
        ServeGenReader(),
        AiperfReader(),
        VllmReader(),
        ParquetReader(),
        CsvReader(),
    )
}

__all__ = ["READERS", "ReadOptions", "Reader"]
