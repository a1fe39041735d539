"""What a transformer is made of, as plain records: formats, attention kinds, feed-forward kinds, layers.

`config.py` fills these from a Hugging Face `config.json`; `operators.py` turns them into the work of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Format:
    """A number format as stored: `bits_per_element` includes block scales; `rate` is the class it computes in.

    mxfp4 is 4 bits plus an 8-bit scale per 32 elements (OCP Microscaling Formats v1.0): 4.25 bits.
    """

    name: str
    bits_per_element: float
    rate: Literal["fp32", "bf16", "fp8", "int8", "fp4", "int4"]

    @property
    def size_bytes(self) -> float:
        """Bytes per element, scales included."""
        return self.bits_per_element / 8


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("fp32", 32, "fp32"),
        Format("bf16", 16, "bf16"),
        Format("fp8", 8, "fp8"),  # per-tensor or per-channel scales
        Format("fp8_block", 8 + 32 / 128**2, "fp8"),  # an fp32 scale per 128 x 128, as DeepSeek-V3 and Qwen3 publish
        Format("mxfp8", 8.25, "fp8"),  # OCP MX: 8-bit scale per 32 elements
        Format("int8", 8, "int8"),
        Format("mxfp4", 4.25, "fp4"),  # OCP MX: 8-bit scale per 32 elements
        Format("nvfp4", 4.5, "fp4"),  # FP8 scale per 16 elements
        Format("int4", 4.5, "int4"),  # 16-bit scale per 32 elements, the compressed-tensors group of Kimi-K2.5
    )
}


@dataclass(frozen=True, slots=True)
class Attention:
    """One attention block. `kind` 'gqa' covers MHA and MQA (kv_heads = heads, or 1).

    `head_dim` is the width of a query and key head, `v_head_dim` that of a value head. With 'mla' `head_dim` is the
    part without rotation (qk_nope_head_dim), so a query head is head_dim + rope_dim wide.
    `window` tokens is None for full attention; a sliding window or a chunk of local attention bounds what a
    query reads and what the cache holds. `mla`: latent cache of kv_lora_rank + rope_dim elements per token.
    `sparse_top_k`: DeepSeek sparse attention reads that many tokens per query, chosen by an indexer that reads
    `index_head_dim` elements of every token. `linear`: fixed state of `state_elements` per sequence, no cache growth.
    """

    kind: Literal["gqa", "mla", "linear"]
    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int
    window: int | None = None
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    rope_dim: int = 0
    output_gate: bool = False
    bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    qk_norm_width: Literal["head", "layer"] = "head"
    sinks: bool = False
    sparse_top_k: int = 0
    index_heads: int = 0
    index_head_dim: int = 0
    key_heads: int = 0  # linear attention: heads of q and k; `heads` are then the value heads
    conv_kernel: int = 0
    state_bytes_per_element: int = 4


@dataclass(frozen=True, slots=True)
class FeedForward:
    """A dense MLP (experts = 0) or a mixture of experts. `gated` MLPs have three matrices, others two."""

    intermediate: int
    gated: bool
    experts: int = 0
    experts_per_token: int = 0
    shared_intermediate: int = 0  # all shared experts together
    shared_gate: bool = False
    bias: bool = False
    router_bias: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer block."""

    attention: Attention
    feed_forward: FeedForward
    norms: int = 2  # weight vectors of `hidden` elements (Gemma-3 has 4)
    norm_bias: bool = False


@dataclass(frozen=True, slots=True)
class WeightFormats:
    """How the weights are stored, by part, as the config declares (names of FORMATS)."""

    attention: str
    feed_forward: str  # dense MLP and shared experts
    experts: str  # routed experts
    embedding: str  # embedding, head, norms, router


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder-only transformer. `layers[i]` is block i, in order; equal blocks compare equal.

    `draft_layers` are multi-token-prediction blocks, stored apart and not part of the published totals.
    `max_context_tokens` is 0 where the config declares none. `notes` says in sentences what the config left open and
    how it was read.
    """

    name: str
    model_type: str
    hidden: int
    vocabulary: int
    layers: tuple[Layer, ...]
    tied_embedding: bool
    max_context_tokens: int
    formats: WeightFormats
    draft_layers: tuple[Layer, ...] = ()
    learned_positions: int = 0
    embedding_norm: bool = False
    kv_format: str = "bf16"  # as declared, or bf16
    source: str = ""
    notes: tuple[str, ...] = ()
