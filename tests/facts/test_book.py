"""Asking for facts: by alias, vintage and owner."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scoville.errors import FactError
from scoville.facts import Facts

Read = Callable[[str], Facts]

RENTS = "".join(
    f'[[lab.rent]]\nvalue = "{usd} USD/h"\nsource = "a test"\nas_of = "2026"\nkind = "reported"\n{more}\n'
    for usd, more in (
        (1, ""),
        (2, 'vintage = "2026-04"\nowner = "neocloud"'),
        (3, 'vintage = "2026-04"'),
        (4, 'vintage = "2026-09"\nowner = "neocloud"'),
        (5, 'vintage = "2026-09"\nowner = "hyperscaler"'),
    )
)


@pytest.mark.parametrize(
    ("vintage", "owner", "usd"),
    [
        ("", "", 3),  # one that holds for any owner comes before newer ones of some owner
        ("2026-03", "", 1),  # without a vintage: holds at any time
        ("2026-04", "", 3),
        ("2026-04", "neocloud", 2),
        ("2026-08", "neocloud", 2),
        ("2026-09", "neocloud", 4),
        ("", "hyperscaler", 5),
        ("2026-08", "hyperscaler", 3),
        ("2026-09", "vendor", 3),
    ],
)
def test_which_entry_answers(read: Read, vintage: str, owner: str, usd: float) -> None:
    facts = read('[lab]\ncategory = "site"\n' + RENTS)
    assert facts.get("lab", "rent", vintage=vintage, owner=owner).number == usd


def test_nothing_published_by_then(bundled: Facts) -> None:
    assert bundled.find("h100", "own_hourly", vintage="2026-01") is None
    with pytest.raises(FactError, match=r"no entry by 2026-01 for neocloud; there are @2026-04/hyperscaler, "):
        bundled.get("h100", "own_hourly", vintage="2026-01", owner="neocloud")


def test_published_costs_of_two_months_are_two_facts(bundled: Facts) -> None:
    # SemiAnalysis, by month and by who owns the H100: 1.30, 1.55, 1.69 and 1.17 USD/h.
    costs = {(f.vintage, f.owner): f.value for f in bundled.of("h100") if f.name == "own_hourly"}
    assert costs == {
        ("2026-04", "hyperscaler"): 1.30,
        ("2026-04", "neocloud"): 1.69,
        ("2026-08", "neocloud"): 1.55,
        ("2026-09", "hyperscaler"): 1.17,
    }


@pytest.mark.parametrize(
    ("spelling", "id"),
    [
        ("h100", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("h100_sxm", "h100-sxm"),
        ("GB300", "gb300-nvl72"),
        ("Ironwood", "tpu-v7"),
        ("tpu7x", "tpu-v7"),
        ("Jalapeño", "jalapeno"),
        ("mi355x", "mi355x"),
        ("rtx_pro_6000_server", "rtx-pro-6000"),
    ],
)
def test_chips_answer_to_the_names_in_use(bundled: Facts, spelling: str, id: str) -> None:
    assert bundled.accelerator(spelling).id == id


def test_unknown_names_suggest_the_nearest(bundled: Facts) -> None:
    with pytest.raises(FactError, match=r"unknown accelerator 'h1000'; did you mean 'h100'"):
        bundled.accelerator("h1000")
    with pytest.raises(FactError, match="unknown accelerator 'openai'"):
        bundled.accelerator("openai")
    with pytest.raises(FactError, match="no subject 'opena'; did you mean 'openai'"):
        bundled.of("opena")
    with pytest.raises(FactError, match="h100-sxm has no fact 'memory_bandwith'; did you mean 'memory_bandwidth'"):
        bundled.get("h100", "memory_bandwith")
    assert bundled.find("h1000", "tdp") is None
    assert bundled.find("h100", "tdpp") is None


def test_drivers_name_what_is_drawn_together(bundled: Facts) -> None:
    drivers = bundled.drivers()
    assert {"hbm-price", "electricity", "wacc", "link-latency"} <= set(drivers)
    assert {"b200-sxm", "jalapeno", "memory-price"} <= {f.subject for f in drivers["hbm-price"]}
