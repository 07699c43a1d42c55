"""Lines that start an engine: options that there are, and what they have none for."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest

from llmcalc import Serving
from llmcalc.serving.snippets import serving_snippets

# vLLM 0.30, vllm/engine/arg_utils.py
VLLM_OPTIONS = {
    *("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size", "--enable-expert-parallel"),
    *("--dtype", "--quantization", "--kv-cache-dtype", "--max-model-len", "--gpu-memory-utilization"),
    *("--kv-cache-memory-bytes", "--max-num-seqs", "--max-num-batched-tokens", "--block-size"),
    *("--enable-lora", "--max-loras", "--max-lora-rank", "--speculative-config"),
}
# SGLang, python/sglang/srt/server_args.py: an option is the field's name
SGLANG_OPTIONS = {
    *("--model-path", "--tp-size", "--pp-size", "--dp-size", "--ep-size", "--enable-dp-attention", "--dtype"),
    *("--quantization", "--kv-cache-dtype", "--context-length", "--mem-fraction-static", "--max-running-requests"),
    *("--chunked-prefill-size", "--page-size", "--enable-lora", "--max-loras-per-batch", "--max-lora-rank"),
    *("--speculative-algorithm", "--speculative-draft-model-path"),
}
# llama.cpp, tools/server/README.md
LLAMA_OPTIONS = {
    *("--model", "--ctx-size", "--parallel", "--kv-unified", "--no-kv-unified", "--batch-size", "--ubatch-size"),
    *("--flash-attn", "--cache-type-k", "--cache-type-v", "--swa-full", "--gpu-layers", "--no-kv-offload"),
    *("--n-cpu-moe", "--split-mode", "--tensor-split"),
}
CACHE_TYPES = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"}
# Ollama 0.33, envconfig/config.go and api/types.go
VARIABLES = {"OLLAMA_NUM_PARALLEL", "OLLAMA_FLASH_ATTENTION", "OLLAMA_KV_CACHE_TYPE", "OLLAMA_SCHED_SPREAD"}
PARAMETERS = {"num_ctx", "num_batch", "num_gpu"}

EVERYTHING = {
    **{"tensor_parallel": 2, "pipeline_parallel": 2, "data_parallel": 2, "expert_parallel": 4, "context": 4096},
    **{"memory_utilization": 0.8, "max_sequences": 64, "block_size": 32, "batched_tokens": 4096, "micro_batch": 4096},
    **{"parallel_sequences": 4, "flash_attention": False, "kv_cache_memory": 2**33, "unified": True, "gpu_layers": 10},
    **{"kv_on_host": True, "cpu_moe_layers": 3, "swa_full": True, "lora_slots": 4, "lora_rank": 32, "draft": "mtp"},
}


def found(engine: str, **asked):
    return list(serving_snippets("meta-llama/Llama-3.1-8B", Serving(engine=engine, **asked)))


def options(text: str) -> dict[str, str]:
    """Each option with the word after it, as a shell cuts the line up."""
    words = shlex.split(text.replace("\\\n", " "))
    return {word: following for word, following in zip(words, [*words[1:], ""], strict=True) if word.startswith("--")}


@pytest.mark.parametrize("asked", [{}, EVERYTHING, {"weights": "fp8", "kv_cache": "fp8"}, {"weights": "Q4_K_M"}])
@pytest.mark.parametrize(
    ("engine", "known"), [("vllm", VLLM_OPTIONS), ("sglang", SGLANG_OPTIONS), ("llama.cpp", LLAMA_OPTIONS)]
)
def test_only_options_that_there_are(engine, known, asked):
    (snippet,) = found(engine, **asked)
    assert set(options(snippet.text)) <= known
    assert "None" not in snippet.text


def test_what_is_asked_of_vllm_is_in_its_line():
    (snippet,) = found("vllm", **EVERYTHING)
    told = options(snippet.text)
    assert snippet.text.startswith("vllm serve meta-llama/Llama-3.1-8B")
    assert told["--tensor-parallel-size"] == told["--pipeline-parallel-size"] == told["--data-parallel-size"] == "2"
    assert told["--max-model-len"] == told["--max-num-batched-tokens"] == "4096"
    assert told["--gpu-memory-utilization"] == "0.8"
    assert told["--kv-cache-memory-bytes"] == "8589934592"
    assert "--enable-expert-parallel" in told
    of_llama_cpp = {"micro_batch", "parallel_sequences", "flash_attention", "unified", "gpu_layers", "kv_on_host"}
    assert set(snippet.leaves_out) == of_llama_cpp | {"cpu_moe_layers", "swa_full"}


def test_what_an_engine_has_no_option_for_is_said():
    # vLLM deals experts out among all tensor and data parallel ranks, or among none
    assert found("vllm", tensor_parallel=4, expert_parallel=2)[0].leaves_out == ("expert_parallel",)
    assert found("vllm", tensor_parallel=4, expert_parallel=4)[0].leaves_out == ()
    assert found("vllm", weights="NVFP4")[0].leaves_out == ("weights",)  # is the checkpoint's
    assert found("vllm", kv_cache="q8_0")[0].leaves_out == ("kv_cache",)
    assert found("sglang", kv_cache_memory=2**30)[0].leaves_out == ("kv_cache_memory",)
    assert found("llama.cpp", memory_utilization=0.9)[0].leaves_out == ("memory_utilization",)
    assert found("llama.cpp", weights="NVFP4")[0].leaves_out == ("weights",)
    assert found("ollama", kv_cache="q8_0/f16", cpu_moe_layers=2)[0].leaves_out == ("kv_cache", "cpu_moe_layers")
    assert not any(snippet.leaves_out for engine in ("vllm", "sglang", "llama.cpp") for snippet in found(engine))
    assert found("transformers") == []


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize(("device", "weights", "dtype"), [
    ("V100 32GB SXM2", "bf16", "half"), ("T4", "bf16", "half"), ("T4", "fp8", "half"), ("T4", "int4 g128", "half"),
    ("T4", "fp32", "float32"), ("A100 80GB SXM", "bf16", "bfloat16"), ("M4 Max", "bf16", "bfloat16"),
    ("H100 SXM", "fp8", None),
])  # fmt: skip
def test_a_device_without_bf16_is_told_to_load_in_half_precision(engine, device, weights, dtype):
    """vLLM, platforms/cuda.py, check_if_supports_dtype: bfloat16 takes compute capability 8.0; V100 has 7.0, T4 7.5,
    and its message says to pass --dtype=half."""
    (snippet,) = found(engine, device=device, weights=weights)
    assert options(snippet.text).get("--dtype") == dtype


def test_sglang_shares_experts_over_replicas_within_one_group():
    (snippet,) = found("sglang", tensor_parallel=2, data_parallel=4, expert_parallel=8)
    told = options(snippet.text)
    assert (told["--tp-size"], told["--dp-size"], told["--ep-size"]) == ("8", "4", "8")
    assert "--enable-dp-attention" in told
    (snippet,) = found("sglang", tensor_parallel=8, expert_parallel=8)
    assert (options(snippet.text)["--tp-size"], "--dp-size" in snippet.text) == ("8", False)


def test_llama_server_is_told_of_cells_and_of_the_host():
    (snippet,) = found("llama.cpp", weights="Q4_K_M", kv_cache="q8_0/f16", **{**EVERYTHING, "flash_attention": True,
                       "tensor_parallel": 1, "data_parallel": 1, "expert_parallel": 1})  # fmt: skip
    told = options(snippet.text)
    assert told["--model"] == "Llama-3.1-8B-Q4_K_M.gguf"
    assert (told["--cache-type-k"], told["--cache-type-v"]) == ("q8_0", "f16")
    assert (told["--ctx-size"], told["--parallel"], told["--gpu-layers"], told["--n-cpu-moe"]) == (
        "4096",
        "4",
        "10",
        "3",
    )
    assert (told["--ubatch-size"], told["--batch-size"]) == ("4096", "4096")  # its default batch is 2,048
    assert told["--tensor-split"] == "1,1"
    assert set(snippet.leaves_out) == {"memory_utilization", "max_sequences", "block_size", "batched_tokens",
                                       "kv_cache_memory", "lora_slots", "lora_rank", "draft"}  # fmt: skip
    for cache in ("f32", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"):
        assert options(found("llama.cpp", kv_cache=cache)[0].text)["--cache-type-k"] in CACHE_TYPES


def test_ollama_is_told_in_a_file_and_in_its_environment():
    file, server = found("ollama", weights="Q4_K_M", context=16384, parallel_sequences=4, kv_cache="q8_0", gpu_layers=0)
    assert file.text.splitlines() == [
        "FROM Llama-3.1-8B-Q4_K_M.gguf",
        "PARAMETER num_ctx 4096",  # of each of four
        "PARAMETER num_batch 512",
        "PARAMETER num_gpu 0",
    ]
    assert set(re.findall(r"PARAMETER (\w+)", file.text)) <= PARAMETERS
    assert set(re.findall(r"(\w+)=", server.text)) <= VARIABLES
    assert server.text.endswith("OLLAMA_KV_CACHE_TYPE=q8_0 ollama serve")
    assert file.leaves_out == ()


def test_a_name_is_quoted():
    (snippet,) = serving_snippets("my models/a; rm -rf b", replace(Serving(), tensor_parallel=2))
    assert shlex.split(snippet.text)[2] == "my models/a; rm -rf b"
