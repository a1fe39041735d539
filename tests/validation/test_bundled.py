"""The bundled measured runs, and how a table becomes them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from scoville.errors import MeasurementError
from scoville.facts import Facts
from scoville.validation import read
from scoville.validation.bundled import bundled, lines, reduced

HEAD = (
    "source,licence,hardware,n_chips,model,precision,engine,parallelism,input_tokens,output_tokens,"
    "batch_or_concurrency,metric,value,note\n"
)
ROW = "silicon,Apache-2.0,h100_sxm,2,Qwen/Qwen3-32B,fp8,vllm,agg TP2 PP1,1024,128,8,ttft_ms,271.98266371874996,{}\n"


def test_every_bundled_row_maps_and_none_is_lost(facts: Facts) -> None:
    path = bundled("served")
    assert path is not None
    table = read(path, facts)
    assert len(table.mapped) == len(table.rows) == 1406
    conventions = [row.convention for row in table.mapped]
    assert conventions.count("InferenceX") == 706
    assert conventions.count("TensorRT-LLM maximum throughput") == 328


def test_another_name_is_no_bundled_table() -> None:
    assert bundled("mine.csv") is None


def test_a_reduced_table_reads_as_the_table_itself(facts: Facts, tmp_path: Path) -> None:
    table, made = tmp_path / "t.csv", tmp_path / "t.parquet"
    notes = ("row id 7; source_file=2026-04-06.csv; statistic not stated", "nothing to look for")
    table.write_text(HEAD + "".join(ROW.format(note) for note in notes), encoding="utf-8")
    reduced(table, made)
    assert pl.read_parquet(made)["note"].to_list() == ["source_file=2026-04-06.csv", None]
    before, after = read(table, facts).mapped, read(made, facts).mapped
    assert [(r.line, r.setting, r.value, r.convention) for r in before] == [
        (r.line, r.setting, r.value, r.convention) for r in after
    ]


def test_a_parquet_file_that_is_none_or_lacks_a_column_is_said(tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(MeasurementError, match="cannot be read as Parquet"):
        list(lines(path))
    pl.DataFrame({"source": ["x"]}).write_parquet(path)
    with pytest.raises(MeasurementError, match="column hardware is missing"):
        list(lines(path))
