"""Measured expert layers: how long the routed experts of a layer take on one rank, on a chip, in an engine family.

One time is the pair `experts_up` and `experts_down`: sorting the tokens by expert, both grouped GEMMs, the activation
between them and the weighted sum. Time is the fitted roofline of the kernel times exp(residual). The residual of a
layout nobody measured is kriged from the measured curves of residual against tokens (Matheron, "Principles of
Geostatistics", 1963): layouts of like hidden size, intermediate size per rank, experts per rank and top-k resemble each
other. A measured layout returns its own curve.

Tokens are those of all ranks that share the experts; the rank timed is the busiest one. The tables repeat one layer on
the same weights: as many as fit into the chip's cache are then read from there. No engine's step sees that, since other
layers pass in between; `cached=True` gives the time as measured, the default the time with weights from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.errors import DeploymentError
from scoville.timing.measured.generation import Generation
from scoville.timing.measured.moe_routing import Load, routing_load
from scoville.timing.measured.tables import frame
from scoville.transformer.architecture import FORMATS

if TYPE_CHECKING:
    import polars as pl

    from scoville.facts import Facts

Array = NDArray[np.float64]
RESIDUAL_STEP = 2e-3  # log units of the stored residuals
LONGEST = 2**20  # tokens up to which a curve is drawn
_BF16_BYTES = FORMATS["bf16"].size_bytes
_COLUMNS = ("chip", "family", "format")
_LAYOUT = ("hidden", "intermediate", "experts", "top_k", "tensor", "expert")


class MoeFormat(NamedTuple):
    """How operands are stored: names of `transformer.architecture.FORMATS`."""

    weight: str
    activation: str


MOE_FORMATS: Mapping[str, MoeFormat] = {
    "bf16": MoeFormat("bf16", "bf16"),
    "fp8": MoeFormat("fp8", "fp8"),  # one scale per tensor
    "fp8_block": MoeFormat("fp8", "fp8"),  # scales of 128 x 128 weights and 1 x 128 activations, as DeepSeek-V3
    "int4_bf16": MoeFormat("int4", "bf16"),
    "mxfp4_bf16": MoeFormat("mxfp4", "bf16"),
}


class ExpertLayout(NamedTuple):
    """Routed experts of a layer and their split: `tensor` ranks share an expert, `expert` groups share the experts.

    intermediate  of the whole expert, before the split by `tensor`
    gated         two up projections (SwiGLU) rather than one
    """

    hidden: int
    intermediate: int
    experts: int
    top_k: int
    tensor: int = 1
    expert: int = 1
    gated: bool = True

    def check(self) -> None:
        """Raises DeploymentError where a size is not positive or the experts don't divide."""
        if min(self[:6]) < 1 or self.top_k > self.experts or self.experts % self.expert:
            raise DeploymentError(
                f"experts: {self.experts} experts, top-{self.top_k}, hidden {self.hidden}, intermediate "
                f"{self.intermediate} on {self.tensor} x {self.expert} ranks; expected positive numbers, top-k at most "
                f"the experts, and experts a multiple of the expert groups"
            )

    @property
    def elements(self) -> float:
        """Weights of one expert on one rank."""
        return (3 if self.gated else 2) * self.hidden * self.intermediate / self.tensor


@dataclass(frozen=True, slots=True)
class MoeChip:
    """What the experts need of a chip: peak of their format, memory bandwidth, last-level cache (0 where unknown).

    `unit_memory_frac` as `Generation` has it. Arrays (n, 1) are n chips at once.
    """

    peak_flop_per_s: float | Array
    memory_bytes_per_s: float | Array
    cache_bytes: float
    unit_memory_frac: float | Array = 1.0


def moe_chip(facts: Facts, chip: str, fmt: MoeFormat) -> MoeChip:
    """Peak of the format, bandwidth and cache of a chip. Raises DeploymentError where it states no such peak."""
    accelerator = facts.accelerator(chip)
    weight, activation = FORMATS[fmt.weight].rate, FORMATS[fmt.activation].rate
    peak = accelerator.compute.get((weight, activation)) or accelerator.compute.get((activation, activation))
    memory = accelerator.tier("main")
    if peak is None or memory is None or memory.bandwidth is None:
        raise DeploymentError(f"experts: {accelerator.id} has no peak for {fmt.weight}, or no memory bandwidth")
    cache = facts.find("kernel-moe", f"level2_{accelerator.id}")
    unit_memory_frac = Generation.of(accelerator, facts).unit_memory_frac
    return MoeChip(peak.number, memory.bandwidth.number, cache.number if cache else 0.0, unit_memory_frac)


