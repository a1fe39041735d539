"""A replay in the terminal and as files: requests.parquet, clients.parquet, charts/*.png, replay.json."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scoville.report import theme, wording
from scoville.report.charts.replay import charts, share
from scoville.report.charts.sweep import own_requests_per_s
from scoville.report.circumstances import circumstances, findings
from scoville.report.folder import as_json, pictures, replaced
from scoville.report.replay_records import Cost, Latency, Summary
from scoville.report.summary import per_client, usd_per_chip_h
from scoville.serving.replay import OUTCOMES, Replay
from scoville.units import show as quantity

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console, RenderableType
    from rich.table import Table

RESULT = "replay.json"
REQUESTS = "requests.parquet"
CLIENTS = "clients.parquet"
_IN_SECONDS_FROM_S = 10.0


def write(summary: Summary, replay: Replay, folder: Path, offline: Replay | None = None) -> list[Path]:
    """Write the replay into `folder` and return its files; an earlier replay there is replaced when all is written.

    Raises StudyError where `folder` is a file, holds something that is no replay, or cannot be written.
    """
    with replaced(folder, RESULT) as new:
        (new / RESULT).write_text(as_json(summary), encoding="utf-8")
        _requests(summary, replay, offline).write_parquet(new / REQUESTS)
        names = [RESULT, REQUESTS]
        clients = per_client(replay, usd_per_chip_h(summary.setting, replay), summary.targets)
        if clients:
            import polars as pl

            pl.DataFrame(clients).write_parquet(new / CLIENTS)
            names.append(CLIENTS)
        specs = {name: theme.specification(chart) for name, chart in charts(summary, replay).items()}
        names += pictures(specs, new)
    return [folder / name for name in names]


def _requests(summary: Summary, replay: Replay, offline: Replay | None) -> pl.DataFrame:
    """One row per request, in the order of the trace, offline ones last.

    Arrivals as replayed, all else seconds from the arrival, null for what was not served.
    """
    import polars as pl

    made = _rows(summary, replay)
    if offline is None:
        return made
    both = (made.with_columns(offline=pl.lit(False)), _rows(summary, offline).with_columns(offline=pl.lit(True)))
    return pl.concat(both, how="diagonal")


def _rows(summary: Summary, replay: Replay) -> pl.DataFrame:
    import polars as pl

    columns = (
        "arrival_s", "input_tokens", "output_tokens", "queue_s", "ttft_s", "tpot_s", "max_gap_s", "end_s",
        "preemptions_count", "retries_count", "cached_tokens", "share_frac",
    )  # fmt: skip
    found: dict[str, Any] = {name: getattr(replay, name) for name in columns}
    if summary.cost is not None:
        found["cost_usd"] = replay.cost_usd(summary.cost.usd_per_chip_h)
    if replay.client_ids is not None:
        found["client"] = replay.client_ids
    found["met"] = replay.met(summary.targets)
    names = np.array(OUTCOMES)[replay.outcome]
    return pl.DataFrame(found, nan_to_null=True).with_columns(
        outcome=pl.Series(names.tolist(), dtype=pl.Enum(OUTCOMES))
    )


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
    tables = [_latencies(s), _service(s), _pools(s)]
    if s.cost is not None:
        tables.append(_costs(s.cost))
    if s.top_clients:
        tables.append(_clients(s))
    if s.setting.tried and not s.setting.splits:
        tables.append(_sweep(s))
    if s.setting.splits:
        tables.append(_splits(s))
    for i, table in enumerate(tables):
        shown += ["", table] if i else [table]
    notes = [f"note: {note}" for note in s.setting.notes]
    if s.single_token_count:
        one = s.single_token_count == 1
        said = "1 answer of one token has" if one else f"{s.single_token_count:,} answers of one token have"
        notes.append(f"note: {said} no TPOT and no gaps, and count for the TTFT alone")
    return shown + (["", *(Text(note, style="dim") for note in notes)] if notes else [])


def _latencies(s: Summary) -> Table:
    heads = ("latency", "mean", "P50", "P90", "P95", "P99", "max")
    made = _table(*heads)
    for name, found in (
        ("queue", s.queue),
        ("time to first token (TTFT)", s.ttft),
        ("time per token after it (TPOT)", s.tpot),
        ("gap between two tokens, all gaps", s.gap),
        ("largest gap of a request", s.max_gap),
        ("end to end", s.end),
    ):
        if math.isnan(found.mean_s):
            continue
        unit, cells = _in_unit(found)
        made.add_row(f"{name}, {unit}", *cells)
    return made


def _in_unit(found: Latency) -> tuple[str, list[str]]:
    """Milliseconds, or seconds where a twentieth takes more than ten of them."""
    in_seconds = found.p95_s > _IN_SECONDS_FROM_S
    values = (found.mean_s, found.p50_s, found.p90_s, found.p95_s, found.p99_s, found.max_s)
    return "s" if in_seconds else "ms", [wording.digits(x if in_seconds else x * 1e3) for x in values]


def _service(s: Summary) -> Table:
    """What was served, and what became of the rest; a line only where there is something to say."""
    made = _table("", "")
    ttft, tpot = quantity(s.targets.ttft_s, "s"), quantity(s.targets.tpot_s, "s")
    came = s.requests_count - s.never_came_count
    rows = [
        ("served, requests/s", wording.digits(s.requests_per_s)),
        ("served, output tokens/s", wording.digits(s.output_tokens_per_s)),
        ("served, input and output tokens/s", wording.digits(s.tokens_per_s)),
        ("served, tokens/s per chip", wording.digits(s.tokens_per_s_per_chip)),
        ("goodput (both targets met), requests/s", wording.digits(s.goodput_requests_per_s)),
        (f"requests with TTFT up to {ttft}", share(s.ttft_met_frac)),
        (f"requests with TPOT up to {tpot}", share(s.tpot_met_frac)),
        ("requests that meet both", share(s.met_frac)),
    ]
    rows += [
        (name, f"{count:,} ({wording.percent(count / of)})")
        for name, count, of in (
            ("rejected, the queue was full", s.rejected_count, came),
            ("abandoned, the wait was too long", s.abandoned_count, came),
            ("never came, what they follow was not served", s.never_came_count, s.requests_count),
            ("served again after a failure", s.retried_count, came),
        )
        if count
    ]
    if any(p.engine.prefix_cache for p in s.pools):
        rows.append(("prompt tokens found in the prefix cache", wording.percent(s.cached_frac)))
    if s.pools[0].engine.reservation == "preempt" or s.preemptions_count:
        rows.append(("preemptions", f"{s.preemptions_count:,}"))
    rows += [
        ("energy, J per token, input and output", wording.digits(s.energy_j_per_token)),
        ("mean power per chip, W", wording.digits(s.mean_w_per_chip)),
    ]
    if s.offline is not None:
        o = s.offline
        rows += [
            ("offline: done meanwhile, of", f"{o.done_meanwhile_count:,}, {o.requests_count:,}"),
            ("offline: input and output tokens/s meanwhile", wording.digits(o.tokens_per_s)),
            ("offline: tokens/s per chip meanwhile", wording.digits(o.tokens_per_s_per_chip)),
            ("offline: all done after, s", wording.digits(o.all_done_s)),
            ("offline: preemptions", f"{o.preemptions_count:,}"),
        ]
    for row in rows:
        made.add_row(*row)
    return made


def _pools(s: Summary) -> Table:
    """What the chips did, a column for each pool."""
    several = len(s.pools) > 1
    made = _table("pool" if several else "", *(p.name if several else "" for p in s.pools))
    lanes = max(p.lanes_count for p in s.pools)
    sequences = "of a replica, mean and most" if lanes == 1 else "mean of a replica, most of a scheduler"
    rows: list[tuple[str, list[str]]] = [
        ("time busy", [wording.percent(p.busy_frac) for p in s.pools]),
        ("compute used", [wording.percent(p.compute_frac) for p in s.pools]),
        ("memory bandwidth used", [wording.percent(p.memory_frac) for p in s.pools]),
        ("scale-up links used", [wording.percent(p.link_frac) for p in s.pools]),
        (f"running sequences {sequences}", [_both(p.mean_sequences_count, p.most_sequences_count) for p in s.pools]),
        (
            "cache in use, mean and most",
            [f"{wording.percent(p.mean_cache_frac)}, {wording.percent(p.most_cache_frac)}" for p in s.pools],
        ),
        ("tokens computed again", [f"{p.recomputed_tokens:,}" for p in s.pools]),
    ]
    if any(p.engine.host_blocks for p in s.pools):
        moved = [f"{p.moved_blocks_count:,}" for p in s.pools]
        rows.append(("blocks moved from and to host memory in steps", moved))
    if any(p.fleet.autoscaling for p in s.pools):
        rows.append(("replicas paid for, mean", [wording.plain(p.mean_replicas_count) for p in s.pools]))
    if several:
        rows.append(("mean power per chip, W", [wording.digits(p.mean_w_per_chip) for p in s.pools]))
    for name, cells in rows:
        made.add_row(name, *cells)
    return made


def _costs(c: Cost) -> Table:
    made = _table("cost", "")
    for name, value in (
        ("chip, USD per hour", c.usd_per_chip_h),
        ("input and output, USD per million tokens", c.usd_per_token * 1e6),
        ("all put on the output, USD per million tokens", c.usd_per_output_token * 1e6),
        ("request, USD per thousand: mean", c.request_mean_usd * 1e3),
        ("request, USD per thousand: P50", c.request_p50_usd * 1e3),
        ("request, USD per thousand: P95", c.request_p95_usd * 1e3),
    ):
        made.add_row(name, wording.digits(value))
    return made


def _clients(s: Summary) -> Table:
    """The clients that take most of the chip time."""
    priced = s.cost is not None
    made = _table(
        "client", "requests", "input tokens", "output tokens", "met both", "TTFT P50, ms", "TTFT P95, ms",
        "share of chip time", *(("cost, USD",) if priced else ()),
    )  # fmt: skip
    for c in s.top_clients:
        made.add_row(
            str(c.client), f"{c.requests_count:,}", f"{c.input_tokens:,}", f"{c.output_tokens:,}", share(c.met_frac),
            wording.digits(c.ttft_p50_s * 1e3), wording.digits(c.ttft_p95_s * 1e3), wording.percent(c.share_frac),
            *((wording.digits(c.cost_usd),) if priced else ()),
        )  # fmt: skip
    return made


def _sweep(s: Summary) -> Table:
    """Every load that was tried, the lowest first."""
    t, own = s.targets, own_requests_per_s(s)
    made = _table(
        "load", "arriving, requests/s", "served, requests/s", "in time, requests/s", "served, tokens/s",
        f"TTFT P{t.ttft_percentile_frac * 100:g}, ms", f"TPOT P{t.tpot_percentile_frac * 100:g}, ms", "targets",
    )  # fmt: skip
    for p in s.setting.tried:
        made.add_row(
            wording.digits(p.load_frac, 4), wording.digits(p.load_frac * own), wording.digits(p.requests_per_s),
            wording.digits(p.goodput_per_s), wording.digits(p.tokens_per_s), wording.digits(p.ttft_percentile_s * 1e3),
            wording.digits(p.tpot_percentile_s * 1e3), "met" if p.met else "missed",
        )  # fmt: skip
    return made


def _splits(s: Summary) -> Table:
    """Every split of the chips that takes any load, the best first."""
    made = _table("prefill replicas", "decode replicas", "chips", "load", "requests/s", "tokens/s", "tokens/s per chip")
    for p in s.setting.splits:
        made.add_row(
            str(p.prefill_replicas_count), str(p.decode_replicas_count), str(p.chips_count), wording.plain(p.load_frac),
            wording.digits(p.requests_per_s), wording.digits(p.tokens_per_s), wording.digits(p.tokens_per_s_per_chip),
        )  # fmt: skip
    return made


def _both(mean: float, most: int) -> str:
    return f"{wording.plain(mean)}, {most:,}"


def _table(*heads: str) -> Table:
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=any(heads))
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if i else "left", overflow="fold")
    return made
