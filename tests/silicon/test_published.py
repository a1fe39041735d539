"""The chip model against what makers published; docs/silicon.md shows the same figures.

Overheads are fitted on A100 and MTIA 2i. Peaks within 2 % for every bundled chip; die area within 10 % and TDP within
15 % for chips that were not fitted and have arrays and figures from their makers. Upper bounds (TPU v4i's die),
press figures (Jalapeño's and B200's dies) and chips of older processes or other kinds are shown, not held to a limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoville.facts import Draws, Facts, load
from scoville.silicon import Design, area, bundled, peak_flop_per_s, power, read_design, technology
from scoville.silicon.area import MATRIX, OVERHEAD
from scoville.silicon.fit import CHIPS, fit

DESIGNS = Path(__file__).parent / "designs"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "silicon.md"
FURTHER = ("tpu-v4i", "ascend-910", "mtia-1", "mi100", "v100", "groq", "d1")


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


def design(id: str) -> Design:
    return read_design(id if id in bundled() else DESIGNS / f"{id}.toml")


def figures(id: str, facts: Facts) -> tuple[float, float]:
    """(mm2 of a compute die, TDP in W) with central facts."""
    made = design(id)
    t = technology(made, facts)
    size = area(made, t)
    return float(size.compute_die_mm2), float(power(made, t, size).tdp_w)


def error(id: str, name: str, value: float, facts: Facts) -> float:
    return value / facts.get(f"published-{id}", name).number - 1


@pytest.mark.parametrize("id", bundled())
def test_peaks_are_the_published_ones_within_two_percent(id: str, facts: Facts) -> None:
    """Dense rates of data sheets and talks: the sources stand at the facts `published-*`."""
    peaks = {"_".join(dict.fromkeys(pair)): float(rate) for pair, rate in peak_flop_per_s(design(id)).items()}
    published = {f.name.removeprefix("compute_"): f.number for f in facts.of(f"published-{id}") if "compute" in f.name}
    assert published
    for name, rate in published.items():
        assert peaks[name] == pytest.approx(rate, rel=0.02), name


def test_jalapenos_peak_by_hand() -> None:
    """64 slices x 15 active arrays x 64 x 64 cells x 2 x 1.7 GHz (Hot Chips, 2026-08-25)."""
    peaks = peak_flop_per_s(design("jalapeno"))
    assert peaks["fp4", "fp4"] == 64 * 15 * 64 * 64 * 2 * 1.7e9
    assert float(peaks["fp4", "fp4"]) / 1e15 == pytest.approx(13.37, abs=0.005)


def test_fp8_has_a_quarter_of_the_fp4_rate_since_its_multiplier_is_four_of_4_bits() -> None:
    """(8 / 4)^2 products of 4 x 4 bits make one of 8 x 8: a = 16 a1 + a0, b = 16 b1 + b0."""
    peaks = peak_flop_per_s(design("jalapeno"))
    for pair, width in ((("fp8", "fp8"), 8), (("bf16", "bf16"), 16), (("fp4", "fp8"), 8)):
        assert peaks[pair] * (width / 4) ** 2 == peaks["fp4", "fp4"]


def test_the_overheads_are_what_the_fit_gives(facts: Facts) -> None:
    found = fit(facts)
    assert CHIPS == ("a100", "mtia-2i")
    for name, value, digits in (
        ("area", found.area_frac, 1e-3), ("lane_area", found.lane_mm2, 1e-4),
        ("power", found.power_frac, 1e-3), ("lane_energy", found.lane_j, 1e-14),
    ):  # fmt: skip
        assert facts.get("chip-overhead", name).number == pytest.approx(value, abs=digits), name


def test_the_fit_starts_from_no_guess_of_its_own(facts: Facts, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text(
        '[chip-overhead.lane_area]\nvalue = "0.1 mm2"\nsource = "x"\nas_of = "2026"\nkind = "derived"\n'
        '[chip-overhead.power]\nvalue = "90 %"\nsource = "x"\nas_of = "2026"\nkind = "derived"\n',
        encoding="utf-8",
    )
    again, found = fit(load([file])), fit(facts)
    assert (again.lane_mm2, again.power_frac) == pytest.approx((found.lane_mm2, found.power_frac))


@pytest.mark.parametrize("id", CHIPS)
def test_the_fitted_chips_come_out_as_published(id: str, facts: Facts) -> None:
    mm2, w = figures(id, facts)
    assert abs(error(id, "die_area", mm2, facts)) < 0.005
    assert abs(error(id, "tdp", w, facts)) < 0.005


@pytest.mark.parametrize("id", ["h100", "gc200"])
def test_die_areas_of_other_chips_are_within_ten_percent(id: str, facts: Facts) -> None:
    """NVIDIA 2023, table 3: 814 mm2; Graphcore, Hot Chips 33: 823 mm2."""
    assert abs(error(id, "die_area", figures(id, facts)[0], facts)) < 0.10


@pytest.mark.parametrize("id", ["h100", "jalapeno"])
def test_tdps_of_other_chips_are_within_fifteen_percent(id: str, facts: Facts) -> None:
    """NVIDIA 2023, table 3: 700 W; OpenAI at Hot Chips 2026: 700 W. Graphcore publishes none for a GC200."""
    assert abs(error(id, "tdp", figures(id, facts)[1], facts)) < 0.15


def test_jalapenos_tdp_on_a_die_of_the_size_that_the_press_gives(facts: Facts) -> None:
    made = design("jalapeno")
    t = technology(made, facts)
    die = facts.get("published-jalapeno", "die_area").number
    w = float(power(made, t, replace(area(made, t), compute_die_mm2=die)).tdp_w)
    assert w == pytest.approx(774, abs=0.5), "as docs/silicon.md says"
    assert abs(error("jalapeno", "tdp", w, facts)) < 0.15


def test_upper_bounds_hold(facts: Facts) -> None:
    """Jouppi et al. 2021, table 1: a TPU v4i has less than 400 mm2; Jalapeño is one reticle at most."""
    assert figures("tpu-v4i", facts)[0] < 400
    assert figures("jalapeno", facts)[0] < 858


def checks(facts: Facts) -> list[str]:
    rows = []
    for id in (*CHIPS, "h100", "gc200", "jalapeno", "b200", *FURTHER):
        made = design(id)
        t = technology(made, facts, Draws(1, 1000))
        size = area(made, t)
        used = power(made, t, size)
        row = [made.name]
        for name, base, samples in zip(
            ("die_area", "tdp"), figures(id, facts), (size.compute_die_mm2, used.tdp_w), strict=True
        ):
            low, high = np.quantile(np.asarray(samples), (0.1, 0.9))
            known = facts.find(f"published-{id}", name)
            row.append(f"{base:,.0f} ({low:,.0f} to {high:,.0f})")
            row += [f"{known.number:,.0f}", f"{base / known.number - 1:+.0%}"] if known else ["-", "-"]
        rows.append("| " + " | ".join(row) + " |")
    return rows


def coverage(facts: Facts) -> list[str]:
    """How many published figures of chips that were not fitted lie within P10 to P90."""
    inside: dict[str, list[bool]] = {"die_area": [], "tdp": []}
    for id in ("h100", "gc200", "jalapeno", "b200", *FURTHER):
        made = design(id)
        t = technology(made, facts, Draws(1, 1000))
        size = area(made, t)
        for name, samples in (("die_area", size.compute_die_mm2), ("tdp", power(made, t, size).tdp_w)):
            if known := facts.find(f"published-{id}", name):
                low, high = np.quantile(np.asarray(samples), (0.1, 0.9))
                inside[name].append(bool(low <= known.number <= high))
    die, tdp = inside["die_area"], inside["tdp"]
    return [
        "  that were not fitted, the published die lies within P10 to P90 for "
        f"{sum(die)} of {len(die)}, the TDP for {sum(tdp)} of {len(tdp)}."
    ]


def test_jalapenos_tdp_hangs_on_what_is_not_disclosed(facts: Facts) -> None:
    made = design("jalapeno")
    t = technology(made, facts)
    found = []
    for times in (0.5, 2.0):
        other = replace(
            made, fabric_bandwidth_per_slice_bytes_per_s=times * made.fabric_bandwidth_per_slice_bytes_per_s
        )
        found.append(float(power(other, t, area(other, t)).tdp_w))
    text = " ".join(DOCUMENT.read_text("utf-8").split())
    assert f"with half or twice the network's bandwidth it is {found[0]:,.0f} or {found[1]:,.0f} W" in text
    wide = float(area(replace(made, vector_lanes_per_slice_count=512.0), t).compute_die_mm2)
    assert f"512 a slice in place of the guessed 128 give {wide:,.0f} mm2" in text


def test_how_far_agreement_hangs_on_the_figure_that_was_taken_for_a_cell(tmp_path: Path) -> None:
    off: dict[str, list[str]] = {"h100": [], "gc200": [], "b200": []}
    for cell in ("263 um2", "1512 um2"):
        anew = refitted(tmp_path, [entry("matrix-unit.area_bf16", cell)])
        for id, said in off.items():
            said.append(f"{error(id, 'die_area', figures(id, anew)[0], anew):+.0%}")
    text = " ".join(DOCUMENT.read_text("utf-8").split())
    h100, gc200, b200 = (" or ".join(said) for said in off.values())
    assert f"H100's die would be {h100} off, GC200's {gc200}, B200's {b200}." in text
    dense = refitted(tmp_path, [entry("sram.shared_efficiency", "47.5 %")])
    h100, gc200 = (f"{error(id, 'die_area', figures(id, dense)[0], dense):+.0%}" for id in ("h100", "gc200"))
    assert f"as dense as a slice's, H100's die would be {h100} off and GC200's {gc200}" in text
    assert fit(taken(tmp_path, [entry("sram.shared_efficiency", "9.6 %")])).area_frac < 0


def refitted(tmp_path: Path, lines: list[str]) -> Facts:
    """The facts with these in place of others, and the constants of area fitted anew."""
    o = fit(taken(tmp_path, lines))
    share, lane = f"{100 * o.area_frac} %", f"{o.lane_mm2} mm2"
    return taken(tmp_path, [*lines, entry("chip-overhead.area", share), entry("chip-overhead.lane_area", lane)])


def taken(tmp_path: Path, lines: list[str]) -> Facts:
    file = tmp_path / "taken.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return load([file])


def entry(name: str, value: str) -> str:
    return f'[{name}]\nvalue = "{value}"\nsource = "a test"\nas_of = "2026"\nkind = "derived"\n'


def blocks(facts: Facts) -> list[str]:
    found = []
    for id in ("h100", "gc200", "jalapeno"):
        made = design(id)
        size = area(made, technology(made, facts))
        found.append((size.blocks_mm2, size.compute_die_mm2))
    names = [n for n in found[0][0] if n != OVERHEAD] + [OVERHEAD]
    rows = [f"| {n} | " + " | ".join(f"{float(b.get(n, 0.0)):,.0f}" for b, _ in found) + " |" for n in names]
    return [*rows, "| **die** | " + " | ".join(f"**{float(whole):,.0f}**" for _, whole in found) + " |"]


def watts(facts: Facts) -> list[str]:
    found = []
    for id in ("h100", "gc200", "jalapeno"):
        made = design(id)
        t = technology(made, facts)
        found.append(power(made, t, area(made, t)))
    rows = [
        f"| {n} | " + " | ".join(f"{float(np.asarray(p.blocks_w[n])):,.0f}" for p in found) + " |"
        for n in found[0].blocks_w
    ]
    rows.append("| **TDP** | " + " | ".join(f"**{float(p.tdp_w):,.0f}**" for p in found) + " |")
    rows.append("| W/mm2 of dies | " + " | ".join(f"{float(p.w_per_mm2):.2f}" for p in found) + " |")
    return rows


def rates(_: Facts) -> list[str]:
    peaks = peak_flop_per_s(design("jalapeno"))
    return [
        f"| {label} | {products} | {float(peaks[pair]) / 1e15:.2f} PFLOP/s |"
        for label, products, pair in (
            ("MXFP4", 1, ("fp4", "fp4")), ("FP8", 4, ("fp8", "fp8")), ("bf16", 16, ("bf16", "bf16")),
        )
    ]  # fmt: skip


def caps(facts: Facts) -> list[str]:
    made = design("jalapeno")
    t = technology(made, facts)
    size = area(made, t)
    rows = []
    for cap in (700, 550, 450):
        under = power(replace(made, power_cap_w=float(cap)), t, size)
        fp4 = float(under.flop_per_s_under_cap["fp4"]) / 1e15
        rows.append(f"| {cap} W | {fp4:.1f} PFLOP/s | {float(under.memory_bytes_per_s_under_cap) / 1e12:.1f} TB/s |")
    return rows


@pytest.mark.parametrize("table", [checks, coverage, blocks, watts, rates, caps], ids=lambda t: str(t.__name__))
def test_the_pages_tables_are_what_the_code_gives(table: Callable[[Facts], list[str]], facts: Facts) -> None:
    lines = DOCUMENT.read_text("utf-8").splitlines()
    assert [row for row in table(facts) if row not in lines] == []


def test_matrix_units_are_a_third_at_most_of_the_chips_that_were_checked(facts: Facts) -> None:
    """So SRAM, interfaces and overheads decide a die as much as arrays do."""
    for id in ("a100", "h100", "mtia-2i", "gc200", "jalapeno"):
        made = design(id)
        size = area(made, technology(made, facts))
        assert float(size.blocks_mm2[MATRIX]) < 0.35 * float(size.compute_die_mm2), id
