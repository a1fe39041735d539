"""Measured collectives: how long an all-reduce, all-gather, reduce-scatter or all-to-all takes among chips of a server.

Two layers, as for products: `line_seconds`, four parameters per operation, and `CollectiveTimes`, that line times what
was measured over it, interpolated in log ranks and log payload. Payload as in `timing.collectives`: the reduced vector
of an all-reduce or reduce-scatter, the gathered total, what one rank sends in an all-to-all.

What the tables hold: NCCL's operations, and the all-reduce that each engine launches in a captured graph (its own
kernel for small vectors, NCCL beyond), alone on the links. Example: 16 KiB among 8 H100s take vLLM 5.3 us, NCCL 19.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoville.errors import DeploymentError
from scoville.timing.measured.generation import CLOCK_HZ
from scoville.timing.measured.tables import frame, place

if TYPE_CHECKING:
    import polars as pl

    from scoville.facts import Facts

Array = NDArray[np.float64]
KINDS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
FAMILIES = ("vllm", "sglang", "trtllm", "nccl")  # beside the all-reduce all use NCCL


@dataclass(frozen=True, slots=True)
class CollectiveLine:
    """Parameters of the fitted line.

    fixed_s         start and end among two ranks, less one rank
    rank_s          more for every further rank
    bandwidth_frac  share of a chip's link bandwidth per direction
    ramp_bytes      the longer short transfers take: of v bytes the square root of v x ramp comes on top
    """

    fixed_s: float
    rank_s: float
    bandwidth_frac: float
    ramp_bytes: float


def line_seconds(
    line: CollectiveLine, kind: str, link_bytes_per_s: float | Array, ranks: ArrayLike, payload_bytes: ArrayLike
) -> Array:
    """Seconds of `payload_bytes` among 2 ranks or more, over links of that bandwidth per direction; shapes broadcast.

    Ring volumes as in `timing.collectives`: (p-1)/p of the payload crosses a rank's link, twice in an all-reduce.
    """
    p, payload = np.asarray(ranks, float), np.asarray(payload_bytes, float)
    moved = (2.0 if kind == "all_reduce" else 1.0) * (p - 1) / p * payload
    latency = line.fixed_s + line.rank_s * (p - 1)
    ramp = np.sqrt(moved * line.ramp_bytes)
    return np.asarray(latency + (moved / line.bandwidth_frac + ramp) / link_bytes_per_s)


def at_clock(line: CollectiveLine, clock_count_per_s: float) -> CollectiveLine:
    """A line fitted across chips on one of that clock: its latencies are cycles, given at an H100's clock."""
    ratio = CLOCK_HZ / clock_count_per_s
    return replace(line, fixed_s=line.fixed_s * ratio, rank_s=line.rank_s * ratio)


def light_seconds(kind: str, link_bytes_per_s: float | Array, ranks: ArrayLike, payload_bytes: ArrayLike) -> Array:
    """What must leave or reach a chip at full bandwidth: the whole vector of an all-reduce, even where the switch adds
    up, and (p-1)/p of the others' payload."""
    p, payload = np.asarray(ranks, float), np.asarray(payload_bytes, float)
    return np.asarray((np.ones_like(p) if kind == "all_reduce" else (p - 1) / p) * payload / link_bytes_per_s)


@dataclass(frozen=True, slots=True)
class CollectiveTable:
    """One operation: line, knots (R,) and (P,), and log of measured over the line, (R, P)."""

    kind: str
    line: CollectiveLine
    link_bytes_per_s: float
    ranks_count: Array
    payload_bytes: Array
    log_ratio_frac: Array

    def seconds(self, ranks: ArrayLike, payload_bytes: ArrayLike) -> Array:
        """Seconds among 2 ranks or more; shapes broadcast. The ratio at the table's border goes on outside."""
        p, payload = np.asarray(ranks, float), np.asarray(payload_bytes, float)
        i, u = place(self.ranks_count, p)
        j, v = place(self.payload_bytes, payload)
        r = self.log_ratio_frac
        ratio = (1 - u) * ((1 - v) * r[i, j] + v * r[i, j + 1]) + u * ((1 - v) * r[i + 1, j] + v * r[i + 1, j + 1])
        time = line_seconds(self.line, self.kind, self.link_bytes_per_s, p, payload) * np.exp(ratio)
        return np.maximum(time, light_seconds(self.kind, self.link_bytes_per_s, p, payload))


