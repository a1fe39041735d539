"""The kernel against the reference that takes docs/simulator.md step by step: the same schedule, tick for tick."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoville.facts import Draws, Facts
from scoville.serving import kernel
from scoville.serving.costs import StepCosts, compile_costs
from scoville.serving.reference import Request, Schedule
from scoville.serving.reference import replay as replay_slowly
from scoville.serving.simulate import EngineSettings
from scoville.timing import Chips, chips

Requests = list[tuple[int, int, int]]
MOST_TOKENS, MOST_SEQUENCES = 64, 8
BIN_TICKS = 1000


# -- generated engines ---------------------------------------------------------------------------------------------


@st.composite
def synthetic_costs(draw: st.DrawFn) -> StepCosts:
    """Small integers: pieces whose longer side changes with the context, finite windows, caps that bind at times."""
    windows = draw(st.sampled_from([(None,), (None,), (None, 3), (None, 8, 20), (6,), ()]))
    size = 4 + 3 * len(windows)

    def row(most: int) -> np.ndarray:
        kept = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        return np.array([draw(st.integers(0, most)) if k else 0 for k in kept], np.int64)

    def table(n: int, most: int) -> np.ndarray:
        steps = draw(st.lists(st.integers(0, most), min_size=n, max_size=n))
        return np.cumsum([1, *steps]).astype(np.int64)

    pieces = draw(st.integers(0, 3))
    compute = np.array([row(6) for _ in range(pieces)], np.int64).reshape(-1, size)
    memory = np.array([row(6) for _ in range(pieces)], np.int64).reshape(-1, size)
    for i in range(pieces):  # one side starts ahead, the other one catches up as contexts grow
        memory[i, 0] = draw(st.integers(0, 300))
    capped = draw(st.booleans())
    return StepCosts(
        windows=windows,
        base=table(MOST_TOKENS, draw(st.sampled_from([0, 3, 40]))),
        head=table(MOST_SEQUENCES, 5) - 1,
        fixed=np.array([draw(st.integers(0, 20)) for _ in range(pieces)], np.int64),
        compute=compute,
        memory=memory,
        uses=(compute != 0) | (memory != 0),
        cap_base=table(MOST_TOKENS, 10) * capped,
        cap_head=draw(st.integers(0, 9)) * capped,
        cap=row(8) * capped,
        energy_base_j=np.linspace(1.0, 2.0, MOST_TOKENS + 1),
        energy_head_j=0.25,
        energy_j=np.linspace(0.5, 1.0, size),
        idle_w=0.0,
    )


@st.composite
def engines(draw: st.DrawFn) -> EngineSettings:
    budget = draw(st.integers(8, MOST_TOKENS))
    return EngineSettings(
        policy=draw(st.sampled_from(["decode_first", "prefill_first"])),
        reservation=draw(st.sampled_from(["preempt", "preempt", "full"])),
        token_budget=budget,
        max_sequences=draw(st.integers(1, MOST_SEQUENCES)),
        block_tokens=draw(st.integers(1, 16)),
        watermark_frac=draw(st.sampled_from([0.0, 0.0, 0.1, 0.5])),
    )


@st.composite
def workloads(draw: st.DrawFn) -> Requests:
    """Bursts, ties and pauses; prompts beyond the budget; answers of one token."""
    gap = st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 20_000))
    prompt = st.one_of(st.integers(1, 12), st.integers(1, 150))
    output = st.one_of(st.just(1), st.integers(1, 10), st.integers(1, 120))
    drawn = draw(st.lists(st.tuples(gap, prompt, output), min_size=1, max_size=40))
    arrivals = np.cumsum([g for g, _, _ in drawn])
    return [(int(a), p, o) for a, (_, p, o) in zip(arrivals, drawn, strict=True)]


# -- running the kernel -----------------------------------------------------------------------------------------------


def run(requests: Requests, c: StepCosts, s: EngineSettings, blocks: int, *, leap: bool) -> dict[str, Any]:
    """The kernel's arrays, by the names of the reference."""
    arrival, prompt, output = (np.array(x, np.int64) for x in zip(*requests, strict=True))
    n = len(arrival)
    scheduled, first, finish = (np.full(n, -1, np.int64) for _ in range(3))
    gap, preemptions, totals = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(10, np.int64)
    histogram, timeline = np.zeros(kernel.HISTOGRAM_BINS, np.int64), np.zeros((2, 50))
    windows = np.array([-1 if w is None else w for w in c.windows], np.int64)
    watermark, full, prefill_first = (
        int(s.watermark_frac * blocks),
        s.reservation == "full",
        s.policy == "prefill_first",
    )
    joules = kernel.replay(
        arrival, prompt, output, s.token_budget, s.max_sequences, s.block_tokens, blocks, watermark, full,
        prefill_first, leap, c.base, c.head, c.fixed, c.compute, c.memory, c.uses, c.cap_base, c.cap_head, c.cap,
        windows, c.energy_base_j, c.energy_head_j, c.energy_j, scheduled, first, finish, gap, preemptions, histogram,
        timeline, BIN_TICKS, totals,
    )  # fmt: skip
    return {
        "scheduled": scheduled.tolist(),
        "first": first.tolist(),
        "finish": finish.tolist(),
        "largest_gap": gap.tolist(),
        "preemptions": preemptions.tolist(),
        "histogram": {int(i): int(histogram[i]) for i in np.flatnonzero(histogram)},
        "steps": int(totals[kernel.STEPS]),
        "busy": int(totals[kernel.BUSY]),
        "end": int(totals[kernel.END]),
        "recomputed": int(totals[kernel.RECOMPUTED]),
        "most_sequences": int(totals[kernel.MOST_SEQUENCES]),
        "most_blocks": int(totals[kernel.MOST_BLOCKS]),
        "sequence_ticks": timeline[0].sum(),
        "block_ticks": timeline[1].sum(),
        "joules": joules,
    }


