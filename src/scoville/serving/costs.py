"""A timer's step time, compiled to integers: what the simulator's kernel adds up instead of calling Python.

docs/simulator.md gives the formula. A duration is in ticks of 1/16 ps, so a coefficient of 15 ps per query and context
token, about the smallest that occurs (8B on eight chips of 2026), is rounded by 0.2 % at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.errors import DeploymentError
from scoville.timing.chips import Chips
from scoville.timing.roofline import kernel_speeds
from scoville.transformer.operators import OperatorTable
from scoville.transformer.step import Window, experts_touched

TICKS_PER_S = 16 * 10**12
Ints = NDArray[np.int64]
_FIXED = 4  # v = (1, decode sequences, prefill tokens, sequences, then three numbers per window)
_BY_TOKENS = frozenset(("one", "tokens", "rank_tokens"))


@dataclass(frozen=True, eq=False)
class StepCosts:
    """Integer step costs of one sharding on one chip.

    base            ticks by tokens of the step, shape (most tokens + 1,)
    head            ticks by tokens whose logits are needed, shape (most sequences + 1,)
    fixed           ticks of a piece that runs, shape (pieces,)
    compute, memory sides of the pieces, ticks per unit of v, shape (pieces, len(v))
    uses            which entries of v make a piece run, shape (pieces, len(v))
    cap_base, cap_head, cap   ticks that the energy of a step takes at the power cap: by tokens, per sampled token, per
    unit of v; zeros without a cap
    energy_base_j, energy_head_j, energy_j   the same energy in joules per replica
    """

    windows: tuple[Window, ...]
    base: Ints
    head: Ints
    fixed: Ints
    compute: Ints
    memory: Ints
    uses: NDArray[np.bool_]
    cap_base: Ints
    cap_head: int
    cap: Ints
    energy_base_j: NDArray[np.float64]
    energy_head_j: float
    energy_j: NDArray[np.float64]
    idle_w: float

    @property
    def size(self) -> int:
        """Length of v."""
        return _FIXED + 3 * len(self.windows)

    def ticks(self, tokens: int, sampled: int, v: list[int]) -> int:
        """Duration of one step, in plain Python integers."""
        if tokens == 0:
            return 0
        total = int(self.base[tokens]) + int(self.head[sampled])
        for i in range(len(self.fixed)):
            if any(x and self.uses[i, j] for j, x in enumerate(v)):
                total += int(self.fixed[i]) + max(
                    sum(int(c) * x for c, x in zip(self.compute[i], v, strict=True)),
                    sum(int(c) * x for c, x in zip(self.memory[i], v, strict=True)),
                )
        capped = int(self.cap_base[tokens]) + self.cap_head * sampled
        return max(total, capped + sum(int(c) * x for c, x in zip(self.cap, v, strict=True)))


def compile_costs(table: OperatorTable, chips: Chips, most_tokens: int, most_sequences: int) -> StepCosts:
    """Compile the roofline of `table` on a chip (n = 1) for steps of up to so many tokens and sequences.

    Raises DeploymentError for shardings that the simulator does not replay: pipelines and data-parallel attention.
    """
    p = table.parallelism
    if p.pipeline > 1 or p.attention_data > 1:
        raise DeploymentError(
            f"{p}: the simulator replays tensor and expert parallelism only; use a sharding without PP and DP"
        )
    names = table.layout.names
    windows = table.layout.windows
    size = _FIXED + 3 * len(windows)
    speeds = kernel_speeds(table, chips)
    count = table.count[0]
    tokens = np.arange(most_tokens + 1, dtype=float)
    by_tokens = _token_columns(table, tokens)
    base, head = np.zeros(most_tokens + 1), np.zeros(most_sequences + 1)
    sampled = np.arange(most_sequences + 1, dtype=float)
    pieces: list[tuple[float, NDArray[np.float64], NDArray[np.float64]]] = []
    for i in range(len(table.operators)):
        used = {names[j] for j in np.flatnonzero(table.flop[i] + table.memory_bytes[i] + table.link_bytes[i])}
        scale = count[i] * TICKS_PER_S
        compute = table.flop[i] * speeds.compute_s_per_flop[0, i] * scale
        memory = table.memory_bytes[i] * speeds.memory_s_per_byte[0, i] * scale
        link = table.link_bytes[i] * speeds.link_s_per_byte[0, i] * scale
        fixed = float(speeds.fixed_s[0, i]) * scale
        if all(u in _BY_TOKENS or u.startswith("experts:") for u in used):
            base += np.maximum(by_tokens @ compute, by_tokens @ memory) + by_tokens @ link + fixed
        elif used <= {"one", "rank_sampled_tokens"}:
            one, each = names.index("one"), names.index("rank_sampled_tokens")
            sides = [c[one] + c[each] * sampled for c in (compute, memory, link)]
            runs = 1.0 if "one" in used else sampled > 0
            head += np.maximum(sides[0], sides[1]) + sides[2] + fixed * runs
        else:
            pieces.append((fixed, _by_v(compute, names, windows, size), _by_v(memory, names, windows, size)))
    overhead = float((chips.step_overhead_s * chips.time_frac)[0]) * TICKS_PER_S
    cap_base, cap_head, cap, energy = _power(table, chips, by_tokens, speeds.compute_j_per_flop[0], windows, size)
    return StepCosts(
        windows=windows,
        base=np.round(base + overhead).astype(np.int64),
        head=np.round(head).astype(np.int64),
        fixed=np.array([round(f) for f, _, _ in pieces], np.int64),
        compute=np.round(np.array([c for _, c, _ in pieces]).reshape(-1, size)).astype(np.int64),
        memory=np.round(np.array([m for _, _, m in pieces]).reshape(-1, size)).astype(np.int64),
        uses=np.array([(c != 0) | (m != 0) for _, c, m in pieces]).reshape(-1, size),
        cap_base=cap_base,
        cap_head=cap_head,
        cap=cap,
        energy_base_j=energy[0],
        energy_head_j=energy[1],
        energy_j=energy[2],
        idle_w=float(chips.idle_w[0]) * p.stage_chips,
    )


def _token_columns(table: OperatorTable, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
    """The layout's columns that follow from the number of tokens alone, shape (tokens, columns); others are zero."""
    layout = table.layout
    columns = np.zeros((len(tokens), len(layout.names)))
    columns[:, layout.column("one")] = 1.0
    columns[:, layout.column("tokens")] = tokens
    columns[:, layout.column("rank_tokens")] = tokens
    for e, k in layout.expert_kinds:
        columns[:, layout.column(f"experts:{e}/{k}")] = experts_touched(tokens, e, k)
    return columns


