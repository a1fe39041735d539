"""From the words of the command line to fleets, their failures, and the link between two of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scoville.cli.simulate.engines import above_zero, choice
from scoville.errors import DeploymentError

if TYPE_CHECKING:
    from scoville.facts import Facts
    from scoville.serving.engine import Engine
    from scoville.serving.pools import Link
    from scoville.serving.settings import Autoscaling, Failure, Fleet

_AUTOSCALE = re.compile(r"(\d+) to (\d+), (\d+) requests each, every ([^,]+?)(?:, start ([^,]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """The options of fleets and closed loops as they were given."""

    replicas: int | None = None
    routing: str | None = None
    queue_limit: int | None = None
    autoscale: str | None = None
    chip_mtbf: str | None = None
    repair: str | None = None
    seed: int = 0
    prefill_replicas: int | None = None
    decode_replicas: int | None = None
    link: str | None = None
    find_split: int | None = None
    users: int | None = None
    think: str | None = None
    follow_turns: bool = False

    @property
    def two_pools(self) -> bool:
        """Whether prompts and answers have replicas of their own."""
        return not (self.prefill_replicas is None and self.decode_replicas is None and self.find_split is None)


def refuse(o: FleetOptions) -> None:
    """Raises DeploymentError, in one sentence, for options that do not go together."""
    if o.think is not None and o.users is None:
        raise DeploymentError(
            "--think is the pause of --users; traces bring the think times of --follow-turns themselves"
        )
    if o.repair is not None and o.chip_mtbf is None:
        raise DeploymentError('--repair: no chip fails; add --chip-mtbf such as "50000 h"')
    if o.users is not None and o.chip_mtbf is not None:
        raise DeploymentError(
            "--chip-mtbf: failures are drawn until the last arrival, which a closed loop of --users lacks"
        )
    if o.autoscale is not None and o.replicas is not None:
        raise DeploymentError("--autoscale says how many replicas there are at most; leave --replicas out")
    if not o.two_pools:
        if o.link is not None:
            raise DeploymentError("--link is between two pools; add --prefill-replicas and --decode-replicas")
        return
    for option, given in (
        ("--replicas", o.replicas), ("--autoscale", o.autoscale), ("--users", o.users),
        ("--follow-turns", o.follow_turns or None),
    ):  # fmt: skip
        if given is not None:
            raise DeploymentError(f"{option} is for one pool; leave it out, or serve prompts and answers together")
    if o.find_split is None and (o.prefill_replicas is None or o.decode_replicas is None):
        raise DeploymentError("two pools: give both --prefill-replicas and --decode-replicas, or --find-split CHIPS")
    if o.find_split is None:
        return
    for option, said in (
        ("--prefill-replicas", o.prefill_replicas), ("--decode-replicas", o.decode_replicas), ("--routing", o.routing),
        ("--queue-limit", o.queue_limit), ("--chip-mtbf", o.chip_mtbf),
    ):  # fmt: skip
        if said is not None:
            raise DeploymentError(f"{option}: --find-split tries plain pools of every size; leave it out")


def fleets(o: FleetOptions, facts: Facts) -> tuple[Fleet, ...]:
    """The fleet, or those of prompts and of answers; without failures, which depend on how long a run is.

    Two pools are routed to the least loaded if nothing was said, and answers are, where prompts go by their prefixes.
    """
    from scoville.serving.settings import ROUTINGS, Fleet, whole

    routing = choice(o.routing, ROUTINGS, "--routing") or ("least_loaded" if o.two_pools else "round_robin")
    scaling, most = _autoscaling(o.autoscale, facts) if o.autoscale is not None else (None, None)
    one = Fleet(
        replicas=most or (1 if o.replicas is None else o.replicas),
        routing=routing,  # type: ignore[arg-type]  # one of ROUTINGS
        queue_limit=o.queue_limit,
        users=o.users,
        think_s=0.0 if o.think is None else above_zero(o.think, "s", "--think"),
        turns_follow=o.follow_turns,
        autoscaling=scaling,
        seed=o.seed,
    )
    if routing == "prefix_aware":
        requests, ratio = (facts.get("router", f"balance_{name}") for name in ("absolute", "relative"))
        one = replace(one, balance_requests=whole(requests), balance_ratio=ratio.number)
    if not o.two_pools or o.prefill_replicas is None or o.decode_replicas is None:
        return (one,)
    second = "least_loaded" if routing == "prefix_aware" else one.routing
    return replace(one, replicas=o.prefill_replicas), replace(one, replicas=o.decode_replicas, routing=second)


def _autoscaling(text: str, facts: Facts) -> tuple[Autoscaling, int]:
    from scoville.serving.settings import Autoscaling

    found = _AUTOSCALE.fullmatch(text.strip())
    if found is None:
        raise DeploymentError(
            f"--autoscale: '{text}' is not understood; expected e.g. '1 to 8, 20 requests each, every 15 s'"
        )
    least, most, each, every, start = found.groups()
    if int(least) > int(most):
        raise DeploymentError(
            f"--autoscale: '{text}' goes down from {least} to {most}; expected the smaller number first"
        )
    startup_s = (
        facts.get("replica", "startup").number if start is None else above_zero(start, "s", "--autoscale, start")
    )
    interval_s = above_zero(every, "s", "--autoscale, every")
    made = Autoscaling(least=int(least), interval_s=interval_s, requests_per_replica=int(each), startup_s=startup_s)
    return made, int(most)


def failing(fleet: Fleet, o: FleetOptions, facts: Facts, chips: int, duration_s: float, pool: int) -> Fleet:
    """The fleet with the failures drawn until `duration_s`: a replica fails when one of its chips does."""
    if o.chip_mtbf is None:
        return fleet
    mean_s = above_zero(o.chip_mtbf, "s", "--chip-mtbf") / chips
    return replace(fleet, failures=tuple(_failures(fleet, mean_s, repair_s(o, facts), duration_s, pool)))


def repair_s(o: FleetOptions, facts: Facts) -> float:
    """Seconds until a failed replica is up again."""
    return facts.get("replica", "startup").number if o.repair is None else above_zero(o.repair, "s", "--repair")


def _failures(fleet: Fleet, mean_s: float, repaired_after_s: float, duration_s: float, pool: int) -> Iterator[Failure]:
    import numpy as np

    from scoville.serving.settings import Failure

    for replica in range(fleet.replicas):
        drawn = np.random.default_rng([fleet.seed, pool, replica])
        at_s = float(drawn.exponential(mean_s))
        while at_s < duration_s:
            yield Failure(at_s, replica, at_s + repaired_after_s)
            at_s += repaired_after_s + float(drawn.exponential(mean_s))


def link_of(o: FleetOptions, facts: Facts, accelerator_name: str, prefill: Engine) -> tuple[Link, str]:
    """What carries the caches, and a sentence on it."""
    from scoville.serving.pools import Link, scale_out
    from scoville.units import show

    if o.link is not None:
        made = Link("the one given", above_zero(o.link, "bytes_per_s", "--link"), prefill.scale_out_latency_s)
        return made, f"{show(made.bytes_per_s, 'bytes_per_s')} from each prefill replica, {_latency(made)}"
    share = facts.get("kv-transfer", "link_share")
    made = scale_out(accelerator_name, prefill, share.number)
    said = (
        f"{made.name}: {show(made.bytes_per_s, 'bytes_per_s')} from each prefill replica, {share.number:g} of what its "
        f"chips have (fact {share.key}), {_latency(made)}"
    )
    return made, said


def _latency(link: Link) -> str:
    from scoville.units import show

    return f"latency {show(link.latency_s, 's')}"


def assumed(o: FleetOptions, facts: Facts, link: str, failures: int) -> Iterator[str]:
    """Sentences on what was filled in; `failures` is how many were drawn."""
    from scoville.units import show

    startup = facts.get("replica", "startup")
    if o.autoscale is not None and "start" not in o.autoscale:
        yield f"a replica starts in {show(startup.number, 's')} (fact {startup.key})"
    if o.chip_mtbf is not None:
        said = f" (fact {startup.key}, a new start)" if o.repair is None else ""
        yield (
            f"a chip fails every {show(above_zero(o.chip_mtbf, 's', '--chip-mtbf'), 's')} on average, with seed "
            f"{o.seed} that is {failures:,} times; its replica is up again after {show(repair_s(o, facts), 's')}{said}"
        )
    if link:
        yield f"caches go over {link}"
