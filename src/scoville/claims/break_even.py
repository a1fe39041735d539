"""Break-even of the reference chip against owned and rented GB300: the derived figures repeated, then one input after
the other replaced by the model's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.claims.bench import Bench
from scoville.claims.evaluation import asked, word
from scoville.claims.reading import claim_of
from scoville.claims.throughput import peak_of, power
from scoville.economics import HourlyCost, OwnershipTerms, owned, rented
from scoville.economics.break_even import break_even_chips, yearly_saving
from scoville.economics.terms import Owner
from scoville.errors import FactError
from scoville.facts import Draws, Fact, Facts, Range
from scoville.silicon.design import read_design
from scoville.silicon.program import program

Array = NDArray[np.float64]

_SUBJECT = "jalapeno-break-even"
_CLAIM = "claim-r1-throughput-per-power"
_VINTAGE = "2026-09"
_OWNER: Owner = "hyperscaler"
_START = "2024-10"  # when the programme's concept was begun; the one-time cost does not depend on it


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Chips that earn a programme back against one way to have a rival's.

    relative          tokens/s of the chip over the rival's
    chips             at the least, the central and the highest one-time cost: p10 and p90 are these, no percentiles
    never_frac        share of the samples in which nothing is saved, 0 or 1 of published figures
    derived           the published figure that it repeats, if any
    """

    what: str
    relative: Range
    own: Range
    other: Range
    saving: Range
    chips: Range
    never_frac: float
    derived: Fact | None = None

    @property
    def error_frac(self) -> float | None:
        """Central chips over the derived ones, less 1."""
        return None if self.derived is None else self.chips.central / self.derived.number - 1


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """Speed ratio, own hour and rival's hour, each (n,), the first sample central."""

    relative_frac: Array
    own_usd_per_h: Array
    other_usd_per_h: Array


def derived(facts: Facts) -> tuple[BreakEven, ...]:
    """The published derivation: claimed throughput, published hours, all hours of all years paid.

    19,641 x 0.7 / (11,781 x 1.4) = 0.834 of a GB300's tokens/s; (0.834 x 2.31 - 1.27) x 8,760 = 5,743 USD a year and
    chip; 0.75e9 / (4 x 5,743) = 32,600 chips.
    """
    relative = claimed_frac(facts)
    own, other = (_published(facts, chip) for chip in _chips(facts))
    rent = facts.get(_chips(facts)[1], "rent_3yr", vintage=_VINTAGE).number
    share = facts.get(_SUBJECT, "share").number
    cases = (
        ("owned GB300, as claimed", relative, other, "against_owned"),
        (f"owned GB300, {share:g} of the claim", relative * share, other, "against_owned_at_share"),
        ("rented GB300, as claimed", relative, rent, "against_rented"),
    )
    return tuple(
        _case(what, facts, _Inputs(np.array([r]), np.array([own]), np.array([hour])), _nre(facts), name)
        for what, r, hour, name in cases
    )


