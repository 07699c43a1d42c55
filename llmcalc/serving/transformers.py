"""transformers without an engine: one batch of requests, prompt and answers, on one device."""

from __future__ import annotations

from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.quantity import given_quantity, total
from llmcalc.serving.held import cache_per_token
from llmcalc.serving.job import Serving
from llmcalc.serving.pool import available_for_cache, requests_of_tokens, tokens_of_bytes
from llmcalc.serving.served import Served, nothing
from llmcalc.step.inference import InferenceRun, inference
from llmcalc.transformer.model import Model
from llmcalc.units import MiB

_CONTEXT = 450 * MiB  # of a CUDA device, as in `llmcalc.step.overhead`
_MOST_TOKENS = 2**20


def serve_transformers(model: Model, job: Serving) -> Served:
    """``concurrency`` requests of ``context`` tokens in one batch, under a dynamic cache.

    Raises InputError for more than one device, and for models whose code has not been read.
    """
    for name in ("tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel"):
        if getattr(job, name) > 1:
            message = f"{name}: one process of transformers on one device is counted"
            raise InputError(name, message, (1,), code="one_device")
    keys, _values = job.cache_formats
    run = InferenceRun(batch_size=job.concurrency, seq_len=job.context, weights=job.weight_format, kv_cache=keys.id)
    of = inference(model, run)
    peak = max((of.prefill_peak, of.decode_peak), key=lambda q: q.value)
    context = given_quantity("context_bytes", _CONTEXT)
    held = {"weights", "kv_cache", "states"}
    activations = [part for part in peak.parts if part.id not in held]
    activation_peak = total("activation_peak", r"M_\text{peak}", *activations)
    states = [of.states] if of.states.value else []
    beside = total("taken", r"M_\text{taken}", of.weights, activation_peak, *states, context)
    available = available_for_cache(budget_bytes=job.memory, needed_bytes=beside).named("kv_available")
    per_token = cache_per_token(model, cache_format=keys.id).named("kv_bytes_per_token")
    none = nothing("kv_tokens", r"D_\text{kv}", "tokens")
    tokens = tokens_of_bytes(available_bytes=available, cached_bytes=per_token) if per_token.value else none
    requests = requests_of_tokens(tokens=tokens, context=job.context).named("max_concurrency")

    def holds(length: int) -> bool:
        other = inference(model, replace(run, seq_len=length))
        return bool(max(other.prefill_peak.value, other.decode_peak.value) + _CONTEXT <= job.memory)

    return Served(
        job=job,
        weights=of.weights,
        activation_peak=activation_peak,
        outside=context,
        kv_bytes_per_token=per_token,
        kv_available=available,
        kv_cache=of.kv_cache,
        compute_buffer=nothing("compute_buffer", r"M_\text{compute}"),
        kv_tokens=tokens.named("kv_tokens"),
        max_concurrency=requests,
        holds=holds,
        most_tokens=model.context or _MOST_TOKENS,
        needed=total("needed", r"M_\text{needed}", peak, context),
        limit=given_quantity("device_bytes", job.memory),
        states=of.states,
    )
