"""The systolic timer behind the interface of measured kernels: curves and sides, drawn at a chip's central figures.

Every kernel takes the launch of the roofline on top. Samples of a chip scale what its arithmetic bounds by their peak
and the share of it that busy arrays reach, the rest by their bandwidth and its share. Collectives, about which arrays
say nothing, are those of the fitted roofline, and element-wise work stays on the roofline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scoville.errors import FactError
from scoville.timing.curves import ROWS, Curve
from scoville.timing.measured.attention import AttentionSides, Side
from scoville.timing.measured.attention_roofline import LATENT_DIM
from scoville.timing.measured.fitted import STORED, FittedKernels, KernelSides, expected_load, same_rows
from scoville.timing.systolic.attention import Heads
from scoville.timing.systolic.times import SystolicTimes, systolic
from scoville.transformer.architecture import FORMATS
from scoville.transformer.operators import Operator, OperatorTable

if TYPE_CHECKING:
    from scoville.facts import Accelerator, Draws, Facts
    from scoville.timing.chips import Chips

Array = NDArray[np.float64]
Pair = tuple[str, str]
_LATENT_VALUES, _PROMPT_KEYS, _PROMPT_VALUES = 512, 192, 128  # of DeepSeek-V3's MLA, beside LATENT_DIM


@dataclass(frozen=True, eq=False)
class SystolicKernels:
    """The arrays of one chip; `collectives` answers for the links. Peaks are the chip's central figures by formats.

    `compute_frac` and `memory_frac`, (n,), are draws of the shares of both that arrays and memory reach.
    """

    times: SystolicTimes
    collectives: FittedKernels
    compute_frac: Array
    memory_frac: Array
    family: str = "systolic"
    _drawn: dict[tuple[object, ...], Array] = field(default_factory=dict, repr=False)

    def sides(self, op: Operator, chips: Chips) -> KernelSides | None:
        """The two sides of an attention core; None for a latent cache of other sizes than DeepSeek-V3's."""
        h = op.heads
        if h is None or (h.latent and h.head_dim != LATENT_DIM):
            return None
        prompt = op.kind == "attention_prefill"
        kv, activation = STORED[op.weight_rate], STORED[op.activation_rate]
        element = FORMATS[kv].size_bytes
        keys, values, cached = h.head_dim, h.head_dim, 2 * h.kv_heads * h.head_dim * element
        if h.latent:
            keys, values = (_PROMPT_KEYS, _PROMPT_VALUES) if prompt else (LATENT_DIM, _LATENT_VALUES)
            cached = h.heads * (keys + values) * element if prompt else LATENT_DIM * element
        moved = h.heads * (keys + values) * FORMATS["bf16"].size_bytes + cached
        heads = Heads(h.heads, h.heads if h.latent and prompt else h.kv_heads, keys, values, cached, moved)
        t = self.times.attention(heads, kv, activation, prompt=prompt)
        sides = AttentionSides(
            t.fixed_s,
            Side(0.0, t.compute_s_per_pair_tokens, 0.0, t.compute_s_per_query_tokens, 0.0),
            Side(0.0, 0.0, t.movement_s_per_kv_tokens, t.movement_s_per_query_tokens, 0.0),
        )
        compute, memory = self._own(chips, chips.rate(op.weight_rate, op.activation_rate))
        return KernelSides(sides, "systolic", compute, memory, chips.launch_s["attention"] + t.fixed_s)

    def curves(
        self,
        table: OperatorTable,
        chips: Chips,
        pairs: Sequence[Pair | None],
        compute_bound: NDArray[np.bool_],
        shown_frac: Array,
    ) -> tuple[Curve, ...]:
        """The curves of matrix products, experts and collectives, as `MeasuredKernels.curves`."""
        found: list[Curve] = []
        for i, (op, pair) in enumerate(zip(table.operators, pairs, strict=True)):
            if pair is None:
                link = self.collectives.curve(table, i, chips, pair, compute_bound[i], shown_frac[:, i])
                found += [link] if link else []
                continue
            columns = np.flatnonzero(table.flop[i])
            if op.kind not in ("gemm", "moe") or op.shape is None or len(columns) != 1:
                continue
            compute, memory = (same_rows(x) for x in self._own(chips, pair))
            seconds = self._seconds(op) * np.where(compute_bound[i], compute, memory)
            seconds = seconds + same_rows(chips.launch_s[op.kind])
            found.append(Curve(i, int(columns[0]), seconds, compute_bound[i], "systolic"))
        return tuple(found)

    def _seconds(self, op: Operator) -> Array:
        """Seconds of a product at ROWS without its launch, (1, K)."""
        assert op.shape is not None
        key = (op.kind, op.shape, op.experts, op.weight_rate, op.activation_rate)
        if key not in self._drawn:
            (n, k), formats = op.shape, (STORED[op.weight_rate], STORED[op.activation_rate])
            if op.experts is None:
                seconds = self.times.gemm_seconds(ROWS, n, k, *formats)
            else:
                e = op.experts
                load = expected_load(e.experts, e.top_k, e.expert, self.collectives.routing)
                down = op.shape == (e.hidden, e.intermediate)
                n, k = (n, -(-k // e.tensor)) if down else (-(-n // e.tensor), k)
                seconds = self.times.moe_seconds(load.rows, load.touched, n, k, *formats)
            self._drawn[key] = seconds[None]
        return self._drawn[key]

    def _own(self, chips: Chips, pair: Pair) -> tuple[Array, Array]:
        """How much longer arithmetic and traffic take on each sample than at central figures, (n,)."""
        hw = self.times.hardware
        peak = hw.compute_flop_per_s[pair] / chips.compute_flop_per_s[pair]
        stream = hw.memory_bytes_per_s / chips.memory_bytes_per_s
        return peak * hw.compute_frac / self.compute_frac, stream * hw.memory_frac / self.memory_frac


def systolic_kernels(
    accelerator: Accelerator, facts: Facts, draws: Draws, collectives: FittedKernels
) -> SystolicKernels:
    """Raises FactError for a chip whose arrays nobody has described."""
    times = systolic(accelerator, facts)
    if times is None:
        raise FactError(
            f"{accelerator.id} has no matrix units that the systolic timer could time: its facts hold no "
            f"microarchitecture; add array_rows, array_columns, clock and the rest with --facts, or leave --timer out"
        )
    compute, memory = (draws.sample(facts.get("systolic", name)) for name in ("compute_share", "memory_share"))
    return SystolicKernels(times, collectives, compute, memory)
