"""The work of `scoville simulate`, from what was asked to tables and files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import typer

from scoville.cli.simulate.engines import EngineOptions, above_zero, settings
from scoville.cli.simulate.fleets import FleetOptions, assumed, failing, fleets, link_of, refuse
from scoville.errors import DeploymentError, TrafficError, UnitError

if TYPE_CHECKING:
    from scoville.facts import Accelerator, Facts
    from scoville.report.replay_records import Deployed, SplitTried, Summary
    from scoville.serving import Targets
    from scoville.serving.engine import Engine
    from scoville.serving.load import Capacity, Replayer, Tried
    from scoville.serving.offline import Mixed
    from scoville.serving.pools import Link, Split
    from scoville.serving.replay import Replay
    from scoville.serving.settings import Fleet
    from scoville.traffic import Trace
    from scoville.transformer.architecture import Architecture
    from scoville.transformer.step import Precision

_SWEEP_FRAC = (0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5)  # of the highest load that meets the targets
_NEAR_FRAC = 0.04  # a load so near to one that was tried is not tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line said."""

    trace: str
    model: str
    formats: tuple[str, str, str]
    deployments: tuple[tuple[str, str], tuple[str | None, str | None]]
    facts: tuple[Path, ...]
    engine: EngineOptions
    fleet: FleetOptions
    load_frac: float | None
    rate: str | None
    find_capacity: bool
    sweep: bool
    offline: str | None
    ttft: str
    tpot: str
    price: str | None
    out: Path | None
    json: bool

    @property
    def searches(self) -> bool:
        """Whether the highest load is looked for."""
        return self.find_capacity or self.sweep or self.fleet.find_split is not None


@dataclass(frozen=True, slots=True)
class _Found:
    """What was replayed in the end, and on the way to it."""

    load_frac: float
    replay: Replay
    mixed: Mixed | None = None
    tried: tuple[Tried, ...] = ()
    splits: tuple[SplitTried, ...] = ()


def run(asked: Asked) -> None:
    """Replay, show, and write what is to be written."""
    from scoville import facts as known
    from scoville import traffic, transformer
    from scoville.cli.output import console, working
    from scoville.report.folder import as_json, check
    from scoville.report.replay import RESULT, show, write
    from scoville.report.replay_records import Setting
    from scoville.report.summary import summarise
    from scoville.serving import Targets
    from scoville.study import lines
    from scoville.study.rows import shown_value
    from scoville.transformer.step import Precision

    targets = Targets(above_zero(asked.ttft, "s", "--ttft"), above_zero(asked.tpot, "s", "--tpot"))
    _refuse(asked)
    if asked.out is not None:
        check(asked.out, RESULT)  # before the work, not after it
    with working(f"reading {asked.trace}") as now:
        book = known.load(asked.facts)
        architecture = transformer.load(asked.model)
        precision = Precision(*asked.formats)
        plain = fleets(asked.fleet, book)
        pools = _pools(asked, book, architecture, precision)
        deployed = tuple(_deployed(chip, sharding, book, asked.price) for chip, sharding, _ in pools)
        engines = tuple(one for *_, one in pools)
        trace = traffic.load(asked.trace)
        waiting = None if asked.offline is None else traffic.load(asked.offline)
        link, said = link_of(asked.fleet, book, pools[0][0].name, engines[0]) if len(engines) > 1 else (None, "")
        now("loading the simulator (compiled once, after installation)")
        _warm(engines)
        start = perf_counter()
        replay = _replayer(asked, book, engines, plain, link)
        found = _found(asked, replay, engines, link, targets, trace, waiting, now)
        took_s = perf_counter() - start
        setting = Setting(
            trace=trace.name,
            source=trace.source,
            load_frac=found.load_frac,
            load_found=asked.searches,
            model=architecture.name,
            precision=lines.precision(architecture, precision),
            deployed=deployed,
            offline_trace="" if waiting is None else waiting.name,
            tried=found.tried,
            splits=found.splits,
            assumptions=(
                *assumed(asked.fleet, book, said, sum(len(p.fleet.failures) for p in found.replay.pools)),
                *_prices(deployed),
            ),
            user_facts=tuple(f"{f.key} = {shown_value(f)} ({f.place})" for f in book.user_facts),
            notes=(*trace.notes, *(() if waiting is None else waiting.notes)),
        )
        summary = summarise(found.replay, setting, targets, found.mixed)
        if asked.out is not None:
            now("drawing")
            write(summary, found.replay, asked.out, None if found.mixed is None else found.mixed.offline)
    if asked.json:
        typer.echo(as_json(summary), nl=False)
        return
    show(summary, console())
    if asked.out is not None:
        typer.echo(_written(summary, asked.out))
    if sys.stderr.isatty() and not asked.searches:
        typer.echo(f"replayed {len(found.replay) / took_s:,.0f} requests per second", err=True)


