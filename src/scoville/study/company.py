"""Answers a question about a company: its years without and with chips of its own, under each claim about them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np

from scoville import __version__
from scoville.economics import company as model
from scoville.errors import StudyError
from scoville.facts import Draws, Fact, Facts, Range
from scoville.study.answer import Driver
from scoville.study.company_answer import Array, ByShare, Check, ClaimOutcome, CompanyAnswer, Fan, Life
from scoville.study.company_file import CompanyFile, read_company
from scoville.study.company_findings import findings
from scoville.study.drivers import RecordedDraws, drivers

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
MODELLED = "claim-half-cost"
WORDS = {
    "cost_elasticity": "how other costs grow with revenue",
    "revenue": "revenue of {last}",
    "compute": "the compute plan",
    "inference_share": "the share of compute that is inference in {last}",
    "training_share": "the share of research that is compute",
    "cost_of_revenue": "cost of revenue in the known year",
    "highest_share": "the share of inference that can move to the chip",
    "delay": "the programme's delay",
    "power": "the programme's power",
    "chip_power": "the power of a chip",
    "chip_hour": "the cost of an own chip's hour",
    "pue": "the overhead of cooling (PUE)",
    "rival_hour": "the cost of the rival's hour",
}
_P90 = NormalDist().inv_cdf(0.9)

ASSUMPTIONS = (
    "Everything is conditional on the reported plan: revenue grows at one rate to its target, compute at the rate at "
    "which it adds up to the plan. The known year is taken as reported.",
    "Cost of revenue is taken as the compute of inference. Compute is an expense of its year. The plan's compute is "
    "priced as bought; if it already counts on the chip, the result with the chip is about the one shown without.",
    "Taxes, interest, stock and items of fair value are not in it: operating result only.",
    "A claim's ratio is applied to the inference that it displaces as though the claim's own baseline were what is "
    "bought otherwise. Chips in service beyond what inference can use are idle and paid for.",
    "The chip's development is inside research; the price of its hour holds capital, power and operation at one date.",
)


@dataclass(frozen=True)
class _Run:
    """The model once over: central, or all samples."""

    first: model.FirstYear
    years: model.Years
    products: tuple[model.Product, ...]
    chips: model.Chips
    ratios_frac: tuple[Array, ...]
    owned: tuple[model.Owned, ...]
    plan_usd: Array
    life: model.ModelLife
    power_w: Array  # of all compute, by its yearly cost per GW
    capital_bought_usd: Array
    capital_own_usd: Array


def company(
    path: Path, facts: Facts, *, modelled: bool = False, progress: Callable[[str], None] = lambda _: None
) -> CompanyAnswer:
    """The answer to a question file; with `modelled`, also for the ratios that the audit of claims gives.

    Raises StudyError for a file that cannot be read or settings that clash.
    """
    file = read_company(path, facts)
    extra = _modelled(facts, progress) if modelled else {}
    progress("samples")
    draws = RecordedDraws(file.seed, file.samples_count)
    centre, spread = _run(file, facts, Draws.central(), extra), _run(file, facts, draws, extra)
    names = (*file.claims, *extra)
    claims = tuple(_claim(i, name, file, facts, centre, spread, extra) for i, name in enumerate(names))
    shown = names.index(file.claim)
    results = [spread.years.result_usd[:, -1] + o.saving_usd[:, -1] for o in spread.owned]
    answer = CompanyAnswer(
        title=file.title,
        study_file=path.name,
        scoville_version=__version__,
        years=file.years,
        samples_count=file.samples_count,
        seed=file.seed,
        fans=_fans(file, centre, spread, shown),
        claim=file.claim,
        claims=claims,
        profitable_without_frac=float((spread.years.result_usd[:, -1] > 0).mean()),
        plan=Range.of(float(centre.plan_usd[0]), spread.plan_usd, "usd"),
        checks=_checks(file, facts, centre, spread, shown),
        drivers=_labelled(file, drivers(draws, results[shown], "usd")),
        claim_variance_frac=_between(results),
        drivers_saving=_labelled(file, drivers(draws, spread.owned[shown].saving_usd[:, -1], "usd")),
        life=_lived(centre.life, spread.life),
        overtakes_year=_overtakes(file, centre.years),
        findings=(),
        assumptions=ASSUMPTIONS,
        sources=tuple(sorted({_cited(f) for f in (*file.figures.values(), *draws.asked)})),
    )
    return findings(answer)


def _run(file: CompanyFile, facts: Facts, draws: Draws, extra: dict[str, Range]) -> _Run:
    def of(name: str) -> Array:
        fact = file.figures[name]
        fixed = name.startswith("first_year.") and fact.range_is_default  # the known year is as reported
        return np.full(draws.n, fact.number) if fixed else draws.sample(fact)

    first = model.FirstYear(
        *(of(f"first_year.{n}") for n in ("revenue", "total_costs", "cost_of_revenue", "research", "training_share"))
    )
    count = len(file.years)
    since = file.counted_from - file.first
    plan = model.Plan(
        of("plan.revenue"), of("plan.compute"), since, of("plan.inference_share"), of("plan.cost_elasticity")
    )
    years = model.project(first, plan, count)
    power = {year - file.first: of(f"power.{year}") for year in file.power_years}
    chips = model.Chips(
        model.in_service(file.start - file.first, power, count, of("programme.delay")),
        of("programme.chip_power") * of("programme.pue"),
        of("programme.chip_hour"),
        of("programme.highest_share"),
    )
    ratios = [_ratio(i, file, facts, draws, of) for i in range(1, len(file.claims) + 1)]
    ratios += [_from_range(r, draws.uniform(f"modelled ratio {name}")) for name, r in extra.items()]
    site = years.compute_usd / (of("capital.yearly_per_gw")[:, None] * 8760.0) * 1e9
    own_usd_per_w = of("programme.price_per_power") + of("programme.facility") / of("programme.pue")
    return _Run(
        first, years, _products(file, years, of), chips, tuple(ratios),
        tuple(model.own(years, chips, r) for r in ratios), plan.compute_usd, _life(years, of), site,
        _added(site) * of("capital.per_power")[:, None], _added(chips.power_w) * own_usd_per_w[:, None],
    )  # fmt: skip


def _life(years: model.Years, of: Callable[[str], Array]) -> model.ModelLife:
    """A model released at the end of the known year; its inference grows as all inference does in the next."""
    return model.ModelLife(
        years.training_usd[:, 0] / of("model_life.models_per_year"),
        years.inference_usd[:, 0] * of("model_life.inference_share") / model.YEAR_S,
        np.log(years.inference_usd[:, 1] / years.inference_usd[:, 0]) / model.YEAR_S,
        of("model_life.life"),
    )


def _lived(centre: model.ModelLife, spread: model.ModelLife) -> Life:
    def of(name: str, measure: str) -> Range:
        return Range.of(float(getattr(centre, name)[0]), getattr(spread, name), measure)

    within = float((spread.overtakes_s <= spread.life_s).mean())
    return Life(
        of("training_usd", "usd"), of("inference_usd", "usd"), of("life_s", "s"), of("overtakes_s", "s"), within
    )


def _added(power_w: Array) -> Array:
    """What comes into service in each year; nothing in the known one."""
    return np.diff(power_w, axis=1, prepend=power_w[:, :1])


def _products(file: CompanyFile, years: model.Years, of: Callable[[str], Array]) -> tuple[model.Product, ...]:
    """Every product; the one without shares has the rest of revenue. Where all have shares, drawn ones are scaled so
    that they add up to all of it in every sample.
    """
    names = range(1, len(file.products) + 1)
    shares = {
        i: (of(f"product {i}.share_first"), of(f"product {i}.share_last"))
        for i in names
        if f"product {i}.share_first" in file.figures
    }
    if len(shares) == len(file.products):
        whole = [sum((s[end] for s in shares.values()), np.zeros(len(years.revenue_usd))) for end in (0, 1)]
        shares = {i: (s[0] / whole[0], s[1] / whole[1]) for i, s in shares.items()}
    rest = tuple(1 - sum((s[end] for s in shares.values()), np.zeros(len(years.revenue_usd))) for end in (0, 1))
    made = []
    for i in names:
        key = f"product {i}."
        if f"{key}tokens" in file.figures:
            rate = of(f"{key}tokens")
        else:
            rate = of(f"{key}messages") * of(f"{key}tokens_per_message")
        ends = shares.get(i, rest)
        made.append(model.sell(years, ends[0], ends[1], rate, of(f"{key}price_change")))
    return tuple(made)


def _ratio(i: int, file: CompanyFile, facts: Facts, draws: Draws, of: Callable[[str], Array]) -> Array:
    """Cost of a token on the own chip over that of a bought one, by the i-th claim."""
    key = f"claim {i}"
    if f"{key}.saving" in file.figures:
        return 1 - of(f"{key}.saving")
    if f"{key}.performance_per_cost" in file.figures:
        return 1 / of(f"{key}.performance_per_cost")
    if f"{key}.ratio" in file.figures:
        return of(f"{key}.ratio")
    claim = file.throughput[key]
    chip, rival = (str(facts.get(claim, name).value) for name in ("chip", "rival"))
    said, other = facts.get(claim, "claimed"), facts.find(claim, "baseline")
    if other is None or said.measure != "tokens_per_j" != other.measure:
        raise StudyError(f"{file.path}: [[claim]] throughput '{claim}' states no tokens/s per kW of both chips")
    rate = draws.sample(said) * facts.get(chip, "tdp").number
    rival_rate = draws.sample(other) * facts.get(rival, "tdp").number
    return (of("programme.chip_hour") / rate) / (of(f"{key}.rival_hour") / rival_rate)


def _modelled(facts: Facts, progress: Callable[[str], None]) -> dict[str, Range]:
    """Cost of a token over the first rival's, owned and rented, as the audit of claims models it."""
    from scoville.claims.audit import audited
    from scoville.claims.bench import Bench
    from scoville.claims.reading import claim_of

    found = audited(claim_of(facts, MODELLED), Bench(facts, 400, 1, progress))
    ratios = {line.what: line.modelled for line in found.lines if line.what.startswith("ratio to ") and line.modelled}
    return {f"modelled cost against {what.removeprefix('ratio to ')}": r for what, r in list(ratios.items())[:2]}


