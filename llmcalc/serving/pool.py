"""From what is left of a device's memory to how many tokens and requests it holds."""

from __future__ import annotations

import numpy as np

from llmcalc.quantity import formula
from llmcalc.sources import KWON_2023, PYTORCH, SGLANG, TENSORRT_LLM, VLLM


@formula(r"M_\text{budget}", "bytes", VLLM.at("v1/worker/gpu_worker.py, determine_available_memory"))
def engine_budget(*, device_bytes, memory_utilization):
    """What an engine may take of a device: a share of all that its driver reports."""
    return device_bytes * memory_utilization


@formula(r"M_\text{available}", "bytes", VLLM.at("v1/worker/gpu_worker.py, determine_available_memory"))
def available_for_cache(*, budget_bytes, needed_bytes):
    """What is left of it for the cache, behind weights, the largest activations and what is outside of PyTorch."""
    return budget_bytes - needed_bytes


@formula(r"M_\text{available}", "bytes", SGLANG.at("srt/model_executor/model_runner.py, profile_max_num_token"))
def static_pool(*, free_bytes, memory_utilization, model_bytes):
    """SGLang: of what was free before loading a share is for weights and cache."""
    return free_bytes * memory_utilization - model_bytes


@formula(r"M_\text{available}", "bytes", TENSORRT_LLM.at("docs: memory usage, free_gpu_memory_fraction"))
def share_of_free(*, free_bytes, needed_bytes, memory_utilization):
    """TensorRT-LLM: a share of what is free once weights and the largest activations are there."""
    return (free_bytes - needed_bytes) * memory_utilization


@formula(r"M_\text{sampler}", "bytes", VLLM.at("v1/worker/gpu_model_runner.py, _dummy_sampler_run"))
def sampler_memory(*, sampler_copies, max_sequences, vocab_size):
    """Logits of all requests at once, with what sampling makes of them: so many numbers of 4 bytes for each."""
    return sampler_copies * max_sequences * vocab_size * 4


@formula(r"M_\text{hidden}", "bytes", VLLM.at("v1/worker/gpu_model_runner.py, profile_run"))
def hidden_memory(*, hidden_copies, batched_tokens, d_model):
    """Hidden states of a step of so many tokens, and of what is alive beside them, in 16 bits."""
    return hidden_copies * batched_tokens * d_model * 2


@formula(r"M_\text{network}", "bytes", VLLM.at("model_executor/layers/activation.py, SiluAndMul; models/llama.py"))
def network_memory(*, batched_tokens, d_ff, d_model):
    """Inside a network of a step of so many tokens, in 16 bits: gate and input, which one product gives, and what is
    made of them; beside them the stream, what the network reads and what it gives."""
    return 2 * batched_tokens * (3 * d_ff + 3 * d_model)


@formula(r"M_\text{outside}", "bytes", PYTORCH.at("torch.cuda.mem_get_info: what is taken and not PyTorch's"))
def outside_memory(*, context_bytes, workspace_bytes):
    """What the device's context takes, and the buffers of messages between devices."""
    return context_bytes + workspace_bytes


@formula(r"M_\text{block}", "bytes", KWON_2023.at("sec. 4.1, KV blocks"))
def cache_block(*, group_layers, page_bytes):
    """A block of the pool: a page for each layer of a group."""
    return group_layers * page_bytes


@formula(r"n_\text{blocks}", "", KWON_2023.at("sec. 4.1, KV blocks"))
def blocks_in_pool(*, available_bytes, block_bytes):
    """Whole blocks that fit."""
    return np.maximum(available_bytes, 0) // block_bytes


@formula(r"M_\text{kv}", "bytes", KWON_2023.at("sec. 4.1, KV blocks"))
def pool_memory(*, n_blocks, block_bytes):
    """The pool, allocated when the engine starts."""
    return n_blocks * block_bytes


@formula(r"D_\text{kv}", "tokens", VLLM.at("v1/core/kv_cache_utils.py, of builds that print blocks // groups × block"))
def tokens_in_pool(*, n_blocks, cache_groups, block_size):
    """Tokens that the pool holds, as if every layer kept all of them: each group takes its blocks from it."""
    return n_blocks // cache_groups * block_size


@formula(r"D_\text{kv}", "tokens", VLLM.at("v1/core/kv_cache_utils.py, get_kv_cache_capacity"))
def tokens_at_once(*, n_blocks, blocks_each, context):
    """Tokens that the pool holds, in requests of the longest length: windows and states are counted as they are."""
    return n_blocks * context // blocks_each


@formula(r"D_\text{kv}", "tokens", SGLANG.at("srt/model_executor/model_runner.py, profile_max_num_token"))
def tokens_of_bytes(*, available_bytes, cached_bytes):
    """Tokens that the pool holds, one by one."""
    return np.maximum(available_bytes, 0) // cached_bytes


@formula("B", "", VLLM.at("v1/core/kv_cache_utils.py, get_max_concurrency_for_kv_cache_config"))
def requests_at_once(*, n_blocks, blocks_each):
    """Requests of the longest length that the pool holds at once: each takes whole blocks of every group."""
    return n_blocks / blocks_each


@formula("B", "", KWON_2023.at("sec. 4.1, KV blocks"))
def whole_requests(*, requests, replicas):
    """Whole requests that are held at once, on all replicas together."""
    return requests // 1 * replicas


@formula("B", "", SGLANG.at("srt/managers/schedule_policy.py"))
def requests_of_tokens(*, tokens, context):
    """Requests of the longest length that the pool holds at once."""
    return tokens / context


@formula(r"M_\text{token}", "bytes", VLLM.at("v1/core/kv_cache_utils.py"))
def bytes_of_token(*, block_bytes, cache_groups, block_size):
    """What one more token takes on one device while no window is full: its share of a block of every group."""
    return block_bytes * cache_groups / block_size


@formula(r"M_\text{token}", "bytes", KWON_2023.at("sec. 2.2, memory of one token"))
def bytes_at_once(*, block_bytes, blocks_each, context):
    """What a token takes on one device in a request of the longest length: its share of blocks and states."""
    return block_bytes * blocks_each / context


@formula(r"M_\text{requests}", "bytes", KWON_2023.at("sec. 4.1, KV blocks"))
def requests_memory(*, concurrency, blocks_each, block_bytes):
    """Blocks that so many requests of the longest length take."""
    return concurrency * blocks_each * block_bytes


@formula(r"M_\text{requests}", "bytes", KWON_2023.at("sec. 2.2, memory of one token"))
def tokens_memory(*, concurrency, context, cached_bytes):
    """Tokens of so many requests of the longest length."""
    return concurrency * context * cached_bytes
