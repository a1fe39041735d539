"""A stand-in for PyTorch that keeps shapes, types and places, refuses what PyTorch refuses, and computes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any


class OutOfMemoryError(RuntimeError):
    """As torch.OutOfMemoryError, which is a RuntimeError too."""


BYTES = {"float32": 4, "bfloat16": 2, "half": 2, "float8_e4m3fn": 1, "float8_e4m3fnuz": 1, "int32": 4, "uint8": 1}


@dataclass(frozen=True)
class Tensor:
    """Of one type on one device; `by_column`: the transpose of what lies row by row."""

    shape: tuple[int, ...]
    dtype: str
    device: str
    by_column: bool = False

    def to(self, dtype: str) -> Tensor:
        return replace(self, dtype=dtype)

    def t(self) -> Tensor:
        return replace(self, shape=self.shape[::-1], by_column=not self.by_column)

    def copy_(self, other: Tensor) -> None:
        assert (self.shape, self.dtype, self.device) == (other.shape, other.dtype, other.device)

    def zero_(self) -> None:
        pass

    def __getitem__(self, rows: slice) -> Tensor:
        return replace(self, shape=(len(range(*rows.indices(self.shape[0]))), *self.shape[1:]))


class Event:
    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing, "an event without timing has no elapsed time"

    def record(self) -> None:
        pass

    def elapsed_time(self, other: Event) -> float:
        return 0.01


@dataclass
class Torch:
    """A machine of `gpus` with some memory; `fp8` is the type that it multiplies, "" for none. `calls` counts."""

    gpus: int = 1
    fp8: str = "float8_e4m3fn"
    capability: tuple[int, int] = (9, 0)
    memory_bytes: float = 80e9
    nccl: bool = True
    calls: dict[str, int] = field(default_factory=dict)

    bfloat16, half, int32, uint8, float32 = "bfloat16", "half", "int32", "uint8", "float32"
    float8_e4m3fn, float8_e4m3fnuz = "float8_e4m3fn", "float8_e4m3fnuz"
    __version__ = "2.9.0"
    version = SimpleNamespace(cuda="12.8", hip=None)
    OutOfMemoryError = OutOfMemoryError

    def __post_init__(self) -> None:
        self.nn = SimpleNamespace(
            functional=SimpleNamespace(linear=self._linear, scaled_dot_product_attention=self._attention)
        )
        self.cuda = SimpleNamespace(
            Event=Event, synchronize=lambda: None, is_available=lambda: self.gpus > 0,
            device_count=lambda: self.gpus, get_device_name=lambda _: "NVIDIA H100 80GB HBM3",
            get_device_capability=lambda _: self.capability,
            nccl=SimpleNamespace(is_available=lambda tensors: self.nccl, all_reduce=self._all_reduce),
        )  # fmt: skip

    def _count(self, what: str) -> None:
        self.calls[what] = self.calls.get(what, 0) + 1

    def inference_mode(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()

    def empty(self, *shape: int, dtype: str = "float32", device: str = "cpu") -> Tensor:
        size = BYTES[dtype]
        for n in shape:
            size *= n
        if size > self.memory_bytes:
            raise OutOfMemoryError
        return Tensor(shape, dtype, device)

    randn = zeros = empty

    def ones(self, *shape: Any, dtype: str = "float32", device: str = "cpu") -> Tensor:
        return self.empty(*(() if shape == ((),) else shape), dtype=dtype, device=device)

    def empty_like(self, other: Tensor) -> Tensor:
        return other

    def _linear(self, x: Tensor, weight: Tensor) -> Tensor:
        assert x.shape[1] == weight.shape[1] and x.dtype == weight.dtype == "bfloat16" and x.device == weight.device
        self._count("linear")
        return Tensor((x.shape[0], weight.shape[0]), x.dtype, x.device)

    def _scaled_mm(self, x: Tensor, weight: Tensor, *, scale_a: Tensor, scale_b: Tensor, out_dtype: str,
                   use_fast_accum: bool) -> Tensor:  # fmt: skip
        """PyTorch asks for sides that 16 divides, a first factor by row and a second by column, and scales in fp32."""
        if x.dtype != self.fp8 or weight.dtype != self.fp8:
            raise RuntimeError("not supported on this device")
        assert x.shape[1] == weight.shape[0] and x.shape[1] % 16 == weight.shape[1] % 16 == 0
        assert not x.by_column and weight.by_column, "the layout that cuBLASLt takes"
        assert scale_a.dtype == scale_b.dtype == "float32" and scale_a.shape == scale_b.shape == ()
        assert use_fast_accum, "the engines' kernels do"
        self._count("fp8")
        return Tensor((x.shape[0], weight.shape[1]), out_dtype, x.device)

    def _attention(self, q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool, enable_gqa: bool) -> Tensor:
        assert k.shape == v.shape and q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3]
        assert q.shape[1] % k.shape[1] == 0 and enable_gqa == (q.shape[1] != k.shape[1])
        assert is_causal == (q.shape[2] == k.shape[2]), "a decode attends to all, a prompt to what came before"
        self._count("attention")
        return q

    def _all_reduce(self, vectors: list[Tensor]) -> None:
        assert [v.device for v in vectors] == [f"cuda:{i}" for i in range(len(vectors))], "one vector a GPU"
        self._count("all_reduce")
