"""`scoville simulate`, run in this process on a trace of forty requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from scoville import facts, traffic, transformer
from scoville.cli import app
from scoville.serving.engine import engine
from scoville.serving.settings import preset
from scoville.serving.simulate import simulate as replay
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision

DEPLOYMENT = ("--model", "llama-3.1-70b", "--accelerator", "h200-sxm", "--parallelism", "TP4", "--weights", "fp8")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty requests in ten seconds, 500 tokens in, 50 out; the last answer is a single token."""
    rows = [f"{i / 4},500,{50 if i < 39 else 1}" for i in range(40)]
    path = tmp_path_factory.mktemp("traces") / "forty.csv"
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]))
    return str(path)


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["simulate", *words])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def found(*words: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run(*words, "--json"))
    return result


def test_the_json_is_what_the_library_says(trace: str) -> None:
    book = facts.load()
    table = operator_table(transformer.load("llama-3.1-70b"), Precision("fp8"), Parallelism.parse("TP4"))
    one = engine(book.accelerator("h200-sxm"), book, table, preset("sglang", book))
    expected = replay(traffic.load(trace), one, 2)
    got = found(trace, *DEPLOYMENT, "--replicas", "2", "--engine", "sglang")
    assert got["ttft"]["mean_s"] == expected.ttft_s.mean()
    assert got["max_gap"]["max_s"] == expected.max_gap_s.max()
    assert (got["requests_count"], got["chips_count"], got["single_token_count"]) == (40, 8, 1)
    assert got["pools"][0]["engine"]["policy"] == "prefill_first"
    assert got["energy_j"] == expected.energy_j


def test_the_tables_say_what_was_run_and_what_came_out(trace: str) -> None:
    out = run(trace, *DEPLOYMENT, "--token-budget", "2048", "--max-sequences", "64", "--cache-blocks", "5000")
    assert "Llama-3.1-70B on 1 x TP4 H200 SXM (4 chips)" in out
    assert "token budget 2,048, at most 64 sequences" in out
    assert "5,000 blocks of 16 tokens, 80,000 tokens" in out
    assert "at its own rate: 4.1 requests/s" in out
    assert "Both targets hold" in out
    assert "note: 1 answer of one token has no TPOT" in out
    for head in ("TTFT), ms", "TPOT), ms", "end to end, ", "energy, J per token", "tokens/s per chip", "preemptions"):
        assert head in out


def test_load_and_rate_change_the_arrivals_alike(trace: str) -> None:
    own = found(trace, *DEPLOYMENT)
    doubled = found(trace, *DEPLOYMENT, "--load", "2")
    assert doubled["load_requests_per_s"] == pytest.approx(2 * own["load_requests_per_s"])
    asked = found(trace, *DEPLOYMENT, "--rate", f"{2 * own['load_requests_per_s'] * 60} requests/min")
    assert asked["load_requests_per_s"] == pytest.approx(doubled["load_requests_per_s"])
    assert asked["setting"]["load_frac"] == pytest.approx(2)


def test_the_highest_load_meets_the_targets_and_a_tenth_more_does_not(trace: str) -> None:
    targets = ("--ttft", "500 ms", "--tpot", "15 ms")
    best = found(trace, *DEPLOYMENT, *targets, "--find-capacity")
    assert best["targets_met"] and best["setting"]["load_found"]
    more = found(trace, *DEPLOYMENT, *targets, "--load", str(1.1 * best["setting"]["load_frac"]))
    assert not more["targets_met"]
    assert "The highest load that meets the targets is" in run(trace, *DEPLOYMENT, *targets, "--find-capacity")


