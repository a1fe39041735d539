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
    r"nvidia|amd|intel|google|cloud|aws|instinct|tesla|gpus?|tensor|core|hgx|dgx|oam|server|edition|ac|lc|se|"
    r"blackwell|hopper|ampere|ada|lovelace|generation|sxm\d?|nvl72|(hbm|gddr|lpddr)\d?[a-z]?"
)
_VARIANT = re.compile(r"pcie|nvl\d*|max|q|workstation|superchip")  # what tells a chip's siblings apart
_GLUED = re.compile(r"(?<=\d)(?=sxm)")  # "H100SXM"
_MEMORY = re.compile(r"(?<![a-z\d])(\d{2,4})[\s_-]?gi?b?(?![a-z\d])")
_MEMORY_TOLERANCE_FRAC = 0.08  # B200 is sold as 180 and 192 GB, and GB is not GiB
_NOT_A_NAME = (  # how many there are: "8 x H100", "H100x8", "GB200 (4 GPUs)", "TPU v6e-8"
    (re.compile(r"(?<![a-z\d])\d{1,3}\s*[x×*]\s*(?=[a-z])"), " "),
    (re.compile(r"(?<=[a-z\d])[\s_-]*[x×*]\s*\d{1,3}\s*$"), ""),
    (re.compile(r"\(?(?<![a-z\d])\d{1,3}[\s_-]*(gpu|chip|device|accelerator|core)s?\)?"), " "),
    (re.compile(r"(?<![a-z\d])((tpu[\s_-]?)?v\d[a-z]?|tpu7x)-\d{1,4}(?![a-z\d])"), r"\1"),
)

_MODEL_NOISE = re.compile(
    r"instruct|chat|it|hf|base|thinking|reasoning|meta|dynamic|static|nvfp4|mxfp4|fp8|fp4|bf16|fp16|int4|int8|"
    r"w\d+a\d+|\d+bit|awq|gptq|kv|kv8|model|quantized|preview|asq|block|channel|modelopt|unsloth|bnb|"
    r"0528|0324|0905|2507|2512|17b|128e|16e|671b|1t"
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
    "deepseek-v3.1-terminus": "deepseek-v3",
    "dsr1": "deepseek-r1",
    "deepseek-v3.2-exp": "deepseek-v3.2",
    "gptoss": "gpt-oss-120b",
    "bloom": "bloom-176b",
    "glm-4.6": "glm-4.5",
    "minimax-m2": "minimax-m2.5",
}
_FAMILIES = {
    "vllm": "vllm", "sglang": "sglang", "trtllm": "tensorrt-llm", "tensorrtllm": "tensorrt-llm", "trt": "tensorrt-llm",
    "tensorrt": "tensorrt-llm",
}  # fmt: skip
_FORMATS = {
    "fp8": ("fp8", "fp8"), "float8": ("fp8", "fp8"), "w8a8fp8": ("fp8", "fp8"), "mxfp8": ("mxfp8", "mxfp8"),
    "fp8block": ("fp8_block", "fp8"), "blockfp8": ("fp8_block", "fp8"),
    "fp8blockwise": ("fp8_block", "fp8"), "fp8e4m3": ("fp8", "fp8"),
    "e4m3": ("fp8", "fp8"), "fp8dynamic": ("fp8", "fp8"), "int8": ("int8", "int8"), "w8a8": ("int8", "int8"),
    "w8a8int8": ("int8", "int8"), "w8a16": ("int8", "bf16"), "bf16": ("bf16", "bf16"), "bfloat16": ("bf16", "bf16"),
    "fp16": ("bf16", "bf16"), "float16": ("bf16", "bf16"), "half": ("bf16", "bf16"), "fp4": ("nvfp4", "nvfp4"),
    "nvfp4": ("nvfp4", "nvfp4"), "w4a4": ("nvfp4", "nvfp4"), "mxfp4": ("mxfp4", "mxfp4"), "w4a16": ("int4", "bf16"),
    "int4": ("int4", "bf16"), "awq": ("int4", "bf16"), "gptq": ("int4", "bf16"), "w4a8": ("int4", "fp8"),
    "w4afp8": ("int4", "fp8"),
}  # fmt: skip
_WIDTHS = ("w8a8", "w8a16", "w4a4", "w4a8", "w4a16")  # bits of weights and activations: a format's name says more
_WEIGHT_ONLY = re.compile(r"weight[\s_-]*only", re.IGNORECASE)
_CACHE = tuple(  # of a precision's words: "fp8 (kv fp8)", "fp8 kv bf16", and where nothing follows "bf16, fp8 KV cache"
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"kv[\s_-]*(cache)?[\s_=:-]*(?P<format>fp8|bf16|fp16|nvfp4|int8)",
        r"(?P<format>fp8|bf16|fp16|nvfp4|int8)[\s_-]*kv([\s_-]*cache)?",
    )
)
_SPLIT = re.compile(r"(?<![a-z\d])\d+p\d+d(?![a-z])|disagg", re.IGNORECASE)
_DEGREE = re.compile(
    r"(?<![a-z])(dp[\s_-]?attn|moe[\s_-]?tp|moe[\s_-]?ep|tp|pp|ep|dp|cp)[\s_=:x-]*(\d+)", re.IGNORECASE
)
_GROUPS = re.compile(  # attention data parallelism over all ranks: "DPA", "dp-attn: true", "attention DP"
    r"(?<![a-z])(enable[\s_-]*)?(dp[\s_-]*attention|attention[\s_-]*dp|dp[\s_-]*attn|adp|dpa)(?!\d)"
    r"([\s_=:-]*(?P<said>true|on|yes|enabled|false|off|no|disabled))?(?![a-z]|[\s_=:-]*\d)",
    re.IGNORECASE,
)
# Written out, or two at once: "tensor_parallel_size=8", "TEP8" (tensor and expert), "DEP8" (data and expert), "8".
_EXPERTS = re.compile(r"(?<![a-z])(enable[\s_-]*)?(ep|expert[\s_-]*parallel(ism)?)(?![\w=:-]|\s*[\d=:])", re.IGNORECASE)
_LONG = tuple(
    (re.compile(long, re.IGNORECASE), short)
    for long, short in (
        (r"(tensor|pipeline|expert|data)[\s_-]?parallel(ism)?([\s_-]?size)?(?=[\s_=:-]*\d)", lambda m: f"{m[1][0]}p"),
        (r"(?<![a-z])([td])ep[\s_=:x-]?(\d+)", lambda m: f"{m[1]}p{m[2]} ep{m[2]}"),
        (r"^\s*(\d+)(\.0+)?\s*$", lambda m: f"tp{m[1]}"),
        (r"(?<=[tpde]p)[\s_-]?size(?=[\s_=:-]*\d)", lambda m: ""),
        (r"(?<=\d)\s*[x×*]\s*(?=[tped]p)", lambda m: " "),
        (r"(?<!\d)(\d+)[\s_-]*way[\s_-]+([tped]p)(?![a-z])", lambda m: f"{m[2]}{m[1]}"),
        (r"_", lambda m: " "),
        (r"(?<![a-z])(adp|dpa)[\s_=:-]*(\d+)", lambda m: f"dpattn{m[2]}"),
    )
)
_WORDS = re.compile(r"agg(regated)?|parallel(ism)?|[\s,;/|+()&_-]+", re.IGNORECASE)
_NONE = re.compile(r"\s*(n/?a|none|-|single[\s_-]*(gpu|chip))?\s*", re.IGNORECASE)


