"""The answer to a space file: plain records, SI inside, all that a report needs and nothing that it must compute.

Costs per token are of input and output together, owned, at the highest load under the targets; "loaded" ones have the
chip's share of the one-time cost (NRE) in them. Coarse figures are the sweep's, simulated ones a replay's.
"""

from __future__ import annotations

from dataclasses import dataclass

from scoville.facts import Range
from scoville.search.deployed import Deployed


@dataclass(frozen=True, slots=True)
class Setting:
    """One choice of a design: `key` as in a design file, the value as people write it, and in SI (None for a word)."""

    key: str
    words: str
    value: float | None
    measure: str


@dataclass(frozen=True, slots=True)
class Served:
    """What the chip must serve, in a line each, and the share of all tokens."""

    name: str
    traffic: str
    model: str
    precision: str
    targets: str
    weight_frac: float
    mappings: tuple[str, ...]
    batches: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One design under one mapping and batch, as the sweep has it."""

    number: int
    serve: str
    mapping: str
    batch_count: int
    usd_per_token: float
    loaded_usd_per_token: float
    energy_j_per_token: float
    tpot_s: float
    tokens_per_s_per_user: float


@dataclass(frozen=True, slots=True)
class AtSpeed:
    """The least cost, and the least energy, of a token at a speed per user or more; None where nothing is so quick."""

    serve: str
    tokens_per_s_per_user: float
    cheapest: Point | None
    thriftiest: Point | None


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a chip's area, power, cost or yield."""

    name: str
    value: float
    measure: str


@dataclass(frozen=True, slots=True)
class Designed:
    """A design of the space with what it comes to; `points` are its best mapping and batch for each that is served.

    `mix_usd_per_token` is the loaded cost of the mix. `text` is its design file.
    """

    number: int
    name: str
    text: str
    settings: tuple[Setting, ...]
    points: tuple[Point, ...]
    mix_usd_per_token: float
    area: tuple[Share, ...]
    compute_die_mm2: float
    io_die_mm2: float
    tdp_w: float
    unit_usd: float
    unit: tuple[Share, ...]
    nre_usd: float
    nre: tuple[Share, ...]
    volume_count: float


@dataclass(frozen=True, slots=True)
class Slice:
    """The least coarse cost of the mix at one value of one choice, whatever all others are."""

    key: str
    words: str
    value: float | None
    measure: str
    usd_per_token: float
    over_best_frac: float
    number: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """How much one choice moves the cost: the worst of its values over the best, all else at its best for each."""

    key: str
    best: str
    worst: str
    moves_frac: float


@dataclass(frozen=True, slots=True)
class Shift:
    """The optimum when one price or the volume is `factor` times what it is.

    `stays_usd_per_token` is the old optimum's cost then, `usd_per_token` the new one's; `changes` are what the new one
    has otherwise, "slices 64 -> 80".
    """

    what: str
    factor_frac: float
    stays_usd_per_token: float
    usd_per_token: float
    number: int
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Marginal:
    """What a mm2 buys: area given to one block of the optimum, or taken from it, mapping and batch chosen anew.

    `more` and `less` are a step each way: its area on all dies of the package, and the change of the mix's cost. None
    where a limit forbids the step, or nothing can be served, which `forbidden` names. `usd_per_token_per_mm2` is the
    slope of the step that gives area; of the other where that one is forbidden.
    """

    block: str
    step: str
    more_mm2: float | None
    more_usd_per_token: float | None
    less_mm2: float | None
    less_usd_per_token: float | None
    usd_per_token_per_mm2: float | None
    relative_frac: float | None  # change of the cost per 1 % more silicon, over the cost
    forbidden: str


@dataclass(frozen=True, slots=True)
class Regret:
    """What `serve` costs on a chip made for `made_for` ("the mix", or one that is served), coarse and loaded."""

    made_for: str
    serve: str
    number: int
    usd_per_token: float
    over_own_frac: float  # over the chip that is made for it


@dataclass(frozen=True, slots=True)
class Reuse:
    """Two generations served by one design, or by a chip each; cost of a token, half of them of either generation."""

    now: str
    next: str
    number: int
    shared_usd_per_token: float
    apart_usd_per_token: float

    @property
    def saved_frac(self) -> float:
        """What one design for both saves; negative where a chip each is cheaper."""
        return 1 - self.shared_usd_per_token / self.apart_usd_per_token


@dataclass(frozen=True, slots=True)
class Finalist:
    """A design through the full timer and the simulator, beside what the sweep said of it.

    `off_frac` is the simulated cost of the mix over the coarse one, less 1. `refusal` says why it has none.
    """

    designed: Designed
    deployed: tuple[Deployed, ...]
    mix: Range | None
    coarse_usd_per_token: float
    off_frac: float | None
    refusal: str


@dataclass(frozen=True, slots=True)
class Bought:
    """A chip to beat, under the same loads, targets and economics; `mix` is None where it cannot serve one of them."""

    accelerator: str
    name: str
    deployed: tuple[Deployed, ...]
    mix: Range | None
    refusal: str
    reference: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """What the supply allows of the best design: how many packages, and what bounds them ("" for nothing)."""

    wanted_count: float
    allowed_count: float
    by: str
    words: str


@dataclass(frozen=True, slots=True)
class Answer:
    """All of it. `fronts` are exact, of all points under the limits; `finalists` are in order of simulated cost."""

    title: str
    space_file: str
    scoville_version: str
    served: tuple[Served, ...]
    designs_count: int
    points_count: int
    feasible_count: int
    broken: tuple[tuple[str, int], ...]
    vintage: str
    owner: str
    start: str
    volume_count: float
    samples_count: int
    seed: int
    best: Designed
    fronts: tuple[Point, ...]
    at_speed: tuple[AtSpeed, ...]
    slices: tuple[Slice, ...]
    parameters: tuple[Parameter, ...]
    shifts: tuple[Shift, ...]
    marginals: tuple[Marginal, ...]
    regrets: tuple[Regret, ...]
    reuse: tuple[Reuse, ...]
    finalists: tuple[Finalist, ...]
    bought: tuple[Bought, ...]
    supply: Bound
    findings: tuple[str, ...]
    approximations: tuple[str, ...]
