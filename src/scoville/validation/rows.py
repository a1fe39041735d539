"""A table of measured runs, row by row: what was run (`Setting`) and measured, or why the row does not map."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scoville.errors import DeploymentError, MeasurementError, ModelError
from scoville.facts import Facts
from scoville.transformer import Architecture, load, names
from scoville.transformer.architecture import FORMATS
from scoville.transformer.step import Parallelism, Precision
from scoville.validation.conventions import Convention, Run, convention
from scoville.validation.names import (
    Chips,
    Unknown,
    cache_format,
    concurrency,
    engine_family,
    model_key,
    model_names,
    precision,
    spread,
)

Metric = Literal["ttft", "tpot", "throughput"]
METRICS: tuple[Metric, ...] = ("tpot", "ttft", "throughput")
_MEASURES: dict[Metric, str] = {"ttft": "s", "tpot": "s", "throughput": "tokens_per_s"}

COLUMNS = (
    "hardware", "n_chips", "model", "precision", "engine", "parallelism", "input_tokens", "output_tokens",
    "batch_or_concurrency", "metric", "value",
)  # fmt: skip
_MOST_TOKENS, _MOST_CHIPS, _MOST_REQUESTS, _MOST_USERS = 1 << 24, 1 << 17, 1 << 20, 1 << 16
_LEAST, _MOST = 1e-9, 1e12  # of a measured figure in the unit of its metric: what lies beyond is a slip
_METRIC = re.compile(
    r"(?:(?P<statistic>mean|avg|average|median|p50)_)?(?P<what>ttft|tpot|itl)(?:_(?P<late>mean|avg|median|p50))?"
    r"_(?P<unit>ms|s|us)"
)
_UNIT_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_THROUGHPUT = re.compile(
    r"output_(?:tokens_per_s|tok_per_s|throughput|tput|tps)(?:_total)?(?P<each>_per_(?:gpu|chip))?"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One run: a deployment, lengths and load. Rows of one run share it.

    concurrency         requests in flight; None: all requests come at once
    requests_count      requests of the run
    shortest_frac       lengths are drawn evenly from so much of the nominal ones up to them
    token_budget        of the engine; None: its family's own
    late_tokens         times per token by which a client sees the first token late (conventions.Launch)
    """

    accelerator: str
    model: str
    precision: Precision
    parallelism: Parallelism
    replicas_count: int
    engine: str
    input_tokens: int
    output_tokens: int
    concurrency: int | None
    requests_count: int
    shortest_frac: float
    token_budget: int | None = None
    late_tokens: int = 0

    @property
    def run(self) -> Run:
        """What tells how the engine was started."""
        p = self.parallelism
        lengths = self.input_tokens, self.output_tokens
        return Run(self.engine, self.accelerator, self.model, self.precision.weights, lengths, p.tensor)

    @property
    def chips_count(self) -> int:
        """Chips of all replicas."""
        return self.parallelism.chips * self.replicas_count

    def __str__(self) -> str:
        p = self.precision
        load = "all at once" if self.concurrency is None else f"{self.concurrency} in flight"
        times = f"{self.replicas_count} x " if self.replicas_count > 1 else ""
        return (
            f"{self.model} {p.weights}/{p.activations}/{p.kv} on {times}{self.parallelism} x {self.accelerator}, "
            f"{self.engine}, {self.input_tokens}/{self.output_tokens}, {load}"
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """A row that maps. `value` is in `measure`, s or tokens_per_s (of all chips); `words` are the row's own.

    convention   name of the published benchmark that the row is from, "" for none that is known
    """

    line: int
    setting: Setting
    metric: Metric
    median: bool
    value: float
    measure: str
    words: Mapping[str, str]
    convention: str


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A row that does not map, and why in one sentence."""

    line: int
    reason: str
    words: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """All rows of a file in its order, and the architectures that they use by the model's name in their settings."""

    path: Path
    rows: tuple[Measured | Unmapped, ...]
    architectures: Mapping[str, Architecture]

    @property
    def mapped(self) -> tuple[Measured, ...]:
        """The rows that map."""
        return tuple(r for r in self.rows if isinstance(r, Measured))

    @property
    def unmapped(self) -> tuple[Unmapped, ...]:
        """The rows that do not."""
        return tuple(r for r in self.rows if isinstance(r, Unmapped))


def read(path: Path, facts: Facts, own_models: Mapping[str, str] | None = None) -> Table:
    """Read a CSV file in the columns of `COLUMNS`; `kv`, `requests`, `note`, `source` are read if there, others not.

    A bundled table is Parquet.

    `own_models` gives a config.json for a model's name. A row with a number or word that cannot be read does not map;
    the others do. Raises MeasurementError for a file that is no such table, naming the column that is missing, and
    ModelError for a config of `own_models` that cannot be read.
    """
    from scoville.validation.bundled import lines as bundled_lines  # so that bundled.py can be run as a module

    mapper = _Mapper(facts, own_models or {})
    lines: Iterable[tuple[int, Mapping[str, str] | str]] = (
        bundled_lines(path) if path.suffix == ".parquet" else _lines(path)
    )
    rows = tuple(mapper.mapped(line, words) for line, words in lines)
    if not rows:
        raise MeasurementError(f"{path}:2: there are no rows; expected one measured figure a row")
    return Table(path, rows, mapper.architectures)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Line and words by column, or why the line has none. Raises MeasurementError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(rows, [])]
            missing = [name for name in COLUMNS if name not in header]
            if missing and len(header) == 1 and all(name in header[0] for name in COLUMNS):
                raise MeasurementError(f"{path}:1: the columns are not separated by commas; expected a CSV file")
            twice = [name for name in COLUMNS if header.count(name) > 1]
            if twice:
                raise MeasurementError(f"{path}:1: column {twice[0]} is there twice; expected each once")
            if missing:
                raise MeasurementError(f"{path}:1: column {missing[0]} is missing; expected {', '.join(COLUMNS)}")
            for cells in rows:
                if len(cells) != len(header) and any(map(str.strip, cells)):
                    yield rows.line_num, f"the row has {len(cells)} cells; expected {len(header)}, one a column"
                elif any(map(str.strip, cells)):
                    yield rows.line_num, dict(zip(header, map(str.strip, cells), strict=True))
    except UnicodeDecodeError:
        raise MeasurementError(f"{path}: is not UTF-8 text; expected a CSV file") from None
    except csv.Error as error:
        raise MeasurementError(f"{path}:{rows.line_num}: is no CSV ({error})") from None
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be read ({error.strerror})") from None