@dataclass(frozen=True, slots=True)
class MoeKernel:
    """Parameters of the fitted roofline.

    fixed_s          start and end of the kernels, sorting included
    compute_frac     share of the peak that full tiles reach
    memory_frac      share of the bandwidth at which weights are read
    overlap_frac     how much of the shorter time shows beside the longer: 0 none, 1 all
    row_count        how often each row's inputs and outputs cross the memory, both GEMMs, on this rank
    routing_count    how often a hidden vector per token and expert crosses it, experts of other ranks included
    cache_frac       touched weights up to about this share of the cache stay there between repetitions of a layer
    unit_frac        share of the rows' crossing that takes the units' time rather than the memory's: it goes with
                     cycles and units, and stands for as many bytes as an H100 moves in that time
    """

    fixed_s: float
    compute_frac: float
    memory_frac: float
    overlap_frac: float
    row_count: float
    routing_count: float
    cache_frac: float
    unit_frac: float = 0.0


def light_seconds(chip: MoeChip, fmt: MoeFormat, layout: ExpertLayout, load: Load, cached: bool = False) -> Array:
    """The roofline at full peak and full bandwidth: no kernel is faster; `cached` counts no weights. (tokens,)."""
    flop = 2.0 * load.rows * layout.elements
    weights = 0.0 if cached else load.touched * layout.elements * FORMATS[fmt.weight].size_bytes
    memory = weights + load.rows * layout.hidden * _BF16_BYTES / layout.top_k
    return np.asarray(np.maximum(flop / chip.peak_flop_per_s, memory / chip.memory_bytes_per_s))


def roofline_seconds(
    kernel: MoeKernel,
    chip: MoeChip,
    fmt: MoeFormat,
    layout: ExpertLayout,
    tokens: ArrayLike,
    load: Load,
    cached: bool = False,
) -> Array:
    """Fitted roofline of the pair of grouped GEMMs, (tokens,): tiles against weights touched and rows moved."""
    inner = layout.intermediate / layout.tensor
    a = FORMATS[fmt.activation].size_bytes
    per_row = layout.hidden * (a + _BF16_BYTES) + inner * (a + (2 if layout.gated else 1) * _BF16_BYTES)
    weights = load.touched * layout.elements * FORMATS[fmt.weight].size_bytes
    if cached:
        weights = weights / (1 + (kernel.cache_frac * chip.cache_bytes / weights) ** 6)
    routed = np.asarray(tokens, float) * layout.top_k * layout.hidden * _BF16_BYTES
    handled = kernel.row_count * load.rows * per_row + kernel.routing_count * routed
    moved = weights / kernel.memory_frac + handled * (1 + kernel.unit_frac * (chip.unit_memory_frac - 1))
    memory = moved / chip.memory_bytes_per_s
    compute = 2.0 * load.padded * layout.elements / (chip.peak_flop_per_s * kernel.compute_frac)
    return np.asarray(kernel.fixed_s + np.maximum(compute, memory) + kernel.overlap_frac * np.minimum(compute, memory))


def place(layouts: Array, reach: Array) -> Array:
    """Layouts as points among which residuals are interpolated, (n, 6), from rows of `_LAYOUT`, (n, 6).

    Axes: hidden size, intermediate size and experts per rank, top-k, expert groups in octaves over their reach (how far
    apart layouts still resemble each other), and whether the experts are shared out at all.
    """
    hidden, inner, experts, top_k, tensor, expert = layouts.T
    axes = [np.log2(x) for x in (hidden, inner / tensor, experts / expert, top_k, expert)]
    return np.stack([*axes, (expert > 1).astype(float)], 1) / reach


