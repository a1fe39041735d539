"""Quantities with units, parsed once at the border; SI inside, and the name says so.

Field and variable names end in the measure of their value, composed from the atoms below with `_per_`:

    _s _h _bytes _flop _w _j _mm _mm2 _usd _tokens _frac _count _kg

so `memory_bytes_per_s`, `energy_j_per_byte`, `rent_usd_per_h`, `price_usd_per_token`. Time inside is in seconds,
except in `_usd_per_h`, the field's habit for hourly prices. Fractions are fractions, never percent.
"""

from __future__ import annotations

import difflib
import math
import re
from functools import cache

from scoville.errors import UnitError, nearest

_YEAR_S = 365 * 86400.0

# Base dimensions: time, information, operations, energy, money, tokens, length, mass.
_Dimension = tuple[int, int, int, int, int, int, int, int]
_BASES = ("s", "byte", "flop", "j", "usd", "token", "mm", "kg")


def _dim(**powers: int) -> _Dimension:
    return tuple(powers.get(b, 0) for b in _BASES)  # type: ignore[return-value]


_NONE = _dim()
_S, _BYTE, _FLOP, _J, _USD, _TOKEN, _MM, _KG = (_dim(**{b: 1}) for b in _BASES)
_MM2 = _dim(mm=2)
_W = _dim(j=1, s=-1)
_HZ = _dim(s=-1)
_RATE = _dim(flop=1, s=-1)

