"""The answer in sentences: the cheapest choice, by how much, and how sure."""

from __future__ import annotations

from scoville.study.answer import Price, Row
from scoville.study.lines import percent
from scoville.study.vintage import is_late, months_late

_VERB = {"rent": "rented", "own": "owned"}
_AGREES_FRAC = 0.1  # the steady state is held to 10 to 20 % of an engine that is stepped
_SMALL_FRAC = 0.02  # the search for the load at random times is as coarse


def _million(price: Price) -> str:
    a = price.all
    return f"${a.central * 1e6:.3g} per million tokens ({a.p10 * 1e6:.3g} to {a.p90 * 1e6:.3g})"


def _price(row: Row, tenure: str) -> Price | None:
    return row.rent if tenure == "rent" else row.own


def _tenure(rows: tuple[Row, ...], best: str, tenure: str) -> list[str]:
    verb = _VERB[tenure]
    have = [(r, p) for r in rows if (p := _price(r, tenure)) is not None]
    if not have:
        return [f"None of the accelerators can be {verb}."]
    row, price = next((r, p) for r, p in have if r.accelerator == best)
    share = percent(price.cheapest_frac)
    sentence = f"Cheapest {verb}: {row.name} at {_million(price)}, cheapest in {share} of the samples"
    others = sorted((x for x in have if x[0].accelerator != best), key=lambda x: x[1].all.central)
    if others:
        next_row, next_price = others[0]
        sentence += (
            f"; next is {next_row.name} at {next_price.all.central / price.all.central:.2f} times that "
            f"(cheapest in {percent(next_price.cheapest_frac)})"
        )
    found = [sentence + "."]
    likely_row, likely = max(have, key=lambda x: x[1].cheapest_frac)
    if likely_row.accelerator != best:
        found.append(
            f"But {likely_row.name} is the cheapest {verb} in more samples ({percent(likely.cheapest_frac)}): "
            f"its range lies lower than its central value suggests."
        )
    return found


def _late(rows: tuple[Row, ...], tenure: str, vintage: str) -> list[str]:
    """That prices are of much later months than asked; one sentence for a tenure."""
    late = [(r.name, p.date) for r in rows if (p := _price(r, tenure)) is not None and is_late(p.date, vintage)]
    if not late:
        return []
    most = max(months_late(date, vintage) for _, date in late)
    which = ", ".join(f"{name} {date}" for name, date in late)
    return [
        f"These {_VERB[tenure]} costs are not of {vintage}, as asked, but rest on prices of up to {most} months later: "
        f"{which}."
    ]


def _replays(rows: tuple[Row, ...]) -> list[str]:
    """Where the replay and the steady state differ by more than a tenth, and why; and which rows were not replayed."""
    have = [(r.name, r.replayed) for r in rows if r.replayed is not None]
    apart = [(name, x) for name, x in have if abs(x.of_steady_frac - 1) > _AGREES_FRAC]
    found = []
    if have and not apart:
        found.append(
            f"Replayed with the arrivals of the trace, {_names([n for n, _ in have], rows)} within "
            f"{percent(_AGREES_FRAC)} of the load that the steady-state estimate gives."
        )
    if apart:
        differ = [r for r in rows if r.name in dict(apart)]
        names = _names([n for n, _ in apart], rows)
        share = _spread([x.of_steady_frac for _, x in apart])
        found.append(
            f"Replayed with the arrivals of the trace, {names} {share} of the load that the steady-state estimate "
            f"gives, and the costs rest on the replay: {_why(differ, _cached(rows))}."
        )
    reasons: dict[str, list[str]] = {}
    for r in rows:
        if r.not_replayed:
            reasons.setdefault(r.not_replayed.rstrip("."), []).append(r.name)
    if reasons:
        which = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
        other = ", which is often higher than what a replay finds" if have else ""
        found.append(f"The steady-state estimate stands alone{other}, for {which}.")
    return found


def _names(names: list[str], rows: tuple[Row, ...]) -> str:
    """'all chips hold' where they are all that were replayed, else their names with the verb."""
    if len(names) == sum(r.replayed is not None for r in rows) > 1:
        return "all chips that were replayed hold" if any(r.not_replayed for r in rows) else "all chips hold"
    return f"{', '.join(names)} {'holds' if len(names) == 1 else 'hold'}"


