"""`scoville own` as a user sees it, with stated rates."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scoville.cli import app

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "own.md"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = re.search(r"^```toml my-own.toml\n(.*?)^```", DOCUMENT.read_text("utf-8"), flags=re.M | re.S)
    assert found is not None
    path = tmp_path / "mine.toml"
    path.write_text(found[1].replace("samples = 200", "samples = 100"), encoding="utf-8")
    return path


def test_tables_answer_every_question(file: Path) -> None:
    done = CliRunner().invoke(app, ["own", str(file)])
    assert done.exit_code == 0, done.output
    for part in (
        "A lab's own chip against GB300", "What each option comes to", "When building breaks even", "Regret:",
        "Rights to stop and to wait", "Who gets it", "Cash flows", "landlord's margin", "Build: tape-out 2025-Q4",
        "Assumptions",
    ):  # fmt: skip
        assert part in done.output, part


def test_json_has_si_names_and_no_infinities(file: Path) -> None:
    done = CliRunner().invoke(app, ["own", str(file), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert [o["name"] for o in found["options"]] == ["Rent", "Rent by the hour", "Buy", "Build"]
    assert len(found["quarters"]) == len(found["lines"][0]["quarters_usd"]) == 33
    assert {"demand_tokens_per_s", "chips_count", "claim_frac"} <= set(found["break_even"][0])


def test_a_clash_is_one_sentence_and_exit_code_2(file: Path) -> None:
    file.write_text(file.read_text("utf-8").replace('tape_out = "2025-11"', 'tape_out = "2028-02"'), encoding="utf-8")
    done = CliRunner().invoke(app, ["own", str(file)])
    assert done.exit_code == 2
    assert "first_chips = 2027-Q4 and option 'Build': tape_out = 2028-02 clash" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_folder_holds_the_answer_and_charts_that_state_their_findings(file: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["own", str(file), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "own.json").read_text("utf-8"))["least_regret"] == "Buy"
    for name in ("spending", "break-even-volume", "break-even-claim"):
        assert (tmp_path / "out" / "charts" / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    refused = CliRunner().invoke(app, ["own", str(file), "--out", str(tmp_path)])
    assert refused.exit_code == 2 and "holds files but no own.json" in refused.stderr


def test_a_missing_file_is_said() -> None:
    done = CliRunner().invoke(app, ["own", "none.toml"])
    assert done.exit_code == 2 and "there is no such study file" in done.stderr
