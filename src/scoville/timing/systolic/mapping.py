"""How a matrix product is laid out on slices, arrays and on-chip memory, and what each layout takes.

The search tries every split over slices, every dataflow and every loop order over on-chip tiles, and takes the fastest
(as Timeloop, Parashar et al. 2019, and LLMCompass, Zhang et al. 2024, do with more levels).

Dataflows (Chen et al. 2016, "Eyeriss", section III; Samajdar et al. 2018, "SCALE-Sim", table III): the stationary
operand fills an array fold by fold, the others stream through it.

    dataflow   rows hold   columns hold   streams for
    weight     K           N              M vectors
    input      K           M              N vectors
    output     M           N              K vectors

A fold takes the longer of its stream and of loading the next one behind it, R cycles, the last only its stream: a TPU
v1 "holds one 64 KiB tile of weights plus one for double buffering, to hide the 256 cycles it takes to shift a tile in"
(Jouppi et al. 2017, section 2). What the first and the last cannot hide is `Hardware.fill_cycles_count`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scoville.timing.systolic.hardware import Hardware
from scoville.transformer.architecture import Format

Array = NDArray[np.float64]
Dataflow = Literal["weight", "input", "output"]
Resident = Literal["input", "weight", "output"]
RESIDENTS: tuple[Resident, ...] = ("input", "weight", "output")
_SUM_BYTES = 4.0  # partial sums are fp32
_NO_ROOM = 1e12
_BLOCK = 8192
_PROBES = 257
_FACTORS = (1, 2, 4, 8)
_OUT_BYTES = 2.0  # results are bf16, as in transformer.blocks


@dataclass(frozen=True, slots=True)
class Mapping:
    """One layout: slices that split batch, M, N and K; arrays that share a fold's stream; what stays where.

    `resident` is what the on-chip tile keeps while the other operands pass: all of K of some rows of the input, all of
    K of some columns of the weights, or a tile of sums. `tiles_factor_count` is how many times more tiles there are
    than the on-chip memory asks for: smaller ones start and end sooner.
    """

    batch_count: int
    m_count: int
    n_count: int
    k_count: int
    stream_count: int
    dataflow: Dataflow
    resident: Resident
    tiles_factor_count: int


@dataclass(frozen=True, slots=True)
class Levels:
    """Seconds of a product on each level, shape (m,); `total_s` is the longest plus what pipelining cannot hide.

    `memory_s` is that of off-chip memory or, if longer, of what brings its bytes to the slices.
    """

    array_s: Array
    sram_s: Array
    memory_s: Array
    total_s: Array


@dataclass(frozen=True, slots=True)
class Product:
    """`batch` products of m x k activations with k x n weights each; m and batch have shape (m,)."""

    m_count: Array
    batch_count: Array
    n_count: int
    k_count: int
    weight: Format
    activation: Format


def layouts(
    hw: Hardware, product: Product, *, batched: bool, only: Collection[Mapping] | None = None
) -> Iterator[tuple[Mapping, Levels]]:
    """Every layout of the product, or `only` these, with its time.

    Slices take whole products of a batch only where `batched`.
    """
    depth, beat = hw.pace(product.weight, product.activation)
    for splits in _splits(hw.slices_count, 4 if batched else 3):
        e, a, b, c = splits if batched else (1, *splits)
        wanted = [
            Mapping(e, a, b, c, streams, dataflow, resident, factor)
            for resident in RESIDENTS
            for factor in _FACTORS
            for dataflow, streams in _flows(hw.arrays_count)
        ]
        if only is not None:
            wanted = [x for x in wanted if x in only]
        if not wanted:
            continue
        part = _Part(hw, product, e, a, b, c, depth, beat)
        for resident, factor in dict.fromkeys((x.resident, x.tiles_factor_count) for x in wanted):
            tiling = part.tiling(resident, factor)
            for mapping in wanted:
                if (mapping.resident, mapping.tiles_factor_count) == (resident, factor):
                    yield mapping, part.levels(tiling, part.work(mapping.dataflow, mapping.stream_count, tiling))


def fastest_s(hw: Hardware, product: Product, *, batched: bool = False) -> Array:
    """Seconds of the best layout at every m, shape (m,), for m in ascending order.

    Many m are searched in blocks: all layouts at some of a block's m, then at all of them those that won.
    """
    best = np.full(product.m_count.shape, np.inf)
    for start in range(0, len(best), _BLOCK):
        part = slice(start, start + _BLOCK)
        block = replace(product, m_count=product.m_count[part], batch_count=product.batch_count[part])
        winners = _winners(hw, block, batched) if len(block.m_count) > 2 * _PROBES else None
        for _, levels in layouts(hw, block, batched=batched, only=winners):
            np.minimum(best[part], levels.total_s, out=best[part])
    return best


def _winners(hw: Hardware, block: Product, batched: bool) -> set[Mapping]:
    """The layouts that are best at one of the block's probes."""
    at = np.linspace(0, len(block.m_count) - 1, _PROBES).round().astype(int)
    probe = replace(block, m_count=block.m_count[at], batch_count=block.batch_count[at])
    found = list(layouts(hw, probe, batched=batched))
    return {found[i][0] for i in np.argmin(np.stack([levels.total_s for _, levels in found]), axis=0)}


