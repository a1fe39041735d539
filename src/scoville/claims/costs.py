"""Claims about money: an owned chip-hour, a token against a rival's."""

from __future__ import annotations

import math
from dataclasses import replace

from scoville.claims.bench import Bench
from scoville.claims.evaluation import Evaluation, Modelled, asked, exactly, word, words
from scoville.claims.reading import claim_of
from scoville.claims.records import Claim, Line, Need, as_range
from scoville.claims.served import Asked
from scoville.claims.throughput import peak_of, power
from scoville.economics import HourlyCost, NotOffered, OwnershipTerms, owned, rented
from scoville.economics.terms import Owner
from scoville.errors import FactError
from scoville.facts import Accelerator, Draws, Fact, Range

_OWNER: Owner = "hyperscaler"
_HOUR_S = 3600.0


def chip_hour(claim: Claim, bench: Bench) -> Evaluation:
    """USD per hour of a chip that one owns, bottom-up, at the prices of the claim's month."""
    month = claim.claimed.as_of[:7]
    lines = []
    for chip, figure in ((word(claim, "chip"), claim.claimed), (word(claim, "rival"), claim.baseline)):
        accelerator = bench.facts.accelerator(chip)
        hour = _owned(bench, accelerator, month)
        own = chip == word(claim, "chip")
        said = as_range(figure) if figure else None
        lines.append(Line(accelerator.name, "USD/h", "usd_per_h", said, hour.range, decides=own))
    first, second = (line.modelled for line in lines)
    if claim.baseline is not None and first is not None and second is not None:
        ratio = claim.claimed.number / claim.baseline.number
        lines.append(
            Line("ratio", "x", "frac", exactly(ratio, "frac"), exactly(first.central / second.central, "frac"))
        )
    return Evaluation(tuple(lines), _price(claim, bench, month))


def _price(claim: Claim, bench: Bench, month: str) -> tuple[Need, ...]:
    """The purchase price at which the bottom-up hour is the claimed one: the hour is linear in it."""
    accelerator = bench.facts.accelerator(word(claim, "chip"))
    terms = OwnershipTerms(_OWNER, month)

    def hour(chip: Accelerator) -> HourlyCost | NotOffered:
        return owned(chip, bench.facts, Draws.central(), terms)

    usual = hour(accelerator)
    paid = (
        next((f for f in usual.facts if f.name.startswith("price_")), None) if isinstance(usual, HourlyCost) else None
    )
    if not isinstance(usual, HourlyCost) or paid is None:
        return ()
    twice = replace(paid, value=2 * paid.number, low=2 * paid.low, high=2 * paid.high)
    dearer = hour(replace(accelerator, facts={**accelerator.facts, paid.name: (twice,)}))
    if not isinstance(dearer, HourlyCost):
        return ()
    usd_per_h = float(dearer.total_usd_per_h[0] - usual.total_usd_per_h[0])
    needed = paid.number * (1 + (claim.claimed.number - float(usual.total_usd_per_h[0])) / usd_per_h)
    return (Need("price of a chip", "USD", "usd", paid.number, needed, 0.0, possible=needed >= 0),)


def cost_per_token(claim: Claim, bench: Bench) -> Evaluation:
    """USD per million mixed tokens at peak throughput, owned, against each rival owned and rented.

    Beside the model: the throughput that the claim named by `rates` states, at published hours.
    """
    chip = bench.facts.accelerator(word(claim, "chip"))
    what = asked(claim, word(claim, "model"))
    said = claim_of(bench.facts, word(claim, "rates"))
    month = max(f.vintage for f in chip.facts["own_hourly"])
    own_rate = _rate(bench, chip.id, what)
    own_hour = _owned(bench, chip, month)
    own_cost = _per_token(own_hour, own_rate)
    own_said = _said(chip, said.claimed, power(bench, chip.id, "tdp"), "owned")
    name = bench.timed(chip.id).name
    lines = [Line(f"{name}, owned", "USD/Mtok", "usd_per_token", own_said, own_cost.range)]
    ratios: list[Line] = []
    chosen = []
    for id in words(claim, "rivals"):
        rival = bench.facts.accelerator(id)
        rate = _rate(bench, rival.id, what)
        chosen.append(peak_of(bench, rival.id, "", what).said())
        for tenure, hour in (("owned", _owned(bench, rival, month)), ("rented", _rented(bench, rival, month))):
            if hour is None:
                continue
            cost = _per_token(hour, rate)
            stated = None
            if said.baseline is not None and rival.id == said.text("rival"):
                stated = _said(rival, said.baseline, power(bench, rival.id, "tdp"), tenure)
            lines.append(Line(f"{rival.name}, {tenure}", "USD/Mtok", "usd_per_token", stated, cost.range))
            claimed_ratio = None
            if stated is not None and own_said is not None:
                claimed_ratio = exactly(own_said.p10 / stated.p10, "frac")
            ratios.append(
                Line(f"ratio to {rival.name}, {tenure}", "x", "frac", claimed_ratio, own_cost.over(cost, "frac").range)
            )
    chosen = [peak_of(bench, chip.id, "", what).said(), *chosen]
    return Evaluation((*lines, *ratios), _baseline(claim, own_cost, lines), tuple(chosen), _reached(claim, ratios))


