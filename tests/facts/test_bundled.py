"""The bundled facts as a whole: complete, in order, and what the published sources say."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import pytest

from scoville.facts import Fact, Facts, names
from scoville.facts.book import normal
from scoville.timing.measured.fitted import FAMILIES

CHIPS = set(
    """
    a100-sxm h100-sxm h200-sxm h800-sxm h20 b200-sxm gb200-nvl72 b300-sxm gb300-nvl72 vr200-nvl72 mi300x mi325x
    mi355x mi455x tpu-v4 tpu-v5e tpu-v5p tpu-v6e tpu-v7 tpu-8i tpu-8t trainium2 trainium3 inferentia2 gaudi3 groq-lpu-v1
    groq-3-lpu wse-3 sn40l maia-100 maia-200 mtia-400 ai200 sohu corsair blackhole ascend-950dt crescent-island jalapeno
    l40s rtx-pro-6000 a100-sxm-40gb a100-pcie h100-pcie h100-nvl h200-nvl gh200 gh200-144gb
    """.split()  # noqa: SIM905, a column of quotes reads worse
)

ENGINES = {"engine-vllm", "engine-sglang", "engine-tensorrt-llm"}


@pytest.fixture(scope="module")
def all_facts(bundled: Facts) -> list[Fact]:
    return [f for id in bundled.subjects() for f in bundled.of(id)]


def test_every_collected_table_is_there(all_facts: list[Fact]) -> None:
    files = (f.place.split(":")[0] for f in all_facts)
    count = Counter("facts/accelerators" if "/accelerators/" in file else file for file in files)
    least = {
        "facts/accelerators": 600,
        "facts/processes.toml": 45,
        "facts/yields.toml": 20,
        "facts/silicon.toml": 40,
        "facts/market.toml": 80,
        "facts/companies.toml": 35,
        "facts/claims.toml": 80,
    }
    assert {file: count[file] for file, n in least.items() if count[file] < n} == {}
    assert len(all_facts) >= 1000


def test_every_fact_says_from_whom_when_and_how_sure(all_facts: list[Fact]) -> None:
    kinds = {"measured", "vendor", "reported", "estimated", "derived"}
    for f in all_facts:
        assert f.source.strip(), f.key
        assert re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", f.as_of), f.key
        assert f.kind in kinds, f.key
        assert f.unit or isinstance(f.value, str) or f.measure in ("frac", "count"), f.key
        assert isinstance(f.value, str) or f.low <= f.value <= f.high, f.key
        assert isinstance(f.value, str) or math.isfinite(f.low + f.high), f.key
        assert not ("unverified" in f.note and f.kind in ("measured", "vendor")), f.key


def test_whatever_is_computed_with_has_a_domain(bundled: Facts, all_facts: list[Fact]) -> None:
    def bounded(f: Fact) -> bool:
        return names.domain(bundled.subject(f.subject).category, f.subject, f.name) is not None

    read = {"site", "terms-hyperscaler", "terms-neocloud", "efficiency", "launch", "collective", "engine", "power"}
    read |= {"systolic", "uncertainty", "default-link", "default-power", "default-range", *CHIPS, *ENGINES}
    read |= {"router", "fairness", "speculation", "kv-transfer", "replica", "ownership"}
    read |= {f"kernel-{kind}" for kind in ("gemm", "moe", "attention", "collectives")}
    silicon = {id for category in ("silicon", "process", "memory") for id in bundled.subjects(category)}
    read |= {f.subject for f in all_facts if f.subject in silicon and not isinstance(f.value, str)} | {"yield-model"}
    assert {f.subject for f in all_facts if bounded(f) and not isinstance(f.value, str)} == read


def test_every_engine_family_has_the_same_settings_each_looked_up(bundled: Facts) -> None:
    settings = {"policy", "reservation", "token_budget", "max_sequences", "block_tokens", "asynchronous"}
    assert set(bundled.subjects("engine")) == ENGINES
    assert len({frozenset(f.name for f in bundled.of(id)) for id in ENGINES}) == 1
    for id in ENGINES:
        looked_up = [f for f in bundled.of(id) if f.name in settings]
        assert len(looked_up) == len(settings), id
        assert all(f.kind == "vendor" and "not looked up" not in f.source + f.note for f in looked_up), id
        assert bundled.get(id, "asynchronous").value in ("yes", "no"), id
        assert bundled.get(id, "kernels").value in FAMILIES, id


def test_derived_acceptance_gives_the_published_tokens_per_step(bundled: Facts) -> None:
    def of(name: str) -> Fact:
        return bundled.get("speculation", name)

    # A step yields the model's own token and the drafts before the first refusal: 1 + a + a^2 + ...
    for acceptance, tokens, drafts, within in (
        (of("mtp_acceptance").number, "mtp_tokens_2_drafts", 2, 0.02),
        (of("mtp_acceptance").number, "mtp_tokens_3_drafts", 3, 0.03),
        (of("eagle3_acceptance").number, "eagle3_tokens_3_drafts", 3, 0.01),
    ):
        assert sum(acceptance**i for i in range(drafts + 1)) == pytest.approx(of(tokens).number, rel=within)
    assert (of("mtp_first_acceptance").low, of("mtp_first_acceptance").high) == (0.85, 0.9)


def test_what_stands_around_the_engines_is_as_published(bundled: Facts) -> None:
    assert bundled.get("router", "balance_absolute").number == 64
    assert bundled.get("router", "balance_relative").number == 1.5
    # Sheng et al., OSDI 2024: an answer token counts twice a prompt token.
    assert [bundled.get("fairness", n).number for n in ("input_weight", "output_weight")] == [1, 2]
    assert bundled.get("kv-transfer", "link_share").number == pytest.approx((87 / 100 + 190 / 400) / 2, abs=0.005)
    assert bundled.get("replica", "startup").number == 60 + 10 + 15 + 70 + 60
    mtbf = bundled.get("replica", "chip_mtbf")
    # The Llama 3 Herd of Models: 419 unexpected interruptions of 16,384 chips in 54 days.
    assert mtbf.number / 3600 == pytest.approx(16384 * 54 * 24 / 419, rel=1e-3)
    # Kokolis et al.: failures per 1,000 days of a node of eight chips in two clusters.
    ends = [1000 * 8 * 24 / failures for failures in (6.50, 2.34)]
    assert [mtbf.low / 3600, mtbf.high / 3600] == pytest.approx(ends, rel=2e-3)


def test_sources_say_where_the_figure_is_from(all_facts: list[Fact]) -> None:
    registry = re.compile(r"https?://[^ ]*(pypi|npmjs|crates)\.", re.I)
    assert [f.key for f in all_facts if registry.search(f.source + f.note)] == []
    assert [
        f.key for f in all_facts if f.source.startswith("derived from") and f.kind == "derived" and not f.note
    ] == []


def test_all_chips_are_there_and_at_least_thirty_can_be_timed(bundled: Facts) -> None:
    chips = bundled.accelerators()
    assert {c.id for c in chips} == CHIPS
    assert sum(not c.missing for c in chips) >= 30


def test_no_two_subjects_share_a_name(bundled: Facts) -> None:
    names: Counter[str] = Counter()
    for id in bundled.subjects():
        s = bundled.subject(id)
        names.update({normal(a) for a in (s.id, *s.aliases)})
    assert [n for n, count in names.items() if count > 1] == []


def test_every_chip_with_bf16_multiplies_narrow_weights_at_that_rate(bundled: Facts) -> None:
    for chip in bundled.accelerators():
        rate = chip.compute.get(("bf16", "bf16"))
        if rate:
            mixed = chip.compute["fp4", "bf16"]
            assert (mixed.value, mixed.driver) == (rate.value, rate.driver), chip.id
            assert (mixed.low, mixed.high) == pytest.approx((rate.low, rate.high), rel=1e-3), chip.id


def test_what_is_built_of_parts_is_their_sum(bundled: Facts) -> None:
    for chip in bundled.accelerators():
        parts = [fs[-1].number for n, fs in chip.facts.items() if n.startswith("bom_") and n != "bom_total"]
        if len(parts) > 1:
            assert sum(parts) == pytest.approx(chip.facts["bom_total"][-1].number, rel=0.005), chip.id


def test_marked_placeholders_are_no_evidence(all_facts: list[Fact]) -> None:
    marked = {(f.subject, f.name, f.owner): f for f in all_facts if "placeholder at its source" in f.note}
    assert {s for s, _, _ in marked} == {"b300-sxm", "gb300-nvl72"}
    assert all(f.vintage == "2026-04" and f.kind == "estimated" for f in marked.values())
    assert marked["b300-sxm", "own_hourly", "hyperscaler"].value == pytest.approx(1.2 * 1.95)


def test_published_power_says_whether_it_includes_the_facility(all_facts: list[Fact]) -> None:
    power = {(f.subject, f.name): f for f in all_facts if f.name in ("all_in_power", "utility_power")}
    assert {(name, f.vintage) for (_, name), f in power.items()} == {
        ("all_in_power", "2026-08"), ("all_in_power", "2026-09"), ("utility_power", "2026-04"),
    }  # fmt: skip
    for (subject, name), f in power.items():
        assert ("includes facility overhead" if name == "utility_power" else "without facility overhead") in f.note
        # GB300's figure of 2026-04 is a placeholder, GB200's.
        if name == "utility_power" and "placeholder" not in f.note:
            assert 1.12 < f.number / power[subject, "all_in_power"].number < 1.29, f.key


def test_claims_name_claimant_baseline_and_basis(bundled: Facts) -> None:
    claims = bundled.subjects("claim")
    assert len(claims) >= 20
    for id in claims:
        assert {"claimed", "claimant", "against", "basis"} <= {f.name for f in bundled.of(id)}, id
    # OpenAI, first results of 2026-08-25: 19,641 against 11,781 tokens/s per kW of package TDP.
    ratio = bundled.get("claim-r1-throughput-per-power", "claimed").number
    assert ratio / bundled.get("claim-r1-throughput-per-power", "baseline").number == pytest.approx(1.667, abs=0.001)


def test_the_page_names_every_fact_of_a_chip() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "facts.md").read_text("utf-8")
    assert [name for name in (*names.FACTS, *names.REMARKS) if f"`{name}`" not in page] == []


def test_the_page_tells_how_many_chips_can_be_timed(bundled: Facts) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "facts.md").read_text("utf-8")
    complete = sum(not chip.missing for chip in bundled.accelerators())
    assert f"{complete} of the {len(CHIPS)} bundled chips" in page


def test_the_page_tells_the_default_ranges(bundled: Facts) -> None:
    page = " ".join((Path(__file__).resolve().parents[2] / "docs" / "facts.md").read_text("utf-8").split())
    told = ", ".join(
        f"{bundled.get('default-range', kind).number:.0%}".replace("%", " %")
        + f" {'for ' * (kind == 'measured')}{kind}"
        for kind in ("measured", "vendor", "reported", "estimated", "derived")
    )
    assert f"now {told}, either way" in page
