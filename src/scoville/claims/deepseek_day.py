"""DeepSeek's published day of serving V3 and R1: its arithmetic repeated, and its speeds predicted from H800 timing.

Prefill and decode run in units of their own, experts and attention spread over all GPUs of a unit, with copies of
loaded experts so that every GPU has the same load; formats and context as published (facts, `deepseek-deployment`).
Prefill: steps of a full token budget on every GPU, of prompts whose cached part is the published share. Decode: as many
sequences on every GPU as the published speed for one user allows, or as its memory has room for. Nothing is adjusted to
the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoville import transformer
from scoville.claims.evaluation import exactly
from scoville.errors import DeploymentError
from scoville.facts import Draws, Fact, Facts, Range
from scoville.timing import Chips, RooflineTimer, cache_room_bytes, chips
from scoville.timing.measured.fitted import FittedKernels
from scoville.transformer import Architecture
from scoville.transformer.operators import OperatorTable
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, uniform_mix

Array = NDArray[np.float64]

_CHIP, _MODEL = "h800-sxm", "DeepSeek-V3"
_DAY, _DEPLOYMENT = "deepseek-day", "deepseek-deployment"
_DAY_S, _HOUR_S = 86400.0, 3600.0
_SEQUENCES = np.arange(1.0, 513.0)
KERNELS = "trtllm"  # the chip vendor's own engine, as for every GPU that claims are checked against
BALANCED = "balanced"
PREFILL = "prefill, input tokens/s per node, cached ones included"
DECODE = "decode, output tokens/s per node"


@dataclass(frozen=True, slots=True)
class Compared:
    """A published figure beside a computed one, which has a range where it was modelled."""

    what: str
    published: Range
    computed: Range

    @property
    def error_frac(self) -> float:
        """Computed over published at central values, less 1."""
        return self.computed.central / self.published.central - 1

    def said(self) -> str:
        """In words: 'cost of the day, USD: published 87,072, computed 87,072 (+0.0 %)'."""
        low, high = self.computed.p10, self.computed.p90
        spread = "" if low == high else f"; P10 to P90 {_figure(low)} to {_figure(high)}"
        return (
            f"{self.what}: published {_figure(self.published.central)}, computed {_figure(self.computed.central)} "
            f"({100 * self.error_frac:+.1f} %{spread})"
        )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def arithmetic(facts: Facts) -> tuple[Compared, ...]:
    """The day's published totals from its other published figures.

    226.75 nodes x 8 GPUs x 24 h x 2 USD = 87,072 USD; nodes for prefill 608e9 / 86,400 s / 73,700 = 95.5, for decode
    168e9 / 86,400 s / 14,800 = 131.4, together 226.9; (608 - 342)e9 / 608e9 = 43.8 % of the prompts are computed.
    """
    output, total = _day(facts, "output_tokens"), _day(facts, "input_tokens") + _day(facts, "output_tokens")
    spent = _day(facts, "nodes_mean") * _node_usd(facts)
    needed = nodes_count(facts, np.array([_day(facts, "prefill_per_node")]), np.array([_day(facts, "decode_per_node")]))
    return tuple(
        Compared(what, exactly(_day(facts, name) * scale, measure), exactly(computed * scale, measure))
        for what, name, computed, scale, measure in (
            ("cost of the day, USD", "cost", spent, 1.0, "usd"),
            ("mean nodes, from tokens and speeds", "nodes_mean", float(needed[0]), 1.0, "count"),
            ("USD per million output tokens", "cost_per_output", spent / output, 1e6, "usd"),
            ("USD per million tokens of both kinds", "cost_per_token", spent / total, 1e6, "usd"),
            ("profit over cost", "profit_on_cost", _day(facts, "revenue_at_list") / spent - 1, 1.0, "frac"),
        )
    )


@dataclass(frozen=True, slots=True)
class Prediction:
    """Speeds and nodes of the day under one engine family's kernels and one law of routing.

    sequences_count   in decode on a GPU, at central values; memory_bound says that its memory ended them
    prefill_link_frac, decode_link_frac   share of a step that collectives take beyond what is hidden of them
    """

    kernels: str
    routing: str
    lines: tuple[Compared, ...]
    sequences_count: float
    memory_bound: bool
    prefill_link_frac: float
    decode_link_frac: float

    def said(self) -> tuple[str, ...]:
        """In words, a line each."""
        why = "memory" if self.memory_bound else "the speed for one user"
        return (
            f"kernels of {self.kernels}, routing {self.routing}: {self.sequences_count:.0f} sequences on a GPU, "
            f"bounded by {why}; links take {100 * self.prefill_link_frac:.0f} % of a prefill step and "
            f"{100 * self.decode_link_frac:.0f} % of a decode step",
            *(line.said() for line in self.lines),
        )


def predict(
    facts: Facts,
    *,
    samples: int = 200,
    seed: int = 1,
    kernels: str = KERNELS,
    routing: str = BALANCED,
    hidden_frac: float | None = None,
) -> Prediction:
    """The day from the timing of an H800: tokens per second of a node in each phase, nodes and cost.

    `routing` is a law of `timing.measured.moe_routing`; the deployment as described balances its experts. Two half
    batches hide dispatch and combine, but how much of them is not published: `hidden_frac`, the fact for any engine
    where none is given. P10 to P90 over the facts and the timing errors. Raises DeploymentError where a user's facts
    spread experts unevenly, or leave no room for a sequence at that speed.
    """
    model = _with_copies(transformer.load(_MODEL), int(_of(facts, "redundant_experts").number))
    phases = [
        [phase(facts, draws, model, kernels, routing, hidden_frac) for phase in (_prefill, _decode)]
        for draws in (Draws.central(), Draws(seed, samples))
    ]
    prefill, decode = phases[0]
    nodes, drawn_nodes = (nodes_count(facts, p.tokens_per_s, d.tokens_per_s) for p, d in phases)
    usd = _node_usd(facts)
    lines = tuple(
        Compared(what, exactly(_day(facts, name), measure), Range.of(float(central[0]), drawn, measure))
        for what, name, central, drawn, measure in (
            (PREFILL, "prefill_per_node", prefill.tokens_per_s, phases[1][0].tokens_per_s, "tokens_per_s"),
            (DECODE, "decode_per_node", decode.tokens_per_s, phases[1][1].tokens_per_s, "tokens_per_s"),
            ("mean nodes", "nodes_mean", nodes, drawn_nodes, "count"),
            ("cost of the day, USD", "cost", nodes * usd, drawn_nodes * usd, "usd"),
        )
    )
    return Prediction(
        kernels, routing, lines, decode.sequences_count, decode.memory_bound, prefill.link_frac, decode.link_frac
    )


def nodes_count(facts: Facts, prefill_tokens_per_s: Array, decode_tokens_per_s: Array) -> Array:
    """Nodes that the day's tokens keep busy at these speeds of a node, any shapes that broadcast."""
    inputs, outputs = _day(facts, "input_tokens"), _day(facts, "output_tokens")
    return np.asarray((inputs / prefill_tokens_per_s + outputs / decode_tokens_per_s) / _DAY_S)


