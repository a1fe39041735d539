"""An answer as files: report.html, charts/*.png, result.json, replaced all at once or not at all."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from scoville.report import page, theme
from scoville.report.charts import charts
from scoville.report.folder import as_json, pictures, replaced
from scoville.report.script import Script
from scoville.study.answer import Answer

__all__ = ["RESULT", "as_json", "write"]

RESULT = "result.json"


def write(answer: Answer, folder: Path, script: Script | None = None) -> list[Path]:
    """Write the result into `folder` and return its files; an earlier result there is replaced when all is written.

    A `script` that was started before the study was computed saves its two seconds here; the caller closes it.
    Whatever goes wrong on the way, Ctrl-C included, leaves the old folder as it was and nothing beside it. Raises
    StudyError where `folder` is a file, holds something that is no result, or cannot be written.
    """
    with replaced(folder, RESULT) as new, ExitStack() as stack:
        names = _fill(answer, new, script or stack.enter_context(Script()))
    return [folder / name for name in names]


def _fill(answer: Answer, folder: Path, script: Script) -> list[str]:
    (folder / RESULT).write_text(as_json(answer), encoding="utf-8")
    specs = {name: theme.specification(chart) for name, chart in charts(answer).items()}
    names = [RESULT, *pictures(specs, folder)]
    (folder / "report.html").write_text(page.page(answer, specs, script.text()), encoding="utf-8", newline="\n")
    return ["report.html", *names]
