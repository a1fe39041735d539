"""What is expected of ranks that wait for each other: the steady state of one rank, less of several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scoville import traffic, transformer
from scoville.facts import Draws, Facts
from scoville.serving.batch import batch_sizes
from scoville.study import read_question, run
from scoville.study.deploy import Choice, Deployment, choose
from scoville.study.lockstep import _own_frac, expected_per_s
from scoville.study.replay import Replays, _highest
from scoville.timing import chips
from scoville.transformer.step import Parallelism


@pytest.fixture(scope="module")
def work(small: Callable[..., str], facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> run.Workload:
    path = tmp_path_factory.mktemp("lockstep") / "q.toml"
    path.write_text(small(study="deepseek-r1"))
    q = read_question(path).question
    return run._workload(q, traffic.load(q.traffic.trace), transformer.load(q.model.config), facts)


@pytest.fixture(scope="module")
def of(work: run.Workload, facts: Facts) -> Callable[[Parallelism], tuple[Deployment, np.ndarray]]:
    on = chips(facts.accelerator("gb300-nvl72"), facts, Draws.central())

    def found(p: Parallelism) -> tuple[Deployment, np.ndarray]:
        d = Deployment(p, work.steady(p, on, batch_sizes(2000)))
        return d, expected_per_s(d, on, work)

    return found


def ranks(count: int) -> Parallelism:
    return Parallelism(tensor=1, attention_data=count, expert=count)


def test_one_rank_waits_for_nobody(of: Callable[[Parallelism], tuple[Deployment, np.ndarray]]) -> None:
    d, expected = of(Parallelism(tensor=8))
    assert np.array_equal(expected, d.served_per_s())


def test_more_ranks_wait_more(of: Callable[[Parallelism], tuple[Deployment, np.ndarray]]) -> None:
    shares = []
    for p in (ranks(4), ranks(8), ranks(16), ranks(32)):
        d, expected = of(p)
        assert np.all(expected <= d.served_per_s())
        shares.append(float(expected.max() / d.served_per_s().max()))
    assert shares == sorted(shares, reverse=True)
    assert 0 < shares[-1] < 0.3 < shares[0] < 0.8


def test_attention_is_a_rank_s_own_and_experts_are_not(work: run.Workload, facts: Facts) -> None:
    on = chips(facts.accelerator("gb300-nvl72"), facts, Draws.central())
    d = Deployment(ranks(8), work.steady(ranks(8), on, batch_sizes(2000)))
    assert 0.2 < _own_frac(d, on, work) < 0.9


@pytest.mark.parametrize("chip", ["gb300-nvl72"])
def test_a_replay_finds_about_as_much(work: run.Workload, facts: Facts, chip: str) -> None:
    """A stretch of the trace, on those with several ranks: within a quarter, of which the steady state is far."""
    choice = choose(facts.accelerator(chip), facts, work)
    assert isinstance(choice, Choice)
    replays = Replays(traffic.load("azure-2023-conv"), facts, work)
    several = [d for d in choice.candidates if d.parallelism.attention_data in (2, 4, 8)]
    assert several
    for d in several[:2]:
        expected = choice.expected_frac[d.parallelism]
        bench = replays._bench(choice.accelerator, d, expected).short()
        load, _ = _highest(bench.replay, work.targets, expected, bench.replay(expected))
        assert load == pytest.approx(expected, rel=0.25)
        assert load < 0.75
