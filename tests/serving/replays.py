"""What the tests of replays share: traces by hand, an engine whose steps take known times, and equality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from tests.serving.generated import flat_costs

from scoville.serving.costs import SHARE_BITS, TICKS_PER_S
from scoville.serving.engine import Engine
from scoville.serving.replay import Pool, Replay
from scoville.serving.settings import EngineSettings
from scoville.traffic import Trace

MakeTrace = Callable[..., Trace]
MS = 1e-3


def hand(requests: Sequence[tuple[float, int, int]], **columns: Any) -> Trace:
    """A trace from (arrival in s, prompt, answer)."""
    arrival, prompt, answer = (np.array(x) for x in zip(*requests, strict=True))
    more = {name: value if isinstance(value, int) else np.array(value) for name, value in columns.items()}
    return Trace("hand", "hand", arrival, prompt, answer, **more)


def flat_engine(
    step_s: float = MS,
    token_s: float = 0.0,
    *,
    blocks: int = 10_000,
    ranks: int = 1,
    stages: int = 1,
    block_s: float = 0.0,
    **settings: Any,
) -> Engine:
    """A step takes `step_s` and `token_s` more for each token of its fullest lane; 48 tokens a step at most."""
    s = EngineSettings(**{"token_budget": 48, "max_sequences": 8, "block_tokens": 16, **settings})
    drafts, share = (s.speculation.drafts_count, s.speculation.pass_frac) if s.speculation else (0, 0.0)
    costs = flat_costs(
        round(step_s * TICKS_PER_S),
        round(token_s * TICKS_PER_S),
        ranks=ranks,
        stages=stages,
        block=round(block_s * TICKS_PER_S),
        drafts=drafts,
        draft_share=round(share * (1 << SHARE_BITS)),
    )
    return Engine(costs, s, blocks, 0, ranks * stages, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)


def same(a: Replay, b: Replay) -> bool:
    """Whether all that two replays tell is equal."""
    told = [f.name for f in fields(Replay) if f.name != "pools"]
    return all(_equal(a, b, name) for name in told) and all(
        _equal(p, q, f.name)
        for p, q in zip(a.pools, b.pools, strict=True)
        for f in fields(Pool)
        if f.name not in ("engine", "fleet")
    )


def _equal(a: object, b: object, name: str) -> bool:
    x, y = getattr(a, name), getattr(b, name)
    if x is None or y is None or isinstance(x, str):
        return bool(x == y)
    return np.array_equal(x, y, equal_nan=True)


def hit_frac(replay: Replay) -> float:
    """Share of all prompt tokens found in a prefix cache."""
    return float(replay.cached_tokens.sum() / replay.input_tokens.sum(dtype=np.int64))


def sessions(count: int, turns: int, per_s: float, *, think_s: float = 20.0, seed: int = 3) -> Trace:
    """Conversations that begin at random; each turn's prompt holds the one before, its answer, and 200 tokens more."""
    rng = np.random.default_rng(seed)
    first = np.cumsum(rng.exponential(1 / per_s, count))
    pause = rng.exponential(think_s, (count, turns))
    pause[:, 0] = 0.0
    prompt, answer = rng.integers(200, 3000, (count, 1)), 100
    prompts = prompt + (200 + answer) * np.arange(turns)
    arrival = (first[:, None] + np.cumsum(pause, axis=1)).ravel()
    order = np.argsort(arrival, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    before = np.where(np.arange(count * turns) % turns > 0, np.concatenate([[-1], place[:-1]]), -1)
    return Trace(
        "sessions",
        "made",
        arrival[order],
        prompts.ravel()[order],
        np.full(count * turns, answer),
        session_ids=np.repeat(np.arange(count), turns)[order],
        parent=before[order],
        think_s=pause.ravel()[order],
    )
