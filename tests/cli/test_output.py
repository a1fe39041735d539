"""Tables and JSON as every command prints them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.cli.output import digits, plain, print_json, print_table


@dataclass(frozen=True)
class Row:
    rent_usd_per_h: float
    samples_s: np.ndarray
    where: Path


@given(st.floats(min_value=1e-12, max_value=1e15))
def test_three_digits_are_within_half_a_percent(value: float) -> None:
    shown = float(digits(value).replace(",", ""))
    assert math.isclose(shown, value, rel_tol=0.00501)
    significant = digits(value).split("e")[0].replace(",", "").replace(".", "").strip("0")
    assert len(significant) <= 3


def test_plain_keeps_names_and_turns_the_unknown_into_null() -> None:
    row = Row(float("nan"), np.array([1.0, math.inf]), Path("a/b"))
    assert plain(row) == {"rent_usd_per_h": None, "samples_s": [1.0, None], "where": "a/b"}
    assert plain({"n": np.float64(2.0), "t": (1, True, None)}) == {"n": 2.0, "t": [1, True, None]}


def test_plain_refuses_what_json_cannot_say() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        plain(object())


def test_json_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"chip": "Jalapeño", "power_w": 700.0})
    assert json.loads(capsys.readouterr().out) == {"chip": "Jalapeño", "power_w": 700.0}


def test_a_table_in_a_pipe_keeps_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    heads = [f"column {i}, GB" for i in range(9)]
    print_table(heads, [["chip [bold]", *[1234.5] * 8]], title="What it costs")
    out = capsys.readouterr().out
    assert out.startswith("What it costs\n")
    assert all(head in out for head in heads)
    assert out.count("1,230") == 8
    assert "chip [bold]" in out
