"""Kernels measured on the spot: written as published tables are, fitted, and read by timing in place of the bundled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.validation.stand_in import Torch

from scoville.errors import DeploymentError, MeasurementError
from scoville.facts import Facts
from scoville.timing.measured import tables
from scoville.timing.measured.fit_gemm import read
from scoville.timing.measured.gemm import GEMM_FORMATS, GemmKernel, gemm_chip, roofline_seconds
from scoville.validation import device

HERE = device.Machine("2026-11-20", "h20", "NVIDIA H20", 1, "570.1", "2.9.0", "12.8")
SMALL = device.Shapes(
    m=(1, 8, 64), n=(64, 128, 256), k=(64, 128), heads=((4, 2, 64), (4, 4, 64)), decode_batch=(1, 4),
    decode_length=(128, 256), prefill_batch=(1,), prefill_length=(32, 64), copy_bytes=(1 << 12,), repeats=3,
)  # fmt: skip
KERNEL = GemmKernel(5e-6, 0.8, 0.85, 0.2, 4e-12, 0.3, 1e-9, 2500.0, 0.0)


def rows(facts: Facts) -> dict[str, list[dict[str, Any]]]:
    """What a chip with a known kernel would have been measured at; attention at 3 TB/s and 5 us a launch."""
    chip, shapes = gemm_chip(facts, "h20", "bf16"), device.Shapes()
    gemm = [
        {
            "kernel_source": "cublas", "gemm_dtype": "bfloat16", "m": m, "n": n, "k": k,
            "latency": 1e3 * float(roofline_seconds(KERNEL, chip, GEMM_FORMATS["bf16"], m, n, k)),
        }
        for n in shapes.n for k in shapes.k for m in shapes.m
    ]  # fmt: skip
    attention = [
        {
            "kernel_source": "sdpa", "batch_size": batch, "isl": 1, "num_heads": 32, "num_key_value_heads": 8,
            "head_dim": 128, "beam_width": 1, "attn_dtype": "bfloat16", "kv_cache_dtype": "bfloat16",
            "step": length - 1, "window_size": 0, "latency": 1e3 * (5e-6 + batch * length * 8 * 512 / 3e12),
        }
        for batch in shapes.decode_batch for length in shapes.decode_length
    ]  # fmt: skip
    return {"gemm": gemm, "generation_attention": attention}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, facts: Facts) -> Path:
    out = tmp_path_factory.mktemp("device") / "operators"
    out.mkdir()
    device.write(out, HERE, rows(facts))
    device.fitted(out, facts)
    return out


def test_raw_tables_stand_where_the_published_ones_do_and_say_their_machine(folder: Path) -> None:
    raw = folder / "raw" / "h20" / "gemm" / "vllm" / "2.9.0" / "gemm_perf.parquet"
    assert set(pl.read_parquet(raw).row(0, named=True).items()) >= {("driver", "570.1"), ("date", "2026-11-20")}
    assert json.loads((folder / "machine.json").read_text(encoding="utf-8"))["torch"] == "2.9.0"
    assert set(read(folder / "raw")["chip"]) == {"h20"}


def test_timing_answers_with_what_was_measured(folder: Path, facts: Facts) -> None:
    """In a process of its own: tables are read once."""
    asked = """
