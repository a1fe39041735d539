"""`scoville validate`: a table of measured runs, predicted row by row, and how far off the predictions are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scoville.errors import ModelError


def validate(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv|served", help="Measured runs, a figure a row (docs/validation.md), or the bundled ones."
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="The config.json of a model of the table; may be given more than once."),
    ] = None,
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Runs simulated at a time; the cores if left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the parity plot and the rows as Parquet.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")] = False,
) -> None:
    """Score predictions against measurements: each row's run is simulated with its settings."""
    from scoville import facts as known
    from scoville.cli.output import Stages, console
    from scoville.report.folder import as_json, check
    from scoville.report.validation import RESULT, show, summarise, write
    from scoville.validation import Deployments, read
    from scoville.validation import validate as run
    from scoville.validation.bundled import bundled

    own = dict(named(text) for text in model or ())
    if out is not None:
        check(out, RESULT)  # before the work, not after it
    with Stages() as stages:
        book = known.load(facts or ())
        table = read(file if file.exists() else bundled(str(file)) or file, book, own)
        total = len({row.setting for row in table.mapped})
        found = run(
            table,
            Deployments(book, table.architectures),
            threads=threads,
            progress=lambda done: stages.show(f"{done:,} of {total:,} runs", done / total),
        )
        summary = summarise(found)
        if out is not None:
            stages.show("drawing", 1.0)
            write(summary, found, out)
    if json:
        typer.echo(as_json(summary), nl=False)
        return
    show(summary, console())
    if out is not None:
        typer.echo(f"\nWritten: {out}/rows.parquet, {out}/charts, {out}/{RESULT}")


def named(text: str) -> tuple[str, str]:
    """Name and path of `--model NAME=config.json`. Raises ModelError."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise ModelError(f"--model: '{text}' is not a name and a path; expected NAME=config.json")
    return name, path
