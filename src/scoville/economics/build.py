"""A chip of one's own over the quarters: what its programme costs when, when it serves, and what can go wrong.

Dates come from `silicon.program`, whose phases slip in each sample; beyond that a programme may be late by more, reach
a share of what was said of it, ripen slowly, or be stopped when its first silicon is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoville.economics.annuity import Array
from scoville.economics.cashflow import QUARTER_S
from scoville.silicon.program import DESIGN, IP, MASKS, RESPINS, SOFTWARE, VERIFICATION, Program


@dataclass(frozen=True, slots=True, eq=False)
class Risks:
    """What happens beyond the plan, (n,) each: a further delay, the share of the claim, whether stopped (0 or 1)."""

    delay_s: Array
    claim_frac: Array
    cancelled_frac: Array
    porting_start_frac: Array
    porting_s: Array
    porting_usd_per_s: Array


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """One-time and software costs by quarter and the software's maturity, (n, q); quarters of the dates, (n,).

    `serves_count` is the quarter in which the first chips of the volume serve; infinite where it was stopped.
    """

    nre_usd: Array
    software_usd: Array
    maturity_frac: Array
    tape_out_count: Array
    silicon_count: Array
    serves_count: Array


def schedule(
    plan: Program, risks: Risks, quarters: int, *, begun_count: float = 0.0, successor_usd: Array | None = None,
    successor_count: float = np.inf,
) -> Schedule:  # fmt: skip
    """A programme by quarter of the study, from whose start its dates count.

    It began `begun_count` quarters after the start, or before it (below 0): what it has paid by then is not in it.
    Design, IP and verification are paid evenly up to tape-out, software from the first RTL to volume, masks at
    tape-out, respins evenly from first silicon to volume. A further delay moves volume. A stopped
    programme pays until its first silicon. A successor (`successor_usd` each, every `successor_count` quarters after
    volume) is paid evenly in the quarters before it.
    """
    n = len(risks.delay_s)

    def at(seconds: float | Array) -> Array:
        return np.broadcast_to(np.asarray(seconds, float), (n,)) / QUARTER_S

    def part(name: str) -> Array:
        return np.broadcast_to(np.asarray(plan.parts_usd[name], float), (n,))

    rtl, tape_out, silicon = at(plan.rtl_s), at(plan.tape_out_s), at(plan.silicon_s)
    volume = at(plan.volume_s) + risks.delay_s / QUARTER_S
    begun = np.full(n, begun_count)
    nre = sum(
        (
            part(name)[:, None] * spread(begin, end, quarters)
            for name, begin, end in (
                (DESIGN, begun, tape_out), (IP, begun, tape_out), (VERIFICATION, begun, tape_out),
                (SOFTWARE, rtl, volume), (MASKS, tape_out, tape_out), (RESPINS, silicon, volume),
            )
        ),
        np.zeros((n, quarters)),
    )  # fmt: skip
    k = np.arange(quarters)[None, :]
    stopped = risks.cancelled_frac.astype(bool)
    nre = np.where(stopped[:, None] & (k > silicon[:, None]), 0.0, nre)
    serves = np.where(stopped, np.inf, np.ceil(volume))
    if successor_usd is not None and np.isfinite(successor_count):
        running = (k > volume[:, None]) & ~stopped[:, None]
        # The last one that could still serve is the last one begun.
        ends = np.floor((quarters - 1 - volume) / successor_count) * successor_count + volume
        nre = nre + np.where(running & (k <= ends[:, None]), (successor_usd / successor_count)[:, None], 0.0)
    with np.errstate(invalid="ignore"):
        ripe = np.clip((k - serves[:, None]) * QUARTER_S / risks.porting_s[:, None], 0.0, 1.0)
    ripe = np.nan_to_num(ripe, nan=0.0)
    start = risks.porting_start_frac[:, None]
    software = np.where(k >= serves[:, None], risks.porting_usd_per_s[:, None] * QUARTER_S, 0.0)
    return Schedule(nre, software, start + (1 - start) * ripe, tape_out, silicon, serves)


def spread(begin_count: Array, end_count: Array, quarters: int) -> Array:
    """The share of an even payment from one date to another that falls into each quarter, shape (n, q).

    Dates (n,) count quarters from the start; all at once where they are one date. From the middle of the first quarter
    to the end of the second a third falls into the first:

    >>> [round(float(x), 3) for x in spread(np.array([0.5]), np.array([2.0]), 3)[0]]
    [0.333, 0.667, 0.0]
    """
    k = np.arange(quarters)[None, :]
    begin, end = begin_count[:, None], np.maximum(end_count, begin_count)[:, None]
    length = end - begin
    with np.errstate(divide="ignore", invalid="ignore"):
        even = np.clip(np.minimum(end, k + 1) - np.maximum(begin, k), 0.0, None) / length
    return np.asarray(np.where(length > 1e-9, even, (np.floor(begin) == k).astype(float)))
