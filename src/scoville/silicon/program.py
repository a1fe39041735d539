"""A chip programme: what is paid once, and when chips come.

One-time cost (NRE, non-recurring engineering) is that of the process for a chip of the reticle's size up to volume,
divided into design, IP, verification and software, with masks and respins on top. Dates follow from the start by
phases, the first two of which may slip.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scoville.errors import DesignError, FactError
from scoville.facts import Draws, Facts
from scoville.silicon.cost import drawn, known_process
from scoville.silicon.design import Array, Design

DESIGN, IP, VERIFICATION, SOFTWARE, MASKS, RESPINS = "design", "IP", "verification", "software", "masks", "respins"
_NEEDED = ("design_nre", "mask_set")
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
MONTH_S = 365 * 86400 / 12


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """One programme; floats, or arrays of one shape (samples,).

    `parts_usd` sums to `nre_usd`. `*_s` are counted from the first day of month `start`: to the first RTL, to tape-out,
    to first silicon and to volume.
    """

    start: str
    parts_usd: Mapping[str, float | Array]
    nre_usd: float | Array
    respins_count: float | Array
    rtl_s: float | Array
    tape_out_s: float | Array
    silicon_s: float | Array
    volume_s: float | Array

    def month(self, after_s: float) -> str:
        """The month (YYYY-MM) that lies so long after the start: `month(program.tape_out_s)`."""
        return month_after(self.start, after_s)


def month_after(start: str, after_s: float) -> str:
    """The month in which a span that begins on the first of `start` ends.

    >>> month_after("2024-10", 13.2 * 365 / 12 * 86400)
    '2025-11'
    """
    months = _index(start) + math.floor(after_s / MONTH_S)
    return f"{months // 12}-{months % 12 + 1:02d}"


def start_for(volume_month: str, program: Program) -> str:
    """The month in which such a programme must begin to reach volume in `volume_month`, on central figures."""
    return month_after(volume_month, -MONTH_S * math.floor(float(program.volume_s) / MONTH_S))


def _index(month: str) -> int:
    found = _MONTH.fullmatch(month)
    if found is None:
        raise DesignError(f"'{month}' is no month; expected YYYY-MM")
    return int(found[1]) * 12 + int(found[2]) - 1


def program(
    design: Design, facts: Facts, draws: Draws | None = None, *, start: str, reused_frac: float | None = 0.0
) -> Program:
    """One-time cost and dates of a programme that begins in month `start`.

    An I/O die of its own costs a share of a whole design in its process, and a mask set. A successor takes over
    `reused_frac` of design, verification and software from a chip of the same line (None: the usual share, a fact);
    IP, masks and respins are paid again. Every respin costs part of each mask set and of the design. One of the slip's
    draws stretches concept and RTL alike; three projects in four are late. Raises DesignError for a month or process
    that is not known, or a reused share outside of 0 to 1; FactError for shares of the facts that sum to more than 1.
    """
    _index(start)
    if reused_frac is not None and not 0 <= reused_frac <= 1:
        raise DesignError(f"the reused share is {reused_frac:g}; expected a number from 0 to 1")
    processes = [known_process(design.process, facts, _NEEDED)]
    if design.io_process:
        processes.append(known_process(design.io_process, facts, _NEEDED))

    def of(name: str) -> float | Array:
        return drawn(facts.get("programme", name), draws)

    whole = [drawn(facts.get(p, "design_nre"), draws) for p in processes]
    engineering = whole[0] + (of("second_die_share") * whole[1] if len(whole) > 1 else 0.0)
    masks = sum((drawn(facts.get(p, "mask_set"), draws) for p in processes), 0.0)
    anew = 1 - (of("reuse_share") if reused_frac is None else reused_frac)
    software, verification, ip = of("software_share"), of("verification_share"), of("ip_share")
    if np.max(software + verification + ip) > 1:
        raise FactError(
            "programme: the shares of software, verification and IP sum to more than 1; the design has none"
        )
    respins = of("respins")
    parts = {
        DESIGN: engineering * (1 - software - verification - ip) * anew,
        IP: engineering * ip,
        VERIFICATION: engineering * verification * anew,
        SOFTWARE: engineering * software * anew,
        MASKS: masks,
        RESPINS: respins * (masks * of("respin_mask_share") + engineering * of("respin_engineering_share")),
    }
    stretch = 1 + of("slip")
    rtl = of("concept_time") * stretch
    tape_out = rtl + of("rtl_time") * stretch
    silicon = tape_out + of("fabrication_time")
    return Program(
        start=start,
        parts_usd=parts,
        nre_usd=sum(parts.values(), np.float64(0.0)),
        respins_count=respins,
        rtl_s=rtl,
        tape_out_s=tape_out,
        silicon_s=silicon,
        volume_s=silicon + of("ramp_time"),
    )
