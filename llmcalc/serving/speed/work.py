"""What a model asks of the devices that serve it: bytes of its weights, operations of a token, cache, operations of a
layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.stored.weights import format_in, stored
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.part import Heads, Matrix, matrices, mixers, mixtures, traits


@dataclass(frozen=True)
class Work:
    """Of the language model: bytes of what every token reads and of all experts, operations of one token with weights,
    how many operations and layers of experts there are, and over how many devices a cache can be split by heads."""

    model: Model
    dense_bytes: float
    expert_bytes: float
    token_flops: float
    n_kernels: int
    n_mixtures: int
    n_experts: int
    top_k: int
    cache_heads: int
    state_bytes: float

    def cached_bytes(self, length: Any, bytes_per_element: float) -> Any:
        """Cache of one user with so many tokens, windows respected."""
        return self.model.language.kv_cache_elements(seq_len=length).value * bytes_per_element

    def decoding_scores(self, length: Any) -> Any:
        """Operations of one token's attention to so many before it."""
        return sum(uses * part.kv_cache_elements(seq_len=length).value for uses, part in _cached_parts(self.model))

    def prompt_scores(self, length: Any) -> Any:
        """Operations of one token's attention, on average over a prompt of so many."""
        return sum(count * mixer.mixing_flops(seq_len=length).value for count, mixer in _mixers(self.model))


@lru_cache(maxsize=256)
def _cached_parts(model: Model) -> tuple[tuple[float, Any], ...]:
    """The parts that cache, each with how many operations there are for each number cached, over all its layers."""
    return tuple(
        (count * _uses_of_cached(block, mixer.heads), part)
        for block, count in model.blocks
        for part in block.caches()
        for mixer in mixers((part,))
    )


@lru_cache(maxsize=256)
def _mixers(model: Model) -> tuple[tuple[int, Any], ...]:
    """What mixes tokens, each with how many layers have it."""
    return tuple((count, mixer) for block, count in model.blocks for mixer in mixers(block.parts))


def _uses_of_cached(block: Block, heads: Heads) -> float:
    """Operations for each number cached: a product and a sum for every query head that shares it, and twice that where
    what is cached is key and value at once."""
    if "latent" in traits(block.parts):
        return 4 * heads.n_heads
    return 2 * heads.n_heads / heads.n_kv_heads


def _experts_of(model: Model) -> list[tuple[int, str, Matrix]]:
    return [
        (count, part.component, matrix)
        for block, count in model.blocks
        for part in block.parts
        for matrix in matrices(part)
        if matrix.experts
    ]


@lru_cache(maxsize=256)
def work_of(model: Model, weight_format: str) -> Work:
    """The work of a model whose weights are stored in that format."""
    kept, format = stored(model.language, weight_format), WEIGHT_FORMATS.get(weight_format)
    experts, average = _experts_of(model), kept.of_group("layers")[1]
    if format is None or format.stored == "gguf" or not average:
        expert_bits = sum(count * matrix.numbers for count, _, matrix in experts) * (average or kept.bits_per_weight)
    else:
        expert_bits = sum(
            count * matrix.numbers * format_in(model, format, component, matrix).bits_in_rows_of(matrix.width)
            for count, component, matrix in experts
        )
    n, table = kept.of_group("embedding")
    whole = sum(kept.bits.values())
    looked_up = 0.0 if model.tied else (n * table if n else model.vocab_size * model.width * kept.bits_per_weight)
    chosen = [part for block, _ in model.blocks for part in mixtures(block.parts)]
    active = model.active_parameters().value - (0 if model.tied else model.vocab_size * model.width)
    heads = [mixer.heads.n_kv_heads for mixer in mixers(part for block, _ in model.blocks for part in block.caches())]
    latent = "latent" in traits(model.language.parts)
    plain, wide = (model.state_elements(fp32=fp32).value for fp32 in (False, True))
    return Work(
        model,
        (whole - expert_bits - looked_up) / 8,
        expert_bits / 8,
        2 * active,
        sum(count * _operations(block) for block, count in model.blocks),
        sum(count for block, count in model.blocks if mixtures(block.parts)),
        max((part.n_experts for part in chosen), default=1),
        max((part.top_k for part in chosen), default=1),
        1 if latent else min(heads, default=1),
        2 * plain + 4 * wide,
    )


def _operations(block: Block) -> int:
    """Operations that a layer runs one after the other: products with weights, and one more for each part. All experts
    are one part."""
    products = sum(1 for part in block.parts for matrix in matrices(part) if not matrix.experts)
    return products + len(block.parts)


def cache_split(work: Work, tensor_parallel: Any) -> Any:
    """Over how many devices the cache of one user is split: those with heads of keys and values of their own."""
    return np.minimum(tensor_parallel, work.cache_heads)
