"""The answer to a question of owning: what the tables, the page and the JSON file are made from."""

from __future__ import annotations

from dataclasses import dataclass

from scoville.facts import Range


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One option: what it is worth, against the first one, and what it takes.

    `npv` is of costs after tax, so negative; its range is P10 to P90 and its mean has every chance in it, a stopped
    chip too. `per_token` is the present value of costs over that of tokens. `against` is the difference of NPV from the
    first option. `pays_back` is the quarter from which it is ahead for good ("" for never or not asked). `rates_frac`
    are all internal rates of return of the difference. `overtakes` is the quarter in which serving has cost more than
    training.
    """

    name: str
    kind: str
    npv: Range
    mean_npv_usd: float
    per_token: Range
    against: Range
    cheapest_frac: float
    pays_back: str
    rates_frac: tuple[float, ...]
    peak_chips_count: float
    peak_owned_count: float
    most_power_w: float
    idle_frac: float
    overtakes: str


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Of a built chip against another option, on central values; NaN and a reason where there is none.

    `demand_tokens_per_s` is the first quarter's mean, of the last quarter `final_tokens_per_s`; `chips_count` the most
    of the own chips in service; `claim_frac` the share of what is said of the chip that must hold.
    """

    option: str
    against: str
    demand_tokens_per_s: float
    final_tokens_per_s: float
    chips_count: float
    volume_note: str
    claim_frac: float
    claim_note: str


@dataclass(frozen=True, slots=True)
class Regret:
    """One scenario: NPV of each option, and how much more each costs than the best of them; by option, same order."""

    scenario: str
    npv_usd: tuple[float, ...]
    regret_usd: tuple[float, ...]
    best: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rights to stop and to wait are worth of a built chip against another option; see `economics.lattice`."""

    option: str
    against: str
    saving_usd: float
    committed_usd: float
    stopping_usd: float
    waiting_usd: float
    abandonment_usd: float
    deferral_usd: float


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who gets what of an option's present value before taxes and resale."""

    option: str
    receiver: str
    usd: float
    share_frac: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an option's flows on central values: its present value, and what is paid (negative) by quarter."""

    option: str
    line: str
    present_usd: float
    quarters_usd: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """What share of another option's cost building saves, over the volume or over the share of the claim that holds.

    `x` is in `measure`: "tokens_per_s" (mean of the first quarter) or "frac".
    """

    option: str
    against: str
    measure: str
    x: tuple[float, ...]
    saving: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Chip:
    """What one chip serves: its range, and how it was found."""

    name: str
    tokens: Range
    basis: str


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """Everything; `quarters` are labels, `demand_tokens_per_s` the mean of each on central values."""

    title: str
    study_file: str
    scoville_version: str
    owner: str
    quarters: tuple[str, ...]
    demand_tokens_per_s: tuple[float, ...]
    samples_count: int
    seed: int
    chips: tuple[Chip, ...]
    options: tuple[OptionRow, ...]
    lines: tuple[Line, ...]
    break_even: tuple[BreakEven, ...]
    curves: tuple[Curve, ...]
    regret: tuple[Regret, ...]
    least_regret: str
    choices: tuple[Choice, ...]
    receivers: tuple[Receiver, ...]
    schedule: tuple[str, ...]
    findings: tuple[str, ...]
    assumptions: tuple[str, ...]
