"""A closed form of the systolic timer, for sweeps over millions of designs: one look at each level instead of a search.

Where `mapping` tries 840 to 3,700 layouts of a product, this takes two splits over slices that are best for one level
each, two things that may stay on chip under each, three dataflows, and no whole divisors:

    split     over M, N, K so that least crosses the network on the chip: a = sqrt(inputs slices / weights), the rest
              over N and K by inputs and sums; or so that tiles of sums are square; of many rows also over M and K
    resident  a tile of sums, of many rows also inputs with all of K; the other operands come again for each tile
    arrays    folds over slices x arrays, streams cut where there are too few folds for all arrays

The time is the longest level plus load and fill, as in `mapping.Levels`. docs/search.md says how far it is off.

Everything that does not depend on the chip is drawn once for a model, a sharding and m steps (`step_work`); the rest is
one compiled pass over n chips side by side, of which `plain(product_seconds)` is the source. NumPy needs some
250 array passes a product, about 120 ns at half a nanosecond each; compiled, the same takes a fifth of that.
"""

# numba has no types.
# mypy: disable-error-code="no-untyped-call,misc,no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numpy.typing import ArrayLike, NDArray

from scoville.errors import FactError
from scoville.timing.systolic.hardware import format_named

Array = NDArray[np.float64]
Pair = tuple[str, str]
FEW_ROWS = 512.0
_EXACT = 1 - 1e-12  # a quotient that is whole but for rounding is whole


class _Apart(CompilerBase):
    """Tells LLVM that no two arguments overlap; it checks at most eight arrays by itself."""

    def define_pipelines(self) -> list[Any]:
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


def inlined(function: Callable[..., Any]) -> Any:
    """Compiled into its callers, so that their loops over chips take several at once; `.py_func` is the function."""
    return numba.njit(error_model="numpy", fastmath=True, forceinline=True)(function)


def compiled(function: Callable[..., Any]) -> Any:
    """Compiled when first called and kept on disk; no two of its arguments may overlap."""
    return numba.njit(error_model="numpy", fastmath=True, nogil=True, cache=True, pipeline_class=_Apart)(function)


def plain(function: Any) -> Callable[..., Any]:
    """The source of an `inlined` function, with those that it calls, as ordinary Python: the scalar reference."""
    source = getattr(function, "py_func", function)  # numba may be told to compile nothing
    names = {name: getattr(value, "py_func", value) for name, value in source.__globals__.items()}
    return FunctionType(source.__code__, names, source.__name__)


@dataclass(frozen=True, eq=False)
class Machines:
    """n chips side by side, as `Hardware` has one: arrays of shape (n,), spare slices and arrays left out.

    arrays_count, sram_bytes, sram_bytes_per_s, fabric_bytes_per_s   of one slice
    memory_bytes_per_s    of the chip, where its weights are: off-chip memory, or the slices' own where it has no other
    compute_flop_per_s    dense peaks by rate class of weights and activations, wider ones filled in
    """

    slices_count: Array
    arrays_count: Array
    rows_count: Array
    columns_count: Array
    clock_count_per_s: Array
    compute_flop_per_s: Mapping[Pair, Array]
    memory_bytes_per_s: Array
    sram_bytes: Array
    sram_bytes_per_s: Array
    fabric_bytes_per_s: Array
    vector_flop_per_s: Array
    memory_frac: float
    compute_frac: float
    _paces: dict[tuple[Pair, ...], Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.slices_count)

    @cached_property
    def table(self) -> Array:
        """What the compiled passes read of each chip, (fields, n)."""
        rows, columns = self.rows_count, self.columns_count
        clock_s = 1 / self.clock_count_per_s
        found = np.empty((_FIELDS, len(self)))
        found[0], found[1], found[2] = self.slices_count, 1 / self.slices_count, 1 / self.arrays_count
        found[3], found[4], found[5], found[6] = rows, 1 / rows, columns, 1 / columns
        found[7] = clock_s
        found[8] = 1 / (self.memory_bytes_per_s * self.memory_frac)
        found[9], found[10], found[11] = self.sram_bytes, 1 / self.sram_bytes_per_s, 1 / self.fabric_bytes_per_s
        found[12] = (2 * rows + columns - 2) * clock_s
        found[13] = 1 / self.vector_flop_per_s
        found[14] = 1 / self.memory_bytes_per_s
        return found

    def paces(self, pairs: tuple[Pair, ...]) -> Array:
        """Products that a cell sums per clock, the inverse, and clocks per streamed vector, of each pair of formats;
        then the inverse of its peak: (pairs, 4, n). See `Hardware.pace`. Raises FactError for a pair without a rate."""
        if pairs not in self._paces:
            self._paces[pairs] = self._pace(pairs)
        found: Array = self._paces[pairs]
        return found

    def _pace(self, pairs: tuple[Pair, ...]) -> Array:
        cells = self.rows_count * self.columns_count * self.arrays_count * self.slices_count
        found = np.empty((len(pairs), 4, len(self)))
        for paces, pair in zip(found, pairs, strict=True):
            if pair not in self.compute_flop_per_s:
                raise FactError(
                    f"the designs multiply no {pair[0]} weights with {pair[1]} activations, nor anything wider; add "
                    f"{pair[0]} or bf16 to their rates"
                )
            peak = self.compute_flop_per_s[pair]
            speed = peak / (2 * cells * self.clock_count_per_s)
            paces[0] = np.maximum(speed, 1.0)
            paces[1] = 1 / paces[0]
            paces[2] = np.maximum(1 / speed, 1.0)
            paces[3] = 1 / peak
        return found


