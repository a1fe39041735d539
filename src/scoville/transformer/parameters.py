"""How many parameters a model has, how many a token uses, and what they weigh in a given format.

Publishers count differently: some leave the embedding out of the active parameters (a token reads one row of it),
some the output head too, some count draft (multi-token-prediction) layers. `ParameterCount` says what it counts;
`models/published.toml` keeps each publisher's figure with its convention.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources

from scoville.transformer.architecture import FORMATS, Architecture, Attention, FeedForward, Layer
from scoville.transformer.quantization import stored_formats


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Parameters by part. `head` is 0 where the output head is the embedding's own matrix.

    `total` has every part but `draft`. `active` are those that multiply or are read for one token: everything but
    the routed experts that it is not sent to, with embedding and head as the two flags say.
    """

    total: int
    active: int
    embedding: int
    head: int
    attention: int
    dense_mlp: int
    routed_experts: int
    shared_experts: int
    router: int
    norms: int
    draft: int
    active_includes_embedding: bool
    active_includes_head: bool


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Stored weights by part, in bytes; `draft_bytes` is not part of `total_bytes`."""

    total_bytes: float
    embedding_bytes: float
    head_bytes: float
    attention_bytes: float
    dense_mlp_bytes: float
    routed_experts_bytes: float
    shared_experts_bytes: float
    router_bytes: float
    norms_bytes: float
    draft_bytes: float


@dataclass(frozen=True, slots=True)
class Published:
    """A publisher's figures for a bundled model, and what they count."""

    total_count: float
    active_count: float
    total_includes_draft: bool
    total_includes_embedding: bool
    active_includes_embedding: bool
    active_includes_head: bool
    active_includes_draft: bool
    source: str
    note: str


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parameters of some layers, and how many of the routed experts' are active. Adds up."""

    attention: int = 0
    dense_mlp: int = 0
    routed_experts: int = 0
    shared_experts: int = 0
    router: int = 0
    norms: int = 0
    active_experts: int = 0

    def __add__(self, other: _Parts) -> _Parts:
        return _Parts(*(getattr(self, f) + getattr(other, f) for f in self.__slots__))

    def __mul__(self, count: int) -> _Parts:
        return _Parts(*(getattr(self, f) * count for f in self.__slots__))

    @property
    def total(self) -> int:
        return self.attention + self.dense_mlp + self.routed_experts + self.shared_experts + self.router + self.norms

    @property
    def active(self) -> int:
        return self.total - self.routed_experts + self.active_experts


def _attention(x: Attention, hidden: int) -> tuple[int, int]:
    """Weights and norm weights of one attention block."""
    if x.kind == "gqa":
        q = x.heads * x.head_dim
        k, v = x.kv_heads * x.head_dim, x.kv_heads * x.v_head_dim
        out = x.heads * x.v_head_dim
        count = hidden * (q * (2 if x.output_gate else 1) + k + v) + out * hidden
        count += (q + k + v if x.bias else 0) + (hidden if x.output_bias else 0) + (x.heads if x.sinks else 0)
        norm = (2 * x.head_dim if x.qk_norm_width == "head" else q + k) if x.qk_norm else 0
        return count, norm
    if x.kind == "mla":
        q = x.heads * (x.head_dim + x.rope_dim)
        latent = x.kv_lora_rank + x.rope_dim
        count = hidden * x.q_lora_rank + x.q_lora_rank * q if x.q_lora_rank else hidden * q
        count += hidden * latent + x.kv_lora_rank * x.heads * (x.head_dim + x.v_head_dim)
        count += x.heads * x.v_head_dim * hidden
        count += (x.q_lora_rank + latent if x.bias else 0) + (hidden if x.output_bias else 0)
        norm = x.q_lora_rank + x.kv_lora_rank
        if x.sparse_top_k:  # indexer: queries from the query latent, one key per token, one weight per head
            count += (x.q_lora_rank or hidden) * x.index_heads * x.index_head_dim
            count += hidden * (x.index_head_dim + x.index_heads)
            norm += 2 * x.index_head_dim
        return count, norm
    keys, values = x.key_heads * x.head_dim, x.heads * x.v_head_dim
    # q, k, v and gate; decay and step per head; convolution over q, k and v; A and dt bias per head; output
    count = hidden * (2 * keys + 2 * values) + hidden * 2 * x.heads
    count += (2 * keys + values) * x.conv_kernel + 2 * x.heads + values * hidden
    return count, x.v_head_dim


def _mlp(hidden: int, intermediate: int, f: FeedForward) -> int:
    """An MLP of that width: gate, up and down, or up and down."""
    biases = (intermediate * (2 if f.gated else 1) + hidden) if f.bias else 0
    return hidden * intermediate * (3 if f.gated else 2) + biases


def _layer(layer: Layer, hidden: int) -> _Parts:
    attention, norms = _attention(layer.attention, hidden)
    norms += layer.norms * hidden * (2 if layer.norm_bias else 1)
    f = layer.feed_forward
    if not f.experts:
        return _Parts(attention, dense_mlp=_mlp(hidden, f.intermediate, f), norms=norms)
    expert = _mlp(hidden, f.intermediate, f)
    shared = _mlp(hidden, f.shared_intermediate, f) if f.shared_intermediate else 0
    return _Parts(
        attention=attention,
        routed_experts=f.experts * expert,
        shared_experts=shared + (hidden if f.shared_gate else 0),
        router=f.experts * (hidden + (1 if f.router_bias else 0)),
        norms=norms,
        active_experts=f.experts_per_token * expert,
    )


