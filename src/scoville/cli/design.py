"""`scoville design`: search a space of chips for the one that serves given traffic cheapest, and write the report."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer


def design(
    file: Annotated[
        Path, typer.Argument(help="The space, such as studies/designs/llama-70b-chat.toml.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report; results/<space> by default. Replaced when all is written."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Folder where finished blocks are kept till the end; beside the report by default."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Sweep and simulate on the Ray cluster at this address.")
    ] = None,
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON instead of tables.")] = False,
) -> None:
    """The chip that serves the traffic at the lowest cost per token, beside bought ones, and what that hangs on.

    An interrupted search goes on where it was when the same command is given again.
    """
    from contextlib import ExitStack

    from scoville import facts as known
    from scoville.cli.output import Stages, console
    from scoville.report.chip import built
    from scoville.report.designs import RESULT, Extras, as_json, show, winner, write
    from scoville.report.folder import check
    from scoville.report.script import Script
    from scoville.search.run import design as search
    from scoville.search.space_file import read_space
    from scoville.search.sweep import here
    from scoville.silicon.accelerator import as_facts
    from scoville.silicon.design import parse_design

    space = read_space(file)
    folder = out or Path("results") / file.stem
    check(folder, RESULT)
    parts = checkpoint or folder.with_name(f".{folder.name}-parts")
    with ExitStack() as stack:
        book = known.load(facts or ())
        spread = here
        if cluster is not None:
            from scoville.search.cluster import Cluster

            spread = stack.enter_context(Cluster(cluster)).spread
        stack.callback(_without, parts)
        script = stack.enter_context(Script())
        stages = stack.enter_context(Stages())
        found = search(space, book, stages.show, checkpoint=parts, spread=spread)
        stages.show("report", 0.99)
        won = winner(found)
        made = parse_design(won.text, f"{won.name} of {file}", f"{file.stem}-best")
        best = built(
            made,
            book,
            f"{won.name} of {file}",
            date=found.vintage,
            volume=won.volume_count,
            seller=space.seller,
            start=found.start,
            samples=found.samples_count,
            seed=found.seed,
        )
        chip = as_facts(made, book, date=found.vintage, volume=won.volume_count, seller=space.seller)
        written = write(found, Extras(best, chip), folder, script)
    if json:
        typer.echo(as_json(found, best.user_facts), nl=False)
        return
    show(found, console(), best.user_facts)
    charts = sum(path.parent.name == "charts" for path in written)
    typer.echo(
        f"\nWritten: {folder}/report.html, {charts} charts in {folder}/charts, {folder}/result.json; the best design: "
        f"design.toml, facts.toml, floorplan.svg and .png there"
    )


def _without(parts: Path) -> None:
    """Remove the checkpoints' folder, empty once the answer is there."""
    with suppress(OSError):
        parts.rmdir()
