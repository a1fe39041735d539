"""Claims as the facts hold them."""

from __future__ import annotations

from typing import get_args

from scoville.claims.records import Claim, Sense
from scoville.errors import FactError
from scoville.facts import Fact, Facts

_NEEDED = ("claimed", "claimant", "against", "basis")


def claims(facts: Facts, chip: str) -> tuple[Claim, ...]:
    """The claims about a chip in the order of their files, those with a quantity to compute first.

    Raises FactError for an unknown chip, one about which nothing is claimed, or a claim without what it needs.
    """
    accelerator = facts.accelerator(chip)
    about = [s for s in facts.subjects("claim") if (f := facts.find(s, "chip")) and f.value == accelerator.id]
    if not about:
        others = sorted({str(f.value) for s in facts.subjects("claim") if (f := facts.find(s, "chip"))})
        raise FactError(
            f"no claim about {accelerator.id} is known; there are claims about {', '.join(others)}, and --facts adds "
            f"your own: a subject of category 'claim' whose `chip` is {accelerator.id}"
        )
    found = [claim_of(facts, subject) for subject in about]
    return tuple(sorted(found, key=lambda c: ("quantity" not in c.settings, _place(c))))


def _place(claim: Claim) -> tuple[str, int]:
    """File and line of the claimed figure, from "facts/claims.toml:12: [...]"."""
    file, line, *_ = (*claim.claimed.place.split(":"), "0")
    return file, int(line) if line.isdigit() else 0


def claim_of(facts: Facts, subject: str) -> Claim:
    """One claim by its id. Raises FactError for one without what every claim needs."""
    about = facts.of(subject)
    known: dict[str, Fact] = {f.name: f for f in about}
    missing = [name for name in _NEEDED if name not in known]
    if missing:
        raise FactError(f"{about[0].place}: the claim has no '{missing[0]}'; every claim has {', '.join(_NEEDED)}")
    sense = str(known["sense"].value) if "sense" in known else "about"
    if sense not in get_args(Sense):
        raise FactError(f"{known['sense'].place}: sense is '{sense}'; allowed: {', '.join(get_args(Sense))}")
    return Claim(
        id=subject,
        name=facts.subject(subject).name,
        claimant=str(known["claimant"].value),
        against=str(known["against"].value),
        basis=str(known["basis"].value),
        claimed=known["claimed"],
        baseline=known.get("baseline"),
        sense=sense,  # type: ignore[arg-type]
        settings={name: fact for name, fact in known.items() if name not in (*_NEEDED, "baseline")},
    )
