"""The oracle of the simulator's kernel: docs/simulator.md in plain Python, one step at a time, written to be obvious.

It shares nothing with the kernel but the step costs, and is some thousand times slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scoville.serving.costs import StepCosts
from scoville.serving.simulate import EngineSettings
from scoville.transformer.step import Window


@dataclass(eq=False)
class Request:
    """One request; instants in ticks, -1 until they come. `blocks` are those it holds now; `in_prefill` from each
    admission to the next token.
    """

    arrival: int
    prompt: int
    output: int
    got: int = 0
    computed: int = 0
    blocks: int = 0
    in_prefill: bool = False
    scheduled: int = -1
    preemptions: int = 0
    tokens_at: list[int] = field(default_factory=list)

    @property
    def known(self) -> int:
        """Prompt tokens and the answer tokens it has got."""
        return self.prompt + self.got

    @property
    def gaps(self) -> list[int]:
        """Ticks between consecutive tokens, preemptions included."""
        return [later - earlier for earlier, later in zip(self.tokens_at, self.tokens_at[1:], strict=False)]


@dataclass(eq=False)
class Schedule:
    """What happened: the requests in the order given, and the replica's sums in ticks, tokens and joules.

    sequence_ticks, block_ticks   running sequences and cache blocks in use, times how long; energy_j is without idling
    """

    requests: list[Request]
    steps: int = 0
    busy: int = 0
    end: int = 0
    recomputed_tokens: int = 0
    most_sequences: int = 0
    most_blocks: int = 0
    sequence_ticks: int = 0
    block_ticks: int = 0
    energy_j: float = 0.0

    @property
    def gaps(self) -> list[int]:
        """All gaps between tokens, of all requests."""
        return [gap for request in self.requests for gap in request.gaps]


def replay(
    requests: Sequence[tuple[int, int, int]], costs: StepCosts, settings: EngineSettings, cache_blocks: int
) -> Schedule:
    """Replay (arrival in ticks, prompt tokens, answer tokens), in order of arrival, on one replica."""
    engine = _Engine([Request(*r) for r in requests], costs, settings, cache_blocks)
    while engine.waiting or engine.running or engine.coming:
        engine.step()
    return engine.schedule


class _Engine:
    def __init__(self, requests: list[Request], costs: StepCosts, settings: EngineSettings, cache_blocks: int) -> None:
        self.costs = costs
        self.settings = settings
        self.cache_blocks = cache_blocks
        self.watermark = int(settings.watermark_frac * cache_blocks)
        self.schedule = Schedule(requests)
        self.now = 0
        self.coming = list(requests)
        self.waiting: list[Request] = []
        self.running: list[Request] = []  # in order of admission
        self.served: dict[Request, int] = {}  # tokens of this step
        self.budget = 0
        self.preempted = False

    def step(self) -> None:
        """One step, or the wait for the next arrival."""
        if not self.waiting and not self.running:
            self.now = max(self.now, self.coming[0].arrival)
        while self.coming and self.coming[0].arrival <= self.now:
            self.waiting.append(self.coming.pop(0))
        self.served, self.budget, self.preempted = {}, self.settings.token_budget, False
        self.serve(prompts_only=self.settings.policy == "prefill_first" and self.serves_prompts_only())
        self.admit()
        self.execute()

    # -- the cache ---------------------------------------------------------------------------------------------------

    def free_blocks(self) -> int:
        """Counted each time."""
        return self.cache_blocks - sum(r.blocks for r in self.running)

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-tokens // self.settings.block_tokens)

    # -- scheduling --------------------------------------------------------------------------------------------------

    def serves_prompts_only(self) -> bool:
        """With `prefill_first`: whether the prompt in work can go on, or else the head of the queue be admitted."""
        for request in self.running:
            if request.in_prefill:
                tokens = min(request.known - request.computed, self.budget)
                lacks = self.blocks_for(request.computed + tokens) - request.blocks
                return lacks <= self.free_blocks()
        return self.admissible()

    def serve(self, *, prompts_only: bool) -> None:
        """Tokens for running requests, in order of admission."""
        for request in list(self.running):
            if self.budget == 0:
                break
            if request not in self.running or (prompts_only and not request.in_prefill):
                continue
            tokens = min(request.known - request.computed, self.budget)
            if not self.grow(request, request.computed + tokens):
                break
            self.served[request] = tokens
            self.budget -= tokens

    def grow(self, request: Request, tokens: int) -> bool:
        """Blocks for so many tokens, at the cost of those admitted last; False if the request itself had to go."""
        if self.settings.reservation == "full":
            return True
        need = self.blocks_for(tokens)
        while need - request.blocks > self.free_blocks():
            last = self.running[-1]
            self.preempt(last)
            if last is request:
                return False
        request.blocks = max(request.blocks, need)
        return True

    def preempt(self, request: Request) -> None:
        """Back to the head of the queue, with nothing computed."""
        self.running.remove(request)
        self.waiting.insert(0, request)
        self.schedule.recomputed_tokens += request.computed
        request.computed = 0
        request.blocks = 0
        request.preemptions += 1
        self.preempted = True

    def first_blocks(self, request: Request) -> int:
        """Blocks that a request needs to be admitted."""
        if self.settings.reservation == "full":
            return self.blocks_for(request.prompt + request.output)
        return self.blocks_for(min(request.known, self.budget))

    def admissible(self) -> bool:
        """Whether the head of the queue can join."""
        if not self.waiting or len(self.running) == self.settings.max_sequences or self.budget == 0:
            return False
        spare = self.watermark if self.running else 0
        return self.free_blocks() - self.first_blocks(self.waiting[0]) >= spare

    def admit(self) -> None:
        """Requests from the head of the queue, until one does not fit."""
        while not self.preempted and self.admissible():
            request = self.waiting.pop(0)
            request.blocks = self.first_blocks(request)
            request.in_prefill = True
            self.running.append(request)
            self.served[request] = min(request.known, self.budget)
            self.budget -= self.served[request]

    # -- execution ---------------------------------------------------------------------------------------------------

    def execute(self) -> None:
        """Time passes, tokens come, requests finish."""
        start = self.now
        for request in self.served:
            if request.scheduled < 0:
                request.scheduled = start
        sampled = sum(r.computed + tokens == r.known for r, tokens in self.served.items())
        tokens_of_step = sum(self.served.values())
        v = self.work()
        duration = self.costs.ticks(tokens_of_step, sampled, v)
        self.now += duration
        s = self.schedule
        s.steps += 1
        s.busy += duration
        s.end = self.now
        s.most_sequences = max(s.most_sequences, len(self.running))
        used = self.cache_blocks - self.free_blocks()
        s.most_blocks = max(s.most_blocks, used)
        s.sequence_ticks += duration * len(self.running)
        s.block_ticks += duration * used
        s.energy_j += float(self.costs.energy_base_j[tokens_of_step]) + self.costs.energy_head_j * sampled
        s.energy_j += sum(float(e) * x for e, x in zip(self.costs.energy_j, v, strict=True))
        for request, tokens in self.served.items():
            yields = request.computed + tokens == request.known
            request.computed += tokens
            if yields:
                request.got += 1
                request.in_prefill = False
                request.tokens_at.append(self.now)
        for request in list(self.running):
            if request.got == request.output:
                self.running.remove(request)
                request.blocks = 0

    def work(self) -> list[int]:
        """v of this step."""
        decodes = [r for r in self.served if not r.in_prefill]
        prompts = [(r.computed, n) for r, n in self.served.items() if r.in_prefill]
        v = [1, len(decodes), sum(n for _, n in prompts), len(self.served)]
        for w in self.costs.windows:
            v.append(sum(_within(r.computed + 1, w) for r in decodes))
            v.append(sum(c + n if w is None else min(c + n, w + n - 1) for c, n in prompts))
            v.append(sum(_within(c + i, w) for c, n in prompts for i in range(1, n + 1)))
        return v


def _within(tokens: int, window: Window) -> int:
    return tokens if window is None else min(tokens, window)
