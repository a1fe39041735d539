"""The operators of each part of a transformer: GEMM, attention, experts, norms, collectives, sampling.

All quantities are per chip, for the busiest rank. Sharding follows Megatron-LM (Shoeybi et al. 2019, section 3) for
tensor parallelism, and DeepSeek-V3 (2024, section 3.4) for attention data parallelism with expert parallelism.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scoville.transformer.architecture import FORMATS, Architecture, Attention, FeedForward, Format
from scoville.transformer.operators import CollectiveKind, Experts, Heads, Operator, OperatorClass
from scoville.transformer.quantization import stored_formats
from scoville.transformer.step import Layout, Parallelism, Precision

Array = NDArray[np.float64]
_BF16 = FORMATS["bf16"]


class Blocks:
    """Collects operators of one configuration; each distinct layer once, with how often each stage runs it."""

    def __init__(self, architecture: Architecture, precision: Precision, parallelism: Parallelism) -> None:
        self.a, self.precision, self.p = architecture, precision, parallelism
        self.layout = Layout.of(architecture)
        self.width = len(self.layout.names)
        self.formats = stored_formats(architecture, precision.weights)
        self.activation = FORMATS[precision.activations]
        self.kv = FORMATS[precision.kv]
        self.operators: list[Operator] = []
        self.count: tuple[int, ...] = ()
        self.prefix = ""

    def vector(self, **columns: float) -> Array:
        """Coefficients from keyword columns; `decode_pairs__128` stands for 'decode_pairs:128'."""
        v = np.zeros(self.width)
        for name, value in columns.items():
            v[self.layout.column(name.replace("__", ":"))] += value
        return v

    def add(
        self,
        name: str,
        kind: OperatorClass,
        weight: Format = _BF16,
        activation: Format = _BF16,
        *,
        flop: Array | None = None,
        weight_bytes: Array | None = None,
        kv_bytes: Array | None = None,
        activation_bytes: Array | None = None,
        link_bytes: Array | None = None,
        resident: float = 0.0,
        shape: tuple[int, int] | None = None,
        heads: Heads | None = None,
        experts: Experts | None = None,
        collective: CollectiveKind | None = None,
        span: int = 1,
        may_overlap: bool = False,
    ) -> None:
        zero = np.zeros(self.width)
        self.operators.append(
            Operator(
                name=self.prefix + name,
                kind=kind,
                weight_rate=weight.rate,
                activation_rate=activation.rate,
                flop=zero if flop is None else flop,
                weight_bytes=zero if weight_bytes is None else weight_bytes,
                kv_bytes=zero if kv_bytes is None else kv_bytes,
                activation_bytes=zero if activation_bytes is None else activation_bytes,
                link_bytes=zero if link_bytes is None else link_bytes,
                resident_bytes=resident,
                per_stage_count=self.count,
                shape=shape,
                heads=heads,
                experts=experts,
                collective=collective,
                span_count=span,
                may_overlap=may_overlap,
            )
        )

    def gemm(
        self, name: str, n: float, k: float, weight: Format, rows: str = "rank_tokens", bias: bool = False
    ) -> None:
        """rows x k times k x n: 2 rows n k FLOP; weights n k once; activations in and out once."""
        activation = self.activation if weight.bits_per_element < 16 else _BF16
        size = n * k * weight.size_bytes + (n * _BF16.size_bytes if bias else 0.0)
        self.add(
            name,
            "gemm",
            weight,
            activation,
            flop=self.vector(**{rows: 2.0 * n * k}),
            weight_bytes=self.vector(one=size),
            activation_bytes=self.vector(**{rows: k * activation.size_bytes + n * _BF16.size_bytes}),
            resident=size,
            shape=(round(n), round(k)),
        )

    def elementwise(
        self, name: str, elements: float, flop: float, rows: str = "rank_tokens", resident: float = 0.0
    ) -> None:
        """`elements` bf16 numbers moved and `flop` operations per row, on the vector units."""
        self.add(
            name,
            "elementwise",
            flop=self.vector(**{rows: flop}),
            weight_bytes=self.vector(one=resident),
            activation_bytes=self.vector(**{rows: elements * _BF16.size_bytes}),
            resident=resident,
        )

    def collective(
        self,
        name: str,
        kind: CollectiveKind,
        span: int,
        rows: str,
        elements: float,
        fmt: Format = _BF16,
        overlap: bool = False,
    ) -> None:
        """`elements` per row, in `fmt`, among `span` chips; nothing for a span of one."""
        if span > 1:
            self.add(
                name,
                "collective",
                link_bytes=self.vector(**{rows: elements * fmt.size_bytes}),
                collective=kind,
                span=span,
                may_overlap=overlap,
            )

    def norm(self, name: str, parameters: float) -> None:
        """Residual add and RMSNorm fused: two reads, two writes of the hidden vector; 5 FLOP per element."""
        h = self.a.hidden
        self.elementwise(name, 4.0 * h, 5.0 * h, resident=parameters * _BF16.size_bytes)

    # -- attention -----------------------------------------------------------------------------------------------

    def attention(self, x: Attention, norms: int) -> None:
        """Projections, scores and values, output projection, and the all-reduce that tensor parallelism needs."""
        h, tp = self.a.hidden, self.p.tensor
        weight = FORMATS[self.formats.attention]
        self.norm("norm_attention", h * norms / 2)
        if x.kind == "gqa":
            self._gqa(x, h, tp, weight)
        elif x.kind == "mla":
            self._mla(x, h, tp, weight)
        else:
            self._linear(x, h, tp, weight)
        self.gemm("output_projection", h, x.heads * x.v_head_dim / tp, weight, bias=x.output_bias)
        self.collective("all_reduce_attention", "all_reduce", tp, "rank_tokens", h)

    def _gqa(self, x: Attention, h: int, tp: int, weight: Format) -> None:
        heads, kv_heads = x.heads / tp, max(x.kv_heads / tp, 1.0)
        q = heads * x.head_dim * (2 if x.output_gate else 1)
        self.gemm("qkv_projection", q + kv_heads * (x.head_dim + x.v_head_dim), h, weight, bias=x.bias)
        moved = heads * x.head_dim + kv_heads * x.head_dim
        if x.qk_norm:
            weights = (x.head_dim * 2 if x.qk_norm_width == "head" else moved) * _BF16.size_bytes
            self.elementwise("qk_norm", 2 * moved, 5 * moved, resident=weights)
        self.elementwise("qk_rotation" if x.qk_norm else "rope", 2 * moved, 6 * moved)
        per_token = kv_heads * (x.head_dim + x.v_head_dim) * self.kv.size_bytes
        pair_flop, query = 2.0 * heads * (x.head_dim + x.v_head_dim), heads * (x.head_dim + x.v_head_dim)
        own = Heads(round(heads), round(kv_heads), x.head_dim, x.window)
        self._core("decode", pair_flop, per_token, query, own)
        self._core("prefill", pair_flop, per_token, query, own)

    def _core(
        self, phase: str, pair_flop: float, per_token: float, query: float, own: Heads, expanded: float = 0.0
    ) -> None:
        """Scores, softmax and values; reads the cache and appends the new tokens to it, `per_token` bytes each.

        `query` elements of queries and output per query token. Where the cache was `expanded` to that many elements of
        keys and values per token, these are read in its place.
        """
        span = "all" if own.window is None else str(own.window)
        self.add(
            f"attention_{phase}" + ("" if own.window is None else f"_{own.window}"),
            "attention_decode" if phase == "decode" else "attention_prefill",
            self.kv,
            self.kv if self.kv.bits_per_element < 16 else _BF16,
            flop=self.vector(**{f"{phase}_pairs__{span}": pair_flop}),
            kv_bytes=self.vector(
                **{f"{phase}_kv__{span}": 0.0 if expanded else per_token, f"rank_{phase}_tokens": per_token}
            ),
            activation_bytes=self.vector(
                **{f"{phase}_kv__{span}": expanded * _BF16.size_bytes, f"rank_{phase}_tokens": query * _BF16.size_bytes}
            ),
            heads=own,
        )

    def _mla(self, x: Attention, h: int, tp: int, weight: Format) -> None:
        """DeepSeek-V2 (2024, section 2.1): queries and the latent cache; decode in the absorbed form, prefill expanded.

        Sparse attention is absorbed in both phases (DeepSeek-V3.2-Exp 2025, section 2.1): each query chooses tokens of
        its own, so there is no common part of the context to expand.
        """
        heads = x.heads / tp
        qk, latent = x.head_dim + x.rope_dim, x.kv_lora_rank + x.rope_dim
        if x.q_lora_rank:
            self.gemm("qkv_down_projection", x.q_lora_rank + latent, h, weight)
            self.elementwise(
                "norm_latent",
                2.0 * (x.q_lora_rank + latent),
                5.0 * (x.q_lora_rank + latent),
                resident=(x.q_lora_rank + x.kv_lora_rank) * _BF16.size_bytes,
            )
            self.gemm("q_up_projection", heads * qk, x.q_lora_rank, weight)
        else:
            self.gemm("qkv_projection", heads * qk + latent, h, weight)
        up = heads * (x.head_dim + x.v_head_dim)
        # The up-projection of the latent cache: absorbed into q and o, or expanded over the context.
        size = up * x.kv_lora_rank * weight.size_bytes
        per_token = latent * self.kv.size_bytes
        project, absorb = 2.0 * up * x.kv_lora_rank, (up + 2 * heads * x.kv_lora_rank) * _BF16.size_bytes
        activation = self.activation if weight.bits_per_element < 16 else _BF16
        expand = not x.sparse_top_k
        absorbed_tokens = "rank_decode_tokens" if expand else "rank_tokens"
        self.add(
            "kv_up_projection",
            "gemm",
            weight,
            activation,
            flop=self.vector(**{absorbed_tokens: project}, **({"prefill_kv__all": project} if expand else {})),
            weight_bytes=self.vector(one=size),
            kv_bytes=self.vector(prefill_kv__all=per_token) if expand else None,
            activation_bytes=self.vector(
                **{absorbed_tokens: absorb}, **({"prefill_kv__all": up * _BF16.size_bytes} if expand else {})
            ),
            resident=size,
            shape=(round(up), x.kv_lora_rank),
        )
        own = Heads(round(heads), 1, latent, x.sparse_top_k or None, latent=True)
        absorbed = heads * (latent + x.kv_lora_rank)
        self._core("decode", 2.0 * absorbed, per_token, absorbed, own)
        if expand:
            keys_values = heads * (qk + x.v_head_dim)  # as many elements as a query and its output
            self._core("prefill", 2.0 * keys_values, per_token, keys_values, own, expanded=keys_values)
        else:
            self._core("prefill", 2.0 * absorbed, per_token, absorbed, own)
        if x.sparse_top_k:
            self._indexer(x, h, weight)

    def _indexer(self, x: Attention, h: int, weight: Format) -> None:
        """DeepSeek-V3.2-Exp (2025): a light FP8 score of every cached token chooses the top k, on each rank anew."""
        n = x.index_heads * x.index_head_dim
        self.gemm("indexer_q", n, x.q_lora_rank or h, weight)
        self.gemm("indexer_k", x.index_head_dim + x.index_heads, h, weight)
        fp8 = FORMATS["fp8"]
        for phase in ("decode", "prefill"):
            self.add(
                f"indexer_{phase}",
                "attention_decode" if phase == "decode" else "attention_prefill",
                fp8,
                fp8,
                flop=self.vector(**{f"{phase}_pairs__all": 2.0 * n}),
                kv_bytes=self.vector(
                    **{f"{phase}_kv__all": x.index_head_dim * fp8.size_bytes, f"rank_{phase}_tokens": x.index_head_dim}
                ),
                activation_bytes=self.vector(**{f"rank_{phase}_tokens": n * fp8.size_bytes}),
            )

    def _linear(self, x: Attention, h: int, tp: int, weight: Format) -> None:
        """Gated delta net (Yang et al. 2024, arXiv 2412.06464): per token and head, three products with the state."""
        heads, key_heads = x.heads / tp, max(x.key_heads / tp, 1.0)
        channels = 2 * key_heads * x.head_dim + heads * x.v_head_dim
        self.gemm("linear_projection", channels + heads * x.v_head_dim + 2 * heads, h, weight)
        conv = channels * x.conv_kernel
        self.elementwise("convolution", 2 * channels, 2 * conv, resident=conv * _BF16.size_bytes)
        state = heads * x.head_dim * x.v_head_dim
        size = state * x.state_bytes_per_element + channels * (x.conv_kernel - 1) * _BF16.size_bytes
        self.add(
            "linear_attention",
            "attention_decode",
            flop=self.vector(rank_tokens=7.0 * state),
            kv_bytes=self.vector(rank_sequences=2.0 * size),
            activation_bytes=self.vector(rank_tokens=(channels + heads * x.v_head_dim) * _BF16.size_bytes),
        )

    # -- feed-forward --------------------------------------------------------------------------------------------

    def feed_forward(self, x: FeedForward, norms: int) -> None:
        """The MLP or the experts, their collectives included."""
        self.norm("norm_feed_forward", self.a.hidden * norms / 2)
        if not x.experts:
            self._mlp("mlp", x.intermediate, x.gated, FORMATS[self.formats.feed_forward], x.bias)
            self.collective("all_reduce_mlp", "all_reduce", self.p.tensor, "rank_tokens", self.a.hidden)
        else:
            self._experts(x)

    def _mlp(self, name: str, intermediate: int, gated: bool, weight: Format, bias: bool) -> None:
        h, inner, m = self.a.hidden, intermediate / self.p.tensor, 2 if gated else 1
        self.gemm(f"{name}_up", m * inner, h, weight, bias=bias)
        self.elementwise(f"{name}_activation", (m + 1) * inner, 5 * inner)
        self.gemm(f"{name}_down", h, inner, weight, bias=bias)

    def _experts(self, x: FeedForward) -> None:
        """Router, dispatch, two grouped GEMMs over the touched experts, combine, shared experts.

        Without attention data parallelism every rank sees all tokens and an all-reduce combines. With it, tokens go
        to the ranks of their experts and back (all-to-all): each of a group's tensor ranks sends its share of the
        group's tokens, one copy to each rank of an expert group that has one of their experts.
        """
        h, p = self.a.hidden, self.p
        kind = f"experts__{x.experts}/{x.experts_per_token}"
        weight = FORMATS[self.formats.experts]
        activation = self.activation if weight.bits_per_element < 16 else _BF16
        up = 2 if x.gated else 1
        self.gemm("router", x.experts, h, FORMATS[self.formats.embedding], bias=x.router_bias)
        copies = p.expert * (1 - (1 - 1 / p.expert) ** x.experts_per_token) * p.expert_tensor / p.tensor
        if p.attention_data > 1:
            if p.expert > 1:
                self.collective("dispatch", "all_to_all", p.stage_chips, "rank_tokens", h * copies, activation, True)
            else:  # among all chips of the stage: groups lie further apart than the ranks inside one
                self.collective("gather_tokens", "all_gather", p.stage_chips, "tokens", h, activation, True)
        share = 1 / p.stage_chips
        one = h * x.intermediate * weight.size_bytes
        per_token = x.experts_per_token * share
        for name, n, k, matrices, extra in (
            ("experts_up", up * x.intermediate, h, up, up * x.intermediate * _BF16.size_bytes if x.bias else 0.0),
            ("experts_down", h, x.intermediate, 1, h * _BF16.size_bytes if x.bias else 0.0),
        ):
            self.add(
                name,
                "moe",
                weight,
                activation,
                flop=self.vector(tokens=2.0 * n * k * per_token),
                weight_bytes=self.vector(**{kind: (one * matrices + extra) * share}),
                activation_bytes=self.vector(tokens=per_token * (k * activation.size_bytes + n * _BF16.size_bytes)),
                resident=x.experts * (one * matrices + extra) * share,
                shape=(n, k),
                experts=Experts(h, x.intermediate, x.experts, x.experts_per_token, p.expert_tensor, p.expert, x.gated),
            )
        if p.attention_data > 1:
            if p.expert > 1:
                self.collective("combine", "all_to_all", p.stage_chips, "rank_tokens", h * copies, _BF16, True)
            else:
                self.collective("scatter_tokens", "reduce_scatter", p.stage_chips, "tokens", h, _BF16, True)
        if x.shared_intermediate:
            self._mlp("shared", x.shared_intermediate, x.gated, FORMATS[self.formats.feed_forward], x.bias)
            if x.shared_gate:
                self.gemm("shared_gate", 1, h, FORMATS[self.formats.embedding])
        self.collective("all_reduce_experts", "all_reduce", p.tensor, "rank_tokens", h)

    # -- ends ----------------------------------------------------------------------------------------------------

    def embedding(self) -> None:
        """Look-up of the rows of a vocabulary-parallel table; summed over ranks."""
        a, tp = self.a, self.p.tensor
        size = FORMATS[self.formats.embedding].size_bytes
        rows = (a.vocabulary / tp + a.learned_positions) * a.hidden * size
        self.add(
            "embedding",
            "elementwise",
            activation_bytes=self.vector(rank_tokens=2.0 * a.hidden * size),
            resident=rows,
        )
        self.collective("all_reduce_embedding", "all_reduce", tp, "rank_tokens", a.hidden)

    def head(self) -> None:
        """Final norm, logits of the sampled tokens over a vocabulary split by `tensor`, gather and sampling."""
        a, tp = self.a, self.p.tensor
        h = a.hidden
        weight = FORMATS[self.formats.embedding]
        self.elementwise("norm_final", 4.0 * h, 5.0 * h, rows="rank_sampled_tokens", resident=h * _BF16.size_bytes)
        shared = a.tied_embedding and self.p.pipeline == 1
        n = a.vocabulary / tp
        self.add(
            "head",
            "gemm",
            weight,
            _BF16,
            flop=self.vector(rank_sampled_tokens=2.0 * n * h),
            weight_bytes=self.vector(one=n * h * weight.size_bytes),
            activation_bytes=self.vector(rank_sampled_tokens=h * _BF16.size_bytes + n * 4.0),
            resident=0.0 if shared else n * h * weight.size_bytes,
            shape=(round(n), h),
        )
        self.collective("all_gather_logits", "all_gather", tp, "rank_sampled_tokens", a.vocabulary, FORMATS["fp32"])
        # Softmax, top-p and draw: three passes over fp32 logits.
        self.elementwise("sampling", 6.0 * a.vocabulary, 5.0 * a.vocabulary, rows="rank_sampled_tokens")
