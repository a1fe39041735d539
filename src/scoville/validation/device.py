"""A chip's kernels, measured where we are with PyTorch: matrix products, attention, copies, all-reduce.

Each figure is the median of repeats after a warm-up, between two CUDA events, with a buffer larger than the on-chip
memory overwritten before each, as other layers' weights would. Tables have the columns of the published ones
(timing/measured/data/README.md), latencies in ms. Kernels are PyTorch's: cuBLAS, and what
`scaled_dot_product_attention` chooses; they stand for those of vLLM, which calls the same libraries or their like.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from scoville.errors import MeasurementError
from scoville.facts import Accelerator, Facts
from scoville.validation.names import Chips, Unknown

if TYPE_CHECKING:
    import polars as pl

RESULT = "machine.json"
FAMILY = "vllm"  # whose tables those of PyTorch take the place of
_NEEDS = "pip install 'scoville[device]'"
_WARM_UP = 3
_SPIN_UP = 2000  # products of 4096 x 4096 x 4096: 0.4 s at 700 TFLOP/s
_REDUCE_COVERS = 4  # a group of launches on up to 16 devices takes the host longer than one kernel
_FLUSH_BYTES = 512 << 20
_MOST_BYTES = 8 << 30  # of one configuration's operands
_HALF_BYTES = 2


@dataclass(frozen=True, slots=True)
class Shapes:
    """What is measured. Matrix products: every m of a k x n weight. Attention: (heads, KV heads, size of a head), by
    batch and length, `most_prompt_tokens` in a batch of prompts. Copies and all-reduce: sizes in bytes."""

    m: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
    n: tuple[int, ...] = (1024, 4096, 8192, 14336, 28672)
    k: tuple[int, ...] = (1024, 4096, 8192, 14336)
    heads: tuple[tuple[int, int, int], ...] = ((32, 32, 128), (32, 8, 128), (16, 2, 128), (8, 1, 128))
    decode_batch: tuple[int, ...] = (1, 4, 16, 64, 256)
    decode_length: tuple[int, ...] = (256, 1024, 4096, 16384, 65536)
    prefill_batch: tuple[int, ...] = (1, 4)
    prefill_length: tuple[int, ...] = (128, 512, 2048, 8192)
    most_prompt_tokens: int = 16384
    copy_bytes: tuple[int, ...] = (1 << 24, 1 << 27, 1 << 30)
    message_bytes: tuple[int, ...] = tuple(1 << i for i in range(12, 29, 2))
    repeats: int = 15


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when it was measured."""

    date: str
    chip: str
    device: str
    devices_count: int
    driver: str
    torch: str
    cuda: str


def torch_module() -> Any:
    """PyTorch. Raises MeasurementError that says what to install, for scipy, which the fit needs, as well."""
    try:
        import_module("scipy")
        return import_module("torch")
    except ImportError:
        raise MeasurementError(
            f"calibrate --device needs PyTorch 2.5 or newer, scipy and a GPU; install the first two with {_NEEDS}"
        ) from None


def cuda(torch: Any) -> str:
    """The name of the GPU. Raises MeasurementError without one, or where it does not compute in bf16."""
    if not torch.cuda.is_available():
        raise MeasurementError(
            f"calibrate --device needs a GPU that PyTorch can use, and PyTorch {torch.__version__} finds none; run "
            f"it on a machine with the chip and its driver"
        )
    name = str(torch.cuda.get_device_name(0))
    major, minor = torch.cuda.get_device_capability(0)
    if torch.version.hip is None and major < 8:
        raise MeasurementError(
            f"calibrate --device: {name} has compute capability {major}.{minor}; expected 8.0 or more, which bf16 needs"
        )
    return name


def left_out(torch: Any, device: str) -> dict[str, str]:
    """What is not measured here, and why, in the order of the tables."""
    said = {}
    if _fp8_type(torch, device) is None:
        said["products in fp8"] = "PyTorch multiplies none on this device (NVIDIA's need compute capability 8.9)"
    count = torch.cuda.device_count() if device == "cuda" else 1
    if count < 2:
        said["all-reduce"] = "it needs two GPUs or more, and one is seen"
    elif not torch.cuda.nccl.is_available([torch.zeros(1, device=f"cuda:{i}") for i in range(2)]):
        said["all-reduce"] = "this PyTorch is built without NCCL"
    return said


def chip_of(name: str, facts: Facts) -> Accelerator:
    """The chip of the facts that a device's name or a user means. Raises MeasurementError."""
    try:
        return Chips(facts).find(name)
    except Unknown as why:
        raise MeasurementError(f"calibrate --device: {why}; name it with --chip") from None


def machine(torch: Any, chip: Accelerator, device: str, date: str) -> Machine:
    """What the tables are to be remembered by; on the CPU, for tests, there is no driver."""
    on_gpu = device == "cuda"
    return Machine(
        date=date,
        chip=chip.id,
        device=torch.cuda.get_device_name(0) if on_gpu else "CPU",
        devices_count=torch.cuda.device_count() if on_gpu else 1,
        driver=_driver() if on_gpu else "",
        torch=str(torch.__version__),
        cuda=str(torch.version.cuda or ""),
    )


