"""What a reader writes to serve so: the line that starts vLLM, SGLang or llama.cpp, or ollama's file and environment.

Options are those of vLLM 0.30 (engine/arg_utils.py), SGLang of autumn 2026 (srt/server_args.py), llama.cpp of autumn
2026 (tools/server/README.md) and ollama 0.33 (llm/llama_server.go, envconfig/config.go, api/types.go). What they have
no option for is said, not left out in silence.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.formats import NumberFormat
from llmcalc.serving.job import BATCH_OF_LLAMA_CPP, Serving
from llmcalc.serving.speed import sixteen_bits
from llmcalc.sources import GGUF, OLLAMA, SGLANG, VLLM, Citation

# What the load is, which no engine is told; and what is not the engine's to choose
_NOT_OPTIONS = ("engine", "engine_version", "device", "device_memory", "input_tokens", "output_tokens", "concurrency")
# Formats of weights that a checkpoint in 16 bits is brought into as it is loaded; any other is the checkpoint's own
_LOADED_AS = {"bf16": "--dtype bfloat16", "fp32": "--dtype float32", "fp8": "--quantization fp8"}
_PAGED_CACHES = {"bf16": "auto", "fp8": "fp8_e4m3"}
_CACHE_TYPES = {"fp32": "f32", "bf16": "f16"}  # llama.cpp's names, where the catalogue has others
_ADDITIONS = {"lora_slots", "lora_rank", "draft"}
_DRAFT_OF_VLLM = {
    "eagle": """'{"method": "eagle", "model": "path/to/draft", "num_speculative_tokens": 3}'""",
    "mtp": """'{"method": "mtp", "num_speculative_tokens": 1}'""",
}
_LINE_LENGTH = 100


@dataclass(frozen=True)
class Snippet:
    """A file's text, or a line to type. ``leaves_out`` are inputs of this configuration that it has no option for."""

    id: str
    language: str
    text: str
    source: Citation
    leaves_out: tuple[str, ...] = ()


def serving_snippets(name: str, job: Serving) -> Iterator[Snippet]:
    """Those of the job's engine, for the model of that repository or path; none where it has no line to start it."""
    yield from _OF_ENGINES.get(job.engine, lambda name, job: iter(()))(name, job)


def _vllm(name: str, job: Serving) -> Iterator[Snippet]:
    ranks = job.tensor_parallel * job.data_parallel
    cache, unsaid = _paged_cache(job)
    spreads = job.expert_parallel > 1
    told = {
        "--tensor-parallel-size": _beyond_one(job.tensor_parallel),
        "--pipeline-parallel-size": _beyond_one(job.pipeline_parallel),
        "--data-parallel-size": _beyond_one(job.data_parallel),
        "--enable-expert-parallel": True if spreads else None,
        **_weights(job),
        "--kv-cache-dtype": cache,
        "--max-model-len": job.context,
        "--gpu-memory-utilization": job.memory_utilization,
        "--kv-cache-memory-bytes": job.kv_cache_memory,
        "--max-num-seqs": job.max_sequences,
        "--max-num-batched-tokens": job.batched_tokens,
        "--block-size": job.block_size,
        "--enable-lora": True if job.lora_slots else None,
        "--max-loras": job.lora_slots or None,
        "--max-lora-rank": job.lora_rank if job.lora_slots else None,
        "--speculative-config": _DRAFT_OF_VLLM.get(job.draft or ""),
    }
    known = {"tensor_parallel", "pipeline_parallel", "data_parallel", "context", "memory_utilization"}
    known |= {"kv_cache_memory", "max_sequences", "batched_tokens", "block_size"} | _ADDITIONS
    known |= {"expert_parallel"} if not spreads or job.expert_parallel == ranks else set()  # all ranks, or none
    known |= {"kv_cache"} - unsaid | _weights_known(job)
    left_out = _left_out(job, known)
    yield Snippet("vllm", "sh", _line(f"vllm serve {shlex.quote(name)}", told), VLLM.at("engine/arg_utils.py, v0.30"),
                  left_out)  # fmt: skip


