"""Claims about the chip itself: its peak rate, its rates per watt, its power."""

from __future__ import annotations

from scoville.claims.bench import Bench
from scoville.claims.evaluation import Evaluation, Modelled, exactly, word
from scoville.claims.records import Claim, Line, Need, as_range
from scoville.claims.throughput import power
from scoville.economics import OwnershipTerms, site_power_w
from scoville.errors import FactError
from scoville.facts import Accelerator, Draws, Fact
from scoville.transformer.architecture import FORMATS

_BITS = 4  # of the digits that a cell multiplies


def peak_rate(claim: Claim, bench: Bench) -> Evaluation:
    """Dense peak from slices, active arrays, cells and clock, a product of two operands of b bits in (b / 4)^2 clocks.

    A cell that multiplies 4-bit digits needs 2 x 2 partial products for 8 bits and 4 x 4 for 16, as a TPU v1 takes two
    clocks for 8 x 16 bits and four for 16 x 16 (Jouppi et al. 2017, section 2). 64 slices x 15 arrays x 64 x 64 cells
    x 2 x 1.7 GHz = 13.37 PFLOP/s in 4 bits, 3.34 in 8.
    """
    accelerator = bench.facts.accelerator(word(claim, "chip"))
    clocks = _clocks(word(claim, "format"))
    m = accelerator.microarchitecture
    if m is None:
        raise FactError(
            f"{accelerator.id} has no arrays of which a peak rate could be counted; add array_rows, clock ..."
        )
    active = m.arrays_per_slice.number - (m.spare_arrays_per_slice.number if m.spare_arrays_per_slice else 0.0)
    cells = (m.slices.number if m.slices else 1.0) * active * m.rows.number * m.columns.number
    per_hz = 2 * cells / clocks
    rate = Modelled(per_hz * m.clock.number, per_hz * bench.draws.sample(m.clock), "flop_per_s")
    claimed = claim.figure
    hz = claimed.central / per_hz
    line = Line(
        f"{accelerator.name}, {word(claim, 'format')}", "PFLOP/s", "flop_per_s", claimed, rate.range, decides=True
    )
    need = Need("clock", "GHz", "count_per_s", m.clock.number, hz, float("inf"), possible=True)
    return Evaluation(
        (line,),
        (need,),
        notes=(
            f"{m.slices.number if m.slices else 1:.0f} slices x {active:.0f} active arrays x {m.rows.number:.0f} x "
            f"{m.columns.number:.0f} cells x 2 x {m.clock.number / 1e9:.3g} GHz / {clocks:.0f} clocks a product = "
            f"{rate.central / 1e15:.4g} PFLOP/s."
            + (
                f" {clocks:.0f} clocks, because a cell of 4-bit digits makes 8 bits of 2 x 2 partial products."
                if clocks == 4
                else ""
            ),
        ),
    )


def _clocks(name: str) -> float:
    bits = {"fp4": 4, "int4": 4, "fp8": 8, "int8": 8, "bf16": 16}.get(FORMATS[name].rate if name in FORMATS else "")
    if bits is None:
        raise FactError(f"format '{name}': expected one of 4, 8 or 16 bits, such as mxfp4, fp8, bf16")
    return (bits / _BITS) ** 2


def rate_per_power(claim: Claim, bench: Bench) -> Evaluation:
    """A peak rate or bandwidth over TDP; where the rival has a figure, the ratio as well, and the rival's rate at which
    it is the claimed one."""
    name = word(claim, "rate")
    lines: list[Line] = []
    found: list[Modelled] = []
    for chip, figure in ((word(claim, "chip"), claim.claimed), (word(claim, "rival"), claim.baseline)):
        accelerator = bench.facts.accelerator(chip)
        own = chip == word(claim, "chip")
        watts = power(bench, chip, "tdp") if own else claim.settings.get("rival_power", power(bench, chip, "tdp"))
        rate = _fact(accelerator, name)
        per_w = Modelled(
            rate.number / watts.number, bench.draws.sample(rate) / bench.draws.sample(watts), f"{rate.measure}_per_w"
        )
        found.append(per_w)
        measure, unit = (figure.measure, figure.unit) if figure else (per_w.measure, "")
        lines.append(
            Line(accelerator.name, unit, measure, as_range(figure) if figure else None, per_w.range,
                 decides=own)
        )  # fmt: skip
    if claim.baseline is None:
        return Evaluation(tuple(lines))
    ratio = found[0].over(found[1], "frac")
    claimed = claim.claimed.number / claim.baseline.number
    lines.append(Line("ratio", "x", "frac", exactly(claimed, "frac"), ratio.range, decides=True))
    text = f"{name.replace('_', ' ')} of {lines[1].what}"
    needed = rate.number * ratio.central / claimed
    need = Need(text, rate.unit, rate.measure, rate.number, needed, bound=0.0, possible=True)
    return Evaluation(tuple(lines), (need,))


def _fact(accelerator: Accelerator, name: str) -> Fact:
    found = accelerator.facts.get(name, ())
    if not found:
        raise FactError(f"{accelerator.id} has no fact '{name}'; add it with --facts my.toml")
    return found[-1]


def site_power(claim: Claim, bench: Bench) -> Evaluation:
    """What a chip takes from the grid with its share of host and network: all-in IT power x PUE; and the PUE at which
    the claim holds."""
    terms = OwnershipTerms("hyperscaler", "")
    lines = []
    for chip, figure in ((word(claim, "chip"), claim.claimed), (word(claim, "rival"), claim.baseline)):
        accelerator = bench.facts.accelerator(chip)
        central, drawn = (site_power_w(accelerator, bench.facts, d, terms) for d in (Draws.central(), bench.draws))
        if central is None or drawn is None:
            raise FactError(f"{accelerator.id} has no power; add all_in_power with --facts my.toml")
        watts = Modelled(float(central[0]), drawn, "w")
        said = as_range(figure) if figure else None
        lines.append(Line(accelerator.name, "kW", "w", said, watts.range, decides=chip == word(claim, "chip")))
    it_w = power(bench, word(claim, "chip"), "all_in_power").number
    pue = bench.facts.get("site", "pue").number
    needed = claim.claimed.number / it_w
    need = Need("PUE, site power over IT power", "", "frac", pue, needed, 1.0, possible=needed >= 1)
    return Evaluation(tuple(lines), (need,), notes=_narrowing(claim, bench))


def _narrowing(claim: Claim, bench: Bench) -> tuple[str, ...]:
    """Whether a ratio per kW of TDP grows or shrinks on the claimed powers."""
    if claim.baseline is None:
        return ()
    tdp, rival = (power(bench, word(claim, name), "tdp").number for name in ("chip", "rival"))
    times = (claim.baseline.number / claim.claimed.number) / (rival / tdp)
    side = "wider" if times > 1 else "narrower"
    return (
        f"A ratio per kW of TDP becomes {side} per kW of these powers, {times:.2f} times as high: "
        f"{claim.baseline.number / 1e3:.3g} over {claim.claimed.number / 1e3:.3g} kW is {times:.2f} times {rival:,.0f} "
        f"over {tdp:,.0f} W.",
    )
