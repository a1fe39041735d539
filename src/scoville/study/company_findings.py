"""What the answer about a company says, in sentences that hold for the figures at hand."""

from __future__ import annotations

import math
from dataclasses import replace

from scoville.study.company_answer import ClaimOutcome, CompanyAnswer, Fan


def findings(answer: CompanyAnswer) -> CompanyAnswer:
    """The answer with its findings."""
    last = answer.years[-1]
    without = answer.fan("operating result, all bought")
    best = max(answer.claims, key=lambda c: c.profitable_frac)
    said = [
        f"Without a chip of its own the operating result of {last} is {busd(without)}; it is positive in "
        f"{_percent(answer.profitable_without_frac)} of the samples.",
        *(_claim(c, answer) for c in answer.claims),
        _enough(best, answer),
        _decides(answer),
    ]
    return replace(answer, findings=tuple(said))


def _claim(c: ClaimOutcome, answer: CompanyAnswer) -> str:
    saves = "saves" if c.saving.p50[-1] >= 0 else "changes costs by"
    return (
        f"If {c.name} holds (ratio {c.ratio.central:.2f}), the chip {saves} {busd(c.saving)} in {answer.years[-1]} on "
        f"{_percent(c.served.p50[-1])} of inference, and the result is {busd(c.result)}: positive in "
        f"{_percent(c.profitable_frac)} of the samples. {_needed(c)}"
    )


def _needed(c: ClaimOutcome) -> str:
    n = c.needed.central
    if n == 0:
        return "No own chip is needed for a positive result."
    if math.isinf(n):
        return "No share of inference makes the result positive."
    if n > 1:
        return f"At central figures a result of nil would take {100 * n:.0f} % of inference on it: more than there is."
    return f"At central figures a result of nil would take {100 * n:.0f} % of inference on it."


def _enough(best: ClaimOutcome, answer: CompanyAnswer) -> str:
    without, with_chip = answer.profitable_without_frac, best.profitable_frac
    if with_chip < 0.1:
        verdict = "is not enough by itself under any of the claims"
    elif with_chip > 0.9:
        verdict = "is enough under at least one claim" if without <= 0.9 else "is not what makes it profitable"
    else:
        verdict = "can be enough, but under no claim is it so in nine of ten samples"
    return (
        f"The chip {verdict}: at best, if {best.name} holds, it moves the share of samples with a positive "
        f"result in {answer.years[-1]} from {_percent(without)} to {_percent(with_chip)}."
    )


def _decides(answer: CompanyAnswer) -> str:
    if not answer.drivers:
        return "No single assumption decides."
    named = [f"{d.label} ({_percent(d.variance_share_frac)})" for d in answer.drivers[:3]]
    return (
        f"What decides the result of {answer.years[-1]}, by share of its variance: {', '.join(named)}; which of the "
        f"claims holds explains {_percent(answer.claim_variance_frac)} where all are as likely."
    )


def busd(fan: Fan) -> str:
    """P50 of a fan's last year in billions, P10 to P90 in brackets: '-63 BUSD (-95 to -30)'."""
    return f"{_b(fan.p50[-1])} BUSD ({_b(fan.p10[-1])} to {_b(fan.p90[-1])})"


def _b(usd: float) -> str:
    value = usd / 1e9
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"


def _percent(frac: float) -> str:
    return "less than 1 %" if 0 < frac < 0.01 else f"{100 * frac:.0f} %"
