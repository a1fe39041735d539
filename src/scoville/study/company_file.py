"""The question about a company: a TOML file whose figures are names of facts, quantities, or quantities with a range.

Every figure becomes a `Fact`, so that it is drawn, ranked and cited like any other. Settings that clash are refused
with both named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, ValidationError

from scoville.economics.company import YEAR_S
from scoville.errors import FactError, StudyError, UnitError, nearest
from scoville.facts import Fact, Facts
from scoville.files import parse_toml, read_text
from scoville.units import example, parse, show

_FACT = re.compile(r"([a-z][a-z0-9-]*)\.([a-z0-9_]+)")
_BOOKS_FRAC = 0.02  # how far revenue less costs may be from the loss: reported figures are rounded
_MOST_YEARS = 20

Figure = StrictStr | StrictInt | StrictFloat | dict[str, Any]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class YearsTable(_Table):
    """[years]: the known one and the last."""

    first: int = Field(ge=2000, le=2100)
    last: int = Field(ge=2000, le=2100)


class FirstYearTable(_Table):
    """[first_year]: reported figures."""

    revenue: Figure
    total_costs: Figure
    operating_loss: Figure
    cost_of_revenue: Figure
    research: Figure
    training_share: Figure


class PlanTable(_Table):
    """[plan]: where it is to go."""

    revenue: Figure
    compute: Figure
    counted_from: int
    spent: Figure
    inference_share: Figure
    cost_elasticity: Figure


class CapitalTable(_Table):
    """[capital]: what stands behind bought compute."""

    per_power: Figure
    yearly_per_gw: Figure


class ProductTable(_Table):
    """[[product]]: a share of revenue, or the rest of it; tokens, or messages and tokens in each."""

    name: str = Field(min_length=1)
    share_first: Figure | None = None
    share_last: Figure | None = None
    tokens: Figure | None = None
    messages: Figure | None = None
    tokens_per_message: Figure | None = None
    price_change: Figure


class ModelLifeTable(_Table):
    """[model_life]: training against inference of one model released in the known year."""

    models_per_year: Figure
    inference_share: Figure
    life: Figure


class ProgrammeTable(_Table):
    """[programme]: chips of one's own."""

    start: int
    power: dict[str, Figure] = Field(min_length=1)
    delay: Figure
    chip_power: Figure
    pue: Figure
    chip_hour: Figure
    highest_share: Figure
    price_per_power: Figure
    facility: Figure
    claim: str


class ClaimTable(_Table):
    """[[claim]]: a token's cost on the own chip against a bought one, in one of four ways."""

    name: str = Field(min_length=1)
    saving: Figure | None = None
    performance_per_cost: Figure | None = None
    throughput: str | None = Field(default=None, min_length=1)
    rival_hour: Figure | None = None
    ratio: Figure | None = None


class UncertaintyTable(_Table):
    """[uncertainty]: how many samples, from which seed."""

    samples: int = Field(default=10_000, ge=100, le=1_000_000)
    seed: int = Field(default=1, ge=0)


class _File(_Table):
    title: str = Field(min_length=1)
    years: YearsTable
    first_year: FirstYearTable
    plan: PlanTable
    capital: CapitalTable
    product: tuple[ProductTable, ...] = Field(min_length=1)
    model_life: ModelLifeTable
    programme: ProgrammeTable
    claim: tuple[ClaimTable, ...] = Field(min_length=1)
    uncertainty: UncertaintyTable = UncertaintyTable()


