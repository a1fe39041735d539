"""A floorplan as a drawing to scale: the package seen from above, a colour for each kind of block, areas beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scoville.errors import DesignError
from scoville.report import svg, theme, wording

if TYPE_CHECKING:
    from scoville.silicon.floorplan import Floorplan, Rectangle

FORMATS = (".svg", ".png")
_PNG_SCALE = 2
_Box = tuple[float, float, float, float]

_PX = 980  # the whole picture
_LEGEND_PX = 250
_MARGIN_PX = 24
_HIGHEST_PX = 700  # of the package
_ROW_PX = 21
_DIE = "#f3f5f7"
_STACK = "#dfe4e9"
_LEAST_BORDER_MM = 1.0
_LEAST_ARRAY_PX = 2.5

# What stands on a die: arithmetic blue, memory on it warm, what leaves it in the other colours.
COLOUR: Mapping[str, str] = {
    "matrix units": theme.CATEGORY[0], "vector units": theme.CATEGORY[4], "slice SRAM": theme.CATEGORY[1],
    "shared SRAM": theme.CATEGORY[8], "fabric": theme.CATEGORY[6], "memory PHYs": theme.CATEGORY[3],
    "links": theme.CATEGORY[2], "host link": theme.CATEGORY[5], "die-to-die links": theme.CATEGORY[7],
    "memory site": _STACK,
}  # fmt: skip
_DIES = ("compute die", "I/O die")
_SHORT = {"memory PHYs": "PHY", "memory site": ""}


def draw(
    plan: Floorplan,
    title: str,
    measure: str,
    areas_mm2: Mapping[str, float],
    foot: str,
    *,
    carrier_mm2: float = 0.0,
    arrays_per_slice: int = 1,
) -> str:
    """The drawing as SVG text.

    `areas_mm2` are the blocks of all dies of the package, for the legend; a kind without a rectangle of its own keeps
    the colour of the die. Around dies and memory goes the outline of a carrier of that area (an interposer), as wide on
    all sides. A slice's matrix units are divided into its arrays.
    """
    border = _border_mm(plan, carrier_mm2)
    width, height = plan.width_mm + 2 * border, plan.height_mm + 2 * border
    scale = min((_PX - _LEGEND_PX - 3 * _MARGIN_PX) / width, _HIGHEST_PX / height)
    head = theme.wrapped(title, 90)
    top = _MARGIN_PX + 26 * len(head) + 26
    box = _placed(_MARGIN_PX + scale * border, top + scale * (border + plan.height_mm), scale)
    parts = [svg.text(_MARGIN_PX, _MARGIN_PX + 18 + 26 * i, words, 19, weight=600) for i, words in enumerate(head)]
    parts.append(svg.text(_MARGIN_PX, top - 14, measure, 13, fill=theme.QUIET))
    parts.append(svg.rect(_MARGIN_PX, top, scale * width, scale * height, theme.PAPER, theme.QUIET))
    parts += [_shape(r, box(r)) for r in plan.rectangles]
    parts += [gap for r in plan.rectangles if r.kind == "matrix units" for gap in _gaps(box(r), arrays_per_slice)]
    parts += [svg.rect(*box(r), "none", theme.INK) for r in plan.rectangles if r.kind in _DIES]
    parts += [_name(r, box(r)) for r in plan.rectangles]
    bottom = top + scale * height
    parts += _scale_bar(bottom + 16, scale)
    parts += _legend(_MARGIN_PX + scale * width + 1.5 * _MARGIN_PX, top, areas_mm2, {r.kind for r in plan.rectangles})
    bottom = max(bottom + 40, top + _ROW_PX * (len(areas_mm2) + 3))
    lines = theme.wrapped(foot, 165)
    parts += [svg.text(_MARGIN_PX, bottom + 18 + 15 * i, words, 11, fill=theme.QUIET) for i, words in enumerate(lines)]
    return svg.document(_PX, bottom + 18 + 15 * len(lines) + 6, parts, title)


def write(drawing: str, path: Path) -> None:
    """Write the drawing as SVG or PNG, by the file's ending, see `check`."""
    check(path)
    if path.suffix.lower() == ".svg":
        path.write_text(drawing, encoding="utf-8", newline="\n")
    else:
        import vl_convert

        path.write_bytes(vl_convert.svg_to_png(drawing, scale=_PNG_SCALE))


