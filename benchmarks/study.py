"""The main job, as a user waits for it: a cold process from the question file to the report with all charts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

STUDIES = Path(__file__).parent.parent / "studies"


def rows() -> Iterable[tuple[str, str, str, bool]]:
    """One row per bundled study: wall time of the whole command, below 10 s."""
    for study in (path for path in sorted(STUDIES.glob("*.toml")) if "[accelerators]" in path.read_text("utf-8")):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", "from scoville.cli import main; main()"]
            start = time.perf_counter()
            subprocess.run(
                [*command, "study", str(study), "--out", str(Path(folder) / "out")],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            seconds = time.perf_counter() - start
        yield f"scoville study {study.stem}, cold, charts included", "< 10 s", f"{seconds:.1f} s", seconds < 10
