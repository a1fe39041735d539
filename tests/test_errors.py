"""The tree of errors and the ends of their sentences."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville import errors
from scoville.errors import ScovilleError, nearest


def test_every_error_descends_from_one_and_stands_in_the_tree() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]
    assert all(issubclass(c, ScovilleError) for c in classes)
    assert errors.__doc__ is not None
    assert [c.__name__ for c in classes if c.__name__ not in errors.__doc__] == []


CHIPS = sorted(f"chip-{i}" for i in range(40))


@pytest.mark.parametrize(
    ("name", "known", "end"),
    [
        ("H100-SMX", ["h100-sxm", "b200"], "did you mean 'h100-sxm'?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("tdpp", ["tdp", "TDPs"], "did you mean 'tdp' or 'TDPs'?"),
        ("x", [], "known: "),
        ("zzz", CHIPS, "known: " + ", ".join(CHIPS[:12]) + " ... and 28 more"),
    ],
)
def test_the_nearest_names_or_all(name: str, known: list[str], end: str) -> None:
    assert nearest(name, known) == end
    assert nearest(name, known, otherwise="see there") == (end if end.startswith("did") else "see there")


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6), st.data())
def test_a_known_name_is_suggested_for_itself(known: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(known))
    assert nearest(name, known).startswith("did you mean ")