def _driver() -> str:
    """The version of NVIDIA's driver as its tool says it; "" where there is no such tool, as on AMD's machines."""
    import subprocess

    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.splitlines()[0].strip() if said else ""


class Stopwatch:
    """Times what runs on a device."""

    def __init__(self, torch: Any, device: str, repeats: int, flush_bytes: int = _FLUSH_BYTES) -> None:
        self._torch, self.device, self._repeats = torch, device, repeats
        self._buffer = torch.empty(flush_bytes // 4, dtype=torch.int32, device=device)

    def seconds(self, run: Callable[[], object], covers: int = 1) -> float:
        """Median seconds of `run`, cold in the caches; the buffer is overwritten `covers` times before each."""
        for _ in range(_WARM_UP):
            run()
        return self._events(run, covers) if self.device == "cuda" else self._clock(run)

    def _events(self, run: Callable[[], object], covers: int) -> float:
        """The device is still busy with the buffer while the host queues `run`, so that launches cost nothing: 0.16 ms
        at 3.35 TB/s, enough for a few kernels, `covers` times that for a group of them on several devices."""
        cuda = self._torch.cuda
        pairs = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(self._repeats)]
        for start, end in pairs:
            for _ in range(covers):
                self._buffer.zero_()
            start.record()
            run()
            end.record()
        cuda.synchronize()
        return float(median(start.elapsed_time(end) for start, end in pairs)) / 1e3

    def _clock(self, run: Callable[[], object]) -> float:
        taken = []
        for _ in range(self._repeats):
            self._buffer.zero_()
            begin = time.perf_counter()
            run()
            taken.append(time.perf_counter() - begin)
        return median(taken)