def chip_key(name: str) -> str:
    """What is left of a chip's name without the words that do not tell chips apart, and without how many there are.

    >>> [chip_key(n) for n in ("NVIDIA H100-SXM5-80GB", "8xh100_sxm", "RTX PRO 6000 Blackwell Server Edition")]
    ['h100', 'h100', 'rtxpro6000']
    """
    return "".join(_chip_words(name))


def _chip_words(name: str) -> list[str]:
    text = _MEMORY.sub(" ", _GLUED.sub(" ", name.lower()))
    for pattern, instead in _NOT_A_NAME:
        text = pattern.sub(instead, text)
    return [w for w in re.split(r"[^a-z0-9]+", text) if w and not _CHIP_NOISE.fullmatch(w)]


class Chips:
    """The accelerators of the facts by the keys of their names.

    Chips that share a key differ in memory: a name that gives none means the one with a name that gives none.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._names: dict[str, dict[str, list[str]]] = {}
        for chip in facts.accelerators():
            for name in (chip.id, chip.name, *chip.aliases):
                self._names.setdefault(chip_key(name), {}).setdefault(chip.id, []).append(name.lower())

    def find(self, name: str) -> Accelerator:
        """The chip that a name means. Raises Unknown, also where the name's memory is not that chip's."""
        found = self._names.get(chip_key(name), {})
        if not found:
            raise Unknown(self._unknown(name))
        said = _MEMORY.search(name.lower())
        if said:
            fit = [id for id, names in found.items() if self._has(id, names, float(said[1]))]
            if not fit:
                sizes = "; ".join(f"{id} has {self._capacity(id) / 1e9:.0f} GB" for id in found)
                raise Unknown(f"hardware '{name}' has {said[1]} GB; {sizes}")
        else:
            fit = [id for id, names in found.items() if not all(map(_MEMORY.search, names))]
        if len(fit) != 1:
            raise Unknown(f"hardware '{name}' may be any of {', '.join(fit or found)}")
        return self._facts.accelerator(fit[0])

    def _capacity(self, id: str) -> float:
        main = self._facts.accelerator(id).tier("main")
        return main.capacity.number if main else float("nan")

    def _has(self, id: str, names: list[str], size: float) -> bool:
        """Whether `size` GB is the chip's memory, as the facts have it or a name says it."""
        known = [self._capacity(id) / 1e9, *(float(m[1]) for m in map(_MEMORY.search, names) if m)]
        return not all(abs(size / k - 1) > _MEMORY_TOLERANCE_FRAC for k in known)

    def _unknown(self, name: str) -> str:
        words = _chip_words(name)
        sibling = self._names.get("".join(w for w in words if not _VARIANT.fullmatch(w)))
        if sibling:
            return (
                f"hardware '{name}' is a sibling of {', '.join(sibling)} with other clocks, memory or links, which the "
                f"facts do not have; give them with --facts"
            )
        among = [i for ids in self._names.values() for i in ids]
        return f"hardware '{name}' is no accelerator of the facts; {nearest(name, among)}"


