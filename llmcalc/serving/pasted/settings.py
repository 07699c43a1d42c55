"""What programs print of how they were started, in the words of a `Serving` job."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmcalc.errors import InputError
from llmcalc.serving.formats import cache_formats, weight_format

_LARGEST = 2**31
# Ids of `Serving`, by what each engine calls them: in its configuration as printed, or as an option
_NAMES: Mapping[str, str] = {
    **{"max_seq_len": "context", "max_model_len": "context", "context_length": "context", "ctx_size": "context"},
    **{"tensor_parallel_size": "tensor_parallel", "tp_size": "tensor_parallel", "tp": "tensor_parallel"},
    **{"pipeline_parallel_size": "pipeline_parallel", "pp_size": "pipeline_parallel", "pp": "pipeline_parallel"},
    **{"data_parallel_size": "data_parallel", "dp_size": "data_parallel", "dp": "data_parallel"},
    **{"ep_size": "expert_parallel", "expert_parallel_size": "expert_parallel"},
    **{"gpu_memory_utilization": "memory_utilization", "mem_fraction_static": "memory_utilization"},
    **{"max_num_seqs": "max_sequences", "max_running_requests": "max_sequences"},
    **{"max_num_batched_tokens": "batched_tokens", "chunked_prefill_size": "batched_tokens"},
    **{"page_size": "block_size", "block_size": "block_size"},
    **{"kv_cache_memory_bytes": "kv_cache_memory", "kv_cache_memory": "kv_cache_memory"},
    **{"kv_cache_dtype": "kv_cache_dtype", "kv_cache_type": "kv_cache_dtype"},
    **{"cache_type_k": "type_k", "ctk": "type_k", "cache_type_v": "type_v", "ctv": "type_v"},
    **{"quantization": "quantization", "dtype": "dtype"},
    **{"ubatch_size": "micro_batch", "ub": "micro_batch", "parallel": "parallel_sequences", "np": "parallel_sequences"},
    **{"n_gpu_layers": "gpu_layers_asked", "gpu_layers": "gpu_layers_asked", "ngl": "gpu_layers_asked"},
    **{"n_cpu_moe": "cpu_moe_layers", "ncmoe": "cpu_moe_layers", "c": "context", "fa": "flash_attention"},
    **{"flash_attn": "flash_attention", "swa_full": "swa_full", "kv_unified": "unified", "kvu": "unified"},
    **{"no_kv_offload": "kv_on_host", "nkvo": "kv_on_host", "enable_expert_parallel": "spreads_experts"},
    **{"model": "model_name", "model_path": "model_name", "m": "model_name", "hf": "model_name"},
    **{"hf_repo": "model_name", "model_tag": "model_name"},
}
# A configuration as Python prints it: a='b', or 'a': 'b'
_PAIR = re.compile(
    r"(?:(?<![\w.])([a-z_]{2,30})=|['\"]([a-z_]{2,30})['\"]: )('[^']{0,200}'|\"[^\"]{0,200}\"|[\w.+-]{1,60})"
)
_OPTION = re.compile(r"(?<!\S)--?([a-zA-Z][\w-]{0,40})(?:[= ]{1,4}([^\s\"'\\]{1,200}|'[^']{1,200}'|\"[^\"]{1,200}\"))?")
_CONFIGURATIONS = ("LLM engine", "ServerArgs(", "non-default args", "Namespace(")
_COMMANDS: Mapping[str, str] = {
    "vllm serve": "vllm",
    "vllm.entrypoints": "vllm",
    "sglang.launch_server": "sglang",
    "llama-server": "llama.cpp",
    "llama-cli": "llama.cpp",
    "ollama runner": "ollama",
    "ollama_llama_server": "ollama",
}
_SERVED = re.compile(r"vllm serve ([\w./-]{1,200})")
# Options of other meaning, or of none, in another engine
_ONLY_LLAMA = {"c", "m", "hf", "np", "ub", "fa", "parallel", "ngl", "kvu", "nkvo", "ctk", "ctv", "ncmoe", "hf_repo"}
_QUANTIZATIONS: Mapping[str, str] = {
    **{"fp8": "fp8", "awq": "int4 g128 zero", "awq_marlin": "int4 g128 zero", "gptq": "int4 g128"},
    **{
        "gptq_marlin": "int4 g128",
        "mxfp4": "MXFP4",
        "modelopt_fp4": "NVFP4",
        "w8a8_int8": "int8",
        "w8a8_fp8": "fp8 rows",
    },
}
# Checkpoints of compressed-tensors say what they are in their names
_NAMED = ((r"fp8[-_]dynamic", "fp8 rows"), (r"w8a8", "int8"), (r"w4a16|[-_]awq", "int4 g128"), (r"nvfp4", "NVFP4"))
_TYPES = (("medium", "_M"), ("small", "_S"), ("large", "_L"))
_ON = {"1", "true", "on", "enabled", "full-size", ""}
_OFF = {"0", "false", "off", "disabled"}


def pairs_in(line: str) -> Iterator[tuple[str, str]]:
    """Settings of a configuration that an engine printed in this line: raw names and values, the first of each."""
    if any(sign in line for sign in _CONFIGURATIONS):
        seen = set()
        for assigned, quoted, value in _PAIR.findall(line):
            id = _NAMES.get(assigned or quoted)
            if id and id not in seen:
                seen.add(id)
                yield id, value.strip("'\"")


def command_in(line: str) -> str:
    """The engine that this line starts; "" where it starts none."""
    return next((engine for sign, engine in _COMMANDS.items() if sign in line), "")


def options_in(line: str, engine: str) -> Iterator[tuple[str, str]]:
    """Options of a command, or of its next line."""
    if served := _SERVED.search(line):
        yield "model_name", served[1]
    for option, value in _OPTION.findall(line):
        name = option.replace("-", "_").lower()
        if name in _NAMES and (name not in _ONLY_LLAMA or engine in ("llama.cpp", "ollama")):
            yield _NAMES[name], value.strip("'\"") if not value.startswith("-") else ""


def _number(text: str) -> int | None:
    text = text.replace(",", "")
    return int(text) if text.isascii() and text.isdigit() and 0 <= int(text) < _LARGEST else None


def _large(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _share(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,2}(\.\d{1,9})?|\.\d{1,9}", text) else None


def _switch(text: str) -> bool | None:
    return True if text.lower() in _ON else False if text.lower() in _OFF else None


def _version(text: str) -> str | None:
    return f"b{text}" if text.isdigit() else text


def _layers(text: str) -> int | None:
    """Layers on the device, without the last that stands for the head: None where all are."""
    some, _, every = text.partition("/")
    return None if int(some) >= int(every) else int(some)


READ: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(
        (
            *("context", "tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "max_sequences"),
            *("batched_tokens", "block_size", "micro_batch", "parallel_sequences", "cpu_moe_layers"),
        ),
        _number,
    ),
    **dict.fromkeys(("flash_attention", "unified", "swa_full", "kv_on_host", "spreads_experts"), _switch),
    "memory_utilization": _share,
    "kv_cache_memory": _large,
    "engine_version": _version,
}
# Read first, and settled once all is known
RAW = ("kv_cache_dtype", "type_k", "type_v", "quantization", "dtype", "file_type", "offloaded", "gpu_layers_asked",
       "model_name", "device_name")  # fmt: skip
SETTINGS = (*READ, *RAW)


def file_type(text: str) -> str:
    """llama.cpp's name of a file's type as the catalogue has it: "Q4_K - Medium" is Q4_K_M, "all F32" fp32."""
    name, _, rest = text.strip().partition(" - ")
    size = next((short for long, short in _TYPES if rest.lower().startswith(long)), "")
    return {"F16": "bf16", "BF16": "bf16", "all F32": "fp32", "F32": "fp32", "MXFP4 MoE": "MXFP4"}.get(
        name, name + size
    )


def settled(raw: Mapping[str, str], engine: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings as a `Serving` job takes them, and what was printed of them that none stands for."""
    found: dict[str, Any] = {}
    unclear: dict[str, str] = {}
    for id, read in READ.items():
        if id in raw:
            value = read(raw[id])
            if value is not None:
                found[id] = value
            elif raw[id] not in ("None", "-1", "auto"):
                unclear[id] = raw[id]
    if found.pop("spreads_experts", False):
        found["expert_parallel"] = found.get("tensor_parallel", 1) * found.get("data_parallel", 1)
    of_llama = engine in ("llama.cpp", "ollama")
    for id, told in (("weights", _weights(raw, of_llama)), ("kv_cache", _cache(raw))):
        if told:
            try:
                weight_format(told) if id == "weights" else cache_formats(told)
                found[id] = told
            except InputError:
                unclear[id] = told
    if of_llama and (layers := _layers_on_device(raw)) is not None:
        found["gpu_layers"] = layers
    return found, unclear


def _weights(raw: Mapping[str, str], of_llama: bool) -> str:
    if of_llama:
        return file_type(raw["file_type"]) if "file_type" in raw else ""
    quantization, name = raw.get("quantization", ""), raw.get("model_name", "").lower()
    if quantization in ("", "None"):
        return {"float32": "fp32", "float": "fp32"}.get(
            raw.get("dtype", "").removeprefix("torch."), "bf16" if raw.get("dtype") else ""
        )
    named = next((format for sign, format in _NAMED if re.search(sign, name)), "")
    return named or _QUANTIZATIONS.get(quantization, quantization)


def _cache(raw: Mapping[str, str]) -> str:
    if "type_k" in raw or "type_v" in raw:
        return "/".join(dict.fromkeys((raw.get("type_k", "f16"), raw.get("type_v", raw.get("type_k", "f16")))))
    told = raw.get("kv_cache_dtype", "").lower().removeprefix("torch.")
    return "fp8" if told.startswith(("fp8_e", "float8_e")) else "" if told == "none" else told


def _layers_on_device(raw: Mapping[str, str]) -> int | None:
    if "offloaded" in raw:
        return _layers(raw["offloaded"])
    return _number(raw.get("gpu_layers_asked", ""))
