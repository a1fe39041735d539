"""Every command that README.md and docs/*.md show is run, so that no document goes stale.

A line `$ scoville ...` in a ```console block is a command; the lines under it are its output, which is not compared.
A block fenced as ```toml my-facts.toml is written to that file first. Each document runs from top to bottom in its
own empty folder, with the project's studies/ in it.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scoville.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))) if path.exists()]
FENCE = re.compile(r"^```(\w+)[ \t]*([^\n]*)\n(.*?)^```", flags=re.M | re.S)


def commands(block: str) -> list[list[str]]:
    """The words of each `$ scoville` line, a trailing backslash joined with the next line, up to a pipe."""
    joined = block.replace("\\\n", " ")
    found = []
    for line in re.findall(r"^\$ scoville\b(.*)$", joined, flags=re.M):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|>")
        lexer.whitespace_split = True
        words = list(lexer)
        end = next((i for i, word in enumerate(words) if set(word) <= {"|", ">"}), len(words))
        found.append(words[:end])
    return found


def test_commands_are_found() -> None:
    block = "$ scoville facts h100-sxm \\\n    --json | head\noutput\n$ scoville study 'a b.toml'\n"
    assert commands(block) == [["facts", "h100-sxm", "--json"], ["study", "a b.toml"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_the_document_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    for language, file, body in FENCE.findall(document.read_text(encoding="utf-8")):
        if language == "console":
            for words in commands(body):
                done = CliRunner().invoke(app, words)
                assert done.exit_code == 0, f"scoville {shlex.join(words)}: {done.output}"
        elif file:
            Path(file).write_text(body, encoding="utf-8")
