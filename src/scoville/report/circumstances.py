"""What was replayed and under which assumptions, and what came out, in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable

from scoville.report import wording
from scoville.report.replay_records import PoolSummary, Summary
from scoville.units import show as quantity

Say = Callable[[PoolSummary], str]
_ORDER = {"decode_first": "decodes first", "prefill_first": "prompts first", "static": "static batches"}
_ROUTING = {
    "round_robin": "round robin",
    "least_loaded": "to the least loaded",
    "power_of_two": "to the less loaded of two drawn at random",
    "sticky": "to where the session was, else to the least loaded",
    "prefix_aware": "to where most of the prompt was before",
}


def circumstances(s: Summary) -> tuple[str, ...]:
    """What was run, a line for each part of it."""
    a = s.setting
    lines = [_deployment(s), f"Formats: {a.precision}"]
    lines += _lines("Timing of this chip", s, lambda p: wording.EVIDENCE.get(p.deployed.evidence, p.deployed.evidence))
    lines += _lines("Engine", s, _engine)
    lines += _lines("Engine, further", s, _further)
    lines += _lines("Cache of a replica", s, _cache)
    lines += _lines("Fleet", s, _fleet)
    lines.append(f"Traffic: {a.trace}, {wording.counted(s.requests_count, 'request')}, {_load(s)} ({a.source})")
    if s.offline is not None:
        lines.append(
            f"Offline: {s.offline.requests_count:,} requests of {a.offline_trace} wait from the start, in the last "
            f"class"
        )
    return (*lines, *(f"Assumed: {line}" for line in a.assumptions))


def _lines(head: str, s: Summary, say: Say) -> list[str]:
    """One line where all pools say the same, else one for each that says something."""
    said = [say(p) for p in s.pools]
    if len(set(said)) == 1:
        return [f"{head}: {said[0]}"] if said[0] else []
    return [f"{head}, {p.name}: {words}" for p, words in zip(s.pools, said, strict=True) if words]


def _deployment(s: Summary) -> str:
    chips = f"({wording.counted(s.chips_count, 'chip')})"
    each = [f"{p.fleet.replicas} x {p.deployed.parallelism} {p.deployed.accelerator_name}" for p in s.pools]
    if len(each) == 1:
        return f"{s.setting.model} on {each[0]} {chips}"
    split = ", ".join(f"{p.name} on {words}" for p, words in zip(s.pools, each, strict=True))
    return f"{s.setting.model}: {split} {chips}"


def _engine(p: PoolSummary) -> str:
    e = p.engine
    room = "reserves the whole answer at admission" if e.reservation == "full" else "preempts when the cache is full"
    scheduled = "schedules during steps" if e.asynchronous else "schedules between steps"
    return (
        f"{e.name}, {_ORDER[e.policy]}, {room}, {scheduled}; token budget {e.token_budget:,}, at most "
        f"{e.max_sequences:,} sequences"
    )


def _further(p: PoolSummary) -> str:
    e = p.engine
    said = []
    if e.speculation is not None:
        rates = ", ".join(f"{x:g}" for x in e.speculation.acceptance_frac)
        said.append(
            f"{wording.counted(e.speculation.drafts_count, 'draft')} a step, accepted with {rates}, each takes "
            f"{wording.plain(e.speculation.pass_frac)} of a pass of the model and no memory"
        )
    if e.fair:
        said.append(f"clients are served evenly, a prompt token counts {e.input_weight}, an answer's {e.output_weight}")
    if e.patience_s is not None:
        said.append(f"requests leave that were not begun within {quantity(e.patience_s, 's')}")
    if e.expert_imbalance_frac > 1:
        said.append(f"the busiest experts' rank has {e.expert_imbalance_frac:g} times the mean load")
    return "; ".join(said)


def _cache(p: PoolSummary) -> str:
    e = p.engine
    size = f"{p.cache_blocks_count:,} blocks of {wording.counted(e.block_tokens, 'token')}"
    tokens = f", {p.cache_tokens:,} tokens" if e.block_tokens > 1 else ""
    shared = f", in {p.lanes_count} equal parts" if p.lanes_count > 1 else ""
    kept = ", shared prefixes kept" if e.prefix_cache else ""
    if not e.host_blocks:
        return size + tokens + shared + kept
    what = "preempted requests" if e.on_preemption == "swap" else "evicted prefixes"
    room = e.host_blocks * e.block_tokens * p.lanes_count
    return f"{size}{tokens}{shared}{kept}; host memory for {room:,} more of {what}"


def _fleet(p: PoolSummary) -> str:
    f = p.fleet
    said = []
    if f.replicas * p.lanes_count > 1:
        unless = (
            f", unless loads differ by more than {f.balance_requests} requests and {f.balance_ratio:g} times (facts "
            f"router)"
        )
        said.append(f"requests go {_ROUTING[f.routing]}{unless if f.routing == 'prefix_aware' else ''}")
    if f.queue_limit is not None:
        said.append(f"rejected where {f.queue_limit:,} wait")
    if f.autoscaling is not None:
        a = f.autoscaling
        said.append(
            f"{a.least} to {f.replicas} replicas, one for each {a.requests_per_replica:,} requests, looked at every "
            f"{quantity(a.interval_s, 's')}, up {quantity(a.startup_s, 's')} after the order"
        )
    if f.failures:
        hit = len({x.replica for x in f.failures})
        said.append(
            f"{wording.counted(len(f.failures), 'failure')} of {wording.counted(hit, 'replica')}, whose requests start "
            f"again elsewhere"
        )
    return "; ".join(said)


def _load(s: Summary) -> str:
    f = s.pools[0].fleet
    follow = ", each turn after the answer before it" if f.turns_follow else ""
    if f.users is not None:
        think = f", {quantity(f.think_s, 's')} after each answer" if f.think_s else ""
        return f"asked by {f.users:,} users one after another{think}: {wording.plain(s.load_requests_per_s)} requests/s"
    if not math.isfinite(s.load_requests_per_s):
        return "all at once" + follow
    times = "its own rate" if s.setting.load_frac == 1 else f"{wording.plain(s.setting.load_frac)} times its own rate"
    rate, tokens = wording.plain(s.load_requests_per_s), wording.plain(s.load_tokens_per_s)
    return f"at {times}{follow}: {rate} requests/s, {tokens} tokens/s"


def findings(s: Summary) -> tuple[str, ...]:
    """Whether the targets hold, and the highest load that meets them where that was asked for."""
    t = s.targets
    seen = [_seen(name, *numbers) for name, *numbers in (
        ("TTFT", t.ttft_percentile_frac, s.ttft_percentile_s, t.ttft_s),
        ("TPOT", t.tpot_percentile_frac, s.tpot_percentile_s, t.tpot_s),
    )]  # fmt: skip
    missed = [
        name
        for name, met in (("TTFT", s.ttft_percentile_s <= t.ttft_s), ("TPOT", s.tpot_percentile_s <= t.tpot_s))
        if not met
    ]
    holds = ("Both targets hold", f"{missed and missed[0]} misses its target", "Both targets are missed")[len(missed)]
    line = f"{holds}: {'; '.join(dict.fromkeys(seen))}."
    if not s.setting.load_found:
        return (line,)
    return (
        f"The highest load that meets the targets is {wording.plain(s.setting.load_frac)} times the trace's own: "
        f"{wording.plain(s.load_requests_per_s)} requests/s, {wording.plain(s.load_tokens_per_s)} tokens/s, "
        f"{wording.plain(s.load_tokens_per_s / s.chips_count)} tokens/s per chip.",
        line,
    )


def _seen(name: str, percentile_frac: float, found_s: float, target_s: float) -> str:
    if math.isinf(found_s):
        return f"more than {100 - percentile_frac * 100:g} % of requests got no answer"
    side = "within" if found_s <= target_s else "over"
    return f"P{percentile_frac * 100:g} of {name} is {quantity(found_s, 's')}, {side} {quantity(target_s, 's')}"
