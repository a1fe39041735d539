"""How long one step takes: operators of a step on a chip -> seconds, bytes, FLOP, joules, and what binds.

`chips()` turns an accelerator into arrays, `RooflineTimer` times steps on them, `cache_room_bytes` says what fits.
"""

from scoville.timing.chips import TIMERS, Chips, chips, timing_evidence
from scoville.timing.fit import cache_room_bytes
from scoville.timing.records import OperatorTime, StepTime, Timer
from scoville.timing.roofline import RooflineTimer

__all__ = [
    "TIMERS",
    "Chips",
    "OperatorTime",
    "RooflineTimer",
    "StepTime",
    "Timer",
    "cache_room_bytes",
    "chips",
    "timing_evidence",
]
