"""ServeGen client pools (alibaba/ServeGen; Xiang et al., NSDI 2026): distributions per client, not requests.

A pool is a folder or a .tar.gz of two files per client i:

chunk-i-trace.csv    one line per window, no header: start (s), request rate (1/s), coefficient of variation of the
                     gaps, family (Gamma, Weibull, or empty: no requests), its shape, its scale (s)
chunk-i-dataset.json {start (s): {"input_tokens": "{length: share, ...}", "output_tokens": ...}}

Requests are drawn per client and window from a stationary renewal process: gaps of the family and shape given, scaled
so that the mean gap is 1/rate (the fitted scale alone misses the counted rate), the first gap being the residual of a
length-biased one, so that the expected count is exactly rate x window. Input and output lengths come from the window's
two distributions, independently: the pool holds no joint one.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoville.errors import TrafficError
from scoville.traffic.readers.columns import UNREADABLE
from scoville.traffic.readers.reader import ReadOptions
from scoville.traffic.readers.records import shown
from scoville.traffic.trace import INT32_MAX, Trace, build

_FILE = re.compile(r"chunk-(\d+)-(trace\.csv|dataset\.json)$")
# Bounds that keep a damaged file from drawing without end: a gamma shape of 0.001 is already an SCV of 1,000.
_MOST_PER_S = 1e6
_LEAST_SHAPE = {"Gamma": 1e-3, "Weibull": 0.1, "Exponential": 0.0}
_MOST_SHAPE = 1e6


@dataclass(frozen=True)
class _Window:
    start_s: float
    end_s: float
    rate_per_s: float
    family: str
    shape_frac: float


class ServeGenReader:
    """The whole span that the pool describes, or its first `duration_s`."""

    name = "servegen"
    title = "ServeGen client pool (folder or .tar.gz)"
    takes: tuple[str, ...] = ("seed", "duration_s")

    def recognises(self, path: Path, head: bytes) -> bool:
        """A folder with chunk-i-trace.csv in it, or a tar archive that lists one early."""
        if path.is_dir():
            return any(_FILE.search(p.name) for p in path.rglob("chunk-*-trace.csv"))
        return head[257:262] == b"ustar" and b"chunk-" in head

    def read(self, path: Path, options: ReadOptions) -> Trace:
        """Requests drawn with options.seed; the client's number is its id."""
        until_s = math.inf if options.duration_s is None else options.duration_s
        if not until_s > 0:
            raise TrafficError(f"{path.name}: the duration is {until_s} s; expected more than 0")
        arrivals, inputs, outputs, clients = [], [], [], []
        for client, files in sorted(_files(path).items()):
            for kind in ("trace.csv", "dataset.json"):
                if kind not in files:
                    raise TrafficError(f"{path.name}: chunk-{client}-{kind} is missing; every client has two files")
            rng = np.random.default_rng([options.seed, client])
            windows = _windows(files["trace.csv"], f"chunk-{client}-trace.csv")
            lengths = _Lengths(files["dataset.json"], f"chunk-{client}-dataset.json")
            for w in windows:
                if w.start_s >= until_s or w.rate_per_s == 0:
                    continue
                at = w.start_s + _renewals(rng, w, min(w.end_s, until_s) - w.start_s)
                arrivals.append(at)
                inputs.append(lengths.draw(rng, w.start_s, "input_tokens", len(at)))
                outputs.append(lengths.draw(rng, w.start_s, "output_tokens", len(at)))
                clients.append(np.full(len(at), client))
        if sum(map(len, arrivals)) == 0:
            raise TrafficError(f"{path.name}: the pool gives no request in the time asked for; try a longer duration")
        return build(
            name=path.name,
            source=str(path),
            arrival_s=np.concatenate(arrivals),
            input_tokens=np.concatenate(inputs),
            output_tokens=np.concatenate(outputs),
            client_ids=np.concatenate(clients),
            notes=(
                f"drawn from the distributions of {len(np.unique(np.concatenate(clients)))} clients with seed"
                f" {options.seed}; input and output lengths are independent within a client and window",
            ),
        )


def _files(path: Path) -> dict[int, dict[str, bytes]]:
    found: dict[int, dict[str, bytes]] = {}
    if path.is_dir():
        for p in sorted(path.rglob("chunk-*")):
            if m := _FILE.search(p.name):
                _add(found, path, int(m[1]), m[2], p.read_bytes())
    else:
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    content = tar.extractfile(member) if member.isfile() else None
                    if content is not None and (m := _FILE.search(member.name)):
                        _add(found, path, int(m[1]), m[2], content.read())
        except (*UNREADABLE, tarfile.TarError) as error:
            raise TrafficError(f"{path.name}: cannot be read as an archive: {str(error).splitlines()[0]}") from None
    if not found:
        raise TrafficError(f"{path.name}: holds no chunk-i-trace.csv; expected a ServeGen client pool")
    return found


def _add(found: dict[int, dict[str, bytes]], path: Path, client: int, kind: str, content: bytes) -> None:
    files = found.setdefault(client, {})
    if kind in files:
        raise TrafficError(f"{path.name}: chunk-{client}-{kind} is there twice; name the folder of a single pool")
    files[kind] = content


