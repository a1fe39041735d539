"""A question of owning: what it refuses, and that its answer is what the flows come to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoville.errors import StudyError
from scoville.facts import Draws, Facts, load
from scoville.study.own import break_even, own_answer
from scoville.study.own_answer import OwnAnswer
from scoville.study.own_capacity import capacities
from scoville.study.own_model import OwnModel
from scoville.study.own_question import ScenarioTable, read_own

STUDY = """
title = "t"
wait = "1 years"
[time]
start = "2026-Q4"
horizon = "8 years"
[demand]
first = "4 Ttokens/day"
growth = ["50 %", "20 %"]
peak_to_average = 1.5
weekend = "85 %"
headroom = "10 %"
highest_utilisation = "80 %"
[capacity]
gb300-nvl72 = "7,270 tokens/s"
jalapeno = "7,850 tokens/s"
[ownership]
owner = "hyperscaler"
[training]
spend = "500 MUSD"
[[option]]
name = "Rent"
kind = "rent"
chip = "gb300-nvl72"
[[option]]
name = "Buy"
kind = "buy"
chip = "gb300-nvl72"
rest = "Rent"
[[option]]
name = "Build"
kind = "build"
chip = "jalapeno"
design = "jalapeno"
rest = "Rent"
begun = "2024-10"
tape_out = "2025-11"
first_chips = "2027-Q4"
successors = true
[[scenario]]
name = "vendor takes 30 % off"
merchant_price = 0.7
[[scenario]]
name = "stopped"
cancelled = true
[uncertainty]
samples = 100
"""


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


@pytest.fixture(scope="module")
def answered(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> OwnAnswer:
    return own_answer(read_own(written(tmp_path_factory.mktemp("own"), STUDY)), facts)


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def central(folder: Path, facts: Facts, text: str = STUDY) -> OwnModel:
    file = read_own(written(folder, text))
    return OwnModel(file, facts, Draws.central(), capacities(file, facts))


def test_lines_add_up_to_the_present_value(answered: OwnAnswer) -> None:
    for option in answered.options:
        lines = [x for x in answered.lines if x.option == option.name]
        assert sum(x.present_usd for x in lines) == pytest.approx(option.npv.central), option.name


def test_receivers_share_all_of_it(answered: OwnAnswer) -> None:
    for option in answered.options:
        shares = [r.share_frac for r in answered.receivers if r.option == option.name]
        assert sum(shares) == pytest.approx(1), option.name
    rent = {r.receiver: r.share_frac for r in answered.receivers if r.option == "Rent"}
    # 2.747 USD/h that a GB300 costs a neocloud, of a rent of 5.00 (docs/cost.md: 2.75)
    assert rent["landlord's cost"] == pytest.approx(2.75 / 5, abs=0.01)


def test_present_value_is_discounted_by_hand(answered: OwnAnswer) -> None:
    (rent, *_), wacc = answered.options, 0.08
    flows = np.sum([x.quarters_usd for x in answered.lines if x.option == rent.name], axis=0)
    by_hand = sum(float(f) / (1 + wacc) ** ((k + 1) / 4) for k, f in enumerate(flows))
    assert rent.npv.central == pytest.approx(by_hand)


def test_break_even_is_where_the_difference_is_nothing(tmp_path: Path, facts: Facts, answered: OwnAnswer) -> None:
    model = central(tmp_path, facts)
    found = next(b for b in answered.break_even if b.against == "Rent")
    first = model.file.question.demand.first
    for scale, claim in ((found.demand_tokens_per_s / first, None), (1.0, found.claim_frac)):
        worth = [float(model.npv_usd(o)[0]) for n, o in model.options(scale=scale, claim=claim).items() if n != "Buy"]
        assert abs(worth[1] - worth[0]) < 0.01 * abs(worth[0]), (scale, claim)
    assert found.chips_count > 0 and 0 < found.claim_frac < 1


def test_a_better_chip_and_cheaper_silicon_are_worth_more(tmp_path: Path, facts: Facts) -> None:
    model = central(tmp_path, facts)

    def worth(**changed: Any) -> float:
        scenario = ScenarioTable(name="s", **changed)
        return float(model.npv_usd(model.options(scenario, names=("Build",))["Build"])[0])

    assert worth(claim_share=0.5) < worth(claim_share=0.8) < worth(claim_share=1.0)
    assert worth(own_price=1.5) < worth() < worth(own_price=0.5)
    assert worth(delay="1 years") < worth()


def test_regret_is_counted_from_the_best_of_each_scenario(answered: OwnAnswer) -> None:
    assert [r.scenario for r in answered.regret] == [
        "as planned", "vendor answers with 15% off", "vendor takes 30 % off", "stopped",
    ]  # fmt: skip
    for row in answered.regret:
        assert min(row.regret_usd) == 0 and max(row.npv_usd) - row.npv_usd[0] == pytest.approx(row.regret_usd[0])
    stopped = answered.regret[3]
    rent, _, build = stopped.npv_usd
    assert build == pytest.approx(rent), "silicon is there before the start: who stops then pays no more, and rents"
    planned, cheaper, *_ = answered.regret
    assert cheaper.npv_usd[0] > planned.npv_usd[0], "a vendor who takes less makes renting cheaper"


def test_rights_are_worth_at_least_nothing(answered: OwnAnswer) -> None:
    (choice,) = answered.choices
    assert choice.against in ("Rent", "Buy")
    assert choice.abandonment_usd >= 0 and choice.deferral_usd >= 0


def test_samples_hold_stopped_chips_and_the_centre_does_not(answered: OwnAnswer) -> None:
    build = next(o for o in answered.options if o.name == "Build")
    assert build.npv.p10 < build.npv.central
    assert sum(o.cheapest_frac for o in answered.options) == pytest.approx(1)
    assert answered.options[0].overtakes.startswith("20")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('first_chips = "2027-Q4"', 'first_chips = "2025-Q4"', ("first_chips = 2025-Q4", "[time] start = 2026-Q4")),
        ('tape_out = "2025-11"', 'tape_out = "2028-02"', ("first_chips = 2027-Q4", "tape_out = 2028-02", "ramp")),
        ('begun = "2024-10"\ntape_out = "2025-11"\n', "", ("first_chips = 2027-Q4", "[time] start = 2026-Q4")),
        ('begun = "2024-10"\n', 'begun = "2027-01"\n', ("begun = 2027-01", "[time] start = 2026-Q4")),
        ('horizon = "8 years"', 'horizon = "1 years"', ("[time] horizon", "first_chips", "ends in 2027-Q4")),
        ("peak_to_average = 1.5", "peak_to_average = 1.01", ("[demand] peak_to_average", "[demand] weekend")),
        ('rest = "Rent"\nbegun', 'rest = "Rent"\nterm = "1yr"\nbegun', ("option 'Build': term", 'kind = "build"')),
        ('kind = "rent"\n', 'kind = "rent"\nterm = "on_demand"\nprepaid = "20 %"\n', ("prepaid", 'term = "on_demand"')),
    ],
)  # fmt: skip
def test_terms_that_clash_are_refused_by_their_two_names(
    tmp_path: Path, facts: Facts, old: str, new: str, parts: tuple[str, ...]
) -> None:
    assert old in STUDY
    with pytest.raises(StudyError) as refused:
        own_answer(read_own(written(tmp_path, STUDY.replace(old, new, 1))), facts)
    assert all(part in str(refused.value) for part in ("clash", *parts)), str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("successors = true", 'successors = true\nclaim_share = "120 %"', "option 'Build': claim_share"),
        ('kind = "rent"\n', 'kind = "rent"\nhourly = "-2 USD/h"\n', "option 'Rent': hourly"),
        ('rest = "Rent"\nbegun', 'rest = "Lease"\nbegun', "rest is 'Lease', which is no option of kind rent"),
        ('first = "4 Ttokens/day"', 'first = "4 GB"', "[demand] first"),
        ('kind = "buy"', 'kind = "buy"\nprize = "3 USD"', "prize is not a setting; did you mean 'price'"),
        ('title = "t"', "", "title is missing"),
        ('start = "2026-Q4"', 'start = "2026-Q5"', "expected a quarter such as '2026-Q4'"),
        ('growth = ["50 %", "20 %"]', 'growth = ["-100 %"]', "above -100 %"),
        ('name = "Buy"', 'name = "Rent"', "two options are called 'Rent'"),
        ('jalapeno = "7,850 tokens/s"', 'h100-sxm = "7,850 tokens/s"', "is a chip that no option names"),
        ('jalapeno = "7,850 tokens/s"\n', "", "the file must give [traffic], [model], [precision] and [targets]"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_sentence(
    tmp_path: Path, facts: Facts, old: str, new: str, part: str
) -> None:
    assert old in STUDY
    with pytest.raises(StudyError) as refused:
        own_answer(read_own(written(tmp_path, STUDY.replace(old, new, 1))), facts)
    assert part in str(refused.value) and "\n" not in str(refused.value), str(refused.value)


def test_power_and_ramp_hold_owned_chips_back(tmp_path: Path, facts: Facts) -> None:
    limited = (
        'successors = true\nchips_per_quarter = "1,000 chips"\npower = [["2027-Q4", "20 MW"], ["2030-Q1", "40 MW"]]'
    )
    model = central(tmp_path, facts, STUDY.replace("successors = true", limited))
    build = model.options(names=("Build",))["Build"]
    assert np.diff(build.owned_count[0]).max() <= 1000
    assert build.power_w[0].max() <= 40e6
    assert not math.isnan(break_even(model, "Build", "Rent").claim_frac)


def test_chances_happen_as_often_as_they_are_said_to(tmp_path: Path, facts: Facts) -> None:
    file = read_own(written(tmp_path, STUDY))
    model = OwnModel(file, facts, Draws(1, 4000), capacities(file, facts))
    build = next(o for o in file.question.option if o.kind == "build")
    _, risks = model.programme(build)
    for name, happened in (("cancel_chance", risks.cancelled_frac > 0), ("delay_chance", risks.delay_s > 0)):
        said = model.fact(name).mean()
        # four standard errors of 4,000 draws
        assert happened.mean() == pytest.approx(said, abs=4 * np.sqrt(said * (1 - said) / 4000)), name
