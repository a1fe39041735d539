"""What a step consists of: the mix of tokens that one pass through the model works on, and how the model is sharded.

A step's cost depends on the mix only through a handful of numbers (the columns of `Layout`); every operator's FLOP and
bytes are affine in them, which is what makes timing a million steps a matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.errors import DeploymentError
from scoville.transformer.architecture import FORMATS, Architecture

Array = NDArray[np.float64]
Window = int | None


@dataclass(frozen=True, slots=True)
class Precision:
    """Formats of weights ("declared" keeps what the config says), activations and KV cache: names of FORMATS."""

    weights: str = "declared"
    activations: str = "bf16"
    kv: str = "bf16"

    def __post_init__(self) -> None:
        for role in ("weights", "activations", "kv"):
            name = getattr(self, role)
            if name not in FORMATS and not (role == "weights" and name == "declared"):
                allowed = ", ".join([*(["declared"] if role == "weights" else []), *FORMATS])
                raise DeploymentError(f"precision.{role}: unknown format '{name}'; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class Parallelism:
    """How one replica is spread over chips.

    A pipeline stage has `tensor * attention_data` chips. Attention and dense layers are split over `tensor` ranks and
    repeated on each of the `attention_data` groups, which serve different requests. Routed experts are spread over all
    chips of the stage: `expert` groups of whole experts, each expert split over the remaining factor.
    """

    tensor: int = 1
    pipeline: int = 1
    expert: int = 1
    attention_data: int = 1

    def __post_init__(self) -> None:
        for name in ("tensor", "pipeline", "expert", "attention_data"):
            if getattr(self, name) < 1:
                raise DeploymentError(f"parallelism: {name} is {getattr(self, name)}; expected an integer >= 1")
        if self.stage_chips % self.expert:
            raise DeploymentError(
                f"parallelism: expert = {self.expert} does not divide the {self.stage_chips} chips of a stage "
                f"(tensor x attention_data); choose a divisor"
            )

    @classmethod
    def parse(cls, text: str) -> Parallelism:
        """From "TP4", "TP1 DP8 EP8", "tp8 pp2": degrees left out are 1. Raises DeploymentError for anything else.

        >>> Parallelism.parse("TP2 DP4 EP8").chips
        8
        """
        names = {"TP": "tensor", "PP": "pipeline", "EP": "expert", "DP": "attention_data"}
        degrees: dict[str, int] = {}
        for word in text.replace(",", " ").split():
            name, digits = names.get(word[:2].upper()), word[2:]
            if name is None or not digits.isdigit() or name in degrees:
                raise DeploymentError(
                    f"parallelism: '{word}' in '{text}' is not a degree; expected words such as TP4, PP2, EP8, DP8, "
                    f"each once"
                )
            degrees[name] = int(digits)
        return cls(**degrees)

    @property
    def stage_chips(self) -> int:
        """Chips of one pipeline stage."""
        return self.tensor * self.attention_data

    @property
    def chips(self) -> int:
        """Chips of one replica."""
        return self.stage_chips * self.pipeline

    @property
    def expert_tensor(self) -> int:
        """Ranks that one routed expert is split over."""
        return self.stage_chips // self.expert

    def __str__(self) -> str:
        parts = [f"TP{self.tensor}"]
        parts += [f"DP{self.attention_data}"] if self.attention_data > 1 else []
        parts += [f"EP{self.expert}"] if self.expert > 1 else []
        parts += [f"PP{self.pipeline}"] if self.pipeline > 1 else []
        return " ".join(parts)


def windows(architecture: Architecture) -> tuple[Window, ...]:
    """The distinct spans of context that attention blocks read: None is all of it. Sorted, None first if present.

    Sparse attention reads `sparse_top_k` tokens, its indexer all of them. Linear attention reads none.
    """
    found: set[Window] = set()
    for layer in (*architecture.layers, *architecture.draft_layers):
        a = layer.attention
        if a.kind == "linear":
            continue
        if a.sparse_top_k:
            found |= {a.sparse_top_k, None}
        else:
            found.add(a.window)
    return tuple(sorted(found, key=lambda w: -1 if w is None else w))


def expert_kinds(architecture: Architecture) -> tuple[tuple[int, int], ...]:
    """The distinct (experts, experts per token) of the routed layers."""
    return tuple(
        sorted(
            {
                (layer.feed_forward.experts, layer.feed_forward.experts_per_token)
                for layer in (*architecture.layers, *architecture.draft_layers)
                if layer.feed_forward.experts
            }
        )
    )


@dataclass(frozen=True)
class StepMix:
    """What one step works on, for `m` steps at once: every array has shape (m,), totals over the replica.

    decode_sequences_count   sequences in decode
    decode_tokens            their query tokens (sequences x tokens per sequence; > 1 each with speculation)
    prefill_sequences_count  prompts, or pieces of prompts, in this step
    prefill_tokens           their query tokens
    sampled_tokens           tokens whose logits are needed: decode tokens and prompts that end in this step
    decode_pairs_tokens[w]   sum over decode query tokens of the context they see within window w (None: all)
    decode_kv_tokens[w]      sum over decode sequences of the cached tokens read within w
    prefill_pairs_tokens[w], prefill_kv_tokens[w]   the same for prompts
    worst_rank_frac          share of attention work of the busiest attention-data group (1 without such groups)
    """

    decode_sequences_count: Array
    decode_tokens: Array
    prefill_sequences_count: Array
    prefill_tokens: Array
    sampled_tokens: Array
    decode_pairs_tokens: Mapping[Window, Array]
    decode_kv_tokens: Mapping[Window, Array]
    prefill_pairs_tokens: Mapping[Window, Array]
    prefill_kv_tokens: Mapping[Window, Array]
    worst_rank_frac: Array = field(default_factory=lambda: np.ones(1))

    def __len__(self) -> int:
        return int(self.decode_tokens.shape[0])


def seen_tokens(start: ArrayLike, count: ArrayLike, window: Window) -> Array:
    """Sum over i = 1..count of min(start + i, window): the query x context pairs of `count` causal query tokens.

    >>> float(seen_tokens(0, 4, None)), float(seen_tokens(0, 4, 2)), float(seen_tokens(10, 2, 4))
    (10.0, 7.0, 8.0)
    """
    s, n = np.asarray(start, float), np.asarray(count, float)
    if window is None:
        return np.asarray(n * s + n * (n + 1) / 2)
    growing = np.clip(window - s, 0, n)
    return np.asarray(growing * s + growing * (growing + 1) / 2 + (n - growing) * window)


def uniform_mix(
    architecture: Architecture,
    *,
    decode_sequences: ArrayLike = 0,
    context_tokens: ArrayLike = 0,
    query_per_decode: ArrayLike = 1,
    prefill_sequences: ArrayLike = 0,
    prefill_tokens: ArrayLike = 0,
    prefill_start_tokens: ArrayLike = 0,
    worst_rank_frac: ArrayLike = 1.0,
) -> StepMix:
    """A mix in which all decodes have the same context and all prompts the same length and start; broadcasts to (m,).

    `context_tokens` counts the cached tokens before the step; `prefill_tokens` is the total over prompts. With q query
    tokens the windows of the first and the last together cover window + q - 1 tokens.
    """
    d, c, q, s, p, o, r = np.broadcast_arrays(
        *(
            np.atleast_1d(np.asarray(x, float))
            for x in (
                decode_sequences,
                context_tokens,
                query_per_decode,
                prefill_sequences,
                prefill_tokens,
                prefill_start_tokens,
                worst_rank_frac,
            )
        )
    )
    each = np.divide(p, s, out=np.zeros_like(p), where=s > 0)
    spans = windows(architecture)
    return StepMix(
        decode_sequences_count=d,
        decode_tokens=d * q,
        prefill_sequences_count=s,
        prefill_tokens=p,
        sampled_tokens=d * q + s,
        decode_pairs_tokens={w: d * seen_tokens(c, q, w) for w in spans},
        decode_kv_tokens={w: d * (c + q if w is None else np.minimum(c + q, w + q - 1)) for w in spans},
        prefill_pairs_tokens={w: s * seen_tokens(o, each, w) for w in spans},
        prefill_kv_tokens={w: s * (o + each if w is None else np.minimum(o + each, w + each - 1)) for w in spans},
        worst_rank_frac=r,
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a feature matrix for an architecture: which number stands where."""

    windows: tuple[Window, ...]
    expert_kinds: tuple[tuple[int, int], ...]

    FIXED = (
        "one",
        "tokens",
        "rank_tokens",
        "rank_decode_tokens",
        "rank_prefill_tokens",
        "rank_sampled_tokens",
        "rank_sequences",
    )

    @classmethod
    def of(cls, architecture: Architecture) -> Layout:
        """The layout of an architecture's steps."""
        return cls(windows(architecture), expert_kinds(architecture))

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order; `decode_pairs:128` is per window ('all' for the whole context)."""
        spans = [("all" if w is None else str(w)) for w in self.windows]
        per_window = [
            f"{kind}:{span}" for kind in ("decode_pairs", "decode_kv", "prefill_pairs", "prefill_kv") for span in spans
        ]
        return (*self.FIXED, *per_window, *(f"experts:{e}/{k}" for e, k in self.expert_kinds))

    def column(self, name: str) -> int:
        """Position of a column."""
        return self.names.index(name)

    def by_tokens(self, tokens: Array) -> Array:
        """The columns that follow from the number of tokens alone, (m, len(names)), the others zero: of tokens that all
        belong to one rank.
        """
        columns = np.zeros((len(tokens), len(self.names)))
        columns[:, self.column("one")] = 1.0
        columns[:, [self.column("tokens"), self.column("rank_tokens")]] = tokens[:, None]
        for e, k in self.expert_kinds:
            columns[:, self.column(f"experts:{e}/{k}")] = experts_touched(tokens, e, k)
        return columns

    def features(self, mix: StepMix) -> Array:
        """The feature matrix of a mix, shape (m, len(names)).

        `rank_*` columns hold the share of the busiest attention-data group; `experts:E/k` the distinct experts touched.
        """
        r = mix.worst_rank_frac
        tokens = mix.decode_tokens + mix.prefill_tokens
        columns = [
            np.ones_like(tokens),
            tokens,
            r * tokens,
            r * mix.decode_tokens,
            r * mix.prefill_tokens,
            r * mix.sampled_tokens,
            r * (mix.decode_sequences_count + mix.prefill_sequences_count),
        ]
        for source in (mix.decode_pairs_tokens, mix.decode_kv_tokens, mix.prefill_pairs_tokens, mix.prefill_kv_tokens):
            columns += [r * source[w] for w in self.windows]
        columns += [experts_touched(tokens, e, k) for e, k in self.expert_kinds]
        rows = np.empty((len(columns), *np.broadcast_shapes(*(np.shape(c) for c in columns))))
        for row, column in zip(rows, columns, strict=True):
            row[:] = column
        return rows.T  # column by column in memory, which is how it is written


def experts_touched(tokens: Array, experts: int, per_token: int) -> Array:
    """Expected distinct experts that the tokens touch: E (1 - (1 - k/E)^tokens), for balanced independent routing.

    One token of Mixtral (8 experts, 2 a token) touches 2, eight tokens touch 8 (1 - 0.75^8) = 7.2.
    """
    if per_token >= experts:
        return np.where(tokens > 0, float(experts), 0.0)
    return np.asarray(-experts * np.expm1(tokens * np.log1p(-per_token / experts)))
