"""Which ways of spreading a model over chips are worth trying on an accelerator."""

from __future__ import annotations

from scoville.errors import DeploymentError
from scoville.facts import Accelerator
from scoville.transformer import Architecture
from scoville.transformer.sharding import check_sharding
from scoville.transformer.step import Parallelism


def _powers(limit: float) -> list[int]:
    found, n = [], 1
    while n <= limit:
        found.append(n)
        n *= 2
    return found


def candidate_parallelisms(
    architecture: Architecture, accelerator: Accelerator, most_chips: float
) -> list[Parallelism]:
    """Every power-of-two sharding of up to `most_chips` chips that divides the model, smallest first.

    Tensor parallelism stays inside the scale-up domain. Pipelines (2, 4, 8 stages) reach beyond it. Models with experts
    also get expert parallelism, alone or with data-parallel attention, which may span domains as DeepSeek's deployments
    do.
    """
    domain = min((level.domain.number for level in accelerator.links[:1] if level.domain), default=1.0)
    routed = any(layer.feed_forward.experts for layer in architecture.layers)
    found: list[Parallelism] = []
    for tensor in _powers(min(domain, most_chips)):
        for pipeline in _powers(min(8, most_chips / tensor)):
            for expert in {1, tensor} if routed else {1}:
                found.append(Parallelism(tensor=tensor, pipeline=pipeline, expert=expert))
        if routed:
            for groups in _powers(most_chips / tensor)[1:]:
                found.append(Parallelism(tensor=tensor, attention_data=groups, expert=tensor * groups))
    return sorted((p for p in dict.fromkeys(found) if _divides(architecture, p)), key=lambda p: (p.chips, str(p)))


def _divides(architecture: Architecture, parallelism: Parallelism) -> bool:
    try:
        check_sharding(architecture, parallelism)
    except DeploymentError:
        return False
    return True
