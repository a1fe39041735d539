"""A designed chip is an Accelerator like a bought one, as a record and as a fact file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from scoville.cli import app
from scoville.errors import DesignError
from scoville.facts import Draws, Facts, load
from scoville.silicon import accelerator, as_facts, bundled, read_design
from scoville.timing import chips
from scoville.timing.systolic import systolic


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


@pytest.mark.parametrize("id", bundled())
def test_every_design_can_be_timed(id: str, facts: Facts) -> None:
    chip = accelerator(read_design(id), facts)
    assert chip.missing == ()
    assert chip.id not in facts.subjects("accelerator")
    assert np.all(chips(chip, facts, Draws.central()).memory_bytes > 0)


def test_the_file_gives_the_same_chip(tmp_path: Path, facts: Facts) -> None:
    design = replace(read_design("jalapeno"), name='A "quoted" \\ name')
    file = tmp_path / "chip.toml"
    file.write_text(as_facts(design, facts, date="2026-11"), encoding="utf-8")
    made, read = accelerator(design, facts, date="2026-11"), load([file]).accelerator("jalapeno-design")
    assert read.name == design.name
    assert made.facts.keys() == read.facts.keys()
    for name, (fact,) in made.facts.items():
        (other,) = read.facts[name]
        assert (other.measure, other.kind, other.distribution) == (fact.measure, "derived", fact.distribution), name
        if fact.measure:
            wanted = [fact.value, fact.low, fact.high]
            assert [other.value, other.low, other.high] == pytest.approx(wanted, rel=1e-8), name


def test_ranges_come_from_the_facts_and_parameters_have_none(facts: Facts) -> None:
    chip = accelerator(read_design("jalapeno"), facts, date="2026-11")
    for name in ("tdp", "all_in_power", "die_area", "memory_bandwidth", "bom_total", "price_chip"):
        (fact,) = chip.facts[name]
        assert fact.low < fact.high, name
    for name in ("compute_fp4", "clock", "slices", "sram_per_slice"):
        (fact,) = chip.facts[name]
        assert fact.low == fact.high == fact.value, name
    assert chip.tdp is not None and chip.tdp.high <= 700.0, "no more than the power cap"


def test_the_bill_adds_up_and_is_left_out_without_a_month(facts: Facts) -> None:
    design = read_design("jalapeno")
    priced = accelerator(design, facts, date="2026-11").facts
    parts = ("bom_logic", "bom_memory", "bom_packaging", "bom_test", "bom_other")
    assert sum(priced[p][0].number for p in parts) == pytest.approx(priced["bom_total"][0].number)
    assert priced["price_chip"][0].number > priced["bom_total"][0].number
    assert "price_chip" not in accelerator(design, facts).facts


def test_prices_are_dated_with_their_month_and_say_what_is_not_in_them(tmp_path: Path, facts: Facts) -> None:
    file = tmp_path / "chip.toml"
    file.write_text(as_facts(replace(read_design("jalapeno"), id="ours"), facts, date="2026-09"), encoding="utf-8")
    for chip in (load([file]).accelerator("ours"), accelerator(read_design("jalapeno"), facts, date="2026-09")):
        price = chip.facts["price_chip"][-1]
        assert price.as_of == "2026-09", "a price of that month is not one of another"
        assert "the one-time cost is not in it" in price.note


def test_nothing_of_a_chip_with_sram_alone_is_set_aside_for_an_allocator(facts: Facts) -> None:
    """The 3.5 GiB that GPU engines keep are more than it has."""
    on = chips(accelerator(read_design("gc200"), facts), facts, Draws.central())
    assert float((on.memory_bytes * on.memory_use_frac - on.reserve_bytes)[0]) == pytest.approx(1472 * 624 * 1024)


def test_the_systolic_timer_takes_the_designed_and_the_disclosed_jalapeno_alike(facts: Facts) -> None:
    """8192 x 8192 in MXFP4 at 8 rows waits for HBM: 35.7 MB / (15.36 TB/s x 0.88) = 2.64 us and the ends."""
    for chip in (accelerator(read_design("jalapeno"), facts), facts.accelerator("jalapeno")):
        timer = systolic(chip, facts)
        assert timer is not None
        seconds = timer.gemm_seconds([8], 8192, 8192, "mxfp4", "mxfp4")
        assert float(np.ravel(seconds)[0]) == pytest.approx(2.8e-6, rel=0.03)


def test_spare_slices_and_several_dies_count_as_the_timer_sees_them(facts: Facts) -> None:
    design = replace(read_design("b200"), id="twin")
    chip = accelerator(design, facts)
    assert chip.id == "twin"
    assert chip.facts["slices"][0].value == 2 * 74
    assert chip.facts["sram_capacity"][0].number == 148 * 768 * 1024 + 2 * 63 * 2**20


def test_memory_in_sram_alone_is_the_chips_memory(facts: Facts) -> None:
    chip = accelerator(read_design("gc200"), facts)
    sram = chip.tier("sram")
    assert chip.tier("main") is None and sram is not None and sram.bandwidth is not None
    assert sram.capacity.number == pytest.approx(1472 * 624 * 1024)


def test_a_design_that_breaks_a_limit_makes_no_chip(facts: Facts) -> None:
    with pytest.raises(DesignError, match="over the reticle"):
        accelerator(replace(read_design("h100"), slices_count=400.0, power_cap_w=9000.0), facts)


@pytest.mark.parametrize("timer", ["vllm", "systolic"])
def test_predict_takes_the_file(timer: str, tmp_path: Path, facts: Facts) -> None:
    file = tmp_path / "chip.toml"
    file.write_text(as_facts(replace(read_design("jalapeno"), id="ours"), facts), encoding="utf-8")
    asked = ["predict", "--model", "llama-3.1-8b", "--accelerator", "ours", "--facts", str(file), "--timer", timer]
    done = CliRunner().invoke(app, [*asked, "--input", "512", "--output", "64", "--batch", "8", "--json"])
    assert done.exit_code == 0, done.output
    assert "ours" in done.output
