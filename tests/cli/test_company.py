"""`scoville company` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scoville.cli import app

SHIPPED = Path(__file__).resolve().parents[2] / "studies" / "frontier-lab.toml"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The shipped case by a few samples."""
    file = tmp_path / "lab.toml"
    file.write_text(SHIPPED.read_text("utf-8").replace("samples = 10000", "samples = 400"), encoding="utf-8")
    return file


def test_the_answer_its_years_claims_and_sources_are_printed(study: Path) -> None:
    done = CliRunner().invoke(app, ["company", str(study)])
    assert done.exit_code == 0, done.output
    for part in (
        "A frontier laboratory to 2030", "Without a chip of its own", "operating result, with own chips", "2030",
        "Consumer: tokens, trillions", "Enterprise and API: price of a token, USD/Mtok", "What the chip saves",
        "parity with VR200", "by share of inference", "Beside published figures", "What decides",
        "serving overtakes training after", "capital of own chips", "openai.revenue_2025: FT leak",
    ):  # fmt: skip
        assert part in done.output, part


def test_json_has_every_year_with_its_range_in_si(study: Path) -> None:
    done = CliRunner().invoke(app, ["company", str(study), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["years"] == [2025, 2026, 2027, 2028, 2029, 2030]
    revenue = next(f for f in found["fans"] if f["name"] == "revenue")
    assert (revenue["measure"], revenue["central"][0]) == ("usd", 13.07e9)
    assert revenue["p10"][-1] < revenue["p50"][-1] < revenue["p90"][-1]
    assert found["claims"][-1]["needed"]["central"] is None, "no share is enough at parity"
    assert found["samples_count"] == 400


def test_a_folder_holds_the_answer_and_its_charts(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = CliRunner().invoke(app, ["company", str(study), "--out", str(folder)])
    assert done.exit_code == 0, done.output
    assert f"6 charts in {folder}/charts" in done.output
    assert {p.name for p in folder.glob("charts/*.png")} == {
        "revenue.png", "inference.png", "result.png", "saving.png", "share.png", "decides.png",
    }  # fmt: skip
    assert json.loads((folder / "company.json").read_text("utf-8"))["title"].startswith("A frontier laboratory")


def test_a_folder_with_other_things_is_left_alone(study: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["company", str(study), "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "will not be replaced" in done.output
    assert study.exists()


def test_a_clash_is_one_sentence_and_code_2(study: Path) -> None:
    study.write_text(study.read_text("utf-8").replace("start = 2026", "start = 2029"), encoding="utf-8")
    done = CliRunner().invoke(app, ["company", str(study)])
    assert done.exit_code == 2
    assert "power 2027" in done.output and "start = 2029" in done.output
    assert "Traceback" not in done.output and done.output.count("\n") == 1
