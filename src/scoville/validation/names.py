"""Names as found in tables of measurements, mapped to ours: chips, models, engines, formats, parallelism, load.

A name that maps to nothing gives a sentence (`Unknown`) instead of a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scoville.errors import DeploymentError, nearest
from scoville.facts import Accelerator, Facts
from scoville.transformer import Architecture
from scoville.transformer.architecture import FORMATS
from scoville.transformer.step import Parallelism, Precision


class Unknown(Exception):
    """Why a name maps to nothing, in one sentence: what a row has instead of a setting. It never leaves this room."""


# Words of a chip's name that say nothing which chip it is. "PCIe", "NVL" and "Max-Q" do: those are other chips.
_CHIP_NOISE = re.compile(
    r"nvidia|amd|intel|google|aws|instinct|tesla|gpus?|tensor|core|hgx|dgx|oam|server|edition|"
    r"blackwell|hopper|ampere|ada|lovelace|generation|sxm\d?|nvl72|x\d{1,2}|\d{1,3}x|\d+gi?b|gi?b|(hbm|gddr|lpddr)\d?[a-z]?"
)
_MEMORY = re.compile(r"(\d{2,4})[\s_-]?gi?b", re.IGNORECASE)
_MEMORY_TOLERANCE_FRAC = 0.15  # B200 is sold as 180 and 192 GB, and GB is not GiB

_MODEL_NOISE = re.compile(
    r"instruct|chat|it|hf|base|thinking|meta|dynamic|nvfp4|mxfp4|fp8|fp4|bf16|fp16|int4|int8|w\d+a\d+|awq|gptq|kv|model|"
    r"v0\.1|0528|0324|0905|2507|2512|17b|128e|16e"
)
# Models with the architecture of a bundled one; as their config.json say.
_SAME_ARCHITECTURE = {
    "llama-3.3-70b": "llama-3.1-70b",
    "llama-3-70b": "llama-3.1-70b",
    "llama-3-8b": "llama-3.1-8b",
    "llama-3.1-nemotron-70b": "llama-3.1-70b",
    "deepseek-r1-distill-llama-70b": "llama-3.1-70b",
    "deepseek-r1-distill-llama-8b": "llama-3.1-8b",
    "deepseek-v3.1": "deepseek-v3",
    "glm-4.6": "glm-4.5",
    "minimax-m2": "minimax-m2.5",
}
_FAMILIES = {
    "vllm": "vllm", "sglang": "sglang", "trtllm": "tensorrt-llm", "tensorrtllm": "tensorrt-llm", "trt": "tensorrt-llm",
    "tensorrt": "tensorrt-llm",
}  # fmt: skip
_FORMATS = {
    "fp8": ("fp8", "fp8"), "float8": ("fp8", "fp8"), "w8a8fp8": ("fp8", "fp8"), "mxfp8": ("mxfp8", "mxfp8"),
    "fp8block": ("fp8", "fp8"), "fp8e4m3": ("fp8", "fp8"), "int8": ("int8", "int8"), "w8a8": ("int8", "int8"),
    "w8a16": ("int8", "bf16"), "bf16": ("bf16", "bf16"), "bfloat16": ("bf16", "bf16"), "fp16": ("bf16", "bf16"),
    "float16": ("bf16", "bf16"), "half": ("bf16", "bf16"), "fp4": ("nvfp4", "nvfp4"), "nvfp4": ("nvfp4", "nvfp4"),
    "mxfp4": ("mxfp4", "mxfp4"), "w4a16": ("int4", "bf16"), "int4": ("int4", "bf16"), "awq": ("int4", "bf16"),
    "gptq": ("int4", "bf16"), "w4a8": ("int4", "fp8"), "w4afp8": ("int4", "fp8"),
}  # fmt: skip
_DEGREE = re.compile(r"(?<![a-z])(dp[\s_-]?attn|moe[\s_-]?tp|moe[\s_-]?ep|tp|pp|ep|dp)[\s_=:x-]?(\d+)", re.IGNORECASE)
# Written out, or two at once: "tensor_parallel_size=8", "TEP8" (tensor and expert), "DEP8" (data and expert), "8".
_LONG = tuple(
    (re.compile(long, re.IGNORECASE), short)
    for long, short in (
        (r"(tensor|pipeline|expert|data)[\s_-]?parallel(ism)?([\s_-]?size)?", lambda m: f"{m[1][0]}p"),
        (r"(?<![a-z])([td])ep[\s_=:x-]?(\d+)", lambda m: f"{m[1]}p{m[2]} ep{m[2]}"),
        (r"^\s*(\d+)\s*$", lambda m: f"tp{m[1]}"),
    )
)
_WORDS = re.compile(r"agg(regated)?|[\s,;/|+()&]+", re.IGNORECASE)


def chip_key(name: str) -> str:
    """What is left of a chip's name without the words that do not tell chips apart.

    >>> [chip_key(n) for n in ("NVIDIA H100-SXM5-80GB", "8xh100_sxm", "RTX PRO 6000 Blackwell Server Edition")]
    ['h100', 'h100', 'rtxpro6000']
    """
    words = [re.sub(r"^\d{1,2}x(?=[a-z])", "", w) for w in re.split(r"[^a-z0-9]+", name.lower())]
    return "".join(w for w in words if w and not _CHIP_NOISE.fullmatch(w))


class Chips:
    """The accelerators of the facts by the keys of their names."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._ids: dict[str, set[str]] = {}
        for chip in facts.accelerators():
            for name in (chip.id, chip.name, *chip.aliases):
                self._ids.setdefault(chip_key(name), set()).add(chip.id)

    def find(self, name: str) -> Accelerator:
        """The chip that a name means. Raises Unknown, also where the name's memory is not that chip's."""
        ids = self._ids.get(chip_key(name), set())
        if len(ids) != 1:
            among = [i for all_ids in self._ids.values() for i in all_ids]
            raise Unknown(f"hardware '{name}' is no accelerator of the facts; {nearest(name, among)}")
        chip = self._facts.accelerator(next(iter(ids)))
        said, main = _MEMORY.search(name), chip.tier("main")
        if said and main and abs(float(said[1]) * 1e9 / main.capacity.number - 1) > _MEMORY_TOLERANCE_FRAC:
            raise Unknown(f"hardware '{name}' has {said[1]} GB; {chip.id} has {main.capacity.number / 1e9:.0f} GB")
        return chip