# The measure of every figure, and from where to where it may be.
_SHARE, _MONEY, _ANY, _TIMES = (0.0, 1.0), (0.0, float("inf")), (float("-inf"), float("inf")), (1e-3, 1e3)
_USD = (1.0, 1e16)
MEASURES: dict[str, tuple[str, tuple[float, float]]] = {
    "revenue": ("usd", _USD), "total_costs": ("usd", _USD), "operating_loss": ("usd", _ANY),
    "cost_of_revenue": ("usd", _USD), "research": ("usd", _USD), "training_share": ("frac", _SHARE),
    "compute": ("usd", _USD), "spent": ("usd", _MONEY), "inference_share": ("frac", _SHARE),
    "cost_elasticity": ("frac", (0.0, 2.0)), "per_power": ("usd_per_w", _MONEY), "yearly_per_gw": ("usd_per_h", _MONEY),
    "share_first": ("frac", _SHARE), "share_last": ("frac", _SHARE), "tokens": ("tokens_per_s", _MONEY),
    "messages": ("count_per_s", _MONEY), "tokens_per_message": ("tokens", _MONEY), "price_change": ("frac", (-10, 10)),
    "power": ("w", _MONEY), "delay": ("s", _MONEY), "chip_power": ("w", _MONEY), "pue": ("frac", (1.0, 10.0)),
    "chip_hour": ("usd_per_h", _MONEY), "highest_share": ("frac", _SHARE), "price_per_power": ("usd_per_w", _MONEY),
    "facility": ("usd_per_w", _MONEY), "saving": ("frac", _SHARE), "performance_per_cost": ("frac", _TIMES),
    "rival_hour": ("usd_per_h", _MONEY), "models_per_year": ("count", _TIMES), "life": ("s", (0.0, 20 * YEAR_S)),
    "ratio": ("frac", _TIMES),
}  # fmt: skip
_MAY_BE_NIL = ("spent", "delay", "cost_elasticity", "highest_share", "saving", "share_last", "training_share")
_LITERALS = ("str", "int", "float", "dict[str,any]")  # which of a figure's ways of writing failed


@dataclass(frozen=True)
class CompanyFile:
    """A question with its figures resolved: `figures` by place ("plan.revenue", "product 1.tokens", "power.2027")."""

    path: Path
    title: str
    first: int
    last: int
    counted_from: int
    start: int
    products: tuple[str, ...]
    claims: tuple[str, ...]
    claim: str
    throughput: dict[str, str]
    samples_count: int
    seed: int
    figures: dict[str, Fact]

    @property
    def years(self) -> tuple[int, ...]:
        """From the known one to the last."""
        return tuple(range(self.first, self.last + 1))

    @property
    def power_years(self) -> tuple[int, ...]:
        """Years at whose end the programme's power is announced."""
        return tuple(sorted(int(k.removeprefix("power.")) for k in self.figures if k.startswith("power.")))


def read_company(path: Path, facts: Facts) -> CompanyFile:
    """Read and check a question about a company. Raises StudyError with file, setting and remedy."""
    text = read_text(path, StudyError, "there is no such study file; docs/company.md says how one is written")
    raw = parse_toml(text, path, StudyError)
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise StudyError(f"{path}: {_sentence(error)}") from None
    figures: dict[str, Fact] = {}
    for table in ("first_year", "plan", "capital", "model_life", "programme"):
        for name, value in getattr(file, table):
            if name in MEASURES and name != "power":
                figures[f"{table}.{name}"] = _figure(path, f"[{table}] {name}", f"{table}.{name}", value, facts)
    for year, value in file.programme.power.items():
        if not re.fullmatch(r"20\d\d", year):
            raise StudyError(f"{path}: [programme] power: '{year}' is no year; expected such as 2027 = \"1.3 GW\"")
        figures[f"power.{year}"] = _figure(path, f"[programme] power {year}", f"power.{year}", value, facts)
    for kind, tables in (("product", file.product), ("claim", file.claim)):
        for i, entry in enumerate(tables, start=1):
            label = dict(entry)["name"]
            for name, value in entry:
                if name in MEASURES and value is not None:
                    where = f"[[{kind}]] '{label}' {name}"
                    figures[f"{kind} {i}.{name}"] = _figure(path, where, f"{kind}-{i}.{name}", value, facts)
    found = CompanyFile(
        path, file.title, file.years.first, file.years.last, file.plan.counted_from, file.programme.start,
        tuple(p.name for p in file.product), tuple(c.name for c in file.claim), file.programme.claim,
        {f"claim {i}": c.throughput for i, c in enumerate(file.claim, start=1) if c.throughput},
        file.uncertainty.samples, file.uncertainty.seed, figures,
    )  # fmt: skip
    _agree(found, file)
    return found


