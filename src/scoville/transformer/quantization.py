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


def _number_format(spec: Mapping[str, Any], keys: ConfigKeys, where: str) -> str:
    """The format of a compressed-tensors weight or cache scheme: type, num_bits, group_size."""
    bits, kind, group = spec.get("num_bits"), spec.get("type", "int"), spec.get("group_size")
    name = {(8, "float"): "fp8", (8, "int"): "int8", (4, "int"): "int4"}.get((bits, kind))  # type: ignore[arg-type]
    if (bits, kind) == (4, "float"):
        name = {16: "nvfp4", 32: "mxfp4"}.get(group)  # type: ignore[arg-type]
    if name is None:
        keys.fail(where, f"is {bits}-bit {kind} in groups of {group}, which none of {', '.join(FORMATS)} is")
    if name == "int4" and group not in (None, 32):
        keys.note(f"int4 weights come in groups of {group}; their scales are counted as in groups of 32")
    return name


def _declared(config: Mapping[str, Any], keys: ConfigKeys) -> tuple[str, list[str]]:
    """The format of quantised weights, and the names of modules that keep the model's data type."""
    method = config.get("quant_method")
    ignore = config.get("modules_to_not_convert") or config.get("ignore") or []
    if method in ("fp8", "fbgemm_fp8"):
        return "fp8", ignore
    if method == "mxfp4":
        return "mxfp4", ignore
    if method in ("gptq", "awq"):
        bits = config.get("bits", config.get("w_bit"))
        if bits not in (4, 8):
            keys.fail("quantization_config.bits", f"is {bits!r}; expected 4 or 8")
        return {4: "int4", 8: "int8"}[bits], ignore
    if method == "modelopt":
        algorithm = str(config.get("quant_algo"))
        if algorithm not in _MODELOPT:
            keys.fail("quantization_config.quant_algo", f"is '{algorithm}'; expected one of {', '.join(_MODELOPT)}")
        return _MODELOPT[algorithm], ignore + list(config.get("exclude_modules") or [])
    if method == "compressed-tensors":
        groups = config.get("config_groups")
        if not isinstance(groups, dict) or not groups:
            keys.fail("quantization_config.config_groups", "is missing; compressed-tensors needs it")
        found = {
            _number_format(g.get("weights") or {}, keys, f"quantization_config.config_groups.{n}.weights")
            for n, g in groups.items()
        }
        if len(found) > 1:
            keys.fail("quantization_config.config_groups", f"mixes {', '.join(sorted(found))}; one format is supported")
        return found.pop(), ignore
    keys.fail("quantization_config.quant_method", f"is {method!r}; {nearest(str(method), _METHODS)}")


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
    dtype = keys.raw("torch_dtype", "dtype")
    if dtype is None:
        keys.note("torch_dtype is not given: weights that no quantization_config converts are taken as bf16")
    elif dtype not in _DTYPES:
        keys.fail("torch_dtype", f"is {dtype!r}; expected one of {', '.join(_DTYPES)}")
    plain = _DTYPES.get(dtype, "bf16")
    config = keys.raw("quantization_config")
    if config is None:
        return WeightFormats(plain, plain, plain, plain), "bf16"
    if not isinstance(config, dict):
        keys.fail("quantization_config", "is not an object")
    quantised, ignore = _declared(config, keys)
    if not isinstance(ignore, list) or not all(isinstance(p, str) for p in ignore):
        keys.fail("quantization_config", "has an ignore list that is not a list of module names")
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
