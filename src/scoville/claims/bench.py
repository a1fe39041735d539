"""The timed chips of an audit: each with its own timer and the roofline beside it, at central figures and drawn.

The published results are of one stepping and the peak figures of a later one. How much of the gain in performance per
watt between them is speed and how much is power is not published, so every speed carries the whole of it as a range: a
chip whose claims name a stepping is up to that much slower than its peak figures say, evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from scoville import transformer
from scoville.errors import DeploymentError
from scoville.facts import Accelerator, Draws, Facts
from scoville.serving import TrafficShape, shape
from scoville.serving.settings import preset
from scoville.timing import Chips, RooflineTimer, chips
from scoville.timing.systolic.kernels import SystolicKernels
from scoville.traffic import Trace
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, windows

Array = NDArray[np.float64]
T = TypeVar("T")
ROOFLINE = "vllm"  # fitted kernels of a chip with arrays, beside its systolic timer
GPU = "trtllm"  # kernels of the baseline, its vendor's own engine


@dataclass(frozen=True, eq=False)
class Stepping:
    """A stepping of a chip by its name, "" where only one is known."""

    name: str
    chips: Chips


@dataclass(frozen=True, eq=False)
class Timed:
    """A chip under one timer: `central` at central figures, midway between its steppings, and `drawn`, a row for each
    sample with a stepping between them. `steppings` are at central figures, the newest first.
    """

    accelerator: Accelerator
    kernels: str
    central: Chips
    drawn: Chips
    steppings: tuple[Stepping, ...]
    sequence_s: float

    @property
    def newest(self) -> Chips:
        """As the peak figures have it."""
        return self.steppings[0].chips

    @property
    def name(self) -> str:
        """Without its stepping."""
        return self.accelerator.name.split(" (")[0]

    @property
    def timer_name(self) -> str:
        """In words, for the answer."""
        return "systolic" if self.kernels == "systolic" else f"roofline, kernels of {self.kernels}"


@dataclass(eq=False)
class Bench:
    """Chips and models of one audit, prepared once. `progress` is told what begins."""

    facts: Facts
    samples: int
    seed: int
    progress: Callable[[str], None] = lambda _: None
    timer: RooflineTimer = field(default_factory=RooflineTimer)
    _made: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returned when first asked for under that key."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found

    def timed(self, chip: str, kernels: str = "") -> Timed:
        """The chip under a timer; its own if none is named."""
        which = kernels or self.own_timer(chip)
        return self.once(("timed", chip, which), lambda: self._timed(chip, which))

    def table(self, model: str, precision: Precision, parallelism: Parallelism) -> OperatorTable:
        """The model's operators under a sharding."""
        return self.once(
            ("table", model, precision, parallelism),
            lambda: operator_table(transformer.load(model), precision, parallelism),
        )

    def shape(self, model: str, input_tokens: int, output_tokens: int) -> TrafficShape:
        """Requests of one length each."""
        return self.once(
            ("shape", model, input_tokens, output_tokens), lambda: self._shape(model, input_tokens, output_tokens)
        )

    @cached_property
    def draws(self) -> Draws:
        """The joint samples of all facts."""
        return Draws(self.seed, self.samples)

    def own_timer(self, chip: str) -> str:
        """The systolic timer for a chip whose arrays are known, else the vendor engine's kernels."""
        return "systolic" if self.facts.accelerator(chip).microarchitecture else GPU

    def _timed(self, chip: str, kernels: str) -> Timed:
        accelerator = self.facts.accelerator(chip)
        self.progress(f"{accelerator.name}: {'its arrays' if kernels == 'systolic' else 'its kernels'}")
        central = chips(accelerator, self.facts, Draws.central(), kernels)
        drawn = chips(accelerator, self.facts, self.draws, kernels)
        if isinstance(central.kernels, SystolicKernels) and isinstance(drawn.kernels, SystolicKernels):
            own = drawn.kernels  # what was searched for one draw of a chip holds for all
            arrays = replace(central.kernels, compute_frac=own.compute_frac, memory_frac=own.memory_frac)
            drawn = replace(drawn, kernels=arrays)
        steppings = self._steppings(accelerator.id, central)
        gain = float(steppings[-1].chips.time_frac[0] / central.time_frac[0])
        between = 1 + (gain - 1) * self.draws.uniform(f"{accelerator.id}.stepping")
        family = "tensorrt-llm" if kernels == "trtllm" else "vllm"
        return Timed(
            accelerator,
            kernels,
            slower(central, 1 + (gain - 1) / 2),
            slower(drawn, between),
            steppings,
            preset(family, self.facts).sequence_s,
        )

    def _steppings(self, chip: str, central: Chips) -> tuple[Stepping, ...]:
        """That of the peak figures and that of the results, slower by all of the claimed gain; one where nobody says
        that there are two."""
        for subject in self.facts.subjects("claim"):
            about, gain = self.facts.find(subject, "chip"), self.facts.find(subject, "stepping")
            if about and gain and about.value == chip:
                names = [str(self.facts.get(subject, name).value) for name in ("newer", "older")]
                return Stepping(names[0], central), Stepping(names[1], slower(central, gain.number))
        return (Stepping("", central),)

    def precision(self, chip: str, formats: str) -> Precision:
        """From "mxfp4 / fp8 / fp8"; a chip that multiplies no 4-bit format keeps the weights as the model has them.

        Raises DeploymentError for other than three formats.
        """
        words = [word.strip() for word in formats.split("/")]
        if len(words) != 3:
            raise DeploymentError(
                f"formats '{formats}': expected weights / activations / KV cache, such as fp8/fp8/fp8"
            )
        narrow = ("fp4", "fp4") in self.facts.accelerator(chip).compute
        return Precision(words[0] if narrow else "declared", words[1], words[2])

    def _shape(self, model: str, input_tokens: int, output_tokens: int) -> TrafficShape:
        one = Trace(
            f"{input_tokens:,} in, {output_tokens:,} out",
            "the claim",
            np.zeros(1),
            np.array([input_tokens]),
            np.array([output_tokens]),
        )
        budget = self.facts.get("engine", "token_budget").number
        return shape(one, windows(transformer.load(model)), budget)


