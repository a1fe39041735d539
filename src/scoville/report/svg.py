"""The few shapes and words of a drawing as SVG text."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape, quoteattr

from scoville.report import theme

_FONT = quoteattr(theme.FONT)
_CHARACTER_EM = 0.56  # mean width of a letter, on the wide side


def rect(x: float, y: float, width: float, height: float, fill: str, stroke: str = "", stroke_width: float = 1) -> str:
    """A rectangle, its corner and sides in px."""
    line = f' stroke="{stroke}" stroke-width="{stroke_width:g}"' if stroke else ""
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{fill}"{line}/>'


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1) -> str:
    """A straight line, px."""
    return f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" stroke="{stroke}" stroke-width="{width:g}"/>'


def text(
    x: float, y: float, words: str, size: float = 12, *, fill: str = theme.INK, anchor: str = "start",
    weight: int = 400, turned: bool = False,
) -> str:  # fmt: skip
    """Words with their baseline at (x, y); `turned` reads upwards around that point."""
    turn = f' transform="rotate(-90 {x:.2f} {y:.2f})"' if turned else ""
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" font-family={_FONT} font-size="{size:g}" font-weight="{weight}" '
        f'fill="{fill}" text-anchor="{anchor}"{turn}>{escape(words)}</text>'
    )


def label(x: float, y: float, width: float, height: float, words: str, size: float, fill: str) -> str:
    """Words in the middle of a box, turned where they fit only that way; nothing where they do not fit."""
    long, high = width_px(words, size) + 6, 1.25 * size
    middle_x, middle_y = x + width / 2, y + height / 2
    if long <= width and high <= height:
        return text(middle_x, middle_y + 0.35 * size, words, size, fill=fill, anchor="middle")
    if long <= height and high <= width:
        return text(middle_x + 0.35 * size, middle_y, words, size, fill=fill, anchor="middle", turned=True)
    return ""


def width_px(words: str, size: float) -> float:
    """About how wide words are at a size, px."""
    return _CHARACTER_EM * size * len(words)


def document(width: float, height: float, parts: list[str], title: str) -> str:
    """A whole SVG file on paper white; `title` is for those who cannot see it."""
    width, height = math.ceil(width), math.ceil(height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title>'
    )
    return "\n".join([head, rect(0, 0, width, height, theme.PAPER), *(p for p in parts if p), "</svg>", ""])