def _number(words: Mapping[str, str], column: str, expected: str) -> float:
    """A number above 0, thousands with or without commas. Raises Unknown."""
    try:
        value = float(re.sub(r"(?<=\d),(?=\d{3})", "", words[column]))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise Unknown(f"{column} is '{words[column]}'; expected {expected}")
    return value


def _value(words: Mapping[str, str]) -> float:
    """The measured figure. Raises Unknown."""
    expected = f"a number from {_LEAST:g} to {_MOST:g}"
    value = _number(words, "value", expected)
    if not _LEAST <= value <= _MOST:
        raise Unknown(f"value is '{words['value']}'; expected {expected}")
    return value


def _count(words: Mapping[str, str], column: str, most: int = _MOST_TOKENS) -> int:
    """An integer from 1. Raises Unknown."""
    value = _number(words, column, f"an integer from 1 to {most:,}")
    if value != int(value) or value > most:
        raise Unknown(f"{column} is '{words[column]}'; expected an integer from 1 to {most:,}")
    return int(value)


class _Mapper:
    """Maps rows; what a name means is looked up once."""

    def __init__(self, facts: Facts, own_models: Mapping[str, str]) -> None:
        self._chips = Chips(facts)
        self._models = model_names(names(), own_models)
        self.architectures: dict[str, Architecture] = {}
        for path in own_models.values():  # before the rows, so that a bad file is an error whatever they hold
            self._load(path)

    def _load(self, name: str) -> Architecture:
        if name not in self.architectures:
            self.architectures[name] = load(name)
        return self.architectures[name]

    def mapped(self, line: int, words: Mapping[str, str] | str) -> Measured | Unmapped:
        if isinstance(words, str):
            return Unmapped(line, words, {})
        try:
            value = _value(words)
            metric, median, scale, each = _metric(words["metric"])
            setting = self._setting(words, convention(words))
        except (Unknown, DeploymentError, ModelError) as why:
            return Unmapped(line, str(why), words)
        if each:
            scale *= setting.chips_count
        if metric == "tpot" and setting.output_tokens < 2:
            return Unmapped(line, "an answer of one token has no time per token after the first", words)
        return Measured(line, setting, metric, median, value * scale, _MEASURES[metric], words, convention(words).name)

    def _setting(self, words: Mapping[str, str], how: Convention) -> Setting:
        given, made = (_count(words, column) for column in ("input_tokens", "output_tokens"))
        chips = _count(words, "n_chips", _MOST_CHIPS) if words["n_chips"] else None
        chip = self._chips.find(words["hardware"])
        if chip.missing:
            raise Unknown(f"{chip.id} cannot be timed, because nobody has published: {', '.join(chip.missing)}")
        name = self._models.get(model_key(words["model"]))
        if name is None:
            raise Unknown(f"model '{words['model']}' is not bundled; give its config with --model NAME=config.json")
        model = self._load(name)
        engine = engine_family(words["engine"])
        formats = precision(words["precision"], model, chip, engine)
        spreads = spread(words["parallelism"], chips, model, attention_dp=how.attention_dp)
        tensor = spreads.parallelism.tensor
        launch = how.launch(Run(engine, chip.id, name, formats.weights, (given, made), tensor))
        users = concurrency(words["batch_or_concurrency"])
        requests = _count(words, "requests", _MOST_REQUESTS) if words.get("requests") else None
        if users is not None and users > _MOST_USERS:
            raise Unknown(f"batch_or_concurrency is {users:,}; expected at most {_MOST_USERS:,}")
        return Setting(
            accelerator=chip.id,
            model=name,
            precision=replace(formats, kv=_cache_format(words) or launch.kv or formats.kv),
            parallelism=spreads.parallelism,
            replicas_count=spreads.replicas,
            engine=engine,
            input_tokens=given,
            output_tokens=made,
            concurrency=users,
            requests_count=requests or how.requests_count(given, made, users),
            shortest_frac=how.shortest_frac,
            token_budget=launch.token_budget,
            late_tokens=launch.late_tokens,
        )


