"""Serving a model: which engine, and so which rules."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from llmcalc.serving.additions import check_additions
from llmcalc.serving.job import OF_LLAMA_CPP, Serving, check, check_device, check_groups
from llmcalc.serving.llama_cpp import serve_llama_cpp
from llmcalc.serving.paged import serve_paged
from llmcalc.serving.ranks import ranks
from llmcalc.serving.served import Served
from llmcalc.serving.speed import speed_of
from llmcalc.serving.transformers import serve_transformers
from llmcalc.transformer.model import Model


@lru_cache(maxsize=256)
def serve(model: Model, job: Serving) -> Served:
    """What serving ``model`` so takes on the device that needs most, as the engine itself prints it.

    Every number is a `Quantity` with its working: bytes, tokens, requests; see `Served`.

    Raises InputError, naming the input, where the engine would refuse, with its reason: a context beyond the model's,
    heads or experts that cannot be dealt out, groups of a format that do not divide a matrix, a device that it does
    not run on.
    """
    check_device(job)
    found = reserved(model, job)
    on_host = job.gpu_layers is not None or job.kv_on_host or job.cpu_moe_layers
    return found if on_host else replace(found, speed=speed_of(model, job))


def reserved(model: Model, job: Serving) -> Served:
    """What the engine reserves, without how fast it is. Raises InputError as `serve` does."""
    check(model, job)
    check_additions(model, job)
    if job.engine in OF_LLAMA_CPP:
        return serve_llama_cpp(model, job)
    if job.engine == "transformers":
        return serve_transformers(model, job)
    check_groups(ranks(model, job)[0], job)
    return serve_paged(model, job)
