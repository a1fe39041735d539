"""TOML files that users write: read at the border, tables and quantities checked, one sentence for what is wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from scoville.errors import ScovilleError, UnitError
from scoville.units import example, parse


class Table(BaseModel):
    """A table of such a file; a name that is no field of it is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def quantity(measure: str) -> BeforeValidator:
    """Reads "3.35 TB/s", or a bare number, as a float in that measure; refuses anything else with an example."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"expected a quantity such as '{example(measure)}'")
        try:
            return parse(str(value), measure, "")
        except UnitError as error:
            raise ValueError(str(error).removeprefix(": ")) from None

    return BeforeValidator(read)


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
