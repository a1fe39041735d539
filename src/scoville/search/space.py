"""A space of designs: every combination of a file's choices, numbered, and made block by block from its numbers alone.

A `Space` is a list of parts. In a part all that is a word (process, memory kind, package, rates) is fixed and all that
is a number has an axis of values; a design's number is the mixed-radix number of its positions on the axes, the last
axis fastest, after the numbers of the parts before. So any block can be made anywhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoville.economics import OwnershipTerms
from scoville.serving import Targets
from scoville.silicon.design import Design, parse_design
from scoville.transformer import Architecture
from scoville.transformer.step import Parallelism, Precision
from scoville.units import show

Array = NDArray[np.float64]
Value = str | float | Mapping[str, float]

_SRAM_RATE, _FABRIC_RATE = "sram_bandwidth_per_slice_bytes_per_s", "fabric_bandwidth_per_slice_bytes_per_s"
_UNITS = {"count_per_s": "Hz", "bytes": "B", "bytes_per_s": "B/s", "w": "W"}


@dataclass(frozen=True, slots=True)
class Axis:
    """A number of a design with the values that it may take: `key` as in a design file, `field` of `Design`.

    `values` are SI in `measure`. A tied axis takes the value of the axis `tied` (a key) in every design.
    """

    key: str
    field: str
    measure: str
    values: tuple[float, ...]
    tied: str = ""


@dataclass(frozen=True, eq=False)
class Part:
    """Designs that differ in numbers only. `words` are what they share that is no number: by key, texts and rates.

    `base` is the first of them, as the reader of design files has it; every number of a file has an axis, if of one
    value, but for those that the reader derives.
    """

    words: Mapping[str, str | Mapping[str, float]]
    axes: tuple[Axis, ...]
    base: Design

    @property
    def count(self) -> int:
        """How many designs."""
        return math.prod(len(a.values) for a in self.axes if not a.tied)

    def values(self, numbers: NDArray[np.int64]) -> dict[str, Array]:
        """The designs of these numbers (n,) in the part: values by key, each (n,)."""
        found: dict[str, Array] = {}
        rest = numbers
        for axis in reversed([a for a in self.axes if not a.tied]):
            rest, position = np.divmod(rest, len(axis.values))
            found[axis.key] = np.asarray(axis.values)[position]
        return {a.key: found[a.tied or a.key] for a in self.axes}

    def designs(self, numbers: NDArray[np.int64]) -> Design:
        """The same, side by side in one `Design`."""
        values = self.values(numbers)
        found: dict[str, Any] = {a.field: values[a.key] for a in self.axes}
        return self.fed(replace(self.base, id="", **found))

    def fed(self, design: Design) -> Design:
        """With the bandwidths that no file gave: as what feeds the working arrays of a slice, in proportion to the
        base's."""

        def needed(d: Design) -> float | Array:
            arrays = d.arrays_per_slice_count - d.spare_arrays_per_slice_count
            return arrays * d.clock_count_per_s * (d.rows_count + d.columns_count)

        given = {a.field for a in self.axes}
        if _SRAM_RATE not in given:
            found: dict[str, Any] = {_SRAM_RATE: getattr(self.base, _SRAM_RATE) * (needed(design) / needed(self.base))}
            design = replace(design, **found)
        if _FABRIC_RATE not in given:
            ratio = getattr(design, _SRAM_RATE) / getattr(self.base, _SRAM_RATE)
            found = {_FABRIC_RATE: getattr(self.base, _FABRIC_RATE) * ratio}
            design = replace(design, **found)
        return design


@dataclass(frozen=True, eq=False)
class Block:
    """Designs `start` to `stop` of a space, side by side in `design`, each number of shape (n,)."""

    start: int
    stop: int
    part: Part
    design: Design

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Serve:
    """What the chip must serve, with its share of the tokens, and how it may be spread over chips.

    `weight_frac` sums to 1 over a space. `batches` are sequences in decode of a replica, (m,).
    """

    name: str
    model: str
    trace: str
    weight_frac: float
    architecture: Architecture
    precision: Precision
    targets: Targets
    mappings: tuple[Parallelism, ...]
    batches: tuple[int, ...]

    @property
    def points_count(self) -> int:
        """Deployments that are tried of each design."""
        return len(self.mappings) * len(self.batches)


@dataclass(frozen=True, slots=True)
class Supply:
    """The most HBM stacks and CoWoS wafers that can be had in all; infinite where the file names none."""

    hbm_stacks_count: float = math.inf
    cowos_wafers_count: float = math.inf