def _cache_format(words: Mapping[str, str]) -> str:
    """The format of the KV cache that a row gives, "" for none. Raises Unknown."""
    said = words.get("kv", "").lower()
    name = {"auto": "", "fp16": "bf16", "bfloat16": "bf16", "float16": "bf16", "fp8_e4m3": "fp8"}.get(said, said)
    if name and name not in FORMATS:
        raise Unknown(f"kv '{words['kv']}' is no format of a cache; known: {', '.join(FORMATS)}")
    return name or cache_format(words["precision"])


def _metric(name: str) -> tuple[Metric, bool, float, bool]:
    """(metric, median, what a unit is in SI, per chip) of a metric's name. Raises Unknown.

    >>> _metric("ttft_ms"), _metric("Median ITL (ms)"), _metric("output tokens/s")
    (('ttft', False, 0.001, False), ('tpot', True, 0.001, False), ('throughput', False, 1.0, False))
    """
    word = re.sub(r"[^a-z0-9]+", "_", name.lower().replace("/", "_per_")).strip("_")
    if found := _METRIC.fullmatch(word):
        statistic = found["statistic"] or found["late"] or ""
        what: Metric = "ttft" if found["what"] == "ttft" else "tpot"
        return what, statistic in ("median", "p50"), _UNIT_S[found["unit"]], False
    if found := _THROUGHPUT.fullmatch(word):
        return "throughput", False, 1.0, found["each"] is not None
    raise Unknown(f"metric '{name}' is not predicted; known: ttft_ms, tpot_ms, itl_ms, output_tokens_per_s_total")
