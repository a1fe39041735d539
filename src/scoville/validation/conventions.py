"""What tables of published benchmarks leave unsaid, from `conventions.toml`: requests, lengths, launch settings."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_PER_USER = 10  # requests of a closed loop for each in flight
_OFFLINE_REQUESTS = 1500  # of a run in which all come at once, where nobody says how many
_WHERE = ("source", "url_or_repo_path", "note")


@dataclass(frozen=True, slots=True)
class Launch:
    """How an engine was started for weights of some formats, on one accelerator ("" for any).

    late_tokens   tokens of an answer before the first one that its client sees
    """

    engine: str
    formats: tuple[str, ...]
    accelerator: str = ""
    kv: str = ""
    token_budget: int | None = None
    late_tokens: int = 0
    source: str = ""


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

    def launch(self, engine: str, accelerator: str, weights: str) -> Launch:
        """The first launch that fits, or one that says nothing."""
        for one in self.launches:
            if one.engine == engine and weights in one.formats and one.accelerator in ("", accelerator):
                return one
        return Launch(engine, (weights,))


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
                launches=tuple(Launch(**{**each, "formats": tuple(each["formats"])}) for each in launches),
            )
        )
    return tuple(found)


def convention(words: Mapping[str, str]) -> Convention:
    """The convention of a row, or the plain one: 10 requests for each in flight, lengths as they stand."""
    text = "\n".join(words.get(column, "") for column in _WHERE)
    return next((c for c in conventions() if re.search(c.where, text)), Convention())
