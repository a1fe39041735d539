"""Whole steps of a sharded model on n chips side by side, by the closed form: what `RooflineTimer` sums, in one pass.

`step_work` draws from a table and m steps all that no chip changes: sizes and rows of products, heads, bytes, launches,
what crosses links. `step_seconds` times it on chips. Operators, launches, collectives and shares are those of the timer
of finished chips (docs/timing.md), so that the same chip gets the same step from both but for the closed form itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scoville.errors import FactError
from scoville.timing.chips import Chips, Link
from scoville.timing.collectives import collective
from scoville.timing.curves import ROWS
from scoville.timing.measured.attention_roofline import LATENT_DIM
from scoville.timing.measured.collectives import light_seconds, line_seconds
from scoville.timing.measured.fitted import STORED, expected_load
from scoville.timing.systolic.closed_form import Machines, attentions, finish, products, streams
from scoville.timing.systolic.kernels import SystolicKernels
from scoville.transformer.architecture import FORMATS

if TYPE_CHECKING:
    from scoville.transformer.operators import Operator, OperatorTable

Array = NDArray[np.float64]
Pair = tuple[str, str]
_LATENT_VALUES, _PROMPT_KEYS, _PROMPT_VALUES = 512, 192, 128  # of DeepSeek-V3's MLA, as in `kernels`


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Bandwidth a direction inside of a scale-up domain and beyond, and the chips of a domain: arrays of shape (n,)."""

    scale_up_bytes_per_s: Array
    scale_out_bytes_per_s: Array
    domain_count: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """A collective among `span_count` chips: payload (steps,), runs per stage profile, and the share that shows."""

    kind: str
    span_count: int
    payload_bytes: Array
    runs_count: Array
    shown_frac: float


@dataclass(frozen=True, slots=True, eq=False)
class StepWork:
    """m steps of a sharded model without a chip.

    Stages of a pipeline that run the same are one profile: `profile_count` (stages,) says how many each stands for.
    `pairs` are the formats multiplied. Arrays of products, cores and streams are as the passes of `closed_form` take
    them, `*_runs_count` (profiles, operators). `fixed_s` (profiles, steps) are launches, `overhead_s` an engine's step.
    flop, memory_bytes, link_bytes   of one chip, mean over the stages: (pairs, steps) and (steps,)
    known_links          what collectives take by chips of a domain, kept when it is first asked for
    """

    pairs: tuple[Pair, ...]
    profile_count: Array
    product_pair: NDArray[np.int64]
    product_count: Array
    product_element_bytes: Array
    product_rows_count: Array
    product_batch_count: Array
    product_runs_count: Array
    core_pair: NDArray[np.int64]
    core_heads_count: Array
    core_bytes: Array
    core_prompt_frac: Array
    core_pairs_tokens: Array
    core_kv_tokens: Array
    core_query_tokens: Array
    core_runs_count: Array
    stream_pair: NDArray[np.int64]
    stream_bytes: Array
    stream_flop: Array
    stream_vectors_frac: Array
    stream_runs_count: Array
    sent: tuple[_Sent, ...]
    fixed_s: Array
    overhead_s: float
    flop: Array
    memory_bytes: Array
    link_bytes: Array
    like: Chips
    known_links: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def steps_count(self) -> int:
        """m."""
        return len(self.memory_bytes)