def model_key(name: str) -> str:
    """What is left of a model's name without publisher, format, date and tuning.

    >>> [model_key(n) for n in ("meta-llama/Llama-3.1-70B-Instruct", "Llama 3.1 70B", "nvidia/Qwen3-32B-FP8")]
    ['llama3170b', 'llama3170b', 'qwen332b']
    """
    plain = re.sub(r"[\s_-]v0\.1(?!\d)|(?<=fp4)-v\d", "", name.lower().rstrip("/").rsplit("/", 1)[-1])
    words = re.split(r"[^a-z0-9]+", plain)
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
    raise Unknown(
        f"engine '{name}' is of no family that has a preset; known: {', '.join(sorted(set(_FAMILIES.values())))}"
    )


def cache_format(text: str) -> str:
    """The format of the KV cache that a precision's words give, "" for none.

    >>> [cache_format(t) for t in ("fp8, kv fp8", "bf16 (fp8 KV cache)", "fp8")]
    ['fp8', 'fp8', '']
    """
    found = next(filter(None, (pattern.search(text) for pattern in _CACHE)), None)
    said = found["format"].lower() if found else ""
    return "bf16" if said == "fp16" else said


def _without_cache(text: str) -> str:
    """A precision's words less those of the cache."""
    pattern = next((p for p in _CACHE if p.search(text)), None)
    return pattern.sub(" ", text) if pattern else text


def precision(text: str, model: Architecture, chip: Accelerator, engine: str) -> Precision:
    """Formats of weights, activations and cache.

    A model published in 4 bits, or in fp8 and run in fp8 (its config says so), keeps its own weights. Activations are
    4-bit only where the chip multiplies 4 by 4 bits. The cache's format is what is assumed where nobody says it:
    TensorRT-LLM's quantised checkpoints (ModelOpt) declare fp8, other engines take the format that the model computes
    in. "fp4" on AMD's chips is MXFP4, the format that they multiply. The FP8 checkpoints
    that Qwen publishes have a scale per 128 x 128 weights. Raises Unknown.
    """
    rest = _without_cache(text)
    parts = (rest, *re.split(r"[(),;/+]", rest), *rest.split(), *re.split(r"[^A-Za-z0-9]+", rest))
    named = [re.sub(r"[^a-z0-9]", "", part.lower()) for part in parts]
    known = sorted((name for name in named if name in _FORMATS), key=lambda name: name in _WIDTHS)
    if not known:
        formats = dict.fromkeys(weights for weights, _ in _FORMATS.values())
        raise Unknown(f"precision '{text}' is not known; known: {', '.join(formats)}, and widths such as w4a16")
    weights, activations = _FORMATS[known[0]]
    if known[0] == "fp4" and chip.vendor == "AMD":
        weights = activations = "mxfp4"
    widths = "w8a16" if _WEIGHT_ONLY.search(rest) else known[-1]
    if widths in _WIDTHS and _whole_bits(_FORMATS[widths][1]) != _whole_bits(activations):  # "mxfp4 w4a16"
        activations = _FORMATS[widths][1]
    if weights == "fp8" and model.name.startswith("Qwen"):
        weights = "fp8_block"
    declared = FORMATS[model.formats.experts].rate
    own = declared == "fp4" or declared == FORMATS[weights].rate == "fp8"
    if own:
        weights = "declared"
    if FORMATS[activations].rate == "fp4" and ("fp4", "fp4") not in chip.compute:
        activations = "fp8" if ("fp4", "fp8") in chip.compute else "bf16"
    quantised = not own and FORMATS[weights].rate in ("fp8", "fp4")
    kv = "fp8" if engine == "tensorrt-llm" and quantised else "bf16"
    return Precision(weights, activations, kv)


