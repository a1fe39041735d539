"""`scoville model` as a user sees it."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from scoville.cli.model import model
from scoville.errors import ModelError
from scoville.transformer import names

app = typer.Typer()
app.command()(model)


@pytest.mark.parametrize("name", names())
def test_every_model_prints_and_its_json_is_json(name: str) -> None:
    text = CliRunner().invoke(app, [name])
    assert text.exit_code == 0, text.output
    assert "per token" in text.output
    answer = json.loads(CliRunner().invoke(app, [name, "--json"]).output)
    assert answer["name"].lower() == name
    assert sum(g["count"] for g in answer["layer_groups"]) > 0


def test_llama_says_what_one_expects_of_it() -> None:
    output = CliRunner().invoke(app, ["llama-3.1-70b"]).output
    assert "GQA, 64 heads, 8 KV heads of 128" in output
    assert "327,680" in output
    assert "Published: 70.6 B" in output
    answer = json.loads(CliRunner().invoke(app, ["llama-3.1-70b", "--json"]).output)
    assert answer["cache_bytes_first_token"] == 327_680
    assert answer["weights"]["bf16"]["total_bytes"] == 2 * answer["parameters"]["total"]


def test_an_unknown_model_is_an_error_of_ours() -> None:
    assert isinstance(CliRunner().invoke(app, ["lama"]).exception, ModelError)
