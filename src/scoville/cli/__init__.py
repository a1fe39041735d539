"""The command line: `scoville COMMAND`. It joins the rooms, prints their records, and holds no arithmetic.

One module per command; each imports its rooms inside the function, so that `scoville --help` stays quick.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scoville import __version__
from scoville.cli import (
    calibrate,
    chip,
    claims,
    company,
    design,
    facts,
    model,
    own,
    predict,
    simulate,
    study,
    traffic,
    validate,
)
from scoville.errors import ScovilleError

__all__ = ["app", "main"]


class Commands(TyperGroup):
    """Ends a command that failed with one sentence and the exit code that belongs to it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ScovilleError as error:
            typer.echo(f"scoville: {error}", err=True)
            raise typer.Exit(2) from error
        except OSError as error:  # a full disk, a folder that may not be written
            if error.filename is None:
                raise
            typer.echo(f"scoville: {error.filename}: {error.strerror}", err=True)
            raise typer.Exit(2) from error
        except (KeyboardInterrupt, typer.Abort) as stop:
            typer.echo("scoville: interrupted; nothing was left half-written", err=True)
            raise typer.Exit(130) from stop


app = typer.Typer(
    name="scoville",
    cls=Commands,
    help="What every token costs you, on which chip, and whether it pays to own that chip.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: white space instead of boxes, and a third of a second less
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"scoville {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


# The order of `scoville --help`: the whole question first.
app.command(short_help="Answer a question file: what a token costs on every chip")(study.study)
app.command(short_help="One model on one chip in one configuration")(predict.predict)
app.command(
    cls=simulate.Grouped, short_help="Replay a trace on it, request by request: latencies, goodput, highest load"
)(simulate.simulate)
app.command(short_help="Score predictions against a table of measured runs")(validate.validate)
app.command(short_help="Correct an engine by your own measured runs, or measure this machine's kernels")(
    calibrate.calibrate
)
app.command(short_help="Which chip would serve your traffic cheapest: a search over a space of designs")(design.design)
app.command(short_help="What a chip's design comes to: rates, area, power, yield, cost, dates, and a drawing")(
    chip.chip
)
app.command(short_help="Rent, buy or build over years: present value, break-even, regret, who gets the margin")(own.own)
app.command(short_help="Published claims about a chip, beside what the model gives")(claims.claims)
app.command(short_help="A company by year: what its own chips save under which claim, and what decides")(
    company.company
)
app.command(short_help="Figures with their ranges, sources and dates")(facts.facts)
app.add_typer(traffic.app, name="traffic", short_help="Traces: summarise, convert, synthesise, scale to a demand")
app.command(short_help="What a model is made of, how big it is, what a sequence of it holds")(model.model)


def main() -> None:
    """Run the command line and end the process.

    Exit code 0: done; 1: the reader of the output closed it early (`| head`); 2: something the user can put right,
    said in one sentence on stderr; 130: interrupted.
    """
    try:
        try:
            app(prog_name="scoville")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout once more on its way out; give it somewhere that takes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
