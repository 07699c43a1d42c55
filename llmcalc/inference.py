"""Memory of inference: weights in any number format, and the cache of keys and values."""

from __future__ import annotations

from typing import Any

from llmcalc.catalog.formats import CACHE_FORMATS
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import ARTICLE, SHAZEER_2019
from llmcalc.stored.weights import stored_weights
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
    """Weights as they are stored, and a full KV cache while tokens are decoded; formats are those of the catalogue,
    which also says what of a model each of them quantises. Transient activations are not counted, nor what layers with
    a window hold between the prompt and the first new token: that is `prompt_memory`.

    ``batch_size`` and ``seq_len`` may be arrays: then the result is a sweep.
    """
    return _weights_and(model.kv_cache_elements(seq_len=seq_len), model, batch_size, weight_format, cache_format)


def prompt_memory(
    model: Model, *, batch_size: Any, seq_len: Any, weight_format: str = "bf16", cache_format: str = "bf16"
) -> Quantity:
    """The same when prompts of ``seq_len`` tokens were read in one pass and no token has been decoded yet.

    It is more where layers have a window, for transformers' dynamic cache; a static one never exceeds the window.
    """
    return _weights_and(model.prompt_cache_elements(seq_len=seq_len), model, batch_size, weight_format, cache_format)


def _weights_and(elements: Quantity, model: Model, batch_size: Any, weight_format: str, cache_format: str) -> Quantity:
    width = CACHE_FORMATS[cache_format].bits / 8
    cache = kv_cache_memory(batch_size=batch_size, cache_elements=elements, bytes_per_element=width)
    weights = stored_weights(model, weight_format)
    return total("inference", r"M_\text{inference}", weights.named("weights"), cache.named("kv_cache"))


def cache_per_token(model: Model, *, cache_format: str = "bf16") -> Quantity:
    """What one more token of one sequence adds to the KV cache, while no window is full. An encoder's is 0."""
    per_token = kv_cache_memory(
        batch_size=1,
        cache_elements=model.kv_elements_per_token(),
        bytes_per_element=CACHE_FORMATS[cache_format].bits / 8,
    )
    return per_token.named("cache_per_token")
