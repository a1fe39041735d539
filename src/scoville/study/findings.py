"""The answer in sentences: the cheapest choice, by how much, and how sure."""

from __future__ import annotations

from scoville.study.answer import Price, Row
from scoville.study.lines import percent
from scoville.study.vintage import is_late, months_late

_VERB = {"rent": "rented", "own": "owned"}


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
    unclaimed = [r.name for r in rows if r.evidence == "claimed" and not r.refusal]
    if unclaimed:
        found.append(
            f"No independent measurement stands behind {', '.join(unclaimed)}: vendor figures, with a wide range."
        )
    refused = [r for r in rows if r.refusal]
    found += [f"{r.name}: {r.refusal}." for r in refused]
    return tuple(found)