def _figure(path: Path, where: str, key: str, value: Figure, facts: Facts) -> Fact:
    """A figure as a fact: one that is named, or one of the file's own."""
    name = re.sub(r"^.*\.", "", key) if not key.startswith("power.") else "power"
    measure, (low, high) = MEASURES[name]
    place = f"{path}: {where}"
    if isinstance(value, str) and (named := _FACT.fullmatch(value)):
        try:
            fact = facts.get(named[1], named[2])
        except FactError as error:
            raise StudyError(f"{place}: {error}") from None
        if fact.measure != measure and {fact.measure, measure} != {"frac", "count"}:
            raise StudyError(f"{place}: the fact {value} is no figure such as '{example(measure)}'")
    else:
        fact = _own(place, key, measure, value)
    lowest = fact.low if name != "operating_loss" else fact.number
    if not low <= lowest <= fact.high <= high or (fact.low <= 0 and low == 0 and name not in _MAY_BE_NIL):
        share = "between 0 and 100 %" if name in _MAY_BE_NIL else "above 0 and at most 100 %"
        allowed = {_SHARE: share, _MONEY: "positive"}.get((low, high), f"between {low:g} and {high:g}")
        said = show(fact.low if fact.low < low or fact.low <= 0 else fact.high, measure)
        raise StudyError(f"{place}: {said} is out of range; expected {allowed}")
    return fact


def _own(place: str, key: str, measure: str, value: Figure) -> Fact:
    """A figure stated in the file, with its range where it has one."""
    table = value if isinstance(value, dict) else {"value": value}
    if unknown := next((k for k in table if k not in ("value", "low", "high", "source")), None):
        raise StudyError(f"{place}: '{unknown}' is no part of a figure; expected value, low, high, source")
    if "value" not in table:
        raise StudyError(f"{place}: has no value; expected such as {{ value = '{example(measure)}' }}")
    try:
        number = parse(str(table["value"]), measure, place)
        low = parse(str(table.get("low", table["value"])), measure, place)
        high = parse(str(table.get("high", table["value"])), measure, place)
    except UnitError as error:
        raise StudyError(str(error)) from None
    if not low <= number <= high:
        raise StudyError(f"{place}: low and high must enclose the value")
    subject, _, name = key.rpartition(".")
    return Fact(
        subject, name, number, low, high, measure, "", str(table.get("source", "stated in the study file")), "",
        "estimated", user=True, place=place,
    )  # fmt: skip


def _agree(file: CompanyFile, tables: _File) -> None:
    """Refuse settings that clash, naming both."""
    f, where = {k: v.number for k, v in file.figures.items()}, f"{file.path}: "
    first, last, start = file.first, file.last, file.start

    def clash(a: str, b: str, why: str) -> StudyError:
        return StudyError(f"{where}{a} and {b} clash: {why}")

    if not first < last <= first + _MOST_YEARS:
        raise clash(f"[years] first = {first}", f"last = {last}", f"expected 1 to {_MOST_YEARS} years between them")
    if not first <= file.counted_from <= last:
        raise clash(f"[plan] counted_from = {file.counted_from}", f"[years] first = {first}, last = {last}",
                    "the plan's years must be among them")  # fmt: skip
    for year in file.power_years:
        if year <= start:
            raise clash(f"[programme] power {year}", f"start = {start}", "nothing is in service until the start's end")
    if not first <= start < last:
        raise clash(f"[programme] start = {start}", f"[years] first = {first}, last = {last}",
                    "it must begin after the known year's beginning and before the last")  # fmt: skip
    books = f["first_year.total_costs"] - f["first_year.revenue"] - f["first_year.operating_loss"]
    if abs(books) > _BOOKS_FRAC * f["first_year.total_costs"]:
        raise clash("[first_year] operating_loss", "total_costs",
                    f"costs less revenue differ from the loss by {show(abs(books), 'usd')}")  # fmt: skip
    ends = {k: known_range(v) for k, v in file.figures.items() if k.startswith("first_year.")}
    most = ends["first_year.cost_of_revenue"][1] + ends["first_year.research"][1]
    if most > ends["first_year.total_costs"][0]:
        raise clash("[first_year] cost_of_revenue + research", "total_costs", "the parts are more than the whole")
    spent, name = f["plan.spent"], "[plan] spent"
    if file.counted_from == first:
        training = ends["first_year.research"][1] * ends["first_year.training_share"][1]
        compute = ends["first_year.cost_of_revenue"][1] + training
        spent, name = max((spent, name), (compute, "the compute of [first_year]"))
    if file.figures["plan.compute"].low <= spent:
        raise clash(f"[plan] compute = {show(f['plan.compute'], 'usd')}", f"{name} = {show(spent, 'usd')}",
                    "the plan is no more than what is already spent")  # fmt: skip
    _products(file, tables, f, clash)
    _claims(file, tables)


def known_range(fact: Fact) -> tuple[float, float]:
    """Low and high of a figure of the known year: as reported, without the default range of its kind."""
    return (fact.number, fact.number) if fact.range_is_default else (fact.low, fact.high)


