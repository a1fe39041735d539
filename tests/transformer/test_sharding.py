"""What a chip holds under every sharding: weights are neither lost nor doubled, except where that is the rule."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.errors import DeploymentError
from scoville.transformer import cache_bytes, load, names, parameters
from scoville.transformer.cache import layout
from scoville.transformer.operators import OperatorTable
from scoville.transformer.parameters import weight_bytes
from scoville.transformer.sharding import check_sharding, operator_table
from scoville.transformer.step import Parallelism, Precision

BF16 = Precision(weights="bf16")
# On every chip in full: norms, the router, what all heads share.
REPEATED = {
    "norm_attention", "norm_feed_forward", "norm_final", "norm_latent", "qk_norm", "router", "shared_gate",
    "qkv_down_projection", "indexer_q", "indexer_k",
}  # fmt: skip
SHARDINGS = [
    Parallelism(t, p, e, d)
    for t in (1, 2, 4, 8, 16)
    for p in (1, 2, 4)
    for d in (1, 2, 8)
    for e in (1, t * d, d)
    if (t * d) % e == 0
]


def held(t: OperatorTable) -> dict[str, float]:
    """Bytes of weights on all chips of a replica, by operator name without its layer."""
    total: dict[str, float] = defaultdict(float)
    for op in t.operators:
        total[op.name.split(".")[-1]] += op.resident_bytes * sum(op.per_stage_count) * t.parallelism.stage_chips
    return total


def divides(name: str, p: Parallelism) -> bool:
    try:
        check_sharding(load(name), p)
    except DeploymentError:
        return False
    return True


@pytest.mark.parametrize("name", names())
def test_one_chip_holds_the_whole_model(name: str) -> None:
    """Biases of norms (Bloom, GPT-3) and of the indexer's norm are the part in 10,000 that no operator has."""
    a = load(name)
    assert operator_table(a, BF16, Parallelism()).resident_bytes == pytest.approx(2 * parameters(a).total, rel=1e-4)
    declared = operator_table(a, Precision(), Parallelism())
    assert declared.resident_bytes == pytest.approx(weight_bytes(a).total_bytes, rel=1e-4)


@pytest.mark.parametrize("kv", ["bf16", "fp8"])
@pytest.mark.parametrize("name", names())
def test_the_cache_of_one_chip_is_the_cache(name: str, kv: str) -> None:
    a = load(name)
    t = operator_table(a, Precision(kv=kv), Parallelism())
    groups = {g.window_tokens: g.held_bytes_per_token for g in layout(a, kv).groups}
    assert {w: b for w, b in t.cache_bytes_per_token.items() if b} == groups
    assert t.cache_bytes_per_sequence_bytes == layout(a, kv).fixed_bytes
    held_tokens = {w: np.array([5000.0 if w is None else min(5000.0, w)]) for w in t.layout.windows}
    whole = float(t.cache_bytes(held_tokens)[0]) + t.cache_bytes_per_sequence_bytes
    assert whole == pytest.approx(float(cache_bytes(a, 5000, kv)), rel=1e-12)


@given(
    st.sampled_from(["llama-3.1-70b", "mixtral-8x7b", "qwen3-235b-a22b", "deepseek-v3", "glm-5", "llama-4-maverick"]),
    st.sampled_from(SHARDINGS),
)
def test_ranks_and_stages_together_hold_each_weight_as_often_as_the_rule_says(name: str, p: Parallelism) -> None:
    """Experts once; matrices once per attention-data group; what is repeated once per chip; KV heads at least once per
    rank."""
    if not divides(name, p):
        return
    a = load(name)
    alone, spread = held(operator_table(a, BF16, Parallelism())), held(operator_table(a, BF16, p))
    for part, size in alone.items():
        times: float = p.attention_data
        if part.startswith("experts_"):
            times = 1
        elif part in REPEATED:
            times = p.stage_chips
        elif part == "qkv_projection":
            x = a.layers[0].attention
            copies = max(1.0, p.tensor / x.kv_heads)
            elements = x.heads * x.head_dim * (2 if x.output_gate else 1)
            kv = x.kv_heads * (x.head_dim + x.v_head_dim)
            times *= (elements + copies * kv) / (elements + kv)
        assert spread[part] == pytest.approx(times * size, rel=1e-9), part


@given(st.sampled_from(names()), st.sampled_from(SHARDINGS))
def test_stages_share_the_layers(name: str, p: Parallelism) -> None:
    if not divides(name, p):
        return
    a = load(name)
    t = operator_table(a, BF16, p)
    runs = {op.name: op.per_stage_count for op in t.operators}
    per_stage = np.sum([c for n, c in runs.items() if n.split(".")[-1] == "norm_attention"], axis=0)
    assert per_stage.sum() == len(a.layers)
    assert per_stage.max() - per_stage.min() <= 1
    assert runs["embedding"] == (1, *[0] * (p.pipeline - 1))
    assert runs["head"] == (*[0] * (p.pipeline - 1), 1)
    if p.pipeline > 1:
        assert runs["send_to_next_stage"] == (*[1] * (p.pipeline - 1), 0)
    stages = t.count @ np.array([op.resident_bytes for op in t.operators])
    assert t.resident_bytes == stages.max()
    assert np.array_equal(t.count, np.array([op.per_stage_count for op in t.operators]).T)


