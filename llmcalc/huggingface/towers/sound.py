"""Models that see and hear, and those whose tower for sound is like no other's.

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import MOST_LAYERS, Keys, shown, whole
from llmcalc.huggingface.towers.own import muse_vision
from llmcalc.huggingface.towers.pieces import (
    Reader,
    Whole,
    encoder_layer,
    head_of,
    inner_of,
    layers_as_tower,
    layers_of,
    named_key,
    patches_of,
    pooling,
    projector_of,
    shuffled,
    side_of,
    square_of,
    two_linear,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Block
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import AUDIO, PROJECTOR, VISION, Convolution, Linear, Tower, Vectors


def _voxtral_realtime(w: Whole) -> Sequence[Tower]:
    """Whisper's with rotary positions, a gate in the feed-forward network, and heads of their own width."""
    a = w.audio
    d, d_ff, n_heads = a.size("hidden_size"), a.size("intermediate_size"), a.size("num_attention_heads")
    width = a.optional("head_dim") or head_of(a, d, n_heads, "num_attention_heads")
    front: list[Part] = [
        Convolution(a.size("num_mel_bins"), d, 3, id="first_convolution", component=AUDIO),
        Convolution(d, d, 3, id="second_convolution", component=AUDIO),
    ]
    layer = (
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, False, True, sees="all"),
        Vectors(2, n_heads * width, "query_value_bias", AUDIO),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, d_ff, True),
        Vectors(1, d, "down_bias", AUDIO),
    )
    tower = layers_as_tower(front, layer, layers_of(a), [RMSNorm(d, "final_norm")], AUDIO)
    return tower, projector_of(*two_linear(d * w.keys.size("downsample_factor"), w.d_text, w.d_text, False))


def _gemma4_vision(v: Keys) -> Tower:
    d, n_heads, width = v.size("hidden_size"), v.size("num_attention_heads"), v.size("head_dim")
    front: list[Part] = [
        Convolution(3, d, square_of(v), False),
        LearnedPositions(2 * v.size("position_embedding_size"), d),
    ]
    layer = (
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, v.size("num_key_value_heads"), width, sees="all"),
        RMSNorm(width, "query_norm", "qk_norm"),
        RMSNorm(width, "key_norm", "qk_norm"),
        RMSNorm(d, "attention_post_norm"),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, v.size("intermediate_size"), True),
        RMSNorm(d, "feed_forward_post_norm"),
    )
    return layers_as_tower(front, layer, layers_of(v))


def _gemma4_audio(a: Keys) -> Tower:
    """A conformer: two half networks around attention and a convolution, each between two norms."""
    d, n_heads = a.size("hidden_size"), a.size("num_attention_heads")
    channels = a.list_of("subsampling_conv_channels", int) or []
    if len(channels) != 2 or min(channels) < 1:
        found = shown(a.value("subsampling_conv_channels"))
        raise InputError("subsampling_conv_channels", "'subsampling_conv_channels' must be two widths",
                         code="key_not_modelled", key="subsampling_conv_channels", found=found)  # fmt: skip
    first, second = channels
    width = head_of(a, d, n_heads, "num_attention_heads")
    front: list[Part] = [
        Convolution(1, first, 9, False, "first_convolution", AUDIO),
        LayerNorm(first, "embedding_norm", bias=False),
        Convolution(first, second, 9, False, "second_convolution", AUDIO),
        LayerNorm(second, "hidden_norm", bias=False),
        Linear(first // 4 * second, d, False, "linear_1", AUDIO),
    ]

    def half(id: str) -> tuple[Part, ...]:
        return RMSNorm(d, f"{id}_norm"), FeedForward(d, 4 * d, id=id), RMSNorm(d, f"{id}_post_norm")

    layer = (
        *half("feed_forward"),
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, sees="all"),
        Linear(d, d, False, "position_keys", AUDIO),
        Vectors(1, width, "query_scales", AUDIO),
        RMSNorm(d, "attention_post_norm"),
        RMSNorm(d, "convolution_norm"),
        Linear(d, 2 * d, False, "linear_1", AUDIO),
        Vectors(d, a.size("conv_kernel_size"), "convolution", AUDIO),
        RMSNorm(d, "inner_norm"),
        Linear(d, d, False, "linear_2", AUDIO),
        *half("second_feed_forward"),
        RMSNorm(d, "final_norm"),
    )
    return layers_as_tower(
        front, layer, layers_of(a), [Linear(d, a.size("output_proj_dims"), True, "linear_2", AUDIO)], AUDIO
    )


