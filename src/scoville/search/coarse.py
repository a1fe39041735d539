"""The sweep's view of a space: every design of a block under every mapping and batch of all that is served.

A design's cost is that of its best mapping and batch under the targets, for each that is served; the mix weighs these
by their shares of the tokens. A design that cannot serve one of them cannot serve the mix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoville.errors import DesignError
from scoville.facts import Draws, Facts
from scoville.search.deployed import Load
from scoville.search.evaluate import Candidates, Points, Task, candidates, evaluate, hour, task
from scoville.search.found import Cheapest, Found, Kept, Key, by_value, least
from scoville.search.space import Space
from scoville.silicon.area import area
from scoville.silicon.cost import Prices, prices, unit_cost
from scoville.silicon.design import Design
from scoville.silicon.limits import check
from scoville.silicon.power import power
from scoville.silicon.program import Program, program
from scoville.silicon.technology import Technology, technology
from scoville.silicon.wafer import gross_dies_of_area
from scoville.timing import chips
from scoville.timing.chips import SYSTOLIC
from scoville.transformer.step import Parallelism

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LIKE = (
    "jalapeno"  # a chip timed by its arrays: what no design says (launches, shares of peaks and of memory) is as there
)
BREAKS, TOO_SMALL, TOO_SLOW = "breaks a limit", "cannot hold a model and its cache", "misses a target"


@dataclass(frozen=True, eq=False)
class Best:
    """The cheapest mapping and batch under the targets, by design and serve, arrays (n, serves).

    Where there is none, costs are infinite. `mapping` and `batch` are positions in the space's.
    """

    mapping: Ints
    batch: Ints
    usd_per_token: Array
    loaded_usd_per_token: Array
    energy_j_per_token: Array
    tpot_s: Array
    tokens_per_s_per_chip: Array
    nre_usd_per_h: Array  # (n,)

    def mix(self, weight_frac: Array) -> Array:
        """Loaded cost of a token of the mix, (n,)."""
        return np.asarray((self.loaded_usd_per_token * weight_frac).sum(axis=1))


class Coarse:
    """One space with one set of facts; a function of the two, made once for all blocks."""

    def __init__(self, space: Space, facts: Facts, loads: tuple[Load, ...]) -> None:
        """Raises DesignError or FactError where a process, memory or package of the space is not known."""
        self.space, self.facts = space, facts
        self.weight_frac = np.array([s.weight_frac for s in space.serve])
        self._rate = hour(facts, space.terms)
        like = chips(facts.accelerator(LIKE), facts, Draws.central(), SYSTOLIC)
        unmeasured = facts.get("uncertainty", "chip_unmeasured").number  # as every designed chip is
        self._like = replace(like, time_frac=np.full(1, unmeasured))
        self._tasks = tuple(tuple(self._task(load, k) for k in range(len(load.serve.mappings))) for load in loads)
        self._words: dict[tuple[str, ...], tuple[Technology, Prices, Program]] = {}
        for part in space.parts:
            self.words(part.base)

    def _task(self, load: Load, mapping: int) -> Task:
        serve = load.serve
        return task(
            load.table(serve.mappings[mapping]),
            load.shape,
            np.array(serve.batches, float),
            serve.targets,
            self._like,
            block_tokens=float(load.settings.block_tokens),
            sequence_s=load.settings.sequence_s,
        )

    def words(self, design: Design) -> tuple[Technology, Prices, Program]:
        """What process, memory and package are worth, cost to buy, and to develop for."""
        key = (design.process, design.io_process, design.memory, design.package)
        if key not in self._words:
            space = self.space
            self._words[key] = (
                technology(design, self.facts),
                prices(design, self.facts, date=space.terms.vintage, volume=space.volume_count, seller=space.seller),
                program(design, self.facts, start=space.start),
            )
        return self._words[key]

    def volume(self, design: Design) -> tuple[Array, Array]:
        """Packages that HBM stacks, and that CoWoS wafers allow, (n,) or scalars; infinite where nothing does."""
        tech, price, _ = self.words(design)
        supply = self.space.supply
        stacks = np.asarray(design.stacks_count, float)
        hbm = design.memory.startswith("hbm")
        with np.errstate(divide="ignore"):
            by_stacks = np.where(hbm & (stacks > 0), supply.hbm_stacks_count / np.maximum(stacks, 1e-9), np.inf)
        if not design.package.startswith("cowos") or np.isinf(supply.cowos_wafers_count):
            return by_stacks, np.full(np.shape(by_stacks), np.inf)
        cost = unit_cost(design, area(design, tech), price)
        each = gross_dies_of_area(
            cost.interposer_mm2,
            field_mm=(np.inf, np.inf),
            scribe_mm=price.scribe_mm,
            edge_mm=price.edge_mm,
            wafer_mm=price.wafer_mm,
        )
        return by_stacks, supply.cowos_wafers_count * each * cost.interposer_yield_frac * cost.package_yield_frac

    def candidates(self, design: Design) -> Candidates:
        """What n designs cost and can do, before anything is served."""
        space = self.space
        tech, price, programme = self.words(design)
        made = np.minimum(np.minimum(*self.volume(design)), space.volume_count)
        nre = programme.nre_usd / np.maximum(made, 1e-9) if space.nre else 0.0
        found = candidates(design, tech, price, self._rate, self._like, nre_usd_per_chip=nre)
        over = found.tdp_w > space.limits.package_w
        if np.isfinite(space.limits.die_mm2):
            over = over | np.asarray(area(design, tech).compute_die_mm2 > space.limits.die_mm2)
        return replace(found, broken=found.broken | over) if over.any() else found

    def refusal(self, design: Design) -> str:
        """Which limit one design breaks, and by how much; "" where it breaks none."""
        tech, _, _ = self.words(design)
        space_mm2, limits = area(design, tech), self.space.limits
        used = power(design, tech, space_mm2)
        try:
            check(design, space_mm2, used, tech)
        except DesignError as error:
            return str(error)
        die, tdp = float(space_mm2.compute_die_mm2), min(float(used.tdp_w), float(design.power_cap_w))
        if die > limits.die_mm2:
            over = die - limits.die_mm2
            return f"{design.id}: the compute die's {die:,.0f} mm2 are {over:,.0f} mm2 over [limits] die_area"
        if tdp > limits.package_w:
            return f"{design.id}: the TDP of {tdp:,.0f} W is {tdp - limits.package_w:,.0f} W over [limits] power"
        return ""

    def best(self, design: Design) -> Best:
        """The cheapest mapping and batch of n designs for each that is served."""
        chosen = self.candidates(design)
        n, serves = len(chosen), len(self._tasks)
        found = _Running(n, serves)
        for s, tasks in enumerate(self._tasks):
            for k, served in enumerate(tasks):
                found.take(s, k, evaluate(chosen, served))
        return found.best(chosen.nre_usd_per_h)

    def near(self, design: Design, most_frac: float) -> tuple[tuple[Parallelism, ...], ...]:
        """For each that is served the mappings with which one design costs at most so many times its best."""
        chosen = self.candidates(design)
        found = []
        for serve, tasks in zip(self.space.serve, self._tasks, strict=True):
            points = [evaluate(chosen, served) for served in tasks]
            usd = [float(np.where(p.feasible, p.loaded_usd_per_token, np.inf).min()) for p in points]
            least = min(usd)
            found.append(tuple(p for p, x in zip(serve.mappings, usd, strict=True) if x <= most_frac * least < np.inf))
        return tuple(found)

    def mix(self, design: Design) -> Array:
        """The loaded cost of a token of the mix, (n,): what a search minimises."""
        return self.best(design).mix(self.weight_frac)

    def block(self, start: int, stop: int) -> Found:
        """What a sweep keeps of designs start to stop."""
        space = self.space
        block = space.block(start, stop)
        numbers = np.arange(start, stop)
        chosen = self.candidates(block.design)
        n = len(block)
        running = _Running(n, len(self._tasks))
        fronts = []
        tried = feasible = small = 0
        slices: list[tuple[Key, tuple[float, int]]] = []
        for s, (serve, tasks) in enumerate(zip(space.serve, self._tasks, strict=True)):
            kept = Kept.none()
            for k, served in enumerate(tasks):
                points = evaluate(chosen, served)
                running.take(s, k, points)
                kept += _kept(numbers, k, chosen, served, points)
                tried, feasible = tried + points.fits.size, feasible + int(points.feasible.sum())
                small += int((~points.fits[~chosen.broken]).sum())
                slices += self._of_mapping(serve.name, s, k, points, numbers)
            fronts.append(kept)
        best = running.best(chosen.nre_usd_per_h)
        mix = best.mix(self.weight_frac)
        cheapest = [Cheapest.of(numbers, mix)]
        if len(self._tasks) > 1:
            cheapest += [Cheapest.of(numbers, usd) for usd in best.loaded_usd_per_token.T]
        values = block.part.values(numbers - space.first(space.part_of(start)))
        for key, v in values.items():
            slices += by_value(key, v, mix, numbers).items()
        if np.isfinite(mix).any():
            at = int(np.lexsort((numbers, mix))[0])
            for key, word in block.part.words.items():
                if isinstance(word, str):
                    slices.append(((key, word), (float(mix[at]), int(numbers[at]))))
        breaks = int(chosen.broken.sum()) * (tried // n)
        return Found(
            fronts=tuple(fronts),
            cheapest=tuple(cheapest),
            slices=least(slices),
            broken={BREAKS: breaks, TOO_SMALL: small, TOO_SLOW: tried - feasible - breaks - small},
            tried_count=tried,
            feasible_count=feasible,
            starts=frozenset([start]),
        )

    def _of_mapping(
        self, name: str, serve: int, mapping: int, points: Points, numbers: Ints
    ) -> list[tuple[Key, tuple[float, int]]]:
        """The least cost of what is served under a mapping, and at each batch, by "name: mapping" and "name: batch"."""
        usd = np.where(points.feasible, points.loaded_usd_per_token, np.inf)
        at = usd.argmin(axis=0)
        costs = usd[at, np.arange(usd.shape[1])]
        batches = self.space.serve[serve].batches
        found: list[tuple[Key, tuple[float, int]]] = [
            ((f"{name}: batch", float(b)), (float(c), int(numbers[i])))
            for b, c, i in zip(batches, costs, at, strict=True)
            if np.isfinite(c)
        ]
        if found:
            found.append(
                ((f"{name}: mapping", str(self.space.serve[serve].mappings[mapping])), min(f[1] for f in found))
            )
        return found


def _kept(numbers: Ints, mapping: int, chosen: Candidates, served: Task, points: Points) -> Kept:
    """The front of all points that fit, break no limit and meet the target of the first token, at any speed."""
    allowed = ~chosen.broken & (chosen.links.domain_count >= served.parallelism.tensor)
    soon = points.ttft_percentile_s <= served.targets.ttft_s
    design, batch = np.nonzero(points.fits & soon & allowed[:, None])
    columns = (points.usd_per_token, points.loaded_usd_per_token, points.energy_j_per_token, points.tpot_s)
    values = np.stack([c[design, batch] for c in columns], axis=1)
    place = np.stack([numbers[design], np.full(len(design), mapping), batch], axis=1)
    return Kept.of(place, values)


class _Running:
    """The least cost so far, by design and serve."""

    def __init__(self, n: int, serves: int) -> None:
        self.mapping, self.batch = np.zeros((n, serves), np.int64), np.zeros((n, serves), np.int64)
        names = ("usd_per_token", "loaded_usd_per_token", "energy_j_per_token", "tpot_s")
        self.values = {name: np.full((n, serves), np.inf) for name in names}
        self.values["tokens_per_s_per_chip"] = np.zeros((n, serves))

    def take(self, serve: int, mapping: int, points: Points) -> None:
        """The points of one mapping; of equal costs the earlier stays."""
        usd = np.where(points.feasible, points.loaded_usd_per_token, np.inf)
        batch = usd.argmin(axis=1)
        rows = np.flatnonzero(usd[np.arange(len(usd)), batch] < self.values["loaded_usd_per_token"][:, serve])
        at = rows, batch[rows]
        for name, kept in self.values.items():
            kept[rows, serve] = (
                getattr(points, name)[at]
                if name != "energy_j_per_token"
                else (points.power_w[at] / points.tokens_per_s_per_chip[at])
            )
        self.mapping[rows, serve], self.batch[rows, serve] = mapping, batch[rows]

    def best(self, nre_usd_per_h: Array) -> Best:
        """All of it."""
        values: Any = self.values
        return Best(self.mapping, self.batch, **values, nre_usd_per_h=nre_usd_per_h)
