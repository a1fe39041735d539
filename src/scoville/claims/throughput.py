"""Claims about peak throughput: tokens per second and kilowatt."""

from __future__ import annotations

import numpy as np

from scoville.claims.bench import GPU, ROOFLINE, Bench
from scoville.claims.evaluation import Evaluation, Modelled, asked, exactly, stated, steppings, word, words
from scoville.claims.needs import levers, needs
from scoville.claims.records import Claim, Line, Need, as_range
from scoville.claims.served import Asked, Peak, peak, rates_of
from scoville.errors import FactError
from scoville.facts import Fact
from scoville.serving import average_step
from scoville.timing import Chips

_BASES = (("kW of package TDP", "tdp"), ("all-in kW", "all_in_power"))
_MEASURE, _UNIT = "tokens_per_j", "tok/s/kW"


def tokens_per_power(claim: Claim, bench: Bench) -> Evaluation:
    """Mixed tokens per second and kW at peak throughput, on package TDP and on all-in power, and the ratio."""
    chip, rival = word(claim, "chip"), word(claim, "rival")
    own, roofline, other = peaks(claim, bench, word(claim, "model"))
    tdp, rival_tdp = power(bench, chip, "tdp"), power(bench, rival, "tdp")
    lines, ratios = [], []
    for words_, name in _BASES:
        own_w, rival_w = power(bench, chip, name), power(bench, rival, name)
        mine, quick, its = (per_w(bench, p, w) for p, w in ((own, own_w), (roofline, own_w), (other, rival_w)))
        said = stated(claim.figure, tdp.number / own_w.number)
        decides = name == "tdp"
        lines.append(
            Line(
                f"{own.timed.name}, per {words_}", _UNIT, _MEASURE, said, mine.range, quick.range,
                own.limit_tokens_per_s / own_w.number, decides,
            )
        )  # fmt: skip
        baseline = stated(as_range(claim.baseline), rival_tdp.number / rival_w.number) if claim.baseline else None
        lines.append(
            Line(
                f"{other.timed.name}, per {words_}", _UNIT, _MEASURE, baseline, its.range, None,
                other.limit_tokens_per_s / rival_w.number,
            )
        )  # fmt: skip
        if baseline is not None:
            ratios.append(
                Line(
                    f"ratio, per {words_}", "x", "frac", exactly(said.central / baseline.central, "frac"),
                    mine.over(its, "frac").range, quick.over(its, "frac").range, decides=decides,
                )
            )  # fmt: skip
    lines += steppings(own.timed, _UNIT, _MEASURE, lambda on: _rate(bench, own, on) / tdp.number)
    target = claim.figure.p10 * tdp.number
    return Evaluation(
        (*lines, *ratios),
        _needs(bench, own, target),
        tuple(p.said() for p in (own, roofline, other)),
        (_hand(own, target), *_narrower(claim, bench, own, tdp)),
    )


def tokens_per_power_ratio(claim: Claim, bench: Bench) -> Evaluation:
    """The ratio to the rival alone, for each of the models."""
    chip, rival = word(claim, "chip"), word(claim, "rival")
    lines, chosen = [], []
    for model in words(claim, "models"):
        own, roofline, other = peaks(claim, bench, model)
        for words_, name in _BASES:
            own_w, rival_w = power(bench, chip, name), power(bench, rival, name)
            mine, quick, its = (per_w(bench, p, w) for p, w in ((own, own_w), (roofline, own_w), (other, rival_w)))
            same = name == "tdp"
            lines.append(
                Line(
                    f"{model}, per {words_}", "x", "frac", claim.figure if same else None,
                    mine.over(its, "frac").range, quick.over(its, "frac").range, decides=same,
                )
            )  # fmt: skip
        chosen += [p.said() for p in (own, other)]
    return Evaluation(tuple(lines), chosen=tuple(chosen))


def peaks(claim: Claim, bench: Bench, model: str) -> tuple[Peak, Peak, Peak]:
    """Of the chip by its own timer, by the roofline, and of the rival by its own."""
    what = asked(claim, model)
    chip, rival = word(claim, "chip"), word(claim, "rival")
    return peak_of(bench, chip, "", what), peak_of(bench, chip, ROOFLINE, what), peak_of(bench, rival, GPU, what)


def peak_of(bench: Bench, chip: str, kernels: str, what: Asked) -> Peak:
    """A peak, searched once."""
    timed = bench.timed(chip, kernels)
    return bench.once(("peak", chip, timed.kernels, what), lambda: peak(bench, timed, what))


def power(bench: Bench, chip: str, name: str) -> Fact:
    """TDP or all-in power of a chip. Raises FactError where nobody states it."""
    accelerator = bench.facts.accelerator(chip)
    found = accelerator.tdp if name == "tdp" else accelerator.all_in_power
    if found is None:
        raise FactError(f"{accelerator.id} has no {name}; add it with --facts my.toml")
    return found


def per_w(bench: Bench, found: Peak, watts: Fact) -> Modelled:
    """Tokens per second and watt."""
    return Modelled(found.tokens_per_s / watts.number, found.drawn_tokens_per_s / bench.draws.sample(watts), _MEASURE)


def _rate(bench: Bench, found: Peak, on: Chips) -> float:
    """Tokens per second and chip at the chosen mapping and batch."""
    batch = np.array([float(found.batch_count)])
    return float(rates_of(bench, found.timed, found.table, found.shape, on, batch)[0][0, 0])


def _needs(bench: Bench, own: Peak, tokens_per_s: float) -> tuple[Need, ...]:
    """What meets that rate; the kernels are those of a step at the chosen batch with its share of prompts."""
    p, s = own.table.parallelism, own.shape
    step = average_step(s, p, own.batch_count, own.batch_count * s.fresh_input_tokens / s.output_tokens)
    found = levers(own.timed, own.table, own.table.layout.features(step)[0])
    return needs(found, own.timed.central, lambda on: _rate(bench, own, on), tokens_per_s, more=True)


def _hand(own: Peak, tokens_per_s: float) -> str:
    """Which share of the chip's peaks the claim asks for, in one sentence, whatever the kernels are."""
    per_request = (own.shape.input_tokens + own.shape.output_tokens) / tokens_per_s
    return (
        f"Whatever the kernels: {tokens_per_s:,.0f} tokens/s per chip are a request in {per_request:.3g} chip-seconds. "
        f"Its products and attention take {own.compute_s:.3g} of them at the peak FLOP/s of these formats, "
        f"{100 * own.compute_s / per_request:.0f} % of the peak, its bytes {own.memory_s:.3g} at the peak bandwidth, "
        f"{100 * own.memory_s / per_request:.0f} %."
    )


def _narrower(claim: Claim, bench: Bench, own: Peak, tdp: Fact) -> tuple[str, ...]:
    """What the same mapping gives in other formats than the central ones, the claim's setting `other_formats`."""
    if "other_formats" not in claim.settings:
        return ()
    formats = word(claim, "other_formats")
    precision = bench.precision(own.timed.accelerator.id, formats)
    table = bench.table(own.asked.model, precision, own.table.parallelism)
    rate = float(rates_of(bench, own.timed, table, own.shape, own.timed.central)[0].max())
    return (
        f"In {formats} in place of {own.asked.formats}, on the same mapping: {rate / tdp.number * 1e3:,.0f} {_UNIT}.",
    )
