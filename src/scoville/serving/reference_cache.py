"""The oracle's blocks: docs/simulator.md on a lane's cache, its prefixes and its host tier, counted anew each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(eq=False)
class Request:
    """One request of the oracle. Instants are in ticks, -1 until they come.

    number, prompt, output, klass, client, session, ids   as it is asked
    token_at  when it got the last token in the pool that it comes from
    came      when it came to its lane; `scheduled`: start of the first step that has tokens of it
    charged   whether its prompt counts in its client's service on this lane, `admitted_with` its answer tokens then
    """

    number: int
    prompt: int
    output: int
    klass: int = 0
    client: int = 0
    session: int = -1
    ids: tuple[int, ...] = ()
    computed: int = 0
    got: int = 0
    token_at: int = -1
    arrival: int = -1
    came: int = -1
    lane: int = -1
    scheduled: int = -1
    in_prefill: bool = False
    charged: bool = False
    admitted_with: int = 0
    tokens_at: list[int] = field(default_factory=list)
    outcome: str = ""
    preemptions: int = 0
    retries: int = 0
    cached: int = 0
    share: float = 0.0

    @property
    def known(self) -> int:
        """Prompt tokens and the answer tokens it has got."""
        return self.prompt + self.got

    @property
    def first(self) -> int:
        """When its first token came, in the pool that it comes from if it did there."""
        return self.token_at if self.token_at >= 0 else self.tokens_at[0] if self.tokens_at else -1

    @property
    def finish(self) -> int:
        """When its last token came, if all did."""
        return self.tokens_at[-1] if self.outcome == "finished" else -1

    @property
    def gaps(self) -> list[int]:
        """Ticks between consecutive tokens, preemptions, failures and the way from another pool included."""
        at = [self.token_at, *self.tokens_at] if self.token_at >= 0 else self.tokens_at
        return [later - earlier for earlier, later in pairwise(at)]


class Cache:
    """Blocks of a lane. `own` are those that a running request alone holds; an entry has the requests that refer to it.

    `idle` entries stand in the order in which they became so, ids on the `host` in the order in which they moved there.
    """

    def __init__(
        self,
        blocks: int,
        block_tokens: int,
        id_tokens: int,
        host_blocks: int,
        sequence_blocks: int,
        happened: Counter[str],
    ) -> None:
        self.blocks = blocks
        self.block_tokens = block_tokens
        self.id_tokens = id_tokens  # 0 without a prefix cache
        self.id_blocks = id_tokens // block_tokens
        self.host_blocks = host_blocks
        self.sequence_blocks = sequence_blocks
        self.own: dict[Request, int] = {}
        self.entries: dict[int, set[Request]] = {}
        self.idle: list[int] = []
        self.host: list[int] = []
        self.swapped: dict[Request, int] = {}
        self.moved = 0  # blocks to and from the host, for the step in work
        self.happened = happened

    # -- counting ------------------------------------------------------------------------------------------------------

    def used(self) -> int:
        """Blocks in use by running requests."""
        in_use = [referring for referring in self.entries.values() if referring]
        return sum(self.own.values()) + self.id_blocks * len(in_use)

    def free(self) -> int:
        """All others, those of idle entries too."""
        return self.blocks - self.used()

    def held(self, request: Request) -> int:
        """Blocks that a running request has, its own and those of entries it refers to."""
        return self.own[request] + self.id_blocks * len(self.references(request))

    def references(self, request: Request) -> list[int]:
        """The entries that a request refers to, in the order of its ids."""
        return [i for i in request.ids if request in self.entries.get(i, ())]

    def blocks_for(self, tokens: int) -> int:
        """Blocks of a request that has so many tokens in the cache."""
        return -(-tokens // self.block_tokens) + self.sequence_blocks

    # -- what a request finds at admission -----------------------------------------------------------------------------

    def found(self, request: Request) -> tuple[list[int], list[int]]:
        """The run of its first ids on the chip, and how it goes on on the host; nothing if it has computed tokens."""
        if not self.id_tokens or request.computed:
            return [], []
        ids = list(request.ids[: (request.known - 1) // self.id_tokens])
        chip: list[int] = []
        while ids and ids[0] in self.entries:
            chip.append(ids.pop(0))
        host: list[int] = []
        while ids and ids[0] in self.host:
            host.append(ids.pop(0))
        return chip, host

    def computed_at_admission(self, request: Request) -> int:
        """Its computed tokens if it were admitted now."""
        chip, host = self.found(request)
        return request.computed + self.id_tokens * (len(chip) + len(host))

    def left_free(self, request: Request, tokens: int) -> int:
        """Blocks that would be free if it were admitted with room for so many tokens."""
        chip, _ = self.found(request)
        from_idle = sum(i in self.idle for i in chip)
        anew = self.blocks_for(tokens) - self.id_blocks * len(chip)
        return self.free() - self.id_blocks * from_idle - anew

    def admit(self, request: Request, tokens: int) -> None:
        """Room for so many tokens, and what the cache has of them: they are computed."""
        chip, host = self.found(request)
        request.computed += self.id_tokens * (len(chip) + len(host))
        self.happened["swapped in"] += request in self.swapped
        self.moved += self.swapped.pop(request, 0)
        self.own[request] = 0
        for i in chip:
            if i in self.idle:
                self.idle.remove(i)
            else:
                self.happened["shared"] += 1
            self.entries[i].add(request)
            self.happened["prefix hit"] += 1
        for i in host:
            self.host.remove(i)
        self.take(request, self.blocks_for(tokens) - self.id_blocks * len(chip))
        for i in host:
            self.own[request] -= self.id_blocks
            self.entries[i] = {request}
            self.moved += self.id_blocks
            self.happened["host hit"] += 1

    # -- taking and giving back ----------------------------------------------------------------------------------------

    def take(self, request: Request, blocks: int) -> None:
        """Blocks of its own; idle entries make room where all others are taken."""
        while self.free() - self.id_blocks * len(self.idle) < blocks:
            self.evict(self.idle.pop(0))
        self.own[request] += blocks

    def evict(self, i: int) -> None:
        """To the host tier, if that has room for an entry at all."""
        del self.entries[i]
        self.happened["evicted"] += 1
        if self.host_blocks >= self.id_blocks:
            while (len(self.host) + 1) * self.id_blocks > self.host_blocks:
                self.host.pop(0)
                self.happened["dropped"] += 1
            self.host.append(i)

    def register(self, request: Request) -> None:
        """Every id that its computed tokens cover becomes an entry made of its own blocks, unless it is one already."""
        for position, i in enumerate(request.ids):
            covered = self.id_tokens and (position + 1) * self.id_tokens <= request.computed
            if covered and i not in self.entries:
                self.own[request] -= self.id_blocks
                self.entries[i] = {request}
                if i in self.host:
                    self.host.remove(i)

    def leave(self, request: Request) -> None:
        """All its blocks back; entries that nobody refers to any more become idle."""
        self.register(request)
        for i in reversed(self.references(request)):
            self.entries[i].remove(request)
            if not self.entries[i]:
                self.idle.append(i)
        del self.own[request]

    def swap_out(self, request: Request) -> bool:
        """Its computed tokens to the host, if that has room."""
        blocks = self.blocks_for(request.computed)
        if sum(self.swapped.values()) + blocks > self.host_blocks:
            return False
        self.happened["swapped"] += 1
        self.swapped[request] = blocks
        self.moved += blocks
        return True
