"""Towers by the model_type of their own config, which many models share: CLIP, SigLIP, Whisper and their kin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.towers import backbones
from llmcalc.huggingface.towers.pieces import (
    Norm,
    encoder_layer,
    head_of,
    layers_as_tower,
    layers_of,
    named_key,
    patches_of,
    pooling,
    square_of,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import AUDIO, Convolution, Linear, Tower, Vectors


def _clip(keys: Keys) -> Tower:
    d = keys.size("hidden_size")
    front: list[Part] = [
        Vectors(1, d, "class_token"),
        Convolution(keys.size("num_channels"), d, square_of(keys), False),
        LearnedPositions(patches_of(keys) + 1, d),
        LayerNorm(d, "embedding_norm"),
    ]
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm")])


def _siglip(keys: Keys) -> Tower:
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys)),
        LearnedPositions(patches_of(keys), d),
    ]
    head = pooling(d, keys.size("intermediate_size")) if keys.flag("vision_use_head") else []
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm"), *head])


def siglip2(keys: Keys) -> Tower:
    """SigLIP 2, which takes images of any shape."""
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys)),
        LearnedPositions(keys.size("num_patches"), d),
    ]
    head = pooling(d, keys.size("intermediate_size")) if keys.flag("vision_use_head") else []
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm"), *head])


def siglip_without_head(keys: Keys) -> Tower:
    """As Idefics and its kin have it."""
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys)),
        LearnedPositions(patches_of(keys), d),
    ]
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm")])


def pixtral(keys: Keys) -> Tower:
    """Pixtral: layers like LLaMA's."""
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys), False),
        RMSNorm(d, "embedding_norm"),
    ]
    layer = encoder_layer(keys, norm=RMSNorm, qkv_bias=False, output_bias=False, gated=True, ffn_bias=False)
    return layers_as_tower(front, layer, layers_of(keys))


def _internvit(keys: Keys) -> Tower:
    keys.refuse_other_than("use_mask_token", (False,))
    d = keys.size("hidden_size")
    norm: Norm = RMSNorm if keys.text("norm_type") == "rms_norm" else LayerNorm
    extra: list[Part] = [Vectors(2, d, "layer_scales")]
    if keys.flag(named_key(keys, "qk_normalization", "use_qk_norm")):
        extra += [RMSNorm(d, "query_norm", "qk_norm"), RMSNorm(d, "key_norm", "qk_norm")]
    front: list[Part] = [Vectors(1, d, "class_token"), Convolution(keys.size("num_channels"), d, square_of(keys))]
    if keys.flag("use_absolute_position_embeddings"):
        front.append(LearnedPositions(patches_of(keys) + 1, d))
    back = [] if keys.flag("use_mean_pooling") else [LayerNorm(d, "final_norm")]
    bias = keys.flag(named_key(keys, "qkv_bias", "attention_bias"))
    layer = encoder_layer(keys, norm=norm, qkv_bias=bias, extra=extra)
    return layers_as_tower(front, layer, layers_of(keys), back)


def _moonvit(keys: Keys) -> Tower:
    d = keys.size("hidden_size")
    positions = LearnedPositions(keys.size("pos_emb_height") * keys.size("pos_emb_width"), d)
    front: list[Part] = [Convolution(3, d, square_of(keys)), positions]
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm")])


def _without_positions(keys: Keys) -> Tower:
    """SigLIP with rotary positions (VideoLLaMA 3)."""
    d = keys.size("hidden_size")
    patch = Convolution(keys.size("num_channels"), d, square_of(keys))
    return layers_as_tower([patch], encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm")])


def _ovis(keys: Keys) -> Tower:
    """Patches become probabilities over a vocabulary of their own."""
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_channels"), d, square_of(keys)),
        LearnedPositions(patches_of(keys), d),
        RMSNorm(d, "embedding_norm"),
    ]
    bias = keys.flag("qkv_bias")
    layer = encoder_layer(
        keys, norm=RMSNorm, qkv_bias=bias, output_bias=bias, gated=True, ffn_bias=keys.flag("mlp_bias")
    )
    words = keys.size("vocab_size") - keys.size("num_visual_indicator_tokens", 0)
    head = Linear(d * keys.size("hidden_stride") ** 2, words, False, "linear_1")
    return layers_as_tower(
        front, layer, layers_of(keys), [RMSNorm(d, "final_norm"), head, LayerNorm(words, "head_norm")]
    )


def _qwen2_omni_encoder(keys: Keys) -> Tower:
    """Whisper's without a table of positions, with two vectors for the ends of a sound and a projection."""
    whisper, d, d_out = _whisper_encoder(keys), keys.size("d_model"), keys.size("output_dim")
    front = tuple(part for part in whisper.front if not isinstance(part, LearnedPositions))
    ends = Vectors(2, d_out, "ends_of_sound", AUDIO)
    return replace(whisper, front=(*front, ends), back=(*whisper.back, Linear(d, d_out, True, "linear_1", AUDIO)))


