"""Who captures the margin: to whom an option's present value goes, before taxes and resale."""

from __future__ import annotations

import numpy as np

from scoville.economics import NotOffered, OwnershipTerms, owned, rented
from scoville.economics import options as ways
from scoville.economics.cashflow import RESIDUAL, TAX, npv
from scoville.economics.options import Option
from scoville.silicon.cost import DIES, IO_DIES, MARGIN, MEMORY
from scoville.study.own_answer import Receiver
from scoville.study.own_model import OwnModel
from scoville.study.own_question import OptionTable

_CHIP_LAYERS = ("silicon", "memory", "packaging", "vendor margin")
_OUTSIDE = ("system and network", "data centre", "power", "operation")


def receivers(model: OwnModel, one: dict[str, Option]) -> tuple[Receiver, ...]:
    """By option, largest first; shares add up to one. On central values."""
    found = []
    for option in model.file.question.option:
        usd = _received(model, option, one[option.name])
        total = sum(usd.values())
        found += [
            Receiver(option.name, name, value, value / total)
            for name, value in sorted(usd.items(), key=lambda item: -abs(item[1]))
            if value != 0
        ]
    return tuple(found)


def _received(model: OwnModel, option: OptionTable, worked: Option) -> dict[str, float]:
    usd: dict[str, float] = {}
    for line, flow in worked.flows.lines_usd.items():
        if line in (TAX, RESIDUAL):
            continue
        present = -float(npv(flow, model.wacc())[0])
        shares = {line: 1.0}
        if line == ways.CHIPS:
            shares = _chip(model, option)
        elif line in (ways.RENT, ways.PREPAID):
            landlord = option
            if option.rest:
                landlord = next(o for o in model.file.question.option if o.name == option.rest)
            shares = _landlord(model, landlord)
        for name, share in shares.items():
            usd[name] = usd.get(name, 0.0) + present * share
    return usd


def _chip(model: OwnModel, option: OptionTable) -> dict[str, float]:
    """A chip's price by layer, as far as it is known."""
    if option.kind == "build":
        unit = model.built[option.name].first
        if unit is None:
            return {"chip, not split": 1.0}
        parts = {name: float(np.ravel(usd)[0]) for name, usd in unit.parts_usd.items()}
        grouped = {"silicon": parts[DIES] + parts[IO_DIES], "memory": parts[MEMORY], "seller's margin": parts[MARGIN]}
        grouped["packaging"] = sum(parts.values()) - sum(grouped.values())
        return {name: value / sum(parts.values()) for name, value in grouped.items()}
    if option.price is not None:
        return {"chip, not split": 1.0}
    cost = owned(model.facts.accelerator(option.chip), model.facts, model.draws, model.owner)
    if isinstance(cost, NotOffered) or cost.parts is None:
        return {"chip, not split": 1.0}
    layers = {name: float(usd[0]) for name, usd in cost.parts.layers() if name not in _OUTSIDE and float(usd[0]) != 0}
    return {name: value / sum(layers.values()) for name, value in layers.items()}


def _landlord(model: OwnModel, option: OptionTable) -> dict[str, float]:
    """A rent as what the chip costs a neocloud that owns it, and the rest."""
    accelerator = model.facts.accelerator(option.chip)
    hour = option.hourly
    if hour is None:
        asked = rented(accelerator, model.draws, vintage=model.month, term=option.term)
        if isinstance(asked, NotOffered):
            asked = rented(accelerator, model.draws, vintage=model.month, term="3yr")
        if isinstance(asked, NotOffered):
            return {ways.RENT: 1.0}
        hour = float(asked.total_usd_per_h[0])
    cost = owned(accelerator, model.facts, model.draws, OwnershipTerms("neocloud", model.month))
    if isinstance(cost, NotOffered):
        return {ways.RENT: 1.0}
    share = float(cost.total_usd_per_h[0]) / hour
    return {"landlord's cost": share, "landlord's margin": 1 - share}