def model_key(name: str) -> str:
    """What is left of a model's name without publisher, format, date and tuning.

    >>> [model_key(n) for n in ("meta-llama/Llama-3.1-70B-Instruct", "Llama 3.1 70B", "nvidia/Qwen3-32B-FP8")]
    ['llama3.170b', 'llama3.170b', 'qwen332b']
    """
    words = re.split(r"[^a-z0-9.]+", name.lower().rsplit("/", 1)[-1])
    return "".join(w for w in words if w and not _MODEL_NOISE.fullmatch(w))


def model_names(bundled: tuple[str, ...], own: Mapping[str, str]) -> dict[str, str]:
    """What to load by key: bundled models, those of the same architecture, and the user's own files, which win."""
    found = {model_key(name): name for name in bundled}
    found |= {model_key(name): same for name, same in _SAME_ARCHITECTURE.items() if model_key(name) not in found}
    return found | {model_key(name): path for name, path in own.items()}


def engine_family(name: str) -> str:
    """The preset of an engine whatever its version. Raises Unknown.

    >>> [engine_family(n) for n in ("trtllm 1.0.0rc3", "vllm 0.18.0", "TensorRT-LLM v1.0 (PyTorch backend)", "SGLang")]
    ['tensorrt-llm', 'vllm', 'tensorrt-llm', 'sglang']
    """
    words = re.sub(r"tensorrt[\s_-]*llm", "trtllm", name.lower())
    for word in re.findall(r"[a-z]+", words):
        if word in _FAMILIES:
            return _FAMILIES[word]
    raise Unknown(f"engine '{name}' is of no family that has a preset; known: {', '.join(sorted(set(_FAMILIES)))}")


