"""A validation in the terminal and as files: rows.parquet, charts/parity.png, validation.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoville.report import theme
from scoville.report.charts.parity import parity
from scoville.report.folder import as_json, pictures, replaced
from scoville.validation.conventions import conventions
from scoville.validation.littles_law import RULE
from scoville.validation.rows import Measured, Unmapped
from scoville.validation.scores import QUEUED, WITHIN_FRAC, Score, Scored, Validation, scores

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console, RenderableType
    from rich.table import Table

RESULT = "validation.json"
ROWS = "rows.parquet"
_WORST_ROWS = 10
_NAMES = {"tpot": "TPOT", "ttft": "TTFT", "throughput": "output throughput"}
_DIRECT, _QUEUED = "TTFT, queueing below half", "TTFT, queueing half or more"


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is worth showing: what was measured and predicted, in `measure`, and what is to be said of it."""

    line: int
    metric: str
    setting: str
    engine: str
    measured: float
    predicted: float
    measure: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why rows were not mapped or not run, how many, and the first line of them."""

    reason: str
    rows_count: int
    line: int


@dataclass(frozen=True)
class Summary:
    """A validation in numbers. Scores by group have "metric: group" as their group; rows are worst first.

    overall      by metric, rows that contradict Little's law left out; with_set_aside with them
    groups       by engine family, model and accelerator together: the groups of a leave-one-group-out fit
    """

    file: str
    rows_count: int
    mapped_count: int
    runs_count: int
    band_frac: float
    overall: tuple[Score, ...]
    with_set_aside: tuple[Score, ...]
    hardware: tuple[Score, ...]
    models: tuple[Score, ...]
    engines: tuple[Score, ...]
    groups: tuple[Score, ...]
    worst: tuple[Row, ...]
    rule: str
    set_aside: tuple[Row, ...]
    impossible: tuple[Row, ...]
    unmapped: tuple[Reason, ...]
    not_run: tuple[Reason, ...]
    assumptions: tuple[str, ...]


def metric_of(row: Scored) -> str:
    """The metric as scores show it: TTFT apart by whether half of it is queueing."""
    if row.row.metric == "ttft":
        return _QUEUED if row.queued else _DIRECT
    return _NAMES[row.row.metric]


def summarise(found: Validation) -> Summary:
    """The scores of a validation, and the rows that need a word."""
    counted = found.in_scores
    run = [r for r in found.rows if not r.reason]

    def by(key: Callable[[Scored], str]) -> tuple[Score, ...]:
        return _by_metric(counted, lambda r: f"{metric_of(r)}: {key(r)}")

    return Summary(
        file=found.table.path.name,
        rows_count=len(found.table.rows),
        mapped_count=len(found.table.mapped),
        runs_count=len({r.row.setting for r in run}),
        band_frac=WITHIN_FRAC,
        overall=_by_metric(counted, metric_of),
        with_set_aside=_by_metric(run, metric_of) if found.set_aside else (),
        hardware=by(lambda r: r.row.setting.accelerator),
        models=by(lambda r: r.row.setting.model),
        engines=by(lambda r: r.row.setting.engine),
        groups=by(lambda r: f"{r.row.setting.engine}, {r.row.setting.model}, {r.row.setting.accelerator}"),
        worst=tuple(_shown(r) for r in found.worst(_WORST_ROWS)),
        rule=RULE,
        set_aside=tuple(_shown(r, r.set_aside) for r in found.set_aside),
        impossible=tuple(_shown(r, r.impossible) for r in found.rows if r.impossible),
        unmapped=_reasons([(u.line, u.reason) for u in found.table.unmapped]),
        not_run=_reasons([(r.row.line, r.reason) for r in found.rows if r.reason]),
        assumptions=_assumptions(found),
    )


def _by_metric(rows: Sequence[Scored], by: Callable[[Scored], str]) -> tuple[Score, ...]:
    """Scores in the order of the metrics, within each worst first."""
    order = [_NAMES["tpot"], _DIRECT, _QUEUED, _NAMES["throughput"]]
    return tuple(s for name in order for s in scores((r for r in rows if metric_of(r) == name), by))


def _shown(r: Scored, said: str = "") -> Row:
    row = r.row
    return Row(row.line, row.metric, str(row.setting), row.words["engine"], row.value, r.value, row.measure, said)


def _reasons(found: Sequence[tuple[int, str]]) -> tuple[Reason, ...]:
    first: dict[str, int] = {}
    for line, reason in found:
        first.setdefault(reason, line)
    return tuple(Reason(reason, n, first[reason]) for reason, n in Counter(r for _, r in found).most_common())


def _assumptions(found: Validation) -> tuple[str, ...]:
    """What the rows do not say and the runs took for granted."""
    mapped = found.table.mapped
    said = [
        "means over all requests of a run, none left out as a warm-up; a closed loop starts with as many requests as "
        "are in flight, all at once, and has 10 for each of them where the row gives no number",
        "the KV cache is in fp8 for TensorRT-LLM's checkpoints in fp8 and NVFP4, else in bf16, unless the row or "
        "a published launch script says otherwise",
    ]
    for one in conventions():
        count = sum(row.convention == one.name for row in mapped)
        if count:
            said.append(f"{one.name}, {count:,} rows: {one.source}")
            used = {one.launch(r.setting.run).source for r in mapped if r.convention == one.name}
            said += [f"{one.name}: {source}" for source in sorted(used - {""})]
    return tuple(said)


# ---- files


def write(summary: Summary, found: Validation, folder: Path) -> list[Path]:
    """Write the validation into `folder` and return its files; an earlier one there is replaced when all is written.

    Raises StudyError where `folder` is a file, holds something that is no validation, or cannot be written.
    """
    with replaced(folder, RESULT) as new:
        (new / RESULT).write_text(as_json(summary), encoding="utf-8")
        frame(found).write_parquet(new / ROWS)
        names = [RESULT, ROWS]
        if found.in_scores:
            names += pictures({"parity": theme.specification(parity(found))}, new)
        (new / "charts").mkdir(exist_ok=True)
    return [folder / name for name in names]


def frame(found: Validation) -> pl.DataFrame:
    """One row per row of the table, in its order: its own words, its setting, measured, predicted, or why not."""
    import polars as pl

    by_line = {r.row.line: r for r in found.rows}
    return pl.DataFrame(
        [_record(row, by_line.get(row.line)) for row in found.table.rows], infer_schema_length=None, strict=False
    )


def _record(row: Measured | Unmapped, scored: Scored | None) -> dict[str, Any]:
    setting = row.setting if isinstance(row, Measured) else None
    made = scored.predicted if scored is not None and not scored.reason else None
    reason = row.reason if isinstance(row, Unmapped) else scored.reason if scored is not None else ""
    p = setting.precision if setting else None
    return {
        "line": row.line,
        **{f"row_{name}": words for name, words in row.words.items()},
        "accelerator": setting.accelerator if setting else None,
        "model": setting.model if setting else None,
        "engine": setting.engine if setting else None,
        "weights": p.weights if p else None,
        "activations": p.activations if p else None,
        "kv": p.kv if p else None,
        "parallelism": str(setting.parallelism) if setting else None,
        "replicas_count": setting.replicas_count if setting else None,
        "input_tokens": setting.input_tokens if setting else None,
        "output_tokens": setting.output_tokens if setting else None,
        "concurrency_count": setting.concurrency if setting else None,
        "requests_count": setting.requests_count if setting else None,
        "shortest_frac": setting.shortest_frac if setting else None,
        "token_budget": setting.token_budget if setting else None,
        "metric": row.metric if isinstance(row, Measured) else None,
        "measure": row.measure if isinstance(row, Measured) else None,
        "measured": row.value if isinstance(row, Measured) else None,
        "predicted": scored.value if scored and made else None,
        "error_frac": scored.error_frac if scored and made else None,
        "queue_s": made.queue_s if made else None,
        "queued": scored.queued if scored and made else None,
        "set_aside": scored.set_aside if scored else "",
        "impossible": scored.impossible if scored else "",
        "reason": reason,
    }


# ---- terminal


def show(summary: Summary, console: Console) -> None:
    """Print the summary, fitted to the width of the console."""
    for part in parts(summary):
        console.print(part)


def parts(s: Summary) -> list[RenderableType]:
    """The summary as rich renderables, with empty lines between its parts."""
    from rich.text import Text

    shown: list[RenderableType] = [
        Text(
            f"{s.file}: {s.mapped_count:,} of {s.rows_count:,} rows map ({s.mapped_count / s.rows_count:.1%}); "
            f"{s.runs_count:,} {'run was' if s.runs_count == 1 else 'runs were'} simulated",
            style="bold",
        ),
    ]
    if s.overall:
        shown += ["", _scores("metric", s.overall, s.band_frac)]
        shown += ["", Text(f"TTFT is scored apart where {QUEUED}.", style="dim")]
        for name, found in (
            ("hardware", s.hardware), ("model", s.models), ("engine", s.engines), ("engine, model, chip", s.groups),
        ):  # fmt: skip
            if len(found) > len(s.overall):  # else there is one group for each metric
                shown += ["", _scores(f"by {name}, worst first", found, s.band_frac)]
        shown += ["", _rows("the rows farthest off", s.worst)]
    if s.set_aside:
        shown += ["", Text(f"{len(s.set_aside)} rows are set aside. {s.rule}.")]
        shown += _said(s.set_aside)
        shown += ["", _scores("with the rows set aside", s.with_set_aside, s.band_frac)]
    if s.impossible:
        shown += ["", Text(f"{len(s.impossible)} rows cannot be as they stand:")]
        shown += _said(s.impossible)
    for what, reasons in (("not mapped", s.unmapped), ("not run", s.not_run)):
        if reasons:
            count = sum(r.rows_count for r in reasons)
            shown += ["", Text(f"{count:,} row{'s were' if count > 1 else ' was'} {what}:")]
            shown += [Text(f"  {r.reason} ({r.rows_count}, the first on line {r.line})") for r in reasons]
    return [*shown, "", *(Text(f"assumed: {said}", style="dim") for said in s.assumptions)]


def _said(rows: Sequence[Row]) -> list[RenderableType]:
    """What is to be said of rows, those of one run together."""
    from rich.text import Text

    lines: dict[str, list[str]] = {}
    for r in rows:
        lines.setdefault(f"{r.setting}: {r.said}", []).append(str(r.line))
    return [Text(f"  line {', '.join(numbers)}: {said}") for said, numbers in lines.items()]


def _scores(head: str, found: Sequence[Score], band_frac: float) -> Table:
    made = _table(head, "rows", "mean error", "median", "bias", f"within {band_frac:.0%}")
    for s in found:
        made.add_row(
            s.group, f"{s.rows_count:,}", f"{s.mean_frac:.1%}", f"{s.median_frac:.1%}", f"{s.bias_frac:+.1%}",
            f"{s.within_frac:.0%}",
        )  # fmt: skip
    return made


def _rows(head: str, found: Sequence[Row]) -> Table:
    made = _table(head, "line", "metric", "measured", "predicted", "ratio")
    for r in found:
        unit, scale = ("ms", 1e3) if r.measure == "s" else ("tokens/s", 1.0)
        made.add_row(
            f"{r.setting} ({r.engine})", str(r.line), _NAMES[r.metric], f"{r.measured * scale:,.4g} {unit}",
            f"{r.predicted * scale:,.4g} {unit}", f"{r.predicted / r.measured:.2f}",
        )  # fmt: skip
    return made


def _table(*heads: str) -> Table:
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if i else "left", overflow="fold")
    return made
