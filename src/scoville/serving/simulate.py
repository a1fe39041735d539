"""Replay a trace on replicas of one deployment, and say what every request saw. The rules are in docs/simulator.md."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.errors import DeploymentError
from scoville.facts import Accelerator, Draws, Facts
from scoville.serving.costs import TICKS_PER_S, StepCosts, compile_costs
from scoville.serving.settings import EngineSettings
from scoville.serving.steady import Targets
from scoville.timing import cache_room_bytes, chips
from scoville.traffic import Trace
from scoville.transformer.operators import OperatorTable
from scoville.units import show

Ints = NDArray[np.int64]
Array = NDArray[np.float64]
_BINS = 400
LONGEST_S = (2**63 - 1) // TICKS_PER_S - 1


@dataclass(frozen=True, eq=False)
class Replay:
    """What every request saw, arrays of shape (n,) in the order of the trace, and what the replicas did.

    queue_s   arrival to first scheduled; ttft_s to the first token; end_s to the last, all from arrival
    tpot_s    mean time per answer token after the first (0 for single-token answers)
    max_gap_s   largest time between two tokens (0 for single-token answers)
    gap_s, gap_count   upper edges of the bins of all gaps between tokens, and how many fall in each
    timeline_s, timeline_sequences_count, timeline_cache_frac   ends of the time bins; mean running sequences and share
    of cache blocks in use per replica
    """

    settings: EngineSettings
    replicas_count: int
    chips_count: int
    cache_blocks_count: int
    arrival_s: Array
    queue_s: Array
    ttft_s: Array
    tpot_s: Array
    max_gap_s: Array
    end_s: Array
    preemptions_count: Ints
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    gap_s: Array
    gap_count: Ints
    timeline_s: Array
    timeline_sequences_count: Array
    timeline_cache_frac: Array
    steps_count: int
    leaps_count: int
    busy_frac: float
    duration_s: float
    most_sequences_count: int
    most_cache_frac: float
    recomputed_tokens: int
    energy_j: float

    def __len__(self) -> int:
        return len(self.ttft_s)

    @property
    def tokens_per_s(self) -> float:
        """Input and output tokens of all requests over the whole run."""
        total = int(self.input_tokens.sum(dtype=np.int64)) + int(self.output_tokens.sum(dtype=np.int64))
        return total / self.duration_s

    def met(self, targets: Targets) -> NDArray[np.bool_]:
        """Which requests met both targets."""
        return np.asarray((self.ttft_s <= targets.ttft_s) & (self.tpot_s <= targets.tpot_s))

    def meets(self, targets: Targets) -> bool:
        """Whether both targets hold at their percentiles, each over all requests."""
        return bool(
            np.quantile(self.ttft_s, targets.ttft_percentile_frac, method="higher") <= targets.ttft_s
            and np.quantile(self.tpot_s, targets.tpot_percentile_frac, method="higher") <= targets.tpot_s
        )

    def goodput_per_s(self, targets: Targets) -> float:
        """Requests per second that met both targets."""
        return float(self.met(targets).sum()) / self.duration_s


@dataclass(frozen=True, eq=False)
class Engine:
    """One replica ready to replay: compiled step costs, settings, cache size."""

    costs: StepCosts
    settings: EngineSettings
    cache_blocks: int
    chips_count: int


def engine(accelerator: Accelerator, facts: Facts, table: OperatorTable, settings: EngineSettings) -> Engine:
    """Compile a deployment at the facts' central values. Raises DeploymentError if no room is left for a cache."""
    on = chips(accelerator, facts, Draws.central())
    p = table.parallelism
    if p.pipeline > 1 or p.attention_data > 1:
        raise DeploymentError(
            f"{p}: the simulator replays tensor and expert parallelism only; use a sharding without PP and DP"
        )
    costs = compile_costs(table, on, settings)
    room = float(cache_room_bytes(table, on)[0])
    name = table.architecture.name
    if room <= 0:
        raise DeploymentError(
            f"{name} does not fit on {table.parallelism} x {accelerator.name}: "
            f"{show(table.resident_bytes, 'bytes')} of weights per chip; use more chips or a narrower format"
        )
    if table.cache_bytes_per_sequence_bytes:
        raise DeploymentError(f"{name}: the simulator does not replay linear attention yet; use predict or study")
    # A block holds its tokens for every layer; windowed ones too, as paged engines without a hybrid cache do.
    per_block = settings.block_tokens * sum(table.cache_bytes_per_token.values())
    blocks = settings.cache_blocks if settings.cache_blocks is not None else int(room // per_block)
    if blocks < 1:
        raise DeploymentError(f"{name} on {table.parallelism} x {accelerator.name}: no cache block fits")
    return Engine(costs, settings, blocks, table.parallelism.chips)


def simulate(trace: Trace, one: Engine, replicas: int, *, leap: bool = True, threads: int | None = None) -> Replay:
    """Replay `trace` on `replicas` equal engines, round robin. The result does not depend on `threads`.

    `leap = False` takes every step by itself (slower, the same result). Raises DeploymentError before the run for a
    request that can never fit.
    """
    from scoville.serving import kernel

    if replicas < 1:
        raise DeploymentError(f"replicas is {replicas}; expected an integer >= 1")
    settings = one.settings
    prompt, output = trace.input_tokens.astype(np.int64), trace.output_tokens.astype(np.int64)
    longest = int(np.argmax(prompt + output))
    capacity_tokens = one.cache_blocks * settings.block_tokens
    if -(-int(prompt[longest] + output[longest]) // settings.block_tokens) > one.cache_blocks:
        raise DeploymentError(
            f"request {longest} of {trace.name} has {prompt[longest]:,} prompt and {output[longest]:,} answer tokens; "
            f"the cache of a replica holds {capacity_tokens:,}; use more chips per replica or a narrower cache format"
        )
    too_long = (
        f"{trace.name}: the replay takes more than {LONGEST_S / 86400:.3g} days, the most that the simulator's clock "
        f"counts; use a shorter trace, or more replicas if they can't keep up"
    )
    if trace.duration_s > LONGEST_S:
        raise DeploymentError(too_long)
    start = trace.arrival_s[0]
    arrival = np.round((trace.arrival_s - start) * TICKS_PER_S).astype(np.int64)
    n = len(trace)
    scheduled, first, finish = (np.full(n, -1, np.int64) for _ in range(3))
    gap, preempted = np.zeros(n, np.int64), np.zeros(n, np.int64)
    bin_ticks = max(int(arrival[-1]) // (_BINS - 20), TICKS_PER_S // 100)
    windows = np.array([-1 if w is None else w for w in one.costs.windows], np.int64)
    watermark = int(settings.watermark_frac * one.cache_blocks)

    def run(k: int) -> tuple[int, list[Ints], Ints, Array, Ints, float]:
        mine = slice(k, None, replicas)
        a, p, o = (np.ascontiguousarray(x[mine]) for x in (arrival, prompt, output))
        own = [np.full(len(a), -1, np.int64) for _ in range(3)] + [np.zeros(len(a), np.int64) for _ in range(2)]
        histogram, timeline = np.zeros(kernel.HISTOGRAM_BINS, np.int64), np.zeros((2, _BINS))
        totals = np.zeros(10, np.int64)
        c = one.costs
        joules = 0.0
        if len(a):
            joules = kernel.replay(
                a, p, o, settings.token_budget, settings.max_sequences, settings.block_tokens, one.cache_blocks,
                watermark, settings.reservation == "full", settings.policy == "prefill_first", leap,
                c.base, c.head, c.fixed, c.compute, c.memory, c.uses, c.cap_base, c.cap_head, c.cap, windows,
                np.ascontiguousarray(c.work_base[:, 0]), float(c.work_head[0]), np.ascontiguousarray(c.work_v[:, 0]),
                own[0], own[1], own[2], own[3], own[4], histogram, timeline, bin_ticks, totals,
            )  # fmt: skip
        return k, own, histogram, timeline, totals, joules

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(run, range(replicas)))
    for k, own, *_ in results:
        mine = slice(k, None, replicas)
        for target, values in zip((scheduled, first, finish, gap, preempted), own, strict=True):
            target[mine] = values
    if any(r[5] < 0 for r in results):
        raise DeploymentError(too_long)
    totals = np.stack([r[4] for r in results])
    timeline = np.sum([r[3] for r in results], axis=0)
    end = int(totals[:, kernel.END].max())
    used = min(_BINS, -(-end // bin_ticks))
    ends = np.minimum(np.arange(1.0, _BINS + 1) * bin_ticks, end)
    if used == _BINS:
        ends[-1] = end
    widths = np.diff(np.concatenate([[0.0], ends]))[:used] * replicas
    seconds = 1 / TICKS_PER_S
    answers = np.maximum(output - 1, 1)
    return Replay(
        settings=settings,
        replicas_count=replicas,
        chips_count=replicas * one.chips_count,
        cache_blocks_count=one.cache_blocks,
        arrival_s=trace.arrival_s,
        queue_s=(scheduled - arrival) * seconds,
        ttft_s=(first - arrival) * seconds,
        tpot_s=(finish - first) / answers * seconds,
        max_gap_s=np.asarray(gap * seconds),
        end_s=(finish - arrival) * seconds,
        preemptions_count=preempted,
        input_tokens=trace.input_tokens,
        output_tokens=trace.output_tokens,
        gap_s=np.array([float(kernel.bin_end.py_func(i)) for i in range(kernel.HISTOGRAM_BINS)]) * seconds,
        gap_count=np.sum([r[2] for r in results], axis=0),
        timeline_s=ends[:used] * seconds,
        timeline_sequences_count=timeline[0, :used] / widths,
        timeline_cache_frac=timeline[1, :used] / widths / one.cache_blocks,
        steps_count=int(totals[:, kernel.STEPS].sum()),
        leaps_count=int(totals[:, kernel.LEAPS].sum()),
        busy_frac=float(totals[:, kernel.BUSY].sum()) / (end * replicas),
        duration_s=end * seconds,
        most_sequences_count=int(totals[:, kernel.MOST_SEQUENCES].max()),
        most_cache_frac=float(totals[:, kernel.MOST_BLOCKS].max()) / one.cache_blocks,
        recomputed_tokens=int(totals[:, kernel.RECOMPUTED].sum()),
        energy_j=float(sum(r[5] for r in results)) + one.costs.idle_w * end * seconds * replicas,
    )


def capacity(
    trace: Trace, one: Engine, replicas: int, targets: Targets, *, tolerance_frac: float = 0.01
) -> tuple[float, Replay]:
    """The highest load, as a multiple of the trace's own rate, at which both targets hold; and the replay there.

    Arrivals are compressed in time, their pattern stays. Bisection to `tolerance_frac`. Raises DeploymentError where
    even a hundredth of the load misses the targets, or where no load does.
    """

    def at(factor: float) -> Replay:
        return simulate(trace.stretched(1 / factor), one, replicas)

    low, high, best = 0.0, 1.0, at(1.0)
    if best.meets(targets):
        while True:
            low, high = high, high * 2
            tried = at(high)
            if not tried.meets(targets):
                break
            if high > 1e6:
                raise DeploymentError(
                    f"{trace.name}: {replicas} replicas meet the targets however fast its {len(trace)} requests come; "
                    f"only a longer trace or tighter targets show a limit"
                )
            best = tried
    else:
        low = 1.0
        while True:
            high, low = low, low / 2
            best = at(low)
            if best.meets(targets):
                break
            if low < 0.01:
                miss = "1 replica misses" if replicas == 1 else f"{replicas} replicas miss"
                raise DeploymentError(
                    f"{trace.name}: {miss} the targets even at a hundredth of its load; add replicas, or chips per "
                    f"replica, or relax the targets"
                )
    while high / low > 1 + tolerance_frac:
        middle = (low * high) ** 0.5
        tried = at(middle)
        if tried.meets(targets):
            low, best = middle, tried
        else:
            high = middle
    return low, best
