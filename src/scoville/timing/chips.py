"""Accelerators as struct-of-arrays: n designs, or n Monte Carlo samples of one chip, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scoville.errors import FactError
from scoville.facts import Accelerator, Draws, Fact, Facts
from scoville.facts.names import WIDER
from scoville.timing.measured.fitted import FAMILIES, FittedKernels, fitted_kernels
from scoville.timing.measured.kernels import MeasuredKernels, measured_kernels
from scoville.timing.systolic.kernels import SystolicKernels, systolic_kernels
from scoville.transformer.operators import CLASSES, COLLECTIVES

Array = NDArray[np.float64]
Pair = tuple[str, str]

SYSTOLIC = "systolic"  # in place of an engine family: time the chip's arrays
TIMERS = (*FAMILIES, SYSTOLIC)
FITTED_CLASSES = ("gemm", "moe", "attention", "collective")


@dataclass(frozen=True, slots=True)
class Link:
    """One level of the network: arrays of shape (n,); `domain_count` is infinite for scale-out."""

    name: str
    bandwidth_bytes_per_s: Array
    latency_s: Array
    domain_count: float
    switched: bool


@dataclass(frozen=True, slots=True)
class Chips:
    """What timing needs of n chips. Every array has shape (n,).

    `time_frac` multiplies every time: the chip's own error (1 is the central value). `kernels` time what they can in
    place of the efficiencies: tables of a measured chip, its arrays, or the fitted roofline, whose error on a chip that
    was not fitted is `class_frac`: factors by class, 'gemm', 'moe', 'attention' and 'collective'.
    """

    name: str
    compute_flop_per_s: Mapping[Pair, Array]
    memory_bytes: Array
    memory_bytes_per_s: Array
    links: tuple[Link, ...]
    tdp_w: Array
    idle_w: Array
    compute_efficiency_frac: Mapping[tuple[str, str], Array]
    memory_efficiency_frac: Mapping[str, Array]
    link_efficiency_frac: Mapping[str, Array]
    overlap_frac: Mapping[str, Array]
    launch_s: Mapping[str, Array]
    collective_base_s: Mapping[str, Array]
    collective_per_rank_s: Mapping[str, Array]
    step_overhead_s: Array
    compute_power_frac: Array
    memory_j_per_byte: Array
    link_j_per_byte: Array
    memory_use_frac: Array
    reserve_bytes: Array
    time_frac: Array
    provenance: str
    relative_uncertainty_frac: float
    kernels: MeasuredKernels | FittedKernels | SystolicKernels | None = None
    class_frac: Mapping[str, Array] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many chips or samples."""
        return int(self.memory_bytes_per_s.shape[0])

    def rate(self, weight: str, activation: str) -> Pair:
        """The formats in which weights and activations of the given rate classes are multiplied on this chip.

        The exact pair; else the same weights with wider activations; else both widened, least first. Weights stay as
        stored. Raises FactError for a chip without any rate wide enough.
        """
        for w in WIDER[weight]:
            for a in WIDER[activation]:
                if (w, a) in self.compute_flop_per_s:
                    return w, a
        asked = " or ".join(f"compute_{name}" for name in dict.fromkeys((weight, "bf16")))
        raise FactError(
            f"{self.name}: no compute rate for {weight} weights and {activation} activations or anything wider; "
            f"add {asked} to its facts"
        )

    def link_for(self, span_count: float) -> int:
        """Index of the innermost level that reaches `span_count` chips."""
        for i, link in enumerate(self.links):
            if span_count <= link.domain_count:
                return i
        return len(self.links) - 1


def timing_evidence(accelerator: Accelerator, facts: Facts) -> str:
    """How well this chip's timing is known: 'measured', 'related' to a measured one, 'unmeasured' or 'claimed'.

    Subject `timing-evidence` of the facts says so by chip; a chip that it does not name, such as a user's own, is
    unmeasured.
    """
    fact = facts.find("timing-evidence", accelerator.id)
    return str(fact.value) if fact else "unmeasured"


