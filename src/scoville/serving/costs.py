"""A timer's step time, compiled to integers: what the simulator's kernel adds up instead of calling Python.

docs/simulator.md gives the formula. A duration is in ticks of 1/16 ps, so a coefficient of 15 ps per query and context
token, about the smallest that occurs (8B on eight chips of 2026), is rounded by 0.2 % at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.serving.settings import EngineSettings
from scoville.timing.chips import Chips
from scoville.timing.curves import Position
from scoville.timing.roofline import KernelSpeeds, kernel_speeds
from scoville.transformer.operators import OperatorTable
from scoville.transformer.step import Window, uniform_mix

TICKS_PER_S = 16 * 10**12
SHARE_BITS = 16  # a draft's share of a pass is a fraction of 2^16
Ints = NDArray[np.int64]
Array = NDArray[np.float64]
WORK = ("energy_j", "flop", "memory_bytes", "link_bytes")
_FIXED = 4  # v = (1, decode tokens, prefill tokens, sequences, then three numbers per window)


@dataclass(frozen=True, eq=False)
class StepCosts:
    """Integer step costs of one sharding on one chip, in ticks. A lane is a data-parallel rank of a microbatch.

    base            of a lane, by tokens of its step, shape (most tokens + 1,); entry 0 is never asked for
    head            of a lane, by tokens whose logits are needed, shape (most sampled + 1,)
    fixed           of a piece that runs, shape (pieces,)
    compute, memory sides of the pieces per unit of v, shape (pieces, len(v)); `uses`: which entries of v they count;
                    any but the first, which is always 1, makes a piece run
    cap_base, cap_head, cap   of a lane, what the energy of a step takes at the power cap: by tokens, per sampled
                    token, per unit of v; zeros without a cap
    shared, shared_cap   what the lanes of a group work on together, by the tokens of all, shape (ranks x most + 1,)
    host            least duration of a step: the host's time where it runs beside the chips, else 0
    block           moving one cache block to or from the host's memory
    drafts, draft_share   drafts per decode and a draft pass's share of a pass, in 2^-16
    work_base, work_head, work_v, work_shared   energy, FLOP, memory and link bytes of a replica, by the same keys; the
                    last axis is WORK
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
    shared: Ints
    shared_cap: Ints
    work_base: Array
    work_head: Array
    work_v: Array
    work_shared: Array
    idle_w: float
    host: int = 0
    block: int = 0
    drafts: int = 0
    draft_share: int = 0
    ranks: int = 1
    stages: int = 1

    @property
    def size(self) -> int:
        """Length of v."""
        return _FIXED + 3 * len(self.windows)

    def pieces(self, v: Sequence[int]) -> int:
        """Ticks of the pieces at v, in plain Python integers."""
        total = 0
        for i in range(len(self.fixed)):
            if any(x and self.uses[i, j] for j, x in enumerate(v) if j):
                total += int(self.fixed[i]) + max(
                    sum(int(c) * x for c, x in zip(self.compute[i], v, strict=True)),
                    sum(int(c) * x for c, x in zip(self.memory[i], v, strict=True)),
                )
        return total

    def own(self, tokens: int, sampled: int, v: Sequence[int]) -> int:
        """Ticks of a lane's part of a step, drafts left out."""
        return int(self.base[tokens]) + int(self.head[sampled]) + self.pieces(v) if tokens else 0

    def capped(self, tokens: int, sampled: int, v: Sequence[int]) -> int:
        """Ticks that the energy of a lane's part takes at the power cap."""
        if not tokens:
            return 0
        by_v = sum(int(c) * x for c, x in zip(self.cap, v, strict=True))
        return int(self.cap_base[tokens]) + self.cap_head * sampled + by_v