def _sglang(name: str, job: Serving) -> Iterator[Snippet]:
    cache, unsaid = _paged_cache(job)
    # Experts over all replicas: attention is then dealt out to them within one tensor parallel group
    shares = job.expert_parallel > job.tensor_parallel
    ranks = job.tensor_parallel * job.data_parallel
    told = {
        "--tp-size": _beyond_one(ranks if shares else job.tensor_parallel),
        "--pp-size": _beyond_one(job.pipeline_parallel),
        "--dp-size": _beyond_one(job.data_parallel),
        "--enable-dp-attention": True if shares else None,
        "--ep-size": _beyond_one(job.expert_parallel),
        **_weights(job),
        "--kv-cache-dtype": cache,
        "--context-length": job.context,
        "--mem-fraction-static": job.memory_utilization,
        "--max-running-requests": job.max_sequences,
        "--chunked-prefill-size": job.batched_tokens,
        "--page-size": job.block_size,
        "--enable-lora": True if job.lora_slots else None,
        "--max-loras-per-batch": job.lora_slots or None,
        "--max-lora-rank": job.lora_rank if job.lora_slots else None,
        "--speculative-algorithm": {"eagle": "EAGLE", "mtp": "EAGLE"}.get(job.draft or ""),
        "--speculative-draft-model-path": "path/to/draft" if job.draft == "eagle" else None,
    }
    known = {"tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "context"}
    known |= {"memory_utilization", "max_sequences", "batched_tokens", "block_size"} | _ADDITIONS
    known |= {"kv_cache"} - unsaid | _weights_known(job)
    text = _line(f"python -m sglang.launch_server --model-path {shlex.quote(name)}", told)
    yield Snippet("sglang", "sh", text, SGLANG.at("srt/server_args.py, ServerArgs"), _left_out(job, known))


def _llama_cpp(name: str, job: Serving) -> Iterator[Snippet]:
    keys, values = map(_cache_type, job.cache_formats)
    stages = job.pipeline_parallel
    told = {
        "--ctx-size": job.context,
        "--parallel": job.parallel_sequences,
        "--kv-unified": True if job.unified else None,
        "--no-kv-unified": None if job.unified or job.parallel_sequences == 1 else True,
        # no micro-batch is larger than the batch
        "--batch-size": job.step_room if job.micro_batch > BATCH_OF_LLAMA_CPP else None,
        "--ubatch-size": job.micro_batch,
        "--flash-attn": "on" if job.flash_attention else "off",
        "--cache-type-k": keys,
        "--cache-type-v": values,
        "--swa-full": True if job.swa_full else None,
        "--gpu-layers": "all" if job.gpu_layers is None else job.gpu_layers,
        "--no-kv-offload": True if job.kv_on_host else None,
        "--n-cpu-moe": job.cpu_moe_layers,
        "--split-mode": "layer" if stages > 1 else None,
        "--tensor-split": ",".join(["1"] * stages) if stages > 1 else None,
    }
    known = {"context", "parallel_sequences", "unified", "micro_batch", "flash_attention", "kv_cache", "swa_full"}
    known |= {"gpu_layers", "kv_on_host", "cpu_moe_layers", "pipeline_parallel"} | _file_known(job)
    text = _line(f"llama-server --model {shlex.quote(_file(name, job))}", told)
    yield Snippet("llama_server", "sh", text, GGUF.at("tools/server/README.md"), _left_out(job, known))


def _ollama(name: str, job: Serving) -> Iterator[Snippet]:
    """The model's file, and what only the environment of `ollama serve` is told."""
    keys, values = map(_cache_type, job.cache_formats)
    parameters = {
        "num_ctx": job.context // job.parallel_sequences,  # of each sequence
        "num_batch": job.micro_batch,
        "num_gpu": job.gpu_layers,
    }
    lines = [f"FROM {_file(name, job)}"]
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items() if value is not None]
    environment = {
        "OLLAMA_NUM_PARALLEL": job.parallel_sequences,
        "OLLAMA_FLASH_ATTENTION": int(job.flash_attention),
        "OLLAMA_KV_CACHE_TYPE": keys if keys == values else None,
        "OLLAMA_SCHED_SPREAD": 1 if job.pipeline_parallel > 1 else None,
    }
    of_server = " ".join(f"{name}={value}" for name, value in environment.items() if value is not None)
    in_file = {"context", "micro_batch", "gpu_layers"} | _file_known(job)
    in_environment = {"parallel_sequences", "flash_attention"} | ({"kv_cache"} if keys == values else set())
    in_environment |= {"pipeline_parallel"} if job.pipeline_parallel > 1 else set()
    left_out = _left_out(job, in_file | in_environment)
    yield Snippet("modelfile", "dockerfile", "\n".join(lines), OLLAMA.at("llm/llama_server.go; api/types.go"), left_out)
    yield Snippet("ollama_serve", "sh", f"{of_server} ollama serve", OLLAMA.at("envconfig/config.go"))


