"""A whole search on a small space: what it says is what trying every point by itself says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoville.errors import DesignError, FactError
from scoville.facts import Facts
from scoville.facts import load as load_facts
from scoville.search import sweep as sweep_module
from scoville.search.answer import Answer
from scoville.search.climb import costs
from scoville.search.coarse import BREAKS, Coarse
from scoville.search.deployed import load
from scoville.search.evaluate import evaluate
from scoville.search.findings import off_by_serve
from scoville.search.front import front
from scoville.search.run import design
from scoville.search.sensitivity import VOLUME, WAFER, scaled
from scoville.search.space import Space
from scoville.search.space_file import read_space

SMALL = """
title = "Small"
[[serve]]
model = "llama-3.1-8b"
traffic = "azure-2023-conv"
weights = "fp8"
activations = "fp8"
kv = "fp8"
ttft = "1 s"
tpot = "20 ms"
[design.compute]
process = ["n5", "n3"]
clock = "1.5 GHz"
slices = [16, 32]
arrays_per_slice = [5, 9]
spare_arrays_per_slice = 1
array_rows = [32, 64]
array_columns = "as array_rows"
rates = { fp8 = 1.0, bf16 = 0.25 }
vector_lanes_per_slice = 64
sram_per_slice = ["512 KiB", "1 MiB"]
[design.memory]
kind = "hbm3e"
stacks = [1, 2, 4]
[design.io]
scale_up = "100 GB/s"
scale_up_domain = 8
[design.package]
kind = "cowos-s"
power_cap = "500 W"
[mapping]
tensor = [1, 2]
batch = [1, 4, 16, 48, 96]
[program]
volume = "200000 chips"
start = "2026-10"
[prices]
vintage = "2026-09"
[ownership]
owner = "hyperscaler"
[limits]
hbm_stacks = "300000 stacks"
[compare]
bought = ["h100-sxm"]
reference = ""
[search]
finalists = 1
samples = 100
"""
SECOND = """[[serve]]
name = "slow"
model = "llama-3.1-8b"
traffic = "azure-2023-conv"
weights = "bf16"
activations = "bf16"
kv = "bf16"
ttft = "5 s"
tpot = "200 ms"
[design.compute]"""


def read(folder: Path, text: str = SMALL) -> Space:
    path = folder / "small.toml"
    path.write_text(text)
    return read_space(path)


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load_facts()


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return read(tmp_path_factory.mktemp("space"))


@pytest.fixture(scope="module")
def coarse(space: Space, facts: Facts) -> Coarse:
    return Coarse(space, facts, tuple(load(s, facts, space.seed) for s in space.serve))


@pytest.fixture(scope="module")
def answer(space: Space, facts: Facts) -> Answer:
    return design(space, facts)


def every_point(space: Space, coarse: Coarse) -> list[tuple[tuple[int, int, int], list[float], bool, bool]]:
    """(place, objectives, may be on the front, meets the targets), point by point, one design at a time."""
    found = []
    for number in range(space.designs_count):
        chosen = coarse.candidates(space.block(number, number + 1).design)
        for k, task in enumerate(coarse._tasks[0]):
            p = evaluate(chosen, task)
            for b in range(len(space.serve[0].batches)):
                values = (p.usd_per_token, p.loaded_usd_per_token, p.energy_j_per_token, p.tpot_s)
                soon = p.ttft_percentile_s[0, b] <= task.targets.ttft_s and not chosen.broken[0]
                allowed = bool(p.fits[0, b] and soon and chosen.links.domain_count[0] >= task.parallelism.tensor)
                found.append(((number, k, b), [float(v[0, b]) for v in values], allowed, bool(p.feasible[0, b])))
    return found


def test_the_best_design_and_the_front_are_those_of_trying_every_point(
    space: Space, coarse: Coarse, answer: Answer
) -> None:
    points = every_point(space, coarse)
    assert len(points) == space.points_count == answer.points_count
    least = min(values[1] for _, values, _, meets in points if meets)
    assert answer.best.mix_usd_per_token == pytest.approx(least, rel=1e-9), "the sweep missed the cheapest point"
    assert answer.feasible_count == sum(meets for *_, meets in points)
    assert sum(n for _, n in answer.broken) + answer.feasible_count == space.points_count, "points were lost"
    allowed = [(place, values) for place, values, may, _ in points if may]
    on = front(np.array([values for _, values in allowed]))
    mappings, batches = [str(m) for m in space.serve[0].mappings], space.serve[0].batches
    expected = {(allowed[k][0][0], mappings[allowed[k][0][1]], batches[allowed[k][0][2]]) for k in on}
    found = {(p.number, p.mapping, p.batch_count) for p in answer.fronts}
    assert found == expected, "the front is another than that of all points"


def test_the_cheapest_at_a_speed_is_the_cheapest_of_all_points_that_quick(
    space: Space, coarse: Coarse, answer: Answer
) -> None:
    points = [values for _, values, may, _ in every_point(space, coarse) if may]
    for at in answer.at_speed:
        quick = [v for v in points if 1 / v[3] >= at.tokens_per_s_per_user]
        assert at.cheapest and at.thriftiest
        assert at.cheapest.loaded_usd_per_token == pytest.approx(min(v[1] for v in quick), rel=1e-9)
        assert at.thriftiest.energy_j_per_token == pytest.approx(min(v[2] for v in quick), rel=1e-9)


def test_an_interrupted_search_gives_the_same_answer(
    space: Space, facts: Facts, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "BLOCK", 10)

    def broken_off(work: Callable[..., Any], parts: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        for i, part in enumerate(parts):
            if i == 3:
                raise KeyboardInterrupt
            yield work(*part)

    with pytest.raises(KeyboardInterrupt):
        design(space, facts, checkpoint=tmp_path, spread=broken_off)
    assert list(tmp_path.glob("sweep-*.json")), "nothing was kept of the finished blocks"
    again = design(space, facts, checkpoint=tmp_path)
    assert asdict(again) == asdict(answer), "an interruption, or the size of blocks, shows in the answer"
    assert not list(tmp_path.iterdir()), "the checkpoint is left over"


def test_simulated_designs_and_bought_chips_stand_side_by_side(answer: Answer) -> None:
    (finalist,) = answer.finalists
    (h100,) = answer.bought
    assert finalist.refusal == "" and finalist.mix and h100.mix
    assert finalist.off_frac == pytest.approx(finalist.mix.central / finalist.coarse_usd_per_token - 1)
    assert abs(finalist.off_frac) < 0.5, "the sweep is far from the simulator"
    (served,) = finalist.deployed
    assert served.usd_per_token and served.nre_usd_per_h > 0, "the one-time cost is in no hour"
    parts = sum(p.cost.central for p in served.parts)
    assert parts == pytest.approx(served.usd_per_token.central), "the layers do not add up to the cost of a token"
    assert any(f.startswith(f"{finalist.designed.name} serves at") for f in answer.findings)


def test_supply_bounds_the_volume_and_the_answer_says_so(space: Space, coarse: Coarse, answer: Answer) -> None:
    stacks = next(s.value for s in answer.best.settings if s.key == "memory.stacks")
    assert stacks is not None
    assert answer.best.volume_count == min(200_000, 300_000 / stacks)
    assert answer.supply.allowed_count == pytest.approx(300_000 / stacks)
    assert (answer.supply.by == "HBM stacks") == (stacks > 1.5)
    assert "300,000 HBM stacks are enough for" in answer.supply.words
    plenty = replace(space, supply=replace(space.supply, hbm_stacks_count=float("inf")))
    wide = Coarse(plenty, coarse.facts, tuple(load(s, coarse.facts, space.seed) for s in space.serve))
    best = answer.best.number
    assert costs(plenty, wide.mix, [best])[best] <= costs(space, coarse.mix, [best])[best]


def test_prices_and_volume_move_the_cost_the_right_way(answer: Answer) -> None:
    base = answer.best.mix_usd_per_token
    for shift in answer.shifts:
        assert shift.usd_per_token <= shift.stays_usd_per_token * (1 + 1e-12), "the new optimum is worse than the old"
        cheaper = (shift.factor_frac < 1) != (shift.what == VOLUME)
        if shift.what == VOLUME and shift.factor_frac > 1 and answer.supply.by:
            assert shift.stays_usd_per_token <= base
        else:
            assert (shift.stays_usd_per_token < base) == cheaper, f"{shift.what} x {shift.factor_frac:g}"
        assert (shift.number == answer.best.number) == (shift.changes == ())


def test_each_choice_moves_the_cost_by_its_worst_value_over_its_best(answer: Answer) -> None:
    assert [p.moves_frac for p in answer.parameters] == sorted((p.moves_frac for p in answer.parameters), reverse=True)
    for p in answer.parameters:
        same = [s for s in answer.slices if s.key == p.key]
        assert len(same) > 1
        assert min(s.over_best_frac for s in same) == 0
        assert p.moves_frac == pytest.approx(max(s.over_best_frac for s in same))
        assert p.best == min(same, key=lambda s: s.usd_per_token).words


def test_a_step_of_each_block_has_its_area_and_its_worth(answer: Answer) -> None:
    assert {m.block for m in answer.marginals} >= {"SRAM", "matrix units", "memory stacks", "scale-up links"}
    for m in answer.marginals:
        if m.more_mm2 is None:
            assert "more breaks a limit" in m.forbidden
            continue
        assert m.more_mm2 > 0 and m.more_usd_per_token is not None
        assert m.usd_per_token_per_mm2 == pytest.approx(m.more_usd_per_token / m.more_mm2)
    known = [m.relative_frac for m in answer.marginals if m.relative_frac is not None]
    assert known == sorted(known), "the block whose mm2 is worth most does not come first"


def test_a_chip_for_two_costs_no_less_than_a_chip_for_each(tmp_path: Path, facts: Facts) -> None:
    two = read(tmp_path, SMALL.replace("[design.compute]", SECOND).replace('bought = ["h100-sxm"]', "bought = []"))
    found = design(two, facts)
    by_pair = {(r.made_for, r.serve): r for r in found.regrets}
    assert len(by_pair) == 3 * 2, "the matrix has a row for the mix and each that is served"
    for r in found.regrets:
        assert r.over_own_frac >= -1e-12, f"a chip made for {r.made_for} beats the one made for {r.serve}"
        assert r.made_for != r.serve or r.over_own_frac == 0
    mix = sum(0.5 * by_pair["the mix", s.name].usd_per_token for s in two.serve)
    assert found.best.mix_usd_per_token == pytest.approx(mix)
    (reuse,) = found.reuse
    apart = sum(0.5 * by_pair[s.name, s.name].usd_per_token for s in two.serve)
    assert reuse.apart_usd_per_token == pytest.approx(apart)
    assert reuse.saved_frac > 0, "one design at half the one-time cost saves nothing over two"
    (first,) = found.finalists
    assert [name for name, _ in off_by_serve(first)] == [s.name for s in two.serve]
    total = sum(
        0.5 * p.loaded_usd_per_token * (1 + off)
        for p, (_, off) in zip(first.designed.points, off_by_serve(first), strict=True)
    )
    assert first.mix is not None
    assert total == pytest.approx(first.mix.central), "what is off by model is not what is off in all"
    assert any(f"of {first.designed.name} {two.serve[0].name} " in f for f in found.findings), "and nobody is told"


def test_a_space_without_a_feasible_design_is_refused_with_what_stops_it(tmp_path: Path, facts: Facts) -> None:
    hasty = read(tmp_path, SMALL.replace('tpot = "20 ms"', 'tpot = "10 us"'))
    with pytest.raises(DesignError, match=r"none of the 96 designs can serve all .* of 960 points .*misses"):
        design(hasty, facts)
    capped = read(tmp_path, SMALL.replace('"500 W"', '"20 W"'))
    with pytest.raises(DesignError, match=f"960 {BREAKS}"):
        design(capped, facts)


def test_an_unknown_chip_or_process_is_refused_before_the_sweep(tmp_path: Path, facts: Facts) -> None:
    def no_sweep(_work: Callable[..., Any], _parts: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        raise AssertionError("the sweep began")

    with pytest.raises(FactError, match="unknown accelerator 'h101'"):
        design(read(tmp_path, SMALL.replace("h100-sxm", "h101")), facts, spread=no_sweep)
    with pytest.raises(DesignError, match="the process 'n4x' is unknown"):
        design(read(tmp_path, SMALL.replace('["n5", "n3"]', '"n4x"')), facts, spread=no_sweep)


def test_scaled_facts_move_only_what_is_chosen(facts: Facts) -> None:
    dear = scaled(facts, lambda f: f.name == "wafer_price", 2.0)
    assert dear.get("process-n5", "wafer_price").number == 2 * facts.get("process-n5", "wafer_price").number
    assert dear.get("site", "electricity") == facts.get("site", "electricity")
    assert WAFER == "wafer price"
