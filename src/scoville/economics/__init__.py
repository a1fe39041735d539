"""What serving costs: an accelerator's hour, rented or owned, the fleet for a demand, a token by class and layer.

`owned` and `rented` price the hour, `fleet` sizes, `token_prices` shares the cost out, `waterfall` says who gets it.
"""

from scoville.economics.annuity import crf
from scoville.economics.hourly import CostParts, HourlyCost, NotOffered, owned, rented
from scoville.economics.terms import OwnershipTerms, site_power_w
from scoville.economics.tokens import EngineTime, Fleet, TokenPrices, TokenVolume, fleet, token_prices
from scoville.economics.waterfall import Layer, waterfall

__all__ = [
    "CostParts", "EngineTime", "Fleet", "HourlyCost", "Layer", "NotOffered", "OwnershipTerms", "TokenPrices",
    "TokenVolume", "crf", "fleet", "owned", "rented", "site_power_w", "token_prices", "waterfall",
]  # fmt: skip
