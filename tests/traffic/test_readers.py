"""Every format read right, and every wrong line named."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scoville.errors import TrafficError
from scoville.traffic import BUNDLED, load, statistics
from scoville.traffic.loading import recognise
from scoville.traffic.readers import servegen

Write = Callable[[str, str], Path]


def refusal(path: Path | str, **options: object) -> str:
    with pytest.raises(TrafficError) as error:
        load(path, **options)  # type: ignore[arg-type]
    return str(error.value)


def test_azure_trace() -> None:
    """19,366 requests in 3,502 s; means counted once from the published file with awk."""
    t = load("azure-2023-conv")
    assert len(t) == 19366
    assert t.duration_s == pytest.approx(3501.721937, abs=1e-9)
    assert (int(t.input_tokens.sum()), int(t.output_tokens.sum())) == (22361870, 4088665)
    assert t.arrival_s[:3].tolist() == [0.0, 4.314579, 4.541877]
    assert "CC-BY-4.0" in t.source


def test_mooncake_trace() -> None:
    """3,993 requests with 512-token blocks, of which the first line holds 79 for 40,160 tokens."""
    t = load("mooncake-synthetic")
    assert (len(t), t.block_tokens, t.duration_s) == (3993, 512, 1022.025)
    assert t.block_offsets is not None
    assert t.block_hashes is not None
    assert (int(t.block_offsets[1]), int(t.input_tokens[0])) == (79, 40160)
    assert len(t.block_hashes) == 121877
    assert bool((np.diff(t.block_offsets) == -(-t.input_tokens // 512)).all())


def test_servegen_pool_gives_the_counted_rates() -> None:
    """The pool's rates x 600 s add up to 1,383,669 requests; a draw scatters by about 0.2 %."""
    t = load("servegen-deepseek-r1", seed=3)
    assert len(t) == pytest.approx(1383669, rel=0.01)
    assert t.client_ids is not None
    assert len(np.unique(t.client_ids)) == 73
    assert statistics(t).diurnal is not None


def test_bundled_files_have_their_licence_beside_them() -> None:
    for trace in BUNDLED.values():
        readme = (trace.path.parent / "README.md").read_text(encoding="utf-8")
        licence = "LICENSE-CC-BY-4.0.txt" if "CC-BY" in trace.source else "LICENSE-Apache-2.0.txt"
        assert trace.file in readme
        assert licence in readme
        assert (trace.path.parent / licence).is_file()


AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("2023-11-16 18:15:47.0,374,-4", "a.csv:3: GeneratedTokens is -4; expected an integer >= 1"),
        ("2023-11-16 18:15:47.0,374,0", "a.csv:3: GeneratedTokens is 0; expected an integer >= 1"),
        ("2023-11-16 18:15:47.0,,4", "a.csv:3: ContextTokens is missing; expected an integer >= 1"),
        ("2023-11-16 18:15:47.0,12.5,4", "a.csv:3: ContextTokens is 12.5; expected an integer >= 1"),
        ("2023-11-16 18:15:47.0,99999999999,4", "a.csv:3: ContextTokens is 99999999999; expected an integer >= 1"),
        ("yesterday,374,4",
         "a.csv:3: TIMESTAMP is yesterday; expected a date and time such as 2023-11-16 18:15:46.6805900"),
        ("2023-11-16 18:15:47.0,374", "a.csv:3: 2 fields; expected 3 as in the first line"),
        ("2023-11-16 18:15:47.0,374,4,5", "a.csv:3: 4 fields; expected 3 as in the first line"),
    ],
)  # fmt: skip
def test_azure_names_the_wrong_line(write: Write, line: str, sentence: str) -> None:
    assert refusal(write("a.csv", f"{AZURE}{line}\n2023-11-16 18:15:48.0,1,1\n")) == sentence


def test_azure_reads_the_2024_form_and_blank_lines(write: Write) -> None:
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:01.5+00:00,5,6\n\n2024-05-10 00:00:00+00:00,3,4\n\n"
    )
    t = load(write("a.csv", text))
    assert t.arrival_s.tolist() == [0.0, 1.5]
    assert t.input_tokens.tolist() == [3, 5]