def step_work(table: OperatorTable, features: Array, like: Chips) -> StepWork:
    """The steps of `features` (m, columns) under a table. What no design says of a chip (launches, shares of peaks that
    element-wise work reaches, latencies of links) is that of `like`, a chip timed by its arrays."""
    if not isinstance(like.kernels, SystolicKernels):
        raise FactError(f"{like.name}: not timed by its arrays; the closed form takes its launches from a chip that is")
    features = np.asarray(features, float)
    profiles, multiple = np.unique(table.count, axis=0, return_counts=True)
    pairs: list[Pair] = []
    products_, cores, streams_, sent, fixed = [], [], [], [], np.zeros((len(profiles), len(features)))
    totals = table.count.mean(axis=0)
    moved = features @ table.memory_bytes.T
    work = features @ table.flop.T
    flop: dict[Pair, Array] = {}
    for i, op in enumerate(table.operators):
        runs = profiles[:, i]
        if op.collective is not None:
            hidden = like.overlap_frac.get(op.collective) if op.may_overlap or op.collective == "all_reduce" else None
            shown = 1.0 if hidden is None else 1.0 - float(hidden[0])
            sent.append(_Sent(op.collective, op.span_count, features @ table.link_bytes[i], runs, shown))
            continue
        pair = (op.weight_rate, op.activation_rate)
        if pair not in pairs:
            pairs.append(pair)
        flop[pair] = flop.get(pair, np.zeros(len(features))) + totals[i] * work[:, i]
        at = pairs.index(pair)
        columns = np.flatnonzero(table.flop[i])
        launch = "attention" if op.kind.startswith("attention") else op.kind
        heads = _heads(op)
        if op.kind in ("gemm", "moe") and op.shape is not None and len(columns) == 1:
            sizes, rows, batch = _product(op, features[:, columns[0]])
            products_.append((at, sizes, rows, batch, runs))
            busy = rows > 0
        elif heads is not None:
            phase = "decode" if op.kind == "attention_decode" else "prefill"
            span = "all" if op.heads is None or op.heads.window is None else str(op.heads.window)
            names = f"{phase}_pairs:{span}", f"{phase}_kv:{span}", f"rank_{phase}_tokens"
            pairs_, kv, query = (features[:, table.layout.column(name)] for name in names)
            cores.append((at, heads, pairs_, kv, query, runs))
            busy = query > 0
        else:
            reached = float(like.memory_efficiency_frac[op.kind][0])
            peak = float(like.compute_efficiency_frac[op.kind, like.rate(*pair)[1]][0])
            streams_.append((at, moved[:, i] / reached, work[:, i] / peak, peak * (op.kind == "elementwise"), runs))
            busy = (moved[:, i] > 0) | (work[:, i] > 0)
        fixed += runs[:, None] * busy * float(like.launch_s[launch][0])

    def stacked(rows: Sequence[tuple[Any, ...]], k: int, width: tuple[int, ...]) -> Array:
        return np.array([row[k] for row in rows], float).reshape(len(rows), *width)

    m = (len(features),)
    sizes_, heads_ = stacked(products_, 1, (4,)), stacked(cores, 1, (8,))
    return StepWork(
        pairs=tuple(pairs),
        profile_count=multiple.astype(float),
        product_pair=np.array([p[0] for p in products_], np.int64),
        product_count=np.ascontiguousarray(sizes_[:, :2]),
        product_element_bytes=np.ascontiguousarray(sizes_[:, 2:]),
        product_rows_count=stacked(products_, 2, m),
        product_batch_count=stacked(products_, 3, m),
        product_runs_count=np.ascontiguousarray(stacked(products_, 4, (len(profiles),)).T),
        core_pair=np.array([c[0] for c in cores], np.int64),
        core_heads_count=np.ascontiguousarray(heads_[:, :4]),
        core_bytes=np.ascontiguousarray(heads_[:, 4:7]),
        core_prompt_frac=np.ascontiguousarray(heads_[:, 7]),
        core_pairs_tokens=stacked(cores, 2, m),
        core_kv_tokens=stacked(cores, 3, m),
        core_query_tokens=stacked(cores, 4, m),
        core_runs_count=np.ascontiguousarray(stacked(cores, 5, (len(profiles),)).T),
        stream_pair=np.array([s[0] for s in streams_], np.int64),
        stream_bytes=stacked(streams_, 1, m),
        stream_flop=stacked(streams_, 2, m),
        stream_vectors_frac=stacked(streams_, 3, ()),
        stream_runs_count=np.ascontiguousarray(stacked(streams_, 4, (len(profiles),)).T),
        sent=tuple(sent),
        fixed_s=fixed,
        overhead_s=float(like.step_overhead_s[0]),
        flop=np.array([flop[pair] for pair in pairs]),
        memory_bytes=moved @ totals,
        link_bytes=features @ (totals @ table.link_bytes),
        like=like,
    )


