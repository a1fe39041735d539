"""Generated engines, fleets and workloads: small budgets, small caches and coarse clocks, so that everything collides.

A case has some of FEATURES; `cases` draws one with the features asked for, and leaves all else plain.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scoville.serving.costs import SHARE_BITS, TICKS_PER_S, WORK, StepCosts
from scoville.serving.settings import Autoscaling, EngineSettings, Failure, Fleet, Speculation
from scoville.serving.workload import Workload, workload

FEATURES = (
    "prefill first",
    "static",
    "full reservation",
    "swap",
    "asynchronous",
    "speculation",
    "classes",
    "fair",
    "patience",
    "queue limit",
    "linear attention",
    "prefix cache",
    "host tier",
    "data parallel",
    "pipeline",
    "replicas",
    "users",
    "turns",
    "failures",
    "autoscaling",
    "second pool",
)
# Of each row a case has at most one.
APART = (
    {"swap", "prefix cache"},
    {"static", "prefill first"},
    {"users", "turns"},
    {"users", "second pool"},
    {"turns", "second pool"},
)
TOGETHER = (
    ("classes", "swap"),
    ("classes", "prefix cache"),
    ("classes", "fair", "prefill first"),
    ("host tier", "classes"),
    ("host tier", "replicas", "failures"),
    ("autoscaling", "failures"),
    ("autoscaling", "failures", "queue limit"),
    ("autoscaling", "turns"),
    ("pipeline", "asynchronous"),
    ("pipeline", "data parallel", "failures"),
    ("replicas", "prefix cache"),
    ("turns", "patience", "queue limit"),
    ("users", "patience", "queue limit"),
    ("users", "patience", "replicas", "asynchronous"),
    ("users", "patience", "classes", "fair", "data parallel"),
    ("failures", "swap", "fair"),
    ("second pool", "prefix cache", "failures"),
    ("full reservation", "host tier", "classes"),
    ("pipeline", "classes", "swap"),
    ("speculation", "swap", "linear attention"),
)
NEEDS = {"host tier": {"prefix cache"}, "failures": {"replicas"}, "autoscaling": {"replicas"}}
MOST_TOKENS, MOST_SEQUENCES, MOST_RANKS = 48, 8, 3
_IN_SECONDS = 1 / TICKS_PER_S


@dataclass(frozen=True, eq=False)
class Case:
    """The arguments of a replay."""

    work: Workload
    costs: StepCosts
    settings: EngineSettings
    fleet: Fleet
    cache_blocks: int
    sequence_blocks: int

    def __repr__(self) -> str:
        """As what can be pasted, costs apart."""
        w = self.work
        columns = {name: getattr(w, name).tolist() for name in vars(w) if name != "id_tokens"}
        plain = {
            "klass": 0,
            "client": 0,
            "session": -1,
            "parent": -1,
            "think": 0,
            "computed": 0,
            "got": 0,
            "token_at": -1,
        }
        told = [f"{k}={v}" for k, v in columns.items() if k not in plain or set(v) != {plain[k]}]
        c = self.costs
        return (
            f"work({', '.join(told)}, id_tokens={w.id_tokens})\n{self.settings}\n{self.fleet}\n"
            f"blocks={self.cache_blocks}, state={self.sequence_blocks}, ranks={c.ranks}, stages={c.stages}, "
            f"drafts={c.drafts}, host={c.host}, block={c.block}, base={c.base[:6]}..., pieces={len(c.fixed)}"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


def replay_arguments(case: Case) -> tuple[Workload, StepCosts, EngineSettings, Fleet, int, int]:
    """What both simulators are given."""
    return case.work, case.costs, case.settings, case.fleet, case.cache_blocks, case.sequence_blocks


def flat_costs(
    step: int, token: int, *, ranks: int = 1, stages: int = 1, most_tokens: int = MOST_TOKENS, **rest: Any
) -> StepCosts:
    """A step takes `step` ticks and `token` more for each token of its fullest lane."""
    none, zeros = np.zeros((0, 4), np.int64), np.zeros(ranks * most_tokens + 1, np.int64)
    base = step + token * np.arange(most_tokens + 1, dtype=np.int64)
    fields: dict[str, Any] = {
        "windows": (),
        "base": base,
        "head": zeros,
        "fixed": none[:, 0],
        "compute": none,
        "memory": none,
        "uses": none != 0,
        "cap_base": 0 * base,
        "cap_head": 0,
        "cap": np.zeros(4, np.int64),
        "shared": zeros,
        "shared_cap": zeros,
        "work_base": np.zeros((most_tokens + 1, len(WORK))),
        "work_head": np.zeros(len(WORK)),
        "work_v": np.zeros((4, len(WORK))),
        "work_shared": np.zeros((len(zeros), len(WORK))),
        "idle_w": 0.0,
        "ranks": ranks,
        "stages": stages,
    }
    return StepCosts(**{**fields, **rest})


# -- one strategy per record -------------------------------------------------------------------------------------------


@st.composite
def synthetic_costs(draw: st.DrawFn, has: Collection[str], drafts: int) -> StepCosts:
    """Small integers: pieces whose longer side changes with the context, finite windows, caps that bind at times."""
    ranks = draw(st.integers(1, MOST_RANKS)) if "data parallel" in has else 1
    stages = draw(st.integers(1, 3)) if "pipeline" in has else 1
    block = draw(st.sampled_from([0, 1, 40])) if has & {"swap", "host tier"} else 0
    host = draw(st.sampled_from([0, 0, 60, 200])) if "asynchronous" in has else 0
    share = draw(st.sampled_from([0, 1 << (SHARE_BITS - 3), 12_345])) if drafts else 0
    rest = {"host": host, "block": block, "drafts": drafts, "draft_share": share}
    if draw(st.booleans()):  # all instants on a coarse grid, so that events coincide
        step, token = draw(st.sampled_from([(100, 0), (50, 50), (10, 1)]))
        return flat_costs(step, token, ranks=ranks, stages=stages, **{**rest, "host": host // 50 * 50})

    windows = draw(st.sampled_from([(None,), (None,), (None, 3), (None, 8, 20), (6,), ()]))
    size = 4 + 3 * len(windows)
    chance = np.random.default_rng(draw(st.integers(0, 1000)))

    def rows(n: int, most: int) -> Any:
        return chance.integers(0, most + 1, (n, size)) * (chance.random((n, size)) < 0.5)

    def table(n: int, most: int) -> Any:
        return np.cumsum(chance.integers(0, most + 1, n + 1))

    pieces = draw(st.integers(0, 3))
    compute, memory = rows(pieces, 6), rows(pieces, 6)
    memory[:, 0] = chance.integers(0, 301, pieces)  # one side starts ahead, the other one catches up as contexts grow
    capped, together = draw(st.booleans()), ranks > 1 and draw(st.booleans())
    everyones = ranks * MOST_TOKENS
    return StepCosts(
        windows=windows,
        base=1 + table(MOST_TOKENS, draw(st.sampled_from([0, 3, 40]))),
        head=table(MOST_TOKENS, 5),
        fixed=chance.integers(0, 21, pieces),
        compute=compute,
        memory=memory,
        uses=(compute != 0) | (memory != 0),
        cap_base=table(MOST_TOKENS, 10) * capped,
        cap_head=int(chance.integers(0, 10)) * capped,
        cap=rows(1, 8)[0] * capped,
        shared=table(everyones, 20) * together,
        shared_cap=table(everyones, 15) * together * capped,
        work_base=chance.random((MOST_TOKENS + 1, len(WORK))),
        work_head=chance.random(len(WORK)),
        work_v=chance.random((size, len(WORK))),
        work_shared=chance.random((everyones + 1, len(WORK))) * (ranks > 1),
        idle_w=0.0,
        ranks=ranks,
        stages=stages,
        **rest,
    )


@st.composite
def engines(draw: st.DrawFn, has: Collection[str], block_tokens: int) -> EngineSettings:
    """Budgets of a few chunks."""
    speculation = None
    if "speculation" in has:
        rates = st.lists(st.sampled_from([0.0, 0.3, 0.8, 1.0]), min_size=1, max_size=3)
        speculation = Speculation(tuple(draw(rates)))
    each = 1 + (speculation.drafts_count if speculation else 0)
    sequences = draw(st.integers(1, MOST_SEQUENCES))
    budget = draw(st.integers(max(each * sequences, 4), MOST_TOKENS))
    host = 0
    if has & {"swap", "host tier"}:
        host = draw(st.one_of(st.integers(0, 6), st.integers(8, 60)))
    return EngineSettings(
        policy="prefill_first" if "prefill first" in has else "static" if "static" in has else "decode_first",
        reservation="full" if "full reservation" in has else "preempt",
        on_preemption="swap" if "swap" in has else "recompute",
        token_budget=budget,
        max_sequences=sequences,
        block_tokens=block_tokens,
        watermark_frac=draw(st.sampled_from([0.0, 0.0, 0.1, 0.5])),
        host_blocks=host,
        asynchronous="asynchronous" in has,
        prefix_cache="prefix cache" in has,
        patience_s=draw(st.sampled_from([1, 50, 400, 2000])) * _IN_SECONDS if "patience" in has else None,
        fair="fair" in has,
        input_weight=draw(st.integers(0, 2)),
        output_weight=draw(st.integers(0, 3)),
        speculation=speculation,
    )


@st.composite
def fleets(draw: st.DrawFn, has: Collection[str]) -> Fleet:
    """Up to four replicas, which fail in the middle of steps and start late."""
    replicas = draw(st.integers(1 if "failures" in has else 2, 4)) if "replicas" in has else 1
    routings = ["round_robin", "prefix_aware", "least_loaded", "power_of_two", "sticky", "prefix_aware"]
    failures: list[Failure] = []
    if "failures" in has:
        failing = st.tuples(
            st.one_of(st.integers(0, 40).map(lambda x: 50 * x), st.integers(0, 1000), st.integers(0, 4000)),
            st.integers(0, replicas - 1),
            st.sampled_from([1, 50, 700, 3000]),
        )
        drawn = draw(st.lists(failing, min_size=1, max_size=10))
        failures = [Failure(at * _IN_SECONDS, r, (at + down) * _IN_SECONDS) for at, r, down in drawn]
    autoscaling = None
    if "autoscaling" in has:
        autoscaling = Autoscaling(
            least=min(draw(st.sampled_from([1, 1, 2])), replicas),
            interval_s=draw(st.sampled_from([20, 50, 100, 700])) * _IN_SECONDS,
            requests_per_replica=draw(st.sampled_from([1, 1, 2, 4])),
            startup_s=draw(st.sampled_from([1, 50, 500])) * _IN_SECONDS,
        )
    return Fleet(
        replicas=replicas,
        routing=draw(st.sampled_from(routings)) if "replicas" in has or "data parallel" in has else "round_robin",
        balance_requests=draw(st.integers(0, 4)),
        balance_ratio=draw(st.sampled_from([1.0, 1.5, 2.0])),
        queue_limit=draw(st.integers(0, 3)) if "queue limit" in has else None,
        users=draw(st.integers(1, 8)) if "users" in has else None,
        think_s=draw(st.sampled_from([0, 0, 50, 700])) * _IN_SECONDS,
        turns_follow="turns" in has,
        autoscaling=autoscaling,
        failures=failures,
        seed=draw(st.sampled_from([0, 1, 2**40 + 7])),
    )


@st.composite
def workloads(draw: st.DrawFn, has: Collection[str], id_tokens: int, grid: int) -> Workload:
    """Bursts, ties and pauses; prompts beyond the budget; answers of one token; content that is shared."""
    longest = draw(st.sampled_from([20, 150]))
    gap = st.one_of(st.just(0), st.just(0), st.integers(0, 300), st.integers(0, draw(st.sampled_from([300, 3000]))))
    prompt = st.one_of(st.integers(1, 12), st.integers(1, longest))
    output = st.one_of(st.just(1), st.integers(1, 10), st.integers(1, longest))
    n = draw(st.integers(1, 24))
    drawn = draw(st.lists(st.tuples(gap, prompt, output), min_size=n, max_size=n))

    def column(strategy: st.SearchStrategy[int]) -> Any:
        return np.array(draw(st.lists(strategy, min_size=n, max_size=n)), np.int64)

    arrival, prompts, outputs = (np.array(x, np.int64) for x in zip(*drawn, strict=True))
    arrival = np.cumsum(arrival // grid * grid)
    more: dict[str, Any] = {}
    if "classes" in has:
        more["klass"] = column(st.integers(0, 2))
    if "fair" in has:
        more["client"] = column(st.integers(0, 3))
    if "replicas" in has or "data parallel" in has:
        more["session"] = column(st.integers(-1, 3))
    if "turns" in has:
        back = column(st.sampled_from([0, 1, 1, 2, 5]))
        more["parent"] = np.where((back > 0) & (np.arange(n) >= back), np.arange(n) - back, -1)
        more["think"] = column(st.sampled_from([0, 0, 50, 700]))
    if "prefix cache" in has or "replicas" in has:
        paths = _paths(column(st.integers(0, 9)), column(st.integers(0, 6)), column(st.integers(0, 4)))
        beyond = column(st.integers(0, 2 * id_tokens))  # content that goes on into the answer, or a prompt beyond it
        for r, path in enumerate(paths):
            prompts[r] = (
                max(1, len(path) * id_tokens - beyond[r]) if beyond[r] % 2 else len(path) * id_tokens + 1 + beyond[r]
            )
        more["ids"] = np.array([i for path in paths for i in path], np.int64)
        more["offsets"] = np.cumsum([0, *(len(path) for path in paths)])
        more["id_tokens"] = id_tokens
    if "second pool" in has:
        brought = column(st.integers(0, 3)) > 0
        outputs += brought
        more["computed"], more["got"] = prompts * brought, brought.astype(np.int64)
        more["token_at"] = np.where(brought, arrival - column(st.integers(0, 60)).clip(max=arrival), -1)
    return workload(arrival, prompts, outputs, **more)


def _paths(follows: Any, kept: Any, added: Any) -> list[list[int]]:
    """Content as paths of a tree: each request keeps some of an earlier one's ids and adds new ones."""
    paths: list[list[int]] = []
    fresh = 0
    for r in range(len(follows)):
        earlier = paths[r - follows[r]] if 0 < follows[r] <= r else []
        grown = list(range(fresh, fresh + int(added[r])))
        fresh += len(grown)
        paths.append(earlier[: kept[r]] + grown)
    return paths


