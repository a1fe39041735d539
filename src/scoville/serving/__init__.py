"""What a request sees: the steady state of a replica under a traffic's shape and latency targets (`steady_state`)."""

from scoville.serving.shape import TrafficShape, check_context, shape
from scoville.serving.steady import (
    APPROXIMATIONS,
    SteadyState,
    Targets,
    average_step,
    full_chunk_tokens,
    steady_state,
    worst_rank_frac,
)

__all__ = [
    "APPROXIMATIONS",
    "SteadyState",
    "Targets",
    "TrafficShape",
    "average_step",
    "check_context",
    "full_chunk_tokens",
    "shape",
    "steady_state",
    "worst_rank_frac",
]
