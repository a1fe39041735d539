"""Parameter counts against published figures and against sums done by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.errors import ModelError
from scoville.transformer import load, names, parameters, weight_bytes
from scoville.transformer.architecture import FORMATS
from scoville.transformer.parameters import counted_as, published
from scoville.transformer.quantization import stored_formats

# Published figures in billions with their source in models/published.toml; repeated here so that neither a wrong
# figure nor a wrong count can hide: (total, active).
PUBLISHED = {
    "llama-2-7b": (6.74, 6.74), "llama-2-70b": (69, 69), "llama-3.1-8b": (8.03, 8.03), "llama-3.1-70b": (70.6, 70.6),
    "llama-3.1-405b": (405.9, 405.9), "mistral-7b": (7.24, 7.24), "mixtral-8x7b": (46.7, 12.9),
    "mixtral-8x22b": (141, 39), "qwen3-8b": (8.2, 8.2), "qwen3-32b": (32.8, 32.8), "qwen3-30b-a3b": (30.5, 3.3),
    "qwen3-235b-a22b": (235, 22), "qwen3-coder-480b-a35b": (480, 35), "qwen3.5-397b-a17b": (397, 17),
    "gpt-oss-120b": (116.83, 5.13), "gpt-oss-20b": (20.91, 3.61), "deepseek-v3": (671, 37), "deepseek-r1": (671, 37),
    "deepseek-v3.2": (671, 37), "kimi-k2-instruct": (1040, 32), "kimi-k2.5": (1040, 32), "glm-4.5": (355, 32),
    "glm-5": (744, 40), "minimax-m2.5": (230, 10), "llama-4-scout": (109, 17), "llama-4-maverick": (400, 17),
    "gemma-3-27b": (27, 27), "gpt-3-175b": (175, 175), "bloom-176b": (176.25, 176.25),
}  # fmt: skip


@pytest.mark.parametrize("name", names())
def test_total_and_active_parameters_are_as_published(name: str) -> None:
    figure = published(name)
    assert figure is not None
    assert figure.source
    assert (figure.total_count, figure.active_count) == pytest.approx([1e9 * b for b in PUBLISHED[name]])
    a = load(name)
    total, active = counted_as(a, figure)
    assert total == pytest.approx(figure.total_count, rel=0.015)
    assert active == pytest.approx(figure.active_count, rel=0.03)
    # Draft layers apart, whatever the publisher counts.
    assert parameters(a).total == pytest.approx(figure.total_count, rel=0.015)


@pytest.mark.parametrize("name", names())
def test_parts_sum_to_the_total(name: str) -> None:
    p = parameters(load(name))
    parts = (p.embedding, p.head, p.attention, p.dense_mlp, p.routed_experts, p.shared_experts, p.router, p.norms)
    assert sum(parts) == p.total


def test_llama_70b_by_hand() -> None:
    """hidden 8192, 80 layers, 64 heads and 8 KV heads of 128, MLP 28672, vocabulary 128256, two matrices for it."""
    attention = 8192 * 8192 + 2 * 8192 * 1024 + 8192 * 8192
    mlp = 3 * 8192 * 28672
    norms = 2 * 8192
    total = 80 * (attention + mlp + norms) + 8192 + 2 * 128256 * 8192
    assert total == 70_553_706_496
    assert parameters(load("llama-3.1-70b")).total == total


def test_bloom_to_the_last_parameter() -> None:
    """BLOOM (arXiv 2211.05100), table 3: 176,247M; the model card gives 176,247,271,424."""
    assert parameters(load("bloom-176b")).total == 176_247_271_424


def test_deepseek_draft_layer_and_active_parameters() -> None:
    """DeepSeek-V3 README_WEIGHTS.md: 36.6B active with the head's 0.9B; the draft layer has 11.5B of its own."""
    p = parameters(load("deepseek-v3"))
    assert p.active_includes_head
    assert not p.active_includes_embedding
    assert p.active == pytest.approx(36.6e9, rel=0.002)
    assert p.draft == pytest.approx(11.5e9, rel=0.015)
    # With its own copies of embedding and head, the draft makes the 685B that the repository counts (671B + 14B).
    assert p.total + p.draft + p.embedding + p.head == pytest.approx(685e9, rel=0.002)


