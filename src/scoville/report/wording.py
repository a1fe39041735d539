"""How numbers and short phrases are written, the same in the terminal, on the page and in the charts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from scoville.facts import Range
from scoville.study.answer import Answer, Price, Row
from scoville.units import to_unit

UNKNOWN = "–"
NOT_OFFERED = "not offered"
EVIDENCE = {
    "measured": "measured on this chip",
    "related": "measured on a related chip",
    "unmeasured": "estimated",
    "claimed": "claimed",
}

# What the names of facts and of their shared drivers mean, where the bare words would not say it.
_PLAIN = {
    "price system": "price of the system", "price chip": "price of the chip", "it life": "life of the IT equipment",
    "timing gemm": "timing of GEMMs", "timing moe": "timing of experts", "timing launch": "timing of kernel launches",
    "timing attention decode": "timing of attention in decode",
    "timing attention prefill": "timing of attention in prefill",
    "timing collective latency": "latency of collectives", "timing collective": "timing of collectives",
    "timing overlap": "overlap of collectives",
}  # fmt: skip


def digits(value: float, significant: int = 3) -> str:
    """A number with at most that many significant digits, trailing zeros kept so that columns align.

    >>> [digits(x) for x in (0.31, 12.0, 1234.5, 0.0, float("nan"), -2.5e-7)]
    ['0.310', '12.0', '1,230', '0', '–', '-2.5e-07']
    """
    if not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    rounded = round(value, significant - 1 - exponent)
    exponent = math.floor(math.log10(abs(rounded)))
    if exponent < -4:
        return f"{rounded:.{significant}g}"
    return f"{rounded:,.{max(0, significant - 1 - exponent)}f}"


def plain(value: float) -> str:
    """A number for running text: three significant digits, no trailing zeros.

    >>> plain(30.0), plain(0.25), plain(1234)
    ('30', '0.25', '1,230')
    """
    text = digits(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def whole(value: float) -> str:
    """A count: whole, with three significant digits.

    >>> whole(52.4), whole(12345), whole(3.0)
    ('52', '12,300', '3')
    """
    return digits(value, 3 if abs(value) >= 100 else 2 if abs(value) >= 10 else 1) if math.isfinite(value) else UNKNOWN


def percent(frac: float) -> str:
    """A share as whole percent; the ends are reached only by exactly none and exactly all.

    >>> [percent(x) for x in (0.0, 0.004, 0.61, 0.997, 1.0, float("nan"))]
    ['0 %', '<1 %', '61 %', '>99 %', '100 %', '–']
    """
    if not math.isfinite(frac):
        return UNKNOWN
    if 0 < frac < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < frac < 1 else f"{frac * 100:.0f} %"


def scaled(r: Range, unit: str) -> tuple[float, float, float]:
    """P10, central and P90 in a printed unit ("USD/Mtok", "MW", "tokens/s"); unitless measures stay as they are."""
    if not unit:
        return r.p10, r.central, r.p90
    return to_unit(r.p10, r.measure, unit), to_unit(r.central, r.measure, unit), to_unit(r.p90, r.measure, unit)


def in_words(r: Range, unit: str = "", count: bool = False) -> tuple[str, str]:
    """A range as value and bracket: three digits for the value, two for its bounds where they still enclose it.

    >>> in_words(Range(0.24e-6, 0.312e-6, 0.42e-6, "usd_per_token"), "USD/Mtok")
    ('0.312', '(0.24–0.42)')
    >>> in_words(Range(2.0, 2.0, 2.0, "count"), count=True)
    ('2', '')
    """
    low, centre, high = scaled(r, unit)
    write = whole if count else digits
    if not (math.isfinite(low) and math.isfinite(high)) or (low == centre == high):
        return write(centre), ""
    if count:
        return write(centre), f"({whole(low)}–{whole(high)})"
    for significant in (2, 3):
        bounds = digits(low, significant), digits(high, significant)
        inside = float(bounds[0].replace(",", "")) <= float(digits(centre).replace(",", "")) if centre else True
        if bounds[0] != bounds[1] and inside and float(bounds[1].replace(",", "")) >= centre * 0.9995:
            break
    return digits(centre), f"({bounds[0]}–{bounds[1]})"


def ranged(r: Range, unit: str = "", count: bool = False) -> str:
    """A range in one piece: '0.312 (0.24–0.42)'."""
    return " ".join(part for part in in_words(r, unit, count) if part)


def usd(usd_per_token: float) -> str:
    """Dollars per million tokens: '$0.312'."""
    return "$" + digits(to_unit(usd_per_token, "usd_per_token", "USD/Mtok"))


def counted(n: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "chip"), counted(1200, "request")
    ('1 chip', '1,200 requests')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    all_names = list(names)
    return all_names[0] if len(all_names) == 1 else ", ".join(all_names[:-1]) + " and " + all_names[-1]


def price(row: Row, tenure: str) -> Price | None:
    """The row's price under a tenure ("rent" or "own")."""
    return row.rent if tenure == "rent" else row.own


def priced(answer: Answer, tenure: str) -> list[tuple[Row, Price]]:
    """Rows that have a price under that tenure, in the order of the study."""
    return [(row, p) for row in answer.rows if not row.refusal and (p := price(row, tenure)) is not None]


def cheapest(answer: Answer, accelerator: str) -> tuple[str, ...]:
    """In which tenures that accelerator is the cheapest, in words: ('cheapest to own',)."""
    ends = (("to rent", answer.cheapest_rent), ("to own", answer.cheapest_own))
    return tuple(f"cheapest {words}" for words, winner in ends if winner and winner == accelerator)


def name_of(answer: Answer, accelerator: str) -> str:
    """The accelerator's name; its id where no row has it."""
    return next((row.name for row in answer.rows if row.accelerator == accelerator), accelerator)


def steady_only(answer: Answer) -> list[str]:
    """Which chips have an estimate that no replay corrected, as a sentence; none where all were replayed."""
    names = [row.name for row in answer.rows if row.not_replayed]
    return [f"By the steady-state estimate alone, without a replay: {listed(names)}."] if names else []


def driver(answer: Answer, label: str, *, starting: bool = False) -> str:
    """A driver's label with names and words in the place of ids; `starting` a sentence, it has a capital letter.

    'vr200-nvl72: timing error' is 'VR200 NVL72 (Rubin): timing error', 'terms-hyperscaler: purchase factor' is
    'hyperscaler terms: purchase factor'. A chip's name is never changed.
    """
    subject, colon, rest = label.partition(": ")
    name = name_of(answer, subject) if colon else ""
    if name and any(row.accelerator == subject for row in answer.rows):
        return f"{name}: {_plainly(rest)}"
    if subject.startswith("terms-"):
        subject = subject.removeprefix("terms-") + " terms"
    words = f"{subject}: {_plainly(rest)}" if colon else _plainly(label)
    return words[:1].upper() + words[1:] if starting else words


def _plainly(words: str) -> str:
    for phrase, plain_words in _PLAIN.items():
        words = words.replace(phrase, plain_words)
    return words


def foot(answer: Answer, *more: str) -> str:
    """Source and date below a chart or table, after what is particular to it."""
    owner = f" of a {answer.owner}" if answer.owner else ""
    source = f"{answer.study_file}, prices of {answer.vintage}{owner}, Scoville {answer.scoville_version}"
    return " ".join((*more, f"Source: {source}."))
