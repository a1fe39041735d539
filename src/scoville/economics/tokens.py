"""What a token costs: the fleet that a demand takes, and its cost shared out over the classes of tokens.

A class's price is proportional to the engine time that one of its tokens takes. Idle hours, headroom and the spare part
of the last replica are in the fleet's cost and so spread over all classes in that proportion: price x volume, summed
over the classes, is the fleet's cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from scoville.economics.annuity import Array
from scoville.errors import DeploymentError

CLASSES = ("uncached_input", "cached_input", "output")


@dataclass(frozen=True, slots=True)
class TokenVolume:
    """Tokens per second of each class, any shapes that broadcast. Cached input is read from a prefix cache."""

    uncached_input_tokens_per_s: Array
    cached_input_tokens_per_s: Array
    output_tokens_per_s: Array

    @property
    def total_tokens_per_s(self) -> Array:
        """Input and output together: what "tokens per day" counts."""
        return self.uncached_input_tokens_per_s + self.cached_input_tokens_per_s + self.output_tokens_per_s


@dataclass(frozen=True, slots=True)
class EngineTime:
    """Seconds of a replica's engine that one token of each class takes at its steady state.

    A prompt token takes what it adds to a step, an output token its share of the decode step, a cached input token the
    reading of its cache.
    """

    uncached_input_s_per_token: Array
    cached_input_s_per_token: Array
    output_s_per_token: Array


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """USD per token of each class, of the average input token, and of the average token."""

    uncached_input_usd_per_token: Array
    cached_input_usd_per_token: Array
    output_usd_per_token: Array
    input_usd_per_token: Array
    all_usd_per_token: Array


def token_prices(cost_usd_per_s: ArrayLike, volume: TokenVolume, engine: EngineTime) -> TokenPrices:
    """Prices by class that add up to a cost; all arguments broadcast, the result has their common shape.

    `cost_usd_per_s` is what the whole fleet costs per second and `volume` what it serves in that second (or a replica's
    of both). price = cost x engine seconds of a token / sum over classes of (volume x engine seconds). A class
    without volume still has its price at the margin of this mix. Raises DeploymentError when nothing is served.

    0.01 USD/s; 9,000 input tokens/s at 20 us and 1,000 output tokens/s at 500 us of engine: 0.18 + 0.5 = 0.68 engine
    seconds; an input token costs 0.01 x 20e-6 / 0.68 = 0.294 USD per million, an output token 7.35:

    >>> v = TokenVolume(np.array([9000.0]), np.array([0.0]), np.array([1000.0]))
    >>> p = token_prices(0.01, v, EngineTime(np.array([20e-6]), np.array([0.0]), np.array([500e-6])))
    >>> [round(float(usd[0]) * 1e6, 3) for usd in (p.input_usd_per_token, p.output_usd_per_token)]
    [0.294, 7.353]
    """
    cost = np.asarray(cost_usd_per_s, dtype=np.float64)
    volumes = [np.asarray(getattr(volume, f"{c}_tokens_per_s"), dtype=np.float64) for c in CLASSES]
    times = [np.asarray(getattr(engine, f"{c}_s_per_token"), dtype=np.float64) for c in CLASSES]
    cost, *rest = np.broadcast_arrays(cost, *volumes, *times)
    volumes, times = list(rest[:3]), list(rest[3:])
    if any(np.any(x < 0) for x in (cost, *volumes, *times)):
        raise DeploymentError("token prices: cost, tokens per second and engine seconds per token must be >= 0")
    busy = sum((v * t for v, t in zip(volumes, times, strict=True)), start=np.zeros(cost.shape))
    served = volumes[0] + volumes[1] + volumes[2]
    if np.any(busy <= 0) or np.any(served <= 0):
        raise DeploymentError("token prices: nothing is served, so no token can carry the cost")
    per_engine_s = cost / busy
    uncached, cached, output = (per_engine_s * t for t in times)
    inputs = volumes[0] + volumes[1]
    # A mix without any input has no average input token; its price at the margin is that of an uncached one.
    mean_input = np.where(
        inputs > 0, (uncached * volumes[0] + cached * volumes[1]) / np.where(inputs > 0, inputs, 1.0), uncached
    )
    return TokenPrices(uncached, cached, output, mean_input, cost / served)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What serves a demand. `power_w` is drawn from the grid at rating, PUE inside, all chips on.

    `mean_utilisation_frac` is the mean demand over what all replicas could serve. Arrays have one common shape.
    """

    replicas_count: Array
    chips_count: Array
    power_w: Array
    mean_utilisation_frac: Array

    def cost_usd_per_s(self, hourly_usd_per_h: ArrayLike) -> Array:
        """All chips, all hours, at the price of a chip-hour; broadcasts."""
        return self.chips_count * np.asarray(hourly_usd_per_h, dtype=np.float64) / 3600


def fleet(
    demand_tokens_per_s: ArrayLike,
    *,
    peak_to_average: ArrayLike,
    headroom_frac: ArrayLike,
    max_utilisation_frac: ArrayLike,
    replica_tokens_per_s: ArrayLike,
    chips_per_replica: ArrayLike,
    site_power_w: ArrayLike,
) -> Fleet:
    """Whole replicas for the demand's peak; all arguments broadcast.

    `demand_tokens_per_s` is the mean of input and output together, `replica_tokens_per_s` counts the same tokens at the
    highest load that meets the latency targets, `site_power_w` is what one chip takes from the grid (PUE inside).
    replicas = ceil(demand x peak x (1 + headroom) / (replica x highest utilisation)).
    Raises DeploymentError for a value out of range.

    1e12 tokens/day are 11.574 M/s; at a peak of 1.5, headroom 10 %, utilisation 80 % and 40,000 tokens/s per replica
    that is 19.10 M/s over 32,000: 597 replicas.

    >>> f = fleet(1e12 / 86400, peak_to_average=1.5, headroom_frac=0.1, max_utilisation_frac=0.8,
    ...           replica_tokens_per_s=40_000, chips_per_replica=8, site_power_w=1370 * 1.2)
    >>> int(f.replicas_count), int(f.chips_count), round(float(f.power_w) / 1e6, 2)
    (597, 4776, 7.85)
    """
    demand, peak, headroom, utilisation, replica, chips, power = np.broadcast_arrays(
        *(
            np.asarray(x, dtype=np.float64)
            for x in (
                demand_tokens_per_s, peak_to_average, headroom_frac, max_utilisation_frac, replica_tokens_per_s,
                chips_per_replica, site_power_w,
            )
        )
    )  # fmt: skip
    for name, fine, allowed in (
        ("demand", demand > 0, "> 0 tokens/s"),
        ("peak_to_average", peak >= 1, ">= 1"),
        ("headroom", headroom >= 0, ">= 0"),
        ("highest utilisation", (utilisation > 0) & (utilisation <= 1), "in (0, 1]"),
        ("tokens/s of a replica", replica > 0, "> 0"),
        ("chips of a replica", chips >= 1, ">= 1"),
    ):
        if not np.all(fine):
            raise DeploymentError(f"fleet: {name} must be {allowed}")
    needed = demand * peak * (1 + headroom) / (replica * utilisation)
    # A need that is whole but for rounding (3.0000000000000004) is whole.
    replicas = np.ceil(needed * (1 - 1e-12))
    chips_count = replicas * chips
    return Fleet(replicas, chips_count, chips_count * power, demand / (replicas * replica))