def slower(on: Chips, times: float | Array) -> Chips:
    """The chip with every time that much longer."""
    return replace(on, time_frac=on.time_frac * times)


def one_kernel(on: Chips) -> Chips:
    """The chip with a step that has no separate kernels: no launches and no overhead of the engine."""
    zero = np.zeros(on.n)
    return replace(on, launch_s=dict.fromkeys(on.launch_s, zero), step_overhead_s=zero)


def ideal(on: Chips) -> Chips:
    """The chip as no implementation passes it: peak rates and bandwidths reached, nothing lost to kernels, to the
    latency of links, to the engine or to the power cap."""
    one, zero = np.ones(on.n), np.zeros(on.n)
    return replace(
        on,
        kernels=None,
        links=tuple(replace(link, latency_s=zero) for link in on.links),
        compute_efficiency_frac=dict.fromkeys(on.compute_efficiency_frac, one),
        memory_efficiency_frac=dict.fromkeys(on.memory_efficiency_frac, one),
        link_efficiency_frac=dict.fromkeys(on.link_efficiency_frac, one),
        launch_s=dict.fromkeys(on.launch_s, zero),
        collective_base_s=dict.fromkeys(on.collective_base_s, zero),
        collective_per_rank_s=dict.fromkeys(on.collective_per_rank_s, zero),
        step_overhead_s=zero,
        compute_power_frac=zero,
        memory_j_per_byte=zero,
        link_j_per_byte=zero,
        memory_use_frac=one,
        reserve_bytes=zero,
        time_frac=one,
    )
