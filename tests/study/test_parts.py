"""Pieces of a study by themselves: drivers of a made-up outcome, the merit of deployments, the bundled files."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scoville import traffic, transformer
from scoville.facts import Draws, Fact, Facts
from scoville.study import Answer, read_question, run
from scoville.study.deploy import choose, sample
from scoville.study.drivers import RecordedDraws, drivers, ranks

Ask = Callable[..., Answer]
SHIPPED = sorted((Path(__file__).resolve().parents[2] / "studies").glob("*.toml"))
STUDIES = [path for path in SHIPPED if "[accelerators]" in path.read_text("utf-8")]  # other questions have other tables
EIGHT = {"h100-sxm", "h200-sxm", "b200-sxm", "gb300-nvl72", "mi355x", "tpu-v7", "vr200-nvl72", "jalapeno"}


def fact(subject: str, name: str, low: float, high: float, driver: str = "") -> Fact:
    middle = (low + high) / 2
    return Fact(subject, name, middle, low, high, "usd", "USD", "test", "2026-09", "estimated", driver=driver)


def test_drivers_of_an_outcome_that_is_known() -> None:
    """y = 10 a + 3 b - 0 c: a explains 100 / 109 of the variance, b 9 / 109 (equal distributions, near enough)."""
    draws = RecordedDraws(7, 4000)
    a = draws.sample(fact("chip", "a", 0, 1))
    b = draws.sample(fact("x", "price", 0, 1, driver="hbm-price"))
    assert np.array_equal(b, draws.sample(fact("y", "price", 0, 1, driver="hbm-price")))
    draws.sample(fact("chip", "c", 0, 1))
    draws.sample(fact("chip", "fixed", 1, 1))
    found = drivers(draws, 10 * a + 3 * b, "usd")
    assert [d.name for d in found] == ["chip.a", "hbm-price"]
    assert found[0].variance_share_frac == pytest.approx(100 / 109, abs=0.02)
    assert found[1].variance_share_frac == pytest.approx(9 / 109, abs=0.02)
    assert found[1].label == "hbm price (2 facts)"
    assert found[0].label == "chip: a"
    # The lowest tenth of a triangular draw on (0, 1) has a mean of 0.149, the middle 0.5.
    assert found[0].at_low == pytest.approx(1.49 + 1.5, abs=0.05)
    assert found[0].at_high == pytest.approx(8.51 + 1.5, abs=0.05)
    assert [f.name for f in draws.asked] == ["a", "price", "price", "c", "fixed"]


def test_samples_without_an_outcome_are_left_out() -> None:
    draws = RecordedDraws(7, 1000)
    a = draws.sample(fact("chip", "a", 0, 1))
    assert [d.name for d in drivers(draws, np.where(a > 0.8, np.nan, a), "usd")] == ["chip.a"]
    assert drivers(draws, np.full(1000, np.nan), "usd") == ()
    assert drivers(draws, np.random.default_rng(1).random(1000), "usd") == ()


def test_recorded_draws_are_the_draws_themselves() -> None:
    one = fact("chip", "a", 0, 1)
    assert np.array_equal(RecordedDraws(3, 50).sample(one), Draws(3, 50).sample(one))


def test_ranks() -> None:
    assert ranks(np.array([3.0, 1.0, 2.0])).tolist() == [2, 0, 1]


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_bundled_studies_answer_for_eight_chips(path: Path, ask: Ask, small: Callable[..., str]) -> None:
    question = read_question(path).question
    assert set(question.accelerators.compare) >= EIGHT
    assert question.uncertainty.samples >= 1000
    found = ask(small(question.accelerators.compare, study=path.stem))
    assert [r.refusal for r in found.rows] == [""] * len(found.rows)
    assert found.cheapest_rent and found.cheapest_own
    assert found.waterfall is not None
    assert all(r.rent or r.not_rented for r in found.rows)
    assert all(r.own or r.not_owned for r in found.rows)
    # The order of years: a newer chip of the same maker serves more tokens per chip. Replays
    # find the highest load of a few shardings each, to 3 %, and of their order a stretch of the requests decides.
    speed = {r.accelerator: r.tokens_per_s_per_chip.central for r in found.rows if r.tokens_per_s_per_chip}
    years = [speed[id] for id in ("h100-sxm", "h200-sxm", "b200-sxm", "gb300-nvl72", "vr200-nvl72")]
    assert all(newer > 0.95 * older for older, newer in pairwise(years))
    assert years[-1] > years[2] > years[0]


def test_mxfp4_experts_are_multiplied_in_what_the_chip_has(ask: Ask, small: Callable[..., str]) -> None:
    """FP8 activations are asked for: Hopper has no rate for FP4 weights beside them, and widens them to bf16."""
    asked = next(p for p in STUDIES if p.stem == "gpt-oss-120b")  # as above, which answers it once
    found = ask(small(read_question(asked).question.accelerators.compare, study=asked.stem))
    pairs = {r.accelerator: r.computes_in for r in found.rows}
    wide, narrow = "fp4 x bf16", "fp4 x fp8"
    assert {c for c, pair in pairs.items() if pair == wide} == {"h100-sxm", "h200-sxm", "tpu-v7"}
    assert {c for c, pair in pairs.items() if pair == narrow} == EIGHT - {"h100-sxm", "h200-sxm", "tpu-v7"}
    for row in found.rows:
        assert any("computed in fp4 x bf16" in n for n in row.notes) == (row.computes_in == wide)


def test_three_models_ship() -> None:
    assert {read_question(p).question.model.config for p in STUDIES} >= {"llama-3.1-70b", "gpt-oss-120b", "deepseek-r1"}


def test_samples_find_the_central_deployment_again(facts: Facts, small: Callable[..., str], tmp_path: Path) -> None:
    """With every fact at its value, the coarse grid of the samples comes within 2 % of every integer: curves of
    measured kernels have steps at their tiles."""
    (tmp_path / "q.toml").write_text(small())
    q = read_question(tmp_path / "q.toml").question
    work = run._workload(q, traffic.load(q.traffic.trace), transformer.load(q.model.config), facts)
    for chip in ("h100-sxm", "vr200-nvl72", "jalapeno"):
        choice = choose(facts.accelerator(chip), facts, work)
        assert not isinstance(choice, str)
        one = sample(choice, facts, Draws.central(), work)
        rate = float(choice.deployment.state.requests_per_s[0, choice.best])
        central = rate / choice.deployment.parallelism.chips
        assert float(one.requests_per_s[0] / one.chips_per_replica_count[0]) == pytest.approx(central, rel=0.02)
        assert one.meets.all()
        # Fewer chips decide, then requests per chip.
        assert float(work.merit(np.array(rate), 4)) > float(work.merit(np.array(rate), 8))
        assert float(work.merit(np.array(0.0), 1)) == -np.inf
