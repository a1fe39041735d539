"""What commands share when they print: tables with units in their heads, three significant digits, JSON.

rich is imported where it is used, because `scoville --help` does without it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

_PIPED_WIDTH_COLUMNS = 200


def console(*, stderr: bool = False) -> Console:
    """A rich console as wide as the terminal; output into a pipe or file is never cut to 80 columns."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, width=None if stream.isatty() else _PIPED_WIDTH_COLUMNS, highlight=False, soft_wrap=False
    )


def digits(value: float, significant: int = 3) -> str:
    """A number with at most three significant digits; a dash for what is not known.

    >>> [digits(x) for x in (0.24871, 12.0, 1234.5, 1999999, 0.0, float("nan"))]
    ['0.249', '12', '1,230', '2,000,000', '0', '–']
    """
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    rounded = round(value, significant - 1 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (significant - 1) else f"{rounded:.{significant}g}"


def spread(low: float, high: float) -> str:
    """A range as tables show it, low to high.

    >>> spread(0.2104, 0.3391)
    '0.21–0.339'
    """
    return f"{digits(low)}–{digits(high)}"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | float]], *, title: str = "") -> None:
    """Print rows under heads that carry their unit ("memory, GB"); numbers stand right, words left.

    A float is shown with three significant digits, an int and a str as they are. A column stands right when
    any of its cells is a number; where every head is empty, no line is spent on them.
    """
    from rich.table import Table
    from rich.text import Text

    lines = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=any(columns))
    for i, head in enumerate(columns):
        number = any(isinstance(line[i], int | float) for line in lines)
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for line in lines:
        table.add_row(*(Text(digits(cell) if isinstance(cell, float) else str(cell)) for cell in line))
    out = console()
    if title:
        out.print(Text(title, style="bold"), Text(""), sep="\n")
    out.print(table)


def print_json(record: Any) -> None:
    """Print records as JSON with their SI field names; what is not known (NaN) becomes null."""
    typer.echo(json.dumps(plain(record), indent=2, ensure_ascii=False, allow_nan=False))


def plain(record: Any) -> Any:
    """Records, mappings, arrays and paths as what JSON knows: dict, list, str, int, float, bool and None.

    >>> plain({("fp4", "bf16"): float("nan")})
    {'fp4/bf16': None}
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: plain(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {"/".join(k) if isinstance(k, tuple) else str(k): plain(v) for k, v in record.items()}
    if isinstance(record, float):
        return record if math.isfinite(record) else None
    if record is None or isinstance(record, str | int):
        return record
    if isinstance(record, Path):
        return str(record)
    if hasattr(record, "tolist"):  # a NumPy array or scalar
        return plain(record.tolist())
    if isinstance(record, Iterable):
        return [plain(item) for item in record]
    raise TypeError(f"{type(record).__name__} has no JSON form")


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """A moving mark on stderr, if that is a terminal, while the block runs; call what it yields to name what begins."""
    with console(stderr=True).status(what) as status:
        yield status.update


class Stages:
    """Progress of long work on stderr, while it runs and only on a terminal: stage and share done."""

    def __enter__(self) -> Stages:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"),
            console=console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._progress.__enter__()
        self._task = self._progress.add_task("reading", total=1.0)
        return self

    def show(self, stage: str, done: float) -> None:
        """The stage that begins, and the share of the work that is done."""
        self._progress.update(self._task, description=stage, completed=done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)
