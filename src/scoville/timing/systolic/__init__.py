"""The systolic timer: how long matrix products take on arrays of given size, number, clock and on-chip memory.

Ask `systolic(accelerator, facts)`; docs/systolic.md has the formulas and how far they are off.
"""

from scoville.timing.systolic.attention import AttentionTime, Heads
from scoville.timing.systolic.hardware import Hardware
from scoville.timing.systolic.times import SystolicTimes, systolic

__all__ = ["AttentionTime", "Hardware", "Heads", "SystolicTimes", "systolic"]
