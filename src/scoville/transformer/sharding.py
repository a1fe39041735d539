"""A model sharded over chips: which operators each pipeline stage runs, what stays in memory, what the cache takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scoville.errors import DeploymentError
from scoville.transformer.architecture import FORMATS, Architecture, Layer
from scoville.transformer.blocks import Blocks
from scoville.transformer.operators import Operator, OperatorTable
from scoville.transformer.step import Parallelism, Precision, Window


def _stages(layers: tuple[Layer, ...], stages: int) -> list[tuple[Layer, ...]]:
    """Consecutive layers per stage, as even as possible; longer ones in the middle, as the ends hold the vocabulary."""
    base, extra = divmod(len(layers), stages)
    order = sorted(range(stages), key=lambda s: abs(s - (stages - 1) / 2))
    sizes = [base] * stages
    for s in order[:extra]:
        sizes[s] += 1
    cuts = np.concatenate([[0], np.cumsum(sizes)])
    return [layers[cuts[s] : cuts[s + 1]] for s in range(stages)]


def check_sharding(architecture: Architecture, parallelism: Parallelism) -> None:
    """Refuse a sharding that no engine offers. Raises DeploymentError naming the number that does not divide."""
    p = parallelism
    for layer in dict.fromkeys(architecture.layers):
        x, f = layer.attention, layer.feed_forward
        if x.heads % p.tensor:
            raise DeploymentError(
                f"{architecture.name}: tensor = {p.tensor} does not divide the {x.heads} attention heads; "
                f"choose a divisor of {x.heads}"
            )
        if x.kind == "gqa" and x.kv_heads % p.tensor and p.tensor % x.kv_heads:
            raise DeploymentError(
                f"{architecture.name}: tensor = {p.tensor} and the {x.kv_heads} key-value heads do not divide "
                f"each other"
            )
        if f.experts and f.experts % p.expert:
            raise DeploymentError(
                f"{architecture.name}: expert = {p.expert} does not divide the {f.experts} experts; choose a divisor"
            )
        inner = f.intermediate
        split = p.expert_tensor if f.experts else p.tensor
        if inner % split:
            raise DeploymentError(
                f"{architecture.name}: {split} ranks do not divide the feed-forward width {inner}; choose a divisor"
            )
    if p.expert > 1 and not any(layer.feed_forward.experts for layer in architecture.layers):
        raise DeploymentError(f"{architecture.name} has no experts; parallelism.expert must be 1")
    if p.pipeline > len(architecture.layers):
        raise DeploymentError(
            f"{architecture.name}: pipeline = {p.pipeline} exceeds its {len(architecture.layers)} layers"
        )


def operator_table(architecture: Architecture, precision: Precision, parallelism: Parallelism) -> OperatorTable:
    """All distinct operators of one step, per chip, with how often each pipeline stage runs them.

    Raises DeploymentError where the sharding does not divide the model.
    """
    check_sharding(architecture, parallelism)
    b = Blocks(architecture, precision, parallelism)
    stages = _stages(architecture.layers, parallelism.pipeline)
    first = tuple(int(s == 0) for s in range(len(stages)))
    last = tuple(int(s == len(stages) - 1) for s in range(len(stages)))

    b.count = first
    b.embedding()
    kinds = list(dict.fromkeys(architecture.layers))
    for i, layer in enumerate(kinds):
        b.count = tuple(stage.count(layer) for stage in stages)
        b.prefix = f"layer{i + 1}." if len(kinds) > 1 else ""
        b.attention(layer.attention, layer.norms)
        b.feed_forward(layer.feed_forward, layer.norms)
    b.prefix = ""
    if len(stages) > 1:
        b.count = tuple(1 - x for x in last)
        b.collective("send_to_next_stage", "point_to_point", parallelism.chips, "rank_tokens", architecture.hidden)
    b.count = last
    b.head()

    ops = _merge(b.operators)
    count = np.array([op.per_stage_count for op in ops], float).T
    resident = np.array([op.resident_bytes for op in ops])
    per_token, per_sequence = _cache(b, stages)
    return OperatorTable(
        architecture=architecture,
        precision=precision,
        parallelism=parallelism,
        layout=b.layout,
        operators=tuple(ops),
        flop=np.stack([op.flop for op in ops]),
        memory_bytes=np.stack([op.weight_bytes + op.kv_bytes + op.activation_bytes for op in ops]),
        link_bytes=np.stack([op.link_bytes for op in ops]),
        count=count,
        resident_bytes=float((count @ resident).max()),
        cache_bytes_per_token=per_token,
        cache_bytes_per_sequence_bytes=per_sequence,
    )


def _merge(operators: list[Operator]) -> list[Operator]:
    """Equal operators of different layer kinds (the projections of gpt-oss's two kinds, say) become one."""
    merged: dict[tuple[object, ...], Operator] = {}
    for op in operators:
        key = (
            op.name.split(".")[-1], op.kind, op.weight_rate, op.activation_rate, op.flop.tobytes(),
            op.weight_bytes.tobytes(), op.kv_bytes.tobytes(), op.activation_bytes.tobytes(), op.link_bytes.tobytes(),
            op.resident_bytes, op.collective, op.span_count, op.may_overlap,
        )  # fmt: skip
        if key in merged:
            old = merged[key]
            total = tuple(x + y for x, y in zip(old.per_stage_count, op.per_stage_count, strict=True))
            merged[key] = replace(old, per_stage_count=total, name=op.name.split(".")[-1])
        else:
            merged[key] = op
    return list(merged.values())


def _cache(b: Blocks, stages: list[tuple[Layer, ...]]) -> tuple[dict[Window, float], float]:
    """Cache bytes per chip: per held token of each window, and per sequence, each the most that any stage has.

    Which stage is fullest depends on the context where layers differ (linear attention beside full attention), so
    this is an upper bound there, by less than one layer in a pattern that repeats.
    """

    def stage(layers: tuple[Layer, ...]) -> tuple[dict[Window, float], float]:
        per_token: dict[Window, float] = dict.fromkeys(b.layout.windows, 0.0)
        fixed = 0.0
        for layer in layers:
            x, tp = layer.attention, b.p.tensor
            if x.kind == "gqa":
                per_token[x.window] += max(x.kv_heads / tp, 1.0) * (x.head_dim + x.v_head_dim) * b.kv.size_bytes
            elif x.kind == "mla":
                per_token[None] += (x.kv_lora_rank + x.rope_dim) * b.kv.size_bytes
                per_token[None] += x.index_head_dim * FORMATS["fp8"].size_bytes
            else:
                channels = 2 * max(x.key_heads / tp, 1.0) * x.head_dim + x.heads / tp * x.v_head_dim
                fixed += x.heads / tp * x.head_dim * x.v_head_dim * x.state_bytes_per_element
                fixed += channels * (x.conv_kernel - 1) * FORMATS["bf16"].size_bytes
        return per_token, fixed

    held = [stage(layers) for layers in stages]
    return {w: max(per_token[w] for per_token, _ in held) for w in b.layout.windows}, max(fixed for _, fixed in held)
