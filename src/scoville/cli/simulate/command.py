"""The command and its options; what they mean is in engines.py, fleets.py and running.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

_ENGINE, _CACHE, _FLEET, _POOLS, _TRAFFIC, _TARGETS, _OUTPUT = (
    "Engine", "Cache", "Fleet", "Two pools", "Traffic", "Targets", "Output",
)  # fmt: skip


class Grouped(TyperCommand):
    """Plain help, with options under the heads of their panels; those without one come first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, a section for each panel in the order in which panels begin."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is not None:
                head = "Arguments" if param.param_type_name == "argument" else "Deployment"
                groups.setdefault(getattr(param, "rich_help_panel", None) or head, []).append(record)
        for head, records in groups.items():
            with formatter.section(head):
                formatter.write_dl(records)


def simulate(
    trace: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A bundled trace, or the path of one.")],
    model: Annotated[str, typer.Option(help="A bundled model or the path of a config.json.")],
    accelerator: Annotated[str, typer.Option(help="A chip: see `scoville facts`.")],
    parallelism: Annotated[str, typer.Option(help='Sharding of a replica, such as "TP4" or "TP1 DP8 EP8".')] = "TP1",
    weights: Annotated[str, typer.Option(help='Format of the weights; "declared" is the config\'s own.')] = "declared",
    activations: Annotated[str, typer.Option(help="Format of the activations.")] = "bf16",
    kv: Annotated[str, typer.Option(help="Format of the KV cache.")] = "bf16",
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    engine: Annotated[
        str, typer.Option(help="Schedules like vllm, sglang or tensorrt-llm.", rich_help_panel=_ENGINE)
    ] = "vllm",
    policy: Annotated[
        str | None,
        typer.Option(
            help="decode-first, prefill-first or static; this and the next four are the engine's own if left out.",
            rich_help_panel=_ENGINE,
        ),
    ] = None,
    token_budget: Annotated[int | None, typer.Option(help="Most tokens of a step.", rich_help_panel=_ENGINE)] = None,
    max_sequences: Annotated[
        int | None, typer.Option(help="Most running sequences of a replica's scheduler.", rich_help_panel=_ENGINE)
    ] = None,
    asynchronous: Annotated[
        bool | None,
        typer.Option("--asynchronous/--no-asynchronous", help="Schedule during steps.", rich_help_panel=_ENGINE),
    ] = None,
    preemption: Annotated[
        str | None, typer.Option(help="recompute, or swap to --host-memory.", rich_help_panel=_ENGINE)
    ] = None,
    patience: Annotated[
        str | None,
        typer.Option(help='Requests not begun after, e.g., "30 s" are abandoned.', rich_help_panel=_ENGINE),
    ] = None,
    fair: Annotated[
        bool, typer.Option("--fair", help="Serve clients evenly by a virtual token counter.", rich_help_panel=_ENGINE)
    ] = False,
    expert_imbalance: Annotated[
        float,
        typer.Option(help="Load of the busiest experts' rank over the mean, with EP.", rich_help_panel=_ENGINE),
    ] = 1.0,
    drafts: Annotated[
        str | None,
        typer.Option(help='Speculate: acceptance of draft 1, 2, ..., such as "0.85,0.7".', rich_help_panel=_ENGINE),
    ] = None,
    draft: Annotated[
        str | None,
        typer.Option(help="Who drafts: mtp (the model's own layers), text, or a model.", rich_help_panel=_ENGINE),
    ] = None,
    cache_blocks: Annotated[
        int | None,
        typer.Option(min=1, help="Cache of a data-parallel rank; what the memory leaves if left out.",
                     rich_help_panel=_CACHE),
    ] = None,
    prefix_cache: Annotated[
        bool, typer.Option("--prefix-cache", help="Keep and share prefixes of prompts.", rich_help_panel=_CACHE)
    ] = False,
    host_memory: Annotated[
        str | None,
        typer.Option(help='Of a replica, such as "200 GB", for evicted prefixes or swapped requests.',
                     rich_help_panel=_CACHE),
    ] = None,
    replicas: Annotated[int | None, typer.Option(help="How many; 1 if left out.", rich_help_panel=_FLEET)] = None,
    routing: Annotated[
        str | None,
        typer.Option(
            help="round-robin (if left out), least-loaded, power-of-two, sticky or prefix-aware.",
            rich_help_panel=_FLEET,
        ),
    ] = None,
    queue_limit: Annotated[
        int | None, typer.Option(min=1, help="Reject where so many wait.", rich_help_panel=_FLEET)
    ] = None,
    autoscale: Annotated[
        str | None,
        typer.Option(help='"1 to 8, 20 requests each, every 15 s", and if you know it "start 215 s".',
                     rich_help_panel=_FLEET),
    ] = None,
    chip_mtbf: Annotated[
        str | None,
        typer.Option(help='Mean time between failures of a chip, such as "50000 h".', rich_help_panel=_FLEET),
    ] = None,
    repair: Annotated[
        str | None,
        typer.Option(help="Until a failed replica is up again; as long as a start if left out.",
                     rich_help_panel=_FLEET),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of failures, drafts and drawn routes.", rich_help_panel=_FLEET)] = 0,
    prefill_replicas: Annotated[
        int | None, typer.Option(help="Serve prompts on so many replicas", rich_help_panel=_POOLS)
    ] = None,
    decode_replicas: Annotated[
        int | None, typer.Option(help="and answers on so many;", rich_help_panel=_POOLS)
    ] = None,
    decode_accelerator: Annotated[
        str | None, typer.Option(help="these on another chip,", rich_help_panel=_POOLS)
    ] = None,
    decode_parallelism: Annotated[str | None, typer.Option(help="or sharded so.", rich_help_panel=_POOLS)] = None,
    link: Annotated[
        str | None,
        typer.Option(help='Carries caches from a prefill replica, such as "100 GB/s"; its scale-out if left out.',
                     rich_help_panel=_POOLS),
    ] = None,
    find_split: Annotated[
        int | None,
        typer.Option(min=2, help="Find the split of so many chips that takes the highest load.",
                     rich_help_panel=_POOLS),
    ] = None,
    load: Annotated[float | None, typer.Option(help="Load, times the trace's own.", rich_help_panel=_TRAFFIC)] = None,
    rate: Annotated[str | None, typer.Option(help='Load, such as "12 requests/s".', rich_help_panel=_TRAFFIC)] = None,
    find_capacity: Annotated[
        bool,
        typer.Option("--find-capacity", help="Find the highest load that meets both targets, and replay it.",
                     rich_help_panel=_TRAFFIC),
    ] = False,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="The same, with loads from a quarter of it to one and a half times it.",
                     rich_help_panel=_TRAFFIC),
    ] = False,
    users: Annotated[
        int | None,
        typer.Option(min=1, help="So many ask the trace's requests, each one after another.",
                     rich_help_panel=_TRAFFIC),
    ] = None,
    think: Annotated[
        str | None, typer.Option(help="Pause of a user after an answer; none if left out.", rich_help_panel=_TRAFFIC)
    ] = None,
    follow_turns: Annotated[
        bool,
        typer.Option("--follow-turns", help="A turn comes its think time after the answer before it.",
                     rich_help_panel=_TRAFFIC),
    ] = False,
    offline: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="A trace that waits from the start, in the last class.",
                     rich_help_panel=_TRAFFIC),
    ] = None,
    ttft: Annotated[str, typer.Option(help="Time to first token, P95.", rich_help_panel=_TARGETS)] = "1 s",
    tpot: Annotated[str, typer.Option(help="Time per output token, P95.", rich_help_panel=_TARGETS)] = "50 ms",
    price: Annotated[
        str | None,
        typer.Option(help='Of a chip, such as "2.5 USD/h"; its rent if left out and known.', rich_help_panel=_OUTPUT),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for requests.parquet, charts and replay.json; replaced when all is written.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON with SI field names.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:  # fmt: skip
    """Replay a trace request by request: what users see, what the chips do, and how much load they take."""
    from scoville.cli.simulate.engines import EngineOptions
    from scoville.cli.simulate.fleets import FleetOptions
    from scoville.cli.simulate.running import Asked, run

    run(
        Asked(
            trace=trace,
            model=model,
            formats=(weights, activations, kv),
            deployments=((accelerator, parallelism), (decode_accelerator, decode_parallelism)),
            facts=tuple(facts or ()),
            engine=EngineOptions(
                engine=engine,
                policy=policy,
                token_budget=token_budget,
                max_sequences=max_sequences,
                asynchronous=asynchronous,
                preemption=preemption,
                patience=patience,
                fair=fair,
                expert_imbalance_frac=expert_imbalance,
                drafts=drafts,
                draft=draft,
                cache_blocks=cache_blocks,
                prefix_cache=prefix_cache,
                host_memory=host_memory,
            ),
            fleet=FleetOptions(
                replicas=replicas,
                routing=routing,
                queue_limit=queue_limit,
                autoscale=autoscale,
                chip_mtbf=chip_mtbf,
                repair=repair,
                seed=seed,
                prefill_replicas=prefill_replicas,
                decode_replicas=decode_replicas,
                link=link,
                find_split=find_split,
                users=users,
                think=think,
                follow_turns=follow_turns,
            ),
            load_frac=load,
            rate=rate,
            find_capacity=find_capacity,
            sweep=sweep,
            offline=offline,
            ttft=ttft,
            tpot=tpot,
            price=price,
            out=out,
            json=json,
        )
    )
