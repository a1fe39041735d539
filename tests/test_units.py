"""Units: what is written becomes SI and back; a wrong unit teaches the right one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.errors import UnitError
from scoville.units import _ATOMS, _PRINT, example, measure_of, parse, show, to_unit

MEASURED = {
    "bytes_per_s": ("TB/s", "GB/s", "GiB/s", "Gb/s"),
    "bytes": ("GB", "GiB", "MB", "KiB"),
    "flop_per_s": ("TFLOP/s", "PFLOPS", "TOPS"),
    "w": ("W", "kW", "MW"),
    "usd": ("USD", "kUSD", "MUSD", "USD/chip"),
    "usd_per_h": ("USD/h", "USD/GPU-h", "BUSD/yr"),
    "s": ("us", "ms", "h", "years"),
    "usd_per_token": ("USD/Mtok",),
    "usd_per_j": ("USD/kWh",),
    "usd_per_w": ("USD/W", "BUSD/GW", "MUSD/MW"),
    "j_per_byte": ("pJ/bit", "pJ/B"),
    "mm2": ("mm2", "um2", "cm2"),
    "count_per_mm2": ("defects/cm2", "MTr/mm2"),
    "tokens_per_s": ("tok/s", "Btokens/min", "tokens/day"),
    "tokens_per_j": ("tok/s/kW",),
    "flop_per_j": ("TFLOPS/W",),
    "frac": ("%", "frac", "x"),
}
PAIRS = [(measure, unit) for measure, known in MEASURED.items() for unit in known]
numbers = st.floats(1e-6, 1e9).map(lambda x: float(f"{x:.6g}"))


@given(st.sampled_from(PAIRS), numbers)
def test_what_is_written_comes_back(pair: tuple[str, str], number: float) -> None:
    measure, unit = pair
    assert to_unit(parse(f"{number!r} {unit}", measure, "here"), measure, unit) == pytest.approx(number, rel=1e-12)


@given(st.sampled_from(PAIRS), numbers, st.integers(2, 9))
def test_scaling_what_is_written_scales_the_value(pair: tuple[str, str], number: float, k: int) -> None:
    measure, unit = pair
    once, more = (parse(f"{x!r} {unit}", measure, "here") for x in (number, k * number))
    assert more == pytest.approx(k * once, rel=1e-12)


@pytest.mark.parametrize(("measure", "unit"), PAIRS)
def test_a_unit_knows_its_measure(measure: str, unit: str) -> None:
    assert measure_of(unit, "here") == measure


@pytest.mark.parametrize("unit", [u for u in _ATOMS if u])
def test_every_atom_reads_itself(unit: str) -> None:
    measure = measure_of(unit, "here")
    assert parse(f"1 {unit}", measure, "here") == pytest.approx(1 / to_unit(1, measure, unit), rel=1e-12)


@given(st.sampled_from(sorted(_PRINT)), st.floats(1e-9, 1e18))
def test_what_is_shown_can_be_read_and_is_near(measure: str, value: float) -> None:
    # Three digits, so within 0.5 %; below the smallest printed unit digits stay, above the largest commas come in.
    assert parse(show(value, measure), measure, "here") == pytest.approx(value, rel=6e-3)


@pytest.mark.parametrize(
    ("text", "measure", "value"),
    [
        ("3.35 TB/s", "bytes_per_s", 3.35e12),
        ("216 GiB", "bytes", 216 * 2**30),
        ("80 %", "frac", 0.8),
        ("0.8", "frac", 0.8),
        ("8", "count", 8),
        ("0.08 USD/kWh", "usd_per_j", 0.08 / 3.6e6),
        ("3.9 pJ/bit", "j_per_byte", 3.9e-12 * 8),
        ("4.5 %/yr", "count_per_s", 0.045 / (365 * 86400)),
        ("1_000_000 tokens", "tokens", 1e6),
        ("1,979 TFLOP/s", "flop_per_s", 1.979e15),
        ("1e12 tokens/day", "tokens_per_s", 1e12 / 86400),
        ("12.5 MUSD/MW", "usd_per_w", 12.5),
        (".5 ms", "s", 5e-4),
        ("-122 %", "frac", -1.22),
    ],
)
def test_hand_calculations(text: str, measure: str, value: float) -> None:
    assert parse(text, measure, "here") == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "measure", "says"),
    [
        ("3.35 TBs", "bytes_per_s", "here: unknown unit 'TBs'; did you mean 'TB/s'"),
        ("1 km", "s", "here: unknown unit 'km'; expected e.g. '40 ms'"),
        ("80 GB", "bytes_per_s", "here: '80 GB' is in the wrong unit; expected e.g. '3.35 TB/s'"),
        ("700", "w", "here: '700' has no unit; expected e.g. '700 W'"),
        ("fast", "s", "here: 'fast' is not a number with a unit; expected e.g. '40 ms'"),
        ("", "s", "here: '' is not a number with a unit"),
        ("1e999 s", "s", "not a finite number"),
        ("5 %", "usd", "wrong unit"),
        ("5 W//h", "w", "unknown unit"),
    ],
)
def test_what_is_refused(text: str, measure: str, says: str) -> None:
    with pytest.raises(UnitError) as refused:
        parse(text, measure, "here")
    assert says in str(refused.value)


def test_a_value_cannot_be_put_in_a_foreign_unit() -> None:
    with pytest.raises(UnitError, match="'W' cannot express a value in bytes"):
        to_unit(1.0, "bytes", "W")
    with pytest.raises(UnitError, match="here: unit 'kg/USD' has no measure"):
        measure_of("kg/USD", "here")


@pytest.mark.parametrize("measure", [m for m in MEASURED if m not in ("count_per_mm2", "tokens_per_j", "flop_per_j")])
def test_examples_are_good_ones(measure: str) -> None:
    assert math.isfinite(parse(example(measure).split(" or ")[0], measure, "here"))


@pytest.mark.parametrize(
    ("value", "measure", "text"),
    [
        (3.35e12, "bytes_per_s", "3.35 TB/s"),
        (1.234e15, "flop_per_s", "1.23 PFLOP/s"),
        (12e-6, "s", "12 us"),
        (2.5e-7, "usd_per_token", "0.25 USD/Mtok"),
        (0.1234, "frac", "0.123"),
        (123456.0, "count", "123,456"),
    ],
)
def test_how_values_are_shown(value: float, measure: str, text: str) -> None:
    assert show(value, measure) == text
