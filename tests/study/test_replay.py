"""The simulator decides: what bursts cost, where it agrees with the steady state, and what is not replayed says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scoville import traffic, transformer
from scoville.errors import DeploymentError
from scoville.facts import Facts
from scoville.serving import engine as engines
from scoville.serving.load import capacity
from scoville.serving.settings import preset
from scoville.serving.simulate import simulate
from scoville.study import Answer, read_question, replay, run
from scoville.study.answer import Replayed, Row
from scoville.study.arrivals import arrivals, rate_tokens_per_s
from scoville.study.deploy import Choice, Deployment, Workload, choose
from scoville.study.findings import sentences
from scoville.study.replay import Replays, engine_settings
from scoville.traffic import Trace

Ask = Callable[..., Answer]
Small = Callable[..., str]
N = 4000
ROOT = Path(__file__).resolve().parents[2]


def azure(arrival: np.ndarray, name: str = "made") -> Trace:
    """As many requests as arrivals, with the lengths of the Azure trace's first."""
    real = traffic.load("azure-2023-conv")
    n = len(arrival)
    return Trace(name, "test", arrival, real.input_tokens[:n], real.output_tokens[:n])


def random_times() -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.random.default_rng(5).exponential(0.2, N - 1))])


@pytest.fixture(scope="module")
def ask_of(ask: Ask, small: Small, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Answer]:
    """ask_of(trace, chips) -> the small study of that trace."""
    folder = tmp_path_factory.mktemp("traces")

    def answer_of(trace: Trace, chips: tuple[str, ...] = ("h100-sxm",)) -> Answer:
        path = folder / f"{trace.name}.parquet"
        traffic.write(trace, path)
        return ask(small(chips).replace('"azure-2023-conv"', f'"{path}"'))

    return answer_of


@pytest.fixture(scope="module")
def work_of(facts: Facts, small: Small, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Trace], Workload]:
    path = tmp_path_factory.mktemp("work") / "q.toml"
    path.write_text(small())

    def work(trace: Trace) -> Workload:
        q = read_question(path).question
        return run._workload(q, trace, transformer.load(q.model.config), facts)

    return work


def replayed(found: Answer, place: int = 0) -> Replayed:
    row = found.rows[place]
    assert row.replayed is not None, row.not_replayed
    return row.replayed


# -- what the replay decides -----------------------------------------------------------------------------------------