def test_gpt_oss_parts() -> None:
    """gpt-oss model card, table 1: 120b has MLP 114.71B, attention 0.96B, embedding and unembedding 1.16B."""
    p = parameters(load("gpt-oss-120b"))
    assert p.routed_experts + p.router == pytest.approx(114.71e9, rel=1e-3)
    assert p.attention == pytest.approx(0.96e9, rel=5e-3)
    assert p.embedding + p.head == pytest.approx(1.16e9, rel=5e-3)


def test_the_indexer_of_deepseek_v32_by_hand() -> None:
    """wq_b 1536 x 64 x 128, wk 7168 x 128, weights 7168 x 64, a key norm with bias of 128, in 61 layers."""
    indexer = 1536 * 64 * 128 + 7168 * 128 + 7168 * 64 + 2 * 128
    assert parameters(load("deepseek-v3.2")).total - parameters(load("deepseek-v3")).total == 61 * indexer


def test_a_tied_embedding_counts_once() -> None:
    a = load("gemma-3-27b")
    p = parameters(a)
    assert p.head == 0
    assert p.active == p.total == parameters(a, active_embedding=True).active
    assert parameters(a, active_head=False).active == p.total - p.embedding


def test_no_figure_for_a_model_of_ones_own() -> None:
    assert published("our-llama") is None


@pytest.mark.parametrize(("name", "gib"), [("gpt-oss-120b", 60.8), ("gpt-oss-20b", 12.8)])
def test_declared_weights_weigh_what_the_checkpoint_does(name: str, gib: float) -> None:
    """gpt-oss model card, table 1: checkpoint sizes of 60.8 GiB and 12.8 GiB, to one decimal."""
    assert weight_bytes(load(name)).total_bytes / 2**30 == pytest.approx(gib, abs=0.05)


@pytest.mark.parametrize("name", names())
def test_weights_in_bf16_are_two_bytes_each(name: str) -> None:
    a = load(name)
    w = weight_bytes(a, "bf16")
    assert w.total_bytes == pytest.approx(2 * parameters(a).total)
    assert w.draft_bytes == pytest.approx(2 * parameters(a).draft)
    assert weight_bytes(a) == weight_bytes(a, "declared")


def test_only_linear_weights_take_the_format_asked_for() -> None:
    a = load("llama-3.1-70b")
    w, p = weight_bytes(a, "fp8"), parameters(a)
    assert w.attention_bytes == p.attention
    assert w.dense_mlp_bytes == p.dense_mlp
    assert w.embedding_bytes + w.head_bytes == 2 * (p.embedding + p.head)


def test_exceptions_of_a_declared_quantisation_are_kept() -> None:
    f = stored_formats(load("gpt-oss-120b"), "fp8")
    assert (f.attention, f.experts) == ("bf16", "fp8")
    assert stored_formats(load("deepseek-v3"), "mxfp4").attention == "mxfp4"


def test_an_unknown_weight_format_is_named() -> None:
    with pytest.raises(ModelError, match="unknown weight format 'mxfp5'; did you mean 'mxfp8' or 'mxfp4'"):
        weight_bytes(load("llama-3.1-8b"), "mxfp5")


@given(st.sampled_from(names()), st.sampled_from(sorted(FORMATS)), st.sampled_from(sorted(FORMATS)))
def test_wider_formats_never_weigh_less(name: str, one: str, other: str) -> None:
    narrow, wide = sorted((one, other), key=lambda f: FORMATS[f].bits_per_element)
    a = load(name)
    small, large = weight_bytes(a, narrow), weight_bytes(a, wide)
    parts = [f for f in small.__slots__ if f not in ("total_bytes", "draft_bytes")]
    assert small.total_bytes <= large.total_bytes
    assert math.isclose(small.total_bytes, sum(getattr(small, f) for f in parts), rel_tol=1e-12)