@given(st.sampled_from(names()), st.sampled_from(SHARDINGS))
def test_more_chips_never_hold_more_each(name: str, p: Parallelism) -> None:
    """Against one chip: weights, cache per token and per sequence."""
    if not divides(name, p):
        return
    alone, spread = (operator_table(load(name), BF16, q) for q in (Parallelism(), p))
    assert spread.resident_bytes <= alone.resident_bytes * (1 + 1e-12)
    for w, per_token in alone.cache_bytes_per_token.items():
        assert spread.cache_bytes_per_token[w] <= per_token
    assert spread.cache_bytes_per_sequence_bytes <= alone.cache_bytes_per_sequence_bytes


def test_cache_under_tensor_parallelism() -> None:
    """Llama-3.1-70B: 8 KV heads over 4 ranks a quarter, over 16 ranks still one head each. A latent is not split."""
    for tensor, per_token in ((1, 327_680), (4, 81_920), (8, 40_960), (16, 40_960)):
        t = operator_table(load("llama-3.1-70b"), BF16, Parallelism(tensor))
        assert t.cache_bytes_per_token == {None: per_token}
    for tensor in (1, 8):
        t = operator_table(load("deepseek-v3"), BF16, Parallelism(tensor))
        assert t.cache_bytes_per_token == {None: 70_272}


def test_the_stage_with_most_cache_counts() -> None:
    """Qwen3.5 has full attention in every fourth of 60 layers: over 8 stages of 7 or 8 layers at most 2 of them, of
    2 x 2 x 256 x 2 bytes a token each, and at most 6 linear ones."""
    a = load("qwen3.5-397b-a17b")
    t = operator_table(a, BF16, Parallelism(pipeline=8))
    alone = operator_table(a, BF16, Parallelism())
    assert t.cache_bytes_per_token == {None: 2 * 2 * 2 * 256 * 2}
    assert t.cache_bytes_per_sequence_bytes == pytest.approx(alone.cache_bytes_per_sequence_bytes * 6 / 45)


@given(st.sampled_from(names()), st.integers(1, 24))
def test_no_stage_holds_more_cache_than_the_table_says(name: str, pipeline: int) -> None:
    """And each figure is that of some stage, counted over its own layers as a model of fewer layers."""
    a = load(name)
    t = operator_table(a, BF16, Parallelism(pipeline=pipeline))
    sizes = np.sum([o.per_stage_count for o in t.operators if o.name.endswith("norm_attention")], axis=0)
    ends = np.cumsum(sizes)
    stages = [layout(replace(a, layers=a.layers[e - n : e]), "bf16") for e, n in zip(ends, sizes, strict=True)]
    assert t.cache_bytes_per_sequence_bytes == pytest.approx(max(s.fixed_bytes for s in stages), rel=1e-12)
    for w, per_token in t.cache_bytes_per_token.items():
        by_stage = [sum(g.held_bytes_per_token for g in s.groups if g.window_tokens == w) for s in stages]
        assert per_token == pytest.approx(max(by_stage), rel=1e-12)


def test_a_tied_embedding_is_held_twice_in_a_pipeline() -> None:
    """Gemma-3: the last stage multiplies with the matrix that the first one looks up."""
    a = load("gemma-3-27b")
    matrix = a.vocabulary * a.hidden * 2
    for pipeline, copies in ((1, 1), (2, 2), (4, 2)):
        parts = held(operator_table(a, BF16, Parallelism(pipeline=pipeline)))
        assert parts["embedding"] + parts["head"] == copies * matrix


def test_equal_operators_of_different_layers_are_one() -> None:
    """gpt-oss: windowed and full layers differ in attention alone."""
    t = operator_table(load("gpt-oss-120b"), BF16, Parallelism())
    counts = Counter(op.name.split(".")[-1] for op in t.operators)
    assert set(counts.values()) == {1}
    assert {op.name: sum(op.per_stage_count) for op in t.operators}["qkv_projection"] == 36


@pytest.mark.parametrize(
    ("name", "parallelism", "message"),
    [
        ("llama-3.1-70b", Parallelism(3), "tensor = 3 does not divide the 64 attention heads; choose a divisor of 64"),
        ("mixtral-8x7b", Parallelism(16, 1, 16), "expert = 16 does not divide the 8 experts; choose a divisor"),
        ("llama-3.1-70b", Parallelism(4, 1, 4), "has no experts; parallelism.expert must be 1"),
        ("llama-3.1-8b", Parallelism(1, 64), "pipeline = 64 exceeds its 32 layers"),
        ("deepseek-v3", Parallelism(64, 1, 1, 64), "4096 ranks do not divide the feed-forward width 2048"),
        ("glm-4.5", Parallelism(3), "tensor = 3 and the 8 key-value heads do not divide each other"),
    ],
)
def test_a_sharding_that_does_not_divide_is_refused(name: str, parallelism: Parallelism, message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        operator_table(load(name), BF16, parallelism)
