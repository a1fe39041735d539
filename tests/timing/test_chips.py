"""Chips as arrays: draws, the rate that multiplies given formats, the level of the network, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.timing.conftest import paper_chip

from scoville.errors import FactError
from scoville.facts import Draws, Facts, load
from scoville.timing import Chips, cache_room_bytes, chips, timing_evidence
from scoville.transformer import load as load_model
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision

Central = Callable[[str], Chips]


def test_a_chip_that_lists_no_missing_figure_can_be_timed(facts: Facts) -> None:
    for accelerator in facts.accelerators():
        if not accelerator.missing:
            on = chips(accelerator, facts, Draws.central())
            assert on.n == 1
            assert on.memory_bytes_per_s[0] > 0
            if accelerator.tdp or accelerator.all_in_power:
                assert 0 < on.idle_w[0] < on.tdp_w[0]
            else:
                assert np.isnan(on.tdp_w[0])


@pytest.mark.parametrize(
    ("chip", "asked", "used"),
    [
        ("h100-sxm", ("bf16", "bf16"), ("bf16", "bf16")),
        ("h100-sxm", ("fp8", "fp8"), ("fp8", "fp8")),
        ("h100-sxm", ("fp4", "bf16"), ("fp4", "bf16")),  # MXFP4 weights are expanded and multiplied in bf16
        ("h100-sxm", ("fp4", "fp8"), ("fp4", "bf16")),  # the same weights, wider activations
        ("h100-sxm", ("fp4", "fp4"), ("fp4", "bf16")),
        ("h100-sxm", ("int8", "int8"), ("bf16", "bf16")),
        ("a100-sxm", ("fp8", "fp8"), ("bf16", "bf16")),
        ("a100-sxm", ("int8", "int8"), ("int8", "int8")),
        ("b200-sxm", ("fp4", "fp4"), ("fp4", "fp4")),
        ("b200-sxm", ("fp8", "bf16"), ("bf16", "bf16")),
    ],
)
def test_rate(central: Central, chip: str, asked: tuple[str, str], used: tuple[str, str]) -> None:
    assert central(chip).rate(*asked) == used


def test_mxfp4_on_an_h100_runs_at_the_bf16_rate(central: Central) -> None:
    rates = central("h100-sxm").compute_flop_per_s
    np.testing.assert_array_equal(rates["fp4", "bf16"], rates["bf16", "bf16"])


def test_formats_wider_than_any_rate_are_refused() -> None:
    on = paper_chip(compute_flop_per_s={("fp8", "fp8"): np.array([2e15])})
    with pytest.raises(FactError, match="paper: no compute rate for bf16 weights and bf16 activations or anything wid"):
        on.rate("bf16", "bf16")


def test_an_incomplete_chip_names_what_is_missing(facts: Facts) -> None:
    incomplete = [a for a in facts.accelerators() if a.missing]
    assert incomplete
    for accelerator in incomplete:
        with pytest.raises(FactError) as error:
            chips(accelerator, facts, Draws.central())
        assert str(error.value).startswith(f"{accelerator.id} cannot be timed, because nobody has published: ")
        assert all(name in str(error.value) for name in accelerator.missing)


def test_a_chip_of_ones_own(tmp_path: Path) -> None:
    """Complete from three facts and a rate; SRAM where the large memory has no bandwidth, all-in power without TDP."""
    mine = tmp_path / "mine.toml"
    mine.write_text(
        "[mine]\ncategory = 'accelerator'\nname = 'Mine'\nvendor = 'Me'\n"
        + "".join(
            f"[mine.{name}]\nvalue = '{value}'\nsource = 'my bench'\nas_of = '2026-11'\nkind = 'measured'\n"
            for name, value in {
                "compute_bf16": "100 TFLOP/s", "memory_capacity": "256 GB", "sram_capacity": "2 GB",
                "sram_bandwidth": "150 TB/s", "all_in_power": "300 W",
            }.items()
        ),
        encoding="utf-8",
    )  # fmt: skip
    facts = load([mine])
    accelerator = facts.accelerator("mine")
    assert accelerator.missing == ()
    on = chips(accelerator, facts, Draws.central())
    assert (on.memory_bytes[0], on.memory_bytes_per_s[0], on.tdp_w[0]) == (2e9, 150e12, 300.0)
    assert timing_evidence(accelerator, facts) == "unmeasured"
    assert on.provenance.endswith("this chip: unmeasured")


def test_samples_share_drivers_but_not_the_error_of_a_chip(facts: Facts) -> None:
    one, other = (chips(facts.accelerator(a), facts, Draws(7, 50)) for a in ("h100-sxm", "b200-sxm"))
    again = chips(facts.accelerator("h100-sxm"), facts, Draws(7, 50))
    assert one.n == 50
    np.testing.assert_array_equal(one.memory_efficiency_frac["gemm"], other.memory_efficiency_frac["gemm"])
    np.testing.assert_array_equal(one.time_frac, again.time_frac)
    assert abs(np.corrcoef(one.time_frac, other.time_frac)[0, 1]) < 0.5
    assert np.ptp(other.time_frac) > np.ptp(one.time_frac)  # B200 was not measured


def test_the_innermost_level_that_reaches(central: Central) -> None:
    on = central("jalapeno")  # 128 chips inside 2,048
    assert [on.link_for(s) for s in (2, 128, 129, 2048, 2049)] == [0, 0, 1, 1, 2]


def test_room_for_the_cache() -> None:
    """Llama-3.1-70B in bf16 on 4 chips of 80 GB: 72 GB usable, less 4 GB, less 35.28 GB of weights."""
    table = operator_table(load_model("llama-3.1-70b"), Precision(weights="bf16"), Parallelism(4))
    assert cache_room_bytes(table, paper_chip())[0] == pytest.approx(72e9 - 4e9 - 35.28e9, rel=1e-3)
    alone = operator_table(load_model("llama-3.1-70b"), Precision(weights="bf16"), Parallelism(1))
    assert cache_room_bytes(alone, paper_chip())[0] < 0
