"""One configuration, predicted: what a replica of given chips, sharding and batch does under a traffic's shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoville.errors import DeploymentError
from scoville.facts import Accelerator, Draws, Facts, Range
from scoville.serving.batch import around, batch_sizes, limit, most_batch
from scoville.serving.settings import preset
from scoville.serving.shape import TrafficShape, check_context
from scoville.serving.steady import SteadyState, Targets, average_step, full_chunk_tokens, steady_state
from scoville.timing import OperatorTime, RooflineTimer, cache_room_bytes, chips, timing_evidence
from scoville.transformer.operators import OperatorTable
from scoville.units import show


@dataclass(frozen=True)
class Prediction:
    """A replica in steady state. Latencies are means; the percentiles are the targets' own.

    `decode` and `mixed` explain, operator by operator, the average decode step and one with a full chunk of prefill.
    `limit` names what a larger batch would break, else the busiest resource.
    """

    accelerator: str
    model: str
    parallelism: str
    chips_count: int
    batch_count: int
    evidence: str
    computes_in: tuple[str, ...]
    requests_per_s: Range
    tokens_per_s_per_chip: Range
    tokens_per_s_per_user: Range
    tpot_s: Range
    tpot_percentile_s: Range
    ttft_s: Range
    ttft_percentile_s: Range
    energy_j_per_token: Range
    weights_bytes: float
    cache_room_bytes: float
    cache_used_bytes: float
    prefill_frac: float
    limit: str
    decode: tuple[OperatorTime, ...]
    mixed: tuple[OperatorTime, ...]


def predict(
    accelerator: Accelerator,
    facts: Facts,
    table: OperatorTable,
    shape: TrafficShape,
    targets: Targets,
    batch: int | None = None,
    *,
    kernels: str = "vllm",
    samples: int = 1000,
    seed: int = 1,
) -> Prediction:
    """Predict a replica at `batch` decode sequences, or at the batch with the most tokens per second under the targets.

    `kernels` are those of an engine family, or "systolic": see `timing.chips`.

    Raises DeploymentError where the model or the batch does not fit, prefill cannot keep up, or no batch meets the
    targets; TrafficError where a request is longer than the model takes.
    """
    check_context(shape, table.architecture)
    timer = RooflineTimer()
    on = chips(accelerator, facts, Draws.central(), kernels)
    block = facts.get("engine", "block_tokens").number
    usual = preset("tensorrt-llm" if kernels == "trtllm" else "vllm", facts)
    p, name = table.parallelism, table.architecture.name
    room = float(cache_room_bytes(table, on)[0])
    if room <= 0:
        raise DeploymentError(
            f"{name} does not fit on {p} x {accelerator.name}: {show(table.resident_bytes, 'bytes')} of weights per "
            f"chip; use more chips (larger TP or PP) or a narrower weight format"
        )

    def at(batches: np.ndarray, draws: Draws) -> SteadyState:
        which = on if draws.n == 1 else chips(accelerator, facts, draws, kernels)
        return steady_state(
            table, which, shape, batches, targets, timer, block_tokens=block, sequence_s=usual.sequence_s
        )

    if batch is None:
        sizes = batch_sizes(most_batch(shape, p))
        state = at(sizes, Draws.central())
        if not state.feasible.any():
            raise DeploymentError(f"{name} on {p} x {accelerator.name}: {_why_none(state)}")
        sizes = around(sizes, _most_served(state))
        state = at(sizes, Draws.central())
        k = _most_served(state)
    else:
        sizes = np.array([float(batch), float(batch + 1)])
        state = at(sizes, Draws.central())
        k = 0
        where = f"batch {batch} on {p} x {accelerator.name}"
        if not state.fits[0, 0]:
            raise DeploymentError(
                f"{where}: does not fit, {show(room, 'bytes')} per chip are left for the cache and a step takes at "
                f"most {shape.chunk_tokens * p.attention_data:,.0f} tokens; use a smaller batch or more chips"
            )
        if not state.stable[0, 0]:
            raise DeploymentError(
                f"{where}: prefill cannot keep up with the prompts of so many sequences; use a smaller batch or more "
                f"chips"
            )
    drawn = at(sizes[k : k + 1], Draws(seed, samples))
    per_request = shape.input_tokens + shape.output_tokens

    def spread(field: str, measure: str, scale: float = 1.0, power: int = 1) -> Range:
        central = float(getattr(state, field)[0, k]) ** power * scale
        return Range.of(central, getattr(drawn, field)[:, 0] ** power * scale, measure)

    chosen = float(sizes[k])
    held = {w: np.array([v + block / 2]) for w, v in shape.held_tokens.items()}
    used = chosen / p.attention_data * (float(table.cache_bytes(held)[0]) + table.cache_bytes_per_sequence_bytes)
    steps = [
        tuple(timer.explain(table, on, table.layout.features(average_step(shape, p, chosen, prefill))[0]))
        for prefill in (0.0, float(full_chunk_tokens(shape, p, chosen)))
    ]
    return Prediction(
        accelerator=accelerator.id,
        model=name,
        parallelism=str(p),
        chips_count=p.chips,
        batch_count=int(chosen),
        evidence=timing_evidence(accelerator, facts),
        computes_in=tuple(dict.fromkeys(t.rate for t in steps[0] if t.rate and t.kind in ("gemm", "moe"))),
        requests_per_s=spread("requests_per_s", "count_per_s"),
        tokens_per_s_per_chip=spread("requests_per_s", "tokens_per_s", per_request / p.chips),
        tokens_per_s_per_user=spread("tpot_s", "tokens_per_s", 1.0, -1),
        tpot_s=spread("tpot_s", "s"),
        tpot_percentile_s=spread("tpot_percentile_s", "s"),
        ttft_s=spread("ttft_s", "s"),
        ttft_percentile_s=spread("ttft_percentile_s", "s"),
        energy_j_per_token=spread("energy_j_per_token", "j_per_token"),
        weights_bytes=table.resident_bytes,
        cache_room_bytes=room,
        cache_used_bytes=used,
        prefill_frac=float(state.requests_per_s[0, k] * shape.fresh_input_tokens * state.prefill_s_per_token[0, k]),
        limit=limit(state, k),
        decode=steps[0],
        mixed=steps[1],
    )


def _most_served(state: SteadyState) -> int:
    """The position of the feasible batch with the most requests per second."""
    return int(np.argmax(np.where(state.feasible[0], state.requests_per_s[0], 0.0)))


def _why_none(state: SteadyState) -> str:
    """Why no batch is feasible, from what batch 1 has."""
    if not state.fits[0, 0]:
        return "the model fits, but not beside the cache of a single request; use more chips"
    if not state.stable[0, 0]:
        return "prefill cannot keep up with the prompts of even a single sequence in decode; use more chips"
    ttft, tpot = (show(float(x[0, 0]), "s") for x in (state.ttft_percentile_s, state.tpot_percentile_s))
    return (
        f"no batch size meets the targets; batch 1 has TTFT {ttft} and TPOT {tpot} at their percentiles; relax a "
        f"target or use more chips"
    )
