"""The margin waterfall of a token: who gets how much of its price, from the chip outward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoville.economics.annuity import Array
from scoville.economics.hourly import HourlyCost


@dataclass(frozen=True, slots=True)
class Layer:
    """One bar: `base` from the central values, `low` and `high` the P10 and P90 of the draws."""

    name: str
    low_usd_per_token: float
    base_usd_per_token: float
    high_usd_per_token: float


def waterfall(
    central: HourlyCost,
    central_usd_per_token: float,
    drawn: HourlyCost | None = None,
    drawn_usd_per_token: Array | None = None,
) -> tuple[Layer, ...]:
    """Layers of a token's price in the proportions of its chip-hour; the bases add up to `central_usd_per_token`.

    All chips of a fleet cost the same per hour, so a layer has the same share of a token as of an hour. A layer that is
    nothing in every draw is left out; a chip without a known bill of materials is one bar, "chip, not split". Ranges
    come from the draws where given (drawn_usd_per_token shape (n,)), else they equal the base. Where the parts of the
    cost are not known (a rented chip) there is one bar. Percentiles of layers, unlike their bases, do not add up.
    """
    base = _shares(central)
    ranges = base if drawn is None or drawn_usd_per_token is None else _shares(drawn)
    price = np.asarray(central_usd_per_token if drawn_usd_per_token is None else drawn_usd_per_token, dtype=np.float64)
    layers = []
    for name in dict.fromkeys((*base, *ranges)):
        spread = np.broadcast_arrays(ranges.get(name, np.zeros(1)) * price)[0]
        middle = float(base[name][0] * central_usd_per_token) if name in base else 0.0
        low, high = (float(x) for x in np.percentile(spread, (10, 90)))
        layers.append(Layer(name, low, middle, high))
    return tuple(layers)


def _shares(cost: HourlyCost) -> dict[str, Array]:
    """Share of each layer in the hour, shape (n,), layers that are nothing left out."""
    if cost.parts is None:
        label = "rent" if cost.tenure == "rent" else "owner's cost, not split"
        return {label: np.ones_like(cost.total_usd_per_h)}
    return {name: usd / cost.total_usd_per_h for name, usd in cost.parts.layers() if np.any(usd != 0)}