def _baseline(claim: Claim, own: Modelled, lines: list[Line]) -> tuple[Need, ...]:
    """What the unnamed baseline would have to cost; beside it the first rival, owned."""
    usual = lines[1].modelled
    if usual is None:
        return ()
    needed = own.central / (1 - claim.claimed.number)
    return (
        Need("cost of the typical GPU", "USD/Mtok", "usd_per_token", usual.central, needed, math.inf, possible=True),
    )


def _reached(claim: Claim, ratios: list[Line]) -> tuple[str, ...]:
    """Against whom the claimed share is reached at central values."""
    most = 1 - claim.claimed.number
    sides: dict[bool, list[str]] = {True: [], False: []}
    for line in ratios:
        if line.modelled is not None:
            sides[line.modelled.central <= most].append(line.what.removeprefix("ratio to "))
    text = {side: "; ".join(names) or "nobody" for side, names in sides.items()}
    said = [
        f"At central values a token costs {100 * most:.0f} % or less of one on: {text[True]}. More on: {text[False]}."
    ]
    first, claimed = ratios[0].what.removeprefix("ratio to "), ratios[0].claimed
    if claimed is not None:
        said.append(
            f"By the claimed throughput and published hours nothing is saved against {first}, once less than "
            f"{100 * claimed.central:.0f} % of the claimed relative performance holds."
        )
    return tuple(said)


def _rate(bench: Bench, chip: str, what: Asked) -> Modelled:
    found = peak_of(bench, chip, "", what)
    return Modelled(found.tokens_per_s, found.drawn_tokens_per_s, "tokens_per_s")


def _per_token(hour: Modelled, rate: Modelled) -> Modelled:
    """USD per token: 1.27 USD/h over 13,749 tokens/s are 1.27 / 3600 / 13,749 = 0.0257 USD per million."""
    return Modelled(hour.central / _HOUR_S / rate.central, hour.samples / _HOUR_S / rate.samples, "usd_per_token")


def _said(chip: Accelerator, per_w: Fact, tdp: Fact, tenure: str) -> Range | None:
    """USD per token of the stated throughput at published hours, lowest to highest; None where none is published.

    An owner's hours since the month of the claim, or the newest market price of a rental.
    """
    month = per_w.as_of[:7]
    if tenure == "owned":
        hours = [f.number for f in chip.facts.get("own_hourly", ()) if f.vintage >= month]
    else:
        hours = [max(chip.facts["rent_3yr"], key=lambda f: f.vintage).number] if "rent_3yr" in chip.facts else []
    if not hours:
        return None
    each = sorted(h / _HOUR_S / (per_w.number * tdp.number) for h in hours)
    return Range(each[0], each[0], each[-1], "usd_per_token")


def _owned(bench: Bench, chip: Accelerator, month: str) -> Modelled:
    found = [owned(chip, bench.facts, d, OwnershipTerms(_OWNER, month)) for d in (Draws.central(), bench.draws)]
    costs = [c for c in found if isinstance(c, HourlyCost)]
    if len(costs) < len(found):
        raise FactError(f"{chip.id} has no price to own it at by {month}; add price_chip with --facts my.toml")
    central, drawn = (c.total_usd_per_h for c in costs)
    return Modelled(float(central[0]), drawn, "usd_per_h")


def _rented(bench: Bench, chip: Accelerator, month: str) -> Modelled | None:
    found = [rented(chip, d, vintage=month) for d in (Draws.central(), bench.draws)]
    costs = [c for c in found if isinstance(c, HourlyCost)]
    if len(costs) < len(found):
        return None
    central, drawn = (c.total_usd_per_h for c in costs)
    return Modelled(float(central[0]), drawn, "usd_per_h")
