"""The systolic timer: operators of given shapes on a chip of matrix units, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.facts import Accelerator, Facts
from scoville.timing.systolic import attention as attention_module
from scoville.timing.systolic.attention import AttentionTime, Heads
from scoville.timing.systolic.hardware import Hardware, format_named, hardware
from scoville.timing.systolic.mapping import Mapping, Product, fastest_s, layouts

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Explained:
    """The layout for one product, and the time of each level with it.

    Of layouts within 0.1 % of the fastest it is the one with the least work on all levels together.
    """

    mapping: Mapping
    array_s: float
    sram_s: float
    memory_s: float
    total_s: float

    @property
    def limit(self) -> str:
        """The longest level: 'array', 'on-chip memory' or 'memory bandwidth'."""
        times = {"array": self.array_s, "on-chip memory": self.sram_s, "memory bandwidth": self.memory_s}
        return max(times, key=lambda level: times[level])


@dataclass(frozen=True, slots=True)
class SystolicTimes:
    """Times of operators on one chip, without launches and engine overheads. Formats are names of FORMATS."""

    hardware: Hardware

    def gemm_seconds(self, m: ArrayLike, n: int, k: int, weight_format: str, activation_format: str) -> Array:
        """m x k activations times k x n weights, the result in bf16; any shape of m (rows, may be fractional).

        Zero where m is zero. Raises FactError for formats that the chip cannot multiply.
        """
        return self.moe_seconds(m, np.ones(1), n, k, weight_format, activation_format)

    def moe_seconds(
        self, rows: ArrayLike, experts: ArrayLike, n: int, k: int, weight_format: str, activation_format: str
    ) -> Array:
        """A grouped product: `rows` rows in all, spread evenly over `experts` touched experts (both may be fractional,
        as means are), each with k x n weights. One expert is a plain product."""
        r, e = np.broadcast_arrays(np.asarray(rows, float), np.asarray(experts, float))
        shape = np.shape(rows) if np.ndim(experts) == 1 and np.shape(experts) == (1,) else r.shape
        flat = np.stack([r.ravel(), e.ravel()])
        unique, where = np.unique(flat, axis=1, return_inverse=True)
        busy = (unique[0] > 0) & (unique[1] > 0)
        times = np.zeros(unique.shape[1])
        if busy.any():
            product = self._product(unique[0][busy], unique[1][busy], n, k, weight_format, activation_format)
            times[busy] = fastest_s(self.hardware, product, batched=bool((unique[1] > 1).any()))
        return np.asarray(times[where.reshape(-1)].reshape(shape))

    def explain(
        self, m: float, n: int, k: int, weight_format: str, activation_format: str, experts: float = 1.0
    ) -> Explained:
        """How one product is laid out and what bounds it; m > 0 rows in all."""
        product = self._product(np.array([m]), np.array([experts]), n, k, weight_format, activation_format)

        found = list(layouts(self.hardware, product, batched=experts > 1))
        best = min(levels.total_s.item() for _, levels in found)
        equal = [(x, y) for x, y in found if y.total_s.item() <= 1.001 * best]
        mapping, levels = min(equal, key=lambda x: (x[1].array_s + x[1].sram_s + x[1].memory_s).item())
        seconds = (float(np.max(x)) for x in (levels.array_s, levels.sram_s, levels.memory_s, levels.total_s))
        return Explained(mapping, *seconds)

    def attention(self, heads: Heads, kv_format: str, activation_format: str, *, prompt: bool) -> AttentionTime:
        """Coefficients of an attention block in prompts or in decodes; see `AttentionTime`."""
        formats = format_named(kv_format), format_named(activation_format)
        return attention_module.attention(self.hardware, heads, *formats, prompt=prompt)

    def _product(
        self, rows: Array, experts: Array, n: int, k: int, weight_format: str, activation_format: str
    ) -> Product:
        return Product(rows / experts, experts, n, k, format_named(weight_format), format_named(activation_format))


def systolic(accelerator: Accelerator, facts: Facts) -> SystolicTimes | None:
    """The systolic timer of a chip, at its central figures; None for one whose arrays nobody has described.

    Raises FactError for a chip with arrays that cannot be timed: one sentence says what is missing.
    """
    found = hardware(accelerator, facts)
    return SystolicTimes(found) if found else None
