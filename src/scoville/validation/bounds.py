"""What no chip can beat: a run's work at the chip's peaks, every weight and cache byte read once, nothing else.

The roofline of Williams, Waterman and Patterson (CACM 2009) without any efficiency, launch, link, activation or
overhead. Example: an 8B model in fp8, 7.5 GB of weights read by each decode step, on 3.35 TB/s: TPOT >= 2.2 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.transformer.operators import OperatorTable
from scoville.transformer.step import uniform_mix
from scoville.validation.predict import Deployments
from scoville.validation.rows import Setting

_MANY_SEQUENCES = 1 << 16  # of a batch so large that reading the weights takes no share of it


@dataclass(frozen=True, slots=True)
class Fastest:
    """Least time to first token, least time per token after it, most output tokens per second of all replicas."""

    ttft_s: float
    tpot_s: float
    output_tokens_per_s: float

    def beaten(self, metric: str, value: float) -> bool:
        """Whether a figure is better than any chip of these peaks can give."""
        return value > self.output_tokens_per_s if metric == "throughput" else value < self.of(metric)

    def of(self, metric: str) -> float:
        """The bound of a metric."""
        return {"ttft": self.ttft_s, "tpot": self.tpot_s, "throughput": self.output_tokens_per_s}[metric]


def fastest(setting: Setting, deployments: Deployments) -> Fastest:
    """The bounds of a setting: its shortest prompt alone, one sequence in decode alone, and a boundless batch.

    Raises ScovilleError where the model cannot be sharded so.
    """
    table = deployments.table(setting)
    prompt = max(1.0, np.ceil(setting.shortest_frac * setting.input_tokens))
    answer = max(1.0, np.ceil(setting.shortest_frac * setting.output_tokens))
    groups, many = setting.parallelism.attention_data, float(_MANY_SEQUENCES)
    mix = uniform_mix(
        table.architecture,
        decode_sequences=[0, 1, 0, many],
        context_tokens=[0, prompt, 0, prompt + (answer - 1) / 2],
        prefill_sequences=[1, 0, many, 0],
        prefill_tokens=[prompt, 0, many * prompt, 0],
        worst_rank_frac=[1, 1, 1 / groups, 1 / groups],
    )
    one_prompt, one_token, prompts, tokens = _seconds(setting, deployments, table, table.layout.features(mix)).tolist()
    of_a_request = (prompts + (answer - 1) * tokens) / many / setting.parallelism.pipeline
    return Fastest(one_prompt, one_token, answer * setting.replicas_count / of_a_request)


def _seconds(
    setting: Setting, deployments: Deployments, table: OperatorTable, features: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Seconds of steps through all stages at peak, shape (m,)."""
    on = deployments.peaks(setting.accelerator)
    total = np.zeros(len(features))
    for op, runs in zip(table.operators, table.count.sum(axis=0), strict=True):
        if op.collective is not None:
            continue
        peak = on.compute_flop_per_s[on.rate(op.weight_rate, op.activation_rate)][0]
        moved = features @ (op.weight_bytes + op.kv_bytes)
        total += runs * np.maximum(features @ op.flop / peak, moved / on.memory_bytes_per_s[0])
    return total
