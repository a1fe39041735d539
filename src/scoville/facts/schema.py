"""The shape of a fact file: what a subject, a source and a fact may hold, and one sentence for what is refused."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from scoville.errors import FactError, nearest
from scoville.facts.records import Distribution, Kind

_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")

Quantity = str | int | float


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @field_validator("as_of", check_fields=False)
    @classmethod
    def _date(cls, value: str) -> str:
        if not _DATE.fullmatch(value):
            raise ValueError(f"'{value}' is no date; expected YYYY, YYYY-MM or YYYY-MM-DD")
        return value


class SourceEntry(_Table):
    """A named source: `category = "source"`, the citation, and what facts citing it inherit."""

    category: Literal["source"]
    citation: str
    as_of: str | None = None
    kind: Kind | None = None
    note: str = ""


class SubjectEntry(_Table):
    """The plain keys of a subject's table; every sub-table beside them is a fact."""

    category: str = ""
    name: str = ""
    vendor: str = ""
    aliases: list[str] = []
    note: str = ""


class FactEntry(_Table):
    """One fact as written; `as_of` and `kind` may come from the source."""

    value: Quantity
    source: str
    low: Quantity | None = None
    high: Quantity | None = None
    as_of: str | None = None
    kind: Kind | None = None
    distribution: Distribution = "triangular"
    driver: str = ""
    note: str = ""
    vintage: str = ""
    owner: str = ""
    direction: Literal["both", "unknown"] | None = None
    includes: list[Literal["server", "network"]] = []

    @field_validator("vintage")
    @classmethod
    def _month(cls, value: str) -> str:
        if not _MONTH.fullmatch(value):
            raise ValueError(f"'{value}' is no month; expected YYYY-MM")
        return value

    @field_validator("source")
    @classmethod
    def _named(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is empty; expected who says so")
        return value


_LISTS = ("aliases", "includes")

T = TypeVar("T", bound=_Table)


def check(schema: type[T], table: dict[str, Any], where: str) -> T:
    """The table as a record. Raises FactError with one sentence: place, field, what is allowed."""
    try:
        return schema.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            reason = f"unknown field '{name}'; {nearest(name, schema.model_fields)}"
        elif first["type"] == "missing":
            reason = f"the field '{name}' is missing"
        elif first["type"] == "value_error":
            reason = f"{name} {first['ctx']['error']}"
        elif first["type"] == "literal_error":
            reason = f"{name} is '{first['input']}'; expected {first['ctx']['expected']}"
        else:
            expected = "a number with its unit in quotes, or text" if name in ("value", "low", "high") else "text"
            reason = f"{name} is {first['input']!r}; expected {'a list of texts' if name in _LISTS else expected}"
        raise FactError(f"{where}: {reason}") from None
