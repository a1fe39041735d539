"""One replica of a deployment, compiled and ready to be replayed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scoville.errors import DeploymentError
from scoville.facts import Accelerator, Draws, Facts
from scoville.serving.costs import StepCosts, compile_costs
from scoville.serving.settings import EngineSettings
from scoville.timing import cache_room_bytes, chips
from scoville.timing.chips import Chips
from scoville.transformer.operators import OperatorTable
from scoville.units import show


@dataclass(frozen=True, eq=False)
class Engine:
    """Compiled step costs, settings, and what the memory has room for.

    cache_blocks, sequence_blocks   of a data-parallel rank; blocks that each sequence takes beside those of its tokens
    cache_bytes_per_token   of a sequence, on all chips of a replica that hold a part of it
    peak_flop_per_s, peak_bytes_per_s, peak_link_bytes_per_s   of a replica; the link is scale-up, NaN without one
    scale_out_bytes_per_s, scale_out_latency_s   of a replica's chips together, for transfers to another pool
    """

    costs: StepCosts
    settings: EngineSettings
    cache_blocks: int
    sequence_blocks: int
    chips_count: int
    cache_bytes_per_token: float
    peak_flop_per_s: float
    peak_bytes_per_s: float
    peak_link_bytes_per_s: float
    scale_out_bytes_per_s: float
    scale_out_latency_s: float

    @property
    def lane_blocks(self) -> int:
        """Cache blocks of a lane: of a rank, shared out to its microbatches."""
        return self.cache_blocks // self.costs.stages


def engine(accelerator: Accelerator, facts: Facts, table: OperatorTable, settings: EngineSettings) -> Engine:
    """Compile a deployment at the facts' central values.

    Raises DeploymentError if no room is left for a cache, or if blocks are to be moved to the memory of a host whose
    bandwidth nobody has published.
    """
    on = chips(accelerator, facts, Draws.central(), settings.kernels)
    on = replace(on, time_frac=on.time_frac * settings.time_frac)
    room = float(cache_room_bytes(table, on)[0])
    name, p = table.architecture.name, table.parallelism
    if room <= 0:
        raise DeploymentError(
            f"{name} does not fit on {p} x {accelerator.name}: "
            f"{show(table.resident_bytes, 'bytes')} of weights per chip; use more chips or a narrower format"
        )
    # A block holds its tokens for every layer; windowed ones too, as paged engines without a hybrid cache do.
    per_token = sum(table.cache_bytes_per_token.values())
    if per_token <= 0:
        raise DeploymentError(f"{name}: it keeps no cache per token, so that there are no cache blocks to replay")
    per_block = settings.block_tokens * per_token
    most = int(room // per_block)
    blocks = most if settings.cache_blocks is None else settings.cache_blocks
    if blocks > most:
        raise DeploymentError(
            f"engine: cache_blocks is {blocks:,}; the memory of {p} x {accelerator.name} has room for {most:,} blocks "
            f"of {settings.block_tokens} tokens beside the weights"
        )
    state = math.ceil(table.cache_bytes_per_sequence_bytes / per_block)
    if blocks // p.pipeline <= state:
        raise DeploymentError(f"{name} on {p} x {accelerator.name}: no cache block fits")
    return Engine(
        costs=compile_costs(table, on, settings, _block_s(accelerator, facts, settings, per_block)),
        settings=settings,
        cache_blocks=blocks,
        sequence_blocks=state,
        chips_count=p.chips,
        cache_bytes_per_token=per_token * p.tensor * p.pipeline,
        peak_flop_per_s=_peak_flop_per_s(table, on) * p.chips,
        peak_bytes_per_s=float(on.memory_bytes_per_s[0]) * p.chips,
        peak_link_bytes_per_s=float(on.links[0].bandwidth_bytes_per_s[0]) * p.chips if on.links else float("nan"),
        scale_out_bytes_per_s=float(on.links[-1].bandwidth_bytes_per_s[0]) * p.chips if on.links else 0.0,
        scale_out_latency_s=float(on.links[-1].latency_s[0]) if on.links else 0.0,
    )


def _peak_flop_per_s(table: OperatorTable, on: Chips) -> float:
    """The rate at which the chip does the model's largest kind of work, its matrix products."""
    products = [op for op in table.operators if op.kind in ("gemm", "moe")]
    most = max(products, key=lambda op: op.resident_bytes * sum(op.per_stage_count))
    return float(on.compute_flop_per_s[on.rate(most.weight_rate, most.activation_rate)][0])


def _block_s(accelerator: Accelerator, facts: Facts, settings: EngineSettings, block_bytes: float) -> float:
    """Seconds that a cache block takes to or from the host's memory: each chip moves its part over its own link."""
    if settings.host_blocks == 0:
        return 0.0
    bandwidth = facts.find(accelerator.id, "host_bandwidth")
    if bandwidth is None:
        raise DeploymentError(
            f"engine: host_blocks is {settings.host_blocks}, but nobody has published host_bandwidth of "
            f"{accelerator.id}; add it with --facts my.toml, or leave the host tier out"
        )
    return block_bytes / bandwidth.number
