"""Served runs of the bundled table: as predicted, corrected in sample, and with whole groups left out."""

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
from scoville.validation.calibrate import NAMES, Correction, Group, corrected, fit, group_of, left_out
from scoville.validation.littles_law import RULE
from scoville.validation.rows import Table
from scoville.validation.scores import WITHIN_FRAC, score

HOPPER = ("h100-sxm", "h200-sxm")
_WORST_ROWS = 10
_NO_CAUSE = "no cause found"
_PERCENT = 1e-2


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
    Target("TPOT", 12 * _PERCENT, 85 * _PERCENT, _named("TPOT")),
    Target("TTFT, queueing below half", 30 * _PERCENT, None, _named("TTFT, queueing below half")),
    Target("TTFT, queueing half or more", None, None, _named("TTFT, queueing half or more")),
    Target("output throughput, Hopper", 15 * _PERCENT, None, _named("output throughput", blackwell=False)),
    Target("output throughput, Blackwell", 25 * _PERCENT, None, _named("output throughput", blackwell=True)),
)


@dataclass(frozen=True, eq=False)
class Served:
    """The bundled runs three times over, rows in the same order, and the corrections in sample by engine family."""

    plain: Validation
    in_sample: Validation
    left_out: Validation
    corrections: Mapping[str, Correction]

    def parts(self, holds: Callable[[int, Scored], bool]) -> tuple[list[Scored], list[Scored], list[Scored]]:
        """Rows of all three for which `holds` says yes of the place and the row as predicted without a correction."""
        chosen = [i for i, r in enumerate(self.plain.rows) if not r.reason and holds(i, r)]
        plain, in_sample, left_out = (
            [v.rows[i] for i in chosen if not v.rows[i].reason] for v in (self.plain, self.in_sample, self.left_out)
        )
        return plain, in_sample, left_out


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
    found = fit(measured, deployments, threads=threads, progress=progress)
    by_family = {s.engine: found.solved(s.engine) for s in settings}
    groups: dict[Group, Correction] = {group_of(s): by_family[s.engine] for s in settings}
    inside = predicted(settings, corrected(deployments, groups), threads=threads)
    return Served(
        plain=validate(measured, deployments, threads=threads),
        in_sample=scored(measured, inside, deployments),
        left_out=left_out(measured, deployments, found, threads=threads),
        corrections=by_family,
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


_HEADS = ("as predicted", "in sample", "left out")


def _summary(of: Served) -> str:
    rows = []
    for target in TARGETS:
        parts = of.parts(_counts(target))
        if parts[0]:
            asked = [] if target.mean_frac is None else [f"mean <= {target.mean_frac:.0%}"]
            asked += [] if target.within_frac is None else [f"{target.within_frac:.0%} within {WITHIN_FRAC:.0%}"]
            met = [_met(target, parts[i]) for i in (0, 2)]
            rows.append([target.name, ", ".join(asked), str(len(parts[0])), *map(cell, parts), *met])
    heads = ("metric", "target", "rows", *_HEADS, "target, as predicted", "target, left out")
    return f"Of each: mean / median / bias / share within {WITHIN_FRAC:.0%}.\n\n{table(heads, rows, words=2)}"


def _met(target: Target, rows: Sequence[Scored]) -> str:
    s = score("", rows)
    if target.mean_frac is None:
        return ""
    return "met" if s.mean_frac <= target.mean_frac and s.within_frac >= (target.within_frac or 0.0) else "**missed**"


def _fitted(of: Served) -> str:
    units = (
        ("factor on times", 1.0),
        ("us a step", 1e6),
        ("us a sampled token", 1e6),
        ("ms a request", 1e3),
    )
    rows = [
        [family, str(c.rows_count), *(
            f"{getattr(c, name) * scale:.3g} ± {error * scale:.2g}"
            for name, (_, scale), error in zip(NAMES, units, c.errors, strict=True)
        )]
        for family, c in sorted(of.corrections.items())
    ]  # fmt: skip
    heads = ("engine family", "rows", *(name for name, _ in units))
    return f"The corrections in sample, with their standard errors:\n\n{table(heads, rows)}"


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
        found.append((score("", parts[2]).mean_frac, [*group, str(len(parts[0])), *map(cell, parts)]))
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