def _windows(content: bytes, name: str) -> list[_Window]:
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline="")))
    except csv.Error as error:
        raise TrafficError(f"{name}: cannot be read as CSV: {error}") from None
    starts: list[float] = []
    for i, line in enumerate(lines, start=1):
        if len(line) != 6:
            raise TrafficError(f"{name}:{i}: {len(line)} fields; expected 6: start, rate, CV, family, shape, scale")
        starts.append(_number(line[0], "start", f"{name}:{i}"))
        if len(starts) > 1 and starts[-1] <= starts[-2]:
            raise TrafficError(
                f"{name}:{i}: start is {line[0]}; expected more than {lines[i - 2][0]} of the line before"
            )
    if len(lines) < 2:
        raise TrafficError(
            f"{name}: {len(lines)} windows; expected at least 2, since the last lasts as long as its neighbour"
        )
    out = []
    for i, line in enumerate(lines):
        where = f"{name}:{i + 1}"
        rate, family = _number(line[1], "rate", where), line[3]
        shape = _number(line[4], "shape", where)
        if rate > _MOST_PER_S:
            raise TrafficError(f"{where}: rate is {line[1]}; expected at most {_MOST_PER_S:g} requests per s")
        if rate > 0 and not (family in _LEAST_SHAPE and _LEAST_SHAPE[family] <= shape <= _MOST_SHAPE):
            known = ", ".join(f"{name} (shape from {least:g})" for name, least in _LEAST_SHAPE.items())
            raise TrafficError(f"{where}: family is '{family}' with shape {line[4]}; expected {known}")
        end = starts[i + 1] if i + 1 < len(starts) else 2 * starts[i] - starts[i - 1]
        out.append(_Window(starts[i], end, rate, family, shape))
    return out


def _number(text: str, field: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise TrafficError(f"{where}: {field} is {text or 'missing'}; expected a number >= 0")
    return value


def _renewals(rng: np.random.Generator, w: _Window, span_s: float) -> NDArray[np.float64]:
    """Arrival times in [0, span_s) of a stationary renewal process; the expected count is rate x span."""
    mean = 1.0 / w.rate_per_s
    k = 1.0 if w.family == "Exponential" else w.shape_frac
    weibull = w.family == "Weibull"
    scale = mean / (math.gamma(1 + 1 / k) if weibull else k)
    # The gap that covers time 0 is length-biased (its density is x f(x) / mean); a uniform share of it is left.
    biased = rng.gamma(1 + 1 / k) ** (1 / k) if weibull else rng.gamma(k + 1)
    times = [np.array([rng.uniform() * biased * scale])]
    while times[-1][-1] < span_s:
        expected = (span_s - times[-1][-1]) * w.rate_per_s
        count = int(expected + 4 * math.sqrt(expected) + 16)
        gaps = scale * (rng.weibull(k, count) if weibull else rng.gamma(k, size=count))
        times.append(times[-1][-1] + np.cumsum(gaps))
    joined = np.concatenate(times)
    return joined[joined < span_s]


class _Lengths:
    """Length distributions of one client: by window start and field, lengths and their cumulative shares."""

    def __init__(self, content: bytes, name: str) -> None:
        self._name = name
        try:
            raw = json.loads(content)
            self._raw = {float(start): fields for start, fields in raw.items()}
        except (ValueError, AttributeError) as error:
            raise TrafficError(f"{name}: not a JSON object of windows: {error}") from None
        self._starts = sorted(self._raw)
        self._parsed: dict[tuple[float, str], tuple[NDArray[np.int64], NDArray[np.float64]]] = {}

    def draw(self, rng: np.random.Generator, at_s: float, field: str, count: int) -> NDArray[np.int64]:
        """`count` lengths of the latest window that has begun at `at_s`."""
        begun = [s for s in self._starts if s <= at_s]
        if not begun:
            raise TrafficError(f"{self._name}: no window begins at or before {at_s:g} s, where requests are counted")
        key = (begun[-1], field)
        if key not in self._parsed:
            self._parsed[key] = self._parse(*key)
        lengths, cumulative = self._parsed[key]
        drawn = np.searchsorted(cumulative, rng.uniform(size=count) * cumulative[-1], side="right")
        return np.asarray(lengths[drawn])

    def _parse(self, start: float, field: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        where = f"{self._name}: window {start:g}"
        fields = self._raw[start]
        text = fields.get(field) if isinstance(fields, dict) else None
        if not isinstance(text, str):
            raise TrafficError(f"{where}: {field} is {shown(fields if isinstance(fields, dict) else {}, field)};"
                               " expected text such as '{45: 0.5, 46: 0.5}'")  # fmt: skip
        body = text.strip().removeprefix("{").removesuffix("}")
        try:
            flat = np.array(body.replace(":", ",").split(","), dtype=np.float64) if body.strip() else np.empty(0)
        except ValueError:
            flat = np.array([math.nan])
        lengths, shares = flat[0::2], flat[1::2]
        if len(lengths) == 0:
            raise TrafficError(f"{where}: {field} is empty, but requests are counted there")
        whole = len(lengths) == len(shares) and bool(np.isfinite(flat).all()) and bool((lengths % 1 == 0).all())
        if not whole or lengths.min() < 1 or lengths.max() > INT32_MAX or shares.min() < 0 or shares.sum() <= 0:
            raise TrafficError(
                f"{where}: {field} is wrong; expected whole lengths >= 1 with shares >= 0 above 0 in all"
            )
        return lengths.astype(np.int64), np.cumsum(shares)