def _layers(layers: tuple[Layer, ...], hidden: int) -> _Parts:
    parts = _Parts()
    for layer in dict.fromkeys(layers):
        parts += _layer(layer, hidden) * layers.count(layer)
    return parts


def _expert_biases(layers: tuple[Layer, ...], hidden: int) -> int:
    """Bias elements of all routed experts."""
    return sum(
        f.experts * (f.intermediate * (2 if f.gated else 1) + hidden)
        for f in (layer.feed_forward for layer in layers)
        if f.bias
    )


def _draft(a: Architecture) -> _Parts:
    """Draft layers as in DeepSeek-V3 (2024, section 2.2): each joins hidden state and embedding by a 2h x h matrix.

    Embedding and head are shared with the model and not counted again.
    """
    joins = len(a.draft_layers)
    return _layers(a.draft_layers, a.hidden) + _Parts(attention=2 * a.hidden**2, norms=3 * a.hidden) * joins


def parameters(a: Architecture, *, active_embedding: bool = False, active_head: bool = True) -> ParameterCount:
    """Parameters of a model by part; `active` counts embedding and head as asked.

    By default the head is active (every token of a decode multiplies with it) and the embedding is not (a token reads
    one row). With a tied embedding the one matrix is active if either is.
    """
    body = _layers(a.layers, a.hidden)
    embedding = (a.vocabulary + a.learned_positions) * a.hidden
    matrix = a.vocabulary * a.hidden
    head = 0 if a.tied_embedding else matrix
    bias = 2 if a.layers[0].norm_bias else 1
    norms = body.norms + a.hidden * bias * (2 if a.embedding_norm else 1)
    rest = norms - body.norms
    if a.tied_embedding:
        ends = embedding if active_embedding else matrix if active_head else 0
    else:
        ends = (embedding if active_embedding else 0) + (head if active_head else 0)
    return ParameterCount(
        total=body.total + rest + embedding + head,
        active=body.active + rest + ends,
        embedding=embedding,
        head=head,
        attention=body.attention,
        dense_mlp=body.dense_mlp,
        routed_experts=body.routed_experts,
        shared_experts=body.shared_experts,
        router=body.router,
        norms=norms,
        draft=_draft(a).total,
        active_includes_embedding=active_embedding,
        active_includes_head=active_head,
    )


def weight_bytes(a: Architecture, weights: str | None = None) -> WeightBytes:
    """Bytes of the stored weights by part, scales included.

    `weights` None or "declared" is as the config declares; otherwise see `stored_formats`. Raises ModelError for an
    unknown format. Biases of routed experts stay in the format of the norms, as in the checkpoints of gpt-oss.
    """
    f = stored_formats(a, weights)
    attention, mlp, experts, plain = (
        FORMATS[name].size_bytes for name in (f.attention, f.feed_forward, f.experts, f.embedding)
    )
    p, d = parameters(a), _draft(a)
    parts = {
        "embedding_bytes": p.embedding * plain,
        "head_bytes": p.head * plain,
        "attention_bytes": p.attention * attention,
        "dense_mlp_bytes": p.dense_mlp * mlp,
        "routed_experts_bytes": p.routed_experts * experts + _expert_biases(a.layers, a.hidden) * (plain - experts),
        "shared_experts_bytes": p.shared_experts * mlp,
        "router_bytes": p.router * plain,
        "norms_bytes": p.norms * plain,
    }
    draft = (
        d.attention * attention
        + (d.dense_mlp + d.shared_experts) * mlp
        + d.routed_experts * experts
        + _expert_biases(a.draft_layers, a.hidden) * (plain - experts)
        + (d.router + d.norms) * plain
    )
    return WeightBytes(total_bytes=sum(parts.values()), **parts, draft_bytes=draft)


def published(name: str) -> Published | None:
    """The publisher's figures for a bundled model (any case), or None where there are none."""
    text = (resources.files("scoville.transformer") / "models" / "published.toml").read_text(encoding="utf-8")
    entry = tomllib.loads(text).get(name.lower())
    if entry is None:
        return None
    counts = entry.get("counts", [])
    return Published(
        total_count=float(entry["total"]),
        active_count=float(entry.get("active", entry["total"])),
        total_includes_draft="total: draft" in counts,
        total_includes_embedding="total: no embedding" not in counts,
        active_includes_embedding="active: embedding" in counts or "active" not in entry,
        active_includes_head="active: no head" not in counts,
        active_includes_draft="active: draft" in counts,
        source=str(entry["source"]),
        note=str(entry.get("note", "")),
    )


def counted_as(a: Architecture, figure: Published) -> tuple[int, int]:
    """Total and active parameters, counted the way that a published figure counts them."""
    p = parameters(a, active_embedding=figure.active_includes_embedding, active_head=figure.active_includes_head)
    draft = _draft(a)
    total = p.total + (draft.total if figure.total_includes_draft else 0)
    total -= 0 if figure.total_includes_embedding else p.embedding + p.head
    return total, p.active + (draft.active if figure.active_includes_draft else 0)