def _refuse(asked: Asked) -> None:
    f = asked.fleet
    loads = (asked.load_frac is not None) + (asked.rate is not None) + (asked.find_capacity or asked.sweep)
    if loads > 1:
        raise TrafficError("simulate: give one of --load, --rate, and --find-capacity or --sweep")
    if loads and f.users is not None:
        raise TrafficError("--users ask one request after another, whatever the trace's rate; leave the load out")
    if loads and f.find_split is not None:
        raise TrafficError("--find-split finds the highest load of every split by itself; leave the load out")
    if asked.offline is not None:
        for option, given in (
            ("--users", f.users), ("--patience", asked.engine.patience), ("--queue-limit", f.queue_limit),
            ("--autoscale", f.autoscale), ("--find-split", f.find_split),
        ):  # fmt: skip
            if given is not None:
                raise DeploymentError(
                    f"{option}: requests of --offline wait all the time and would count for it; leave one out"
                )
    refuse(f)
    if not f.two_pools:
        for option, word in zip(("--decode-accelerator", "--decode-parallelism"), asked.deployments[1], strict=True):
            if word is not None:
                raise DeploymentError(f"{option} is for two pools; add --prefill-replicas and --decode-replicas")


def _pools(
    asked: Asked, book: Facts, architecture: Architecture, precision: Precision
) -> tuple[tuple[Accelerator, str, Engine], ...]:
    """Chip, sharding and engine of each pool: prompts have no use for drafts, answers none for a prefix cache."""
    from scoville.serving.engine import engine
    from scoville.transformer.sharding import operator_table
    from scoville.transformer.step import Parallelism

    (first_chip, first_sharding), (second_chip, second_sharding) = asked.deployments
    kinds = [(first_chip, first_sharding)]
    if asked.fleet.two_pools:
        kinds.append((second_chip or first_chip, second_sharding or first_sharding))
    made = []
    for i, (name, sharding) in enumerate(kinds):
        chip = book.accelerator(name)
        table = operator_table(architecture, precision, Parallelism.parse(sharding))
        own = settings(asked.engine, book, architecture, table)
        if len(kinds) > 1 and i == 0:
            own = replace(own, speculation=None)
        if i == 1:
            own = replace(own, prefix_cache=False, patience_s=None)
            own = own if own.on_preemption == "swap" else replace(own, host_blocks=0)
        made.append((chip, str(table.parallelism), engine(chip, book, table, own)))
    return tuple(made)


def _warm(engines: tuple[Engine, ...]) -> None:
    import numpy as np

    from scoville.serving.simulate import simulate
    from scoville.traffic import Trace

    one = replace(engines[0], settings=replace(engines[0].settings, prefix_cache=False, fair=False))
    simulate(Trace("one request", "", np.zeros(1), np.ones(1, int), np.ones(1, int)), one, 1)


def _found(
    asked: Asked,
    replay: Replayer,
    engines: tuple[Engine, ...],
    link: Link | None,
    targets: Targets,
    trace: Trace,
    waiting: Trace | None,
    now: Callable[[str], None],
) -> _Found:
    from scoville.serving.load import capacity
    from scoville.serving.offline import mixed

    if asked.fleet.find_split is not None and link is not None:
        _own_rate(trace, "--find-split")
        return _split(asked.fleet.find_split, engines, link, targets, trace, now)
    alone: Replayer = replay if waiting is None else lambda some: mixed(some, waiting, replay).online
    factor = _factor(asked, trace)
    tried: tuple[Tried, ...] = ()
    if asked.searches:
        _own_rate(trace, "--find-capacity")
        now(f"searching the highest load: {len(trace):,} requests each time")
        best = capacity(trace, alone, targets, progress=lambda p: now(f"searching the highest load: {_said(p)}"))
        points = best.tried if not asked.sweep else _swept(trace, alone, best, targets, now)
        if waiting is None:
            return _Found(best.load_frac, best.replay, tried=points)
        factor, tried = best.load_frac, points
    now(f"replaying {len(trace):,} requests")
    some = trace.stretched(1 / factor)
    if waiting is None:
        return _Found(factor, replay(some))
    both = mixed(some, waiting, replay)
    return _Found(factor, both.online, both, tried)


def _replayer(
    asked: Asked, book: Facts, engines: tuple[Engine, ...], plain: tuple[Fleet, ...], link: Link | None
) -> Replayer:
    """What replays a trace on the fleets that were asked for, with the failures of a run of its length."""
    from scoville.serving.pools import disaggregate
    from scoville.serving.simulate import simulate

    def replay(some: Trace) -> Replay:
        made: list[Fleet] = [
            failing(fleet, asked.fleet, book, one.chips_count, some.duration_s, i)
            for i, (fleet, one) in enumerate(zip(plain, engines, strict=True))
        ]
        if link is None:
            return simulate(some, engines[0], made[0])
        return disaggregate(some, engines[0], engines[1], made[0], made[1], link)

    return replay


