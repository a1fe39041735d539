"""What a deployment is expected to hold where ranks of data-parallel attention wait for each other's prompts.

The steady state spreads the prompt tokens of a step evenly over the ranks. A step ends when the fullest rank is done,
so the share of a prompt token's time that ranks spend by themselves (attention, dense products) counts as often as the
fullest has more of them than the mean; what they do together (experts, their exchange) does not. By hand: 2 ranks,
4,000 tokens of prompts of 1,000 tokens in a step: the fullest has 1 + 0.59 x 0.71 = 1.42 times the mean, so if half the
time is the ranks' own, prompts take 1.21 times as long.

It orders deployments and says where a search begins; replays decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scoville.serving import average_step, full_chunk_tokens
from scoville.serving.steady import bubble_frac
from scoville.timing import Chips
from scoville.transformer.step import Parallelism

if TYPE_CHECKING:
    from scoville.study.deploy import Deployment, Workload

Array = NDArray[np.float64]


def expected_per_s(d: Deployment, on: Chips, work: Workload) -> Array:
    """Requests per second of a replica at each batch size, shape (m,); 0 where a target, memory or stability is broken.

    The steady state's where there is one rank.
    """
    s, p, shape = d.state, d.parallelism, work.shape
    if p.attention_data == 1:
        return d.served_per_s()
    batch = s.batch_count
    fullest = bubble_frac(shape, Parallelism(pipeline=p.attention_data), batch)  # ranks share prompts as stages do
    prompts_s = s.prefill_s_per_token[0] * shape.fresh_input_tokens * batch / shape.output_tokens
    longer = 1 + _own_frac(d, on, work) * (fullest - 1) * prompts_s / s.tpot_s[0]
    met = s.tpot_percentile_s[0] * longer <= work.targets.tpot_s
    ok = s.fits[0] & s.stable[0] & s.ttft_met[0] & met
    return np.asarray(np.where(ok, s.requests_per_s[0] / longer, 0.0))


def _own_frac(d: Deployment, on: Chips, work: Workload) -> float:
    """Share of the time that prompt tokens add to a full step which ranks spend by themselves, at a middling batch."""
    table, batch = work.table(d.parallelism), float(d.state.batch_count[len(d.state.batch_count) // 2])
    names = table.layout.names
    full_tokens = float(full_chunk_tokens(work.shape, d.parallelism, batch))
    decode, full = (
        table.layout.features(average_step(work.shape, d.parallelism, batch, prefill))[0]
        for prefill in (0.0, full_tokens)
    )
    together = np.array([n in ("one", "tokens") or n.startswith("experts:") for n in names])
    own = np.where(together, decode, full)
    decode_s, own_s, full_s = work.timer.time(table, on, np.stack([decode, own, full])).stage_s[0]
    return float((own_s - decode_s) / (full_s - decode_s))