def _gemma4(w: Whole) -> Sequence[Tower]:
    """A tower for images and one for sound, each there only where the file has its config."""
    towers, projector = [], []
    if "vision_config" in w.towers:
        towers.append(_gemma4_vision(w.vision))
        projector.append(Linear(w.vision.size("hidden_size"), w.d_text, False))
    if "audio_config" in w.towers:
        towers.append(_gemma4_audio(w.audio))
        projector.append(Linear(w.audio.size("output_proj_dims"), w.d_text, False))
    return (*towers, projector_of(*projector)) if towers else ()


def _gemma4_unified(w: Whole) -> Sequence[Tower]:
    """No towers: patches and frames of sound go to the language model's width, and it does the rest."""
    parts: list[Part] = []
    if "vision_config" in w.towers:
        v = w.vision
        d, wide = v.size("mm_embed_dim"), 3 * (side_of(v, "patch_size") * v.size("pooling_kernel_size")) ** 2
        parts += [
            LayerNorm(wide, "embedding_norm"),
            Linear(wide, d),
            LayerNorm(d, "hidden_norm"),
            LearnedPositions(2 * v.size("mm_posemb_size"), d),
            LayerNorm(d, "projector_norm", component=PROJECTOR),
            Linear(v.size("output_proj_dims"), w.d_text, False),
        ]
    if "audio_config" in w.towers:
        width = w.audio.size(named_key(w.audio, "output_proj_dims", "audio_embed_dim"))
        parts.append(Linear(width, w.d_text, False))
    return (projector_of(*parts),) if parts else ()


def _muse_spark(w: Whole) -> Sequence[Tower]:
    """Sound goes through stages of convolutions, each wider than the one before, without attention."""
    a = w.audio
    a.refuse_other_than("num_hidden_layers", (1, 2, 3, 4))
    n_stages = a.size("num_hidden_layers")
    listed = [a.list_of(key, int, n_stages) or [] for key in ("hidden_sizes", "patch_sizes", "depths")]
    if any(not entries for entries in listed):
        raise a.missing("hidden_sizes")
    kernel, d_in, stages = a.size("conv_kernel_size"), 1, []
    for i, (d, patch, depth) in enumerate(zip(*listed, strict=True), 1):
        d, patch, depth = whole("hidden_sizes", d), whole("patch_sizes", patch), whole("depths", depth)
        if depth > MOST_LAYERS:
            raise InputError("depths", f"{depth:,} layers; more than {MOST_LAYERS:,} are not counted",
                             code="too_many_layers", number=depth, most=MOST_LAYERS)  # fmt: skip
        layer = (
            Convolution(1, d, kernel, id="convolution", component=AUDIO),
            RMSNorm(d, "feed_forward_norm"),
            FeedForward(d, inner_of(a, d), bias=True),
        )
        entry = (Linear(d_in * patch, d, True, "linear_1", AUDIO), RMSNorm(d, "embedding_norm"))
        stages.append(Tower(entry, ((Block(layer), depth),), (), f"stage_{i}", AUDIO))
        d_in = d
    d_out = a.size("out_hidden_size")
    back = (RMSNorm(d_in, "final_norm"), Linear(d_in, d_out, True, "linear_1", AUDIO), RMSNorm(d_out, "head_norm"))
    vision, projector = muse_vision(w)
    return vision, Tower(tuple(stages), (), back, AUDIO, AUDIO), projector


