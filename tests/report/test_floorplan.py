"""The drawing of a floorplan: to scale, within its frame, areas in the legend, words that fit."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scoville import facts
from scoville.errors import DesignError
from scoville.report import chip, floorplan, svg
from scoville.silicon import read_design

NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", params=["jalapeno", "h100"])
def shown(request: pytest.FixtureRequest) -> chip.Shown:
    return chip.built(
        read_design(request.param), facts.load(), "a file", date="2026-09", volume=1e5, seller="broadcom_xpu",
        start="", samples=100, seed=1,
    )  # fmt: skip


def rectangles(drawing: str) -> list[dict[str, float]]:
    root = ElementTree.fromstring(drawing)
    sides = ("x", "y", "width", "height")
    return [{s: float(r.attrib[s]) for s in sides} for r in root.iter(f"{NAMESPACE}rect")]


def scale_px_per_mm(drawing: str) -> float:
    """From the bar that says 10 mm."""
    lines = [e.attrib for e in ElementTree.fromstring(drawing).iter(f"{NAMESPACE}line")]
    bar = next(e for e in lines if e["stroke-width"] == "1.5")
    return (float(bar["x2"]) - float(bar["x1"])) / 10


def test_the_die_is_drawn_to_the_scale_of_the_bar(shown: chip.Shown) -> None:
    drawing = chip.drawing(shown)
    scale = scale_px_per_mm(drawing)
    die = next(r for r in shown.chip.floorplan.rectangles if r.kind == "compute die")
    sizes = [(r["width"] / scale, r["height"] / scale) for r in rectangles(drawing)]
    assert any(
        w == pytest.approx(die.width_mm, abs=0.02) and h == pytest.approx(die.height_mm, abs=0.02) for w, h in sizes
    ), "no rectangle has the sides of the compute die"


def test_everything_lies_within_the_picture(shown: chip.Shown) -> None:
    drawing = chip.drawing(shown)
    root = ElementTree.fromstring(drawing)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(
        r["x"] >= 0 and r["y"] >= 0 and r["x"] + r["width"] <= width + 0.01 and r["y"] + r["height"] <= height + 0.01
        for r in rectangles(drawing)
    )
    for words in root.iter(f"{NAMESPACE}text"):
        if words.attrib["text-anchor"] == "start":
            end = float(words.attrib["x"]) + svg.width_px(words.text or "", 0.9 * float(words.attrib["font-size"]))
            assert end <= width, words.text


def test_every_block_of_the_die_has_its_area_in_the_legend(shown: chip.Shown) -> None:
    text = " ".join(e.text or "" for e in ElementTree.fromstring(chip.drawing(shown)).iter(f"{NAMESPACE}text"))
    for name, r in shown.chip.area.items():
        if r.central > 0:
            assert name in text
    assert "10 mm" in text and "all dies" in text and "100 %" in text


def test_every_slice_shows_its_arrays(shown: chip.Shown) -> None:
    lines = [e.attrib for e in ElementTree.fromstring(chip.drawing(shown)).iter(f"{NAMESPACE}line")]
    between = sum(e["stroke-width"] == "0.6" for e in lines)
    design = shown.chip.design
    assert between == design.slices_count * (design.arrays_per_slice_count - 1)


def test_names_that_do_not_fit_are_left_out() -> None:
    assert svg.label(0, 0, 10, 10, "matrix units", 11, "#000000") == ""
    assert "rotate" in svg.label(0, 0, 20, 200, "matrix units", 11, "#000000")
    assert "rotate" not in svg.label(0, 0, 200, 20, "matrix units", 11, "#000000")


def test_words_are_escaped() -> None:
    assert "<script" not in svg.text(0, 0, "<script>alert(1)</script>")
    assert "<b>" not in svg.document(10, 10, [], "<b>")


def test_a_picture_is_svg_or_png(tmp_path: Path, shown: chip.Shown) -> None:
    drawing = chip.drawing(shown)
    floorplan.write(drawing, tmp_path / "plan.svg")
    assert (tmp_path / "plan.svg").read_text().startswith("<svg")
    floorplan.write(drawing, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(DesignError, match=re.escape(".svg or .png")):
        floorplan.write(drawing, tmp_path / "plan.pdf")
