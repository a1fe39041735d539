"""`scoville own`, stage by stage: read, rates, draws, every option worked out, break-even, regret, rights."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import scoville
from scoville.economics.cashflow import PER_YEAR, QUARTER_S, YEAR_S, discount, irr, npv, pay_back
from scoville.economics.demand import label
from scoville.economics.lattice import Stage, Walk, staged
from scoville.economics.options import Option
from scoville.facts import Draws, Facts, Range
from scoville.study.own_answer import BreakEven, Chip, Choice, Curve, Line, OptionRow, OwnAnswer, Regret
from scoville.study.own_capacity import Capacity, capacities
from scoville.study.own_model import AS_PLANNED, OwnModel
from scoville.study.own_question import OwnFile, ScenarioTable
from scoville.study.own_receivers import receivers
from scoville.study.own_words import assumptions, dates, findings

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]
_SCALES = np.geomspace(1e-3, 1e3, 25)
_CLAIMS = np.linspace(0.05, 2.0, 20)
_STEPS = 14


def own_answer(
    file: OwnFile,
    facts: Facts,
    progress: Progress = lambda _stage, _done: None,
    known: dict[str, Capacity] | None = None,
) -> OwnAnswer:
    """Answer a question of owning. Raises ScovilleError with one sentence where it has no answer.

    `known` are capacities that need not be found anew.
    """
    q = file.question
    central = OwnModel(file, facts, Draws.central(), known or {})
    progress("capacities", 0.02)
    found = known or capacities(file, facts)
    central.capacities = found
    progress("options", 0.5)
    drawn = OwnModel(file, facts, Draws(q.uncertainty.seed, q.uncertainty.samples), found)
    one, many = central.options(), drawn.options()
    progress("break-even", 0.7)
    rows = _rows(central, drawn, one, many)
    built = [o.name for o in q.option if o.kind == "build"]
    others = {b: [n for n in one if n not in built] for b in built}
    worth: dict[tuple[str, float, float], float] = {}
    even = tuple(break_even(central, b, other, worth) for b in built for other in others[b])
    progress("scenarios", 0.9)
    regrets, least = _regret(central)
    choices = tuple(_choice(central, one, b, _rival(central, one, b)) for b in built)
    quarters = tuple(label(central.start + k) for k in range(central.quarters))
    return OwnAnswer(
        title=q.title,
        study_file=file.path.name,
        scoville_version=scoville.__version__,
        owner=q.ownership.owner,
        quarters=quarters,
        demand_tokens_per_s=tuple(float(x) for x in central.need(AS_PLANNED).mean_tokens_per_s[0]),
        samples_count=q.uncertainty.samples,
        seed=q.uncertainty.seed,
        chips=tuple(
            Chip(c.name, Range(c.p10_tokens_per_s, c.central_tokens_per_s, c.p90_tokens_per_s, "tokens_per_s"), c.basis)
            for c in found.values()
        ),
        options=rows,
        lines=tuple(_lines(central, one)),
        break_even=even,
        curves=tuple(c for b in built for other in others[b] for c in _curves(central, b, other, worth)),
        regret=regrets,
        least_regret=least,
        choices=choices,
        receivers=receivers(central, one),
        schedule=tuple(line for b in built for line in dates(central, b)),
        findings=findings(rows, even, regrets, least, choices),
        assumptions=assumptions(central),
    )


def _rows(central: OwnModel, drawn: OwnModel, one: dict[str, Option], many: dict[str, Option]) -> tuple[OptionRow, ...]:
    kinds = {o.name: o.kind for o in central.file.question.option}
    worth = {name: drawn.npv_usd(o) for name, o in many.items()}
    best = np.argmax(np.stack(list(worth.values())), axis=0)
    tokens = [_tokens(model) for model in (central, drawn)]
    first = next(iter(one))
    rows = []
    for i, (name, option) in enumerate(one.items()):
        value, base = float(central.npv_usd(option)[0]), float(central.npv_usd(one[first])[0])
        difference = option.flows.net_usd[0] - one[first].flows.net_usd[0]
        back = float(pay_back(difference, central.wacc()[0])) if name != first else math.nan
        chips = option.chips_count[0]
        rows.append(
            OptionRow(
                name=name,
                kind=kinds[name],
                npv=Range.of(value, worth[name], "usd"),
                mean_npv_usd=float(worth[name].mean()),
                per_token=Range.of(-value / float(tokens[0][0]), -worth[name] / tokens[1], "usd_per_token"),
                against=Range.of(value - base, worth[name] - worth[first], "usd"),
                cheapest_frac=float(np.mean(best == i)),
                pays_back="" if math.isnan(back) else label(central.start + max(math.ceil(back / QUARTER_S) - 1, 0)),
                rates_frac=irr(difference) if name != first else (),
                peak_chips_count=float(chips.max()),
                peak_owned_count=float(option.owned_count[0].max()),
                most_power_w=float(option.power_w[0].max()),
                idle_frac=float(option.idle_count[0].sum() / chips.sum()) if chips.sum() > 0 else 0.0,
                overtakes=_overtakes(central, option),
            )
        )
    return tuple(rows)


def _tokens(model: OwnModel) -> Array:
    """Present value of the tokens, (n,)."""
    served = model.need(AS_PLANNED).mean_tokens_per_s * QUARTER_S
    return np.asarray((served * discount(model.wacc(), model.quarters)).sum(axis=1))


def _overtakes(model: OwnModel, option: Option) -> str:
    """The quarter in which what serving has cost passes what training cost."""
    training = model.file.question.training
    if training is None:
        return ""
    passed = np.cumsum(option.flows.spent_usd[0]) > training.spend
    return label(model.start + int(np.argmax(passed))) if passed.any() else "not by the end"


def _lines(model: OwnModel, one: dict[str, Option]) -> list[Line]:
    return [
        Line(name, line, float(npv(usd, model.wacc())[0]), tuple(float(x) for x in usd[0]))
        for name, option in one.items()
        for line, usd in option.flows.lines_usd.items()
        if usd.any()
    ]


# -- break-even ------------------------------------------------------------------------------------------------------


def break_even(
    model: OwnModel, built: str, other: str, worth: dict[tuple[str, float, float], float] | None = None
) -> BreakEven:
    """The volume and the share of the claim at which a built chip costs what another option does.

    Roots of the difference of their NPV on central values, bracketed on a grid. The smallest counts; a note says where
    building stops paying again, as it does when a ramp's limit leaves most of the demand to others. Calls on one model
    that share `worth` are quicker.
    """
    known = {} if worth is None else worth

    def by_scale(scale: float) -> float:
        return _difference(model, built, other, known, scale, 0.0)

    def by_claim(claim: float) -> float:
        return _difference(model, built, other, known, 1.0, claim)

    scale, volume_note = _root(by_scale, _SCALES, "volume", geometric=True)
    claim, claim_note = _root(by_claim, _CLAIMS, "share of the claim", geometric=False)
    demand = model.file.question.demand.first
    final = float(model.need(AS_PLANNED).mean_tokens_per_s[0, -1])
    chips = math.nan
    if math.isfinite(scale):
        chips = float(model.options(scale=scale, names=(built,))[built].owned_count[0].max())
    return BreakEven(built, other, demand * scale, final * scale, chips, volume_note, claim, claim_note)


def _difference(
    model: OwnModel, built: str, other: str, worth: dict[tuple[str, float, float], float], scale: float, claim: float
) -> float:
    """NPV of one less the other's; `worth` remembers what was worked out. A claim of 0 is the drawn one."""
    kinds = {o.name: o.kind for o in model.file.question.option}
    values = []
    for name in (built, other):
        key = (name, scale, claim if kinds[name] == "build" else 0.0)
        if key not in worth:
            option = model.options(scale=scale, claim=key[2] or None, names=(name,))[name]
            worth[key] = float(model.npv_usd(option)[0])
        values.append(worth[key])
    return values[0] - values[1]


