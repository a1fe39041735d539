"""Puts an `Accelerator` together from its facts, with marked defaults where no link or idle power was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from scoville.facts.names import compute_formats
from scoville.facts.records import Accelerator, Fact, LinkLevel, MemoryTier, Microarchitecture

Default = Callable[[str, str], Fact]


def assemble(
    id: str, name: str, vendor: str, aliases: tuple[str, ...], facts: Mapping[str, Sequence[Fact]], default: Default
) -> Accelerator:
    """The chip of these facts; `default(subject, fact name)` gives the figure used where the chip has none.

    What a timer cannot do without and nobody published is named in `missing`.
    """
    newest = {n: _any_owner(fs) for n, fs in facts.items()}
    compute = {formats: newest[n] for n in newest if (formats := compute_formats(n))}
    memory = _memory(newest)
    tdp, all_in = newest.get("tdp"), newest.get("all_in_power")
    return Accelerator(
        id=id,
        name=name,
        vendor=vendor,
        compute=compute,
        memory=memory,
        links=_links(id, newest, default),
        tdp=tdp,
        all_in_power=all_in,
        idle_power=newest.get("idle_power") or (_idle(tdp, default) if tdp else None),
        microarchitecture=_microarchitecture(newest),
        facts={n: tuple(fs) for n, fs in facts.items()},
        aliases=aliases,
        missing=_missing(newest, compute, memory),
    )


def _any_owner(same: Sequence[Fact]) -> Fact:
    """The newest entry, one that holds for any owner first; the sequence is sorted by vintage."""
    return ([f for f in same if not f.owner] or list(same))[-1]


def _word(fact: Fact | None, otherwise: str) -> str:
    return str(fact.value) if fact else otherwise


def _memory(newest: Mapping[str, Fact]) -> tuple[MemoryTier, ...]:
    tiers: list[MemoryTier] = []
    for tier, kind in (("sram", "SRAM"), ("main", _word(newest.get("memory_type"), "DRAM")), ("host", "host DRAM")):
        prefix = "memory" if tier == "main" else tier
        capacity = newest.get(f"{prefix}_capacity")
        if capacity:
            tiers.append(MemoryTier(tier, kind, capacity, newest.get(f"{prefix}_bandwidth")))  # type: ignore[arg-type]
    return tuple(tiers)


def _links(id: str, newest: Mapping[str, Fact], default: Default) -> tuple[LinkLevel, ...]:
    def fallback(level: str, what: str, name: str) -> Fact:
        fact = default("default-link", name)
        note = f"default: not published for this chip; {fact.note}"
        return replace(fact, subject=id, name=f"{level}_{what}", note=note)

    levels: list[LinkLevel] = []
    upper: tuple[Literal["scale_up", "scale_up_outer"], ...] = ("scale_up", "scale_up_outer")
    for level in upper:
        bandwidth = newest.get(f"{level}_bandwidth")
        if not bandwidth:
            continue
        topology = _word(newest.get(f"{level}_topology"), str(default("default-link", "topology").value))
        latency = newest.get(f"{level}_latency") or fallback(level, "latency", f"{topology}_latency")
        domain = newest.get(f"{level}_domain") or fallback(level, "domain", "domain")
        levels.append(LinkLevel(level, bandwidth, latency, domain, topology))
    bandwidth = newest.get("scale_out_bandwidth") or fallback("scale_out", "bandwidth", "scale_out_bandwidth")
    latency = newest.get("scale_out_latency") or fallback("scale_out", "latency", "scale_out_latency")
    levels.append(LinkLevel("scale_out", bandwidth, latency, None, "switched"))
    return tuple(levels)


def _idle(tdp: Fact, default: Default) -> Fact:
    share = default("default-power", "idle_per_tdp")
    return replace(
        share,
        subject=tdp.subject,
        name="idle_power",
        value=share.number * tdp.number,
        low=share.low * tdp.number,
        high=share.high * tdp.number,
        measure="w",
        unit="W",
        note=f"default: not published for this chip; {share.number:.0%} of TDP, {share.note}",
    )


def _microarchitecture(newest: Mapping[str, Fact]) -> Microarchitecture | None:
    needed = ("arrays_per_slice", "array_rows", "array_columns", "clock")
    if not all(n in newest for n in needed):
        return None
    arrays, rows, columns, clock = (newest[n] for n in needed)
    return Microarchitecture(
        slices=newest.get("slices"),
        arrays_per_slice=arrays,
        spare_arrays_per_slice=newest.get("spare_arrays_per_slice"),
        rows=rows,
        columns=columns,
        clock=clock,
        sram_per_slice=newest.get("sram_per_slice"),
        sram_bandwidth_per_slice=newest.get("sram_bandwidth_per_slice"),
        vector_rate=newest.get("vector_rate"),
        fabric_bandwidth_per_slice=newest.get("fabric_bandwidth_per_slice"),
    )


def _missing(
    newest: Mapping[str, Fact], compute: Mapping[tuple[str, str], Fact], memory: Sequence[MemoryTier]
) -> tuple[str, ...]:
    """Human words for what keeps a chip from being timed."""
    missing = [] if compute else ["a dense compute rate"]
    if not any(t.bandwidth for t in memory if t.name in ("sram", "main")):
        if not any(t.name in ("sram", "main") for t in memory):
            missing.append("memory capacity")
        if not {"memory_bandwidth", "sram_bandwidth"} & newest.keys():
            missing.append("memory bandwidth")
    return tuple(missing)
