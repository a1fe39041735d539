"""What is known, from whom: facts with unit, source, date and range, and the accelerators they add up to.

`load()` reads the bundled TOML and a user's own; `Facts` answers by subject, name, vintage and owner; `Draws` samples
the ranges. Imports only units and errors.
"""

from scoville.facts.book import Facts
from scoville.facts.draws import Draws, Range
from scoville.facts.loading import load
from scoville.facts.records import Accelerator, Fact, LinkLevel, MemoryTier, Microarchitecture

__all__ = ["Accelerator", "Draws", "Fact", "Facts", "LinkLevel", "MemoryTier", "Microarchitecture", "Range", "load"]
