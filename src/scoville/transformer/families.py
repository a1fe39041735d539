"""One function per family of models: from the keys of its `config.json` to its layers.

Each reads exactly the keys that the family's code in Hugging Face transformers reads, with that code's defaults
where the key may be absent (noted where it matters). `FAMILIES` is the registry by `model_type`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from scoville.transformer.architecture import Attention, FeedForward, Layer
from scoville.transformer.keys import ConfigKeys

# How DeepSeek's router chooses; 'noaux_tc' balances by a bias per expert instead of an auxiliary loss.
_TOP_K = ("noaux_tc", "greedy", "group_limited_greedy")


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a family function returns: the layers, and what surrounds them."""

    layers: tuple[Layer, ...]
    draft_layers: tuple[Layer, ...] = ()
    tied_by_default: bool = False
    learned_positions: int = 0
    embedding_norm: bool = False


def _gqa(keys: ConfigKeys, *, kv_heads_by_default: bool = True) -> Attention:
    """Grouped-query attention from the common keys; without `num_key_value_heads` every head has its own."""
    heads = keys.integer("num_attention_heads", "n_head")
    kv_heads = keys.integer("num_key_value_heads", default=heads if kv_heads_by_default else None)
    if heads % kv_heads:
        keys.fail("num_key_value_heads", f"is {kv_heads}; expected a divisor of num_attention_heads ({heads})")
    head_dim = keys.integer("head_dim", default=0)
    if not head_dim:
        hidden = _hidden(keys)
        if hidden % heads:
            keys.fail(
                "head_dim", f"is missing, and num_attention_heads ({heads}) does not divide hidden_size ({hidden})"
            )
        head_dim = hidden // heads
    return Attention("gqa", heads, kv_heads, head_dim, head_dim)


def _hidden(keys: ConfigKeys) -> int:
    return keys.integer("hidden_size", "n_embed", "n_embd")


def _count(keys: ConfigKeys) -> int:
    return keys.integer("num_hidden_layers", "n_layer")


def _window(keys: ConfigKeys) -> int:
    return keys.integer("sliding_window")


def llama(keys: ConfigKeys) -> Blocks:
    """Llama 2 and 3: GQA, gated MLP; `attention_bias` puts one on q, k, v and o."""
    bias = keys.flag("attention_bias", False)
    attention = replace(_gqa(keys), bias=bias, output_bias=bias)
    mlp = FeedForward(keys.integer("intermediate_size"), True, bias=keys.flag("mlp_bias", False))
    return Blocks((Layer(attention, mlp),) * _count(keys))


def mistral(keys: ConfigKeys) -> Blocks:
    """Mistral: Llama's block, with a sliding window in all layers where one is given."""
    attention = _gqa(keys)
    if keys.raw("sliding_window") is not None:
        attention = replace(attention, window=_window(keys))
    elif "sliding_window" not in keys.values:
        keys.note("sliding_window is not given: full attention, as in Mistral-7B v0.2 and later")
    return Blocks((Layer(attention, FeedForward(keys.integer("intermediate_size"), True)),) * _count(keys))


def mixtral(keys: ConfigKeys) -> Blocks:
    """Mixtral: Mistral's attention, a mixture of experts in every layer."""
    attention = _gqa(keys)
    if keys.raw("sliding_window") is not None:
        attention = replace(attention, window=_window(keys))
    moe = FeedForward(
        keys.integer("intermediate_size"), True, keys.integer("num_local_experts"), keys.integer("num_experts_per_tok")
    )
    return Blocks((Layer(attention, moe),) * _count(keys))


def _qwen_windows(keys: ConfigKeys, attention: Attention, count: int) -> list[Attention]:
    """Per layer: with `use_sliding_window`, layers from `max_window_layers` on have a window."""
    types = keys.layer_types(count, ("full_attention", "sliding_attention"))
    first = keys.integer("max_window_layers", default=count, least=0)
    keys.understood("sliding_window")
    if types is None:
        on = keys.flag("use_sliding_window", False)
        types = tuple("sliding_attention" if on and i >= first else "full_attention" for i in range(count))
    keys.understood("use_sliding_window")
    return [replace(attention, window=_window(keys)) if t == "sliding_attention" else attention for t in types]


def qwen2(keys: ConfigKeys) -> Blocks:
    """Qwen 2 and 2.5 dense: biases on q, k and v only."""
    count = _count(keys)
    mlp = FeedForward(keys.integer("intermediate_size"), True)
    return Blocks(tuple(Layer(a, mlp) for a in _qwen_windows(keys, replace(_gqa(keys), bias=True), count)))


