"""Which measured table answers for an operator of a step.

An operator is looked up by chip, by the engine family whose kernels run, and by the formats that the chip multiplies
in. One that nobody measured - another format, element-wise work, a group of chips wider than the tables - is left to
the roofline.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scoville.errors import DeploymentError
from scoville.timing.curves import ROWS, Curve
from scoville.timing.measured.attention import AttentionTimes, HeadLayout, Phase, attention_times
from scoville.timing.measured.attention_roofline import LATENT_DIM
from scoville.timing.measured.collectives import CollectiveTimes, collective_chips, collective_times
from scoville.timing.measured.fitted import FittedKernels, KernelSides, same_rows
from scoville.timing.measured.gemm import GemmTimes, gemm_tables, gemm_times
from scoville.timing.measured.moe import moe_tables, moe_times
from scoville.transformer.operators import Operator, OperatorTable

if TYPE_CHECKING:
    from scoville.timing.chips import Chips

Array = NDArray[np.float64]
Pair = tuple[str, str]
Found = tuple[int, Array, NDArray[np.bool_]]
_GEMM = {
    ("bf16", "bf16"): "bf16", ("fp8", "fp8"): "fp8", ("int8", "int8"): "int8", ("int8", "bf16"): "int8_bf16",
    ("int4", "bf16"): "int4_bf16",
}  # fmt: skip
_MOE = {
    ("bf16", "bf16"): "bf16", ("fp8", "fp8"): "fp8", ("int4", "bf16"): "int4_bf16", ("fp4", "bf16"): "mxfp4_bf16",
}  # fmt: skip
_SAME_FIGURE_FRAC = 1e-3


@dataclass(frozen=True, eq=False)
class MeasuredKernels:
    """The tables of one chip and engine family; `otherwise` answers for what they lack, `routing` is its law."""

    chip: str
    family: str
    gemm: dict[str, GemmTimes]
    moe: frozenset[str]
    attention: AttentionTimes | None
    collectives: CollectiveTimes | None
    otherwise: FittedKernels | None = None
    routing: str = ""

    def agrees(self, memory_bytes_per_s: float, compute_flop_per_s: Mapping[Pair, float]) -> bool:
        """Whether the chip is the one that was measured: not where somebody gives its id another memory or peak."""

        def same(measured: float | Array, known: float | None) -> bool:
            return known is not None and abs(float(measured) / known - 1) < _SAME_FIGURE_FRAC

        rates = {pair: self.gemm[name] for pair, name in _GEMM.items() if name in self.gemm}
        return all(
            same(t.chip.memory_bytes_per_s, memory_bytes_per_s)
            and same(t.chip.peak_flop_per_s, compute_flop_per_s.get(pair, compute_flop_per_s.get((pair[1], pair[1]))))
            for pair, t in rates.items()
        )

    def _curve(self, table: OperatorTable, i: int, pair: Pair | None) -> Found | None:
        """The column whose rows operator i works on, its seconds at ROWS, and at which of them the table covers it.

        Tables hold kernels one by one. TensorRT-LLM's attention rotates, as its table does; its FP8 checkpoints have
        fixed scales, so that norm, activation and attention quantise what they write, where its table of products has a
        kernel for that (flashinfer and NVIDIA/TensorRT-LLM: fused RMSNorm with FP8 quantisation).
        """
        op = table.operators[i]
        if op.collective is not None:
            return self._collective(table, i, op.collective, op.span_count)
        columns = np.flatnonzero(table.flop[i])
        if self.family == "trtllm" and op.name.endswith("rope") and self.attention is not None:
            return int(columns[0]), np.zeros(len(ROWS)), np.ones(len(ROWS), np.bool_)
        if pair is None or pair[0] != op.weight_rate or len(columns) != 1:  # a weight that is widened moves fewer bytes
            return None
        block = pair == ("fp8", "fp8") and table.precision.weights in ("declared", "fp8_block")
        if op.kind == "gemm" and op.shape is not None:
            name = _name(_GEMM, pair, self.gemm, block)
            if not name:
                return None
            times = self.gemm[name]
            if self.family == "trtllm" and name == "fp8":  # fixed scales
                seconds = times.quantised_seconds(ROWS, *op.shape, self.gemm["bf16"].kernel)
            else:
                seconds = times.seconds(ROWS, *op.shape)
            return int(columns[0]), seconds, times.covers(ROWS, *op.shape)
        if op.kind == "moe" and op.experts is not None and op.shape is not None:
            name = _name(_MOE, pair, self.moe, block)
            if not name:
                return None
            experts = moe_times(self.chip, self.family, name)
            e = op.experts
            layout = (e.hidden, e.intermediate, e.experts, e.top_k, e.tensor, e.expert)
            pair_s = experts.seconds(ROWS, *layout, distribution=self.routing, gated=e.gated)
            # The table has both products as one: each gets its share of the weights.
            share = op.shape[0] * op.shape[1] / (e.hidden * e.intermediate * (3 if e.gated else 2))
            covered = experts.covers(ROWS, *layout, distribution=self.routing, gated=e.gated)
            return int(columns[0]), pair_s * share, covered
        return None

    def _collective(self, table: OperatorTable, i: int, kind: str, ranks: int) -> Found | None:
        columns = np.flatnonzero(table.link_bytes[i])
        if self.collectives is None or kind not in self.collectives.tables or len(columns) != 1:
            return None
        if not self.collectives.covers(kind, ranks, 1.0):
            return None
        payload_bytes = table.link_bytes[i, columns[0]] * ROWS
        covered = self.collectives.covers(kind, ranks, payload_bytes)
        return int(columns[0]), self.collectives.seconds(kind, ranks, payload_bytes), covered

    def sides(self, op: Operator, chips: Chips) -> KernelSides | None:
        """The two sides of an attention core; None where nothing answers."""
        known = op.heads is not None and (not op.heads.latent or op.heads.head_dim == LATENT_DIM)
        if self.attention is not None and op.heads is not None and known:
            phase: Phase = "decode" if op.kind == "attention_decode" else "prefill"
            cache = "fp8" if op.weight_rate == "fp8" else "bf16"
            layout = HeadLayout(op.heads.heads, op.heads.kv_heads, op.heads.head_dim, op.heads.window, "bf16", cache)
            try:
                found, one = self.attention.sides(layout, phase), np.ones(1)
                return KernelSides(found, _source(self.attention.known(layout, phase)), one, one, found.fixed_s * one)
            except DeploymentError:  # nobody measured its formats
                pass
        return self.otherwise.sides(op, chips) if self.otherwise else None

    def curves(
        self,
        table: OperatorTable,
        chips: Chips,
        pairs: Sequence[Pair | None],
        compute_bound: NDArray[np.bool_],
        shown_frac: Array,
    ) -> tuple[Curve, ...]:
        """The curves of all operators that were measured or fitted.

        `pairs` are the formats that operands are multiplied in, None for collectives; `compute_bound` (operators, K)
        says where arithmetic takes longer than traffic, `shown_frac` (n, operators) how much of a collective no
        computation hides.
        """
        found = []
        for i, pair in enumerate(pairs):
            known = self._curve(table, i, pair)
            if known is not None:
                column, measured_s, covered = known
                seconds = measured_s * same_rows(shown_frac[:, i])
                most = float(ROWS[covered].max(initial=0.0))
                found.append(Curve(i, column, seconds, compute_bound[i], _source(bool(covered.any())), most))
            elif self.otherwise:
                other = self.otherwise.curve(table, i, chips, pair, compute_bound[i], shown_frac[:, i])
                found += [other] if other else []
        return tuple(found)


def _source(covered: bool) -> str:
    return "measured" if covered else "extrapolated"


def _name(formats: Mapping[Pair, str], pair: Pair, known: Container[str], block: bool) -> str:
    """The table of a format, that of block scales where it is meant and there is one; "" where there is none."""
    name = formats.get(pair, "")
    blocks = f"{name}_block"
    return blocks if block and blocks in known else name if name in known else ""


def measured_kernels(chip: str, family: str, otherwise: FittedKernels) -> MeasuredKernels | None:
    """The tables of a chip (a fact subject, 'h100-sxm') in the kernels of an engine family; None without any."""
    found = _tables(chip, family)
    return replace(found, otherwise=otherwise, routing=otherwise.routing) if found else None


@lru_cache(maxsize=16)
def _tables(chip: str, family: str) -> MeasuredKernels | None:
    gemm = {fmt: gemm_times(chip, family, fmt) for c, f, fmt in gemm_tables() if (c, f) == (chip, family)}
    if not gemm:
        return None
    return MeasuredKernels(
        chip,
        family,
        gemm,
        frozenset(fmt for c, f, fmt in moe_tables() if (c, f) == (chip, family)),  # read when a model has experts
        attention_times(chip, family),
        collective_times(chip, family) if chip in collective_chips() else None,
    )