def test_azure_without_a_column(write: Write) -> None:
    path = write("a.csv", "TIMESTAMP,ContextTokens\n2023-11-16 18:15:46.6805900,374\n")
    assert refusal(path, format="azure").startswith("a.csv:1: no column GeneratedTokens for output_tokens;")


@pytest.mark.parametrize(
    "text", ["", "arrival_s,input_tokens,output_tokens\n", "TIMESTAMP,ContextTokens,GeneratedTokens\n"]
)
def test_an_empty_trace_is_refused(write: Write, text: str) -> None:
    assert "empty; expected at least one request" in refusal(write("e.csv", text))


MOONCAKE = '{"timestamp": 0, "input_length": 600, "output_length": 6, "hash_ids": [1, 2]}\n'


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"timestamp": 5, "input_length": 600, "output_length": -6, "hash_ids": [1, 2]}',
         "m.jsonl:2: output_length is -6; expected an integer >= 1"),
        ('{"timestamp": 5, "input_length": true, "output_length": 6, "hash_ids": []}',
         "m.jsonl:2: input_length is true; expected an integer >= 1"),
        ('{"input_length": 600, "output_length": 6, "hash_ids": [1, 2]}',
         "m.jsonl:2: timestamp is missing; expected a number from -1e+14 to 1e+14"),
        ('{"timestamp": NaN, "input_length": 600, "output_length": 6}',
         "m.jsonl:2: timestamp is NaN; expected a number from -1e+14 to 1e+14"),
        ('{"timestamp": 5, "input_length": 600, "output_length": 6, "hash_ids": [1, 2, 3]}',
         "m.jsonl:2: hash_ids has 3 blocks; expected at most 2 of 512 tokens for input_length 600"),
        ('{"timestamp": 5, "input_length": 600, "output_length": 6, "hash_ids": ["x"]}',
         "m.jsonl:2: hash_ids holds 'x'; expected integers of 64 bits"),
        ("[1]", "m.jsonl:2: is a JSON list; expected an object with named fields"),
    ],
)  # fmt: skip
def test_mooncake_names_the_wrong_line(write: Write, line: str, sentence: str) -> None:
    assert refusal(write("m.jsonl", MOONCAKE + line + "\n")) == sentence


def test_mooncake_names_a_broken_line(write: Write) -> None:
    assert refusal(write("m.jsonl", MOONCAKE + '{"timestamp": 5,\n')).startswith("m.jsonl:2: not a JSON record: ")


def test_plain_csv_with_all_columns(write: Write) -> None:
    text = (
        "arrival_s,input_tokens,output_tokens,client_ids,session_ids,parent,think_s,priority,token_limit,region\n"
        "0,100,10,ann,7,-1,0,0,64,eu\n"
        "2.5,200,20,bob,9,-1,0,1,0,eu\n"
        "4,300,30,ann,7,0,1.25,0,64,us\n"
    )
    t = load(write("t.csv", text))
    assert t.client_ids is not None
    assert t.session_ids is not None
    assert t.parent is not None
    assert t.think_s is not None
    assert t.client_ids.tolist() == [0, 1, 0]
    assert t.session_ids.tolist() == [7, 9, 7]
    assert (t.parent.tolist(), t.think_s.tolist()) == ([-1, -1, 0], [0.0, 0.0, 1.25])
    assert t.notes == ("columns that have no meaning here were not read: region",)


