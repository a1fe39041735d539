"""Does it fit: memory that weights take, and the room that is left for the cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scoville.timing.chips import Chips
from scoville.transformer.operators import OperatorTable

Array = NDArray[np.float64]


def cache_room_bytes(table: OperatorTable, chips: Chips) -> Array:
    """Bytes per chip left for the KV cache, shape (n,); negative where the weights do not fit.

    Memory times the share that engines use, less the reserve for activations, graphs and communication buffers, less
    the resident weights of the fullest stage. Example: 80 GB x 0.9 - 3.76 GB - 35.3 GB leave 33 GB.
    """
    return np.asarray(chips.memory_bytes * chips.memory_use_frac - chips.reserve_bytes - table.resident_bytes)
