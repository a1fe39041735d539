"""An engine of one's own: a preset corrected by one's own measured runs, with its uncertainty, as facts.

By default three numbers are fitted: the factor on the chip's times, seconds per sampled token and per request. Seconds
per step come in where the table can tell them from those per token: it has runs with few and with many in flight, and
three figures for each number.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scoville.errors import FactError
from scoville.facts import Fact, Facts
from scoville.serving.settings import preset
from scoville.units import to_unit
from scoville.validation.calibrate import NAMES, SCALE, Correction, corrected, fit, group_of
from scoville.validation.predict import Deployments
from scoville.validation.rows import Table
from scoville.validation.scores import Validation, validate

DEFAULT = ("time_frac", "sequence_s", "request_s")
ROWS_PER_NUMBER = 3
_SPAN = 4  # most over fewest in flight, from which steps and tokens can be told apart
_FACTS = {  # the fact of each number, its unit, and how it is called
    "time_frac": ("time_factor", "ratio", "factor on the chip's times"),
    "step_s": ("step_time", "us", "time per step"),
    "sequence_s": ("sequence_time", "us", "time per sampled token"),
    "request_s": ("request_time", "ms", "time per request"),
}
_NORMAL_90 = 1.645  # standard errors either way that hold 90 % of a normal distribution


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a correction: `usual` is the preset's, `value` the fitted one, `error` its standard error, all in
    `measure`. Where `fitted` is False the preset's stays; `determined`: the error is at most half of the prior's width.
    """

    name: str
    measure: str
    unit: str
    usual: float
    value: float
    error: float
    fitted: bool
    determined: bool

    def shown(self, value: float) -> float:
        """A value of this number in `unit`."""
        return to_unit(value, self.measure, self.unit)


@dataclass(frozen=True)
class Calibration:
    """The runs of one engine family on one chip, before and after a correction fitted to them."""

    family: str
    accelerator: str
    correction: Correction
    numbers: tuple[Number, ...]
    before: Validation
    after: Validation
    warnings: tuple[str, ...]


def pairs(table: Table) -> tuple[tuple[str, str], ...]:
    """(engine family, chip) of the rows that map, in their order."""
    return tuple(dict.fromkeys((r.setting.engine, r.setting.accelerator) for r in table.mapped))


