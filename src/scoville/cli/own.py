"""`scoville own`: rent, buy, build or buy tokens, over years."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def own(
    file: Annotated[Path, typer.Argument(help="The question, such as studies/own-jalapeno.toml.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Write own.json and charts into this folder.")] = None,
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON instead of tables.")] = False,
) -> None:
    """Does owning pay: present value of every option, pay-back, break-even volume and share of the claim, regret."""
    from scoville import facts as known
    from scoville.cli.output import Stages, console
    from scoville.report.folder import as_json, check
    from scoville.report.own import RESULT, show, write
    from scoville.study.own import own_answer
    from scoville.study.own_question import read_own

    question = read_own(file)
    if out is not None:
        check(out, RESULT)  # before the work, not after it
    with Stages() as stages:
        found = own_answer(question, known.load(facts or ()), stages.show)
        written = [] if out is None else write(found, out)
    if json:
        typer.echo(as_json(found), nl=False)
        return
    show(found, console())
    if written:
        typer.echo(f"\nWritten: {', '.join(str(path) for path in written)}")
