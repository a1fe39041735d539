"""`scoville calibrate` as a user sees it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.validation.synthetic import write
from tests.validation.test_device import HERE
from tests.validation.test_device import rows as kernel_rows
from typer.testing import CliRunner

from scoville.cli import app
from scoville.facts import load
from scoville.validation import device
from scoville.validation.calibrate import Correction

TRUE = Correction(time_frac=0.94, sequence_s=20e-6, request_s=15e-3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibrate") / "runs.csv"
    write(path, load(), TRUE, in_flight=(1, 8))
    return path


@pytest.fixture(scope="module")
def done(runs: Path) -> str:
    words = ["calibrate", str(runs), "--engine", "ours", "--out", str(runs.parent / "ours.toml"), "--threads", "1"]
    result = CliRunner().invoke(app, [*words, "--date", "2026-11-20"])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_terminal_shows_numbers_errors_and_scores(done: str) -> None:
    said = " ".join(done.split())
    for words in (
        "ours: vllm on h100-sxm, 8 figures", "standard error", "factor on the chip's times",
        "time per step 0 not fitted",
        "TPOT, before", "TPOT, after", "in sample", "Careful: 8 rows count for 3 numbers", "--engine ours",
    ):  # fmt: skip
        assert words in said, words


def test_the_engine_then_simulates(done: str, runs: Path) -> None:
    trace = runs.parent / "one.csv"
    trace.write_text("arrival_s,input_tokens,output_tokens\n0,1024,128\n", encoding="utf-8")
    words = ["simulate", str(trace), "--model", "Llama-3.1-8B", "--accelerator", "h100-sxm", "--json"]
    own = ["--facts", str(runs.parent / "ours.toml"), "--engine", "ours"]
    ttft = {}
    for name, more in (("usual", []), ("own", own)):
        result = CliRunner().invoke(app, [*words, *more])
        assert result.exit_code == 0, result.output
        ttft[name] = json.loads(result.output)["ttft"]["mean_s"]
    measured = next(line for line in runs.read_text(encoding="utf-8").splitlines() if re.search(",1,ttft_ms,", line))
    assert ttft["own"] == pytest.approx(float(measured.rpartition(",")[2]) / 1e3, rel=0.02), "not what was measured"
    assert abs(ttft["own"] / ttft["usual"] - 1) > 0.1, "the correction changes nothing"


def test_json_has_every_number_with_its_error(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.toml"
    result = CliRunner().invoke(app, ["calibrate", str(runs), "--out", str(out), "--threads", "1", "--json"])
    assert result.exit_code == 0, result.output
    (engine,) = json.loads(result.output)["engines"]
    request = engine["numbers"]["request_s"]
    assert request["fitted"] and abs(request["value"] - TRUE.request_s) < 2 * request["standard_error"]
    assert not engine["numbers"]["step_s"]["fitted"]
    assert out.is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give either a table of measured runs or --device cuda"),
        (["no-such.csv"], "no-such.csv: cannot be read"),
        (["no-such.csv", "--date", "yesterday"], "--date: 'yesterday' is no date; expected YYYY-MM-DD"),
        (["no-such.csv", "--out", "runs.csv"], "--out: 'runs.csv' is no file of facts; expected a name that ends in"),
        (["no-such.csv", "--out", "no-such/e.toml"], "--out: 'no-such' is no folder"),
        (["no-such.csv", "--engine", "vllm"], "--engine: 'vllm' is the name of a subject of the facts already"),
        (["--device", "tpu"], "--device: 'tpu' is unknown; allowed: cuda"),
        (["a.csv", "--device", "cuda"], "give either a table of measured runs or --device cuda"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_code_2(words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["calibrate", *words])
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_without_pytorch_one_sentence_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = CliRunner().invoke(app, ["calibrate", "--device", "cuda"])
    assert result.exit_code == 2
    assert "needs PyTorch 2.5 or newer, scipy and a GPU; install the first two with pip install" in result.output


def test_without_a_gpu_one_sentence_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    none = SimpleNamespace(__version__="2.9.0", cuda=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setitem(sys.modules, "torch", none)
    result = CliRunner().invoke(app, ["calibrate", "--device", "cuda"])
    assert result.exit_code == 2
    assert "needs a GPU that PyTorch can use, and PyTorch 2.9.0 finds none" in result.output


def test_a_measured_device_becomes_a_folder_of_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = [{"message_size": 1 << 30, "latency": 0.6, "bytes_per_s": 3.5e12}]
    monkeypatch.setattr(device, "torch_module", lambda: None)
    monkeypatch.setattr(device, "cuda", lambda torch: "NVIDIA H20")
    monkeypatch.setattr(device, "machine", lambda torch, chip, name, date: replace(HERE, chip=chip.id, date=date))
    monkeypatch.setattr(device, "left_out", lambda torch, name: {"all-reduce": "it needs two GPUs"})
    monkeypatch.setattr(device, "measure", lambda *_: {**kernel_rows(load()), "copy": copied})
    out = tmp_path / "operators"
    result = CliRunner().invoke(app, ["calibrate", "--device", "cuda", "--out", str(out), "--date", "2026-11-20"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    for words in (
        "h20: 1 x NVIDIA H20, driver 570.1", "gemm 280", "A copy moves 3.5 TB/s", "SCOVILLE_OPERATORS=",
        "Not measured: all-reduce; it needs two GPUs",
    ):  # fmt: skip
        assert words in said, words
    assert {"gemm.parquet", "gemm_parameters.parquet", "machine.json", "raw"} <= {p.name for p in out.iterdir()}
