"""A designed chip as tables, as a drawing, as JSON and as files: what `scoville chip` shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scoville import __version__
from scoville.facts import Draws, Facts, Range
from scoville.report import floorplan, sheet, wording
from scoville.report.folder import finite, replaced
from scoville.report.grid import Cell, Head
from scoville.report.sheet import Row, Sheet
from scoville.silicon import Design, Power, Technology, area, check, power, technology
from scoville.silicon.area import memory_bytes_per_s
from scoville.silicon.chip import Chip, build
from scoville.silicon.design import Array
from scoville.units import show as quantity

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

RESULT = "chip.json"
_PACKAGES = {"cowos-s": "CoWoS-S", "cowos-l": "CoWoS-L", "organic": "an organic substrate"}


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A chip with what only its central figures give: technology and power.

    `process` are the names of the processes in words, `file` is where the design came from, `samples_count` and `seed`
    are of the ranges.
    """

    chip: Chip
    technology: Technology
    power: Power
    process: str
    file: str
    samples_count: int
    seed: int
    user_facts: tuple[str, ...] = ()


def built(
    design: Design,
    facts: Facts,
    file: str,
    *,
    date: str,
    volume: float,
    seller: str,
    start: str,
    samples: int,
    seed: int,
) -> Shown:
    """The chip of one design, ready to be shown; the keywords are those of `build`. Raises DesignError as it does."""
    physics = technology(design, facts)
    size = area(design, physics)
    uses = power(design, physics, size)
    check(design, size, uses, physics)
    names = [facts.subject(f"process-{p}").name for p in dict.fromkeys((design.process, design.io_process)) if p]
    return Shown(
        chip=build(design, facts, Draws(seed, samples), date=date, volume=volume, seller=seller, start=start),
        technology=physics,
        power=uses,
        process=", I/O on ".join(names),
        file=file,
        samples_count=samples,
        seed=seed,
        user_facts=tuple(sorted(f.key for f in facts.user_facts)),
    )


def show(shown: Shown, console: Console) -> None:
    """Print every table."""
    for part in parts(shown, console.width):
        console.print(part)


def parts(shown: Shown, width: int) -> list[RenderableType]:
    """The chip as rich renderables, with empty lines between its parts."""
    from rich.padding import Padding
    from rich.text import Text

    made: list[RenderableType] = [Text(shown.chip.design.name, style="bold")]
    made += [Text(line, style="dim") for line in circumstances(shown)]
    if shown.user_facts:
        made.append(Text(f"This result uses your own facts: {'; '.join(shown.user_facts)}.", style="bold"))
    for one in sheets(shown):
        made += ["", *sheet.rendered(one, width)]
    made += ["", Text("Approximations", style="bold")]
    return made + [Padding(Text(line, style="dim"), (0, 0, 0, 2)) for line in approximations(shown)]


def approximations(shown: Shown) -> tuple[str, ...]:
    """What was taken for granted, and how far the physics were off on other chips."""
    off = wording.percent(shown.technology.tdp_error_frac)
    checked = f"area and power: a TDP may be {off} off; docs/silicon.md has model and maker side by side for each chip"
    return (checked, *shown.chip.notes)


def circumstances(shown: Shown) -> tuple[str, ...]:
    """What it is in a line, what its prices are of, what brackets mean."""
    c, d = shown.chip, shown.chip.design
    dies = [wording.counted(int(_one(d.compute_dies_count)), "compute die")]
    if d.io_process:
        dies.append(wording.counted(int(_one(d.io_dies_count)), "I/O die"))
    if d.memory != "none":
        dies.append(f"{_one(d.stacks_count):.0f} x {d.memory.upper()}")
    seller = "at cost" if c.seller == "none" else f"with the margin of {c.seller}"
    return (
        f"{shown.process}; {wording.listed(dies)} on {_PACKAGES[d.package]}",
        f"Prices of {c.month}, {c.volume_count:,.0f} chips, {seller}; programme begun in {c.start}",
        f"Every fact at its central value; in brackets P10–P90 of {shown.samples_count:,} samples, seed {shown.seed}, "
        "which skewed ranges can shift to one side",
    )


