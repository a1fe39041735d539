"""An answer of a search, made up: two things served, three chips beside the best design, one of which cannot serve."""

from __future__ import annotations

from dataclasses import replace

from scoville.facts import Range
from scoville.search.answer import (
    Answer,
    AtSpeed,
    Bought,
    Bound,
    Designed,
    Finalist,
    Marginal,
    Parameter,
    Point,
    Regret,
    Reuse,
    Served,
    Setting,
    Share,
    Shift,
)
from scoville.search.deployed import Deployed, Part, Speed

SERVES = ("Llama-3.1-70B", "gpt-oss-120b")


def usd(per_mtok: float) -> Range:
    """A cost with 20 % less and 40 % more around it."""
    return Range(0.8e-6 * per_mtok, 1e-6 * per_mtok, 1.4e-6 * per_mtok, "usd_per_token")


def point(serve: str, speed: float, per_mtok: float) -> Point:
    return Point(7, serve, "TP2", 64, 0.8e-6 * per_mtok, 1e-6 * per_mtok, 0.03, 1 / speed, speed)


def deployed(chip: str, name: str, serve: str, per_mtok: float, nre: float = 0.0) -> Deployed:
    cost = usd(per_mtok)
    layers = [Part("silicon", usd(0.2 * per_mtok)), Part("memory", usd(0.5 * per_mtok))]
    layers.append(Part("one-time cost" if nre else "vendor margin", usd(0.3 * per_mtok)))
    rate = 5000.0
    return Deployed(
        chip, name, serve, timed_by="arrays", parallelism="TP2", chips_per_replica_count=2, batch_count=63.7,
        steady_tokens_per_s_per_chip=5200.0, tokens_per_s_per_chip=Range(4000, rate, 6000, "tokens_per_s"),
        tokens_per_s_per_user=40.0, ttft_percentile_s=0.5, tpot_percentile_s=0.04, energy_j_per_token=0.05,
        hourly=Range(1.0, 1.2, 1.5, "usd_per_h"), nre_usd_per_h=nre * cost.central * 3600 * rate, usd_per_token=cost,
        parts=tuple(layers),
        curve=(Speed("TP2", 128, 20.0, 0.7e-6 * per_mtok), Speed("TP4", 8, 90.0, 3e-6 * per_mtok)),
    )  # fmt: skip


def designed(number: int) -> Designed:
    settings = (
        Setting("compute.slices", "64", 64.0, "count"),
        Setting("memory.kind", "hbm4", None, ""),
        Setting("compute.sram_per_slice", "1 MiB", 2.0**20, "bytes"),
    )
    return Designed(
        number=number, name=f"design {number}", text='name = "made up"\n', settings=settings,
        points=tuple(point(s, 40, 0.05) for s in SERVES), mix_usd_per_token=0.05e-6,
        area=(Share("matrix units", 300.0, "mm2"), Share("overhead", 200.0, "mm2")), compute_die_mm2=500.0,
        io_die_mm2=50.0, tdp_w=700.0, unit_usd=6000.0, unit=(Share("memory", 4000.0, "usd"),), nre_usd=8e8,
        nre=(Share("software", 8e8, "usd"),), volume_count=1e5,
    )  # fmt: skip


