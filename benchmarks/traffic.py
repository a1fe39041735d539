"""Peak memory and time of loading and summarising a trace of ten million requests, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

REQUESTS = 10_000_000
TARGET_GB = 3.0
TARGET_S = 30.0

_SUMMARISE = """
import resource, sys, time
start = time.perf_counter()
from scoville.traffic import load, statistics
found = statistics(load(sys.argv[1]))
seconds = time.perf_counter() - start
# ru_maxrss is in KiB on Linux and in bytes on macOS.
unit = 1 if sys.platform == "darwin" else 1024
print(found.requests_count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, seconds)
"""

_GENERATE = """
import sys
from pathlib import Path
import polars as pl
from scoville.traffic import fit, load, synthesise, write
folder = Path(sys.argv[1])
write(synthesise(fit(load("azure-2023-conv")), int(sys.argv[2]), 1), folder / "trace.parquet")
pl.scan_parquet(folder / "trace.parquet").sink_csv(folder / "trace.csv")
"""


def rows() -> Iterator[tuple[str, str, str, bool]]:
    """One row of memory and one of time for CSV and for Parquet."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", _GENERATE, folder, str(REQUESTS)], check=True)
        for file in ("trace.csv", "trace.parquet"):
            command = [sys.executable, "-c", _SUMMARISE, str(Path(folder) / file)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            count, peak_bytes, seconds = (float(word) for word in done.stdout.split())
            what = f"10M requests from {Path(file).suffix[1:]}, loaded and summarised"
            gb = peak_bytes / 1e9
            passed = count == REQUESTS
            yield f"{what}, peak", f"< {TARGET_GB:g} GB", f"{gb:.2f} GB", passed and gb < TARGET_GB
            yield f"{what}, time", f"< {TARGET_S:g} s", f"{seconds:.1f} s", passed and seconds < TARGET_S