def sheets(shown: Shown) -> tuple[Sheet, ...]:
    """Every table that the chip has something for, in order."""
    c = shown.chip
    made = (
        rates(shown), memory(shown), _area(shown), _io_area(shown), _power(shown), making(shown),
        sheet.breakdown(
            "What one chip costs", "", _ranked(c.cost), ("price", c.figures["price"]), "USD",
            (f"Without margin {wording.ranged(c.figures['unit cost'], 'USD')} USD.",),
        ),
        _nre(shown), dates(shown),
        sheet.breakdown(
            "Embodied carbon", "", _ranked(c.carbon), ("one good package", c.figures["embodied carbon"]), "kg",
            ("kg of CO2 equivalent.",),
        ),
    )  # fmt: skip
    return tuple(s for s in made if s.rows)


def rates(shown: Shown) -> Sheet:
    """Dense peak rates, what fits under the cap, and what a mm2 and a watt give."""
    c = shown.chip
    mm2 = _one(c.design.compute_dies_count) * c.figures["compute die"].central
    rows = []
    for key, peak in c.peak_flop_per_s.items():
        capped = _one(shown.power.flop_per_s_under_cap[key])
        cells = (
            quantity(peak, "flop_per_s"), quantity(capped, "flop_per_s"), wording.digits(peak / 1e12 / mm2),
            wording.digits(peak / 1e12 / c.figures["TDP"].central),
        )  # fmt: skip
        rows.append(Row(formats(key), tuple(Cell(x) for x in cells)))
    heads = (
        Head("", "dense peak"), Head("", "under the cap"), Head("", "TFLOP/s per mm2 of compute die"),
        Head("", "TFLOP/s per W of TDP"),
    )  # fmt: skip
    below = "Under the cap: all else at full rate, the matrix units as fast as the power cap leaves room."
    return Sheet("Arithmetic", "", "weights x activations", heads, tuple(rows), (below,))


def formats(key: str) -> str:
    """How a pair of formats is written.

    >>> formats("fp4"), formats("fp4_fp8")
    ('FP4', 'FP4 x FP8')
    """
    return key.upper().replace("_", " x ")


def memory(shown: Shown) -> Sheet:
    """What it holds and how fast it moves."""
    d, c = shown.chip.design, shown.chip
    rows = []
    if d.memory != "none":
        own = _one(d.stack_bytes)
        capacity = _one(d.stacks_count) * (own if own > 0 else _one(shown.technology.stack_bytes))
        bandwidth = _one(memory_bytes_per_s(d, shown.technology))
        under = c.figures["memory bandwidth under the cap"]
        words = f"{wording.ranged(under, 'TB/s')} TB/s under the cap"
        rows.append(
            Row(d.memory.upper(), _cells(quantity(capacity, "bytes"), quantity(bandwidth, "bytes_per_s"), words))
        )
    slices = _one(d.compute_dies_count) * _one(d.slices_count)
    sram = slices * _one(d.sram_per_slice_bytes)
    feed = _one(d.active_slices_count) * _one(d.sram_bandwidth_per_slice_bytes_per_s)
    each = f"{quantity(_one(d.sram_per_slice_bytes), 'bytes')} in each of {slices:,.0f} slices"
    rows.append(Row("SRAM in slices", _cells(quantity(sram, "bytes"), quantity(feed, "bytes_per_s"), each)))
    if (shared := _one(d.compute_dies_count) * _one(d.sram_shared_bytes)) > 0:
        rows.append(Row("shared SRAM", _cells(quantity(shared, "bytes"), "", "")))
    domain = f"to {_one(d.scale_up_domain_count):,.0f} chips"
    for name, rate, note in (
        ("scale-up links", d.scale_up_bytes_per_s, domain),
        ("scale-out links", d.scale_out_bytes_per_s, ""),
        ("host link", d.host_bytes_per_s, ""),
    ):
        if _one(rate) > 0:
            rows.append(Row(name, _cells("", quantity(_one(rate), "bytes_per_s"), note)))
    heads = (Head("", "capacity"), Head("", "bandwidth"), Head("", "", numeric=False))
    return Sheet("Memory and links", "links a direction", "", heads, tuple(rows))