def _by_v(
    row: NDArray[np.float64], names: tuple[str, ...], windows: tuple[Window, ...], size: int
) -> NDArray[np.float64]:
    """Coefficients over the layout's columns as coefficients over v."""
    out = np.zeros(size)
    for name, value in zip(names, row, strict=True):
        if value == 0:
            continue
        kind, _, span = name.partition(":")
        if kind in ("tokens", "rank_tokens"):
            out[1] += value
            out[2] += value
        elif kind in ("one", "rank_decode_tokens", "rank_prefill_tokens", "rank_sequences"):
            out[("one", "rank_decode_tokens", "rank_prefill_tokens", "rank_sequences").index(kind)] += value
        else:
            at = _FIXED + 3 * windows.index(None if span == "all" else int(span))
            out[at + {"decode_pairs": 0, "decode_kv": 0, "prefill_kv": 1, "prefill_pairs": 2}[kind]] += value
    return out


def _power(
    table: OperatorTable,
    chips: Chips,
    by_tokens: NDArray[np.float64],
    j_per_flop: NDArray[np.float64],
    windows: tuple[Window, ...],
    size: int,
) -> tuple[Ints, int, Ints, tuple[NDArray[np.float64], float, NDArray[np.float64]]]:
    """Energy of a step by tokens, per sampled token and per unit of v: as ticks at the cap, and in joules."""
    names = table.layout.names
    count = table.count[0]
    per_column = (
        (count * j_per_flop) @ table.flop
        + chips.memory_j_per_byte[0] * (count @ table.memory_bytes)
        + chips.link_j_per_byte[0] * (count @ table.link_bytes)
    )
    per_column = np.nan_to_num(per_column)
    tokenwise = np.array([n in _BY_TOKENS or n.startswith("experts:") for n in names])
    sampled = names.index("rank_sampled_tokens")
    rest = np.where(tokenwise, 0.0, per_column)
    rest[sampled] = 0.0
    parts = (
        by_tokens @ np.where(tokenwise, per_column, 0.0),
        float(per_column[sampled]),
        _by_v(rest, names, windows, size),
    )
    budget = float((chips.tdp_w - chips.idle_w)[0])
    scale = TICKS_PER_S / budget if np.isfinite(budget) and budget > 0 else 0.0
    ranks = table.parallelism.stage_chips
    return (
        np.round(parts[0] * scale).astype(np.int64),
        round(parts[1] * scale),
        np.round(parts[2] * scale).astype(np.int64),
        (parts[0] * ranks, parts[1] * ranks, parts[2] * ranks),
    )
