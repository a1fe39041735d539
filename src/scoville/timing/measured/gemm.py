"""Measured matrix products: how long m rows times a k x n weight take on a chip, in an engine family and a format.

Two layers. `roofline_seconds` is the fitted roofline: nine parameters that mean something (`GemmKernel`), usable for
any chip with known peaks. `GemmTimes` multiplies it by what a chip's table measured over it, interpolated in log m,
log n and log k. FLOP and bytes are those of `transformer.blocks`: 2 m n k; weight, input and output once.

What the tables hold: the product with the quantisation of its bf16 activations where the format needs one, replayed
back to back. Example: 1,024 x 4,096 x 4,096 in bf16 are 34.4 GFLOP, 35 us at the 989 TFLOP/s of an H100; measured 43.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.errors import DeploymentError
from scoville.timing.measured import tables
from scoville.timing.measured.tables import place
from scoville.transformer.architecture import FORMATS

if TYPE_CHECKING:
    import polars as pl

    from scoville.facts import Facts

Array = NDArray[np.float64]
RESIDUAL_STEP = 2e-3  # log units of the stored residuals
TILES = ((16, 64), (64, 64), (64, 128), (128, 128), (128, 256))  # rows x columns that kernels compute at a time
_COLUMNS = ("chip", "family", "format")


class GemmFormat(NamedTuple):
    """How operands are stored: names of `transformer.architecture.FORMATS`."""

    weight: str
    activation: str

    @property
    def weight_bytes(self) -> float:
        """Bytes per element of the weight."""
        return FORMATS[self.weight].size_bytes

    @property
    def activation_bytes(self) -> float:
        """Bytes per element of the input; the output is bf16."""
        return FORMATS[self.activation].size_bytes


GEMM_FORMATS: Mapping[str, GemmFormat] = {
    "bf16": GemmFormat("bf16", "bf16"),
    "fp8": GemmFormat("fp8", "fp8"),  # one scale per tensor, or per row and column
    "fp8_block": GemmFormat("fp8", "fp8"),  # scales of 128 x 128 weights and 1 x 128 activations, as DeepSeek-V3
    "int8": GemmFormat("int8", "int8"),  # SmoothQuant
    "int8_bf16": GemmFormat("int8", "bf16"),  # 8-bit weights, expanded and multiplied in bf16
    "int4_bf16": GemmFormat("int4", "bf16"),
}


@dataclass(frozen=True, slots=True)
class GemmChip:
    """What a product needs of a chip: peak of its format, memory bandwidth, matrix units (SMs, compute units).

    Arrays (n, 1) are n chips at once.
    """

    peak_flop_per_s: float | Array
    memory_bytes_per_s: float | Array
    units_count: float | Array


@dataclass(frozen=True, slots=True)
class GemmKernel:
    """Parameters of the fitted roofline.

    fixed_s               start and end of the kernel, and of the one that quantises
    compute_frac          share of the peak that an endless tile reaches
    memory_frac           share of the memory bandwidth
    overlap_frac          how much of the shorter times shows beside the longest: 0 none, 1 all
    edge_s_per_count      time of a unit to fetch an element of a tile's edges: a x b elements of work cost a + b
    wave_frac             1: the units work in whole waves of tiles; 0: the last wave costs what it holds
    loop_s_per_count      least time per element of k that one unit works off
    split_count           elements of k that a unit keeps at least, where k is split among idle units
    quantise_s_per_count  time of a unit to quantise an element of the input
    """

    fixed_s: float
    compute_frac: float
    memory_frac: float
    overlap_frac: float
    edge_s_per_count: float
    wave_frac: float
    loop_s_per_count: float
    split_count: float
    quantise_s_per_count: float


def gemm_bytes(fmt: GemmFormat, m: ArrayLike, n: ArrayLike, k: ArrayLike) -> Array:
    """Weight, input and output in bytes, each once; shapes broadcast."""
    m, n, k = (np.asarray(x, float) for x in (m, n, k))
    return np.asarray(n * k * fmt.weight_bytes + m * (k * fmt.activation_bytes + n * FORMATS["bf16"].size_bytes))


def light_seconds(chip: GemmChip, fmt: GemmFormat, m: ArrayLike, n: ArrayLike, k: ArrayLike) -> Array:
    """The roofline at full peak and full bandwidth: no kernel is faster. Shapes broadcast."""
    flop = 2.0 * np.asarray(m, float) * np.asarray(n, float) * np.asarray(k, float)
    return np.asarray(
        np.maximum(flop / chip.peak_flop_per_s, gemm_bytes(fmt, m, n, k) / chip.memory_bytes_per_s), float
    )


def roofline_seconds(
    kernel: GemmKernel, chip: GemmChip, fmt: GemmFormat, m: ArrayLike, n: ArrayLike, k: ArrayLike
) -> Array:
    """Fitted roofline of m rows (1 or more, fractions allowed) times a k x n weight; shapes broadcast.

    The tile that suits best is taken. Its rows and columns are rounded up, its waves fill the units, idle units share k
    (split-K); arithmetic, memory and the loop over k overlap but for `overlap_frac` of the shorter ones. Quantising the
    input comes before. Osama et al., "Stream-K" (PPoPP 2023), describe tile and wave quantisation.
    """
    m, n, k = (np.asarray(x, float) for x in (m, n, k))
    memory = gemm_bytes(fmt, m, n, k) / (chip.memory_bytes_per_s * kernel.memory_frac)
    per_unit = chip.peak_flop_per_s * kernel.compute_frac / chip.units_count
    splits = np.maximum(1.0, k / kernel.split_count)
    best = np.asarray(np.inf)
    for rows, columns in TILES:
        tiles = np.ceil(m / rows) * np.ceil(n / columns)
        split = np.clip(chip.units_count / tiles, 1.0, splits)
        share = k / split
        filled = tiles * split / chip.units_count
        waves = kernel.wave_frac * np.ceil(filled) + (1 - kernel.wave_frac) * np.maximum(filled, 1.0)
        compute = waves * share * (2.0 * rows * columns / per_unit + kernel.edge_s_per_count * (rows + columns))
        loop = share * kernel.loop_s_per_count
        longest = np.maximum(np.maximum(compute, memory), loop)
        time = longest + kernel.overlap_frac * (compute + memory + loop - longest)
        best = np.minimum(best, time)
    quantise = m * k * (kernel.quantise_s_per_count / chip.units_count)
    return np.asarray(kernel.fixed_s + best + quantise)


@dataclass(frozen=True, slots=True)
class GemmTimes:
    """The measured table of one chip, engine family and format: fitted roofline times exp(residual).

    m_count, n_count, k_count   knots, ascending; (M,), (N,), (K,)
    log_ratio_frac              log of measured over roofline, (N, K, M)
    """

    name: str
    format: GemmFormat
    chip: GemmChip
    kernel: GemmKernel
    m_count: Array
    n_count: Array
    k_count: Array
    log_ratio_frac: Array

    def seconds(self, m: ArrayLike, n: ArrayLike, k: ArrayLike) -> Array:
        """Seconds of m rows (1 or more; expected numbers of tokens need not be whole) times a k x n weight.

        Shapes broadcast. Outside the table the residual at its border goes on (`covers` is False there). Never below
        `light_seconds`: small weights of a replayed kernel come from the cache, those of a model don't.
        """
        m, n, k = (np.asarray(x, float) for x in (m, n, k))
        a, u = place(self.m_count, m)
        b, v = place(self.n_count, n)
        c, w = place(self.k_count, k)
        r = self.log_ratio_frac
        residual = (1 - v) * ((1 - w) * _along(r, b, c, a, u) + w * _along(r, b, c + 1, a, u)) + v * (
            (1 - w) * _along(r, b + 1, c, a, u) + w * _along(r, b + 1, c + 1, a, u)
        )
        time = roofline_seconds(self.kernel, self.chip, self.format, m, n, k) * np.exp(residual)
        return np.maximum(time, light_seconds(self.chip, self.format, m, n, k))

    def quantised_seconds(self, m: ArrayLike, n: ArrayLike, k: ArrayLike, plain: GemmKernel) -> Array:
        """`seconds` where the kernel before quantises the input: less the launch of a kernel for that alone, which a
        `plain` product has not. Its work stays, as part of the kernel before.
        """
        launch_s = max(self.kernel.fixed_s - plain.fixed_s, 0.0)
        light = light_seconds(self.chip, self.format, m, n, k)
        return np.asarray(np.maximum(self.seconds(m, n, k) - launch_s, light))

    def covers(self, m: ArrayLike, n: ArrayLike, k: ArrayLike) -> NDArray[np.bool_]:
        """True where the shape lies inside the measured range; shapes broadcast."""
        inside = np.asarray(True)
        for knots, x in ((self.m_count, m), (self.n_count, n), (self.k_count, k)):
            inside = inside & (np.asarray(x) >= knots[0]) & (np.asarray(x) <= knots[-1])
        return np.asarray(inside)


def _along(r: Array, b: NDArray[np.intp], c: NDArray[np.intp], a: NDArray[np.intp], u: Array) -> Array:
    """Residual of one (n, k) between two knots of m."""
    return np.asarray((1 - u) * r[b, c, a] + u * r[b, c, a + 1])


def fitted_kernel(facts: Facts, fmt: str, family: str = "vllm") -> GemmKernel:
    """The roofline's parameters of a format, fitted across chips: central values of the facts `kernel-gemm`.

    vLLM's fp8 products are CUTLASS's, TensorRT-LLM's cuBLASLt's: two sets; families without tables take vLLM's.
    """
    library = fmt if fmt != "fp8" else "fp8_trtllm" if family == "trtllm" else "fp8_vllm"
    named = {f.name: facts.get("kernel-gemm", f"{f.name.partition('_')[0]}_{library}") for f in fields(GemmKernel)}
    return GemmKernel(**{name: fact.number for name, fact in named.items()})


def gemm_chip(facts: Facts, chip: str, fmt: str) -> GemmChip:
    """Peak of the format, bandwidth and matrix units of a chip; the default where nobody counted its units."""
    accelerator = facts.accelerator(chip)
    f = GEMM_FORMATS[fmt]
    weight, activation = FORMATS[f.weight].rate, FORMATS[f.activation].rate
    peak = accelerator.compute.get((weight, activation)) or accelerator.compute.get((activation, activation))
    memory = accelerator.tier("main")
    if peak is None or memory is None or memory.bandwidth is None:
        raise DeploymentError(f"gemm: {accelerator.id} has no peak for {fmt}, or no memory bandwidth; see its facts")
    units = facts.find("kernel-gemm", f"units_{accelerator.id}") or facts.get("kernel-gemm", "units_default")
    return GemmChip(peak.number, memory.bandwidth.number, units.number)


@lru_cache(maxsize=1)
def _tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    return tables.frame("gemm_parameters"), tables.frame("gemm")


def gemm_tables() -> tuple[tuple[str, str, str], ...]:
    """(chip, engine family, format) of every measured table."""
    return tuple(_tables()[0].select(_COLUMNS).iter_rows())


@lru_cache(maxsize=32)
def gemm_times(chip: str, family: str, fmt: str) -> GemmTimes:
    """The measured table. Raises DeploymentError where there is none."""
    known = gemm_tables()
    if (chip, family, fmt) not in known:
        listed = "; ".join(" ".join(x) for x in known)
        raise DeploymentError(f"gemm: no measured table for {chip} {family} {fmt}; expected one of {listed}")
    parameters, residuals = (t.filter(chip=chip, family=family, format=fmt).drop(_COLUMNS) for t in _tables())
    return gemm_times_of(f"{chip} {family} {fmt}", GEMM_FORMATS[fmt], parameters.row(0, named=True), residuals)


def gemm_times_of(name: str, fmt: GemmFormat, parameters: Mapping[str, Any], residuals: pl.DataFrame) -> GemmTimes:
    """From a row of parameters with knots, and residual rows (n, k, list over m) of a full grid in any order."""
    rows = residuals.sort("n", "k")
    n, k = (rows[x].unique().sort().to_numpy().astype(float) for x in ("n", "k"))
    m = np.asarray(parameters["m"], float)
    steps = rows["residual"].explode().to_numpy().reshape(len(n), len(k), len(m))
    return GemmTimes(
        name=name,
        format=fmt,
        chip=GemmChip(**{f.name: parameters[f.name] for f in fields(GemmChip)}),
        kernel=GemmKernel(**{f.name: parameters[f.name] for f in fields(GemmKernel)}),
        m_count=m,
        n_count=n,
        k_count=k,
        log_ratio_frac=steps * RESIDUAL_STEP,
    )