@dataclass(frozen=True, slots=True)
class _Work:
    """What one dataflow does in a slice: array time, steps of its pipeline, bytes between arrays and on-chip memory."""

    array_s: Array
    steps_count: Array
    moved_bytes: Array | float


@dataclass(frozen=True, slots=True)
class _Tiling:
    """Tiles of M and of N in a slice, the chip's off-chip traffic, and the part of it before or after all work."""

    m_tiles_count: Array
    n_tiles_count: Array
    memory_s: Array
    edge_s: Array


class _Part:
    """The part of a product that one slice works on."""

    def __init__(
        self, hw: Hardware, product: Product, e: int, a: int, b: int, c: int, depth: float, beat: float
    ) -> None:
        self.hw, self.product, self.beat, self.depth = hw, product, beat, depth
        self.batch_split, self.k_split = e, c
        self.m = np.maximum(product.m_count / a, 1.0)
        self.n, self.k = -(-product.n_count // b), -(-product.k_count // c)
        self.batch = product.batch_count if e == 1 else np.ceil(product.batch_count / e)
        self.w, self.a = product.weight.size_bytes, product.activation.size_bytes
        self.rows_k = hw.rows_count * depth  # elements of K that an array holds
        self.k_folds = float(np.ceil(self.k / self.rows_k))
        self.n_folds = -(-self.n // hw.columns_count)
        self.inputs, self.weights = self.m * (self.k * self.a), self.k * self.n * self.w
        self.results = self.m * (self.n * _OUT_BYTES)
        self.sums = self.results + self.m * (self.n * 2 * _SUM_BYTES * (self.k_folds - 1))

    def tiles(self, resident: Resident) -> tuple[Array, Array]:
        """Tiles of M and of N that the on-chip memory divides the part into.

        Input tiles are read once, and weights once per tile of M; likewise the other way round. What passes is buffered
        twice, one array depth of K at a time, so that the next panel loads behind the present one. Sums under way
        are as wide as one array: the arrays of a slice divide K or the stream of the same columns.
        """
        hw, a, w = self.hw, self.a, self.w
        panel = 2.0 * min(self.k, self.rows_k)
        whole = np.ones_like(self.m)
        if resident == "input":
            width = float(min(self.n, hw.columns_count))
            rows = (hw.sram_bytes - panel * width * w) / (self.k * a + _SUM_BYTES * width)
            return _tiles(self.m, rows), whole
        if resident == "weight":
            height = np.minimum(self.m, float(hw.rows_count))
            return whole, _tiles(
                whole * self.n, (hw.sram_bytes - panel * height * a) / (self.k * w + _SUM_BYTES * height)
            )
        # Sums of rows x columns: traffic a / columns + w / rows is least where rows : columns is w : a.
        scale = (math.sqrt(panel**2 / 4 + hw.sram_bytes / (a * w)) - panel / 2) / 2
        width = min(scale * a, self.n)
        height = np.minimum((hw.sram_bytes - panel * w * width) / (_SUM_BYTES * width + panel * a), self.m)
        some = np.maximum(height, 1.0)
        across = (hw.sram_bytes - panel * a * some) / (_SUM_BYTES * some + panel * w)
        return _tiles(self.m, height), _tiles(whole * self.n, across)

    def tiling(self, resident: Resident, factor: int) -> _Tiling:
        """The tiles, the off-chip traffic of the whole chip, and what of it no work can hide.

        Slices that need the same operand get it from one read. Work begins when the resident tile has come, or ends
        before the last tile of results has gone.
        """
        p, hw = self.product, self.hw
        m_tiles, n_tiles = self.tiles(resident)
        if resident == "input":
            m_tiles = m_tiles * factor
        else:
            n_tiles = n_tiles * factor
        inputs, results, weights = (p.m_count * (p.k_count * self.a), p.m_count * (p.n_count * _OUT_BYTES), 0.0)
        if "activations" not in hw.off_chip:
            inputs, results = inputs * 0, results * 0
        if "weights" in hw.off_chip:
            weights = p.k_count * p.n_count * self.w
        moved = weights * m_tiles + inputs * n_tiles + results
        edge: Array
        if resident == "input":
            edge = inputs / m_tiles
        elif resident == "weight":
            edge = weights / n_tiles
        else:
            edge = results / (m_tiles * n_tiles)
        together = np.minimum(p.batch_count, self.batch_split)
        speed = hw.stream_bytes_per_s
        memory_s = p.batch_count * moved / speed
        if np.isfinite(hw.fabric_bytes_per_s):
            memory_s = np.maximum(memory_s, self.batch * self.exchanged(m_tiles, n_tiles) / hw.fabric_bytes_per_s)
        return _Tiling(m_tiles, n_tiles, memory_s, together * edge / speed)

    def exchanged(self, m_tiles: Array, n_tiles: Array) -> Array:
        """Bytes into and out of a slice: its operands once per tile, its results, and the sums it shares with others
        that have a part of K (a reduce-scatter)."""
        shared = self.m * (self.n * 2 * _SUM_BYTES * (self.k_split - 1) / self.k_split)
        return self.weights * m_tiles + self.inputs * n_tiles + self.results + shared

    def work(self, dataflow: Dataflow, streams: int, tiling: _Tiling) -> _Work:
        """The arrays' part. Tiles cut the stream of a dataflow, and with it the reuse of its folds, into pieces."""
        hw, m, n, k = self.hw, self.m, self.n, self.k
        m_tiles, n_tiles = tiling.m_tiles_count, tiling.n_tiles_count
        fed = np.isfinite(hw.sram_bytes_per_s)
        moved: Array | float = 0.0
        pieces: Array | float
        stream: Array | float
        if dataflow == "weight":
            folds: Array | float = self.k_folds * self.n_folds
            stream, pieces = m * self.beat, m_tiles * streams
            if fed:
                moved = self.inputs * self.n_folds + self.weights * pieces + self.sums
        elif dataflow == "input":
            m_folds = np.ceil(m / hw.columns_count)
            folds, stream, pieces = self.k_folds * m_folds, n * self.beat, n_tiles * streams
            if fed:
                moved = self.inputs * pieces + self.weights * m_folds + self.sums
        else:
            m_folds = np.ceil(m / hw.rows_count)
            folds, stream, pieces = m_folds * self.n_folds, k * self.beat / self.depth, 1.0
            if fed:
                moved = self.inputs * self.n_folds + self.weights * m_folds + self.results
        rounds = np.ceil(self.batch * folds * pieces / hw.arrays_count)
        stream = np.maximum(stream / pieces, self.beat) / hw.compute_frac
        cycles = (rounds - 1) * np.maximum(stream, hw.rows_count) + stream
        return _Work(cycles / hw.clock_count_per_s, np.maximum(cycles / hw.rows_count, 1.0), moved)

    def levels(self, tiling: _Tiling, work: _Work) -> Levels:
        """Time on each level. A pipeline takes its longest level throughout and the others once, at its ends."""
        hw, array_s, sram_s, memory_s = self.hw, work.array_s, np.zeros(1), tiling.memory_s
        if np.isfinite(hw.sram_bytes_per_s):
            moved = work.moved_bytes + self.exchanged(tiling.m_tiles_count, tiling.n_tiles_count)
            sram_s = self.batch * moved / hw.sram_bytes_per_s
        inside = np.maximum(array_s, sram_s)
        working = inside + np.minimum(array_s, sram_s) / work.steps_count + tiling.edge_s
        total = np.maximum(working, memory_s + inside / work.steps_count) + hw.fill_s
        return Levels(array_s, sram_s, memory_s, total)


def _tiles(whole: Array, room: Array | float) -> Array:
    """Tiles of at most `room` that `whole` is cut into; without room for one, so many that the layout is never best."""
    return np.where(np.asarray(room) >= 1, np.ceil(whole / np.maximum(room, 1.0)), _NO_ROOM)


@cache
def _splits(slices: int, ways: int) -> tuple[tuple[int, ...], ...]:
    """Ordered factorisations of the slices, in so many factors."""
    if ways == 1:
        return ((slices,),)
    return tuple((d, *rest) for d in range(1, slices + 1) if slices % d == 0 for rest in _splits(slices // d, ways - 1))


@cache
def _flows(arrays: int) -> tuple[tuple[Dataflow, int], ...]:
    """Dataflows, each with the arrays among which the stream of one fold may be divided; sums stay in one array."""
    shares = sorted({arrays, *(2**i for i in range(arrays.bit_length()))})
    moving: tuple[Dataflow, ...] = ("weight", "input")
    return (("output", 1), *((flow, share) for flow in moving for share in shares))
