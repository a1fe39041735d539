"""`scoville calibrate`: an engine of one's own from one's own benchmark, or a chip's kernels measured on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoville.cli.output import Stages, print_json, print_table
from scoville.errors import MeasurementError

if TYPE_CHECKING:
    from scoville.validation.own_engine import Calibration
    from scoville.validation.scores import Score, Validation


def calibrate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE.csv]", help="Measured runs, a figure a row: docs/validation.md.")
    ] = None,
    engine: Annotated[str, typer.Option(help="What your engine shall be called.")] = "my-engine",
    out: Annotated[
        Path | None,
        typer.Option(help="The file of facts to write, <engine>.toml if left out; with --device the folder."),
    ] = None,
    date: Annotated[str | None, typer.Option(help="When it was measured, YYYY-MM-DD; today if left out.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Measure kernels on this machine instead: cuda (docs/calibration.md).")
    ] = None,
    chip: Annotated[
        str | None, typer.Option(help="With --device: which chip of the facts it is, if its name does not say.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="The config.json of a model of the table; may be given more than once."),
    ] = None,
    facts: Annotated[list[Path] | None, typer.Option(help="Your own facts; may be given more than once.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Runs simulated at a time; the cores if left out.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with SI field names.")] = False,
) -> None:
    """Fit a small correction to your measured runs, and write it as an engine of your own.

    With --device cuda: measure this machine's kernels with PyTorch, and write operator tables.
    """
    if (file is None) == (device is None):
        raise MeasurementError("calibrate: give either a table of measured runs or --device cuda")
    if file is not None:
        _table(file, engine, out, date, model or [], facts or [], threads, json)
    else:
        _device(device or "", chip, out or Path("operators"), date, facts or [], json)


def _table(
    file: Path, engine: str, out: Path | None, date: str | None, models: list[str], facts: list[Path],
    threads: int | None, json: bool,
) -> None:  # fmt: skip
    from datetime import date as calendar

    from scoville import facts as known
    from scoville.cli.validate import named
    from scoville.validation import Deployments, read
    from scoville.validation.own_engine import calibrate as run
    from scoville.validation.own_engine import check_name, engine_toml, pairs

    as_of = _date(date) if date is not None else calendar.today().isoformat()
    target = out or Path(f"{engine}.toml")
    _check_target(target)  # before the work, as the name below
    with Stages() as stages:
        book = known.load(facts)
        check_name(engine, book)
        table = read(file, book, dict(named(text) for text in models))
        deployments = Deployments(book, table.architectures)
        asked = pairs(table)
        if not asked:
            why = f"; the first: {table.unmapped[0].reason}" if table.unmapped else ""
            raise MeasurementError(f"{file}: no row maps, so there is nothing to calibrate with{why}")
        found: list[tuple[str, Calibration]] = []
        texts = []
        for i, (family, accelerator) in enumerate(asked):
            name = engine if len(asked) == 1 else f"{engine}-{family}-{accelerator}"

            def show(stage: str, done: float = i / len(asked), what: str = f"{family} on {accelerator}") -> None:
                stages.show(f"{what}, {stage}", done)

            one = run(table, deployments, family, accelerator, threads=threads, progress=show)
            texts.append(engine_toml(name, one, book, file.name, as_of))
            found.append((name, one))
    target.write_text("\n".join(texts), encoding="utf-8")
    unmapped = len(table.unmapped)
    if json:
        print_json({"file": str(target), "unmapped_count": unmapped, "engines": [_record(n, c) for n, c in found]})
        return
    for name, one in found:
        _show(name, one)
    if unmapped:
        typer.echo(f"{unmapped} of {len(table.rows)} rows did not map; `scoville validate {file}` says why.\n")
    typer.echo(f"Written: {target}. Use it: scoville simulate ... --facts {target} --engine {found[0][0]}")


def _check_target(path: Path) -> None:
    """Raises MeasurementError where no file of facts can be written."""
    if path.suffix != ".toml" or path.is_dir():
        raise MeasurementError(f"--out: '{path}' is no file of facts; expected a name that ends in .toml")
    if not path.parent.is_dir():
        raise MeasurementError(f"--out: '{path.parent}' is no folder; make it, or write elsewhere")


def _device(device: str, chip: str | None, out: Path, date: str | None, facts: list[Path], json: bool) -> None:
    from datetime import date as calendar

    from scoville import facts as known
    from scoville.report.folder import check, replaced
    from scoville.timing.measured.tables import OPERATORS
    from scoville.validation import device as here

    if device != "cuda":
        raise MeasurementError(f"--device: '{device}' is unknown; allowed: cuda, PyTorch's word for AMD's GPUs as well")
    as_of = _date(date) if date is not None else calendar.today().isoformat()
    check(out, here.RESULT)
    torch = here.torch_module()
    name = here.cuda(torch)
    with Stages() as stages:
        book = known.load(facts)
        at = here.machine(torch, here.chip_of(chip or name, book), device, as_of)
        rows = here.measure(torch, device, here.Shapes(), stages.show)
        stages.show("fitting", 1.0)
        with replaced(out, here.RESULT) as new:
            files = [str(path.relative_to(new)) for path in (*here.write(new, at, rows), *here.fitted(new, book))]
    missing = here.left_out(torch, device)
    if json:
        print_json({"folder": str(out), "machine": at, "files": files, "copy": rows["copy"], "left_out": missing})
        return
    print_table(
        ("", "figures"), [(table.replace("_", " "), len(found)) for table, found in rows.items()],
        title=f"{at.chip}: {at.devices_count} x {at.device}, driver {at.driver or 'unknown'}, PyTorch {at.torch}",
    )  # fmt: skip
    fastest = max(row["bytes_per_s"] for row in rows["copy"])
    typer.echo(f"\nA copy moves {fastest / 1e12:.3g} TB/s, read and written.")
    for what, why in missing.items():
        typer.echo(f"Not measured: {what}; {why}.")
    typer.echo(f"Written: {out}. Use it: {OPERATORS}={out} scoville ...")


def _date(text: str) -> str:
    from datetime import date as calendar

    try:
        return calendar.fromisoformat(text).isoformat()
    except ValueError:
        raise MeasurementError(f"--date: '{text}' is no date; expected YYYY-MM-DD") from None


def _scores(found: Validation) -> tuple[Score, ...]:
    from scoville.report.validation import summarise

    return summarise(found).overall


def _record(name: str, c: Calibration) -> dict[str, Any]:
    from scoville.validation.calibrate import NAMES

    k = c.correction
    numbers = {
        field: {"value": getattr(k, field), "standard_error": k.errors[i], "fitted": n.fitted}
        for i, (field, n) in enumerate(zip(NAMES, c.numbers, strict=True))
    }
    return {
        "engine": name, "family": c.family, "accelerator": c.accelerator, "rows_count": k.rows_count,
        "numbers": numbers, "before": _scores(c.before), "after": _scores(c.after), "warnings": c.warnings,
    }  # fmt: skip


def _show(name: str, c: Calibration) -> None:
    count = c.correction.rows_count
    print_table(
        ("", "preset", "fitted", "standard error", "unit"),
        [
            (n.name, n.shown(n.usual), *(map(n.shown, (n.value, n.error)) if n.fitted else ("not fitted", "")), n.unit)
            for n in c.numbers
        ],
        title=f"{name}: {c.family} on {c.accelerator}, {count} figure{'s' if count > 1 else ''}",
    )  # fmt: skip
    typer.echo("")
    rows: list[Sequence[str | float]] = [
        (f"{s.group}, {when}", s.rows_count, *(f"{x:.1%}" for x in (s.mean_frac, s.median_frac)),
         f"{s.bias_frac:+.1%}", f"{s.within_frac:.0%}")
        for when, scores in (("before", _scores(c.before)), ("after", _scores(c.after)))
        for s in scores
    ]  # fmt: skip
    print_table(("metric", "rows", "mean error", "median", "bias", "within 20%"), sorted(rows, key=_metric_first))
    typer.echo("\nAfter is in sample: on the figures that it was fitted to.")
    for said in c.warnings:
        typer.echo(f"Careful: {said}.")
    typer.echo("")


def _metric_first(row: Sequence[str | float]) -> tuple[str, bool]:
    metric, _, when = str(row[0]).rpartition(", ")
    return metric, when == "after"