def _whole_bits(format: str) -> int:
    """Bits of an element, block scales apart."""
    return int(FORMATS[format].bits_per_element)


@dataclass(frozen=True, slots=True)
class Spread:
    """How a row's replica is spread over chips, and how many replicas its chips make."""

    parallelism: Parallelism
    replicas: int


def spread(text: str, chips: int | None, model: Architecture, *, attention_dp: bool) -> Spread:
    """Parallelism from "agg TP4 PP1 DPattn1 moeTP4 moeEP1", "TP4,PP2", "tp4 ep4 dp4". Raises Unknown.

    `DPattn` counts attention groups beside TP. A plain DP is read with the number of chips: where TP x PP already is
    that number (SGLang's way of counting), the groups are inside TP; dense models run as so many replicas. "DPA" and
    the like make every rank a group, "EP" without a number spreads whole experts over all. No word is TP1 on one chip.
    `attention_dp`: the table says that its runs of mixture-of-experts models, labelled with TP alone, use expert
    parallelism and attention data parallelism.
    """
    if chips == 1 and _NONE.fullmatch(text):
        return Spread(Parallelism(), 1)
    if _SPLIT.search(text):
        raise Unknown(f"parallelism '{text}' serves prompts and answers on different chips, which rows do not describe")
    plain = text
    for long, short in _LONG:
        plain = long.sub(short, plain)
    everywhere = _GROUPS.search(plain)
    plain = _GROUPS.sub(" ", plain)
    whole_experts = _EXPERTS.search(plain)
    plain = _EXPERTS.sub(" ", plain)
    degrees: dict[str, int] = {}
    for name, digits in _DEGREE.findall(plain):
        key = re.sub(r"[^a-z]", "", name.lower())
        if key in degrees:
            raise Unknown(f"parallelism '{text}' gives {key.upper()} twice")
        degrees[key] = int(digits)
    if not degrees or _WORDS.sub("", _DEGREE.sub("", plain)) or degrees.pop("cp", 1) != 1:
        raise Unknown(f"parallelism '{text}' is not understood; expected words such as TP4, PP2, EP8, DP8, moeEP8")
    tensor, pipeline = degrees.get("tp", 1), degrees.get("pp", 1)
    groups = degrees.get("dpattn", 1)
    moe = any(layer.feed_forward.experts for layer in model.layers)
    replicas = 1
    if everywhere and (everywhere["said"] or "on").lower() in ("true", "on", "yes", "enabled") and groups == 1:
        degrees.pop("dp", None)
        tensor, groups = 1, tensor
    if "dp" in degrees and groups == 1:
        if chips == tensor * pipeline and degrees["dp"] > 1:
            if tensor % degrees["dp"]:
                raise Unknown(f"parallelism '{text}': DP{degrees['dp']} does not divide TP{tensor} on {chips} chips")
            tensor //= degrees["dp"]
        groups, replicas = (degrees["dp"], 1) if moe else (1, degrees["dp"])
    expert = degrees.get("moeep", degrees.get("ep", 1)) if moe else 1
    if whole_experts and moe and not {"moeep", "ep"} & degrees.keys():
        expert = tensor * groups
    if attention_dp and moe and not {"dpattn", "dp", "moeep", "ep"} & degrees.keys():
        tensor, groups, expert = 1, tensor, tensor
    try:
        one = Parallelism(tensor, pipeline, expert, groups)
    except DeploymentError as error:
        raise Unknown(str(error)) from None
    total = chips or one.chips * replicas
    if total % one.chips:
        raise Unknown(f"parallelism '{text}' takes {one.chips} chips a replica, the row has {total}")
    return Spread(one, total // one.chips)


def concurrency(text: str) -> int | None:
    """Requests in flight; None where all come at once ("inf rate"). Raises Unknown.

    >>> [concurrency(t) for t in ("64.0", "c128", "inf rate")]
    [64, 128, None]
    """
    word = re.sub(r"(?<=\d),(?=\d{3})", "", text.strip().lower())
    if re.fullmatch(r"inf(inite|inity)?([\s_-]*rate)?|offline|all at once", word):
        return None
    found = re.fullmatch(
        r"(?:(?:c|conc|(?:max[\s_-]*)?concurrency|bs|batch(?:[\s_-]*size)?)[\s=_:-]*)?(\d+)(?:\.0+)?"
        r"(?:[\s_-]*(?:concurrent|users?|requests?|in flight))?",
        word,
    )
    if not found or int(found[1]) < 1:
        raise Unknown(f"batch_or_concurrency '{text}' is neither a number of requests in flight nor 'inf rate'")
    return int(found[1])
