"""The file of a space: what is served, which designs are tried, under which limits; read once, checked here.

Every error names file, line and field, what the file says, and what is allowed. docs/search.md shows a whole file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from scoville import transformer
from scoville.economics import OwnershipTerms
from scoville.errors import DeploymentError, DesignError, ScovilleError, nearest
from scoville.files import Table, parse_toml, quantity, read_text
from scoville.search.design_ranges import BATCH, Reader, line_of, numbers, parts
from scoville.search.space import Limits, Serve, Space, Supply
from scoville.serving import Targets
from scoville.transformer import Architecture
from scoville.transformer.sharding import check_sharding
from scoville.transformer.step import Parallelism, Precision

MOST_POINTS = 5_000_000_000


_Seconds = Annotated[float, quantity("s"), Field(gt=0)]
_Count = Annotated[float, quantity("count"), Field(gt=0)]
_Fraction = Annotated[float, quantity("frac"), Field(ge=0)]
_Month = Annotated[str, Field(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")]
_Percentile = Annotated[float, Field(ge=50, lt=100)]
_Counts = list[Annotated[int, Field(ge=1)]]


class _ServeTable(Table):
    """[[serve]]: a model under a traffic, its share of all tokens, formats and targets."""

    model: str = Field(min_length=1)
    traffic: str = Field(min_length=1)
    name: str = ""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    weights: str = "declared"
    activations: str = "bf16"
    kv: str = "bf16"
    ttft: _Seconds
    ttft_percentile: _Percentile = 95
    tpot: _Seconds
    tpot_percentile: _Percentile = 95


class _MappingTable(Table):
    """[mapping]: degrees of parallelism and batches that are tried."""

    tensor: _Counts = Field(default=[1, 2, 4, 8], min_length=1)
    pipeline: _Counts = Field(default=[1], min_length=1)
    attention_data: _Counts = Field(default=[1], min_length=1)
    expert: list[Literal["none", "all"]] = Field(default=["none", "all"], min_length=1)
    most_chips: Annotated[int, Field(ge=1)] = 1024
    batch: Any = Field(default={"from": 1, "to": 1024, "factor": 2})


class _ProgramTable(Table):
    """[program]: how many chips share the one-time cost, when the design begins, whose margin is paid."""

    volume: Annotated[float, quantity("count"), Field(ge=1)]
    start: _Month
    nre: bool = True
    seller: str = "broadcom_xpu"


class _PricesTable(Table):
    """[prices]: of which month."""

    vintage: _Month


class _OwnershipTable(Table):
    """[ownership]: who owns; a term left out comes from the facts."""

    owner: Literal["hyperscaler", "neocloud"]
    wacc: _Fraction | None = None
    it_life: _Seconds | None = None
    facility_life: _Seconds | None = None
    electricity: Annotated[float, quantity("usd_per_j"), Field(ge=0)] | None = None
    pue: Annotated[float, quantity("frac"), Field(ge=1)] | None = None
    facility: Annotated[float, quantity("usd_per_w"), Field(ge=0)] | None = None


class _LimitsTable(Table):
    """[limits]: beside reticle and package. Supplies are for the time given, or a quarter where `per` says so."""

    die_area: Annotated[float, quantity("mm2"), Field(gt=0)] | None = None
    power: Annotated[float, quantity("w"), Field(gt=0)] | None = None
    hbm_stacks: _Count | None = None
    cowos_wafers: _Count | None = None
    per: Literal["quarter", "total"] = "total"
    quarters: _Count = 4.0


class _CompareTable(Table):
    """[compare]: the bought chips to beat, and the reference."""

    bought: list[str] = Field(default=[])
    reference: str = "jalapeno"


class _SearchTable(Table):
    """[search]: how many designs are simulated, how many samples their ranges rest on, from which seed."""

    finalists: int = Field(default=3, ge=1, le=50)
    samples: int = Field(default=500, ge=100, le=100_000)
    seed: int = Field(default=1, ge=0)


class _SpaceFile(Table):
    """A whole space file; [design] is a design file whose numbers may be lists or ranges, checked apart."""

    title: str = Field(min_length=1)
    serve: list[_ServeTable] = Field(min_length=1)
    design: dict[str, Any]
    mapping: _MappingTable = _MappingTable()
    program: _ProgramTable
    prices: _PricesTable
    ownership: _OwnershipTable
    limits: _LimitsTable = _LimitsTable()
    compare: _CompareTable = _CompareTable()
    search: _SearchTable = _SearchTable()


def read_space(path: Path) -> Space:
    """Read and check a space file. Raises DesignError, or the error of what it names, with file, field and remedy."""
    text = read_text(path, DesignError, "there is no such space file; docs/search.md says how one is written")
    raw = parse_toml(text, path, DesignError)
    try:
        file = _SpaceFile.model_validate(raw)
    except ValidationError as error:
        raise DesignError(_sentence(path, text, error)) from None
    reader = Reader(path, text)
    batches = tuple(round(x) for x in numbers(reader, "mapping", "batch", file.mapping.batch, BATCH, "count"))
    total = sum(s.weight for s in file.serve)
    served = tuple(_served(reader, s, file.mapping, batches, total) for s in file.serve)
    names = [s.name for s in served]
    if len(set(names)) < len(names):
        raise reader.refused("serve", "name", f"{', '.join(names)} are not all different; give each [[serve]] a name")
    limits = file.limits
    quarters = limits.quarters if limits.per == "quarter" else 1.0
    space = Space(
        title=file.title,
        path=path,
        parts=tuple(parts(reader, file.title, file.design)),
        serve=served,
        terms=OwnershipTerms.of(file.ownership, file.prices.vintage),
        volume_count=file.program.volume,
        start=file.program.start,
        nre=file.program.nre,
        seller=file.program.seller,
        supply=Supply(
            math.inf if limits.hbm_stacks is None else limits.hbm_stacks * quarters,
            math.inf if limits.cowos_wafers is None else limits.cowos_wafers * quarters,
        ),
        limits=Limits(
            math.inf if limits.die_area is None else limits.die_area,
            math.inf if limits.power is None else limits.power,
        ),
        bought=tuple(file.compare.bought),
        reference=file.compare.reference,
        finalists_count=file.search.finalists,
        samples_count=file.search.samples,
        seed=file.search.seed,
    )
    if space.points_count > MOST_POINTS:
        longest = max((a for p in space.parts for a in p.axes), key=lambda a: len(a.values))
        raise DesignError(
            f"{path}: {space.points_count:,} points are more than a sweep can try, {MOST_POINTS:,}; give fewer values, "
            f"first to {longest.key}, which has {len(longest.values)}"
        )
    return space


# -- what is served ----------------------------------------------------------------------------------------------


def _served(reader: Reader, s: _ServeTable, mapping: _MappingTable, batches: tuple[int, ...], total: float) -> Serve:
    def found(name: str) -> str | Path:
        candidate = reader.path.parent / Path(name).expanduser()
        return candidate if candidate.exists() else name

    try:
        architecture = transformer.load(found(s.model))
        precision = Precision(s.weights, s.activations, s.kv)
    except ScovilleError as error:
        raise type(error)(f"{reader.place('serve', 'model')}: {error}") from None
    mappings = tuple(_mappings(architecture, mapping))
    if not mappings:
        raise reader.refused("mapping", "tensor", f"no combination of the degrees divides {architecture.name}")
    return Serve(
        name=s.name or architecture.name,
        model=s.model,
        trace=str(found(s.traffic)),
        weight_frac=s.weight / total,
        architecture=architecture,
        precision=precision,
        targets=Targets(s.ttft, s.tpot, s.ttft_percentile / 100, s.tpot_percentile / 100),
        mappings=mappings,
        batches=batches,
    )


def _mappings(architecture: Architecture, table: _MappingTable) -> Iterable[Parallelism]:
    """Those that divide the model; only models with experts spread these, or repeat their attention."""
    routed = any(layer.feed_forward.experts for layer in architecture.layers)
    found: dict[Parallelism, None] = {}
    for tensor, pipeline, data, expert in product(
        sorted(table.tensor), sorted(table.pipeline), sorted(table.attention_data), table.expert
    ):
        if tensor * pipeline * data > table.most_chips or (data > 1 and (not routed or expert == "none")):
            continue
        experts = tensor * data if expert == "all" and routed else 1
        p = Parallelism(tensor=tensor, pipeline=pipeline, expert=experts, attention_data=data)
        try:
            check_sharding(architecture, p)
        except DeploymentError:
            continue
        found[p] = None
    return found


# -- places and sentences ----------------------------------------------------------------------------------------


def _sentence(path: Path, text: str, error: ValidationError) -> str:
    """The first thing wrong, in one sentence; a name that is no setting before whatever is missing for it."""
    first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    names = [str(part) for part in first["loc"] if not isinstance(part, int)]
    table, field = ".".join(names[:-1]), names[-1]
    where = f"{path}{line_of(text, table, field)}: " + (f"[{table}] {field}" if table else field)
    if first["type"] == "extra_forbidden":
        model: Any = _SpaceFile
        if table:
            model = {"serve": _ServeTable}.get(table) or _SpaceFile.model_fields[table].annotation
        return f"{where} is not a setting; {nearest(field, model.model_fields)}"
    if first["type"] == "missing":
        return f"{where} is missing; the file must give it (docs/search.md shows one)"
    message = str(first.get("ctx", {}).get("error") or first["msg"].replace("Input should be", "expected"))
    if first["type"] == "string_pattern_mismatch":
        message = "expected a month such as '2026-09'"
    given = first["input"]
    end = "" if isinstance(given, dict | list) or message.startswith("'") else f" (given: {given!r})"
    return f"{where}: {message[0].lower() + message[1:]}{end}"
