"""Evaluated chips as the plain records of an answer: ranges, prices, rows, the waterfall, the sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scoville.economics import NotOffered, waterfall
from scoville.facts import Accelerator, Draws, Fact, Facts, Range
from scoville.study.answer import Layer, Price, Row, Source, Waterfall
from scoville.study.deploy import Choice, Workload
from scoville.study.evaluate import Evaluated, offered, priced
from scoville.study.lines import percent
from scoville.study.pricing import Terms
from scoville.study.vintage import price_of
from scoville.units import show

Array = NDArray[np.float64]


def _price(e: Evaluated, tenure: str, chance: float, cached: bool) -> Price | None:
    p = e.priced[tenure]
    if isinstance(p, NotOffered):
        return None
    c = p.central

    def usd(central: Array, samples: Array) -> Range:
        return Range.of(float(central[0]), samples, "usd_per_token")

    return Price(
        tenure=tenure,
        basis=p.hourly.basis,
        hourly=Range.of(float(p.hourly.total_usd_per_h[0]), p.sampled_hourly_usd_per_h, "usd_per_h"),
        input=usd(c.input_usd_per_token, p.sampled_input_usd_per_token),
        cached_input=usd(c.cached_input_usd_per_token, p.sampled_cached_usd_per_token) if cached else None,
        output=usd(c.output_usd_per_token, p.sampled_output_usd_per_token),
        all=usd(c.all_usd_per_token, p.sampled_all_usd_per_token),
        cheapest_frac=chance,
        notes=p.hourly.notes,
        steady_usd_per_token=p.steady_usd_per_token,
        date=price_of(p.hourly),
        facts=tuple(f.key for f in p.hourly.facts),
    )


def _computes_in(choice: Choice, work: Workload) -> tuple[str, tuple[str, ...]]:
    """The formats that the heaviest weights are multiplied in, and a note where the chip lacks the asked rate."""
    table = work.table(choice.deployment.parallelism)
    matrices = (o for o in table.operators if o.kind in ("gemm", "moe"))
    op = max(matrices, key=lambda o: o.resident_bytes * sum(o.per_stage_count))
    asked = (op.weight_rate, op.activation_rate)
    pair = choice.chips.rate(*asked)
    text = pair[1] if pair[0] == pair[1] else f"{pair[0]} x {pair[1]}"
    if pair == asked:
        return text, ()
    return text, (
        f"no rate for {asked[0]} weights x {asked[1]} activations: weights stay stored as asked, computed in {text}",
    )


def row(a: Accelerator, e: Evaluated | str, evidence: str, work: Workload, chances: dict[str, float]) -> Row:
    """The row of one accelerator; `e` is the reason where it cannot serve."""
    if isinstance(e, str):
        return Row(a.id, a.name, a.vendor, evidence, refusal=e)
    choice, s, k, sampled = e.choice, e.choice.deployment.state, e.choice.best, e.sampled
    p, replayed = choice.deployment.parallelism, choice.replayed
    shape = work.shape
    per_request = shape.input_tokens + shape.output_tokens
    central_rate = choice.requests_per_s / p.chips
    rate = sampled.requests_per_s / sampled.chips_per_replica_count
    computes_in, notes = _computes_in(choice, work)
    power = float(np.broadcast_to(e.fleet.power_w, (1,))[0])
    reasons = {t: x.reason for t, x in e.priced.items() if isinstance(x, NotOffered)}
    missed = 1 - float(sampled.meets.mean())
    if replayed and replayed.cached_frac is not None and replayed.unlimited_cached_frac is not None:
        notes += (
            f"a prefix cache of the replica's size has {percent(replayed.cached_frac)} of the prompts' tokens, one "
            f"without limit, as the steady-state estimate takes it, {percent(replayed.unlimited_cached_frac)}",
        )
    if missed > 0:
        notes += (f"misses the targets in {percent(missed)} of the samples, which its ranges leave out",)
    if np.isnan(power):
        notes += ("nobody states its power: no megawatts, no power cap, and no owner's cost",)
    found = Row(
        accelerator=a.id,
        name=a.name,
        vendor=a.vendor,
        evidence=evidence,
        parallelism=str(p),
        chips_per_replica_count=p.chips,
        batch_count=max(round(replayed.batch_count), 1) if replayed else int(s.batch_count[k]),
        computes_in=computes_in,
        tokens_per_s_per_chip=Range.of(central_rate * per_request, rate * per_request, "tokens_per_s"),
        output_tokens_per_s_per_chip=Range.of(
            central_rate * shape.output_tokens, rate * shape.output_tokens, "tokens_per_s"
        ),
        tokens_per_s_per_user=_scaled(
            1 / float(s.tpot_s[0, k]),
            1 / sampled.tpot_s,
            "tokens_per_s",
            replayed.tokens_per_s_per_user if replayed else None,
        ),
        ttft=_scaled(
            float(s.ttft_percentile_s[0, k]),
            sampled.ttft_percentile_s,
            "s",
            replayed.ttft_percentile_s if replayed else None,
            most=work.targets.ttft_s,
        ),
        tpot=_scaled(
            float(s.tpot_percentile_s[0, k]),
            sampled.tpot_percentile_s,
            "s",
            replayed.tpot_percentile_s if replayed else None,
            most=work.targets.tpot_s,
        ),
        chips=Range.of(float(e.fleet.chips_count[0]), e.sampled_chips_count, "count"),
        power=None if np.isnan(power) else Range.of(power, e.sampled_power_w, "w"),
        energy_per_token=None
        if np.isnan(s.energy_j_per_token[0, k])
        else Range.of(float(s.energy_j_per_token[0, k]), sampled.energy_j_per_token, "j_per_token"),
        limit=choice.limit,
        busiest=choice.busiest,
        meets_targets_frac=float(sampled.meets.mean()),
        rent=_price(e, "rent", chances["rent"], shape.cached_input_tokens > 0),
        own=_price(e, "own", chances["own"], shape.cached_input_tokens > 0),
        not_rented=reasons.get("rent", ""),
        not_owned=reasons.get("own", ""),
        replayed=replayed,
        not_replayed=choice.not_replayed,
        notes=notes,
    )
    outside = _outside(found)
    if outside:
        notes += (
            f"the central value lies outside P10 to P90 for {', '.join(outside)}: samples re-tune the batch to the "
            f"targets, and errors of timing are lopsided",
        )
    return replace(found, notes=notes)


def _scaled(steady: float, samples: Array, measure: str, replayed: float | None, most: float = float("inf")) -> Range:
    """The steady state's range; where a replay found another central value, scaled to it, each sample up to `most`."""
    if replayed is None:
        return Range.of(steady, samples, measure)
    return Range.of(replayed, np.minimum(samples * (replayed / steady), most), measure)


