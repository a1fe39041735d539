"""The parts of a search on the machines of a Ray cluster instead of this one.

A part is a function of its arguments alone, so it can be done anywhere and again: when a node is lost, Ray gives its
unfinished parts to others, and what comes back is the same. Scoville must be installed on every node.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from scoville.errors import DesignError

T = TypeVar("T")
_ANSWERS_S = 10.0  # Ray itself waits for minutes
_AHEAD = 3  # parts handed out per core, so that none waits for the next


class Cluster(AbstractContextManager["Cluster"]):
    """A Ray cluster that is joined as `with Cluster("10.0.0.1:6379") as cluster:`."""

    def __init__(self, address: str) -> None:
        """Raises DesignError where Ray is not installed or nothing answers at the address."""
        try:
            import ray
        except ImportError:
            raise DesignError(
                "--cluster needs Ray, which is not installed; pip install 'scoville[cluster]' on every node"
            ) from None
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise DesignError(f"--cluster {address}: expected HOST:PORT, such as 10.0.0.1:6379")
        remedy = "start one with `ray start --head` and give the address that it prints"
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS_S).close()
        except OSError as error:
            why = error.strerror or str(error)
            raise DesignError(f"--cluster {address}: no Ray cluster answers there ({why}); {remedy}") from None
        self._ray = ray
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            first = str(error).strip().partition("\n")[0]
            raise DesignError(f"--cluster {address}: cannot be joined ({first}); {remedy}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    def spread(self, work: Callable[..., T], parts: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """What `work(*part)` gives for every part, in the order in which they finish; lost parts are done again.

        An exception of `work` is raised here. Raises DesignError when the cluster itself is gone.
        """
        ray = self._ray
        shared = ray.put(work)
        task = ray.remote(num_cpus=1, max_retries=-1)(_do)
        waiting = iter(parts)
        running: list[Any] = []
        try:
            while True:
                room = _AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1) - len(running)
                running += [task.remote(shared, part) for _, part in zip(range(room), waiting, strict=False)]
                if not running:
                    return
                done, running = ray.wait(running, num_returns=1)
                yield ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            raise DesignError(
                f"the cluster was lost ({first}); run the same command again, finished blocks are kept"
            ) from None


def _do(work: Callable[..., T], part: tuple[Any, ...]) -> T:
    return work(*part)
