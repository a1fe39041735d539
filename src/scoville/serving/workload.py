"""The requests of a run in the integers that the simulator counts in."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Workload:
    """n requests in order of number; arrays of shape (n,), int64.

    arrival   ticks, non-decreasing (of no meaning for requests that follow others, or in a closed loop)
    prompt, output   tokens, >= 1
    klass     0 first; client, session   numbers from 0 (session -1: none)
    parent    number of the request that this one follows, -1 if none; think   ticks between the two
    computed, got, token_at   what comes with the request from another pool: computed prompt tokens, answer tokens, and
              when it got the last one (0, 0 and -1, or all, 1 and the instant)
    ids, offsets, id_tokens   ids of the content, cut by offsets (n + 1,), of so many tokens each; ids are >= 0, each
              below len(ids)
    """

    arrival: Ints
    prompt: Ints
    output: Ints
    klass: Ints
    client: Ints
    session: Ints
    parent: Ints
    think: Ints
    computed: Ints
    got: Ints
    token_at: Ints
    ids: Ints
    offsets: Ints
    id_tokens: int

    def __len__(self) -> int:
        return len(self.arrival)

    def part(self, mine: slice) -> Workload:
        """Some of the requests, which follow no others, by themselves."""
        starts, counts = self.offsets[:-1][mine], np.diff(self.offsets)[mine]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        at = np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])
        columns = {
            f.name: getattr(self, f.name)[mine] for f in fields(self) if f.name not in ("ids", "offsets", "id_tokens")
        }
        return Workload(**columns, ids=self.ids[at], offsets=offsets, id_tokens=self.id_tokens)


def workload(
    arrival: Ints,
    prompt: Ints,
    output: Ints,
    *,
    klass: Ints | None = None,
    client: Ints | None = None,
    session: Ints | None = None,
    parent: Ints | None = None,
    think: Ints | None = None,
    computed: Ints | None = None,
    got: Ints | None = None,
    token_at: Ints | None = None,
    ids: Ints | None = None,
    offsets: Ints | None = None,
    id_tokens: int = 1,
) -> Workload:
    """A workload whose columns that are left out say nothing."""
    n = len(arrival)

    def column(given: Ints | None, value: int) -> Ints:
        return np.broadcast_to(np.int64(value), n) if given is None else np.ascontiguousarray(given, np.int64)

    return Workload(
        arrival=column(arrival, 0),
        prompt=column(prompt, 1),
        output=column(output, 1),
        klass=column(klass, 0),
        client=column(client, 0),
        session=column(session, -1),
        parent=column(parent, -1),
        think=column(think, 0),
        computed=column(computed, 0),
        got=column(got, 0),
        token_at=column(token_at, -1),
        ids=np.zeros(0, np.int64) if ids is None else np.ascontiguousarray(ids, np.int64),
        offsets=np.zeros(n + 1, np.int64) if offsets is None else np.ascontiguousarray(offsets, np.int64),
        id_tokens=id_tokens,
    )
