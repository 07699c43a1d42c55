"""Towers of models that are published with code of their own, read from that code. One entry a model_type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.towers import encoders, merged, own, projected
from llmcalc.huggingface.towers.pieces import (
    Reader,
    Whole,
    encoder_layer,
    head_of,
    layers_as_tower,
    layers_of,
    projector_of,
    square_of,
    two_linear,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import PROJECTOR, VISION, Convolution, Linear, Tower, Vectors

# CLIP's larger tower for images of 336 pixels, which some models' code has without a config
_CLIP_336: Mapping[str, Any] = {
    **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    **{"image_size": 336, "patch_size": 14, "num_channels": 3},
}


def _clip_336() -> Tower:
    return encoders.BY_TYPE["clip_vision_model"](Keys("clip_vision_model", {}, {}, _CLIP_336, {}))


def _kimi_k3(w: Whole) -> Sequence[Tower]:
    """Heads wider than the stream, RMSNorm and no biases; four patches together, and a norm after the projection."""
    v = w.vision
    d, n_heads, merge = v.size("hidden_size"), v.size("num_attention_heads"), v.list_of("merge_kernel_size", int)
    inner = v.optional("qkv_hidden_size") or d
    v.refuse_other_than("norm_type", ("rmsnorm",))
    layer = (
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, head_of(v, inner, n_heads, "num_attention_heads"), sees="all"),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, v.size("intermediate_size")),
    )
    rows = v.size("pos_emb_height") * v.size("pos_emb_width")
    front: list[Part] = [Convolution(3, d, square_of(v), False), LearnedPositions(rows, d)]
    high, wide = merge or (2, 2)
    joined = d * high * wide
    norm = RMSNorm(w.d_text, "final_norm", PROJECTOR)
    tower = layers_as_tower(front, layer, layers_of(v), [RMSNorm(d, "final_norm")])
    return tower, projector_of(*two_linear(joined, joined, w.d_text, False), norm)


def _phi3_v(w: Whole) -> Sequence[Tower]:
    """CLIP; four patches together, two vectors that part images and lines."""
    joined = 4 * _CLIP_336["hidden_size"]
    ends = Vectors(2, joined, "newline", PROJECTOR)
    return _clip_336(), projector_of(ends, *two_linear(joined, w.d_text, w.d_text))


def _molmo(w: Whole) -> Sequence[Tower]:
    """CLIP's layers but the last, whose outputs at two places are pooled by attention, then a gated network."""
    keys = Keys("clip_vision_model", {}, {}, _CLIP_336, {})
    d = keys.size("hidden_size")
    front: list[Part] = [
        Vectors(1, d, "class_token"),
        Linear(3 * square_of(keys), d, False, "patch_embedding", VISION),
        LearnedPositions((336 // 14) ** 2 + 1, d),
        LayerNorm(d, "embedding_norm"),
    ]
    inner = w.keys.size("intermediate_size") // 2
    projector = projector_of(
        Linear(2 * d, 3 * d),
        Linear(d, d),
        Vectors(2, 2 * d, "ends_of_image", PROJECTOR),
        Linear(d, inner, False),
        Linear(d, inner, False),
        Linear(inner, w.d_text, False),
    )
    return layers_as_tower(front, encoder_layer(keys), layers_of(keys) - 1), projector


def _minicpmv(w: Whole) -> Sequence[Tower]:
    """SigLIP for images of any shape, and learned queries that attend to its patches."""
    v, named = w.vision, w.keys.config.get("vision_encoder")
    d, d_text = v.size("hidden_size"), w.d_text
    side, queries = v.size("image_size"), w.keys.size("query_num")
    if named is not None:  # the second version names timm's tower, for smaller images, and keeps a place of each query
        w.keys.refuse_other_than("vision_encoder", ("vit_so400m_patch14_siglip_384.webli",))
        side, queries = 384, 2 * queries
    front: list[Part] = [Convolution(3, d, square_of(v)), LearnedPositions((side // v.size("patch_size")) ** 2, d)]
    n_layers = layers_of(v) - w.keys.flag("drop_vision_last_layer")
    tower = layers_as_tower(front, encoder_layer(v), n_layers, [LayerNorm(d, "final_norm")])
    return tower, projector_of(
        Vectors(queries, d_text, "resampler_queries", PROJECTOR),
        *((Linear(d, d_text, False),) if d != d_text else ()),
        Attention(d_text, 1, 1, d_text, True, True, sees="all", id="pooling_attention"),
        LayerNorm(d_text, "attention_norm"),
        LayerNorm(d_text, "context_norm"),
        LayerNorm(d_text, "projector_norm", component=PROJECTOR),
        Linear(d_text, d_text, False),
    )


def _dots_vision(w: Whole) -> Sequence[Tower]:
    """Patches with a norm, gated networks and no biases; four patches together go through two layers."""
    v = w.vision
    d, merge = v.size("embed_dim"), v.size("spatial_merge_size")
    bias = v.flag("use_bias")
    heads = v.size("num_attention_heads")
    layer = (
        RMSNorm(d, "attention_norm"),
        Attention(d, heads, heads, head_of(v, d, heads, "num_attention_heads"), bias, bias, sees="all"),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, v.size("intermediate_size"), True, bias),
    )
    front: list[Part] = [Convolution(v.size("num_channels"), d, square_of(v)), RMSNorm(d, "embedding_norm")]
    back = [RMSNorm(d, "final_norm")] if v.flag("post_norm") else []
    norm = LayerNorm(d, "projector_norm", component=PROJECTOR)
    wide = d * merge**2
    return layers_as_tower(front, layer, layers_of(v), back), projector_of(norm, *two_linear(wide, wide, w.d_text))


def _deepseek_ocr(w: Whole) -> Sequence[Tower]:
    """As Unlimited-OCR, with the patches' convolution of CLIP, which what SAM found goes past."""
    sam_tower, clip, projector = own.READERS["unlimited_ocr"](w)
    v = w.towers["vision_config.encoder_config"]
    unused = Convolution(3, v.size("hidden_size"), square_of(v), False)
    return sam_tower, replace(clip, front=(*clip.front, unused)), projector


def _deepseek_ocr2(w: Whole) -> Sequence[Tower]:
    """SAM's tower; a language model's layers, which see all of what it found, and queries behind it that are kept."""
    first, v = w.towers["vision_config.sam_config"], w.towers["vision_config.encoder_config"]
    d, heads, out = v.size("hidden_size"), v.size("num_attention_heads"), first.size("output_channels")
    width = head_of(v, d, heads, "num_attention_heads")
    layer = (
        RMSNorm(d, "attention_norm"),
        Attention(d, heads, v.size("num_key_value_heads"), width, True, False, sees="all"),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, v.size("intermediate_size"), True),
    )
    queries = [Vectors(144, d, "queries"), Vectors(256, d, "queries_of_large_images")]  # for 768 and 1,024 pixels
    second = layers_as_tower(queries, layer, layers_of(v), [RMSNorm(d, "final_norm")])
    return (
        own.sam(first),
        replace(second, id="second_tower"),
        projector_of(
            Convolution(out, 2 * out, 9, False, "first_convolution", PROJECTOR),
            Convolution(2 * out, d, 9, False, "second_convolution", PROJECTOR),
            Linear(d, w.d_text),
            Vectors(1, w.d_text, "newline", PROJECTOR),
        ),
    )


# What the config classes of their towers fill in, as published
VISION_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "dots_ocr": {
        **{"model_type": "dots_vit", "embed_dim": 1536, "intermediate_size": 4224, "num_hidden_layers": 42},
        **{"num_attention_heads": 12, "num_channels": 3, "patch_size": 14, "spatial_merge_size": 2},
        **{"use_bias": False, "post_norm": True},
    },
    "minicpmv": {
        **{"model_type": "siglip", "hidden_size": 1152, "image_size": 980, "intermediate_size": 4304},
        **{"num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14},
    },
}
# Towers that stand where another model, whose config class is read otherwise, has one of its own
OTHER_PARTS: Mapping[str, Mapping[str, Any]] = {
    "deepseek_ocr2": {
        "vision_config.encoder_config": {  # Qwen2 0.5B
            **{"model_type": "deepseek_ocr2_encoder", "hidden_size": 896, "intermediate_size": 4864},
            **{"num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2},
        }
    }
}
# What these models' own config classes fill in
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "minicpmv": {"query_num": 64, "drop_vision_last_layer": True},
    "molmo": {"intermediate_size": 11008},
}
READERS: Mapping[str, Reader] = {
    "deepseek_ocr": _deepseek_ocr,
    "deepseek_ocr2": _deepseek_ocr2,
    "dots_ocr": _dots_vision,
    "internvl_chat": projected.READERS["internvl"],
    "interns1": projected.READERS["internvl"],
    "kimi_k3": _kimi_k3,
    "minicpmv": _minicpmv,
    "molmo": _molmo,
    "phi3_v": _phi3_v,
    "qwen3_8_flash_next": merged.READERS["qwen4_exp"],
}