@dataclass(frozen=True, slots=True)
class Curves:
    """Measured residuals of one kernel under one distribution, and their kriging.

    layouts        (n, 6) rows of `_LAYOUT`
    log_ratio_frac (n, knots)
    points         (n, 6), see `place`
    mean_frac      (knots,), and weights_frac (n, knots), of the kriging
    """

    layouts: Array
    log_ratio_frac: Array
    points: Array
    mean_frac: Array
    weights_frac: Array

    @classmethod
    def of(cls, layouts: Array, log_ratio_frac: Array, reach: Array, noise_frac: float) -> Curves:
        """Ordinary kriging with exponential correlation: solves for the mean and the weights of every knot."""
        points = place(layouts, reach)
        covariance = correlation(points, points) + noise_frac * np.eye(len(points))
        solved = np.linalg.solve(covariance, np.column_stack([log_ratio_frac, np.ones(len(points))]))
        mean = solved[:, :-1].sum(0) / solved[:, -1].sum()
        return cls(layouts, log_ratio_frac, points, mean, solved[:, :-1] - solved[:, -1:] * mean)

    def at(self, layout: Array, reach: Array) -> Array:
        """Residual curve of a layout (6,): its own where measured; moved to the border where it lies beyond."""
        same = (self.layouts == layout).all(1)
        if same.any():
            return np.asarray(self.log_ratio_frac[same.argmax()])
        point = np.clip(place(layout[None], reach), self.points.min(0), self.points.max(0))
        return np.asarray(self.mean_frac + (correlation(point, self.points) @ self.weights_frac)[0])


def correlation(a: Array, b: Array) -> Array:
    """exp(-distance) between points (n, axes) and (m, axes): (n, m)."""
    return np.asarray(np.exp(-np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))))


@dataclass(frozen=True, slots=True)
class KernelTable:
    """One kernel's roofline and residual curves by distribution."""

    kernel: MoeKernel
    gated: bool
    reach: Array
    curves: Mapping[str, Curves]


@dataclass(frozen=True)
class MoeTimes:
    """Measured experts of one chip, engine family and format; `tokens` are the knots of all curves."""

    name: str
    format: MoeFormat
    chip: MoeChip
    tokens: tuple[int, ...]
    tables: tuple[KernelTable, ...]
    _drawn: dict[tuple[ExpertLayout, str, bool], tuple[Array, Array]] = field(default_factory=dict, repr=False)

    def seconds(
        self,
        tokens: ArrayLike,
        hidden: int,
        intermediate: int,
        experts: int,
        top_k: int,
        tensor: int = 1,
        expert: int = 1,
        distribution: str = "power_law_1.2",
        *,
        gated: bool = True,
        cached: bool = False,
    ) -> Array:
        """Seconds of up and down projection together, in the shape of `tokens` (of all ranks; below one counts as one).

        Raises DeploymentError for an impossible layout or an unknown distribution. Beyond the last knot the roofline
        continues with the last residual.
        """
        layout = ExpertLayout(hidden, intermediate, experts, top_k, tensor, expert, gated)
        log_tokens, log_seconds = self._curve(layout, distribution, cached)
        at = np.log(np.maximum(np.asarray(tokens, float), 1.0))
        return np.asarray(np.exp(np.interp(at, log_tokens, log_seconds)))

    def covers(
        self,
        tokens: ArrayLike,
        hidden: int,
        intermediate: int,
        experts: int,
        top_k: int,
        tensor: int = 1,
        expert: int = 1,
        distribution: str = "power_law_1.2",
        *,
        gated: bool = True,
    ) -> NDArray[np.bool_]:
        """Whether tokens and layout lie within what was measured; elsewhere the answer is extrapolated."""
        layout = ExpertLayout(hidden, intermediate, experts, top_k, tensor, expert, gated)
        table = self._table(layout, distribution)
        points = table.curves[distribution].points
        point = place(np.array([layout[:6]], float), table.reach)[0]
        inside = table.gated == gated and bool(((point >= points.min(0)) & (point <= points.max(0))).all())
        t = np.asarray(tokens, float)
        return np.asarray((t >= 1) & (t <= self.tokens[-1]) & inside)

    def _table(self, layout: ExpertLayout, distribution: str) -> KernelTable:
        """The kernel the engine takes for a layout: that of the nearest measured layout, gated as it is if possible."""
        layout.check()
        known = [t for t in self.tables if distribution in t.curves]
        if not known:
            listed = ", ".join(sorted({d for t in self.tables for d in t.curves}))
            raise DeploymentError(
                f"experts: no measured distribution '{distribution}' in {self.name}; expected {listed}"
            )
        alike = [t for t in known if t.gated == layout.gated] or known
        row = np.array([layout[:6]], float)

        def distance(t: KernelTable) -> float:
            return float(np.abs(place(row, _EVEN) - place(t.curves[distribution].layouts, _EVEN)).sum(1).min())

        return min(alike, key=distance)

    def _curve(self, layout: ExpertLayout, distribution: str, cached: bool) -> tuple[Array, Array]:
        """Log seconds at log tokens: the knots, and octaves beyond them."""
        key = (layout, distribution, cached)
        if key not in self._drawn:
            table = self._table(layout, distribution)
            beyond, t = [], self.tokens[-1] * 2
            while t <= LONGEST:
                beyond.append(t)
                t *= 2
            knots = (*self.tokens, *beyond)
            load = routing_load(knots, layout.experts, layout.top_k, layout.expert, distribution)
            base = roofline_seconds(table.kernel, self.chip, self.format, layout, knots, load, cached)
            residual = table.curves[distribution].at(np.array(layout[:6], float), table.reach)
            log_time = np.log(base) + np.concatenate([residual, np.full(len(beyond), residual[-1])])
            light = light_seconds(self.chip, self.format, layout, load, cached)
            self._drawn[key] = np.log(knots), np.maximum(log_time if cached else level(log_time), np.log(light))
        return self._drawn[key]


