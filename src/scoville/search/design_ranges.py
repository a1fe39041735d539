"""The designs of a space file: [design] is a design file whose numbers may be lists or ranges, its tables several."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from scoville.errors import DesignError, nearest
from scoville.search.space import Axis, Part, design_text
from scoville.silicon.design import DesignFile, parse_design

_MOST_VALUES = 10_000
_RANGE = {"from", "to", "step", "factor"}
_WORDS = {"compute.process", "compute.rates", "memory.kind", "io.process", "package.kind"}
# Numbers of a design file: the field of `Design`, and its measure.
_FIELDS = {
    "compute.dies": ("compute_dies_count", "count"),
    "compute.clock": ("clock_count_per_s", "count_per_s"),
    "compute.slices": ("slices_count", "count"),
    "compute.spare_slices": ("spare_slices_count", "count"),
    "compute.arrays_per_slice": ("arrays_per_slice_count", "count"),
    "compute.spare_arrays_per_slice": ("spare_arrays_per_slice_count", "count"),
    "compute.array_rows": ("rows_count", "count"),
    "compute.array_columns": ("columns_count", "count"),
    "compute.vector_lanes_per_slice": ("vector_lanes_per_slice_count", "count"),
    "compute.sram_per_slice": ("sram_per_slice_bytes", "bytes"),
    "compute.sram_bandwidth_per_slice": ("sram_bandwidth_per_slice_bytes_per_s", "bytes_per_s"),
    "compute.fabric_bandwidth_per_slice": ("fabric_bandwidth_per_slice_bytes_per_s", "bytes_per_s"),
    "compute.sram_shared": ("sram_shared_bytes", "bytes"),
    "memory.stacks": ("stacks_count", "count"),
    "memory.capacity_per_stack": ("stack_bytes", "bytes"),
    "memory.bandwidth_per_stack": ("stack_bytes_per_s", "bytes_per_s"),
    "io.dies": ("io_dies_count", "count"),
    "io.scale_up": ("scale_up_bytes_per_s", "bytes_per_s"),
    "io.scale_up_domain": ("scale_up_domain_count", "count"),
    "io.scale_out": ("scale_out_bytes_per_s", "bytes_per_s"),
    "io.host": ("host_bytes_per_s", "bytes_per_s"),
    "package.power_cap": ("power_cap_w", "w"),
}


class Reader:
    """One file being read: its place in errors, and what it says."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def place(self, table: str, field: str) -> str:
        """'my.toml:12: [design.compute] slices', as error sentences begin."""
        return f"{self.path}{line_of(self.text, table, field)}: [{table}] {field}"

    def refused(self, table: str, field: str, why: str) -> DesignError:
        return DesignError(f"{self.place(table, field)}: {why}")


def parts(reader: Reader, title: str, tables: Mapping[str, Any]) -> Iterable[Part]:
    """All combinations of words and of alternative tables, each with its axes."""
    known = {name: f for name, f in DesignFile.model_fields.items() if name != "name"}
    for name, table in tables.items():
        if name not in known:
            raise reader.refused("design", name, f"is not a table of a design; {nearest(name, known)}")
        if not isinstance(table, dict | list) or not table or any(not isinstance(t, dict) for t in _several(table)):
            raise reader.refused("design", name, f"expected a table [design.{name}] or several [[design.{name}]]")
    for name in known:
        if name not in tables:
            raise reader.refused("design", name, f"is missing; expected a table [design.{name}]")
    for chosen in product(*(_several(tables[name]) for name in known)):
        words: dict[str, list[Any]] = {}
        axes: list[Axis] = []
        for name, table in zip(known, chosen, strict=True):
            fields: Mapping[str, FieldInfo] = known[name].annotation.model_fields  # type: ignore[union-attr]
            for field, value in table.items():
                if field not in fields:
                    raise reader.refused(f"design.{name}", field, f"is not a field; {nearest(field, fields)}")
                key = f"{name}.{field}"
                if key in _WORDS:
                    words[key] = value if isinstance(value, list) else [value]
                else:
                    axes.append(_axis(reader, name, field, value, fields[field]))
            for field, info in fields.items():
                if info.is_required() and field not in table:
                    raise reader.refused(f"design.{name}", field, "is missing; a design needs it")
        axes = _with_ties(reader, axes)
        for choice in product(*words.values()):
            fixed = dict(zip(words, choice, strict=True))
            settings = {**fixed, **{a.key: a.values[0] for a in axes}}
            base = parse_design(design_text(title, settings, tuple(axes)), f"{reader.path}: [design]", "base")
            yield Part(fixed, _io(base.io_process, axes), base)


def _several(table: Any) -> list[Any]:
    return table if isinstance(table, list) else [table]


