"""The excerpt of published measurements, end to end."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from scoville.facts import Accelerator, Facts
from scoville.serving.engine import Engine, engine
from scoville.serving.settings import EngineSettings, Fleet
from scoville.serving.simulate import simulate
from scoville.transformer.operators import OperatorTable
from scoville.validation import Deployments, Setting, Validation, predicted
from scoville.validation.bounds import fastest
from scoville.validation.predict import requests
from scoville.validation.scores import Scored, score, scores


def _settings(found: Validation) -> list[Setting]:
    return list(dict.fromkeys(r.row.setting for r in found.rows))


def test_every_row_of_the_excerpt_maps_and_runs(found: Validation) -> None:
    assert len(found.rows) == len(found.table.rows), [u.reason for u in found.table.unmapped]
    assert [r.reason for r in found.rows if r.reason] == []


def test_answers_of_one_length_are_spread_about_it_in_a_closed_loop_only(found: Validation) -> None:
    one = replace(_settings(found)[0], output_tokens=500, concurrency=8, requests_count=4000, shortest_frac=1.0)
    lengths = requests(one).output_tokens
    assert (lengths.min(), lengths.max()) == (450, 550)
    assert lengths.mean() == pytest.approx(500, rel=0.005), "the work of the run is another"
    assert set(requests(one).input_tokens) == {one.input_tokens}
    assert set(requests(replace(one, concurrency=None)).output_tokens) == {500}, "all at once, nothing keeps step"
    drawn = requests(replace(one, shortest_frac=0.8)).output_tokens
    assert (drawn.min(), drawn.max()) == (400, 500)


def test_rows_of_one_run_share_one_prediction(found: Validation) -> None:
    by_setting: dict[Setting, set[int]] = {}
    for r in found.rows:
        by_setting.setdefault(r.row.setting, set()).add(id(r.predicted))
    assert {len(same) for same in by_setting.values()} == {1}


def test_predictions_stay_near_what_was_measured(found: Validation) -> None:
    """Not the accuracy, which docs/validation.md reports: a unit or a factor that is lost shows here."""
    tpot = [r for r in found.in_scores if r.row.metric == "tpot" and not r.impossible]
    assert score("tpot", tpot).mean_frac < 0.4
    throughput = [r for r in found.in_scores if r.row.metric == "throughput"]
    assert score("throughput", throughput).median_frac < 0.5


def test_the_run_that_contradicts_littles_law_is_set_aside_and_only_that(found: Validation) -> None:
    assert {r.row.setting.concurrency for r in found.set_aside} == {512}
    assert len(found.set_aside) == 2
    assert all("Little's law" in r.set_aside for r in found.set_aside)


def test_a_run_that_beats_the_chips_peaks_is_flagged(found: Validation) -> None:
    # Qwen3-32B, 48 in flight on two H100: 4,070 tokens/s with 4,000 prompt tokens for each 1,000 of the answer.
    flagged = [r for r in found.rows if r.impossible]
    assert {(r.row.setting.model, r.row.setting.concurrency) for r in flagged} == {("qwen3-32b", 48)}
    assert all("faster than the chip's peaks allow" in r.impossible for r in flagged)


def test_no_prediction_is_below_the_roofline_of_its_own_operators(found: Validation, deployments: Deployments) -> None:
    for r in found.rows:
        bound = fastest(r.row.setting, deployments)
        assert not bound.beaten(r.row.metric, r.value), f"{r.row.setting}: {r.value} beats {bound}"


def test_energy_lies_between_idling_and_the_power_cap(found: Validation, deployments: Deployments) -> None:
    for s in _settings(found)[::4]:
        one = deployments.engine(s)
        replay = simulate(requests(s), one, Fleet(users=s.concurrency), threads=1)
        on = deployments.peaks(s.accelerator)
        chip_s = s.chips_count * replay.duration_s
        assert on.idle_w[0] * chip_s <= replay.energy_j <= 1.0001 * on.tdp_w[0] * chip_s, str(s)


def test_a_bound_is_the_reading_of_the_weights_by_hand(found: Validation, deployments: Deployments) -> None:
    """Llama-3.1-8B in fp8 on one H100: 7.5 GB of weights in fp8 and bf16 head at 3.35 TB/s."""
    s = next(s for s in _settings(found) if s.model == "llama-3.1-8b" and s.accelerator == "h100-sxm")
    layers = 32 * (4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336)
    head = 2 * 4096 * 128256
    cache = s.input_tokens * 32 * 2 * 1024
    assert fastest(s, deployments).tpot_s == pytest.approx((layers + head + cache) / 3.35e12, rel=0.01)


def test_the_result_does_not_depend_on_threads(found: Validation, deployments: Deployments) -> None:
    some = _settings(found)[::6]
    assert predicted(some, deployments, threads=1) == predicted(some, deployments, threads=3)


def test_another_engine_changes_the_prediction_and_keeps_the_tables(
    found: Validation, deployments: Deployments
) -> None:
    def slow(chip: Accelerator, facts: Facts, table: OperatorTable, settings: EngineSettings) -> Engine:
        made = engine(chip, facts, table, settings)
        return replace(made, costs=replace(made.costs, base=made.costs.base + 16 * 10**10))  # 10 ms

    s = next(s for s in _settings(found) if s.concurrency == 4)
    other = deployments.with_engine(slow)
    assert other.table(s) is deployments.table(s)
    plain, slowed = (predicted([s], d)[s] for d in (deployments, other))
    assert slowed.tpot_s == pytest.approx(plain.tpot_s + 0.01, rel=0.02)


def test_what_does_not_fit_is_reported_with_its_reason(found: Validation, deployments: Deployments) -> None:
    s = next(s for s in _settings(found) if s.model == "llama-3.1-405b")
    small = replace(s, parallelism=replace(s.parallelism, tensor=1))
    made = predicted([small], deployments)[small]
    assert "does not fit" in made.reason
    assert math.isnan(made.output_tokens_per_s)


def test_lengths_are_drawn_between_the_shortest_and_the_nominal(found: Validation) -> None:
    s = next(s for s in _settings(found) if s.shortest_frac < 1)
    trace = requests(s)
    assert trace.input_tokens.min() >= math.ceil(0.8 * s.input_tokens)
    assert trace.input_tokens.max() <= s.input_tokens
    assert len(trace) == s.requests_count == 10 * (s.concurrency or 0)
    assert np.array_equal(trace.output_tokens, requests(s).output_tokens)


def test_scores_are_worst_first_and_of_the_errors_by_hand(found: Validation) -> None:
    def error(value: float) -> Scored:
        return replace(found.rows[0], error_frac=value)

    one = score("group", [error(-0.1), error(0.3), error(0.1)])
    assert (one.rows_count, one.mean_frac, one.median_frac) == (3, pytest.approx(0.5 / 3), pytest.approx(0.1))
    assert (one.bias_frac, one.within_frac) == (pytest.approx(0.1), pytest.approx(2 / 3))
    groups = scores(found.in_scores, lambda r: r.row.setting.model)
    assert [s.mean_frac for s in groups] == sorted((s.mean_frac for s in groups), reverse=True)
    assert sum(s.rows_count for s in groups) == len(found.in_scores)


def test_the_worst_rows_are_those_with_the_largest_ratio(found: Validation) -> None:
    ratios = [abs(math.log(r.value / r.row.value)) for r in found.worst(5)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == max(abs(math.log(r.value / r.row.value)) for r in found.in_scores)
