"""Reading config.json: every bundled model, every family, and every way a file can be wrong."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from scoville.errors import ModelError
from scoville.transformer import load, names
from scoville.transformer.config import parse

MODELS = resources.files("scoville.transformer") / "models"


def bundled(name: str) -> dict[str, Any]:
    file = next(f for f in MODELS.iterdir() if f.name.lower() == f"{name}.json")
    config = json.loads(file.read_text(encoding="utf-8"))
    assert isinstance(config, dict)
    return config


def read(config: dict[str, Any]) -> Any:
    return parse(json.dumps(config), "config.json", "mine")


@pytest.fixture
def llama() -> dict[str, Any]:
    return bundled("llama-3.1-8b")


def test_there_are_thirty_bundled_models_but_one_and_the_notice_names_each() -> None:
    notice = (MODELS / "NOTICE.md").read_text(encoding="utf-8").lower()
    assert len(names()) == 29
    assert all(f"| {name}.json |" in notice for name in names())


@pytest.mark.parametrize("name", names())
def test_every_bundled_model_loads_in_any_case(name: str) -> None:
    a = load(name)
    assert a == load(name.upper())
    assert len(a.layers) == bundled(name).get("text_config", bundled(name))["num_hidden_layers"]
    assert a.vocabulary > 0
    assert a.hidden > 0


def test_grouped_query_attention() -> None:
    a = load("llama-3.1-70b")
    (layer,) = set(a.layers)
    assert (layer.attention.heads, layer.attention.kv_heads, layer.attention.head_dim) == (64, 8, 128)
    assert layer.feed_forward.intermediate == 28672
    assert a.max_context_tokens == 131072
    assert not a.tied_embedding


def test_gpt_oss_alternates_windows_and_has_sinks_biases_and_mxfp4_experts() -> None:
    a = load("gpt-oss-120b")
    assert [layer.attention.window for layer in a.layers] == [128, None] * 18
    assert all(layer.attention.sinks and layer.attention.bias and layer.attention.output_bias for layer in a.layers)
    f = a.layers[0].feed_forward
    assert (f.experts, f.experts_per_token, f.bias, f.router_bias) == (128, 4, True, True)
    assert (a.formats.attention, a.formats.experts, a.formats.embedding) == ("bf16", "mxfp4", "bf16")


def test_deepseek_has_latent_attention_three_dense_layers_and_a_draft_layer() -> None:
    a = load("deepseek-v3")
    x = a.layers[0].attention
    assert (x.kind, x.q_lora_rank, x.kv_lora_rank, x.head_dim, x.rope_dim, x.v_head_dim) == (
        "mla", 1536, 512, 128, 64, 128,
    )  # fmt: skip
    assert [layer.feed_forward.experts for layer in a.layers] == [0] * 3 + [256] * 58
    assert a.layers[-1].feed_forward.shared_intermediate == 2048
    assert len(a.draft_layers) == 1
    assert a.formats.attention == a.formats.experts == "fp8"


@pytest.mark.parametrize(("name", "heads"), [("deepseek-v3.2", 64), ("glm-5", 32)])
def test_sparse_attention_has_an_indexer(name: str, heads: int) -> None:
    x = load(name).layers[0].attention
    assert (x.sparse_top_k, x.index_heads, x.index_head_dim) == (2048, heads, 128)


def test_maverick_interleaves_dense_and_expert_layers_and_chunks_three_of_four() -> None:
    a = load("llama-4-maverick")
    assert [layer.feed_forward.experts for layer in a.layers] == [0, 128] * 24
    assert [layer.attention.window for layer in a.layers] == [8192, 8192, 8192, None] * 12
    assert (a.layers[0].feed_forward.intermediate, a.layers[1].feed_forward.intermediate) == (16384, 8192)
    assert "vision tower" in a.notes[0]


def test_gemma3_has_five_windowed_layers_for_one_global() -> None:
    a = load("gemma-3-27b")
    assert Counter(layer.attention.window for layer in a.layers) == {1024: 52, None: 10}
    assert [i for i, layer in enumerate(a.layers) if layer.attention.window is None] == list(range(5, 62, 6))
    assert a.layers[0].norms == 4
    assert a.tied_embedding


def test_qwen35_has_a_delta_net_in_three_of_four_layers() -> None:
    a = load("qwen3.5-397b-a17b")
    assert [layer.attention.kind for layer in a.layers] == ["linear", "linear", "linear", "gqa"] * 15
    x = a.layers[0].attention
    assert (x.heads, x.key_heads, x.head_dim, x.v_head_dim, x.conv_kernel) == (64, 16, 128, 128, 4)
    assert a.layers[3].attention.output_gate
    assert a.layers[0].feed_forward.shared_gate


def test_minimax_norms_span_the_layer_and_it_declares_three_draft_modules() -> None:
    a = load("minimax-m2.5")
    assert a.layers[0].attention.qk_norm_width == "layer"
    assert len(a.draft_layers) == 3
    assert a.formats.experts == "fp8"  # 'gate' in the list of exceptions is the router, not gate_proj


def test_kimi_k25_keeps_all_but_the_routed_experts_unquantised() -> None:
    f = load("kimi-k2.5").formats
    assert (f.attention, f.feed_forward, f.experts, f.embedding) == ("bf16", "bf16", "int4", "bf16")


def test_what_a_config_leaves_open_is_noted() -> None:
    assert load("mistral-7b").max_context_tokens == 0
    assert any("longest context is unknown" in n for n in load("mistral-7b").notes)
    assert any("sliding_window_pattern is not given: 6" in n for n in load("gemma-3-27b").notes)
    assert load("llama-3.1-70b").notes == ()


def test_a_multi_modal_gemma_config_that_names_few_keys_takes_the_defaults_of_its_class() -> None:
    """The text_config of google/gemma-3-27b-it leaves out vocab_size and the layer pattern."""
    text = {
        "model_type": "gemma3_text", "hidden_size": 5376, "intermediate_size": 21504, "num_attention_heads": 32,
        "num_hidden_layers": 62, "num_key_value_heads": 16, "head_dim": 128, "sliding_window": 1024,
        "query_pre_attn_scalar": 168, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    }  # fmt: skip
    a = read({"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 1152}})
    assert a.vocabulary == 262208
    assert a.layers == load("gemma-3-27b").layers


def test_qwen2_windows_start_at_max_window_layers(llama: dict[str, Any]) -> None:
    config = llama | {
        "model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 30,
    }  # fmt: skip
    assert [layer.attention.window for layer in read(config).layers] == [None] * 30 + [4096] * 2


@pytest.mark.parametrize(
    ("quantization", "attention", "experts", "kv"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", "fp8", "bf16"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "int4", "int4", "bf16"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}, "nvfp4", "nvfp4", "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["model.layers.*.self_attn*"]},
         "bf16", "nvfp4", "bf16"),
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"},
          "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "int"}}}}, "int8", "int8", "fp8"),
        ({"quant_method": "compressed-tensors", "ignore": ["re:.*self_attn.*"],
          "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "float", "group_size": 32}}}},
         "bf16", "mxfp4", "bf16"),
    ],
)  # fmt: skip
def test_quantisation_as_declared(quantization: dict[str, Any], attention: str, experts: str, kv: str) -> None:
    a = read(bundled("mixtral-8x7b") | {"quantization_config": quantization})
    assert (a.formats.attention, a.formats.experts, a.kv_format) == (attention, experts, kv)


def test_layers_that_differ_in_format_are_noted(llama: dict[str, Any]) -> None:
    """Llama-3.1-405B-FP8 keeps attention and the first and last MLP in bf16."""
    ignore = ["lm_head", "model.layers.0.mlp.down_proj", *(f"model.layers.{i}.self_attn.q_proj" for i in range(32))]
    a = read(llama | {"quantization_config": {"quant_method": "fbgemm_fp8", "modules_to_not_convert": ignore}})
    assert (a.formats.attention, a.formats.feed_forward) == ("bf16", "fp8")
    assert a.notes == (
        "1 of 32 layers keep their feed-forward weights in bf16; all are counted as fp8, as most of them are",
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"num_hidden_layers": None},
         "config.json: key 'num_hidden_layers' is missing; model_type 'llama' needs it, an integer >= 1"),
        ({"num_hidden_layers": "80"}, "config.json: num_hidden_layers is '80'; expected an integer >= 1"),
        ({"num_hidden_layers": 0}, "config.json: num_hidden_layers is 0; expected an integer >= 1"),
        ({"hidden_size": True}, "config.json: hidden_size is True; expected an integer >= 1"),
        ({"num_key_value_heads": 7},
         "config.json: num_key_value_heads is 7; expected a divisor of num_attention_heads (32)"),
        ({"num_attention_heads": 31, "num_key_value_heads": 31},
         "config.json: head_dim is missing, and num_attention_heads (31) does not divide hidden_size (4096)"),
        ({"tie_word_embeddings": "no"}, "config.json: tie_word_embeddings is 'no'; expected true or false"),
        ({"num_ghost_layers": 3}, "config.json: key 'num_ghost_layers' is not understood for model_type 'llama'; "
                                  "remove it if it changes neither sizes nor layers"),
        ({"model_type": "lama"}, "config.json: model_type 'lama' is not understood; did you mean 'llama'"),
        ({"torch_dtype": "float4"}, "config.json: torch_dtype is 'float4'; expected one of bfloat16"),
        ({"torch_dtype": None, "dtype": ["bfloat16"]}, "config.json: dtype is ['bfloat16']; expected one of bfloat16"),
        ({"quantization_config": {"quant_method": "awqq"}},
         "config.json: quantization_config.quant_method is 'awqq'; did you mean 'awq'"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}},
         "config.json: quantization_config.bits is 3; expected 4 or 8"),
        ({"quantization_config": [1]}, "config.json: quantization_config is not an object"),
        ({"quantization_config": {"quant_method": "fp8", "ignore": "lm_head"}},
         "config.json: quantization_config.ignore is not a list of module names"),
        ({"quantization_config": {"quant_method": "modelopt"}},
         "config.json: quantization_config.quant_algo is missing"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}},
         "config.json: quantization_config.config_groups is missing"),
        ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": 4}}}},
         "config.json: quantization_config.config_groups.g.weights is not an object"),
        ({"quantization_config": {"quant_method": "compressed-tensors",
                                  "config_groups": {"g": {"weights": {"num_bits": 3}}}}},
         "config.json: quantization_config.config_groups.g.weights is 3-bit int in groups of None; expected one of"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named(llama: dict[str, Any], change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError) as error:
        read(llama | change)
    assert str(error.value).startswith(sentence)


def test_harmless_keys_of_new_library_versions_are_ignored(llama: dict[str, Any]) -> None:
    extra = {"use_grouped_mm": True, "attn_implementation": "eager", "num_future_layers": 0, "window_kind": None}
    assert read(llama | extra) == read(llama)


def test_layer_types_are_checked() -> None:
    config = bundled("gpt-oss-20b")
    with pytest.raises(ModelError, match=r"layer_types\[1\] is 'odd'; expected one of full_attention"):
        read(config | {"layer_types": ["full_attention", "odd", *config["layer_types"][2:]]})
    with pytest.raises(ModelError, match="layer_types must be a list with one entry for each of the 24 layers"):
        read(config | {"layer_types": ["full_attention"]})


def test_a_key_inside_a_wrapper_is_named_with_its_place() -> None:
    config = bundled("llama-4-scout")
    del config["text_config"]["vocab_size"]
    with pytest.raises(ModelError, match=r"config\.json: key 'text_config\.vocab_size' is missing"):
        read(config)


@pytest.mark.parametrize("name", names())
def test_any_key_may_be_missing_or_nonsense_without_a_traceback(name: str) -> None:
    config = bundled(name)
    inner = config.get("text_config", config)
    for key in list(inner):
        for value in (None, "nonsense", -1, [None]):
            changed = inner | {key: value}
            if value is None:
                del changed[key]
            whole = config | {"text_config": changed} if "text_config" in config else changed
            try:
                read(whole)
            except ModelError as error:
                assert key in str(error)


def test_broken_json_is_placed_by_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{\n  "model_type": "llama",\n  "hidden_size": 4096,,\n}\n', encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json:3: is not valid JSON"):
        load(file)


def test_json_that_is_no_object_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds a list; expected the object"):
        parse("[]", "config.json", "mine")
    with pytest.raises(ModelError, match="key 'model_type' is missing"):
        parse("{}", "config.json", "mine")
    file = tmp_path / "config.json"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="is not UTF-8 text"):
        load(file)


def test_a_folder_names_the_model_that_it_holds(tmp_path: Path, llama: dict[str, Any]) -> None:
    folder = tmp_path / "Our-Llama"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(llama), encoding="utf-8")
    assert load(folder).name == load(folder / "config.json").name == "Our-Llama"
    assert load(folder).layers == load("llama-3.1-8b").layers


def test_unknown_names_and_paths(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no model 'llama-3-70b'; did you mean 'llama-3\.1-70b'"):
        load("llama-3-70b")
    with pytest.raises(ModelError, match="there is no such file or folder"):
        load(tmp_path / "nowhere" / "config.json")
