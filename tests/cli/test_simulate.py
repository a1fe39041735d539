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
from scoville.serving.settings import preset
from scoville.serving.simulate import engine
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
    assert got["engine"]["policy"] == "prefill_first"
    assert got["energy_j"] == expected.energy_j


def test_the_tables_say_what_was_run_and_what_came_out(trace: str) -> None:
    out = run(trace, *DEPLOYMENT, "--token-budget", "2048", "--max-sequences", "64", "--cache-blocks", "5000")
    assert "Llama-3.1-70B on 1 x TP4 H200 SXM (4 chips)" in out
    assert "token budget 2,048, at most 64 sequences" in out
    assert "5,000 blocks of 16 tokens, 80,000 tokens" in out
    assert "at its own rate: 4.1 requests/s" in out
    assert "Both targets hold" in out
    assert "note: 1 answer of one token counts" in out
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
        (("--load", "1", "--find-capacity"), "give one of --load, --rate and --find-capacity"),
        (("--ttft", "0 s"), "--ttft: '0 s' is not above 0"),
        (("--replicas", "0"), "replicas is 0"),
        (("--engine", "vlm"), "did you mean 'vllm'?"),
        (("--cache-blocks", "30"), "request 0 of forty.csv has 500 prompt and 50 answer tokens"),
        (("--parallelism", "TP1", "--weights", "bf16"), "does not fit"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_what_cannot_be_run_is_refused_in_one_sentence(trace: str, words: tuple[str, ...], sentence: str) -> None:
    error = run(trace, *DEPLOYMENT, *words, code=2)
    assert error.count("\n") == 1
    assert sentence in error


def test_requests_that_come_at_once_have_a_load_but_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    path.write_text("arrival_s,input_tokens,output_tokens\n" + "0,100,10\n" * 5)
    assert "all at once" in run(str(path), *DEPLOYMENT)
    assert found(str(path), *DEPLOYMENT)["load_requests_per_s"] is None
    for words in (("--rate", "2 requests/s"), ("--find-capacity",)):
        assert "all 5 requests arrive at once" in run(str(path), *DEPLOYMENT, *words, code=2)
