"""The question file of `scoville own`: a demand over years, and the ways to serve it that are set side by side.

Read once, checked here and in `own_terms`; SI from here on. docs/own.md lists the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from scoville.errors import StudyError, nearest
from scoville.files import Table, parse_toml, quantity, read_text
from scoville.study.question import (
    Fraction,
    ModelTable,
    OwnershipTable,
    PrecisionTable,
    Seconds,
    TargetsTable,
    TokensPerSecond,
    UncertaintyTable,
)

Usd = Annotated[float, quantity("usd")]
UsdPerHour = Annotated[float, quantity("usd_per_h")]
UsdPerToken = Annotated[float, quantity("usd_per_token")]
Count = Annotated[float, quantity("count")]
Watts = Annotated[float, quantity("w")]
QUARTER = r"^20\d\d-(Q[1-4]|0[1-9]|1[0-2])$"
KINDS = ("rent", "buy", "build", "api")
TERM_QUARTERS = {"3yr": 12, "1yr": 4, "on_demand": 0}


class TimeTable(Table):
    """[time]: the quarter in which is decided, and how long is looked ahead. Prices are of the decision's month."""

    start: str = Field(pattern=QUARTER)
    horizon: Seconds = Field(gt=0)


class DemandTable(Table):
    """[demand]: tokens a day in the first quarter of service, their growth by year, and the shape of a week."""

    first: TokensPerSecond = Field(gt=0)
    growth: tuple[Fraction, ...] = Field(default=(0.0,), min_length=1)
    peak_to_average: Fraction = Field(ge=1)
    weekend: Fraction = Field(default=1.0, gt=0, le=1)
    headroom: Fraction = Field(ge=0, le=5)
    highest_utilisation: Fraction = Field(gt=0, le=1)
    output_share: Fraction = Field(default=0.2, ge=0, le=1)


class LoadTable(Table):
    """[traffic]: the trace whose requests are simulated where [capacity] states no rate."""

    trace: str = Field(min_length=1)


class MoneyTable(Table):
    """[money]: taxes, and how purchases are written off for them."""

    tax_rate: Fraction | None = Field(default=None, ge=0, lt=1)
    depreciation: Literal["declining", "straight", "at once"] = "declining"


class TrainingTable(Table):
    """[training]: what training the model cost, to find the day on which serving it has cost more."""

    spend: Usd = Field(gt=0)


class OptionTable(Table):
    """[[option]]: one way to serve the demand; which settings it takes hangs on its kind."""

    name: str = Field(min_length=1)
    kind: Literal["rent", "buy", "build", "api"]
    chip: str = ""
    # rent
    term: Literal["3yr", "1yr", "on_demand"] = "3yr"
    hourly: UsdPerHour | None = Field(default=None, gt=0)
    take_or_pay: Fraction | None = Field(default=None, ge=0, le=1)
    prepaid: Fraction | None = Field(default=None, ge=0, le=1)
    # buy and build
    price: Usd | None = Field(default=None, gt=0)
    base: Fraction | None = Field(default=None, gt=0, le=1)
    rest: str = ""
    chips_per_quarter: Count | None = Field(default=None, gt=0)
    power: tuple[tuple[str, str], ...] = ()
    # build
    design: str = ""
    seller: str = ""
    volume: Count | None = Field(default=None, gt=0)
    begun: str | None = Field(default=None, pattern=QUARTER)
    state_of: str | None = Field(default=None, pattern=QUARTER)
    tape_out: str | None = Field(default=None, pattern=QUARTER)
    first_chips: str | None = Field(default=None, pattern=QUARTER)
    claim_share: Fraction | None = Field(default=None, gt=0, le=1)
    successors: bool | None = None
    # api
    api: str = ""
    per_token: UsdPerToken | None = Field(default=None, ge=0)


class ScenarioTable(Table):
    """[[scenario]]: what turns out differently; ratios multiply, shares replace."""

    name: str = Field(min_length=1)
    demand: Fraction = Field(default=1.0, gt=0)
    growth: tuple[Fraction, ...] = ()
    rent: Fraction = Field(default=1.0, gt=0)
    rent_path: Fraction | None = Field(default=None, gt=0)
    merchant_price: Fraction = Field(default=1.0, gt=0)
    own_price: Fraction = Field(default=1.0, gt=0)
    claim_share: Fraction | None = Field(default=None, gt=0, le=1)
    delay: Seconds = Field(default=0.0, ge=0)
    cancelled: bool = False


