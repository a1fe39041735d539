"""The audit: every claim about a chip evaluated, and its verdict in one of four words.

plausible                the claimed figure is within P10 to P90 of the model, or the model gives more
plausible only if ...    it is outside, and within what physics allows: the parameter that meets it
contradicted by ...      it is beyond the limit of ideal chips, or no parameter meets it
not checkable because    what it would take is not published
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from scoville.claims.bench import Bench
from scoville.claims.chip_facts import peak_rate, rate_per_power, site_power
from scoville.claims.costs import chip_hour, cost_per_token
from scoville.claims.evaluation import Evaluation
from scoville.claims.latency import request_time, request_time_ratio, token_gap_ratio, user_speed
from scoville.claims.reading import claims
from scoville.claims.records import Audit, Claim, Line, Need, Report, Verdict
from scoville.claims.throughput import tokens_per_power, tokens_per_power_ratio
from scoville.errors import FactError, nearest
from scoville.facts import Facts, Range
from scoville.units import to_unit

Quantity = Callable[[Claim, Bench], Evaluation]
QUANTITIES: Mapping[str, Quantity] = {
    "tokens_per_power": tokens_per_power,
    "tokens_per_power_ratio": tokens_per_power_ratio,
    "user_speed": user_speed,
    "token_gap_ratio": token_gap_ratio,
    "request_time": request_time,
    "request_time_ratio": request_time_ratio,
    "cost_per_token": cost_per_token,
    "chip_hour": chip_hour,
    "peak_rate": peak_rate,
    "rate_per_power": rate_per_power,
    "site_power": site_power,
}

ASSUMPTIONS = (
    "Ranges are P10 to P90 over all facts' ranges, the timing error of each chip, and the stepping: published results "
    "are of an older one than the peak figures, up to the whole of its gain in performance per watt slower.",
    "Peak throughput leaves latency free, speculative decoding, disaggregated prefill and pipelines out, and takes the "
    "mapping and batch with the most tokens. Ranges hold for that mapping, at the best batch of each sample.",
    "A chip whose arrays are known is timed by them, with the launches of kernels, collectives and engine overhead "
    "that were fitted on GPUs; the baseline by the roofline fitted to kernels of its vendor's engine.",
    "Number formats of the published runs are not stated: the formats here are an assumption of each claim's settings.",
    "The limit is peak FLOP/s and bandwidth with nothing lost to kernels, links' latency, engine or power cap.",
)


def audit(
    facts: Facts, chip: str, *, samples: int = 400, seed: int = 1, progress: Callable[[str], None] = lambda _: None
) -> Report:
    """Audit every claim about a chip; `progress` is told which begins.

    Raises FactError for a chip about which nothing is claimed, or a claim whose settings make no sense.
    """
    accelerator = facts.accelerator(chip)
    found = claims(facts, chip)
    bench = Bench(facts, samples, seed, progress)
    return Report(
        accelerator.id, accelerator.name, samples, seed, tuple(audited(claim, bench) for claim in found), ASSUMPTIONS
    )


def audited(claim: Claim, bench: Bench) -> Audit:
    """One claim. Raises FactError for a quantity that is not known."""
    name, why = claim.text("quantity"), claim.text("unchecked")
    if not name and not why:
        raise FactError(f"{claim.claimed.place}: the claim says neither its `quantity` nor why it is `unchecked`")
    bench.progress(claim.name)
    if not name:
        return Audit(claim, (), (), "not checkable because", why)
    if name not in QUANTITIES:
        raise FactError(f"{claim.settings['quantity'].place}: no quantity '{name}'; {nearest(name, QUANTITIES)}")
    e = QUANTITIES[name](claim, bench)
    verdict, because = ("not checkable because", why) if why else judged(claim, e.lines, e.needs)
    remark = (claim.text("remark"),) if "remark" in claim.settings else ()
    notes = (*_disagreement(claim, e.lines), *e.notes, *remark)
    return Audit(claim, e.lines, e.needs, verdict, because, e.chosen, notes)  # type: ignore[arg-type]


def judged(claim: Claim, lines: tuple[Line, ...], needs: tuple[Need, ...]) -> tuple[Verdict, str]:
    """The verdict on the lines that decide, and the end of its sentence."""
    deciding = [line for line in lines if line.decides and line.claimed and line.modelled]
    for line in deciding:
        if _beyond(claim, line):
            unit = "" if line.unit in ("", "x") else f" {line.unit}"
            return "contradicted by", f"the limit of {in_unit(line.limit, line)}{unit} for {line.what}"
    missed = [line for line in deciding if not _met(claim, line)]
    if not missed:
        return "plausible", "; ".join(_given(line) for line in deciding)
    possible = [need for need in needs if need.possible]
    given = "; ".join(_given(line) for line in missed)
    if possible:
        need = min(possible, key=_way)
        beside = f"with a {need.beside}, " if need.beside else ""
        return "plausible only if", (
            f"{beside}the {need.text} is {_side(need)}{_value(need.needed, need)}, not {_value(need.usual, need)}; "
            f"{given}"
        )
    which = "; none of its parameters meets the claim within its bounds" if needs else ""
    return "contradicted by", f"the model: {given}{which}"


def _beyond(claim: Claim, line: Line) -> bool:
    assert line.claimed is not None
    if not math.isfinite(line.limit):
        return False
    return line.claimed.p90 < line.limit if claim.sense == "at most" else line.claimed.p10 > line.limit


def _disagreement(claim: Claim, lines: tuple[Line, ...]) -> tuple[str, ...]:
    """Where the roofline beside the chip's own timer would have the claim's figure otherwise."""
    said = []
    for line in lines:
        if line.decides and line.claimed and line.modelled and line.roofline:
            own, quick = (_met(claim, replace(line, modelled=r)) for r in (line.modelled, line.roofline))
            if own != quick:
                reach = "reaches" if quick else "does not reach"
                said.append(f"{line.what}: the roofline, {_range(line.roofline, line)}, {reach} the claim")
    return (f"The timers disagree. {'; '.join(said)}.",) if said else ()


def _met(claim: Claim, line: Line) -> bool:
    claimed, modelled = line.claimed, line.modelled
    assert claimed is not None and modelled is not None
    enough = claimed.p10 <= modelled.p90
    little = claimed.p90 >= modelled.p10
    return {"at least": enough, "at most": little, "about": enough and little}[claim.sense]


def _way(need: Need) -> float:
    """How far a need is from the usual, as a share of the way to its bound."""
    far = need.bound - need.usual
    return abs((need.needed - need.usual) / far) if math.isfinite(far) and far else abs(need.needed / need.usual - 1)


def _side(need: Need) -> str:
    """ "at least" or "at most" where the claim needs better than the usual; nothing where it needs worse."""
    if need.bound < need.usual:
        return "at most " if need.needed < need.usual else ""
    return "at least " if need.needed > need.usual else ""


def _given(line: Line) -> str:
    assert line.modelled is not None
    unit = "" if line.unit in ("", "x") else f" {line.unit}"
    return f"{line.what}: {_range(line.modelled, line)}{unit} modelled"


def _range(r: Range, line: Line) -> str:
    return f"{in_unit(r.central, line)} ({in_unit(r.p10, line)} to {in_unit(r.p90, line)})"


def in_unit(value: float, line: Line | Need) -> str:
    """A value with three significant digits in the unit that it is printed in."""
    return three(to_unit(value, line.measure, line.unit) if line.unit else value)


def _value(value: float, need: Need) -> str:
    return f"{in_unit(value, need)} {need.unit}".strip()


def three(value: float) -> str:
    """Three significant digits.

    >>> three(17391.2), three(0.0210), three(1.0)
    ('17,400', '0.021', '1')
    """
    if not math.isfinite(value):
        return "none"
    return f"{float(f'{value:.3g}'):,.10g}"