def _swept(
    trace: Trace, replay: Replayer, best: Capacity, targets: Targets, now: Callable[[str], None]
) -> tuple[Tried, ...]:
    """The loads of the search with others from far below its result to far above it, lowest first."""
    from scoville.serving.load import sweep

    points = list(best.tried)
    for frac in _SWEEP_FRAC:
        load = frac * best.load_frac
        if all(abs(p.load_frac / load - 1) > _NEAR_FRAC for p in points):
            now(f"sweeping: {load:.3g} times the trace's own load")
            points += sweep(trace, replay, (load,), targets)
    return tuple(sorted(points, key=lambda p: p.load_frac))


def _split(
    chips: int, engines: tuple[Engine, ...], link: Link, targets: Targets, trace: Trace, now: Callable[[str], None]
) -> _Found:
    from scoville.report.replay_records import SplitTried
    from scoville.serving.pools import best_split

    now(f"searching the highest load of every split of {chips} chips")

    def heard(s: Split) -> None:
        where = f"{s.prefill_replicas} prefill and {s.decode_replicas} decode replicas"
        now(f"{where} take {s.capacity.load_frac:.3g} times the trace's own load")

    found = best_split(trace, engines[0], engines[1], chips, link, targets, progress=heard)
    best = found[0].capacity
    rows = tuple(
        SplitTried(
            prefill_replicas_count=s.prefill_replicas,
            decode_replicas_count=s.decode_replicas,
            chips_count=s.prefill_replicas * engines[0].chips_count + s.decode_replicas * engines[1].chips_count,
            load_frac=s.capacity.load_frac,
            requests_per_s=float(s.capacity.replay.served.sum()) / s.capacity.replay.duration_s,
            tokens_per_s=s.capacity.replay.tokens_per_s,
            tokens_per_s_per_chip=s.tokens_per_s_per_chip,
        )
        for s in found
    )
    return _Found(best.load_frac, best.replay, tried=best.tried, splits=rows)


def _said(p: Tried) -> str:
    from scoville.units import show

    holds = "holds" if p.met else "misses"
    seen = f"TTFT {show(p.ttft_percentile_s, 's')}, TPOT {show(p.tpot_percentile_s, 's')}"
    return f"{p.load_frac:.3g} times the trace's own {holds} ({seen})"


def _deployed(chip: Accelerator, sharding: str, book: Facts, price: str | None) -> Deployed:
    """A pool's chip and its price: the one given, else the newest rent of the longest term that is known."""
    from scoville.economics.hourly import TERMS, HourlyCost, rented
    from scoville.facts import Draws
    from scoville.report.replay_records import Deployed
    from scoville.timing.chips import timing_evidence

    usd, whose = float("nan"), ""
    if price is not None:
        usd, whose = above_zero(price, "usd_per_h", "--price"), "--price"
    else:
        offers = (rented(chip, Draws.central(), vintage="", term=term) for term in TERMS)
        rent = next((offer for offer in offers if isinstance(offer, HourlyCost)), None)
        if rent is not None:
            usd, whose = float(rent.total_usd_per_h[0]), f"{rent.facts[0].key}"
    return Deployed(chip.id, chip.name, timing_evidence(chip, book), sharding, usd, whose)


def _prices(deployed: tuple[Deployed, ...]) -> tuple[str, ...]:
    said = []
    for d in deployed:
        if not d.price:
            said.append(f"nobody rents {d.accelerator_name}, so that costs are left out; --price gives one")
        elif d.price != "--price":
            said.append(f"an hour of {d.accelerator_name} costs {d.usd_per_chip_h:.3g} USD (fact {d.price})")
    if len({d.usd_per_chip_h for d in deployed if d.price}) > 1:
        said.append("a request is charged for its share of the chip time at the mean price of both pools")
    return tuple(dict.fromkeys(said))


def _written(s: Summary, out: Path) -> str:
    clients = f"{out}/clients.parquet, " if s.top_clients else ""
    return f"\nWritten: {out}/requests.parquet, {clients}{out}/charts, {out}/replay.json"


def _factor(asked: Asked, trace: Trace) -> float:
    factor = 1.0 if asked.load_frac is None else asked.load_frac
    if asked.rate is not None:
        factor = _rate(asked.rate) / _own_rate(trace, "--rate")
    if not 0 < factor < float("inf"):
        raise TrafficError(f"--load: {factor:g} is no load; expected a number above 0")
    return factor


def _rate(text: str) -> float:
    try:
        return above_zero(text, "count_per_s", "--rate")
    except UnitError:
        raise UnitError(f"--rate: '{text}' is no rate; expected e.g. '12 requests/s'") from None


def _own_rate(trace: Trace, option: str) -> float:
    if trace.duration_s <= 0:
        raise TrafficError(
            f"{trace.name}: all {len(trace):,} requests arrive at once, so there is no rate for {option} to change"
        )
    return len(trace) / trace.duration_s
