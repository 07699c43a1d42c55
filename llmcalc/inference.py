"""Memory of inference: weights in any number format, and the cache of keys and values."""

from __future__ import annotations

from typing import Any

from llmcalc.catalog.formats import CACHE_FORMATS
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import ARTICLE, SHAZEER_2019
from llmcalc.techniques.quantization import stored_weights
from llmcalc.transformer.model import Model


@formula(r"M_\text{model}", "bytes", ARTICLE.at("C"))
def model_memory(*, parameters, bits_per_weight):
    """Bytes of the weights in a number format: bits for each, scales included, by eight."""
    return parameters * bits_per_weight / 8


@formula(r"M_\text{kv}", "bytes", SHAZEER_2019.at("sec. 2.4.1"))
def kv_cache_memory(*, batch_size, cache_elements, bytes_per_element):
    """The cache of every sequence in the batch, each value in so many bytes."""
    return batch_size * cache_elements * bytes_per_element


def inference_memory(
    model: Model, *, batch_size: Any, seq_len: Any, weight_format: str = "bf16", cache_format: str = "bf16"
) -> Quantity:
    """Weights as they are stored, and a full KV cache; formats are those of the catalogue, which also says what of a
    model each of them quantises. Transient activations are not counted.

    ``batch_size`` and ``seq_len`` may be arrays: then the result is a sweep.
    """
    weights = stored_weights(model, weight_format)
    cache = kv_cache_memory(
        batch_size=batch_size,
        cache_elements=model.kv_cache_elements(seq_len=seq_len),
        bytes_per_element=CACHE_FORMATS[cache_format].bits / 8,
    )
    return total("inference", r"M_\text{inference}", weights.named("weights"), cache.named("kv_cache"))


def cache_per_token(model: Model, *, cache_format: str = "bf16") -> Quantity:
    """What one more token of one sequence adds to the KV cache, while no window is full. An encoder's is 0."""
    per_token = kv_cache_memory(
        batch_size=1,
        cache_elements=model.kv_elements_per_token(),
        bytes_per_element=CACHE_FORMATS[cache_format].bits / 8,
    )
    return per_token.named("cache_per_token")
