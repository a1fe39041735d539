"""A designed chip as an `Accelerator`, the same record as a bought one, and as a fact file that every command reads.

What the design says is fixed; what follows from process and memory is drawn, its low and high being P10 and P90.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from scoville.errors import FactError
from scoville.facts import Accelerator, Draws, Fact, Facts
from scoville.facts.chips import assemble
from scoville.silicon.area import area, memory_bytes_per_s
from scoville.silicon.cost import DIES, INTERPOSER, IO_DIES, LOST, MEMORY, SUBSTRATE, TEST, prices, unit_cost
from scoville.silicon.design import Array, Design
from scoville.silicon.limits import check
from scoville.silicon.peak import peak_flop_per_s
from scoville.silicon.power import power
from scoville.silicon.technology import technology

_SAMPLES, _SEED = 1000, 1
_BUYER = "external"  # what any owner pays: a bill and a margin, no street price that a large buyer gets a rebate on
_UNITS = {"bytes": "B", "bytes_per_s": "B/s", "flop_per_s": "FLOP/s", "w": "W", "mm2": "mm2", "usd": "USD",
          "count": "", "count_per_s": "Hz"}  # fmt: skip
_BILL = {"bom_logic": (DIES, IO_DIES), "bom_memory": (MEMORY,), "bom_packaging": (INTERPOSER, SUBSTRATE),
         "bom_test": (TEST,), "bom_other": (LOST,)}  # fmt: skip
_PARAMETER = "a parameter of the design"


def accelerator(
    design: Design, facts: Facts, *, date: str = "", volume: float = 1e5, seller: str = "broadcom_xpu"
) -> Accelerator:
    """The chip that one design makes, as the timers, studies and predictions take it.

    With a month (`date`, YYYY-MM) it has a bill of materials and a price for `volume` chips from `seller`, as in
    `cost.prices`. Raises DesignError for a design that breaks a limit.
    """
    found = design_facts(design, facts, date=date, volume=volume, seller=seller)
    id = found[0].subject
    return assemble(id, design.name, "", (), {f.name: (f,) for f in found}, facts.get)


def as_facts(design: Design, facts: Facts, *, date: str = "", volume: float = 1e5, seller: str = "broadcom_xpu") -> str:
    """The same as TOML: a file for --facts. Raises DesignError for a design that breaks a limit."""
    found = design_facts(design, facts, date=date, volume=volume, seller=seller)
    id = found[0].subject
    lines = [f"[{id}]", 'category = "accelerator"', f"name = {_quoted(design.name)}", ""]
    for fact in found:
        lines.append(f"[{id}.{fact.name}]")
        lines.append(f"value = {_quoted(_written(fact.value, fact.unit))}")
        if fact.distribution == "fixed":
            lines += ['distribution = "fixed"'] if fact.measure else []
        else:
            lines += [
                f"low = {_quoted(_written(fact.low, fact.unit))}",
                f"high = {_quoted(_written(fact.high, fact.unit))}",
            ]
        lines += [f'driver = "{fact.driver}"'] if fact.driver else []
        lines += ['source = "derived"'] + ([f'as_of = "{date}"'] if date and fact.measure == "usd" else [])
        lines += [f'owner = "{fact.owner}"'] if fact.owner else []
        lines += [f"note = {_quoted(fact.note)}", ""]
    return "\n".join(lines)


def design_facts(
    design: Design, facts: Facts, *, date: str = "", volume: float = 1e5, seller: str = "broadcom_xpu"
) -> tuple[Fact, ...]:
    """Every fact of the chip, under an id that no bundled chip has. Raises DesignError as `check` does."""
    id = _free(design.id, facts)
    central = technology(design, facts)
    sized = area(design, central)
    check(design, sized, power(design, central, sized), central)
    draws = Draws(_SEED, _SAMPLES)
    drawn = technology(design, facts, draws)
    spread = area(design, drawn)
    found: list[Fact] = []

    def add(
        name: str,
        value: float | Array | str,
        measure: str,
        note: str = _PARAMETER,
        samples: float | Array | None = None,
    ) -> None:
        if isinstance(value, str):
            found.append(_fact(id, name, value, np.nan, np.nan, "", note, "", facts))
            return
        base, dated = float(np.asarray(value)), date if measure == "usd" else ""
        low, high = (base, base) if samples is None else np.quantile(np.asarray(samples, float), (0.1, 0.9))
        found.append(_fact(id, name, base, min(float(low), base), max(float(high), base), measure, note, dated, facts))

    rates = {"_".join(dict.fromkeys(formats)): rate for formats, rate in peak_flop_per_s(design).items()}
    for name, rate in rates.items():
        add(f"compute_{name}", rate, "flop_per_s", "2 x cells x clock x products per cell and clock")
    for narrow, wide in (("fp4_fp8", "fp8"), ("fp4_bf16", "bf16"), ("int4_bf16", "bf16")):
        if wide in rates and narrow not in rates:
            note = f"as compute_{wide}: 4-bit weights are expanded and multiplied in {wide}"
            add(f"compute_{narrow}", rates[wide], "flop_per_s", note)

    sram = design.compute_dies_count * design.sram_shared_bytes + (
        design.active_slices_count * design.sram_per_slice_bytes
    )
    add("sram_capacity", sram, "bytes", "of working slices and shared")
    if design.memory == "none":
        feed = design.active_slices_count * design.sram_bandwidth_per_slice_bytes_per_s
        add("sram_bandwidth", feed, "bytes_per_s", "of all working slices")
    else:
        own = float(np.asarray(design.stack_bytes))
        per_stack = own if own > 0 else float(np.asarray(central.stack_bytes))
        stacks = float(np.asarray(design.stacks_count))
        given = np.asarray(design.stack_bytes_per_s) > 0
        add("memory_type", f"{design.memory.upper()} x{stacks:g}", "")
        add("memory_capacity", stacks * per_stack, "bytes", "stacks x what one holds")
        add(
            "memory_bandwidth", memory_bytes_per_s(design, central), "bytes_per_s", "stacks x what one brings",
            None if given else memory_bytes_per_s(design, drawn),
        )  # fmt: skip
        add("memory_stacks", stacks, "count")
    if float(np.asarray(design.scale_up_bytes_per_s)) > 0:
        add("scale_up_bandwidth", design.scale_up_bytes_per_s, "bytes_per_s")
        add("scale_up_domain", design.scale_up_domain_count, "count")
        add("scale_up_topology", "switched", "", "taken as switched")
    if float(np.asarray(design.scale_out_bytes_per_s)) > 0:
        add("scale_out_bandwidth", design.scale_out_bytes_per_s, "bytes_per_s")
    if float(np.asarray(design.host_bytes_per_s)) > 0:
        add("host_bandwidth", design.host_bytes_per_s, "bytes_per_s")

    tdp = np.minimum(power(design, central, sized).tdp_w, design.power_cap_w)
    tdps = np.minimum(power(design, drawn, spread).tdp_w, design.power_cap_w)
    low, base, high = _all_in_per_tdp(facts, design.id)
    add(
        "tdp",
        tdp,
        "w",
        "the hotter of a step bound by products and one bound by memory, and no more than the cap",
        tdps,
    )
    add(
        "all_in_power", base * tdp, "w", f"TDP x {base:.2f} ({low:.2f} to {high:.2f}), as of other chips in facts/",
        np.outer(tdps, (low, base, high)),
    )  # fmt: skip
    add("process_node", design.process + (f" compute, {design.io_process} I/O" if design.io_process else ""), "")
    add("package", design.package, "")
    dies, io = design.compute_dies_count, design.io_dies_count
    add(
        "die_area", dies * sized.compute_die_mm2 + io * sized.io_die_mm2, "mm2", "all dies",
        dies * spread.compute_die_mm2 + io * spread.io_die_mm2,
    )  # fmt: skip

    add("slices", design.active_slices_count, "count", "working ones of all compute dies")
    add("arrays_per_slice", design.arrays_per_slice_count, "count")
    add("spare_arrays_per_slice", design.spare_arrays_per_slice_count, "count")
    add("array_rows", design.rows_count, "count")
    add("array_columns", design.columns_count, "count")
    add("clock", design.clock_count_per_s, "count_per_s")
    add("sram_per_slice", design.sram_per_slice_bytes, "bytes")
    add("sram_bandwidth_per_slice", design.sram_bandwidth_per_slice_bytes_per_s, "bytes_per_s")
    add("fabric_bandwidth_per_slice", design.fabric_bandwidth_per_slice_bytes_per_s, "bytes_per_s")
    lanes = design.active_slices_count * design.vector_lanes_per_slice_count
    if float(np.asarray(lanes)) > 0:
        add("vector_rate", 2.0 * lanes * design.clock_count_per_s, "flop_per_s", "a multiply-add a lane and clock")

    if date:
        paid, could = (
            unit_cost(design, size, prices(design, facts, d, date=date, volume=volume, seller=seller))
            for size, d in ((sized, None), (spread, draws))
        )
        for name, parts in _BILL.items():
            note = f"{' and '.join(parts)}, in {date} at {volume:,.0f} chips"
            add(name, _sum(paid.parts_usd, parts), "usd", note, _sum(could.parts_usd, parts))
        add("bom_total", paid.total_usd, "usd", f"one good package in {date} at {volume:,.0f} chips", could.total_usd)
        sold = f"bom_total and the margin of {seller}; the one-time cost is not in it"
        add("price_chip", paid.price_usd, "usd", sold, could.price_usd)
    return tuple(found)


def _sum(parts_usd: Mapping[str, Array], names: Sequence[str]) -> Array:
    return np.asarray(sum(parts_usd[name] for name in names), float)


def _fact(
    id: str, name: str, value: float | str, low: float, high: float, measure: str, note: str, dated: str, facts: Facts
) -> Fact:
    derived = facts.get("chip-overhead", "area")
    return Fact(
        subject=id,
        name=name,
        value=value,
        low=low,
        high=high,
        measure=measure,
        unit=_UNITS.get(measure, ""),
        source=derived.source,
        as_of=dated or derived.as_of,
        kind="derived",
        distribution="triangular" if low < high else "fixed",
        owner=_BUYER if name == "price_chip" else "",
        driver="hbm-price" if name == "bom_memory" else "",
        note=note,
    )


def _free(name: str, facts: Facts) -> str:
    """An id that reads as the design's and is no bundled subject's."""
    id = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-") or "design"
    try:
        facts.subject(id)
    except FactError:
        return id
    return f"{id}-design"


def _all_in_per_tdp(facts: Facts, without: str) -> tuple[float, float, float]:
    """(lowest, median, highest) IT power of other chips with their share of host and network, over their TDP."""
    others = (c for c in facts.accelerators() if c.id != without)
    seen = [c.all_in_power.number / c.tdp.number for c in others if c.all_in_power and c.tdp]
    return min(seen), float(np.median(seen)), max(seen)


def _written(value: float | str, unit: str) -> str:
    return value if isinstance(value, str) else f"{value:.10g} {unit}".rstrip()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
