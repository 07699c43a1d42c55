"""Models whose tower for images is like no other's.

One entry a model_type, read from the class of that name in Hugging Face transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import MOST_LAYERS, Keys, whole
from llmcalc.huggingface.towers.encoders import siglip_without_head, tower_by_type
from llmcalc.huggingface.towers.pieces import (
    Reader,
    Whole,
    encoder_layer,
    feature_layers,
    head_of,
    inner_of,
    layers_as_tower,
    layers_of,
    named_key,
    patches_of,
    projector_of,
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
from llmcalc.transformer.tower import PROJECTOR, VISION, Convolution, Linear, Tower, Vectors


def _llama4(w: Whole) -> Sequence[Tower]:
    v = w.vision
    d = v.size("hidden_size")
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v), False),
        Vectors(1, d, "class_token"),
        LearnedPositions(patches_of(v) + 1, d),
        LayerNorm(d, "embedding_norm"),
    ]
    d_in, d_mid = v.size("intermediate_size"), v.size("projector_output_dim")
    projector = projector_of(
        Linear(d_in, v.size("projector_input_dim"), False),
        Linear(d_mid, d_mid, False),
        Linear(v.size("vision_output_dim"), w.d_text, False),
    )
    return layers_as_tower(front, encoder_layer(v), layers_of(v), [LayerNorm(d, "final_norm")]), projector


def _mllama(w: Whole) -> Sequence[Tower]:
    """Two stacks of layers, the second gated, and tables for tiles and their aspect ratios."""
    v = w.vision
    d, tiles = v.size("hidden_size"), v.size("max_num_tiles")
    ratios = v.optional("max_aspect_ratio_id") or len(v.list_of("supported_aspect_ratios", list) or ())
    rows = (ratios + 1) * tiles
    patches = patches_of(v) + 1
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v), False),
        Vectors(1, d, "class_token"),
        LearnedPositions(patches, d),
        LearnedPositions((ratios + 1) * tiles * patches, d, "tile_positions"),
        Vectors(2 * rows, d, "tile_vectors"),
        Vectors(3, 1, "gates"),
        LayerNorm(d, "embedding_norm"),
    ]
    layer = encoder_layer(v, heads="attention_heads", qkv_bias=False, output_bias=False)
    gated = (*layer, Vectors(2, 1, "gates"))
    blocks = ((Block(layer), layers_of(v)), (Block(gated, "global_block"), layers_of(v, "num_global_layers")))
    tower = Tower(tuple(front), blocks, (LayerNorm(d, "final_norm"),), VISION, VISION)
    return tower, projector_of(Linear(v.size("vision_output_dim"), w.d_text))


def muse_vision(w: Whole) -> Sequence[Tower]:
    """CLIP's layers over patches of several moments, and three linear layers behind them."""
    v, inner = w.vision, w.keys.size("projector_hidden_size")
    d = v.size("hidden_size")
    front: list[Part] = [
        Convolution(3, d, square_of(v) * v.size("patch_temporal"), False),
        LearnedPositions(v.size("pos_emb_height") * v.size("pos_emb_width"), d),
        LayerNorm(d, "embedding_norm"),
    ]
    tower = layers_as_tower(front, encoder_layer(v), layers_of(v), [LayerNorm(d, "final_norm")])
    return tower, projector_of(
        *two_linear(w.keys.size("out_hidden_size"), inner, inner, False), Linear(inner, w.d_text, False)
    )


def _step3p7(w: Whole) -> Sequence[Tower]:
    """Two convolutions halve the patches' sides and double their width after the layers."""
    v = w.vision
    width, heads, layers = (
        named_key(v, *names)
        for names in (("width", "hidden_size"), ("heads", "num_attention_heads"), ("layers", "num_hidden_layers"))
    )
    d = v.size(width)
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v), False),
        LearnedPositions(patches_of(v), d),
        LayerNorm(d, "embedding_norm"),
    ]
    back: list[Part] = [
        Convolution(d, 2 * d, 9, id="first_convolution"),
        Convolution(2 * d, 4 * d, 9, id="second_convolution"),
    ]
    layer = encoder_layer(v, width=width, heads=heads, inner=inner_of(v, d), extra=[Vectors(2, d, "layer_scales")])
    return layers_as_tower(front, layer, layers_of(v, layers), back), projector_of(
        Linear(4 * d, w.d_text, w.keys.flag("projector_bias"))
    )