def _io(io_process: str, axes: list[Axis]) -> tuple[Axis, ...]:
    """Without an I/O die there is no number of them."""
    return tuple(a for a in axes if io_process or a.key != "io.dies")


def _axis(reader: Reader, table: str, field: str, value: Any, info: FieldInfo) -> Axis:
    key = f"{table}.{field}"
    name, measure = _FIELDS[key]
    if isinstance(value, str) and value.startswith("as "):
        return Axis(key, name, measure, (), f"{table}.{value.removeprefix('as ').strip()}")
    return Axis(key, name, measure, numbers(reader, f"design.{table}", field, value, _reading(info), measure))


def _with_ties(reader: Reader, axes: list[Axis]) -> list[Axis]:
    """Tied axes with the values of those that they follow."""
    by_key = {a.key: a for a in axes}
    for a in axes:
        other = by_key.get(a.tied)
        if a.tied and (other is None or other.tied or other.measure != a.measure):
            table, _, field = a.key.partition(".")
            raise reader.refused(
                f"design.{table}", field, f"'as {a.tied.partition('.')[2]}' names no other number of [design.{table}]"
            )
    for spare, whole in (("spare_slices", "slices"), ("spare_arrays_per_slice", "arrays_per_slice")):
        most, least = by_key.get(f"compute.{spare}"), by_key.get(f"compute.{whole}")
        if most and least and most.values and least.values and max(most.values) >= min(least.values):
            raise reader.refused(
                "design.compute", spare, f"{max(most.values):g} of {min(least.values):g} {whole}; expected fewer"
            )
    return [Axis(a.key, a.field, a.measure, by_key[a.tied].values, a.tied) if a.tied else a for a in axes]


def _reading(info: FieldInfo) -> TypeAdapter[Any]:
    """How a design file's own reader takes a field."""
    annotation: Any = info.annotation
    return TypeAdapter(Annotated[annotation, *info.metadata] if info.metadata else annotation)


BATCH: TypeAdapter[Any] = TypeAdapter(Annotated[int, Field(ge=1)])


def numbers(
    reader: Reader, table: str, field: str, value: Any, reading: TypeAdapter[Any], measure: str
) -> tuple[float, ...]:
    """The values of an axis, ascending: one, a list, or {from, to, step | factor}."""

    def one(given: Any) -> float:
        try:
            return float(reading.validate_python(given))
        except ValidationError as error:
            first = error.errors()[0]
            message = str(first.get("ctx", {}).get("error") or first["msg"].replace("Input should be", "expected"))
            raise reader.refused(table, field, f"{given!r}: {message[0].lower() + message[1:]}") from None

    if isinstance(value, dict):
        found = _range(reader, table, field, value, one)
        found = [float(round(x)) for x in found] if measure == "count" else found
    else:
        found = [one(x) for x in (value if isinstance(value, list) else [value])]
    if not found:
        raise reader.refused(table, field, "the list is empty; expected at least one value")
    return tuple(sorted(set(found)))


def _range(reader: Reader, table: str, field: str, value: dict[str, Any], one: Callable[[Any], float]) -> list[float]:
    if not {"from", "to"} <= set(value) <= _RANGE or ("step" in value) == ("factor" in value):
        raise reader.refused(
            table, field, "expected a value, a list, { from, to, step } or { from, to, factor }, with a unit each"
        )
    low, high = one(value["from"]), one(value["to"])
    if high < low:
        raise reader.refused(table, field, f"from {value['from']} is more than to {value['to']}")
    if "factor" in value:
        factor = value["factor"]
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 < factor < math.inf or low <= 0:
            raise reader.refused(table, field, f"factor {factor!r} from {value['from']}: expected > 1, from above 0")
        count = math.floor(math.log(high / low) / math.log(factor) + 1e-9) + 1
    else:
        step = one(value["step"])
        if step <= 0:
            raise reader.refused(table, field, f"step {value['step']!r}: expected more than 0")
        count = math.floor((high - low) / step + 1e-9) + 1
    if count > _MOST_VALUES:
        raise reader.refused(table, field, f"{count:,} values; a range has at most {_MOST_VALUES:,}")
    return [low * factor**i for i in range(count)] if "factor" in value else [low + step * i for i in range(count)]


def line_of(text: str, table: str, field: str) -> str:
    """':12' for the first line of a field in its table, or of the table's head; '' where neither is found."""
    inside, head = table == "", ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+(.+?)\]", line)
        if header:
            inside = header.group(1).strip() == table
            head = head or (f":{number}" if inside else "")
        elif inside and re.match(rf"\s*{re.escape(field)}\s*=", line):
            return f":{number}"
    return head
