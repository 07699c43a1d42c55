"""Models in which learned queries attend to what a tower saw or heard: BLIP-2, Idefics2 and their kin.

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.huggingface.keys import Keys, whole
from llmcalc.huggingface.towers.encoders import tower_by_type
from llmcalc.huggingface.towers.own import clip_like
from llmcalc.huggingface.towers.pieces import (
    Reader,
    Whole,
    encoder_layer,
    head_of,
    layers_as_tower,
    layers_of,
    named_key,
    patches_of,
    projector_of,
    square_of,
    two_linear,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Block
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import PROJECTOR, VISION, Convolution, Linear, Tower, Vectors


def _idefics2(w: Whole) -> Sequence[Tower]:
    """A gated projection, then a resampler: learned queries that attend to the patches."""
    resampler = w.towers["perceiver_config"]
    d = resampler.size("hidden_size")
    n_heads, n_kv_heads = resampler.size("resampler_n_heads"), resampler.size("num_key_value_heads")
    layer = (
        RMSNorm(d, "attention_norm"),
        RMSNorm(d, "context_norm"),
        Attention(d, n_heads, n_kv_heads, resampler.size("resampler_head_dim"), sees="all"),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, 4 * d, True),
    )
    d_in, inner = w.vision.size("hidden_size"), w.text["d_ff"]
    front: tuple[Part, ...] = (
        Linear(d_in, inner, False, "linear_1"),
        Linear(d_in, inner, False, "linear_2"),
        Linear(inner, w.d_text, False, "linear_3"),
        Vectors(resampler.size("resampler_n_latents"), d, "resampler_queries", PROJECTOR),
    )
    depth = layers_of(resampler, "resampler_depth")
    norm = (RMSNorm(d, "final_norm"),)
    return tower_by_type(w.vision), Tower(front, ((Block(layer), depth),), norm, PROJECTOR, PROJECTOR)


def _granite_speech(w: Whole) -> Sequence[Tower]:
    """Learned queries that attend to each other and to the sound (BLIP-2's Q-Former)."""
    encoder, former = w.towers["encoder_config"], w.towers["projector_config"]
    d, n_heads = former.size("hidden_size"), former.size("num_attention_heads")
    d_ff, d_sound = former.size("intermediate_size"), former.size("encoder_hidden_size")
    width = head_of(former, d, n_heads, "num_attention_heads")
    every = former.size("cross_attention_frequency")
    plain = (
        Attention(d, n_heads, n_heads, width, True, True, sees="all"),
        LayerNorm(d, "attention_norm"),
        FeedForward(d, d_ff, bias=True),
        LayerNorm(d, "feed_forward_norm"),
    )
    crossing = (
        *plain,
        Linear(d, d, True, "linear_1"),
        Linear(d_sound, d, True, "linear_2"),
        Linear(d_sound, d, True, "linear_3"),
        Linear(d, d, True, "linear_4"),
        LayerNorm(d, "cross_attention_norm"),
    )
    n_layers = layers_of(former)
    crossed = -(-n_layers // every)
    blocks = ((Block(crossing, "merger_block"), crossed), (Block(plain), n_layers - crossed))
    front: tuple[Part, ...] = (
        Vectors(w.keys.size("window_size") // w.keys.size("downsample_rate"), d, "resampler_queries", PROJECTOR),
        LayerNorm(d, "embedding_norm"),
    )
    linear = (Linear(d, w.d_text, True, "linear_1"),)
    kept = tuple((block, count) for block, count in blocks if count)
    return tower_by_type(encoder), Tower(front, kept, linear, PROJECTOR, PROJECTOR)


def _aria(w: Whole) -> Sequence[Tower]:
    """Learned queries that attend to the patches, as many as the largest image needs."""
    d = w.vision.size("hidden_size")
    rows = w.keys.value("projector_patch_to_query_dict") if w.keys.given("projector_patch_to_query_dict") else None
    most = "max_value_projector_patch_to_query_dict"
    if isinstance(rows, Mapping) and rows:
        count = max(whole("projector_patch_to_query_dict", row) for row in rows.values())
    else:
        count = w.keys.size(most)
    return tower_by_type(w.vision), projector_of(
        *(Linear(d, d, False) for _ in range(3)),
        Linear(d, d),
        Linear(d, w.d_text, False),
        Linear(w.d_text, w.d_text, False),
        Vectors(count, d, "resampler_queries", PROJECTOR),
        LayerNorm(d, "attention_norm"),
        LayerNorm(d, "context_norm"),
        Attention(d, 1, 1, d, True, True, sees="all", id="pooling_attention"),
        LayerNorm(d, "projector_norm", component=PROJECTOR),
    )


def _blip_vision(v: Keys) -> Tower:
    d = v.size("hidden_size")
    front: list[Part] = [
        Vectors(1, d, "class_token"),
        Convolution(3, d, square_of(v)),
        LearnedPositions(patches_of(v) + 1, d),
    ]
    bias = v.flag("qkv_bias") if v.has("qkv_bias") else True
    return layers_as_tower(front, encoder_layer(v, qkv_bias=bias), layers_of(v), [LayerNorm(d, "final_norm")])


def _former(w: Whole, reads: bool) -> Tower:
    """Learned queries that attend to each other and, in some layers, to the image; ``reads``: and to an instruction."""
    f = w.towers["qformer_config"]
    d, n_heads, d_ff = f.size("hidden_size"), f.size("num_attention_heads"), f.size("intermediate_size")
    width, d_image = head_of(f, d, n_heads, "num_attention_heads"), f.size("encoder_hidden_size")
    front: list[Part] = [Vectors(w.keys.size("num_query_tokens"), d, "resampler_queries", PROJECTOR)]
    text: tuple[Part, ...] = ()
    if reads:
        front.append(
            Vectors(f.size("vocab_size") + f.size("max_position_embeddings"), d, "instruction_rows", PROJECTOR)
        )
        text = (FeedForward(d, d_ff, bias=True, id="second_feed_forward"), LayerNorm(d, "second_feed_forward_norm"))
    front.append(LayerNorm(d, "embedding_norm"))
    plain: tuple[Part, ...] = (
        Attention(d, n_heads, n_heads, width, True, True, sees="all"),
        LayerNorm(d, "attention_norm"),
        FeedForward(d, d_ff, bias=True),
        LayerNorm(d, "feed_forward_norm"),
        *text,
    )
    crossing: tuple[Part, ...] = (
        *plain,
        Linear(d, d, True, "linear_1"),
        Linear(d_image, d, True, "linear_2"),
        Linear(d_image, d, True, "linear_3"),
        Linear(d, d, True, "linear_4"),
        LayerNorm(d, "cross_attention_norm"),
    )
    n_layers = layers_of(f)
    crossed = -(-n_layers // f.size("cross_attention_frequency"))
    blocks = ((Block(crossing, "merger_block"), crossed), (Block(plain), n_layers - crossed))
    kept = tuple((block, count) for block, count in blocks if count)
    return Tower(tuple(front), kept, (Linear(d, w.d_text, True, "linear_1"),), PROJECTOR, PROJECTOR)


def _blip2(w: Whole) -> Sequence[Tower]:
    f = w.towers["qformer_config"]
    return _blip_vision(w.vision), _former(w, f.has("use_qformer_text_input") and f.flag("use_qformer_text_input"))


def _instructblip(w: Whole) -> Sequence[Tower]:
    return _blip_vision(w.vision), _former(w, True)


def _blip(w: Whole) -> Sequence[Tower]:
    return (_blip_vision(w.vision),)


def _kosmos2(w: Whole) -> Sequence[Tower]:
    """Learned queries that attend to the projected patches."""
    d = w.d_text
    return clip_like(w.vision), projector_of(
        Vectors(w.keys.size("latent_query_num"), d, "resampler_queries", PROJECTOR),
        Linear(w.vision.size("hidden_size"), d),
        Attention(d, 1, 1, d, True, True, sees="all", id="pooling_attention"),
    )


def _minicpmv46(w: Whole) -> Sequence[Tower]:
    """Within the tower four patches become one, by attention in a window and a network; then again behind it."""
    v = w.vision
    d, (high, wide) = v.size("hidden_size"), v.list_of("window_kernel_size", int, 2) or (2, 2)
    joined, inner = d * high * wide, v.size("intermediate_size") * high * wide
    front: list[Part] = [Convolution(v.size("num_channels"), d, square_of(v)), LearnedPositions(patches_of(v), d)]
    attention = Attention(d, 1, 1, d, True, True, sees="all", id="pooling_attention")
    back: list[Part] = [LayerNorm(d, "final_norm"), LayerNorm(d, "attention_norm"), attention]
    back += [LayerNorm(joined, "hidden_norm"), *_numbered(two_linear(joined, inner, d))]
    n_layers = layers_of(v) - w.keys.flag("drop_vision_last_layer")
    merge = w.keys.list_of("merge_kernel_size", int, 2) or [2, 2]
    wide_in = d * merge[0] * merge[1]
    times = w.keys.size("merger_times")
    parts: list[Part] = []
    for last in (False,) * (times - 1) + (True,):
        norm = LayerNorm(wide_in, "projector_norm" if last else "hidden_norm", component=PROJECTOR)
        parts += [norm, *two_linear(wide_in, wide_in, w.d_text if last else d)]
    return layers_as_tower(front, encoder_layer(v), n_layers, back), projector_of(*parts)


def _numbered(parts: list[Part]) -> list[Part]:
    return [
        replace(part, id=f"linear_{i}", component=VISION) if isinstance(part, Linear) else part
        for i, part in enumerate(parts, 1)
    ]


def flat_patches(v: Keys, d_ff: str, d_head: str) -> Tower:
    """Pix2Struct's: patches of any number, a table of rows and one of columns, gated networks, no biases."""
    d, n_heads = v.size("hidden_size"), v.size("num_attention_heads")
    rows = v.size(named_key(v, "max_num_patches", "seq_len"))
    front: list[Part] = [
        Linear(v.size("patch_embed_hidden_size"), d, True, "patch_embedding", VISION),
        LearnedPositions(2 * rows, d),
    ]
    layer = (
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, n_heads, v.size(d_head), sees="all"),
        RMSNorm(d, "feed_forward_norm"),
        FeedForward(d, v.size(d_ff), True),
    )
    return layers_as_tower(front, layer, layers_of(v), [RMSNorm(d, "final_norm")])


def _kosmos25(w: Whole) -> Sequence[Tower]:
    d, v = w.d_text, w.vision
    return flat_patches(v, "intermediate_size", "head_dim"), projector_of(
        Vectors(w.keys.size("latent_query_num"), d, "resampler_queries", PROJECTOR),
        Linear(v.size("hidden_size"), d),
        Attention(d, 1, 1, d, True, True, sees="all", id="pooling_attention"),
    )


def _idefics(w: Whole) -> Sequence[Tower]:
    """CLIP's tower, and learned queries that attend to its patches where the config has a resampler."""
    v = w.vision
    vision = clip_like(v, "embed_dim")
    if not w.keys.flag("use_resampler"):
        return (vision,)
    r, d = w.towers["perceiver_config"], v.size("embed_dim")
    n_heads, width = r.size("resampler_n_heads"), r.size("resampler_head_dim")
    normed = r.flag("qk_layer_norms_perceiver")
    layer: tuple[Part, ...] = (
        LayerNorm(d, "attention_norm"),
        LayerNorm(d, "context_norm"),
        *((LayerNorm(width, f"{of}_norm", component="qk_norm") for of in ("query", "key")) if normed else ()),
        Attention(d, n_heads, n_heads, width, sees="all"),
        LayerNorm(d, "feed_forward_norm"),
        FeedForward(d, 4 * d),
    )
    queries = (Vectors(r.size("resampler_n_latents"), d, "resampler_queries", PROJECTOR),)
    blocks = ((Block(layer), layers_of(r, "resampler_depth")),)
    return vision, Tower(queries, blocks, (LayerNorm(d, "final_norm"),), PROJECTOR, PROJECTOR)


READERS: Mapping[str, Reader] = {
    "aria": _aria,
    "granite_speech": _granite_speech,
    "granite_speech_plus": _granite_speech,
    "idefics2": _idefics2,
    "blip": _blip,
    "blip-2": _blip2,
    "instructblip": _instructblip,
    "instructblipvideo": _instructblip,
    "kosmos-2": _kosmos2,
    "minicpmv4_6": _minicpmv46,
    "minicpmv4_7": _minicpmv46,
    "minicpm_ocr": _minicpmv46,
    "kosmos-2.5": _kosmos25,
    "idefics": _idefics,
}
