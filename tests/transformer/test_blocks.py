"""The work of each operator, against counts done by hand and against the parameters of the model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.transformer import load, names, parameters
from scoville.transformer.architecture import Architecture
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, StepMix, uniform_mix

BF16 = Precision(weights="bf16")


def table(name: str, parallelism: Parallelism | None = None, precision: Precision = BF16) -> OperatorTable:
    return operator_table(load(name), precision, parallelism or Parallelism())


def work(t: OperatorTable, mix: StepMix, operator: str) -> dict[str, float]:
    """FLOP and bytes of one run of an operator, by kind; the name without its layer."""
    x = t.layout.features(mix)[0]
    (op,) = [o for o in t.operators if o.name.split(".")[-1] == operator]
    kinds = ("flop", "weight_bytes", "kv_bytes", "activation_bytes", "link_bytes")
    return {kind: float(getattr(op, kind) @ x) for kind in kinds} | {"runs": float(sum(op.per_stage_count))}


def total_flop(t: OperatorTable, mix: StepMix, *kinds: str) -> float:
    """FLOP of a step in the operators of these classes."""
    x = t.layout.features(mix)[0]
    return sum(float(o.flop @ x) * sum(o.per_stage_count) for o in t.operators if o.kind in kinds)


def biases(a: Architecture) -> int:
    """Parameters that are added instead of multiplied, sinks and convolutions included; only those that are active."""
    total = 0
    for layer in a.layers:
        x, f = layer.attention, layer.feed_forward
        total += (x.heads * x.head_dim + x.kv_heads * (x.head_dim + x.v_head_dim)) * x.bias
        total += a.hidden * x.output_bias + x.heads * x.sinks + f.experts * f.router_bias
        experts = f.experts_per_token or 1
        total += (f.intermediate * (2 if f.gated else 1) + a.hidden) * experts * f.bias
        if x.kind == "linear":
            total += (2 * x.key_heads * x.head_dim + x.heads * x.v_head_dim) * x.conv_kernel + 2 * x.heads
    return total


@pytest.mark.parametrize("name", names())
def test_a_decode_step_multiplies_every_active_parameter_once_per_token(name: str) -> None:
    """2 FLOP per token and parameter, embedding (a look-up), norms and biases apart."""
    a = load(name)
    p = parameters(a)
    t = table(name)
    mix = uniform_mix(a, decode_sequences=7, context_tokens=1000)
    expected = 2 * 7 * (p.active - p.norms - biases(a))
    assert total_flop(t, mix, "gemm", "moe") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["llama-3.1-70b", "mixtral-8x7b", "gemma-3-27b"])
@given(st.integers(1, 50), st.integers(0, 5000))
def test_attention_costs_four_flop_per_head_element_and_pair(name: str, batch: int, context: int) -> None:
    """2 for the score, 2 for the value, over every layer's own window."""
    a = load(name)
    pairs = 0
    for layer in a.layers:
        x = layer.attention
        pairs += min(context + 1, x.window or context + 1) * x.heads * x.head_dim
    mix = uniform_mix(a, decode_sequences=batch, context_tokens=context)
    got = total_flop(table(name), mix, "attention_decode", "attention_prefill")
    assert got == pytest.approx(4 * batch * pairs, rel=1e-12)


@pytest.mark.parametrize("batch", [1, 64])
def test_llama_70b_by_hand(batch: int) -> None:
    """Llama-3.1-70B: hidden 8,192, 64 heads and 8 KV heads of 128, width 28,672, 128,256 words, 80 layers."""
    t = table("llama-3.1-70b")
    mix = uniform_mix(t.architecture, decode_sequences=batch, context_tokens=1024)
    qkv = 8192 * (64 + 8 + 8) * 128  # 83,886,080 parameters
    for operator, elements, into, out in (
        ("qkv_projection", qkv, 8192, 10240),
        ("output_projection", 8192 * 8192, 8192, 8192),
        ("mlp_up", 8192 * 2 * 28672, 8192, 57344),
        ("mlp_down", 28672 * 8192, 28672, 8192),
    ):
        w = work(t, mix, operator)
        assert w["flop"] == 2 * batch * elements
        assert w["weight_bytes"] == 2 * elements
        assert w["activation_bytes"] == 2 * batch * (into + out)
        assert w["runs"] == 80
    head = work(t, mix, "head")
    assert (head["flop"], head["weight_bytes"]) == (batch * 2 * 128256 * 8192, 2 * 128256 * 8192)
    attention = work(t, mix, "attention_decode")
    # Each new token sees 1,025 tokens in 64 heads of 128; 8 KV heads x 2 x 128 x 2 bytes = 4,096 bytes a token, read
    # 1,025 times and written once; queries and output 64 x 128 x 2 bytes each.
    assert attention["flop"] == batch * 1025 * 4 * 64 * 128
    assert attention["kv_bytes"] == batch * (1025 + 1) * 4096
    assert attention["activation_bytes"] == batch * 2 * 16384
    assert work(t, mix, "attention_prefill")["flop"] == 0


