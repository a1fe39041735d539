"""Dies on a wafer: exact against the slow way, Chiplet Actuary's formula, and what a larger die can't do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.facts import load
from scoville.silicon.wafer import Square, chiplet_actuary_dies, gross_dies, gross_dies_of_area

WAFER = {"scribe_mm": 0.1, "edge_mm": 3.0, "wafer_mm": 300.0}
FIELD = (26.0, 33.0)
SIDES = st.floats(6.0, 60.0)


def on_grid(width: float, height: float, x: float, y: float, radius: float) -> int:
    """Whole dies of a grid with one die's centre at (x, y), counted one by one."""
    across, up = width + 0.1, height + 0.1
    n = int(radius / min(across, up)) + 2
    return sum(
        math.hypot(abs(x + i * across) + width / 2, abs(y + j * up) + height / 2) <= radius
        for i in range(-n, n + 1)
        for j in range(-n, n + 1)
    )


def slowly(width: float, height: float, radius: float) -> int:
    """The best grid among all at which two dies' corners touch the edge, or one die's does on an axis of symmetry.

    The offsets at which a die fits form a convex region with arcs as its boundary, so the offsets at which most dies
    fit have a point where two such arcs meet, or an arc's own end.
    """
    across, up = width + 0.1, height + 0.1
    n = int(radius / min(across, up)) + 2
    centres = [
        (sx * width / 2 + i * across, sy * height / 2 + j * up)
        for i in range(-n, n + 1)
        for j in range(-n, n + 1)
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    near = [c for c in centres if abs(math.hypot(*c) - radius) <= math.hypot(across, up)]
    best = max(on_grid(width, height, x, y, radius + 1e-7) for x in (0, across / 2) for y in (0, up / 2))
    for a, (ax, ay) in enumerate(near):
        for bx, by in near[:a]:
            dx, dy = bx - ax, by - ay
            d = math.hypot(dx, dy)
            if not 0 < d < 2 * radius:
                continue
            rise = math.sqrt(radius**2 - d**2 / 4)
            for sign in (-1, 1):
                x = -(ax + bx) / 2 + sign * rise * dy / d
                y = -(ay + by) / 2 - sign * rise * dx / d
                if 0 <= x <= across / 2 and 0 <= y <= up / 2:
                    best = max(best, on_grid(width, height, x, y, radius + 1e-7))
    return best


def test_a_reticle_sized_die_is_counted_as_published() -> None:
    facts = load()
    most = facts.get("dies", "per_wafer_858mm2")
    assert gross_dies(26, 33, **WAFER) == most.number == 64
    # Chiplet Actuary (Yinxiao-Feng/DAC2022@d8dc4f1: ChipletHL/chip.py) with its own edge of 5 mm and lane of 0.2.
    assert int(chiplet_actuary_dies(858)) == most.low == 54


@pytest.mark.parametrize("size", [(26, 33), (26, 31.3), (43, 47), (60, 55), (22, 22), (30, 17)])
def test_the_count_is_that_of_every_grid_at_which_two_corners_touch_the_edge(size: tuple[float, float]) -> None:
    radius = 60.0
    wafer = {"scribe_mm": 0.1, "edge_mm": 3.0, "wafer_mm": 2 * radius + 6}
    assert gross_dies(*size, **wafer) == slowly(*size, radius)


@given(SIDES, SIDES, st.floats(0, 1), st.floats(0, 1))
def test_no_grid_holds_more(width: float, height: float, x: float, y: float) -> None:
    most = gross_dies(width, height, **WAFER)
    assert on_grid(width, height, x * (width + 0.1), y * (height + 0.1), 147.0) <= most


@given(SIDES, SIDES, st.floats(0, 0.3), st.floats(0, 0.3))
def test_a_larger_die_never_fits_more_often(width: float, height: float, wider: float, higher: float) -> None:
    small, large = gross_dies([width, width * (1 + wider)], [height, height * (1 + higher)], **WAFER)
    assert large <= small


@given(SIDES, SIDES)
def test_a_die_fits_as_often_turned_by_a_right_angle(width: float, height: float) -> None:
    assert gross_dies(width, height, **WAFER) == gross_dies(height, width, **WAFER)


def test_a_die_of_the_wafers_size_fits_once_and_a_larger_one_not_at_all() -> None:
    side = 147 * math.sqrt(2)
    assert list(gross_dies([side, side * 1.001, 400], [side, side, 400], **WAFER)) == [1, 0, 0]


def test_counts_by_area_are_those_of_each_die() -> None:
    areas = np.random.default_rng(1).uniform(60, 858, (3, 200))
    width, height = Square(FIELD).sides_mm(areas)
    assert np.allclose(width * height, areas)
    assert width.max() <= 26 and height.max() <= 33 + 1e-9
    found = gross_dies_of_area(areas, field_mm=FIELD, **WAFER)
    assert (found == gross_dies(width, height, **WAFER)).all()
    assert (gross_dies_of_area(areas, field_mm=FIELD, **WAFER) == found).all()
    assert gross_dies_of_area(858, field_mm=FIELD, **WAFER) == 64
    assert gross_dies_of_area([], field_mm=FIELD, **WAFER).shape == (0,)


@given(SIDES, SIDES)
def test_the_count_lies_between_simple_bounds(width: float, height: float) -> None:
    most = int(gross_dies(width, height, **WAFER))
    assert most * width * height <= math.pi * 147**2
    assert most >= on_grid(width, height, 0, 0, 147.0)


def test_a_die_without_a_side_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        gross_dies(0, 10, **WAFER)