def _curves(
    model: OwnModel, built: str, other: str, worth: dict[tuple[str, float, float], float]
) -> tuple[Curve, Curve]:
    """Over the grids that the break-evens were found on."""
    first = model.file.question.demand.first

    def saved(scale: float, claim: float) -> float:
        return _difference(model, built, other, worth, scale, claim) / -worth[other, scale, 0.0]

    scales, claims = ([float(x) for x in grid] for grid in (_SCALES, _CLAIMS))
    return (
        Curve(built, other, "tokens_per_s", tuple(first * x for x in scales), tuple(saved(x, 0.0) for x in scales)),
        Curve(built, other, "frac", tuple(claims), tuple(saved(1.0, x) for x in claims)),
    )


def _root(f: Callable[[float], float], grid: Array, what: str, *, geometric: bool) -> tuple[float, str]:
    """The smallest value from which a difference is positive, and a note where that is not the whole truth."""
    pays = [f(float(x)) >= 0 for x in grid]
    if not any(pays):
        return math.nan, f"no {what} from {grid[0]:g} to {grid[-1]:g} times the asked makes it pay"
    first = pays.index(True)
    until = next((k for k in range(first, len(grid)) if not pays[k]), None)
    ends = ""
    if until is not None:
        end = _halved(f, float(grid[until - 1]), float(grid[until]), rising=False, geometric=geometric)
        ends = f"it pays up to {end:.3g} times this {what} only"
    if first == 0:
        return math.nan, ends or f"it pays at every {what} from {grid[0]:.3g} times on"
    root = _halved(f, float(grid[first - 1]), float(grid[first]), rising=True, geometric=geometric)
    return root, ends.replace("this", "the asked")


