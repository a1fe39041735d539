"""Prices and the month that the study asks for: which price a cost rests on, and whether it is far too late."""

from __future__ import annotations

from collections.abc import Iterable

from scoville.economics import HourlyCost
from scoville.errors import StudyError
from scoville.facts import Accelerator, Fact

_PRICES = ("rent_", "price_", "own_hourly")
_LATE_MONTHS = 12  # prices of chips a year apart are different prices


def price_of(hourly: HourlyCost) -> str:
    """The date, YYYY-MM or YYYY, of the price that an hour's cost rests on; '' where it names none."""
    return next((_date(f) for f in hourly.facts if f.name.startswith(_PRICES)), "")


def months_late(date: str, vintage: str) -> int:
    """Months from the vintage to a later date, negative for an earlier one; a year counts from its January.

    >>> months_late("2026-02", "2019-01"), months_late("2026", "2026-09")
    (85, -8)
    """
    return _months(date) - _months(vintage)


def is_late(date: str, vintage: str) -> bool:
    """Whether a price is of a date more than a year after the vintage."""
    return bool(date) and months_late(date, vintage) > _LATE_MONTHS


def check_vintage(accelerators: Iterable[Accelerator], vintage: str, term: str) -> None:
    """Raise StudyError where all prices, of purchase and of this term of rental, are over a year after the vintage."""
    names = (f"rent_{term}", "price_system", "price_chip", "own_hourly")
    dates = [(_date(f), a.name) for a in accelerators for name in names for f in a.facts.get(name, ())]
    if dates and all(is_late(date, vintage) for date, _ in dates):
        date, name = min(dates)
        raise StudyError(
            f"no price of the accelerators is known for {vintage}; the first is of {date} ({name}): ask for that month "
            f"or a later one"
        )


def _date(fact: Fact) -> str:
    return (fact.vintage or fact.as_of)[:7]


def _months(date: str) -> int:
    return 12 * int(date[:4]) + int(date[5:7] or 1)
