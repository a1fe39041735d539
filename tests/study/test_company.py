"""The question about a company: the shipped case, its identities, and settings that clash."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scoville.claims import Line
from scoville.errors import StudyError
from scoville.facts import Facts, Range, load
from scoville.study.company import _from_range, company
from scoville.study.company_answer import CompanyAnswer
from scoville.study.company_file import read_company

SHIPPED = Path(__file__).resolve().parents[2] / "studies" / "frontier-lab.toml"
TEXT = SHIPPED.read_text("utf-8")
B = 1e9


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="module")
def answer(facts: Facts) -> CompanyAnswer:
    return company(SHIPPED, facts)


def changed(tmp_path: Path, facts: Facts, *changes: tuple[str, str]) -> CompanyAnswer:
    """The shipped case with lines replaced, by a thousand samples."""
    text = TEXT.replace("samples = 10000", "samples = 1000")
    for pattern, line in changes:
        text, count = re.subn(pattern, line, text, count=1, flags=re.M)
        assert count == 1, f"no line {pattern}"
    file = tmp_path / "lab.toml"
    file.write_text(text, encoding="utf-8")
    return company(file, facts)


def test_the_known_year_is_as_reported(answer: CompanyAnswer) -> None:
    """13.07 of revenue, 34.0 of costs: 7.5 to 8.4 cost of revenue, 19.18 research and the rest."""
    for case in ("central", "p10", "p50", "p90"):
        assert getattr(answer.fan("revenue"), case)[0] == pytest.approx(13.07 * B), case
        assert getattr(answer.fan("operating result, all bought"), case)[0] == pytest.approx(-20.93 * B), case
        assert getattr(answer.fan("research and development"), case)[0] == pytest.approx(19.18 * B), case
    cost = answer.fan("cost of revenue, all bought")
    assert cost.central[0] == 7.5 * B
    assert 7.5 * B <= cost.p10[0] < cost.p90[0] <= 8.4 * B, "sources differ: the range is 7.5 to 8.4"
    parts = sum(
        answer.fan(n).central[0] for n in ("cost of revenue, all bought", "research and development", "other costs")
    )
    assert parts == pytest.approx(34 * B)


def test_the_years_meet_the_reported_plan(answer: CompanyAnswer) -> None:
    assert answer.years == (2025, 2026, 2027, 2028, 2029, 2030)
    assert answer.fan("revenue").central[-1] == pytest.approx(280 * B)
    assert sum(answer.fan("compute, all bought").central[1:]) == pytest.approx(600 * B), "2026 to 2030"
    power = answer.fan("own power in service").central
    assert power[2] == pytest.approx(0.75 * 1.3e9), "1.3 GW in 2027, three months late"
    assert power[-1] == pytest.approx(10e9)


def test_parts_of_every_year_add_up(answer: CompanyAnswer) -> None:
    def of(name: str) -> np.ndarray:
        return np.array(answer.fan(name).central)

    costs = of("cost of revenue, all bought") + of("research and development") + of("other costs")
    assert of("revenue") - costs == pytest.approx(of("operating result, all bought"))
    assert of("compute, all bought") == pytest.approx(of("cost of revenue, all bought") + of("training compute"))
    assert of("Consumer: revenue") + of("Enterprise and API: revenue") == pytest.approx(of("revenue"))
    for claim in answer.claims:
        with_chip = np.array(claim.result.central)
        assert with_chip == pytest.approx(of("operating result, all bought") + np.array(claim.saving.central))


def test_power_chips_and_tokens_agree(answer: CompanyAnswer) -> None:
    """Tokens a chip-second x chips x a year are the tokens that the chips serve; price x tokens is revenue."""
    per_chip, chips = answer.fan("tokens of a chip").central, answer.fan("own chips, mean of the year").central
    tokens = [a + b for a, b in zip(*(answer.fan(f"{p}: tokens").central for p in ("Consumer", "Enterprise and API")),
                                    strict=True)]  # fmt: skip
    served = answer.headline.served.central
    for i in range(2, 6):
        assert per_chip[i] * chips[i] * 365 * 86400 == pytest.approx(served[i] * tokens[i])
    ends = answer.fan("own power in service").central
    assert chips[-1] * 1.125 * 1.2 == pytest.approx((ends[-2] + ends[-1]) / 2 / 1000, rel=1e-9), "kW of the grid"


def test_claims_have_the_ratios_that_were_published(answer: CompanyAnswer) -> None:
    """Half; 1.27 / (19,641 x 0.7) over 2.31 / (11,781 x 1.4) = 0.66, over 5.00 0.305; parity."""
    assert [c.ratio.central for c in answer.claims] == pytest.approx([0.5, 0.6595, 0.3047, 1.0], abs=1e-4)
    assert [c.said.split(",")[0] for c in answer.claims] == ["Hock Tan", "OpenAI", "OpenAI", "SemiAnalysis"]
    assert answer.claims[3].saving.p90[-1] == pytest.approx(0, abs=1.0), "parity saves nothing"


def test_the_cheaper_a_token_the_more_is_saved_and_the_less_must_move(answer: CompanyAnswer) -> None:
    by_ratio = sorted(answer.claims, key=lambda c: -c.ratio.central)
    assert [c.saving.p50[-1] for c in by_ratio] == sorted(c.saving.p50[-1] for c in by_ratio)
    assert [c.profitable_frac for c in by_ratio] == sorted(c.profitable_frac for c in by_ratio)
    needed = [c.needed.central for c in by_ratio]
    assert needed == sorted(needed, reverse=True)
    assert needed[0] == np.inf
    for claim in by_ratio:
        saved = {s.share_frac: s.saving.central[-1] for s in claim.by_share}
        assert saved[1.0] == pytest.approx(10 * saved[0.1])
        if np.isfinite(claim.needed.central):
            lacking = -answer.fan("operating result, all bought").central[-1]
            assert saved[1.0] * claim.needed.central == pytest.approx(lacking)


def test_decisive_inputs_are_ranked(answer: CompanyAnswer) -> None:
    shares = [d.variance_share_frac for d in answer.drivers]
    assert shares == sorted(shares, reverse=True)
    assert 0.5 < sum(shares) < 1.1
    assert {"how other costs grow with revenue", "revenue of 2030"} == {d.label for d in answer.drivers[:2]}
    assert 0 < answer.claim_variance_frac < 1
    assert "What decides the result of 2030" in answer.findings[-1]


def test_figures_that_are_no_input_are_shown_beside(answer: CompanyAnswer) -> None:
    found = {c.what.split(",")[0]: c for c in answer.checks}
    inference = found["inference of 2026"]
    assert (inference.published, inference.unit) == (14.1 * B, "BUSD")
    assert inference.computed.central == pytest.approx(14.1 * B, rel=0.02)
    assert found["compute of 2028"].published == 121 * B
    assert found["tokens of an own chip in 2030"].published == pytest.approx(19_641 * 0.7)


def test_every_figure_has_its_source(answer: CompanyAnswer, facts: Facts) -> None:
    cited = {line.split(":", 1)[0] for line in answer.sources}
    assert {f.key for f in read_company(SHIPPED, facts).figures.values()} <= cited
    assert all(line.split(": ", 1)[1].strip() for line in answer.sources)


def test_a_programme_without_power_changes_nothing(tmp_path: Path, facts: Facts) -> None:
    found = changed(tmp_path, facts, (r"^power = .*$", 'power = { 2027 = "1 W" }'))
    assert max(abs(x) for c in found.claims for x in (*c.saving.p10, *c.saving.p90)) < 1e3
    assert all(c.profitable_frac == found.profitable_without_frac for c in found.claims)


def test_a_quantity_with_a_range_may_stand_for_a_fact(tmp_path: Path, facts: Facts) -> None:
    revenue = 'revenue = { value = "500 BUSD", low = "450 BUSD", high = "600 BUSD", source = "me" }'
    found = changed(tmp_path, facts, (r'^revenue = "openai.revenue_target_2030".*$', revenue))
    assert found.fan("revenue").central[-1] == pytest.approx(500 * B)
    assert 450 * B < found.fan("revenue").p10[-1] < found.fan("revenue").p90[-1] < 600 * B
    assert found.profitable_without_frac > 0.9
    assert "is not what makes it profitable" in " ".join(found.findings)
    assert "plan.revenue: me" in found.sources


def test_another_seed_gives_nearly_the_same(tmp_path: Path, facts: Facts, answer: CompanyAnswer) -> None:
    found = changed(tmp_path, facts, (r"^seed = 1", "seed = 2"))
    for one, other in zip(answer.fans, found.fans, strict=True):
        assert other.central == one.central, one.name
    last = "operating result, with own chips"
    assert found.fan(last).p50[-1] == pytest.approx(answer.fan(last).p50[-1], abs=5 * B)


def test_samples_of_a_range_have_its_percentiles() -> None:
    u = (np.arange(10_001) + 0.5) / 10_001
    samples = _from_range(Range(0.5, 0.714, 0.912, "frac"), u)
    assert np.percentile(samples, (10, 50, 90)) == pytest.approx([0.5, 0.714, 0.912], rel=1e-3)


CLASHES = {
    "shares over 100 %": (r"^tokens = .*$", 'tokens = "4e9 tokens/min"\nshare_first = "40 %"\nshare_last = "60 %"',
                          ["share_first", "'Consumer' (70 %)", "'Enterprise and API' (40 %)", "110 %"]),
    "power before the start": (r"^power = .*$", 'power = { 2026 = "1 GW" }', ["power 2026", "start = 2026"]),
    "a plan that is spent": (r"^spent = .*$", 'spent = "700 BUSD"', ["compute = 600 BUSD", "spent = 700 BUSD"]),
    "a plan before the known year": (r"^counted_from = .*$", "counted_from = 2024",
                                     ["counted_from = 2024", "first = 2025"]),
    "a negative price": (r"^price_change = .*$", 'price_change = "-120 %"', ["price_change", "last = 2030"]),
    "a loss that is none": (r"^operating_loss = .*$", 'operating_loss = "5 BUSD"', ["operating_loss", "total_costs"]),
    "parts above the whole": (r"^research = .*$", 'research = "30 BUSD"', ["cost_of_revenue", "total_costs"]),
    "years in the wrong order": (r"^last = .*$", "last = 2025", ["first = 2025", "last = 2025"]),
    "a start after the end": (r"^start = .*$", "start = 2031", ["power 2027", "start = 2031"]),
    "two products for the rest": (r'^share_first = .*\n^share_last = .*$', "", ["'Consumer'", "'Enterprise and API'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CLASHES)
def test_settings_that_clash_are_refused_with_both_named(tmp_path: Path, facts: Facts, case: str) -> None:
    pattern, line, named = CLASHES[case]
    with pytest.raises(StudyError) as refused:
        changed(tmp_path, facts, (pattern, line))
    said = str(refused.value)
    assert "lab.toml" in said
    assert [words for words in named if words not in said] == [], said
    assert "\n" not in said


REFUSED = {
    "a share above 100 %": (r"^training_share = .*$", 'training_share = "120 %"', "between 0 and 100 %"),
    "no inference at all": (r"^inference_share = .*$", 'inference_share = "0 %"', "above 0 and at most 100 %"),
    "a figure that is none": (r"^spent = .*$", "spent = true", "expected the name of a fact, a quantity in quotes"),
    "a claim of nothing": (r"^throughput = .*$", 'throughput = ""', "[[claim]] number 2 throughput"),
    "a negative price": (r"^chip_hour = .*$", 'chip_hour = "-1 USD/h"', "expected positive"),
    "a price of nothing": (r"^rival_hour = .*$", 'rival_hour = "0 USD/h"', "expected positive"),
    "an unknown fact": (r"^research = .*$", 'research = "openai.reserch_2025"', "research_2025"),
    "a fact of another measure": (r"^research = .*$", 'research = "openai.messages"', "no figure such as"),
    "a wrong unit": (r"^spent = .*$", 'spent = "3 GW"', "wrong unit"),
    "an unknown setting": (r"^spent = .*$", 'spend = "3 BUSD"', "is not a setting"),
    "a missing setting": (r"^spent = .*$", "", "is missing"),
    "an unknown claim": (r"^claim = .*$", 'claim = "half"', "half the cost per token"),
    "two ways of a claim": (r"^saving = .*$", 'saving = "50 %"\nratio = "0.5"', "expected one of"),
    "a rival alone": (r"^performance_per_cost = .*$", 'ratio = "1"\nrival_hour = "5 USD/h"', "go together"),
    "a value outside its range": (r"^delay = .*$", 'delay = { value = "1 years", low = "2 years" }', "must enclose"),
    "no part": (r"^delay = .*$", 'delay = { value = "1 years", lowest = "0 years" }', "no part of a figure"),
    "tokens and messages": (r"^tokens = .*$", "", "expected either tokens, or messages"),
    "one share of two": (r"^share_last = .*$", "", "go together"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_sentence(tmp_path: Path, facts: Facts, case: str) -> None:
    pattern, line, words = REFUSED[case]
    with pytest.raises(StudyError, match=re.escape(words)) as refused:
        changed(tmp_path, facts, (pattern, line))
    assert "lab.toml" in str(refused.value)


def test_shares_of_all_products_add_up_in_every_sample(tmp_path: Path, facts: Facts) -> None:
    rest = (
        'tokens = "4e9 tokens/min"\nshare_first = { value = "30 %", low = "20 %", high = "40 %" }\nshare_last = "50 %"'
    )
    found = changed(tmp_path, facts, (r"^tokens = .*$", rest))
    for case in ("central", "p10"):
        assert getattr(found.fan("revenue"), case)[0] == pytest.approx(13.07 * B)
    parts = [found.fan(f"{p}: revenue") for p in ("Consumer", "Enterprise and API")]
    assert parts[0].p10[0] + parts[1].p90[0] == pytest.approx(13.07 * B), "what one has less, the other has more"


def test_the_modelled_ratio_is_one_more_claim(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    ratio = Line("ratio to GB300 NVL72, owned", "x", "frac", None, Range(0.5, 0.7, 0.9, "frac"))
    found = SimpleNamespace(lines=(Line("Jalapeño, owned", "USD/Mtok", "usd_per_token"), ratio))
    monkeypatch.setattr(import_module("scoville.claims.audit"), "audited", lambda claim, bench: found)
    answer = company(SHIPPED, facts, modelled=True)
    last = answer.claims[-1]
    assert last.name == "modelled cost against GB300 NVL72, owned"
    assert (last.ratio.p10, last.ratio.central, last.ratio.p90) == pytest.approx((0.5, 0.7, 0.9), abs=0.01)
    assert "docs/claims.md" in last.said
    assert len(answer.claims) == 5


def test_a_file_that_is_none_is_refused(tmp_path: Path, facts: Facts) -> None:
    with pytest.raises(StudyError, match="there is no such study file"):
        company(tmp_path / "none.toml", facts)
    broken = tmp_path / "broken.toml"
    broken.write_text("title = ", encoding="utf-8")
    with pytest.raises(StudyError, match="is not valid TOML"):
        company(broken, facts)
