"""Configs that hold an encoder's and a decoder's apart, with what is read of them where `read` looks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import shown
from llmcalc.huggingface.two_stacks import flat_t5gemma

# Any encoder for any decoder: under which key a tower's config stands, and which encoder is the class's own choice
_PAIRS: Mapping[str, tuple[str, str]] = {
    "vision-encoder-decoder": ("vision_config", "vit"),
    "speech-encoder-decoder": ("audio_config", "wav2vec2"),
}
_BERT = {"model_type": "bert", "is_decoder": True, "add_cross_attention": True}
# Sizes of T5Gemma 2's stacks, which are those of both but in how many layers there are
_SIZES = (
    *("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size"),
    *("sliding_window", "attention_bias"),
)
# Models that DeepSeek publishes under one model_type, by their classes
_DEEPSEEK_OCR = {"DeepseekOCRForCausalLM": "deepseek_ocr", "DeepseekOCR2ForCausalLM": "deepseek_ocr2"}


def flat(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config as `read` reads it: itself, unless it holds two stacks apart.

    Raises InputError where the two stacks are none that go together.
    """
    if not isinstance(config, Mapping):
        return config
    named = config.get("model_type")
    if isinstance(named, str) and named in _PAIRS:
        return _pair(config, *_PAIRS[named])
    if named == "deepseek_vl_v2":
        return _deepseek_ocr(config)
    return _t5gemma2(config) if named == "t5gemma2" else flat_t5gemma(config)


def _pair(config: Mapping[str, Any], tower: str, default: str) -> Mapping[str, Any]:
    """A decoder alone, and its encoder as a tower. Whether the head is tied is for the decoder to say."""
    if "text_config" in config:
        return config
    stacks: dict[str, Mapping[str, Any]] = {"encoder": {"model_type": default}, "decoder": _BERT}
    for key in stacks:
        given = config.get(key)
        if given is not None and not isinstance(given, Mapping):
            message = f"{key!r} must be a JSON object, not {shown(given)}"
            raise InputError(key, message, code="key_not_object", key=key, found=shown(given))
        stacks[key] = stacks[key] if given is None else given
    rest = {key: value for key, value in config.items() if key not in (*stacks, "tie_word_embeddings")}
    return {**rest, "text_config": {**stacks["decoder"], "architectures": ["DecoderForCausalLM"]},
            tower: dict(stacks["encoder"])}  # fmt: skip


def _deepseek_ocr(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """DeepSeek-OCR under a name of its own: its files say the language model's sizes twice, and its towers' under other
    keys or not at all."""
    classes, text = config.get("architectures"), config.get("language_config")
    named = classes[0] if isinstance(classes, list) and classes else None
    if not isinstance(named, str) or named not in _DEEPSEEK_OCR or not isinstance(text, Mapping):
        return config
    kept = {key: config[key] for key in ("architectures", "quantization_config", "quantization") if key in config}
    return {"model_type": _DEEPSEEK_OCR[named], **kept, "text_config": {**text, "model_type": "unlimited_ocr_text"}}


def _t5gemma2(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """T5Gemma 2: the encoder holds a tower and a language model, whose sizes the decoder has too."""
    encoder, decoder = (config.get(key) for key in ("encoder", "decoder"))
    if not isinstance(encoder, Mapping) or not isinstance(decoder, Mapping):
        return config
    text = encoder.get("text_config")
    text = dict(text) if isinstance(text, Mapping) else {}
    for key in _SIZES:
        if key in text and key in decoder and text[key] != decoder[key]:
            message = f"the decoder's {key!r} is {shown(decoder[key])}, not the encoder's: this is not modelled"
            raise InputError("decoder", message, code="key_not_modelled", key="decoder", found=shown(decoder[key]))
    if decoder.get("num_hidden_layers") is not None:
        text["num_decoder_layers"] = decoder["num_hidden_layers"]
    rest = {key: value for key, value in config.items() if key not in ("encoder", "decoder")}
    found = {**rest, "text_config": {**text, "model_type": "t5gemma2_text"}}
    return {**found, "vision_config": encoder["vision_config"]} if "vision_config" in encoder else found