def _from_range(r: Range, u: Array) -> Array:
    """Samples of a range: log-normal on either side of its central value, with its P10 and P90; central at 0.5."""
    z = np.array([NormalDist().inv_cdf(min(max(x, 1e-9), 1 - 1e-9)) for x in u])
    return r.central * np.exp(z / _P90 * np.where(z < 0, math.log(r.central / r.p10), math.log(r.p90 / r.central)))


def _fans(file: CompanyFile, centre: _Run, spread: _Run, shown: int) -> tuple[Fan, ...]:
    def fan(name: str, measure: str, of: Callable[[_Run], Array]) -> Fan:
        return Fan.of(name, measure, of(centre), of(spread))

    made = [
        fan("revenue", "usd", lambda r: r.years.revenue_usd),
        fan("cost of revenue, all bought", "usd", lambda r: r.years.inference_usd),
        fan("cost of revenue, with own chips", "usd", lambda r: r.years.inference_usd - r.owned[shown].saving_usd),
        fan("training compute", "usd", lambda r: r.years.training_usd),
        fan("compute, all bought", "usd", lambda r: r.years.compute_usd),
        fan("research and development", "usd", lambda r: r.years.research_usd),
        fan("other costs", "usd", lambda r: r.years.other_usd),
        fan("operating result, all bought", "usd", lambda r: r.years.result_usd),
        fan("operating result, with own chips", "usd", lambda r: r.years.result_usd + r.owned[shown].saving_usd),
        fan("power of all compute", "w", lambda r: r.power_w),
        fan("capital, all bought", "usd", lambda r: r.capital_bought_usd),
        fan("own power in service", "w", lambda r: r.chips.power_w),
        fan("own chips, mean of the year", "count", lambda r: r.chips.chips_count),
        fan("cost of own chips", "usd", lambda r: r.chips.fleet_usd),
        fan("capital of own chips", "usd", lambda r: r.capital_own_usd),
    ]
    for i, name in enumerate(file.products):
        sold, again = centre.products[i], spread.products[i]
        made += [
            Fan.of(f"{name}: revenue", "usd", sold.revenue_usd, again.revenue_usd),
            Fan.of(f"{name}: tokens", "tokens", sold.sold_tokens, again.sold_tokens),
            Fan.of(f"{name}: price of a token", "usd_per_token", sold.price_usd_per_token, again.price_usd_per_token),
        ]
    made.append(fan("cost of a token, all bought", "usd_per_token", lambda r: r.years.inference_usd / tokens(r)))
    made.append(fan("tokens of a chip", "tokens_per_s", _per_chip(shown)))
    return tuple(made)


