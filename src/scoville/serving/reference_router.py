"""The oracle's router: docs/simulator.md, "The fleet"."""

from __future__ import annotations

from collections import Counter

from scoville.serving.reference_cache import Request
from scoville.serving.reference_lane import Lane
from scoville.serving.settings import Fleet

_WORD = (1 << 64) - 1


def random(seed: int, x: int, y: int) -> int:
    """The upper half of SplitMix64's mix (Steele, Lea and Flood, OOPSLA 2014), once over x and once over y."""
    z = seed
    for key in (x, y):
        z = (z + 0x9E3779B97F4A7C15 * (key + 1)) & _WORD
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
        z ^= z >> 31
    return z >> 32


class Router:
    """Chooses lanes, and remembers where it has sent what."""

    def __init__(self, fleet: Fleet, happened: Counter[str]) -> None:
        self.fleet = fleet
        self.after = -1  # lane of the last request
        self.last_lane: dict[int, int] = {}  # of each session
        self.sent: set[tuple[int, int]] = set()  # (lane, id)
        self.happened = happened

    def send(self, request: Request, up: list[Lane]) -> Lane:
        """The lane among those up, in order of number."""
        lane = self.choose(request, up)
        self.after = lane.number
        self.last_lane[request.session] = lane.number
        self.sent |= {(lane.number, i) for i in request.ids}
        return lane

    def forget(self, lane: Lane) -> None:
        """A lane's cache is empty."""
        self.sent = {(number, i) for number, i in self.sent if number != lane.number}

    def choose(self, request: Request, up: list[Lane]) -> Lane:
        """By the fleet's routing."""
        least_loaded = min(up, key=lambda lane: (lane.load, lane.number))
        match self.fleet.routing:
            case "round_robin":
                return min(up, key=lambda lane: (lane.number <= self.after, lane.number))
            case "power_of_two":
                return self.of_two(request, up)
            case "sticky":
                same = [
                    lane for lane in up if request.session >= 0 and self.last_lane.get(request.session) == lane.number
                ]
                return same[0] if same else least_loaded
            case "prefix_aware":
                if self.unbalanced(up):
                    self.happened["balanced"] += 1
                    return least_loaded
                return self.longest_run(request, up)
            case _:
                return least_loaded

    def of_two(self, request: Request, up: list[Lane]) -> Lane:
        """Two different lanes at random, the one with the lower load."""
        n = len(up)
        if n == 1:
            return up[0]
        i = random(self.fleet.seed, request.number, 0) * n >> 32
        j = (i + 1 + (random(self.fleet.seed, request.number, 1) * (n - 1) >> 32)) % n
        return up[j] if up[j].load < up[i].load else up[i]

    def unbalanced(self, up: list[Lane]) -> bool:
        """Whether loads differ too much for prefixes to decide."""
        loads = [lane.load for lane in up]
        high, low = max(loads), min(loads)
        ratio = round(self.fleet.balance_ratio * 1000)
        return high - low > self.fleet.balance_requests and high * 1000 > ratio * low

    def longest_run(self, request: Request, up: list[Lane]) -> Lane:
        """The lane that has been sent most of its first ids."""

        def length(lane: Lane) -> int:
            sent = [(lane.number, i) in self.sent for i in request.ids]
            return [*sent, False].index(False)

        best = min(up, key=lambda lane: (-length(lane), lane.load, lane.number))
        if length(best):
            self.happened["routed to a prefix"] += 1
        return best
