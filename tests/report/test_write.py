"""A result is written whole or not at all; the page escapes what it shows; the JSON is the record."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sample

from scoville.errors import StudyError
from scoville.facts import Range
from scoville.report import charts, folder, grid, page, theme, write
from scoville.study.answer import Answer, Row

HOSTILE = "</script><img src=x onerror='window.pwned=1'><!--\"&\u2028"


class Canned:
    """A stand-in for the page's script: bundling the real one takes seconds."""

    def __init__(self, text: str = "window.vegaEmbed = () => {};") -> None:
        self._text = text

    def text(self) -> str:
        return self._text


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures without drawing: what is tested here is where files go."""
    import vl_convert

    monkeypatch.setattr(vl_convert, "vegalite_to_png", lambda spec, **_: b"\x89PNG")


def written(answer: Answer, target: Path) -> list[Path]:
    return write.write(answer, target, Canned())  # type: ignore[arg-type]


def hostile(value: Any) -> Any:
    """The answer with hostile text behind every string that a user can set."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        keep = {"measure", "tenure", "phase", "evidence", "kind", "accelerator", "cheapest_rent", "cheapest_own"}
        return replace(
            value,
            **{
                f.name: hostile(getattr(value, f.name))
                for f in dataclasses.fields(value)
                if f.name not in keep and not (f.name == "limit" or isinstance(value, Range))
            },
        )
    if isinstance(value, tuple):
        return tuple(hostile(item) for item in value)
    return value + HOSTILE if isinstance(value, str) and value and value != "VR" else value


def html(answer: Answer) -> str:
    specs = {name: theme.specification(chart) for name, chart in charts.charts(answer).items()}
    return page.page(answer, specs, Canned().text())


def test_all_files_are_written_and_named(tmp_path: Path) -> None:
    files = written(sample.answer(), tmp_path / "deep" / "result")
    assert all(f.is_file() for f in files)
    assert {f.name for f in files} == {"report.html", "result.json"} | {
        f"{n}.png" for n in charts.charts(sample.answer())
    }
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["result"]


def test_the_json_is_the_record(tmp_path: Path) -> None:
    answer = sample.answer()
    written(answer, tmp_path / "r")
    read = json.loads((tmp_path / "r" / "result.json").read_text(encoding="utf-8"))
    assert read == json.loads(json.dumps(dataclasses.asdict(answer)))
    assert list(read) == [f.name for f in dataclasses.fields(answer)]
    assert write.as_json(answer) == write.as_json(answer)


def test_what_is_not_known_is_null_in_json() -> None:
    text = write.as_json(replace(sample.answer(), demand_tokens_per_s=float("nan")))
    assert "NaN" not in text and json.loads(text)["demand_tokens_per_s"] is None


def test_an_earlier_result_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "r"
    written(sample.answer(), target)
    (target / "charts" / "old.png").write_bytes(b"old")
    written(replace(sample.answer(), title="second"), target)
    assert json.loads((target / "result.json").read_text())["title"] == "second"
    assert not (target / "charts" / "old.png").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    written(sample.answer(), tmp_path / "r")
    assert (tmp_path / "r" / "report.html").is_file()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("place", [(write, "as_json"), (write, "pictures"), (folder, "swap")], ids=lambda p: p[1])