def calibrate(
    table: Table,
    deployments: Deployments,
    family: str,
    accelerator: str,
    *,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Calibration:
    """Fit a correction to the rows of one engine family and chip, starting from the family's preset.

    Raises MeasurementError where none of them can be predicted and counts.
    """
    mine = (r for r in table.mapped if (r.setting.engine, r.setting.accelerator) == (family, accelerator))
    part = replace(table, rows=tuple(mine))
    own = preset(family, deployments.facts)
    usual = Correction(own.time_frac, own.step_s, own.sequence_s, own.request_s)

    flights = [r.setting.concurrency or r.setting.requests_count for r in part.mapped]
    tells_steps = len(flights) >= ROWS_PER_NUMBER * len(NAMES) and max(flights) >= _SPAN * min(flights)
    names = NAMES if tells_steps else DEFAULT
    found = fit(part, deployments, names=names, start={family: usual}, threads=threads, progress=progress).solved(
        family
    )
    by = {group_of(row.setting): found for row in part.mapped}
    numbers = tuple(_number(name, usual, found, name in names) for name in NAMES)
    return Calibration(
        family=family,
        accelerator=accelerator,
        correction=found,
        numbers=numbers,
        before=validate(part, deployments, threads=threads),
        after=validate(part, corrected(deployments, by), threads=threads),
        warnings=_warnings(found, numbers),
    )


def _determined(c: Correction, name: str) -> bool:
    i = NAMES.index(name)
    return bool(c.errors[i] <= 0.5 * SCALE[i])


def _number(name: str, usual: Correction, found: Correction, fitted: bool) -> Number:
    _, unit, called = _FACTS[name]
    measure = "frac" if name == "time_frac" else "s"
    error = found.errors[NAMES.index(name)]
    return Number(
        called, measure, unit, getattr(usual, name), getattr(found, name), error, fitted,
        determined=fitted and _determined(found, name),
    )  # fmt: skip


def _warnings(found: Correction, numbers: tuple[Number, ...]) -> tuple[str, ...]:
    fitted = [n for n in numbers if n.fitted]
    said = []
    if found.rows_count < ROWS_PER_NUMBER * len(fitted):
        rows = "1 row counts" if found.rows_count == 1 else f"{found.rows_count} rows count"
        said.append(
            f"{rows} for {len(fitted)} numbers; measure at least "
            f"{ROWS_PER_NUMBER * len(fitted)}, with few and many in flight, before you rely on them"
        )
    loose = [n.name for n in fitted if not n.determined]
    if loose:
        said.append(
            f"the table leaves the {' and the '.join(loose)} undetermined, so that the preset has a large say; "
            f"TTFT tells the time per request, runs with few and many in flight tell the others apart"
        )
    return tuple(said)


def check_name(name: str, facts: Facts) -> None:
    """Raises FactError where the name is taken or is no key of TOML."""
    if not name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        raise FactError(f"--engine: '{name}' is no name of an engine; expected letters, digits, '-' and '_'")
    if {name, f"engine-{name}"} & set(facts.subjects()):
        raise FactError(f"--engine: '{name}' is the name of a subject of the facts already; choose another")


def engine_toml(name: str, of: Calibration, facts: Facts, source: str, as_of: str) -> str:
    """The facts of an engine called `name`: those of its family, and the fitted numbers with a range of 90 %.

    Raises FactError as `check_name` does.
    """
    check_name(name, facts)
    subject = f"engine-{of.family}"
    if subject not in facts.subjects():
        subject = of.family
    fitted = {fact: n for (fact, _, _), n in zip(_FACTS.values(), of.numbers, strict=True) if n.fitted}
    rows = of.correction.rows_count
    lines = [
        f"[{name}]",
        'category = "engine"',
        f"name = {_text(f'{facts.subject(subject).name}, corrected by {rows} measured figures on {of.accelerator}')}",
    ]
    for fact in facts.of(subject):
        if fact.name not in fitted:
            lines += ["", f"[{name}.{fact.name}]", *_copied(fact)]
    for fact_name, n in fitted.items():
        least = 0.01 * n.value if n.measure == "frac" else 0.0
        low, high = max(n.value - _NORMAL_90 * n.error, least), n.value + _NORMAL_90 * n.error
        lines += ["", f"[{name}.{fact_name}]"]
        lines += [
            f'{key} = "{n.shown(v):.6g} {n.unit}"' for key, v in (("value", n.value), ("low", low), ("high", high))
        ]
        note = (
            f"fitted to {rows} rows, standard error {n.shown(n.error):.3g} {n.unit}; "
            f"the preset has {n.shown(n.usual):.6g} {n.unit}"
        )
        if not n.determined:
            note += "; the rows do not determine it"
        lines += [f"source = {_text(source)}", f'as_of = "{as_of}"', 'kind = "measured"', f"note = {_text(note)}"]
    return "\n".join(lines) + "\n"


def _copied(fact: Fact) -> list[str]:
    def written(value: float | str) -> str:
        if isinstance(value, str):
            return _text(value)
        return f'"{to_unit(value, fact.measure, fact.unit or fact.measure):.12g} {fact.unit}"'

    lines = [f"value = {written(fact.value)}"]
    if not fact.range_is_default and not isinstance(fact.value, str) and np.isfinite([fact.low, fact.high]).all():
        lines += [f"low = {written(fact.low)}", f"high = {written(fact.high)}"]
    lines += [f"source = {_text(fact.source)}", f'as_of = "{fact.as_of}"', f'kind = "{fact.kind}"']
    if fact.distribution != "triangular":
        lines.append(f'distribution = "{fact.distribution}"')
    return lines + ([f"note = {_text(fact.note)}"] if fact.note else [])


def _text(words: str) -> str:
    """A basic string of TOML, which has the escapes of JSON."""
    return json.dumps(words, ensure_ascii=False)
