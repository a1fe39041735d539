"""Results of `vllm bench serve --save-result --save-detailed`: one JSON object with a list per quantity.

Read: input_lens, output_lens, errors, start_times (s, client's clock), queue_times (s that the client's concurrency
limit held a request back; subtracted, so that arrivals are those of the load and not of the limit), duration (s).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from scoville.errors import TrafficError
from scoville.traffic.readers.columns import opened
from scoville.traffic.readers.reader import ReadOptions
from scoville.traffic.readers.records import array, integer, number
from scoville.traffic.trace import LATEST_S, Trace, build


class VllmReader:
    """Arrivals count from the first request. Older results hold no start times: then they are spread, with a note."""

    name = "vllm"
    title = "vLLM benchmark result (JSON, --save-detailed)"
    takes: tuple[str, ...] = ()

    def recognises(self, path: Path, head: bytes) -> bool:
        """By field names that every such result has."""
        return head.lstrip()[:1] == b"{" and all(k in head for k in (b'"request_throughput"', b'"completed"'))

    def read(self, path: Path, options: ReadOptions) -> Trace:
        """All requests of the run. Raises TrafficError at a request that failed: it has no output to count."""
        with opened(path) as f:
            try:
                result = json.load(f)
            except ValueError as error:
                raise TrafficError(f"{path.name}: not one JSON result: {error}") from None
        if not isinstance(result, dict) or "input_lens" not in result or "output_lens" not in result:
            raise TrafficError(
                f"{path.name}: no input_lens and output_lens; run vllm bench serve with --save-detailed to keep them"
            )
        n = len(array(result, "input_lens", path.name))
        lists = {
            key: array(result, key, path.name)
            for key in ("input_lens", "output_lens", "errors", "start_times", "queue_times")
            if key in result
        }
        for key, values in lists.items():
            if len(values) != n:
                raise TrafficError(f"{path.name}: {key} has {len(values)} entries; expected {n} as in input_lens")
        inputs, outputs, arrival_s = np.empty(n, np.int64), np.empty(n, np.int64), [0.0] * n
        for i in range(n):
            request = {key: values[i] for key, values in lists.items()}
            where = f"{path.name}: request {i}"
            if request.get("errors"):
                reason = str(request["errors"]).strip().splitlines()[-1][:120]
                raise TrafficError(f"{where}: it failed ({reason}); expected a run in which all succeeded")
            inputs[i] = integer(request, "input_lens", where)
            outputs[i] = integer(request, "output_lens", where)
            if "start_times" in request:
                held_s = number(request, "queue_times", where, limit=LATEST_S) if "queue_times" in request else 0.0
                arrival_s[i] = number(request, "start_times", where, limit=LATEST_S) - held_s
        notes: tuple[str, ...] = ()
        if "start_times" not in lists:
            duration_s = number(result, "duration", path.name, limit=LATEST_S)
            arrival_s = [i * duration_s / n for i in range(n)]
            notes = (f"the result has no start_times: its {n} requests are spread evenly over {duration_s:.3g} s",)
        return build(
            name=path.name,
            source=str(path),
            arrival_s=np.array(arrival_s),
            input_tokens=inputs,
            output_tokens=outputs,
            notes=notes,
        )
