"""How engines schedule and how fleets of them are run: the settings that docs/simulator.md gives the rules of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scoville.errors import DeploymentError, FactError, nearest
from scoville.facts import Fact, Facts

POLICIES = ("decode_first", "prefill_first", "static")
RESERVATIONS = ("preempt", "full")
PREEMPTIONS = ("recompute", "swap")
ROUTINGS = ("round_robin", "least_loaded", "power_of_two", "sticky", "prefix_aware")
_ENGINE = "engine-"  # subjects of the facts that hold an engine family's defaults
_MOST_DRAFTS = 32
_MOST_TOKENS = 2**20  # of a step, whose costs are in a table over them


@dataclass(frozen=True, slots=True)
class Speculation:
    """Drafts verified with each decode: how likely each is accepted if those before it are, and what drafting costs.

    acceptance_frac   of draft 1, 2, ...: its length is the number of drafts
    pass_frac         time of one draft's pass against a decode pass of the model: 1 / layers for a layer of
                      multi-token prediction, 0 for drafts from the text itself
    """

    acceptance_frac: tuple[float, ...]
    pass_frac: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.acceptance_frac) <= _MOST_DRAFTS:
            raise DeploymentError(
                f"speculation: {len(self.acceptance_frac)} drafts; expected 1 to {_MOST_DRAFTS} acceptance rates"
            )
        for i, p in enumerate(self.acceptance_frac):
            if not 0 <= p <= 1:
                raise DeploymentError(f"speculation: acceptance of draft {i + 1} is {p:g}; expected 0 to 1")
        if not 0 <= self.pass_frac <= 1:
            raise DeploymentError(f"speculation: a draft's pass is {self.pass_frac:g} of the model's; expected 0 to 1")

    @property
    def drafts_count(self) -> int:
        """Drafts per decode and step."""
        return len(self.acceptance_frac)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How one engine schedules, whose measured kernels time it (`kernels`, see timing.chips), and its overheads.

    time_frac            factor on every time of the chip, as calibrated with this engine
    step_s, sequence_s   what each step takes beside its kernels, and each sampled token of it: gaps between launches,
                         preparing inputs, logits and sampling, as far as nothing hides them
    request_s            what a request spends outside the engine's steps: HTTP, tokens from text and back
    `cache_blocks` None takes what the memory leaves; `host_blocks` is the host tier's room, of a lane, for preempted
    requests with `on_preemption = "swap"`, else for evicted prefixes.
    """

    name: str = "own settings"
    kernels: str = "vllm"
    time_frac: float = 1.0
    step_s: float = 0.0
    sequence_s: float = 0.0
    request_s: float = 0.0
    policy: Literal["decode_first", "prefill_first", "static"] = "decode_first"
    reservation: Literal["preempt", "full"] = "preempt"
    on_preemption: Literal["recompute", "swap"] = "recompute"
    token_budget: int
    max_sequences: int
    block_tokens: int
    watermark_frac: float = 0.0
    cache_blocks: int | None = None
    host_blocks: int = 0
    asynchronous: bool = False
    prefix_cache: bool = False
    patience_s: float | None = None
    fair: bool = False
    input_weight: int = 1
    output_weight: int = 1
    speculation: Speculation | None = None
    expert_imbalance_frac: float = 1.0

    def __post_init__(self) -> None:
        _one_of(self, "engine", policy=POLICIES, reservation=RESERVATIONS, on_preemption=PREEMPTIONS)
        _at_least(self, "engine", 1, "token_budget", "max_sequences", "block_tokens")
        _at_least(self, "engine", 0, "host_blocks", "input_weight", "output_weight")
        if not 0 < self.time_frac < math.inf:
            raise DeploymentError(f"engine: time_frac is {self.time_frac:g}; expected a number above 0")
        for field in ("step_s", "sequence_s", "request_s"):
            if not 0 <= getattr(self, field) < math.inf:
                raise DeploymentError(f"engine: {field} is {getattr(self, field):g}; expected a number >= 0")
        if self.token_budget > _MOST_TOKENS:
            raise DeploymentError(f"engine: token_budget is {self.token_budget}; expected at most {_MOST_TOKENS:,}")
        each = 1 + (self.speculation.drafts_count if self.speculation else 0)
        if self.max_sequences * each > self.token_budget:
            tokens = "a token" if each == 1 else f"its {each} tokens"
            raise DeploymentError(
                f"engine: max_sequences = {self.max_sequences} exceeds what token_budget = {self.token_budget} serves, "
                f"so that not every running sequence would get {tokens} in each step; lower it or raise the budget"
            )
        if not 0 <= self.watermark_frac < 1:
            raise DeploymentError(f"engine: watermark_frac is {self.watermark_frac:g}; expected 0 up to below 1")
        if self.patience_s is not None and not self.patience_s > 0:
            raise DeploymentError(f"engine: patience_s is {self.patience_s:g}; expected a number above 0")
        if not 1 <= self.expert_imbalance_frac < math.inf:
            raise DeploymentError(
                f"engine: expert_imbalance_frac is {self.expert_imbalance_frac:g}; expected a number >= 1, "
                f"busiest over mean"
            )
        if self.prefix_cache and self.on_preemption == "swap":
            raise DeploymentError(
                "engine: swapping and a prefix cache at once are not modelled; with a prefix cache the host tier keeps "
                "what is evicted, so leave on_preemption at recompute"
            )