def _product(op: Operator, tokens: Array) -> tuple[tuple[float, ...], Array, Array]:
    """(n, k, bytes of a weight and of an activation), rows of one product and products of each step."""
    assert op.shape is not None
    (n, k), e = op.shape, op.experts
    rows, touched = tokens, np.ones_like(tokens)
    if e is not None:
        load = expected_load(e.experts, e.top_k, e.expert)
        down = op.shape == (e.hidden, e.intermediate)
        n, k = (n, -(-k // e.tensor)) if down else (-(-n // e.tensor), k)
        touched = np.interp(tokens, ROWS, load.touched)
        rows = np.where(tokens > 0, np.interp(tokens, ROWS, load.rows) / touched, 0.0)
    sizes = (FORMATS[STORED[rate]].size_bytes for rate in (op.weight_rate, op.activation_rate))
    return (float(n), float(k), *sizes), rows, touched


def _heads(op: Operator) -> tuple[float, ...] | None:
    """An attention core as `attention_pace` takes it, like `SystolicKernels.sides`; None where that has no form."""
    h = op.heads
    if not op.kind.startswith("attention") or h is None or (h.latent and h.head_dim != LATENT_DIM):
        return None
    prompt = op.kind == "attention_prefill"
    element = FORMATS[STORED[op.weight_rate]].size_bytes
    keys, values, cached = h.head_dim, h.head_dim, 2 * h.kv_heads * h.head_dim * element
    if h.latent:
        keys, values = (_PROMPT_KEYS, _PROMPT_VALUES) if prompt else (LATENT_DIM, _LATENT_VALUES)
        cached = h.heads * (keys + values) * element if prompt else LATENT_DIM * element
    moved = h.heads * (keys + values) * FORMATS["bf16"].size_bytes + cached
    shared = h.heads if h.latent and prompt else h.kv_heads
    size = FORMATS[STORED[op.activation_rate]].size_bytes
    return tuple(float(x) for x in (h.heads, shared, keys, values, cached, moved, size, prompt))


def step_seconds(machines: Machines, links: Links, work: StepWork) -> tuple[Array, Array]:
    """Seconds of the longest stage, and of all stages one after another, of each step on each chip: two of (m, n)."""
    x, paces = machines.table, machines.paces(work.pairs)
    busy = 1 / machines.compute_frac
    out = np.zeros((len(work.profile_count), work.steps_count, len(machines)))
    one = np.empty(len(machines))
    products(
        out, one, x, paces, work.product_pair, work.product_count, work.product_element_bytes, work.product_rows_count,
        work.product_batch_count, work.product_runs_count, busy,
    )  # fmt: skip
    attentions(
        out, one, x, paces, work.core_pair, work.core_heads_count, work.core_bytes, work.core_prompt_frac,
        work.core_pairs_tokens, work.core_kv_tokens, work.core_query_tokens, work.core_runs_count, busy,
    )  # fmt: skip
    streams(
        out, one, x, paces, work.stream_pair, work.stream_bytes, work.stream_flop, work.stream_vectors_frac,
        work.stream_runs_count,
    )  # fmt: skip
    stage, latency = np.empty((2, *out.shape[1:]))
    byte_s = 1 / np.maximum(np.stack([links.scale_up_bytes_per_s, links.scale_out_bytes_per_s]), 1.0)
    frac = float(work.like.time_frac[0])
    domains = np.unique(links.domain_count)
    for domain in domains:
        if len(domains) == 1:
            part = out, stage, latency, byte_s
        else:
            here = np.flatnonzero(links.domain_count == domain)
            part = out[..., here], stage[:, here], latency[:, here], byte_s[:, here]
        sent = _sent(part[0], part[3], float(domain), work)
        finish(*part, sent, work.fixed_s, work.profile_count, work.overhead_s, frac)
        if len(domains) > 1:
            stage[:, here], latency[:, here] = part[1:3]
    return stage, latency


def _sent(out: Array, byte_s: Array, domain: float, work: StepWork) -> Array:
    """What collectives add to each stage and step: seconds, and bytes over the two levels, (3, profiles, steps).

    An all-to-all that crosses domains is as slow as the slower level, and is added to `out` (profiles, steps, n).
    """
    if domain not in work.known_links:
        total = np.zeros((3, *out.shape[:2]))
        crossing = []
        for sent in work.sent:
            fixed, inner, outer = link_terms(sent.kind, sent.span_count, sent.payload_bytes, domain, work.like)
            runs = sent.runs_count[:, None] * sent.shown_frac
            if sent.kind == "all_to_all" and inner.any() and outer.any():
                crossing.append((runs[..., None], inner[:, None], outer[:, None]))
                inner, outer = inner * 0, outer * 0
            total += np.stack([runs * fixed, runs * inner, runs * outer])
        work.known_links[domain] = total, tuple(crossing)
    sums: Array
    sums, across = work.known_links[domain]
    for runs, inner, outer in across:
        out += runs * np.maximum(inner * byte_s[0], outer * byte_s[1])
    return sums


def link_terms(kind: str, span: int, payload: Array, domain: float, like: Chips) -> tuple[Array, Array, Array]:
    """Seconds of a collective as fixed + inner / scale-up bandwidth + outer / scale-out bandwidth, each (m,).

    Inside of a domain the line fitted to measured collectives, as `FittedKernels` has it; beyond, the levels of
    `timing.collectives`, of which an all-to-all takes the slower.
    """
    latency, kernels = float(like.links[0].latency_s[0]), like.kernels
    assert isinstance(kernels, SystolicKernels)
    fitted, runs = kernels.collectives, np.asarray(payload > 0, np.float64)
    if kind in fitted.lines and 2 <= span <= domain:
        line = fitted.lines[kind]
        own = float(like.class_frac["collective"][0])
        fixed = line_seconds(line, kind, np.inf, span, payload)
        most = np.maximum(line_seconds(line, kind, 1.0, span, payload) - fixed, light_seconds(kind, 1.0, span, payload))
        inner = np.asarray(most, np.float64)
        more = max(latency - fitted.link_latency_s, latency - line.fixed_s)
        return own * runs * (fixed + more), own * runs * inner, np.zeros_like(payload)
    terms = []
    for speeds in ((1.0, np.inf), (np.inf, 1.0)):
        names = (("scale-up", 0, domain), ("scale-out", -1, np.inf))
        levels = tuple(
            Link(name, np.array([speed]), like.links[k].latency_s, reach, True)
            for (name, k, reach), speed in zip(names, speeds, strict=True)
        )
        terms.append(collective(kind, span, replace(like, links=levels)))
    return runs * float(terms[0][1][0]), payload * float(terms[0][0][0]), payload * float(terms[1][0][0])
