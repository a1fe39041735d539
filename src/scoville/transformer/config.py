"""From a Hugging Face `config.json`, bundled or the user's own, to an `Architecture`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from scoville.errors import ModelError, nearest
from scoville.transformer.architecture import Architecture
from scoville.transformer.families import FAMILIES
from scoville.transformer.keys import ConfigKeys
from scoville.transformer.quantization import weight_formats

_BUNDLED = resources.files("scoville.transformer") / "models"
# Keys that a multi-modal wrapper may hold in place of the text model inside it.
_INHERITED = ("tie_word_embeddings", "torch_dtype", "dtype", "quantization_config")


def names() -> tuple[str, ...]:
    """The bundled models, in lower case: 'llama-3.1-70b', 'deepseek-v3', ..."""
    return tuple(sorted(f.name[:-5].lower() for f in _BUNDLED.iterdir() if f.name.endswith(".json")))


def load(name_or_path: str | Path) -> Architecture:
    """The architecture of a bundled model (any case), or of a `config.json` or the folder that holds one.

    Raises ModelError naming the nearest bundled names, the file and line of broken JSON, or the key that is missing
    or not understood.
    """
    text = str(name_or_path)
    for file in _BUNDLED.iterdir():
        if file.name.lower() == f"{text.lower()}.json":
            return parse(file.read_text(encoding="utf-8"), file.name, file.name.removesuffix(".json"))
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "config.json"
    if path.is_file():
        name = path.resolve().parent.name if path.name == "config.json" else path.stem
        try:
            content = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ModelError(f"{path}: is not UTF-8 text; expected a Hugging Face config.json") from None
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
        return parse(content, str(path), name)
    if path.suffix == ".json" or path.name != text:
        raise ModelError(f"{path}: there is no such file or folder; give a config.json, or one of {', '.join(names())}")
    raise ModelError(f"there is no model '{text}'; {nearest(text, names())}")


def parse(content: str, place: str, name: str) -> Architecture:
    """The architecture described by the text of a `config.json`. `place` begins error sentences. Raises ModelError."""
    try:
        config = json.loads(content)
    except json.JSONDecodeError as error:
        raise ModelError(f"{place}:{error.lineno}: is not valid JSON ({error.msg}, column {error.colno})") from None
    if not isinstance(config, dict):
        raise ModelError(f"{place}: holds a {type(config).__name__}; expected the object of a Hugging Face config.json")
    keys, source = _text_model(config, place)
    family = FAMILIES.get(keys.model_type)
    if family is None:
        raise ModelError(
            f"{place}: {keys.prefix}model_type '{keys.model_type}' is not understood; "
            f"{nearest(keys.model_type, FAMILIES)}"
        )
    blocks = family(keys)
    formats, kv_format = weight_formats(keys, blocks.layers)
    hidden = keys.integer("hidden_size", "n_embed", "n_embd")
    context = keys.integer("max_position_embeddings", "n_positions", "seq_length", default=blocks.learned_positions)
    if not context:
        keys.note("max_position_embeddings is not given: the longest context is unknown")
    architecture = Architecture(
        name=name,
        model_type=keys.model_type,
        hidden=hidden,
        vocabulary=keys.integer("vocab_size"),
        layers=blocks.layers,
        tied_embedding=keys.flag("tie_word_embeddings", blocks.tied_by_default),
        max_context_tokens=context,
        formats=formats,
        draft_layers=blocks.draft_layers,
        learned_positions=blocks.learned_positions,
        embedding_norm=blocks.embedding_norm,
        kv_format=kv_format,
        source=source,
        notes=tuple(keys.notes),
    )
    keys.refuse_unread()
    return architecture


def _text_model(config: Mapping[str, Any], place: str) -> tuple[ConfigKeys, str]:
    """The keys of the language model: the config itself, or the `text_config` of a multi-modal wrapper."""
    outer = config.get("model_type")
    text = config.get("text_config")
    values = config
    prefix = ""
    if isinstance(text, dict):
        values = {k: config[k] for k in _INHERITED if k in config} | text
        prefix = "text_config."
    model_type = values.get("model_type", outer)
    if not isinstance(model_type, str):
        raise ModelError(f"{place}: key 'model_type' is missing; expected one of {', '.join(sorted(FAMILIES))}")
    keys = ConfigKeys(values, place, model_type, prefix)
    keys.understood("model_type", *_INHERITED)
    source = str(config.get("_source", place))
    if prefix:
        source += " (text_config)"
        keys.note(f"the language model of the multi-modal '{outer}' alone: its vision tower is not counted")
    return keys, source