def _patches_of_sides(keys: Keys) -> int:
    """Patches of an image whose two sides may differ."""
    sides, patch = keys.list_of("image_size", int, 2) or [], side_of(keys, "patch_size")
    if len(sides) != 2:
        raise keys.missing("image_size")
    return whole("image_size", (sides[0] // patch) * (sides[1] // patch))


def _molmo2(w: Whole) -> Sequence[Tower]:
    """Outputs of several layers, joined, are pooled by attention, then go through a gated network."""
    v, adapter = w.vision, w.towers["adapter_config"]
    d = v.size("hidden_size")

    def heads(keys: Keys) -> tuple[int, int, int]:
        n_heads = keys.size("num_attention_heads")
        width = keys.optional("head_dim") or head_of(keys, keys.size("hidden_size"), n_heads, "num_attention_heads")
        return n_heads, keys.size("num_key_value_heads"), width

    bias = v.flag("attention_bias")
    layer = (
        LayerNorm(d, "attention_norm"),
        Attention(d, *heads(v), bias, bias, sees="all"),
        LayerNorm(d, "feed_forward_norm"),
        FeedForward(d, v.size("intermediate_size"), bias=True),
    )
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, square_of(v)),
        LearnedPositions(v.optional("num_position_embeddings") or _patches_of_sides(v), d),
    ]
    d_pooled, inner = adapter.size("hidden_size"), adapter.size("intermediate_size")
    d_in = d_pooled * feature_layers(adapter)
    n_heads, n_kv_heads, width = heads(adapter)
    bias, inner_bias = adapter.flag("attention_bias"), adapter.flag("mlp_bias")
    return layers_as_tower(front, layer, layers_of(v)), projector_of(
        Linear(d_in, n_heads * width, bias),
        Linear(d_in, n_kv_heads * width, bias),
        Linear(d_in, n_kv_heads * width, bias),
        Linear(n_heads * width, d_pooled, bias),
        Linear(d_pooled, inner, inner_bias),
        Linear(d_pooled, inner, inner_bias),
        Linear(inner, adapter.size("text_hidden_size"), False),
    )


