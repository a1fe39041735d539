"""The fact names of an accelerator, each with its measure: the vocabulary that catches typing errors.

`FACTS` are the names that `Accelerator` and later rooms read; `REMARKS` are further figures kept for the record.
`domain` says which values a fact may have that something is computed from.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

FORMATS = ("fp32", "bf16", "fp8", "int8", "fp4", "int4")
# Formats that hold a value of the named one without losing it, narrowest first.
WIDER: dict[str, tuple[str, ...]] = {
    "fp4": ("fp4", "fp8", "bf16", "fp32"),
    "int4": ("int4", "int8", "bf16", "fp32"),
    "fp8": ("fp8", "bf16", "fp32"),
    "int8": ("int8", "bf16", "fp32"),
    "bf16": ("bf16", "fp32"),
    "fp32": ("fp32",),
}
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
    "fabric_bandwidth_per_slice": "bytes_per_s",
    "vector_rate": "flop_per_s",
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


@dataclass(frozen=True, slots=True)
class Domain:
    """The values that a fact may have: from `low` to `high`, each end itself only where it is not open."""

    low: float
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        return above and math.isfinite(value) and (value < self.high if self.high_open else value <= self.high)

    def __str__(self) -> str:
        """In words, for an error sentence.

        >>> str(Domain(0.0, low_open=True)), str(Domain(0.0, 1.0, high_open=True))
        ('more than 0', 'at least 0 and less than 1')
        """
        low = f"{'more than' if self.low_open else 'at least'} {self.low:g}"
        high = f"{'less than' if self.high_open else 'at most'} {self.high:g}"
        return low if self.high == math.inf else f"{low} and {high}"


POSITIVE = Domain(0.0, low_open=True)
NOT_NEGATIVE = Domain(0.0)
ONE_OR_MORE = Domain(1.0)
SHARE = Domain(0.0, 1.0)
PART = Domain(0.0, 1.0, low_open=True)
LESS_THAN_ALL = Domain(0.0, 1.0, high_open=True)

# Facts of a chip are more than 0, except for these.
_OF_CHIPS = {
    **dict.fromkeys(("*_latency", "idle_power", "bom_*", "spare_arrays_per_slice"), NOT_NEGATIVE),
    **dict.fromkeys(("*_domain", "slices", "arrays_per_slice", "array_rows", "array_columns"), ONE_OR_MORE),
}
_OF_SITES = {
    **dict.fromkeys(("facility_life", "it_life", "all_in_per_tdp", "purchase_factor"), POSITIVE),
    **dict.fromkeys(("load", "failure_cost", "wacc"), SHARE),
    "network_share": LESS_THAN_ALL,
    **dict.fromkeys(("ownership.*_chance", "ownership.own_resale", "ownership.spares"), SHARE),
    **dict.fromkeys(("ownership.tax_rate", "ownership.vendor_response"), LESS_THAN_ALL),
    "ownership.porting_start": PART,
    **dict.fromkeys(("ownership.*_path", "ownership.*_life", "ownership.generation_*"), POSITIVE),
    "ownership.claim_share": POSITIVE,
    "pue": ONE_OR_MORE,
}
# By category or subject, then by both names; the first pattern that fits counts, and else the fact is not negative.
_DOMAINS = {
    "accelerator": {f"*.{name}": d for name, d in _OF_CHIPS.items()} | {"*": POSITIVE},
    "site": {f"*.{name}": d for name, d in _OF_SITES.items()},
    "timing": {
        **dict.fromkeys(("efficiency.*", "collective.*_bandwidth", "engine.memory_fraction"), PART),
        "collective.overlap_*": SHARE,
        **dict.fromkeys(("engine.*_tokens", "engine.token_budget"), ONE_OR_MORE),
        **dict.fromkeys(("uncertainty.*", "kernel-gemm.units_*"), POSITIVE),
    },
    "power": {"power.*_share": SHARE},
    "engine": {"*_time": NOT_NEGATIVE, "*.time_factor": POSITIVE, "*": ONE_OR_MORE},
    "serving": {
        **dict.fromkeys(("speculation.*_acceptance", "router.cache_threshold"), SHARE),
        **dict.fromkeys(("speculation.*_drafts", "router.balance_relative"), ONE_OR_MORE),
        "kv-transfer.link_share": PART,
        "replica.chip_mtbf": POSITIVE,
    },
    "silicon": {
        "packaging.attach_yield_*": PART,
        "vendor-margin.*": LESS_THAN_ALL,
        "programme.slip": Domain(-1.0, low_open=True),
        "programme.*_share": SHARE,
    },
    "process": {},
    "memory": {},
    "yield-model": {"yield-model.clustering": POSITIVE},
    "rule": {
        "default-link.domain": ONE_OR_MORE,
        "default-link.*_bandwidth": POSITIVE,
        "default-power.idle_per_tdp": SHARE,
        "default-range.*": LESS_THAN_ALL,
    },
}


def domain(category: str, subject: str, name: str) -> Domain | None:
    """What a numeric fact may be (SI values); None for those of companies, claims and others, which nothing reads.

    >>> str(domain("accelerator", "h100-sxm", "tdp")), str(domain("site", "site", "pue"))
    ('more than 0', 'at least 1')
    """
    patterns = _DOMAINS.get(category, _DOMAINS.get(subject))
    if patterns is None:
        return None
    key = f"{subject}.{name}"
    return next((d for pattern, d in patterns.items() if fnmatchcase(key, pattern)), NOT_NEGATIVE)
