"""The frame of the command line: quick help, one sentence per error, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import typer
from typer.testing import CliRunner

from scoville import __version__
from scoville.cli import Commands, app
from scoville.errors import FactError

HEAVY = ("altair", "fastapi", "numba", "numpy", "polars", "pydantic", "rich", "scipy", "vl_convert")
HELP = f"""
import sys
from scoville.cli import main
sys.argv = ["scoville", "--help"]
try:
    main()
finally:
    print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""


def failing_app(error: BaseException) -> typer.Typer:
    small = typer.Typer(cls=Commands, rich_markup_mode=None)

    @small.callback()
    def root() -> None:
        pass

    @small.command()
    def fail() -> None:
        raise error

    return small


def commands() -> Iterator[tuple[str, ...]]:
    """Every command by its words, sub-commands as well: ("traffic", "show")."""

    def walk(group: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        below = getattr(group, "commands", None)
        if below is None:
            yield words
            return
        for name, command in below.items():
            yield from walk(command, (*words, name))

    yield from walk(typer.main.get_command(app), ())


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage: scoville" in done.stdout
    assert done.stderr.split() == []


def test_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"scoville {__version__}\n")


@pytest.mark.parametrize("words", tuple(commands()), ids=" ".join)
def test_every_command_explains_itself_and_speaks_json(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    assert "--json" in done.output


def test_a_user_error_is_one_sentence_and_exit_code_2() -> None:
    done = CliRunner().invoke(failing_app(FactError("here: unknown chip; known: a, b")), ["fail"])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr == "scoville: here: unknown chip; known: a, b\n"


def test_a_file_that_the_system_refuses_is_one_sentence_too() -> None:
    done = CliRunner().invoke(failing_app(PermissionError(13, "Permission denied", "results")), ["fail"])
    assert (done.exit_code, done.stderr) == (2, "scoville: results: Permission denied\n")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, typer.Abort])
def test_an_interruption_says_so_and_exits_with_130(stop: Callable[[], BaseException]) -> None:
    done = CliRunner().invoke(failing_app(stop()), ["fail"])
    assert done.exit_code == 130
    assert done.stderr == "scoville: interrupted; nothing was left half-written\n"


def test_an_unknown_command_exits_with_2() -> None:
    done = CliRunner().invoke(app, ["sautee"])
    assert done.exit_code == 2
    assert "sautee" in done.stderr


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from scoville.cli import main; main()", "--help"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