@dataclass(frozen=True, slots=True)
class Limits:
    """Beside reticle and power cap: the most area of a die and power of a package; infinite where the file has none."""

    die_mm2: float = math.inf
    package_w: float = math.inf


@dataclass(frozen=True)
class Space:
    """A whole space file, checked.

    `volume_count` chips share the one-time cost of a design begun in `start` (YYYY-MM); `nre` False leaves that cost
    out. `seller` names whose margin is paid, a fact of vendor-margin or "none". The best design is compared with the
    `bought` chips and the `reference`.
    """

    title: str
    path: Path
    parts: tuple[Part, ...]
    serve: tuple[Serve, ...]
    terms: OwnershipTerms
    volume_count: float
    start: str
    nre: bool
    seller: str
    supply: Supply
    limits: Limits
    bought: tuple[str, ...]
    reference: str
    finalists_count: int
    samples_count: int
    seed: int

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """The number of the first design of each part, and how many there are in all."""
        return tuple(int(x) for x in np.cumsum([0, *(p.count for p in self.parts)]))

    @property
    def designs_count(self) -> int:
        """All designs."""
        return sum(p.count for p in self.parts)

    @property
    def points_count(self) -> int:
        """All points: designs x what each serves x mappings x batches."""
        return self.designs_count * sum(s.points_count for s in self.serve)

    def spans(self, size: int) -> Iterator[tuple[int, int]]:
        """(start, stop) of all blocks in order, of at most `size` designs, none across two parts."""
        for first, end in zip(self._starts, self._starts[1:], strict=False):
            for start in range(first, end, size):
                yield start, min(start + size, end)

    def block(self, start: int, stop: int) -> Block:
        """Designs start to stop, which lie in one part; a function of the space and the two numbers alone."""
        part, first, end = self._part(start)
        if not start < stop <= end:
            raise ValueError(f"designs {start} to {stop} are not in one part of the space, which ends at {end}")
        return Block(start, stop, part, part.designs(np.arange(start - first, stop - first)))

    def settings(self, number: int) -> dict[str, Value]:
        """What a design is made of, by key as in a design file, SI."""
        part, first, _ = self._part(number)
        values = part.values(np.array([number - first]))
        return {**part.words, **{key: float(v[0]) for key, v in values.items()}}

    def design_text(self, number: int) -> str:
        """One design as a file that the reader of designs takes."""
        part, _, _ = self._part(number)
        return design_text(f"{self.title}: design {number}", self.settings(number), part.axes)

    def design(self, number: int) -> Design:
        """One design, as the reader of design files makes it, its numbers plain floats."""
        return parse_design(self.design_text(number), f"design {number} of {self.path.name}", f"design-{number}")

    def part_of(self, number: int) -> int:
        """Position of the part that a design is in."""
        if not 0 <= number < self.designs_count:
            raise ValueError(f"there is no design {number}; the space has {self.designs_count}")
        return int(np.searchsorted(self._starts, number, side="right")) - 1

    def first(self, part: int) -> int:
        """The number of the first design of a part."""
        return self._starts[part]

    def _part(self, number: int) -> tuple[Part, int, int]:
        k = self.part_of(number)
        return self.parts[k], self._starts[k], self._starts[k + 1]


def design_text(name: str, settings: Mapping[str, Value], axes: tuple[Axis, ...]) -> str:
    """A design file of these settings (key to SI value); the axes say in which measure numbers are."""
    measures = {a.key: a.measure for a in axes}
    tables: dict[str, list[str]] = {}
    for key, value in settings.items():
        table, _, field = key.partition(".")
        tables.setdefault(table, []).append(f"{field} = {_written(value, measures.get(key, ''))}")
    body = "\n\n".join("\n".join([f"[{table}]", *lines]) for table, lines in tables.items())
    return f"name = {json.dumps(name, ensure_ascii=False)}\n\n{body}\n"


def _written(value: Value, measure: str) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {v!r}" for k, v in value.items()) + " }"
    return json.dumps(f"{value!r} {_UNITS[measure]}") if measure in _UNITS else repr(round(value))


def shown(value: Value, measure: str) -> str:
    """A setting as people write it: "1.7 GHz", "64", "n3", "fp4 1, fp8 0.5"; SRAM in binary units where they are whole.

    >>> shown(2.0**20 * 1.5, "bytes"), shown(1.7e9, "count_per_s")
    ('1.5 MiB', '1.7 GHz')
    """
    if isinstance(value, str):
        return value or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v:g}" for k, v in value.items())
    if measure == "bytes":
        for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if value >= size and (4 * value / size).is_integer():
                return f"{value / size:g} {unit}"
    return show(value, measure) if measure else f"{value:g}"
