"""Measured attention kernels: how long decode and prefill take for a head layout, on a chip, in an engine family.

Two answers. `AttentionSides` is the form that steady state, simulator and explanation share: a fixed part plus the
larger of two sides, each affine in the work of a step (query x context pairs, cached tokens read, query tokens,
sequences). It adds up over sequences of unlike lengths. `AttentionTimes` returns to the table: sides times the measured
residual, by batch and length, for batches of equal lengths.

What the tables hold: the attention kernel alone, replayed on the same cache; TensorRT-LLM's kernel also rotates the
queries and appends to the cache. A cache that fits into the chip's L2 is then read from there, which no engine's step
sees, since other layers' weights and caches pass in between: the sides are fitted to what streams from memory, and the
residual says how much faster the replay was. An fp8 cache is multiplied in bf16 unless the queries are fp8 as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.errors import DeploymentError
from scoville.timing.measured import tables
from scoville.timing.measured.attention_sides import AttentionSides, HeadLayout, Phase, Side, Work, work
from scoville.timing.measured.tables import place
from scoville.transformer.step import Window

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "AttentionSides", "AttentionTimes", "HeadLayout", "LayoutTimes", "Phase", "Side", "Work", "assemble",
    "attention_times", "work",
]  # fmt: skip
Array = NDArray[np.float64]
RESIDUAL_STEP = 1e-3  # log units of the stored residuals
COEFFICIENTS = ("fixed_s", "pair_s", "query_token_s", "one_s", "kv_token_s", "sequence_s", "overlap_frac")
_PER_HEAD = np.array([False, True, True, False, True, True, False])
PACKED_GROUP = 32  # query heads per KV head that TensorRT-LLM's decode kernel XQA takes; beyond, one by one
SHIFT_BIN = 4.0  # ratio of units between two knots of the shift by KV heads
LONG = 5  # from this length on (256 tokens) the shift is the kernel's own, not the launch's
BATCHES: Array = np.array([2.0**i for i in range(12)])


@dataclass(frozen=True, eq=False)
class LayoutTimes:
    """The table of one layout and phase: `sides` times exp(`log_ratio_frac`), (batches, lengths), linear between log
    knots.

    A length is the context with the new token for decode, the new tokens for prefill. Prefill was measured without
    cached tokens before it; with them the residual of as many new tokens counts.
    """

    phase: Phase
    window: Window
    sides: AttentionSides
    lengths_tokens: Array
    log_ratio_frac: Array
    measured: NDArray[np.bool_]

    def seconds(self, batch: ArrayLike, new_tokens: ArrayLike, cached_tokens: ArrayLike) -> Array:
        """Seconds of a layer for `batch` equal sequences with `new_tokens` each after `cached_tokens`. Broadcasts.

        Outside the knots the residual of the border goes on.
        """
        b, n, c = np.broadcast_arrays(*(np.asarray(x, float) for x in (batch, new_tokens, cached_tokens)))
        i, x = place(BATCHES, b)
        j, y = place(self.lengths_tokens, self._length(n, c))
        r = self.log_ratio_frac
        low = (1 - x) * r[i, j] + x * r[i + 1, j]
        high = (1 - x) * r[i, j + 1] + x * r[i + 1, j + 1]
        times = self.sides.seconds(work(b, n, c, self.window))
        return np.asarray(times * np.exp((1 - y) * low + y * high))

    def covers(self, batch: ArrayLike, new_tokens: ArrayLike, cached_tokens: ArrayLike) -> NDArray[np.bool_]:
        """Whether the four knots around each point were measured; never for a prefill with cached tokens."""
        b, n, c = np.broadcast_arrays(*(np.asarray(x, float) for x in (batch, new_tokens, cached_tokens)))
        length = self._length(n, c)
        i, x = place(BATCHES, b)
        j, y = place(self.lengths_tokens, length)
        m = self.measured
        first, last = self.lengths_tokens[0], self.lengths_tokens[-1]
        inside = (b >= BATCHES[0]) & (b <= BATCHES[-1]) & (length >= first) & (length <= last)
        corners = (m[i, j] | (x == 1) | (y == 1)) & (m[i + 1, j] | (x == 0) | (y == 1))
        corners &= (m[i, j + 1] | (x == 1) | (y == 0)) & (m[i + 1, j + 1] | (x == 0) | (y == 0))
        return np.asarray(inside & corners & ((n == 1) if self.phase == "decode" else (c == 0)))

    def _length(self, n: Array, c: Array) -> Array:
        return c + n if self.phase == "decode" else n


@dataclass(frozen=True, eq=False)
class _Series:
    """One group size of one series: residuals at (units, lengths), NaN where nothing was measured, and its sides."""

    coefficients: Array  # COEFFICIENTS, those of `_PER_HEAD` for one KV head
    units_count: Array
    log_ratio_frac: Array


Key = tuple[str, str, str, int, int]  # phase, query, cache, window, head_dim


@dataclass(frozen=True, eq=False)
class AttentionTimes:
    """Attention of one chip in one engine family, as measured.

    Kernels work on (sequence, KV head) units, so that a table holds times by units, by length and by query heads per
    KV head. What else the number of KV heads does: decode with one, and a batch of one, have tables of their own (other
    code runs); prefill has a shift by KV heads (vLLM's paged cache is read faster where a page's row is longer).
    """

    chip: str
    family: str
    lengths_tokens: Mapping[str, Array]
    series: Mapping[Key, Mapping[tuple[int, int], _Series]]  # by (group, kind)
    shift_frac: Mapping[Key, Mapping[int, Array]]  # log, by KV heads: (bins of units, lengths)

    def known(self, layout: HeadLayout, phase: Phase) -> bool:
        """Whether the formats and the window were measured, and head sizes and groups on both sides of the layout."""
        dims, fallback = self._dims(layout, phase)
        if fallback or not dims[0] <= layout.head_dim <= dims[-1]:
            return False
        near = [self.series[_key(layout, phase, dim)] for dim in _around(layout.head_dim, dims)]
        groups = [self._groups(s, layout.group, _kind(layout.kv_heads, phase), phase) for s in near]
        return all(g[0] <= layout.group <= g[-1] for g in groups)

    def sides(self, layout: HeadLayout, phase: Phase) -> AttentionSides:
        """Fixed part and two sides of the layout. Raises DeploymentError where its formats were never measured."""
        coefficients = _for_heads(self._between(layout, phase, _kind(layout.kv_heads, phase))[0], layout.kv_heads)
        shift = self._shift(layout, phase)[:, LONG:]
        if shift.any():
            coefficients[1:3] *= np.exp(shift[shift != 0].mean())
        return AttentionSides.overlapped(*coefficients.tolist())

    @lru_cache(maxsize=256)  # noqa: B019 - one object per chip and family lives as long as the process
    def table(self, layout: HeadLayout, phase: Phase) -> LayoutTimes:
        """The look-up of a layout: build it once, ask it for a million steps."""
        sides = self.sides(layout, phase)
        kind = _kind(layout.kv_heads, phase)
        log_seconds = self._between(layout, phase, kind)[1] + self._shift(layout, phase)
        if kind == 1 and phase == "decode":
            alone = self._between(layout, phase, 2)[1]
            log_seconds[0] = np.where(np.isnan(alone[0]), log_seconds[0], alone[0])
        lengths = self.lengths_tokens[phase]
        own = sides.seconds(_grid(phase, lengths, BATCHES, layout.window))
        residual = log_seconds - np.log(own)
        measured = ~np.isnan(residual)
        return LayoutTimes(phase, layout.window, sides, lengths, _filled(residual), measured)

    def seconds(
        self, layout: HeadLayout, phase: Phase, batch: ArrayLike, new_tokens: ArrayLike, cached_tokens: ArrayLike
    ) -> Array:
        """See `LayoutTimes.seconds`."""
        return self.table(layout, phase).seconds(batch, new_tokens, cached_tokens)

    def covers(
        self, layout: HeadLayout, phase: Phase, batch: ArrayLike, new_tokens: ArrayLike, cached_tokens: ArrayLike
    ) -> NDArray[np.bool_]:
        """Where the answer rests on measurements around it; elsewhere it is extrapolated."""
        inside = self.table(layout, phase).covers(batch, new_tokens, cached_tokens)
        return inside if self.known(layout, phase) else np.zeros_like(inside)

    def _shift(self, layout: HeadLayout, phase: Phase) -> Array:
        """What the number of KV heads adds to the log seconds of as many units, at (BATCHES, lengths)."""
        lengths = self.lengths_tokens[phase]
        dims, fallback = self._dims(layout, phase)
        near = min(dims, key=lambda dim: abs(np.log(dim / layout.head_dim)), default=0)
        by_heads = self.shift_frac.get((phase, layout.query, layout.cache, 0 if fallback else layout.window or 0, near))
        if not by_heads:
            return np.zeros((len(BATCHES), len(lengths)))
        ends = _around(layout.kv_heads, sorted(by_heads))
        bins = np.log(BATCHES * layout.kv_heads) / np.log(SHIFT_BIN)
        low, high = (
            np.stack([np.interp(bins, np.arange(len(by_heads[k])), column) for column in by_heads[k].T], axis=1)
            for k in (ends[0], ends[-1])
        )
        share = np.log(layout.kv_heads / ends[0]) / np.log(ends[-1] / ends[0]) if len(ends) > 1 else 0.0
        return np.asarray((1 - share) * low + share * high)

    def _dims(self, layout: HeadLayout, phase: Phase) -> tuple[list[int], int]:
        """Head sizes measured with these formats and window; 1 beside them where only other windows were."""
        for fallback in (0, 1):
            window = 0 if fallback else layout.window or 0
            asked = (phase, layout.query, layout.cache, window)
            dims = sorted(key[4] for key in self.series if key[:4] == asked)
            if dims:
                return dims, fallback
        return [], 1

    def _between(self, layout: HeadLayout, phase: Phase, kind: int) -> tuple[Array, Array]:
        """Coefficients for a KV head and log seconds at (BATCHES, lengths), between measured head sizes and groups."""
        dims, fallback = self._dims(layout, phase)
        if not dims:
            measured = sorted({f"{key[1]} queries on a {key[2]} cache" for key in self.series if key[0] == phase})
            raise DeploymentError(
                f"attention on {self.chip} with {self.family}: no measurement of {phase} with {layout.query} queries "
                f"on a {layout.cache} cache; measured: {', '.join(measured)}"
            )
        parts = []
        for dim in _around(layout.head_dim, dims):
            by_group = self.series[(phase, layout.query, layout.cache, 0 if fallback else layout.window or 0, dim)]
            near = _around(layout.group, self._groups(by_group, layout.group, kind, phase))
            parts.append(_blend([self._at(by_group, g, kind, layout, phase) for g in near], layout.group, near))
        return _blend(parts, layout.head_dim, _around(layout.head_dim, dims))

    def _groups(self, by_group: Mapping[tuple[int, int], _Series], group: int, kind: int, phase: Phase) -> list[int]:
        """Measured group sizes that the same kernel serves, of this kind where there are any."""
        same = [(g, k) for g, k in by_group if self._kernel(g, phase) == self._kernel(group, phase)] or list(by_group)
        return sorted({g for g, k in same if k == kind} or {g for g, _ in same})

    def _kernel(self, group: int, phase: Phase) -> int:
        """Which decode kernel serves a group: one query head, several packed, too many for TensorRT-LLM to pack."""
        if phase == "prefill":
            return 0
        return 2 if self.family == "trtllm" and group > PACKED_GROUP else int(group > 1)

    def _at(
        self, by_group: Mapping[tuple[int, int], _Series], group: int, kind: int, layout: HeadLayout, phase: Phase
    ) -> tuple[Array, Array]:
        s = next(by_group[group, k] for k in (kind, 1, 0, 2) if (group, k) in by_group)
        # Prefill works on query heads, and so does a decode kernel that cannot pack them.
        scale: float = layout.group / group if phase == "prefill" or self._kernel(group, phase) == 2 else 1.0
        units = BATCHES * layout.kv_heads * scale
        lengths = self.lengths_tokens[phase]
        residual = np.full((len(units), len(lengths)), np.nan)
        for j in range(len(lengths)):
            known = ~np.isnan(s.log_ratio_frac[:, j])
            if known.any():
                x = np.log(s.units_count[known])
                residual[:, j] = np.interp(np.log(units), x, s.log_ratio_frac[known, j], left=np.nan, right=np.nan)
        w = _grid(phase, lengths, np.asarray(units, float), layout.window)
        own = _for_heads(s.coefficients, scale)
        return own, np.log(AttentionSides.overlapped(*s.coefficients.tolist()).seconds(w)) + residual


def _key(layout: HeadLayout, phase: Phase, dim: int) -> Key:
    return (phase, layout.query, layout.cache, layout.window or 0, dim)


def _kind(kv_heads: int, phase: Phase) -> int:
    """Of decode tables: 0 for one KV head, 1 for more; 2 is a batch of one on more. Prefill has only 1."""
    return 0 if kv_heads == 1 and phase == "decode" else 1


def _grid(phase: Phase, lengths: Array, batch: Array, window: Window) -> Work:
    """Work at every (batch, length)."""
    if phase == "decode":
        return work(batch[:, None], 1.0, lengths - 1.0, window)
    return work(batch[:, None], lengths, 0.0, window)


def _around(value: float, have: list[int]) -> list[int]:
    """The measured values at or on both sides of `value`, or the nearest one."""
    below, above = [h for h in have if h <= value], [h for h in have if h >= value]
    return sorted({below[-1] if below else above[0], above[0] if above else below[-1]})


def _blend(parts: list[tuple[Array, Array]], value: float, ends: list[int]) -> tuple[Array, Array]:
    """Linear in the logarithm of what differs, log seconds and log coefficients alike."""
    if len(parts) == 1:
        return parts[0]
    share = float(np.log(value / ends[0]) / np.log(ends[1] / ends[0]))
    (low, a), (high, b) = parts
    mixed = np.exp((1 - share) * np.log(low) + share * np.log(high))
    return mixed, (1 - share) * a + share * b


def _for_heads(coefficients: Array, count: float) -> Array:
    """Coefficients of one head for `count` of them."""
    return np.where(_PER_HEAD, coefficients * count, coefficients)


def _filled(residual: Array) -> Array:
    """The residual with gaps closed by its neighbour: the next smaller batch, else length, else the next larger."""
    out = residual.copy()
    for axis, step in ((0, 1), (1, 1), (0, -1), (1, -1)):
        view = out if axis == 0 else out.T
        order = range(1, len(view)) if step == 1 else range(len(view) - 2, -1, -1)
        for i in order:
            view[i] = np.where(np.isnan(view[i]), view[i - step], view[i])
    return np.nan_to_num(out)


@lru_cache(maxsize=16)
def attention_times(chip: str, family: str) -> AttentionTimes | None:
    """The measured attention of a chip (a fact subject, 'h100-sxm') in 'vllm' or 'trtllm'; None if there is none."""
    import polars as pl

    own = (pl.col("chip") == chip) & (pl.col("family") == family)
    names = ("attention_sides", "attention", "attention_kv_heads")
    sides, residuals, shifts = (tables.frame(name).filter(own) for name in names)
    return None if sides.is_empty() else assemble(chip, family, sides, residuals, shifts)


def assemble(
    chip: str, family: str, sides: pl.DataFrame, residuals: pl.DataFrame, shifts: pl.DataFrame
) -> AttentionTimes:
    """From the rows of one chip and family, as `fit_attention` writes them."""
    names = ("phase", "query", "cache", "window", "head_dim")
    coefficients = {
        row[:7]: np.array(row[7:], float) for row in sides.select(*names, "group", "kind", *COEFFICIENTS).iter_rows()
    }
    lengths: dict[str, Array] = {}
    series: dict[Key, dict[tuple[int, int], _Series]] = {}
    for (phase,), rows in residuals.group_by(["phase"]):
        lengths[str(phase)] = np.sort(rows["length"].unique().to_numpy().astype(float))
    columns = ("units", "length", "residual")
    for row in residuals.group_by(*names, "group", "kind").agg(columns).iter_rows():
        key: Key = row[:5]
        group, kind = row[5:7]
        at, length, steps = (np.array(values) for values in row[7:])
        units, i = np.unique(at, return_inverse=True)
        knots = lengths[key[0]]
        grid = np.full((len(units), len(knots)), np.nan)
        grid[i, np.searchsorted(knots, length)] = steps * RESIDUAL_STEP
        of = coefficients[(*key, group, min(kind, 1))]
        series.setdefault(key, {})[(group, kind)] = _Series(of, units.astype(float), grid)
    by_heads: dict[Key, dict[int, Array]] = {}
    for (phase, query, cache, window, dim, heads), rows in shifts.group_by([*names, "kv_heads"]):
        knots = lengths[str(phase)]
        table = np.zeros((int(rows["bin"].to_numpy().max()) + 1, len(knots)))
        table[rows["bin"].to_numpy(), np.searchsorted(knots, rows["length"].to_numpy())] = rows["shift"].to_numpy()
        by_heads.setdefault((str(phase), str(query), str(cache), int(window), int(dim)), {})[int(heads)] = (
            table * RESIDUAL_STEP
        )
    return AttentionTimes(chip, family, lengths, series, by_heads)
