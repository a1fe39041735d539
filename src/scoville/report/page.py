"""report.html: one file that holds everything, asks no network for anything and lets no script in but its own."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoville.report import grid, tables, theme, wording
from scoville.report.charts import hangs, margin
from scoville.study.answer import Answer, Source

if TYPE_CHECKING:
    from jinja2 import Environment

_DRAW = """
for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const spec = JSON.parse(document.getElementById("spec-" + figure.dataset.chart).textContent);
  vegaEmbed(figure.querySelector(".chart"), spec, {ast: true, actions: false, renderer: "svg"});
}
const open = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let d = target && target.closest("details"); d; d = d.parentElement.closest("details")) d.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", open);
open();
"""


@dataclass(frozen=True, slots=True)
class _Figure:
    name: str
    title: str
    subtitle: str
    foot: str
    spec: str


@dataclass(frozen=True, slots=True)
class _Group:
    id: str
    name: str
    facts: tuple[tuple[str, str, Source], ...]  # name, shape, the fact


def page(answer: Answer, specs: Mapping[str, dict[str, Any]], bundle: str) -> str:
    """The whole page as HTML.

    `specs` are Vega-Lite specifications by name as `theme.specification` makes them; `bundle` is the text of
    a `Script`. Everything from the answer is escaped, in the text and in the specifications.
    """
    groups = _groups(answer)
    return rendered(
        "page.html.j2",
        specs,
        bundle,
        answer=answer,
        headline=answer.findings[0] if answer.findings else answer.title,
        findings=answer.findings[1:],
        circumstances=tuple(line.partition(": ")[::2] for line in tables.circumstances(answer)),
        notice=tables.notice(answer) if answer.user_facts else "",
        grids=(grid.does(answer), grid.costs(answer)),
        replays=grid.replays(answer),
        about_replays=grid.REPLAYS,
        shapes=theme.EVIDENCE_WORDS.items(),
        fact_shapes=theme.FACT_WORDS.items(),
        below=(grid.LIMIT, *grid.bases(answer)),
        footnotes=grid.footnotes(answer),
        layers=_layers(answer),
        total_name=margin.TOTAL,
        total=wording.ranged(answer.waterfall.total, "USD/Mtok") if answer.waterfall else "",
        drivers=[
            (
                wording.driver(answer, d.label),
                *(wording.digits(hangs.outcome(d, v)) for v in (d.at_low, d.at_high)),
                wording.percent(d.variance_share_frac),
            )
            for d in hangs.ranked(answer)
        ],
        groups=groups,
        prices=(prices := _prices(answer)),
        with_prices={group.id for group in prices},
        shared=_shared(answer, groups, prices),
        with_facts={group.id.removeprefix("facts-") for group in groups},
        command=f"scoville study {shlex.quote(answer.study_file)}",
    )


def rendered(template: str, specs: Mapping[str, dict[str, Any]], bundle: str, **context: Any) -> str:
    """A template of this folder as a page that lets in no script but its own; `figures` holds the charts by name."""
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(bundle)} {_hash(_DRAW)}",
            "style-src 'unsafe-inline'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    figures = {name: _Figure(name, *_texts(spec)) for name, spec in specs.items()}
    page = _environment().get_template(template)
    return page.render(policy=policy, bundle=bundle, draw=_DRAW, figures=figures, **context)


def embedded(spec: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element: no character of it can end the element or open a comment."""
    text = json.dumps(spec, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _texts(spec: dict[str, Any]) -> tuple[str, str, str, str]:
    bare, title, subtitle, foot = theme.for_page(spec)
    return title, subtitle, foot, embedded(bare)


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _layers(answer: Answer) -> list[tuple[str, str, str]]:
    fall = answer.waterfall
    if fall is None:
        return []
    return [(x.name, wording.ranged(x.cost, "USD/Mtok"), margin.share(x.cost, fall)) for x in fall.layers]


def _groups(answer: Answer) -> list[_Group]:
    """The facts used, those of each chip in the order of the study, then the others by subject."""
    by_subject: dict[str, list[Source]] = {row.accelerator: [] for row in answer.rows}
    for source in answer.sources:
        by_subject.setdefault(source.key.partition(".")[0], []).append(source)
    return [
        _Group(
            f"facts-{subject}",
            wording.name_of(answer, subject),
            tuple((s.key.partition(".")[2] or s.key, theme.evidence_shape(s.kind), s) for s in facts),
        )
        for subject, facts in by_subject.items()
        if facts
    ]


def _prices(answer: Answer) -> list[_Group]:
    """The facts behind the hourly cost of each chip, rented and owned; keys that no source has are left out."""
    by_key = {source.key: source for source in answer.sources}
    found = [
        _Group(
            f"price-{tenure}-{row.accelerator}",
            f"{row.name}, {words}",
            tuple((key, theme.evidence_shape(by_key[key].kind), by_key[key]) for key in p.facts if key in by_key),
        )
        for tenure, words in (("rent", "rented"), ("own", "owned"))
        for row, p in wording.priced(answer, tenure)
    ]
    return [group for group in found if group.facts]


def _shared(answer: Answer, groups: list[_Group], prices: list[_Group]) -> list[_Group]:
    """The groups of facts that are of no chip and in no price: timing and engine."""
    chips = {f"facts-{row.accelerator}" for row in answer.rows}
    in_prices = {source.key for group in prices for _, _, source in group.facts}
    return [g for g in groups if g.id not in chips and not any(source.key in in_prices for _, _, source in g.facts)]


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("scoville.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
