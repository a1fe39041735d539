"""A replay's numbers by hand; its titles hold for what was replayed; its files are written whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from scoville.errors import StudyError
from scoville.report import folder, theme
from scoville.report.charts import replay as drawn
from scoville.report.charts import sweep as swept
from scoville.report.circumstances import circumstances, findings
from scoville.report.replay import parts, write
from scoville.report.replay_records import Deployed, Setting, SplitTried, Summary
from scoville.report.summary import per_client, summarise
from scoville.serving import Targets
from scoville.serving.costs import StepCosts
from scoville.serving.engine import Engine
from scoville.serving.load import Tried
from scoville.serving.offline import Mixed
from scoville.serving.replay import Pool, Replay
from scoville.serving.settings import Autoscaling, EngineSettings, Failure, Fleet, Speculation

TARGETS = Targets(1.0, 0.05, ttft_percentile_frac=0.5, tpot_percentile_frac=0.95)
VLLM = EngineSettings(name="vllm", token_budget=8192, max_sequences=1024, block_tokens=16)
SETTING = Setting(
    trace="four", source="made up", load_frac=2.0, load_found=False, model="Llama", precision="weights fp8",
    deployed=(Deployed("h200-sxm", "H200", "measured", "TP2", 3.6, "--price"),),
)  # fmt: skip
ENGINE = Engine(
    costs=cast(StepCosts, SimpleNamespace(ranks=1, stages=1)), settings=VLLM, cache_blocks=1000, sequence_blocks=0,
    chips_count=2, cache_bytes_per_token=1.0, peak_flop_per_s=1.0, peak_bytes_per_s=1.0, peak_link_bytes_per_s=1.0,
    scale_out_bytes_per_s=1.0, scale_out_latency_s=0.0,
)  # fmt: skip
POOL = Pool(
    name="serving", engine=ENGINE, fleet=Fleet(replicas=2), timeline_s=np.array([2.0, 4.0, 8.0]),
    timeline_sequences_count=np.array([1.0, 2.0, 0.0]), timeline_cache_frac=np.array([0.1, 0.3, 0.0]),
    steps_count=33, leaps_count=5, busy_frac=0.5, compute_frac=0.2, memory_frac=0.3, link_frac=0.1, replica_s=16.0,
    most_sequences_count=3, most_cache_frac=0.4, recomputed_tokens=250, moved_blocks_count=0, energy_j=868.0,
)  # fmt: skip
# Three answers of eleven tokens with gaps of 10, 20 and 30 ms, and one of a single token that waits for two seconds.
FOUR = Replay(
    pools=(POOL,), duration_s=8.0, outcome=np.zeros(4, np.int8),
    arrival_s=np.array([5.0, 6.0, 7.0, 9.0]), queue_s=np.array([0.0, 0.0, 0.0, 1.9]),
    ttft_s=np.array([0.1, 0.2, 0.3, 2.0]), tpot_s=np.array([0.01, 0.02, 0.03, 0.0]),
    max_gap_s=np.array([0.01, 0.02, 0.03, 0.0]), end_s=np.array([0.2, 0.4, 0.6, 2.0]),
    preemptions_count=np.array([0, 2, 0, 0]), retries_count=np.zeros(4, np.int64),
    cached_tokens=np.array([0, 50, 50, 0]), share_frac=np.array([0.4, 0.3, 0.2, 0.1]),
    input_tokens=np.full(4, 100, np.int32), output_tokens=np.array([11, 11, 11, 1], np.int32),
    client_ids=np.array([7, 7, 3, 3], np.int32), gap_s=np.array([0.005, 0.01, 0.02, 0.0305, 0.05]),
    gap_count=np.array([0, 10, 10, 10, 0]),
)  # fmt: skip
EACH = (
    "outcome", "arrival_s", "queue_s", "ttft_s", "tpot_s", "max_gap_s", "end_s", "preemptions_count", "retries_count",
    "cached_tokens", "share_frac", "input_tokens", "output_tokens", "client_ids",
)  # fmt: skip


def pooled(replay: Replay = FOUR, **changed: Any) -> Replay:
    return replace(replay, pools=(replace(POOL, **changed),))


def one_request() -> Replay:
    arrays: dict[str, Any] = {name: getattr(FOUR, name)[:1] for name in EACH}
    return replace(FOUR, **arrays, gap_count=np.array([0, 10, 0, 0, 0]))


def unserved() -> Replay:
    """The second was rejected, the third abandoned, the last never came."""
    nan = float("nan")
    times: dict[str, Any] = {}
    for name in ("queue_s", "ttft_s", "tpot_s", "max_gap_s", "end_s"):
        times[name] = np.where([False, True, True, True], nan, getattr(FOUR, name))
    return replace(
        FOUR, outcome=np.array([0, 1, 2, 3], np.int8), arrival_s=np.array([5.0, 6.0, 7.0, nan]),
        gap_count=np.array([0, 10, 0, 0, 0]), share_frac=np.array([1.0, 0.0, 0.0, 0.0]), **times,
    )  # fmt: skip


def two_pools() -> Replay:
    other = replace(POOL, name="decode", timeline_s=np.array([4.0, 8.0]), timeline_sequences_count=np.array([3.0, 1.0]),
                    timeline_cache_frac=np.array([0.5, 0.2]), most_cache_frac=0.6)  # fmt: skip
    return replace(FOUR, pools=(replace(POOL, name="prefill"), other), preemptions_count=np.zeros(4, np.int64))


def drafted() -> Replay:
    """Half of the tokens come together with the one before."""
    return replace(FOUR, gap_s=np.array([6.25e-14, 0.01, 0.02, 0.0305, 0.05]), gap_count=np.array([16, 8, 4, 2, 0]))


def single_tokens() -> Replay:
    none = np.zeros(4)
    return replace(
        FOUR, tpot_s=none, max_gap_s=none, end_s=FOUR.ttft_s, output_tokens=np.ones(4, np.int32),
        gap_count=np.zeros(5, np.int64),
    )  # fmt: skip


AWKWARD: dict[str, Callable[[], Replay]] = {
    "whole": lambda: FOUR,
    "one request": one_request,
    "single-token answers": single_tokens,
    "all at once": lambda: replace(FOUR, arrival_s=np.full(4, 3.0)),
    "no power known": lambda: pooled(energy_j=float("nan")),
    "no links": lambda: pooled(link_frac=float("nan")),
    "a day": lambda: replace(pooled(timeline_s=np.array([3e4, 6e4, 9e4])), duration_s=9e4),
    "unserved": unserved,
    "nobody served": lambda: replace(
        unserved(),
        outcome=np.ones(4, np.int8),
        ttft_s=np.full(4, np.nan),
        tpot_s=np.full(4, np.nan),
        gap_count=np.zeros(5, np.int64),
        share_frac=np.zeros(4),
    ),
    "two pools": two_pools,
    "drafted": drafted,
}


def summary(replay: Replay = FOUR, targets: Targets = TARGETS) -> Summary:
    setting = replace(SETTING, deployed=SETTING.deployed * len(replay.pools))
    return summarise(replay, setting, targets)


def text(s: Summary, width: int = 100) -> str:
    from rich.console import Console

    shown = io.StringIO()
    console = Console(width=width, file=shown)
    for part in parts(s):
        console.print(part)
    return shown.getvalue()


def test_the_numbers_of_four_requests() -> None:
    s = summary()
    assert (s.load_requests_per_s, s.load_tokens_per_s) == (4 / 4, 434 / 4)  # in the four seconds that they arrive in
    assert (s.requests_per_s, s.output_tokens_per_s, s.tokens_per_s) == (4 / 8, 34 / 8, 434 / 8)
    assert s.tokens_per_s_per_chip == 434 / 8 / 4
    assert (s.ttft_met_frac, s.tpot_met_frac, s.met_frac, s.goodput_requests_per_s) == (0.75, 1.0, 0.75, 3 / 8)
    assert (s.pools[0].mean_sequences_count, s.pools[0].most_sequences_count) == ((2 * 1 + 2 * 2) / 8, 3)
    assert s.pools[0].mean_cache_frac == pytest.approx((2 * 0.1 + 2 * 0.3) / 8)
    assert (s.energy_j_per_token, s.mean_w_per_chip) == (868 / 434, 868 / 8 / 4)
    assert (s.preemptions_count, s.preempted_requests_count, s.single_token_count) == (2, 1, 1)
    assert s.pools[0].cache_tokens == 16_000
    assert s.cached_frac == 100 / 400


def test_percentiles_are_values_that_occurred() -> None:
    s = summary()
    assert (s.ttft.mean_s, s.ttft.p50_s, s.ttft.p90_s, s.ttft.max_s) == (pytest.approx(0.65), 0.3, 2.0, 2.0)
    # Ten gaps each of 10, 20 and 30 ms: the upper edge of the bin, and never above the largest.
    assert (s.gap.mean_s, s.gap.p50_s, s.gap.p90_s, s.gap.max_s) == (pytest.approx(0.02), 0.02, 0.03, 0.03)


def test_targets_are_checked_as_the_replay_checks_them() -> None:
    for targets in (TARGETS, Targets(0.25, 0.05, 0.5), Targets(1.0, 0.02), Targets(0.05, 0.001)):
        s = summary(FOUR, targets)
        assert s.targets_met == FOUR.meets(targets)
        assert s.targets_met == (s.ttft_percentile_s <= targets.ttft_s and s.tpot_percentile_s <= targets.tpot_s)
        assert s.tpot.p95_s == s.tpot_percentile_s  # both over answers of more than one token


def test_a_finding_says_which_target_is_missed() -> None:
    (both,) = findings(summary())
    assert both == "Both targets hold: P50 of TTFT is 300 ms, within 1 s; P95 of TPOT is 30 ms, within 50 ms."
    assert findings(summary(FOUR, Targets(1.0, 0.05)))[0].startswith("TTFT misses its target: P95 of TTFT is 2 s, over")
    assert findings(summary(FOUR, Targets(1.0, 0.01)))[0].startswith("Both targets are missed")


def test_the_highest_load_is_said_in_every_unit() -> None:
    found = replace(summary(), setting=replace(SETTING, load_found=True))
    assert findings(found)[0] == (
        "The highest load that meets the targets is 2 times the trace's own: 1 requests/s, 108 tokens/s, 27.1 tokens/s "
        "per chip."
    )


def test_what_was_run_is_said() -> None:
    lines = "\n".join(circumstances(summary()))
    assert "Llama on 2 x TP2 H200 (4 chips)" in lines and "measured on this chip" in lines
    assert "1,000 blocks of 16 tokens, 16,000 tokens" in lines
    assert "at 2 times its own rate: 1 requests/s" in lines


@pytest.mark.parametrize("make", AWKWARD.values(), ids=AWKWARD.keys())
def test_every_chart_is_valid_and_every_table_prints(make: Callable[[], Replay]) -> None:
    import vl_convert

    replay = make()
    s = summary(replay)
    assert "nan" not in text(s)
    for name, chart in drawn.charts(s, replay).items():
        chart.to_dict(validate=True)
        vega = vl_convert.vegalite_to_svg(theme.specification(chart))
        assert "NaN" not in vega and "undefined" not in vega, name


def test_there_is_no_chart_of_gaps_where_there_are_none() -> None:
    assert list(drawn.charts(summary(), FOUR)) == ["latency", "timeline", "gaps"]
    assert list(drawn.charts(summary(single_tokens()), single_tokens())) == ["latency", "timeline"]


def test_the_title_of_the_latencies_says_who_is_served_in_time() -> None:
    assert drawn.latency_title(summary()) == "75 % of requests start within 1 s and 100 % keep to 50 ms per token"
    assert drawn.latency_title(summary(FOUR, Targets(1.0, 0.05))) == (
        "100 % of requests keep to 50 ms per token, but only 75 % start within 1 s"
    )
    assert drawn.latency_title(summary(FOUR, Targets(1.0, 0.01))) == (
        "Only 75 % of requests start within 1 s, and 33.3 % keep to 10 ms per token"
    )


def test_the_title_of_the_timeline_says_what_limits() -> None:
    s = summary()
    assert drawn.timeline_title(s) == "The cache runs full: 2 preemptions, 250 tokens computed again"
    s = replace(s, preemptions_count=0)
    assert drawn.timeline_title(s) == "Never more than 3 sequences on a replica, nor 40 % of its cache in use"
    s = replace(s, pools=(replace(s.pools[0], engine=replace(VLLM, max_sequences=3)),))
    assert drawn.timeline_title(s) == "The limit of 3 sequences is reached: more requests have to wait"


def test_costs_add_up() -> None:
    s = summary()
    assert s.cost is not None
    total = 4 * 8 / 3600 * 3.6  # chips x seconds at 3.6 USD an hour
    assert s.cost.total_usd == pytest.approx(total)
    assert (s.cost.usd_per_token, s.cost.usd_per_output_token) == pytest.approx((total / 434, total / 34))
    assert (s.cost.request_p50_usd, s.cost.request_p95_usd) == pytest.approx((0.3 * total, 0.4 * total))
    assert [(c.client, c.cost_usd) for c in s.top_clients] == [
        (7, pytest.approx(0.7 * total)),
        (3, pytest.approx(0.3 * total)),
    ]
    assert "USD per million tokens" in text(s)


def test_without_a_price_there_are_no_costs() -> None:
    s = summarise(FOUR, replace(SETTING, deployed=(Deployed("x", "X", "measured", "TP2"),)), TARGETS)
    assert s.cost is None and "USD" not in text(s)
    assert [c.client for c in per_client(FOUR, float("nan"), TARGETS)] == [7, 3]


def test_what_was_not_served_is_counted() -> None:
    s = summary(unserved())
    assert (s.served_count, s.rejected_count, s.abandoned_count, s.never_came_count) == (1, 1, 1, 1)
    assert (s.met_frac, s.requests_per_s, s.tokens_per_s) == (1 / 3, 1 / 8, 111 / 8)
    out = text(s)
    assert "rejected, the queue was full" in out and "1 (33 %)" in out
    assert "never came, what they follow was not served" in out and "1 (25 %)" in out
    line = findings(s)[0]
    assert line == (
        "Both targets are missed: more than 50 % of requests got no answer; more than 5 % of requests got no answer."
    )
    assert "rejected" not in text(summary())


def test_two_pools_stand_side_by_side() -> None:
    s = summary(two_pools())
    out = text(s)
    assert "Llama: prefill on 2 x TP2 H200, decode on 2 x TP2 H200 (8 chips)" in out
    assert any(line.split() == ["pool", "prefill", "decode"] for line in out.splitlines())
    assert drawn.timeline_title(s) == "At most 40 % for prefill and 60 % for decode of the cache are in use"


def test_every_setting_of_engine_and_fleet_is_said() -> None:
    engine = replace(
        VLLM, asynchronous=True, patience_s=30.0, fair=True, output_weight=2, expert_imbalance_frac=1.3,
        speculation=Speculation((0.8, 0.7), 0.1), prefix_cache=True, host_blocks=100, max_sequences=512,
    )  # fmt: skip
    fleet = Fleet(
        replicas=4, routing="prefix_aware", balance_requests=64, balance_ratio=1.5, queue_limit=9,
        autoscaling=Autoscaling(least=1, interval_s=15.0, requests_per_replica=20, startup_s=215.0),
        failures=(Failure(1.0, 0, 2.0),),
    )  # fmt: skip
    lines = "\n".join(circumstances(summary(pooled(engine=replace(ENGINE, settings=engine), fleet=fleet))))
    for words in (
        "schedules during steps", "begun within 30 s", "an answer's 2", "1.3 times the mean load",
        "2 drafts a step, accepted with 0.8, 0.7, each takes 0.1",
        "shared prefixes kept; host memory for 1,600 more of evicted prefixes",
        "where most of the prompt was before", "64 requests and 1.5 times", "rejected where 9 wait",
        "1 to 4 replicas, one for each 20 requests", "1 failure of 1 replica",
    ):  # fmt: skip
        assert words in lines


def test_one_request_is_no_requests() -> None:
    s = summary(one_request())
    assert any("four, 1 request, " in line for line in circumstances(s))
    assert "1 requests" not in text(s)


def test_one_replica_needs_no_word_on_routing() -> None:
    alone = pooled(fleet=Fleet(routing="prefix_aware", balance_requests=64, balance_ratio=1.5))
    assert not any("requests go" in line for line in circumstances(summary(alone)))


def tried(load: float, ttft_s: float, tpot_s: float, *, met: bool) -> Tried:
    return Tried(load, load, load * 100, load, ttft_s, tpot_s, met)


SWEPT = (
    tried(1.0, 0.2, 0.03, met=True), tried(2.0, 0.4, 0.05, met=True), tried(2.2, 0.5, 0.06, met=False),
    tried(4.0, float("inf"), float("inf"), met=False),
)  # fmt: skip


def test_a_sweep_is_a_table_and_a_chart() -> None:
    s = replace(summary(), setting=replace(SETTING, load_found=True, tried=SWEPT))
    assert swept.title(s) == "Both targets hold up to 1 requests/s, then TPOT misses its target"
    out = text(s, 200)
    assert "arriving, requests/s" in out and out.count("missed\n") == 2
    import vl_convert

    chart = drawn.charts(s, FOUR)["sweep"]
    chart.to_dict(validate=True)
    assert "NaN" not in vl_convert.vegalite_to_svg(theme.specification(chart))


def test_splits_are_listed_best_first() -> None:
    splits = (SplitTried(3, 1, 8, 2.7, 15.0, 20_000.0, 2_500.0), SplitTried(1, 3, 8, 0.7, 4.0, 5_500.0, 700.0))
    out = text(replace(summary(two_pools()), setting=replace(SETTING, deployed=SETTING.deployed * 2, splits=splits)))
    assert "prefill replicas" in out and "20,000" in out and "load  arriving" not in out


def test_offline_requests_are_told_apart() -> None:
    """Three of four are done by 8 s: the fourth ends at 9 s."""
    late = replace(FOUR, arrival_s=np.full(4, 5.0), end_s=np.array([1.0, 2.0, 8.0, 9.0]))
    s = summarise(FOUR, replace(SETTING, offline_trace="books"), TARGETS, Mixed(FOUR, late, 9.0))
    assert s.offline is not None
    assert (s.offline.done_meanwhile_count, s.offline.tokens_per_s, s.offline.all_done_s) == (3, 333 / 8, 9.0)
    out = text(s)
    foot = theme.specification(drawn.charts(s, FOUR)["latency"])["layer"][-1]["mark"]["text"]
    assert "4 of books offline" in " ".join(foot)
    assert "Offline: 4 requests of books wait from the start" in out and "offline: all done after, s" in out


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures without drawing: what is tested is where files go."""
    import vl_convert

    monkeypatch.setattr(vl_convert, "vegalite_to_png", lambda spec, **_: b"\x89PNG")


