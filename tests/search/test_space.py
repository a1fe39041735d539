"""A space file is read, refused with the field's name, numbered, and made block by block."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from scoville.errors import DesignError, ScovilleError
from scoville.search.space import Space
from scoville.search.space_file import read_space
from scoville.silicon.design import Design

SMALL = """
title = "Small"
[[serve]]
model = "llama-3.1-8b"
traffic = "azure-2023-conv"
weights = "fp8"
activations = "fp8"
kv = "fp8"
ttft = "1 s"
tpot = "40 ms"
[design.compute]
process = ["n5", "n3"]
clock = "1.7 GHz"
slices = { from = 16, to = 64, step = 16 }
arrays_per_slice = [5, 9]
spare_arrays_per_slice = 1
array_rows = { from = 32, to = 128, factor = 2 }
array_columns = "as array_rows"
rates = { fp8 = 1.0, bf16 = 0.5 }
vector_lanes_per_slice = 128
sram_per_slice = ["512 KiB", "1 MiB"]
[[design.memory]]
kind = "hbm3e"
stacks = [2, 4, 6]
[[design.memory]]
kind = "none"
[design.io]
scale_up = "300 GB/s"
scale_up_domain = 8
[design.package]
kind = "cowos-s"
power_cap = "700 W"
[mapping]
tensor = [1, 2, 4]
batch = [1, 8, 64]
[program]
volume = "10000 chips"
start = "2026-10"
[prices]
vintage = "2026-09"
[ownership]
owner = "hyperscaler"
"""


def read(folder: Path, text: str = SMALL) -> Space:
    path = folder / "space.toml"
    path.write_text(text)
    return read_space(path)


def same(one: Design, many: Design, position: int) -> list[str]:
    """The fields in which a design differs from the one at that position of many."""
    differing = []
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(many, field.name)
        b = b[position] if isinstance(b, np.ndarray) else b
        if field.name not in ("id", "name") and a != b:
            differing.append(f"{field.name}: {a} and {b}")
    return differing


def test_points_are_the_product_of_all_choices(tmp_path: Path) -> None:
    space = read(tmp_path)
    # 2 processes x 4 slices x 2 arrays x 3 sizes x 2 SRAMs, with 3 numbers of stacks or none
    assert space.designs_count == 2 * 4 * 2 * 3 * 2 * (3 + 1), "a choice is lost or counted twice"
    assert space.points_count == space.designs_count * 3 * 3, "points are designs x mappings x batches"


def test_every_design_of_every_block_is_the_one_that_the_design_reader_makes(tmp_path: Path) -> None:
    space = read(tmp_path)
    seen = set()
    for start, stop in space.spans(7):
        block = space.block(start, stop)
        for number in range(start, stop):
            one = space.design(number)
            assert same(one, block.design, number - start) == [], f"design {number} is another one in its block"
            seen.add((one.process, one.memory, *(v for v in dataclasses.astuple(one) if isinstance(v, float))))
    assert len(seen) == space.designs_count, "two numbers stand for the same design, or one for none"


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_blocks_do_not_depend_on_how_the_space_is_cut(tmp_path: Path, size: int) -> None:
    space = read(tmp_path)
    spans = list(space.spans(size))
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])], "blocks leave a gap or overlap"
    slices = np.concatenate([np.asarray(space.block(*s).design.slices_count) for s in spans])
    assert slices.tolist() == [space.design(i).slices_count for i in range(space.designs_count)]


def test_a_block_across_two_parts_is_refused(tmp_path: Path) -> None:
    space = read(tmp_path)
    with pytest.raises(ValueError, match="not in one part"):
        space.block(0, space.designs_count)
    with pytest.raises(ValueError, match="there is no design"):
        space.design(space.designs_count)


def test_tied_numbers_follow_each_other(tmp_path: Path) -> None:
    space = read(tmp_path)
    design = space.block(*next(space.spans(1000))).design
    assert np.array_equal(np.asarray(design.rows_count), np.asarray(design.columns_count)), "arrays are not square"


def test_a_range_with_a_unit_is_read_in_si(tmp_path: Path) -> None:
    space = read(tmp_path, SMALL.replace('["512 KiB", "1 MiB"]', '{ from = "256 KiB", to = "1 MiB", factor = 2 }'))
    axis = next(a for a in space.parts[0].axes if a.key == "compute.sram_per_slice")
    assert axis.values == (2.0**18, 2.0**19, 2.0**20)


def test_weights_are_shares_and_mappings_those_that_divide(tmp_path: Path) -> None:
    second = """[[serve]]
