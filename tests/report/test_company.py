"""A company's years as charts and in the terminal: titles say what the figures say, nothing is cut."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scoville.facts import load
from scoville.report import theme
from scoville.report.charts.company import charts
from scoville.report.company import parts
from scoville.study.company import company
from scoville.study.company_answer import CompanyAnswer, Fan

SHIPPED = Path(__file__).resolve().parents[2] / "studies" / "frontier-lab.toml"


@pytest.fixture(scope="module")
def answer() -> CompanyAnswer:
    return company(SHIPPED, load())


def headed(answer: CompanyAnswer) -> dict[str, str]:
    return {name: " ".join(theme.specification(chart)["title"]["text"]) for name, chart in charts(answer).items()}


def _drawn(spec: Any) -> list[list[dict[str, Any]]]:
    """The rows of every layer, stated in it or shared by name."""
    named = spec.get("datasets", {})
    found = [spec, *spec["layer"]]
    return [d["values"] if "values" in d else named[d["name"]] for part in found if (d := part.get("data"))]


def without_loss(fan: Fan) -> Fan:
    """The same fan, every year 300 BUSD better."""
    shifted = {name: tuple(x + 300e9 for x in getattr(fan, name)) for name in ("central", "p10", "p50", "p90")}
    return replace(fan, **shifted)


def test_titles_say_what_the_figures_say(answer: CompanyAnswer) -> None:
    titles = headed(answer)
    loss = answer.fan("operating result, all bought").p50[-1] / 1e9
    assert titles["revenue"] == "Revenue is planned to grow from 13 to 280 BUSD in 5 years"
    assert f"from {loss:.0f} to" in titles["result"]
    assert titles["saving"] == f"In the middle of the samples no claim saves the {-loss:.0f} BUSD that 2030 lacks"
    assert answer.drivers[0].label in titles["decides"]


def test_titles_follow_other_figures(answer: CompanyAnswer) -> None:
    fans = tuple(without_loss(f) if f.name.startswith("operating result") else f for f in answer.fans)
    assert headed(replace(answer, fans=fans))["saving"] == "2030 is profitable without the chip"
    assert "decides" not in charts(replace(answer, drivers=()))


def test_every_fan_has_a_band_a_line_and_its_years(answer: CompanyAnswer) -> None:
    for name in ("revenue", "inference", "result"):
        spec: Any = theme.specification(charts(answer)[name])
        kinds = {layer["mark"]["type"] for layer in spec["layer"]}
        assert {"area", "line", "point", "text"} <= kinds, name
        rows = next(r for r in _drawn(spec) if r and "low" in r[0])
        assert {r["year"] for r in rows} == set(answer.years), name
        assert all(r["low"] <= r["p50"] <= r["high"] for r in rows), name


def test_the_terminal_shows_every_claim_year_and_source(answer: CompanyAnswer) -> None:
    out = StringIO()
    console = Console(file=out, width=230)
    for part in parts(answer):
        console.print(part)
    text = out.getvalue()
    assert all(c.name in text for c in answer.claims)
    assert all(str(year) in text for year in answer.years)
    assert re.findall(r"\b(?:nan|inf)\b", text) == [], "a figure that is none is shown"
    assert "no share" in text, "parity needs no share, it never pays"
