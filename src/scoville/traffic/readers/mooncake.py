"""Mooncake traces (kvcache-ai/Mooncake): JSON lines of timestamp (ms), input_length, output_length, hash_ids.

hash_ids number the prompt's blocks of 512 tokens; an id stands for the block and all before it, so equal ids are a
shared prefix. `hash_ids` may be left out, or cover only the full blocks.
"""

from __future__ import annotations

from array import array as flat_array
from pathlib import Path

import numpy as np

from scoville.errors import TrafficError
from scoville.traffic.readers.reader import ReadOptions
from scoville.traffic.readers.records import array, integer, json_lines, number
from scoville.traffic.trace import LATEST_S, Trace, build

BLOCK_TOKENS = 512
_INT64_LIMIT = 2**63


class MooncakeReader:
    """Arrivals count from the first request."""

    name = "mooncake"
    title = "Mooncake trace (JSON lines)"
    takes: tuple[str, ...] = ()

    def recognises(self, path: Path, head: bytes) -> bool:
        """By its field names."""
        return head.lstrip()[:1] == b"{" and all(k in head for k in (b'"timestamp"', b'"input_length"'))

    def read(self, path: Path, options: ReadOptions) -> Trace:
        """The trace, in order of arrival, with block hashes if any line has them."""
        arrival_ms, inputs, outputs = flat_array("d"), flat_array("q"), flat_array("q")
        blocks: list[flat_array[int]] = []
        for where, record in json_lines(path):
            arrival_ms.append(number(record, "timestamp", where, limit=LATEST_S * 1000))
            inputs.append(integer(record, "input_length", where))
            outputs.append(integer(record, "output_length", where))
            blocks.append(_blocks(record, inputs[-1], where))
        return build(
            name=path.name,
            source=str(path),
            arrival_s=np.array(arrival_ms) / 1000,
            input_tokens=np.array(inputs),
            output_tokens=np.array(outputs),
            **({"block_lists": blocks, "block_tokens": BLOCK_TOKENS} if any(blocks) else {}),  # type: ignore[arg-type]
        )


def _blocks(record: dict[str, object], input_tokens: int, where: str) -> flat_array[int]:
    if "hash_ids" not in record:
        return flat_array("q")
    ids = array(record, "hash_ids", where)
    for value in ids:
        if not isinstance(value, int) or isinstance(value, bool) or not -_INT64_LIMIT <= value < _INT64_LIMIT:
            raise TrafficError(f"{where}: hash_ids holds {value!r}; expected integers of 64 bits")
    if len(ids) > -(-input_tokens // BLOCK_TOKENS):
        raise TrafficError(
            f"{where}: hash_ids has {len(ids)} blocks; expected at most {-(-input_tokens // BLOCK_TOKENS)}"
            f" of {BLOCK_TOKENS} tokens for input_length {input_tokens}"
        )
    return flat_array("q", ids)  # type: ignore[arg-type]