def chips(accelerator: Accelerator, facts: Facts, draws: Draws, kernels: str = "vllm") -> Chips:
    """The chip with every fact drawn: n = draws.n samples; `kernels` is the engine family whose kernels run on it, or
    "systolic" to time its arrays.

    Raises FactError for a chip that cannot be timed, or has no arrays to time.
    """
    if accelerator.missing:
        raise FactError(
            f"{accelerator.id} cannot be timed, because nobody has published: {', '.join(accelerator.missing)}; "
            f"add them with --facts my.toml"
        )

    def known(subject: str, name: str) -> Array:
        return draws.sample(facts.get(subject, name))

    # The large memory if its bandwidth is known, else the SRAM; the cap of a chip without a TDP is its all-in power,
    # and one whose power nobody states has no cap and no energy (NaN).
    tiers = [tier for name in ("main", "sram") if (tier := accelerator.tier(name)) and tier.bandwidth]
    cap = accelerator.tdp or accelerator.all_in_power
    if not tiers or tiers[0].bandwidth is None:
        raise FactError(f"{accelerator.id} cannot be timed: its memory is unknown; add it with --facts my.toml")
    memory, bandwidth = tiers[0], tiers[0].bandwidth
    of_sram = "sram_" if memory.name == "sram" else ""
    tdp = draws.sample(cap) if cap else np.full(draws.n, np.nan)
    idle = draws.sample(accelerator.idle_power) if accelerator.idle_power else tdp * known("power", "idle_share")
    evidence = timing_evidence(accelerator, facts)
    fitted = fitted_kernels(accelerator, facts, kernels)
    measured = measured_kernels(accelerator.id, kernels, fitted)
    if measured and not measured.agrees(bandwidth.number, fitted.compute_flop_per_s):
        measured = None
    arrays = systolic_kernels(accelerator, facts, draws, fitted) if kernels == SYSTOLIC else None
    spread = facts.get("uncertainty", f"chip_{evidence}")
    by_class = {c: facts.get("uncertainty", f"class_{c}") for c in FITTED_CLASSES}
    family = facts.find("timing-family", accelerator.id)

    def error(fact: Fact, name: str) -> Array:
        subject = str(family.value) if family else accelerator.id
        return draws.sample(replace(fact, subject=subject, name=name, driver=""))

    rates = sorted({a for pair in accelerator.compute for a in pair})
    compute_classes: list[str] = [c for c in CLASSES if c not in ("elementwise", "collective")]
    efficiency = {(c, r): known("efficiency", f"{c}_compute_{r}") for c in compute_classes for r in rates} | {
        ("elementwise", r): known("efficiency", "elementwise_compute") for r in rates
    }
    return Chips(
        name=accelerator.id,
        compute_flop_per_s={pair: draws.sample(fact) for pair, fact in accelerator.compute.items()},
        memory_bytes=draws.sample(memory.capacity),
        memory_bytes_per_s=draws.sample(bandwidth),
        links=tuple(
            Link(
                level.name,
                draws.sample(level.bandwidth),
                draws.sample(level.latency),
                level.domain.number if level.domain else np.inf,
                level.topology == "switched",
            )
            for level in accelerator.links
        ),
        tdp_w=tdp,
        idle_w=np.minimum(idle, 0.9 * tdp),
        compute_efficiency_frac=efficiency,
        memory_efficiency_frac={c: known("efficiency", f"{c}_memory") for c in CLASSES if c != "collective"},
        link_efficiency_frac={k: known("collective", f"{k}_bandwidth") for k in COLLECTIVES},
        overlap_frac={
            "all_reduce": known("collective", "overlap_all_reduce"),
            "all_to_all": known("collective", "overlap_all_to_all"),
        },
        launch_s={c: known("launch", c) for c in ("gemm", "moe", "attention", "elementwise")},
        collective_base_s={k: known("collective", f"latency_base_{k}") for k in COLLECTIVES},
        collective_per_rank_s={
            k: known("collective", f"latency_per_rank_{k}") for k in COLLECTIVES if k != "point_to_point"
        },
        step_overhead_s=known("engine", "step_overhead"),
        compute_power_frac=known("power", "compute_share"),
        memory_j_per_byte=known("power", "energy_per_byte_hbm"),
        link_j_per_byte=known("power", "energy_per_byte_link"),
        memory_use_frac=known("engine", f"{of_sram}memory_fraction"),
        reserve_bytes=known("engine", f"{of_sram}activation_reserve"),
        time_frac=error(spread, "timing_error"),
        provenance=(
            f"systolic arrays; this chip: {evidence}"
            if arrays
            else f"kernels measured with {measured.family}, fitted roofline for the rest"
            if measured
            else f"roofline fitted to kernels of Hopper, Ampere and Ada with {fitted.family}; this chip: {evidence}"
        ),
        relative_uncertainty_frac=(
            _half(spread) if measured or arrays else math.hypot(_half(spread), _half(by_class["gemm"]))
        ),
        kernels=arrays or measured or fitted,
        class_frac={c: error(fact, f"timing_error_{c}") for c, fact in by_class.items()},
    )


def _half(spread: Fact) -> float:
    return (spread.high - spread.low) / 2