def test_bursts_make_tokens_dearer_than_random_times_do(ask_of: Callable[..., Answer]) -> None:
    """The same requests at random times: spread over all of the time, or over every other twenty seconds of it."""
    at_random = ask_of(azure(random_times(), "random"))
    at = random_times()
    bursts = ask_of(azure(at // 40 * 40 + at % 40 / 2, "bursts"))
    one, many = replayed(at_random), replayed(bursts)
    assert bursts.rows[0].own.all.central > 1.3 * at_random.rows[0].own.all.central  # type: ignore[union-attr]
    assert bursts.rows[0].chips.central > at_random.rows[0].chips.central  # type: ignore[union-attr]
    assert many.of_steady_frac < one.of_steady_frac
    # At random times both are the same requests, which the search finds to 3 %; for one of them they come so anyway.
    assert many.random_tokens_per_s_per_chip == pytest.approx(one.random_tokens_per_s_per_chip, rel=0.06)
    assert one.tokens_per_s_per_chip == pytest.approx(one.random_tokens_per_s_per_chip, rel=0.06)
    assert any("the rushes of this trace take" in f for f in bursts.findings)
    assert not any("the rushes of this trace take" in f for f in at_random.findings)


def test_requests_at_equal_gaps_hold_what_the_steady_state_says(ask_of: Callable[..., Answer]) -> None:
    """Real lengths, but neither rushes nor chance, which the estimate reckons with: up to a fifth more."""
    found = ask_of(azure(np.arange(N) * 0.2, "even"), ("h100-sxm", "vr200-nvl72"))
    for place in range(2):
        assert 0.95 < replayed(found, place).of_steady_frac < 1.2
    assert any("this trace comes more evenly" in f for f in found.findings)


def test_the_load_is_what_the_simulator_finds_by_itself(
    three: Answer, facts: Facts, work_of: Callable[..., Workload]
) -> None:
    """`capacity` bisects from the trace's own rate to 1 %, the study interpolates from what it expects to 3 %."""
    trace = traffic.load("azure-2023-conv")
    work = work_of(trace)
    row, r = three.rows[0], replayed(three)
    choice = choose(facts.accelerator(row.accelerator), facts, work)
    assert isinstance(choice, Choice)
    table = work.table(choice.deployment.parallelism)
    assert row.parallelism == str(choice.deployment.parallelism)
    one = engines.engine(choice.accelerator, facts, table, engine_settings(facts, prefix_cache=False))
    load = capacity(trace, lambda t: simulate(t, one, 1), work.targets).load_frac
    own = load * trace.demand_tokens_per_s / choice.deployment.parallelism.chips
    assert r.tokens_per_s_per_chip == pytest.approx(own, rel=0.04)


def test_the_row_is_the_replays(three: Answer) -> None:
    for row in three.rows:
        r = row.replayed
        assert r is not None
        assert not row.not_replayed
        assert row.tokens_per_s_per_chip.central == pytest.approx(r.tokens_per_s_per_chip, rel=1e-9)  # type: ignore[union-attr]
        assert row.ttft.central == r.ttft_percentile_s  # type: ignore[union-attr]
        assert row.tpot.central == r.tpot_percentile_s  # type: ignore[union-attr]
        assert row.tokens_per_s_per_user.central == r.tokens_per_s_per_user  # type: ignore[union-attr]
        assert row.batch_count == round(r.batch_count) < r.steady_batch_count
        assert r.requests == "all 19,366 requests"
        assert r.preempted_frac == 0 and r.most_cache_frac < 1
        assert row.limit == f"latency target ({r.off_target})"
        # Little's law again: sequences in decode, their speed, and the output tokens that a replica serves.
        served = row.output_tokens_per_s_per_chip.central * row.chips_per_replica_count  # type: ignore[union-attr]
        assert r.batch_count * r.tokens_per_s_per_user == pytest.approx(served, rel=0.02)
    assert any("all chips hold" in f and "the costs rest on the replay" in f for f in three.findings)
    assert any(a.startswith("Replay: one replica") for a in three.approximations)
    assert {"engine-vllm.policy", "engine.token_budget"} <= {s.key for s in three.sources}


def test_points_meet_the_targets_up_to_the_load_found(three: Answer) -> None:
    for row in three.rows:
        r = row.replayed
        assert r is not None
        points = [p for p in three.pareto if p.accelerator == row.accelerator]
        met = [p.tokens_per_s_per_chip for p in points if p.meets_targets]
        assert 0.6 * r.tokens_per_s_per_chip < max(met) <= r.tokens_per_s_per_chip * (1 + 1e-9)


def test_the_document_shows_these_loads(three: Answer) -> None:
    """docs/studies.md: chip, sharding, then loads as replayed, at random times and by the steady state."""
    document = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    lines = document.split("<!-- of own-the-token -->")[1].split("\n\n")[1].splitlines()[2:]
    shown = {cells[0]: cells[1:] for line in lines for cells in [[c.strip() for c in line.strip("|").split("|")]]}
    for row in three.rows:
        r = row.replayed
        assert r is not None
        parallelism, *numbers = shown[row.name]
        assert parallelism == row.parallelism
        loads = (r.tokens_per_s_per_chip, r.random_tokens_per_s_per_chip, r.steady_tokens_per_s_per_chip)
        assert [float(n.replace(",", "")) for n in numbers[:3]] == pytest.approx(loads, rel=0.03)
        assert float(numbers[3]) == pytest.approx(100 * r.of_steady_frac, abs=2)


# -- which deployment ------------------------------------------------------------------------------------------------


def fake(loads: dict[str, float]) -> Callable[..., object]:
    """Benches that meet the targets up to a load for each sharding; a negative one is refused."""

    class Bench:
        arrivals = SimpleNamespace(words="made up", at_random=lambda: None)
        engine = None
        is_short = True

        def __init__(self, name: str, steady: float) -> None:
            self.most, self.steady_tokens_per_s = loads[name], steady

        def short(self) -> Bench:
            return self

        def replay(self, load: float) -> object:
            return SimpleNamespace(
                meets=lambda _: load <= self.most,
                ttft_percentile_s=lambda _: 0.1,
                tpot_percentile_s=lambda t: t.tpot_s * load / self.most,
            )

    def bench(self: Replays, _: object, d: Deployment, _expected: float) -> Bench:
        name = str(d.parallelism)
        if loads[name] < 0:
            raise DeploymentError(f"{name}: the simulator does not replay that")
        shape = self.work.shape
        return Bench(name, float(d.state.requests_per_s[0, d.best]) * (shape.input_tokens + shape.output_tokens))

    return bench


@pytest.fixture
def decide(
    facts: Facts, work_of: Callable[[Trace], Workload], monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, float]], Choice]:
    """decide(loads) -> the choice on an H200, where TP4 and TP2 are near each other in the steady state."""
    trace = traffic.load("azure-2023-conv")
    work = work_of(trace)
    choice = choose(facts.accelerator("h200-sxm"), facts, work)
    assert isinstance(choice, Choice)
    assert [str(d.parallelism) for d in choice.candidates[:2]] == ["TP4", "TP2"]

    def decided(loads: dict[str, float]) -> Choice:
        monkeypatch.setattr(Replays, "_bench", fake({str(d.parallelism): 0.5 for d in choice.candidates} | loads))
        monkeypatch.setattr(Replays, "_found", lambda _s, d, b, load, _r: made(load, b.steady_tokens_per_s))
        return Replays(trace, facts, work).decide(choice)

    return decided


