"""Claims about a request that has the chips alone: tokens per second for its user, time from end to end."""

from __future__ import annotations

from collections.abc import Callable

from scoville.claims.bench import GPU, ROOFLINE, Array, Bench, ideal, one_kernel
from scoville.claims.evaluation import Evaluation, Modelled, asked, exactly, steppings, word, words
from scoville.claims.needs import levers, needs
from scoville.claims.records import Claim, Line, as_range
from scoville.claims.served import Alone, Asked, alone, at_peak
from scoville.timing import Chips

Figure = Callable[[Bench, Alone, Chips], Array]


def speed(bench: Bench, one: Alone, on: Chips) -> Array:
    """Output tokens per second, (n,)."""
    return 1 / one.seconds(bench, on)[1]


def gap(bench: Bench, one: Alone, on: Chips) -> Array:
    """Seconds between output tokens, (n,)."""
    return one.seconds(bench, on)[1]


def whole(bench: Bench, one: Alone, on: Chips) -> Array:
    """Seconds of a request from end to end, (n,)."""
    return one.request_s(bench, on)


def user_speed(claim: Claim, bench: Bench) -> Evaluation:
    """Output tokens per second of a lone request."""
    return _lone(claim, bench, speed, "tok/s/user", "tokens_per_s")


def request_time(claim: Claim, bench: Bench) -> Evaluation:
    """Seconds from end to end of a lone request, and the rival's."""
    return _lone(claim, bench, whole, "s", "s")


def request_time_ratio(claim: Claim, bench: Bench) -> Evaluation:
    """How many times sooner a lone request ends than on the rival, for each of the models."""
    return _ratios(claim, bench, whole)


def token_gap_ratio(claim: Claim, bench: Bench) -> Evaluation:
    """How many times shorter the time between tokens is than on the rival, for each of the models."""
    return _ratios(claim, bench, gap)


def _lone(claim: Claim, bench: Bench, figure: Figure, unit: str, measure: str) -> Evaluation:
    what = asked(claim, word(claim, "model"))
    own, roofline, other = _three(claim, bench, what)
    mine, quick, its = (_modelled(bench, one, figure, measure) for one in (own, roofline, other))
    bare = _modelled(bench, own, figure, measure, one_kernel)
    limit, its_limit = (float(figure(bench, one, ideal(one.timed.newest))[0]) for one in (own, other))
    baseline = as_range(claim.baseline) if claim.baseline else None
    lines = [
        Line(own.timed.name, unit, measure, claim.figure, mine.range, quick.range, limit, True, bare.range),
        Line(other.timed.name, unit, measure, baseline, its.range, None, its_limit),
        *steppings(own.timed, unit, measure, lambda on: float(figure(bench, own, on)[0])),
    ]
    if baseline is not None:
        lines.append(
            Line(
                "ratio", "x", "frac", exactly(baseline.central / claim.figure.central, "frac"),
                its.over(mine, "frac").range, its.over(quick, "frac").range,
            )
        )  # fmt: skip
    more = claim.sense != "at most"
    target = claim.figure.p10 if more else claim.figure.p90
    found = levers(own.timed, own.table, own.features[0])
    need = needs(found, own.timed.central, lambda on: float(figure(bench, own, on)[0]), target, more=more)
    return Evaluation(
        tuple(lines),
        need,
        tuple(one.said() for one in (own, roofline, other)),
        (_hand(bench, own, figure, target),),
    )


def _hand(bench: Bench, own: Alone, figure: Figure, target: float) -> str:
    """What the claim leaves for a token beside the reading of its weights, whatever the kernels are."""
    on = own.timed.newest
    _, memory = (float(t[0]) for t in at_peak(own.table, on, own.features[:1]))
    prompt_s = float(own.seconds(bench, ideal(on))[0][0])
    token_s = (target - prompt_s) / (own.asked.output_tokens - 1) if figure is whole else 1 / target
    joins = sum(sum(op.per_stage_count) for op in own.table.operators if op.collective)
    kernels = sum(
        sum(op.per_stage_count) for op in own.table.operators if not op.collective and op.kind != "attention_prefill"
    )
    read = (
        f"Whatever the kernels: the claim leaves {token_s * 1e3:.3g} ms per output token. Each chip reads "
        f"{memory * float(on.memory_bytes_per_s[0]) / 1e9:.3g} GB for it, {memory * 1e3:.3g} ms at the peak bandwidth, "
    )
    if memory >= token_s:
        return f"{read}which is more than that."
    rest = token_s - memory
    shared = f"{kernels} kernels"
    if joins:
        shared = f"{joins} collectives and {shared}, {rest / joins * 1e6:.3g} us a collective if all else were free"
    return (
        f"{read}so the claim asks for {100 * memory / token_s:.0f} % of it over the whole step; the other "
        f"{rest * 1e3:.3g} ms are shared by {shared}."
    )


def _ratios(claim: Claim, bench: Bench, figure: Figure) -> Evaluation:
    """The rival's seconds over the chip's. Needs are those of the model whose ratio is the lowest; the limit is that of
    the chip against the rival as modelled."""
    lines, chosen = [], []
    lowest: tuple[float, Alone, float, str] | None = None
    for model in words(claim, "models"):
        own, roofline, other = _three(claim, bench, asked(claim, model))
        mine, quick, its = (_modelled(bench, one, figure, "s") for one in (own, roofline, other))
        bare = its.over(_modelled(bench, own, figure, "s", one_kernel), "frac")
        limit = its.central / float(figure(bench, own, ideal(own.timed.newest))[0])
        ratio = its.over(mine, "frac")
        lines.append(
            Line(model, "x", "frac", claim.figure, ratio.range, its.over(quick, "frac").range, limit, True, bare.range)
        )
        chosen += [one.said() for one in (own, other)]
        if lowest is None or ratio.central < lowest[0]:
            lowest = ratio.central, own, its.central, model
    assert lowest is not None
    _, own, its_s, model = lowest
    found = levers(own.timed, own.table, own.features[0])
    need = needs(
        found, own.timed.central, lambda on: its_s / float(figure(bench, own, on)[0]), claim.figure.p10, more=True
    )
    return Evaluation(
        tuple(lines), need, tuple(dict.fromkeys(chosen)), (f"What it would take is that of {model}, the lowest.",)
    )


def _three(claim: Claim, bench: Bench, what: Asked) -> tuple[Alone, Alone, Alone]:
    """On the chip by its own timer, by the roofline, and on the rival by its own."""
    chip, rival = word(claim, "chip"), word(claim, "rival")
    count = round(claim.settings["chips"].number) if "chips" in claim.settings else None
    return (
        _once(bench, chip, "", what, count),
        _once(bench, chip, ROOFLINE, what, count),
        _once(bench, rival, GPU, what, None),
    )


def _once(bench: Bench, chip: str, kernels: str, what: Asked, count: int | None) -> Alone:
    timed = bench.timed(chip, kernels)
    return bench.once(("alone", chip, timed.kernels, what, count), lambda: alone(bench, timed, what, count))


def _modelled(
    bench: Bench, one: Alone, figure: Figure, measure: str, changed: Callable[[Chips], Chips] = lambda on: on
) -> Modelled:
    central, drawn = (figure(bench, one, changed(on)) for on in (one.timed.central, one.timed.drawn))
    return Modelled(float(central[0]), drawn, measure)
