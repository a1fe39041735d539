"""Tables of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A Markdown table whose first `words` columns are words, the others numbers."""
    lines = [heads, ["---" if i < words else "---:" for i in range(len(heads))], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def percent(frac: float, sign: bool = False) -> str:
    """A share in percent, one digit after the point below 100."""
    return f"{frac:{'+' if sign else ''}.{0 if abs(frac) >= 1 else 1}%}"