def made(load: float, steady: float = 1000.0, random: float = 0.9, **changes: object) -> Replayed:
    whole = Replayed(
        "all 10 requests", 10, 40, steady, steady * random, steady * load, 50.0, 20.0, 0.5, 0.04, 0.0, 0.5, "TPOT"
    )
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


def test_a_runner_up_that_holds_more_is_taken(decide: Callable[..., Choice]) -> None:
    choice = decide({"TP4": 0.7, "TP2": 0.9})
    assert str(choice.deployment.parallelism) == "TP2"
    assert choice.replayed is not None
    assert choice.replayed.of_steady_frac == pytest.approx(0.9, rel=0.03)
    assert choice.load_frac[choice.candidates[0].parallelism] == pytest.approx(0.7, rel=0.03)
    assert choice.requests_per_s == pytest.approx(
        float(choice.deployment.state.requests_per_s[0, choice.best]) * choice.replayed.of_steady_frac
    )


def test_a_runner_up_that_holds_as_little_is_not(decide: Callable[..., Choice]) -> None:
    choice = decide({"TP4": 0.7, "TP2": 0.7})
    assert str(choice.deployment.parallelism) == "TP4"
    # In the samples nothing holds more of its steady state than the one that was replayed.
    assert max(choice.load_frac.values()) == choice.load_frac[choice.deployment.parallelism] <= 0.7


def test_a_runner_up_that_cannot_be_replayed_does_not_win(decide: Callable[..., Choice]) -> None:
    choice = decide({"TP4": 0.6, "TP2": -1.0})
    assert str(choice.deployment.parallelism) == "TP4"
    assert choice.replayed is not None


def test_one_that_misses_the_targets_at_any_load_gives_way(decide: Callable[..., Choice]) -> None:
    choice = decide({"TP4": 0.001, "TP2": 0.3, "TP8": 0.1, "TP1": 0.1})
    assert str(choice.deployment.parallelism) == "TP2"
    assert {str(p) for p in choice.load_frac} == {"TP2"}
    assert str(choice.picked.parallelism) == "TP4"


def test_where_none_can_be_replayed_the_estimate_stays_and_says_why(decide: Callable[..., Choice]) -> None:
    assert str(decide({"TP4": -1.0}).deployment.parallelism) == "TP2"
    choice = decide(dict.fromkeys(("TP1", "TP2", "TP4", "TP8"), -1.0))
    assert choice.deployment is choice.picked
    assert choice.replayed is None
    assert choice.not_replayed == "TP4: the simulator does not replay that"
    assert choice.requests_per_s == float(choice.deployment.state.requests_per_s[0, choice.best])


@pytest.mark.parametrize(("most", "says"), [(0.001, "missed even at"), (1e6, "met even at")])
def test_a_load_without_an_end_is_no_finding(decide: Callable[..., Choice], most: float, says: str) -> None:
    assert says in decide(dict.fromkeys(("TP1", "TP2", "TP4", "TP8"), most)).not_replayed


# -- what is not replayed --------------------------------------------------------------------------------------------