_SI = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SMALL = {"m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_BIN = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_MONEY = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_TOKENS = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}


def _atoms() -> dict[str, tuple[float, _Dimension]]:
    a: dict[str, tuple[float, _Dimension]] = {
        "min": (60.0, _S), "h": (3600.0, _S), "hour": (3600.0, _S), "day": (86400.0, _S), "days": (86400.0, _S),
        "d": (86400.0, _S), "month": (_YEAR_S / 12, _S), "months": (_YEAR_S / 12, _S), "yr": (_YEAR_S, _S),
        "year": (_YEAR_S, _S), "years": (_YEAR_S, _S), "a": (_YEAR_S, _S),
        "mm": (1.0, _MM), "mm2": (1.0, _MM2), "mm²": (1.0, _MM2),
        "cm2": (1e2, _MM2), "cm²": (1e2, _MM2), "um2": (1e-6, _MM2),
        "m2": (1e6, _MM2), "g": (1e-3, _KG), "kg": (1.0, _KG), "t": (1e3, _KG),
        "%": (0.01, _NONE), "frac": (1.0, _NONE), "fraction": (1.0, _NONE), "ratio": (1.0, _NONE), "x": (1.0, _NONE),
    }  # fmt: skip
    for p, f in (_SI | _SMALL).items():
        a[f"{p}s"] = (f, _S)
        a[f"{p}J"] = (f, _J)
        a[f"{p}W"] = (f, _W)
    for p, f in _SI.items():
        a[f"{p}Wh"] = (3600.0 * f, _J)
        a[f"{p}Hz"] = (f, _HZ)
        for name in ("FLOPS", "FLOP/s", "OPS", "OP/s"):
            a[f"{p}{name}"] = (f, _RATE)
        a[f"{p}FLOP"] = (f, _FLOP)
    for p, f in (_SI | _BIN).items():
        a[f"{p}B"] = (f, _BYTE)
        for name in ("b", "bit", "bits"):
            a[f"{p}{name}"] = (f / 8, _BYTE)
    for name in ("byte", "bytes"):
        a[name] = (1.0, _BYTE)
    for p, f in _MONEY.items():
        a[f"{p}USD"] = (f, _USD)
    a["$"] = (1.0, _USD)
    for p, f in _TOKENS.items():
        for name in ("tok", "token", "tokens"):
            a[f"{p}{name}"] = (f, _TOKEN)
    for name in (
        "count", "chips", "chip", "GPU", "GPUs", "nodes", "node", "stack", "stacks", "wafer", "wafers", "die", "dies",
        "package", "packages", "defects", "ranks", "layers", "requests", "request", "users", "user", "racks", "rack",
        "units", "transistors", "Tr", "people", "messages", "lanes", "links",
    ):  # fmt: skip
        a[name] = (1.0, _NONE)
    for p, f in _MONEY.items():
        if p:
            a[f"{p}Tr"] = (f, _NONE)
            a[f"{p}count"] = (f, _NONE)
    return a


_ATOMS = _atoms()
_MEASURES: dict[str, tuple[float, _Dimension]] = {
    "s": (1.0, _S), "h": (3600.0, _S), "bytes": (1.0, _BYTE), "byte": (1.0, _BYTE), "flop": (1.0, _FLOP),
    "w": (1.0, _W), "j": (1.0, _J), "mm": (1.0, _MM), "mm2": (1.0, _MM2), "usd": (1.0, _USD), "tokens": (1.0, _TOKEN),
    "token": (1.0, _TOKEN), "frac": (1.0, _NONE), "count": (1.0, _NONE), "kg": (1.0, _KG),
}  # fmt: skip
_NUMBER = re.compile(r"^\s*([-+]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")


def _multiply(a: _Dimension, b: _Dimension, sign: int) -> _Dimension:
    return tuple(x + sign * y for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def _unit(text: str, where: str, measure: str = "") -> tuple[float, _Dimension]:
    """Factor to base units and dimension of a unit such as 'TB/s', 'USD/GPU/h' or 'USD/GPU-h'.

    The error for an unknown one suggests only units of `measure`, where that is given.
    """
    if text in _ATOMS:
        return _ATOMS[text]
    factor, dimension = 1.0, _NONE
    for i, part in enumerate(text.split("/")):
        sign = 1 if i == 0 else -1
        for atom in re.split(r"[-*· ]", part.strip("()")):
            if atom == "1" or (atom == "" and i == 0):
                continue
            if atom not in _ATOMS:
                raise UnitError(f"{where}: unknown unit '{text}'; {_meant(text, measure)}")
            f, d = _ATOMS[atom]
            factor *= f**sign
            dimension = _multiply(dimension, d, sign)
    return factor, dimension


def _meant(text: str, measure: str) -> str:
    """The end of the error sentence for an unknown unit: the nearest one that fits the measure, else an example."""
    if not measure:
        return nearest(text, _examples())
    known = dict.fromkeys((*_examples(), *_PRINT.get(measure, ())))
    fitting = [u for u in known if _unit(u, u)[1] == _measure(measure)[1]]
    close = difflib.get_close_matches(text, fitting, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"expected e.g. '{example(measure)}'"


def _examples() -> tuple[str, ...]:
    return ("TB/s", "GB/s", "GiB", "GB", "MB", "TFLOP/s", "PFLOP/s", "W", "kW", "MW", "USD", "USD/h", "USD/Mtok",
            "USD/kWh", "ms", "s", "h", "years", "tokens/day", "mm2", "%", "frac", "GHz", "pJ/bit")  # fmt: skip


@cache
def _measure(measure: str) -> tuple[float, _Dimension]:
    factor, dimension = 1.0, _NONE
    head, _, rate = measure.partition("_per_")
    if rate in ("flop_per_s", "bytes_per_s"):  # mm2_per_flop_per_s is an area over a rate
        f, d = _measure(rate)
        g, e = _MEASURES[head]
        return g / f, _multiply(e, d, -1)
    for i, atom in enumerate(measure.split("_per_")):
        f, d = _MEASURES[atom]
        sign = 1 if i == 0 else -1
        factor *= f**sign
        dimension = _multiply(dimension, d, sign)
    return factor, dimension


def parse(text: str, measure: str, where: str) -> float:
    """The value of "3.35 TB/s" in `measure` (a name suffix such as "bytes_per_s").

    `where` names file and field for the error sentence. Percent becomes a fraction. A bare number is accepted only
    for fractions and counts. Raises UnitError on anything else.

    >>> parse("3.35 TB/s", "bytes_per_s", "here")
    3350000000000.0
    >>> parse("80 %", "frac", "here")
    0.8
    """
    m = _NUMBER.match(text)
    if not m:
        raise UnitError(f"{where}: '{text}' is not a number with a unit; expected e.g. '{example(measure)}'")
    number = float(m.group(1).replace(",", "").replace("_", ""))
    if not math.isfinite(number):
        raise UnitError(f"{where}: '{text}' is not a finite number")
    factor, dimension = _measure(measure)
    unit = m.group(2)
    if not unit and dimension != _NONE:
        raise UnitError(f"{where}: '{text}' has no unit; expected e.g. '{example(measure)}'")
    f, d = _unit(unit, where, measure) if unit else (1.0, _NONE)
    if d != dimension:
        raise UnitError(f"{where}: '{text}' is in the wrong unit; expected e.g. '{example(measure)}'")
    # One division of exact powers keeps 10 TB/s at exactly 1e13 where a product of reciprocals would not.
    return number * f if factor == 1.0 else number * (f / factor)


def measure_of(unit: str, where: str) -> str:
    """The measure that a unit belongs to: "TB/s" -> "bytes_per_s", "USD/kWh" -> "usd_per_j", "%" -> "frac"."""
    if unit in ("", "%", "frac", "fraction", "ratio", "x"):
        return "frac"
    measure = _measure_named(_unit(unit, where)[1])
    if measure is None:
        raise UnitError(f"{where}: unit '{unit}' has no measure in scoville.units")
    return measure


@cache
def _measure_named(dimension: _Dimension) -> str | None:
    """The first measure of that dimension, or None; the order decides between W/(FLOP/s) and J/FLOP."""
    for measure in (
        "s", "bytes", "bytes_per_s", "flop", "flop_per_s", "w", "j", "mm2", "usd", "usd_per_h", "tokens",
        "tokens_per_s", "kg", "j_per_byte", "j_per_flop", "usd_per_token", "usd_per_w", "usd_per_j", "usd_per_byte",
        "usd_per_mm2", "mm2_per_byte", "bytes_per_mm2", "tokens_per_j", "kg_per_mm2", "j_per_mm2", "kg_per_j",
        "count_per_mm2", "count_per_s", "mm2_per_flop_per_s", "w_per_flop_per_s", "flop_per_s_per_mm2",
        "w_per_mm2", "usd_per_tokens", "tokens_per_s_per_w", "usd_per_bytes_per_s", "bytes_per_s_per_w", "flop_per_j",
        "mm2_per_bytes_per_s", "flop_per_byte", "mm", "j_per_byte_per_mm", "mm_per_bytes_per_s", "count",
    ):  # fmt: skip
        if _measure(measure)[1] == dimension:
            return measure
    return None


def to_unit(value: float, measure: str, unit: str) -> float:
    """A value in `measure` expressed in `unit`: `to_unit(3.35e12, "bytes_per_s", "TB/s")` is 3.35."""
    factor, dimension = _measure(measure)
    f, d = _unit(unit, unit)
    if d != dimension:
        raise UnitError(f"'{unit}' cannot express a value in {measure}")
    return value * (factor / f)


def example(measure: str) -> str:
    """A quantity a user could have written for this measure, for error sentences."""
    return {
        "bytes_per_s": "3.35 TB/s", "bytes": "80 GB", "flop_per_s": "989 TFLOP/s", "w": "700 W", "usd": "30000 USD",
        "usd_per_h": "2.00 USD/h", "s": "40 ms", "tokens_per_s": "1e12 tokens/day", "frac": "0.8 or 80 %",
        "usd_per_j": "0.08 USD/kWh", "usd_per_w": "12.5 USD/W", "usd_per_token": "0.25 USD/Mtok", "mm2": "814 mm2",
        "count": "8", "j_per_byte": "3.9 pJ/bit", "count_per_s": "1.7 GHz", "tokens": "8192 tokens",
    }.get(measure, "1 " + measure.replace("_per_", "/"))  # fmt: skip


_PRINT: dict[str, tuple[str, ...]] = {
    "s": ("us", "ms", "s", "h", "years"), "bytes": ("B", "kB", "MB", "GB", "TB"),
    "bytes_per_s": ("MB/s", "GB/s", "TB/s"), "flop": ("FLOP", "GFLOP", "TFLOP", "PFLOP"),
    "flop_per_s": ("GFLOP/s", "TFLOP/s", "PFLOP/s"), "w": ("W", "kW", "MW", "GW"), "j": ("J", "kJ", "MJ"),
    "usd": ("USD", "kUSD", "MUSD", "BUSD"), "usd_per_h": ("USD/h",), "usd_per_token": ("USD/Mtok",),
    "usd_per_j": ("USD/kWh",), "usd_per_w": ("USD/W",), "mm2": ("mm2",), "tokens_per_s": ("tokens/s",),
    "j_per_byte": ("pJ/bit",), "usd_per_byte": ("USD/GB",), "j_per_flop": ("pJ/FLOP",),
    "count_per_s": ("Hz", "MHz", "GHz"),
}  # fmt: skip


def show(value: float, measure: str) -> str:
    """At most three significant digits in the largest unit that keeps the number above one: '3.35 TB/s'."""
    unit, scaled = "", value
    for candidate in _PRINT.get(measure, ()):
        s = to_unit(value, measure, candidate)
        if unit and abs(s) < 1:
            break
        unit, scaled = candidate, s
    text = f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:.3g}"
    if measure in ("frac", "count"):
        return text
    return f"{text} {unit or measure.replace('_per_', '/')}"