def level(y: Array) -> Array:
    """The nearest series (knots,) that never falls: pooled adjacent violators (Ayer et al. 1955).

    >>> level(np.array([1.0, 3.0, 2.0, 4.0])).tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    pools: list[tuple[float, int]] = []
    for value in y:
        total, count = float(value), 1
        while pools and pools[-1][0] * count >= total * pools[-1][1]:
            before, n = pools.pop()
            total, count = total + before, count + n
        pools.append((total, count))
    return np.concatenate([np.full(n, total / n) for total, n in pools])


_EVEN = np.array([1.0, 1.0, 1.0, 1.0, 4.0, 0.25])  # octaves; whether experts are shared out weighs most


@lru_cache(maxsize=1)
def _tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    return frame("moe_parameters"), frame("moe")


def moe_tables() -> tuple[tuple[str, str, str], ...]:
    """(chip, engine family, format) of every measured table."""
    return tuple(_tables()[0].select(_COLUMNS).unique(maintain_order=True).iter_rows())


@lru_cache(maxsize=32)
def moe_times(chip: str, family: str, fmt: str) -> MoeTimes:
    """The measured table. Raises DeploymentError where there is none."""
    known = moe_tables()
    if (chip, family, fmt) not in known:
        listed = "; ".join(" ".join(x) for x in known)
        raise DeploymentError(f"experts: no measured table for {chip} {family} {fmt}; expected one of {listed}")
    parameters, residuals = (t.filter(chip=chip, family=family, format=fmt).drop(_COLUMNS) for t in _tables())
    return moe_times_of(f"{chip} {family} {fmt}", MOE_FORMATS[fmt], parameters, residuals)


def moe_times_of(name: str, fmt: MoeFormat, parameters: pl.DataFrame, residuals: pl.DataFrame) -> MoeTimes:
    """From a row of parameters per kernel, and a residual list over the knots per kernel, distribution and layout."""
    rows = list(parameters.iter_rows(named=True))
    tables = []
    for row in rows:
        reach = np.asarray(row["reach"], float)
        of_kernel = residuals.filter(kernel=row["kernel"])
        curves = {}
        for (distribution,), part in of_kernel.group_by("distribution", maintain_order=True):
            steps = np.asarray(part["residual"].to_list(), float)
            layouts = part.select(_LAYOUT).to_numpy().astype(float)
            curves[str(distribution)] = Curves.of(layouts, steps * RESIDUAL_STEP, reach, row["noise_frac"])
        kernel = MoeKernel(**{f.name: row[f.name] for f in fields(MoeKernel) if f.name in row})
        tables.append(KernelTable(kernel, row["gated"], reach, curves))
    chip = MoeChip(**{f.name: rows[0][f.name] for f in fields(MoeChip) if f.name in rows[0]})
    return MoeTimes(name, fmt, chip, tuple(rows[0]["tokens"]), tuple(tables))
