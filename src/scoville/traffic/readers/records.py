"""Single JSON records, one a line or nested, with sentences for what is wrong in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from scoville.errors import TrafficError
from scoville.traffic.readers.columns import opened
from scoville.traffic.trace import INT32_MAX


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """("file.jsonl:812", record) for each line; blank lines hold no record. Raises TrafficError at a wrong line."""
    with opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path.name}:{number}"
            try:
                record = json.loads(line)
            except ValueError as error:
                raise TrafficError(f"{where}: not a JSON record: {error}") from None
            if not isinstance(record, dict):
                raise TrafficError(f"{where}: is a JSON {type(record).__name__}; expected an object with named fields")
            yield where, record


def integer(record: Mapping[str, object], key: str, where: str, *, low: int = 1, high: int = INT32_MAX) -> int:
    """record[key] as an integer from low to high (a float that is whole will do). Raises TrafficError."""
    value = record.get(key)
    expected = f"an integer >= {low}" if high >= INT32_MAX else f"an integer from {low} to {high}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise TrafficError(f"{where}: {key} is {shown(record, key)}; expected {expected}")
    return value


def number(record: Mapping[str, object], key: str, where: str, *, limit: float) -> float:
    """record[key] as a float from -limit to limit. Raises TrafficError."""
    value = record.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not -limit <= value <= limit:
        raise TrafficError(f"{where}: {key} is {shown(record, key)}; expected a number from {-limit:g} to {limit:g}")
    return float(value)


def table(record: Mapping[str, object], key: str, where: str) -> Mapping[str, object]:
    """record[key] as an object with named fields. Raises TrafficError."""
    value = record.get(key)
    if not isinstance(value, dict):
        raise TrafficError(f"{where}: {key} is {shown(record, key)}; expected an object with named fields")
    return value


def array(record: Mapping[str, object], key: str, where: str) -> list[object]:
    """record[key] as a list. Raises TrafficError."""
    value = record.get(key)
    if not isinstance(value, list):
        raise TrafficError(f"{where}: {key} is {shown(record, key)}; expected a list")
    return value


def shown(record: Mapping[str, object], key: str) -> str:
    """The value as the file has it, cut to a readable length; "missing" if it isn't there."""
    if key not in record:
        return "missing"
    text = json.dumps(record[key])
    return text if len(text) <= 40 else text[:37] + "..."
