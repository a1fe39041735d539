"""Blocks one after another, each finished one kept on disk, so that an interrupted sweep goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import scoville
from scoville.errors import DesignError
from scoville.facts import Facts
from scoville.search.found import Found
from scoville.search.space import Space

BLOCK = 4096  # designs
Work = Callable[[int, int], Found]
Progress = Callable[[str, float], None]
# As `here`: it calls a function with each of some arguments, anywhere, and yields the results in any order.
Spread = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterator[Any]]
T = TypeVar("T")


def silent(_stage: str, _done_frac: float) -> None:
    """Progress that nobody hears of."""


def here(work: Callable[..., T], parts: Iterable[tuple[Any, ...]]) -> Iterator[T]:
    """`work(*part)` of every part, one after another in this process; `Cluster.spread` does the same on many."""
    return (work(*part) for part in parts)


def sweep(
    space: Space,
    work: Work,
    progress: Progress = silent,
    checkpoint: Checkpoint | None = None,
    spread: Spread = here,
) -> Found:
    """All blocks of the space through `work(start, stop)`, added up; those that the checkpoint has are not done again.

    The result depends neither on interruptions nor on where and in which order blocks are done. `progress` hears of
    every block, and the number of points first.
    """
    spans = list(space.spans(BLOCK))
    found = checkpoint.read(len(space.serve)) if checkpoint else Found.none(len(space.serve))
    head = f"{space.points_count:,} points: {space.designs_count:,} designs"
    progress(head, len(found.starts) / len(spans))
    missing = [span for span in spans if span[0] not in found.starts]
    for part in spread(work, missing):
        found += part
        if checkpoint:
            checkpoint.write(found)
        progress(head, len(found.starts) / len(spans))
    return found


class Checkpoint:
    """A file in a folder for each question: space, facts and version make its name."""

    def __init__(self, folder: Path, space: Space, facts: Facts) -> None:
        """Raises DesignError where the folder cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DesignError(f"{folder}: cannot be made ({error.strerror}); give another folder") from None
        self.path = folder / f"sweep-{fingerprint(space, facts)}.json"

    def read(self, serves: int) -> Found:
        """What is done already. Raises DesignError for a file that holds something else."""
        if not self.path.exists():
            return Found.none(serves)
        try:
            return Found.from_json(json.loads(self.path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError):
            raise DesignError(f"{self.path}: is no checkpoint of a sweep; remove it to begin anew") from None

    def write(self, found: Found) -> None:
        """Put the whole of what is done in the place of what was there, or nothing."""
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(found.to_json()), encoding="utf-8")
        os.replace(beside, self.path)

    def remove(self) -> None:
        """The answer is there."""
        self.path.unlink(missing_ok=True)


def fingerprint(space: Space, facts: Facts) -> str:
    """16 hexadecimal digits of all that a sweep's result depends on."""
    digest = hashlib.sha256()

    def add(*things: object) -> None:
        digest.update(repr(things).encode())

    add(scoville.__version__, BLOCK, space.serve, space.terms, space.volume_count, space.start, space.nre)
    add(space.seller, space.supply, space.limits)
    for part in space.parts:
        add(sorted(part.words.items()), part.axes)
    for serve in space.serve:
        trace = Path(serve.trace)
        add(hashlib.sha256(trace.read_bytes()).hexdigest() if trace.is_file() else serve.trace)
    for subject in facts.subjects():
        for fact in facts.of(subject):
            add(fact.key, fact.value, fact.low, fact.high, fact.distribution, fact.driver)
    return digest.hexdigest()[:16]
