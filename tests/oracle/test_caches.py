"""How many tokens each layer's cache keeps: what transformers' cache makes of a config, and what we do."""

from __future__ import annotations

import dataclasses

import pytest
from transformers import DynamicCache
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llmcalc.huggingface import read_config
from llmcalc.huggingface.families import FAMILIES

WINDOW = 64
WINDOWS = {
    "sliding_window": WINDOW,
    "use_sliding_window": True,
    "max_window_layers": 1,
    "window_size": WINDOW,
    "attention_chunk_size": WINDOW,
    "local_attention": 2 * WINDOW,
}


def windowed() -> dict[str, object]:
    """The families whose config has anything to say of windows, with windows."""
    found = {}
    for name in sorted(set(FAMILIES) & set(CONFIG_MAPPING)):
        fields = {field.name for field in dataclasses.fields(CONFIG_MAPPING[name])}
        keys = [key for key in WINDOWS if key in fields]
        if keys:
            found[name] = CONFIG_MAPPING[name](**{key: WINDOWS[key] for key in keys})
    return found


FAMILIES_WITH_WINDOWS = windowed()


@pytest.mark.parametrize("name", FAMILIES_WITH_WINDOWS)
def test_a_layer_caches_as_many_tokens_as_in_transformers(name):
    config = FAMILIES_WITH_WINDOWS[name]
    keys = {key: value for key, value in config.to_dict().items() if key != "layer_types" or value}
    layers = read_config({**keys, "model_type": name}).model.layers()
    caches = [part for block in layers for part in block.caches() if part.sees == "past"]
    caches = [part for part in caches if part.component == "attention" and part.kv_elements_per_token().value]
    if caches:
        try:
            kept = DynamicCache(config=config).layers
        except KeyError as error:  # a kind of layer that only its own modeling file registers
            pytest.skip(str(error))
        kept = [layer for layer in kept if hasattr(layer, "is_sliding")]
        real = [layer.sliding_window if layer.is_sliding else None for layer in kept]
        assert [part.cache_window for part in caches] == real
