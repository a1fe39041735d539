"""One evaluation: a design under a sharding and a batch, from its arrays to its cost per token, for millions at once.

What depends on the design alone (area, yield, price, hour, energies) is computed once for a block of designs by
`candidates`; what depends on model, traffic, sharding and batch alone once by `task`; `evaluate` is the rest: the whole
step on every design (`timing.systolic.steps`), memory, latency, power and cost. `one.evaluate_one` does a single point
in plain Python.

A replica in balance takes I / O prompt tokens for each token of an answer (I fresh prompt, O output tokens a request):
TPOT is a step of `batch` decodes and what those prompt tokens add to it. Two kinds of steps are timed for that, the
decodes of each batch and a step full of prompts; waits and percentiles follow (`balance`). Memory holds the 99th
percentile of running sequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoville.economics import OwnershipTerms
from scoville.economics.annuity import YEAR_H, crf
from scoville.economics.terms import Reading
from scoville.errors import DesignError
from scoville.facts import Draws, Facts
from scoville.facts.names import WIDER
from scoville.search.balance import RESULTS, points
from scoville.serving.shape import TrafficShape
from scoville.serving.steady import Targets, average_step, bubble_frac, worst_rank_frac
from scoville.silicon.area import DIE_LINKS, FABRIC, VECTOR, area, memory_bytes_per_s
from scoville.silicon.cost import Prices, stack_bytes, unit_cost
from scoville.silicon.design import Array, Design
from scoville.silicon.limits import broken
from scoville.silicon.peak import peak_flop_per_s
from scoville.silicon.power import INTERFACE, LEAKAGE, SRAM, STACKS, power
from scoville.silicon.technology import Technology
from scoville.timing.chips import SYSTOLIC, Chips, chips
from scoville.timing.systolic.closed_form import Machines
from scoville.timing.systolic.kernels import SystolicKernels
from scoville.timing.systolic.steps import Links, StepWork, step_seconds, step_work
from scoville.transformer.operators import OperatorTable
from scoville.transformer.step import Parallelism

Bools = NDArray[np.bool_]
Pair = tuple[str, str]
_REFERENCE = "jalapeno"
_ACTIVATION_BYTES = 2 * 2.0  # what an operator reads and writes of each token and element, bf16


@dataclass(frozen=True, slots=True)
class Hour:
    """What an owned chip-hour comes to, in USD per hour of each USD of the chip's price, of each W of its TDP, of each
    USD of one-time cost per chip, and by itself: `economics.owned` of `silicon.accelerator` at central facts, which is
    linear in the four. The purchase factor is for street prices: the server's, but not a chip's made for its owner."""

    of_price_usd_per_h: float
    of_tdp_usd_per_h: float
    of_nre_usd_per_h: float
    fixed_usd_per_h: float


def hour(facts: Facts, terms: OwnershipTerms) -> Hour:
    """The terms of an owner, as `economics.hourly` reads them for a chip with a street price, and all-in power over TDP
    as of other chips."""
    reading = Reading(facts, Draws.central(), terms)

    def term(name: str, override: float | None = None) -> float:
        return float(reading.term(name, override)[0])

    share = term("network_share")
    capital = float(crf(term("wacc", terms.wacc_frac), term("it_life", terms.it_life_s))) / YEAR_H
    repaired = capital + term("failure_rate") * term("failure_cost") * 3600
    paid = repaired / (1 - share)
    facility = float(crf(term("wacc", terms.wacc_frac), term("facility_life", terms.facility_life_s))) / YEAR_H
    site = term("facility", terms.facility_usd_per_w) * facility
    seen = [c.all_in_power.number / c.tdp.number for c in facts.accelerators() if c.all_in_power and c.tdp]
    energy = term("pue", terms.pue_frac) * term("load") * term("electricity", terms.electricity_usd_per_j) * 3600
    return Hour(
        of_price_usd_per_h=paid,
        of_tdp_usd_per_h=float(np.median(seen)) * (site + energy + term("operation") * 3600),
        of_nre_usd_per_h=capital,
        fixed_usd_per_h=term("system_adder") * term("purchase_factor") * paid,
    )


def reference(facts: Facts) -> Chips:
    """A chip timed by its arrays that stands for designs in all that none of them states: launches, latencies of links,
    shares of peaks and of memory; with the error of chips that nobody has measured, as designs are."""
    known = chips(facts.accelerator(_REFERENCE), facts, Draws.central(), SYSTOLIC)
    return replace(known, time_frac=np.array([facts.get("uncertainty", "chip_unmeasured").number]))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """n designs without what they serve: arrays of shape (n,).

    room_bytes            memory that engines use, less their reserve; of designs without memory beside their SRAM all
    on_chip               whether that is the case; then activations take room too
    static_w, *_j_per_*   power at rest, and energy per FLOP (by formats; feeding the arrays inside), byte moved, and
                          byte of payload on links
    nre_usd_per_h         the one-time cost's share of a chip-hour
    broken                breaks reticle, cap, die edge or has no memory
    """

    machines: Machines
    links: Links
    room_bytes: Array
    on_chip: bool
    price_usd: Array
    tdp_w: Array
    cap_w: Array
    usd_per_h: Array
    nre_usd_per_h: Array
    static_w: Array
    matrix_j_per_flop: Mapping[Pair, Array]
    memory_j_per_byte: Array
    link_j_per_byte: Array
    broken: Bools

    def __len__(self) -> int:
        return len(self.price_usd)


def candidates(
    design: Design, technology: Technology, prices: Prices, rate: Hour, like: Chips, *, nre_usd_per_chip: float | Array
) -> Candidates:
    """All that a block of designs, side by side, costs and can do. `like` is a chip timed by its arrays, for the shares
    of peaks and of memory that are nobody's design."""
    n = max(np.size(getattr(design, f)) for f in ("clock_count_per_s", "slices_count", "stacks_count", "power_cap_w"))

    def full(value: float | Array) -> Array:
        return np.ascontiguousarray(np.broadcast_to(np.asarray(value, float), (n,)))

    space = area(design, technology)
    used = power(design, technology, space)
    cost = unit_cost(design, space, prices)
    own = {pair: full(peak) for pair, peak in peak_flop_per_s(design).items()}
    pairs = multiplied(tuple(own))
    slices, arrays = (
        full(design.active_slices_count),
        design.arrays_per_slice_count - design.spare_arrays_per_slice_count,
    )
    lanes = full(design.vector_lanes_per_slice_count)
    tdp = np.minimum(full(used.tdp_w), design.power_cap_w)
    on_chip = design.memory == "none"
    sram = slices * design.sram_per_slice_bytes + design.compute_dies_count * design.sram_shared_bytes
    speed = slices * design.sram_bandwidth_per_slice_bytes_per_s if on_chip else memory_bytes_per_s(design, technology)
    memory = sram if on_chip else design.stacks_count * stack_bytes(design, prices)
    frac, reserve = (1.0, 0.0) if on_chip else (float(like.memory_use_frac[0]), float(like.reserve_bytes[0]))
    over = 1.0 + technology.power_overhead_frac
    blocks = used.blocks_w
    feeding = over * full(blocks[SRAM] + blocks[FABRIC] + blocks[VECTOR])
    energy = technology.matrix_j_per_flop
    each = {(w, a): over * np.maximum(energy[w], energy[a]) + feeding / peak for (w, a), peak in own.items()}
    moving = over * (blocks[INTERFACE] + blocks[DIE_LINKS]) + blocks[STACKS]
    with np.errstate(divide="ignore", invalid="ignore"):
        per_byte = np.where(full(speed) > 0, full(moving) / full(speed), 0.0)
    if not isinstance(like.kernels, SystolicKernels):
        raise DesignError(f"{like.name} is not timed by its arrays, so it cannot stand for designs")
    shares = like.kernels.times.hardware
    return Candidates(
        machines=Machines(
            slices_count=slices,
            arrays_count=full(arrays),
            rows_count=full(design.rows_count),
            columns_count=full(design.columns_count),
            clock_count_per_s=full(design.clock_count_per_s),
            compute_flop_per_s={asked: own[pair] for asked, pair in pairs.items()},
            memory_bytes_per_s=np.maximum(full(speed), 1.0),
            sram_bytes=full(design.sram_per_slice_bytes),
            sram_bytes_per_s=full(design.sram_bandwidth_per_slice_bytes_per_s),
            fabric_bytes_per_s=full(design.fabric_bandwidth_per_slice_bytes_per_s),
            vector_flop_per_s=np.where(lanes > 0, 2.0 * slices * lanes * design.clock_count_per_s, np.inf),
            memory_frac=shares.memory_frac,
            compute_frac=shares.compute_frac,
        ),
        links=Links(
            full(design.scale_up_bytes_per_s), full(design.scale_out_bytes_per_s), full(design.scale_up_domain_count)
        ),
        room_bytes=full(memory) * frac - reserve,
        on_chip=on_chip,
        price_usd=full(cost.price_usd),
        tdp_w=tdp,
        cap_w=full(design.power_cap_w),
        usd_per_h=rate.of_price_usd_per_h * full(cost.price_usd) + rate.of_tdp_usd_per_h * tdp + rate.fixed_usd_per_h,
        nre_usd_per_h=rate.of_nre_usd_per_h * full(nre_usd_per_chip),
        static_w=full(blocks[LEAKAGE]),
        matrix_j_per_flop={asked: each[pair] for asked, pair in pairs.items()},
        memory_j_per_byte=per_byte,
        link_j_per_byte=full(2.0 * over * technology.link_j_per_byte),
        broken=np.broadcast_to(broken(design, space, used, technology), (n,)),
    )


