"""What an audit holds: the claim, its figures beside the model's, the needs, the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scoville.facts import Fact, Range

Sense = Literal["at least", "at most", "about"]
Verdict = Literal["plausible", "plausible only if", "contradicted by", "not checkable because"]
VERDICTS: tuple[Verdict, ...] = ("plausible", "plausible only if", "contradicted by", "not checkable because")


@dataclass(frozen=True)
class Claim:
    """A published claim. `settings` is how it is checked, by name: chip, quantity, rival, model and so on."""

    id: str
    name: str
    claimant: str
    against: str
    basis: str
    claimed: Fact
    baseline: Fact | None
    sense: Sense
    settings: Mapping[str, Fact]

    def text(self, name: str) -> str:
        """A setting in words; "" where the claim has none of that name."""
        fact = self.settings.get(name)
        return str(fact.value) if fact else ""

    @property
    def figure(self) -> Range:
        """The claimed figure with the ends that the claim itself gives."""
        return as_range(self.claimed)


def as_range(fact: Fact) -> Range:
    """A stated figure: its own low and high as the ends, the figure itself where it has none of its own."""
    low, high = (fact.number, fact.number) if fact.range_is_default else (fact.low, fact.high)
    return Range(low, fact.number, high, fact.measure)


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a claim: claimed, modelled by the chip's own timer, by the roofline, and at the limit, all in
    `measure`, printed in `unit`.

    `limit` is what no implementation passes: peak rates, nothing lost to kernels, links or the engine; NaN where there
    is none. `bare` is modelled by the own timer with a step that is one kernel: no launches, no overhead of the engine.
    `decides` says that the verdict hangs on the line, in the claim's sense.
    """

    what: str
    unit: str
    measure: str
    claimed: Range | None = None
    modelled: Range | None = None
    roofline: Range | None = None
    limit: float = float("nan")
    decides: bool = False
    bare: Range | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """A parameter at which the model meets the claim, in `measure`, printed in `unit`, all others left as they are.

    `usual` is what the model takes, `bound` what physics allows at best; `needed` is NaN where no value of this
    parameter meets the claim. `text` names it for a sentence, `beside` what has to be at its bound besides.
    """

    text: str
    unit: str
    measure: str
    usual: float
    needed: float
    bound: float
    possible: bool
    beside: str = ""


@dataclass(frozen=True)
class Audit:
    """A claim, audited. `because` ends the verdict's sentence; `chosen` says which deployments were timed."""

    claim: Claim
    lines: tuple[Line, ...]
    needs: tuple[Need, ...]
    verdict: Verdict
    because: str
    chosen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All audits of a chip's claims, with what they rest on."""

    chip: str
    name: str
    samples_count: int
    seed: int
    audits: tuple[Audit, ...]
    assumptions: tuple[str, ...]