def preset(name: str, facts: Facts) -> EngineSettings:
    """The defaults of an engine family and the weights of fairness, as the facts have them.

    Raises DeploymentError naming the nearest for an unknown family, FactError for a default that cannot be.
    """
    known = {id.removeprefix(_ENGINE): id for id in facts.subjects("engine")}
    if name not in known:
        raise DeploymentError(f"engine: unknown preset '{name}'; {nearest(name, known)}")

    def default(fact: str) -> Fact:
        return facts.get(known[name], fact)

    asynchronous = default("asynchronous")
    if asynchronous.value not in ("yes", "no"):
        raise FactError(f"{asynchronous.place} value is '{asynchronous.value}'; expected yes or no")
    policy: Any = default("policy").value
    reservation: Any = default("reservation").value
    return EngineSettings(
        name=name,
        **_overheads(known[name], facts),
        policy=policy,
        reservation=reservation,
        token_budget=whole(default("token_budget")),
        max_sequences=whole(default("max_sequences")),
        block_tokens=whole(default("block_tokens")),
        asynchronous=asynchronous.value == "yes",
        input_weight=whole(facts.get("fairness", "input_weight")),
        output_weight=whole(facts.get("fairness", "output_weight")),
    )


def _overheads(subject: str, facts: Facts) -> dict[str, Any]:
    """What an engine's facts say of its kernels and overheads; an engine of one's own may leave them out."""
    named = {f"{name}_s": facts.find(subject, f"{name}_time") for name in ("step", "sequence", "request")}
    found: dict[str, Any] = {name: fact.number for name, fact in named.items() if fact}
    kernels, factor = facts.find(subject, "kernels"), facts.find(subject, "time_factor")
    found |= {"kernels": str(kernels.value)} if kernels else {}
    return found | ({"time_frac": factor.number} if factor else {})


def whole(fact: Fact) -> int:
    """A fact that counts something. Raises FactError naming its place for a fraction or a text."""
    if isinstance(fact.value, str) or fact.value != int(fact.value):
        raise FactError(f"{fact.place} value is {fact.value}; expected a whole number")
    return int(fact.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """When replicas start and stop: every `interval_s`, so that each has about so many requests."""

    least: int
    interval_s: float
    requests_per_replica: int
    startup_s: float

    def __post_init__(self) -> None:
        _at_least(self, "autoscaling", 1, "least", "requests_per_replica")
        for field in ("interval_s", "startup_s"):
            if not getattr(self, field) > 0:
                raise DeploymentError(f"autoscaling: {field} is {getattr(self, field):g}; expected a number above 0")


@dataclass(frozen=True, slots=True)
class Failure:
    """A replica that fails, and when it is up again."""

    at_s: float
    replica: int
    repaired_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Replicas, how requests find them, and what happens to them."""

    replicas: int = 1
    routing: Literal["round_robin", "least_loaded", "power_of_two", "sticky", "prefix_aware"] = "round_robin"
    balance_requests: int = 0
    balance_ratio: float = 1.0
    queue_limit: int | None = None
    users: int | None = None
    think_s: float = 0.0
    turns_follow: bool = False
    autoscaling: Autoscaling | None = None
    failures: Sequence[Failure] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of(self, "fleet", routing=ROUTINGS)
        _at_least(self, "fleet", 1, "replicas")
        _at_least(self, "fleet", 0, "balance_requests", "queue_limit", "think_s", "seed")
        if self.users is not None and self.users < 1:
            raise DeploymentError(f"fleet: users is {self.users}; expected an integer >= 1")
        if self.users is not None and self.turns_follow:
            raise DeploymentError("fleet: users in a closed loop ask one request after another; leave turns_follow out")
        if self.autoscaling is not None and self.autoscaling.least > self.replicas:
            raise DeploymentError(
                f"autoscaling: least = {self.autoscaling.least} exceeds the {self.replicas} replicas of the fleet"
            )
        for f in self.failures:
            if not (0 <= f.replica < self.replicas and 0 <= f.at_s < f.repaired_s):
                raise DeploymentError(
                    f"fleet: failure of replica {f.replica} at {f.at_s:g} s, repaired at {f.repaired_s:g} s; expected "
                    f"a replica from 0 to {self.replicas - 1} and a repair after the failure"
                )


def _one_of(record: object, what: str, **allowed: tuple[str, ...]) -> None:
    for field, values in allowed.items():
        if getattr(record, field) not in values:
            raise DeploymentError(f"{what}: {field} is '{getattr(record, field)}'; allowed: {', '.join(values)}")


def _at_least(record: object, what: str, least: int, *fields: str) -> None:
    for field in fields:
        value = getattr(record, field)
        if value is not None and not value >= least:
            raise DeploymentError(f"{what}: {field} is {value}; expected a number >= {least}")
