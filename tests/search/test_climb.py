"""The cheapest near a few designs: neighbours differ in one choice, and the walk ends where none is cheaper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scoville.search.climb import cheapest, costs, neighbours
from scoville.search.space import Space
from scoville.search.space_file import read_space
from scoville.silicon.design import Design

STUDY = Path(__file__).parents[2] / "studies" / "designs" / "llama-70b-chat.toml"


@pytest.fixture(scope="module")
def space() -> Space:
    return read_space(STUDY)


def bowl(design: Design) -> NDArray[np.float64]:
    """Least at 80 slices, 6 stacks, 1 MiB a slice and the process n3, without any other minimum."""
    far = (np.asarray(design.slices_count) / 80 - 1) ** 2 + (np.asarray(design.stacks_count) / 6 - 1) ** 2
    far = far + (np.log2(np.asarray(design.sram_per_slice_bytes)) - 20) ** 2 + (design.process != "n3")
    return np.asarray(far, float)


def test_neighbours_differ_in_one_number_or_in_words(space: Space) -> None:
    for number in (0, 1234, space.designs_count - 1):
        here = space.settings(number)
        for other in neighbours(space, number):
            there = space.settings(other)
            changed = {k for k in here if here[k] != there[k]} - {"compute.array_columns"}
            words = {k for k in changed if isinstance(here[k], str)}
            assert len(changed) == 1 or words == changed, f"a neighbour differs in {changed}"


def test_the_walk_finds_the_least_of_all(space: Space) -> None:
    every = costs(space, bowl, range(space.designs_count))
    number, found = cheapest(space, bowl, [0])
    assert found == min(every.values()), "the walk stopped above the minimum"
    assert every[number] == found
    settings = space.settings(number)
    assert (settings["compute.slices"], settings["memory.stacks"], settings["compute.process"]) == (80, 6, "n3")


def test_equal_costs_leave_the_first(space: Space) -> None:
    assert cheapest(space, lambda d: np.zeros(np.shape(d.slices_count)), [17, 5, 9])[0] < 6