@lru_cache
def multiplied(own: tuple[Pair, ...]) -> dict[Pair, Pair]:
    """In which of a chip's own pairs of formats any two are multiplied, those that cannot be left out: wider ones too,
    4-bit weights in that of the activations, as `silicon.accelerator` states rates and `Chips.rate` chooses."""
    stated = {(w, a): (a, a) for w, a in (("fp4", "fp8"), ("fp4", "bf16"), ("int4", "bf16")) if (a, a) in own}
    stated |= {pair: pair for pair in own}
    found = {}
    for weights, activations in product(WIDER, repeat=2):
        wide = (stated[pair] for pair in product(WIDER[weights], WIDER[activations]) if pair in stated)
        if (first := next(wide, None)) is not None:
            found[weights, activations] = first
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A model and its traffic under one sharding at m batches, without a chip; arrays of shape (m,).

    `work` holds the steps of decodes and, last, one of `chunk_tokens` of prompts alone. `need_bytes` is what the cache
    takes of a chip beside `resident_bytes` of weights; `activation_bytes` what a full step's activations take.
    `possible` says where a step's token budget holds; `tokens_per_chip_tokens` are served while each sequence gets a
    token; `bubble_frac` is how much longer prompts hold up a pipeline.
    """

    parallelism: Parallelism
    shape: TrafficShape
    targets: Targets
    batch_count: Array
    work: StepWork
    chunk_tokens: float
    sampling_s: Array
    need_bytes: Array
    resident_bytes: float
    activation_bytes: float
    possible: Bools
    tokens_per_chip_tokens: Array
    bubble_frac: Array


def task(
    table: OperatorTable,
    shape: TrafficShape,
    batch: Array,
    targets: Targets,
    like: Chips,
    *,
    block_tokens: float = 16.0,
    sequence_s: float = 0.0,
) -> Task:
    """The steps at each batch (m,), ascending, and what the cache takes, as `steady_state` has it."""
    p = table.parallelism
    batch = np.asarray(batch, float)
    groups = p.attention_data
    chunk = shape.chunk_tokens * groups
    busiest = worst_rank_frac(np.maximum(batch[-1:] / p.pipeline, 1.0), groups)
    mixes = [average_step(shape, p, float(b), 0.0) for b in batch]
    mixes.append(replace(average_step(shape, p, 0.0, chunk), worst_rank_frac=busiest))
    features = np.concatenate([table.layout.features(mix) for mix in mixes])
    held = batch + NormalDist().inv_cdf(0.99) * np.sqrt(batch)
    tokens = {w: v + block_tokens / 2 for w, v in shape.held_tokens.items()}
    per_sequence = float(table.cache_bytes({w: np.array([v]) for w, v in tokens.items()})[0])
    per_sequence += table.cache_bytes_per_sequence_bytes
    prompts = max(shape.chunk_tokens, shape.cached_input_tokens + shape.fresh_input_tokens * shape.prompt_second_frac)
    most = {w: np.array([prompts if w is None else min(prompts, w + shape.chunk_tokens)]) for w in tokens}
    return Task(
        parallelism=p,
        shape=shape,
        targets=targets,
        batch_count=batch,
        work=step_work(table, features, like),
        chunk_tokens=float(chunk),
        sampling_s=features[:, table.layout.column("rank_sampled_tokens")] * sequence_s,
        need_bytes=held * worst_rank_frac(held, groups) * per_sequence + float(table.cache_bytes(most)[0]),
        resident_bytes=table.resident_bytes,
        activation_bytes=shape.chunk_tokens * table.architecture.hidden * _ACTIVATION_BYTES,
        possible=batch / groups < shape.chunk_tokens,
        bubble_frac=bubble_frac(shape, p, batch) if p.pipeline > 1 else np.ones_like(batch),
        tokens_per_chip_tokens=batch * ((1 + shape.input_tokens / shape.output_tokens) / p.chips),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """n designs at m batches of one sharding; arrays of shape (n, m).

    tpot_s is the mean, *_percentile_s at the targets' percentiles; power_w is a chip's while it serves; tokens count
    input and output. loaded_usd_per_token holds the one-time cost's share. `fits` is memory and token budget;
    `feasible` that, a stable queue, both targets, tensor parallelism inside a domain, and a design that breaks nothing.
    """

    tpot_s: Array
    tpot_percentile_s: Array
    ttft_s: Array
    ttft_percentile_s: Array
    tokens_per_s_per_chip: Array
    power_w: Array
    memory_frac: Array
    usd_per_token: Array
    loaded_usd_per_token: Array
    fits: Bools
    feasible: Bools

    @property
    def energy_j_per_token(self) -> Array:
        """Of the chips alone."""
        return self.power_w / self.tokens_per_s_per_chip


def evaluate(found: Candidates, served: Task) -> Points:
    """Every design of a block under one sharding at every batch."""
    p, shape, work, targets = served.parallelism, served.shape, served.work, served.targets
    stage, latency = step_seconds(found.machines, found.links, work)
    if served.sampling_s.any():
        stage, latency = stage + served.sampling_s[:, None], latency + served.sampling_s[:, None]
    m, n = len(served.batch_count), len(found)
    out = np.empty((len(RESULTS), m, n))
    need = served.need_bytes + (served.activation_bytes if found.on_chip else 0.0)
    points(
        out,
        np.empty_like(stage),
        stage,
        latency,
        np.stack([*(found.matrix_j_per_flop[f] for f in work.pairs), found.memory_j_per_byte, found.link_j_per_byte]),
        np.vstack([work.flop, work.memory_bytes, work.link_bytes]),
        np.stack(
            [
                found.room_bytes - served.resident_bytes,
                1 / np.maximum(found.cap_w - found.static_w, 1e-9),
                found.static_w,
                found.usd_per_h,
                found.nre_usd_per_h,
                ~found.broken & (found.links.domain_count >= p.tensor),
            ]
        ),
        np.stack([served.batch_count, need, served.possible, served.tokens_per_chip_tokens, served.bubble_frac]),
        float(p.pipeline),
        float(p.attention_data),
        served.chunk_tokens,
        shape.fresh_input_tokens,
        shape.output_tokens,
        shape.prompt_second_frac,
        shape.prompt_third_frac,
        shape.output_inverse_frac,
        *(NormalDist().inv_cdf(x) for x in (targets.ttft_percentile_frac, targets.tpot_percentile_frac)),
        targets.ttft_s,
        targets.tpot_s,
    )
    results: dict[str, Any] = dict(zip(RESULTS, out.transpose(0, 2, 1), strict=True))
    results |= {name: results[name] > 0 for name in ("fits", "feasible")}
    return Points(**results)