def bridge(facts: Facts, *, samples: int = 200, seed: int = 1) -> tuple[BreakEven, ...]:
    """From the derived figure to the model's own, against an owned GB300 and a rented one: first the claimed ratio of
    speeds is replaced by the modelled one, then published hours by those reckoned from price, power and facility, then
    the assumed one-time cost by that of the chip's process.

    P10 to P90 of inputs and saving over all samples, drivers shared; chips at three one-time costs and central inputs.
    """
    bench = Bench(facts, samples, seed)
    claim = claim_of(facts, _CLAIM)
    chip, rival = _chips(facts)
    what = asked(claim, word(claim, "model"))
    mine, its = (peak_of(bench, name, "", what) for name in (chip, rival))
    speed = np.concatenate([[mine.tokens_per_s / its.tokens_per_s], mine.drawn_tokens_per_s / its.drawn_tokens_per_s])
    n = len(speed)

    def same(value: float) -> Array:
        return np.full(n, value)

    drawn = program(read_design(chip), facts, bench.draws, start=_START).nre_usd
    low, high = np.percentile(drawn, (10, 90))
    central = float(program(read_design(chip), facts, start=_START).nre_usd)
    own_nre = Range(float(low), central, float(high), "usd")
    own, published = _hours(bench, chip, "own"), same(_published(facts, chip))
    found = []
    share = facts.get(_SUBJECT, "share").number
    for tenure, part, name in (
        ("own", 1.0, "owned GB300"),
        ("own", share, f"owned GB300, {share:g} of the speed"),
        ("rent", 1.0, "rented GB300"),
    ):
        hours = _hours(bench, rival, tenure)
        said = same(_published(facts, rival) if tenure == "own" else float(hours[0]))
        for step, inputs, nre in (
            ("published", _Inputs(part * same(claimed_frac(facts)), published, said), _nre(facts)),
            ("modelled speed", _Inputs(part * speed, published, said), _nre(facts)),
            ("and hours", _Inputs(part * speed, own, hours), _nre(facts)),
            ("and one-time cost", _Inputs(part * speed, own, hours), own_nre),
        ):
            found.append(_case(f"{name}: {step}", facts, inputs, nre))
    return tuple(found)


def claimed_frac(facts: Facts) -> float:
    """Tokens/s of a chip over a rival's, as claimed: rates per kW of package TDP times TDP."""
    claim = claim_of(facts, _CLAIM)
    if claim.baseline is None:
        raise FactError(f"{_CLAIM} has no baseline; add it with --facts my.toml")
    bench = Bench(facts, 1, 0)
    own, other = (power(bench, chip, "tdp").number for chip in _chips(facts))
    return claim.claimed.number * own / (claim.baseline.number * other)


def _case(what: str, facts: Facts, i: _Inputs, nre: Range, name: str = "") -> BreakEven:
    saving = yearly_saving(i.own_usd_per_h, i.other_usd_per_h, i.relative_frac)
    life = facts.get(_SUBJECT, "life").number
    costs = np.array([nre.p10, nre.central, nre.p90])
    chips = break_even_chips(costs, saving[0], life)
    drawn = saving[1:] if len(saving) > 1 else saving

    def ranged(values: Array, measure: str) -> Range:
        return Range.of(float(values[0]), values[1:] if len(values) > 1 else values, measure)

    return BreakEven(
        what,
        ranged(i.relative_frac, "frac"),
        ranged(i.own_usd_per_h, "usd_per_h"),
        ranged(i.other_usd_per_h, "usd_per_h"),
        ranged(saving, "usd"),
        Range(float(chips[0]), float(chips[1]), float(chips[2]), "count"),
        float(np.mean(drawn <= 0)),
        facts.get(_SUBJECT, name) if name else None,
    )


def _chips(facts: Facts) -> tuple[str, str]:
    claim = claim_of(facts, _CLAIM)
    return word(claim, "chip"), word(claim, "rival")


def _nre(facts: Facts) -> Range:
    nre = facts.get(_SUBJECT, "nre")
    return Range(nre.low, nre.number, nre.high, "usd")


def _published(facts: Facts, chip: str) -> float:
    return facts.get(chip, "own_hourly", vintage=_VINTAGE, owner=_OWNER).number


def _hours(bench: Bench, chip: str, tenure: str) -> Array:
    """USD per hour at central values, then by sample. Raises FactError where the chip is not to be had."""
    accelerator, found = bench.facts.accelerator(chip), []
    for draws in (Draws.central(), bench.draws):
        hour = (
            owned(accelerator, bench.facts, draws, OwnershipTerms(_OWNER, _VINTAGE))
            if tenure == "own"
            else rented(accelerator, draws, vintage=_VINTAGE)
        )
        if not isinstance(hour, HourlyCost):
            raise FactError(f"{chip}: {hour.reason}; add a price with --facts my.toml")
        found.append(hour.total_usd_per_h)
    return np.concatenate(found)