def answer() -> Answer:
    """Every part of an answer occurs once."""
    best = designed(7)
    served = tuple(
        Served(s, "a trace", f"{s}: 70B parameters", "weights fp8", "P95 TTFT 1 s", 0.5, ("TP2", "TP4"), (1, 64))
        for s in SERVES
    )
    won = tuple(deployed("design-7", "design 7", s, 0.05, nre=0.3) for s in SERVES)
    lost = tuple(deployed("design-9", "design 9", s, 0.06, nre=0.3) for s in SERVES)
    rival = tuple(deployed("b200-sxm", "B200 SXM", s, 0.12) for s in SERVES)
    reference = tuple(deployed("jalapeno", "Jalapeño (B0)", s, 0.09) for s in SERVES)
    refused = (Deployed("h100-sxm", "H100 SXM5", SERVES[0], refusal="it does not fit"),)
    return Answer(
        title="A chip for two models",
        space_file="two.toml",
        scoville_version="0.1.0",
        served=served,
        designs_count=1000,
        points_count=100_000,
        feasible_count=25_000,
        broken=(("breaks a limit", 50_000), ("misses a target", 30_000)),
        vintage="2026-09",
        owner="hyperscaler",
        start="2026-10",
        volume_count=1e5,
        samples_count=500,
        seed=1,
        best=best,
        fronts=tuple(point(s, v, c) for s in SERVES for v, c in ((20, 0.04), (40, 0.05), (80, 0.09), (90, 0.08))),
        at_speed=(
            AtSpeed(SERVES[0], 20.0, point(SERVES[0], 20, 0.04), point(SERVES[0], 20, 0.05)),
            AtSpeed(SERVES[1], 500.0, None, None),
        ),
        slices=(),
        parameters=(Parameter("memory.stacks", "6", "2", 1.5), Parameter("compute.slices", "64", "32", 0.1)),
        shifts=(
            Shift("wafer price", 2.0, 0.055e-6, 0.054e-6, 9, ("slices 64 -> 48",)),
            Shift("volume", 0.5, 0.06e-6, 0.06e-6, 7, ()),
        ),
        marginals=(
            Marginal("memory stacks", "1 stack", 29.0, -1e-9, -29.0, 4e-9, -8.6e-11, -0.1, ""),
            Marginal("scale-up links", "37.5 GB/s", 3.0, 1e-10, None, None, 3e-11, 0.003, "less breaks a limit"),
            Marginal("slices", "1 slice", None, None, None, None, None, None, "more breaks a limit"),
        ),
        regrets=tuple(
            Regret(made_for, s, 7, 0.05e-6, over)
            for made_for, overs in (("the mix", (0.02, 0.03)), (SERVES[0], (0.0, float("inf"))), (SERVES[1], (0.4, 0)))
            for s, over in zip(SERVES, overs, strict=True)
        ),
        reuse=(Reuse(SERVES[0], SERVES[1], 7, 0.05e-6, 0.06e-6),),
        finalists=(
            Finalist(best, won, usd(0.05), 0.048e-6, 0.04, ""),
            Finalist(designed(9), lost, usd(0.06), 0.05e-6, 0.2, ""),
            Finalist(designed(11), (), None, 0.05e-6, None, "no mapping meets both targets"),
        ),
        bought=(
            Bought("b200-sxm", "B200 SXM", rival, usd(0.12), "", False),
            Bought("h100-sxm", "H100 SXM5", refused, None, "Llama-3.1-70B: it does not fit", False),
            Bought("jalapeno", "Jalapeño (B0)", reference, usd(0.09), "", True),
        ),
        supply=Bound(1e5, 8e4, "HBM stacks", "480,000 HBM stacks are enough for 80,000 packages"),
        findings=("design 7 serves at 0.05 USD/Mtok", "It costs 44 % less than Jalapeño (B0), the reference"),
        approximations=("Sweep: a closed form.",),
    )


def alone() -> Answer:
    """The same with one thing served."""
    whole = answer()
    name = SERVES[0]

    def only(found: tuple[Deployed, ...]) -> tuple[Deployed, ...]:
        return tuple(d for d in found if d.serve == name)

    return replace(
        whole,
        served=(replace(whole.served[0], weight_frac=1.0),),
        fronts=tuple(p for p in whole.fronts if p.serve == name),
        at_speed=whole.at_speed[:1],
        regrets=(),
        reuse=(),
        finalists=tuple(replace(f, deployed=only(f.deployed)) for f in whole.finalists),
        bought=tuple(replace(b, deployed=only(b.deployed)) for b in whole.bought),
    )
