"""Designs, what they serve and points of the sweep as records, with the words that people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from scoville.search.answer import AtSpeed, Bound, Designed, Point, Served, Setting, Share
from scoville.search.coarse import Coarse
from scoville.search.deployed import Load
from scoville.search.found import Kept
from scoville.search.space import Space, shown
from scoville.silicon.area import area
from scoville.silicon.cost import unit_cost
from scoville.silicon.power import power
from scoville.transformer import parameters
from scoville.units import show

_SPEEDS_PER_S = (10.0, 20.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0, 700.0, 1000.0, 2000.0)


def designed(space: Space, coarse: Coarse, number: int) -> Designed:
    """A design with its area, price and one-time cost, and its best mapping and batch by the sweep."""
    design = space.design(number)
    tech, price, programme = coarse.words(design)
    space_mm2 = area(design, tech)
    cost = unit_cost(design, space_mm2, price)
    best = coarse.best(space.block(number, number + 1).design)
    measures = {a.key: a.measure for a in space.parts[space.part_of(number)].axes}
    made = min(float(np.min(x)) for x in (*coarse.volume(design), np.array(space.volume_count)))
    parts = {name: float(design.compute_dies_count) * float(mm2) for name, mm2 in space_mm2.blocks_mm2.items()}
    parts |= {f"I/O: {k}": float(design.io_dies_count) * float(v) for k, v in space_mm2.io_blocks_mm2.items()}
    return Designed(
        number=number,
        name=f"design {number}",
        text=space.design_text(number),
        settings=tuple(
            Setting(key, shown(v, measures.get(key, "")), v if isinstance(v, float) else None, measures.get(key, ""))
            for key, v in space.settings(number).items()
        ),
        points=tuple(
            Point(
                number=number,
                serve=serve.name,
                mapping=str(serve.mappings[best.mapping[0, s]]),
                batch_count=serve.batches[best.batch[0, s]],
                usd_per_token=float(best.usd_per_token[0, s]),
                loaded_usd_per_token=float(best.loaded_usd_per_token[0, s]),
                energy_j_per_token=float(best.energy_j_per_token[0, s]),
                tpot_s=float(best.tpot_s[0, s]),
                tokens_per_s_per_user=1 / float(best.tpot_s[0, s]),
            )
            for s, serve in enumerate(space.serve)
        ),
        mix_usd_per_token=float(best.mix(coarse.weight_frac)[0]),
        area=_shares(parts, "mm2"),
        compute_die_mm2=float(space_mm2.compute_die_mm2),
        io_die_mm2=float(space_mm2.io_die_mm2),
        tdp_w=float(power(design, tech, space_mm2).tdp_w),
        unit_usd=float(cost.price_usd),
        unit=_shares({name: float(usd) for name, usd in cost.parts_usd.items()}, "usd"),
        nre_usd=float(programme.nre_usd) if space.nre else 0.0,
        nre=_shares({name: float(usd) for name, usd in programme.parts_usd.items()} if space.nre else {}, "usd"),
        volume_count=made,
    )


def _shares(parts: Mapping[str, float], measure: str) -> tuple[Share, ...]:
    return tuple(Share(name, value, measure) for name, value in parts.items() if value != 0)


def served(load: Load) -> Served:
    """What is served, in a line each."""
    s, shape, count = load.serve, load.shape, parameters(load.serve.architecture)
    active = f", {count.active / 1e9:.3g}B active" if count.active < 0.9 * count.total else ""
    t = s.targets
    return Served(
        name=s.name,
        traffic=(
            f"{load.trace.name}: {len(load.trace):,} requests, mean {shape.input_tokens:,.0f} input and "
            f"{shape.output_tokens:,.0f} output tokens ({load.trace.source})"
        ),
        model=f"{s.architecture.name}: {count.total / 1e9:.4g}B parameters{active}",
        precision=f"weights {s.precision.weights}; activations {s.precision.activations}; KV cache {s.precision.kv}",
        targets=(
            f"P{t.ttft_percentile_frac * 100:g} TTFT {show(t.ttft_s, 's')}, "
            f"P{t.tpot_percentile_frac * 100:g} TPOT {show(t.tpot_s, 's')}"
        ),
        weight_frac=s.weight_frac,
        mappings=tuple(str(p) for p in s.mappings),
        batches=s.batches,
    )


def front_points(space: Space, fronts: Iterable[Kept]) -> tuple[Point, ...]:
    """The points of the fronts, by what is served, quickest users first."""
    found = []
    for serve, kept in zip(space.serve, fronts, strict=True):
        for k in np.lexsort((kept.loaded_usd_per_token, kept.tpot_s)):
            number, mapping, batch = (int(x) for x in kept.place[k])
            found.append(
                Point(
                    number=number,
                    serve=serve.name,
                    mapping=str(serve.mappings[mapping]),
                    batch_count=serve.batches[batch],
                    usd_per_token=float(kept.usd_per_token[k]),
                    loaded_usd_per_token=float(kept.loaded_usd_per_token[k]),
                    energy_j_per_token=float(kept.energy_j_per_token[k]),
                    tpot_s=float(kept.tpot_s[k]),
                    tokens_per_s_per_user=1 / float(kept.tpot_s[k]),
                )
            )
    return tuple(found)


def at_speeds(space: Space, points: Iterable[Point]) -> tuple[AtSpeed, ...]:
    """The cheapest and the thriftiest point at round speeds per user; speeds that nothing reaches are left out.

    Exact, as the front holds for every speed the least cost and the least energy of all points.
    """
    by_serve: dict[str, list[Point]] = {s.name: [] for s in space.serve}
    for p in points:
        by_serve[p.serve].append(p)
    found = []
    for name, mine in by_serve.items():
        for speed in _SPEEDS_PER_S:
            quick = [p for p in mine if p.tokens_per_s_per_user >= speed]
            if quick:
                cheapest = min(quick, key=lambda p: p.loaded_usd_per_token)
                found.append(AtSpeed(name, speed, cheapest, min(quick, key=lambda p: p.energy_j_per_token)))
    return tuple(found)


def bound(space: Space, coarse: Coarse, number: int) -> Bound:
    """How many packages of a design the supply allows."""
    by_stacks, by_wafers = (float(np.min(x)) for x in coarse.volume(space.design(number)))
    allowed = min(by_stacks, by_wafers)
    what = "HBM stacks" if by_stacks <= by_wafers else "CoWoS wafers"
    if not np.isfinite(allowed):
        return Bound(space.volume_count, allowed, "", "no supply of HBM stacks or CoWoS wafers bounds this design")
    supply = space.supply
    whole = supply.hbm_stacks_count if what == "HBM stacks" else supply.cowos_wafers_count
    words = f"{whole:,.0f} {what} are enough for {allowed:,.0f} packages, {space.volume_count:,.0f} are asked for"
    if allowed >= space.volume_count:
        return Bound(space.volume_count, allowed, "", words)
    words += "; the one-time cost is shared by those that can be made"
    return Bound(space.volume_count, allowed, what, words)
