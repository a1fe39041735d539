"""Titles are findings that hold for the answer at hand; every chart compiles, for awkward answers too."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import sample

from scoville.report import charts, theme, wording
from scoville.report.charts import cost, hangs, margin, roof, speed
from scoville.study.answer import Answer, Driver, Layer, Price, Roof, Row, Waterfall


def only(*chips: str, **changes: object) -> Answer:
    """The sample with these rows alone, and their points."""
    answer = sample.answer()
    answer = replace(
        answer,
        rows=tuple(r for r in answer.rows if r.accelerator in chips),
        pareto=tuple(p for p in answer.pareto if p.accelerator in chips),
        cheapest_rent="",
        cheapest_own="",
    )
    return replace(answer, **changes)  # type: ignore[arg-type]


def without_rent(answer: Answer) -> Answer:
    rows = tuple(replace(r, rent=None, not_rented="nobody rents it") for r in answer.rows)
    pareto = tuple(replace(p, rent_usd_per_token=None) for p in answer.pareto)
    return replace(answer, rows=rows, pareto=pareto, cheapest_rent="")


def nothing_feasible() -> Answer:
    return only("vr200-nvl72", waterfall=None, drivers=(), operators=(), roofs=(), findings=())


AWKWARD: dict[str, Callable[[], Answer]] = {
    "whole": sample.answer,
    "one chip": lambda: only("b200-sxm"),
    "nobody rents": lambda: without_rent(sample.answer()),
    "only the one that nobody rents": lambda: only("jalapeno"),
    "nothing feasible": nothing_feasible,
    "log axis": lambda: only("h100-sxm", "jalapeno", rows=spread_out()),
    "one layer": lambda: replace(sample.answer(), waterfall=one_layer()),
    "no traffic limits": lambda: replace(sample.answer(), ttft_target_s=0.0, tpot_target_s=0.0),
}


def dearer(price: Price | None, factor: float) -> Price | None:
    if price is None:
        return None
    r = price.all
    return replace(price, all=replace(r, p10=r.p10 * factor, central=r.central * factor, p90=r.p90 * factor))


def spread_out() -> tuple[Row, ...]:
    return tuple(
        replace(r, own=dearer(r.own, 100.0)) if r.accelerator == "h100-sxm" else r
        for r in sample.rows()
        if r.accelerator in ("h100-sxm", "jalapeno")
    )


def one_layer() -> Waterfall:
    fall = sample.waterfall()
    return replace(fall, layers=(Layer("owner's cost, not split", fall.total),))


@pytest.mark.parametrize("make", AWKWARD.values(), ids=AWKWARD.keys())
def test_every_chart_is_valid_and_compiles(make: Callable[[], Answer]) -> None:
    import vl_convert

    for name, chart in charts.charts(make()).items():
        chart.to_dict(validate=True)
        vega = vl_convert.vegalite_to_svg(theme.specification(chart))
        assert "NaN" not in vega and "undefined" not in vega, name


def test_the_whole_answer_has_all_five_charts_and_an_empty_one_none() -> None:
    assert list(charts.charts(sample.answer())) == [
        "cost-per-token", "cost-against-speed", "margin-waterfall", "roofline", "drivers",
    ]  # fmt: skip
    assert charts.charts(nothing_feasible()) == {}


def test_a_title_names_the_cheapest_of_each_tenure_and_its_lead() -> None:
    # 2.18/3480 against 1.88/4650 and 1.74/3610 USD per hour and token/s: see the rows of the sample.
    assert cost.title(sample.answer()) == (
        "MI355X is cheapest to rent, 2 % below GB300 NVL72; Jalapeño is cheapest to own, 16 % below TPU v7 (Ironwood)"
    )


def test_a_title_for_one_chip_claims_no_lead() -> None:
    assert cost.title(only("b200-sxm")) == "Only B200 SXM can do it: $0.229 rented and $0.183 owned per million tokens"
    assert cost.title(only("jalapeno")) == "Only Jalapeño can do it: $0.112 owned per million tokens"


def test_a_refused_chip_does_not_count_as_a_choice() -> None:
    assert cost.title(only("jalapeno", "vr200-nvl72")).startswith("Only Jalapeño can do it")


def test_a_title_says_when_nobody_rents() -> None:
    assert cost.title(without_rent(sample.answer())) == (
        "Jalapeño is cheapest to own, 16 % below TPU v7 (Ironwood); none is for rent"
    )


def test_only_one_of_several_is_for_rent() -> None:
    assert cost.title(only("b200-sxm", "jalapeno")).startswith("Only B200 SXM is for rent; Jalapeño is cheapest to own")


def test_chips_with_the_same_cost_are_a_tie() -> None:
    rows = tuple(r for r in sample.rows() if r.accelerator in ("b200-sxm", "h200-sxm"))
    rows = tuple(replace(r, own=rows[0].own, rent=rows[0].rent) for r in rows)
    answer = only("b200-sxm", "h200-sxm", rows=rows)
    assert cost.title(answer) == "H200 SXM and B200 SXM are equally cheap to rent and to own"


def test_one_chip_that_wins_both_is_named_once() -> None:
    answer = only("b200-sxm", "h100-sxm", cheapest_rent="b200-sxm", cheapest_own="b200-sxm")
    assert cost.title(answer) == "B200 SXM is cheapest to rent, 49 % below H100 SXM5, and to own, 52 % below H100 SXM5"


def test_the_speed_title_holds_at_the_targets_and_at_twice_the_speed() -> None:
    answer = sample.answer()
    lines = speed.fronts(answer, "own")
    assert speed.title(answer, "own", lines) == (
        "Jalapeño is cheapest to own at the targets, and still at twice the speed, at 1.6 times the cost"
    )


def test_the_target_line_says_that_it_is_of_a_percentile() -> None:
    chart = speed.pareto(sample.answer())
    assert chart is not None
    spec = theme.specification(chart)
    assert "target 30 tokens/s at P95" in str(spec)
    _, _, subtitle, _ = theme.for_page(spec)
    assert "over mean tokens/s per user" in subtitle
    assert "The line is the target at P95, points are means" in subtitle
    free = speed.pareto(replace(sample.answer(), tpot_target_s=0.0))
    assert free is not None
    assert "The line" not in str(theme.specification(free))


def test_the_speed_title_when_no_point_meets_the_targets() -> None:
    answer = sample.answer()
    answer = replace(answer, pareto=tuple(replace(p, meets_targets=False) for p in answer.pareto))
    assert speed.title(answer, "own", speed.fronts(answer, "own")) == "No chip meets the targets at any batch size"


def test_lines_run_along_the_front_only_and_leave_out_what_has_no_price() -> None:
    lines = speed.fronts(sample.answer(), "rent")
    assert "jalapeno" not in lines and "vr200-nvl72" not in lines
    assert all(p.on_front for line in lines.values() for p in line)
    assert all(line == sorted(line, key=lambda p: p.tokens_per_s_per_user) for line in lines.values())


def test_a_chip_keeps_its_colour_whatever_is_refused() -> None:
    answer = sample.answer()
    colours = theme.chip_colours(answer)
    refused = replace(answer, rows=tuple(replace(r, refusal="too slow") for r in answer.rows))
    assert theme.chip_colours(refused) == colours
    assert len(set(colours.values())) == len(colours) == 8


def test_heat_falls_in_lightness_all_the_way() -> None:
    def lightness(colour: str) -> float:
        """CIE L* of an sRGB colour (IEC 61966-2-1, CIE 15)."""
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        return float(116 * y ** (1 / 3) - 16)

    steps = [lightness(theme.heat(2.0 ** (i / 16), (1.0, 4.0))) for i in range(33)]
    assert all(a > b for a, b in itertools.pairwise(steps))
    assert steps[0] > 80 and steps[-1] < 30


def test_a_small_difference_does_not_look_like_a_large_one() -> None:
    low, high = theme.heat_domain(only("b200-sxm"))
    assert high == pytest.approx(4 * low)
    assert theme.heat_domain(nothing_feasible()) == (1.0, 4.0)


def test_no_theme_is_registered_by_importing() -> None:
    import subprocess
    import sys

    code = "import scoville.report.charts, scoville.report.write, sys; print('altair' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_chart_leaves_the_theme_of_its_caller_alone() -> None:
    import altair as alt

    before = alt.theme.active
    for chart in charts.charts(sample.answer()).values():
        theme.specification(chart)
    assert alt.theme.active == before


def test_the_waterfall_ends_at_its_total() -> None:
    fall = sample.waterfall()
    *layers, total = margin._steps(fall)
    assert layers[-1]["end"] == pytest.approx(total["end"])
    assert [a["end"] for a in layers[:-1]] == [b["start"] for b in layers[1:]]
    assert (
        margin.title(sample.answer(), fall)
        == "Memory takes 24 % of a token served on Jalapeño, system and network 18 %"
    )
    assert margin.title(sample.answer(), one_layer()) == "What a token costs on Jalapeño is known only as a whole"


def test_the_roofline_shows_the_cheapest_chip_that_has_a_roof_and_operators() -> None:
    chosen = roof.chosen(sample.answer())
    assert chosen is not None and chosen.accelerator == "jalapeno"
    assert roof.chosen(replace(sample.answer(), operators=())) is None
    assert roof.chosen(replace(sample.answer(), cheapest_own="b200-sxm")) == chosen


def test_the_roofline_title_counts_time_not_operators() -> None:
    answer = sample.answer()
    assert roof.title(answer, list(answer.operators)) == (
        "On Jalapeño, 90 % of decode waits for memory bandwidth and 93 % of prefill waits for compute"
    )


def test_the_driver_title_names_what_moves_most_or_says_that_nothing_does() -> None:
    answer = sample.answer()
    assert hangs.title(answer) == (
        "Price of a Jalapeño in its rack moves the answer most, from 0.0831 to 0.153 USD per million tokens"
    )
    labels = {
        "jalapeno: timing error": "Jalapeño: timing error",
        "terms-hyperscaler: purchase factor": "Hyperscaler terms: purchase factor",
        "site: it life": "Site: life of the IT equipment",
        "timing gemm (5 facts)": "Timing of GEMMs (5 facts)",
        "blackwell: timing error": "Blackwell: timing error",
    }
    for label, words in labels.items():
        named = Driver("a", label, 0.3, 1e-7, 2e-7, "usd_per_token")
        assert hangs.title(replace(answer, drivers=(named,))).startswith(f"{words} moves the answer most")
    flat = Driver("a", "the price of sand", 0.3, 1e-7, 1e-7, "usd_per_token")
    assert hangs.title(replace(answer, drivers=(flat,))) == (
        "No single input moves the answer: even the price of sand leaves it at 0.1"
    )
    twins = (
        Driver("a", "wind", 0.3, 1e-7, 2e-7, "usd_per_token"),
        Driver("b", "rain", 0.3, 1e-7, 2e-7, "usd_per_token"),
    )
    assert hangs.title(replace(answer, drivers=twins)) == (
        "The answer hangs as much on wind as on rain: 30 % of the variance each"
    )


@pytest.mark.parametrize("name", ["cost-per-token", "cost-against-speed", "margin-waterfall", "roofline", "drivers"])
def test_every_picture_says_measure_source_and_date(name: str) -> None:
    answer = sample.answer()
    _, title, subtitle, foot = theme.for_page(theme.specification(charts.charts(answer)[name]))
    assert title and subtitle
    assert answer.study_file in foot and answer.vintage in foot and answer.scoville_version in foot


def test_names_of_operators_do_not_lie_on_each_other() -> None:
    drawn = [p for p in sample.operators() if p.flop_per_byte > 0]
    labels = roof._names(
        drawn, (0.3, 12400.0), (1.8, 24000.0), sample.answer().roofs[0], roof._ceilings([("fp4", 13.4e15)])
    )
    assert sum(1 + int(text.partition(" +")[2] or 0) for text in (x["label"] for x in labels)) == len(drawn)
    assert len({(round(x["x"], 3), round(x["y"], 3)) for x in labels}) == len(labels)


def test_ceilings_of_one_height_share_a_name_that_no_mark_reaches() -> None:
    peaks = {"bf16": 4e15, "fp8": 17.5e15, "int8": 17.5e15}
    answer = replace(sample.answer(), roofs=(Roof("jalapeno", 15.4e12, peaks),))
    chart = roof.roofline(answer)
    assert chart is not None
    spec = theme.specification(chart)
    named = [v for values in spec["datasets"].values() for v in values if "short" in v]
    assert [v["label"] for v in named] == ["bf16 4,000 TFLOP/s", "fp8, int8 17,500 TFLOP/s"]
    left, right = spec["layer"][0]["encoding"]["x"]["scale"]["domain"]
    farthest = max(p.flop_per_byte for p in sample.operators())
    free_px = (theme.WIDTH - 48) * math.log(right / farthest) / math.log(right / left)
    assert free_px > 5.4 * max(len(v["label"]) for v in named) + 20


def test_evidence_that_is_not_known_counts_as_the_weakest() -> None:
    assert theme.evidence_shape("hearsay") == "hollow"
    assert [theme.evidence_shape(k) for k in ("measured", "related", "vendor", "claimed")] == [
        "filled", "half", "half", "hollow",
    ]  # fmt: skip


def test_a_name_that_no_row_has_is_its_own() -> None:
    assert wording.name_of(sample.answer(), "l40s") == "l40s"


def test_charts_say_whose_figures_they_show() -> None:
    answer = sample.answer()
    alone = "By the steady-state estimate alone, without a replay: TPU v7 (Ironwood)."
    for make in (charts.cost_per_token, charts.pareto):
        chart = make(answer)
        assert chart is not None
        assert alone in theme.for_page(theme.specification(chart))[3]
    none = replace(answer, rows=tuple(replace(r, replayed=None, not_replayed="") for r in answer.rows))
    for make in (charts.cost_per_token, charts.pareto):
        chart = make(none)
        assert chart is not None
        assert "steady" not in theme.for_page(theme.specification(chart))[3]
