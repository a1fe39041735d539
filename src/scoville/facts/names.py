"""The fact names of an accelerator, each with its measure: the vocabulary that catches typing errors.

`FACTS` are the names that `Accelerator` and later rooms read; `REMARKS` are further figures kept for the record.
"""

from __future__ import annotations

import re

FORMATS = ("fp32", "bf16", "fp8", "int8", "fp4", "int4")
_FORMAT = "(" + "|".join(FORMATS) + ")"
_COMPUTE = re.compile(f"compute_{_FORMAT}(?:_{_FORMAT})?")

TEXT = ""  # the measure of a text fact

_LINK = {"bandwidth": "bytes_per_s", "latency": "s", "domain": "count", "topology": TEXT}

FACTS: dict[str, str] = {
    "memory_type": TEXT,
    "memory_capacity": "bytes",
    "memory_bandwidth": "bytes_per_s",
    "sram_capacity": "bytes",
    "sram_bandwidth": "bytes_per_s",
    "host_capacity": "bytes",
    "host_bandwidth": "bytes_per_s",
    **{f"scale_up_{k}": m for k, m in _LINK.items()},
    **{f"scale_up_outer_{k}": m for k, m in _LINK.items()},
    "scale_out_bandwidth": "bytes_per_s",
    "scale_out_latency": "s",
    "tdp": "w",
    "all_in_power": "w",  # IT power: without the data centre's overhead (PUE)
    "utility_power": "w",  # the same as drawn from the grid: with it
    "idle_power": "w",
    "process_node": TEXT,
    "package": TEXT,
    "die_area": "mm2",
    "price_chip": "usd",
    "price_system": "usd",
    "rent_spot": "usd_per_h",
    "rent_on_demand": "usd_per_h",
    "rent_1yr": "usd_per_h",
    "rent_3yr": "usd_per_h",
    "own_hourly": "usd_per_h",
    "bom_total": "usd",
    "bom_logic": "usd",
    "bom_memory": "usd",
    "bom_packaging": "usd",
    "bom_test": "usd",
    "bom_other": "usd",
    "slices": "count",
    "arrays_per_slice": "count",
    "spare_arrays_per_slice": "count",
    "array_rows": "count",
    "array_columns": "count",
    "clock": "count_per_s",
    "sram_per_slice": "bytes",
    "sram_bandwidth_per_slice": "bytes_per_s",
}

# Figures that no timer or price reads, kept because somebody published them.
REMARKS: dict[str, str] = {
    "mean_power": "w",  # fleet mean while in use, not a limit
    "sustained_power": "w",
    "rack_price": "usd",
    "rack_power": "w",
    "rack_chips": "count",
    "build_cost_per_power": "usd_per_w",  # whole data centre, per watt of capacity
    "memory_per_slice": "bytes",
    "memory_bandwidth_per_slice": "bytes_per_s",
    "memory_stacks": "count",
    "transistors": "count",
}


def compute_formats(name: str) -> tuple[str, str] | None:
    """(weight format, activation format) of a compute rate's name, or None for any other name.

    >>> compute_formats("compute_fp4_bf16"), compute_formats("compute_fp8"), compute_formats("tdp")
    (('fp4', 'bf16'), ('fp8', 'fp8'), None)
    """
    m = _COMPUTE.fullmatch(name)
    return (m[1], m[2] or m[1]) if m else None


def measure(name: str) -> str | None:
    """The measure of an accelerator's fact ("" for text), or None for a name that is not in the vocabulary."""
    if compute_formats(name):
        return "flop_per_s"
    return FACTS.get(name, REMARKS.get(name))


def known() -> tuple[str, ...]:
    """Every allowed name, for error sentences; mixed compute rates are represented by the common ones."""
    compute = [f"compute_{f}" for f in FORMATS]
    return (*compute, "compute_fp4_bf16", "compute_fp4_fp8", "compute_int4_bf16", *FACTS, *REMARKS)
