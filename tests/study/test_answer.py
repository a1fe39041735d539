"""What must hold of every answer: sums, seeds, independence of rows, and what a better or cheaper chip may never do."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from scoville.errors import StudyError
from scoville.facts import Facts, Range
from scoville.study import Answer
from scoville.study.answer import Row
from scoville.study.rows import _outside

Ask = Callable[..., Answer]
Small = Callable[..., str]
Find = Callable[[Answer, str, str], Any]
TENURES = ("rent", "own")


def prices(found: Answer) -> list[Any]:
    return [p for r in found.rows for p in (r.rent, r.own) if p is not None]


def ranges(record: Any) -> list[Range]:
    """Every range in a record, however deep."""
    if isinstance(record, Range):
        return [record]
    if dataclasses.is_dataclass(record):
        return [x for f in dataclasses.fields(record) for x in ranges(getattr(record, f.name))]
    return [x for item in record for x in ranges(item)] if isinstance(record, tuple) else []


# -- sums ----------------------------------------------------------------------------------------------------------


def test_input_and_output_pay_for_the_fleet(three: Answer) -> None:
    """Tokens of a day times their price are chips x USD per hour x 24."""
    for row, tenure in itertools.product(three.rows, TENURES):
        price = getattr(row, tenure)
        if price is None:
            continue
        day = three.demand_tokens_per_s * 86400
        output = row.output_tokens_per_s_per_chip.central / row.tokens_per_s_per_chip.central
        cost = row.chips.central * price.hourly.central * 24
        paid = day * ((1 - output) * price.input.central + output * price.output.central)
        assert paid == pytest.approx(cost, rel=1e-9)
        assert price.all.central * day == pytest.approx(cost, rel=1e-9)


def test_layers_of_the_waterfall_sum_to_its_total(three: Answer, ask: Ask, small: Small) -> None:
    for found in (three, ask(small(("b200-sxm",)))):
        assert found.waterfall is not None
        assert found.waterfall.accelerator in {r.accelerator for r in found.rows}
        total = sum(layer.cost.central for layer in found.waterfall.layers)
        assert total == pytest.approx(found.waterfall.total.central, rel=1e-9)
        own = next(r for r in found.rows if r.accelerator == found.waterfall.accelerator).own
        assert own is not None
        assert own.all.central == found.waterfall.total.central


def test_the_fleet_is_whole_replicas_for_the_peak(three: Answer) -> None:
    for row in three.rows:
        assert row.chips.central % row.chips_per_replica_count == 0
        replica = row.tokens_per_s_per_chip.central * row.chips_per_replica_count
        need = three.demand_tokens_per_s * 1.5 * 1.1 / 0.8
        assert row.chips.central / row.chips_per_replica_count == math.ceil(need / replica * (1 - 1e-12))


def test_ranges_are_in_order_and_finite(three: Answer) -> None:
    found = [r for row in three.rows for r in ranges(row)] + ranges(three.waterfall)
    assert len(found) > 40
    for r in found:
        assert math.isfinite(r.p10 + r.central + r.p90)
        assert 0 < r.p10 <= r.p90 or r.measure == "usd_per_token"


def test_every_row_meets_its_targets(three: Answer) -> None:
    for row in three.rows:
        assert row.ttft.central <= three.ttft_target_s
        assert row.tpot.central <= three.tpot_target_s
        assert row.tpot.p90 <= three.tpot_target_s * (1 + 1e-9)
        assert row.ttft.p90 <= three.ttft_target_s * (1 + 1e-9)
        assert 1 / row.tokens_per_s_per_user.central < row.tpot.central


@pytest.mark.parametrize("tenure", TENURES)
def test_somebody_is_the_cheapest(three: Answer, tenure: str) -> None:
    have = [(r, getattr(r, tenure)) for r in three.rows if getattr(r, tenure)]
    shares = sum(p.cheapest_frac for _, p in have)
    missed = min(1 - r.meets_targets_frac for r, _ in have)
    assert 1 - missed - 1e-9 <= shares <= 1 + 1e-9
    best = {"rent": three.cheapest_rent, "own": three.cheapest_own}[tenure]
    assert best == min(have, key=lambda x: x[1].all.central)[0].accelerator


def test_a_chip_that_nobody_rents(three: Answer) -> None:
    row = three.rows[2]
    assert row.accelerator == "jalapeno"
    assert row.rent is None
    assert row.not_rented == f"nobody rents {row.name}"
    assert row.own is not None
    assert row.evidence == "claimed"
    assert any(row.name in f and "No independent measurement" in f for f in three.findings)


def test_pareto_points_trade_speed_for_cost(three: Answer) -> None:
    for row in three.rows:
        points = [p for p in three.pareto if p.accelerator == row.accelerator]
        assert len(points) > 5
        speeds = [p.tokens_per_s_per_user for p in points]
        chips = [p.tokens_per_s_per_chip for p in points]
        assert speeds == sorted(speeds, reverse=True)
        assert chips == sorted(chips)
        assert max((p.tokens_per_s_per_chip for p in points if p.meets_targets), default=0.0) <= (
            row.tokens_per_s_per_chip.central * 1.001
        )


def test_operators_stay_under_their_roof(three: Answer) -> None:
    roofs = {r.accelerator: r for r in three.roofs}
    assert set(roofs) == {three.cheapest_rent, three.cheapest_own}
    for p in three.operators:
        roof = roofs[p.accelerator]
        assert p.achieved_flop_per_s <= p.flop_per_byte * roof.memory_bytes_per_s * (1 + 1e-9)
        assert p.achieved_flop_per_s <= max(roof.peak_flop_per_s.values())
    for phase in ("decode", "prefill"):
        # The rest are collectives and launches, which are on no roof.
        assert 0.5 < sum(p.time_frac for p in three.operators if p.phase == phase) / len(roofs) <= 1


# -- seeds and independence ----------------------------------------------------------------------------------------


def central(row: Row) -> list[float]:
    return [r.central for r in ranges(row)]


def test_a_seed_decides_the_samples_and_nothing_else(ask: Ask, small: Small, three: Answer) -> None:
    chips = ("h100-sxm", "tpu-v7", "jalapeno")
    again = ask(small(chips) + "\n# the same, asked anew\n")
    assert again is not three
    assert again == three
    other = ask(small(chips, seed=2))
    for a, b in zip(three.rows, other.rows, strict=True):
        assert central(a) == central(b)
        assert a.own.all.p90 != b.own.all.p90  # type: ignore[union-attr]


def without_comparison(row: Row) -> Row:
    def alone(price: Any) -> Any:
        return price and dataclasses.replace(price, cheapest_frac=0.0)

    return dataclasses.replace(row, rent=alone(row.rent), own=alone(row.own))


def test_rows_do_not_hang_on_their_neighbours(ask: Ask, small: Small, three: Answer) -> None:
    mixed = ask(small(("jalapeno", "h100-sxm", "tpu-v7")))
    assert {r.accelerator: r for r in mixed.rows} == {r.accelerator: r for r in three.rows}
    assert [r.accelerator for r in mixed.rows] == ["jalapeno", "h100-sxm", "tpu-v7"]
    alone = ask(small(("tpu-v7",)))
    assert without_comparison(alone.rows[0]) == without_comparison(three.rows[1])


def test_a_refused_row_leaves_the_others(ask: Ask, small: Small, three: Answer, facts: Facts) -> None:
    incomplete = next(a for a in facts.accelerators() if a.missing)
    found = ask(small(("groq-lpu-v1", "h100-sxm", incomplete.id)))
    small_chip, h100, unknown = found.rows
    assert "does not fit" in small_chip.refusal
    assert "cannot be timed" in unknown.refusal
    assert without_comparison(h100) == without_comparison(three.rows[0])
    assert sum(f.startswith((small_chip.name, unknown.name)) for f in found.findings) == 2
    assert found.cheapest_own == "h100-sxm"


# -- facts of one's own ----------------------------------------------------------------------------------------------


def mine(name: str, value: str, chip: str = "h100-sxm", **fields: str) -> str:
    more = "".join(f'{k} = "{v}"\n' for k, v in fields.items())
    return f'[[{chip}.{name}]]\nvalue = "{value}"\nsource = "my own"\nas_of = "2026-09"\nkind = "estimated"\n{more}'


def test_my_own_fact_is_used_and_named(ask: Ask, small: Small, three: Answer, price: Find) -> None:
    found = ask(small(), mine("rent_3yr", "4.00 USD/h", vintage="2026-09"))
    assert three.user_facts == ()
    (said,) = found.user_facts
    assert said.startswith("h100-sxm.rent_3yr@2026-09 = 4 USD/h (")
    assert any(s.user and s.key == "h100-sxm.rent_3yr@2026-09" for s in found.sources)
    assert price(found, "h100-sxm", "rent").hourly.central == 4.0
    assert price(found, "h100-sxm", "rent").all.central == pytest.approx(
        2 * price(three, "h100-sxm", "rent").all.central, rel=1e-9
    )
    assert price(found, "h100-sxm", "own") == dataclasses.replace(
        price(three, "h100-sxm", "own"), cheapest_frac=price(found, "h100-sxm", "own").cheapest_frac
    )


@pytest.mark.parametrize(
    ("name", "steps", "tenures"),
    [
        ("memory_bandwidth", ("3.4 TB/s", "3.6 TB/s", "5 TB/s"), TENURES),
        ("compute_fp8", ("1979 TFLOP/s", "2100 TFLOP/s", "4000 TFLOP/s"), TENURES),
        ("memory_capacity", ("80 GB", "96 GB", "160 GB"), TENURES),
        ("scale_up_bandwidth", ("450 GB/s", "600 GB/s", "900 GB/s"), TENURES),
        ("rent_3yr", ("2 USD/h", "1.99 USD/h", "0.5 USD/h"), ("rent",)),
        ("price_chip", ("28000 USD", "27000 USD", "10000 USD"), ("own",)),
        ("all_in_power", ("1.4 kW", "1.3 kW", "1 kW"), ("own",)),
    ],
)
def test_better_or_cheaper_never_makes_a_token_dearer(
    ask: Ask, small: Small, price: Find, name: str, steps: tuple[str, ...], tenures: tuple[str, ...]
) -> None:
    """Of an H100 with a little more bandwidth than the one whose kernels were measured, so that its figures count."""
    dated = {"vintage": "2026-09"} if name in ("rent_3yr", "all_in_power") else {}
    other = "" if name == "memory_bandwidth" else mine("memory_bandwidth", "3.4 TB/s")
    found = [ask(small(), mine(name, value, **dated) + other) for value in steps]
    for tenure in tenures:
        cost = [price(a, "h100-sxm", tenure).all.central for a in found]
        assert cost == sorted(cost, reverse=True)
        assert cost[-1] < cost[0] or name == "memory_capacity"


@pytest.mark.parametrize("demand", [1, 5])
def test_a_small_demand_takes_a_small_fleet(ask: Ask, small: Small, demand: int) -> None:
    """No more chips than the same demand's share of a large fleet, and the replicas that whole numbers take."""
    found = ask(small(("b200-sxm",)).replace("200 Gtokens/day", f"{demand} Gtokens/day"))
    large = ask(small(("b200-sxm",)))
    share = large.rows[0].chips.central * demand / 200
    assert found.rows[0].chips.central <= math.ceil(share) + 1
    assert found.rows[0].chips_per_replica_count <= 2


