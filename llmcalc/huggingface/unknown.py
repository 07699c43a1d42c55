"""Models that no table knows: read with LLaMA's keys where none of their own says otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.family import COMMON
from llmcalc.huggingface.keys import Keys, Notice, is_null, shown
from llmcalc.huggingface.layers import as_said, refuse_other_layers
from llmcalc.huggingface.named import LLAMA_KEYS
from llmcalc.huggingface.stack import Recipe

LIKE_LLAMA = Recipe(qkv_bias="attention_bias", output_bias="attention_bias", ffn_bias="mlp_bias", windows=as_said)
_LLAMA_DEFAULTS: Mapping[str, Any] = {"tie_word_embeddings": False}
# Keys of an unknown model that show that it is not like LLaMA, however many of LLaMA's keys it has.
_NOT_LLAMA = (
    *("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),  # a mixture of experts
    *("kv_lora_rank", "cross_attention_layers", "hidden_size_per_layer_input"),  # another attention, another input
    *("state_size", "ssm_state_size", "mamba_d_state", "linear_num_key_heads", "lru_width"),  # a state space model
    *("decay_low_rank_dim", "use_short_conv", "expand_v", "total_ut_steps"),  # RWKV-7, delta nets; layers that loop
    *("layer_norm_eps", "layer_norm_epsilon"),  # another norm, and a network without a gate
    *("embd_layer", "audio_processor", "vision_lora", "protein_encoder_config"),  # what it takes in beside text
    *("type_vocab_size", "encoder_layers", "num_decoder_layers", "is_encoder_decoder"),  # an encoder
)


# Models of pictures or sound alone, or of pictures and captions side by side
_WITHOUT_TEXT = frozenset(
    (
        *("vit", "clip", "clip_text_model", "clip_vision_model", "siglip", "siglip2", "siglip_vision_model"),
        *("dinov2", "dinov2_with_registers", "dinov3_vit", "dinov3_convnext", "wav2vec2", "wav2vec2-bert", "hubert"),
        *(
            "wavlm",
            "beit",
            "deit",
            "swin",
            "swinv2",
            "convnext",
            "convnextv2",
            "resnet",
            "detr",
            "rt_detr",
            "rt_detr_v2",
        ),
        *("yolos", "sam", "sam2", "sam3", "grounding-dino", "owlvit", "owlv2", "segformer", "mask2former"),
        *("depth_anything", "dpt", "clap", "vits", "encodec", "audio-spectrogram-transformer", "dac", "mimi"),
        *("mobilenet_v2", "mobilevit", "timm_wrapper", "vitmatte", "vit_mae", "vit_msn", "videomae", "timesformer"),
        *("vivit", "altclip", "chinese_clip", "align", "x-clip"),
    )
)
# Drafts for speculative decoding, by the names of their classes, by model_type, or by keys that only they have
_CLASSES_OF_DRAFTS = re.compile(r"(EAGLE|Eagle)$|Eagle3|EAGLE|PEagle|DFlash|DSpark|Medusa|Speculator|DraftModel$|MTP")
_DRAFTS = ("eagle", "medusa", "mlp_speculator", "speculator_model")
_KEYS_OF_DRAFTS = ("draft_vocab_size", "speculators_model_type", "dflash_config", "medusa_num_heads")


def refuse_draft(config: Mapping[str, Any]) -> None:
    """Raise InputError for a draft: its layers take the states of another model in, whose tables it has no copy of."""
    named, classes = config.get("model_type"), config.get("architectures")
    names = [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []
    draft = next((name for name in names if _CLASSES_OF_DRAFTS.search(name)), None)
    if isinstance(named, str) and (named in _DRAFTS or named.endswith("_mtp")):
        draft = draft or named
    draft = draft or next((key for key in _KEYS_OF_DRAFTS if config.get(key) is not None), None)
    if draft is not None:
        message = (
            f"this is a draft for speculative decoding ({shown(draft)}), whose layers read another model's states: not "
            "modelled. Read the model that it drafts for"
        )
        raise InputError("model_type", message, code="draft", found=draft)


def said_like_llama(model_type: str) -> Notice:
    """That a model was guessed to be like LLaMA."""
    text = f"the model_type {shown(model_type)} is unknown: counted as if it were built like LLaMA"
    return Notice("like_llama", text, {"model_type": model_type})


def keys_like_llama(model_type: str, text: Mapping[str, Any]) -> Keys:
    """An unknown model read with LLaMA's keys.

    Raises InputError naming the first key that is missing, or one that LLaMA's layers cannot have.
    """
    if model_type in _WITHOUT_TEXT:
        message = f"the model_type {shown(model_type)} is of a model of pictures or sound alone: not modelled"
        raise InputError("model_type", message, code="without_text", model_type=model_type)
    for key in LLAMA_KEYS:
        if key in text and text[key] is None:
            raise is_null(key, text)
        if key not in text:
            message = f"the model_type {shown(model_type)} is unknown, and its config has no {key!r}"
            raise InputError(key, message, code="unknown_model_lacks", key=key, model_type=shown(model_type))
    for key in _NOT_LLAMA:
        if text.get(key) not in (None, False, 0, 1) or text.get(key) is True:
            message = f"the model_type {shown(model_type)} is unknown, and {key!r} is not LLaMA's"
            raise InputError(key, message, code="unknown_model_has", key=key, model_type=shown(model_type))
    keys = Keys(model_type, text, COMMON, _LLAMA_DEFAULTS, {})
    refuse_other_layers(keys, keys.layers())
    return keys
