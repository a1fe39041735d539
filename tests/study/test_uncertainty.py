"""The chain from facts to the cost of a token on a surface, against the same chain computed sample by sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pages import alike

from scoville import traffic, transformer
from scoville.economics.sensitivity import Bar, Sobol, sobol, streams, tornado
from scoville.economics.surface import fit
from scoville.errors import StudyError
from scoville.facts import Draws, Facts
from scoville.study.deploy import Choice, choose
from scoville.study.own_capacity import Capacity
from scoville.study.own_model import OwnModel
from scoville.study.own_question import read_own
from scoville.study.pricing import Terms
from scoville.study.question import read_question
from scoville.study.run import _workload
from scoville.study.uncertainty import Chain

ROOT = Path(__file__).resolve().parents[2]
CHIPS = {"h100-sxm": "H100", "gb300-nvl72": "GB300", "jalapeno": "Jalapeño"}
SAMPLES, SMALL, SHOWN = 10_000, 500, 8


@pytest.fixture(scope="module")
def chains(facts: Facts) -> dict[str, tuple[Chain, Chain]]:
    """Computed, and on a surface of 300 points, by chip."""
    file = read_question(ROOT / "studies" / "own-the-token.toml")
    q = file.question
    trace, model = traffic.load(file.resolve(q.traffic.trace)), transformer.load(file.resolve(q.model.config))
    work = _workload(q, trace, model, facts)
    found = {}
    for chip in CHIPS:
        choice = choose(facts.accelerator(chip), facts, work)
        assert isinstance(choice, Choice)
        computed = Chain(choice, facts, work, Terms.of(q, work.shape), "own")
        found[chip] = computed, computed.with_surface(300)
    return found


@pytest.fixture(scope="module")
def shares(chains: dict[str, tuple[Chain, Chain]]) -> Sobol:
    usd = chains["jalapeno"][1].usd_per_token
    return sobol(usd, tuple(streams(usd)), 4096, 1, "usd_per_token")


@pytest.fixture(scope="module")
def bars(chains: dict[str, tuple[Chain, Chain]]) -> tuple[Bar, ...]:
    usd = chains["jalapeno"][1].usd_per_token
    return tornado(usd, tuple(streams(usd)), "usd_per_token")


def percentiles(values: Any) -> Any:
    return np.percentile(values, (10, 50, 90))


def test_the_surface_gives_the_range_that_computing_gives(chains: dict[str, tuple[Chain, Chain]]) -> None:
    for chip, (computed, quick) in chains.items():
        direct, fast = (percentiles(c.usd_per_token(Draws(1, SMALL))) for c in (computed, quick))
        assert fast == pytest.approx(direct, rel=0.03), chip


def test_the_error_told_is_that_on_other_samples(chains: dict[str, tuple[Chain, Chain]]) -> None:
    draws = Draws(77, SMALL)
    for chip, (computed, quick) in chains.items():
        assert quick.surface is not None
        truth = computed.capacity(draws)
        ok = np.isfinite(truth)
        made = float(np.sqrt(np.mean((quick.surface.at(draws)[ok] / truth[ok] - 1) ** 2)))
        assert made == pytest.approx(quick.surface.error.central, rel=0.4), chip


def test_shared_drivers_move_every_part_of_the_chain_together(chains: dict[str, tuple[Chain, Chain]]) -> None:
    computed, quick = chains["jalapeno"]
    assert {*streams(computed.usd_per_token), "surface capacity of jalapeno"} == set(streams(quick.usd_per_token))
    assert {"wacc", "electricity", "it-life"} <= set(streams(quick.usd_per_token))
    assert np.array_equal(quick.usd_per_token(Draws(1, 50)), quick.usd_per_token(Draws(1, 50)))


def test_indices_and_tornado_name_the_same_first_input(shares: Sobol, bars: tuple[Bar, ...]) -> None:
    assert bars[0].name == shares.indices[0].name
    assert -0.05 < shares.interaction_frac < 0.3
    error = next(i for i in shares.indices if i.name.startswith("surface"))
    assert error.total_frac < 0.01, "the surface's own error decides the answer"


def test_the_cost_of_owning_over_years_is_fitted_like_a_token_s(facts: Facts) -> None:
    file = read_own(ROOT / "studies" / "own-jalapeno.toml")
    known = {
        o.chip: Capacity(o.chip, o.chip, 6000.0, 7000.0, 8000.0, 8.0, "for a test")
        for o in file.question.option
        if o.chip
    }
    bought = next(o.name for o in file.question.option if o.kind == "buy")

    def cost(draws: Draws) -> Any:
        model = OwnModel(file, facts, draws, known)
        return -model.npv_usd(model.options(names=(bought,))[bought])

    surface = fit(cost, bought, "usd", points=200)
    draws = Draws(8, 300)
    made = surface.at(draws) / cost(draws) - 1
    assert surface.error.central == pytest.approx(float(np.sqrt(np.mean(made**2))), rel=0.5), "not the error made"
    assert percentiles(surface.sample(draws)) == pytest.approx(percentiles(cost(draws)), rel=0.1)


def test_a_chip_that_is_not_offered_is_refused(chains: dict[str, tuple[Chain, Chain]]) -> None:
    computed, quick = chains["jalapeno"]
    with pytest.raises(StudyError, match="jalapeno is not offered: "):
        Chain(computed.choice, computed.facts, computed.work, computed.terms, "rent", quick.surface).usd_per_token(
            Draws(1, 3)
        )


def test_the_page_has_these_figures(
    chains: dict[str, tuple[Chain, Chain]], shares: Sobol, bars: tuple[Bar, ...]
) -> None:
    text = (ROOT / "docs" / "uncertainty.md").read_text(encoding="utf-8")
    for row in (*chain_rows(chains), *share_rows(shares, bars)):
        assert alike(row, text), f"docs/uncertainty.md lacks or contradicts: {row}"


def three(values: Any) -> str:
    return " / ".join(f"{v * 1e6:.3f}" for v in values)


def chain_rows(chains: dict[str, tuple[Chain, Chain]]) -> list[str]:
    rows = []
    for chip, (computed, quick) in chains.items():
        assert quick.surface is not None
        e = quick.surface.error
        many, same, direct = (
            percentiles(c.usd_per_token(Draws(1, n))) for c, n in ((quick, SAMPLES), (quick, SMALL), (computed, SMALL))
        )
        rows.append(
            f"| {CHIPS[chip]} | {100 * e.central:.1f} % ({100 * e.p10:+.1f} to {100 * e.p90:+.1f}) | "
            f"{three(many)} | {three(same)} | {three(direct)} |"
        )
    return rows


def share_rows(shares: Sobol, bars: tuple[Bar, ...]) -> list[str]:
    at = {b.name: b for b in bars}
    return [
        f"| {i.name} | {100 * i.first_frac:.0f} ± {100 * i.first_error_frac:.0f} | "
        f"{100 * i.total_frac:.0f} ± {100 * i.total_error_frac:.0f} | "
        f"{at[i.name].at_low * 1e6:.3f} | {at[i.name].at_high * 1e6:.3f} |"
        for i in shares.indices[:SHOWN]
    ]