def _granite_docling(w: Whole) -> Sequence[Tower]:
    """Two routes from patches to the language model, a coarse and a fine one, each with layers' outputs added."""
    w.keys.refuse_other_than("density_router_hidden_size", ())
    v = w.vision
    d, d_out, scale = v.size("hidden_size"), v.size("out_hidden_size"), v.size("scale_factor")
    n_deep = len(v.list_of("deepstack_visual_indexes", int) or ())
    scales = [scale, scale // 2] if v.flag("use_fine_route") else [scale]
    parts: list[Part] = [LayerNorm(d, "embedding_norm")]
    blocks = []
    for one, name in zip(scales, ("merger_block", "fine_block"), strict=False):
        wide = d * one**2
        parts.append(Linear(wide, d_out, False))
        merger = (
            LayerNorm(wide, "projector_norm", component=PROJECTOR),
            Linear(wide, d_out, True, "linear_1"),
            Linear(d_out, d_out, True, "linear_2"),
        )
        blocks += [(Block(merger, name), n_deep)] if n_deep else []
    parts += [LayerNorm(d_out, "hidden_norm"), Linear(d_out, d_out, False), LayerNorm(d_out, "final_norm")]
    return siglip_without_head(v), replace(projector_of(*parts), blocks=tuple(blocks))


def _hunyuan(w: Whole) -> Sequence[Tower]:
    """Two convolutions join patches; vectors mark where an image begins and ends, and its lines."""
    v = w.vision
    d, patch = v.size("hidden_size"), side_of(v, "patch_size")
    front: list[Part] = [
        Convolution(v.size("num_channels"), d, patch**2),
        LearnedPositions((v.size("max_image_size") // patch) ** 2 + 1, d),
    ]
    projector = projector_of(
        Linear(2 * d, 4 * d),
        Linear(4 * d, w.d_text),
        Convolution(d, 2 * d, v.size("spatial_merge_size") ** 2, id="downsampling", component=PROJECTOR),
        RMSNorm(d, "hidden_norm"),
        Vectors(1, 4 * d, "newline", PROJECTOR),
        Vectors(3, w.d_text, "ends_of_image", PROJECTOR),
        RMSNorm(w.d_text, "final_norm"),
    )
    every = (  # a head of keys for each of queries, whatever the file says
        replace(part, n_kv_heads=part.n_heads) if isinstance(part, Attention) else part for part in encoder_layer(v)
    )
    return layers_as_tower(front, tuple(every), layers_of(v)), projector


def sam(v: Keys) -> Tower:
    """SAM's: layers that see a window and, here and there, the whole image; scores by distance; a neck behind."""
    v.refuse_other_than("use_rel_pos", (True,))
    d, n_heads, out = v.size("hidden_size"), v.size("num_attention_heads"), v.size("output_channels")
    width, side = head_of(v, d, n_heads, "num_attention_heads"), v.size("image_size") // v.size("patch_size")
    layer = encoder_layer(v, inner=v.optional("mlp_dim") or inner_of(v, d), qkv_bias=v.flag("qkv_bias"))

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
    return sam(w.vision), projector_of(
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
    return clip_like(w.vision), projector_of(*frames, Linear(d, w.d_text), norm)


def clip_like(v: Keys, width: str = "hidden_size") -> Tower:
    """CLIP's, under other names."""
    d = v.size(width)
    front: list[Part] = [
        Vectors(1, d, "class_token"),
        Convolution(v.size("num_channels"), d, square_of(v), False),
        LearnedPositions(patches_of(v) + 1, d),
        LayerNorm(d, "embedding_norm"),
    ]
    return layers_as_tower(front, encoder_layer(v, width=width), layers_of(v), [LayerNorm(d, "final_norm")])


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


def _fuyu(w: Whole) -> Sequence[Tower]:
    """No tower: a patch goes straight to the language model's width."""
    return (projector_of(Linear(w.keys.size("num_channels") * square_of(w.keys), w.d_text)),)


def _whole_numbers(keys: Keys, key: str, number: int | None = None) -> list[int]:
    """A list of sizes, as long as there are stages."""
    listed = keys.list_of(key, int, number) or []
    if not listed:
        raise keys.missing(key)
    return [whole(key, entry) for entry in listed]


def _davit(v: Keys) -> Tower:
    """Florence-2's: stages of layers in pairs, one that attends to places of a window, one to channels of a group."""
    widths = _whole_numbers(v, "embed_dim")
    depths, patches = (_whole_numbers(v, key, len(widths)) for key in ("depths", "patch_size"))
    before, bias = v.list_of("patch_prenorm", bool, len(widths)), v.flag("qkv_bias")
    if before is None:
        raise v.missing("patch_prenorm")
    d_in, stages = v.size("in_channels"), []
    for i, (d, depth, patch, pre) in enumerate(zip(widths, depths, patches, before, strict=True), 1):
        if depth > MOST_LAYERS or i > 4:
            raise InputError("depths", f"{depth:,} layers; more than {MOST_LAYERS:,} are not counted",
                             code="too_many_layers", number=depth, most=MOST_LAYERS)  # fmt: skip
        layer: tuple[Part, ...] = (
            Convolution(1, d, 9, id="first_convolution"),
            LayerNorm(d, "attention_norm"),
            Attention(d, 1, 1, d, bias, True, sees="all"),
            Convolution(1, d, 9, id="second_convolution"),
            LayerNorm(d, "feed_forward_norm"),
            FeedForward(d, inner_of(v, d), bias=True),
        )
        entry = (Convolution(d_in, d, patch**2), LayerNorm(d_in if pre else d, "embedding_norm"))
        blocks = ((Block(layer, "local_block"), depth), (Block(layer, "global_block"), depth))
        stages.append(Tower(entry, blocks, (), f"stage_{i}", VISION))
        d_in = d
    return Tower(tuple(stages), (), (), VISION, VISION)


def _florence2(w: Whole) -> Sequence[Tower]:
    v = w.vision
    d, d_out = _whole_numbers(v, "embed_dim")[-1], v.size("projection_dim")
    norm = LayerNorm(d_out, "projector_norm", component=PROJECTOR)
    positions = LearnedPositions(v.size("max_position_embeddings"), d)
    return _davit(v), projector_of(Linear(d, d_out, False), norm, positions)


def _deepseek_hybrid(w: Whole) -> Sequence[Tower]:
    """SigLIP beside SAM's tower for a larger copy of the image, two layers mixed; half the width each."""
    high = w.towers["high_res_vision_config"]
    d, out, half = high.size("hidden_size"), high.size("output_channels"), w.d_text // 2
    return (
        tower_by_type(w.vision),
        replace(sam(high), id="second_tower"),
        projector_of(
            Convolution(d, out, 1, False, "first_convolution", PROJECTOR),
            LayerNorm(out, "hidden_norm", component=PROJECTOR),
            Convolution(out, out, 9, False, "second_convolution", PROJECTOR),
            LayerNorm(out, "projector_norm", component=PROJECTOR),
            *_to_quarter(out, "third_convolution", "downsampling"),
            Linear(w.vision.size("hidden_size"), half),
            Linear(4 * out, half),
            Linear(w.d_text, w.d_text),
            Vectors(1, 1, "gates", PROJECTOR),
        ),
    )


def _to_quarter(out: int, first: str, second: str) -> tuple[Part, ...]:
    """Two convolutions that halve an image's sides and double its channels."""
    return (
        Convolution(out, 2 * out, 9, False, first, PROJECTOR),
        Convolution(2 * out, 4 * out, 9, False, second, PROJECTOR),
    )


def _unlimited_ocr(w: Whole) -> Sequence[Tower]:
    """SAM's tower, and CLIP's on what it found; both outputs go to the language model side by side."""
    first, clip = w.towers["vision_config.sam_config"], w.towers["vision_config.encoder_config"]
    d, out = clip.size("hidden_size"), first.size("output_channels")
    front: list[Part] = [
        Vectors(1, d, "class_token"),
        LearnedPositions(patches_of(clip) + 1, d),
        LayerNorm(d, "embedding_norm"),
    ]
    second = layers_as_tower(front, encoder_layer(clip), layers_of(clip))
    return (
        sam(first),
        replace(second, id="second_tower"),
        projector_of(
            *_to_quarter(out, "first_convolution", "second_convolution"),
            Linear(d + 4 * out, w.d_text),
            Vectors(2, w.d_text, "newline", PROJECTOR),
        ),
    )


READERS: Mapping[str, Reader] = {
    "granite_docling": _granite_docling,
    "molmo2": _molmo2,
    "muse_glimmer": muse_vision,
    "hunyuan_vl": _hunyuan,
    "step3p7": _step3p7,
    "llama4": _llama4,
    "mllama": _mllama,
    "fuyu": _fuyu,
    "florence2": _florence2,
    "deepseek_vl_hybrid": _deepseek_hybrid,
    "unlimited_ocr": _unlimited_ocr,
    "git": _git,
    "got_ocr2": _got_ocr,
    "lfm3_vl": _lfm3,
    "pp_chart2table": _got_ocr,
}