@dataclass(frozen=True, slots=True)
class _Phase:
    """Tokens per second of a node, (n,); the rest at the first sample."""

    tokens_per_s: Array
    link_frac: float
    sequences_count: float = 0.0
    memory_bound: bool = False


def _prefill(
    facts: Facts, draws: Draws, model: Architecture, kernels: str, routing: str, hidden_frac: float | None
) -> _Phase:
    """Steps of a full budget on every GPU; prompts as long as the context and the day's tokens say (`_lengths`)."""
    ranks = int(_of(facts, "prefill_ranks").number)
    table, on = _timed(facts, draws, model, ranks, kernels, routing, hidden_frac)
    prompt, _ = _lengths(facts)
    computed_frac = 1 - _day(facts, "cached_input_tokens") / _day(facts, "input_tokens")
    budget = facts.get("engine", "token_budget").number
    mix = uniform_mix(
        model,
        prefill_sequences=ranks * budget / (prompt * computed_frac),
        prefill_tokens=ranks * budget,
        prefill_start_tokens=prompt * (1 - computed_frac),
        worst_rank_frac=1 / ranks,
    )
    t = RooflineTimer().time(table, on, table.layout.features(mix))
    rate = _gpus_per_node(facts) * budget / computed_frac / t.latency_s[:, 0]
    return _Phase(rate, float(t.link_s[0, 0] / t.latency_s[0, 0]))


