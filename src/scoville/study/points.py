"""Points for the charts: cost against speed per user, and operators on the roofline."""

from __future__ import annotations

import numpy as np

from scoville.economics import NotOffered
from scoville.facts import Draws, Facts
from scoville.serving import average_step, full_chunk_tokens
from scoville.study.answer import OperatorPoint, ParetoPoint, Roof
from scoville.study.deploy import Choice, Deployment, Workload
from scoville.study.pricing import Terms
from scoville.timing import RooflineTimer


def pareto_points(choice: Choice, facts: Facts, work: Workload, terms: Terms) -> tuple[ParetoPoint, ...]:
    """For every speed per user, the deployment of the chip with the most tokens per chip; targets are not imposed.

    A point is on the front if nothing of the same chip is both faster for the user and cheaper. The front, of means, is
    the steady state's; where a replay was made, it decides which of its points meet the targets: those that carry no
    more than the load it found.
    """
    per_request = work.shape.input_tokens + work.shape.output_tokens
    central = Draws.central()
    hourly = {t: terms.hourly(choice.accelerator, facts, central, t) for t in ("own", "rent")}
    found = []
    for d in choice.all:
        s = d.state
        usable = np.flatnonzero(s.fits[0] & s.stable[0] & np.isfinite(s.ttft_s[0]))
        for j in usable.tolist():
            speed, rate = float(1 / s.tpot_s[0, j]), float(s.requests_per_s[0, j] / d.parallelism.chips)
            found.append((speed, rate, d, j))
    found.sort(key=lambda x: (-x[0], -x[1]))
    best = 0.0
    front = []
    for point in found:
        if point[1] > best:
            best = point[1]
            front.append(point)
    points = []
    for speed, rate, d, j in front:
        size = terms.fleet(
            choice.accelerator,
            facts,
            central,
            np.array([rate * d.parallelism.chips]),
            np.array([float(d.parallelism.chips)]),
        )
        usd = {
            t: None
            if isinstance(h, NotOffered)
            else float(size.cost_usd_per_s(h.total_usd_per_h)[0] / terms.question.traffic.demand)
            for t, h in hourly.items()
        }
        points.append(
            ParetoPoint(
                accelerator=choice.accelerator.id,
                parallelism=str(d.parallelism),
                batch_count=int(d.state.batch_count[j]),
                tokens_per_s_per_user=speed,
                tokens_per_s_per_chip=rate * per_request,
                own_usd_per_token=usd["own"],
                rent_usd_per_token=usd["rent"],
                meets_targets=_meets(choice, d, j, rate),
                on_front=True,
            )
        )
    return tuple(points)


def _meets(choice: Choice, d: Deployment, j: int, rate: float) -> bool:
    """Whether a deployment meets the targets at its j-th batch, where each chip serves `rate` requests per second."""
    steady = bool(d.state.feasible[0, j])
    if choice.replayed is None:
        return steady
    chosen = choice.deployment.parallelism
    return (steady or d.parallelism == chosen) and rate <= choice.requests_per_s / chosen.chips * (1 + 1e-9)


def operator_points(choice: Choice, work: Workload) -> tuple[OperatorPoint, ...]:
    """The operators of the chosen deployment: a decode step at its batch, and a full chunk of prefill on top."""
    table = work.table(choice.deployment.parallelism)
    replayed = choice.replayed
    batch = max(replayed.batch_count, 1.0) if replayed else float(choice.deployment.state.batch_count[choice.best])
    points = []
    for phase, decode, prefill in (
        ("decode", batch, 0.0),
        ("prefill", 0.0, float(full_chunk_tokens(work.shape, table.parallelism, 0.0))),
    ):
        features = table.layout.features(average_step(work.shape, table.parallelism, decode, prefill))[0]
        times = RooflineTimer().explain(table, choice.chips, features)
        total = sum(t.time_s * t.runs_count for t in times)
        for t in times:
            if t.flop <= 0 or t.memory_bytes <= 0:
                continue
            points.append(
                OperatorPoint(
                    accelerator=choice.accelerator.id,
                    phase=phase,
                    operator=t.name,
                    kind=t.kind,
                    rate=t.rate,
                    flop_per_byte=t.flop / t.memory_bytes,
                    achieved_flop_per_s=t.flop / t.time_s,
                    time_frac=t.time_s * t.runs_count / total,
                    limit=t.limit,
                )
            )
    return tuple(points)


def roof(choice: Choice) -> Roof:
    """Slope and ceilings of the chip at its published peaks."""
    on = choice.chips
    return Roof(
        accelerator=choice.accelerator.id,
        memory_bytes_per_s=float(on.memory_bytes_per_s[0]),
        peak_flop_per_s={w: float(v[0]) for (w, a), v in on.compute_flop_per_s.items() if w == a},
    )