def compile_costs(table: OperatorTable, chips: Chips, settings: EngineSettings, block_s: float = 0.0) -> StepCosts:
    """Compile the roofline of `table` on a chip (n = 1) for the steps of an engine.

    With a pipeline the costs are those of the one stage that takes longest in most steps. `block_s` is the time that a
    cache block takes to or from the host's memory.
    """
    p = table.parallelism
    drafts = settings.speculation.drafts_count if settings.speculation else 0
    names, windows = table.layout.names, table.layout.windows
    size = _FIXED + 3 * len(windows)
    speeds = kernel_speeds(table, chips)
    tokens = np.arange(settings.token_budget + 1, dtype=float)
    sampled = np.arange(settings.max_sequences * (1 + drafts) + 1, dtype=float)
    all_tokens = np.arange(settings.token_budget * p.attention_data + 1, dtype=float)
    by_tokens, by_all = table.layout.by_tokens(tokens), table.layout.by_tokens(all_tokens)
    count = table.count[_longest_stage(table, speeds, settings)]
    busiest = settings.expert_imbalance_frac if p.expert > 1 else 1.0
    each_draft = np.where([n.startswith("decode_pairs") for n in names], 1 + drafts, 1)
    base, head, shared = np.zeros(len(tokens)), np.zeros(len(sampled)), np.zeros(len(all_tokens))
    pieces: list[tuple[float, Array, Array]] = []
    units = speeds.compute_s_per_flop, speeds.memory_s_per_byte
    curves = {c.operator: c for c in speeds.curves}
    for i, op in enumerate(table.operators):
        used = _columns_used(table, i)
        scale = count[i] * TICKS_PER_S
        uneven = busiest if op.kind == "moe" or op.collective == "all_to_all" else 1.0
        compute = speeds.flop[i] * speeds.compute_s_per_flop[0, i] * scale * uneven
        memory = speeds.memory_bytes[i] * speeds.memory_s_per_byte[0, i] * scale
        link = table.link_bytes[i] * speeds.link_s_per_byte[0, i] * scale * uneven
        fixed = float(speeds.fixed_s[0, i]) * scale
        if i in curves:
            seconds = curves[i].seconds[0] * (speeds.time_frac[0] * scale)
            if used <= {"one", "rank_sampled_tokens"}:
                head += Position.of(sampled).at(seconds)
            elif _by_all(used) and p.attention_data > 1:
                shared += Position.of(all_tokens * uneven).at(seconds)
            else:
                base += Position.of(tokens * uneven).at(seconds)
        elif _by_all(used) and p.attention_data > 1:
            shared += np.maximum(by_all @ compute, by_all @ memory) + by_all @ link + fixed
        elif _by_all(used) or used <= {"one", "rank_tokens"}:
            base += np.maximum(by_tokens @ compute, by_tokens @ memory) + by_tokens @ link + fixed
        elif used <= {"one", "rank_sampled_tokens"}:
            one, each = names.index("one"), names.index("rank_sampled_tokens")
            sides = [c[one] + c[each] * sampled for c in (compute, memory, link)]
            runs = 1.0 if "one" in used else sampled > 0
            head += np.maximum(sides[0], sides[1]) + sides[2] + fixed * runs
        else:
            sides = [_by_v(side, names, windows, size) for side in (compute * each_draft, memory * each_draft)]
            for side, once, unit in zip(sides, speeds.once_s[:, i], units, strict=True):
                side[0] += once * unit[0, i] * scale
            pieces.append((fixed, sides[0], sides[1]))
    host = float((chips.step_overhead_s * chips.time_frac)[0]) * TICKS_PER_S
    grouped = p.attention_data > 1
    (shared if grouped else base).__iadd__(settings.step_s * TICKS_PER_S + (0.0 if settings.asynchronous else host))
    head += settings.sequence_s * TICKS_PER_S * sampled

    # Work per unit of the layout's columns, (columns, WORK): of all stages by a replica, and joules by a chip of one.
    dense = np.array([not _by_all(_columns_used(table, i)) for i in range(len(table.operators))])
    per_operator = _work(table, chips, speeds.compute_j_per_flop[0]) * each_draft[:, None]
    runs = table.count.sum(axis=0)
    watts = float((chips.tdp_w - chips.idle_w)[0])
    per_j = TICKS_PER_S / watts if np.isfinite(watts) and watts > 0 else 0.0
    own, joint = dense | (not grouped), ~dense & grouped
    lane = _by_key(np.einsum("o,ocw->cw", runs * own, per_operator) * p.tensor, by_tokens, names, windows, size)
    all_lanes = by_all @ np.einsum("o,ocw->cw", runs * joint, per_operator) * p.stage_chips
    chip = _by_key(np.einsum("o,ocw->cw", count * own, per_operator), by_tokens, names, windows, size)
    chip_all = by_all @ np.einsum("o,oc->c", count * joint, per_operator[:, :, 0])
    share = settings.speculation.pass_frac if settings.speculation else 0.0
    return StepCosts(
        windows=windows,
        base=_ticks(base),
        head=_ticks(head),
        fixed=_ticks([f for f, _, _ in pieces]),
        compute=_ticks([c for _, c, _ in pieces]).reshape(-1, size),
        memory=_ticks([m for _, _, m in pieces]).reshape(-1, size),
        uses=np.array([(c != 0) | (m != 0) for _, c, m in pieces], np.bool_).reshape(-1, size),
        cap_base=_ticks(chip[0][:, 0] * per_j),
        cap_head=round(float(chip[1][0]) * per_j),
        cap=_ticks(chip[2][:, 0] * per_j),
        shared=_ticks(shared),
        shared_cap=_ticks(chip_all * per_j),
        work_base=lane[0],
        work_head=lane[1],
        work_v=lane[2],
        work_shared=all_lanes,
        idle_w=float(chips.idle_w[0]) * p.chips,
        host=round(host) if settings.asynchronous else 0,
        block=round(block_s * TICKS_PER_S),
        drafts=drafts,
        draft_share=round(share * (1 << SHARE_BITS)),
        ranks=p.attention_data,
        stages=p.pipeline,
    )