def _qwen3_attention(keys: ConfigKeys) -> Attention:
    bias = keys.flag("attention_bias", False) or keys.flag("qkv_bias", False)
    keys.understood("use_qk_norm")  # Qwen3 always normalises q and k per head
    return replace(_gqa(keys), bias=bias, output_bias=bias, qk_norm=True)


def qwen3(keys: ConfigKeys) -> Blocks:
    """Qwen3 dense: query and key norms per head."""
    count = _count(keys)
    mlp = FeedForward(keys.integer("intermediate_size"), True)
    return Blocks(tuple(Layer(a, mlp) for a in _qwen_windows(keys, _qwen3_attention(keys), count)))


def _qwen_moe(keys: ConfigKeys, count: int, shared_gate: bool) -> list[FeedForward]:
    """Per layer: experts in every `decoder_sparse_step`-th layer that is not in `mlp_only_layers`."""
    moe = FeedForward(
        keys.integer("moe_intermediate_size"), True,
        keys.integer("num_experts"), keys.integer("num_experts_per_tok"),
        shared_intermediate=(shared := keys.integer("shared_expert_intermediate_size", default=0, least=0)),
        shared_gate=shared_gate and shared > 0,
    )  # fmt: skip
    step = keys.integer("decoder_sparse_step", default=1)
    dense_layers = keys.integers("mlp_only_layers") or ()
    is_moe = [i not in dense_layers and (i + 1) % step == 0 for i in range(count)]
    if all(is_moe):
        keys.understood("intermediate_size")
        return [moe] * count
    dense = FeedForward(keys.integer("intermediate_size"), True)
    return [moe if m else dense for m in is_moe]


def qwen3_moe(keys: ConfigKeys) -> Blocks:
    """Qwen3 mixture of experts, without shared experts."""
    count = _count(keys)
    attention = _qwen_windows(keys, _qwen3_attention(keys), count)
    return Blocks(tuple(map(Layer, attention, _qwen_moe(keys, count, shared_gate=False))))


def qwen3_hybrid(keys: ConfigKeys) -> Blocks:
    """Qwen3-Next and Qwen3.5: gated delta nets, with full attention every `full_attention_interval` layers.

    The state of a delta net is value heads x key width x value width in float32 (`mamba_ssm_dtype`); q, k and v pass
    a causal convolution of width `linear_conv_kernel_dim` (Yang et al. 2024, Gated Delta Networks).
    """
    count = _count(keys)
    full = replace(_qwen3_attention(keys), output_gate=keys.flag("attn_output_gate", True))
    sizes = {"float32": 4, "bfloat16": 2, "float16": 2}
    state_dtype = keys.word("mamba_ssm_dtype", allowed=sizes) or "float32"
    value_heads, key_heads = keys.integer("linear_num_value_heads"), keys.integer("linear_num_key_heads")
    linear = Attention(
        "linear", value_heads, key_heads, keys.integer("linear_key_head_dim"), keys.integer("linear_value_head_dim"),
        key_heads=key_heads, conv_kernel=keys.integer("linear_conv_kernel_dim"), output_gate=True,
        state_bytes_per_element=sizes[state_dtype],
    )  # fmt: skip
    types = keys.layer_types(count, ("full_attention", "linear_attention"))
    interval = keys.integer("full_attention_interval", default=4)
    if types is None:
        types = tuple("full_attention" if (i + 1) % interval == 0 else "linear_attention" for i in range(count))
    mlps = _qwen_moe(keys, count, shared_gate=True)
    draft = (Layer(full, mlps[-1]),) * keys.integer("mtp_num_hidden_layers", default=0, least=0)
    return Blocks(
        tuple(Layer(full if t == "full_attention" else linear, m) for t, m in zip(types, mlps, strict=True)), draft
    )


def gpt_oss(keys: ConfigKeys) -> Blocks:
    """gpt-oss: alternating windows, attention sinks, biases everywhere, experts in every layer."""
    count = _count(keys)
    bias = keys.flag("attention_bias", True)
    full = replace(_gqa(keys), bias=bias, output_bias=bias, sinks=True)
    sliding = replace(full, window=_window(keys))
    types = keys.layer_types(count, ("full_attention", "sliding_attention"))
    if types is None:
        types = tuple("full_attention" if i % 2 else "sliding_attention" for i in range(count))
    moe = FeedForward(
        keys.integer("intermediate_size"), True, keys.integer("num_local_experts"),
        keys.integer("num_experts_per_tok", "experts_per_token"), bias=True, router_bias=True,
    )  # fmt: skip
    return Blocks(tuple(Layer(sliding if t == "sliding_attention" else full, moe) for t in types))


