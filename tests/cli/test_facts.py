"""`scoville facts` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from scoville.cli.facts import facts
from scoville.errors import FactError

app = typer.Typer()
app.command()(facts)


def output(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.output


def test_all_subjects() -> None:
    text = output()
    assert "48 accelerators" in text
    assert "no: missing memory capacity" in text
    assert "claim-half-cost" in text
    record = json.loads(output("--json"))
    assert {"id": "h100-sxm", "name": "H100 SXM5", "vendor": "NVIDIA"}.items() <= next(
        chip for chip in record["accelerators"] if chip["id"] == "h100-sxm"
    ).items()
    assert record["user_facts"] == []


def test_one_subject() -> None:
    text = output("Jalapeño")
    assert "◐ vendor" in text
    assert "13.4 PFLOP/s" in text
    assert "2026-09 hyperscaler" in text
    assert "default, see `default-link`" in text
    assert "Cannot be timed" not in text
    assert "Cannot be timed: nobody published memory capacity." in output("mtia-400")


@pytest.mark.parametrize("subject", ["openai", "process-n3", "yield-model", "claim-half-cost", "default-range"])
def test_other_subjects_print(subject: str) -> None:
    assert output(subject)
    assert json.loads(output(subject, "--json"))["facts"]


def test_one_fact_in_full() -> None:
    text = output("h100-sxm", "memory_bandwidth")
    for part in ("3.35 TB/s", "3.35e+12 bytes_per_s", "by default for vendor", "gpu-specs.ts", "h100-sxm.toml:"):
        assert part in text
    assert output("h100", "own_hourly").count("USD/h, triangular") == 4
    assert "15% of TDP" in output("b200", "idle_power")
    record = json.loads(output("h100", "memory_bandwidth", "--json"))
    fact = record["facts"][0]
    assert (fact["value"], fact["measure"], fact["written_unit"]) == (3.35e12, "bytes_per_s", "TB/s")
    assert "unit" not in fact


def test_sources_that_nobody_can_look_up_say_so() -> None:
    text = output("tpu-v4")
    assert "fact cards of 36 chips" in " ".join(text.split())
    assert "(secondary copy, not public)" in output("tpu-v4", "memory_capacity")
    assert "cannot be looked up" in output("tpu-v4", "memory_capacity")
    assert "not public" in json.loads(output("tpu-v4", "memory_capacity", "--json"))["facts"][0]["source"]


def test_a_users_file_shows(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[h100.tdp]\nvalue = "650 W"\nsource = "our cap"\nas_of = "2026-11"\nkind = "measured"\n')
    assert "From your files: h100-sxm.tdp" in output("--facts", str(mine))
    assert "our cap (yours)" in output("h100", "--facts", str(mine))
    assert "● measured" in output("h100", "tdp", "--facts", str(mine))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["h1000"], "did you mean 'h100'"),
        (["h100", "memory_bandwith"], "did you mean 'memory_bandwidth'"),
        (["zzz"], "'zzz'; `scoville facts` lists all"),
    ],
)
def test_unknown_names_suggest_the_nearest(words: list[str], says: str) -> None:
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, FactError)
    assert says in str(error)
