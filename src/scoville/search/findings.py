"""What a search found, in sentences, and what it takes for granted."""

from __future__ import annotations

from collections.abc import Sequence

from scoville.search.answer import Bought, Bound, Designed, Finalist, Marginal, Regret, Reuse
from scoville.search.space import Space
from scoville.serving import APPROXIMATIONS
from scoville.units import show


def sentences(
    space: Space,
    best: Designed,
    finalists: Sequence[Finalist],
    bought: Sequence[Bought],
    supply: Bound,
    marginals: Sequence[Marginal],
    regrets: Sequence[Regret],
    reuse: Sequence[Reuse],
) -> tuple[str, ...]:
    """The findings, most important first: each holds for this answer, with its figures."""
    found: list[str] = []
    first = finalists[0]
    rivals = sorted((b for b in bought if b.mix is not None), key=lambda b: b.mix.central if b.mix else 0.0)
    if first.mix is None:
        found.append(
            f"No finalist holds the targets in the simulator: {first.refusal}; by the sweep {best.name} would serve "
            f"at {_usd(best.mix_usd_per_token)}"
        )
    else:
        cost = f"{first.designed.name} serves at {_usd(first.mix.central)} ({_span(first)})"
        market = next((b for b in rivals if not b.reference), None)
        if market and market.mix:
            cost += f", {_against(first.mix.central, market.mix.central)} {market.name}, the cheapest bought chip"
        found.append(cost)
        references = [b for b in bought if b.reference]
        beside = [f"{_against(first.mix.central, b.mix.central)} {b.name}" for b in references if b.mix]
        found += [f"It costs {' and '.join(beside)}"] if beside else []
        found += [f"{b.name}, the reference, cannot serve this: {b.refusal}" for b in references if not b.mix]
        offs = [f.off_frac for f in finalists if f.off_frac is not None]
        found.append(
            f"Simulated costs of {len(offs)} finalist{'s' if len(offs) != 1 else ''} are "
            f"{round(min(offs) * 100):+d} to {round(max(offs) * 100):+d} % off the sweep's"
            if len(offs) > 1
            else f"The simulated cost is {round(offs[0] * 100):+d} % off the sweep's"
        )
        if len(space.serve) > 1:
            each = ", ".join(f"{name} {round(off * 100):+d} %" for name, off in off_by_serve(first))
            found[-1] += f"; of {first.designed.name} {each}"
    if supply.by:
        found.append(f"Supply: {supply.words}")
    worth = [m for m in marginals if m.relative_frac is not None and m.more_mm2 is not None]
    if worth:
        top, gain = worth[0], -(worth[0].relative_frac or 0.0)
        around = f"Around {best.name}, the sweep's cheapest,"
        found.append(
            f"{around} the next mm2 is best given to {top.block}: 1 % more silicon there saves "
            f"{gain * 100:.2g} % a token"
            if gain > 0
            else f"{around} no block's next mm2 pays: each costs more than it saves"
        )
    names = {s.name for s in space.serve}
    own = [r for r in regrets if r.made_for in names and r.made_for != r.serve]
    if own:
        worst = max(own, key=lambda r: r.over_own_frac)
        how = (
            "cannot be served"
            if worst.over_own_frac == float("inf")
            else f"costs {worst.over_own_frac * 100:.0f} % more"
        )
        mixed = max((r.over_own_frac for r in regrets if r.made_for not in names), default=0.0)
        found.append(
            f"On a chip made for {worst.made_for}, {worst.serve} {how} than on its own; on the one made for the mix "
            f"nothing costs more than {mixed * 100:.0f} % more"
        )
    for r in reuse:
        word = "saves" if r.saved_frac >= 0 else "loses"
        found.append(
            f"One design for {r.now} and then {r.next} {word} {abs(r.saved_frac) * 100:.2g} % over a design for each"
        )
    return tuple(found)


def off_by_serve(f: Finalist) -> tuple[tuple[str, float], ...]:
    """The simulated cost over the sweep's, less 1, of each that is served on a design that serves all."""
    return tuple(
        (d.serve, d.usd_per_token.central / p.loaded_usd_per_token - 1)
        for d, p in zip(f.deployed, f.designed.points, strict=True)
        if d.usd_per_token is not None
    )


def approximations(space: Space) -> tuple[str, ...]:
    """What the answer takes for granted, in the order of its stages."""
    nre = (
        f"The one-time cost is shared by {space.volume_count:,.0f} chips, or by those that the supply allows, and paid "
        f"over the equipment's life."
        if space.nre
        else "No one-time cost is paid."
    )
    several = (
        "Ranges of a mix add up the parts' ends, as if all its parts were dear or cheap at once.",
        "Reuse: two generations of equal volume, of which the shared design pays its one-time cost once.",
    )
    return (
        "Sweep: a design's step by the closed form of the systolic timer, latencies by the steady state's formulas, "
        "cost at the highest load under the targets with every chip busy; only batches and mappings of the space.",
        nre,
        "Prices: the designed chip pays the same owner's terms as bought ones, but its bill and its seller's margin in "
        "full, where a large owner gets bought ones below their street price; "
        f"all of {space.terms.vintage}. What a bought chip cost to develop is in its price.",
        f"Time: a design begun in {space.start} reaches volume years later; it stands beside chips and prices of "
        f"{space.terms.vintage}, not beside those that will be sold then.",
        "When prices move: the designs that the sweep kept and, step by step, their neighbours; not the whole space.",
        "What a mm2 buys: one step of each block either way, mapping and batch chosen anew, batches a hundredth apart.",
        "Finalists: one replica of many, so requests come at random moments; an engine like vLLM; designed chips are "
        "timed by their arrays, bought ones by their kernels where these were measured.",
        "Energy: the sweep's is from each design's own blocks; a replay's takes the same joules per FLOP and byte, and "
        "the same share of TDP at rest, for designed and bought chips alike, so the two may differ twofold.",
        *APPROXIMATIONS,
        *(several if len(space.serve) > 1 else ()),
    )


def _usd(usd_per_token: float) -> str:
    return show(usd_per_token, "usd_per_token")


def _span(f: Finalist) -> str:
    assert f.mix is not None
    return f"P10 to P90 {_usd(f.mix.p10)} to {_usd(f.mix.p90)}"


def _against(usd: float, other: float) -> str:
    """'42 % less than', '1.3 times as much as'."""
    ratio = usd / other
    return f"{(1 - ratio) * 100:.0f} % less than" if ratio < 1 else f"{ratio:.2f} times as much as"
