"""A folder of results, replaced all at once or not at all; and what goes into it: pictures and JSON."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scoville.errors import StudyError

_PNG_SCALE = 2


@contextmanager
def replaced(folder: Path, marker: str) -> Iterator[Path]:
    """A new folder that takes the place of `folder` when the block ends well.

    Whatever goes wrong on the way, Ctrl-C included, leaves the old folder as it was and nothing beside it. An earlier
    result is known by its file `marker`. Raises StudyError where `folder` is a file, holds something that is no such
    result, or cannot be written.
    """
    target = folder.resolve()
    check(folder, marker)
    try:
        with ExitStack() as stack:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            stack.callback(shutil.rmtree, beside, ignore_errors=True)
            new = beside / "new"
            new.mkdir()
            yield new
            check(folder, marker)
            swap(new, target, beside / "old")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StudyError(f"{folder}: the result cannot be written there: {reason}") from error


def check(folder: Path, marker: str) -> None:
    """Refuse a folder that a result may not replace. Raises StudyError."""
    target = folder.resolve()
    if not target.exists():
        return
    if not target.is_dir():
        raise StudyError(f"{folder}: is a file; a result needs a folder of its own")
    if not (target / marker).is_file() and any(target.iterdir()):
        raise StudyError(
            f"{folder}: holds files but no {marker}, so it is no earlier result and will not be replaced; "
            "name an empty or a new folder"
        )


def swap(new: Path, target: Path, old: Path) -> None:
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


def pictures(specs: Mapping[str, dict[str, Any]], folder: Path) -> list[str]:
    """Draw Vega-Lite specifications into `folder`/charts; returns the files' names under `folder`."""
    import vl_convert

    (folder / "charts").mkdir()
    names = []
    for name, spec in specs.items():
        names.append(f"charts/{name}.png")
        (folder / names[-1]).write_bytes(vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE, allowed_base_urls=[]))
    return names


def as_json(record: Any) -> str:
    """A record as JSON with the names of its fields, in their order; a number that is not known is null."""
    return json.dumps(finite(asdict(record)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """The value with null in the place of every number that is not known, as deep as it goes."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