@st.composite
def cases(draw: st.DrawFn, features: Collection[str]) -> Case:
    """A case with these features, and those that they need."""
    has = set(features).union(*(NEEDS.get(f, set()) for f in features))
    block_tokens = draw(st.sampled_from([1, 2, 4, 4, 16]))
    id_tokens = block_tokens * draw(st.integers(1, 3)) if "prefix cache" in has else 4
    settings = draw(engines(has, block_tokens))
    drafts = settings.speculation.drafts_count if settings.speculation else 0
    costs = draw(synthetic_costs(has, drafts))
    work = draw(workloads(has, id_tokens, draw(st.sampled_from([1, 50]))))
    state = draw(st.integers(1, 3)) if "linear attention" in has else 0
    longest = int((work.prompt + work.output).max()) + drafts
    spare = draw(st.one_of(st.integers(0, 4), st.integers(0, 8), st.integers(0, 30), st.sampled_from([90, 5000])))
    blocks = (-(-longest // block_tokens) + state + spare) * costs.stages + draw(st.integers(0, costs.stages - 1))
    return Case(work, costs, settings, draw(fleets(has)), blocks, state)


@st.composite
def mixtures(draw: st.DrawFn) -> Case:
    """Any features together that go together."""
    count = draw(st.integers(0, 12))
    chosen = draw(st.lists(st.sampled_from(FEATURES), min_size=count, max_size=count))
    has: set[str] = set()
    for feature in chosen:
        more = {feature} | NEEDS.get(feature, set())
        if not any(len(row & (has | more)) > 1 for row in APART):
            has |= more
    return draw(cases(has))