def test_a_failure_leaves_the_old_result_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[ModuleType, str], error: type[BaseException]
) -> None:
    written(sample.answer(), tmp_path / "r")
    before = {p: p.read_bytes() for p in sorted((tmp_path / "r").rglob("*")) if p.is_file()}

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(*place, fail)
    with pytest.raises(error):
        written(replace(sample.answer(), title="second"), tmp_path / "r")
    assert {p: p.read_bytes() for p in sorted((tmp_path / "r").rglob("*")) if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_a_failure_between_the_two_steps_of_the_swap_brings_the_old_result_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(sample.answer(), tmp_path / "r")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt):
        written(replace(sample.answer(), title="second"), tmp_path / "r")
    assert json.loads((tmp_path / "r" / "result.json").read_text())["title"] == sample.answer().title
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_a_folder_that_is_no_result_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StudyError, match=r"no result\.json"):
        written(sample.answer(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("mine")
    with pytest.raises(StudyError, match="is a file"):
        written(sample.answer(), tmp_path / "r")
    with pytest.raises(StudyError, match="cannot be written"):
        written(sample.answer(), tmp_path / "r" / "deeper")
    assert (tmp_path / "r").read_text() == "mine"


def test_hostile_text_is_shown_and_never_run() -> None:
    text = html(hostile(sample.answer()))
    assert "<img" not in text
    # The page's own scripts and the specifications, and nothing else, are script elements.
    assert len(re.findall(r"<script\b", text)) == len(re.findall(r"</script>", text)) == 2 + 5
    assert "onerror=&#39;window.pwned=1&#39;" in text
    for spec in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, flags=re.S):
        assert "<" not in spec and json.loads(spec)


def test_the_policy_lets_only_the_pages_own_scripts_run() -> None:
    text = html(sample.answer())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe-eval" not in policy[1] and "http" not in policy[1]
    script = policy[1].split("script-src")[1].split(";  ")[0]
    assert "unsafe-inline" not in script.split("style-src")[0]


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    text = html(sample.answer())
    assert not re.search(r"""(?:src|href)=["'](?!#)""", text)
    assert "url(" not in text and "@import" not in text


def test_the_page_has_every_row_every_chart_and_every_fact() -> None:
    answer = sample.answer()
    text = html(answer)
    for row in answer.rows:
        assert text.count(row.name) >= 2
    for source in answer.sources:
        assert source.key.partition(".")[2] in text and source.source.replace("'", "&#39;") in text
    assert text.count("<figure data-chart=") == 5
    assert "not offered" in text and "cheapest to own" in text
    assert "scoville study studies/own-the-token.toml" in text and f"seed {answer.seed}" in text
    assert "NaN" not in text and "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan[a-z]*", "", text)


def test_the_page_shows_where_the_replay_and_the_steady_state_differ() -> None:
    text = html(sample.answer())
    table = text.split("<h2>Where the replay and the steady state differ</h2>")[1].split("</table>")[0]
    assert "TP4" in table and "none" in table and "1,690" in table
    assert text.count(grid.NOT_REPLAYED) == 2
    assert grid.REPLAYS.replace("'", "&#39;") in text
    rows = tuple(replace(r, replayed=None) for r in sample.rows())
    assert "Where the replay" not in html(replace(sample.answer(), rows=rows))


def test_a_price_opens_the_facts_behind_it() -> None:
    answer = sample.answer()
    assert 'href="#price-' not in html(answer)

    def based(row: Row, *facts: str) -> Row:
        return row if row.own is None else replace(row, own=replace(row.own, facts=facts))

    keys = ("h100-sxm.price_system", "site.electricity_price", "site.unheard_of")
    h100, h200, *others = answer.rows
    text = html(replace(answer, rows=(based(h100, *keys), based(h200, "site.unheard_of"), *others)))
    assert re.findall(r'href="#(price-[^"]*)"', text) == ["price-own-h100-sxm"]
    listed = text.partition('<details id="price-own-h100-sxm">')[2].partition("</details>")[0]
    assert "H100 SXM5, owned" in listed
    assert "61000 USD" in listed and "52000 USD to 74000 USD" in listed and "eia.gov" in listed
    assert "unheard_of" not in text
    assert '<a href="#facts-timing">' in text and '<details id="facts-timing">' in text
    assert '<a href="#facts-site">' not in text, "the site is in the price itself"


def test_the_page_of_an_answer_without_anything_still_stands() -> None:
    answer = sample.answer()
    rows = tuple(replace(r, refusal="does not fit", rent=None, own=None) for r in answer.rows)
    bare = replace(
        answer, rows=rows, findings=(), pareto=(), waterfall=None, drivers=(), operators=(), roofs=(), sources=(),
        user_facts=(), approximations=(), cheapest_own="", cheapest_rent="",
    )  # fmt: skip
    text = html(bare)
    assert text.count("none: does not fit") == 2 * len(rows)
    assert "<figure" not in text
