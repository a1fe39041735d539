"""The records of what is known: a `Fact` from somebody, and the `Accelerator` that facts add up to.

A bought chip and a designed chip are the same `Accelerator`; nobody downstream asks which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["measured", "vendor", "reported", "estimated", "derived"]
Distribution = Literal["triangular", "balanced", "uniform", "fixed"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure (or word) from the world.

    `value`, `low` and `high` are in the SI measure named by `measure` ("bytes_per_s", "usd_per_h", ...; "" for a
    text fact, whose `value` is a str and whose bounds are NaN). `low <= value <= high` always holds; where the
    source gave no range the default for `kind` was applied and `range_is_default` is True. `driver` names the group
    that is drawn once per Monte Carlo sample ("" = drawn alone). `vintage` (YYYY-MM) and `owner` are set where the
    figure only holds for that month or that kind of owner. `includes` is what the price of a system covers beside the
    chip ("server", "network"). `place` is file, line and table of the entry; `user` is True when it came from a user's
    own file.
    """

    subject: str
    name: str
    value: float | str
    low: float
    high: float
    measure: str
    unit: str
    source: str
    as_of: str
    kind: Kind
    distribution: Distribution = "triangular"
    range_is_default: bool = False
    vintage: str = ""
    owner: str = ""
    driver: str = ""
    note: str = ""
    includes: tuple[str, ...] = ()
    place: str = ""
    user: bool = False

    @property
    def number(self) -> float:
        """The central value of a numeric fact. Raises TypeError for a text fact (a programming error)."""
        if isinstance(self.value, str):
            raise TypeError(f"{self.subject}: {self.name} is a text fact")
        return self.value

    @property
    def key(self) -> str:
        """Unique name, and the random stream of the fact: 'h100-sxm.rent_3yr@2026-09/hyperscaler'."""
        vintage = f"@{self.vintage}" if self.vintage else ""
        owner = f"/{self.owner}" if self.owner else ""
        return f"{self.subject}.{self.name}{vintage}{owner}"


@dataclass(frozen=True, slots=True)
class MemoryTier:
    """One level of memory of a chip, fastest to farthest: 'sram', 'main' (HBM, GDDR or LPDDR), 'host'."""

    name: Literal["sram", "main", "host"]
    kind: str
    capacity: Fact
    bandwidth: Fact | None


@dataclass(frozen=True, slots=True)
class LinkLevel:
    """One level of a chip's network: bandwidth per chip and direction; `domain` chips reach each other over it.

    Levels are ordered inside out: 'scale_up', then 'scale_up_outer' where there is one, then 'scale_out', whose
    domain is None (unbounded).
    """

    name: Literal["scale_up", "scale_up_outer", "scale_out"]
    bandwidth: Fact
    latency: Fact
    domain: Fact | None
    topology: str


@dataclass(frozen=True, slots=True)
class Microarchitecture:
    """What is inside, for the systolic timer: arrays of rows x columns MACs, clock, on-chip memory, spares.

    `vector_rate` is what the vector units of the whole chip do; `fabric_bandwidth_per_slice` what the network on the
    chip brings into and out of a slice.
    """

    slices: Fact | None
    arrays_per_slice: Fact
    spare_arrays_per_slice: Fact | None
    rows: Fact
    columns: Fact
    clock: Fact
    sram_per_slice: Fact | None
    sram_bandwidth_per_slice: Fact | None
    vector_rate: Fact | None = None
    fabric_bandwidth_per_slice: Fact | None = None


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A chip, bought or designed. `compute` maps (weight format, activation format) to dense peak FLOP/s.

    Formats are rate classes: 'fp32', 'bf16', 'fp8', 'int8', 'fp4', 'int4'. `facts` holds every fact of the chip by
    name, the newest applicable one last. `missing` names what a timer would need and nobody has published;
    it is empty for a chip that can be timed.
    """

    id: str
    name: str
    vendor: str
    compute: Mapping[tuple[str, str], Fact]
    memory: tuple[MemoryTier, ...]
    links: tuple[LinkLevel, ...]
    tdp: Fact | None
    all_in_power: Fact | None
    idle_power: Fact | None
    microarchitecture: Microarchitecture | None
    facts: Mapping[str, tuple[Fact, ...]]
    aliases: tuple[str, ...] = ()
    missing: tuple[str, ...] = field(default=())

    def tier(self, name: str) -> MemoryTier | None:
        """The memory tier of that name, or None."""
        return next((t for t in self.memory if t.name == name), None)

    def defaults(self) -> tuple[Fact, ...]:
        """The figures that nobody published for this chip and a default stands for: latencies, idle power."""
        used = [f for link in self.links for f in (link.bandwidth, link.latency, link.domain) if f is not None]
        if self.idle_power is not None:
            used.append(self.idle_power)
        return tuple(f for f in used if f.name not in self.facts)
