"""The one-line descriptions at the head of an answer, and its list of approximations."""

from __future__ import annotations

from scoville.serving import APPROXIMATIONS, Targets, TrafficShape
from scoville.traffic import Trace
from scoville.transformer import Architecture, cache_bytes, parameters
from scoville.transformer.quantization import stored_formats
from scoville.transformer.step import Precision
from scoville.units import show


def percent(frac: float) -> str:
    """A share as whole percent; the ends are reached only by exactly none and exactly all.

    >>> [percent(x) for x in (0.0, 0.004, 0.53, 0.997, 1.0)]
    ['0 %', '<1 %', '53 %', '>99 %', '100 %']
    """
    if 0 < frac < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < frac < 1 else f"{frac * 100:.0f} %"


def traffic(trace: Trace, shape: TrafficShape, cached_known: bool) -> str:
    """Name, size, mean lengths and source of the trace."""
    reused = percent(shape.cached_input_tokens / shape.input_tokens)
    reuse = f", {reused} of input in a prefix cache" if cached_known else ""
    return (
        f"{trace.name}: {len(trace):,} requests, mean {shape.input_tokens:,.0f} input and {shape.output_tokens:,.0f} "
        f"output tokens{reuse} ({trace.source})"
    )


def model(architecture: Architecture, formats: Precision) -> str:
    """Parameters and cache per token."""
    count = parameters(architecture)
    active = f", {count.active / 1e9:.3g}B active" if count.active < 0.9 * count.total else ""
    context = 8192
    cache = float(cache_bytes(architecture, context, formats.kv)) / context
    return (
        f"{architecture.name}: {count.total / 1e9:.4g}B parameters{active}, {show(cache, 'bytes')} of cache per token "
        f"at {context:,} tokens of context"
    )


def precision(architecture: Architecture, formats: Precision) -> str:
    """What is stored and computed in which format."""
    stored = stored_formats(architecture, formats.weights)
    parts = {"attention": stored.attention, "feed-forward": stored.feed_forward, "experts": stored.experts}
    if not any(layer.feed_forward.experts for layer in architecture.layers):
        del parts["experts"]
    elif all(
        layer.feed_forward.experts and not layer.feed_forward.shared_intermediate for layer in architecture.layers
    ):
        del parts["feed-forward"]
    kinds = set(parts.values())
    weights = kinds.pop() if len(kinds) == 1 else ", ".join(f"{k} {v}" for k, v in parts.items())
    return f"weights {weights}; activations {formats.activations}; KV cache {formats.kv}"


def targets(latency: Targets) -> str:
    """Both targets with their percentiles."""
    return (
        f"P{latency.ttft_percentile_frac * 100:g} TTFT {show(latency.ttft_s, 's')}, "
        f"P{latency.tpot_percentile_frac * 100:g} TPOT {show(latency.tpot_s, 's')}"
    )


def approximations(cached_known: bool, most_chips: float, replayed: bool) -> tuple[str, ...]:
    """What the answer takes for granted, in the order of its stages; `most_chips` is the largest replica searched."""
    replay = (
        "Replay: one replica with an engine like vLLM, at the central values of all facts, gets the trace's own "
        "pattern of arrivals, faster or slower, until a target is missed. Every sample takes the part of its steady "
        "state's load that the replay found at the central values.",
    )
    return (
        "Roofline: an operator takes the longer of arithmetic and memory traffic at efficiencies measured on "
        "Hopper and Ampere; on other chips the same efficiencies with a wider error of their own.",
        f"Shardings: powers of two up to {most_chips:g} chips per replica; larger expert-parallel deployments exist "
        "and are not searched.",
        *APPROXIMATIONS,
        *(replay if replayed else ()),
        "Prefix cache: every block that the trace repeats is found (an infinite cache)."
        if cached_known
        else "Prefix cache: none, since the trace does not say which prompts share a prefix.",
        "Experts are routed independently and evenly.",
        "Input and output are priced by engine time: a prompt token pays what it adds to a step, an output "
        "token its share of the rest.",
        "Fleet: whole replicas for the peak with headroom at the highest utilisation, paid for all hours.",
        "Each sample re-tunes batch and sharding among the best few; ranges are P10 to P90 of the samples.",
    )
