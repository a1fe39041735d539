"""The oracle's lane: one step of docs/simulator.md, "A step of a lane", rule by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from scoville.serving.costs import TICKS_PER_S, StepCosts
from scoville.serving.reference_cache import Cache, Request
from scoville.serving.settings import EngineSettings
from scoville.transformer.step import Window


class Lane:
    """One scheduler: its queues in one list, its running requests by class and then in order of admission."""

    def __init__(
        self,
        number: int,
        settings: EngineSettings,
        costs: StepCosts,
        new_cache: Callable[[], Cache],
        happened: Counter[str],
    ) -> None:
        self.number = number
        self.settings = settings
        self.windows = costs.windows
        self.seats = max(1, settings.max_sequences // costs.stages)
        self.decode_tokens = 1 + costs.drafts
        self.new_cache = new_cache
        self.cache = new_cache()
        self.watermark = int(settings.watermark_frac * self.cache.blocks)
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self.counters: dict[int, int] = {}  # service of each client
        self.served: dict[Request, int] = {}  # tokens of this step
        self.budget = 0
        self.seen_until = 0
        self.preempted = False
        self.recomputed_tokens = 0
        self.happened = happened

    @property
    def load(self) -> int:
        """Requests it was given that are not done."""
        return len(self.waiting) + len(self.running)

    # -- requests come and go ------------------------------------------------------------------------------------------

    def receive(self, request: Request, now: int) -> None:
        """A request comes to the end of its queue."""
        clients = {r.client for r in self.waiting + self.running}
        if clients and request.client not in clients:
            lowest = min(self.counters.get(c, 0) for c in clients)
            self.counters[request.client] = max(self.counters.get(request.client, 0), lowest)
        request.came, request.charged = now, False
        self.waiting.append(request)

    def fail(self) -> list[Request]:
        """All its requests, which lose what is computed, in the order in which they are routed again."""
        for request in self.running:
            self.count_answer(request)
        lost = self.running + sorted(self.waiting, key=self.queue)
        for request in lost:
            self.recomputed_tokens += request.computed
            request.computed = 0
        self.waiting, self.running, self.served = [], [], {}
        return lost

    def clear(self) -> None:
        """An empty cache and an empty host tier."""
        self.cache = self.new_cache()

    def count_answer(self, request: Request) -> None:
        """The tokens that it has got since its admission, as service to its client."""
        service = self.settings.output_weight * (request.got - request.admitted_with)
        self.counters[request.client] = self.counters.get(request.client, 0) + service

    # -- queues --------------------------------------------------------------------------------------------------------

    def queue(self, request: Request) -> tuple[int, int]:
        """Which queue it waits in; queues are in the order of these."""
        return request.klass, request.client if self.settings.fair else 0

    def heads(self) -> list[Request]:
        """The head of each queue, of the requests that are seen."""
        first: dict[tuple[int, int], Request] = {}
        for request in self.waiting:
            if request.came <= self.seen_until:
                first.setdefault(self.queue(request), request)
        return list(first.values())

    def next_up(self) -> Request | None:
        """The next to be admitted."""

        def turn(request: Request) -> tuple[int, int, int]:
            counter = self.counters.get(request.client, 0) if self.settings.fair else 0
            return request.klass, counter, request.client

        return min(self.heads(), key=turn, default=None)

    # -- a step --------------------------------------------------------------------------------------------------------

    def schedule(self, now: int, seen_until: int) -> list[Request]:
        """Who gets how many tokens in a step that starts now: `served`. Returns who was found to have gone."""
        self.served, self.budget, self.preempted = {}, self.settings.token_budget, False
        self.seen_until = seen_until
        gone = self.abandon(now)
        self.displace()
        began_empty = not self.running
        prompts_only = self.settings.policy == "prefill_first" and self.can_serve_prompts()
        self.happened["prompts only"] += prompts_only
        self.serve(prompts_only)
        if not self.preempted and (began_empty or self.settings.policy != "static"):
            self.admit()
        for request in self.served:
            if request.scheduled < 0:
                request.scheduled = now
        return gone

    def abandon(self, now: int) -> list[Request]:
        """Heads of queues that waited too long."""
        gone: list[Request] = []
        if self.settings.patience_s is None:
            return gone
        patience = ticks(self.settings.patience_s)
        while late := [r for r in self.heads() if r.scheduled < 0 and now - r.came >= patience]:
            for request in late:
                self.waiting.remove(request)
            gone += late
        return gone

    def displace(self) -> None:
        """The last running ones make room for a better class."""
        allowed = self.settings.reservation != "full" and self.settings.policy != "static"
        while allowed and self.running:
            request = self.next_up()
            if request is None or request.klass >= self.running[-1].klass:
                return
            if len(self.running) < self.seats and self.finds_blocks(request):
                return
            self.preempt(self.running[-1])
            self.happened["displaced"] += 1

    def can_serve_prompts(self) -> bool:
        """Whether the first prompt in work can go on, or, with none in work, the next request be admitted."""
        for request in self.running:
            if request.in_prefill:
                return self.lacks(request, self.chunk(request)) <= self.cache.free()
        return self.admissible(self.next_up())

    def chunk(self, request: Request) -> int:
        """Tokens that a running request asks for."""
        return min(request.known - request.computed, self.budget) if request.in_prefill else self.decode_tokens

    def lacks(self, request: Request, tokens: int) -> int:
        """Blocks that it needs for so many tokens more than it has computed, and does not have."""
        if self.settings.reservation == "full":
            return 0
        return max(0, self.cache.blocks_for(request.computed + tokens) - self.cache.held(request))

    def serve(self, prompts_only: bool) -> None:
        """Rule 1: tokens for running requests, decodes before prompts."""
        decodes = [] if prompts_only else [r for r in self.running if not r.in_prefill]
        for request in decodes + [r for r in self.running if r.in_prefill]:
            if request not in self.running:
                continue
            tokens = self.chunk(request)
            if tokens == 0:
                return
            while request in self.running and self.lacks(request, tokens) > self.cache.free():
                last = self.running[-1]
                self.budget += self.served.pop(last, 0)
                self.preempt(last)
                self.preempted = True
            if request in self.running:
                self.cache.take(request, self.lacks(request, tokens))
                self.served[request] = tokens
                self.budget -= tokens

    def preempt(self, request: Request) -> None:
        """Out of the running ones, to the head of its queue."""
        kept = self.settings.on_preemption == "swap" and self.cache.swap_out(request)
        self.cache.leave(request)
        self.count_answer(request)
        self.running.remove(request)
        self.waiting.insert(0, request)
        request.preemptions += 1
        self.happened["preempted"] += 1
        if not kept:
            self.recomputed_tokens += request.computed
            request.computed = 0

    # -- admission -----------------------------------------------------------------------------------------------------

    def first_chunk(self, request: Request) -> int:
        """Tokens that it gets if it is admitted."""
        return min(request.known - self.cache.computed_at_admission(request), self.budget)

    def first_tokens(self, request: Request) -> int:
        """Tokens that it needs blocks for at admission."""
        if self.settings.reservation == "full":
            return request.prompt + request.output
        return self.cache.computed_at_admission(request) + self.first_chunk(request)

    def finds_blocks(self, request: Request) -> bool:
        """Rule 2's condition on blocks."""
        spare = self.watermark if self.running else 0
        return self.cache.left_free(request, self.first_tokens(request)) >= spare

    def admissible(self, request: Request | None) -> bool:
        """Whether it can join."""
        if request is None or len(self.running) >= self.seats or self.budget == 0:
            return False
        return self.finds_blocks(request)

    def admit(self) -> None:
        """Rule 2: requests that wait, until one does not fit."""
        while (request := self.next_up()) is not None and self.admissible(request):
            tokens, room = self.first_chunk(request), self.first_tokens(request)
            before = request.computed
            if request is not min(self.heads(), key=lambda r: (r.klass, self.waiting.index(r))):
                self.happened["overtook by fairness"] += 1
            self.waiting.remove(request)
            self.cache.admit(request, room)
            if request.scheduled < 0:
                request.cached = request.computed - before
            if not request.charged:
                service = self.settings.input_weight * request.prompt
                self.counters[request.client] = self.counters.get(request.client, 0) + service
            request.charged, request.in_prefill, request.admitted_with = True, True, request.got
            self.running.append(request)
            self.running.sort(key=lambda r: r.klass)  # behind all of its class: sorting keeps the order of equals
            self.served[request] = tokens
            self.budget -= tokens

    # -- what a step costs, and what it brings -------------------------------------------------------------------------

    def work(self) -> tuple[int, int, list[int]]:
        """Tokens, sampled tokens and v of this step."""
        decodes = [r for r in self.served if not r.in_prefill]
        prompts = [(r.computed, n) for r, n in self.served.items() if r.in_prefill]
        yields = sum(r.computed + n == r.known for r, n in self.served.items() if r.in_prefill)
        d = len(decodes) * self.decode_tokens
        v = [1, d, sum(n for _, n in prompts), len(self.served)]
        for w in self.windows:
            v.append(sum(_within(r.computed + self.decode_tokens, w) for r in decodes))
            v.append(sum(c + n if w is None else min(c + n, w + n - 1) for c, n in prompts))
            v.append(sum(_within(c + i, w) for c, n in prompts for i in range(1, n + 1)))
        return sum(self.served.values()), d + yields, v

    def draft_work(self) -> tuple[int, list[int]]:
        """Sequences in decode, and v of a draft's pass over them."""
        count = sum(not r.in_prefill for r in self.served)
        v = [1, count, 0, count]
        for seen in self.work()[2][4::3]:
            v += [seen, 0, 0]
        return count, v

    def finish_step(self, now: int, accepted: Callable[[Request], int]) -> list[Request]:
        """Tokens come. Returns who is done."""
        prompts = [r for r in self.running if r in self.served and r.in_prefill]
        for request, tokens in self.served.items():
            if request.in_prefill:
                request.computed += tokens
                gets = 1 if request.computed == request.known else 0
                request.in_prefill = gets == 0
            else:
                gets = min(1 + accepted(request), request.output - request.got)
                request.computed += gets
            request.got += gets
            request.tokens_at += [now] * gets
        for request in prompts:
            self.cache.register(request)
        done = sorted((r for r in self.running if r.got == r.output), key=lambda r: r.number)
        for request in done:
            self.cache.leave(request)
            self.count_answer(request)
            self.running.remove(request)
        return done


def ticks(seconds: float) -> int:
    """Seconds as ticks."""
    return round(seconds * TICKS_PER_S)


def _within(tokens: int, window: Window) -> int:
    return tokens if window is None else min(tokens, window)
