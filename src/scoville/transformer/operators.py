"""The records of a step's work: one `Operator`, and the `OperatorTable` of all that a sharded model runs in a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scoville.transformer.architecture import Architecture
from scoville.transformer.step import Layout, Parallelism, Precision, Window

Array = NDArray[np.float64]
OperatorClass = Literal["gemm", "moe", "attention_prefill", "attention_decode", "elementwise", "collective"]
CollectiveKind = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "point_to_point"]
CLASSES: tuple[OperatorClass, ...] = (
    "gemm",
    "moe",
    "attention_prefill",
    "attention_decode",
    "elementwise",
    "collective",
)

COLLECTIVES: tuple[CollectiveKind, ...] = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "point_to_point")


class Heads(NamedTuple):
    """Attention heads of one chip: queries, keys and values that share a cache, elements of a key; what it reads.

    `latent` is multi-head latent attention: decode in the absorbed form on one shared head, prefill expanded.
    """

    heads: int
    kv_heads: int
    head_dim: int
    window: Window = None
    latent: bool = False


class Experts(NamedTuple):
    """Routed experts of a layer and their split: `tensor` ranks share an expert, `expert` groups share the experts."""

    hidden: int
    intermediate: int
    experts: int
    top_k: int
    tensor: int
    expert: int
    gated: bool


@dataclass(frozen=True)
class Operator:
    """One kernel or collective of a step, on one chip.

    `flop`, `weight_bytes`, `kv_bytes`, `activation_bytes` and `link_bytes` are coefficients over the columns of a
    `Layout`, shape (columns,); a quantity is their product with a feature row. `resident_bytes` is what the operator
    keeps in memory whether it is touched or not. `shape` is (n, k) of a GEMM, `heads` are those of an attention core,
    `experts` those of a grouped GEMM. A collective moves `link_bytes` of
    payload per chip among `span` chips; `may_overlap` says that it can run beside computation of another micro-batch.
    `per_stage_count[s]` is how often the operator runs in pipeline stage s.
    """

    name: str
    kind: OperatorClass
    weight_rate: str
    activation_rate: str
    flop: Array
    weight_bytes: Array
    kv_bytes: Array
    activation_bytes: Array
    link_bytes: Array
    resident_bytes: float
    per_stage_count: tuple[int, ...]
    shape: tuple[int, int] | None = None
    heads: Heads | None = None
    experts: Experts | None = None
    collective: CollectiveKind | None = None
    span_count: int = 1
    may_overlap: bool = False


@dataclass(frozen=True)
class OperatorTable:
    """The distinct operators of a step under one sharding and precision, stacked for arithmetic over many steps.

    Coefficient matrices have shape (operators, columns of `layout`), `count` has shape (stages, operators).
    `resident_bytes`, `cache_bytes_per_token[w]` and `cache_bytes_per_sequence_bytes` are per chip, each of the stage
    that has the most of it; the cache figures are for the sequences of one attention-data group.
    """

    architecture: Architecture
    precision: Precision
    parallelism: Parallelism
    layout: Layout
    operators: tuple[Operator, ...]
    flop: Array
    memory_bytes: Array
    link_bytes: Array
    count: Array
    resident_bytes: float
    cache_bytes_per_token: dict[Window, float]
    cache_bytes_per_sequence_bytes: float

    def cache_bytes(self, tokens_by_window: dict[Window, Array]) -> Array:
        """Cache bytes per chip for sequences whose held tokens, per window, are given; every window of the layout."""
        total: Array = np.zeros(1)
        for window, per_token in self.cache_bytes_per_token.items():
            total = total + per_token * tokens_by_window[window]
        return total