def _deepseek_moe(keys: ConfigKeys, count: int) -> list[FeedForward]:
    """Dense in the first `first_k_dense_replace` layers, then routed and shared experts."""
    width = keys.integer("moe_intermediate_size")
    moe = FeedForward(
        width, True, keys.integer("n_routed_experts"), keys.integer("num_experts_per_tok"),
        shared_intermediate=width * keys.integer("n_shared_experts", default=0, least=0),
        router_bias=keys.word("topk_method", allowed=_TOP_K) in (None, "noaux_tc"),
    )  # fmt: skip
    first = keys.integer("first_k_dense_replace", default=0, least=0)
    frequency = keys.integer("moe_layer_freq", default=1)
    dense = FeedForward(keys.integer("intermediate_size"), True)
    return [moe if i >= first and i % frequency == 0 else dense for i in range(count)]


def deepseek(keys: ConfigKeys) -> Blocks:
    """DeepSeek V2 and V3, Kimi K2, GLM-5: multi-head latent attention, with an indexer where `index_topk` is given."""
    count = _count(keys)
    heads, rope = keys.integer("num_attention_heads"), keys.integer("qk_rope_head_dim")
    keys.understood("num_key_value_heads", "head_dim", "qk_head_dim")  # follow from the keys read here
    sparse = keys.integer("index_topk", default=None if keys.model_type in ("deepseek_v32", "glm_moe_dsa") else 0)
    bias = keys.flag("attention_bias", False)
    attention = Attention(
        "mla", heads, heads, keys.integer("qk_nope_head_dim"), keys.integer("v_head_dim"),
        q_lora_rank=keys.integer("q_lora_rank", default=0), kv_lora_rank=keys.integer("kv_lora_rank"), rope_dim=rope,
        bias=bias, output_bias=bias, sparse_top_k=sparse,
        index_heads=keys.integer("index_n_heads") if sparse else 0,
        index_head_dim=keys.integer("index_head_dim") if sparse else 0,
    )  # fmt: skip
    mlps = _deepseek_moe(keys, count)
    draft = (Layer(attention, mlps[-1]),) * keys.integer("num_nextn_predict_layers", default=0, least=0)
    return Blocks(tuple(Layer(attention, m) for m in mlps), draft)


def glm4_moe(keys: ConfigKeys) -> Blocks:
    """GLM-4.5 and 4.6: GQA with biases on q, k and v, DeepSeek's mixture of experts."""
    count = _count(keys)
    attention = replace(_gqa(keys), bias=keys.flag("attention_bias", False), qk_norm=keys.flag("use_qk_norm", False))
    mlps = _deepseek_moe(keys, count)
    draft = (Layer(attention, mlps[-1]),) * keys.integer("num_nextn_predict_layers", default=0, least=0)
    return Blocks(tuple(Layer(attention, m) for m in mlps), draft)


def minimax_m2(keys: ConfigKeys) -> Blocks:
    """MiniMax M2: GQA whose query and key norms span all heads of the layer; experts in every layer."""
    width = keys.word("qk_norm_type", allowed=("per_layer", "per_head")) or "per_layer"
    attention = replace(_gqa(keys), qk_norm=keys.flag("use_qk_norm", True),
                        qk_norm_width="layer" if width == "per_layer" else "head")  # fmt: skip
    types = keys.integers("attn_type_list")
    if types is not None and any(t != 1 for t in types):
        keys.fail("attn_type_list", "names layers other than 1 (full attention), which model_type 'minimax_m2' has not")
    moe = FeedForward(
        keys.integer("intermediate_size"), True, keys.integer("num_local_experts"), keys.integer("num_experts_per_tok"),
        shared_intermediate=keys.integer("shared_intermediate_size", default=0, least=0),
        router_bias=keys.flag("use_routing_bias", False),
    )  # fmt: skip
    layer = Layer(attention, moe)
    modules = keys.integer("num_mtp_modules", default=0, least=0)
    depth = keys.integer("mtp_transformer_layers", default=1)
    drafts = modules * depth if keys.flag("use_mtp", False) else 0
    return Blocks((layer,) * _count(keys), (layer,) * drafts)