def _spread(fracs: list[float]) -> str:
    low, high = (f"{x * 100:.0f} %" if x > 0.01 else percent(x) for x in (min(fracs), max(fracs)))
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def _cached(rows: tuple[Row, ...]) -> bool:
    return any(p.cached_input is not None for r in rows for p in (r.rent, r.own) if p)


def _why(rows: list[Row], cached: bool) -> str:
    """What lies between the two loads, in words; `cached` where the estimate has a prefix cache without limit."""
    apart = [r.replayed for r in rows if r.replayed is not None]
    random = [x.random_of_steady_frac for x in apart]
    real = [x.of_steady_frac / x.random_of_steady_frac for x in apart]
    parts = []
    if less := any(f < 1 - _SMALL_FRAC for f in random):
        causes = ["they interrupt each other more than it assumes"]
        causes += ["a prefix cache of real size holds less"] if cached else []
        causes += (
            ["ranks of data-parallel attention wait for each other"]
            if any(" DP" in r.parallelism for r in rows)
            else []
        )
        parts.append(f"at random times the same requests hold {_spread(random)} of that load, as {_joined(causes)}")
    elif any(f > 1 + _SMALL_FRAC for f in random):
        parts.append(
            f"at random times the same requests hold {_spread(random)} of that load, "
            "for which the estimate is too careful"
        )
    rest = "what is left" if less else "it"
    if all(f > 1 - _SMALL_FRAC for f in real):
        if any(f > 1 + _SMALL_FRAC for f in real):
            parts.append(f"this trace comes more evenly, which gives {_spread([max(f - 1, 0.0) for f in real])}")
    elif all(f < 1 + _SMALL_FRAC for f in real):
        parts.append(f"the rushes of this trace take {_spread([max(1 - f, 0.0) for f in real])} of {rest}")
    else:
        parts.append(f"with the rushes and lulls of this trace they hold {_spread(real)} of {rest}")
    preempted = [x.preempted_frac for x in apart if x.preempted_frac > _SMALL_FRAC]
    parts += [f"{_spread(preempted)} of the requests are preempted, as the cache is full"] if preempted else []
    binds = sorted({x.off_target for x in apart})
    parts.append(f"{' or '.join(binds)} stops a higher load")
    return "; ".join(parts)


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _turned(rows: tuple[Row, ...], winners: dict[str, str]) -> list[str]:
    """That other chips would have been the cheapest by the steady-state estimate alone; winners by tenure."""
    ways: dict[tuple[str, bool], list[str]] = {}
    for tenure, best in winners.items():
        steady = {
            r.accelerator: p.steady_usd_per_token
            for r in rows
            if (p := _price(r, tenure)) is not None and p.steady_usd_per_token is not None
        }
        other = min(steady, key=lambda id: steady[id], default=best)
        if other != best:
            name = next(r.name for r in rows if r.accelerator == other)
            alone = any(r.accelerator == best and r.not_replayed for r in rows)
            ways.setdefault((name, alone), []).append(_VERB[tenure])
    return [
        f"By the steady-state estimate alone, {name} would have been the cheapest {' and '.join(verbs)}"
        + ("; no replay corrects the winner's, so that the order may only show that." if alone else ".")
        for (name, alone), verbs in ways.items()
    ]


def sentences(rows: tuple[Row, ...], best_rent: str, best_own: str, vintage: str) -> tuple[str, ...]:
    """Findings in the order of importance."""
    found = _tenure(rows, best_rent, "rent") + _tenure(rows, best_own, "own")
    found += _late(rows, "rent", vintage) + _late(rows, "own", vintage)
    by_id = {r.accelerator: r for r in rows}
    rent = by_id[best_rent].rent if best_rent else None
    own = by_id[best_own].own if best_own else None
    if rent and own:
        ratio = own.all.central / rent.all.central
        share = f"{percent(abs(1 - ratio))} {'less' if ratio < 1 else 'more'} than renting"
        found.append(f"Owning the cheapest chip costs {share} the cheapest.")
    found += _replays(rows) + _turned(rows, {"rent": best_rent, "own": best_own})
    unclaimed = [r.name for r in rows if r.evidence == "claimed" and not r.refusal]
    if unclaimed:
        found.append(
            f"No independent measurement stands behind {', '.join(unclaimed)}: vendor figures, with a wide range."
        )
    refused = [r for r in rows if r.refusal]
    found += [f"{r.name}: {r.refusal}." for r in refused]
    return tuple(found)
