"""A replay's numbers by hand; its titles hold for what was replayed; its files are written whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scoville.errors import StudyError
from scoville.report import folder, theme
from scoville.report.charts import replay as drawn
from scoville.report.replay import circumstances, findings, parts, write
from scoville.report.summary import Setting, Summary, summarise
from scoville.serving import Targets
from scoville.serving.settings import EngineSettings
from scoville.serving.simulate import Replay

TARGETS = Targets(1.0, 0.05, ttft_percentile_frac=0.5, tpot_percentile_frac=0.95)
VLLM = EngineSettings(name="vllm", token_budget=8192, max_sequences=1024, block_tokens=16)
SETTING = Setting(
    trace="four", source="made up", load_frac=2.0, load_found=False, model="Llama", precision="weights fp8",
    accelerator="h200-sxm", accelerator_name="H200", evidence="measured", parallelism="TP2",
)  # fmt: skip
# Three answers of eleven tokens with gaps of 10, 20 and 30 ms, and one of a single token that waits for two seconds.
FOUR = Replay(
    settings=VLLM, replicas_count=2, chips_count=4, cache_blocks_count=1000,
    arrival_s=np.array([5.0, 6.0, 7.0, 9.0]), queue_s=np.array([0.0, 0.0, 0.0, 1.9]),
    ttft_s=np.array([0.1, 0.2, 0.3, 2.0]), tpot_s=np.array([0.01, 0.02, 0.03, 0.0]),
    max_gap_s=np.array([0.01, 0.02, 0.03, 0.0]), end_s=np.array([0.2, 0.4, 0.6, 2.0]),
    preemptions_count=np.array([0, 2, 0, 0]), input_tokens=np.full(4, 100, np.int32),
    output_tokens=np.array([11, 11, 11, 1], np.int32), gap_s=np.array([0.005, 0.01, 0.02, 0.0305, 0.05]),
    gap_count=np.array([0, 10, 10, 10, 0]), timeline_s=np.array([2.0, 4.0, 8.0]),
    timeline_sequences_count=np.array([1.0, 2.0, 0.0]), timeline_cache_frac=np.array([0.1, 0.3, 0.0]),
    steps_count=33, leaps_count=5, busy_frac=0.5, duration_s=8.0, most_sequences_count=3, most_cache_frac=0.4,
    recomputed_tokens=250, energy_j=868.0,
)  # fmt: skip


def one_request() -> Replay:
    arrays = {name: getattr(FOUR, name)[:1] for name in (
        "arrival_s", "queue_s", "ttft_s", "tpot_s", "max_gap_s", "end_s", "preemptions_count", "input_tokens",
        "output_tokens",
    )}  # fmt: skip
    return replace(FOUR, **arrays, gap_count=np.array([0, 10, 0, 0, 0]))


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
    "no power known": lambda: replace(FOUR, energy_j=float("nan")),
    "a day": lambda: replace(FOUR, timeline_s=np.array([3e4, 6e4, 9e4]), duration_s=9e4),
}


def summary(replay: Replay = FOUR, targets: Targets = TARGETS) -> Summary:
    return summarise(replay, SETTING, targets)


def text(s: Summary) -> str:
    from rich.console import Console

    shown = io.StringIO()
    console = Console(width=100, file=shown)
    for part in parts(s):
        console.print(part)
    return shown.getvalue()


def test_the_numbers_of_four_requests() -> None:
    s = summary()
    assert (s.load_requests_per_s, s.load_tokens_per_s) == (4 / 4, 434 / 4)  # in the four seconds that they arrive in
    assert (s.requests_per_s, s.output_tokens_per_s, s.tokens_per_s) == (4 / 8, 34 / 8, 434 / 8)
    assert s.tokens_per_s_per_chip == 434 / 8 / 4
    assert (s.ttft_met_frac, s.tpot_met_frac, s.met_frac, s.goodput_requests_per_s) == (0.75, 1.0, 0.75, 3 / 8)
    assert (s.mean_sequences_count, s.most_sequences_count) == ((2 * 1 + 2 * 2) / 8, 3)
    assert s.mean_cache_frac == pytest.approx((2 * 0.1 + 2 * 0.3) / 8)
    assert (s.energy_j_per_token, s.mean_w_per_chip) == (868 / 434, 868 / 8 / 4)
    assert (s.preemptions_count, s.preempted_requests_count, s.single_token_count) == (2, 1, 1)
    assert s.cache_tokens == 16_000


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
        "Only 75 % of requests start within 1 s, and 50 % keep to 10 ms per token"
    )


def test_the_title_of_the_timeline_says_what_limits() -> None:
    s = summary()
    assert drawn.timeline_title(s) == "The cache runs full: 2 preemptions, 250 tokens computed again"
    s = replace(s, preemptions_count=0)
    assert drawn.timeline_title(s) == "Never more than 3 sequences on a replica, nor 40 % of its cache in use"
    s = replace(s, engine=replace(VLLM, max_sequences=3))
    assert drawn.timeline_title(s) == "The limit of 3 sequences is reached: more requests have to wait"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures without drawing: what is tested is where files go."""
    import vl_convert

    monkeypatch.setattr(vl_convert, "vegalite_to_png", lambda spec, **_: b"\x89PNG")


@pytest.mark.usefixtures("quick")
def test_all_files_are_written(tmp_path: Path) -> None:
    files = write(summary(), FOUR, tmp_path / "r")
    assert [f.name for f in files] == ["replay.json", "requests.parquet", "latency.png", "timeline.png", "gaps.png"]
    assert all(f.is_file() for f in files)
    rows = pl.read_parquet(tmp_path / "r" / "requests.parquet")
    assert rows["ttft_s"].to_list() == FOUR.ttft_s.tolist()
    assert rows["met"].to_list() == [True, True, True, False]
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