_FIELDS = 15


@inlined
def _rounds(folds: float, stream: float, rows: float, per_row: float) -> tuple[float, float]:
    """Cycles of so many folds an array, and pieces that their streams are cut into where there are few of them: until
    there are 16, and none shorter than the next fold takes to load."""
    many = max(min(folds * stream * per_row, 16.0), folds)
    piece = max(min(rows, stream), folds * stream * 0.0625) if folds < 16.0 else stream
    return max(np.ceil(many * _EXACT) - 1.0, 0.0) * max(piece, rows) + piece, many / folds


@inlined
def _input_tiles(m: float, n: float, k: float, columns: float, sram: float, panel: float, w: float, a: float) -> float:
    """Tiles of M where rows of the input with all of K stay in a slice; see `mapping._Part.tiles`."""
    width = min(n, columns)
    room, row = sram - panel * width * w, k * a + 4.0 * width
    tiles = max(np.ceil(m * row / max(room, 1e-9) * _EXACT), 1.0)
    return 1e12 if room < min(m, 1.0) * row else tiles


@inlined
def _sum_tiles(m: float, n: float, side: float, sram: float, panel: float, w: float, a: float) -> tuple[float, float]:
    """Tiles of M and of N where a tile of sums stays in a slice."""
    width = min(side * a, n)
    height = min((sram - panel * w * width) / (4.0 * width + panel * a), m)
    some = max(height, 1.0)
    left, column = sram - panel * a * some, 4.0 * some + panel * w
    down = max(np.ceil(m / some * _EXACT), 1.0)
    across = max(np.ceil(n * column / max(left, 1e-9) * _EXACT), 1.0)
    return 1e12 if height < min(m, 1.0) or left < column else down, across


@inlined
def _inside(
    moved: float, sram_byte_s: float, weight_s: float, weight_bytes: float, output_s: float, output_bytes: float,
    input_s: float, input_bytes: float,
) -> float:  # fmt: skip
    """Seconds of arrays or of a slice's memory, which `moved` bytes enter and leave, with the best of the dataflows."""
    return min(
        max(weight_s, (weight_bytes + moved) * sram_byte_s),
        max(output_s, (output_bytes + moved) * sram_byte_s),
        max(input_s, (input_bytes + moved) * sram_byte_s),
    )