def test_deepseek_decode_is_absorbed() -> None:
    """128 heads score 512 + 64 elements and gather 512: 2 x 128 x 1,088 FLOP a pair; 1,152 bytes of cache a token."""
    t = table("deepseek-v3")
    mix = uniform_mix(t.architecture, decode_sequences=3, context_tokens=999)
    attention, up = work(t, mix, "attention_decode"), work(t, mix, "kv_up_projection")
    assert attention["flop"] == 3 * 1000 * 2 * 128 * (576 + 512)
    assert attention["kv_bytes"] == 3 * (1000 + 1) * (512 + 64) * 2
    assert attention["activation_bytes"] == 3 * 128 * (576 + 512) * 2
    assert up["flop"] == 3 * 2 * 512 * 128 * (128 + 128)  # q times W_UK and output times W_UV


def test_deepseek_prefill_is_expanded() -> None:
    """Keys of 128 + 64, values of 128 per head: 2 x 128 x 320 FLOP a pair, after expanding every token once."""
    t = table("deepseek-v3")
    mix = uniform_mix(t.architecture, prefill_sequences=1, prefill_tokens=1000, prefill_start_tokens=500)
    attention, up = work(t, mix, "attention_prefill"), work(t, mix, "kv_up_projection")
    pairs = 1000 * 500 + 1000 * 1001 / 2
    assert attention["flop"] == pairs * 2 * 128 * 320
    assert attention["kv_bytes"] == 1000 * 576 * 2  # appended
    # q and output of 1,000 tokens, expanded keys and values of 1,500: 128 heads x 320 elements x 2 bytes each
    assert attention["activation_bytes"] == (1000 + 1500) * 128 * 320 * 2
    assert up["flop"] == 1500 * 2 * 512 * 128 * 256
    assert up["kv_bytes"] == 1500 * 576 * 2


def test_sparse_attention_reads_what_its_indexer_chose() -> None:
    """DeepSeek-V3.2: 64 index heads of 128 score all tokens in FP8, attention reads 2,048 of them."""
    t = table("deepseek-v3.2")
    for context, read in ((999, 1000), (9999, 2048)):
        mix = uniform_mix(t.architecture, decode_sequences=2, context_tokens=context)
        assert work(t, mix, "attention_decode_2048")["kv_bytes"] == 2 * (read + 1) * 1152
        assert work(t, mix, "indexer_decode")["flop"] == 2 * (context + 1) * 2 * 64 * 128
        assert work(t, mix, "indexer_decode")["kv_bytes"] == 2 * (context + 2) * 128
    prompt = uniform_mix(t.architecture, prefill_sequences=1, prefill_tokens=1, prefill_start_tokens=9999)
    assert work(t, prompt, "attention_prefill_2048")["flop"] == 2048 * 2 * 128 * 1088
    assert work(t, prompt, "kv_up_projection")["flop"] == 2 * 512 * 128 * 256


@pytest.mark.parametrize("context", [10, 127, 128, 5000])
def test_windowed_layers_read_no_more_than_their_window(context: int) -> None:
    """gpt-oss-120b: 8 KV heads x 2 x 64 x 2 bytes = 2,048 bytes a token and layer, half of the layers within 128."""
    t = table("gpt-oss-120b")
    mix = uniform_mix(t.architecture, decode_sequences=1, context_tokens=context)
    near, far = work(t, mix, "attention_decode_128"), work(t, mix, "attention_decode")
    assert (near["runs"], far["runs"]) == (18, 18)
    assert near["kv_bytes"] == (min(context + 1, 128) + 1) * 2048
    assert far["kv_bytes"] == (context + 2) * 2048


def test_mixtral_reads_the_experts_that_its_tokens_touch() -> None:
    """One token reads 2 of 8, eight 7.199; an expert is 3 x 4,096 x 14,336 in bf16; each token multiplies with 2."""
    t = table("mixtral-8x7b")
    for tokens, touched in ((1, 2.0), (8, 8 * (1 - 0.75**8))):
        mix = uniform_mix(t.architecture, decode_sequences=tokens, context_tokens=100)
        up, down = work(t, mix, "experts_up"), work(t, mix, "experts_down")
        assert up["weight_bytes"] == pytest.approx(touched * 2 * 4096 * 14336 * 2, rel=1e-12)
        assert down["weight_bytes"] == pytest.approx(touched * 4096 * 14336 * 2, rel=1e-12)
        assert up["flop"] + down["flop"] == tokens * 2 * 2 * 3 * 4096 * 14336


def test_linear_attention_ignores_the_context() -> None:
    t = table("qwen3.5-397b-a17b")
    short, long = (uniform_mix(t.architecture, decode_sequences=4, context_tokens=c) for c in (10, 100_000))
    assert work(t, short, "linear_attention") == work(t, long, "linear_attention")
    # read and written once: 64 heads x 128 x 128 in fp32 and 3 inputs of 12,288 channels in bf16
    assert work(t, long, "linear_attention")["kv_bytes"] == 4 * 2 * (64 * 128 * 128 * 4 + 3 * 12288 * 2)