@pytest.mark.parametrize(
    ("header", "named", "values", "note"),
    [
        ("ts", "ts[ms]", ("1500", "3000"), False),
        ("ts_ms", "ts_ms", ("1500", "3000"), False),
        ("ts", "ts", ("1.5", "3.0"), True),
        ("ts", "ts", ("2026-01-01T00:00:01.5Z", "2026-01-01T00:00:03Z"), False),
        ("ts", "ts[min]", ("0.025", "0.05"), False),
    ],
)
def test_columns_are_named_with_their_unit(
    write: Write, header: str, named: str, values: tuple[str, str], note: bool
) -> None:
    path = write("t.csv", f"{header},in,out\n{values[0]},5,6\n{values[1]},7,8\n")
    t = load(path, columns={"arrival": named, "input": "in", "output": "out"})
    assert t.arrival_s.tolist() == [0.0, 1.5]
    assert (t.notes == (f"t.csv: column {header} has no unit and was read as seconds",)) == note


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"arrival": "ts[parsec]"}, "--columns: arrival=ts[parsec] has unknown unit 'parsec'; "),
        ({"arival": "ts"}, "--columns: unknown role 'arival'; did you mean 'arrival'?"),
        ({"arrival": "when", "input": "in", "output": "out"}, "t.csv:1: no column when for arrival_s; "),
        ({"arrival": "ts", "input": "in", "output": "in"}, "--columns: one column is named for two roles"),
        ({"arrival": "ts", "input": "in[ms]", "output": "out"},
         "--columns: input=in[ms] gives a unit, but input_tokens has none"),
    ],
)  # fmt: skip
def test_wrong_column_names(write: Write, columns: dict[str, str], sentence: str) -> None:
    assert refusal(write("t.csv", "ts,in,out\n0,5,6\n"), columns=columns).startswith(sentence)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("1,5,-4", "traffic.csv:3: output_tokens is -4; expected an integer >= 1"),
        ("nan,5,4", "traffic.csv:3: arrival_s is nan; expected a number of s from -1e+11 to 1e+11"),
        ("soon,5,4", "traffic.csv:3: arrival_s is soon; expected a number of s from -1e+11 to 1e+11"),
    ],
)
def test_plain_csv_names_the_wrong_line(write: Write, line: str, sentence: str) -> None:
    text = f"arrival_s,input_tokens,output_tokens\n0,1,1\n{line}\n2,1,1\n"
    assert refusal(write("traffic.csv", text)) == sentence
    path = write("traffic.csv.gz", "")
    path.write_bytes(gzip.compress(text.encode()))
    assert refusal(path) == sentence.replace("traffic.csv", "traffic.csv.gz")


def test_parquet_names_the_wrong_row(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    good = {"arrival_s": [0.0, 1.0], "input_tokens": [1, 2], "output_tokens": [1, 2]}
    pl.DataFrame(good | {"output_tokens": [1, -4]}).write_parquet(path)
    assert refusal(path) == "t.parquet: row 2: output_tokens is -4; expected an integer >= 1"
    pl.DataFrame(good | {"input_tokens": [1, None]}).write_parquet(path)
    assert refusal(path) == "t.parquet: row 2: input_tokens is missing; expected an integer >= 1"
    pl.DataFrame(good | {"input_tokens": [1.0, 2.5]}).write_parquet(path)
    assert refusal(path) == "t.parquet: column input_tokens is stored as Float64; expected an integer >= 1"
    path.write_bytes(b"PAR1 but no more")
    assert refusal(path).startswith("t.parquet: cannot be read as Parquet: ")


VLLM = {
    "date": "20260901-101010", "backend": "vllm", "model_id": "m", "duration": 8.0, "completed": 2,
    "request_throughput": 0.25, "input_lens": [100, 200], "output_lens": [10, 20], "errors": ["", ""],
    "start_times": [500.25, 504.0], "queue_times": [0.25, 1.5],
}  # fmt: skip


def test_vllm_result(write: Write) -> None:
    """Arrival is the start less the client's own queue: 500.0 and 502.5 s."""
    t = load(write("r.json", json.dumps(VLLM)))
    assert t.arrival_s.tolist() == [0.0, 2.5]
    assert (t.input_tokens.tolist(), t.output_tokens.tolist()) == ([100, 200], [10, 20])


def test_vllm_result_without_start_times_says_that_arrivals_are_spread(write: Write) -> None:
    t = load(write("r.json", json.dumps({k: v for k, v in VLLM.items() if k not in ("start_times", "queue_times")})))
    assert t.arrival_s.tolist() == [0.0, 4.0]
    assert t.notes == ("the result has no start_times: its 2 requests are spread evenly over 8 s",)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"output_lens": [10, 0]}, "r.json: request 1: output_lens is 0; expected an integer >= 1"),
        ({"errors": ["", "Traceback\nTimeoutError"]},
         "r.json: request 1: it failed (TimeoutError); expected a run in which all succeeded"),
        ({"output_lens": [10]}, "r.json: output_lens has 1 entries; expected 2 as in input_lens"),
    ],
)  # fmt: skip
def test_vllm_names_the_wrong_request(write: Write, changed: dict[str, object], sentence: str) -> None:
    assert refusal(write("r.json", json.dumps(VLLM | changed))) == sentence