class OwnQuestion(Table):
    """A whole question of owning."""

    title: str = Field(min_length=1)
    time: TimeTable
    demand: DemandTable
    option: tuple[OptionTable, ...] = Field(min_length=2)
    ownership: OwnershipTable
    money: MoneyTable = MoneyTable()
    generations: bool = True
    wait: Seconds = Field(default=0.0, ge=0)
    capacity: dict[str, TokensPerSecond] = Field(default_factory=dict)
    traffic: LoadTable | None = None
    model: ModelTable | None = None
    precision: PrecisionTable | None = None
    targets: TargetsTable | None = None
    training: TrainingTable | None = None
    scenario: tuple[ScenarioTable, ...] = ()
    uncertainty: UncertaintyTable = UncertaintyTable()


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A question and where it came from."""

    question: OwnQuestion
    path: Path

    def refuse(self, one: str, other: str, why: str) -> StudyError:
        """The error of two settings that clash: both are named."""
        return StudyError(f"{self.path}: {one} and {other} clash: {why}")

    def resolve(self, name_or_path: str) -> str | Path:
        """A path relative to the file; what is no file stays a name."""
        candidate = self.path.parent / Path(name_or_path).expanduser()
        return candidate if candidate.exists() else name_or_path


# Settings that an option of a kind may give, beside its name and kind.
_TAKES: Mapping[str, tuple[str, ...]] = {
    "rent": ("chip", "term", "hourly", "take_or_pay", "prepaid"),
    "buy": ("chip", "price", "base", "rest", "chips_per_quarter", "power"),
    "build": (
        "chip", "price", "base", "rest", "chips_per_quarter", "power", "design", "seller", "volume", "begun",
        "state_of", "tape_out", "first_chips", "claim_share", "successors",
    ),
    "api": ("api", "per_token"),
}  # fmt: skip
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "rent": ("chip",), "buy": ("chip", "rest"), "build": ("chip", "design", "rest"), "api": ("api",)
}  # fmt: skip


def read_own(path: Path) -> OwnFile:
    """Read and check a question of owning. Raises StudyError with file, field and remedy."""
    text = read_text(path, StudyError, "there is no such study file; docs/own.md says how one is written")
    raw = parse_toml(text, path, StudyError)
    try:
        question = OwnQuestion.model_validate(raw)
    except ValidationError as error:
        raise StudyError(_sentence(path, raw, error)) from None
    file = OwnFile(question, path)
    for given in question.option:
        _check_option(file, given)
    names = [o.name for o in question.option]
    if double := next((n for n in names if names.count(n) > 1), None):
        raise StudyError(f"{path}: two options are called '{double}'; each needs a name of its own")
    return file


def _check_option(file: OwnFile, option: OptionTable) -> None:
    where = f"{file.path}: option '{option.name}'"
    for name in sorted(option.model_fields_set - {"name", "kind"}):
        if name not in _TAKES[option.kind]:
            raise file.refuse(
                f"option '{option.name}': {name}", f"kind = \"{option.kind}\"",
                f"such an option takes {', '.join(_TAKES[option.kind])}",
            )  # fmt: skip
    for name in _NEEDS[option.kind]:
        if not getattr(option, name) and not (name == "api" and option.per_token is not None):
            raise StudyError(f"{where}: {name} is missing; an option of kind {option.kind} must give it")
    if option.term == "on_demand":
        for name in ("prepaid", "take_or_pay"):
            if getattr(option, name):
                raise file.refuse(
                    f"option '{option.name}': {name}",
                    'term = "on_demand"',
                    "what is rented by the hour is not signed for",
                )
    if option.rest:
        rents = [o.name for o in file.question.option if o.kind == "rent"]
        if option.rest not in rents:
            raise StudyError(
                f"{where}: rest is '{option.rest}', which is no option of kind rent; {nearest(option.rest, rents)}"
            )


def _sentence(path: Path, raw: dict[str, Any], error: ValidationError) -> str:
    """The first thing wrong, in one sentence; a name that is no setting before whatever is missing for it."""
    first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    where = f"{path}: {_where(raw, location)}"
    if first["type"] == "extra_forbidden":
        return f"{where} is not a setting; {nearest(location[-1], _settings(location))}"
    if first["type"] == "missing":
        return f"{where} is missing; the file must give it (docs/own.md lists the settings)"
    message = {
        "string_pattern_mismatch": "expected a quarter such as '2026-Q4' or a month such as '2026-11'",
        "tuple_type": "expected a list in brackets",
        "too_short": "expected at least two options" if location[-1] == "option" else "expected at least one entry",
    }.get(first["type"], first["msg"].removeprefix("Value error, ").replace("Input should be", "expected"))
    given: Any = raw
    for part in first["loc"]:
        given = given[part]
    end = "" if isinstance(given, dict | list) else f" (given: {given!r})"
    return f"{where}: {message[0].lower() + message[1:]}{end}"


def _where(raw: dict[str, Any], location: list[str]) -> str:
    """'option 'Build': price', '[demand] growth' or a setting outside of tables."""
    if location[0] in ("option", "scenario") and len(location) > 1:
        entry = raw[location[0]][int(location[1])]
        name = entry.get("name", f"number {int(location[1]) + 1}") if isinstance(entry, dict) else location[1]
        return " ".join([f"{location[0]} '{name}':", *location[2:3]])
    return f"[{location[0]}] {location[1]}" if len(location) > 1 else location[0]


def _settings(location: list[str]) -> list[str]:
    tables: dict[str, type[Table]] = {
        "time": TimeTable, "demand": DemandTable, "option": OptionTable, "ownership": OwnershipTable,
        "money": MoneyTable, "traffic": LoadTable, "model": ModelTable, "precision": PrecisionTable,
        "targets": TargetsTable, "training": TrainingTable, "scenario": ScenarioTable,
        "uncertainty": UncertaintyTable,
    }  # fmt: skip
    table = tables.get(location[0], OwnQuestion) if len(location) > 1 else OwnQuestion
    return list(table.model_fields)
