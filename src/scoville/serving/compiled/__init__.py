"""The simulator's compiled half: docs/simulator.md in integers and closed forms, at about a microsecond per request.

`reference.py` in the folder above is the same in plain steps.
"""

from __future__ import annotations

from scoville.serving.compiled.result import Compiled, replay, woven

__all__ = ["Compiled", "replay", "woven"]
