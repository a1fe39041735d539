"""A study, stage by stage: read, reduce the traffic, choose deployments, sample, price, compare, explain."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import numpy as np

import scoville
from scoville import traffic, transformer
from scoville.errors import DeploymentError, FactError, ScovilleError, StudyError
from scoville.facts import Accelerator, Facts
from scoville.serving import check_context, shape
from scoville.study import lines
from scoville.study.answer import Answer
from scoville.study.deploy import Choice, Workload, choose
from scoville.study.drivers import RecordedDraws, drivers
from scoville.study.evaluate import TENURES, Evaluated, cheapest, cheapest_frac, evaluate, priced
from scoville.study.findings import sentences
from scoville.study.points import operator_points, pareto_points, roof
from scoville.study.pricing import Terms
from scoville.study.question import Question, QuestionFile
from scoville.study.replay import Replays, engine_facts, engine_settings
from scoville.study.rows import margin_waterfall, row, shown_value, sources
from scoville.study.vintage import check_vintage
from scoville.timing import RooflineTimer, timing_evidence
from scoville.traffic import Trace
from scoville.transformer import Architecture
from scoville.transformer.step import windows

Progress = Callable[[str, float], None]
_THREADS = 2
_LOADING = "loading the simulator (compiled once, after installation)"


def answer(file: QuestionFile, facts: Facts, progress: Progress = lambda _stage, _done: None) -> Answer:
    """Answer a study. Raises ScovilleError with one sentence where the question has no answer."""
    q = file.question
    with _named(file, "traffic", "trace"):
        trace = traffic.load(file.resolve(q.traffic.trace))
    with _named(file, "model", "config"):
        architecture = transformer.load(file.resolve(q.model.config))
    with _named(file, "accelerators", "compare"):
        accelerators = _accelerators(q, facts)
    with _named(file, "prices", "vintage"):
        check_vintage(accelerators, q.prices.vintage, q.prices.rent_term)
    progress("traffic", 0.05)

    with _named(file, "traffic", "trace"):
        work = _workload(q, trace, architecture, facts)
    terms = Terms.of(q, work.shape)
    draws = RecordedDraws(q.uncertainty.seed, q.uncertainty.samples)

    replays = Replays(trace, facts, work)
    done: dict[str, Evaluated | str] = {}
    with closing(_decided(accelerators, facts, work, replays, progress)) as decided:
        for accelerator, choice in decided:
            done[accelerator.id] = choice if isinstance(choice, str) else evaluate(choice, facts, draws, work, terms)
    asked = draws.asked
    evaluated = {id: e for id, e in done.items() if isinstance(e, Evaluated)}
    if not evaluated:
        reasons = "; ".join(str(reason) for reason in done.values())
        raise DeploymentError(f"{file.path}: none of the accelerators can serve this: {reasons}")
    progress("comparing", 0.95)

    chances = {tenure: cheapest_frac(evaluated, tenure) for tenure in TENURES}
    rows = tuple(
        row(a, done[a.id], timing_evidence(a, facts), work, {t: chances[t].get(a.id, 0.0) for t in TENURES})
        for a in accelerators
    )
    replayed = any(r.replayed for r in rows)
    best = {tenure: cheapest(evaluated, tenure) for tenure in TENURES}
    subject = best["own"] or best["rent"]
    tenure = "own" if best["own"] else "rent"
    outcome = priced(evaluated[subject], tenure).sampled_all_usd_per_token if subject else np.array([])
    shown = list(dict.fromkeys(id for id in best.values() if id))
    return Answer(
        title=q.title,
        study_file=file.path.name,
        scoville_version=scoville.__version__,
        traffic=lines.traffic(trace, work.shape, trace.block_hashes is not None),
        demand_tokens_per_s=q.traffic.demand,
        peak_to_average_frac=q.traffic.peak_to_average,
        model=lines.model(architecture, q.formats),
        precision=lines.precision(architecture, q.formats),
        targets=lines.targets(q.latency),
        ttft_target_s=q.targets.ttft,
        tpot_target_s=q.targets.tpot,
        percentile_ttft_frac=q.targets.ttft_percentile / 100,
        percentile_tpot_frac=q.targets.tpot_percentile / 100,
        vintage=q.prices.vintage,
        owner=q.ownership.owner,
        samples_count=q.uncertainty.samples,
        seed=q.uncertainty.seed,
        rows=rows,
        cheapest_rent=best["rent"],
        cheapest_own=best["own"],
        findings=sentences(rows, best["rent"], best["own"], q.prices.vintage),
        pareto=tuple(p for e in evaluated.values() for p in pareto_points(e.choice, facts, work, terms)),
        waterfall=margin_waterfall(evaluated, facts, draws, terms),
        drivers=drivers(draws, outcome, "usd_per_token") if subject else (),
        driver_outcome=f"{'owned' if tenure == 'own' else 'rented'} USD per token on "
        f"{evaluated[subject].choice.accelerator.name}"
        if subject
        else "",
        operators=tuple(p for id in shown for p in operator_points(evaluated[id].choice, work)),
        roofs=tuple(roof(evaluated[id].choice) for id in shown),
        approximations=lines.approximations(
            trace.block_hashes is not None, facts.get("engine", "most_chips").number, replayed
        ),
        sources=sources((*asked, *(engine_facts(facts) if replayed else ()))),
        user_facts=tuple(f"{f.key} = {shown_value(f)} ({f.place})" for f in facts.user_facts),
    )


# -- stages ------------------------------------------------------------------------------------------------------


@contextmanager
def _named(file: QuestionFile, table: str, field: str) -> Iterator[None]:
    """Put the place in the study file before the sentence of whatever is wrong with what it names."""
    try:
        yield
    except ScovilleError as error:
        raise type(error)(f"{file.place(table, field)}: {error}") from None


def _accelerators(question: Question, facts: Facts) -> list[Accelerator]:
    found: dict[str, Accelerator] = {}
    for name in question.accelerators.compare:
        accelerator = facts.accelerator(name)
        if accelerator.id in found:
            raise StudyError(f"'{name}' is {accelerator.name}, which is named twice; name each once")
        found[accelerator.id] = accelerator
    return list(found.values())


def _decided(
    accelerators: Sequence[Accelerator], facts: Facts, work: Workload, replays: Replays, progress: Progress
) -> Generator[tuple[Accelerator, Choice | str], None, None]:
    """The choice for each chip, as the simulator decides; it replays later chips while the earlier are evaluated."""
    pool = ThreadPoolExecutor(_THREADS)
    try:
        waiting: list[tuple[Accelerator, Future[Choice] | str]] = []
        for i, accelerator in enumerate(accelerators):
            progress(accelerator.name, 0.05 + 0.15 * i / len(accelerators))
            choice = _chosen(accelerator, facts, work)
            found = choice if isinstance(choice, str) else pool.submit(replays.decide, choice)
            waiting.append((accelerator, found))
        for i, (accelerator, found) in enumerate(waiting):
            done = 0.2 + 0.75 * i / len(accelerators)
            if isinstance(found, str):
                yield accelerator, found
                continue
            if not found.done():
                progress(f"{accelerator.name}: replaying requests" if replays.loaded else _LOADING, done)
            choice = found.result()
            progress(accelerator.name, done)
            yield accelerator, choice
    finally:
        pool.shutdown(cancel_futures=True)


def _chosen(accelerator: Accelerator, facts: Facts, work: Workload) -> Choice | str:
    """The choice, or why there is none; a chip that can't be timed is refused like one that is too small."""
    try:
        return choose(accelerator, facts, work)
    except FactError as error:
        return str(error)


def _workload(q: Question, trace: Trace, architecture: Architecture, facts: Facts) -> Workload:
    reduced = shape(trace, windows(architecture), facts.get("engine", "token_budget").number)
    requests = q.traffic.demand * q.traffic.peak_to_average / (reduced.input_tokens + reduced.output_tokens)
    check_context(reduced, architecture)
    return Workload(
        architecture=architecture,
        precision=q.formats,
        shape=reduced,
        targets=q.latency,
        peak_requests_per_s=requests,
        needed_requests_per_s=requests * (1 + q.traffic.headroom) / q.traffic.highest_utilisation,
        block_tokens=facts.get("engine", "block_tokens").number,
        sequence_s=engine_settings(facts, prefix_cache=False).sequence_s,
        timer=RooflineTimer(),
        tables={},
    )