def tokens(run: _Run) -> Array:
    """Tokens of all products, by year."""
    return np.asarray(sum(p.sold_tokens for p in run.products))


def _per_chip(shown: int) -> Callable[[_Run], Array]:
    """Tokens a second of one chip in service, idle ones included: served tokens over chips and seconds."""

    def rate(r: _Run) -> Array:
        served = tokens(r) * r.owned[shown].served_frac
        chips = r.chips.chips_count
        return np.divide(served, chips * model.YEAR_S, out=np.zeros_like(served), where=chips > 0)

    return rate


def _claim(
    i: int, name: str, file: CompanyFile, facts: Facts, centre: _Run, spread: _Run, extra: dict[str, Range]
) -> ClaimOutcome:
    def fan(what: str, measure: str, of: Callable[[_Run], Array]) -> Fan:
        return Fan.of(what, measure, of(centre), of(spread))

    needed = [model.share_needed(r.years, r.ratios_frac[i])[:, -1] for r in (centre, spread)]
    with np.errstate(invalid="ignore"):
        low, high = np.percentile(needed[1], (10, 90), method="inverted_cdf")
    result = spread.years.result_usd[:, -1] + spread.owned[i].saving_usd[:, -1]
    return ClaimOutcome(
        name=name,
        said=_said(i + 1, file, facts) if name not in extra else "this project's audit of claims (docs/claims.md)",
        ratio=Range.of(float(centre.ratios_frac[i][0]), spread.ratios_frac[i], "frac"),
        served=fan("share of inference on own chips", "frac", lambda r: r.owned[i].served_frac),
        idle=fan("share of own chips that is idle", "frac", lambda r: r.owned[i].idle_frac),
        saving=fan("saving", "usd", lambda r: r.owned[i].saving_usd),
        inference=fan("cost of revenue", "usd", lambda r: r.years.inference_usd - r.owned[i].saving_usd),
        result=fan("operating result", "usd", lambda r: r.years.result_usd + r.owned[i].saving_usd),
        profitable_frac=float((result > 0).mean()),
        needed=Range(float(low), float(needed[0][0]), float(high), "frac"),
        by_share=tuple(ByShare(s, fan("saving", "usd", _saving_at(s, i))) for s in SHARES),
    )


