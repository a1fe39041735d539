"""One chip, evaluated: its deployment, its samples, its fleet, and what its tokens cost under each tenure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.economics import Fleet, HourlyCost, NotOffered, TokenPrices
from scoville.facts import Draws, Facts
from scoville.study.deploy import Choice, Sampled, Workload, sample
from scoville.study.pricing import Terms

Array = NDArray[np.float64]
TENURES = ("rent", "own")


@dataclass(frozen=True)
class Priced:
    """One chip under one tenure: at the central values and in every sample (NaN where targets are missed).

    `steady_usd_per_token` is the central price of all tokens by the steady state alone.
    """

    hourly: HourlyCost
    central: TokenPrices
    steady_usd_per_token: float
    sampled_hourly_usd_per_h: Array
    sampled_input_usd_per_token: Array
    sampled_cached_usd_per_token: Array
    sampled_output_usd_per_token: Array
    sampled_all_usd_per_token: Array


@dataclass(frozen=True)
class Evaluated:
    """Everything about one chip that the report is made from."""

    choice: Choice
    sampled: Sampled
    fleet: Fleet
    sampled_chips_count: Array
    sampled_power_w: Array
    priced: dict[str, Priced | NotOffered]


def evaluate(choice: Choice, facts: Facts, draws: Draws, work: Workload, terms: Terms) -> Evaluated:
    """Sample the chip's deployments, size the fleet, and price both tenures."""
    sampled = sample(choice, facts, draws, work)
    central = Draws.central()
    state, k = choice.deployment.state, choice.best
    one = (slice(0, 1), k)
    served = np.array([choice.requests_per_s])
    size = terms.fleet(
        choice.accelerator, facts, central, served,
        np.array([float(choice.deployment.parallelism.chips)]),
    )  # fmt: skip
    picked = choice.picked
    steady = terms.fleet(
        choice.accelerator, facts, central, picked.state.requests_per_s[0, picked.best : picked.best + 1],
        np.array([float(picked.parallelism.chips)]),
    )  # fmt: skip
    # Samples that miss the targets have no fleet: they are priced at the central one and blanked afterwards.
    drawn = terms.fleet(
        choice.accelerator, facts, draws,
        np.where(sampled.meets, sampled.requests_per_s, served),
        np.where(sampled.meets, sampled.chips_per_replica_count, choice.deployment.parallelism.chips),
    )  # fmt: skip
    times = (state.prefill_s_per_token[one], state.cached_s_per_token[one], state.decode_s_per_token[one])
    drawn_times = tuple(
        np.where(sampled.meets, a, b)
        for a, b in zip((sampled.prefill_s_per_token, sampled.cached_s_per_token, sampled.decode_s_per_token), times,
                        strict=True)
    )  # fmt: skip

    def blank(values: Array) -> Array:
        return np.where(sampled.meets, values, np.nan)

    priced: dict[str, Priced | NotOffered] = {}
    for tenure in TENURES:
        hourly = terms.hourly(choice.accelerator, facts, central, tenure)
        drawn_hourly = terms.hourly(choice.accelerator, facts, draws, tenure)
        if isinstance(hourly, NotOffered):
            priced[tenure] = hourly
            continue
        if isinstance(drawn_hourly, NotOffered):
            priced[tenure] = drawn_hourly
            continue
        many = terms.prices(drawn, drawn_hourly, *drawn_times)
        priced[tenure] = Priced(
            hourly=hourly,
            central=terms.prices(size, hourly, *times),
            steady_usd_per_token=float(terms.prices(steady, hourly, *times).all_usd_per_token[0]),
            sampled_hourly_usd_per_h=drawn_hourly.total_usd_per_h,
            sampled_input_usd_per_token=blank(many.input_usd_per_token),
            sampled_cached_usd_per_token=blank(many.cached_input_usd_per_token),
            sampled_output_usd_per_token=blank(many.output_usd_per_token),
            sampled_all_usd_per_token=blank(many.all_usd_per_token),
        )
    return Evaluated(choice, sampled, size, blank(drawn.chips_count), blank(drawn.power_w), priced)


def priced(e: Evaluated, tenure: str) -> Priced:
    """The prices under a tenure that is offered; TypeError otherwise (a programming error)."""
    found = e.priced[tenure]
    if isinstance(found, NotOffered):
        raise TypeError(f"{e.choice.accelerator.id} is not offered: {found.reason}")
    return found


def offered(evaluated: dict[str, Evaluated], tenure: str) -> list[str]:
    """The chips that can be had that way."""
    return [id for id, e in evaluated.items() if isinstance(e.priced[tenure], Priced)]


def cheapest(evaluated: dict[str, Evaluated], tenure: str) -> str:
    """The chip with the lowest central price of all tokens, '' where none is offered."""
    ids = offered(evaluated, tenure)
    return min(ids, key=lambda id: float(priced(evaluated[id], tenure).central.all_usd_per_token[0]), default="")


def cheapest_frac(evaluated: dict[str, Evaluated], tenure: str) -> dict[str, float]:
    """Share of samples in which each chip is the cheapest; a sample that misses the targets can't win."""
    ids = offered(evaluated, tenure)
    if not ids:
        return {}
    prices = np.stack([priced(evaluated[id], tenure).sampled_all_usd_per_token for id in ids])
    prices = np.where(np.isfinite(prices), prices, np.inf)
    winners = np.where(np.isfinite(prices.min(axis=0)), np.argmin(prices, axis=0), -1)
    return {id: float(np.mean(winners == i)) for i, id in enumerate(ids)}
