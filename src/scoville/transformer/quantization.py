"""How a config declares its weights stored: `torch_dtype` and `quantization_config`, by part of the model."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Any

from scoville.errors import ModelError, nearest
from scoville.transformer.architecture import FORMATS, Architecture, Layer, WeightFormats
from scoville.transformer.keys import ConfigKeys

_DTYPES = {"bfloat16": "bf16", "float16": "bf16", "float32": "fp32", "float8_e4m3fn": "fp8"}
_METHODS = ("awq", "compressed-tensors", "fbgemm_fp8", "fp8", "gptq", "modelopt", "mxfp4")
_INTEGERS = {4: "int4", 8: "int8"}
# compressed-tensors: bits, type, and the group size where it tells formats apart.
_SCHEMES = {
    "fp8": (8, "float", None), "int8": (8, "int", None), "int4": (4, "int", None),
    "mxfp4": (4, "float", 32), "nvfp4": (4, "float", 16),
}  # fmt: skip
_MODELOPT = {"FP8": "fp8", "NVFP4": "nvfp4", "MXFP8": "mxfp8", "MXFP4": "mxfp4"}

# Names that a part's modules have in checkpoints; one that an ignore list matches exempts the part in that layer.
_ATTENTION = ("self_attn.q_proj", "self_attn.o_proj", "self_attn.kv_b_proj")
_LINEAR_ATTENTION = ("linear_attn.in_proj_qkv", "linear_attn.out_proj")
_EXPERTS = ("mlp.experts.0.gate_proj", "block_sparse_moe.experts.0.w1", "feed_forward.experts.gate_proj")
_SHARED = ("mlp.shared_experts.gate_proj", "mlp.shared_expert.gate_proj", "feed_forward.shared_expert.gate_proj")
_DENSE = ("mlp.gate_proj", "mlp.down_proj", "feed_forward.gate_proj")


def _ignored(module: str, pattern: str) -> bool:
    """Whether an entry of an ignore list names a module: 're:' regular expression, or a dotted path with wildcards."""
    if pattern.startswith("re:"):
        return re.match(pattern[3:], module) is not None
    wanted, parts = pattern.split("."), module.split(".")
    return any(
        all(fnmatch.fnmatchcase(p, w) for p, w in zip(parts[i:], wanted, strict=False))
        for i in range(len(parts) - len(wanted) + 1)
    )


def _number_format(spec: Any, keys: ConfigKeys, where: str) -> str:
    """The format of a compressed-tensors weight or cache scheme: type, num_bits, group_size."""
    if not isinstance(spec, dict):
        keys.fail(where, "is not an object")
    bits, kind, group = spec.get("num_bits"), spec.get("type", "int"), spec.get("group_size")
    for name, (wanted_bits, wanted_kind, wanted_group) in _SCHEMES.items():
        if bits == wanted_bits and kind == wanted_kind and wanted_group in (None, group):
            if name == "int4" and group not in (None, 32):
                keys.note(f"int4 weights come in groups of {group}; their scales are counted as in groups of 32")
            return name
    keys.fail(where, f"is {bits}-bit {kind} in groups of {group}; expected one of {', '.join(_SCHEMES)}")


def _modules(config: Mapping[str, Any], keys: ConfigKeys) -> list[str]:
    """The names of modules that a quantisation leaves as they are."""
    found: list[str] = []
    for key in ("modules_to_not_convert", "ignore", "exclude_modules"):
        value = config.get(key) or []
        if not isinstance(value, list) or not all(isinstance(m, str) for m in value):
            keys.fail(f"quantization_config.{key}", "is not a list of module names")
        found += value
    return found


def _quantised(config: Mapping[str, Any], keys: ConfigKeys) -> str:
    """The format of the weights that a quantisation converts."""
    inner = ConfigKeys(config, keys.place, keys.model_type, f"{keys.prefix}quantization_config.")
    method = config.get("quant_method")
    if method in ("fp8", "fbgemm_fp8"):
        return "fp8"
    if method == "mxfp4":
        return "mxfp4"
    if method in ("gptq", "awq"):
        bits = inner.integer("bits", "w_bit")
        if bits not in _INTEGERS:
            inner.fail("bits", f"is {bits}; expected 4 or 8")
        return _INTEGERS[bits]
    if method == "modelopt":
        return _MODELOPT[inner.word("quant_algo", allowed=_MODELOPT) or inner.fail("quant_algo", "is missing")]
    if method == "compressed-tensors":
        groups = config.get("config_groups")
        if not isinstance(groups, dict) or not groups:
            inner.fail("config_groups", "is missing; compressed-tensors needs it")
        found = {
            _number_format(
                g.get("weights") if isinstance(g, dict) else g, keys, f"{inner.prefix}config_groups.{n}.weights"
            )
            for n, g in groups.items()
        }
        if len(found) > 1:
            inner.fail("config_groups", f"mixes {', '.join(sorted(found))}; one format is supported")
        return found.pop()
    inner.fail("quant_method", f"is {method!r}; {nearest(str(method), _METHODS)}")


def _exempt_layers(layers: tuple[Layer, ...], part: str, ignore: list[str]) -> tuple[int, int]:
    """In how many layers the part is exempt, and how many layers have it."""
    exempt = having = 0
    for i, layer in enumerate(layers):
        f = layer.feed_forward
        if part == "attention":
            modules: tuple[str, ...] = _LINEAR_ATTENTION if layer.attention.kind == "linear" else _ATTENTION
        elif part == "experts":
            modules = _EXPERTS if f.experts else ()
        elif f.experts:
            modules = _SHARED if f.shared_intermediate else ()
        else:
            modules = _DENSE
        having += bool(modules)
        exempt += any(_ignored(f"model.layers.{i}.{m}", p) for m in modules for p in ignore)
    return exempt, having


def weight_formats(keys: ConfigKeys, layers: tuple[Layer, ...]) -> tuple[WeightFormats, str]:
    """Formats of the weights by part, and of the KV cache, as declared. Raises ModelError naming the key."""
    dtype = keys.word("torch_dtype", "dtype", allowed=_DTYPES)
    if dtype is None:
        keys.note("torch_dtype is not given: weights that no quantization_config converts are taken as bf16")
    plain = _DTYPES[dtype or "bfloat16"]
    config = keys.raw("quantization_config")
    if config is None:
        return WeightFormats(plain, plain, plain, plain), "bf16"
    if not isinstance(config, dict):
        keys.fail("quantization_config", "is not an object")
    quantised, ignore = _quantised(config, keys), _modules(config, keys)
    chosen: dict[str, str] = {}
    for part in ("attention", "feed_forward", "experts"):
        exempt, having = _exempt_layers(layers, part, ignore)
        if config["quant_method"] == "mxfp4" and part != "experts":
            exempt = having  # transformers, integrations/mxfp4.py: this method converts expert modules alone
        chosen[part] = quantised if 2 * exempt < having else plain
        if 0 < exempt < having:
            name = part.replace("_", "-")
            keys.note(
                f"{exempt} of {having} layers keep their {name} weights in {plain}; "
                f"all are counted as {chosen[part]}, as most of them are"
            )
    scheme = config.get("kv_cache_scheme")
    if scheme is not None:
        kv = _number_format(scheme, keys, "quantization_config.kv_cache_scheme")
    else:
        kv = {"FP8": "fp8", "NVFP4": "nvfp4"}.get(str(config.get("kv_cache_quant_algo")), "bf16")
    return WeightFormats(**chosen, embedding=plain if plain != "fp8" else "bf16"), kv


def stored_formats(a: Architecture, weights: str | None = None) -> WeightFormats:
    """Formats of the weights when linear weights (attention, MLPs, experts) are stored as `weights`.

    None or "declared" keeps the declaration. Otherwise embedding, head, norms and router stay in bf16, and so does a
    part that a declared quantisation leaves unquantised (gpt-oss in fp8 still has its attention in bf16).
    Raises ModelError for an unknown format.
    """
    if weights is None or weights == "declared":
        return a.formats
    if weights not in FORMATS:
        raise ModelError(f"unknown weight format '{weights}'; {nearest(weights, ['declared', *FORMATS])}")
    f = a.formats
    parts = (f.attention, f.feed_forward, f.experts)
    quantised = any(FORMATS[p].bits_per_element < 16 for p in parts)
    attention, feed_forward, experts = (
        p if quantised and FORMATS[p].bits_per_element >= 16 else weights for p in parts
    )
    return WeightFormats(attention, feed_forward, experts, embedding="bf16")