def test_an_early_vintage_says_what_is_missing(ask: Ask, small: Small, price: Find) -> None:
    then = ask(small(("h100-sxm", "tpu-v7", "jalapeno")).replace('"2026-09"', '"2026-04"'))
    assert price(then, "h100-sxm", "rent").basis == "rent_3yr 2026-04"
    assert price(then, "h100-sxm", "rent").hourly.central == 1.3
    for row in then.rows:
        assert (row.rent is None) == bool(row.not_rented)
        assert (row.own is None) == bool(row.not_owned)
    assert not any("as asked" in f for f in then.findings)


def test_a_price_of_much_later_is_said_first(ask: Ask, small: Small, price: Find) -> None:
    """One known price of the asked month lets the study go on; the others are of years after."""
    early = mine("price_chip", "20000 USD", chip="h200-sxm", as_of="2022-06")
    early = early.replace('as_of = "2026-09"\n', "")
    found = ask(small(("h100-sxm", "h200-sxm")).replace('"2026-09"', '"2023-01"'), early)
    assert found.cheapest_rent == ""
    assert "the first price is of" in found.rows[0].not_rented
    assert "None of the accelerators can be rented." in found.findings
    assert price(found, "h100-sxm", "own").date == "2026-02"
    assert price(found, "h200-sxm", "own").date == "2022-06"
    (said,) = (f for f in found.findings if "as asked" in f)
    assert said == (
        "These owned costs are not of 2023-01, as asked, but rest on prices of up to 37 months later: "
        "H100 SXM5 2026-02."
    )


