"""An answer as files: report.html, charts/*.png, result.json, replaced all at once or not at all."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scoville.errors import StudyError
from scoville.report import page, theme
from scoville.report.charts import charts
from scoville.report.script import Script
from scoville.study.answer import Answer

RESULT = "result.json"
_PNG_SCALE = 2


def write(answer: Answer, folder: Path, script: Script | None = None) -> list[Path]:
    """Write the result into `folder` and return its files; an earlier result there is replaced when all is written.

    A `script` that was started before the study was computed saves its two seconds here; the caller closes it.
    Whatever goes wrong on the way, Ctrl-C included, leaves the old folder as it was and nothing beside it. Raises
    StudyError where `folder` is a file, holds something that is no result, or cannot be written.
    """
    target = folder.resolve()
    _check(target, folder)
    try:
        with ExitStack() as stack:
            script = script or stack.enter_context(Script())
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            stack.callback(shutil.rmtree, beside, ignore_errors=True)
            new = beside / "new"
            new.mkdir()
            names = _fill(answer, new, script)
            _check(target, folder)
            _swap(new, target, beside / "old")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StudyError(f"{folder}: the result cannot be written there: {reason}") from error
    return [folder / name for name in names]


def as_json(answer: Answer) -> str:
    """The answer as JSON with the field names of the records, in their order; a number that is not known is null."""
    return json.dumps(_finite(asdict(answer)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _check(target: Path, folder: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise StudyError(f"{folder}: is a file; a result needs a folder of its own")
    if not (target / RESULT).is_file() and any(target.iterdir()):
        raise StudyError(
            f"{folder}: holds files but no {RESULT}, so it is no earlier result and will not be replaced; "
            "name an empty or a new folder"
        )


def _fill(answer: Answer, folder: Path, script: Script) -> list[str]:
    (folder / RESULT).write_text(as_json(answer), encoding="utf-8")
    specs = {name: theme.specification(chart) for name, chart in charts(answer).items()}
    names = [RESULT, *_pictures(specs, folder)]
    (folder / "report.html").write_text(page.page(answer, specs, script.text()), encoding="utf-8", newline="\n")
    return ["report.html", *names]


def _pictures(specs: Mapping[str, dict[str, Any]], folder: Path) -> list[str]:
    import vl_convert

    (folder / "charts").mkdir()
    names = []
    for name, spec in specs.items():
        names.append(f"charts/{name}.png")
        (folder / names[-1]).write_bytes(vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE, allowed_base_urls=[]))
    return names


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put `new` in the place of `target`, whose former content goes to `old`; undone where the second step fails."""
    if not target.exists():
        new.rename(target)
        return
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
