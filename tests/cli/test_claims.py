"""`scoville claims` as a user sees it, on a claim of the user's own that takes no timing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scoville.cli import app

FIELDS = {
    "claimed": "280 TFLOP/s", "claimant": "me", "against": "none named", "basis": "my notes", "chip": "tpu-v4",
    "quantity": "peak_rate", "sense": "about", "format": "bf16",
}  # fmt: skip


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    rows = ['[claim-mine]\ncategory = "claim"\nname = "280 TFLOP/s in bf16"\n']
    rows += [
        f'[claim-mine.{name}]\nvalue = "{value}"\nsource = "me"\nas_of = "2026-11"\nkind = "vendor"\n'
        for name, value in FIELDS.items()
    ]
    file = tmp_path / "mine.toml"
    file.write_text("".join(rows))
    return file


def test_a_claim_is_printed_with_its_source_figures_and_verdict(mine: Path) -> None:
    done = CliRunner().invoke(app, ["claims", "tpu-v4", "--facts", str(mine)])
    assert done.exit_code == 0, done.output
    for part in ("1 claim about TPU v4", "me, 2026-11 (vendor)", "Basis: my notes.", "280", "the claim needs"):
        assert part in done.output, part


def test_json_has_si_names_and_the_claim_with_its_source(mine: Path) -> None:
    done = CliRunner().invoke(app, ["claims", "tpu-v4", "--facts", str(mine), "--json"])
    found = json.loads(done.output)
    (audit,) = found["audits"]
    assert audit["claim"]["claimed"]["value"] == 280e12
    assert audit["claim"]["claimed"]["source"] == "me"
    assert audit["lines"][0]["measure"] == "flop_per_s"
    assert audit["verdict"] in ("plausible", "plausible only if", "contradicted by")


def test_the_folder_holds_json_and_the_chart(mine: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["claims", "tpu-v4", "--facts", str(mine), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "claims.json").read_text())["chip"] == "tpu-v4"
    assert (tmp_path / "out" / "charts" / "claims.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_with_something_else_is_refused_before_the_work(mine: Path, tmp_path: Path) -> None:
    error = CliRunner().invoke(app, ["claims", "tpu-v4", "--facts", str(mine), "--out", str(mine.parent)])
    assert error.exit_code == 2
    assert "holds files but no claims.json" in error.stderr


def test_an_unknown_chip_ends_in_a_sentence() -> None:
    done = CliRunner().invoke(app, ["claims", "jalapena"])
    assert done.exit_code == 2
    assert "unknown accelerator 'jalapena'; did you mean" in done.stderr
