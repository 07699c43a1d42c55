"""Lines that programs print, and what stands in them: one row a line, as its source writes it.

A group of a pattern is named by the figure (`figures.FIGURES`) or the setting (`settings.SETTINGS`) that it holds; what
ends in _1 and _2 adds up, what ends in _mib has its unit elsewhere. ``tag`` tells parts of a whole, or devices, apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmcalc.serving.pasted.figures import COUNT, SHARE, SIZE, UNSIGNED
from llmcalc.sources import GGUF, NVIDIA_SMI, OLLAMA, PYTORCH, SGLANG, VLLM, Citation

_NO_SIGN = r"(?<![-\d.])"
_ON_DEVICE = r"(?<!\w)(?!CPU|\w*Host)(?P<tag>[A-Z]\w{1,30})"
_ON_HOST = r"(?<!\w)(?P<tag>CPU\w{0,20}|\w{1,20}_Host)"


@dataclass(frozen=True)
class Rule:
    """A line of a program: ``key`` is what it is known by, ``pattern`` what is read. ``clears``: figures of an earlier
    start that it ends."""

    of: str
    key: str
    pattern: re.Pattern[str]
    source: Citation
    clears: tuple[str, ...] = ()


def _rules(of: str, source: Citation, *lines: tuple[str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(of, key, re.compile(pattern), source) for key, pattern in lines)


VLLM_RULES = (
    *_rules(
        "vllm",
        VLLM.at("v1/worker/gpu_model_runner.py, load_model"),
        ("Model loading took", rf"Model loading took (?P<weights>{SIZE})"),
        ("Loading model weights took", rf"Loading model weights took (?P<weights>{SIZE})"),
    ),
    *_rules(
        "vllm",
        VLLM.at("worker/worker.py, determine_num_available_blocks, to v0.10"),
        ("total_gpu_memory (", rf"total_gpu_memory \((?P<device_memory>{SIZE})\)"),
        ("x gpu_memory_utilization (",
         rf"x gpu_memory_utilization \((?P<memory_utilization>{SHARE})\) = (?P<limit>{SIZE})"),
        ("total_gpu_memory  ", rf"total_gpu_memory {{2,12}}(?P<device_memory>{SIZE})"),
        ("gpu_memory_utilization  ", rf"gpu_memory_utilization {{2,12}}(?P<memory_utilization>{SHARE})"),
        ("vLLM instance can use  ", rf"vLLM instance can use {{2,12}}(?P<limit>{SIZE})"),
        ("model weights take", rf"model weights take {{1,12}}(?P<weights>{SIZE})"),
        ("non_torch_memory", rf"non_torch_memory(?: takes)? {{1,12}}(?P<outside>{SIZE})"),
        ("activation peak memory", rf"activation peak memory(?: takes)? {{1,12}}(?P<activation_peak>{SIZE})"),
        ("reserved for KV Cache is", rf"reserved for KV Cache is (?P<kv_available>{SIZE})"),
        ("available_kv_cache_memory", rf"available_kv_cache_memory {{1,12}}(?P<kv_available>{SIZE})"),
        ("# GPU blocks:", rf"# GPU blocks: (?P<gpu_blocks>{COUNT})"),
        ("# cuda blocks:", rf"# cuda blocks: (?P<gpu_blocks>{COUNT})"),
        ("Graph capturing finished", rf"Graph capturing finished in .{{1,40}}took (?P<cuda_graphs>{SIZE})"),
        ("LLM engine (v", r"LLM engine \(v(?P<engine_version>\d[\w.+]{0,39})\)"),
        ("█  version ", r"█ {1,4}version (?P<engine_version>\d[\w.+]{0,39})"),
        ("vLLM API server version", r"vLLM API server version (?P<engine_version>\d[\w.+]{0,39})"),
        ("Chunked prefill is enabled with", rf"max_num_batched_tokens=(?P<batched_tokens>{COUNT})"),
        ("Using max model len", rf"Using max model len (?P<context>{COUNT})"),
    ),
    *_rules(
        "vllm",
        VLLM.at("v1/worker/gpu_worker.py, determine_available_memory and compile_or_warm_up_model"),
        ("Available KV cache memory:", rf"Available KV cache memory: (?P<kv_available>{SIZE})"),
        ("Free memory on device (", rf"Free memory on device \({SHARE}/(?P<device_memory>{SIZE})\)"),
        ("GPU memory utilization",
         rf"GPU memory utilization (?:is )?\((?P<memory_utilization>{SHARE}), (?P<limit>{SIZE})\)"),
        (" for weight,", rf"(?P<weights>{SIZE}) for weight,"),
        ("weights memory:", rf"(?<!\w)weights memory: (?P<weights>{SIZE})"),
        ("torch peak memory increase:", rf"torch peak memory increase: (?P<activation_peak>{SIZE})"),
        (" for peak activation", rf"(?P<activation_peak>{SIZE}) for peak activation"),
        (" for non-torch memory", rf"(?P<outside>{SIZE}) for non-torch memory"),
        (" for CUDAGraph memory", rf"{_NO_SIGN}(?P<cuda_graphs>{UNSIGNED}) for CUDAGraph memory"),
        ("CUDA graph pool memory:", rf"CUDA graph pool memory: (?P<cuda_graphs>{SIZE}) \(actual\)"),
    ),
    *_rules(
        "vllm",
        VLLM.at("v1/core/kv_cache_utils.py"),
        ("GPU KV cache size:", rf"GPU KV cache size: (?P<kv_tokens>{COUNT}) tokens"),
        ("Maximum concurrency for", rf"Maximum concurrency for (?P<context>{COUNT}) tokens per request: "
                                    rf"~?(?P<max_concurrency>{SHARE})x"),
        ("KV cache is needed",
         rf"max seq len \((?P<context>{COUNT})\),? \(?(?P<request_cache>{SIZE}) KV cache is needed"),
        ("can be stored in KV cache",
         rf"max seq len \((?P<context>{COUNT})\) is larger than .{{0,80}}\((?P<kv_tokens>{COUNT})\)"),
        ("larger than the available KV cache", rf"available KV cache memory \((?P<kv_available>{SIZE})\)"),
        ("estimated maximum model length", rf"estimated maximum model length is (?P<longest_context>{COUNT})"),
    ),
)  # fmt: skip
SGLANG_RULES = (
    *_rules(
        "sglang",
        SGLANG.at("srt/model_executor/model_runner.py, load_model"),
        ("Load weight begin.", rf"Load weight begin\..{{0,40}}avail mem=(?P<free_before>{SIZE})"),
        ("Memory pool end.", rf"Memory pool end\..{{0,40}}avail mem=(?P<free>{SIZE})"),
        ("Load weight end.", rf"Load weight end\..{{0,400}}avail mem=(?P<free_after>{SIZE})"),
        ("Load weight end.", rf"Load weight end\..{{0,400}}mem usage=(?P<weights>{SIZE})"),
        ("Capture cuda graph end.", rf"Capture cuda graph end\..{{0,60}}mem usage=(?P<cuda_graphs>{SIZE})"),
        ("Using KV cache dtype:", r"Using KV cache dtype: (?:torch\.)?(?P<kv_cache_dtype>\w{1,30})"),
    ),
    *_rules(
        "sglang",
        SGLANG.at("srt/mem_cache/memory_pool.py"),
        ("KV Cache is allocated.", rf"KV Cache is allocated\..{{0,60}}#tokens: (?P<kv_tokens>{COUNT})"),
        ("KV Cache is allocated.", r"KV Cache is allocated\. dtype: (?:torch\.)?(?P<kv_cache_dtype>\w{1,30})"),
        ("Mamba Cache is allocated.", rf"conv_state size: (?P<states_1>{SIZE}), ssm_state size: (?P<states_2>{SIZE})"),
        (
            "KV Cache is allocated.",
            rf"(?P<tag>#tokens: \d{{1,19}}), K size: (?P<pool_1>{SIZE}), V size: (?P<pool_2>{SIZE})",
        ),
        ("KV Cache is allocated.", rf"(?P<tag>#tokens: \d{{1,19}}), KV size: (?P<pool>{SIZE})"),
        ("max_total_num_token", rf"max_total_num_tokens?=(?P<kv_tokens>{COUNT})"),
        ("max_total_num_token", rf"chunked_prefill_size=(?P<batched_tokens>{COUNT}),"),
        ("max_total_num_token", rf"max_running_requests=(?P<max_sequences>{COUNT})"),
        ("max_total_num_token", rf"context_len=(?P<context>{COUNT})"),
    ),
)
LLAMA_RULES = (
    *_rules(
        "llama.cpp",
        GGUF.at("src/llama-model.cpp, print_info"),
        ("model size", rf"model size {{0,12}}= {{0,8}}(?P<weights>{SIZE})"),
        ("file size", rf"file size {{0,12}}= {{0,8}}(?P<weights>{SIZE})"),
        ("model ftype", r"model ftype {0,12}= {0,8}(?P<file_type>[\w ,.-]{1,60})"),
        ("file type", r"file type {0,12}= {0,8}(?P<file_type>[\w ,.-]{1,60})"),
        ("model params", r"model params {0,12}= {0,8}(?P<parameters>\d[\d.]{0,9} [KMBT])(?!\w)"),
        ("general.name", r"general\.name {0,12}= {0,8}(?P<model_name>[\w .:/+-]{1,120})"),
        ("offloaded ", r"offloaded (?P<offloaded>\d{1,5}/\d{1,5}) layers to GPU"),
        (" model buffer size", rf"{_ON_DEVICE} {{1,4}}model buffer size {{0,4}}= {{0,12}}(?P<device_weights>{SIZE})"),
        (" model buffer size", rf"{_ON_HOST} {{1,4}}model buffer size {{0,4}}= {{0,12}}(?P<host_weights>{SIZE})"),
        ("load_tensors:",
         rf"load_tensors: {{1,12}}{_ON_DEVICE} {{1,4}}buffer size {{0,4}}= {{0,12}}(?P<device_weights>{SIZE})"),
        ("load_tensors:",
         rf"load_tensors: {{1,12}}{_ON_HOST} {{1,4}}buffer size {{0,4}}= {{0,12}}(?P<host_weights>{SIZE})"),
        ("using device ", rf"using device .{{1,120}} - (?P<free_before>{SIZE}) free"),
        ("VRAM:", rf"(?<!\w)VRAM: (?P<device_memory>{SIZE})"),
        ("projected to use", rf"projected to use (?P<needed>{SIZE}) of device memory"),
        ("cudaMalloc failed", rf"allocating (?P<tried>{SIZE}) on device \d{{1,3}}: cudaMalloc failed"),
        ("using device ", r"using device \w{1,20} \((?P<device_name>[\w .-]{2,80})\)"),
        (", compute capability", r"Device \d{1,3}: (?P<device_name>[\w .-]{2,80}), compute capability"),
        ("build: ", r"(?<![\w-])build: (?P<engine_version>\d{3,6}) \("),
        ("build_info: b", r"build_info: (?P<engine_version>b\d{3,6})-"),
    ),
    *_rules(
        "llama.cpp",
        GGUF.at("src/llama-context.cpp, llama_context"),
        ("n_ubatch ", r"(?<!\w)n_ubatch {1,12}= {0,4}(?P<micro_batch>\d{1,9})"),
        ("n_seq_max ", r"(?<!\w)n_seq_max {1,12}= {0,4}(?P<parallel_sequences>\d{1,9})"),
        ("flash_attn ", r"(?<!\w)flash_attn {1,12}= {0,4}(?P<flash_attention>\w{1,10})"),
        ("Flash Attention was auto", r"Flash Attention was auto, set to (?P<flash_attention>\w{1,10})"),
        ("kv_unified ", r"(?<!\w)kv_unified {1,12}= {0,4}(?P<unified>\w{1,10})"),
        (" compute buffer size",
         rf"{_ON_DEVICE} {{1,4}}compute buffer size (?:of|=) {{0,12}}(?P<compute_buffer>{SIZE})"),
    ),
    *_rules(
        "llama.cpp",
        GGUF.at("src/llama-context.cpp, output_reserve; src/llama-kv-cache.cpp"),
        (" compute buffer size", rf"{_ON_HOST} {{1,4}}compute buffer size (?:of|=) {{0,12}}(?P<host_buffer>{SIZE})"),
        (" output buffer size", rf"output buffer size = {{0,12}}(?P<output_buffer>{SIZE})"),
        (" KV buffer size", rf"{_ON_DEVICE} {{1,4}}KV buffer size = {{0,12}}(?P<device_cache>{SIZE})"),
        (" RS buffer size", rf"{_ON_DEVICE} {{1,4}}RS buffer size = {{0,12}}(?P<device_states>{SIZE})"),
        (" RS buffer size", rf"{_ON_HOST} {{1,4}}RS buffer size = {{0,12}}(?P<host_states>{SIZE})"),
        (" KV buffer size", rf"{_ON_HOST} {{1,4}}KV buffer size = {{0,12}}(?P<host_cache>{SIZE})"),
    ),
    *_rules(
        "llama.cpp",
        GGUF.at("src/llama-context.cpp, llama_memory_breakdown_print"),
        ("memory_breakdown", r"- (?P<tag>[A-Z]\w{1,30}) \((?P<device_name>[\w .-]{2,80})\) {0,20}\| {0,8}"
         r"(?P<device_memory_mib>\d{1,9}) = {1,8}\d{1,9} \+ \( {0,8}\d{1,9} = {1,8}(?P<device_weights_mib>\d{1,9}) "
         r"\+ {1,8}\d{1,9} \+ {1,8}(?P<compute_buffer_mib>\d{1,9})\)"),
    ),
    Rule(
        "llama.cpp",
        "n_ctx ",
        re.compile(r"llama_\w{1,40}: n_ctx {1,12}= {0,4}(?P<context>\d{1,9})"),
        GGUF.at("src/llama-context.cpp, llama_context"),
        ("kv_cache", "states", "compute_buffer", "device_cache", "host_cache", "device_states", "host_states"),
    ),
    *_rules(
        "llama.cpp",
        GGUF.at("src/llama-kv-cache.cpp; src/llama-memory-recurrent.cpp"),
        ("KV self size", rf"KV self size {{1,4}}= {{0,12}}(?P<kv_cache>{SIZE})"),
        (" cells,",
         rf"llama_kv_cache\w{{0,40}}: {{1,12}}size = {{0,12}}(?P<kv_cache>{SIZE}) "
         r"\((?P<tag>[ \d]{1,20}cells, [ \d]{1,12}layers)"),
        ("llama_memory_recurrent: size", rf"llama_memory_recurrent: {{1,12}}size = {{0,12}}(?P<states>{SIZE})"),
        ("llama_kv_cache_recurrent: size", rf"llama_kv_cache_recurrent: {{1,12}}size = {{0,12}}(?P<states>{SIZE})"),
        ("K (", r"(?<!\w)K \((?P<type_k>[a-z]\w{1,7})\): .{0,30}V \((?P<type_v>[a-z]\w{1,7})\)"),
        ("c^KV (", r"c\^KV \((?P<type_k>[a-z]\w{1,7})\):"),
        ("type_k = '", r"type_k = '(?P<type_k>\w{2,8})', type_v = '(?P<type_v>\w{2,8})'"),
        ("full-size SWA cache", r"using (?P<swa_full>full-size) SWA cache"),
    ),
)  # fmt: skip
OLLAMA_RULES = _rules(
    "ollama",
    OLLAMA.at("ml/device.go, BackendMemory.Log (0.11 to 0.17); llm/server.go"),
    ('msg="model weights"', rf'msg="model weights" (?:device|buffer)={_ON_DEVICE} size="(?P<device_weights>{SIZE})"'),
    ('msg="model weights"',
     rf'msg="model weights" (?:device|buffer)=(?P<tag>\w{{1,30}}) size="(?P<stored_weights>{SIZE})"'),
    ('msg="kv cache"', rf'msg="kv cache" device=(?P<tag>\w{{1,30}}) size="(?P<kv_cache>{SIZE})"'),
    ('msg="compute graph"',
     rf'msg="compute graph" (?:device|backend)={_ON_DEVICE} .{{0,60}}size="(?P<compute_buffer>{SIZE})"'),
    ('msg="compute graph"', rf'msg="compute graph" device={_ON_HOST} size="(?P<host_buffer>{SIZE})"'),
    ("memory.required.full=", rf'memory\.required\.full="(?P<needed>{SIZE})"'),
    ("file_type=", r"(?<!\w)file_type=(?P<file_type>[\w-]{1,20})"),
    ("KvSize:", r"KvSize:(?P<context>\d{1,9})"),
    ("KvCacheType:", r"KvCacheType:(?P<kv_cache_dtype>\w{2,10})"),
    ("BatchSize:", r"Parallel:(?P<parallel_sequences>\d{1,9}) BatchSize:(?P<micro_batch>\d{1,9})"),
    ("FlashAttention:", r"FlashAttention:(?P<flash_attention>\w{1,10})"),
    ('msg="Listening on', r"\(version (?P<engine_version>\d[\w.-]{0,20})\)"),
    ('msg="inference compute"', r'(?:description|name)="(?P<device_name>[^"]{2,80})"'),
)  # fmt: skip
PYTORCH_RULES = _rules(
    "pytorch",
    PYTORCH.at("c10/cuda/CUDACachingAllocator.cpp, out of memory"),
    ("out of memory", rf"Tried to allocate (?P<tried>{SIZE})"),
    ("out of memory", rf"total capac\w{{2,4}} of (?P<device_memory>{SIZE}) of which (?P<free>{SIZE}) is free"),
    ("this process has", rf"this process has (?P<in_process>{SIZE}) memory in use"),
    ("allocated by PyTorch", rf"(?P<allocated>{SIZE}) is allocated by PyTorch"),
    ("reserved by PyTorch", rf"(?P<reserved_unused>{SIZE}) is reserved by PyTorch but unallocated"),
    ("total capacity;", rf"; (?P<device_memory>{SIZE}) total capacity"),
    ("already allocated;", rf"(?P<allocated>{SIZE}) already allocated; (?P<free>{SIZE}) free"),
    ("reserved in total by", rf"(?P<reserved>{SIZE}) reserved in total by PyTorch"),
)
SMI_RULES = _rules(
    "nvidia-smi",
    NVIDIA_SMI.at("the table without options; -L"),
    ("MiB /", r"(?P<used>\d{1,9}MiB) / {0,6}(?P<device_memory>\d{1,9}MiB)"),
    ("|", r"^\| {1,4}\d{1,3} {1,3}(?P<device_name>[A-Z][\w .-]{1,60}?) {1,40}(?:On|Off|WDDM|TCC|MCDM|N/A) {1,12}\|"),
    ("GPU ", r"^ {0,8}GPU \d{1,3}: (?P<device_name>[A-Z][\w .-]{2,80}?)(?: \(UUID|$)"),
)
RULES = (*VLLM_RULES, *SGLANG_RULES, *LLAMA_RULES, *OLLAMA_RULES, *PYTORCH_RULES, *SMI_RULES)
