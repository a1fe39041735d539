"""What is computed: a model's `config.json` becomes an `Architecture`, its parameters, its cache, its operators.

`load` reads, `parameters` counts, `cache_bytes` says what a sequence holds, `operators` says what a step does.
"""

from scoville.transformer.architecture import Architecture
from scoville.transformer.cache import bytes_per_sequence as cache_bytes
from scoville.transformer.config import load, names
from scoville.transformer.parameters import ParameterCount, parameters, weight_bytes

__all__ = ["Architecture", "ParameterCount", "cache_bytes", "load", "names", "parameters", "weight_bytes"]
