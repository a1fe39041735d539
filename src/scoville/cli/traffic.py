"""`scoville traffic show|convert|synthesise|scale`: look at traffic, and turn it into other traffic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoville.cli.output import digits, print_json, print_table, working
from scoville.errors import TrafficError

if TYPE_CHECKING:
    from scoville.traffic import Trace, TraceStatistics

app = typer.Typer(help="Show, convert, synthesise and scale traffic.", no_args_is_help=True, rich_markup_mode=None)

_BARS = " ▁▂▃▄▅▆▇█"

Source = Annotated[str, typer.Argument(metavar="NAME|PATH", help="A bundled trace, a file, or a ServeGen folder.")]
Target = Annotated[
    Path, typer.Argument(metavar="TO", help="A .parquet or .jsonl (Mooncake) file; it is replaced whole.")
]
Format = Annotated[str | None, typer.Option(help="Format of the source, where it is not seen from its content.")]
To = Annotated[str | None, typer.Option(help="Format to write, where the ending does not tell.")]
Columns = Annotated[
    str | None,
    typer.Option(help="Headers of a plain table by role: arrival=ts[ms],input=prompt,output=answer."),
]
Seed = Annotated[int, typer.Option(help="Seed of every draw.", min=0)]
Duration = Annotated[str | None, typer.Option(help='How much to draw from a ServeGen pool, e.g. "1 h".')]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")]


@app.command()
def show(
    source: Source,
    format: Format = None,
    columns: Columns = None,
    seed: Seed = 0,
    duration: Duration = None,
    json: Json = False,
) -> None:
    """Show load, lengths, burstiness, shape of the day, prefix reuse and sessions."""
    from scoville.traffic import statistics

    trace = _load(source, format, columns, seed, duration)
    with working("counting"):
        found = statistics(trace)
    if json:
        print_json(found)
    else:
        _show(found)


@app.command()
def convert(
    source: Source,
    target: Target,
    format: Format = None,
    to: To = None,
    columns: Columns = None,
    seed: Seed = 0,
    duration: Duration = None,
    json: Json = False,
) -> None:
    """Write a trace as Parquet or Mooncake JSON lines."""
    _write(_load(source, format, columns, seed, duration), target, to, json)


@app.command()
def synthesise(
    source: Source,
    target: Target,
    requests: Annotated[int, typer.Option(help="How many requests to draw.", min=1)],
    seed: Seed = 0,
    format: Format = None,
    to: To = None,
    columns: Columns = None,
    duration: Duration = None,
    json: Json = False,
) -> None:
    """Draw more traffic of the same kind: lengths resampled in pairs, gamma gaps of the same burstiness."""
    from scoville import traffic

    fitted = traffic.fit(_load(source, format, columns, seed, duration))
    with working("drawing"):
        drawn = traffic.synthesise(fitted, requests, seed)
    _write(drawn, target, to, json)


@app.command()
def scale(
    source: Source,
    target: Target,
    tokens_per_day: Annotated[str, typer.Option(help='Mean demand, input and output: "2e12 tokens/day".')],
    format: Format = None,
    to: To = None,
    columns: Columns = None,
    seed: Seed = 0,
    duration: Duration = None,
    json: Json = False,
) -> None:
    """Move arrivals nearer together or further apart, so that mean demand is as asked; the shape stays."""
    from scoville import traffic, units

    demand_tokens_per_s = units.parse(tokens_per_day, "tokens_per_s", "--tokens-per-day")
    trace = _load(source, format, columns, seed, duration)
    _write(traffic.scale_to_demand(trace, demand_tokens_per_s), target, to, json)


def _load(source: str, format: str | None, columns: str | None, seed: int, duration: str | None) -> Trace:
    from scoville import traffic, units

    headers = None if columns is None else _headers(columns)
    duration_s = None if duration is None else units.parse(duration, "s", "--duration")
    with working(f"reading {source}"):
        return traffic.load(source, format=format, columns=headers, seed=seed, duration_s=duration_s)


def _headers(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    for role, sign, header in pairs:
        if not (role and sign and header):
            raise TrafficError(
                f"--columns: '{role}{sign}{header}' is not role=header; expected e.g. arrival=ts[ms],input=prompt"
            )
    return {role.strip(): header.strip() for role, _, header in pairs}


def _write(trace: Trace, target: Path, to: str | None, json: bool) -> None:
    from scoville import traffic

    with working(f"writing {target}"):
        lost = traffic.write(trace, target, format=to)
    if json:
        print_json({"path": target, "requests_count": len(trace), "notes": [*trace.notes, *lost]})
        return
    typer.echo(f"{target}: {len(trace):,} requests in {digits(trace.duration_s)} s")
    _say((*trace.notes, *lost))


def _say(notes: Sequence[str]) -> None:
    for note in notes:
        typer.echo(f"note: {note}")


def _show(s: TraceStatistics) -> None:
    rows: list[tuple[str, str | float]] = [
        ("requests", f"{s.requests_count:,}"),
        ("duration, s", s.duration_s),
        ("requests per s", _known(s.requests_count_per_s)),
        ("demand, tokens/s", _known(s.demand_tokens_per_s)),
        ("demand, tokens/day", _known(s.demand_tokens_per_s, 86400)),
        ("gaps, squared coefficient of variation", _known(s.gap_scv_frac)),
    ]
    rows += [(f"index of dispersion over {d.window_s:g} s", _known(d.index_frac)) for d in s.dispersion]
    if s.diurnal is not None:
        rows.append(("peak hour over mean, tokens", s.diurnal.peak_to_mean_frac))
    if s.prefix is not None:
        rows.append(
            (
                f"input tokens in a prefix seen before ({s.prefix.block_tokens}-token blocks), %",
                100 * s.prefix.reused_frac,
            )
        )
    if s.clients_count is not None:
        rows.append(("clients", f"{s.clients_count:,}"))
    if s.sessions is not None:
        rows += [
            ("sessions", f"{s.sessions.sessions_count:,}"),
            ("turns per session", s.sessions.turns_per_session_count),
            ("mean think time, s", _known(s.sessions.mean_think_s)),
        ]
    print_table(("trace", "value"), rows, title=f"{s.name}: {s.source}")
    typer.echo()
    heads = ("tokens per request", "mean", "min", "P10", "P50", "P90", "P95", "P99", "max", "from 1, by powers of two")
    lengths = [
        (
            name, x.mean_tokens, f"{x.min_tokens:,}", x.p10_tokens, x.p50_tokens, x.p90_tokens, x.p95_tokens,
            x.p99_tokens, f"{x.max_tokens:,}", _bars(x.by_power_of_two_count),
        )
        for name, x in (("input", s.input), ("output", s.output))
    ]  # fmt: skip
    print_table(heads, lengths)
    if s.diurnal is not None:
        typer.echo(f"\ntokens/s by hour from the first request: {_bars(s.diurnal.hourly_tokens_per_s)}")
    typer.echo()
    _say(s.notes)


def _known(value: float | None, times: float = 1.0) -> float:
    """nan, which prints as a dash, for what is not known."""
    return float("nan") if value is None else value * times


def _bars(values: Sequence[float]) -> str:
    """One character per value, its height against the largest; anything above 0 is seen."""
    top = max(values)
    heights = [0 if v == 0 else max(1, round(v / top * (len(_BARS) - 1))) for v in values]
    return "".join(_BARS[h] for h in heights)
