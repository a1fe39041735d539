"""The oracle of the simulator's kernel: docs/simulator.md in plain Python, one step at a time, written to be obvious.

This file has the fleet: events, replicas, groups and their steps; `reference_router` chooses lanes, `reference_lane`
schedules a lane's step and `reference_cache` counts its blocks. It shares nothing with the kernel but the step costs,
and is some thousand times slower.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from scoville.serving.costs import SHARE_BITS, WORK, StepCosts
from scoville.serving.reference_cache import Cache, Request
from scoville.serving.reference_lane import Lane, ticks
from scoville.serving.reference_router import Router, random
from scoville.serving.settings import EngineSettings, Fleet
from scoville.serving.workload import Workload


@dataclass(eq=False)
class Schedule:
    """What happened: the requests in the order given, and sums over the fleet in ticks, tokens, blocks and WORK.

    steps, busy        steps of groups and their durations; a step that a failure cut short is in no sum over steps
    end                when the last request was done
    most_sequences, most_blocks       of a lane in a step, running and in use
    sequence_ticks, block_ticks       running sequences and blocks in use, times from the start to the end of a step
    replica_ticks      how long replicas were counted
    """

    requests: list[Request]
    steps: int = 0
    busy: int = 0
    end: int = 0
    most_sequences: int = 0
    most_blocks: int = 0
    recomputed_tokens: int = 0
    moved_blocks: int = 0
    sequence_ticks: int = 0
    block_ticks: int = 0
    replica_ticks: int = 0
    work: list[float] = field(default_factory=lambda: [0.0] * len(WORK))
    happened: Counter[str] = field(default_factory=Counter)  # how often what

    @property
    def gaps(self) -> list[int]:
        """All gaps between tokens, of all requests."""
        return [gap for request in self.requests for gap in request.gaps]


@dataclass(eq=False)
class Step:
    """A step in work; `cost` is its duration in one stage."""

    start: int
    cost: int
    end: int


@dataclass(eq=False)
class Group:
    """Lanes that step together; when its previous step started, and when it ended."""

    lanes: list[Lane]
    step: Step | None = None
    started: int = -1
    ended: int = -1


@dataclass(eq=False)
class Replica:
    """`state` is up, draining, off, starting (until `ready`) or down (until `ready`); counted since `since`."""

    groups: list[Group]
    stage_free: list[int]
    state: str = "up"
    ready: int = -1
    since: int = 0

    @property
    def lanes(self) -> list[Lane]:
        """Its lanes, in order of number."""
        return [lane for group in self.groups for lane in group.lanes]

    @property
    def load(self) -> int:
        """Requests on its lanes."""
        return sum(lane.load for lane in self.lanes)


def replay(
    work: Workload,
    costs: StepCosts,
    settings: EngineSettings,
    fleet: Fleet,
    cache_blocks: int,
    sequence_blocks: int = 0,
) -> Schedule:
    """Replay a workload on a fleet whose data-parallel ranks have `cache_blocks` each."""
    return _Run(work, costs, settings, fleet, cache_blocks, sequence_blocks).replay()


class _Run:
    def __init__(
        self, work: Workload, costs: StepCosts, settings: EngineSettings, fleet: Fleet, blocks: int, state_blocks: int
    ) -> None:
        self.costs, self.settings, self.fleet, self.work = costs, settings, fleet, work
        self.requests = [_request(work, i) for i in range(len(work))]
        self.schedule = Schedule(self.requests)
        self.happened = self.schedule.happened
        self.now = -1
        self.coming: dict[Request, int] = {}  # when requests arrive that have not
        self.next_user = 0
        self.held: list[Request] = []
        self.router = Router(fleet, self.happened)
        self.accepts = [round(p * 2**32) for p in _acceptance(settings)]

        def new_cache() -> Cache:
            return Cache(
                blocks // costs.stages,
                settings.block_tokens,
                work.id_tokens if settings.prefix_cache else 0,
                settings.host_blocks,
                state_blocks,
                self.happened,
            )

        each = costs.ranks * costs.stages
        self.lanes = [
            Lane(number, settings, costs, new_cache, self.happened) for number in range(fleet.replicas * each)
        ]
        self.replicas = []
        for r in range(fleet.replicas):
            own = self.lanes[r :: fleet.replicas]
            groups = [Group(own[m * costs.ranks : (m + 1) * costs.ranks]) for m in range(costs.stages)]
            self.replicas.append(Replica(groups, [0] * costs.stages))
        if fleet.autoscaling:
            for replica in self.replicas[fleet.autoscaling.least :]:
                replica.state, replica.since = "off", -1
        self.groups = sorted(
            ((replica, group) for replica in self.replicas for group in replica.groups),
            key=lambda pair: pair[1].lanes[0].number,
        )

    # -- time ----------------------------------------------------------------------------------------------------------

    def replay(self) -> Schedule:
        """From instant to instant until every request is done or will never come."""
        self.expect_first()
        while any(not r.outcome for r in self.requests):
            self.now = min(t for t in self.instants() if t > self.now)
            self.happen()
        for replica in self.replicas:
            if replica.state != "off":
                self.schedule.replica_ticks += self.schedule.end - replica.since
        self.schedule.recomputed_tokens = sum(lane.recomputed_tokens for lane in self.lanes)
        return self.schedule

    def instants(self) -> Iterable[int]:
        """When something may happen."""
        yield from self.coming.values()
        for failure in self.fleet.failures:
            yield ticks(failure.at_s)
        for replica in self.replicas:
            yield replica.ready
            yield replica.stage_free[0]
            yield from (group.step.end for group in replica.groups if group.step)
        if self.fleet.autoscaling:
            interval = ticks(self.fleet.autoscaling.interval_s)
            yield (self.now // interval + 1) * interval

    def happen(self) -> None:
        """All events of this instant, in their order."""
        for _, group in self.groups:
            if group.step and group.step.end == self.now:
                self.end_step(group, group.step)
        for failure in self.fleet.failures:
            if ticks(failure.at_s) == self.now:
                self.fail(self.replicas[failure.replica], ticks(failure.repaired_s))
        for state in ("down", "starting"):
            for replica in self.replicas:
                if replica.state == state and replica.ready == self.now:
                    replica.state = "up"
                    self.route_held()
        if self.fleet.autoscaling and self.now % ticks(self.fleet.autoscaling.interval_s) == 0:
            self.scale()
        started = True
        while started:  # a request that arrives because of a start comes before the starts after that one
            started = False
            self.arrive()
            for replica, group in self.groups:
                if not started and group.step is None and replica.stage_free[0] <= self.now:
                    started = self.start_step(replica, group)

    # -- arrivals and ends ---------------------------------------------------------------------------------------------

    def expect_first(self) -> None:
        """The arrivals that are known from the beginning."""
        for i, request in enumerate(self.requests):
            if self.fleet.users is not None:
                if i < self.fleet.users:
                    self.expect_next(0)
            elif not self.fleet.turns_follow or self.work.parent[i] < 0:
                self.coming[request] = int(self.work.arrival[i])

    def expect_next(self, at: int) -> None:
        """In a closed loop, the next request of the trace."""
        if self.next_user < len(self.requests):
            self.coming[self.requests[self.next_user]] = at
            self.next_user += 1

    def arrive(self) -> None:
        """Who arrives now, by number; those that the rejection of another one brings, too."""
        while due := [r for r, at in self.coming.items() if at == self.now]:
            request = min(due, key=lambda r: r.number)
            del self.coming[request]
            request.arrival = self.now
            self.route(request)

    def over(self, request: Request, outcome: str) -> None:
        """The end of a request, and what follows it."""
        request.outcome = outcome
        self.schedule.end = self.now
        self.happened[outcome] += 1
        if self.fleet.users is not None:
            self.expect_next(self.now + ticks(self.fleet.think_s))
        elif self.fleet.turns_follow:
            for i, next_turn in enumerate(self.requests):
                if self.work.parent[i] == request.number and outcome == "finished":
                    self.coming[next_turn] = self.now + int(self.work.think[i])
                elif self.work.parent[i] == request.number:
                    self.never_comes(next_turn)
        for replica in self.replicas:
            self.rest(replica)

    def never_comes(self, request: Request) -> None:
        """Nor do those that would have followed it."""
        request.outcome = "never came"
        self.happened["never came"] += 1
        for i, next_turn in enumerate(self.requests):
            if self.work.parent[i] == request.number:
                self.never_comes(next_turn)

    # -- routing -------------------------------------------------------------------------------------------------------

    def route(self, request: Request) -> None:
        """To a lane, or held while none is up. A queue's limit holds for those that come for the first time."""
        up = [lane for lane in self.lanes if self.replicas[lane.number % len(self.replicas)].state == "up"]
        if not up:
            self.held.append(request)
            self.happened["held"] += 1
            return
        lane = self.router.send(request, up)
        limit = self.fleet.queue_limit
        if limit is not None and len(lane.waiting) >= limit and not request.retries:
            self.over(request, "rejected")
        else:
            request.lane = lane.number
            lane.receive(request, self.now)

    def route_held(self) -> None:
        """Those that were held, in order, now that a replica is up."""
        held, self.held = self.held, []
        for request in held:
            self.route(request)

    # -- replicas ------------------------------------------------------------------------------------------------------

    def fail(self, replica: Replica, repaired: int) -> None:
        """Its step is lost, its caches are empty, its requests are routed again."""
        if replica.state not in ("up", "draining"):
            return
        self.happened[f"failed {replica.state}"] += 1
        draining = replica.state == "draining"
        for group in replica.groups:
            if group.step:
                self.happened["step lost"] += 1
            group.step, group.ended = None, -1
        replica.stage_free = [0] * self.costs.stages
        lost = [request for lane in replica.lanes for request in lane.fail()]
        self.forget(replica)
        replica.state, replica.ready = "down", repaired
        if draining:
            self.switch_off(replica)
        for request in lost:
            request.retries += 1
            self.happened["retried"] += 1
            self.route(request)

    def forget(self, replica: Replica) -> None:
        """Its caches, their host tiers and the router's memory of them."""
        for lane in replica.lanes:
            lane.clear()
            self.router.forget(lane)

    def switch_off(self, replica: Replica) -> None:
        """It no longer counts."""
        self.forget(replica)
        self.schedule.replica_ticks += self.now - replica.since
        self.happened["off"] += 1
        replica.state = "off"

    def rest(self, replica: Replica) -> None:
        """A draining replica is off when it has nothing left."""
        if replica.state == "draining" and replica.load == 0:
            self.switch_off(replica)

    def scale(self) -> None:
        """The autoscaler's look at the load."""
        rule = self.fleet.autoscaling
        assert rule is not None
        load = sum(lane.load for lane in self.lanes) + len(self.held)
        wanted = min(max(-(-load // rule.requests_per_replica), rule.least), len(self.replicas))
        working = [r for r in self.replicas if r.state in ("up", "starting", "down")]
        up = [r for r in self.replicas if r.state == "up"]
        draining = [r for r in self.replicas if r.state == "draining"]
        off = [r for r in self.replicas if r.state == "off"]
        for replica in (draining + off)[: max(0, wanted - len(working))]:
            if replica.state == "draining":
                self.happened["up again"] += 1
                replica.state = "up"
            else:
                self.happened["started"] += 1
                replica.state, replica.since = "starting", self.now
                replica.ready = self.now + ticks(rule.startup_s)
        if wanted < len(working) and len(up) > rule.least:
            self.happened["drained"] += 1
            up[-1].state = "draining"
            self.rest(up[-1])
        self.route_held()

    # -- steps ---------------------------------------------------------------------------------------------------------

    def start_step(self, replica: Replica, group: Group) -> bool:
        """Schedule its lanes and start. False if there was nothing to do."""
        for lane in group.lanes:
            lane.cache.moved = 0
        seen_until = self.now
        if self.settings.asynchronous and group.ended == self.now and any(lane.running for lane in group.lanes):
            seen_until = group.started
        gone = [request for lane in group.lanes for request in lane.schedule(self.now, seen_until)]
        if any(r.came > seen_until for lane in group.lanes for r in lane.waiting):
            self.happened["not seen yet"] += 1
        for request in gone:
            self.over(request, "abandoned")
        if not any(lane.served for lane in group.lanes):
            return bool(gone)
        cost = self.duration(group)
        at = self.now
        for stage in range(self.costs.stages):
            self.happened["waited for a stage"] += at < replica.stage_free[stage]
            at = max(at, replica.stage_free[stage])
            at = replica.stage_free[stage] = at + cost
        group.step, group.started = Step(self.now, cost, at), self.now
        return True

    def duration(self, group: Group) -> int:
        """Ticks of a group's step in a stage."""
        c = self.costs
        parts = [lane.work() for lane in group.lanes]
        everyones = sum(tokens for tokens, _, _ in parts)
        lasts = max(
            c.host,
            int(c.shared_cap[everyones]) + max(c.capped(*part) for part in parts),
            int(c.shared[everyones]) + max(c.own(*part) for part in parts),
        )
        lasts += max(lane.cache.moved for lane in group.lanes) * c.block
        drafted = [lane.draft_work() for lane in group.lanes]
        decoding = sum(count for count, _ in drafted)
        if decoding:
            a_pass = int(c.shared[decoding]) + max(c.own(count, count, v) for count, v in drafted)
            lasts += c.drafts * c.draft_share * a_pass >> SHARE_BITS
        return lasts

    def accepted(self, request: Request) -> int:
        """Drafts accepted before the first that is not."""
        for i, threshold in enumerate(self.accepts):
            if random(self.fleet.seed, request.number, (request.got << 8) + i + 1) >= threshold:
                return i
        return len(self.accepts)

    def end_step(self, group: Group, step: Step) -> None:
        """Account for a step, then let its tokens come."""
        s, c = self.schedule, self.costs
        s.steps += 1
        s.busy += step.cost
        s.end = self.now
        everyones = sum(sum(lane.served.values()) for lane in group.lanes)
        work = [float(x) for x in c.work_shared[everyones]]
        done: list[Request] = []
        for lane in group.lanes:
            used = lane.cache.used()
            s.most_sequences = max(s.most_sequences, len(lane.running))
            s.most_blocks = max(s.most_blocks, used)
            s.sequence_ticks += len(lane.running) * (step.end - step.start)
            s.block_ticks += used * (step.end - step.start)
            s.moved_blocks += lane.cache.moved
            if lane.served:
                tokens, sampled, v = lane.work()
                for k in range(len(WORK)):
                    work[k] += float(c.work_base[tokens][k]) + float(c.work_head[k]) * sampled
                    work[k] += sum(float(per[k]) * x for per, x in zip(c.work_v, v, strict=True))
            for request, tokens in lane.served.items():
                request.share += step.cost * tokens / everyones
            done += lane.finish_step(self.now, self.accepted)
            lane.served = {}
        s.work = [a + b for a, b in zip(s.work, work, strict=True)]
        group.step, group.ended = None, self.now
        for request in done:
            self.over(request, "finished")


def _request(work: Workload, i: int) -> Request:
    return Request(
        number=i,
        prompt=int(work.prompt[i]),
        output=int(work.output[i]),
        klass=int(work.klass[i]),
        client=int(work.client[i]),
        session=int(work.session[i]),
        ids=tuple(int(x) for x in work.ids[work.offsets[i] : work.offsets[i + 1]]),
        computed=int(work.computed[i]),
        got=int(work.got[i]),
        token_at=int(work.token_at[i]),
    )


def _acceptance(settings: EngineSettings) -> tuple[float, ...]:
    return settings.speculation.acceptance_frac if settings.speculation else ()