def measure(
    torch: Any, device: str, shapes: Shapes, progress: Callable[[str, float], None] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Rows by table: gemm, context_attention, generation_attention, copy, and nccl with several GPUs."""
    watch = Stopwatch(torch, device, shapes.repeats, _FLUSH_BYTES if device == "cuda" else 1 << 22)
    parts: list[tuple[str, Iterator[dict[str, Any]]]] = [
        ("gemm", _gemm(torch, watch, shapes)),
        ("context_attention", _attention(torch, watch, shapes, prefill=True)),
        ("generation_attention", _attention(torch, watch, shapes, prefill=False)),
        ("copy", _copy(torch, watch, shapes)),
    ]
    if "all-reduce" not in left_out(torch, device):
        parts.append(("nccl", _all_reduce(torch, watch, shapes)))
    made: dict[str, list[dict[str, Any]]] = {}
    with torch.inference_mode():
        if device == "cuda":
            _spin_up(torch)
        for i, (name, rows) in enumerate(parts):
            if progress is not None:
                progress(name.replace("_", " "), i / len(parts))
            made[name] = list(rows)
    return made


def _spin_up(torch: Any) -> None:
    """Half a second or so of products, so that an idle device has raised its clocks before the first figure."""
    x = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    for _ in range(_SPIN_UP):
        torch.nn.functional.linear(x, x)
    torch.cuda.synchronize()


def _gemm(torch: Any, watch: Stopwatch, shapes: Shapes) -> Iterator[dict[str, Any]]:
    fp8 = _fp8_type(torch, watch.device)
    one = torch.ones((), device=watch.device)
    for n, k in product(shapes.n, shapes.k):
        weight = torch.randn(n, k, device=watch.device, dtype=torch.bfloat16)
        weight8 = weight.to(fp8).t() if fp8 is not None else None  # (k, n), a column after another
        for m in shapes.m:
            x = torch.randn(m, k, device=watch.device, dtype=torch.bfloat16)
            shape = {"m": m, "n": n, "k": k}
            taken = watch.seconds(lambda x=x, w=weight: torch.nn.functional.linear(x, w))  # type: ignore[misc]
            yield {"kernel_source": "cublas", "gemm_dtype": "bfloat16", **shape, "latency": taken * 1e3}
            if weight8 is not None:
                taken = watch.seconds(lambda x=x, w=weight8: _fp8(torch, x, w, one))  # type: ignore[misc]
                yield {"kernel_source": "cublaslt", "gemm_dtype": "fp8", **shape, "latency": taken * 1e3}


def _fp8(torch: Any, x: Any, weight: Any, one: Any) -> Any:
    """A bf16 input is cast to fp8, scale 1, and multiplied, partial sums as the tensor cores keep them: the engines'
    kernels for fp8 do so too."""
    return torch._scaled_mm(
        x.to(weight.dtype), weight, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
    )


def _fp8_type(torch: Any, device: str) -> Any:
    """The fp8 in which the device multiplies: e4m3fn, on AMD's CDNA 3 e4m3fnuz; None for none."""
    for name in ("float8_e4m3fn", "float8_e4m3fnuz"):
        try:
            x = torch.ones(16, 16, dtype=torch.bfloat16, device=device)
            _fp8(torch, x[:1], x.to(getattr(torch, name)).t(), torch.ones((), device=device))
        except (RuntimeError, AttributeError, TypeError, ValueError):  # NotImplementedError is a RuntimeError
            continue
        return getattr(torch, name)
    return None


def _attention(torch: Any, watch: Stopwatch, shapes: Shapes, *, prefill: bool) -> Iterator[dict[str, Any]]:
    batches, lengths = (
        (shapes.prefill_batch, shapes.prefill_length) if prefill else (shapes.decode_batch, shapes.decode_length)
    )
    for (heads, kv_heads, size), batch, length in product(shapes.heads, batches, lengths):
        if 2 * batch * kv_heads * length * size * _HALF_BYTES > _MOST_BYTES:
            continue
        if prefill and batch * length > shapes.most_prompt_tokens:
            continue

        def tensor(count: int, tokens: int, batch: int = batch, size: int = size) -> Any:
            return torch.randn(batch, count, tokens, size, device=watch.device, dtype=torch.bfloat16)

        try:
            q, k, v = tensor(heads, length if prefill else 1), tensor(kv_heads, length), tensor(kv_heads, length)
        except torch.OutOfMemoryError:  # a small device measures what it has room for
            continue

        def run(q: Any = q, k: Any = k, v: Any = v, grouped: bool = heads != kv_heads) -> Any:
            attend = torch.nn.functional.scaled_dot_product_attention
            return attend(q, k, v, is_causal=prefill, enable_gqa=grouped)

        try:
            taken = watch.seconds(run)
        except torch.OutOfMemoryError:  # without a fused kernel the scores take room, too
            continue
        yield {
            "kernel_source": "scaled_dot_product_attention", "batch_size": batch, "isl": length if prefill else 1,
            "num_heads": heads, "num_key_value_heads": kv_heads, "head_dim": size, "beam_width": 1,
            "attn_dtype": "bfloat16", "kv_cache_dtype": "bfloat16", "step": 0 if prefill else length - 1,
            "window_size": 0, "latency": taken * 1e3,
        }  # fmt: skip


def _copy(torch: Any, watch: Stopwatch, shapes: Shapes) -> Iterator[dict[str, Any]]:
    for size in shapes.copy_bytes:
        source = torch.zeros(size, dtype=torch.uint8, device=watch.device)
        target = torch.empty_like(source)
        taken = watch.seconds(lambda a=target, b=source: a.copy_(b))  # type: ignore[misc]
        yield {"message_size": size, "latency": taken * 1e3, "bytes_per_s": 2 * size / taken}


def _all_reduce(torch: Any, watch: Stopwatch, shapes: Shapes) -> Iterator[dict[str, Any]]:
    """NCCL's, from one process, which sees all GPUs: a group of launches, each on its GPU's current stream. The events
    of the first GPU count; the others wait in the kernel until it is there."""
    ranks = [2**i for i in range(1, 5) if 2**i <= torch.cuda.device_count()]
    for count, size in product(ranks, shapes.message_bytes):
        vectors = [torch.zeros(size // _HALF_BYTES, dtype=torch.half, device=f"cuda:{i}") for i in range(count)]
        taken = watch.seconds(lambda v=vectors: torch.cuda.nccl.all_reduce(v), _REDUCE_COVERS)  # type: ignore[misc]
        yield {
            "op_name": "all_reduce", "kernel_source": "NCCL", "nccl_dtype": "half", "num_gpus": count,
            "message_size": size // _HALF_BYTES, "latency": taken * 1e3,
        }  # fmt: skip


def write(folder: Path, at: Machine, rows: Mapping[str, list[dict[str, Any]]]) -> list[Path]:
    """Write machine.json and the raw tables under `folder`/raw in the published layout; returns the files."""
    import polars as pl

    version = at.torch.partition("+")[0]
    chip = at.chip.replace("-", "_")
    places = {
        "gemm": f"gemm/{FAMILY}", "context_attention": f"attention/{FAMILY}",
        "generation_attention": f"attention/{FAMILY}", "copy": "copy/torch", "nccl": "comm/nccl",
    }  # fmt: skip
    (folder / RESULT).write_text(json.dumps(asdict(at), indent=1) + "\n", encoding="utf-8")
    made = [folder / RESULT]
    for name, records in rows.items():
        path = folder / "raw" / chip / places[name] / version / f"{name}_perf.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        by = {"framework": "PyTorch", "version": at.torch, "device": at.device, "op_name": name}
        extra = {"driver": at.driver, "date": at.date}
        pl.DataFrame([{**by, **record, **extra} for record in records]).write_parquet(path)
        made.append(path)
    return made


def fitted(folder: Path, facts: Facts) -> list[Path]:
    """Fit the raw tables under `folder`/raw and write what timing reads into `folder`; returns the files."""
    frames: dict[str, pl.DataFrame] = import_module("scoville.timing.measured.fit_own").fit_own(folder / "raw", facts)
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet")
    return [folder / f"{name}.parquet" for name in frames]
