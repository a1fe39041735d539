"""What tables of published benchmarks leave unsaid, from `conventions.toml`: requests, lengths, launch settings."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

_PER_USER = 10  # requests of a closed loop for each in flight
_OFFLINE_REQUESTS = 1500  # of a run in which all come at once, where nobody says how many
_WHERE = ("source", "url_or_repo_path", "note")


class Run(NamedTuple):
    """What tells how an engine was started: `lengths` are those of input and output, in tokens."""

    engine: str
    accelerator: str
    model: str
    weights: str
    lengths: tuple[int, int]
    tensor: int


@dataclass(frozen=True, slots=True)
class Launch:
    """How an engine was started for weights of some formats: on one accelerator, for one family of models, one pair of
    lengths (input, output), below a tensor-parallel degree; what is left out is any.

    late_tokens   times per token by which a client sees the first token late: tokens that are not shown, or steps that
                  a request waits for a fuller batch
    """

    engine: str
    formats: tuple[str, ...]
    accelerator: str = ""
    model: str = ""
    kv: str = ""
    token_budget: int | None = None
    lengths: tuple[int, ...] = ()
    tensor_below: int = 1 << 16
    late_tokens: int = 0
    source: str = ""

    def fits(self, run: Run) -> bool:
        """Whether a run was started so."""
        return (
            (self.engine, self.accelerator or run.accelerator) == (run.engine, run.accelerator)
            and run.weights in self.formats
            and run.model.startswith(self.model)
            and self.lengths in ((), run.lengths)
            and run.tensor < self.tensor_below
        )


@dataclass(frozen=True, slots=True)
class Convention:
    """How the runs of one benchmark were made.

    shortest_frac   lengths are drawn evenly from so much of the nominal ones up to them
    attention_dp    runs of mixture-of-experts models labelled TP use expert and attention data parallelism
    requests        (input tokens, output tokens) -> requests of a run in which all come at once
    """

    name: str = ""
    where: str = ""
    shortest_frac: float = 1.0
    requests_per_user: int = _PER_USER
    attention_dp: bool = False
    requests: Mapping[tuple[int, int], int] | None = None
    launches: tuple[Launch, ...] = ()
    source: str = ""

    def requests_count(self, input_tokens: int, output_tokens: int, users: int | None) -> int:
        """Requests of a run; `users` None: all come at once."""
        if users is not None:
            return self.requests_per_user * users
        return (self.requests or {}).get((input_tokens, output_tokens), _OFFLINE_REQUESTS)

    def launch(self, run: Run) -> Launch:
        """The first launch that fits, or one that says nothing."""
        return next((one for one in self.launches if one.fits(run)), Launch(run.engine, (run.weights,)))


@cache
def conventions() -> tuple[Convention, ...]:
    """The bundled conventions, in the order of their file."""
    text = (resources.files("scoville.validation") / "conventions.toml").read_text(encoding="utf-8")
    found = []
    for entry in tomllib.loads(text)["convention"]:
        table, launches = entry.pop("requests", None), entry.pop("launch", [])
        found.append(
            Convention(
                **entry,
                requests=None if table is None else {(given, made): n for given, made, n in table},
                launches=tuple(_launch(each) for each in launches),
            )
        )
    return tuple(found)


def _launch(entry: dict[str, Any]) -> Launch:
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    return Launch(**plain)


def convention(words: Mapping[str, str]) -> Convention:
    """The convention of a row, or the plain one: 10 requests for each in flight, lengths as they stand."""
    text = "\n".join(words.get(column, "") for column in _WHERE)
    return next((c for c in conventions() if re.search(c.where, text)), Convention())
