"""A search on a real Ray cluster of two nodes on this machine: the local answer, whoever is lost on the way.

Needs the cluster extra; without it these tests are skipped, but where CI is set they must run.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scoville.errors import DesignError
from scoville.facts import load
from scoville.search import sweep as sweeping
from scoville.search.answer import Answer
from scoville.search.cluster import Cluster
from scoville.search.run import design
from scoville.search.space_file import read_space

MISSING = importlib.util.find_spec("ray") is None
needs_ray = pytest.mark.skipif(
    MISSING and not os.environ.get("CI"), reason="Ray is not installed (pip install 'scoville[cluster]')"
)
BLOCK = 256  # designs, so that there are blocks enough to lose some
STUDY = Path(__file__).parents[2] / "studies" / "designs" / "llama-70b-chat.toml"
SMALLER = {
    "slices = { from = 32, to = 128, step = 16 }": "slices = [48, 64]",
    "tensor = [1, 2, 4, 8]": "tensor = [1, 2]",
    "batch = { from = 1, to = 1000, factor = 1.25 }": "batch = [16, 48, 64]",
    'sram_per_slice = { from = "256 KiB", to = "4 MiB", factor = 2 }': 'sram_per_slice = ["512 KiB", "1 MiB"]',
    "finalists = 3": "finalists = 1",
    "samples = 500": "samples = 100",
    'bought = ["h100-sxm", "h200-sxm", "b200-sxm", "gb300-nvl72", "mi355x", "tpu-v7"]': 'bought = ["h100-sxm"]',
}


def space_file(folder: Path) -> Path:
    """The shipped study with fewer choices."""
    text = STUDY.read_text(encoding="utf-8")
    for long, short in SMALLER.items():
        assert long in text, f"the shipped space has no longer: {long}"
        text = text.replace(long, short)
    file = folder / "small.toml"
    file.write_text(text, encoding="utf-8")
    return file


class Node:
    """`ray start --block` with its children, in a process group of its own."""

    def __init__(self, log: Path, *arguments: str) -> None:
        ray = Path(sys.executable).with_name("ray")
        command = [str(ray), "start", "--block", "--num-cpus=1", "--object-store-memory=100000000", *arguments]
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def kill(self) -> None:
        """Everything of the node at once, as when its machine loses power."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def until(done: Callable[[], bool], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.2)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster of one node."""
    folder, port = tmp_path_factory.mktemp("head"), free_port()
    node = Node(folder / "log", "--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false")
    try:
        until(lambda: listens(port), "a Ray head")
        yield f"127.0.0.1:{port}"
    finally:
        node.kill()


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "BLOCK", BLOCK)
        yield


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """What this process alone finds."""
    return design(read_space(space_file(tmp_path_factory.mktemp("local"))), load())


@needs_ray
def test_a_node_is_killed_in_mid_run_and_the_answer_is_the_local_one(head: str, local: Answer, tmp_path: Path) -> None:
    import ray

    second = Node(tmp_path / "log", f"--address={head}", "--node-ip-address=127.0.0.1")
    seen: list[int] = []
    try:
        with Cluster(head) as cluster:
            until(lambda: ray.cluster_resources().get("CPU") == 2, "a cluster of two nodes")

            def spread(work: Callable[..., Any], parts: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
                for result in cluster.spread(work, parts):
                    seen.append(len(seen))
                    if len(seen) == 2:
                        second.kill()
                    yield result

            answer = design(read_space(space_file(tmp_path)), load(), spread=spread)
    finally:
        second.kill()
    assert len(seen) > 4, "the node was killed when nearly all was done"
    assert repr(answer) == repr(local), "the answer depends on where it was computed, or a lost block was not redone"


DRIVER = """
    import os, sys
    from pathlib import Path
    from scoville.facts import load
    from scoville.search import sweep
    from scoville.search.cluster import Cluster
    from scoville.search.run import design
    from scoville.search.space_file import read_space

    file, folder, address, block = sys.argv[1:]
    sweep.BLOCK = int(block)
    heard = []

    def die(stage, done):
        heard.append(done)
        if len(heard) == 5:  # the first call comes before any block
            os._exit(9)

    with Cluster(address) as cluster:
        design(read_space(Path(file)), load(), die, checkpoint=Path(folder), spread=cluster.spread)
"""


@needs_ray
def test_the_driver_dies_and_the_next_one_goes_on_from_its_blocks(head: str, local: Answer, tmp_path: Path) -> None:
    file, kept = space_file(tmp_path), tmp_path / "kept"
    code = textwrap.dedent(DRIVER)
    first = subprocess.run([sys.executable, "-c", code, file, kept, head, str(BLOCK)], check=False, timeout=300)
    assert first.returncode == 9, "the first driver was to die in the middle"
    space, facts, heard = read_space(file), load(), list[float]()
    with Cluster(head) as cluster:
        answer = design(space, facts, lambda stage, done: heard.append(done), checkpoint=kept, spread=cluster.spread)
    assert heard[0] > 0, "nothing that the first driver finished was kept"
    assert repr(answer) == repr(local), "a resumed search ends in another answer"


@pytest.mark.skipif(MISSING, reason="Ray is not installed (pip install 'scoville[cluster]')")
def test_no_cluster_at_the_address_is_one_sentence() -> None:
    with pytest.raises(DesignError, match=r"--cluster 127\.0\.0\.1:\d+: no Ray cluster answers there .*ray start"):
        Cluster(f"127.0.0.1:{free_port()}")
    with pytest.raises(DesignError, match="expected HOST:PORT"):
        Cluster("auto")


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DesignError, match="pip install 'scoville"):
        Cluster("127.0.0.1:6379")
