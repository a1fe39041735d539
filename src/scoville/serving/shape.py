"""What a steady state needs to know of a trace: mean lengths, contexts held, how uneven arrivals and prompts are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError
from scoville.traffic import Trace, reused_tokens
from scoville.transformer import Architecture
from scoville.transformer.step import Window, seen_tokens

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TrafficShape:
    """Moments of a trace. Means are per request unless said.

    fresh_input_tokens     prompt tokens that must be computed; cached_input_tokens those that a prefix cache holds
    longest_tokens         prompt and answer of the longest request
    held_tokens[w]         context of a decoding sequence within window w, averaged over its decode steps: a request
                           counts as often as it has output tokens
    pairs_tokens[w]        query x context pairs of a prompt
    prompt_kv_tokens[w]    cached tokens read while a prompt is prefilled in pieces of `chunk_tokens`
    prompt_second_frac, prompt_third_frac   E[x^2] / E[x]^2 and E[x^3] / E[x]^3 of fresh prompt tokens x
    output_inverse_frac    E[1/y] E[y] of output tokens y: how much more the time per token of short answers varies
    gap_scv_frac           squared coefficient of variation of the gaps between arrivals (1 for Poisson)
    """

    name: str
    input_tokens: float
    output_tokens: float
    cached_input_tokens: float
    fresh_input_tokens: float
    prompt_second_frac: float
    prompt_third_frac: float
    output_inverse_frac: float
    gap_scv_frac: float
    chunk_tokens: float
    longest_tokens: int
    held_tokens: dict[Window, float]
    pairs_tokens: dict[Window, float]
    prompt_kv_tokens: dict[Window, float]


def shape(trace: Trace, windows: tuple[Window, ...], chunk_tokens: float) -> TrafficShape:
    """Reduce a trace, for steps of at most `chunk_tokens`.

    Where it has block hashes, every repeated block is taken as found in a prefix cache without limit; the last token of
    a prompt is always computed. Sums over decode steps are exact: a request of I prompt and O output tokens holds
    min(I + j, w) tokens at its j-th step.
    """
    i = trace.input_tokens.astype(float)
    o = trace.output_tokens.astype(float)
    start = np.zeros_like(i) if trace.block_hashes is None else np.minimum(reused_tokens(trace), i - 1)
    fresh = i - start
    gaps = np.diff(trace.arrival_s)
    mean_gap = float(gaps.mean()) if len(gaps) else 0.0
    pieces = np.ceil(fresh / chunk_tokens)

    def read(w: Window) -> Array:
        # Piece j of n equal ones of c tokens reads min(start + j c, w + c): arithmetic until the window is full.
        size = fresh / pieces
        growing = pieces if w is None else np.clip(np.floor((w + size - start) / size), 0, pieces)
        whole = growing * start + size * growing * (growing + 1) / 2
        return np.asarray(whole if w is None else whole + (pieces - growing) * (w + size))

    return TrafficShape(
        name=trace.name,
        input_tokens=float(i.mean()),
        output_tokens=float(o.mean()),
        cached_input_tokens=float(start.mean()),
        fresh_input_tokens=float(fresh.mean()),
        prompt_second_frac=float((fresh**2).mean() / fresh.mean() ** 2),
        prompt_third_frac=float((fresh**3).mean() / fresh.mean() ** 3),
        output_inverse_frac=float((1 / o).mean() * o.mean()),
        gap_scv_frac=float(gaps.var() / mean_gap**2) if mean_gap > 0 else 1.0,
        chunk_tokens=chunk_tokens,
        longest_tokens=int((i + o).max()),
        held_tokens={w: float(seen_tokens(i, o, w).sum() / o.sum()) for w in windows},
        pairs_tokens={w: float(seen_tokens(start, fresh, w).mean()) for w in windows},
        prompt_kv_tokens={w: float(read(w).mean()) for w in windows},
    )


def check_context(shape: TrafficShape, architecture: Architecture) -> None:
    """Raise TrafficError where a request is longer than the model takes; a model that declares no limit takes any."""
    if 0 < architecture.max_context_tokens < shape.longest_tokens:
        raise TrafficError(
            f"{shape.name}: the longest request has {shape.longest_tokens:,} tokens, {architecture.name} takes at most "
            f"{architecture.max_context_tokens:,}; use a trace or a model that fits"
        )