def precision(text: str, model: Architecture, chip: Accelerator, engine: str) -> Precision:
    """Formats of weights, activations and cache.

    A model published in 4 bits (its config says so) keeps its own weights. Activations are 4-bit only where the chip
    multiplies 4 by 4 bits. Tables do not say the format of the cache: TensorRT-LLM's quantised checkpoints (ModelOpt)
    declare fp8, other engines take the format that the model computes in unless told otherwise. The FP8 checkpoints
    that Qwen publishes have a scale per 128 x 128 weights. Raises Unknown.
    """
    named = [re.sub(r"[^a-z0-9]", "", part.lower()) for part in (text, *re.split(r"[()]", text))]
    key = next((name for name in named if name in _FORMATS), "")
    if not key:
        raise Unknown(f"precision '{text}' is not known; known: {', '.join(_FORMATS)}")
    weights, activations = _FORMATS[key]
    if weights == "fp8" and model.name.startswith("Qwen"):
        weights = "fp8_block"
    own = FORMATS[model.formats.experts].rate == "fp4"
    if own:
        weights = "declared"
    if FORMATS[activations].rate == "fp4" and ("fp4", "fp4") not in chip.compute:
        activations = "fp8" if ("fp4", "fp8") in chip.compute else "bf16"
    quantised = not own and FORMATS[weights].rate in ("fp8", "fp4")
    kv = "fp8" if engine == "tensorrt-llm" and quantised else "bf16"
    return Precision(weights, activations, kv)


@dataclass(frozen=True, slots=True)
class Spread:
    """How a row's replica is spread over chips, and how many replicas its chips make."""

    parallelism: Parallelism
    replicas: int


def spread(text: str, chips: int | None, model: Architecture, *, attention_dp: bool) -> Spread:
    """Parallelism from "agg TP4 PP1 DPattn1 moeTP4 moeEP1", "TP4,PP2", "tp4 ep4 dp4". Raises Unknown.

    `DPattn` counts attention groups beside TP. A plain DP is read with the number of chips: where TP x PP already is
    that number (SGLang's way of counting), the groups are inside TP. `attention_dp`: the table says that its runs of
    mixture-of-experts models, labelled with TP alone, use expert parallelism and attention data parallelism.
    """
    plain = text
    for long, short in _LONG:
        plain = long.sub(short, plain)
    degrees: dict[str, int] = {}
    for name, digits in _DEGREE.findall(plain):
        key = re.sub(r"[^a-z]", "", name.lower())
        if key in degrees:
            raise Unknown(f"parallelism '{text}' gives {key.upper()} twice")
        degrees[key] = int(digits)
    if not degrees or _WORDS.sub("", _DEGREE.sub("", plain)):
        raise Unknown(f"parallelism '{text}' is not understood; expected words such as TP4, PP2, EP8, DP8, moeEP8")
    tensor, pipeline = degrees.get("tp", 1), degrees.get("pp", 1)
    groups = degrees.get("dpattn", 1)
    moe = any(layer.feed_forward.experts for layer in model.layers)
    if "dp" in degrees and groups == 1:
        groups = degrees["dp"]
        if chips == tensor * pipeline and groups > 1:
            if tensor % groups:
                raise Unknown(f"parallelism '{text}': DP{groups} does not divide TP{tensor} on {chips} chips")
            tensor //= groups
    expert = degrees.get("moeep", degrees.get("ep", 1)) if moe else 1
    if attention_dp and moe and not {"dpattn", "dp", "moeep", "ep"} & degrees.keys():
        tensor, groups, expert = 1, tensor, tensor
    try:
        one = Parallelism(tensor, pipeline, expert, groups)
    except DeploymentError as error:
        raise Unknown(str(error)) from None
    total = chips or one.chips
    if total % one.chips:
        raise Unknown(f"parallelism '{text}' takes {one.chips} chips a replica, the row has {total}")
    return Spread(one, total // one.chips)


def concurrency(text: str) -> int | None:
    """Requests in flight; None where all come at once ("inf rate"). Raises Unknown.

    >>> [concurrency(t) for t in ("64.0", "c128", "inf rate")]
    [64, 128, None]
    """
    word = text.strip().lower()
    if re.fullmatch(r"inf(inite|inity)?([\s_-]*rate)?|offline|all at once", word):
        return None
    found = re.fullmatch(r"(?:c|conc|concurrency|bs|batch)?[\s=_-]*(\d+)(?:\.0+)?", word)
    if not found or int(found[1]) < 1:
        raise Unknown(f"batch_or_concurrency '{text}' is neither a number of requests in flight nor 'inf rate'")
    return int(found[1])
