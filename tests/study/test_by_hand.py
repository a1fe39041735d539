"""One row of studies/own-the-token.toml, reckoned again from the trace, the facts and the time of two steps.

docs/studies.md shows the same numbers; both are compared with the answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from scoville import traffic, transformer
from scoville.facts import Draws, Facts
from scoville.study import Answer
from scoville.timing import RooflineTimer, chips
from scoville.transformer.sharding import operator_table
from scoville.transformer.step import Parallelism, Precision, StepMix

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def h100(ask: Callable[..., Answer], small: Callable[..., str]) -> Answer:
    return ask(small())


@pytest.fixture(scope="module")
def reckoned(h100: Answer, facts: Facts) -> dict[str, float]:
    row = h100.rows[0]
    assert row.replayed is not None
    batch = row.replayed.steady_batch_count
    assert re.fullmatch(r"TP\d", row.parallelism)
    tensor = row.chips_per_replica_count

    # The trace: mean prompt and answer, and the context that a sequence holds, averaged over its decode steps.
    trace = traffic.load("azure-2023-conv")
    i, o = trace.input_tokens.astype(float), trace.output_tokens.astype(float)
    prompt, answer = i.mean(), o.mean()
    held = (o * i + o * (o + 1) / 2).sum() / o.sum()

    # A step of decode only, and four with as many prompts as usual: Poisson where there is any, log-normal in length.
    per_step = batch / answer
    many = per_step / (1 - math.exp(-per_step))
    deviation = math.sqrt(math.log1p(((i**2).mean() / prompt**2 - 1) / many))
    sizes = np.exp([deviation * NormalDist().inv_cdf(p) for p in (1 / 8, 3 / 8, 5 / 8, 7 / 8)])
    sizes *= many * prompt / sizes.mean()
    assert sizes.max() < 8192 - batch
    pieces = np.ceil(i / 8192)
    pairs, read = (i * (i + 1) / 2).mean(), (i * (pieces + 1) / 2).mean()

    def mix(prefill: float) -> StepMix:
        prompts = prefill / prompt
        row = [np.array([x]) for x in (batch, batch, np.ceil(prompts), prefill, batch + prompts)]
        decode, fresh = {None: np.array([batch * held])}, np.array([prompts])
        return StepMix(*row, decode, decode, {None: fresh * pairs}, {None: fresh * read}, np.ones(1))

    model, on = transformer.load("llama-3.1-70b"), chips(facts.accelerator("h100-sxm"), facts, Draws.central())
    table = operator_table(model, Precision("fp8", "fp8", "fp8"), Parallelism(tensor=tensor))
    each_s = facts.get("engine-vllm", "sequence_time").number  # of every sampled token, beside its kernels
    decode_s, *mixed_s = (
        float(RooflineTimer().time(table, on, table.layout.features(mix(p))).stage_s[0, 0])
        + (batch + p / prompt) * each_s
        for p in (0.0, *sizes)
    )
    usual_s = sum(mixed_s) / 4

    # Each output token carries prompt / answer prompt tokens, each of which lengthens a step by `extra_s`.
    extra_s = (usual_s - decode_s) / sizes.mean()
    tpot_s = decode_s + extra_s * prompt * batch / answer
    requests_per_s = batch / (answer * tpot_s)
    tokens_per_s = requests_per_s * (prompt + answer)

    # The part of that load at which the trace's own arrivals meet the targets: a replay, not arithmetic.
    holds = row.replayed.of_steady_frac
    served_tokens_per_s = tokens_per_s * holds

    # 200 Gtokens a day, peak 1.5, headroom 10 %, at most 80 % of what a replica can do.
    mean_tokens_per_s = 200e9 / 86400
    replicas = math.ceil(mean_tokens_per_s * 1.5 * 1.1 / 0.8 / served_tokens_per_s)
    chip_count = replicas * tensor

    def usd_per_token(hourly: float) -> tuple[float, float, float]:
        per_s = chip_count * hourly / 3600
        mean_requests = mean_tokens_per_s / (prompt + answer)
        busy = mean_requests * (prompt * extra_s + answer * decode_s / batch)
        return per_s * extra_s / busy, per_s * decode_s / batch / busy, per_s / mean_tokens_per_s

    rent = facts.get("h100-sxm", "rent_3yr", vintage="2026-09").number
    own = owned_usd_per_h(facts)
    rent_in, rent_out, rent_all = usd_per_token(rent)
    return {
        "prompt": prompt, "answer": answer, "batch": batch, "decode step": decode_s * 1e3, "usual step": usual_s * 1e3,
        "per prompt token": extra_s * 1e6, "TPOT": tpot_s * 1e3, "requests": requests_per_s,
        "tokens per chip": tokens_per_s / tensor, "replay": holds * 100,
        "served per chip": served_tokens_per_s / tensor, "replicas": replicas, "chips": chip_count, "rent": rent,
        "input": rent_in * 1e6, "output": rent_out * 1e6, "all": rent_all * 1e6, "own": own,
        "all, owned": usd_per_token(own)[2] * 1e6,
    }  # fmt: skip


def owned_usd_per_h(facts: Facts) -> float:
    """As docs/cost.md does it, with the all-in power of September 2026."""

    def site(name: str) -> float:
        return facts.get("site", name).number

    wacc = facts.get("terms-hyperscaler", "wacc").number
    factor = facts.get("terms-hyperscaler", "purchase_factor").number
    watts = facts.get("h100-sxm", "all_in_power", vintage="2026-09").number

    def annuity(years: float) -> float:
        return wacc / (1 - (1 + wacc) ** -years) / 8760

    year_s = 365 * 86400
    bought = (facts.get("h100-sxm", "price_chip").number + site("system_adder")) * factor
    equipment = bought / (1 - site("network_share"))
    building = site("facility") * watts
    energy = watts * site("load") * site("pue") * site("electricity") * 3600
    operation = watts * site("operation") * 3600 + equipment * site("failure_rate") * site("failure_cost") * 3600
    return (
        equipment * annuity(site("it_life") / year_s)
        + building * annuity(site("facility_life") / year_s)
        + energy
        + operation
    )


def test_the_answer_is_what_the_hand_reckons(h100: Answer, reckoned: dict[str, float]) -> None:
    row = h100.rows[0]
    assert row.rent is not None
    assert row.own is not None
    assert row.replayed is not None
    got = {
        "tokens per chip": row.replayed.steady_tokens_per_s_per_chip,
        "served per chip": row.tokens_per_s_per_chip.central,  # type: ignore[union-attr]
        "chips": row.chips.central,  # type: ignore[union-attr]
        "rent": row.rent.hourly.central,
        "input": row.rent.input.central * 1e6,
        "output": row.rent.output.central * 1e6,
        "all": row.rent.all.central * 1e6,
        "own": row.own.hourly.central,
        "all, owned": row.own.all.central * 1e6,
    }
    assert got == pytest.approx({k: reckoned[k] for k in got}, rel=1e-6)


def test_the_document_shows_these_numbers(reckoned: dict[str, float]) -> None:
    """Each row of the table `worked by hand` in docs/studies.md ends in a number and names what it is."""
    document = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    table = document.split("<!-- worked by hand -->")[1].split("\n\n")[1]
    shown = {}
    for line in table.splitlines()[2:]:
        cells = [c.strip() for c in line.strip("|").split("|")]
        shown[cells[0]] = float(cells[-1].replace(",", "").split()[0])
    assert shown == pytest.approx({k: reckoned[k] for k in shown}, rel=5e-3)
    assert set(shown) == set(reckoned)
