"""Corrections: known ones come back within their stated errors, and what a table does not tell is said."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.validation.synthetic import write

from scoville.errors import FactError, MeasurementError
from scoville.facts import Facts, load
from scoville.serving.settings import preset
from scoville.validation import Deployments, read
from scoville.validation.calibrate import NAMES, NONE, Correction, _robust, fit
from scoville.validation.own_engine import DEFAULT, Calibration, calibrate, engine_toml, pairs

TRUE = Correction(time_frac=1.08, step_s=0.3e-3, sequence_s=15e-6, request_s=12e-3)


def calibrated(path: Path, facts: Facts) -> Calibration:
    table = read(path, facts)
    (pair,) = pairs(table)
    return calibrate(table, Deployments(facts, table.architectures), *pair, threads=1)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory, facts: Facts) -> Calibration:
    path = tmp_path_factory.mktemp("runs") / "noisy.csv"
    write(path, facts, TRUE, scatter_frac=0.03)
    return calibrated(path, facts)


def test_a_known_correction_comes_back_exactly_without_scatter(tmp_path: Path, facts: Facts) -> None:
    write(tmp_path / "exact.csv", facts, TRUE)
    found = calibrated(tmp_path / "exact.csv", facts)
    assert all(n.fitted for n in found.numbers), "runs with 1 to 64 in flight tell steps from tokens"
    assert found.correction.values == pytest.approx(TRUE.values, rel=0.02), "the correction is another"
    assert max(abs(r.error_frac) for r in found.after.in_scores if not r.queued) < 0.005, "a row is still off"


def test_known_corrections_come_back_within_their_stated_errors(
    noisy: Calibration, tmp_path: Path, facts: Facts
) -> None:
    found = [noisy]
    for seed in range(1, 5):
        write(tmp_path / "noisy.csv", facts, TRUE, scatter_frac=0.03, seed=seed)
        found.append(calibrated(tmp_path / "noisy.csv", facts))
    errors = np.array([one.correction.errors for one in found])
    off = np.abs(np.array([one.correction.values for one in found]) - TRUE.values) / errors
    assert (off < 1.645).mean() >= 0.8, f"of 20 numbers 18 belong within the range of 90 %: {off.round(2)}"
    assert off.max() < 3, dict(zip(NAMES, off.max(axis=0), strict=True))
    assert np.all(errors < [0.05, 0.5e-3, 20e-6, 3e-3]), "errors so large say nothing"


def test_the_rows_are_nearer_after_than_before(noisy: Calibration) -> None:
    def mean(rows: Calibration, when: str) -> float:
        return float(np.mean([abs(r.error_frac) for r in getattr(rows, when).in_scores]))

    assert mean(noisy, "after") < 0.3 * mean(noisy, "before")


def test_stated_errors_hold_nine_in_ten_of_many_fits() -> None:
    random = np.random.default_rng(3)
    slopes = np.column_stack([np.full(12, 0.09), np.tile([0.001, 0.01, 0.05, 0.07], 3), np.repeat([0.5, 0.0, 0.0], 4)])
    hits = []
    for _ in range(300):
        x, errors = _robust(slopes, 0.03 * random.standard_normal(12), np.zeros(3))
        hits.append(np.abs(x) <= 1.645 * errors)
    assert np.all(np.abs(np.mean(hits, axis=0) - 0.9) < 0.06), np.mean(hits, axis=0)


def test_an_odd_row_hardly_matters() -> None:
    slopes = np.full((15, 1), 0.1)
    left = 0.1 + 0.01 * np.random.default_rng(5).standard_normal(15)
    odd = left.copy()
    odd[7] = 3.0
    (without, _), (with_it, _) = (_robust(slopes, x, np.zeros(1)) for x in (left, odd))
    assert abs(with_it[0] - without[0]) < 0.05 * without[0], "one row in fifteen moves the fit"


def test_without_ttft_the_time_per_request_stays_and_is_called_undetermined(tmp_path: Path, facts: Facts) -> None:
    write(tmp_path / "few.csv", facts, TRUE, in_flight=(1,), metrics=("tpot_ms",))
    found = calibrated(tmp_path / "few.csv", facts)
    request = found.numbers[NAMES.index("request_s")]
    assert [n.fitted for n in found.numbers] == [name in DEFAULT for name in NAMES], "one in flight, two rows"
    assert not request.determined
    said = " ".join(found.warnings)
    assert "2 rows count for 3 numbers; measure at least 9" in said
    assert "time per request" in said and "undetermined" in said


def test_the_fit_starts_from_the_preset_and_leans_to_it(tmp_path: Path, facts: Facts) -> None:
    write(tmp_path / "few.csv", facts, TRUE, in_flight=(1,), metrics=("tpot_ms",))
    table = read(tmp_path / "few.csv", facts)
    deployments = Deployments(facts, table.architectures)
    usual = replace(NONE, request_s=5e-3)
    found = fit(table, deployments, names=DEFAULT, start={"vllm": usual}, threads=1).solved("vllm")
    assert found.request_s == pytest.approx(5e-3, rel=1e-3), "what the rows don't tell is not the preset's"


def test_the_engine_that_is_written_is_the_family_with_the_fitted_numbers(
    tmp_path: Path, facts: Facts, noisy: Calibration
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(engine_toml("mine", noisy, facts, 'runs "A".csv', "2026-11-20"), encoding="utf-8")
    own, usual = preset("mine", load([path])), preset("vllm", facts)
    assert replace(own, name="vllm", **{n: getattr(usual, n) for n in NAMES}) == usual, "the schedule is another"
    assert [getattr(own, n) for n in NAMES] == pytest.approx(noisy.correction.values, rel=1e-5)
    written = tomllib.loads(path.read_text(encoding="utf-8"))["mine"]
    assert (written["request_time"]["source"], written["request_time"]["kind"]) == ('runs "A".csv', "measured")
    request = load([path]).get("mine", "request_time")
    error = noisy.correction.errors[NAMES.index("request_s")]
    assert request.high - request.number == pytest.approx(1.645 * error, rel=1e-4), "the range is not of 90 %"


@pytest.mark.parametrize("name", ["", "my engine", "x.y", "vllm", "h100-sxm"])
def test_a_name_that_cannot_be_is_refused(name: str, facts: Facts, noisy: Calibration) -> None:
    with pytest.raises(FactError, match="--engine: "):
        engine_toml(name, noisy, facts, "runs.csv", "2026-11-20")


def test_a_table_that_cannot_be_run_says_so(tmp_path: Path, facts: Facts) -> None:
    path = tmp_path / "large.csv"
    write(path, facts, NONE, in_flight=(1,))
    path.write_text(path.read_text(encoding="utf-8").replace("Llama-3.1-8B", "Llama-3.1-405B"), encoding="utf-8")
    with pytest.raises(MeasurementError, match=r"large\.csv: no row can be predicted and counts"):
        calibrated(path, facts)