def _halved(f: Callable[[float], float], low: float, high: float, *, rising: bool, geometric: bool) -> float:
    """The change of sign between two values."""
    for _ in range(_STEPS):
        middle = math.sqrt(low * high) if geometric else (low + high) / 2
        low, high = (middle, high) if (f(middle) < 0) == rising else (low, middle)
    return high if rising else low


# -- scenarios and choices -------------------------------------------------------------------------------------------


def _regret(model: OwnModel) -> tuple[tuple[Regret, ...], str]:
    """Each scenario on central values, with a chip's vendor's answer; least regret is the smallest worst."""
    rows = []
    answered = 1 - float(model.fact("vendor_response")[0])
    response = ScenarioTable(name=f"vendor answers with {1 - answered:.0%} off", merchant_price=answered)
    for scenario in (AS_PLANNED, *((response,) if model.built else ()), *model.file.question.scenario):
        worth = {name: float(model.npv_usd(o)[0]) for name, o in model.options(scenario).items()}
        best = max(worth, key=lambda n: worth[n])
        rows.append(Regret(scenario.name, tuple(worth.values()), tuple(worth[best] - v for v in worth.values()), best))
    names = [o.name for o in model.file.question.option]
    worst = np.max([r.regret_usd for r in rows], axis=0)
    return tuple(rows), names[int(np.argmin(worst))]


def _rival(model: OwnModel, one: dict[str, Option], built: str) -> str:
    """The cheapest of the options that build nothing."""
    kinds = {o.name: o.kind for o in model.file.question.option}
    others = [n for n in one if kinds[n] != "build"] or [n for n in one if n != built]
    return max(others, key=lambda n: float(model.npv_usd(one[n])[0]))


def _choice(model: OwnModel, one: dict[str, Option], built: str, other: str) -> Choice:
    """The programme in stages: up to tape-out, up to first silicon, up to volume; all after tax."""
    option = next(o for o in model.file.question.option if o.name == built)
    made, _ = model.programme(option)
    kept = 1 - float(model.money().tax_frac[0])
    first = min(float(made.serves_count[0]), model.quarters - 1.0)
    k = np.arange(model.quarters)
    # What a successor costs is decided later, and so part of what the first one saves.
    costs = np.where(k <= first, made.nre_usd[0] * kept, 0.0)
    gates = [0.0, max(float(made.tape_out_count[0]), 0.0), max(float(made.silicon_count[0]), 0.0)]
    ends = [math.floor(gates[1]), math.floor(gates[2]), model.quarters]
    stages = [
        Stage(gate * QUARTER_S, float(costs[math.floor(gate) : end].sum()))
        for gate, end in zip(gates, ends, strict=True)
    ]
    difference = float((model.npv_usd(one[built]) - model.npv_usd(one[other]))[0])
    saving = difference + float(npv(costs, model.wacc()[0]))
    years = max((model.quarters - 1 - first) / PER_YEAR, 0.25)
    walk = Walk(float(model.fact("volatility")[0]), float(model.fact("riskless")[0]), 1 / years)
    wait_s = min(model.file.question.wait, years * YEAR_S)
    if saving <= 0:
        committed = saving - sum(s.cost_usd for s in stages)
        begun = -stages[0].cost_usd
        return Choice(built, other, saving, committed, begun, 0.0, begun - committed, 0.0)
    worth = staged(saving, stages, walk, wait_s=wait_s, steps_per_year=12)
    return Choice(
        built, other, saving, worth.committed_usd, worth.stopping_usd, worth.waiting_usd, worth.abandonment_usd,
        worth.deferral_usd,
    )  # fmt: skip