def _saving_at(share: float, i: int) -> Callable[[_Run], Array]:
    return lambda r: model.saving_at_share(r.years.inference_usd, share, r.ratios_frac[i])


def _said(i: int, file: CompanyFile, facts: Facts) -> str:
    """Whose claim it is, and from where."""
    key = f"claim {i}"
    subject = file.throughput.get(key) or next(
        f.subject for n in ("saving", "performance_per_cost", "ratio") if (f := file.figures.get(f"{key}.{n}"))
    )
    claimant, claimed = (facts.find(subject, n) for n in ("claimant", "claimed"))
    if claimant is None or claimed is None:
        return file.figures[f"{key}.ratio"].source if f"{key}.ratio" in file.figures else "stated in the study file"
    return f"{claimant.value}, {claimed.as_of}"


def _checks(file: CompanyFile, facts: Facts, centre: _Run, spread: _Run, shown: int) -> tuple[Check, ...]:
    """Published figures of the same company that are no input, beside what comes out."""
    company_id = file.figures["first_year.revenue"].subject
    asked: tuple[tuple[str, str, int, Callable[[_Run], Array]], ...] = (
        ("revenue of 2026, a run rate", "revenue_run_rate_2026", 2026, lambda r: r.years.revenue_usd),
        ("inference of 2026", "inference_cost_2026", 2026, lambda r: r.years.inference_usd),
        ("operating loss of 2026", "operating_loss_2026", 2026, lambda r: -r.years.result_usd),
        ("compute of 2028", "compute_2028", 2028, lambda r: r.years.compute_usd),
        ("loss or burn of 2028", "operating_burn_2028", 2028, lambda r: -r.years.result_usd),
        ("power of all compute in 2025", "power_2025", 2025, lambda r: r.power_w),
    )
    made = []
    for what, name, year, of in asked:
        fact = facts.find(company_id, name)
        if fact is None or year not in file.years:
            continue
        at = file.years.index(year)
        unit = "GW" if fact.measure == "w" else "BUSD"
        computed = Range.of(float(of(centre)[0, at]), of(spread)[:, at], fact.measure)
        made.append(Check(what, unit, computed, fact.number, fact.measure, _cited(fact)))
    for claim in list(file.throughput.values())[:1]:
        said, chip = facts.get(claim, "claimed"), str(facts.get(claim, "chip").value)
        rate = _per_chip(shown)
        computed = Range.of(float(rate(centre)[0, -1]), rate(spread)[:, -1], "tokens_per_s")
        peak = said.number * facts.get(chip, "tdp").number
        what = f"tokens of an own chip in {file.last}, and its claimed peak on {facts.get(claim, 'model').value}"
        made.append(Check(what, "tokens/s", computed, peak, "tokens_per_s", _cited(said)))
    return tuple(made)