@inlined
def product_seconds(
    m: float, batch: float, n: float, k: float, w: float, a: float, depth: float, per_depth: float, beat: float,
    slices: float, per_slice: float, per_array: float, rows: float, per_row: float, columns: float, per_column: float,
    clock_s: float, byte_s: float, sram: float, sram_byte_s: float, fabric_byte_s: float, fill_s: float, busy: float,
    every: bool,
) -> float:  # fmt: skip
    """Seconds of `batch` products of m x k inputs with k x n weights of w and a bytes an element.

    `depth` and `beat` are the pace of the formats; `per_*` are inverses; `*byte_s` seconds per byte of off-chip memory
    and of a slice's memory and network; `busy` is 1 over the share of its cycles in which a busy array multiplies. Up
    to FEW_ROWS two layouts do, beyond `every` one is asked.
    """
    weights, inputs, results = batch * k * n * w, batch * m * k * a, batch * m * n * 2.0
    own_weights, own_inputs, own_results = weights * per_slice, inputs * per_slice, results * per_slice

    # Arrays, and what passes between them and a slice's memory, by dataflow: weights, sums or inputs stay in the cells.
    k_folds, n_folds = np.ceil(k * per_row * per_depth * _EXACT), np.ceil(n * per_column * _EXACT)
    m_rows, m_columns = np.ceil(m * per_row * _EXACT), np.ceil(m * per_column * _EXACT)
    each = batch * per_slice * per_array
    weight_cycles, weight_pieces = _rounds(each * k_folds * n_folds, m * beat * busy, rows, per_row)
    output_cycles, _ = _rounds(each * m_rows * n_folds, k * beat * per_depth * busy, rows, per_row)
    input_cycles, input_pieces = _rounds(each * k_folds * m_columns, n * beat * busy, rows, per_row)
    weight_s, output_s, input_s = weight_cycles * clock_s, output_cycles * clock_s, input_cycles * clock_s
    cells = batch * m * n * k * per_slice
    sums = cells * 8.0 * per_row * per_depth
    weight_bytes = cells * a * per_column + sums + own_weights * weight_pieces
    output_bytes = cells * a * per_column + own_weights * m_rows + own_results
    input_bytes = sums + own_weights * m_columns + own_inputs * input_pieces

    # Three splits of the slices that work on one product, in a x b x c parts of M, N and K.
    split = max(slices / batch, 1.0)
    root = math.sqrt(split)
    most = min(split, max(m, 1.0))
    a1 = max(min(root * math.sqrt(inputs / weights), most), 1.0)
    per_a1 = 1.0 / a1
    rest = split * per_a1
    b1 = min(max(min(math.sqrt(rest) * math.sqrt(5.0 * results / inputs), rest), 1.0), n_folds)
    per_b1 = 1.0 / b1
    c1 = rest * per_b1
    panel = 2.0 * min(k, rows * depth)
    side = (math.sqrt(panel * panel * 0.25 + sram / (a * w)) - panel * 0.5) * 0.5
    height = max((sram - panel * w * side * a) / (4.0 * side * a + panel * a), 1.0)
    a2 = max(min(root, m / height, split), 1.0)
    per_a2 = 1.0 / a2
    b2 = min(split * per_a2, n_folds)
    per_b2 = 1.0 / b2
    a3 = max(min(root * math.sqrt(5.0 * results / weights), most), 1.0)
    per_a3 = 1.0 / a3

    # What enters and leaves a slice and the chip, operands again for every tile; the fastest of four layouts.
    edge_s = min(slices / batch, 1.0) * byte_s
    least = min(weights, results) * 0.125
    shared = own_results * (5.0 * c1 - 4.0)
    down, across = _sum_tiles(m * per_a1, n * per_b1, side, sram, panel, w, a)
    moved = own_weights * a1 * down + own_inputs * b1 * across + shared
    memory = max((weights * down + inputs * across + results) * byte_s, moved * fabric_byte_s)
    inside = _inside(moved, sram_byte_s, weight_s, weight_bytes, output_s, output_bytes, input_s, input_bytes)
    best = max(inside + min(results / (down * across), least) * edge_s, memory)

    down, across = _sum_tiles(m * per_a2, n * per_b2, side, sram, panel, w, a)
    moved = own_weights * a2 * down + own_inputs * b2 * across + own_results * (5.0 * split * per_a2 * per_b2 - 4.0)
    memory = max((weights * down + inputs * across + results) * byte_s, moved * fabric_byte_s)
    inside = _inside(moved, sram_byte_s, weight_s, weight_bytes, output_s, output_bytes, input_s, input_bytes)
    best = min(best, max(inside + min(results / (down * across), least) * edge_s, memory))

    if every:
        down = _input_tiles(m * per_a1, n * per_b1, k * a1 * b1 / split, columns, sram, panel, w, a)
        moved = own_weights * a1 * down + own_inputs * b1 + shared
        memory = max((weights * down + inputs + results) * byte_s, moved * fabric_byte_s)
        inside = _inside(moved, sram_byte_s, weight_s, weight_bytes, output_s, output_bytes, input_s, input_bytes)
        best = min(best, max(inside + min(inputs * 0.125 / down, least) * edge_s, memory))

        down = _input_tiles(m * per_a3, n, k * a3 / split, columns, sram, panel, w, a)
        moved = own_weights * a3 * down + own_inputs + own_results * (5.0 * split * per_a3 - 4.0)
        memory = max((weights * down + inputs + results) * byte_s, moved * fabric_byte_s)
        inside = _inside(moved, sram_byte_s, weight_s, weight_bytes, output_s, output_bytes, input_s, input_bytes)
        best = min(best, max(inside + min(inputs * 0.125 / down, least) * edge_s, memory))
    return best + fill_s + rows * clock_s