def test_a_refused_deployment_keeps_its_figure_and_says_why(
    ask: Ask, small: Small, three: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise DeploymentError("the simulator does not replay this sharding")

    monkeypatch.setattr(engines, "engine", refuses)
    found = ask(small(("h100-sxm", "tpu-v7")) + "\n# refused\n")
    for row in found.rows:
        assert row.replayed is None
        assert row.not_replayed == "the simulator does not replay this sharding"
        assert row.own is not None
    steady = replayed(three).steady_tokens_per_s_per_chip
    assert found.rows[0].tokens_per_s_per_chip.central == pytest.approx(steady, rel=1e-9)  # type: ignore[union-attr]
    said = (
        "The steady-state estimate stands alone, for H100 SXM5, TPU v7 (Ironwood) (the simulator does not replay this"
    )
    assert any(f.startswith(said) for f in found.findings)
    assert not any(a.startswith("Replay:") for a in found.approximations)


def test_requests_without_arrivals_keep_the_steady_state(ask_of: Callable[..., Answer]) -> None:
    one = ask_of(azure(np.zeros(1), "one")).rows[0]
    same = ask_of(azure(np.zeros(50), "same")).rows[0]
    assert one.not_replayed == "one.parquet has no arrivals to replay: one request"
    assert same.not_replayed == "same.parquet has no arrivals to replay: 50 requests at one moment"
    assert one.tokens_per_s_per_chip is not None and one.own is not None


# -- which requests --------------------------------------------------------------------------------------------------


def test_a_short_trace_follows_upon_itself() -> None:
    short = azure(np.sort(random_times()[:100]), "short")
    some = arrivals(short, 20.0, 1e4)
    assert some.words == "all 100 requests, 4 times over"
    assert len(some.trace) == 400
    assert rate_tokens_per_s(some.trace) == pytest.approx(rate_tokens_per_s(short), rel=1e-9)


def test_of_a_long_trace_a_stretch_is_replayed() -> None:
    """The first half has prompts twice as long: the stretch is one that has both."""
    n = 50_000
    arrival = np.arange(n) * 0.01
    long = Trace("long", "test", arrival, np.where(np.arange(n) < n // 2, 2000, 1000), np.full(n, 100))
    some = arrivals(long, 50.0, 1e9)
    assert some.words == "20,000 requests in a row of 50,000 requests, in lengths and gaps nearest to the whole"
    assert len(some.trace) == 20_000
    assert some.trace.arrival_s[0] == 0
    assert 1400 < some.trace.input_tokens.mean() < 1600


def test_a_replica_gets_its_share_of_a_large_demand() -> None:
    n = 100_000
    large = Trace("large", "test", np.arange(n) * 0.001, np.full(n, 900), np.full(n, 100))
    some = arrivals(large, 50.0, 0.4 * rate_tokens_per_s(large))
    assert some.words.startswith("20,000 requests in a row of a random 40 % of 100,000 requests")
    gaps = np.diff(some.trace.arrival_s)
    assert float(gaps.mean()) == pytest.approx(0.0025, rel=0.03)
    # A random share of even arrivals: geometric gaps, of which the variation is 1 less the share.
    assert float(gaps.var() / gaps.mean() ** 2) == pytest.approx(0.6, abs=0.05)


def test_requests_that_share_prefixes_stay_together() -> None:
    n = 30_000
    trace = Trace(
        "hashed",
        "test",
        np.arange(n) * 0.001,
        np.full(n, 512),
        np.full(n, 10),
        np.arange(n) // 2,
        np.arange(n + 1),
        512,
    )
    some = arrivals(trace, 50.0, 1.0).trace
    assert some.block_hashes is not None and some.block_offsets is not None
    assert len(some) == 20_000
    assert len(np.unique(some.block_hashes)) == pytest.approx(10_000, abs=1)
    assert some.block_offsets[-1] == len(some.block_hashes)


def test_a_prefix_cache_s_finds_are_in_the_notes(ask_of: Callable[..., Answer]) -> None:
    """Every other prompt repeats the one before it, both of 1,024 tokens in two blocks."""
    n, at = 2000, random_times()[:2000]
    ids = np.stack([np.arange(n) // 2 * 2, np.arange(n) // 2 * 2 + 1], axis=1).ravel()
    trace = Trace("pairs", "test", at, np.full(n, 1024), np.full(n, 100), ids, np.arange(n + 1) * 2, 512)
    found = ask_of(trace)
    r = replayed(found)
    assert r.unlimited_cached_frac is not None and r.cached_frac is not None
    assert 0.1 < r.cached_frac <= r.unlimited_cached_frac < 0.6
    assert any("a prefix cache of the replica's size has" in note for note in found.rows[0].notes)


def test_the_rate_is_the_one_asked_for() -> None:
    some = arrivals(azure(random_times()), 50.0, 1e4)
    for one in (some, some.at_random()):
        assert rate_tokens_per_s(one.at(5e3)) == pytest.approx(5e3, rel=1e-9)
    assert some.at_random().trace.duration_s == pytest.approx(some.trace.duration_s)


def test_the_engine_has_the_budget_and_blocks_of_the_steady_state(facts: Facts) -> None:
    settings, usual = engine_settings(facts, prefix_cache=True), preset("vllm", facts)
    assert settings.token_budget == usual.token_budget == facts.get("engine", "token_budget").number
    assert settings.block_tokens == usual.block_tokens == facts.get("engine", "block_tokens").number
    assert settings.prefix_cache
    assert {f.key for f in replay.engine_facts(facts)} == {
        "engine.token_budget", "engine.block_tokens",
        *(f"engine-vllm.{n}" for n in ("policy", "reservation", "max_sequences", "asynchronous", "sequence_time")),
    }  # fmt: skip


# -- in words --------------------------------------------------------------------------------------------------------


def said(three: Answer, *changes: dict[str, object]) -> str:
    rows: list[Row] = [
        dataclasses.replace(row, **change)  # type: ignore[arg-type]
        for row, change in zip(three.rows, changes, strict=True)
    ]
    return " ".join(sentences(tuple(rows), three.cheapest_rent, three.cheapest_own, three.vintage))


def test_differences_are_said_with_their_causes(three: Answer) -> None:
    agrees, apart = {"replayed": made(0.95)}, {"replayed": made(0.6, preempted_frac=0.1, off_target="TTFT")}
    text = said(three, agrees, apart, agrees)
    assert (
        "Replayed with the arrivals of the trace, TPU v7 (Ironwood) holds 60 % of the load that the steady-state "
        "estimate gives, and the costs rest on the replay: at random times the same requests hold 90 % of that "
        "load, as they interrupt each other more than it assumes; the rushes of this trace take 33 % of what is left; "
        "10 % of the requests are preempted, as the cache is full; TTFT stops a higher load."
    ) in text
    own = three.rows[1].own
    assert own is not None
    cached = {"own": dataclasses.replace(own, cached_input=own.input)}
    text = said(three, agrees, apart | cached, agrees)
    assert "interrupt each other more than it assumes and a prefix cache of real size holds less;" in text
    ranks = {"parallelism": "TP1 DP2 EP2"}
    assert "assumes and ranks of data-parallel attention wait for each other;" in said(
        three, agrees, apart | ranks, agrees
    )
    text = said(three, apart, {"replayed": made(1.2, random=1.1)}, agrees)
    assert "at random times the same requests hold 90 to 110 % of that load, as they" in text
    assert "with the rushes and lulls of this trace they hold 67 to 109 % of what is left" in text
    text = said(three, agrees, agrees, {"replayed": made(1.5, random=1.2)})
    assert "holds 150 % of the load" in text
    assert "at random times the same requests hold 120 % of that load, for which the estimate is too careful" in text
    assert "this trace comes more evenly, which gives 25 %" in text


def test_a_winner_by_the_steady_state_is_named(three: Answer) -> None:
    """Two chips whose owner's costs change places."""
    first, second = (next(r for r in three.rows if r.accelerator == id) for id in (three.cheapest_own, "h100-sxm"))
    assert first is not second and first.own is not None and second.own is not None

    def with_cost(row: Row, usd: float) -> dict[str, object]:
        assert row.own is not None
        return {"own": dataclasses.replace(row.own, steady_usd_per_token=usd)}

    changes = [with_cost(r, 1e-9 if r is second else 1e-8) for r in three.rows]
    named = f"By the steady-state estimate alone, {second.name} would have been the cheapest owned"
    assert f"{named}." in said(three, *changes)
    changes[three.rows.index(first)] |= {"replayed": None, "not_replayed": "no"}
    assert f"{named}; no replay corrects the winner's, so that the order may only show that." in said(three, *changes)
    changes = [with_cost(r, 1e-9 if r is first else 1e-8) for r in three.rows]
    assert named not in said(three, *changes)


def test_both_costs_are_kept(three: Answer) -> None:
    """Whole replicas and all: the steady state's fleet is as much smaller as its load is larger."""
    for row in three.rows:
        for price in (row.rent, row.own):
            if price is not None:
                assert row.replayed is not None and price.steady_usd_per_token is not None
                share = price.steady_usd_per_token / price.all.central
                assert share == pytest.approx(row.replayed.of_steady_frac, rel=0.05)
