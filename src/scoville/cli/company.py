"""`scoville company`: the years of a company that serves models, with and without chips of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def company(
    file: Annotated[Path, typer.Argument(help="The question, such as studies/frontier-lab.toml.", show_default=False)],
    modelled: Annotated[
        bool, typer.Option("--modelled", help="Also with the cost per token that this project models; 20 s more.")
    ] = False,
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "--output", help="Folder for the answer as JSON and its charts.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")] = False,
) -> None:
    """Revenue, tokens, compute, costs and capital by year; what own silicon saves, under which claim; what decides."""
    from scoville import facts as known
    from scoville.cli.output import console, working
    from scoville.report.company import RESULT, show, write
    from scoville.report.folder import as_json, check
    from scoville.study.company import company as answered

    if out is not None:
        check(out, RESULT)  # before the work, not after it
    with working("reading facts") as tell:
        found = answered(file, known.load(facts or ()), modelled=modelled, progress=tell)
        written = []
        if out is not None:
            tell("drawing")
            written = write(found, out)
    if json:
        typer.echo(as_json(found), nl=False)
        return
    show(found, console())
    if out is not None:
        typer.echo(f"\nWritten: {out}/{RESULT}, {len(written) - 1} charts in {out}/charts")