_OF_ENGINES: Mapping[str, Callable[[str, Serving], Iterator[Snippet]]] = {
    "vllm": _vllm,
    "sglang": _sglang,
    "llama.cpp": _llama_cpp,
    "ollama": _ollama,
}


def _line(start: str, told: Mapping[str, Any]) -> str:
    """A command, an option a line where it is long; options without a value are True, those that are not told None."""
    options = [
        option if value is True else f"{option} {value}" for option, value in told.items() if value not in (None, "")
    ]
    short = " ".join([start, *options])
    return short if len(short) <= _LINE_LENGTH else " \\\n  ".join([start, *options])


def _left_out(job: Serving, known: set[str]) -> tuple[str, ...]:
    """Fields of a job away from their defaults, but for those that are known."""
    options = [f for f in fields(job) if f.name not in known and f.name not in _NOT_OPTIONS]
    return tuple(f.name for f in options if getattr(job, f.name) != f.default)


def _beyond_one(number: int) -> int | None:
    return number if number > 1 else None


def _weights(job: Serving) -> dict[str, str]:
    """How they are loaded. On a device without bf16, which an engine refuses there, in fp16: as many bytes."""
    option, _, value = _LOADED_AS.get(job.weight_format, "").partition(" ")
    told = {option: value} if option else {}
    device = ACCELERATORS.get(job.device)
    if device and sixteen_bits(device) == "fp16" and job.weight_format != "fp32":
        told["--dtype"] = "half"
    return told


def _weights_known(job: Serving) -> set[str]:
    return {"weights"} if job.weight_format in _LOADED_AS else set()


def _paged_cache(job: Serving) -> tuple[str | None, set[str]]:
    """The option of a cache that is kept in one format; and "kv_cache" where there is none."""
    keys, values = job.cache_formats
    name = _PAGED_CACHES.get(keys.id) if keys == values else None
    return (None if name == "auto" else name), (set() if name else {"kv_cache"})


def _cache_type(found: NumberFormat) -> str:
    return _CACHE_TYPES.get(found.id, found.id.removeprefix("GGUF ").lower())


def _file(name: str, job: Serving) -> str:
    """The file of a model of the Hub in this type, as most who publish such files name it."""
    if name.lower().endswith(".gguf"):
        return name
    kind = {"bf16": "BF16", "fp32": "F32"}.get(job.weight_format, job.weight_format.removeprefix("GGUF "))
    return f"{name.rstrip('/').rsplit('/', 1)[-1]}-{kind.replace(' ', '-')}.gguf"


def _file_known(job: Serving) -> set[str]:
    """A file's type is told by its name, where there is one."""
    return {"weights"} if job.weight_format in ("bf16", "fp32") or job.weight_format.startswith("GGUF ") else set()
