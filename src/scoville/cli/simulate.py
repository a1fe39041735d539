"""`scoville simulate`: a trace replayed request by request on replicas of one deployment."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from scoville.errors import TrafficError, UnitError

if TYPE_CHECKING:
    from scoville.serving.settings import EngineSettings
    from scoville.traffic import Trace


def simulate(
    trace: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A bundled trace, or the path of one.")],
    model: Annotated[str, typer.Option(help="A bundled model or the path of a config.json.")],
    accelerator: Annotated[str, typer.Option(help="A chip: see `scoville facts`.")],
    parallelism: Annotated[str, typer.Option(help='Sharding of a replica, such as "TP4" or "TP8 EP8".')] = "TP1",
    replicas: Annotated[int, typer.Option(help="How many, served round robin.")] = 1,
    engine: Annotated[str, typer.Option(help="Schedules like vllm, sglang or tensorrt-llm.")] = "vllm",
    token_budget: Annotated[
        int | None, typer.Option(help="Most tokens of a step; the engine's default if left out.")
    ] = None,
    max_sequences: Annotated[int | None, typer.Option(help="Most running sequences of a replica; likewise.")] = None,
    cache_blocks: Annotated[
        int | None, typer.Option(min=1, help="Cache of a replica; what the memory leaves if left out.")
    ] = None,
    weights: Annotated[str, typer.Option(help='Format of the weights; "declared" is the config\'s own.')] = "declared",
    activations: Annotated[str, typer.Option(help="Format of the activations.")] = "bf16",
    kv: Annotated[str, typer.Option(help="Format of the KV cache.")] = "bf16",
    ttft: Annotated[str, typer.Option(help="Target of the time to first token, P95.")] = "1 s",
    tpot: Annotated[str, typer.Option(help="Target of the time per output token, P95.")] = "50 ms",
    load: Annotated[float | None, typer.Option(help="Load, times the trace's own.")] = None,
    rate: Annotated[str | None, typer.Option(help='Load, such as "12 requests/s".')] = None,
    find_capacity: Annotated[
        bool, typer.Option("--find-capacity", help="Find the highest load that meets both targets, and replay it.")
    ] = False,
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for requests.parquet, charts and replay.json; replaced when all is written."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")] = False,
) -> None:
    """Replay a trace request by request: what users see, what the chips do, and how much load they take."""
    import numpy as np

    from scoville import facts as known
    from scoville import traffic, transformer
    from scoville.cli.output import console, working
    from scoville.report.folder import as_json, check
    from scoville.report.replay import RESULT, show, write
    from scoville.report.summary import Setting, summarise
    from scoville.serving import Targets
    from scoville.serving import engine as engines
    from scoville.serving import load as loads
    from scoville.serving.settings import preset
    from scoville.serving.simulate import simulate as run
    from scoville.study import lines
    from scoville.study.rows import shown_value
    from scoville.timing.chips import timing_evidence
    from scoville.transformer.sharding import operator_table
    from scoville.transformer.step import Parallelism, Precision

    targets = Targets(_above_zero(ttft, "s", "--ttft"), _above_zero(tpot, "s", "--tpot"))
    if (load is not None) + (rate is not None) + find_capacity > 1:
        raise TrafficError("simulate: give one of --load, --rate and --find-capacity")
    if out is not None:
        check(out, RESULT)  # before the work, not after it
    with working(f"reading {trace}") as now:
        book = known.load(facts or ())
        settings = _settings(preset(engine, book), token_budget, max_sequences, cache_blocks)
        chip = book.accelerator(accelerator)
        architecture = transformer.load(model)
        precision, sharding = Precision(weights, activations, kv), Parallelism.parse(parallelism)
        one = engines.engine(chip, book, operator_table(architecture, precision, sharding), settings)
        asked = traffic.load(trace)
        factor = 1.0 if load is None else load
        if rate is not None:
            factor = _rate(rate) / _own_rate(asked, "--rate")
        if not 0 < factor < float("inf"):
            raise TrafficError(f"--load: {factor:g} is no load; expected a number above 0")
        now("loading the simulator (compiled once, after installation)")
        run(traffic.Trace("one request", "", np.zeros(1), np.ones(1, int), np.ones(1, int)), one, 1)
        each = " each time" if find_capacity else ""
        now(f"{'searching the highest load' if find_capacity else 'replaying'}: {len(asked):,} requests{each}")
        start = perf_counter()
        if find_capacity:
            _own_rate(asked, "--find-capacity")
            found = loads.capacity(asked, lambda some: run(some, one, replicas), targets)
            factor, replay = found.load_frac, found.replay
        else:
            replay = run(asked.stretched(1 / factor), one, replicas)
        took_s = perf_counter() - start
        setting = Setting(
            trace=asked.name,
            source=asked.source,
            load_frac=factor,
            load_found=find_capacity,
            model=architecture.name,
            precision=lines.precision(architecture, precision),
            accelerator=chip.id,
            accelerator_name=chip.name,
            evidence=timing_evidence(chip, book),
            parallelism=str(sharding),
            user_facts=tuple(f"{f.key} = {shown_value(f)} ({f.place})" for f in book.user_facts),
            notes=asked.notes,
        )
        summary = summarise(replay, setting, targets)
        if out is not None:
            now("drawing")
            write(summary, replay, out)
    if json:
        typer.echo(as_json(summary), nl=False)
        return
    show(summary, console())
    if out is not None:
        typer.echo(f"\nWritten: {out}/requests.parquet, {out}/charts, {out}/replay.json")
    if sys.stderr.isatty() and not find_capacity:
        typer.echo(f"replayed {len(replay) / took_s:,.0f} requests per second", err=True)


def _settings(
    base: EngineSettings, token_budget: int | None, max_sequences: int | None, cache_blocks: int | None
) -> EngineSettings:
    from dataclasses import replace

    return replace(
        base,
        token_budget=base.token_budget if token_budget is None else token_budget,
        max_sequences=base.max_sequences if max_sequences is None else max_sequences,
        cache_blocks=cache_blocks,
    )


def _above_zero(text: str, measure: str, where: str) -> float:
    from scoville.units import example, parse

    value = parse(text, measure, where)
    if value <= 0:
        raise UnitError(f"{where}: '{text}' is not above 0; expected e.g. '{example(measure)}'")
    return value


def _rate(text: str) -> float:
    try:
        return _above_zero(text, "count_per_s", "--rate")
    except UnitError:
        raise UnitError(f"--rate: '{text}' is no rate; expected e.g. '12 requests/s'") from None


def _own_rate(trace: Trace, option: str) -> float:
    if trace.duration_s <= 0:
        raise TrafficError(
            f"{trace.name}: all {len(trace):,} requests arrive at once, so there is no rate for {option} to change"
        )
    return len(trace) / trace.duration_s
