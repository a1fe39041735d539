"""From the words of the command line to an engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scoville.errors import DeploymentError, UnitError

if TYPE_CHECKING:
    from scoville.facts import Facts
    from scoville.serving.settings import EngineSettings, Speculation
    from scoville.transformer.architecture import Architecture
    from scoville.transformer.operators import OperatorTable


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """The options of engine and cache as they were given; None is the engine's own."""

    engine: str = "vllm"
    policy: str | None = None
    token_budget: int | None = None
    max_sequences: int | None = None
    asynchronous: bool | None = None
    preemption: str | None = None
    patience: str | None = None
    fair: bool = False
    expert_imbalance_frac: float = 1.0
    drafts: str | None = None
    draft: str | None = None
    cache_blocks: int | None = None
    prefix_cache: bool = False
    host_memory: str | None = None


def settings(o: EngineOptions, facts: Facts, architecture: Architecture, table: OperatorTable) -> EngineSettings:
    """The settings of an engine for a model in this sharding. Raises DeploymentError for what does not fit together."""
    from scoville.serving.settings import POLICIES, PREEMPTIONS, preset

    usual = preset(o.engine, facts)
    swaps = o.preemption == "swap"
    if swaps and o.host_memory is None:
        raise DeploymentError('--preemption swap needs room to swap to; add --host-memory such as "200 GB"')
    if o.host_memory is not None and not (swaps or o.prefix_cache):
        raise DeploymentError(
            "--host-memory holds evicted prefixes or swapped requests; add --prefix-cache or --preemption swap"
        )
    if o.preemption is not None and usual.reservation == "full":
        raise DeploymentError(f"--preemption: {o.engine} reserves whole answers and preempts nothing; leave it out")
    if o.expert_imbalance_frac != 1 and table.parallelism.expert == 1:
        raise DeploymentError(f"--expert-imbalance is for experts spread over ranks; {table.parallelism} has no EP")
    if o.expert_imbalance_frac > table.parallelism.expert:
        raise DeploymentError(
            f"--expert-imbalance: {o.expert_imbalance_frac:g} times the mean is more than all tokens on one of "
            f"{table.parallelism.expert} ranks; expected at most {table.parallelism.expert}"
        )
    changed: dict[str, Any] = {
        "policy": choice(o.policy, POLICIES, "--policy"),
        "token_budget": o.token_budget,
        "max_sequences": o.max_sequences,
        "asynchronous": o.asynchronous,
        "on_preemption": choice(o.preemption, PREEMPTIONS, "--preemption"),
        "cache_blocks": o.cache_blocks,
        "patience_s": None if o.patience is None else above_zero(o.patience, "s", "--patience"),
        "speculation": _speculation(o, architecture),
    }
    made = replace(usual, **{name: value for name, value in changed.items() if value is not None})
    made = replace(made, fair=o.fair, expert_imbalance_frac=o.expert_imbalance_frac, prefix_cache=o.prefix_cache)
    if o.host_memory is None:
        return made
    return replace(made, host_blocks=_host_blocks(o.host_memory, made, table))


def _host_blocks(host_memory: str, made: EngineSettings, table: OperatorTable) -> int:
    """Blocks of the host tier of one scheduler: each has its part of the replica's host memory."""
    p = table.parallelism
    size = above_zero(host_memory, "bytes", "--host-memory")
    per_token = sum(table.cache_bytes_per_token.values()) * p.tensor * p.pipeline
    blocks = int(size / (made.block_tokens * per_token) / (p.attention_data * p.pipeline)) if per_token > 0 else 0
    if blocks < 1:
        raise DeploymentError(f"--host-memory: '{host_memory}' has room for no cache block; give more")
    return blocks


def _speculation(o: EngineOptions, architecture: Architecture) -> Speculation | None:
    from scoville.serving.settings import Speculation

    if o.drafts is None and o.draft is None:
        return None
    if o.drafts is None or o.draft is None:
        raise DeploymentError(
            "speculation: give both --drafts, how likely each is accepted, and --draft, who makes them: mtp, text or a "
            "model"
        )
    try:
        rates = tuple(float(word) for word in o.drafts.split(","))
    except ValueError:
        raise DeploymentError(f"--drafts: '{o.drafts}' is no list of rates; expected e.g. '0.85,0.7'") from None
    return Speculation(rates, _pass_frac(o.draft, architecture))


def _pass_frac(draft: str, architecture: Architecture) -> float:
    """Time of a draft's pass over one of the model: by layers for its own, by active parameters for another model."""
    from scoville import transformer
    from scoville.transformer.parameters import parameters

    if draft == "text":
        return 0.0
    if draft == "mtp":
        if not architecture.draft_layers:
            raise DeploymentError(
                f"--draft: the config of {architecture.name} has no layers for multi-token prediction; name text or a "
                f"model"
            )
        return 1 / len(architecture.layers)
    small = transformer.load(draft)
    share = parameters(small).active / parameters(architecture).active
    if share > 1:
        raise DeploymentError(
            f"--draft: {small.name} has more active parameters than {architecture.name}, which it drafts for"
        )
    return share


def choice(text: str | None, allowed: tuple[str, ...], option: str) -> str | None:
    """A word of the settings as the command line writes it, with hyphens."""
    if text is None:
        return None
    word = text.replace("-", "_")
    if word not in allowed:
        raise DeploymentError(
            f"{option}: '{text}' is unknown; allowed: {', '.join(w.replace('_', '-') for w in allowed)}"
        )
    return word


def above_zero(text: str, measure: str, where: str) -> float:
    """A quantity above 0 in `measure`. Raises UnitError for anything else."""
    from scoville.units import example, parse

    value = parse(text, measure, where)
    if value <= 0:
        raise UnitError(f"{where}: '{text}' is not above 0; expected e.g. '{example(measure)}'")
    return value
