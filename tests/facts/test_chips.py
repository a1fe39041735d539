"""Accelerators as facts add up to them: rates, tiers, links, defaults, what is missing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scoville.facts import Draws, Facts

Read = Callable[[str], Facts]


def test_an_h100(bundled: Facts) -> None:
    chip = bundled.accelerator("h100-sxm")
    assert chip.compute["bf16", "bf16"].value == 989e12
    assert chip.compute["fp8", "fp8"].value == 1979e12
    assert chip.compute["fp4", "bf16"].value == 989e12  # MXFP4 weights are expanded and multiplied in bf16
    assert chip.compute["fp4", "bf16"].kind == "derived"
    assert ("fp4", "fp4") not in chip.compute
    main = chip.tier("main")
    assert main is not None
    assert main.bandwidth is not None
    # What drivers report of the 80 GB of the datasheet: 81,559 MiB.
    assert (main.kind, main.capacity.value, main.bandwidth.value) == ("HBM3", 81559 * 2**20, 3.35e12)
    assert [t.name for t in chip.memory] == ["sram", "main", "host"]
    up, out = chip.links
    assert (up.name, up.topology, up.bandwidth.value) == ("scale_up", "switched", 450e9)  # 900 GB/s both ways
    assert up.domain is not None
    assert up.domain.value == 8
    assert (out.name, out.bandwidth.value, out.domain) == ("scale_out", 50e9, None)
    assert chip.missing == ()


def test_jalapeno_has_two_scale_up_levels_a_microarchitecture_and_no_rent(bundled: Facts) -> None:
    chip = bundled.accelerator("jalapeno")
    levels = [(link.name, link.bandwidth.value, link.domain.value if link.domain else None) for link in chip.links]
    assert levels[:2] == [("scale_up", 600e9, 128), ("scale_up_outer", 200e9, 2048)]
    m = chip.microarchitecture
    assert m is not None
    assert m.slices is not None
    assert m.spare_arrays_per_slice is not None
    active = m.slices.number * (m.arrays_per_slice.number - m.spare_arrays_per_slice.number)
    # 1.7 GHz x 64 slices x 15 active arrays of 64 x 64 x 2 FLOP: the source's own arithmetic for 13.4 PFLOP/s.
    peak = 2 * active * m.rows.number * m.columns.number * m.clock.number
    assert peak == pytest.approx(chip.compute["fp4", "fp4"].number, rel=0.003)
    assert not any(name.startswith("rent_") for name in chip.facts)


def test_what_nobody_published_is_a_marked_default(bundled: Facts) -> None:
    chip = bundled.accelerator("b200-sxm")
    defaults = {f.name: f for f in chip.defaults()}
    assert set(defaults) == {"scale_up_latency", "scale_out_bandwidth", "scale_out_latency", "idle_power"}
    assert all(f.subject == "b200-sxm" and f.note.startswith("default: ") for f in defaults.values())
    share = bundled.get("default-power", "idle_per_tdp")
    idle = defaults["idle_power"]
    assert idle.number == pytest.approx(share.number * 1000)
    assert idle.low < idle.number < idle.high
    torus = bundled.accelerator("tpu-v5p").links[0]
    assert (torus.topology, torus.latency.value) == ("torus", bundled.get("default-link", "torus_latency").value)
    assert bundled.accelerator("a100").links[0].latency.name not in {
        f.name for f in bundled.accelerator("a100").defaults()
    }


def test_defaults_are_drawn_once_for_all_chips(bundled: Facts) -> None:
    draws = Draws(1, 100)
    a, b = (bundled.accelerator(c).links[0].latency for c in ("b200-sxm", "mi355x"))
    assert np.array_equal(draws.sample(a), draws.sample(b))


def test_a_published_figure_replaces_the_default(read: Read) -> None:
    facts = read('[b200.idle_power]\nvalue = "140 W"\nsource = "our meter"\nas_of = "2026-11"\nkind = "measured"\n')
    chip = facts.accelerator("b200")
    assert chip.idle_power is not None
    assert (chip.idle_power.value, chip.idle_power.user) == (140, True)
    assert "idle_power" not in {f.name for f in chip.defaults()}


@pytest.mark.parametrize(
    ("id", "missing"),
    [
        ("ai200", ("a dense compute rate", "memory bandwidth")),
        ("mtia-400", ("memory capacity",)),
        ("crescent-island", ("a dense compute rate", "memory bandwidth")),
        ("tpu-8t", ()),  # nobody states its power, but a step can be timed without
    ],
)
def test_incomplete_chips_say_what_is_missing(bundled: Facts, id: str, missing: tuple[str, ...]) -> None:
    assert bundled.accelerator(id).missing == missing


def test_sram_alone_is_memory_enough(bundled: Facts) -> None:
    chip = bundled.accelerator("groq-lpu-v1")
    assert [t.name for t in chip.memory] == ["sram"]
    assert chip.missing == ()