def _conformer(keys: Keys) -> Tower:
    """Granite Speech: two half networks around attention and a convolution; classes in the middle and at the end."""
    d, n_heads = keys.size("hidden_dim"), keys.size("num_heads")
    width = keys.optional("dim_head") or head_of(keys, d, n_heads, "num_heads")
    inner = d * keys.size("conv_expansion_factor")
    d_ff, kernel = d * keys.size("feedforward_mult"), keys.size("conv_kernel_size")
    layer = (
        LayerNorm(d, "feed_forward_norm"),
        FeedForward(d, d_ff, bias=True),
        LayerNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, False, True, sees="all"),
        Vectors(2 * keys.size("max_pos_emb") + 1, width, "relative_bias", AUDIO),
        LayerNorm(d, "convolution_norm"),
        Linear(d, 2 * inner, True, "linear_1", AUDIO),
        Vectors(inner, kernel, "convolution", AUDIO),
        LayerNorm(inner, "inner_norm"),
        Linear(inner, d, True, "linear_2", AUDIO),
        LayerNorm(d, "second_feed_forward_norm"),
        FeedForward(d, d_ff, bias=True, id="second_feed_forward"),
        LayerNorm(d, "final_norm"),
    )
    d_out = keys.size("output_dim")
    front = [Linear(keys.size("input_dim"), d, True, "linear_1", AUDIO)]
    back = [Linear(d, d_out, True, "linear_2", AUDIO), Linear(d_out, d, True, "linear_3", AUDIO)]
    return layers_as_tower(front, layer, layers_of(keys, "num_layers"), back, AUDIO)


def _whisper_encoder(keys: Keys) -> Tower:
    """Whisper's, whose keys have no bias."""
    width = named_key(keys, "d_model", "hidden_size")
    d = keys.size(width)
    front: list[Part] = [
        Convolution(keys.size("num_mel_bins"), d, 3, id="first_convolution", component=AUDIO),
        Convolution(d, d, 3, id="second_convolution", component=AUDIO),
        LearnedPositions(keys.size("max_source_positions"), d, trains=False),
    ]
    layer = encoder_layer(
        keys,
        heads=named_key(keys, "encoder_attention_heads", "num_attention_heads"),
        width=width,
        inner=keys.size(named_key(keys, "encoder_ffn_dim", "intermediate_size")),
        qkv_bias=False,
        extra=[Vectors(2, d, "query_value_bias")],
    )
    return layers_as_tower(
        front,
        layer,
        layers_of(keys, named_key(keys, "encoder_layers", "num_hidden_layers")),
        [LayerNorm(d, "final_norm")],
        AUDIO,
    )


def _glm_asr_encoder(keys: Keys) -> Tower:
    """Whisper's with rotary positions."""
    d = keys.size("hidden_size")
    front: list[Part] = [
        Convolution(keys.size("num_mel_bins"), d, 3, id="first_convolution", component=AUDIO),
        Convolution(d, d, 3, id="second_convolution", component=AUDIO),
    ]
    layer = encoder_layer(keys, qkv_bias=False, extra=[Vectors(2, d, "query_value_bias")])
    return layers_as_tower(front, layer, layers_of(keys), [LayerNorm(d, "final_norm")], AUDIO)


BY_TYPE: Mapping[str, Callable[[Keys], Tower]] = {
    **backbones.BY_TYPE,
    "clip_vision_model": _clip,
    "siglip_vision_model": _siglip,
    "siglip2_vision_model": siglip2,
    "pixtral": pixtral,
    "internvl_vision": _internvit,
    "intern_vit_6b": _internvit,
    "interns1_vision": _internvit,
    "kimi_k25_vision": _moonvit,
    "moonvit": _moonvit,
    "idefics2_vision": siglip_without_head,
    "idefics3_vision": siglip_without_head,
    "smolvlm_vision": siglip_without_head,
    "qwen2_audio_encoder": _whisper_encoder,
    "voxtral_encoder": _whisper_encoder,
    "audioflamingo3_encoder": _whisper_encoder,
    "musicflamingo_encoder": _whisper_encoder,
    "whisper": _whisper_encoder,
    "moss_transcribe_diarize_audio": _whisper_encoder,
    "glmasr_encoder": _glm_asr_encoder,
    "granite_speech_encoder": _conformer,
    "granite_speech_plus_encoder": _conformer,
    "ovis2_vision": _ovis,
    "paddleocr_vl_vision": siglip_without_head,
    "qianfan_ocr_vision": _internvit,
    "qwen2_5_omni_audio_encoder": _qwen2_omni_encoder,
    "video_llama_3_vision": _without_positions,
}


def tower_by_type(keys: Keys) -> Tower:
    """The tower that a config of that model_type describes."""
    return BY_TYPE[keys.model_type](keys)
