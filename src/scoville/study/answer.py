"""The answer to a study: plain records, SI inside, all that a report or a machine needs and nothing it must compute."""

from __future__ import annotations

from dataclasses import dataclass

from scoville.facts import Range


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens cost on one chip under one tenure; cached input is None where the traffic has none.

    `steady_usd_per_token` is the central price of all tokens by the steady-state estimate alone, with the deployment
    and the fleet that it picks.
    """

    tenure: str  # "rent" or "own"
    basis: str
    hourly: Range  # usd_per_h per chip
    input: Range  # usd_per_token
    cached_input: Range | None
    output: Range
    all: Range
    cheapest_frac: float  # share of samples in which this is the cheapest of all rows of its tenure
    notes: tuple[str, ...]
    steady_usd_per_token: float | None = None
    date: str = ""  # YYYY-MM or YYYY of the price that the hourly cost rests on
    facts: tuple[str, ...] = ()  # keys of the facts behind the hourly cost; `Answer.sources` has them


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the simulator found for one replica: the highest load at which the trace's own arrivals meet both targets.

    `steady_tokens_per_s_per_chip` is that load by the steady-state estimate, `random_tokens_per_s_per_chip` the one
    that the simulator finds for the same requests at random times: between steady and random lies the estimate's
    error, between random and real what the trace's rushes and lulls take. `batch_count` (mean sequences in decode),
    speed and latencies, at the targets' percentiles, are those of the replay at the load found; `preempted_frac` is the
    share of its requests that were preempted, `most_cache_frac` the fullest that the cache was. `off_target` names the
    target that stops a higher load. `cached_frac` is the share of prompt tokens that a prefix cache of the replica's
    size had, `unlimited_cached_frac` that of one without limit, as the estimate has it; None without a prefix cache.
    """

    requests: str  # which of the trace's
    requests_count: int
    steady_batch_count: int
    steady_tokens_per_s_per_chip: float
    random_tokens_per_s_per_chip: float
    tokens_per_s_per_chip: float
    tokens_per_s_per_user: float
    batch_count: float
    ttft_percentile_s: float
    tpot_percentile_s: float
    preempted_frac: float
    most_cache_frac: float
    off_target: str  # "TTFT" or "TPOT"
    cached_frac: float | None = None
    unlimited_cached_frac: float | None = None

    @property
    def of_steady_frac(self) -> float:
        """The load that the replay finds over the steady state's."""
        return self.tokens_per_s_per_chip / self.steady_tokens_per_s_per_chip

    @property
    def random_of_steady_frac(self) -> float:
        """The load that the replay finds for the same requests at random times, over the steady state's."""
        return self.random_tokens_per_s_per_chip / self.steady_tokens_per_s_per_chip


@dataclass(frozen=True, slots=True)
class Row:
    """One accelerator: the best deployment that meets the targets, or why there is none (`refusal`).

    Where it was `replayed`, load, speed, latencies, batch, fleet and costs are those of the replay: the samples keep
    their spread and are scaled by what the replay found at the central values. Else all is the steady-state estimate,
    and `not_replayed` says why. Energy per token and the proportion of input to output price are always the estimate's.
    """

    accelerator: str
    name: str
    vendor: str
    evidence: str  # measured | related | unmeasured | claimed: how well its timing is known
    refusal: str = ""
    parallelism: str = ""
    chips_per_replica_count: int = 0
    batch_count: int = 0
    computes_in: str = ""
    tokens_per_s_per_chip: Range | None = None
    output_tokens_per_s_per_chip: Range | None = None
    tokens_per_s_per_user: Range | None = None
    ttft: Range | None = None
    tpot: Range | None = None
    chips: Range | None = None
    power: Range | None = None
    energy_per_token: Range | None = None
    limit: str = ""  # what stops a larger batch: memory capacity, a latency target, ...; else the busiest resource
    busiest: str = ""  # compute | memory bandwidth | link | overhead: takes most of a step
    meets_targets_frac: float = 0.0
    rent: Price | None = None
    own: Price | None = None
    not_rented: str = ""
    not_owned: str = ""
    replayed: Replayed | None = None
    not_replayed: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A batch size of a chip's best deployment at that speed: what speed per user costs."""

    accelerator: str
    parallelism: str
    batch_count: int
    tokens_per_s_per_user: float
    tokens_per_s_per_chip: float
    own_usd_per_token: float | None
    rent_usd_per_token: float | None
    meets_targets: bool
    on_front: bool


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the margin waterfall, USD per token (input and output together)."""

    name: str
    cost: Range


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Who gets what of a token served on a bought chip; the layers' central values sum to `total.central`."""

    accelerator: str
    layers: tuple[Layer, ...]
    total: Range
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Driver:
    """One uncertain input, and how much the answer hangs on it.

    `variance_share_frac` is the squared rank correlation of its draws with the outcome. `at_low` and `at_high` are the
    mean outcome where the driver is in its lowest and highest tenth.
    """

    name: str
    label: str
    variance_share_frac: float
    at_low: float
    at_high: float
    measure: str


@dataclass(frozen=True, slots=True)
class OperatorPoint:
    """One operator of the chosen deployment on the roofline of its chip."""

    accelerator: str
    phase: str  # "decode" or "prefill"
    operator: str
    kind: str
    rate: str
    flop_per_byte: float
    achieved_flop_per_s: float
    time_frac: float  # share of the step
    limit: str


@dataclass(frozen=True, slots=True)
class Roof:
    """The roofline of a chip: slope and ceilings."""

    accelerator: str
    memory_bytes_per_s: float
    peak_flop_per_s: dict[str, float]  # by format, e.g. {"fp8": 1.979e15, "bf16": 9.89e14}


@dataclass(frozen=True, slots=True)
class Source:
    """One fact that the answer used."""

    key: str
    value: str
    low: str
    high: str
    kind: str
    as_of: str
    source: str
    note: str
    user: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """All of it. `rows` are in the order of the study; `cheapest_rent`, `cheapest_own` name accelerators or are ''."""

    title: str
    study_file: str
    scoville_version: str
    traffic: str  # one line: name, requests, mean lengths, source
    demand_tokens_per_s: float
    peak_to_average_frac: float
    model: str  # one line: name, parameters, cache per token
    precision: str
    targets: str
    ttft_target_s: float
    tpot_target_s: float
    percentile_ttft_frac: float
    percentile_tpot_frac: float
    vintage: str
    owner: str
    samples_count: int
    seed: int
    rows: tuple[Row, ...]
    cheapest_rent: str
    cheapest_own: str
    findings: tuple[str, ...]  # sentences: the cheapest choice, by how much, how sure
    pareto: tuple[ParetoPoint, ...]
    waterfall: Waterfall | None
    drivers: tuple[Driver, ...]
    driver_outcome: str  # what the drivers drive, e.g. "owned USD per million tokens on B200"
    operators: tuple[OperatorPoint, ...]
    roofs: tuple[Roof, ...]
    approximations: tuple[str, ...]
    sources: tuple[Source, ...]
    user_facts: tuple[str, ...]
