"""The question file: what is served, how much of it, on which model, under which targets, among which chips.

Read once, checked here, SI from here on. Every error names the file and the field and says what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from scoville.errors import StudyError, nearest
from scoville.files import Table, parse_toml, quantity, read_text
from scoville.serving import Targets
from scoville.transformer.architecture import FORMATS
from scoville.transformer.step import Precision

Seconds = Annotated[float, quantity("s")]
TokensPerSecond = Annotated[float, quantity("tokens_per_s")]
Fraction = Annotated[float, quantity("frac")]
UsdPerJoule = Annotated[float, quantity("usd_per_j")]
UsdPerWatt = Annotated[float, quantity("usd_per_w")]


class TrafficTable(Table):
    """[traffic]: which requests, and how many of them a day."""

    trace: str = Field(min_length=1)
    demand: TokensPerSecond = Field(gt=0)
    peak_to_average: Fraction = Field(ge=1)
    headroom: Fraction = Field(ge=0, le=5)
    highest_utilisation: Fraction = Field(gt=0, le=1)


class ModelTable(Table):
    """[model]: a bundled name or the path of a config.json."""

    config: str = Field(min_length=1)


class PrecisionTable(Table):
    """[precision]: formats of weights ("declared" or a format), activations and KV cache."""

    weights: str
    activations: str
    kv: str


class TargetsTable(Table):
    """[targets]: latency per request, and the percentile that must meet it."""

    ttft: Seconds = Field(gt=0)
    ttft_percentile: float = Field(default=95, ge=50, lt=100)
    tpot: Seconds = Field(gt=0)
    tpot_percentile: float = Field(default=95, ge=50, lt=100)


class AcceleratorsTable(Table):
    """[accelerators]: the chips to compare."""

    compare: tuple[str, ...] = Field(min_length=1)


class PricesTable(Table):
    """[prices]: of which month, and rented on which term."""

    vintage: str = Field(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")
    rent_term: Literal["3yr", "1yr", "on_demand", "spot"] = "3yr"


class OwnershipTable(Table):
    """[ownership]: who owns; a term left out comes from the facts."""

    owner: Literal["hyperscaler", "neocloud"]
    wacc: Fraction | None = Field(default=None, ge=0, le=1)
    it_life: Seconds | None = Field(default=None, gt=0)
    facility_life: Seconds | None = Field(default=None, gt=0)
    electricity: UsdPerJoule | None = Field(default=None, ge=0)
    pue: Fraction | None = Field(default=None, ge=1)
    facility: UsdPerWatt | None = Field(default=None, ge=0)


class UncertaintyTable(Table):
    """[uncertainty]: how many samples, from which seed."""

    samples: int = Field(default=1000, ge=100, le=100_000)
    seed: int = Field(default=1, ge=0)


class Question(Table):
    """A whole study file."""

    title: str = Field(min_length=1)
    traffic: TrafficTable
    model: ModelTable
    precision: PrecisionTable
    targets: TargetsTable
    accelerators: AcceleratorsTable
    prices: PricesTable
    ownership: OwnershipTable
    uncertainty: UncertaintyTable = UncertaintyTable()

    @property
    def latency(self) -> Targets:
        """The targets as the simulator takes them."""
        t = self.targets
        return Targets(t.ttft, t.tpot, t.ttft_percentile / 100, t.tpot_percentile / 100)

    @property
    def formats(self) -> Precision:
        """The precision as the model takes it."""
        return Precision(self.precision.weights, self.precision.activations, self.precision.kv)


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """A question, where it came from, and the folder that its relative paths are relative to."""

    question: Question
    path: Path
    text: str = ""

    def resolve(self, name_or_path: str) -> str | Path:
        """A path as written in the file, relative to the file; anything that is no file stays a name."""
        candidate = self.path.parent / Path(name_or_path).expanduser()
        return candidate if candidate.exists() else name_or_path

    def place(self, table: str, field: str) -> str:
        """'my.toml:12: [model] config', as error sentences begin."""
        return f"{self.path}{_line(self.text, table, field)}: [{table}] {field}"


def read_question(path: Path) -> QuestionFile:
    """Read and check a study file. Raises StudyError with file, field and remedy."""
    text = read_text(path, StudyError, "there is no such study file; docs/studies.md says how one is written")
    raw = parse_toml(text, path, StudyError)
    try:
        question = Question.model_validate(raw)
    except ValidationError as error:
        raise StudyError(_sentence(path, text, error)) from None
    file = QuestionFile(question, path, text)
    for role in ("weights", "activations", "kv"):
        name = getattr(question.precision, role)
        allowed = [*(["declared"] if role == "weights" else []), *FORMATS]
        if name not in allowed:
            raise StudyError(f"{file.place('precision', role)}: unknown format '{name}'; allowed: {', '.join(allowed)}")
    return file


def _line(text: str, table: str, field: str) -> str:
    """':12' for the line of a field in its table (of a table's head where `table` is ''), '' where none is found."""
    inside = table == ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[(.+?)\]", line)
        if header:
            inside = header.group(1).strip() == table
            if not table and header.group(1).strip() == field:
                return f":{number}"
        elif inside and re.match(rf"\s*{re.escape(field)}\s*=", line):
            return f":{number}"
    return ""


def _sentence(path: Path, text: str, error: ValidationError) -> str:
    """The first thing wrong, in one sentence; a name that is no setting before whatever is missing for it."""
    found = error.errors(include_url=False)
    first = min(found, key=lambda e: e["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    table = location[0] if len(location) > 1 else ""
    field = location[1] if len(location) > 1 else location[0]
    where = f"{path}{_line(text, table, field)}: " + (f"[{table}] {field}" if table else field)
    known = Question.model_fields
    names = _settings(known, table) or list(known)
    if first["type"] == "extra_forbidden":
        return f"{where} is not a setting; {nearest(field, names)}"
    if first["type"] == "missing":
        return f"{where} is missing; the file must give it (docs/studies.md lists them)"
    given = _given(text, first["loc"])
    message = {
        "tuple_type": "expected a list of names in brackets",
        "too_short": "expected at least one accelerator",
        "string_too_short": "expected a name, not an empty text",
        "string_pattern_mismatch": "expected a month such as '2026-09'",
        "model_type": f"expected a table, [{field}], with {', '.join(_settings(known, field))}",
    }.get(first["type"], first["msg"].removeprefix("Value error, ").replace("Input should be", "expected"))
    end = "" if isinstance(given, dict) or message.startswith("'") else f" (given: {given!r})"
    return f"{where}: {message[0].lower() + message[1:]}{end}"


def _settings(tables: Mapping[str, FieldInfo], table: str) -> list[str]:
    model = tables[table].annotation if table in tables else None
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _given(text: str, location: tuple[int | str, ...]) -> Any:
    """What the file says there, as it is written."""
    value: Any = parse_toml(text, "", StudyError)
    for part in location:
        value = value[part]
    return value