def test_out_holds_every_request(trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vl_convert

    monkeypatch.setattr(vl_convert, "vegalite_to_png", lambda spec, **_: b"\x89PNG")
    out = run(trace, *DEPLOYMENT, "--out", str(tmp_path / "r"))
    assert f"Written: {tmp_path / 'r'}/requests.parquet" in out
    rows = pl.read_parquet(tmp_path / "r" / "requests.parquet")
    assert len(rows) == 40
    assert np.all(rows["end_s"].to_numpy() >= rows["ttft_s"].to_numpy())
    assert json.loads((tmp_path / "r" / "replay.json").read_text())["requests_count"] == 40


def test_an_interruption_leaves_nothing(trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vl_convert

    def stop(*_: object, **__: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(vl_convert, "vegalite_to_png", stop)
    run(trace, *DEPLOYMENT, "--out", str(tmp_path / "r"), code=130)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--load", "0"), "--load: 0 is no load"),
        (("--rate", "5"), "--rate: '5' is no rate; expected e.g. '12 requests/s'"),
        (("--load", "1", "--find-capacity"), "give one of --load, --rate, and --find-capacity or --sweep"),
        (("--policy", "eager"), "--policy: 'eager' is unknown; allowed: decode-first, prefill-first, static"),
        (("--routing", "random"), "--routing: 'random' is unknown; allowed: round-robin, least-loaded"),
        (("--preemption", "swap"), "--preemption swap needs room to swap to; add --host-memory"),
        (("--host-memory", "1 GB"), "add --prefix-cache or --preemption swap"),
        (("--host-memory", "1 kB", "--prefix-cache"), "'1 kB' has room for no cache block"),
        (("--preemption", "recompute", "--engine", "tensorrt-llm"), "reserves whole answers and preempts nothing"),
        (("--prefix-cache",), "forty.csv has neither block hashes nor sessions"),
        (("--fair",), "forty.csv has no client_ids"),
        (("--follow-turns",), "forty.csv has no parent"),
        (("--expert-imbalance", "1.2"), "--expert-imbalance is for experts spread over ranks; TP4 has no EP"),
        (("--drafts", "0.8"), "give both --drafts"),
        (("--drafts", "high", "--draft", "text"), "--drafts: 'high' is no list of rates; expected e.g. '0.85,0.7'"),
        (("--drafts", "1.8", "--draft", "text"), "acceptance of draft 1 is 1.8; expected 0 to 1"),
        (("--drafts", "0.8", "--draft", "mtp"), "Llama-3.1-70B has no layers for multi-token prediction"),
        (("--drafts", "0.8", "--draft", "llama-3.1-405b"), "more active parameters than Llama-3.1-70B"),
        (("--autoscale", "up to 8"), "--autoscale: 'up to 8' is not understood; expected e.g. '1 to 8, 20 requests"),
        (("--autoscale", "4 to 2, 9 requests each, every 5 s"), "goes down from 4 to 2"),
        (("--autoscale", "1 to 2, 9 requests each, every 5 s", "--replicas", "2"), "leave --replicas out"),
        (("--repair", "5 min"), "--repair: no chip fails; add --chip-mtbf"),
        (("--think", "5 s"), "--think is the pause of --users"),
        (("--users", "3", "--load", "2"), "--users ask one request after another"),
        (("--users", "3", "--chip-mtbf", "5 h"), "a closed loop of --users lacks"),
        (("--offline", "azure-2023-conv", "--patience", "1 s"), "--patience: requests of --offline wait all the time"),
        (("--link", "5 GB/s"), "--link is between two pools"),
        (("--decode-accelerator", "b200"), "--decode-accelerator is for two pools"),
        (("--prefill-replicas", "1"), "give both --prefill-replicas and --decode-replicas"),
        (("--prefill-replicas", "1", "--decode-replicas", "1", "--replicas", "2"), "--replicas is for one pool"),
        (("--find-split", "8", "--queue-limit", "9"), "--queue-limit: --find-split tries plain pools"),
        (("--find-split", "8", "--load", "2"), "--find-split finds the highest load of every split by itself"),
        (("--find-split", "4"), "4 chips are too few for a prefill and a decode replica; expected at least 8"),
        (("--price", "2.5 USD"), "--price: '2.5 USD' is in the wrong unit"),
        (("--ttft", "0 s"), "--ttft: '0 s' is not above 0"),
        (("--replicas", "0"), "replicas is 0"),
        (("--engine", "vlm"), "did you mean 'vllm'?"),
        (("--cache-blocks", "1000000"), "engine: cache_blocks is 1,000,000; the memory of TP4 x H200 SXM has room for"),
        (("--cache-blocks", "30"), "request 0 of forty.csv has 500 prompt and 50 answer tokens"),
        (("--parallelism", "TP1", "--weights", "bf16"), "does not fit"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_what_cannot_be_run_is_refused_in_one_sentence(trace: str, words: tuple[str, ...], sentence: str) -> None:
    error = run(trace, *DEPLOYMENT, *words, code=2)
    assert error.count("\n") == 1
    assert sentence in error


def test_no_rank_has_more_than_all_experts_work(trace: str) -> None:
    words = ("--model", "gpt-oss-120b", "--accelerator", "h200-sxm", "--parallelism", "TP2 EP2")
    assert "more than all tokens on one of 2 ranks; expected at most 2" in run(
        trace, *words, "--expert-imbalance", "2.5", code=2
    )


def test_the_help_is_in_groups() -> None:
    out = CliRunner().invoke(app, ["simulate", "--help"]).stdout
    heads = [line.rstrip(":") for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert heads == [
        "Arguments", "Deployment", "Engine", "Cache", "Fleet", "Two pools", "Traffic", "Targets", "Output",
    ]  # fmt: skip


def test_the_engine_is_as_it_was_asked_for(trace: str) -> None:
    got = found(
        trace, *DEPLOYMENT, "--policy", "prefill-first", "--no-asynchronous", "--patience", "20 s", "--drafts",
        "0.8,0.7", "--draft", "llama-3.1-8b",
    )["pools"][0]["engine"]  # fmt: skip
    assert (got["policy"], got["asynchronous"], got["patience_s"]) == ("prefill_first", False, 20.0)
    # 8.03 billion parameters less the embedding's 0.53, over 70.6 less 1.05: published counts of both models
    assert got["speculation"]["acceptance_frac"] == [0.8, 0.7]
    assert got["speculation"]["pass_frac"] == pytest.approx(7.5 / 69.5, rel=0.01)
    assert found(trace, *DEPLOYMENT)["pools"][0]["engine"]["asynchronous"]  # as vLLM does


def test_a_models_own_drafts_take_a_layer(trace: str) -> None:
    words = ("--model", "deepseek-r1", "--accelerator", "h200-sxm", "--parallelism", "TP8 EP8", "--kv", "fp8")
    got = found(trace, *words, "--drafts", "0.9", "--draft", "mtp", "--expert-imbalance", "1.2")["pools"][0]["engine"]
    assert got["speculation"]["pass_frac"] == pytest.approx(1 / 61)  # its config has 61 layers
    assert got["expert_imbalance_frac"] == 1.2


def test_host_memory_becomes_blocks(trace: str) -> None:
    """Llama-3.1-70B keeps 80 layers x 2 x 8 heads x 128 x 2 bytes = 327,680 bytes per token."""
    words = (*DEPLOYMENT, "--preemption", "swap", "--host-memory", "100 GB", "--cache-blocks", "66", "--load", "50")
    got = found(trace, *words)
    assert got["pools"][0]["engine"]["host_blocks"] == int(100e9 / (16 * 327_680))
    assert got["preemptions_count"] > 0 and got["pools"][0]["moved_blocks_count"] > 0
    assert got["recomputed_tokens"] == 0


def test_autoscaling_starts_as_long_as_the_fact_says(trace: str) -> None:
    out = run(trace, *DEPLOYMENT, "--autoscale", "1 to 3, 4 requests each, every 2 s")
    assert "1 to 3 replicas, one for each 4 requests, looked at every 2 s, up 215 s after the order" in out
    assert "Assumed: a replica starts in 215 s (fact replica.startup)" in out
    said = run(trace, *DEPLOYMENT, "--autoscale", "1 to 3, 4 requests each, every 2 s, start 1 s")
    assert "up 1 s after the order" in said and "replica.startup" not in said


def test_failures_follow_the_seed(trace: str) -> None:
    """Four chips that each fail every 20 s: about two failures of a replica in ten seconds."""
    words = (*DEPLOYMENT, "--replicas", "2", "--chip-mtbf", "20 s", "--repair", "1 s")
    got = found(trace, *words)
    failures = got["pools"][0]["fleet"]["failures"]
    assert failures and all(f["repaired_s"] - f["at_s"] == pytest.approx(1.0) for f in failures)
    assert got["served_count"] == 40
    assert found(trace, *words)["pools"] == got["pools"]
    assert found(trace, *words, "--seed", "5")["pools"][0]["fleet"]["failures"] != failures


def test_users_ask_one_after_another(trace: str) -> None:
    got = found(trace, *DEPLOYMENT, "--users", "3", "--think", "500 ms")
    assert got["pools"][0]["most_sequences_count"] <= 3
    assert "asked by 3 users one after another, 500 ms after each answer" in run(
        trace, *DEPLOYMENT, "--users", "3", "--think", "500 ms"
    )


def test_a_queue_that_is_full_rejects(tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    path.write_text("arrival_s,input_tokens,output_tokens\n" + "0,100,10\n" * 9)
    got = found(str(path), *DEPLOYMENT, "--max-sequences", "1", "--queue-limit", "2")
    assert got["served_count"] + got["rejected_count"] == 9 and got["rejected_count"] > 0
    assert "rejected, the queue was full" in run(str(path), *DEPLOYMENT, "--max-sequences", "1", "--queue-limit", "2")


def test_two_pools_and_their_link(trace: str) -> None:
    pools = ("--prefill-replicas", "1", "--decode-replicas", "2")
    got = found(trace, *DEPLOYMENT, *pools)
    assert [(p["name"], p["chips_count"]) for p in got["pools"]] == [("prefill", 4), ("decode", 8)]
    # 50 GB/s of scale-out a chip, 4 chips, 0.67 of it: facts h200-sxm.scale_out_bandwidth and kv-transfer.link_share
    assert any("134 GB/s from each prefill replica" in line for line in got["setting"]["assumptions"])
    slow = found(trace, *DEPLOYMENT, *pools, "--link", "1 GB/s")
    assert slow["tpot"]["mean_s"] > got["tpot"]["mean_s"]
    other = found(trace, *DEPLOYMENT, *pools, "--decode-accelerator", "h100-sxm", "--decode-parallelism", "TP8")
    assert [d["accelerator"] for d in other["setting"]["deployed"]] == ["h200-sxm", "h100-sxm"]
    assert other["chips_count"] == 4 + 16


def test_the_best_split_comes_first(trace: str) -> None:
    got = found(trace, *DEPLOYMENT, "--find-split", "12", "--ttft", "100 ms", "--tpot", "20 ms")
    rates = [row["tokens_per_s_per_chip"] for row in got["setting"]["splits"]]
    assert len(rates) == 2 and rates == sorted(rates, reverse=True)
    assert got["targets_met"]


def test_a_sweep_goes_below_and_above_the_capacity(trace: str) -> None:
    got = found(trace, *DEPLOYMENT, "--ttft", "100 ms", "--tpot", "20 ms", "--sweep")
    loads = [p["load_frac"] for p in got["setting"]["tried"]]
    best = got["setting"]["load_frac"]
    assert loads == sorted(loads) and loads[0] < 0.3 * best and loads[-1] > 1.4 * best
    assert max(p["load_frac"] for p in got["setting"]["tried"] if p["met"]) == best


def test_offline_requests_wait_behind(trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vl_convert

    monkeypatch.setattr(vl_convert, "vegalite_to_png", lambda spec, **_: b"\x89PNG")
    words = (trace, *DEPLOYMENT, "--offline", trace)
    got = found(*words)
    assert (got["requests_count"], got["offline"]["requests_count"]) == (40, 40)
    run(*words, "--out", str(tmp_path / "r"))
    rows = pl.read_parquet(tmp_path / "r" / "requests.parquet")
    assert rows["offline"].to_list() == [False] * 40 + [True] * 40
    assert rows["share_frac"].sum() == pytest.approx(1.0)
    searched = found(*words, "--ttft", "200 ms", "--tpot", "30 ms", "--find-capacity")
    assert searched["targets_met"] and searched["offline"]["requests_count"] == 40


def test_a_price_is_the_one_given_or_the_rent(trace: str) -> None:
    got = found(trace, *DEPLOYMENT, "--price", "2 USD/h")
    assert got["cost"]["usd_per_chip_h"] == 2.0
    assert got["cost"]["total_usd"] == pytest.approx(2.0 * got["duration_s"] / 3600 * 4)
    rent = found(trace, *DEPLOYMENT)
    assert rent["setting"]["deployed"][0]["price"].startswith("h200-sxm.rent_3yr")
    assert "an hour of H200 SXM costs" in rent["setting"]["assumptions"][0]


def test_requests_that_come_at_once_have_a_load_but_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    path.write_text("arrival_s,input_tokens,output_tokens\n" + "0,100,10\n" * 5)
    assert "all at once" in run(str(path), *DEPLOYMENT)
    assert found(str(path), *DEPLOYMENT)["load_requests_per_s"] is None
    for words in (("--rate", "2 requests/s"), ("--find-capacity",)):
        assert "all 5 requests arrive at once" in run(str(path), *DEPLOYMENT, *words, code=2)
