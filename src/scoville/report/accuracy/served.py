"""Served runs of the bundled table: as predicted, with whole groups left out of the fit, and without overheads."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from scoville.facts import Facts
from scoville.report.accuracy.markdown import percent, table
from scoville.report.validation import metric_of
from scoville.validation import Deployments, Scored, Validation, predicted, read, scored, validate
from scoville.validation.bundled import bundled
from scoville.validation.calibrate import NAMES, NONE, Correction, Group, corrected, fit, group_of, left_out
from scoville.validation.littles_law import RULE
from scoville.validation.rows import Table
from scoville.validation.scores import WITHIN_FRAC, score

HOPPER = ("h100-sxm", "h200-sxm")
FITTED = ("sequence_s", "request_s")  # the numbers of a correction that the engine presets have from served runs
_WORST_ROWS = 10
_NO_CAUSE = "no cause found"


@dataclass(frozen=True, slots=True)
class Target:
    """What a metric is to reach with its group left out: mean error at most, and this share of rows within 20 %."""

    name: str
    mean_frac: float | None
    within_frac: float | None
    holds: Callable[[Scored], bool]


def _named(start: str, blackwell: bool | None = None) -> Callable[[Scored], bool]:
    return lambda r: (
        metric_of(r) == start and blackwell in (None, r.row.setting.accelerator not in HOPPER)
    )  # fmt: skip


TARGETS = (
    Target("TPOT", 0.12, 0.85, _named("TPOT")),
    Target("TTFT, queueing below half", 0.30, None, _named("TTFT, queueing below half")),
    Target("TTFT, queueing half or more", None, None, _named("TTFT, queueing half or more")),
    Target("output throughput, Hopper", 0.15, None, _named("output throughput", blackwell=False)),
    Target("output throughput, Blackwell", 0.25, None, _named("output throughput", blackwell=True)),
)


@dataclass(frozen=True, eq=False)
class Served:
    """The bundled runs three times over, rows in the same order, and the corrections in sample by engine family."""

    plain: Validation
    left_out: Validation
    bare: Validation
    corrections: Mapping[str, Correction]

    def parts(self, holds: Callable[[int, Scored], bool]) -> tuple[list[Scored], list[Scored], list[Scored]]:
        """Rows of all three for which `holds` says yes of the place and the row as predicted."""
        chosen = [i for i, r in enumerate(self.plain.rows) if not r.reason and holds(i, r)]
        plain, left_out, bare = (
            [v.rows[i] for i in chosen if not v.rows[i].reason] for v in (self.plain, self.left_out, self.bare)
        )
        return plain, left_out, bare


def deployed(facts: Facts) -> tuple[Table, Deployments]:
    """The bundled table and its deployments."""
    path = bundled("served")
    assert path is not None
    measured = read(path, facts)
    return measured, Deployments(facts, measured.architectures)


def run(facts: Facts, threads: int | None = None, progress: Callable[[str], None] | None = None) -> Served:
    """Predict, fit and predict again: minutes."""
    measured, deployments = deployed(facts)
    settings = [row.setting for row in measured.mapped]
    found = fit(measured, deployments, names=FITTED, threads=threads, progress=progress)
    groups: dict[Group, Correction] = {group_of(s): NONE for s in settings}
    bare = predicted(settings, corrected(deployments, groups), threads=threads)
    return Served(
        plain=validate(measured, deployments, threads=threads),
        left_out=left_out(measured, deployments, found, threads=threads),
        bare=scored(measured, bare, deployments),
        corrections={s.engine: found.solved(s.engine) for s in settings},
    )


def served(of: Served) -> str:
    """All of the page that hangs on simulated runs."""
    return "\n\n".join(
        (_summary(of), _fitted(of), *(_groups(of, target) for target in TARGETS), _set_aside(of), _worst(of))
    )


def cell(rows: Sequence[Scored]) -> str:
    """Mean, median, bias and share within 20 % of some rows."""
    s = score("", rows)
    bias = percent(s.bias_frac, sign=True)
    return f"{percent(s.mean_frac)} / {percent(s.median_frac)} / {bias} / {s.within_frac:.0%}"


def _counts(target: Target) -> Callable[[int, Scored], bool]:
    return lambda _, r: not r.set_aside and target.holds(r)


_HEADS = ("as predicted", "left out", "no overheads")


def _summary(of: Served) -> str:
    rows = []
    for target in TARGETS:
        parts = of.parts(_counts(target))
        if parts[0]:
            asked = [] if target.mean_frac is None else [f"mean <= {target.mean_frac:.0%}"]
            asked += [] if target.within_frac is None else [f"{target.within_frac:.0%} within {WITHIN_FRAC:.0%}"]
            met = [_met(target, parts[i]) for i in (0, 1)]
            rows.append([target.name, ", ".join(asked), str(len(parts[0])), *map(cell, parts), *met])
    heads = ("metric", "target", "rows", *_HEADS, "target, as predicted", "target, left out")
    return f"Of each: mean / median / bias / share within {WITHIN_FRAC:.0%}.\n\n{table(heads, rows, words=2)}"


def _met(target: Target, rows: Sequence[Scored]) -> str:
    s = score("", rows)
    if target.mean_frac is None:
        return ""
    return "met" if s.mean_frac <= target.mean_frac and s.within_frac >= (target.within_frac or 0.0) else "**missed**"


def _fitted(of: Served) -> str:
    rows = [
        [family, str(c.rows_count), _fit(c, "sequence_s", 1e6), _fit(c, "request_s", 1e3)]
        for family, c in sorted(of.corrections.items())
    ]
    known = table(("engine family", "rows", "us a sampled token", "ms a request"), rows)
    return f"Fitted to all rows of a family, with its standard error:\n\n{known}"


def _fit(c: Correction, name: str, per_s: float) -> str:
    return f"{getattr(c, name) * per_s:.3g} ± {c.errors[NAMES.index(name)] * per_s:.2g}"


def group_rows(target: Target, rows: Sequence[Scored]) -> dict[Group, list[Scored]]:
    """The rows of a metric that count, by engine family, model and chip."""
    groups: dict[Group, list[Scored]] = {}
    for r in rows:
        if not r.reason and not r.set_aside and target.holds(r):
            groups.setdefault(group_of(r.row.setting), []).append(r)
    return groups


def _groups(of: Served, target: Target) -> str:
    found = []
    for group in group_rows(target, of.plain.rows):
        parts = of.parts(
            lambda _, r, group=group: not r.set_aside and target.holds(r) and group_of(r.row.setting) == group  # type: ignore[misc]
        )
        found.append((score("", parts[1]).mean_frac, [*group, str(len(parts[0])), *map(cell, parts)]))
    found.sort(key=lambda item: -item[0])
    rows = [cells for _, cells in found]
    return f"### {target.name}\n\n{table(('engine', 'model', 'chip', 'rows', *_HEADS), rows, words=3)}"


def _set_aside(of: Served) -> str:
    rows = []
    for target in TARGETS:
        for which, count in (("without", _counts(target)), ("with", lambda _, r, t=target: t.holds(r))):
            parts = of.parts(count)
            if parts[0] and any(r.set_aside and target.holds(r) for r in of.plain.rows):
                rows.append([target.name, which, str(len(parts[0])), *map(cell, parts)])
    aside: dict[str, None] = {f"- {r.row.setting}: {r.set_aside}": None for r in of.plain.set_aside}
    impossible: dict[str, None] = {f"- {r.row.setting}: {r.impossible}": None for r in of.plain.rows if r.impossible}
    return "\n\n".join(
        (
            "### Set aside, and flagged",
            f"{RULE}. Scores without and with those rows:",
            table(("metric", "rows set aside", "rows", *_HEADS), rows, words=2),
            f"{len(of.plain.set_aside)} rows are set aside:",
            "\n".join(aside),
            f"{sum(bool(r.impossible) for r in of.plain.rows)} rows cannot be as they stand; they count in all scores:",
            "\n".join(impossible),
        )
    )


def explanations() -> dict[int, str]:
    """By line of the bundled table, why a prediction is off."""
    text = (resources.files("scoville.validation") / "data" / "explained.toml").read_text(encoding="utf-8")
    return {line: " ".join(one["why"].split()) for one in tomllib.loads(text)["rows"] for line in one["lines"]}


def _worst(of: Served) -> str:
    known, place = explanations(), {r.row.line: i for i, r in enumerate(of.plain.rows)}
    told: dict[str, int] = {}
    rows = []
    for r in of.left_out.worst(_WORST_ROWS):
        plain = of.plain.rows[place[r.row.line]]
        unit, scale = ("ms", 1e3) if r.row.measure == "s" else ("tokens/s", 1.0)
        why = known.get(r.row.line, _NO_CAUSE)
        first = told.setdefault(why, r.row.line)
        rows.append(
            [
                str(r.row.line), f"{r.row.setting} ({r.row.words['engine']})", metric_of(plain),
                f"{r.row.value * scale:,.4g} {unit}", f"{plain.value * scale:,.4g}", f"{r.value * scale:,.4g}",
                why if first == r.row.line or why == _NO_CAUSE else f"as line {first}",
            ]
        )  # fmt: skip
    heads = ("line", "run", "metric", "measured", "as predicted", "left out", "why")
    return (
        f"### The {len(rows)} rows farthest off\n\nBy the ratio of predicted and measured either way, their group left "
        f"out.\n\n{table(heads, rows, words=len(heads))}"
    )
