"""Cache sizes: exact figures, windows, state, and a slow sum over layers as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.errors import ModelError
from scoville.transformer import cache_bytes, load, names
from scoville.transformer.architecture import FORMATS, Architecture
from scoville.transformer.cache import layout, marginal_bytes_per_token

CONTEXTS = st.integers(0, 2_000_000)


def naive(a: Architecture, context: int, kv_format: str) -> float:
    """Layer by layer, element by element, as one would count a cache on paper."""
    element = FORMATS[kv_format].bits_per_element / 8
    total = 0.0
    for layer in a.layers:
        x = layer.attention
        held = context if x.window is None else min(context, x.window)
        if x.kind == "gqa":
            total += held * x.kv_heads * x.head_dim * element  # keys
            total += held * x.kv_heads * x.v_head_dim * element  # values
        elif x.kind == "mla":
            total += held * (x.kv_lora_rank + x.rope_dim) * element
            total += held * x.index_head_dim  # one FP8 byte per element of the indexer's key
        else:
            total += x.heads * x.head_dim * x.v_head_dim * x.state_bytes_per_element
            total += (x.key_heads * x.head_dim * 2 + x.heads * x.v_head_dim) * (x.conv_kernel - 1) * 2
    return total


@pytest.mark.parametrize(
    ("name", "kv_format", "per_token"),
    [
        ("llama-3.1-70b", None, 327_680),  # 80 layers x 8 heads x 2 x 128 x 2 bytes
        ("llama-3.1-70b", "fp8", 163_840),
        ("llama-3.1-8b", None, 131_072),
        ("deepseek-v3", None, 70_272),  # (512 + 64) x 2 bytes x 61 layers
        ("deepseek-v3.2", None, 70_272 + 61 * 128),  # and a 128-byte FP8 index key per layer
        ("kimi-k2-instruct", None, 70_272),
        ("qwen3.5-397b-a17b", None, 15 * 2 * 2 * 256 * 2),  # the 15 layers of full attention
    ],
)
def test_bytes_per_token(name: str, kv_format: str | None, per_token: int) -> None:
    assert marginal_bytes_per_token(load(name), 100, kv_format) == per_token


def test_windows_stop_growing() -> None:
    """gpt-oss-120b: 2,048 bytes per layer and token; 18 of 36 layers hold at most 128 tokens."""
    a = load("gpt-oss-120b")
    per_layer = 8 * 2 * 64 * 2
    expected = [36 * 128 * per_layer, 18 * (1000 + 128) * per_layer, 18 * (131072 + 128) * per_layer]
    np.testing.assert_array_equal(cache_bytes(a, [128, 1000, 131072]), expected)
    np.testing.assert_array_equal(marginal_bytes_per_token(a, [127, 128]), [36 * per_layer, 18 * per_layer])


def test_layout_by_window() -> None:
    cache = layout(load("gemma-3-27b"))
    assert [(g.layers_count, g.window_tokens) for g in cache.groups] == [(10, None), (52, 1024)]
    assert cache.fixed_bytes == 0


def test_linear_attention_has_a_fixed_state() -> None:
    """Qwen3.5: 64 heads x 128 x 128 in float32, and 3 inputs of 12,288 channels in bf16, in 45 layers."""
    a = load("qwen3.5-397b-a17b")
    fixed = 45 * (64 * 128 * 128 * 4 + 3 * (2 * 16 * 128 + 64 * 128) * 2)
    assert layout(a).fixed_bytes == cache_bytes(a, 0) == fixed == 192_061_440
    assert cache_bytes(a, 0, "fp8") == fixed


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_the_shape_of_the_contexts_comes_back(shape: tuple[int, ...]) -> None:
    assert cache_bytes(load("llama-3.1-8b"), np.full(shape, 7)).shape == shape


def test_bad_arguments() -> None:
    a = load("llama-3.1-8b")
    with pytest.raises(ModelError, match="unknown KV format 'fp9'; did you mean 'fp8'"):
        cache_bytes(a, 1, "fp9")
    for bad in (-1, float("nan")):
        with pytest.raises(ValueError, match="context_tokens must be numbers >= 0"):
            cache_bytes(a, bad)


@given(st.sampled_from(names()), CONTEXTS, st.sampled_from(sorted(FORMATS)))
def test_cache_equals_the_sum_over_layers(name: str, context: int, kv_format: str) -> None:
    a = load(name)
    assert float(cache_bytes(a, context, kv_format)) == pytest.approx(naive(a, context, kv_format), rel=1e-12)


@given(st.sampled_from(names()), CONTEXTS, CONTEXTS)
def test_cache_grows_with_context(name: str, one: int, other: int) -> None:
    short, long = cache_bytes(load(name), sorted((one, other)))
    assert 0 <= short <= long
