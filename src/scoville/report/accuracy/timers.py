"""Which timer answers for each chip of the facts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scoville.report.accuracy.markdown import table
from scoville.timing.chips import FITTED_CLASSES, chips, timing_evidence
from scoville.timing.measured.fitted import FAMILIES
from scoville.timing.measured.kernels import MeasuredKernels

if TYPE_CHECKING:
    from scoville.facts import Fact, Facts

LEFT_OUT_PERCENT = 20
_HOW = {
    "measured": "its own kernels are in measured tables",
    "related": "those of a chip of its maker and kernel libraries are",
    "unmeasured": "nobody's measurement was used",
    "claimed": "only its maker's figures are known",
}
_CLASSES = {"gemm": "matrix products", "moe": "experts", "attention": "attention", "collective": "collectives"}


def timers(facts: Facts) -> str:
    """Every chip of the facts with what times it, and how far its times may be off."""
    from scoville.facts import Draws

    rows = []
    for accelerator in sorted(facts.accelerators(), key=lambda a: a.id):
        if accelerator.missing:
            rows.append([accelerator.id, f"none: nobody has published {', '.join(accelerator.missing)}", "", "", ""])
            continue
        found = [chips(accelerator, facts, Draws.central(), family).kernels for family in FAMILIES]
        tables = [k for k in found if isinstance(k, MeasuredKernels)]
        evidence = timing_evidence(accelerator, facts)
        rows.append(
            [
                accelerator.id,
                "measured tables" if tables else "fitted roofline",
                "; ".join(map(_tables, tables)),
                evidence,
                _range(facts.get("uncertainty", f"chip_{evidence}")),
            ]
        )
    known = table(("chip", "timer", "tables", "evidence", "chip's factor"), rows, words=5)
    evidence = "; ".join(f"*{name}*: {said}" for name, said in _HOW.items())
    return f"{known}\n\nEvidence: {evidence}."


def _tables(kernels: MeasuredKernels) -> str:
    parts = [f"products {', '.join(sorted(kernels.gemm))}"]
    parts += [f"experts {', '.join(sorted(kernels.moe))}"] if kernels.moe else []
    parts += ["attention"] if kernels.attention else []
    parts += ["collectives"] if kernels.collectives else []
    return f"**{kernels.family}** " + ", ".join(parts)


def _range(fact: Fact) -> str:
    return f"{fact.number:g} ({fact.low:g} to {fact.high:g})"


def classes(facts: Facts) -> str:
    """What the fitted roofline of each class is off by on a chip that was left out of its fit."""
    found = [(name, facts.get("uncertainty", f"class_{c}")) for c, name in _CLASSES.items() if c in FITTED_CLASSES]
    return table(
        ("class", "factor drawn", "chip left out of the fit", f"target: mean at most {LEFT_OUT_PERCENT} %"),
        [[name, _range(fact), fact.note.split(": ", 1)[-1], verdict(fact.note)] for name, fact in found],
        words=4,
    )


def verdict(note: str) -> str:
    """Whether a note's mean errors, in percent, are within the target: of its first part, and which others are not.

    >>> verdict("left out: mean error 19 % in decode (13 to 24 by table); H20 15 %; latent attention 16 to 68 %")
    'met; **missed** by latent attention'
    """
    first, *others = note.split(": ", 1)[-1].split(";")
    by = [re.split(r"\d", part, maxsplit=1)[0].strip(" ,") for part in others if _worst(part) > LEFT_OUT_PERCENT]
    said = ["met" if _worst(first) <= LEFT_OUT_PERCENT else "**missed**"]
    return "; ".join(said + ([f"**missed** by {', '.join(by)}"] if by else []))


def _worst(text: str) -> float:
    """The largest number, or end of a range, before a percent sign; a text without any says nothing."""
    return max((float(n) for n in re.findall(r"(\d+) (?:and \d+ )?%", text)), default=0.0)