def _decode(
    facts: Facts, draws: Draws, model: Architecture, kernels: str, routing: str, hidden_frac: float | None
) -> _Phase:
    """As many sequences on every GPU as leave the published speed, or fit its memory."""
    ranks = int(_of(facts, "decode_ranks").number)
    table, on = _timed(facts, draws, model, ranks, kernels, routing, hidden_frac)
    context = _of(facts, "context").number
    mix = uniform_mix(model, decode_sequences=_SEQUENCES * ranks, context_tokens=context, worst_rank_frac=1 / ranks)
    t = RooflineTimer().time(table, on, table.layout.features(mix))
    step = np.maximum.accumulate(t.latency_s, axis=1)
    longest = 1 / draws.sample(_of(facts, "user_speed"))
    # Whole contexts are held: half of the sequences are longer than the average token's, half shorter.
    each = float(table.cache_bytes({None: np.array([context])})[0])
    room = np.floor(cache_room_bytes(table, on) / each)
    by_speed = np.array([np.interp(s, row, _SEQUENCES, left=0.0) for s, row in zip(longest, step, strict=True)])
    sequences = np.floor(np.minimum(by_speed, room))
    if sequences[0] < 1:
        raise DeploymentError(
            f"{_DEPLOYMENT}: not one sequence on each of {ranks} GPUs keeps {1 / longest[0]:.3g} tokens/s and fits; "
            f"expected a lower user_speed, a shorter context or more decode_ranks"
        )
    sequences = np.maximum(sequences, 1.0)
    at = np.array([np.interp(q, _SEQUENCES, row) for q, row in zip(sequences, step, strict=True)])
    link = float(np.interp(sequences[0], _SEQUENCES, t.link_s[0])) / at[0]
    rate = _gpus_per_node(facts) * sequences / at
    return _Phase(rate, float(link), float(sequences[0]), bool(room[0] < by_speed[0]))


def _timed(
    facts: Facts, draws: Draws, model: Architecture, ranks: int, kernels: str, routing: str, hidden_frac: float | None
) -> tuple[OperatorTable, Chips]:
    formats = [word.strip() for word in str(_of(facts, "formats").value).split("/")]
    if len(formats) != 3:
        raise DeploymentError(
            f"{_DEPLOYMENT}.formats: '{' / '.join(formats)}'; expected three, of weights / activations / KV cache"
        )
    spread = Parallelism(expert=ranks, attention_data=ranks)
    table = operator_table(model, Precision(*formats), spread)
    on = chips(facts.accelerator(_CHIP), facts, draws, kernels)
    if isinstance(on.kernels, FittedKernels):
        on = replace(on, kernels=replace(on.kernels, routing=routing))
    if hidden_frac is not None:
        on = replace(on, overlap_frac={**on.overlap_frac, "all_to_all": np.full(on.n, hidden_frac)})
    return table, on


def _with_copies(model: Architecture, copies: int) -> Architecture:
    """The model with so many more experts in each routed layer: copies take their share of the tokens."""
    layers = tuple(
        replace(x, feed_forward=replace(x.feed_forward, experts=x.feed_forward.experts + copies))
        if x.feed_forward.experts
        else x
        for x in model.layers
    )
    return replace(model, layers=layers)


def _lengths(facts: Facts) -> tuple[float, float]:
    """Prompt and answer of the average request, had all the same length: not published, from context and totals.

    An answer of O tokens sees prompt + O / 2 tokens on average, and prompts are 608 / 168 = 3.62 answers long: 4,989 =
    (3.62 + 0.5) O, so O = 1,211 and the prompt 4,383.
    """
    ratio = _day(facts, "input_tokens") / _day(facts, "output_tokens")
    answer = _of(facts, "context").number / (ratio + 0.5)
    return ratio * answer, answer


def _day(facts: Facts, name: str) -> float:
    return facts.get(_DAY, name).number


def _of(facts: Facts, name: str) -> Fact:
    return facts.get(_DEPLOYMENT, name)


def _node_usd(facts: Facts) -> float:
    """Of a node for the day, at the rent that was assumed."""
    hours = _DAY_S / _HOUR_S
    return _gpus_per_node(facts) * hours * facts.get(_CHIP, "rent_on_demand", vintage="2025-02").number


def _gpus_per_node(facts: Facts) -> float:
    """A node is a scale-up domain."""
    return facts.get(_CHIP, "scale_up_domain").number
