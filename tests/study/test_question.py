"""Study files that are wrong: each ends in one sentence with file, line, field and what is allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from scoville.errors import DeploymentError, FactError, ModelError, ScovilleError, StudyError, TrafficError
from scoville.facts import Facts
from scoville.study import answer, read_question

Small = Callable[..., str]


@pytest.fixture
def fails(tmp_path: Path, facts: Facts) -> Callable[[str], ScovilleError]:
    """The error that a study file of this text ends in; the folder has some files that it may name."""
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "head.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n")
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": 4096}')

    def run(text: str) -> ScovilleError:
        path = tmp_path / "my.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ScovilleError) as caught:
            answer(read_question(path), facts)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(str(path))
        return type(caught.value)(str(caught.value).replace(f"{tmp_path}/", ""))

    return run


@pytest.mark.parametrize(
    ("old", "new", "kind", "says"),
    [
        ('"azure-2023-conv"', '"nope.csv"', TrafficError, "my.toml:5: [traffic] trace: nope.csv: no such file"),
        ('"azure-2023-conv"', '"azure-2023-con"', TrafficError, "did you mean 'azure-2023-conv'?"),
        ('"azure-2023-conv"', '"empty.csv"', TrafficError, "trace: empty.csv: the file is empty"),
        ('"azure-2023-conv"', '"head.csv"', TrafficError, "the trace is empty; expected at least one request"),
        ('"azure-2023-conv"', '""', StudyError, "trace: expected a name, not an empty text"),
        ('"40 ms"', '"1 km"', StudyError, "my.toml:22: [targets] tpot: unknown unit 'km'; expected e.g. '40 ms'"),
        ('"40 ms"', '"40 mss"', StudyError, "tpot: unknown unit 'mss'; did you mean 'ms'?"),
        ('"40 ms"', "40", StudyError, "tpot: '40' has no unit; expected e.g. '40 ms'"),
        ('"40 ms"', '"40 GB"', StudyError, "tpot: '40 GB' is in the wrong unit; expected e.g. '40 ms'"),
        ('"40 ms"', "true", StudyError, "tpot: expected a quantity such as '40 ms'"),
        ('"200 Gtokens/day"', '"0 tokens/day"', StudyError, "demand: expected greater than 0 (given: '0 tokens/day')"),
        ('["h100-sxm"]', '["h10-sxm"]', FactError, "compare: unknown accelerator 'h10-sxm'; did you mean 'h100-sxm'"),
        ('["h100-sxm"]', '["h100-sxm", "H100"]', StudyError, "compare: 'H100' is H100 SXM5, which is named twice"),
        ('["h100-sxm"]', '"h100-sxm"', StudyError, "compare: expected a list of names in brackets (given: 'h100-sxm')"),
        ('["h100-sxm"]', "[]", StudyError, "compare: expected at least one accelerator"),
        ('["h100-sxm"]', '["h100-sxm", 3]', StudyError, "compare: expected a valid string (given: 3)"),
        (
            '"llama-3.1-70b"',
            '"llama-3.1-71b"',
            ModelError,
            "[model] config: there is no model 'llama-3.1-71b'; did you",
        ),
        ('"llama-3.1-70b"', '"config.json"', ModelError, "config.json: key 'num_attention_heads' is missing"),
        ('"llama-3.1-70b"', '"x/config.json"', ModelError, "x/config.json: there is no such file"),
        (
            '"fp8"\nactivations',
            '"fp7"\nactivations',
            StudyError,
            "my.toml:15: [precision] weights: unknown format 'fp7'",
        ),
        ("demand =", "dmand =", StudyError, "my.toml:6: [traffic] dmand is not a setting; did you mean 'demand'?"),
        ("[traffic]", "[trafic]", StudyError, "my.toml:4: trafic is not a setting; did you mean 'traffic'"),
        ("[traffic]\n", "traffic = 3\n[more]\n", StudyError, "my.toml:5: more is not a setting"),
        ('title = "', 'title = 3 # "', StudyError, "title: expected a valid string (given: 3)"),
        ("samples = 100", "samples = 99", StudyError, "samples: expected greater than or equal to 100 (given: 99)"),
        ("samples = 100", "samples = 1000000", StudyError, "samples: expected less than or equal to 100000"),
        ("seed = 1", "seed = -1", StudyError, "seed: expected greater than or equal to 0"),
        ('"2026-09"', '"September"', StudyError, "vintage: expected a month such as '2026-09' (given: 'September')"),
        ('"3yr"', '"2yr"', StudyError, "rent_term: expected '3yr', '1yr', 'on_demand' or 'spot' (given: '2yr')"),
        ('"hyperscaler"', '"me"', StudyError, "owner: expected 'hyperscaler' or 'neocloud' (given: 'me')"),
        ('"hyperscaler"', '"hyperscaler"\nwacc = 8', StudyError, "wacc: expected less than or equal to 1 (given: 8)"),
        ("ttft_percentile = 95", "ttft_percentile = 0.95", StudyError, "expected greater than or equal to 50"),
        ('"10 %"', "10", StudyError, "headroom: expected less than or equal to 5 (given: 10)"),
        ('"80 %"', '"120 %"', StudyError, "highest_utilisation: expected less than or equal to 1 (given: '120 %')"),
        ("= 1.5 ", "= 0.5 ", StudyError, "peak_to_average: expected greater than or equal to 1 (given: 0.5)"),
        ("[traffic]", "[traffic", StudyError, "my.toml:4: is not valid TOML"),
    ],
)
def test_one_sentence_says_what_is_wrong(
    fails: Callable[[str], ScovilleError], small: Small, old: str, new: str, kind: type[ScovilleError], says: str
) -> None:
    text = small()
    assert old in text
    error = fails(text.replace(old, new, 1))
    assert isinstance(error, kind)
    assert says in str(error)


def test_a_misspelt_setting_comes_before_the_missing_one(fails: Callable[[str], ScovilleError], small: Small) -> None:
    without = "\n".join(line for line in small().splitlines() if not line.startswith("ttft ="))
    assert "my.toml: [targets] ttft is missing; the file must give it" in str(fails(without))


@pytest.mark.parametrize(
    ("ttft", "tpot", "says"),
    [
        ("1 s", "1 ms", "no batch size on H100 SXM5 meets P95 TPOT 1 ms (best "),
        ("1 ms", "40 ms", "no batch size on H100 SXM5 meets P95 TTFT 1 ms (best "),
        ("1 ms", "1 ms", "no batch size on H100 SXM5 meets both P95 TTFT 1 ms (best "),
    ],
)
def test_targets_that_no_batch_meets(
    fails: Callable[[str], ScovilleError], small: Small, ttft: str, tpot: str, says: str
) -> None:
    error = fails(small().replace('"1 s"', f'"{ttft}"').replace('"40 ms"', f'"{tpot}"'))
    assert isinstance(error, DeploymentError)
    assert "none of the accelerators can serve this" in str(error)
    assert says in str(error)


def test_a_model_that_fits_nowhere(fails: Callable[[str], ScovilleError], small: Small) -> None:
    error = fails(small(("groq-lpu-v1",)))
    assert isinstance(error, DeploymentError)
    assert "does not fit on up to 64 x Groq LPU v1" in str(error)
    assert " -" not in str(error)


def test_a_request_longer_than_the_model_takes(fails: Callable[[str], ScovilleError], small: Small) -> None:
    error = fails(small().replace('"llama-3.1-70b"', '"llama-2-7b"'))
    assert "the longest request has" in str(error)
    assert "Llama-2-7B takes at most 4,096" in str(error)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"there is no such study file; docs/studies.md says how one is written"):
        read_question(tmp_path / "none.toml")
    with pytest.raises(StudyError, match="cannot be read as text"):
        read_question(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"title = '\xe9'")
    with pytest.raises(StudyError, match="cannot be read as text"):
        read_question(tmp_path / "latin.toml")


def test_everything_is_si_inside(tmp_path: Path, small: Small) -> None:
    path = tmp_path / "my.toml"
    terms = 'wacc = "8 %"\nit_life = "4 years"\npue = 1.3\nfacility = "11 MUSD/MW"\nelectricity = "0.072 USD/kWh"'
    path.write_text(small().replace('owner = "hyperscaler"', f'owner = "hyperscaler"\n{terms}'))
    q = read_question(path).question
    assert q.traffic.demand == pytest.approx(200e9 / 86400)
    assert (q.traffic.headroom, q.traffic.highest_utilisation) == (0.1, 0.8)
    assert dataclasses.astuple(q.latency) == (1.0, 0.04, 0.95, 0.95)
    o = q.ownership
    assert (o.wacc, o.pue, o.facility) == (0.08, 1.3, 11.0)
    assert o.it_life == 4 * 365 * 86400
    assert o.electricity == pytest.approx(0.072 / 3.6e6)


def test_paths_are_relative_to_the_study(tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "own.csv").write_text("x")
    path = tmp_path / "sub" / "my.toml"
    path.write_text(small())
    file = read_question(path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert file.resolve("own.csv") == tmp_path / "sub" / "own.csv"
    assert file.resolve("~/sub/own.csv") == tmp_path / "sub" / "own.csv"
    assert file.resolve(str(path)) == path
    assert file.resolve("azure-2023-conv") == "azure-2023-conv"