@dataclass(frozen=True, slots=True)
class CollectiveTimes:
    """The measured collectives of one chip in one engine family."""

    chip: str
    family: str
    tables: Mapping[str, CollectiveTable]

    def seconds(self, kind: str, ranks: ArrayLike, payload_bytes: ArrayLike) -> Array:
        """Seconds of a collective; 0 for a single rank or no payload. Shapes broadcast.

        Raises DeploymentError for an operation that was not measured.
        """
        table = self._table(kind)
        p, payload = np.asarray(ranks, float), np.asarray(payload_bytes, float)
        time = table.seconds(np.maximum(p, 2.0), np.maximum(payload, 1.0))
        return np.where((p > 1) & (payload > 0), time, 0.0)

    def covers(self, kind: str, ranks: ArrayLike, payload_bytes: ArrayLike) -> NDArray[np.bool_]:
        """True inside the measured ranks (2 to 8) and payloads; shapes broadcast. Smaller payloads take as long as the
        smallest one and count as covered."""
        table = self._table(kind)
        p, payload = np.asarray(ranks, float), np.asarray(payload_bytes, float)
        return np.asarray((p <= table.ranks_count[-1]) & (payload <= table.payload_bytes[-1]))

    def _table(self, kind: str) -> CollectiveTable:
        if kind not in self.tables:
            raise DeploymentError(
                f"collectives: {kind} was not measured on {self.chip}; expected one of {', '.join(self.tables)}"
            )
        return self.tables[kind]


def fitted_line(facts: Facts, kind: str, family: str = "vllm") -> CollectiveLine:
    """The line of an operation, fitted across chips joined by a switch: central values of `kernel-collectives`."""
    key = f"{kind}_{family}" if kind == "all_reduce" else kind
    named = {
        f.name: facts.get("kernel-collectives", f"{f.name.partition('_')[0]}_{key}") for f in fields(CollectiveLine)
    }
    return CollectiveLine(**{name: fact.number for name, fact in named.items()})


@lru_cache(maxsize=1)
def _tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    return frame("collectives_parameters"), frame("collectives")


def collective_chips() -> tuple[str, ...]:
    """Ids of the measured chips."""
    return tuple(_tables()[0]["chip"].unique().sort())


@lru_cache(maxsize=32)
def collective_times(chip: str, family: str) -> CollectiveTimes:
    """The measured collectives. Raises DeploymentError for a chip or engine family without tables."""
    if chip not in collective_chips() or family not in FAMILIES:
        raise DeploymentError(
            f"collectives: no measured tables for {chip} {family}; "
            f"expected one of {', '.join(collective_chips())} and of {', '.join(FAMILIES)}"
        )
    parameters, rows = _tables()
    tables = {}
    for kind in KINDS:
        own = {"chip": chip, "kind": kind, "family": family if kind == "all_reduce" else "nccl"}
        tables[kind] = table_of(parameters.filter(**own).row(0, named=True), rows.filter(**own))
    return CollectiveTimes(chip, family, tables)


def table_of(parameters: Mapping[str, str | float], rows: pl.DataFrame) -> CollectiveTable:
    """From a row of parameters and rows (ranks, payload_bytes, time_s) of a full grid in any order."""
    grid = rows.sort("ranks", "payload_bytes")
    ranks, payload = (grid[c].unique().sort().to_numpy().astype(float) for c in ("ranks", "payload_bytes"))
    line = CollectiveLine(**{f.name: float(parameters[f.name]) for f in fields(CollectiveLine)})
    kind, link = str(parameters["kind"]), float(parameters["link_bytes_per_s"])
    time = grid["time_s"].to_numpy().astype(float).reshape(len(ranks), len(payload))
    ratio = np.log(time / line_seconds(line, kind, link, ranks[:, None], payload))
    return CollectiveTable(kind, line, link, ranks, payload, ratio)