def _outside(found: Row) -> list[str]:
    """What has a central value outside its P10 to P90 by more than a third digit shows."""
    shown = {
        "tokens/s per chip": found.tokens_per_s_per_chip,
        "tokens/s per user": found.tokens_per_s_per_user,
        "TTFT": found.ttft,
        "TPOT": found.tpot,
        "chips": found.chips,
        "power": found.power,
        "energy per token": found.energy_per_token,
        "rented cost": found.rent.all if found.rent else None,
        "owned cost": found.own.all if found.own else None,
    }
    return [name for name, r in shown.items() if r is not None and not r.p10 * 0.995 <= r.central <= r.p90 * 1.005]


def margin_waterfall(evaluated: dict[str, Evaluated], facts: Facts, draws: Draws, terms: Terms) -> Waterfall | None:
    """Who gets what of a token on the cheapest bought chip whose layers are all known.

    Chips that are also on the rental market come first: a chip that only its owner has is not bought by anybody else.
    """
    known = [
        id
        for id in offered(evaluated, "own")
        if (parts := priced(evaluated[id], "own").hourly.parts) is not None and not parts.unsplit
    ]
    if not known:
        return None
    market = [id for id in known if id in offered(evaluated, "rent")]
    id = min(market or known, key=lambda i: float(priced(evaluated[i], "own").central.all_usd_per_token[0]))
    e = evaluated[id]
    p = priced(e, "own")
    drawn = terms.hourly(e.choice.accelerator, facts, draws, "own")
    if isinstance(drawn, NotOffered):
        return None
    central = float(p.central.all_usd_per_token[0])
    ok = np.isfinite(p.sampled_all_usd_per_token)
    layers = waterfall(p.hourly, central, drawn, np.where(ok, p.sampled_all_usd_per_token, central))
    return Waterfall(
        accelerator=id,
        layers=tuple(
            Layer(x.name, Range(x.low_usd_per_token, x.base_usd_per_token, x.high_usd_per_token, "usd_per_token"))
            for x in layers
        ),
        total=Range.of(central, p.sampled_all_usd_per_token, "usd_per_token"),
        notes=(p.hourly.basis, *p.hourly.notes),
    )


def shown_value(fact: Fact) -> str:
    """The value of a fact for people."""
    return fact.value if isinstance(fact.value, str) else show(fact.value, fact.measure)


def sources(asked: tuple[Fact, ...]) -> tuple[Source, ...]:
    """Every fact that the answer used, in the order of subject and name."""
    return tuple(
        Source(
            key=f.key,
            value=shown_value(f),
            low=show(f.low, f.measure) if f.low < f.high else "",
            high=show(f.high, f.measure) if f.low < f.high else "",
            kind=f.kind,
            as_of=f.as_of,
            source=f.source,
            note=f.note,
            user=f.user,
        )
        for f in sorted(asked, key=lambda f: f.key)
    )