def _ticks(values: object) -> Ints:
    return np.round(np.asarray(values, float)).astype(np.int64)


def _columns_used(table: OperatorTable, i: int) -> set[str]:
    names = table.layout.names
    return {names[j] for j in np.flatnonzero(table.flop[i] + table.memory_bytes[i] + table.link_bytes[i])}


def _by_all(used: set[str]) -> bool:
    """Whether the lanes of a group do this operator's work together."""
    return all(u in ("one", "tokens") or u.startswith("experts:") for u in used) and used != {"one"}


def _longest_stage(table: OperatorTable, speeds: KernelSpeeds, settings: EngineSettings) -> int:
    """The stage that is nearest to the longest one, at worst, in steps of few and many decodes, a prompt, and both.

    Stages of unlike layers, or with as many layers as the one that has the vocabulary, take turns at being longest.
    """
    many, budget = settings.max_sequences, settings.token_budget
    steps = uniform_mix(
        table.architecture,
        decode_sequences=np.array([1, many, 0, many]),
        context_tokens=budget,
        prefill_sequences=np.array([0, 0, 1, 1]),
        prefill_tokens=np.array([0, 0, budget, budget]),
    )
    rows = table.layout.features(steps)
    runs = rows @ (table.flop + table.memory_bytes + table.link_bytes).T > 0
    compute = (rows @ speeds.flop.T + speeds.once_s[0] * runs) * speeds.compute_s_per_flop[0]
    memory = (rows @ speeds.memory_bytes.T + speeds.once_s[1] * runs) * speeds.memory_s_per_byte[0]
    link = rows @ table.link_bytes.T * speeds.link_s_per_byte[0]
    each = np.maximum(compute, memory) + link + speeds.fixed_s[0] * runs
    for curve in speeds.curves:
        each[:, curve.operator] = Position.of(rows[:, curve.column]).at(curve.seconds[0]) * speeds.time_frac[0]
    seconds = each @ table.count.T
    return int(np.argmax((seconds / seconds.max(axis=1, keepdims=True)).min(axis=0)))


def _by_v(row: Array, names: tuple[str, ...], windows: tuple[Window, ...], size: int) -> Array:
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


def _work(table: OperatorTable, chips: Chips, j_per_flop: Array) -> Array:
    """Energy, FLOP, memory and link bytes of an operator on a chip per unit of each column, (operators, columns, 4)."""
    energy = (
        j_per_flop[:, None] * table.flop
        + chips.memory_j_per_byte[0] * table.memory_bytes
        + chips.link_j_per_byte[0] * table.link_bytes
    )
    return np.stack([np.nan_to_num(energy), table.flop, table.memory_bytes, table.link_bytes], axis=-1)


def _by_key(
    work: Array, by_tokens: Array, names: tuple[str, ...], windows: tuple[Window, ...], size: int
) -> tuple[Array, Array, Array]:
    """Work per column, (columns, 4), as work by tokens, (tokens, 4), per sampled token, (4,), per unit of v, (v, 4)."""
    tokenwise = np.array([n in ("one", "tokens", "rank_tokens") or n.startswith("experts:") for n in names])
    sampled = names.index("rank_sampled_tokens")
    rest = np.where(tokenwise[:, None], 0.0, work)
    rest[sampled] = 0.0
    by_v = np.stack([_by_v(rest[:, k], names, windows, size) for k in range(work.shape[1])], axis=-1)
    return by_tokens @ np.where(tokenwise[:, None], work, 0.0), work[sampled], by_v