def _products(file: CompanyFile, tables: _File, f: dict[str, float], clash: Any) -> None:
    rest = [p.name for p in tables.product if p.share_first is None and p.share_last is None]
    for i, p in enumerate(tables.product, start=1):
        place = f"{file.path}: [[product]] '{p.name}'"
        if (p.share_first is None) != (p.share_last is None):
            raise StudyError(f"{place}: share_first and share_last go together; give both, or neither for the rest")
        if (p.tokens is None) == (p.messages is None) or (p.messages is None) != (p.tokens_per_message is None):
            raise StudyError(f"{place}: expected either tokens, or messages and tokens_per_message")
        if file.figures[f"product {i}.price_change"].low <= -1:
            raise clash(f"[[product]] '{p.name}' price_change", f"[years] last = {file.last}",
                        "a price that falls by 100 % a year or more is nil or negative by then")  # fmt: skip
    if len(rest) > 1:
        raise clash(f"[[product]] '{rest[0]}'", f"[[product]] '{rest[1]}'", "only one can be the rest of revenue")
    for end in ("share_first", "share_last"):
        given = [(f[k], p.name) for i, p in enumerate(tables.product, start=1) if (k := f"product {i}.{end}") in f]
        total = sum(share for share, _ in given)
        if total > 1 + 1e-9 or (not rest and abs(total - 1) > 1e-9):
            most = sorted(given, reverse=True)[:2]
            names = [f"{end} of '{n}' ({100 * s:.3g} %)" for s, n in most]
            why = f"shares of revenue add up to {100 * total:.4g} %; expected 100 %, or less with one product the rest"
            raise clash(names[0], names[1] if len(names) > 1 else "the missing rest", why)
        highest = sum(file.figures[f"product {i}.{end}"].high for i, p in enumerate(tables.product, start=1)
                      if f"product {i}.{end}" in f)  # fmt: skip
        if rest and highest >= 1:
            raise clash(f"{end} of '{given[0][1]}'", f"the rest for '{rest[0]}'",
                        f"the highest shares add up to {100 * highest:.4g} % and leave nothing")  # fmt: skip


def _claims(file: CompanyFile, tables: _File) -> None:
    for c in tables.claim:
        ways = [n for n in ("saving", "performance_per_cost", "throughput", "ratio") if getattr(c, n) is not None]
        place = f"{file.path}: [[claim]] '{c.name}'"
        if len(ways) != 1:
            raise StudyError(
                f"{place}: expected one of saving, performance_per_cost, throughput, ratio, not {len(ways)}"
            )
        if (c.throughput is None) != (c.rival_hour is None):
            raise StudyError(f"{place}: throughput and rival_hour go together")
    for i, _ in enumerate(tables.claim, start=1):
        saving = file.figures.get(f"claim {i}.saving")
        if saving is not None and saving.high >= 1:
            raise StudyError(f"{file.path}: [[claim]] '{file.claims[i - 1]}' saving: expected less than 100 %")
    for names, kind in ((file.claims, "claim"), (file.products, "product")):
        if len(set(names)) < len(names):
            raise StudyError(f"{file.path}: two [[{kind}]] tables have the same name")
    if file.claim not in file.claims:
        raise StudyError(f"{file.path}: [programme] claim '{file.claim}' is none of the claims; "
                         f"{nearest(file.claim, file.claims)}")  # fmt: skip


def _sentence(error: ValidationError) -> str:
    """The first thing wrong; a name that is no setting before whatever is missing for it."""
    found = error.errors(include_url=False)
    first = min(found, key=lambda e: e["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"] if part not in _LITERALS]
    where = f"[{location[0]}] {' '.join(location[1:])}".strip() if len(location) > 1 else location[0]
    if len(location) > 1 and location[1].isdigit():
        where = f"[[{location[0]}]] number {int(location[1]) + 1} {' '.join(location[2:])}".strip()
    if first["type"] == "extra_forbidden":
        return f"{where} is not a setting; docs/company.md lists them"
    if first["type"] == "missing":
        return f"{where} is missing; the file must give it (docs/company.md lists them)"
    if len(location) < len(first["loc"]):
        return f"{where}: expected the name of a fact, a quantity in quotes, or a table with value, low and high"
    return f"{where}: {first['msg'].replace('Input should be', 'expected')}"