def expected(s: Schedule) -> dict[str, Any]:
    ends = np.array([kernel.bin_end(i) for i in range(kernel.HISTOGRAM_BINS)])
    bins = np.searchsorted(ends, s.gaps, side="right")

    def largest(r: Request) -> int:
        return max(r.gaps, default=0)

    return {
        "scheduled": [r.scheduled for r in s.requests],
        "first": [r.tokens_at[0] for r in s.requests],
        "finish": [r.tokens_at[-1] for r in s.requests],
        "largest_gap": [largest(r) for r in s.requests],
        "preemptions": [r.preemptions for r in s.requests],
        "histogram": dict(sorted(Counter(bins.tolist()).items())),
        "steps": s.steps,
        "busy": s.busy,
        "end": s.end,
        "recomputed": s.recomputed_tokens,
        "most_sequences": s.most_sequences,
        "most_blocks": s.most_blocks,
        "sequence_ticks": pytest.approx(s.sequence_ticks),
        "block_ticks": pytest.approx(s.block_ticks),
        "joules": pytest.approx(s.energy_j),
    }


def agree(requests: Requests, c: StepCosts, s: EngineSettings, blocks: int) -> Schedule:
    """Hold both paths of the kernel to the reference, and the reference to what it was asked."""
    wanted = replay_slowly(requests, c, s, blocks)
    assert [len(r.tokens_at) for r in wanted.requests] == [o for _, _, o in requests]
    told = expected(wanted)
    assert run(requests, c, s, blocks, leap=False) == told
    # Within a leap the blocks in use are taken to grow evenly in time: a block per sequence too many or too few, and a
    # quarter too few at worst, where steps start at no time and get longer.
    leapt = run(requests, c, s, blocks, leap=True)
    told["block_ticks"] = pytest.approx(wanted.block_ticks, abs=wanted.sequence_ticks + wanted.block_ticks / 4)
    assert leapt == told
    return wanted


