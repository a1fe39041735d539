"""A search, stage by stage: sweep, best designs, what they hang on, simulator, comparison, supply -> an `Answer`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import scoville
from scoville.errors import DesignError
from scoville.facts import Facts
from scoville.search import describe, finalists, regret, sensitivity
from scoville.search.answer import Answer, Regret, Reuse
from scoville.search.climb import Cost
from scoville.search.coarse import BREAKS, TOO_SMALL, Coarse
from scoville.search.deployed import Load, load
from scoville.search.findings import approximations, sentences
from scoville.search.found import Found
from scoville.search.marginal import marginals
from scoville.search.space import Space
from scoville.search.sweep import Checkpoint, Progress, Spread, here, silent, sweep
from scoville.units import show

_SWEEP, _AFTER = 0.6, 0.7  # shares of the way, for progress
_RATIO = 1.01  # of batches, for small steps
_KEPT = 512  # designs that are tried anew when prices move


def design(
    space: Space,
    facts: Facts,
    progress: Progress = silent,
    *,
    checkpoint: Path | None = None,
    spread: Spread = here,
) -> Answer:
    """Search a space.

    With a `checkpoint` folder finished blocks survive an interruption, and the next call goes on from them. `spread`
    does blocks and simulations elsewhere (`Cluster.spread`). The answer depends on neither. Raises ScovilleError with
    one sentence, DesignError where no design of the space can serve.
    """
    finalists.names(space, facts)  # an unknown chip is refused before the sweep
    loads = tuple(load(serve, facts, space.seed) for serve in space.serve)
    coarse = Coarse(space, facts, loads)
    kept = Checkpoint(checkpoint, space, facts) if checkpoint else None
    found = sweep(space, coarse.block, lambda stage, done: progress(stage, _SWEEP * done), kept, spread)
    if not len(found.cheapest[0].number):
        if kept:
            kept.remove()
        raise DesignError(_none(space, coarse, found))

    progress("what the optimum hangs on", _SWEEP)
    best = int(found.cheapest[0].number[0])
    sliced = sensitivity.slices(space, found.slices)
    near = _kept(found)
    part = space.parts[space.part_of(best)]

    def cost_of(other: Space, known: Facts) -> Cost:
        return Coarse(other, known, loads).mix

    shifts = sensitivity.shifts(space, facts, cost_of, best, near)
    worth = marginals(part, space.design(best), _fine(space, facts, loads).mix, facts)
    regrets, reuse = _several(space, coarse, found, near)

    picked = [describe.designed(space, coarse, n) for n in finalists.chosen(space, found)]
    trial = finalists.Trial(space, facts, loads)
    done: dict[tuple[str, Any], Any] = {}
    whole = finalists.count(space, facts, picked)
    progress(f"simulating {len(picked)} designs and {whole - len(picked)} other chips", _AFTER)
    for kind, which, deployed in finalists.tried(trial, coarse, picked, spread):
        done[kind, which] = deployed
        progress(f"simulated {len(done)} of {whole}", _AFTER + (1 - _AFTER) * len(done) / whole)
    ranked = sorted(
        (finalists.finalist(space, d, done["design", d.number]) for d in picked),
        key=lambda f: (np.inf if f.mix is None else f.mix.central, f.designed.number),
    )
    others = finalists.others(space, facts, done)

    points = describe.front_points(space, found.fronts)
    made = describe.designed(space, coarse, best)
    bound = describe.bound(space, coarse, ranked[0].designed.number)
    if kept:
        kept.remove()
    return Answer(
        title=space.title,
        space_file=space.path.name,
        scoville_version=scoville.__version__,
        served=tuple(describe.served(x) for x in loads),
        designs_count=space.designs_count,
        points_count=space.points_count,
        feasible_count=found.feasible_count,
        broken=tuple(found.broken.items()),
        vintage=space.terms.vintage,
        owner=space.terms.owner,
        start=space.start,
        volume_count=space.volume_count,
        samples_count=space.samples_count,
        seed=space.seed,
        best=made,
        fronts=points,
        at_speed=describe.at_speeds(space, points),
        slices=sliced,
        parameters=sensitivity.parameters(sliced),
        shifts=shifts,
        marginals=worth,
        regrets=regrets,
        reuse=reuse,
        finalists=tuple(ranked),
        bought=others,
        supply=bound,
        findings=sentences(space, made, tuple(ranked), others, bound, worth, regrets, reuse),
        approximations=approximations(space),
    )


def _none(space: Space, coarse: Coarse, found: Found) -> str:
    """Why nothing can serve: what the points break, by how much the first design does, or how quick the quickest is."""
    reasons = ", ".join(f"{n:,} {why}" for why, n in found.broken.items() if n)
    said = (
        f"{space.path}: none of the {space.designs_count:,} designs can serve all that is asked; of "
        f"{found.tried_count:,} points {reasons}"
    )
    if found.broken[BREAKS] == found.tried_count:
        return f"{said}; {coarse.refusal(space.design(0))}"
    if found.broken[BREAKS] + found.broken[TOO_SMALL] == found.tried_count:
        return said
    own = found.cheapest if len(space.serve) == 1 else found.cheapest[1:]
    for serve, cheapest, front in zip(space.serve, own, found.fronts, strict=True):
        if len(cheapest.number):
            continue
        t = serve.targets
        if not len(front):
            said += (
                f"; for {serve.name} nothing both fits and meets the target of the first token, {show(t.ttft_s, 's')}"
            )
        else:
            said += (
                f"; for {serve.name} the quickest under the target of the first token takes "
                f"{show(float(front.tpot_s.min()), 's')} per output token in the mean (asked for {show(t.tpot_s, 's')})"
            )
    return said


def _fine(space: Space, facts: Facts, loads: Sequence[Load]) -> Coarse:
    """The same with many more batches, so that a small step of a design is not lost between two of them."""

    def finer(batches: tuple[int, ...]) -> tuple[int, ...]:
        low, high = batches[0], batches[-1]
        count = int(np.log(high / low) / np.log(_RATIO)) + 2
        return tuple(int(b) for b in np.unique(np.round(np.geomspace(low, high, count))))

    serve = tuple(replace(s, batches=finer(s.batches)) for s in space.serve)
    fine = tuple(replace(x, serve=s) for x, s in zip(loads, serve, strict=True))
    return Coarse(replace(space, serve=serve), facts, fine)


def _kept(found: Found) -> tuple[int, ...]:
    """Designs that a sweep kept, of each kind the best first: those that may be the best when prices move."""
    lists: list[Iterable[int]] = [c.number.tolist() for c in found.cheapest]
    lists.append([number for _, number in found.slices.values()])
    lists += [k.place[np.argsort(k.loaded_usd_per_token, kind="stable"), 0].tolist() for k in found.fronts]
    return tuple(dict.fromkeys(int(n) for numbers in lists for n in numbers))[:_KEPT]


def _several(
    space: Space, coarse: Coarse, found: Found, near: tuple[int, ...]
) -> tuple[tuple[Regret, ...], tuple[Reuse, ...]]:
    """Regret and reuse, where several are served."""
    served = tuple(s.name for s in space.serve)
    if len(served) == 1:
        return (), ()
    numbers = np.array([int(c.number[0]) for c in found.cheapest])
    chips = [coarse.best(space.block(n, n + 1).design) for n in numbers]
    matrix = np.concatenate([b.loaded_usd_per_token for b in chips])
    every = np.array(sorted(set(near)))
    several = [coarse.best(space.block(n, n + 1).design) for n in every]
    return (
        regret.regrets(("the mix", *served), served, numbers, matrix),
        regret.reuse(
            served,
            every,
            np.concatenate([b.usd_per_token for b in several]),
            np.concatenate([b.loaded_usd_per_token for b in several]),
        ),
    )