@compiled
def products(
    out: Array, one: Array, x: Array, paces: Array, which: NDArray[np.int64], sizes: Array, element_bytes: Array,
    m: Array, batch: Array, runs: Array, busy: float,
) -> None:  # fmt: skip
    """Adds the products' times, times how often each runs in a stage (stages, products), to `out` (stages, steps, n).

    `sizes` are n and k, `element_bytes` those of a weight and of an activation, (products, 2); m and batch (products,
    steps); `one` (n,) is room for one product's times.
    """
    for p in range(len(which)):
        f = which[p]
        n, k, w, a = sizes[p, 0], sizes[p, 1], element_bytes[p, 0], element_bytes[p, 1]
        for j in range(m.shape[1]):
            rows, many = m[p, j], batch[p, j]
            if rows > 0.0:
                if rows > FEW_ROWS:
                    for i in range(x.shape[1]):
                        one[i] = product_seconds(
                            rows, many, n, k, w, a, paces[f, 0, i], paces[f, 1, i], paces[f, 2, i],
                            x[0, i], x[1, i], x[2, i], x[3, i], x[4, i], x[5, i], x[6, i], x[7, i], x[8, i], x[9, i],
                            x[10, i], x[11, i], x[12, i], busy, True,
                        )  # fmt: skip
                else:
                    for i in range(x.shape[1]):
                        one[i] = product_seconds(
                            rows, many, n, k, w, a, paces[f, 0, i], paces[f, 1, i], paces[f, 2, i],
                            x[0, i], x[1, i], x[2, i], x[3, i], x[4, i], x[5, i], x[6, i], x[7, i], x[8, i], x[9, i],
                            x[10, i], x[11, i], x[12, i], busy, False,
                        )  # fmt: skip
                for s in range(runs.shape[0]):
                    for i in range(x.shape[1]):
                        out[s, j, i] += runs[s, p] * one[i]


@inlined
def attention_pace(
    heads: float, kv_heads: float, keys: float, values: float, kv_bytes: float, query_bytes: float, size: float,
    prompt: float, depth: float, per_depth: float, beat: float, slices: float, per_slice: float, per_array: float,
    rows: float, per_row: float, columns: float, per_column: float, clock_s: float, byte_s: float, sram: float,
    sram_byte_s: float, vector_s: float, busy: float,
) -> tuple[float, float]:  # fmt: skip
    """Seconds per pair and per cached token: `attention.attention` with the same symbols, `prompt` 1 or 0."""
    cycle_s = clock_s * per_slice * per_array
    passes = np.ceil(values * per_column * _EXACT)
    folds = np.ceil(keys * per_row * per_depth * _EXACT) * per_column + passes * per_row * per_depth
    stream_s = heads * folds * beat * busy * cycle_s
    load_s = kv_heads * (keys * per_depth * per_column + passes * per_depth) * cycle_s
    softmax_s = heads * 5.0 * vector_s
    per_pair = heads * (keys * size * per_column + 8.0 + (1.0 + passes) * size + 8.0 * values * per_row * per_depth)
    tile = max(sram * slices * 0.5 / (query_bytes + 4.0 * heads * values), 1.0)
    again_s = prompt * kv_bytes / tile * byte_s
    pair_s = max(stream_s, softmax_s, per_pair * sram_byte_s * per_slice, again_s)
    return pair_s, max(kv_bytes * byte_s, load_s, 2.0 * kv_bytes * sram_byte_s * per_slice)


