"""What a reader is: anything that recognises a file by its name and first bytes, and makes a Trace of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scoville.traffic.trace import Trace


@dataclass(frozen=True)
class ReadOptions:
    """What a caller may say about a file.

    columns     headers of a plain file by role: {"arrival": "ts[ms]", "input": "prompt", "output": "answer"}
    seed        of the draws, for formats that hold distributions instead of requests
    duration_s  how much to draw from such a format, None for all that it describes
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    duration_s: float | None = None


class Reader(Protocol):
    """One format. `name` is what --format takes; `title` says it in words; `takes` are the ReadOptions it heeds."""

    name: str
    title: str
    takes: tuple[str, ...]

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the file looks like this format; `head` is its first 64 KiB, decompressed (b"" for a folder)."""
        ...

    def read(self, path: Path, options: ReadOptions) -> Trace:
        """The whole file as a Trace. Raises TrafficError naming file, line and field."""
        ...
