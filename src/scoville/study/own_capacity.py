"""What a chip serves, in tokens per second under the latency targets: as the file states, or replayed."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from scoville import transformer
from scoville.economics import OwnershipTerms
from scoville.errors import DeploymentError, StudyError
from scoville.facts import Draws, Facts
from scoville.study.own_question import OwnFile

Array = NDArray[np.float64]
_SAMPLES = 300
_P90 = NormalDist().inv_cdf(0.9)


@dataclass(frozen=True, slots=True)
class Capacity:
    """Tokens/s of one chip, input and output together, with its range, and how it was found."""

    chip: str
    name: str
    p10_tokens_per_s: float
    central_tokens_per_s: float
    p90_tokens_per_s: float
    chips_per_replica_count: float
    basis: str

    def sample(self, draws: Draws) -> Array:
        """(n,), on both sides lognormal through P10, the centre and P90; the same quantile for a chip everywhere."""
        quantiles = np.clip(draws.uniform(f"capacity-{self.chip}"), 1e-6, 1 - 1e-6)
        z = np.array([NormalDist().inv_cdf(u) for u in quantiles]) / _P90
        c = self.central_tokens_per_s
        sides = np.where(z < 0, np.log(c / self.p10_tokens_per_s), np.log(self.p90_tokens_per_s / c))
        return np.asarray(c * np.exp(z * sides))


def capacities(file: OwnFile, facts: Facts) -> dict[str, Capacity]:
    """Of every chip that an option names, by the name that it gives. Raises ScovilleError where one cannot serve it."""
    q = file.question
    chips = list(dict.fromkeys(o.chip for o in q.option if o.chip))
    if unused := [name for name in q.capacity if name not in chips]:
        raise StudyError(f"{file.path}: [capacity] {unused[0]} is a chip that no option names; named are {chips}")
    found: dict[str, Capacity] = {}
    for chip in chips:
        stated = q.capacity.get(chip)
        if stated is not None:
            if stated <= 0:
                raise StudyError(f"{file.path}: [capacity] {chip} is {stated:g} tokens/s; expected more than 0")
            found[chip] = Capacity(chip, facts.accelerator(chip).name, stated, stated, stated, 1.0, "stated")
    rest = [chip for chip in chips if chip not in found]
    if rest:
        found |= _simulated(file, facts, rest)
    return {chip: found[chip] for chip in chips}


def _simulated(file: OwnFile, facts: Facts, chips: list[str]) -> dict[str, Capacity]:
    from scoville.search.deployed import deployed, load
    from scoville.search.space import Serve
    from scoville.serving import Targets
    from scoville.serving.candidates import candidate_parallelisms
    from scoville.transformer.step import Precision

    q = file.question
    if q.traffic is None or q.model is None or q.precision is None or q.targets is None:
        raise StudyError(
            f"{file.path}: {', '.join(chips)} has no rate in [capacity]; to have it simulated the file must give "
            "[traffic], [model], [precision] and [targets]"
        )
    architecture = transformer.load(file.resolve(q.model.config))
    t = q.targets
    targets = Targets(t.ttft, t.tpot, t.ttft_percentile / 100, t.tpot_percentile / 100)
    formats = Precision(q.precision.weights, q.precision.activations, q.precision.kv)
    serve = Serve(architecture.name, q.model.config, str(file.resolve(q.traffic.trace)), 1.0, architecture, formats,
                  targets, (), ())  # fmt: skip
    work = load(serve, facts, q.uncertainty.seed)
    terms = OwnershipTerms(q.ownership.owner, "")
    most = facts.get("engine", "most_chips").number
    found = {}
    for chip in chips:
        accelerator = facts.accelerator(chip)
        ways = candidate_parallelisms(architecture, accelerator, most)
        draws = Draws(q.uncertainty.seed, min(q.uncertainty.samples, _SAMPLES))
        out = deployed(accelerator, work, facts, terms, draws, mappings=ways)
        if out.refusal or out.tokens_per_s_per_chip is None:
            raise DeploymentError(f"{file.path}: {accelerator.name} cannot serve this: {out.refusal}")
        r = out.tokens_per_s_per_chip
        basis = f"replayed, {out.parallelism}, timed by {out.timed_by}"
        found[chip] = Capacity(
            chip, accelerator.name, min(r.p10, r.central), r.central, max(r.p90, r.central),
            float(out.chips_per_replica_count), basis,
        )  # fmt: skip
    return found