def _radio(v: Keys, frames: int) -> Tower:
    """C-RADIO's: patches of images and of so many frames of a video, class tokens and registers."""
    d = v.size("hidden_size")
    n_heads, side = v.size("num_attention_heads"), v.size("max_img_size") // side_of(v, "patch_size")
    patch = square_of(v) * v.size("num_channels")
    inner, gated = inner_of(v, d), v.flag("use_swiglu_ffn")
    if gated:
        inner = -(-int(inner * 2 / 3) // 8) * 8
    front: list[Part] = [
        Linear(patch, d, False, "patch_embedding", VISION),
        Linear(frames * patch, d, False, "video_embedding", VISION),
        LearnedPositions(side**2, d),
        Vectors(v.size("num_cls_tokens", 0) + v.size("num_registers", 0), d, "class_token"),
    ]
    layer = (
        LayerNorm(d, "attention_norm"),
        Attention(
            d, n_heads, n_heads, head_of(v, d, n_heads, "num_attention_heads"), v.flag("qkv_bias"), True, sees="all"
        ),
        LayerNorm(d, "feed_forward_norm"),
        FeedForward(d, inner, gated, True),
        Vectors(2, d, "layer_scales"),
    )
    return layers_as_tower(front, layer, layers_of(v))


def parakeet(a: Keys, bias: bool) -> Tower:
    """A conformer: two half networks around attention with relative positions and a convolution."""
    d, d_ff, n_heads = a.size("hidden_size"), a.size("intermediate_size"), a.size("num_attention_heads")
    width, kernel = head_of(a, d, n_heads, "num_attention_heads"), a.size("conv_kernel_size")
    channels, square = a.size("subsampling_conv_channels"), a.size("subsampling_conv_kernel_size") ** 2
    n_halvings = a.size("subsampling_factor").bit_length() - 1
    rows = a.size("num_mel_bins") // a.size("subsampling_conv_stride") ** n_halvings
    step = (
        Convolution(1, channels, square, id="second_convolution", component=AUDIO),
        Linear(channels, channels, True, "linear_1", AUDIO),
    )
    inside = a.flag("convolution_bias")
    layer = (
        LayerNorm(d, "feed_forward_norm"),
        FeedForward(d, d_ff, bias=bias),
        LayerNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, bias, bias, sees="all"),
        Linear(d, d, False, "position_keys", AUDIO),
        Vectors(2, d, "relative_bias", AUDIO),
        LayerNorm(d, "convolution_norm"),
        Linear(d, 2 * d, inside, "linear_1", AUDIO),
        Convolution(1, d, kernel, inside, "convolution", AUDIO),
        LayerNorm(d, "inner_norm"),
        Linear(d, d, inside, "linear_2", AUDIO),
        LayerNorm(d, "second_feed_forward_norm"),
        FeedForward(d, d_ff, bias=bias, id="second_feed_forward"),
        LayerNorm(d, "final_norm"),
    )
    blocks = ((Block(step, "first_block"), n_halvings - 1), (Block(layer), layers_of(a)))
    front = (
        Convolution(1, channels, square, id="first_convolution", component=AUDIO),
        Linear(channels * rows, d, True, "linear_1", AUDIO),
    )
    return Tower(front, tuple((block, count) for block, count in blocks if count > 0), (), AUDIO, AUDIO)


def _nemotron_omni(w: Whole) -> Sequence[Tower]:
    """Images always; sound where the file has a tower for it. With layers that predict ahead, images have a norm."""
    width = w.keys.size(named_key(w.keys, "vit_hidden_size", "vision_hidden_size"))
    inner = w.keys.size("projector_hidden_size")
    wide = width * shuffled(w.keys) ** 2
    vision = _radio(w.vision, w.keys.size("video_temporal_patch_size"))
    norm = RMSNorm(wide, "projector_norm", PROJECTOR)
    text = w.keys.config.get("text_config") or w.keys.config.get("llm_config")
    if isinstance(text, Mapping) and text.get("num_nextn_predict_layers"):
        vision = replace(vision, back=(LayerNorm(width, "final_norm"),))
    if "audio_config" not in w.towers:
        return vision, projector_of(norm, *two_linear(wide, inner, w.d_text, False))
    a = w.audio
    d, d_mid, bias = a.size("hidden_size"), a.size("projection_hidden_size"), a.flag("projection_bias")
    return (
        vision,
        parakeet(a, a.given("attention_bias") and a.flag("attention_bias")),
        projector_of(
            norm,
            *two_linear(wide, inner, w.d_text, False),
            RMSNorm(d, "hidden_norm"),
            *two_linear(d, d_mid, w.d_text, bias),
        ),
    )


