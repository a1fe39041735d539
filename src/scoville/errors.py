"""The one exception tree. Each error is one sentence: what is wrong, where, and what is allowed.

ScovilleError            anything the user can put right; the command line ends with exit code 2
├── UnitError            a quantity that cannot be read, or is in the wrong unit
├── FactError            a fact that is missing, unknown or contradictory
├── TrafficError         a trace that cannot be read or makes no sense
├── ModelError           a model configuration that cannot be understood
├── DeploymentError      a model that does not fit, or targets that cannot be met
├── DesignError          a chip's design, or a space of designs, that breaks a limit
├── MeasurementError     measured runs that cannot be read, or a machine that cannot measure
└── StudyError           a question file that is incomplete or contradictory
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ScovilleError(Exception):
    """Base of every error a user can cause; its text is one sentence with place and remedy."""


class UnitError(ScovilleError):
    """A quantity that cannot be read, or is in the wrong unit."""


class FactError(ScovilleError):
    """A fact that is missing, unknown or contradictory."""


class TrafficError(ScovilleError):
    """A trace that cannot be read or makes no sense."""


class ModelError(ScovilleError):
    """A model configuration that cannot be understood."""


class DeploymentError(ScovilleError):
    """A model that does not fit, or targets that no batch size can meet."""


class DesignError(ScovilleError):
    """A chip's design, or a space of designs: what breaks which limit, and by how much."""


class MeasurementError(ScovilleError):
    """A table of measured runs that cannot be read or holds nothing of use, or a machine that cannot measure."""


class StudyError(ScovilleError):
    """A question file that is incomplete or contradictory."""


_MOST_NAMES = 12


def nearest(name: str, known: Iterable[str], count: int = 3, otherwise: str = "") -> str:
    """The end of an error sentence: the closest known names; else `otherwise`, or the allowed ones, twelve at most.

    >>> nearest("h10-sxm", ["h100-sxm", "b200"])
    "did you mean 'h100-sxm'?"
    >>> nearest("zzz", ["h100-sxm", "b200"])
    'known: b200, h100-sxm'
    >>> nearest("zzz", (f"chip-{i}" for i in range(10, 25)))[-35:]
    '19, chip-20, chip-21 ... and 3 more'
    """
    by_lower = {k.lower(): k for k in sorted(known)}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=count, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"'{by_lower[c]}'" for c in close) + "?"
    if otherwise:
        return otherwise
    names, more = list(by_lower.values())[:_MOST_NAMES], len(by_lower) - _MOST_NAMES
    return "known: " + ", ".join(names) + (f" ... and {more} more" if more > 0 else "")
