"""What a claim's deployment does: the peak throughput of a replica, and a request that has a replica alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville import transformer
from scoville.claims.bench import ROOFLINE, Bench, Timed, ideal
from scoville.errors import DeploymentError
from scoville.serving import Targets, TrafficShape, average_step, steady_state
from scoville.serving.batch import batch_sizes, most_batch
from scoville.serving.candidates import candidate_parallelisms
from scoville.timing import Chips
from scoville.transformer.operators import OperatorTable
from scoville.transformer.step import Parallelism, StepMix

Array = NDArray[np.float64]
_NO_TARGETS = Targets(float("inf"), float("inf"))
_RETIMED = 3  # mappings that the roofline ranks first are timed by the arrays
_BATCH_STEP = 1.25


@dataclass(frozen=True)
class Asked:
    """What is served: a model in formats "weights / activations / KV cache", and the lengths of a request."""

    model: str
    formats: str
    input_tokens: int
    output_tokens: int

    @property
    def request_tokens(self) -> int:
        """Prompt and answer: "mixed" tokens count both."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, eq=False)
class Peak:
    """The mapping and batch with the most tokens per second and chip, latencies left free.

    drawn_*, limit_*     by sample, (n,), each at its best batch; of ideal chips, the best of all mappings
    compute_s, memory_s  chip-seconds that a request takes at the peak FLOP/s of its products, at the peak bandwidth
    """

    timed: Timed
    asked: Asked
    table: OperatorTable
    shape: TrafficShape
    batch_count: int
    tpot_s: float
    tokens_per_s: float
    drawn_tokens_per_s: Array
    limit_tokens_per_s: float
    compute_s: float
    memory_s: float

    def said(self) -> str:
        """In words, for the answer."""
        return (
            f"{self.timed.name}, {self.timed.timer_name}: {self.table.parallelism}, batch "
            f"{self.batch_count:,}, {self.tpot_s * 1e3:.0f} ms per output token"
        )


def peak(bench: Bench, timed: Timed, asked: Asked) -> Peak:
    """Search mappings (tensor, expert and attention-data degrees, no pipelines) up to the scale-up domain, and batches
    as far as memory goes.

    Where the chip's arrays are timed, the roofline ranks the mappings and the arrays time the first few. Raises
    DeploymentError where the model fits no mapping.
    """
    precision = bench.precision(timed.accelerator.id, asked.formats)
    shape = bench.shape(asked.model, asked.input_tokens, asked.output_tokens)
    quick = bench.timed(timed.accelerator.id, ROOFLINE) if timed.kernels == "systolic" else timed
    bound = ideal(timed.newest)
    ranked: list[tuple[float, Parallelism]] = []
    limit = 0.0
    for p in _mappings(timed, asked.model):
        table = bench.table(asked.model, precision, p)
        rates, _ = rates_of(bench, quick, table, shape, quick.central)
        if rates.max() > 0:
            ranked.append((float(rates.max()), p))
            limit = max(limit, float(rates_of(bench, quick, table, shape, bound, sequence_s=0.0)[0].max()))
    if not ranked:
        raise DeploymentError(f"{asked.model} fits no mapping of {timed.accelerator.name} within its scale-up domain")
    ranked.sort(key=lambda found: -found[0])
    tried = [bench.table(asked.model, precision, p) for _, p in ranked[: _RETIMED if quick is not timed else 1]]
    found = [rates_of(bench, timed, table, shape, timed.central) for table in tried]
    k = int(np.argmax([rates.max() for rates, _ in found]))
    table, (rates, tpot) = tried[k], found[k]
    j = int(rates[0].argmax())
    batch = float(_batches(shape, table.parallelism)[j])
    drawn, _ = rates_of(bench, timed, table, shape, timed.drawn)
    steps = [average_step(shape, table.parallelism, batch, p) for p in (0.0, float(asked.input_tokens))]
    x = np.concatenate([table.layout.features(step) for step in steps])
    compute, memory = (t[0] * asked.output_tokens / batch + t[1] - t[0] for t in at_peak(table, timed.newest, x))
    return Peak(
        timed,
        asked,
        table,
        shape,
        int(batch),
        float(tpot[0, j]),
        float(rates[0, j]),
        drawn.max(axis=1),
        limit,
        float(compute) * table.parallelism.chips,
        float(memory) * table.parallelism.chips,
    )