def test_a_vintage_before_all_prices_is_refused(ask: Ask, small: Small) -> None:
    with pytest.raises(StudyError) as error:
        ask(small(("h100-sxm", "tpu-v7")).replace('"2026-09"', '"2019-01"'))
    assert re.search(
        r"q\.toml:\d+: \[prices\] vintage: no price of the accelerators is known for 2019-01; the first is of 2026-02 "
        r"\(H100 SXM5\): ask for that month or a later one$",
        str(error.value),
    )


def test_prices_name_their_facts(three: Answer) -> None:
    known = {s.key for s in three.sources}
    for p in prices(three):
        assert p.facts
        assert set(p.facts) <= known
    assert three.rows[0].rent is not None
    assert three.rows[0].rent.facts == ("h100-sxm.rent_3yr@2026-09",)
    assert three.rows[0].rent.date == "2026-09"


def test_findings_read_well(three: Answer) -> None:
    assert not any(re.search(r"\d%", f) for f in three.findings)
    (pays,) = (f for f in three.findings if f.startswith("Owning"))
    assert re.fullmatch(r"Owning the cheapest chip costs \d+ % (less|more) than renting the cheapest\.", pays)


def test_a_central_value_outside_its_range_is_noted(three: Answer) -> None:
    for row in three.rows:
        r = row.tokens_per_s_per_chip
        assert r is not None
        noted = any("outside P10 to P90 for" in n and "tokens/s per chip" in n for n in row.notes)
        assert noted == (not 0.995 * r.p10 <= r.central <= 1.005 * r.p90)
    low = Range(1.0, 2.0, 1.5, "s")
    assert _outside(dataclasses.replace(three.rows[0], ttft=low))[0] == "TTFT"


def test_drivers_are_strongest_first_and_have_two_ends(three: Answer) -> None:
    shares = [d.variance_share_frac for d in three.drivers]
    assert shares
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) < 1.3  # ranks of independent inputs, up to chance
    assert all(d.at_low > 0 and d.at_high > 0 and d.measure == "usd_per_token" for d in three.drivers)
    assert three.driver_outcome.startswith("owned USD per token on ")
