"""`scoville predict`: one model on one sharding of one chip, in steady state, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoville.cli.output import digits, print_json, print_table

if TYPE_CHECKING:
    from scoville.facts import Range
    from scoville.serving.predict import Prediction
    from scoville.timing import OperatorTime


def predict(
    model: Annotated[str, typer.Option(help="A bundled model or the path of a config.json.")],
    accelerator: Annotated[str, typer.Option(help="A chip: see `scoville facts`.")],
    parallelism: Annotated[str, typer.Option(help='Such as "TP4" or "TP1 DP8 EP8"; degrees left out are 1.')] = "TP1",
    trace: Annotated[str | None, typer.Option(help="Traffic: a bundled name or a path.")] = None,
    input: Annotated[int | None, typer.Option(min=1, help="Prompt tokens, instead of a trace.")] = None,
    output: Annotated[int | None, typer.Option(min=1, help="Answer tokens, instead of a trace.")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Sequences in decode; the best under the targets if left out.")
    ] = None,
    ttft: Annotated[str, typer.Option(help="Target of the time to first token, P95.")] = "1 s",
    tpot: Annotated[str, typer.Option(help="Target of the time per output token, P95.")] = "50 ms",
    weights: Annotated[str, typer.Option(help='Format of the weights; "declared" is the config\'s own.')] = "declared",
    activations: Annotated[str, typer.Option(help="Format of the activations.")] = "bf16",
    kv: Annotated[str, typer.Option(help="Format of the KV cache.")] = "bf16",
    timer: Annotated[
        str, typer.Option(help='Whose kernels: "vllm", "trtllm", or "systolic" for the arrays of the chip.')
    ] = "vllm",
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")] = False,
) -> None:
    """Predict throughput, latency, memory and energy of one configuration."""
    import numpy as np

    from scoville import facts as known
    from scoville import traffic, transformer
    from scoville.errors import DeploymentError, TrafficError, nearest
    from scoville.serving import Targets, shape
    from scoville.serving.predict import predict as run
    from scoville.timing import TIMERS
    from scoville.transformer.sharding import operator_table
    from scoville.transformer.step import Parallelism, Precision, windows
    from scoville.units import parse

    if (trace is None) == (input is None or output is None):
        raise TrafficError("predict: give either --trace, or both --input and --output")
    if timer not in TIMERS:
        raise DeploymentError(f"--timer {timer}: no such timer; {nearest(timer, TIMERS)}")
    book = known.load(facts or ())
    architecture = transformer.load(model)
    targets = Targets(parse(ttft, "s", "--ttft"), parse(tpot, "s", "--tpot"))
    table = operator_table(architecture, Precision(weights, activations, kv), Parallelism.parse(parallelism))
    if trace is not None:
        asked = traffic.load(trace)
    else:
        asked = traffic.Trace("fixed lengths", "--input, --output", np.zeros(1), np.array([input]), np.array([output]))
    reduced = shape(asked, windows(architecture), book.get("engine", "token_budget").number)
    found = run(book.accelerator(accelerator), book, table, reduced, targets, batch, kernels=timer)
    if json:
        print_json(found)
    else:
        _show(found)


def _range(r: Range, unit: str) -> str:
    from scoville.units import to_unit

    low, middle, high = (to_unit(x, r.measure, unit) for x in (r.p10, r.central, r.p90))
    return f"{digits(middle)} ({digits(low)}–{digits(high)})"


def _show(p: Prediction) -> None:
    from scoville.units import show

    typer.echo(
        f"{p.model} on {p.parallelism} x {p.accelerator} ({p.chips_count} chips, computes in "
        f"{', '.join(p.computes_in)}), batch {p.batch_count}; limit: {p.limit}\n"
        f"Timing of this chip: {p.evidence}. Central value, then P10–P90.\n"
    )
    print_table(
        ("", ""),
        (
            ("tokens/s per chip, input and output", _range(p.tokens_per_s_per_chip, "tokens/s")),
            ("tokens/s per user", _range(p.tokens_per_s_per_user, "tokens/s")),
            ("requests/s", _range(p.requests_per_s, "Hz")),
            ("TPOT, ms: mean", _range(p.tpot_s, "ms")),
            ("TPOT, ms: at the target's percentile", _range(p.tpot_percentile_s, "ms")),
            ("TTFT, ms: mean", _range(p.ttft_s, "ms")),
            ("TTFT, ms: at the target's percentile", _range(p.ttft_percentile_s, "ms")),
            (
                "energy of the chip's arithmetic, memory and links, J per token (not validated)",
                _range(p.energy_j_per_token, "J/token"),
            ),
            ("engine time on prefill", f"{p.prefill_frac:.0%}"),
            ("memory per chip: weights", show(p.weights_bytes, "bytes")),
            (
                "memory per chip: cache used of room",
                f"{show(p.cache_used_bytes, 'bytes')} of {show(p.cache_room_bytes, 'bytes')}",
            ),
        ),
    )  # fmt: skip
    operators("Average decode step", p.decode)
    operators("Step with a full chunk of prefill", p.mixed)


def operators(title: str, found: tuple[OperatorTime, ...]) -> None:
    """Print the operators of a step, the longest first, with where their times come from."""
    total = sum(t.time_s * t.runs_count for t in found)
    typer.echo("")
    print_table(
        ("operator", "runs", "each, us", "share, %", "GFLOP", "MB", "link MB", "limit", "computes in", "time from"),
        [
            (
                t.name, t.runs_count, t.time_s * 1e6, 100 * t.time_s * t.runs_count / total, t.flop / 1e9,
                t.memory_bytes / 1e6, t.link_bytes / 1e6, t.limit, t.rate, t.source,
            )
            for t in sorted(found, key=lambda t: -t.time_s * t.runs_count)
            if t.time_s > 0
        ],
        title=f"{title}: {total * 1e3:.3g} ms on one chip of each stage in turn, engine overhead apart",
    )  # fmt: skip
    outside = sum(t.time_s * t.runs_count for t in found if t.source == "extrapolated")
    if outside > 0:
        typer.echo(f"Extrapolated: {outside / total:.0%} of the time is of shapes outside what was measured.")