def rates_of(
    bench: Bench,
    timed: Timed,
    table: OperatorTable,
    shape: TrafficShape,
    on: Chips,
    batches: Array | None = None,
    sequence_s: float | None = None,
) -> tuple[Array, Array]:
    """Tokens per second and chip, 0 where a batch does not fit, and TPOT; both (n, m) over the batch sizes, all of the
    mapping's if none are named."""
    batches = _batches(shape, table.parallelism) if batches is None else batches
    state = steady_state(
        table, on, shape, batches, _NO_TARGETS, bench.timer,
        block_tokens=bench.facts.get("engine", "block_tokens").number,
        sequence_s=timed.sequence_s if sequence_s is None else sequence_s,
    )  # fmt: skip
    tokens = (shape.input_tokens + shape.output_tokens) / table.parallelism.chips
    return np.where(state.fits & state.stable, state.requests_per_s * tokens, 0.0), state.tpot_s


def _batches(shape: TrafficShape, parallelism: Parallelism) -> Array:
    return batch_sizes(most_batch(shape, parallelism), _BATCH_STEP)


def _mappings(timed: Timed, model: str) -> list[Parallelism]:
    domain = timed.accelerator.links[0].domain
    most = domain.number if domain else 1.0
    found = candidate_parallelisms(transformer.load(model), timed.accelerator, most)
    return [p for p in found if p.pipeline == 1]


@dataclass(frozen=True, eq=False)
class Alone:
    """A request that has a replica alone: each output token is a decode step of batch 1, the prompt a step of its own.

    `steps` are the average decode step and the prompt's.
    """

    timed: Timed
    table: OperatorTable
    asked: Asked
    steps: tuple[StepMix, StepMix]

    @property
    def features(self) -> Array:
        """Of both steps, (2, columns)."""
        return np.concatenate([self.table.layout.features(step) for step in self.steps])

    def seconds(self, bench: Bench, on: Chips) -> tuple[Array, Array]:
        """Of the prompt, with the first token, and of every further token; both (n,)."""
        taken = bench.timer.time(self.table, on, self.features).latency_s
        return taken[:, 1], taken[:, 0]

    def request_s(self, bench: Bench, on: Chips) -> Array:
        """From arrival to the last token, (n,)."""
        prompt, token = self.seconds(bench, on)
        return prompt + (self.asked.output_tokens - 1) * token

    def said(self) -> str:
        """In words, for the answer."""
        return f"{self.timed.name}, {self.timed.timer_name}: {self.table.parallelism}, one request"


def alone(bench: Bench, timed: Timed, asked: Asked, chips_count: int | None) -> Alone:
    """The fastest mapping of a lone request by its decode step, on that many chips or on any number in the domain.

    Tensor parallelism alone: whole experts on some of the ranks would leave the others idle. The roofline chooses for a
    chip whose arrays are timed. Raises DeploymentError where the model fits none.
    """
    precision = bench.precision(timed.accelerator.id, asked.formats)
    shape = bench.shape(asked.model, asked.input_tokens, asked.output_tokens)
    quick = bench.timed(timed.accelerator.id, ROOFLINE) if timed.kernels == "systolic" else timed
    found: list[tuple[float, Alone]] = []
    for p in _mappings(timed, asked.model):
        if p.attention_data > 1 or p.expert > 1 or (chips_count is not None and p.chips != chips_count):
            continue
        table = bench.table(asked.model, precision, p)
        if not rates_of(bench, quick, table, shape, quick.central)[0].any():
            continue
        steps = (average_step(shape, p, 1.0, 0.0), average_step(shape, p, 0.0, float(asked.input_tokens)))
        one = Alone(timed, table, asked, steps)
        found.append((float(one.seconds(bench, quick.central)[1][0]), one))
    if not found:
        where = f"{chips_count} chips" if chips_count is not None else "its scale-up domain"
        raise DeploymentError(f"{asked.model} fits no mapping of {timed.accelerator.name} within {where}")
    return min(found, key=lambda pair: pair[0])[1]


def at_peak(table: OperatorTable, on: Chips, features: Array) -> tuple[Array, Array]:
    """Seconds that the work of steps (m, columns) takes on each chip of a replica at the peak FLOP/s of its operators'
    formats, and at the peak bandwidth; both (m,)."""
    runs = table.count.sum(axis=0)
    peak_flop_per_s = np.array(
        [
            np.inf if op.collective else float(on.compute_flop_per_s[on.rate(op.weight_rate, op.activation_rate)][0])
            for op in table.operators
        ]
    )
    compute = features @ (table.flop * (runs / peak_flop_per_s)[:, None]).sum(axis=0)
    memory = features @ (table.memory_bytes * runs[:, None]).sum(axis=0) / float(on.memory_bytes_per_s[0])
    return compute, memory
