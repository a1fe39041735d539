"""Peak rates: cells x 2 x clock x products per cell and clock.

A cell of composed multipliers does the square of the width ratio fewer wide products: an 8-bit product is four 4-bit
ones, a 16-bit product sixteen, which is why FP8 on such a chip has a quarter of the MXFP4 rate.
"""

from __future__ import annotations

from collections.abc import Mapping

from scoville.facts.names import compute_formats
from scoville.silicon.design import Array, Design


def peak_flop_per_s(design: Design) -> Mapping[tuple[str, str], float | Array]:
    """Dense FLOP/s of a package by (weight format, activation format), scalars or shape (n,).

    >>> from scoville.silicon import read_design
    >>> f"{peak_flop_per_s(read_design('jalapeno'))['fp4', 'fp4'] / 1e15:.2f} PFLOP/s"
    '13.37 PFLOP/s'
    """
    cells = design.active_arrays_count * design.rows_count * design.columns_count
    at_one = 2.0 * cells * design.clock_count_per_s
    return {pair(key): at_one * rate for key, rate in design.rate_frac.items()}


def pair(key: str) -> tuple[str, str]:
    """(weight format, activation format) of a key of `rate_frac`: ("fp4", "fp8") of "fp4_fp8"."""
    formats = compute_formats(f"compute_{key}")
    if formats is None:
        raise KeyError(key)
    return formats
