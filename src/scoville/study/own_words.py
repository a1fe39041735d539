"""Sentences of an answer about owning: findings, the programme's dates, what is taken for granted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scoville.economics.demand import label
from scoville.study.lines import percent
from scoville.study.own_answer import BreakEven, Choice, OptionRow, Regret
from scoville.study.own_model import OwnModel
from scoville.units import show


def findings(
    rows: Sequence[OptionRow],
    even: Sequence[BreakEven],
    regrets: Sequence[Regret],
    least: str,
    choices: Sequence[Choice],
) -> tuple[str, ...]:
    """What the tables come to, most important first."""
    first, best = rows[0], max(rows, key=lambda r: r.npv.central)
    mean, often = max(rows, key=lambda r: r.mean_npv_usd), max(rows, key=lambda r: r.cheapest_frac)
    spent = show(-first.npv.central, "usd")
    said = [f"On central values {first.name} costs least: {spent} in present value after tax."]
    if best is not first:
        less = show(best.against.central, "usd")
        back = f", ahead for good from {best.pays_back}" if best.pays_back else ""
        said = [f"On central values {best.name} costs least, {less} less in present value than {first.name}{back}."]
    shares = f"{often.name} in {percent(often.cheapest_frac)} of them"
    if best is not often:
        shares += f", {best.name} in {percent(best.cheapest_frac)}"
    said.append(
        f"With all that may go wrong, in the mean of the samples, {mean.name} costs least, "
        f"{show(-mean.mean_npv_usd, 'usd')}; cheapest most often: {shares}."
    )
    for b in even:
        volume = (
            f"from {b.demand_tokens_per_s * 86400e-12:.3g} trillion tokens a day in the first quarter "
            f"({b.chips_count:,.0f} own chips at the most)" + (f", {b.volume_note}" if b.volume_note else "")
            if math.isfinite(b.demand_tokens_per_s)
            else b.volume_note
        )
        claim = (
            f"{percent(b.claim_frac)} of what is said of it must hold" if math.isfinite(b.claim_frac) else b.claim_note
        )
        said.append(f"{b.option} against {b.against}: {volume}; {claim}.")
    lost = {s.best for s in regrets}
    said.append(
        f"Least regret over {len(regrets)} scenarios: {least}; best in one or another: {', '.join(sorted(lost))}."
    )
    for c in choices:
        said.append(
            f"{c.option} against {c.against}: the right to stop adds {show(c.abandonment_usd, 'usd')}, "
            f"the right to wait {show(c.deferral_usd, 'usd')}."
        )
    return tuple(said)


def dates(model: OwnModel, built: str) -> tuple[str, ...]:
    """Tape-out, first silicon and first chips of a programme, central."""
    option = next(o for o in model.file.question.option if o.name == built)
    made, _ = model.programme(option)
    return tuple(
        f"{built}: {what} {label(model.start + int(count[0]))}"
        for what, count in (
            ("tape-out", np.floor(made.tape_out_count)),
            ("first silicon", np.floor(made.silicon_count)),
            ("first chips serve", made.serves_count),
        )
    )


def assumptions(model: OwnModel) -> tuple[str, ...]:
    """What the answer takes for granted."""
    q = model.file.question
    tax = model.money().tax_frac[0]
    resale = model.money().resale_frac[0]
    return (
        "All options serve the same demand: what it earns is left out; NPV is of costs, so less negative is better.",
        f"Money counts at its quarter's end, discounted at {model.wacc()[0]:.1%} a year; what serves in a quarter is "
        "paid for in the one before.",
        f"Taxes: {tax:.0%}, saved as costs arise (a company without profits states tax_rate = 0); purchases are "
        f"written off by the '{q.money.depreciation}' way, a chip's one-time cost when it is paid.",
        f"Used systems fetch {resale:.0%} of a year earlier, a chip of one's own "
        f"{model.fact('own_resale')[0]:.0%} of that; buildings what is left of their lives.",
        "Every "
        + (
            f"{model.generations().every_count / 4:g} years a merchant generation"
            if q.generations
            else "purchase is of"
        )
        + (
            " takes the place of the one before in what is bought or signed anew."
            if q.generations
            else " today's chips."
        ),
        "Rent by the hour costs only the hours in which chips are missing; whoever signs for years pays for idle ones.",
        "Commitments end with the horizon.",
        "Central values hold no further delay and no stopped chip; ranges and means of the samples do.",
        "Chances, paths of prices, resale and porting are general knowledge with wide ranges (facts `ownership`).",
    )
