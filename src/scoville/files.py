"""TOML files that users write, read at the border with one sentence for what is wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from scoville.errors import ScovilleError


def read_text(path: Path, error: type[ScovilleError], otherwise: str) -> str:
    """The file's text. Raises `error` where there is none or it is no text; `otherwise` says what there is to do."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(f"{path}: {otherwise}") from None
    except (OSError, UnicodeDecodeError) as reason:
        raise error(f"{path}: cannot be read as text: {reason}") from None


def parse_toml(text: str, label: object, error: type[ScovilleError]) -> dict[str, Any]:
    """The tables of a TOML text that `label` names. Raises `error` with the line, where the parser says it.

    >>> parse_toml("a = 1", "my.toml", ScovilleError)
    {'a': 1}
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as reason:
        place = re.search(r" \(at line (\d+), column \d+\)", str(reason))
        line, why = (f":{place[1]}", str(reason)[: place.start()]) if place else ("", str(reason))
        raise error(f"{label}{line}: is not valid TOML: {why}") from None
