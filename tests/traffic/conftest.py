"""Small traffic files for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes text to a file of this name and gives its path."""

    def to(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return to


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A ServeGen pool of two clients: a bursty one and a Weibull one that rests in its second window."""
    folder = tmp_path / "pool"
    folder.mkdir()
    (folder / "chunk-3-trace.csv").write_text("0,2,2,Gamma,0.25,2\n600,4,2,Gamma,0.25,1\n", encoding="utf-8")
    (folder / "chunk-8-trace.csv").write_text("0,5,0.7,Weibull,1.45,0.22\n600,0,0,,0,0\n", encoding="utf-8")
    lengths = {
        "0": {"input_tokens": "{100: 0.5, 300: 0.5}", "output_tokens": "{7: 1.0}"},
        "600": {"input_tokens": "{50: 1.0}", "output_tokens": "{9: 0.25, 11: 0.75}"},
    }
    for client in (3, 8):
        (folder / f"chunk-{client}-dataset.json").write_text(json.dumps(lengths), encoding="utf-8")
    return folder


@pytest.fixture
def aiperf_line() -> Callable[..., str]:
    """A record of profile_export.jsonl, shaped as in ai-dynamo/aiperf's "Working with Profile Export Files"."""

    def line(
        start_s: float, end_s: float, *, session: str = "a", turn: int = 0, phase: str = "profiling",
        error: object = None, output: object = 9,
    ) -> str:  # fmt: skip
        base_ns = 1759813207532900363
        return json.dumps(
            {
                "metadata": {
                    "session_num": 45,
                    "x_correlation_id": session,
                    "conversation_id": "77aa5b0e",
                    "turn_index": turn,
                    "request_start_ns": base_ns + round(start_s * 1e9),
                    "request_end_ns": base_ns + round(end_s * 1e9),
                    "benchmark_phase": phase,
                },
                "metrics": {
                    "input_sequence_length": {"value": 550, "unit": "tokens"},
                    "output_sequence_length": {"value": output, "unit": "tokens"},
                },
                "error": error,
            }
        )

    return line