def _cells(*texts: str) -> tuple[Cell, ...]:
    return tuple(Cell(text) for text in texts)


def _area(shown: Shown) -> Sheet:
    c, t = shown.chip, shown.technology
    die = c.figures["compute die"]
    field = t.reticle_width_mm * t.reticle_height_mm
    room = field - die.central
    left = f"{wording.plain(room)} mm2 of it are left" if room >= 0 else f"{wording.plain(-room)} mm2 are too many"
    reticle = f"The reticle's field is {t.reticle_width_mm:g} x {t.reticle_height_mm:g} mm, {field:g} mm2; {left}."
    title = "Area of a compute die"
    return sheet.breakdown(title, "", _ranked(c.area), ("compute die", die), "mm2", (reticle,))


def _io_area(shown: Shown) -> Sheet:
    c = shown.chip
    if not c.io_area:
        return Sheet("Area of an I/O die", "", "", (), ())
    return sheet.breakdown("Area of an I/O die", "", _ranked(c.io_area), ("I/O die", c.figures["I/O die"]), "mm2")


def _power(shown: Shown) -> Sheet:
    c = shown.chip
    tdp, cap = c.figures["TDP"], _one(c.design.power_cap_w)
    share = wording.percent(tdp.central / cap)
    density = wording.ranged(c.figures["power density"], "W/mm2")
    over = ", over it by less than the model's error" if tdp.central > cap else ""
    below = (f"TDP is {share} of the cap of {cap:,.0f} W{over}; the dies give off {density} W/mm2.",)
    title = "Power with everything at full rate"
    return sheet.breakdown(title, "", _ranked(c.power), ("TDP", tdp), "W", below)


def making(shown: Shown) -> Sheet:
    """Yields, dies a wafer, and what a good die costs."""
    f = shown.chip.figures
    good = f["gross dies a wafer"], f["die yield"]
    rows = [
        Row("whole compute dies on a wafer", (Cell(*wording.in_words(good[0], count=True)),)),
        Row("die yield, with spares", (_percent(f["die yield"]),)),
        Row("good dies of a wafer", (Cell(wording.whole(good[0].central * good[1].central)),)),
        Row("a known good compute die, USD", (sheet.cell(f["known good die"], "USD"),)),
        *([Row("interposer, mm2", (sheet.cell(f["interposer"], "mm2"),))] if f["interposer"].central > 0 else []),
        Row("package yield", (_percent(f["package yield"]),)),
    ]
    return Sheet("Making it", "", "", (Head("", ""),), tuple(rows))


def _percent(r: Range) -> Cell:
    text = wording.percent(r.central)
    return Cell(text, f"({100 * r.p10:.0f}–{100 * r.p90:.0f})" if r.p10 != r.p90 else "")


def _nre(shown: Shown) -> Sheet:
    c = shown.chip
    each = wording.ranged(c.figures["one-time cost per chip"], "USD")
    whole = wording.ranged(c.figures["price with one-time cost"], "USD")
    below = (f"Over {c.volume_count:,.0f} chips {each} USD each; with it a chip comes to {whole} USD.",)
    total = ("all of it", c.figures["one-time cost"])
    return sheet.breakdown("One-time cost (NRE)", "", _ranked(c.nre), total, "MUSD", below)


def dates(shown: Shown) -> Sheet:
    """Months of the programme, early, central and late."""
    rows = tuple(Row(name, _cells(base, early, late)) for name, (early, base, late) in shown.chip.milestones.items())
    heads = (Head("", "month"), Head("", "P10"), Head("", "P90"))
    return Sheet("Dates", "", f"begun in {shown.chip.start}", heads, rows)


