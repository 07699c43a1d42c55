"""What is beside a language model, as a whole model's config says: which towers it has, and their keys.

What a config class fills in when a file omits a key, or a whole tower's config, is in ``towers.json``, written by
``tests/oracle/tower_defaults.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import Keys, shown
from llmcalc.huggingface.towers import TOWERS, encoders, published
from llmcalc.huggingface.towers.pieces import Whole
from llmcalc.transformer.tower import Tower

# Published with code of their own: whose config class fills in what their files omit
_STANDS_IN = {
    **{"kimi_vl": "kimi_k25", "kimi_k3": "kimi_k25", "internvl_chat": "internvl", "interns1": "internvl"},
    **{"qwen3_8_flash_next": "qwen4_exp", "deepseek_ocr": "unlimited_ocr", "deepseek_ocr2": "unlimited_ocr"},
}
# Whole models whose class is named as if it were the language model alone
CAUSAL = frozenset({"molmo", "phi3_v", "phi4_multimodal", "dots_ocr", "git", "fuyu", "deepseek_ocr", "deepseek_ocr2"})
# Whole models whose class fills in, of a tower that the file gives in part, what is its own choice
_FILLS_IN = frozenset({"cohere_asr"})
# Keys of towers by the names that published files have for them
_KEYS_OF_FILES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "kimi_k25_vision": {
        **{key: (f"vt_{key}",) for key in ("hidden_size", "intermediate_size")},
        **{key: (f"vt_{key}",) for key in ("num_attention_heads", "num_hidden_layers")},
        **{key: (f"init_{key}",) for key in ("pos_emb_height", "pos_emb_width")},
    },
}
# Keys of a config that hold one of a tower
PARTS_OF = (
    *("vision_config.sam_config", "vision_config.encoder_config", "high_res_vision_config"),
    *("vq_config", "adaptor_config", "semantic_model_config", "diffusion_head_config"),
    *("acoustic_tokenizer_encoder_config", "semantic_tokenizer_encoder_config"),
    *("vision_config", "audio_config", "perceiver_config", "encoder_config", "projector_config", "adapter_config"),
    *("qformer_config", "visual"),
)


_OTHER_NAMES = {"audio_config": "sound_config"}


@cache
def _read_defaults() -> Mapping[str, Any]:
    return json.loads(resources.files("llmcalc.huggingface").joinpath("towers.json").read_text("utf-8"))


def default_text(model_type: str) -> Mapping[str, Any] | None:
    """The config of the language model that the class of that name takes where the file has none."""
    row = _read_defaults()["models"].get(model_type)
    return row["text_config"] if row else None


def default_tie(model_type: Any) -> bool | None:
    """Whether the head of the class of that name is tied where its file says nothing; None where it has no towers."""
    row = _read_defaults()["models"].get(model_type) if isinstance(model_type, str) else None
    return row["defaults"]["tie_word_embeddings"] if row else None


def towers_of(config: Mapping[str, Any], text: Mapping[str, int]) -> tuple[tuple[Tower, ...], dict[str, Any]]:
    """The towers of the model that ``config`` describes beside a language model of such sizes, and what was read of it.

    Raises InputError for keys that are missing, malformed or contradictory.
    """
    model_type = config["model_type"]
    for key, other in _OTHER_NAMES.items():
        if config.get(key) is None and config.get(other) is not None:
            config = {**config, key: config[other]}
    row = _row(model_type)
    keys = Keys(model_type, config, {}, row["defaults"], {})
    given = {key: _inside(config, key) for key in PARTS_OF if key in row}
    kept = [key for key, of_tower in given.items() if of_tower is not None or key not in row["without"]]
    of_each = {key: _keys_of_tower(model_type, key, given[key], row[key]) for key in kept}
    found = tuple(TOWERS[model_type](Whole(keys, of_each, text)))
    used = dict(keys.used)
    for key, of_tower in of_each.items():
        if given[key] is not None:
            *outer, inner = key.split(".")
            within = used.setdefault(outer[0], {}) if outer else used
            within[inner] = {**within.get(inner, {}), "model_type": of_tower.model_type, **of_tower.used}
    return found, used


def _inside(config: Mapping[str, Any], key: str) -> Any:
    """What a config has under a key, or under a key within a config of its own: vision_config.sam_config."""
    found: Any = config
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _row(model_type: str) -> Mapping[str, Any]:
    """What the class of the whole model fills in, and the config of each tower that it has."""
    row = _read_defaults()["models"].get(_STANDS_IN.get(model_type, model_type))
    if row is not None:
        return {**row, **published.OTHER_PARTS.get(model_type, {})}
    vision = published.VISION_DEFAULTS.get(model_type)
    defaults = published.DEFAULTS.get(model_type, {})
    return {"defaults": defaults, "without": [], **({"vision_config": vision} if vision else {})}


def _keys_of_tower(model_type: str, key: str, given: Any, default: Mapping[str, Any]) -> Keys:
    """A tower's keys: as its class fills them in, or as the whole model's class does where the file has none of it.

    Raises InputError with the code tower_unknown where the model takes any tower, and the file names one that is not
    known: one that bears the model's own name is its own.
    """
    kind = default["model_type"]
    if given is None:
        return Keys(kind, {}, {}, default, {})
    if not isinstance(given, Mapping) or any(not isinstance(name, str) for name in given):
        message = f"{key!r} must be a JSON object, not {shown(given)}"
        raise InputError(key, message, code="key_not_object", key=key, found=shown(given))
    named = given.get("model_type")
    if isinstance(named, str) and named and kind in encoders.BY_TYPE and not _is_own(named, model_type, kind):
        kind = named
        if kind not in encoders.BY_TYPE:
            message = f"a tower of the model_type {shown(kind)} is not modelled"
            raise InputError(key, message, tuple(encoders.BY_TYPE), code="tower_unknown", model_type=kind)
    row = _read_defaults()["classes"].get(kind, {"defaults": default, "aliases": {}})
    if model_type in _FILLS_IN:
        row = {**row, "defaults": {**row["defaults"], **default}}
    aliases = {name: tuple(others) for name, others in row["aliases"].items()} | dict(_KEYS_OF_FILES.get(kind, {}))
    return Keys(kind, given, {}, row["defaults"], aliases)


def _is_own(named: str, model_type: str, kind: str) -> bool:
    """Whether what a file calls a tower is another name of the model's own: idefics2 for its tower."""
    stem, *own = (name.removesuffix("_vision").removesuffix("_encoder") for name in (named, model_type, kind))
    return named not in encoders.BY_TYPE and stem in own
