"""Towers that have parts of no other kind, and what reads them: resamplers, convolutions in layers, windows of SAM.

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.huggingface.keys import Keys
from llmcalc.huggingface.towers import (
    Reader,
    Whole,
    encoder_layer,
    head_of,
    layers_as_tower,
    layers_of,
    patches_of,
    pooling,
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
from llmcalc.transformer.tower import AUDIO, PROJECTOR, VISION, Convolution, Linear, Tower, Vectors


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


def _sam(v: Keys) -> Tower:
    """SAM's: layers that see a window and, here and there, the whole image; scores by distance; a neck behind."""
    v.refuse_other_than("use_rel_pos", (True,))
    d, n_heads, out = v.size("hidden_size"), v.size("num_attention_heads"), v.size("output_channels")
    width, side = head_of(v, d, n_heads, "num_attention_heads"), v.size("image_size") // v.size("patch_size")
    layer = encoder_layer(v, inner=v.size("mlp_dim"), qkv_bias=v.flag("qkv_bias"))

    def block(extent: int, name: str) -> Block:
        parts: tuple[Part, ...] = (*layer, Vectors(2 * (2 * extent - 1), width, "relative_bias"))
        return Block(parts, name)

    n_layers = layers_of(v)
    n_global = len([i for i in v.list_of("global_attn_indexes", int) or () if 0 <= i < n_layers])
    blocks = (
        (block(v.size("window_size"), "local_block"), n_layers - n_global),
        (block(side, "global_block"), n_global),
    )
    front: list[Part] = [Convolution(v.size("num_channels"), d, square_of(v))]
    if v.flag("use_abs_pos"):
        front.append(LearnedPositions(side**2, d))
    neck = (
        Convolution(d, out, 1, False, "first_convolution"),
        LayerNorm(out, "hidden_norm"),
        Convolution(out, out, 9, False, "second_convolution"),
        LayerNorm(out, "final_norm"),
    )
    return Tower(tuple(front), tuple((b, n) for b, n in blocks if n), neck, VISION, VISION)


def _got_ocr(w: Whole) -> Sequence[Tower]:
    out = w.vision.size("output_channels")
    return _sam(w.vision), projector_of(
        Convolution(out, 2 * out, 9, False, "first_convolution", PROJECTOR),
        Convolution(2 * out, 4 * out, 9, False, "second_convolution", PROJECTOR),
        Linear(w.d_text, w.d_text),
    )


def _git(w: Whole) -> Sequence[Tower]:
    """CLIP's tower; a vector for each of several images."""
    d = w.vision.size("hidden_size")
    number = w.keys.optional("num_image_with_embedding") if w.keys.has("num_image_with_embedding") else None
    frames = [Vectors(number, d, "frames", PROJECTOR)] if number else []
    norm = LayerNorm(w.d_text, "projector_norm", component=PROJECTOR)
    return _clip_like(w.vision), projector_of(*frames, Linear(d, w.d_text), norm)


def _clip_like(v: Keys) -> Tower:
    d = v.size("hidden_size")
    front: list[Part] = [
        Vectors(1, d, "class_token"),
        Convolution(v.size("num_channels"), d, square_of(v), False),
        LearnedPositions(patches_of(v) + 1, d),
        LayerNorm(d, "embedding_norm"),
    ]
    return layers_as_tower(front, encoder_layer(v), layers_of(v), [LayerNorm(d, "final_norm")])


def _kosmos2(w: Whole) -> Sequence[Tower]:
    """Learned queries that attend to the projected patches."""
    d = w.d_text
    return _clip_like(w.vision), projector_of(
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


def _lfm3(w: Whole) -> Sequence[Tower]:
    """Gated convolutions over the patches, and attention in some layers."""
    v = w.vision
    d, n_heads = v.size("hidden_size"), v.size("num_attention_heads")
    kinds = v.list_of("layer_types", str, layers_of(v)) or []
    width = head_of(v, d, n_heads, "num_attention_heads")
    network = (RMSNorm(d, "feed_forward_norm"), FeedForward(d, v.size("intermediate_size"), True))
    convolves = (
        RMSNorm(d, "attention_norm"),
        Linear(d, 3 * d, False, "linear_1", VISION),
        Convolution(1, d, v.size("conv_kernel_size") ** 2, False, "convolution"),
        Linear(d, d, False, "linear_2", VISION),
        *network,
    )
    attends = (
        RMSNorm(d, "attention_norm"),
        Attention(d, n_heads, v.optional("num_key_value_heads") or n_heads, width, sees="all"),
        RMSNorm(width, "query_norm", "qk_norm"),
        RMSNorm(width, "key_norm", "qk_norm"),
        *network,
    )
    counted = (
        (Block(convolves, "recurrent_block"), kinds.count("conv")),
        (Block(attends), len(kinds) - kinds.count("conv")),
    )
    patch = v.size("in_channels") * square_of(v) * v.size("temporal_patch_size")
    front: tuple[Part, ...] = (Linear(patch, d, False, "patch_embedding", VISION), RMSNorm(d, "embedding_norm"))
    wide, inner = d * v.size("spatial_merge_size") ** 2, w.keys.size("projector_hidden_size")
    norm = LayerNorm(d, "projector_norm", component=PROJECTOR)
    tower = Tower(front, tuple((block, count) for block, count in counted if count), (), VISION, VISION)
    return tower, projector_of(norm, *two_linear(wide, inner, w.d_text, w.keys.flag("projector_bias")))


def _ernie(w: Whole) -> Sequence[Tower]:
    """Patches of a square, then of two moments, go through two layers each."""
    v = w.vision
    d = v.size("hidden_size")
    wide = d * v.size("spatial_merge_size") ** 2
    front: list[Part] = [Linear(v.size("in_channels") * square_of(v), d, False, "patch_embedding", VISION)]
    tower = layers_as_tower(
        front, encoder_layer(v, heads="num_heads"), layers_of(v, "depth"), [LayerNorm(d, "final_norm")]
    )
    return tower, projector_of(
        *two_linear(wide, wide, wide),
        LayerNorm(wide, "projector_norm", component=PROJECTOR),
        *two_linear(wide * v.size("temporal_merge_size"), wide, wide),
        LayerNorm(wide, "hidden_norm", component=PROJECTOR),
        Linear(wide, w.d_text),
        RMSNorm(w.d_text, "final_norm", PROJECTOR),
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


def _fuyu(w: Whole) -> Sequence[Tower]:
    """No tower: a patch goes straight to the language model's width."""
    return (projector_of(Linear(w.keys.size("num_channels") * square_of(w.keys), w.d_text)),)


READERS: Mapping[str, Reader] = {
    "blip": _blip,
    "blip-2": _blip2,
    "ernie4_5_vl_moe": _ernie,
    "fuyu": _fuyu,
    "git": _git,
    "got_ocr2": _got_ocr,
    "instructblip": _instructblip,
    "instructblipvideo": _instructblip,
    "kosmos-2": _kosmos2,
    "lfm3_vl": _lfm3,
    "minicpmv4_6": _minicpmv46,
    "phi4_multimodal": _phi4,
    "pp_chart2table": _got_ocr,
}
