"""A sweep is the same however it is cut, merged, interrupted and taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.errors import DesignError
from scoville.facts import load
from scoville.search import sweep as module
from scoville.search.found import Cheapest, Found, Kept, by_value, least
from scoville.search.space import Space
from scoville.search.space_file import read_space
from scoville.search.sweep import Checkpoint, fingerprint, sweep

STUDY = Path(__file__).parents[2] / "studies" / "designs" / "llama-70b-chat.toml"


@pytest.fixture(scope="module")
def space() -> Space:
    return read_space(STUDY)


def made_up(start: int, stop: int) -> Found:
    """Points that depend on their numbers alone, with many ties."""
    number = np.arange(start, stop)
    values = np.stack([(number * 7919) % 50, (number * 104729) % 50, (number * 31) % 10, number % 3], axis=1) + 1.0
    cost = np.where(number % 11 == 0, np.inf, values[:, 0] / 3)
    place = np.stack([number, number % 4, number % 5], axis=1)
    return Found(
        fronts=(Kept.of(place, values),),
        cheapest=(Cheapest.of(number, cost),),
        slices=by_value("fourths", (number % 4).astype(float), cost, number),
        broken={"reticle": int((number % 13 == 0).sum())},
        tried_count=stop - start,
        feasible_count=int(np.isfinite(cost).sum()),
        starts=frozenset([start]),
    )


def result(found: Found) -> str:
    return json.dumps({k: v for k, v in found.to_json().items() if k != "starts"})


@given(st.permutations(range(12)), st.integers(1, 12))
def test_parts_add_up_in_any_order_to_the_whole(order: list[int], group: int) -> None:
    whole = made_up(0, 360)
    groups = []
    for i in range(0, 12, group):
        total = Found.none(1)
        for k in order[i : i + group]:
            total += made_up(30 * k, 30 * k + 30)
        groups.append(total)
    merged = sum(groups[::-1], start=Found.none(1))
    assert result(merged) == result(whole), "the order in which blocks were merged shows in the result"


def test_what_is_kept_survives_its_file_digit_by_digit() -> None:
    found = made_up(0, 1000)
    again = Found.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()
    assert (again.fronts[0].values == found.fronts[0].values).all(), "a float lost a digit in the checkpoint"


def test_an_interrupted_sweep_goes_on_and_ends_in_the_same_result(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 3000)
    facts = load()
    done: list[int] = []

    def failing(start: int, stop: int) -> Found:
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(start)
        return made_up(start, stop)

    with pytest.raises(KeyboardInterrupt):
        sweep(space, failing, checkpoint=Checkpoint(tmp_path, space, facts))
    again: list[int] = []

    def counted(start: int, stop: int) -> Found:
        again.append(start)
        return made_up(start, stop)

    resumed = sweep(space, counted, checkpoint=Checkpoint(tmp_path, space, facts))
    assert not set(done) & set(again), "a finished block was computed again"
    assert resumed.to_json() == sweep(space, made_up).to_json(), "a resumed sweep ends in another result"


def test_blocks_may_be_done_anywhere_and_in_any_order(space: Space) -> None:
    def backwards(work: Callable[..., Found], parts: Iterable[tuple[Any, ...]]) -> Iterator[Found]:
        return (work(*part) for part in reversed(list(parts)))

    assert sweep(space, made_up, spread=backwards).to_json() == sweep(space, made_up).to_json()


def test_progress_begins_with_the_number_of_points_and_ends_at_all(space: Space) -> None:
    heard: list[tuple[str, float]] = []
    sweep(space, made_up, lambda stage, done: heard.append((stage, done)))
    assert heard[0] == (f"{space.points_count:,} points: 45,360 designs", 0.0)
    assert [d for _, d in heard] == sorted(d for _, d in heard)
    assert heard[-1][1] == 1.0


def test_another_space_or_other_facts_are_another_checkpoint(space: Space, tmp_path: Path) -> None:
    facts = load()
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[process-n3.wafer_price]\nvalue = "10000 USD/wafer"\nsource = "mine"\nas_of = "2026-09"\nkind = "estimated"\n'
    )
    other = tmp_path / "space.toml"
    other.write_text(STUDY.read_text().replace('tpot = "40 ms"', 'tpot = "20 ms"'))
    prints = {fingerprint(space, facts), fingerprint(space, load([mine])), fingerprint(read_space(other), facts)}
    assert len(prints) == 3, "different questions share a checkpoint"
    assert fingerprint(read_space(STUDY), load()) == fingerprint(space, facts), "equal questions have two checkpoints"


def test_a_file_that_is_no_checkpoint_is_refused(space: Space, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, space, load())
    checkpoint.path.write_text("{}")
    with pytest.raises(DesignError, match="is no checkpoint of a sweep; remove it"):
        checkpoint.read(1)


def test_the_least_cost_at_each_value_is_that_of_the_first_cheapest() -> None:
    values = np.array([1.0, 1.0, 2.0, 2.0, 3.0])
    cost = np.array([5.0, 4.0, 3.0, 3.0, np.inf])
    found = by_value("x", values, cost, np.array([10, 11, 13, 12, 14]))
    assert found == {("x", 1.0): (4.0, 11), ("x", 2.0): (3.0, 12)}, "an infeasible value has a cost, or a tie moved"
    assert least([*found.items(), (("x", "none"), (1.0, 2))])["x", "none"] == (1.0, 2)