def test_vllm_result_without_detail_says_which_option_keeps_it(write: Write) -> None:
    text = json.dumps({k: v for k, v in VLLM.items() if k not in ("input_lens", "output_lens")})
    assert refusal(write("r.json", text)).endswith("run vllm bench serve with --save-detailed to keep them")


def test_aiperf_turns_follow_their_predecessor(write: Write, aiperf_line: Callable[..., str]) -> None:
    lines = [
        aiperf_line(0, 1, session="warm", phase="warmup"),
        aiperf_line(3, 4, session="a", turn=1),
        aiperf_line(1, 2, session="a", turn=0),
        aiperf_line(2, 5, session="b", turn=0),
        aiperf_line(4, 6, session="b", turn=1),  # did not wait for its predecessor
    ]
    t = load(write("profile_export.jsonl", "\n".join(lines) + "\n"))
    assert t.arrival_s.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert t.parent is not None
    assert t.think_s is not None
    assert t.parent.tolist() == [-1, -1, 0, -1]
    assert t.think_s.tolist() == [0.0, 0.0, 1.0, 0.0]
    assert t.notes == ("1 warm-up requests left out",)
    sessions = statistics(t).sessions
    assert sessions is not None
    assert (sessions.sessions_count, sessions.following_turns_count, sessions.mean_think_s) == (2, 1, 1.0)


def test_aiperf_names_the_wrong_line(write: Write, aiperf_line: Callable[..., str]) -> None:
    good = aiperf_line(0, 1) + "\n"
    failed = aiperf_line(1, 2, error={"code": 499})
    assert refusal(write("p.jsonl", good + failed)) == (
        'p.jsonl:2: the request failed ({"code": 499}); expected all to succeed'
    )
    assert refusal(write("p.jsonl", good + aiperf_line(1, 2, output=0))) == (
        "p.jsonl:2: output_sequence_length is 0; expected an integer >= 1"
    )


def test_genai_perf_says_why_it_cannot_be_read(write: Write) -> None:
    text = '{"experiments": [{"requests": [{"timestamp": 1, "response_timestamps": [2]}]}]}'
    assert "GenAI-Perf keeps texts, not token counts" in refusal(write("profile_export.json", text))


def test_servegen_draws_from_the_windows_distributions(pool: Path) -> None:
    t = load(pool, seed=1)
    assert t.client_ids is not None
    bursty = t.client_ids == 3
    early = bursty & (t.arrival_s < 590)
    late = bursty & (t.arrival_s > 610)
    assert set(t.input_tokens[early].tolist()) == {100, 300}
    assert set(t.input_tokens[late].tolist()) == {50}
    assert np.count_nonzero(~bursty) == pytest.approx(5 * 600, rel=0.1)
    assert t.arrival_s[~bursty].max() < 600
    assert load(pool, seed=1).equals(t)
    assert not load(pool, seed=2).equals(t)
    assert len(load(pool, seed=1, duration_s=60)) < len(t) / 5


@pytest.mark.parametrize(("family", "shape"), [("Gamma", 0.25), ("Gamma", 3.0), ("Weibull", 0.6), ("Exponential", 0.0)])
def test_servegen_counts_are_unbiased_in_short_windows(family: str, shape: float) -> None:
    """Rate x window on average: 2/s x 10 s. Gamma gaps with SCV 4 that began with a request would give 1.5 more."""
    rng = np.random.default_rng(1)
    window = servegen._Window(0.0, 10.0, 2.0, family, shape)
    counts = [len(servegen._renewals(rng, window, 10.0)) for _ in range(4000)]
    # The variance of the count is at most about 4 x 20, so the mean of 4,000 scatters by 0.14.
    assert np.mean(counts) == pytest.approx(20, abs=0.45)


