"""A chip's design: its parameters as a TOML file gives them, read once, units parsed at the border.

Slices, arrays and memories are per compute die; `docs/silicon.md` shows a whole file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from scoville.errors import DesignError, nearest
from scoville.facts.names import compute_formats
from scoville.files import Table, parse_toml, quantity

Array = NDArray[np.float64]
PACKAGES = ("cowos-s", "cowos-l", "organic")
WIDTH_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5}
_FABRIC_REUSE = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """One design, or n designs side by side.

    Every number is a float or an array of shape (n,); every word (process, memory, package, the keys of `rate_frac`)
    is one for all n. `rate_frac` is products per cell and clock by format ("fp8", or "fp4_fp8" for weights and
    activations that differ). `io_process` is "" where the links stand on the compute die. Links are per package and
    direction. `stack_bytes` and `stack_bytes_per_s` are 0 where a stack is as the facts of its kind say.
    """

    id: str
    name: str
    process: str
    compute_dies_count: float | Array
    clock_count_per_s: float | Array
    slices_count: float | Array
    spare_slices_count: float | Array
    arrays_per_slice_count: float | Array
    spare_arrays_per_slice_count: float | Array
    rows_count: float | Array
    columns_count: float | Array
    rate_frac: Mapping[str, float | Array]
    vector_lanes_per_slice_count: float | Array
    sram_per_slice_bytes: float | Array
    sram_bandwidth_per_slice_bytes_per_s: float | Array
    fabric_bandwidth_per_slice_bytes_per_s: float | Array
    sram_shared_bytes: float | Array
    memory: str
    stacks_count: float | Array
    scale_up_bytes_per_s: float | Array
    scale_up_domain_count: float | Array
    scale_out_bytes_per_s: float | Array
    host_bytes_per_s: float | Array
    io_process: str
    io_dies_count: float | Array
    package: str
    power_cap_w: float | Array
    stack_bytes: float | Array = 0.0
    stack_bytes_per_s: float | Array = 0.0

    @property
    def active_slices_count(self) -> float | Array:
        """Slices that work, in the whole package."""
        return self.compute_dies_count * (self.slices_count - self.spare_slices_count)

    @property
    def active_arrays_count(self) -> float | Array:
        """Arrays that work, in the whole package."""
        return self.active_slices_count * (self.arrays_per_slice_count - self.spare_arrays_per_slice_count)


_Hertz = Annotated[float, quantity("count_per_s"), Field(gt=0, allow_inf_nan=False)]
_Bytes = Annotated[float, quantity("bytes"), Field(ge=0, allow_inf_nan=False)]
_Rate = Annotated[float, quantity("bytes_per_s"), Field(ge=0, allow_inf_nan=False)]
_Some = Annotated[float, quantity("bytes_per_s"), Field(gt=0, allow_inf_nan=False)]
_Watts = Annotated[float, quantity("w"), Field(gt=0, allow_inf_nan=False)]
_Products = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
_None = Annotated[int, Field(ge=0, strict=True)]
_One = Annotated[int, Field(ge=1, strict=True)]


class ComputeTable(Table):
    """[compute]: what stands on one compute die, and how many of those a package has."""

    process: str
    dies: _One = 1
    clock: _Hertz
    slices: _One
    spare_slices: _None = 0
    arrays_per_slice: _One
    spare_arrays_per_slice: _None = 0
    array_rows: _One
    array_columns: _One
    rates: dict[str, _Products]
    vector_lanes_per_slice: _None
    sram_per_slice: _Bytes
    sram_bandwidth_per_slice: _Some | None = None
    fabric_bandwidth_per_slice: _Some | None = None
    sram_shared: _Bytes = 0.0


class MemoryTable(Table):
    """[memory]: which kind beside the dies and how many stacks a package; "none" for SRAM alone."""

    kind: str
    stacks: _None = 0
    capacity_per_stack: _Bytes = 0.0
    bandwidth_per_stack: _Rate = 0.0


class IoTable(Table):
    """[io]: links per package and direction, on dies of their own where `process` is given."""

    process: str = ""
    dies: _One = 1
    scale_up: _Rate = 0.0
    scale_up_domain: _One = 1
    scale_out: _Rate = 0.0
    host: _Rate = 0.0


class PackageTable(Table):
    """[package]: how the dies are joined, and the power that the package may take."""

    kind: str
    power_cap: _Watts


class DesignFile(Table):
    """A whole design file."""

    name: str
    compute: ComputeTable
    memory: MemoryTable
    io: IoTable
    package: PackageTable


def bundled() -> tuple[str, ...]:
    """The ids of the designs that ship."""
    files = (resources.files("scoville.silicon") / "designs").iterdir()
    return tuple(sorted(p.name.removesuffix(".toml") for p in files if p.name.endswith(".toml")))


def read_design(path_or_bundled_id: str | Path) -> Design:
    """The design of a TOML file, or a bundled one by its id. Raises DesignError: file, field, what is allowed."""
    name = str(path_or_bundled_id)
    if name in bundled():
        text = (resources.files("scoville.silicon") / "designs" / f"{name}.toml").read_text("utf-8")
        return parse_design(text, f"designs/{name}.toml", name)
    path = Path(path_or_bundled_id)
    if path.suffix != ".toml":
        raise DesignError(f"no design '{name}'; {nearest(name, bundled())}, or give a TOML file")
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise DesignError(f"{path}: cannot be read ({error.strerror}); expected a TOML file of a design") from None
    except UnicodeDecodeError:
        raise DesignError(f"{path}: is not UTF-8 text; expected a TOML file of a design") from None
    return parse_design(text, str(path), path.stem)


def parse_design(text: str, label: str, id: str) -> Design:
    """The design in this TOML text; `label` names it in errors. Raises DesignError."""
    table = parse_toml(text, label, DesignError)
    try:
        file = DesignFile.model_validate(table)
    except ValidationError as error:
        raise DesignError(f"{label}: {_reason(error)}") from None
    return _design(file, label, id)


def _reason(error: ValidationError) -> str:
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])  # a typing error explains a gap
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{field} is missing"
    if first["type"] == "extra_forbidden":
        table: Any = DesignFile
        for part in first["loc"][:-1]:
            table = table.model_fields[str(part)].annotation
        return f"unknown field '{field}'; {nearest(str(first['loc'][-1]), table.model_fields)}"
    if first["type"] == "value_error":
        return f"{field}: {first['ctx']['error']}"
    return f"{field} is {first['input']!r}; {first['msg'].lower().replace('input should be', 'expected')}"


def _design(file: DesignFile, label: str, id: str) -> Design:
    c, m, io, p = file.compute, file.memory, file.io, file.package
    if not file.name.strip():
        raise DesignError(f"{label}: name is empty; expected what the chip is called")
    if not c.rates:
        raise DesignError(f"{label}: compute.rates is empty; expected formats such as {{ fp8 = 1.0 }}")
    for key in c.rates:
        if compute_formats(f"compute_{key}") is None:
            formats = [*WIDTH_BYTES, "fp4_fp8", "fp4_bf16", "int4_bf16"]
            raise DesignError(f"{label}: compute.rates has no format '{key}'; {nearest(key, formats)}")
    for spare, all_ in (("spare_slices", "slices"), ("spare_arrays_per_slice", "arrays_per_slice")):
        if getattr(c, spare) >= getattr(c, all_):
            raise DesignError(
                f"{label}: compute.{spare} is {getattr(c, spare)}; expected less than {all_} = {getattr(c, all_)}"
            )
    if p.kind not in PACKAGES:
        raise DesignError(f"{label}: package.kind is '{p.kind}'; {nearest(p.kind, PACKAGES)}")
    if m.kind == "none" and m.stacks:
        raise DesignError(f"{label}: memory.stacks is {m.stacks} with kind 'none'; expected 0 stacks or a kind")
    if io.scale_up and io.scale_up_domain < 2:
        raise DesignError(
            f"{label}: io.scale_up_domain is {io.scale_up_domain} with a scale_up link; expected how many chips it "
            "joins, 2 or more"
        )
    feed = c.sram_bandwidth_per_slice or _feed_bytes_per_s(c)
    return Design(
        id=id,
        name=file.name,
        process=c.process,
        compute_dies_count=float(c.dies),
        clock_count_per_s=c.clock,
        slices_count=float(c.slices),
        spare_slices_count=float(c.spare_slices),
        arrays_per_slice_count=float(c.arrays_per_slice),
        spare_arrays_per_slice_count=float(c.spare_arrays_per_slice),
        rows_count=float(c.array_rows),
        columns_count=float(c.array_columns),
        rate_frac=dict(c.rates),
        vector_lanes_per_slice_count=float(c.vector_lanes_per_slice),
        sram_per_slice_bytes=c.sram_per_slice,
        sram_bandwidth_per_slice_bytes_per_s=feed,
        fabric_bandwidth_per_slice_bytes_per_s=c.fabric_bandwidth_per_slice or feed / _FABRIC_REUSE,
        sram_shared_bytes=c.sram_shared,
        memory=m.kind,
        stacks_count=float(m.stacks),
        scale_up_bytes_per_s=io.scale_up,
        scale_up_domain_count=float(io.scale_up_domain),
        scale_out_bytes_per_s=io.scale_out,
        host_bytes_per_s=io.host,
        io_process=io.process,
        io_dies_count=float(io.dies if io.process else 0),
        package=p.kind,
        power_cap_w=p.power_cap,
        stack_bytes=m.capacity_per_stack,
        stack_bytes_per_s=m.bandwidth_per_stack,
    )


def needs_interposer(memory: str) -> bool:
    """Whether a kind of memory has more wires than an organic substrate carries: all HBM (1,024 or 2,048 a stack)."""
    return memory.startswith("hbm")


def width_bytes(pair: str) -> float:
    """Bytes of the wider operand of a format or pair: 1 for "fp8" and for "fp4_fp8"."""
    weights, _, activations = pair.partition("_")
    return max(WIDTH_BYTES[weights], WIDTH_BYTES[activations or weights])


def _feed_bytes_per_s(c: ComputeTable) -> float:
    """What feeds a slice's working arrays: a row and a column of operands a clock, in the format that needs most."""
    arrays = c.arrays_per_slice - c.spare_arrays_per_slice
    widest = max(rate * width_bytes(pair) for pair, rate in c.rates.items())
    return arrays * c.clock * (c.array_rows + c.array_columns) * widest
