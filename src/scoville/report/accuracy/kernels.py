"""Measured kernels against the rows that were left out of their fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scoville.report.accuracy.markdown import percent, table
from scoville.timing.measured.attention import HeadLayout, attention_times
from scoville.timing.measured.collectives import collective_times
from scoville.timing.measured.gemm import gemm_times
from scoville.timing.measured.moe import ExpertLayout, moe_times

if TYPE_CHECKING:
    import polars as pl

Array = NDArray[np.float64]
_LAYOUT = ("hidden", "intermediate", "experts", "top_k", "tensor", "expert")


def _gemm(key: Mapping[str, Any], rows: pl.DataFrame) -> Array:
    times = gemm_times(key["chip"], key["family"], key["format"])
    return times.seconds(*(rows[c].to_numpy() for c in ("m", "n", "k")))


def _moe(key: Mapping[str, Any], rows: pl.DataFrame) -> Array:
    times = moe_times(key["chip"], key["family"], key["format"])
    layout = ExpertLayout(**{c: key[c] for c in _LAYOUT}, gated="nongated" not in key["kernel"])
    named = {**layout._asdict(), "distribution": key["distribution"], "cached": True}
    return times.seconds(rows["tokens"].to_numpy(), **named)


def _attention(key: Mapping[str, Any], rows: pl.DataFrame) -> Array:
    times = attention_times(key["chip"], key["family"])
    assert times is not None  # its rows left out are of that table
    window = key["window"] or None
    layout = HeadLayout(key["heads"], key["kv_heads"], key["head_dim"], window, key["query"], key["cache"])
    return times.seconds(layout, key["phase"], *(rows[c].to_numpy() for c in ("batch", "new_tokens", "cached_tokens")))


def _collective(key: Mapping[str, Any], rows: pl.DataFrame) -> Array:
    times = collective_times(key["chip"], key["family"])
    return times.seconds(key["kind"], rows["ranks"].to_numpy(), rows["payload_bytes"].to_numpy())


MEDIAN_FRAC, MEAN_FRAC = 0.05, 0.08
_HEADS = ("phase", "query", "cache", "window", "head_dim", "heads", "kv_heads")
# What a line of the page is of, the file, what the rows of one call share, the column of the time, and the call.
_PARTS: tuple[tuple[str, str, tuple[str, ...], str, Callable[[Mapping[str, Any], pl.DataFrame], Array]], ...] = (
    ("format", "gemm", (), "time_s", _gemm),
    ("format", "moe", ("kernel", "distribution", *_LAYOUT), "seconds", _moe),
    ("phase", "attention", _HEADS[1:], "time_s", _attention),
    ("kind", "collectives", (), "time_s", _collective),
)
_NAMES = {
    "gemm": "matrix product", "moe": "experts", "attention": "attention", "collectives": "collective",
}  # fmt: skip


@lru_cache(maxsize=1)
def errors() -> pl.DataFrame:
    """Every row left out: class, chip, family, what (format, phase or operation), error."""
    import polars as pl

    found = []
    for what, name, shared, seconds, predict in _PARTS:
        file = resources.files("scoville.timing.measured") / "data" / f"{name}_held_out.parquet"
        rows = pl.read_parquet(file.read_bytes())
        keys = ["chip", "family", what, *shared]
        for key, part in rows.group_by(keys, maintain_order=True):
            said = predict(dict(zip(keys, key, strict=True)), part)
            labels = (pl.lit(_NAMES[name]).alias("class"), "chip", "family", pl.col(what).alias("what"))
            found.append(part.select(*labels, error=pl.Series(said / part[seconds].to_numpy() - 1)))
    return pl.concat(found)


def kernels() -> str:
    """The page's table: worst first within a class."""
    import polars as pl

    size = pl.col("error").abs()
    scores = (
        errors()
        .group_by("class", "chip", "family", "what", maintain_order=True)
        .agg(pl.len(), mean=size.mean(), median=size.median(), bias=pl.col("error").mean())
        .sort("mean", descending=True)
    )
    rows = [
        [r["class"], r["what"].replace("_", " "), r["chip"], r["family"], str(r["len"]), percent(r["median"]),
         percent(r["mean"]), percent(r["bias"], sign=True)]
        for name in _NAMES.values()
        for r in scores.filter(pl.col("class") == name).iter_rows(named=True)
    ]  # fmt: skip
    heads = ("class", "format, phase or operation", "chip", "kernels of", "rows", "median", "mean", "bias")
    return table(heads, rows, words=4)


def by_chip() -> str:
    """Median and mean of all rows of a class and chip."""
    import polars as pl

    size = pl.col("error").abs()
    scores = errors().group_by("class", "chip").agg(pl.len(), mean=size.mean(), median=size.median())
    found = {(r["class"], r["chip"]): r for r in scores.iter_rows(named=True)}
    chips = sorted(scores["chip"].unique())
    rows = [[name, *(_both(found[name, c]) for c in chips)] for name in _NAMES.values()]
    return table(("median / mean (rows)", *chips), rows)


def _both(score: Mapping[str, Any]) -> str:
    missed = "" if score["median"] <= MEDIAN_FRAC and score["mean"] <= MEAN_FRAC else " **missed**"
    return f"{percent(score['median'])} / {percent(score['mean'])} ({score['len']:,}){missed}"
