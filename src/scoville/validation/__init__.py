"""How right we are: a table of measured runs, each run predicted by the simulator, and the errors scored.

`read` maps rows to settings, `predicted` simulates them, `scored` compares; `Deployments` is where a setting becomes an
engine.
"""

from scoville.validation.predict import Deployments, Predicted, predicted
from scoville.validation.rows import Measured, Setting, Unmapped, read
from scoville.validation.scores import Score, Scored, Validation, scored, validate

__all__ = [
    "Deployments",
    "Measured",
    "Predicted",
    "Score",
    "Scored",
    "Setting",
    "Unmapped",
    "Validation",
    "predicted",
    "read",
    "scored",
    "validate",
]