def test_servegen_archive_equals_its_folder(pool: Path, tmp_path: Path) -> None:
    packed = tmp_path / "pool.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(pool, arcname="data/pool")
    assert recognise(packed).name == "servegen"
    assert load(packed, seed=5).equals(load(pool, seed=5))


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("chunk-3-trace.csv", "0,2,2,Gamma,0.25,2\n600,-4,2,Gamma,0.25,1\n",
         "chunk-3-trace.csv:2: rate is -4; expected a number >= 0"),
        ("chunk-3-trace.csv", "0,2,2,Pareto,0.25,2\n600,0,0,,0,0\n",
         "chunk-3-trace.csv:1: family is 'Pareto' with shape 0.25; "
         "expected Gamma (shape from 0.001), Weibull (shape from 0.1), Exponential (shape from 0)"),
        ("chunk-3-trace.csv", "0,2,2\n",
         "chunk-3-trace.csv:1: 3 fields; expected 6: start, rate, CV, family, shape, scale"),
        ("chunk-3-dataset.json", '{"0": {"input_tokens": "{}", "output_tokens": "{7: 1.0}"}}',
         "chunk-3-dataset.json: window 0: input_tokens is empty, but requests are counted there"),
        ("chunk-3-dataset.json", '{"0": {"input_tokens": "{0: 1.0}", "output_tokens": "{7: 1.0}"}}',
         "chunk-3-dataset.json: window 0: input_tokens is wrong; "
         "expected whole lengths >= 1 with shares >= 0 above 0 in all"),
    ],
)  # fmt: skip
def test_servegen_names_the_wrong_line(pool: Path, file: str, text: str, sentence: str) -> None:
    (pool / file).write_text(text, encoding="utf-8")
    assert refusal(pool) == sentence


def test_names_paths_and_formats_that_do_not_exist(tmp_path: Path, write: Write) -> None:
    assert "did you mean 'azure-2023-conv'?" in refusal("azure-2023")
    assert "no such file" in refusal(tmp_path / "none.csv")
    assert refusal(write("t.csv", "a\n1\n"), format="csvv") == "unknown traffic format 'csvv'; did you mean 'csv'?"
    assert "not a traffic format that is known" in refusal(write("t.txt", "hello\n"))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("5,9,9,-1,0,0\n0,9,9,1,0,0\n", "t.csv:3: parent is 1; expected the row (from 0) of an earlier request, or -1"),
        ("5,9,9,-1,0,0\n\n0,9,9,0,0,0\n",
         "t.csv:4: parent is 0; expected the row (from 0) of an earlier request, or -1"),
        ("5,9,9,2,0,0\n0,9,9,-1,0,0\n", "t.csv:2: parent is 2; expected the row (from 0) of an earlier request, or -1"),
        ("5,9,9,-1,0,0\n0,9,9,-1,0,8\n",
         "t.csv:3: token_limit is 8; expected 0 for none, or at least the 9 output tokens"),
    ],
)  # fmt: skip
def test_rules_between_columns_name_the_line(write: Write, rows: str, sentence: str) -> None:
    header = "arrival_s,input_tokens,output_tokens,parent,think_s,token_limit\n"
    assert refusal(write("t.csv", header + rows)) == sentence


def test_a_date_without_seconds_is_named_with_its_line(write: Write) -> None:
    path = write("t.csv", "ts,in,out\n2026-01-01 10:00:00,5,6\n2026-01-01 10:00,5,6\n")
    assert refusal(path, columns={"arrival": "ts", "input": "in", "output": "out"}) == (
        "t.csv:3: ts is 2026-01-01 10:00; expected a date and time such as 2023-11-16 18:15:46.6805900"
    )


def test_a_byte_order_mark_is_no_part_of_the_first_name(write: Write) -> None:
    assert len(load(write("t.csv", "\ufeffarrival_s,input_tokens,output_tokens\r\n0,1,1\r\n"))) == 1


def test_options_that_would_not_be_heeded_are_refused(write: Write, pool: Path) -> None:
    assert "--columns is for plain tables" in refusal("azure-2023-conv", columns={"arrival": "ts"})
    assert "cannot be read as csv" in refusal("azure-2023-conv", format="csv")
    assert "azure is not one" in refusal(write("a.csv", AZURE), duration_s=60.0)
    assert "expected more than 0" in refusal(pool, duration_s=0.0)


def test_two_pools_in_one_folder_are_refused(pool: Path) -> None:
    inner = pool / "other"
    inner.mkdir()
    (inner / "chunk-3-trace.csv").write_bytes((pool / "chunk-3-trace.csv").read_bytes())
    assert refusal(pool) == "pool: chunk-3-trace.csv is there twice; name the folder of a single pool"
    (inner / "chunk-3-trace.csv").rename(pool / "chunk-9-trace.csv")
    assert refusal(pool) == "pool: chunk-9-dataset.json is missing; every client has two files"
