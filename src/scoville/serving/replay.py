"""What a replay tells: what every request saw, and what each pool of replicas did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.serving.engine import Engine
from scoville.serving.settings import EngineSettings, Fleet
from scoville.serving.steady import Targets

Ints = NDArray[np.int64]
Array = NDArray[np.float64]
OUTCOMES = ("finished", "rejected", "abandoned", "never came")
FINISHED, REJECTED, ABANDONED, NEVER_CAME = range(len(OUTCOMES))


@dataclass(frozen=True, eq=False)
class Pool:
    """What the replicas of one engine did.

    timeline_s, timeline_sequences_count, timeline_cache_frac   ends of the time bins; mean running sequences and share
    of cache blocks in use per replica of the fleet
    replica_s   seconds for which replicas were paid for, all replicas together
    busy_frac, compute_frac, memory_frac, link_frac   shares of that time: in steps; of peak FLOP/s, memory bandwidth
    and scale-up bandwidth that the steps' work would take
    """

    name: str
    engine: Engine
    fleet: Fleet
    timeline_s: Array
    timeline_sequences_count: Array
    timeline_cache_frac: Array
    steps_count: int
    leaps_count: int
    busy_frac: float
    compute_frac: float
    memory_frac: float
    link_frac: float
    replica_s: float
    most_sequences_count: int
    most_cache_frac: float
    recomputed_tokens: int
    moved_blocks_count: int
    energy_j: float

    @property
    def chips_count(self) -> int:
        """Chips of all replicas of the fleet."""
        return self.fleet.replicas * self.engine.chips_count

    @property
    def chip_s(self) -> float:
        """Seconds x chips that were paid for."""
        return self.replica_s * self.engine.chips_count


@dataclass(frozen=True, eq=False)
class Replay:
    """What every request saw, arrays of shape (n,) in the order of the trace, and what the pools did.

    outcome   position in OUTCOMES; a request that was not served has NaN for every time
    arrival_s   as it came, on the trace's clock; NaN if it never did
    queue_s   arrival to first scheduled; ttft_s to the first token; end_s to the last, all from arrival
    tpot_s    mean time per answer token after the first (0 for single-token answers)
    max_gap_s   largest time between two tokens (0 for single-token answers)
    cached_tokens   prompt tokens found in the prefix cache at the first admission
    share_frac   share of the pools' chip time that a request is charged with: of each step, its tokens over all of the
    step; adds up to 1
    gap_s, gap_count   upper edges of the bins of all gaps between tokens, and how many fall in each
    """

    pools: tuple[Pool, ...]
    duration_s: float
    outcome: NDArray[np.int8]
    arrival_s: Array
    queue_s: Array
    ttft_s: Array
    tpot_s: Array
    max_gap_s: Array
    end_s: Array
    preemptions_count: Ints
    retries_count: Ints
    cached_tokens: Ints
    share_frac: Array
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    client_ids: NDArray[np.int32] | None
    gap_s: Array
    gap_count: Ints

    def __len__(self) -> int:
        return len(self.ttft_s)

    @property
    def served(self) -> NDArray[np.bool_]:
        """Which requests got their answer."""
        return np.asarray(self.outcome == FINISHED)

    @property
    def came(self) -> NDArray[np.bool_]:
        """Which requests arrived."""
        return np.asarray(self.outcome != NEVER_CAME)

    @property
    def tokens_per_s(self) -> float:
        """Input and output tokens of all requests that were served, over the whole run."""
        both = self.input_tokens.astype(np.int64) + self.output_tokens
        return int(both[self.served].sum()) / self.duration_s

    def met(self, targets: Targets) -> NDArray[np.bool_]:
        """Which requests met both targets; one that was not served did not."""
        return np.asarray((self.ttft_s <= targets.ttft_s) & (self.tpot_s <= targets.tpot_s))

    def ttft_percentile_s(self, targets: Targets) -> float:
        """TTFT at the targets' percentile of the requests that came; infinite where so many were not served."""
        return _percentile(self.ttft_s[self.came], targets.ttft_percentile_frac)

    def tpot_percentile_s(self, targets: Targets) -> float:
        """TPOT likewise, of the requests with more than one answer token; 0 if there are none."""
        return _percentile(self.tpot_s[self.came & (self.output_tokens > 1)], targets.tpot_percentile_frac)

    def meets(self, targets: Targets) -> bool:
        """Whether both targets hold at their percentiles."""
        return self.ttft_percentile_s(targets) <= targets.ttft_s and self.tpot_percentile_s(targets) <= targets.tpot_s

    def goodput_per_s(self, targets: Targets) -> float:
        """Requests per second that met both targets."""
        return float(self.met(targets).sum()) / self.duration_s

    def cost_usd(self, usd_per_chip_h: float) -> Array:
        """What each request costs, shape (n,): its share of the chip time paid for, idle time included."""
        return self.share_frac * (self.chip_s / 3600 * usd_per_chip_h)

    # -- of all pools together -----------------------------------------------------------------------------------------

    @property
    def settings(self) -> EngineSettings:
        """Of the pool that serves prompts."""
        return self.pools[0].engine.settings

    @property
    def replicas_count(self) -> int:
        """Replicas of all pools."""
        return sum(p.fleet.replicas for p in self.pools)

    @property
    def chips_count(self) -> int:
        """Chips of all pools."""
        return sum(p.chips_count for p in self.pools)

    @property
    def chip_s(self) -> float:
        """Seconds x chips that were paid for."""
        return sum(p.chip_s for p in self.pools)

    @property
    def busy_frac(self) -> float:
        """Share of the chip time that was spent in steps."""
        return sum(p.busy_frac * p.chip_s for p in self.pools) / self.chip_s

    @property
    def most_cache_frac(self) -> float:
        """Largest share of a lane's cache in use."""
        return max(p.most_cache_frac for p in self.pools)

    @property
    def most_sequences_count(self) -> int:
        """Most running sequences of a lane."""
        return max(p.most_sequences_count for p in self.pools)

    @property
    def recomputed_tokens(self) -> int:
        """Tokens computed before and lost."""
        return sum(p.recomputed_tokens for p in self.pools)

    @property
    def steps_count(self) -> int:
        """Steps of all pools."""
        return sum(p.steps_count for p in self.pools)

    @property
    def energy_j(self) -> float:
        """Energy of all pools."""
        return sum(p.energy_j for p in self.pools)


def _percentile(values_s: Array, percentile_frac: float) -> float:
    """A value that occurred, the next one up; what is missing counts as infinite."""
    if len(values_s) == 0:
        return 0.0
    return float(np.quantile(np.where(np.isnan(values_s), np.inf, values_s), percentile_frac, method="higher"))