from scoville.timing.measured.attention import HeadLayout, attention_times
from scoville.timing.measured.gemm import gemm_times
print(float(gemm_times("h20", "vllm", "bf16").seconds(300, 6000, 5000)))
print(float(attention_times("h20", "vllm").table(HeadLayout(32, 8, 128), "decode").seconds(8, 1, 4095)))
print(float(gemm_times("h200-sxm", "vllm", "bf16").seconds(300, 6000, 5000)))
"""
    said = []
    for operators in (str(folder), ""):
        environment = {**os.environ, tables.OPERATORS: operators}
        run = subprocess.run(
            [sys.executable, "-c", asked], text=True, capture_output=True, check=False, env=environment
        )
        said.append((run.returncode, run.stdout.split(), run.stderr))
    assert said[0][0] == 0, said[0][2]
    gemm, attention, other = map(float, said[0][1])
    made = roofline_seconds(KERNEL, gemm_chip(facts, "h20", "bf16"), GEMM_FORMATS["bf16"], 300, 6000, 5000)
    assert gemm == pytest.approx(float(made), rel=0.05), "a product between the measured ones is another"
    assert attention == pytest.approx(5e-6 + 8 * 4096 * 8 * 512 / 3e12, rel=0.1), "decode attention is another"
    assert "no measured table for h20" in said[1][2], "the folder is read though nobody names it"
    assert other > 0


def test_a_folder_without_tables_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tables.OPERATORS, str(tmp_path))
    with pytest.raises(DeploymentError, match=r"SCOVILLE_OPERATORS: .* holds no gemm\.parquet"):
        tables.frame("gemm")
    pl.DataFrame({"chip": ["h20"], "family": ["vllm"], "format": ["bf16"]}).write_parquet(tmp_path / "gemm.parquet")
    with pytest.raises(DeploymentError, match=r"gemm\.parquet has other columns"):
        tables.frame("gemm")


def test_a_broken_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tables.OPERATORS, str(tmp_path))
    (tmp_path / "gemm.parquet").write_bytes(b"PAR1")
    with pytest.raises(DeploymentError, match=r"SCOVILLE_OPERATORS: .*gemm\.parquet cannot be read as Parquet"):
        tables.frame("gemm")


def test_own_rows_take_the_place_of_bundled_ones(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = tables.frame("gemm")
    own = pl.read_parquet(folder / "gemm.parquet").with_columns(chip=pl.lit("h100-sxm"))
    own.write_parquet(tmp_path / "gemm.parquet")
    monkeypatch.setenv(tables.OPERATORS, str(tmp_path))
    both = tables.frame("gemm")
    kept = {"chip": "h100-sxm", "family": "vllm"}
    assert len(both.filter(format="bf16", **kept)) == len(own), "old and new rows of one table are mixed"
    assert len(both.filter(format="fp8", **kept)) == len(bundled.filter(format="fp8", **kept)), "fp8 is lost"


@pytest.mark.parametrize("name", ["NVIDIA H100 80GB HBM3", "h200_sxm", "NVIDIA A100-SXM4-80GB"])
def test_a_device_is_found_by_the_name_that_its_driver_gives(name: str, facts: Facts) -> None:
    assert device.chip_of(name, facts).id in {"h100-sxm", "h200-sxm", "a100-sxm"}


def test_an_unknown_device_is_to_be_named(facts: Facts) -> None:
    with pytest.raises(MeasurementError, match=r"hardware 'Radeon VII' .*; name it with --chip"):
        device.chip_of("Radeon VII", facts)


def test_a_short_set_is_measured_on_the_cpu_where_pytorch_is_installed(tmp_path: Path, facts: Facts) -> None:
    torch = pytest.importorskip("torch")
    made = device.measure(torch, "cpu", SMALL)
    assert {n: len(found) for n, found in made.items() if n != "gemm"} == {
        "context_attention": 4, "generation_attention": 8, "copy": 1,
    }  # fmt: skip
    assert len(made["gemm"]) in (18, 36), "18 shapes in bf16, and in fp8 where the device has it"
    assert all(np.isfinite(r["latency"]) and r["latency"] > 0 for found in made.values() for r in found)
    device.write(tmp_path, device.machine(torch, facts.accelerator("h100-sxm"), "cpu", "2026-11-20"), made)
    assert len(device.fitted(tmp_path, facts)) == 5


def test_all_of_a_gpus_tables_are_measured_with_operands_that_pytorch_takes(facts: Facts) -> None:
    """All shapes of the real set, on a stand-in that checks what PyTorch would and takes no time."""
    torch = Torch(gpus=8)
    assert device.cuda(torch) == "NVIDIA H100 80GB HBM3"
    assert device.left_out(torch, "cuda") == {}
    shapes = device.Shapes()
    made = device.measure(torch, "cuda", shapes)
    products = len(shapes.m) * len(shapes.n) * len(shapes.k)
    assert [r["gemm_dtype"] for r in made["gemm"]].count("fp8") == products
    assert len(made["gemm"]) == 2 * products
    assert {r["num_gpus"] for r in made["nccl"]} == {2, 4, 8}
    assert {len(made[name]) for name in ("nccl", "copy")} == {3 * len(shapes.message_bytes), len(shapes.copy_bytes)}
    assert all(r["latency"] == pytest.approx(0.01) for rows in made.values() for r in rows)
    assert {(r["isl"], r["step"]) for r in made["generation_attention"]} == {(1, n - 1) for n in shapes.decode_length}
    assert torch.calls["all_reduce"] == len(made["nccl"]) * (3 + shapes.repeats), "three to warm up"


@pytest.mark.parametrize(
    ("torch", "said"),
    [
        (Torch(gpus=1), {"all-reduce": "it needs two GPUs or more, and one is seen"}),
        (Torch(gpus=2, nccl=False), {"all-reduce": "this PyTorch is built without NCCL"}),
        (
            Torch(gpus=2, fp8="", capability=(8, 0)),
            {"products in fp8": "PyTorch multiplies none on this device (NVIDIA's need compute capability 8.9)"},
        ),
        (Torch(gpus=2, fp8="float8_e4m3fnuz"), {}),
    ],
)
def test_what_is_not_measured_has_its_reason(torch: Torch, said: dict[str, str]) -> None:
    assert device.left_out(torch, "cuda") == said
    made = device.measure(torch, "cuda", SMALL)
    assert ("nccl" in made) == ("all-reduce" not in said)
    assert any(r["gemm_dtype"] == "fp8" for r in made["gemm"]) == ("products in fp8" not in said)


def test_a_small_gpu_measures_what_it_has_room_for() -> None:
    large, small = (device.measure(Torch(memory_bytes=b), "cuda", device.Shapes()) for b in (80e9, 1.1e9))
    assert 0 < len(small["generation_attention"]) < len(large["generation_attention"])


def test_a_gpu_without_bf16_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"compute capability 7\.5; expected 8\.0 or more"):
        device.cuda(Torch(capability=(7, 5)))


def test_on_a_gpu_the_buffer_is_overwritten_before_each_repeat_and_events_count() -> None:
    said: list[str] = []
    durations = iter([9.0, 2.0, 4.0])

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            said.append("event")

        def elapsed_time(self, other: Event) -> float:
            return next(durations)

    torch = SimpleNamespace(
        int32="int32",
        empty=lambda size, **_: SimpleNamespace(zero_=lambda: said.append("flush")),
        cuda=SimpleNamespace(Event=Event, synchronize=lambda: said.append("wait")),
    )
    taken = device.Stopwatch(torch, "cuda", repeats=3).seconds(lambda: said.append("run"))
    assert taken == pytest.approx(4e-3), "the median of 9, 2 and 4 ms"
    assert said == ["run"] * 3 + ["flush", "event", "run", "event"] * 3 + ["wait"]