@compiled
def attentions(
    out: Array, one: Array, x: Array, paces: Array, which: NDArray[np.int64], heads: Array, sizes: Array, prompt: Array,
    pairs: Array, kv: Array, query: Array, runs: Array, busy: float,
) -> None:  # fmt: skip
    """As `products` for attention cores: `heads` (cores, 4), `sizes` in bytes (cores, 3) and `prompt`, 1 or 0, (cores,)
    in the order of `attention_pace`; the rest (cores, steps)."""
    for p in range(len(which)):
        f = which[p]
        for j in range(pairs.shape[1]):
            if query[p, j] > 0.0:
                for i in range(x.shape[1]):
                    pair_s, kv_s = attention_pace(
                        heads[p, 0], heads[p, 1], heads[p, 2], heads[p, 3], sizes[p, 0], sizes[p, 1], sizes[p, 2],
                        prompt[p], paces[f, 0, i], paces[f, 1, i], paces[f, 2, i], x[0, i], x[1, i], x[2, i],
                        x[3, i], x[4, i], x[5, i], x[6, i], x[7, i], x[8, i], x[9, i], x[10, i], x[13, i], busy,
                    )  # fmt: skip
                    compute = pair_s * (pairs[p, j] + query[p, j] * x[5, i] * 0.5)
                    movement = kv_s * kv[p, j] + sizes[p, 1] * x[8, i] * query[p, j]
                    one[i] = 2.0 * x[12, i] + max(compute, movement)
                for s in range(runs.shape[0]):
                    for i in range(x.shape[1]):
                        out[s, j, i] += runs[s, p] * one[i]


@compiled
def streams(
    out: Array, one: Array, x: Array, paces: Array, which: NDArray[np.int64], moved: Array, flop: Array,
    on_vectors: Array, runs: Array,
) -> None:  # fmt: skip
    """As `products` for the rest: bytes and FLOP over the shares of the peaks that they reach, (operators, steps).

    Where `on_vectors` (operators,) is above 0 vector units, if they are the slower ones, take that share of the FLOP.
    """
    for p in range(len(which)):
        f = which[p]
        for j in range(moved.shape[1]):
            for i in range(x.shape[1]):
                flop_s = max(paces[f, 3, i], on_vectors[p] * x[13, i])
                one[i] = max(moved[p, j] * x[14, i], flop[p, j] * flop_s)
            for s in range(runs.shape[0]):
                for i in range(x.shape[1]):
                    out[s, j, i] += runs[s, p] * one[i]


@compiled
def finish(
    out: Array, stage: Array, latency: Array, links: Array, sent: Array, fixed: Array, counts: Array, overhead: float,
    frac: float,
) -> None:  # fmt: skip
    """The longest stage and all stages together, (steps, n), from times by profile `out` and what links add to them.

    `sent` (3, profiles, steps) are seconds and bytes that take the two rows of `links` (2, n), seconds per byte;
    `fixed` (profiles, steps) launches, `counts` (profiles,) stages of each; `overhead` is a step's, `frac` a factor on
    all.
    """
    for j in range(out.shape[1]):
        for i in range(out.shape[2]):
            stage[j, i] = 0.0
            latency[j, i] = 0.0
        for p in range(out.shape[0]):
            constant, inner, outer, count = fixed[p, j] + sent[0, p, j], sent[1, p, j], sent[2, p, j], counts[p]
            for i in range(out.shape[2]):
                time = out[p, j, i] + constant + inner * links[0, i] + outer * links[1, i]
                stage[j, i] = max(stage[j, i], time)
                latency[j, i] += count * time
        for i in range(out.shape[2]):
            stage[j, i] = (stage[j, i] + overhead) * frac
            latency[j, i] = (latency[j, i] + overhead) * frac


def product_times(
    machines: Machines, m: ArrayLike, n: int, k: int, weight_format: str, activation_format: str, experts: float = 1.0
) -> Array:
    """Seconds of m x k activations times k x n weights for each of m (m,) on each chip: (n, m), as `gemm_seconds`.

    With `experts` each of them has m rows and weights of its own.
    """
    rows = np.atleast_1d(np.asarray(m, float))[None]
    weight, activation = format_named(weight_format), format_named(activation_format)
    out = np.zeros((1, rows.shape[1], len(machines)))
    products(
        out, np.empty(len(machines)), machines.table, machines.paces(((weight.rate, activation.rate),)),
        np.zeros(1, np.int64), np.array([[n, k]], float), np.array([[weight.size_bytes, activation.size_bytes]]), rows,
        np.full_like(rows, experts), np.ones((1, 1)), 1 / machines.compute_frac,
    )  # fmt: skip
    return np.ascontiguousarray(out[0].T)
