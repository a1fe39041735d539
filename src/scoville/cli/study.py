"""`scoville study`: answer a question file, print the answer, and write the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def study(
    file: Annotated[Path, typer.Argument(help="The question, such as studies/own-the-token.toml.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report; results/<study> by default. Replaced when all is written."),
    ] = None,
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON instead of tables.")] = False,
) -> None:
    """What a token costs, on which chip: rented and owned, with ranges, and what the answer hangs on."""
    from scoville import facts as known
    from scoville.cli.output import Stages, console
    from scoville.report.script import Script
    from scoville.report.tables import show
    from scoville.report.write import as_json, write
    from scoville.study import answer, read_question

    question = read_question(file)
    folder = out or Path("results") / file.stem
    with Script() as script, Stages() as stages:
        found = answer(question, known.load(facts or ()), stages.show)
        stages.show("report", 0.97)
        written = write(found, folder, script)
    if json:
        typer.echo(as_json(found), nl=False)
        return
    show(found, console())
    charts = sum(path.suffix == ".png" for path in written)
    typer.echo(f"\nWritten: {folder}/report.html, {charts} charts in {folder}/charts, {folder}/result.json")
