"""A chip of round figures, for arithmetic on paper, and chips of the bundled facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from scoville.facts import Draws, Facts, load
from scoville.timing import Chips, chips
from scoville.timing.chips import Link
from scoville.transformer.operators import CLASSES, COLLECTIVES

KERNELS = [c for c in CLASSES if c != "collective"]


def link(name: str, bandwidth: float, latency: float, domain: float = float("inf"), switched: bool = True) -> Link:
    return Link(name, np.array([bandwidth]), np.array([latency]), domain, switched)


def all_equal(keys: Any, value: float) -> dict[Any, Any]:
    return {k: np.array([value]) for k in keys}


def paper_chip(**changes: Any) -> Chips:
    """1,000 TFLOP/s in bf16, 2,000 in fp8 at 80 %, 80 GB at 4 TB/s and 75 %, 8 chips at 400 GB/s and 50 %; a kernel
    starts in 5 us, a collective takes 2 us and 1 us per further rank beside its link, the engine 100 us a step."""
    chip = Chips(
        name="paper",
        compute_flop_per_s={("bf16", "bf16"): np.array([1e15]), ("fp8", "fp8"): np.array([2e15])},
        memory_bytes=np.array([80e9]),
        memory_bytes_per_s=np.array([4e12]),
        links=(link("scale_up", 400e9, 3e-6, 8), link("scale_out", 50e9, 10e-6)),
        tdp_w=np.array([1000.0]),
        idle_w=np.array([100.0]),
        compute_efficiency_frac=all_equal([(k, r) for k in KERNELS for r in ("bf16", "fp8")], 0.8),
        memory_efficiency_frac=all_equal(KERNELS, 0.75),
        link_efficiency_frac=all_equal(COLLECTIVES, 0.5),
        overlap_frac={"all_reduce": np.zeros(1), "all_to_all": np.array([0.25])},
        launch_s=all_equal(("gemm", "moe", "attention", "elementwise"), 5e-6),
        collective_base_s=all_equal(COLLECTIVES, 2e-6),
        collective_per_rank_s=all_equal(COLLECTIVES, 1e-6),
        step_overhead_s=np.array([100e-6]),
        compute_power_frac=np.array([0.6]),
        memory_j_per_byte=np.array([40e-12]),
        link_j_per_byte=np.array([80e-12]),
        memory_use_frac=np.array([0.9]),
        reserve_bytes=np.array([4e9]),
        time_frac=np.array([1.0]),
        provenance="paper",
        relative_uncertainty_frac=0.0,
    )
    return replace(chip, **changes)


def one_sample(on: Chips, i: int) -> Chips:
    """Sample i alone, as a chip with n = 1."""

    def cut(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value[i : i + 1]
        if isinstance(value, Mapping):
            return {k: cut(v) for k, v in value.items()}
        if isinstance(value, Link):
            return replace(
                value, bandwidth_bytes_per_s=cut(value.bandwidth_bytes_per_s), latency_s=cut(value.latency_s)
            )
        return tuple(cut(v) for v in value) if isinstance(value, tuple) else value

    return Chips(**{f.name: cut(getattr(on, f.name)) for f in fields(Chips)})


@pytest.fixture(scope="session")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="session")
def central(facts: Facts) -> Callable[[str], Chips]:
    """A bundled chip at its central values."""
    return lambda name: chips(facts.accelerator(name), facts, Draws.central())
