"""The page in a real browser, where one is installed: its charts are drawn, and nothing breaks its own policy."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import sample
from test_write import hostile

from scoville.report import charts, page, theme
from scoville.report.script import Script

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=8000",
    "--dump-dom",
)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
@pytest.mark.parametrize("attacked", [False, True], ids=["plain", "hostile"])
def test_the_page_draws_its_charts_without_network_error_or_foreign_script(tmp_path: Path, attacked: bool) -> None:
    assert CHROMIUM is not None
    answer = hostile(sample.answer()) if attacked else sample.answer()
    specs = {name: theme.specification(chart) for name, chart in charts.charts(answer).items()}
    with Script() as script:
        file = tmp_path / "report.html"
        file.write_text(page.page(answer, specs, script.text()), encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert len(re.findall(r'<svg[^>]*class="marks"', done.stdout)) == len(specs) == 5
    assert "<img src=x" not in done.stdout
