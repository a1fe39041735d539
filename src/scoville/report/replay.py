"""A replay in the terminal and as files: requests.parquet, charts/*.png, replay.json."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from scoville.report import theme, wording
from scoville.report.charts.replay import charts, share
from scoville.report.folder import as_json, pictures, replaced
from scoville.report.summary import Latency, Summary
from scoville.serving.replay import Replay
from scoville.units import show as quantity

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

RESULT = "replay.json"
REQUESTS = "requests.parquet"
_IN_SECONDS_FROM_S = 10.0


def write(summary: Summary, replay: Replay, folder: Path) -> list[Path]:
    """Write the replay into `folder` and return its files; an earlier replay there is replaced when all is written.

    Raises StudyError where `folder` is a file, holds something that is no replay, or cannot be written.
    """
    with replaced(folder, RESULT) as new:
        (new / RESULT).write_text(as_json(summary), encoding="utf-8")
        _requests(summary, replay, new / REQUESTS)
        specs = {name: theme.specification(chart) for name, chart in charts(summary, replay).items()}
        names = [RESULT, REQUESTS, *pictures(specs, new)]
    return [folder / name for name in names]


def _requests(summary: Summary, replay: Replay, path: Path) -> None:
    """One row per request, in the order of the trace; arrivals as replayed, all else seconds from the arrival."""
    import polars as pl

    columns = (
        "arrival_s", "input_tokens", "output_tokens", "queue_s", "ttft_s", "tpot_s", "max_gap_s", "end_s",
        "preemptions_count",
    )  # fmt: skip
    pl.DataFrame(
        {name: getattr(replay, name) for name in columns} | {"met": replay.met(summary.targets)}
    ).write_parquet(path)


def show(summary: Summary, console: Console) -> None:
    """Print the summary, fitted to the width of the console."""
    for part in parts(summary):
        console.print(part)


def parts(s: Summary) -> list[RenderableType]:
    """The summary as rich renderables, with empty lines between its parts."""
    from rich.text import Text

    first, *rest = circumstances(s)
    shown: list[RenderableType] = [Text(first, style="bold"), *(Text(line, style="dim") for line in rest)]
    if s.setting.user_facts:
        shown.append(Text(f"This result uses your own facts: {'; '.join(s.setting.user_facts)}.", style="bold"))
    shown += ["", *(Text(line) for line in findings(s)), ""]
    shown += [_latencies(s), "", _rest(s)]
    notes = [f"note: {note}" for note in s.setting.notes]
    if s.single_token_count:
        one = s.single_token_count == 1
        said = "1 answer of one token counts" if one else f"{s.single_token_count:,} answers of one token count"
        notes.append(f"note: {said} with a TPOT and a gap of 0")
    return shown + (["", *(Text(note, style="dim") for note in notes)] if notes else [])


def circumstances(s: Summary) -> tuple[str, ...]:
    """What was run, a line for each part of it."""
    a, e = s.setting, s.engine
    evidence = wording.EVIDENCE.get(a.evidence, a.evidence)
    order = {"decode_first": "decodes first", "prefill_first": "prompts first"}[e.policy]
    chips = "chip" if s.chips_count == 1 else "chips"
    room = {"preempt": "preempts when the cache is full", "full": "reserves the whole answer at admission"}
    return (
        f"{a.model} on {s.replicas_count} x {a.parallelism} {a.accelerator_name} ({s.chips_count} {chips})",
        f"Formats: {a.precision}",
        f"Timing of this chip: {evidence}",
        f"Engine: {e.name}, {order}, {room[e.reservation]}; token budget {e.token_budget:,}, at most "
        f"{e.max_sequences:,} sequences",
        f"Cache of a replica: {s.cache_blocks_count:,} blocks of {e.block_tokens} tokens, {s.cache_tokens:,} tokens",
        f"Traffic: {a.trace}, {s.requests_count:,} requests, {_load(s)} ({a.source})",
    )


def _load(s: Summary) -> str:
    if not math.isfinite(s.load_requests_per_s):
        return "all at once"
    times = "its own rate" if s.setting.load_frac == 1 else f"{wording.plain(s.setting.load_frac)} times its own rate"
    rate, tokens = wording.plain(s.load_requests_per_s), wording.plain(s.load_tokens_per_s)
    return f"at {times}: {rate} requests/s, {tokens} tokens/s"


def findings(s: Summary) -> tuple[str, ...]:
    """Whether the targets hold, and the highest load that meets them where that was asked for."""
    t = s.targets
    seen = [
        f"P{percentile * 100:g} of {name} is {quantity(found, 's')}, {'within' if found <= target else 'over'} "
        f"{quantity(target, 's')}"
        for name, percentile, found, target in (
            ("TTFT", t.ttft_percentile_frac, s.ttft_percentile_s, t.ttft_s),
            ("TPOT", t.tpot_percentile_frac, s.tpot_percentile_s, t.tpot_s),
        )
    ]
    missed = [
        name
        for name, met in (("TTFT", s.ttft_percentile_s <= t.ttft_s), ("TPOT", s.tpot_percentile_s <= t.tpot_s))
        if not met
    ]
    holds = ("Both targets hold", f"{missed and missed[0]} misses its target", "Both targets are missed")[len(missed)]
    line = f"{holds}: {'; '.join(seen)}."
    if not s.setting.load_found:
        return (line,)
    return (
        f"The highest load that meets the targets is {wording.plain(s.setting.load_frac)} times the trace's own: "
        f"{wording.plain(s.load_requests_per_s)} requests/s, {wording.plain(s.load_tokens_per_s)} tokens/s, "
        f"{wording.plain(s.load_tokens_per_s / s.chips_count)} tokens/s per chip.",
        line,
    )


def _latencies(s: Summary) -> Table:
    made = _table("latency", "mean", "P50", "P90", "P95", "P99", "max")
    for name, found in (
        ("queue", s.queue),
        ("time to first token (TTFT)", s.ttft),
        ("time per token after it (TPOT)", s.tpot),
        ("gap between two tokens, all gaps", s.gap),
        ("largest gap of a request", s.max_gap),
        ("end to end", s.end),
    ):
        unit, cells = _in_unit(found)
        made.add_row(f"{name}, {unit}", *cells)
    return made


def _in_unit(found: Latency) -> tuple[str, list[str]]:
    """Milliseconds, or seconds where a twentieth takes more than ten of them."""
    in_seconds = found.p95_s > _IN_SECONDS_FROM_S
    values = (found.mean_s, found.p50_s, found.p90_s, found.p95_s, found.p99_s, found.max_s)
    return "s" if in_seconds else "ms", [wording.digits(x if in_seconds else x * 1e3) for x in values]


def _rest(s: Summary) -> Table:
    made = _table("", "")
    ttft, tpot = quantity(s.targets.ttft_s, "s"), quantity(s.targets.tpot_s, "s")
    for name, cell in (
        ("served, requests/s", wording.digits(s.requests_per_s)),
        ("served, output tokens/s", wording.digits(s.output_tokens_per_s)),
        ("served, input and output tokens/s", wording.digits(s.tokens_per_s)),
        ("served, tokens/s per chip", wording.digits(s.tokens_per_s_per_chip)),
        ("goodput (both targets met), requests/s", wording.digits(s.goodput_requests_per_s)),
        (f"requests with TTFT up to {ttft}", share(s.ttft_met_frac)),
        (f"requests with TPOT up to {tpot}", share(s.tpot_met_frac)),
        ("requests that meet both", share(s.met_frac)),
        ("time busy", wording.percent(s.busy_frac)),
        ("running sequences of a replica, mean and most", _both(s.mean_sequences_count, s.most_sequences_count)),
        ("cache in use, mean and most", f"{wording.percent(s.mean_cache_frac)}, {wording.percent(s.most_cache_frac)}"),
        ("preemptions", f"{s.preemptions_count:,}"),
        ("tokens computed again", f"{s.recomputed_tokens:,}"),
        ("energy, J per token, input and output", wording.digits(s.energy_j_per_token)),
        ("mean power per chip, W", wording.digits(s.mean_w_per_chip)),
    ):
        made.add_row(name, cell)
    return made


def _both(mean: float, most: int) -> str:
    return f"{wording.plain(mean)}, {most:,}"


def _table(*heads: str) -> Table:
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=any(heads))
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if i else "left", overflow="fold")
    return made