def _between(results: list[Array]) -> float:
    """Share of the variance that goes with which claim holds, each as likely as the others: a first-order Sobol
    index, variance of the claims' means over that of all samples (Saltelli et al., "Global Sensitivity Analysis").
    """
    pooled = np.concatenate(results)
    return float(np.var([r.mean() for r in results]) / pooled.var()) if pooled.var() > 0 else 0.0


def _labelled(file: CompanyFile, found: tuple[Driver, ...]) -> tuple[Driver, ...]:
    """Drivers by what their setting means, where a setting of the file is what was drawn."""
    settings = {f.driver or f.key: place.rpartition(".")[2] for place, f in file.figures.items()}
    settings |= {f.driver or f.key: "power" for place, f in file.figures.items() if place.startswith("power.")}
    named = ((d, WORDS.get(settings.get(d.name, ""))) for d in found)
    return tuple(replace(d, label=words.format(last=file.last)) if words else d for d, words in named)


def _overtakes(file: CompanyFile, years: model.Years) -> int | None:
    """The first year at whose end all inference since the known year has cost what all training has."""
    gap = np.cumsum(years.inference_usd[0]) - np.cumsum(years.training_usd[0])
    return next((year for year, more in zip(file.years, gap, strict=True) if more >= 0), None)


def _cited(fact: Fact) -> str:
    return f"{fact.key}: {fact.source}, {fact.as_of} ({fact.kind})" if fact.as_of else f"{fact.key}: {fact.source}"
