"""Names as found in the wild."""

from __future__ import annotations

import pytest

from scoville.facts import Facts
from scoville.transformer import load, names
from scoville.transformer.step import Parallelism, Precision
from scoville.validation.names import (
    Chips,
    Unknown,
    cache_format,
    concurrency,
    engine_family,
    model_key,
    model_names,
    precision,
    spread,
)


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("h100_sxm", "h100-sxm"),
        ("H100", "h100-sxm"),
        ("H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100-SXM5-80GB", "h100-sxm"),
        ("8xH100", "h100-sxm"),
        ("H200", "h200-sxm"),
        ("NVIDIA H200 141GB HBM3e", "h200-sxm"),
        ("h20", "h20"),
        ("A100-SXM4-80GB", "a100-sxm"),
        ("NVIDIA A100 80GB", "a100-sxm"),
        ("L40S", "l40s"),
        ("B200", "b200-sxm"),
        ("NVIDIA B200 192GB HBM3e", "b200-sxm"),
        ("GB200", "gb200-nvl72"),
        ("gb200_nvl72", "gb200-nvl72"),
        ("NVIDIA GB200 NVL72", "gb200-nvl72"),
        ("RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
        ("NVIDIA RTX PRO 6000", "rtx-pro-6000"),
        ("MI300X", "mi300x"),
        ("AMD Instinct MI300X OAM", "mi300x"),
        ("mi355x", "mi355x"),
        ("Google TPU v6e", "tpu-v6e"),
        ("TPU v6e-8", "tpu-v6e"),
        ("tpu-v5p-8", "tpu-v5p"),
        ("8 x H100 SXM", "h100-sxm"),
        ("H100x8", "h100-sxm"),
        ("GB200 (4 GPUs)", "gb200-nvl72"),
        ("H200 141 GB", "h200-sxm"),
        ("h100_80g", "h100-sxm"),
        ("B200 180GB", "b200-sxm"),
        ("NVIDIA B300 SXM6 AC", "b300-sxm"),
        ("L40S PCIe", "l40s"),
        ("RTX 6000 Pro Blackwell Server Edition", "rtx-pro-6000"),
        ("MI300X OAM", "mi300x"),
        ("H100 PCIe", "h100-pcie"),
        ("H100-PCIE-80GB", "h100-pcie"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        ("H100 NVL 94GB", "h100-nvl"),
        ("H200 NVL", "h200-nvl"),
        ("A100 40GB", "a100-sxm-40gb"),
        ("A100-SXM4-40GB", "a100-sxm-40gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie"),
        ("A100-PCIE-80GB", "a100-pcie"),
        ("GH200", "gh200"),
        ("NVIDIA GH200 480GB", "gh200"),  # its device name has the CPU's memory
        ("NVIDIA GH200 144G HBM3e", "gh200-144gb"),
        ("H100SXM", "h100-sxm"),
        ("nvidia-h100sxm5-80gb", "h100-sxm"),
    ],
)
def test_a_chip_maps(facts: Facts, name: str, id: str) -> None:
    assert Chips(facts).find(name).id == id


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("H800 PCIe", "is a sibling of h800-sxm with other clocks"),
        ("GB200 NVL4", "is a sibling of gb200-nvl72"),
        ("RTX PRO 6000 Blackwell Max-Q Workstation Edition", "is a sibling of rtx-pro-6000"),
        ("RTX 4090", "no accelerator"),
        ("A100-PCIE-40GB", "has 40 GB; a100-pcie has 86 GB"),
        ("A100 64GB", "has 64 GB; a100-sxm has 86 GB; a100-sxm-40gb has 43 GB"),
        ("H100 SXM 96GB", "has 96 GB; h100-sxm has 86 GB"),
        ("H20 141GB", "has 141 GB; h20 has 96 GB"),
        ("", "no accelerator"),
    ],
)
def test_another_chip_is_not_taken_for_one_that_is_known(facts: Facts, name: str, said: str) -> None:
    with pytest.raises(Unknown, match=said):
        Chips(facts).find(name)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Qwen/Qwen3-32B", "qwen3-32b"),
        ("nvidia/Qwen3-32B-FP8", "qwen3-32b"),
        ("Llama 3.3 70B", "llama-3.1-70b"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.1-70b"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("nvidia/Llama-3.1-405B-Instruct-FP4", "llama-3.1-405b"),
        ("Llama 4 Scout", "llama-4-scout"),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", "llama-4-maverick"),
        ("Qwen3-30B-A3B", "qwen3-30b-a3b"),
        ("Qwen3-235B-A22B-Instruct-2507", "qwen3-235b-a22b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("gpt-oss 20B", "gpt-oss-20b"),
        ("DeepSeek-R1", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1"),
        ("nvidia/DeepSeek-R1-0528-FP4", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("meta-llama/Llama-2-70b-chat-hf", "llama-2-70b"),
        ("moonshotai/Kimi-K2-Instruct-0905", "kimi-k2-instruct"),
        ("zai-org/GLM-4.5-FP8", "glm-4.5"),
        ("RedHatAI/Meta-Llama-3.1-70B-Instruct-quantized.w8a8", "llama-3.1-70b"),
        ("amd/Llama-3.3-70B-Instruct-FP8-KV", "llama-3.1-70b"),
        ("Llama-3_1-70B", "llama-3.1-70b"),
        ("nvidia/DeepSeek-R1-0528-FP4-v2", "deepseek-r1"),
        ("DeepSeek R1 671B", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-V3.2-Exp", "deepseek-v3.2"),
        ("nvidia/Llama-4-Scout-17B-16E-Instruct-NVFP4", "llama-4-scout"),
        ("gpt_oss_120b", "gpt-oss-120b"),
        ("bigscience/bloom", "bloom-176b"),
    ],
)
def test_a_model_maps(name: str, model: str) -> None:
    assert model_names(names(), {}).get(model_key(name)) == model


def test_bundled_models_have_keys_of_their_own() -> None:
    keys = [model_key(name) for name in names()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", ["Qwen2.5-72B", "Llama 3.2 3B", "mistralai/Mistral-7B-v0.3", "gpt-4"])
def test_another_model_is_not_taken_for_one_that_is_known(name: str) -> None:
    assert model_key(name) not in model_names(names(), {})


def test_a_users_config_wins_over_a_bundled_one() -> None:
    own = model_names(names(), {"Qwen/Qwen3-32B": "mine.json", "house model": "house.json"})
    assert own[model_key("qwen3 32b")] == "mine.json"
    assert own[model_key("House-Model")] == "house.json"


def test_an_engine_of_no_family_is_named() -> None:
    assert engine_family("vLLM v0.11.0") == "vllm"
    with pytest.raises(Unknown, match=r"engine 'mlc' is of no family .* known: sglang, tensorrt-llm, vllm$"):
        engine_family("mlc")


@pytest.mark.parametrize(
    ("text", "model", "chip", "engine", "formats"),
    [
        ("fp8", "qwen3-32b", "h100", "vllm", Precision("fp8_block", "fp8", "bf16")),
        ("fp8", "llama-3.1-70b", "h100", "vllm", Precision("fp8", "fp8", "bf16")),
        ("FP8", "qwen3-32b", "h100", "tensorrt-llm", Precision("fp8_block", "fp8", "fp8")),
        ("bf16", "qwen3-32b", "h100", "tensorrt-llm", Precision("bf16", "bf16", "bf16")),
        ("FP4", "llama-3.1-70b", "b200", "tensorrt-llm", Precision("nvfp4", "nvfp4", "fp8")),
        ("nvfp4", "llama-3.1-70b", "h100", "vllm", Precision("nvfp4", "bf16", "bf16")),
        ("fp4", "gpt-oss-120b", "h100", "vllm", Precision("declared", "bf16", "bf16")),
        ("mxfp4", "gpt-oss-120b", "b200", "vllm", Precision("declared", "mxfp4", "bf16")),
        ("w4a16", "llama-3.1-70b", "h100", "vllm", Precision("int4", "bf16", "bf16")),
        ("INT4 (AWQ)", "llama-3.1-70b", "h100", "vllm", Precision("int4", "bf16", "bf16")),
        ("FP8 (W8A8)", "llama-3.1-70b", "h100", "vllm", Precision("fp8", "fp8", "bf16")),
        ("W8A8 INT8", "llama-3.1-70b", "a100", "vllm", Precision("int8", "int8", "bf16")),
        ("fp8, kv fp8", "llama-3.1-70b", "h100", "vllm", Precision("fp8", "fp8", "bf16")),
        ("fp8", "deepseek-r1", "h200", "vllm", Precision("declared", "fp8", "bf16")),
        ("fp4", "llama-3.1-70b", "mi355x", "vllm", Precision("mxfp4", "mxfp4", "bf16")),
        ("fp8, kv bf16", "llama-3.1-70b", "h100", "vllm", Precision("fp8", "fp8", "bf16")),
        ("fp8 kv bf16", "llama-3.1-70b", "h100", "vllm", Precision("fp8", "fp8", "bf16")),
        ("W8A8 (FP8)", "llama-3.1-70b", "h100", "vllm", Precision("fp8", "fp8", "bf16")),
        ("mxfp4 w4a16", "llama-3.1-70b", "b200", "vllm", Precision("mxfp4", "bf16", "bf16")),
        ("fp4 (W4A16)", "llama-3.1-70b", "mi355x", "vllm", Precision("mxfp4", "bf16", "bf16")),
        ("INT4 W4A8", "llama-3.1-70b", "h100", "vllm", Precision("int4", "fp8", "bf16")),
        ("int8 weight-only", "llama-3.1-70b", "h100", "vllm", Precision("int8", "bf16", "bf16")),
        ("fp8 blockwise", "llama-3.1-70b", "h100", "vllm", Precision("fp8_block", "fp8", "bf16")),
    ],
)
def test_a_precision_maps(facts: Facts, text: str, model: str, chip: str, engine: str, formats: Precision) -> None:
    assert precision(text, load(model), facts.accelerator(chip), engine) == formats


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("fp8, kv fp8", "fp8"),
        ("bf16 (FP8 KV cache)", "fp8"),
        ("fp8", ""),
        ("fp8 kv bf16", "bf16"),
        ("FP8 KV, bf16", "fp8"),
    ],
)
def test_a_precision_may_give_the_format_of_the_cache(text: str, format: str) -> None:
    assert cache_format(text) == format


def test_an_unknown_precision_is_named(facts: Facts) -> None:
    with pytest.raises(
        Unknown, match=r"precision 'fp3' is not known; known: fp8, .*, nvfp4, .* and widths such as w4a16$"
    ):
        precision("fp3", load("qwen3-32b"), facts.accelerator("h100"), "vllm")


@pytest.mark.parametrize(
    ("text", "chips", "model", "attention_dp", "expected", "replicas"),
    [
        ("agg TP4 PP1 DPattn1 moeTP4 moeEP1", 4, "gpt-oss-120b", False, Parallelism(4), 1),
        ("agg TP8 PP1 DPattn1 moeTP1 moeEP8", 8, "gpt-oss-120b", False, Parallelism(8, expert=8), 1),
        ("agg TP1 PP1 DPattn8 moeTP1 moeEP8", 8, "deepseek-v3", False, Parallelism(1, 1, 8, 8), 1),
        ("agg TP2 PP1 DPattn1 moeTP1 moeEP1", 2, "qwen3-32b", False, Parallelism(2), 1),
        ("TP4,PP2", 8, "llama-3.1-70b", True, Parallelism(4, 2), 1),
        ("TP4,PP2", 8, "llama-4-maverick", True, Parallelism(1, 2, 4, 4), 1),
        ("TP8", 8, "qwen3-235b-a22b", False, Parallelism(8), 1),
        ("tp4 ep4 dp4", 4, "deepseek-v3", False, Parallelism(1, 1, 4, 4), 1),
        ("tp8 ep8 dp2", 8, "deepseek-v3", False, Parallelism(4, 1, 8, 2), 1),
        ("tp1 dp8 ep8", 8, "deepseek-v3", False, Parallelism(1, 1, 8, 8), 1),
        ("TP=2", 8, "llama-3.1-70b", False, Parallelism(2), 4),
        ("TP1", None, "llama-3.1-8b", False, Parallelism(), 1),
        ("TEP8", 8, "deepseek-v3", False, Parallelism(8, 1, 8), 1),
        ("dep-8", 8, "deepseek-v3", False, Parallelism(1, 1, 8, 8), 1),
        ("tensor_parallel_size=4, pipeline parallel 2", 8, "llama-3.1-70b", False, Parallelism(4, 2), 1),
        ("4", 8, "llama-3.1-70b", False, Parallelism(4), 2),
        ("tp=8,ep=8", 8, "deepseek-v3", False, Parallelism(8, 1, 8), 1),
        ("tp8_ep8_dpattn8", 64, "deepseek-v3", False, Parallelism(8, 1, 8, 8), 1),
        ("tp8 ep8 dp-attn true", 8, "deepseek-v3", False, Parallelism(1, 1, 8, 8), 1),
        ("TP8 EP8 DPA", 8, "deepseek-v3", False, Parallelism(1, 1, 8, 8), 1),
        ("tp8 dp-attn false", 8, "deepseek-v3", False, Parallelism(8), 1),
        ("TP8 + EP", 8, "deepseek-v3", False, Parallelism(8, 1, 8), 1),
        ("tp4-pp2", 8, "llama-3.1-70b", False, Parallelism(4, 2), 1),
        ("8-way TP", 8, "llama-3.1-70b", False, Parallelism(8), 1),
        ("TP4 DP2", 8, "llama-3.1-70b", False, Parallelism(4), 2),
        ("TP4 DP2", None, "llama-3.1-70b", False, Parallelism(4), 2),
        ("TP8 CP1", 8, "llama-3.1-70b", False, Parallelism(8), 1),
        ("", 1, "llama-3.1-8b", False, Parallelism(), 1),
        ("N/A", 1, "llama-3.1-8b", False, Parallelism(), 1),
        ("4.0", 4, "llama-3.1-70b", False, Parallelism(4), 1),
        ("TP2xPP2", 4, "llama-3.1-70b", False, Parallelism(2, 2), 1),
        ("TP2 × PP2", 4, "llama-3.1-70b", False, Parallelism(2, 2), 1),
        ("tp_size 4, ep_size 4", 4, "deepseek-v3", False, Parallelism(4, 1, 4), 1),
    ],
)
def test_a_parallelism_maps(
    text: str, chips: int | None, model: str, attention_dp: bool, expected: Parallelism, replicas: int
) -> None:
    found = spread(text, chips, load(model), attention_dp=attention_dp)
    assert (found.parallelism, found.replicas) == (expected, replicas)


@pytest.mark.parametrize(
    ("text", "chips", "said"),
    [
        ("disagg 1P3D", 8, "serves prompts and answers on different chips"),
        ("1P2D", 8, "serves prompts and answers on different chips"),
        ("TP8 CP2", 16, "not understood"),
        ("", 8, "not understood"),
        ("TP4 TP8", 8, "gives TP twice"),
        ("TP4", 6, "takes 4 chips a replica, the row has 6"),
        ("TP0", 8, "expected an integer >= 1"),
        ("tp8 dp3", 8, "DP3 does not divide TP8"),
    ],
)
def test_a_parallelism_that_makes_no_sense_is_named(text: str, chips: int, said: str) -> None:
    with pytest.raises(Unknown, match=said):
        spread(text, chips, load("llama-3.1-70b"), attention_dp=False)


@pytest.mark.parametrize(
    ("text", "users"),
    [("64", 64), ("64.0", 64), ("c8", 8), ("inf rate", None), ("inf", None), ("1,024", 1024), ("64 users", 64)],
)
def test_a_load_maps(text: str, users: int | None) -> None:
    assert concurrency(text) == users


@pytest.mark.parametrize("text", ["", "12 req/s", "0", "64.5", "many", "-8"])
def test_a_load_that_is_no_number_in_flight_is_named(text: str) -> None:
    with pytest.raises(Unknown, match="neither a number of requests in flight"):
        concurrency(text)