def llama4(keys: ConfigKeys) -> Blocks:
    """Llama 4: three layers of chunked attention for one global, experts in every n-th layer, one shared expert.

    The query and key norm of Llama 4 has no weights, so `use_qk_norm` changes nothing counted here.
    """
    count = _count(keys)
    keys.understood("use_qk_norm")
    bias = keys.flag("attention_bias", False)
    full = replace(_gqa(keys), bias=bias, output_bias=bias)
    chunked = replace(full, window=keys.integer("attention_chunk_size"))
    types = keys.layer_types(count, ("full_attention", "chunked_attention"))
    rope_layers = keys.integers("no_rope_layers")  # 1 where the layer rotates, hence is chunked
    if rope_layers is not None and len(rope_layers) not in (0, count):
        keys.fail("no_rope_layers", f"must have one entry for each of the {count} layers")
    if types is None and rope_layers:
        types = tuple("chunked_attention" if r else "full_attention" for r in rope_layers)
    elif types is None:
        keys.assume("the default of transformers' Llama4TextConfig", no_rope_layer_interval=4)
        interval = keys.integer("no_rope_layer_interval")
        types = tuple("full_attention" if (i + 1) % interval == 0 else "chunked_attention" for i in range(count))
    keys.understood("no_rope_layer_interval")
    width = keys.integer("intermediate_size")
    moe = FeedForward(width, True, keys.integer("num_local_experts"), keys.integer("num_experts_per_tok"),
                      shared_intermediate=width)  # fmt: skip
    dense = FeedForward(keys.integer("intermediate_size_mlp"), True)
    moe_layers, step = keys.integers("moe_layers"), keys.integer("interleave_moe_layer_step", default=1)
    where = set(moe_layers) if moe_layers else {i for i in range(count) if (i + 1) % step == 0}
    return Blocks(
        tuple(
            Layer(chunked if t == "chunked_attention" else full, moe if i in where else dense)
            for i, t in enumerate(types)
        )
    )


def gemma3(keys: ConfigKeys) -> Blocks:
    """Gemma 3: five windowed layers for one global, four norms per layer, query and key norms, tied embedding."""
    keys.assume("the default of transformers' Gemma3TextConfig", vocab_size=262208, num_attention_heads=8,
                num_key_value_heads=4, head_dim=256, sliding_window=4096, sliding_window_pattern=6,
                max_position_embeddings=131072)  # fmt: skip
    count = _count(keys)
    bias = keys.flag("attention_bias", False)
    full = replace(_gqa(keys), bias=bias, output_bias=bias, qk_norm=True)
    sliding = replace(full, window=_window(keys))
    types = keys.layer_types(count, ("full_attention", "sliding_attention"))
    if types is None:
        pattern = keys.integer("sliding_window_pattern")
        types = tuple("full_attention" if (i + 1) % pattern == 0 else "sliding_attention" for i in range(count))
    keys.understood("sliding_window_pattern")
    mlp = FeedForward(keys.integer("intermediate_size"), True)
    return Blocks(
        tuple(Layer(sliding if t == "sliding_attention" else full, mlp, norms=4) for t in types), tied_by_default=True
    )


def _plain(keys: ConfigKeys) -> tuple[Layer, ...]:
    """The block of GPT-3 and BLOOM: multi-head attention, an MLP of two matrices, biases everywhere."""
    attention = replace(_gqa(keys), bias=True, output_bias=True)
    mlp = FeedForward(keys.integer("intermediate_size", "n_inner", default=4 * _hidden(keys)), False, bias=True)
    return (Layer(attention, mlp, norm_bias=True),) * _count(keys)


def gpt3(keys: ConfigKeys) -> Blocks:
    """GPT-3: learned positions, tied embedding (a model type of our own: OpenAI published no config.json)."""
    keys.assume("the context of all GPT-3 models (Brown et al. 2020, section 2.1)", max_position_embeddings=2048)
    positions = keys.integer("n_positions", "max_position_embeddings")
    return Blocks(_plain(keys), tied_by_default=True, learned_positions=positions)


def bloom(keys: ConfigKeys) -> Blocks:
    """BLOOM: ALiBi (no position weights), a norm after the embedding, tied embedding."""
    keys.understood("apply_residual_connection_post_layernorm")
    return Blocks(_plain(keys), tied_by_default=True, embedding_norm=True)


FAMILIES: dict[str, Callable[[ConfigKeys], Blocks]] = {
    "llama": llama, "mistral": mistral, "mixtral": mixtral, "qwen2": qwen2, "qwen3": qwen3, "qwen3_moe": qwen3_moe,
    "qwen3_next": qwen3_hybrid, "qwen3_5_moe": qwen3_hybrid, "qwen3_5_moe_text": qwen3_hybrid, "gpt_oss": gpt_oss,
    "deepseek_v2": deepseek, "deepseek_v3": deepseek, "deepseek_v32": deepseek, "kimi_k2": deepseek,
    "kimi_k25": deepseek, "glm_moe_dsa": deepseek, "glm4_moe": glm4_moe, "minimax_m2": minimax_m2,
    "llama4": llama4, "llama4_text": llama4, "gemma3": gemma3, "gemma3_text": gemma3, "gpt3": gpt3, "bloom": bloom,
}  # fmt: skip
