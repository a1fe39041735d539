"""Design files: units at the border, one sentence for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoville.errors import DesignError
from scoville.silicon import bundled, read_design
from scoville.silicon.design import width_bytes

GOOD = """
name = "small"
[compute]
process = "n5"
clock = "1.5 GHz"
slices = 8
arrays_per_slice = 4
array_rows = 32
array_columns = 64
rates = { fp4 = 1.0, fp8 = 0.25 }
vector_lanes_per_slice = 16
sram_per_slice = "1 MiB"
[memory]
kind = "hbm3"
stacks = 2
[io]
scale_up = "100 GB/s"
scale_up_domain = 4
[package]
kind = "cowos-s"
power_cap = "200 W"
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_is_read_in_si_units_and_named_after_itself(tmp_path: Path) -> None:
    design = read_design(written(tmp_path, GOOD))
    assert (design.id, design.name, design.process, design.memory) == ("small", "small", "n5", "hbm3")
    assert design.clock_count_per_s == 1.5e9
    assert design.sram_per_slice_bytes == 2**20
    assert (design.scale_up_bytes_per_s, design.scale_up_domain_count, design.power_cap_w) == (1e11, 4, 200)


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    design = read_design(written(tmp_path, GOOD))
    assert (design.compute_dies_count, design.spare_slices_count, design.io_process, design.io_dies_count) == (
        1,
        0,
        "",
        0,
    )
    # A row and a column of half-byte operands for each of four arrays a clock.
    assert design.sram_bandwidth_per_slice_bytes_per_s == pytest.approx(4 * 1.5e9 * (32 + 64) * 0.5)
    assert design.fabric_bandwidth_per_slice_bytes_per_s == pytest.approx(4 * 1.5e9 * 96 * 0.5 / 4)
    assert (design.stack_bytes, design.stack_bytes_per_s) == (0, 0)


def test_every_bundled_design_reads_and_has_its_id() -> None:
    assert {"a100", "h100", "mtia-2i", "gc200", "jalapeno"} <= set(bundled())
    assert [read_design(id).id for id in bundled()] == list(bundled())


def test_the_wider_operand_decides() -> None:
    assert [width_bytes(pair) for pair in ("fp4", "fp4_fp8", "int4_bf16", "fp32")] == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('clock = "1.5 GHz"', 'clock = "1.5 GB"', "small.toml: compute.clock: '1.5 GB' is in the wrong unit"),
        ('clock = "1.5 GHz"\n', "", "small.toml: compute.clock is missing"),
        ("slices = 8", "slices = 0", "small.toml: compute.slices is 0; expected"),
        ("slices = 8", "slices = 8\nspare_slices = 8", "spare_slices is 8; expected less than slices = 8"),
        ("array_rows = 32", "array_row = 32", "compute.array_row'; did you mean 'array_rows'"),
        ("fp8 = 0.25", "fp7 = 0.25", "compute.rates has no format 'fp7'; did you mean"),
        ("fp8 = 0.25", "fp8 = 0.0", "compute.rates.fp8 is 0.0; expected"),
        ('kind = "cowos-s"', 'kind = "cowos-x"', "package.kind is 'cowos-x'; did you mean 'cowos-s'"),
        ('kind = "hbm3"', 'kind = "none"', "memory.stacks is 2 with kind 'none'"),
        ('power_cap = "200 W"', 'power_cap = "0 W"', "package.power_cap is '0 W'; expected"),
        ("[package]", "[package", "is not valid TOML"),
        ("slices = 8", "slices = true", "compute.slices is True; expected a valid integer"),
        ("slices = 8", 'slices = "8"', "compute.slices is '8'; expected a valid integer"),
        ("fp8 = 0.25", "fp8 = inf", "compute.rates.fp8 is inf; expected a finite number"),
        ('clock = "1.5 GHz"', 'clock = "1e300 GHz"', "compute.clock is '1e300 GHz'; expected a finite number"),
        ("{ fp4 = 1.0, fp8 = 0.25 }", "{}", "compute.rates is empty"),
        ('name = "small"', 'name = " "', "name is empty"),
        ("scale_up_domain = 4\n", "", "io.scale_up_domain is 1 with a scale_up link; expected how many chips"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_file_field_and_remedy(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(DesignError) as refused:
        read_design(written(tmp_path, GOOD.replace(old, new)))
    assert words in str(refused.value)


def test_an_unknown_design_names_the_nearest_and_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match="no design 'h10'; did you mean 'h100'"):
        read_design("h10")
    with pytest.raises(DesignError, match="cannot be read"):
        read_design(tmp_path / "none.toml")
