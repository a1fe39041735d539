"""`scoville chip`: what a chip's design comes to: rates, area, power, yield, cost, dates, and a floorplan to scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def chip(
    design: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A bundled design, such as jalapeno, or a TOML file of one.")
    ],
    date: Annotated[str, typer.Option(help="Month of the prices, YYYY-MM.")] = "2026-09",
    volume: Annotated[str, typer.Option(help="Chips that share the one-time cost.")] = "100,000",
    seller: Annotated[
        str, typer.Option(help="Whose margin is on it: a name of the facts vendor-margin, or none.")
    ] = "broadcom_xpu",
    start: Annotated[
        str, typer.Option(help="Month in which the programme begins; if left out, volume is reached in --date.")
    ] = "",
    floorplan: Annotated[Path | None, typer.Option(help="Draw it to scale into this .svg or .png file.")] = None,
    as_facts: Annotated[
        Path | None, typer.Option(help="Write the chip as a facts file, for every command's --facts.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write chip.json, floorplan and facts file into this folder.")
    ] = None,
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    samples: Annotated[int, typer.Option(min=100, max=100_000, help="Draws of every fact's range.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")] = False,
) -> None:
    """Area, power, yield, cost, one-time cost, dates and carbon of one design, with ranges; limits refuse a bad one."""
    from scoville import facts as known
    from scoville.cli.output import console, working
    from scoville.report import chip as report
    from scoville.report import floorplan as picture
    from scoville.report.folder import check
    from scoville.silicon import read_design
    from scoville.silicon.accelerator import as_facts as facts_of
    from scoville.units import parse

    if floorplan is not None:
        picture.check(floorplan)
    if out is not None:
        check(out, report.RESULT)
    count = parse(volume, "count", "--volume")
    with working(f"building {design}") as now:
        book = known.load(facts or ())
        asked = read_design(design)
        file = Path(design).name if design.endswith(".toml") else f"bundled design {design}"
        shown = report.built(
            asked, book, file, date=date, volume=count, seller=seller, start=start, samples=samples, seed=seed
        )
        text = facts_of(asked, book, date=date, volume=count, seller=seller) if as_facts or out else ""
        written: list[Path] = []
        if floorplan is not None or out is not None:
            now("drawing")
        if floorplan is not None:
            picture.write(report.drawing(shown), floorplan)
            written.append(floorplan)
        if as_facts is not None:
            as_facts.write_text(text, encoding="utf-8", newline="\n")
            written.append(as_facts)
        if out is not None:
            written += report.write(shown, text, out)
    if json:
        typer.echo(report.as_json(shown), nl=False)
        return
    report.show(shown, console())
    if written:
        typer.echo(f"\nWritten: {', '.join(str(path) for path in written)}")
