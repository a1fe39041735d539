"""What one sequence holds in memory, as a function of its context: KV cache, latent cache, windows, linear state.

Llama-3.1-70B: 80 layers x 8 KV heads x (128 + 128) elements x 2 bytes = 327,680 bytes per token in bf16
DeepSeek-V3:   61 layers x (512 latent + 64 rotated) elements x 2 bytes = 70,272 bytes per token in bf16
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.errors import ModelError, nearest
from scoville.transformer.architecture import FORMATS, Architecture, Attention

# The indexer of DeepSeek sparse attention keeps its keys in FP8 whatever the format of the latent cache
# (DeepSeek-V3.2-Exp, 2025, section 2); the convolution's last inputs stay in the activations' bf16.
_INDEX_FORMAT = "fp8"
_CONVOLUTION_FORMAT = "bf16"


@dataclass(frozen=True, slots=True)
class CacheGroup:
    """Layers that hold the same span of context: `window_tokens` None is all of it.

    `held_bytes_per_token` is what one held token takes in all `layers_count` layers together.
    """

    layers_count: int
    window_tokens: int | None
    held_bytes_per_token: float


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """The cache of one sequence: groups of layers that grow with context, and a fixed part that does not."""

    kv_format: str
    groups: tuple[CacheGroup, ...]
    fixed_bytes: float


def _per_token_bytes(x: Attention, element_bytes: float) -> float:
    """Bytes that one held token takes in one layer."""
    if x.kind == "gqa":
        return x.kv_heads * (x.head_dim + x.v_head_dim) * element_bytes
    if x.kind == "mla":
        index = x.index_head_dim * FORMATS[_INDEX_FORMAT].size_bytes if x.sparse_top_k else 0.0
        return (x.kv_lora_rank + x.rope_dim) * element_bytes + index
    return 0.0


def _fixed_bytes(x: Attention) -> float:
    """Bytes of state that one layer keeps per sequence: state of each value head, and the convolution's last inputs."""
    if x.kind != "linear":
        return 0.0
    channels = 2 * x.key_heads * x.head_dim + x.heads * x.v_head_dim
    state = x.heads * x.head_dim * x.v_head_dim * x.state_bytes_per_element
    return state + channels * (x.conv_kernel - 1) * FORMATS[_CONVOLUTION_FORMAT].size_bytes


def layout(a: Architecture, kv_format: str | None = None) -> CacheLayout:
    """The cache of one sequence by window, full attention first. `kv_format` None is the declared one.

    Draft layers are left out: they belong to a speculative set-up. Raises ModelError for an unknown format.
    """
    name = a.kv_format if kv_format is None else kv_format
    if name not in FORMATS:
        raise ModelError(f"unknown KV format '{name}'; {nearest(name, FORMATS)}")
    element_bytes = FORMATS[name].size_bytes
    groups: dict[int | None, tuple[int, float]] = {}
    fixed = 0.0
    for layer in a.layers:
        x = layer.attention
        fixed += _fixed_bytes(x)
        if x.kind != "linear":
            count, size = groups.get(x.window, (0, 0.0))
            groups[x.window] = (count + 1, size + _per_token_bytes(x, element_bytes))
    ordered = sorted(groups.items(), key=lambda g: (g[0] is not None, g[0] or 0))
    return CacheLayout(name, tuple(CacheGroup(count, window, size) for window, (count, size) in ordered), fixed)


def bytes_per_sequence(a: Architecture, context_tokens: ArrayLike, kv_format: str | None = None) -> NDArray[np.float64]:
    """Cache bytes of one sequence that holds `context_tokens` tokens; any shape, and that shape comes back.

    A layer with a window (or a chunk of local attention) holds min(context, window) tokens. State of linear attention
    is there from the first token. Raises ModelError for an unknown format and ValueError for a negative context.
    """
    context = np.asarray(context_tokens, float)
    if not np.all(context >= 0):
        raise ValueError("context_tokens must be numbers >= 0")
    cache = layout(a, kv_format)
    total = np.full(context.shape, cache.fixed_bytes)
    for group in cache.groups:
        held = context if group.window_tokens is None else np.minimum(context, group.window_tokens)
        total = total + held * group.held_bytes_per_token
    return total


def marginal_bytes_per_token(
    a: Architecture, context_tokens: ArrayLike = 0, kv_format: str | None = None
) -> NDArray[np.float64]:
    """Cache bytes that the next token adds to a sequence of `context_tokens`: windows that are full add nothing."""
    context = np.asarray(context_tokens, float)
    return bytes_per_sequence(a, context + 1, kv_format) - bytes_per_sequence(a, context, kv_format)