model = "gpt-oss-120b"
traffic = "azure-2023-conv"
weight = 3
ttft = "1 s"
tpot = "40 ms"
[design.compute]"""
    dense, routed = read(tmp_path, SMALL.replace("[design.compute]", second)).serve
    assert (dense.weight_frac, routed.weight_frac) == (0.25, 0.75)
    assert [str(p) for p in dense.mappings] == ["TP1", "TP2", "TP4"]
    assert {str(p) for p in routed.mappings} == {"TP1", "TP2", "TP4", "TP2 EP2", "TP4 EP4"}


def test_the_supply_of_a_quarter_counts_for_all_quarters(tmp_path: Path) -> None:
    limits = '[limits]\nhbm_stacks = "1000 stacks"\nper = "quarter"\nquarters = 6\n'
    supply = read(tmp_path, SMALL + limits).supply
    assert supply.hbm_stacks_count == 6000
    assert supply.cowos_wafers_count == float("inf")


@pytest.mark.parametrize(
    ("given", "instead", "place", "says"),
    [
        ('clock = "1.7 GHz"', 'clock = "1.7 GB"', ":13: [design.compute] clock", "expected e.g. '1.7 GHz'"),
        ('clock = "1.7 GHz"', 'klock = "1.7 GHz"', "[design.compute] klock", "did you mean 'clock'"),
        ('clock = "1.7 GHz"', "", "[design.compute] clock", "is missing"),
        ("[5, 9]", "[1, 9]", "[design.compute] spare_arrays_per_slice", "1 of 1 arrays_per_slice; expected fewer"),
        ("[5, 9]", "[]", "[design.compute] arrays_per_slice", "the list is empty"),
        ("[5, 9]", "[5, 0]", "[design.compute] arrays_per_slice", "0: expected greater than or equal to 1"),
        ("step = 16", "step = 0", "[design.compute] slices", "greater than or equal to 1"),
        ("step = 16", "steps = 16", "[design.compute] slices", "{ from, to, step }"),
        ("from = 16, to = 64", "from = 64, to = 16", "[design.compute] slices", "from 64 is more than to 16"),
        ("factor = 2", "factor = 1", "[design.compute] array_rows", "expected > 1"),
        ("from = 16, to = 64, step = 16", "from = 1, to = 1000000, step = 1", "slices", "at most 10,000"),
        ('"as array_rows"', '"as columns"', "[design.compute] array_columns", "names no other number"),
        ("[design.io]", "[design.oi]", "[design] oi", "did you mean 'io'"),
        ('"cowos-s"', '"cowos"', "package.kind is 'cowos'", "cowos-s"),
        ('kind = "none"', 'kind = "none"\nstacks = 2', "memory.stacks is 2", "expected 0 stacks"),
        ('"llama-3.1-8b"', '"llama-9"', "[serve] model", "llama"),
        ("[1, 2, 4]", "[3]", "[mapping] tensor", "no combination of the degrees divides"),
        ('ttft = "1 s"', 'ttft = "0 s"', "[serve] ttft", "expected greater than 0"),
        ('start = "2026-10"', 'start = "soon"', "[program] start", "expected a month such as '2026-09'"),
        ('volume = "10000 chips"', "", "[program] volume", "is missing"),
        ('volume = "10000 chips"', 'volume = "0.001 chips"', "[program] volume", "greater than or equal to 1"),
        ('owner = "hyperscaler"', 'owner = "me"', "[ownership] owner", "'hyperscaler' or 'neocloud'"),
        ('owner = "hyperscaler"', 'owner = "hyperscaler"\nrate = 1', "[ownership] rate", "is not a setting"),
    ],
)
def test_what_is_wrong_is_said_with_place_and_remedy(
    tmp_path: Path, given: str, instead: str, place: str, says: str
) -> None:
    with pytest.raises(ScovilleError) as refused:
        read(tmp_path, SMALL.replace(given, instead, 1))
    sentence = str(refused.value)
    assert place in sentence, f"the sentence does not name the place: {sentence}"
    assert says in sentence, f"the sentence does not name the remedy: {sentence}"
    assert "\n" not in sentence


def test_a_space_past_all_patience_is_refused_before_it_begins(tmp_path: Path) -> None:
    huge = re.sub(r'"512 KiB", "1 MiB"', ", ".join(f'"{i} KiB"' for i in range(1, 9000)), SMALL)
    huge = huge.replace("from = 16, to = 64, step = 16", "from = 1, to = 9000, step = 1")
    with pytest.raises(DesignError, match=r"more than a sweep can try.*give fewer values, first to compute\.slices"):
        read(tmp_path, huge)


def test_two_that_serve_under_one_name_are_refused(tmp_path: Path) -> None:
    again = SMALL[SMALL.index("[[serve]]") : SMALL.index("[design.compute]")]
    with pytest.raises(DesignError, match=r"\[serve\] name.*give each \[\[serve\]\] a name"):
        read(tmp_path, SMALL.replace("[design.compute]", again + "[design.compute]"))