def _phi4(w: Whole) -> Sequence[Tower]:
    """SigLIP for images; a conformer for sound; two projections for sound alone, two for sound beside images."""
    v, a, d_text = w.vision, w.audio, w.d_text
    d = v.size("hidden_size")
    front: list[Part] = [Convolution(v.size("num_channels"), d, square_of(v)), LearnedPositions(patches_of(v), d)]
    back = [LayerNorm(d, "final_norm"), *pooling(d, v.size("intermediate_size"))]
    vision = layers_as_tower(front, encoder_layer(v), layers_of(v), back)
    d_sound = a.size("hidden_size")
    return (
        vision,
        _phi4_audio(a),
        projector_of(
            Vectors(2, d, "newline", PROJECTOR),
            *two_linear(d, d_text, d_text),
            *two_linear(d_sound, d_text, d_text),
            *two_linear(d_sound, d_text, d_text),
        ),
    )


def _phi4_audio(a: Keys) -> Tower:
    a.refuse_other_than("depthwise_multiplier", (1,))
    d, n_heads, d_ff = a.size("hidden_size"), a.size("num_attention_heads"), a.size("intermediate_size")
    channels, out = a.size("nemo_conv_channels"), a.size("ext_pw_out_channel")
    width, separable = head_of(a, d, n_heads, "num_attention_heads"), a.size("depthwise_separable_out_channel")
    halvings, rows = a.size("time_reduction").bit_length() - 1, a.size("input_size")
    for _ in range(halvings):
        rows = (rows + 1) // 2
    step = (
        Convolution(1, channels, 9, id="second_convolution", component=AUDIO),
        Linear(channels, channels, True, "linear_1", AUDIO),
    )

    def half(id: str) -> tuple[Part, ...]:
        return LayerNorm(d, f"{id}_norm"), FeedForward(d, d_ff, True, True, id=id)

    layer = (
        *half("feed_forward"),
        LayerNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, width, True, True, sees="all"),
        LayerNorm(d, "convolution_norm"),
        Linear(d, 2 * out, True, "linear_1", AUDIO),
        Vectors(2, out, "gates", AUDIO),
        Convolution(1, d, a.size("kernel_size"), id="convolution", component=AUDIO),
        Linear(d, separable, True, "linear_2", AUDIO),
        Linear(d, out, True, "linear_3", AUDIO),
        *half("second_feed_forward"),
        LayerNorm(d, "final_norm"),
    )
    distances = a.size("bias_max_distance") * (1 if a.flag("bias_symmetric") else 2)
    front = (
        Convolution(1, channels, 9, id="first_convolution", component=AUDIO),
        Linear(channels * rows, d, True, "linear_1", AUDIO),
        Vectors(distances, n_heads, "relative_bias", AUDIO),
    )
    blocks = ((Block(step, "first_block"), halvings - 1), (Block(layer), layers_of(a, "num_blocks")))
    return Tower(front, tuple((block, count) for block, count in blocks if count > 0), (), AUDIO, AUDIO)


READERS: Mapping[str, Reader] = {
    "gemma4": _gemma4,
    "gemma4_unified": _gemma4_unified,
    "muse_spark": _muse_spark,
    "nemotron_h_omni": _nemotron_omni,
    "voxtral_realtime": _voxtral_realtime,
    "phi4_multimodal": _phi4,
}