def drawing(shown: Shown) -> str:
    """The floorplan as SVG."""
    c, d = shown.chip, shown.chip.design
    mm2: dict[str, float] = {}
    for blocks, count in ((c.area, d.compute_dies_count), (c.io_area, d.io_dies_count)):
        for name, r in blocks.items():
            mm2[name] = mm2.get(name, 0.0) + _one(count) * r.central
    dies = [f"{r.kind} {r.width_mm:.1f} x {r.height_mm:.1f} mm" for r in c.floorplan.rectangles if not r.inside]
    named = [f"{dies.count(words)} x {words}" if dies.count(words) > 1 else words for words in dict.fromkeys(dies)]
    carrier = c.figures["interposer"].central
    if carrier < c.floorplan.width_mm * c.floorplan.height_mm:
        carrier = 0.0  # the model's share for the interposer is less than this arrangement takes
    around = f"outline: interposer of {wording.plain(carrier)} mm2" if carrier > 0 else "outline: 1 mm beyond them"
    return floorplan.draw(
        c.floorplan,
        drawing_title(d, mm2),
        f"From above, to scale: {'; '.join([*named, around])}",
        mm2,
        "Dies, memory sites and blocks have the areas of the model; where they stand is assumed. Overhead (clocks, "
        f"control, test, white space) is the light ground of the dies. Source: {shown.file}, Scoville {__version__}.",
        carrier_mm2=carrier,
        arrays_per_slice=int(_one(d.arrays_per_slice_count)),
    )


def drawing_title(design: Design, mm2: Mapping[str, float]) -> str:
    """What takes most of the dies beside overhead, and the next."""
    whole = sum(mm2.values())
    ranked = sorted((name for name in mm2 if name != "overhead"), key=lambda name: -mm2[name])
    shares = [wording.percent(mm2[name] / whole) for name in ranked[:2]]
    second = f", {ranked[1]} {shares[1]}" if len(ranked) > 1 and mm2[ranked[1]] > 0 else ""
    return f"{design.name.replace(': ', ', ')}: {ranked[0]} take {shares[0]} of the silicon{second}"


def as_json(shown: Shown) -> str:
    """Everything as JSON in SI units."""
    return json.dumps(record(shown), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def record(shown: Shown) -> dict[str, Any]:
    """Everything as plain values in SI units."""
    c = shown.chip
    found = {
        "design": asdict(c.design),
        "file": shown.file, "month": c.month, "start": c.start, "volume_count": c.volume_count, "seller": c.seller,
        "samples_count": shown.samples_count, "seed": shown.seed,
        "peak_flop_per_s": dict(c.peak_flop_per_s),
        "flop_per_s_under_cap": {k: _one(v) for k, v in shown.power.flop_per_s_under_cap.items()},
    }  # fmt: skip
    for name in ("figures", "area", "io_area", "power", "cost", "nre", "carbon"):
        found[name] = {key: asdict(r) for key, r in getattr(c, name).items()}
    found["milestones"] = {name: list(months) for name, months in c.milestones.items()}
    found["floorplan"] = asdict(c.floorplan)
    found["notes"] = list(approximations(shown))
    found["user_facts"] = list(shown.user_facts)
    made: dict[str, Any] = finite(found)
    return made


def write(shown: Shown, facts: str, folder: Path) -> list[Path]:
    """Write chip.json, the floorplan as SVG and PNG and the facts file into `folder`; an earlier one is replaced.

    Raises StudyError where `folder` is a file, holds something that is no such result, or cannot be written.
    """
    names = [RESULT, "floorplan.svg", "floorplan.png", "facts.toml"]
    with replaced(folder, RESULT) as new:
        (new / RESULT).write_text(as_json(shown), encoding="utf-8")
        drawn = drawing(shown)
        for name in names[1:3]:
            floorplan.write(drawn, new / name)
        (new / names[3]).write_text(facts, encoding="utf-8", newline="\n")
    return [folder / name for name in names]


def _ranked(blocks: Mapping[str, Range]) -> list[tuple[str, Range]]:
    """Parts, the largest first."""
    return sorted(blocks.items(), key=lambda item: -item[1].central)


def _one(value: float | Array) -> float:
    """A figure of one design as a plain number."""
    return float(np.asarray(value).item())
