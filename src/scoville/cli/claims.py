"""`scoville claims`: what was claimed about a chip, beside what the model gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def claims(
    chip: Annotated[str, typer.Argument(help="The chip that the claims are about, such as jalapeno.")],
    samples: Annotated[int, typer.Option(min=10, help="Monte Carlo samples of the facts and the timing error.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the samples.")] = 1,
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "--output", help="Folder for the audits as JSON and their chart.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")] = False,
) -> None:
    """Audit published claims: plausible, plausible only if, contradicted by, or not checkable because."""
    from scoville import facts as known
    from scoville.claims import audit
    from scoville.cli.output import console, working
    from scoville.report.claims import RESULT, show, write
    from scoville.report.folder import as_json, check

    if out is not None:
        check(out, RESULT)  # before the work, not after it
    with working("reading facts") as tell:
        found = audit(known.load(facts or ()), chip, samples=samples, seed=seed, progress=tell)
        if out is not None:
            tell("drawing")
            write(found, out)
    if json:
        typer.echo(as_json(found), nl=False)
        return
    show(found, console())
    if out is not None:
        typer.echo(f"\nWritten: {out}/{RESULT}, {out}/charts/claims.png")
