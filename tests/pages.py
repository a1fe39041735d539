"""Rows of a page beside rows that the code makes."""

from __future__ import annotations

import re


def alike(row: str, text: str) -> bool:
    """Whether the page has the row with figures within 15 % (shares and errors within 3 points): the timers' fits move.

    Cells of a row are compared with those of the line that begins with the same cell.
    """
    first = row.split("|")[1]
    for line in text.splitlines():
        if line.startswith(f"|{first}|"):
            pairs = list(
                zip(*(re.findall(r"[-+]?[\d,]*\.?\d+", x.replace(first, "", 1)) for x in (row, line)), strict=True)
            )
            near = [(a, b, _slack(a)) for a, b in pairs]
            values = [(float(a.replace(",", "")), float(b.replace(",", "")), slack) for a, b, slack in near]
            return all(abs(a - b) <= 0.15 * abs(b) + slack for a, b, slack in values)
    return False


def _slack(figure: str) -> float:
    """Points for whole percents and counts below 1,000, tenths for one decimal, thousandths for more."""
    decimals = len(figure.partition(".")[2])
    return 5e-3 if decimals > 1 or "," in figure else 0.3 if decimals else 3.0
