"""The record of what is asked: one row per request, one numpy array per column.

A token count is of the served model's tokenizer, as the source recorded it. A turn is one request of a session; its
predecessor is the request whose answer it follows (`parent`), after the user's think time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError

INT32_MAX = 2**31 - 1
# 3,000 years. Beyond, the unit of the column is another one, and floats would lose the milliseconds.
LATEST_S = 1e11

_DTYPES: dict[str, type[np.generic]] = {
    "arrival_s": np.float64,
    "input_tokens": np.int32,
    "output_tokens": np.int32,
    "block_hashes": np.int64,
    "block_offsets": np.int64,
    "client_ids": np.int32,
    "session_ids": np.int32,
    "parent": np.int64,
    "think_s": np.float64,
    "priority": np.int8,
    "token_limit": np.int32,
}


@dataclass(frozen=True, eq=False)
class Trace:
    """n requests in order of arrival. Arrays have shape (n,) unless said, are read-only, and cast on construction.

    arrival_s      seconds on the trace's own clock, >= 0, non-decreasing (readers let the first request come at 0)
    input_tokens   prompt, >= 1; output_tokens   answer, >= 1
    block_hashes   flat ids of the prompt's blocks of `block_tokens` tokens each (the last one may be part-filled);
                   equal id means equal block and equal prefix before it; block_offsets, shape (n + 1,), cuts them
    client_ids, session_ids   who asks, and in which conversation
    parent         index of the request whose answer this one follows, -1 if none; think_s   seconds between the two
    priority       class, 0 first; token_limit   largest answer asked for (max_tokens), 0 if none
    notes          what a reader had to assume or leave out, one sentence each; shown with every result

    Raises TrafficError if empty, or if columns contradict each other.
    """

    name: str
    source: str
    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    block_hashes: NDArray[np.int64] | None = None
    block_offsets: NDArray[np.int64] | None = None
    block_tokens: int = 0
    client_ids: NDArray[np.int32] | None = None
    session_ids: NDArray[np.int32] | None = None
    parent: NDArray[np.int64] | None = None
    think_s: NDArray[np.float64] | None = None
    priority: NDArray[np.int8] | None = None
    token_limit: NDArray[np.int32] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.arrival_s) == 0:
            raise TrafficError(f"{self.source or self.name}: the trace is empty; expected at least one request")
        for field, dtype in _DTYPES.items():
            given = getattr(self, field)
            if given is not None:
                object.__setattr__(self, field, _frozen(given, dtype, f"{self.name}: {field}"))
        self._check_shapes()
        self._check_values()

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def duration_s(self) -> float:
        """Seconds from the first arrival to the last; 0 for a single request."""
        return float(self.arrival_s[-1] - self.arrival_s[0])

    @property
    def demand_tokens_per_s(self) -> float:
        """Mean demand, input and output tokens together, over the trace's duration. Raises TrafficError if it is 0."""
        if self.duration_s <= 0:
            raise TrafficError(f"{self.name}: all {len(self)} requests arrive at once, so the trace has no rate")
        total = int(self.input_tokens.sum(dtype=np.int64)) + int(self.output_tokens.sum(dtype=np.int64))
        return total / self.duration_s

    def equals(self, other: Trace) -> bool:
        """Whether all columns agree exactly; name, source and notes may differ."""
        return self.block_tokens == other.block_tokens and all(
            _same(getattr(self, field), getattr(other, field)) for field in _DTYPES
        )

    def columns(self) -> tuple[str, ...]:
        """Names of the columns this trace has."""
        return tuple(f.name for f in fields(self) if f.name in _DTYPES and getattr(self, f.name) is not None)

    def stretched(self, factor: float) -> Trace:
        """The same requests with arrivals `factor` times as far apart; think times stay, since users don't hurry."""
        if not (np.isfinite(factor) and factor > 0):
            raise TrafficError(f"{self.name}: cannot stretch time by {factor}; expected a number above 0")
        first = self.arrival_s[0]
        return replace(self, arrival_s=first + (self.arrival_s - first) * factor)

    def _check_shapes(self) -> None:
        n = len(self.arrival_s)
        for field in _DTYPES:
            a = getattr(self, field)
            if a is None or field == "block_hashes":
                continue
            expected = n + 1 if field == "block_offsets" else n
            if a.shape != (expected,):
                raise TrafficError(f"{self.name}: {field} has shape {a.shape}; expected ({expected},)")
        if (self.block_hashes is None) != (self.block_offsets is None):
            raise TrafficError(f"{self.name}: block_hashes and block_offsets come together or not at all")
        if (self.parent is None) != (self.think_s is None):
            raise TrafficError(f"{self.name}: parent and think_s come together or not at all")

    def _check_values(self) -> None:
        a = self.arrival_s
        self._refuse(~((a >= 0) & (a <= LATEST_S)), "arrival_s", f"seconds from 0 to {LATEST_S:g}")
        self._refuse(np.diff(a, prepend=a[0]) < 0, "arrival_s", "arrivals in non-decreasing order")
        self._refuse(self.input_tokens < 1, "input_tokens", "an integer >= 1")
        self._refuse(self.output_tokens < 1, "output_tokens", "an integer >= 1")
        if self.parent is not None and self.think_s is not None:
            late = (self.parent < -1) | (self.parent >= np.arange(len(self)))
            self._refuse(late, "parent", "the index of an earlier request, or -1")
            self._refuse(~np.isfinite(self.think_s) | (self.think_s < 0), "think_s", "a number of seconds >= 0")
        if self.priority is not None:
            self._refuse(self.priority < 0, "priority", "an integer from 0 to 127")
        if self.token_limit is not None:
            wrong = (self.token_limit != 0) & (self.token_limit < self.output_tokens)
            self._refuse(wrong, "token_limit", "0 for none, or at least output_tokens")
        for field in ("client_ids", "session_ids"):
            ids = getattr(self, field)
            if ids is not None:
                self._refuse(ids < 0, field, "an integer >= 0")
        self._check_blocks()

    def _check_blocks(self) -> None:
        if self.block_hashes is None or self.block_offsets is None:
            if self.block_tokens:
                raise TrafficError(f"{self.name}: block_tokens is {self.block_tokens} but there are no block_hashes")
            return
        if self.block_tokens < 1:
            raise TrafficError(f"{self.name}: block_tokens is {self.block_tokens}; expected an integer >= 1")
        counts = np.diff(self.block_offsets)
        if self.block_offsets[0] != 0 or self.block_offsets[-1] != len(self.block_hashes) or bool((counts < 0).any()):
            raise TrafficError(
                f"{self.name}: block_offsets must rise from 0 to the {len(self.block_hashes)} block_hashes"
            )
        too_many = counts > -(-self.input_tokens.astype(np.int64) // self.block_tokens)
        if bool(too_many.any()):
            i = int(np.argmax(too_many))
            raise TrafficError(
                f"{self.name}: request {i} has {counts[i]} blocks of {self.block_tokens} tokens"
                f" but only {self.input_tokens[i]} input tokens"
            )

    def _refuse(self, wrong: NDArray[np.bool_], field: str, expected: str) -> None:
        if bool(wrong.any()):
            i = int(np.argmax(wrong))
            raise TrafficError(f"{self.name}: request {i}: {field} is {getattr(self, field)[i]}; expected {expected}")


def build(
    *,
    name: str,
    source: str,
    arrival_s: NDArray[np.float64],
    input_tokens: NDArray[np.integer],
    output_tokens: NDArray[np.integer],
    block_lists: Sequence[Sequence[int]] | None = None,
    notes: tuple[str, ...] = (),
    **optional: object,
) -> Trace:
    """A Trace from columns in any order: sorted by arrival (stable), the first request at 0, parents renumbered.

    Optional columns are those of Trace, in the order of the given rows; `parent` holds row numbers of that order;
    `block_lists` holds each row's block ids. Raises TrafficError as Trace does.
    """
    columns: dict[str, object] = {
        "arrival_s": arrival_s,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        **{k: v for k, v in optional.items() if v is not None},
    }
    if len(arrival_s):
        if bool((np.diff(arrival_s) < 0).any()):
            order = np.argsort(arrival_s, kind="stable")
            columns = {k: v[order] if isinstance(v, np.ndarray) else v for k, v in columns.items()}
            block_lists = None if block_lists is None else [block_lists[i] for i in order]
            parent = columns.get("parent")
            if isinstance(parent, np.ndarray):
                place = np.empty(len(order), dtype=np.int64)
                place[order] = np.arange(len(order))
                inside = (parent >= 0) & (parent < len(order))
                columns["parent"] = np.where(inside, place[np.where(inside, parent, 0)], parent)
        arrivals = columns["arrival_s"]
        if isinstance(arrivals, np.ndarray) and arrivals[0] != 0:
            columns["arrival_s"] = arrivals - arrivals[0]
    if block_lists is not None:
        columns["block_hashes"] = np.array([b for blocks in block_lists for b in blocks], dtype=np.int64)
        columns["block_offsets"] = np.concatenate([[0], np.cumsum([len(b) for b in block_lists])]).astype(np.int64)
    return Trace(name=name, source=source, notes=notes, **columns)  # type: ignore[arg-type]


def _frozen(given: object, dtype: type[np.generic], where: str) -> NDArray[np.generic]:
    a = np.asarray(given)
    if np.issubdtype(dtype, np.integer) and a.size:
        if not np.issubdtype(a.dtype, np.integer):
            raise TrafficError(f"{where} has type {a.dtype}; expected integers")
        limits = np.iinfo(dtype)  # type: ignore[type-var]
        if int(a.min()) < limits.min or int(a.max()) > limits.max:
            raise TrafficError(f"{where} reaches {int(a.max())}; expected at most {limits.max}")
    a = np.ascontiguousarray(a, dtype=dtype).view()
    a.flags.writeable = False
    return a


def _same(a: NDArray[np.generic] | None, b: NDArray[np.generic] | None) -> bool:
    return a is b if a is None or b is None else bool(np.array_equal(a, b))
