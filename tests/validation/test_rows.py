"""Tables of measurements: what a row becomes, and what is said of a file that cannot be read."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scoville.errors import MeasurementError, ModelError
from scoville.facts import Facts
from scoville.transformer.step import Parallelism, Precision
from scoville.validation import Measured, Setting, Unmapped, read
from scoville.validation.rows import COLUMNS

ROW = {
    "hardware": "H100", "n_chips": "2", "model": "Llama 3.3 70B", "precision": "fp8", "engine": "vllm 0.18.0",
    "parallelism": "TP2", "input_tokens": "1000", "output_tokens": "200", "batch_or_concurrency": "16",
    "metric": "ttft_ms", "value": "250",
}  # fmt: skip


def table(path: Path, *rows: dict[str, str]) -> Path:
    file = path / "runs.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return file


def only(path: Path, facts: Facts, **changes: str) -> Measured | Unmapped:
    (row,) = read(table(path, ROW | changes), facts).rows
    return row


def test_a_row_becomes_a_setting_and_a_value_in_si(tmp_path: Path, facts: Facts) -> None:
    row = only(tmp_path, facts)
    assert isinstance(row, Measured)
    assert row.setting == Setting(
        accelerator="h100-sxm", model="llama-3.1-70b", precision=Precision("fp8", "fp8", "bf16"),
        parallelism=Parallelism(2), replicas_count=1, engine="vllm", input_tokens=1000, output_tokens=200,
        concurrency=16, requests_count=160, shortest_frac=1.0,
    )  # fmt: skip
    assert (row.line, row.metric, row.median, row.value, row.measure) == (2, "ttft", False, 0.25, "s")


@pytest.mark.parametrize(
    ("metric", "what", "median", "value"),
    [
        ("tpot_ms", "tpot", False, 0.25),
        ("median_itl_ms", "tpot", True, 0.25),
        ("ttft_s", "ttft", False, 250.0),
        ("output_tokens_per_s_total", "throughput", False, 250.0),
        ("output_tokens_per_s_per_gpu", "throughput", False, 500.0),
        ("Median TTFT (ms)", "ttft", True, 0.25),
        ("Mean ITL (ms)", "tpot", False, 0.25),
        ("Output tokens/s", "throughput", False, 250.0),
        ("output_tok/s/gpu", "throughput", False, 500.0),
    ],
)
def test_metrics_are_known_by_name_and_unit(
    tmp_path: Path, facts: Facts, metric: str, what: str, median: bool, value: float
) -> None:
    row = only(tmp_path, facts, metric=metric)
    assert isinstance(row, Measured)
    assert (row.metric, row.median, row.value) == (what, median, value)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("hardware", "H800 PCIe", "hardware 'H800 PCIe' is a sibling of h800-sxm"),
        ("hardware", "Sohu", "cannot be timed, because nobody has published"),
        ("model", "Qwen2.5-72B", "give its config with --model"),
        ("engine", "mlc-llm", "of no family that has a preset"),
        ("precision", "fp3", "precision 'fp3' is not known"),
        ("parallelism", "disagg", "serves prompts and answers on different chips"),
        ("batch_or_concurrency", "5 req/s", "neither a number of requests in flight"),
        ("metric", "p99_ttft_ms", "metric 'p99_ttft_ms' is not predicted"),
    ],
)
def test_a_row_that_does_not_map_says_why_in_one_sentence(
    tmp_path: Path, facts: Facts, column: str, value: str, reason: str
) -> None:
    row = only(tmp_path, facts, **{column: value})
    assert isinstance(row, Unmapped)
    assert reason in row.reason
    assert "\n" not in row.reason


def test_a_row_may_give_the_format_of_its_cache_and_its_requests(tmp_path: Path, facts: Facts) -> None:
    row = only(tmp_path, facts, kv="fp8_e4m3", requests="200")
    assert isinstance(row, Measured)
    assert (row.setting.precision.kv, row.setting.requests_count) == ("fp8", 200)
    wrong = only(tmp_path, facts, kv="int3")
    assert isinstance(wrong, Unmapped)
    assert "kv 'int3' is no format of a cache" in wrong.reason


def test_an_answer_of_one_token_has_no_tpot(tmp_path: Path, facts: Facts) -> None:
    row = only(tmp_path, facts, metric="tpot_ms", output_tokens="1")
    assert isinstance(row, Unmapped)
    assert "one token" in row.reason


def test_inferencex_rows_draw_their_lengths(tmp_path: Path, facts: Facts) -> None:
    row = only(tmp_path, facts, note="row id x; source_file=2026-04-06.csv; measured 2025-12-08")
    assert isinstance(row, Measured)
    assert (row.setting.shortest_frac, row.convention) == (0.8, "InferenceX")


@pytest.mark.parametrize(
    ("lengths", "tensor", "late"), [(("1024", "1024"), 4, 20), (("1024", "1024"), 8, 0), (("8192", "1024"), 4, 0)]
)
def test_a_wait_for_fuller_batches_holds_where_the_launch_script_has_it(
    tmp_path: Path, facts: Facts, lengths: tuple[str, str], tensor: int, late: int
) -> None:
    row = only(
        tmp_path, facts, note="source_file=2026-04-06.csv", engine="trtllm", n_chips=str(tensor),
        parallelism=f"TP{tensor}", input_tokens=lengths[0], output_tokens=lengths[1],
    )  # fmt: skip
    assert isinstance(row, Measured)
    assert (row.setting.late_tokens, row.setting.token_budget, row.setting.precision.kv) == (late, 16384, "fp8")


def test_what_is_known_of_one_model_is_not_taken_for_another(tmp_path: Path, facts: Facts) -> None:
    note = {"note": "source_file=2026-04-06.csv", "n_chips": "8", "parallelism": "TP8"}
    late = []
    for model, precision in (("gpt-oss-20b", "fp4"), ("DeepSeek-R1", "fp8")):
        row = only(tmp_path, facts, model=model, precision=precision, **note)
        assert isinstance(row, Measured)
        late.append(row.setting.late_tokens)
    assert late == [4, 0], "only answers of gpt-oss begin with a header that is not shown"


def test_maximum_throughput_rows_have_the_published_number_of_requests_and_attention_groups(
    tmp_path: Path, facts: Facts
) -> None:
    row = only(
        tmp_path, facts, url_or_repo_path="github.com/NVIDIA/TensorRT-LLM:docs/source/performance/perf-overview.md",
        model="Qwen3-235B-A22B", engine="TensorRT-LLM v1.0 (PyTorch backend)", n_chips="8", parallelism="TP8",
        input_tokens="128", output_tokens="128", batch_or_concurrency="inf rate", metric="output_tokens_per_s_total",
    )  # fmt: skip
    assert isinstance(row, Measured)
    assert (row.setting.concurrency, row.setting.requests_count) == (None, 30000)
    assert row.setting.parallelism == Parallelism(1, 1, 8, 8)


def test_a_users_model_is_read_from_its_file(tmp_path: Path, facts: Facts) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        '{"model_type": "llama", "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 8, '
        '"num_hidden_layers": 4, "vocab_size": 32000, "max_position_embeddings": 8192, "torch_dtype": "bfloat16"}'
    )
    found = read(table(tmp_path, ROW | {"model": "House Model"}), facts, {"house-model": str(config)})
    assert [row.setting.model for row in found.mapped] == [str(config)]
    with pytest.raises(ModelError, match=r"no-such\.json"):
        read(table(tmp_path, ROW), facts, {"house-model": str(tmp_path / "no-such.json")})


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("value", "fast", "value is 'fast'; expected a number from 1e-09 to 1e+12"),
        ("value", "", "value is ''"),
        ("value", "nan", "value is 'nan'"),
        ("value", "-3", "value is '-3'"),
        ("value", "1e300", "value is '1e300'; expected a number from 1e-09 to 1e+12"),
        ("value", "1e-300", "value is '1e-300'"),
        ("batch_or_concurrency", "-8", "neither a number of requests in flight"),
        ("input_tokens", "1k", "input_tokens is '1k'; expected an integer from 1"),
        ("input_tokens", "1e12", "expected an integer from 1 to 16,777,216"),
        ("output_tokens", "0", "output_tokens is '0'"),
        ("n_chips", "1.5", "n_chips is '1.5'"),
        ("requests", "all", "requests is 'all'"),
        ("batch_or_concurrency", "100000000", "expected at most 65,536"),
        ("parallelism", "TP4 EP3", "does not divide"),
    ],
)
def test_a_bad_cell_sets_its_row_aside_and_no_other(
    tmp_path: Path, facts: Facts, column: str, value: str, said: str
) -> None:
    extra = {"requests": ""} if column == "requests" else {}
    bad = ROW | extra | {"model": "gpt-oss-120b", column: value}
    found = read(table(tmp_path, bad, ROW | extra), facts)
    assert [row.line for row in found.mapped] == [3]
    assert said in found.unmapped[0].reason


def test_a_line_with_too_few_cells_sets_itself_aside(tmp_path: Path, facts: Facts) -> None:
    file = table(tmp_path, ROW)
    file.write_text(file.read_text("utf-8") + "H100,8\n", encoding="utf-8")
    found = read(file, facts)
    assert (len(found.mapped), found.unmapped[0].reason) == (
        1,
        f"the row has 2 cells; expected {len(ROW)}, one a column",
    )


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, facts: Facts, column: str) -> None:
    file = table(tmp_path, {name: value for name, value in ROW.items() if name != column})
    with pytest.raises(MeasurementError, match=f"runs.csv:1: column {column} is missing"):
        read(file, facts)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "column hardware is missing"),
        (",".join(COLUMNS).encode(), "there are no rows"),
        (";".join(COLUMNS).encode(), "the columns are not separated by commas"),
        ("\t".join(COLUMNS).encode(), "the columns are not separated by commas"),
        (",".join((*COLUMNS, "Value")).encode(), "column value is there twice"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (",".join(COLUMNS).encode() + b'\n"H100\n', "is no CSV"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_sentence(
    tmp_path: Path, facts: Facts, content: bytes, said: str
) -> None:
    file = tmp_path / "runs.csv"
    file.write_bytes(content)
    with pytest.raises(MeasurementError) as error:
        read(file, facts)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_columns_may_be_in_capitals(tmp_path: Path, facts: Facts) -> None:
    found = read(table(tmp_path, {name.capitalize(): word for name, word in ROW.items()}), facts)
    assert len(found.mapped) == 1, "a column in other letters was not found"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path, facts: Facts) -> None:
    with pytest.raises(MeasurementError, match="cannot be read"):
        read(tmp_path / "none.csv", facts)
