"""What every quantity gives, and how it reads a claim's settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.claims.bench import Timed
from scoville.claims.records import Claim, Line, Need
from scoville.claims.served import Asked
from scoville.errors import FactError
from scoville.facts import Fact, Range
from scoville.timing import Chips

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """Lines, needs, the deployments that were chosen, remarks."""

    lines: tuple[Line, ...]
    needs: tuple[Need, ...] = ()
    chosen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Modelled:
    """A figure at central values and by sample, (n,), in one measure."""

    central: float
    samples: Array
    measure: str

    def over(self, other: Modelled, measure: str) -> Modelled:
        """The quotient, sample by sample."""
        return Modelled(self.central / other.central, self.samples / other.samples, measure)

    @property
    def range(self) -> Range:
        """Central with P10 and P90."""
        return Range.of(self.central, self.samples, self.measure)


def setting(claim: Claim, name: str) -> Fact:
    """A setting that the quantity cannot do without. Raises FactError naming the claim and the setting."""
    if name not in claim.settings:
        raise FactError(
            f"{claim.claimed.place}: a claim of quantity '{claim.text('quantity')}' needs [{claim.id}.{name}]; "
            f"docs/claims.md says what each quantity reads"
        )
    return claim.settings[name]


def word(claim: Claim, name: str) -> str:
    """The same, as text."""
    return str(setting(claim, name).value)


def words(claim: Claim, name: str) -> list[str]:
    """The same, texts with commas between them."""
    return [w.strip() for w in word(claim, name).split(",")]


def asked(claim: Claim, model: str) -> Asked:
    """What the claim's basis has served."""
    tokens = (round(setting(claim, name).number) for name in ("input", "output"))
    return Asked(model, word(claim, "formats"), *tokens)


def stated(figure: Range, times: float = 1.0) -> Range:
    """A claimed figure on another basis."""
    return Range(figure.p10 * times, figure.central * times, figure.p90 * times, figure.measure)


def exactly(value: float, measure: str) -> Range:
    """A figure without a range."""
    return Range(value, value, value, measure)


def steppings(timed: Timed, unit: str, measure: str, figure: Callable[[Chips], float]) -> list[Line]:
    """A line for each stepping at central figures; none where only one is known."""
    if len(timed.steppings) == 1:
        return []
    newest, oldest = timed.steppings
    return [
        Line(f"{timed.name} {words_}", unit, measure, None, exactly(figure(stepping.chips), measure))
        for stepping, words_ in (
            (newest, f"if {newest.name}, whose peaks these are"),
            (oldest, f"if {oldest.name}, all of {newest.name}'s gain being speed"),
        )
    ]
