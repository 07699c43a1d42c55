"""Encoders of images or sound whose output a decoder attends to: TrOCR's, Pix2Struct's, those of speech.

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmcalc.huggingface.towers.backbones import waves
from llmcalc.huggingface.towers.encoders import tower_by_type
from llmcalc.huggingface.towers.own import sam
from llmcalc.huggingface.towers.pieces import (
    Reader,
    Whole,
    encoder_layer,
    head_of,
    layers_as_tower,
    layers_of,
    projector_of,
)
from llmcalc.huggingface.towers.resamplers import flat_patches
from llmcalc.huggingface.towers.sound import parakeet
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Block
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import AUDIO, PROJECTOR, Convolution, Linear, Tower, Vectors


def _pix2struct(w: Whole) -> Sequence[Tower]:
    return (flat_patches(w.vision, "d_ff", "d_kv"),)


def _formulanet(w: Whole) -> Sequence[Tower]:
    """SAM's tower, two convolutions and two linear layers."""
    v = w.vision
    out, middle, last = v.size("output_channels"), v.size("post_conv_mid_channels"), v.size("post_conv_out_channels")
    return sam(v), projector_of(
        Convolution(out, middle, 9, False, "first_convolution", PROJECTOR),
        Convolution(middle, last, 9, False, "second_convolution", PROJECTOR),
        Linear(last, last),
        Linear(last, v.size("decoder_hidden_size")),
    )


def _canary(w: Whole) -> Sequence[Tower]:
    a = w.towers["encoder_config"]
    return (parakeet(a, a.flag("attention_bias")),)


def _cohere_asr(w: Whole) -> Sequence[Tower]:
    a = w.towers["encoder_config"]
    return parakeet(a, a.flag("attention_bias")), projector_of(Linear(a.size("hidden_size"), w.d_text))


def _speecht5(w: Whole) -> Sequence[Tower]:
    """wav2vec 2.0's encoder; scores by distance, from a table that all layers share."""
    k = w.keys
    d, n_heads = k.size("hidden_size"), k.size("encoder_attention_heads")
    distances = Vectors(
        2 * k.size("encoder_max_relative_position"), head_of(k, d, n_heads, "encoder_attention_heads"),
        "relative_bias", AUDIO,
    )  # fmt: skip
    layer = encoder_layer(k, heads="encoder_attention_heads", inner=k.size("encoder_ffn_dim"))
    return (layers_as_tower(waves(k), layer, layers_of(k, "encoder_layers"), [LayerNorm(d, "final_norm"), distances],
                            AUDIO),)  # fmt: skip


def _seamless(w: Whole) -> Sequence[Tower]:
    """Only the class that hears has a tower: a conformer, and layers that shorten what it found."""
    k = w.keys
    named = k.config.get("architectures") or [""]
    if not named[0].endswith("ForSpeechToText"):
        return ()
    d, n_heads, d_ff = (k.size(key) for key in ("hidden_size", "speech_encoder_attention_heads",
                                                "speech_encoder_intermediate_size"))  # fmt: skip
    width, d_in = head_of(k, d, n_heads, "speech_encoder_attention_heads"), k.size("feature_projection_input_dim")
    k.refuse_other_than("add_adapter", (True,))
    attention = Attention(d, n_heads, n_heads, width, True, True, sees="all")
    kind = k.value("position_embeddings_type")
    positions: tuple[Part, ...] = ()
    if kind == "relative":
        positions = (Linear(d, d, False, "position_keys", AUDIO), Vectors(2, d, "relative_bias", AUDIO))
    elif kind == "relative_key":
        rows = k.size("left_max_position_embeddings") + k.size("right_max_position_embeddings") + 1
        positions = (Vectors(rows, width, "relative_bias", AUDIO),)
    elif kind is not None and kind != "rotary":
        k.refuse_other_than("position_embeddings_type", ("relative", "relative_key", "rotary"))

    def half(id: str) -> tuple[Part, ...]:
        return LayerNorm(d, f"{id}_norm"), FeedForward(d, d_ff, bias=True, id=id)

    layer: tuple[Part, ...] = (
        *half("feed_forward"),
        LayerNorm(d, "attention_norm"),
        attention,
        *positions,
        LayerNorm(d, "convolution_norm"),
        Linear(d, 2 * d, False, "linear_1", AUDIO),
        Vectors(d, k.size("conv_depthwise_kernel_size"), "convolution", AUDIO),
        LayerNorm(d, "inner_norm"),
        Linear(d, d, False, "linear_2", AUDIO),
        *half("second_feed_forward"),
        LayerNorm(d, "final_norm"),
    )
    kernel = k.size("adaptor_kernel_size")
    shorter: tuple[Part, ...] = (
        LayerNorm(d, "convolution_norm"),
        Convolution(d, 2 * d, kernel, id="first_convolution", component=AUDIO),
        LayerNorm(d, "attention_norm"),
        Convolution(d, 2 * d, kernel, id="second_convolution", component=AUDIO),
        attention,
        *half("feed_forward"),
    )
    front = (LayerNorm(d_in, "projector_norm"), Linear(d_in, d, True, "linear_1", AUDIO))
    blocks = ((Block(layer), layers_of(k, "speech_encoder_layers")),
              (Block(shorter, "merger_block"), layers_of(k, "num_adapter_layers")))  # fmt: skip
    back = (LayerNorm(d, "final_norm"), FeedForward(d, d_ff, bias=True), LayerNorm(d, "head_norm"))
    return (Tower(front, blocks, back, AUDIO, AUDIO),)


def _pair(w: Whole) -> Sequence[Tower]:
    """Any encoder for any decoder; a projection between them where their widths differ."""
    encoder = w.towers["vision_config" if "vision_config" in w.towers else "audio_config"]
    text = w.keys.config.get("text_config")
    if encoder.has("depths"):
        d = encoder.size("embed_dim") * 2 ** (len(encoder.list_of("depths", int) or [0]) - 1)
    else:
        d = encoder.size("hidden_size")
    projects = d != w.d_text and not (isinstance(text, Mapping) and text.get("cross_attention_hidden_size"))
    return (tower_by_type(encoder), *((projector_of(Linear(d, w.d_text)),) if projects else ()))


READERS: Mapping[str, Reader] = {
    "pix2struct": _pix2struct,
    "pp_formulanet": _formulanet,
    "canary": _canary,
    "cohere_asr": _cohere_asr,
    "speecht5": _speecht5,
    "seamless_m4t": _seamless,
    "seamless_m4t_v2": _seamless,
    "vision-encoder-decoder": _pair,
    "speech-encoder-decoder": _pair,
}
