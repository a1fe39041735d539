"""What each mm2 buys: area given to one block of a design, or taken from it, mapping and batch chosen anew.

A step changes one number of the design, and what follows from it (bandwidths that feed the arrays). Its area is that of
all dies of the package, and its worth the change of the mix's cost. A block whose slope is the most negative is where
the next mm2 should go; at an optimum among whole numbers all slopes are at least 0, but for steps between its grid's.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoville.facts import Facts
from scoville.search.answer import Marginal
from scoville.search.climb import Cost
from scoville.search.space import Part, shown
from scoville.silicon import area, technology
from scoville.silicon.design import Design

Array = NDArray[np.float64]

_SHARE = 0.125  # of SRAM and links, which come in any size
# Block, field of `Design`, its measure, the least step (None: a share of what is there), and what a step is of.
_BLOCKS: tuple[tuple[str, str, str, float | None, str], ...] = (
    ("SRAM", "sram_per_slice_bytes", "bytes", None, "a slice"),
    ("matrix units", "arrays_per_slice_count", "count", 1.0, "arrays a slice"),
    ("slices", "slices_count", "count", 1.0, "slices"),
    ("memory stacks", "stacks_count", "count", 1.0, "stacks"),
    ("scale-up links", "scale_up_bytes_per_s", "bytes_per_s", None, "each way"),
    ("vector units", "vector_lanes_per_slice_count", "count", 16.0, "lanes a slice"),
)


def marginals(part: Part, design: Design, cost: Cost, facts: Facts) -> tuple[Marginal, ...]:
    """One entry for each block that the design has, the one whose mm2 is worth most first."""
    blocks = [b for b in _BLOCKS if float(getattr(design, b[1])) > 0]
    tried = [design]
    for _, field, _, least, _ in blocks:
        here = float(getattr(design, field))
        step = here * _SHARE if least is None else least
        tried += [_with(part, design, field, here + step), _with(part, design, field, here - step)]
    together = side_by_side(tried)
    usd, mm2 = cost(together), silicon_mm2(together, facts)
    found = []
    for i, (block, field, measure, _, of) in enumerate(blocks):
        step = float(getattr(tried[1 + 2 * i], field)) - float(getattr(design, field))
        found.append(_entry(block, f"{shown(step, measure)} {of}", usd, mm2, 1 + 2 * i))
    return tuple(sorted(found, key=lambda m: np.inf if m.relative_frac is None else m.relative_frac))


def silicon_mm2(design: Design, facts: Facts) -> Array:
    """Area of all dies of each package, (n,)."""
    a = area(design, technology(design, facts))
    return np.asarray(design.compute_dies_count * a.compute_die_mm2 + design.io_dies_count * a.io_die_mm2)


def side_by_side(designs: list[Design]) -> Design:
    """Designs that differ in numbers only, as one of shape (n,)."""
    numbers: dict[str, Any] = {
        f.name: np.array([float(getattr(d, f.name)) for d in designs])
        for f in fields(Design)
        if isinstance(getattr(designs[0], f.name), float | int | np.floating)
    }
    return replace(designs[0], **numbers)


def _with(part: Part, design: Design, field: str, value: float) -> Design:
    """The design with another number, and the bandwidths that the reader of designs would derive from it."""
    moved: Any = {field: value}
    return part.fed(replace(design, **moved))


def _entry(block: str, step: str, usd: Array, mm2: Array, more: int) -> Marginal:
    """The block whose two steps are at `more` and after it; the design itself is first."""
    less = more + 1
    d_mm2, d_usd = mm2 - mm2[0], usd - usd[0]
    can = {k: bool(np.isfinite(usd[k])) and abs(d_mm2[k]) > 1e-9 for k in (more, less)}
    next_step = more if can[more] else less if can[less] else None
    slope = None if next_step is None else float(d_usd[next_step] / d_mm2[next_step])
    names = {more: "more", less: "less"}
    return Marginal(
        block=block,
        step=step,
        more_mm2=float(d_mm2[more]) if can[more] else None,
        more_usd_per_token=float(d_usd[more]) if can[more] else None,
        less_mm2=float(d_mm2[less]) if can[less] else None,
        less_usd_per_token=float(d_usd[less]) if can[less] else None,
        usd_per_token_per_mm2=slope,
        relative_frac=None if slope is None else slope * float(mm2[0]) / float(usd[0]) / 100,
        forbidden=", ".join(f"{names[k]} breaks a limit" for k in (more, less) if not can[k]),
    )
