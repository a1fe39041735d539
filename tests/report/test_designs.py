"""The report of a search: titles say what holds, tables fit a terminal, files are replaced at once."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import sample_search
from test_browser import CHROMIUM, FLAGS

from scoville import facts
from scoville.facts import Range
from scoville.report import chip, theme
from scoville.report.charts import volume
from scoville.report.designs import Extras, as_json, charts, sheets, winner, write
from scoville.report.designs import wording as said
from scoville.report.designs.write import page
from scoville.report.script import Script
from scoville.silicon import read_design


@pytest.fixture(scope="module")
def best() -> chip.Shown:
    return chip.built(
        read_design("jalapeno"), facts.load(), "designs/jalapeno.toml", date="2026-09", volume=1e5,
        seller="broadcom_xpu", start="2026-10", samples=100, seed=1,
    )  # fmt: skip


def words(width: int) -> str:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    sheets.show(sample_search.answer(), Console(file=out, width=width))
    return out.getvalue()


def test_no_table_is_wider_than_a_terminal_or_cuts_a_range() -> None:
    for width in (100, 120):
        text = words(width)
        assert max(len(line.rstrip()) for line in text.splitlines()) <= width
        assert not re.search(r"\([\d,.]+–[\d,.]*\s*$", text, flags=re.M), "a range is cut in two"


def test_the_terminal_says_what_was_tried_ruled_out_and_found() -> None:
    text = words(160)
    for expected in (
        "1,000 designs, 100,000 points", "25 % within all limits", "breaks a limit", "50,000    50 %",
        "design 7 (designed)", "Jalapeño (B0) (reference)", "H100 SXM5: Llama-3.1-70B: it does not fit.",
        "off the sweep's by 12 % in the mean, 20 % at worst", "none is so quick", "(more breaks a limit)",
        "slices 64 -> 48", "cannot", "480,000 HBM stacks are enough", "Sweep: a closed form.",
    ):  # fmt: skip
        assert expected in text, expected


def test_what_is_served_is_named_once() -> None:
    lines = dict(said.circumstances(sample_search.answer()))
    assert lines["Serves"].startswith("Llama-3.1-70B: 70B parameters; weights fp8;")
    assert lines["Serves"].endswith("; 50 % of the tokens")


def test_the_winner_is_the_cheapest_by_the_simulator_else_by_the_sweep() -> None:
    answer = sample_search.answer()
    assert winner(answer).number == 7
    none = replace(answer, finalists=tuple(replace(f, mix=None) for f in answer.finalists))
    assert winner(none) is none.best


def test_cost_without_the_one_time_cost_and_its_share_add_up() -> None:
    answer = sample_search.answer()
    won = answer.finalists[0]
    bare, share = said.mixed(answer, won.deployed), said.nre_per_token(answer, won.deployed)
    assert bare is not None and share is not None and won.mix is not None
    assert bare.central + share == pytest.approx(won.mix.central)
    at_asked = dict(charts.volume_points(answer))[answer.volume_count]
    assert at_asked.central == pytest.approx(won.mix.central)


def test_titles_state_findings_that_hold() -> None:
    answer = sample_search.answer()
    assert charts.front_title(answer, answer.served[0]) == (
        "Llama-3.1-70B: The best design serves a million tokens for $0.0500; B200 SXM, the cheapest bought "
        "chip, takes 2.4 times as much"
    )
    points = charts.volume_points(answer)
    rival = said.rivals(answer)[0]
    even = volume.breakeven(points, rival.mix.central if rival.mix else 0.0)
    # Per million tokens 0.035 without it and 0.015 for 100,000 chips: as dear as 0.12 where it is 0.085.
    assert even == pytest.approx(1e5 * 0.015 / 0.085, rel=0.05)
    assert charts.volume_title(answer, points).startswith("The design is cheaper than B200 SXM from 1")
    assert charts.regrets_title(answer) == (
        "A chip made for one of them cannot serve another; one made for the mix at most 3 % more"
    )


def test_a_dearer_design_is_called_dearer() -> None:
    answer = sample_search.answer()
    cheap = sample_search.usd(0.01)
    others = tuple(replace(b, mix=cheap if b.mix else None) for b in answer.bought)
    dear = replace(answer, bought=others)
    assert "stays dearer than" in charts.volume_title(dear, charts.volume_points(dear))
    cheaper = tuple(
        replace(b, deployed=tuple(replace(d, usd_per_token=cheap) if d.usd_per_token else d for d in b.deployed))
        for b in answer.bought
    )
    title = charts.front_title(replace(answer, bought=cheaper), answer.served[0])
    assert title.endswith("takes 80 % less"), "a cheaper chip is said to take a part of a time as much"


def test_the_line_of_designs_never_falls_with_speed() -> None:
    chart = charts.front(sample_search.alone(), sample_search.alone().served[0])
    assert chart is not None
    spec = json.dumps(theme.specification(chart))
    speeds = [float(x) for x in re.findall(r'"speed": (\d+\.?\d*), "usd": [\d.]+, "low"', spec)]
    assert 80.0 not in speeds, "a slower point that costs more than a quicker one is on the line"


def test_charts_have_names_and_every_chip_one_colour() -> None:
    made = charts.charts(sample_search.answer())
    assert list(made) == [
        "cost-against-speed-1", "cost-against-speed-2", "cost-by-layer", "cost-against-volume", "what-a-mm2-buys",
        "regret",
    ]  # fmt: skip
    assert list(charts.charts(sample_search.alone())) == [
        "cost-against-speed", "cost-by-layer", "cost-against-volume", "what-a-mm2-buys",
    ]  # fmt: skip
    hues = charts.colours(sample_search.answer())
    assert len({hues[name] for name in ("B200 SXM", "H100 SXM5", "Jalapeño (B0)", "the best design")}) == 4


def test_the_layer_that_saves_most_is_named_all_of_a_chip_at_once_where_it_is_not_split() -> None:
    answer = sample_search.answer()
    bills = charts.bills(answer)
    assert charts.layers_title(bills).startswith("Of the $0.0700 that the best design saves on a million tokens beside")
    whole = replace(bills[1], layers=(("chip, not split", bills[1].total),))
    assert "Chip, margin, system and network makes a million tokens $0.0850 cheaper" in charts.layers_title(
        (bills[0], whole)
    )
    assert "dearer" in charts.layers_title((bills[1], bills[0]))


def test_what_the_next_mm2_saves_respects_limits() -> None:
    def saves(frac: float) -> Range:
        return Range(frac, frac, frac, "frac")

    free, past, bad = ("stacks", saves(0.01), ""), ("arrays", saves(0.02), "a limit"), ("links", saves(-0.01), "")
    assert charts.marginals_title([free, bad]) == "The next mm2 saves most as stacks"
    assert charts.marginals_title([bad, past, free]).endswith(
        "as stacks; arrays would save more, but a limit forbids them"
    )
    assert charts.marginals_title([bad]) == "No block's next mm2 pays"
    assert charts.marginals_title([bad, past]).startswith("No mm2 more pays that a limit leaves free; arrays")


def test_the_same_chip_at_another_price_keeps_its_colour() -> None:
    answer = sample_search.answer()
    own = replace(answer.bought[2], name="Jalapeño (B0), at the cost of its design")
    hues = charts.colours(replace(answer, bought=(*answer.bought, own)))
    assert hues[own.name] == hues["Jalapeño (B0)"]


def test_layers_add_up_to_the_cost_of_the_mix() -> None:
    for bill in charts.bills(sample_search.answer()):
        assert sum(r.central for _, r in bill.layers) == pytest.approx(bill.total.central), bill.chip


def test_an_answer_without_finalists_that_serve_still_has_a_report(best: chip.Shown) -> None:
    answer = sample_search.answer()
    none = replace(answer, finalists=tuple(replace(f, mix=None, off_frac=None, deployed=()) for f in answer.finalists))
    made = charts.charts(none)
    assert "cost-against-volume" not in made
    assert "No design that was simulated" in charts.front_title(none, none.served[0])
    assert "design 7" in page(none, best, "<svg/>", {}, "")


def test_files_of_a_search(tmp_path: Path, best: chip.Shown) -> None:
    answer, folder = sample_search.alone(), tmp_path / "found"
    written = write(answer, Extras(best, "[x]\n"), folder)
    names = {str(path.relative_to(folder)) for path in written}
    assert names == {
        "report.html", "result.json", "design.toml", "facts.toml", "floorplan.svg", "floorplan.png",
        *(f"charts/{name}.png" for name in charts.charts(answer)),
    }  # fmt: skip
    assert all(path.stat().st_size > 0 for path in written)
    assert tomllib.loads((folder / "design.toml").read_text())["name"] == "made up"
    found = json.loads((folder / "result.json").read_text())
    assert found["feasible_count"] == 25_000
    text = (folder / "report.html").read_text()
    assert "<h1>Design 7 serves at 0.05 USD/Mtok</h1>" in text
    assert "://" not in re.sub(r"http://www\.w3\.org/|<script.*?</script>", "", text, flags=re.S), "the page links"


def test_facts_of_ones_own_are_named_everywhere(best: chip.Shown) -> None:
    from io import StringIO

    from rich.console import Console

    answer, mine = sample_search.answer(), ("process-n3.wafer_price",)
    said_so = "This result uses your own facts: process-n3.wafer_price."
    out = StringIO()
    sheets.show(answer, Console(file=out, width=160), mine)
    assert said_so in out.getvalue()
    assert said_so in page(answer, replace(best, user_facts=mine), "<svg/>", {}, "")
    assert json.loads(as_json(answer, mine))["user_facts"] == list(mine)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_the_page_draws_its_charts_and_breaks_no_policy_of_its_own(tmp_path: Path, best: chip.Shown) -> None:
    assert CHROMIUM is not None
    answer = sample_search.answer()
    specs = {name: theme.specification(chart) for name, chart in charts.charts(answer).items()}
    with Script() as script:
        file = tmp_path / "report.html"
        file.write_text(page(answer, best, chip.drawing(best), specs, script.text()), encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert len(re.findall(r'<svg[^>]*class="marks"', done.stdout)) == len(specs) == 6


def test_words_of_the_answer_are_escaped(best: chip.Shown) -> None:
    attack = "<img src=x onerror=alert(1)>"
    hostile = replace(sample_search.answer(), title=attack, findings=(attack,), approximations=(attack,))
    assert "<img" not in page(hostile, best, "<svg/>", {}, "")
