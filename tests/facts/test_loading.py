"""The grammar of fact files: what it means, and what is refused with which sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from scoville.errors import FactError, ScovilleError, UnitError
from scoville.facts import Facts, load

Read = Callable[[str], Facts]

GROUND = 'source = "a test"\nas_of = "2026-11"\nkind = "measured"\n'


def fact(table: str, **fields: str) -> str:
    return f"[{table}]\n{GROUND}" + "".join(f'{k} = "{v}"\n' for k, v in fields.items()) + "\n"


def test_quantities_become_si_and_keep_their_unit(read: Read) -> None:
    f = read(fact("h100-sxm.memory_bandwidth", value="3.0 TB/s", low="2900 GB/s", high="3.35 TB/s")).get(
        "h100-sxm", "memory_bandwidth"
    )
    assert (f.value, f.low, f.high) == (3.0e12, 2.9e12, 3.35e12)
    assert (f.measure, f.unit, f.kind, f.as_of, f.source) == ("bytes_per_s", "TB/s", "measured", "2026-11", "a test")
    assert not f.range_is_default
    assert f.place.endswith("my.toml:1: [h100-sxm.memory_bandwidth]")


def test_a_missing_range_gets_the_default_of_its_kind(read: Read, bundled: Facts) -> None:
    facts = read(fact("h100-sxm.tdp", value="700 W"))
    f, spread = facts.get("h100-sxm", "tdp"), bundled.get("default-range", "measured").number
    assert f.range_is_default
    assert (f.low, f.high) == pytest.approx((700 * (1 - spread), 700 * (1 + spread)))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("scale_up_domain", {"value": "8 chips"}),
        ("memory_capacity", {"value": "80 GB"}),
        ("tdp", {"value": "700 W", "distribution": "fixed"}),
    ],
)
def test_counts_capacities_and_fixed_facts_get_no_range(read: Read, name: str, fields: dict[str, str]) -> None:
    f = read(fact(f"h100-sxm.{name}", **fields)).get("h100-sxm", name)
    assert f.low == f.value == f.high
    assert not f.range_is_default


def test_text_facts_have_no_bounds(read: Read) -> None:
    f = read(fact("h100-sxm.process_node", value="14nm and more")).get("h100-sxm", "process_node")
    assert f.value == "14nm and more"
    assert f.measure == f.unit == ""
    assert f.distribution == "fixed"
    assert math.isnan(f.low)
    with pytest.raises(TypeError):
        _ = f.number


def test_other_subjects_take_their_measure_from_the_unit(read: Read) -> None:
    facts = read(
        '[lab]\ncategory = "site"\n'
        + fact("lab.tariff", value="0.09 USD/kWh")
        + fact("lab.share", value="12 %")
        + fact("lab.fans", value="4")
        + fact("lab.place", value="north wing")
    )
    assert [f.measure for f in facts.of("lab")] == ["usd_per_j", "frac", "frac", ""]
    assert facts.get("lab", "tariff").number == pytest.approx(0.09 / 3.6e6)
    assert facts.get("lab", "share").number == pytest.approx(0.12)


def test_a_bare_toml_number_is_a_count(read: Read) -> None:
    assert read(f"[h100-sxm.scale_up_domain]\nvalue = 4\n{GROUND}").get("h100", "scale_up_domain").number == 4


def test_link_directions(read: Read) -> None:
    def bandwidth(**fields: str) -> tuple[float | str, float, float]:
        f = read(fact("h100-sxm.scale_up_bandwidth", **fields)).get("h100-sxm", "scale_up_bandwidth")
        return f.value, f.low, f.high

    assert bandwidth(value="900 GB/s", low="800 GB/s", direction="both") == (450e9, 400e9, 450e9)
    assert bandwidth(value="900 GB/s", direction="unknown") == (675e9, 450e9, 900e9)
    assert bandwidth(value="450 GB/s", low="400 GB/s") == (450e9, 400e9, 450e9)


def test_kind_and_date_come_from_the_source_unless_given(read: Read) -> None:
    text = '[handbook]\ncategory = "source"\ncitation = "The Handbook"\nas_of = "2025"\nkind = "vendor"\nnote = "old"\n'
    facts = read(
        text
        + '[h100-sxm.tdp]\nvalue = "690 W"\nsource = "handbook"\n'
        + '[h200-sxm.tdp]\nvalue = "690 W"\nsource = "handbook"\nkind = "measured"\nas_of = "2026-01-31"\n'
    )
    first, second = facts.get("h100", "tdp"), facts.get("h200", "tdp")
    assert (first.source, first.kind, first.as_of) == ("The Handbook", "vendor", "2025")
    assert (second.kind, second.as_of) == ("measured", "2026-01-31")
    assert facts.about_source(first) == "old"


def test_a_users_fact_takes_the_place_of_the_same_key_and_only_of_that(read: Read, bundled: Facts) -> None:
    facts = read(
        f'[[h100.rent_3yr]]\nvintage = "2026-09"\nvalue = "1.75 USD/h"\n{GROUND}'
        + f'[[h100.rent_3yr]]\nvintage = "2026-10"\nvalue = "1.70 USD/h"\n{GROUND}'
    )
    was = {f.key: f.value for f in bundled.of("h100-sxm")}
    now = {f.key: f.value for f in facts.of("h100-sxm")}
    assert now == was | {"h100-sxm.rent_3yr@2026-09": 1.75, "h100-sxm.rent_3yr@2026-10": 1.70}
    assert [f.key for f in facts.user_facts] == ["h100-sxm.rent_3yr@2026-09", "h100-sxm.rent_3yr@2026-10"]
    assert all(f.user and "my.toml" in f.place for f in facts.user_facts)
    assert bundled.user_facts == ()


def test_of_two_user_files_the_later_wins(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.toml", "b.toml")]
    for path, watts in zip(paths, (600, 650), strict=True):
        path.write_text(fact("h100-sxm.tdp", value=f"{watts} W"))
    assert load(paths).get("h100", "tdp").number == 650
    assert load(paths[::-1]).get("h100", "tdp").number == 600


def test_a_new_chip_and_new_default_ranges(read: Read) -> None:
    facts = read(
        '[my-chip]\ncategory = "accelerator"\nname = "My Chip"\nvendor = "Us"\naliases = ["mine"]\n'
        + fact("my-chip.compute_fp8", value="2 PFLOP/s")
        + fact("default-range.measured", value="40 %", distribution="fixed")
    )
    chip = facts.accelerator("MINE")
    assert (chip.name, chip.vendor) == ("My Chip", "Us")
    assert chip.compute["fp8", "fp8"].high == pytest.approx(2.8e15)
    assert chip.missing == ("memory capacity", "memory bandwidth")


REFUSED = {
    "unit": (fact("h100-sxm.memory_bandwidth", value="3.35 TBs"), "my.toml:1: [h100-sxm.memory_bandwidth]", "TB/s"),
    "other unit": (fact("h100-sxm.memory_bandwidth", value="80 GB"), "wrong unit", "3.35 TB/s"),
    "no unit": (fact("h100-sxm.tdp", value="700"), "'700' has no unit", "700 W"),
    "unit of a free fact": (fact("openai.debt", value="3 gold"), "[openai.debt] value", "unknown unit 'gold'"),
    "order": (fact("h100-sxm.tdp", value="700 W", high="600 W"), "low <= value <= high", "600 W"),
    "bounds of a text": (fact("h100-sxm.package", value="CoWoS", low="1 W"), "low and high need a number", ""),
    "fact name": (fact("h100-sxm.memory_bandwith", value="3 TB/s"), "no fact 'memory_bandwith'", "'memory_bandwidth'"),
    "field": (fact("h100-sxm.tdp", value="700 W", hihg="1 W"), "unknown field 'hihg'", "'high'"),
    "kind": (fact("h100-sxm.tdp", value="700 W").replace("measured", "guess"), "kind is 'guess'", "'measured'"),
    "missing value": (f"[h100-sxm.tdp]\n{GROUND}", "the field 'value' is missing", ""),
    "list": (f'[h100-sxm.tdp]\nvalue = ["700 W"]\n{GROUND}', "value is ['700 W']", "a number with its unit"),
    "missing source": ('[h100-sxm.tdp]\nvalue = "700 W"\n', "the field 'source' is missing", ""),
    "unknown source": ('[h100-sxm.tdp]\nvalue = "7 W"\nsource = "fact-card"\n', "'kind' is missing", "'fact-cards'"),
    "date": (fact("h100-sxm.tdp", value="7 W").replace("2026-11", "November"), "'November' is no date", "YYYY-MM"),
    "vintage": (fact("h100-sxm.tdp", value="7 W", vintage="2026"), "'2026' is no month", "YYYY-MM"),
    "direction": (fact("h100-sxm.tdp", value="7 W", direction="both"), "direction belongs to", "'tdp'"),
    "includes": (
        f'[b300-sxm.price_system]\nvalue = "9 USD"\nincludes = ["rack"]\n{GROUND}',
        "includes is 'rack'",
        "'network'",
    ),
    "includes of another": (f'[h100.tdp]\nvalue = "7 W"\nincludes = ["server"]\n{GROUND}', "not to 'tdp'", "system"),
    "subject": (fact("h10-sxm.tdp", value="7 W"), "unknown subject 'h10-sxm'", "'h100-sxm'"),
    "twice": (f'[[h100-sxm.tdp]]\nvalue = "7 W"\n{GROUND}' * 2, "is already at", ""),
    "outside": ("tdp = 700\n", "'tdp' stands outside a table", ""),
    "syntax": ('[h100-sxm.tdp]\nvalue = "700 W\n', "my.toml:2: is not valid TOML", ""),
}


def test_the_price_of_a_system_says_what_it_includes(read: Read, bundled: Facts) -> None:
    text = f'[h100.price_system]\nvalue = "40000 USD"\nincludes = ["server", "network"]\n{GROUND}'
    assert read(text).get("h100", "price_system").includes == ("server", "network")
    prices = [f for chip in bundled.accelerators() for f in chip.facts.get("price_system", ())]
    assert {f.subject: f.includes for f in prices} == dict.fromkeys(
        ("blackhole", "gb200-nvl72", "gb300-nvl72", "mi455x", "vr200-nvl72"), ("server",)
    ) | {"b300-sxm": ("server", "network")}


OUTSIDE = {
    "engine.token_budget": ("0 tokens", "at least 1"),
    "engine.memory_fraction": ("105 %", "more than 0 and at most 1"),
    "h100-sxm.memory_bandwidth": ("-5 TB/s", "more than 0"),
    "h100-sxm.compute_bf16": ("0 TFLOP/s", "more than 0"),
    "h100-sxm.tdp": ("0 W", "more than 0"),
    "h100-sxm.rent_3yr": ("-1 USD/h", "more than 0"),
    "h100-sxm.memory_capacity": ("-80 GB", "more than 0"),
    "h100-sxm.scale_up_domain": ("0 chips", "at least 1"),
    "h100-sxm.scale_up_latency": ("-1 us", "at least 0"),
    "efficiency.gemm_memory": ("0", "more than 0 and at most 1"),
    "kernel-gemm.units_h100-sxm": ("0", "more than 0"),
    "collective.overlap_all_reduce": ("1.2", "at least 0 and at most 1"),
    "launch.gemm": ("-1 us", "at least 0"),
    "power.idle_share": ("110 %", "at least 0 and at most 1"),
    "site.network_share": ("100 %", "at least 0 and less than 1"),
    "site.pue": ("0.9 ratio", "at least 1"),
    "site.it_life": ("0 years", "more than 0"),
    "terms-neocloud.wacc": ("-1 %", "at least 0 and at most 1"),
    "terms-neocloud.facility": ("-10 USD/W", "at least 0"),
    "default-range.measured": ("100 %", "at least 0 and less than 1"),
    "default-link.domain": ("0 chips", "at least 1"),
}


@pytest.mark.parametrize("key", OUTSIDE)
def test_values_that_nothing_can_be_computed_with_are_refused(read: Read, key: str) -> None:
    value, expected = OUTSIDE[key]
    with pytest.raises(FactError) as refused:
        read(fact(key, value=value))
    assert str(refused.value).endswith(f"my.toml:1: [{key}] value is {value}; expected {expected}")


def test_the_ends_of_a_range_are_held_to_the_same(read: Read) -> None:
    for field, value in (("low", "0 TB/s"), ("high", "-1 TB/s")):
        with pytest.raises(FactError, match=rf"{field} is {value}; expected more than 0"):
            read(fact("h100-sxm.memory_bandwidth", value="3 TB/s", **{field: value}))


def test_what_is_computed_with_keeps_its_measure(read: Read) -> None:
    for key, value in (("efficiency.gemm_memory", "3 TB/s"), ("site.electricity", "8 %"), ("engine.block_tokens", "x")):
        with pytest.raises(UnitError, match="value: "):
            read(fact(key, value=value))
    assert read(fact("terms-neocloud.electricity", value="0.1 USD/kWh")).get("terms-neocloud", "electricity")
    with pytest.raises(UnitError):
        read(fact("terms-neocloud.electricity", value="0.1 USD/W"))


def test_a_misspelt_term_is_refused_with_the_nearest(read: Read) -> None:
    with pytest.raises(FactError, match=r"\[site\.electrcity\].* did you mean 'electricity'"):
        read('[site.electrcity]\nvalue = "0.08 USD/kWh"\nsource = "x"\nas_of = "2026"\nkind = "estimated"')
    evidence = read('[timing-evidence.my-chip]\nvalue = "related"\nsource = "x"\nas_of = "2026"\nkind = "estimated"')
    assert evidence.get("timing-evidence", "my-chip").value == "related"


def test_a_chip_of_the_users_own_may_be_named_wherever_chips_are(read: Read) -> None:
    assert read(fact("kernel-gemm.units_my-chip", value="100")).get("kernel-gemm", "units_my-chip").number == 100
    assert read(fact("kernel-moe.level2_my-chip", value="40 MB")).get("kernel-moe", "level2_my-chip").number == 40e6
    with pytest.raises(UnitError, match="value: "):
        read(fact("kernel-gemm.units_my-chip", value="100 MB"))
    with pytest.raises(FactError, match="nothing is computed with a fact of that name"):
        read(fact("kernel-gemm.unit_my-chip", value="100"))


def test_a_default_range_stays_inside_of_what_is_possible(read: Read) -> None:
    def bounds(key: str, value: str) -> tuple[float, float]:
        f = read(fact(key, value=value).replace("measured", "estimated")).get(*key.split("."))
        return f.low, f.high

    assert bounds("engine.memory_fraction", "0.95") == pytest.approx((0.76, 1.0))
    assert bounds("site.pue", "1.1 ratio") == pytest.approx((1.0, 1.32))
    assert bounds("site.network_share", "90 %") == pytest.approx((0.72, 0.9))


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_with_which_sentence(read: Read, case: str) -> None:
    text, says, teaches = REFUSED[case]
    with pytest.raises(ScovilleError) as refused:
        read(text)
    sentence = str(refused.value)
    assert says in sentence
    assert teaches in sentence
    assert "my.toml" in sentence
    assert "\n" not in sentence
    assert isinstance(refused.value, UnitError) == ("unit" in case)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'[h100-sxm]\nname = "\xe9"\n')
    for name, says in (("none.toml", "No such file"), ("latin.toml", "not UTF-8"), (".", "directory")):
        with pytest.raises(FactError, match=says):
            load([tmp_path / name])


def test_the_chip_of_the_page_can_be_timed(read: Read) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "facts.md").read_text("utf-8")
    facts = read(page.split("```toml my-chip.toml\n")[1].split("```")[0])
    chip = facts.accelerator("mine")
    assert chip.missing == ()
    assert chip.links[0].bandwidth.value == 300e9
    assert facts.get("h100", "rent_3yr", vintage="2026-09").number == 1.80
    assert len(facts.user_facts) == 8