@pytest.mark.usefixtures("quick")
def test_all_files_are_written(tmp_path: Path) -> None:
    files = write(summary(), FOUR, tmp_path / "r")
    assert [f.name for f in files] == [
        "replay.json", "requests.parquet", "clients.parquet", "latency.png", "timeline.png", "gaps.png",
    ]  # fmt: skip
    assert all(f.is_file() for f in files)
    rows = pl.read_parquet(tmp_path / "r" / "requests.parquet")
    assert rows["ttft_s"].to_list() == FOUR.ttft_s.tolist()
    assert rows["met"].to_list() == [True, True, True, False]
    assert rows["outcome"].to_list() == ["finished"] * 4
    assert rows["client"].to_list() == [7, 7, 3, 3]
    assert rows["cost_usd"].sum() == pytest.approx(4 * 8 / 3600 * 3.6)
    clients = pl.read_parquet(tmp_path / "r" / "clients.parquet")
    assert clients["client"].to_list() == [7, 3] and clients["requests_count"].to_list() == [2, 2]
    read = json.loads((tmp_path / "r" / "replay.json").read_text(encoding="utf-8"))
    assert read["ttft"]["p50_s"] == 0.3 and read["setting"]["model"] == "Llama"
    write(summary(), FOUR, tmp_path / "r")
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.usefixtures("quick")
def test_a_study_is_not_replaced_by_a_replay(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(StudyError, match=r"no replay\.json"):
        write(summary(), FOUR, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.usefixtures("quick")
def test_an_interruption_leaves_the_earlier_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(summary(), FOUR, tmp_path / "r")
    before = (tmp_path / "r" / "replay.json").read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "swap", stop)
    with pytest.raises(KeyboardInterrupt):
        write(summary(replace(FOUR, duration_s=9.0)), FOUR, tmp_path / "r")
    assert (tmp_path / "r" / "replay.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r"]