def test_formats_of_the_multiplications() -> None:
    """gpt-oss: MXFP4 experts with bf16 activations; everything else bf16. An FP8 cache is multiplied in FP8."""
    t = operator_table(load("gpt-oss-120b"), Precision(kv="fp8"), Parallelism())
    rates = {o.name.split(".")[-1]: (o.weight_rate, o.activation_rate) for o in t.operators}
    assert rates["experts_up"] == rates["experts_down"] == ("fp4", "bf16")
    assert rates["qkv_projection"] == rates["head"] == rates["router"] == ("bf16", "bf16")
    assert rates["attention_decode"] == ("fp8", "fp8")
    dense = operator_table(load("llama-3.1-70b"), Precision("fp8", "fp8"), Parallelism())
    rates = {o.name: (o.weight_rate, o.activation_rate) for o in dense.operators}
    assert rates["mlp_up"] == ("fp8", "fp8")
    assert rates["head"] == rates["attention_decode"] == ("bf16", "bf16")


def test_collectives_of_tensor_parallelism() -> None:
    """Megatron: two all-reduces of the hidden vector a layer, one after the embedding; logits are gathered."""
    t = table("llama-3.1-70b", Parallelism(4))
    mix = uniform_mix(t.architecture, decode_sequences=10, context_tokens=100)
    for name, runs in (("all_reduce_attention", 80), ("all_reduce_mlp", 80), ("all_reduce_embedding", 1)):
        w = work(t, mix, name)
        assert (w["runs"], w["link_bytes"]) == (runs, 10 * 8192 * 2)
    assert work(t, mix, "all_gather_logits")["link_bytes"] == 10 * 128256 * 4
    assert not [o.name for o in table("llama-3.1-70b").operators if o.kind == "collective"]


def test_experts_get_their_tokens_by_all_to_all() -> None:
    """DeepSeek-V3 on 16 chips: a token's 8 experts lie on 16 (1 - (15/16)^8) = 6.453 of them.

    With one tensor rank a chip of a group of 4 tokens sends 4 x 6.453 copies; with two ranks a group, each sends half.
    """
    copies = 16 * (1 - (15 / 16) ** 8)
    for tensor, groups, sent in ((1, 16, 4 * copies), (2, 8, 4 * copies / 2)):
        p = Parallelism(tensor, 1, 16, groups)
        t = table("deepseek-v3", p, Precision("fp8", "fp8"))
        mix = uniform_mix(t.architecture, decode_sequences=4 * groups, worst_rank_frac=1 / groups)
        assert work(t, mix, "dispatch")["link_bytes"] == pytest.approx(sent * 7168, rel=1e-12)
        assert work(t, mix, "combine")["link_bytes"] == pytest.approx(sent * 7168 * 2, rel=1e-12)


def test_groups_without_expert_parallelism_gather_all_tokens() -> None:
    """2 groups of 8 ranks: experts split over 16 chips need every token; the gather spans the whole stage."""
    t = table("mixtral-8x7b", Parallelism(8, 1, 1, 2))
    mix = uniform_mix(t.architecture, decode_sequences=20, worst_rank_frac=0.5)
    for name in ("gather_tokens", "scatter_tokens"):
        (op,) = [o for o in t.operators if o.name == name]
        assert op.span_count == 16
        assert work(t, mix, name)["link_bytes"] == 20 * 4096 * 2


def test_experts_work_for_all_groups_and_attention_for_its_own() -> None:
    """Mixtral, 2 groups of 4 ranks, 20 tokens of which the busiest group has 12: its attention sees 12, each of the 8
    chips an eighth of the experts' work for 20."""
    t = table("mixtral-8x7b", Parallelism(4, 1, 8, 2))
    mix = uniform_mix(t.architecture, decode_sequences=20, worst_rank_frac=0.6)
    experts = work(t, mix, "experts_up")["flop"] + work(t, mix, "experts_down")["flop"]
    assert experts == pytest.approx(20 * 2 * 2 * 3 * 4096 * 14336 / 8, rel=1e-12)
    touched = 8 * (1 - 0.75**20)
    read = work(t, mix, "experts_down")["weight_bytes"]
    assert read == pytest.approx(touched * 4096 * 14336 * 2 / 8, rel=1e-12)
    assert work(t, mix, "output_projection")["flop"] == pytest.approx(12 * 2 * 4096 * 4096 / 4, rel=1e-12)


def test_only_sampled_tokens_meet_the_vocabulary() -> None:
    """A prompt of 1,000 and 3 decodes: 4 rows of logits, 1,003 rows of everything else."""
    t = table("llama-3.1-8b")
    mix = uniform_mix(t.architecture, decode_sequences=3, context_tokens=10, prefill_sequences=1, prefill_tokens=1000)
    assert work(t, mix, "head")["flop"] == 4 * 2 * 128256 * 4096
    assert work(t, mix, "sampling")["activation_bytes"] == 4 * 3 * 128256 * 4
    assert work(t, mix, "norm_final")["flop"] == 4 * 5 * 4096
    assert work(t, mix, "mlp_down")["flop"] == 1003 * 2 * 14336 * 4096
