"""Chips under a load: the highest load that a replay holds under the targets, priced as any bought chip is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scoville.facts import Draws, Facts
from scoville.facts import load as load_facts
from scoville.search.deployed import Load, deployed, load
from scoville.search.space import Space
from scoville.search.space_file import read_space
from scoville.serving import Targets
from scoville.silicon import accelerator, read_design
from scoville.timing import chips

STUDY = Path(__file__).parents[2] / "studies" / "designs" / "llama-70b-chat.toml"


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load_facts()


@pytest.fixture(scope="module")
def space() -> Space:
    return read_space(STUDY)


@pytest.fixture(scope="module")
def work(space: Space, facts: Facts) -> Load:
    return load(space.serve[0], facts, space.seed)


def test_a_bought_chip_meets_the_targets_at_its_load_and_costs_what_its_hour_costs(
    space: Space, work: Load, facts: Facts
) -> None:
    found = deployed(facts.accelerator("h100-sxm"), work, facts, space.terms, Draws(1, 100))
    assert found.refusal == ""
    assert found.ttft_percentile_s <= space.serve[0].targets.ttft_s, "TTFT is over its target at the load found"
    assert found.tpot_percentile_s <= space.serve[0].targets.tpot_s, "TPOT is over its target at the load found"
    assert found.tokens_per_s_per_chip and found.usd_per_token and found.hourly
    assert found.usd_per_token.central == pytest.approx(
        found.hourly.central / 3600 / found.tokens_per_s_per_chip.central
    )
    assert found.usd_per_token.p10 <= found.usd_per_token.central <= found.usd_per_token.p90
    # The steady state is an estimate of the same load.
    assert found.tokens_per_s_per_chip.central == pytest.approx(found.steady_tokens_per_s_per_chip, rel=0.5)


def test_the_one_time_cost_of_a_chip_is_in_every_hour(space: Space, work: Load, facts: Facts) -> None:
    h100 = facts.accelerator("h100-sxm")
    tp4 = [p for p in space.serve[0].mappings if p.tensor == 4]
    bare = deployed(h100, work, facts, space.terms, Draws(1, 100), mappings=tp4)
    loaded = deployed(h100, work, facts, space.terms, Draws(1, 100), nre_usd_per_h=1.0, mappings=tp4)
    assert bare.hourly and loaded.hourly
    assert loaded.hourly.central == pytest.approx(bare.hourly.central + 1)
    assert loaded.tokens_per_s_per_chip == bare.tokens_per_s_per_chip, "a price changed a speed"


def test_what_cannot_serve_is_refused_in_a_sentence(space: Space, work: Load, facts: Facts) -> None:
    alone = [p for p in space.serve[0].mappings if p.tensor == 1]
    h100 = facts.accelerator("h100-sxm")
    small = deployed(facts.accelerator("l40s"), work, facts, space.terms, Draws(1, 100), mappings=alone)
    assert "Llama-3.1-70B does not fit" in small.refusal
    hasty = replace(work, serve=replace(work.serve, targets=Targets(1.0, 1e-3)))
    slow = deployed(h100, hasty, facts, space.terms, Draws(1, 100))
    assert "meets both targets" in slow.refusal
    assert "asked for 1 ms" in slow.refusal


def test_without_a_target_for_the_first_token_the_load_is_what_is_served(
    space: Space, work: Load, facts: Facts
) -> None:
    """A queue that grows all along would still meet a target longer than the replay."""
    patient = replace(work, serve=replace(work.serve, targets=Targets(1e6, 10.0)))
    tp4 = [p for p in space.serve[0].mappings if p.tensor == 4]
    found = deployed(facts.accelerator("h100-sxm"), patient, facts, space.terms, Draws(1, 100), mappings=tp4)
    assert found.tokens_per_s_per_chip
    assert found.tokens_per_s_per_chip.central < 1.15 * found.steady_tokens_per_s_per_chip, (
        "a load is asked, not served"
    )


def test_a_chip_of_sram_alone_leaves_no_memory_aside(facts: Facts) -> None:
    alone, beside = (
        chips(accelerator(read_design(name), facts), facts, Draws.central()) for name in ("gc200", "jalapeno")
    )
    assert alone.memory_use_frac[0] == 1.0
    assert alone.reserve_bytes[0] < 1e6
    assert alone.step_overhead_s == beside.step_overhead_s, "another fact moved"
