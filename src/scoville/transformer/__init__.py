"""What is computed: a model's `config.json` becomes an `Architecture`, its parameters, its cache, its operators.

`load` reads, `parameters` counts, `cache_bytes` says what a sequence holds, `operators` says what a step does.
"""

from scoville.transformer.architecture import Architecture
from scoville.transformer.config import load, names

__all__ = ["Architecture", "load", "names"]