def check(path: Path) -> None:
    """Raises DesignError for a file that is neither SVG nor PNG by its ending."""
    if path.suffix.lower() not in FORMATS:
        raise DesignError(f"{path}: a floorplan is written as {' or '.join(FORMATS)}; give such a file")


def _placed(left: float, bottom: float, scale: float) -> Callable[[Rectangle], _Box]:
    """Upper left corner and sides of a rectangle in px; the plan's y goes up, the picture's down."""

    def box(r: Rectangle) -> _Box:
        y = bottom - scale * (r.y_mm + r.height_mm)
        return left + scale * r.x_mm, y, scale * r.width_mm, scale * r.height_mm

    return box


def _border_mm(plan: Floorplan, carrier_mm2: float) -> float:
    """How far a carrier of that area reaches beyond the plan on all sides; a little at least."""
    around = plan.width_mm + plan.height_mm
    beyond = max(carrier_mm2 - plan.width_mm * plan.height_mm, 0.0)
    return max((math.sqrt(around**2 + 4 * beyond) - around) / 4, _LEAST_BORDER_MM)


def _shape(r: Rectangle, box: _Box) -> str:
    if r.kind in _DIES:
        return svg.rect(*box, _DIE)
    if r.kind == "slice":
        return svg.rect(*box, _DIE, theme.QUIET, 0.4)
    return svg.rect(*box, COLOUR[r.kind], theme.QUIET if r.kind == "memory site" else theme.PAPER, 0.5)


def _gaps(box: _Box, count: int) -> list[str]:
    """White lines that divide a block into so many arrays of one area, near to squares.

    Rows that hold more of them are higher. None where lines would stand so close that they hide the block.
    """
    x, y, width, height = box
    rows = min(max(round(math.sqrt(count * height / width)), 1), count)
    if min(width * rows, height * count / rows) / count < _LEAST_ARRAY_PX:
        return []
    found = []
    for row in range(rows):
        inside = count // rows + (row < count % rows)
        deep = height * inside / count
        found += [svg.line(x, y, x + width, y, theme.PAPER, 0.6)] if row else []
        edges = (x + width * i / inside for i in range(1, inside))
        found += [svg.line(at, y, at, y + deep, theme.PAPER, 0.6) for at in edges]
        y += deep
    return found


def _name(r: Rectangle, box: _Box) -> str:
    if r.kind in _DIES or r.kind == "slice":
        return ""
    words = _SHORT.get(r.kind, r.kind) or r.name.rpartition(" ")[0].upper()
    return svg.label(*box, words, 11, theme.ink_on(COLOUR[r.kind]))


def _scale_bar(y: float, scale: float) -> list[str]:
    length = 10 * scale
    ends = [svg.line(x, y - 4, x, y + 4, theme.INK) for x in (_MARGIN_PX, _MARGIN_PX + length)]
    bar = svg.line(_MARGIN_PX, y, _MARGIN_PX + length, y, theme.INK, 1.5)
    return [*ends, bar, svg.text(_MARGIN_PX + length + 8, y + 4, "10 mm")]


def _legend(x: float, top: float, areas_mm2: Mapping[str, float], drawn: set[str]) -> list[str]:
    total = sum(areas_mm2.values())
    right = x + _LEGEND_PX - _MARGIN_PX
    parts = [
        svg.text(right - 60, top + 12, "mm2", fill=theme.QUIET, anchor="end"),
        svg.text(right, top + 12, "share", fill=theme.QUIET, anchor="end"),
    ]
    rows = [(k, mm2) for k, mm2 in sorted(areas_mm2.items(), key=lambda item: -item[1]) if mm2 > 0]
    for i, (kind, mm2) in enumerate(rows, 1):
        y = top + 12 + _ROW_PX * i
        parts.append(svg.rect(x, y - 11, 13, 13, COLOUR[kind] if kind in drawn else _DIE, theme.QUIET, 0.5))
        parts.append(svg.text(x + 21, y, kind))
        parts += _numbers(right, y, mm2, mm2 / total, 400)
    y = top + 12 + _ROW_PX * (len(rows) + 1)
    parts.append(svg.line(x, y - 15, right, y - 15, theme.INK))
    parts.append(svg.text(x + 21, y, "all dies", weight=600))
    return parts + _numbers(right, y, total, 1.0, 600)


def _numbers(right: float, y: float, mm2: float, share: float, weight: int) -> list[str]:
    return [
        svg.text(right - 60, y, wording.digits(mm2), anchor="end", weight=weight),
        svg.text(right, y, wording.percent(share), anchor="end", weight=weight),
    ]
