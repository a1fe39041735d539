"""An entry of a prefix cache, in use or in a list by age."""

from __future__ import annotations

(
    ID,
    REFS,  # running requests that refer to it
    PREVIOUS,
    NEXT,
    SIZE,
) = range(5)