def cache_of(requests: Requests, s: EngineSettings, spare: int) -> int:
    """Blocks for the longest request, and `spare` more."""
    return max(-(-(p + o) // s.block_tokens) for _, p, o in requests) + spare


def flat_costs(step: int, token: int) -> StepCosts:
    """A step takes `step` ticks and `token` more for each token."""
    none = np.zeros((0, 4), np.int64)
    tables = np.zeros(MOST_TOKENS + 1, np.int64), np.zeros(MOST_SEQUENCES + 1, np.int64)
    return StepCosts(
        windows=(),
        base=step + token * np.arange(MOST_TOKENS + 1),
        head=tables[1],
        fixed=none[:, 0],
        compute=none,
        memory=none,
        uses=none != 0,
        cap_base=tables[0],
        cap_head=0,
        cap=np.zeros(4, np.int64),
        energy_base_j=tables[0].astype(float),
        energy_head_j=0.0,
        energy_j=np.zeros(4),
        idle_w=0.0,
    )


# -- by hand --------------------------------------------------------------------------------------------------------


def test_chunks_share_steps_with_decodes() -> None:
    """Budget 8, 10 ticks and 1 per token. A (4 in, 3 out) and B (9 in, 2 out) arrive at 0, C (1 in, 1 out) at 18.

    0-18: A 4, B 4 of 9. 18-35: A decodes, B 5, and C, who came just in time, 1 of the 2 left. 35-47: A and B decode.
    """
    s = EngineSettings(token_budget=8, max_sequences=8, block_tokens=16)
    done = agree([(0, 4, 3), (0, 9, 2), (18, 1, 1)], flat_costs(10, 1), s, 100)
    assert [r.tokens_at for r in done.requests] == [[18, 35, 47], [35, 47], [35]]
    assert [r.scheduled for r in done.requests] == [0, 0, 18]
    assert (done.steps, done.busy, done.most_sequences, done.most_blocks) == (3, 47, 3, 3)


def test_the_last_admitted_makes_room_and_starts_over() -> None:
    """Two requests of 4 in, 5 out in a cache of 9 tokens: both prompts, but only one further token at a time.

    0-18 both prompts. At 18 the first gets the ninth place, the second goes with 4 computed tokens and one answer
    token. The first ends alone at 18 + 4 x 11 = 62, the second computes 5 tokens again, 62-77, and decodes 3 times.
    """
    s = EngineSettings(token_budget=8, max_sequences=8, block_tokens=1)
    done = agree([(0, 4, 5), (0, 4, 5)], flat_costs(10, 1), s, 9)
    assert [r.tokens_at[-1] for r in done.requests] == [62, 110]
    assert done.requests[1].gaps == [59, 11, 11, 11]
    assert (done.recomputed_tokens, [r.preemptions for r in done.requests]) == (4, [0, 1])


def test_prompts_first_let_decodes_wait() -> None:
    """B's prompt of 12 takes two steps, 15-33 and 33-47, in which A, in decode since 15, gets nothing."""
    s = EngineSettings(policy="prefill_first", token_budget=8, max_sequences=8, block_tokens=16)
    done = agree([(0, 5, 3), (1, 12, 2)], flat_costs(10, 1), s, 100)
    assert [r.tokens_at for r in done.requests] == [[15, 59, 70], [47, 59]]


@pytest.mark.parametrize(
    ("requests", "s", "blocks"),
    [
        # Preempted between its first token and its next: what it left in the kernel's heap must not end it.
        ([(0, 1, 7), (0, 69, 3)], EngineSettings(token_budget=15, max_sequences=2, block_tokens=3), 25),
        # A prompt that finds no blocks for its last chunk, over and over, while a decode holds the others.
        (
            [(0, 8, 40), (0, 40, 5)],
            EngineSettings(policy="prefill_first", token_budget=8, max_sequences=2, block_tokens=1),
            47,
        ),
    ],
)
def test_corners(requests: Requests, s: EngineSettings, blocks: int) -> None:
    assert agree(requests, flat_costs(10, 1), s, blocks).recomputed_tokens > 0


# -- generated ------------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(workloads(), synthetic_costs(), engines(), st.one_of(st.integers(0, 3), st.integers(0, 60), st.just(10_000)))
def test_kernel_and_reference_agree(requests: Requests, c: StepCosts, s: EngineSettings, spare: int) -> None:
    agree(requests, c, s, cache_of(requests, s, spare))


@pytest.fixture(scope="module")
def compiled(table: Any, h100: Chips, facts: Facts) -> list[StepCosts]:
    """Real models: dense, windows of 128, experts on a throttled chip, latent attention."""
    b200 = chips(facts.accelerator("b200-sxm"), facts, Draws.central())
    return [
        compile_costs(t, on, MOST_TOKENS, MOST_SEQUENCES)
        for t, on in (
            (table(model="llama-3.1-8b"), h100),
            (table(model="gpt-oss-20b", weights="declared"), h100),
            (table(model="mixtral-8x7b", tensor=2, expert=2), replace(b200, tdp_w=b200.idle_w + 100.0)),
            (table(model="deepseek-v3", tensor=8, expert=8), b200),
        )
    ]


@settings(max_examples=60)
@given(workloads(), st.integers(0, 3), engines(), st.one_of(st.integers(0, 3), st.integers(0, 60)))
def test_kernel_and_reference_agree_on_real_models(
    compiled: list[StepCosts], requests: Requests, model: int, s: EngineSettings, spare: int
) -> None:
    spread = [(a * 10**8, p, o) for a, p, o in requests]  # steps take some 1e11 ticks
    agree(spread, compiled[model], s, cache_of(requests, s, spare))
