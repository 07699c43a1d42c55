"""Encoders that pairs of an encoder and a decoder take: ViT and its kin, Swin, wav2vec 2.0."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import MOST_LAYERS, Keys, does_not_divide, shown, whole
from llmcalc.huggingface.towers.pieces import (
    encoder_layer,
    head_of,
    inner_of,
    layers_as_tower,
    layers_of,
    patches_of,
    square_of,
)
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import LearnedPositions
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Block
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.tower import AUDIO, VISION, Convolution, Linear, Tower, Vectors

_MOST_STAGES = 7  # that have a name


def numbers_of(keys: Keys, key: str, number: int | None = None) -> list[int]:
    """A list of sizes, one a stage.

    Raises InputError where it is empty, or longer than the stages that have a name.
    """
    listed = keys.list_of(key, int, number) or []
    if not listed:
        raise keys.missing(key)
    if len(listed) > _MOST_STAGES:
        raise InputError(key, f"{key!r} has {len(listed)} stages; more than {_MOST_STAGES} are not modelled",
                         code="key_not_modelled", key=key, found=shown(listed))  # fmt: skip
    return [whole(key, entry) for entry in listed]


def waves(keys: Keys) -> list[Part]:
    """wav2vec 2.0's way from samples to vectors: convolutions, a projection, and a wide convolution for positions."""
    kind, bias, d = keys.text("feat_extract_norm"), keys.flag("conv_bias"), keys.size("hidden_size")
    keys.refuse_other_than("feat_extract_norm", ("group", "layer"))
    widths = numbers_of(keys, "conv_dim")
    kernels = numbers_of(keys, "conv_kernel", len(widths))
    found: list[Part] = []
    d_in = 1
    for i, (width, kernel) in enumerate(zip(widths, kernels, strict=True), 1):
        normed = kind == "layer" or i == 1
        norm = (LayerNorm(width, "convolution_norm"),) if normed else ()
        front = (Convolution(d_in, width, kernel, bias, "convolution", AUDIO), *norm)
        found.append(Tower(front, id=f"stage_{i}", component=AUDIO))
        d_in = width
    groups, kernel = keys.size("num_conv_pos_embedding_groups"), keys.size("num_conv_pos_embeddings")
    if d % groups:
        raise does_not_divide("num_conv_pos_embedding_groups", groups, "hidden_size", d)
    masks = any(keys.value(key) for key in ("mask_time_prob", "mask_feature_prob"))
    return [
        *found,
        *((Vectors(1, d, "mask_embedding", AUDIO),) if masks else ()),
        LayerNorm(d_in, "projector_norm"),
        Linear(d_in, d, True, "linear_1", AUDIO),
        Convolution(d // groups, d, kernel, id="position_convolution", component=AUDIO),
        Vectors(1, kernel, "layer_scales", AUDIO),
    ]


def _wav2vec2(keys: Keys) -> Tower:
    for key, allowed in (("add_adapter", (False,)), ("adapter_attn_dim", ())):
        keys.refuse_other_than(key, allowed)
    d = keys.size("hidden_size")
    return layers_as_tower(waves(keys), encoder_layer(keys), layers_of(keys), [LayerNorm(d, "final_norm")], AUDIO)


def _vit(keys: Keys, tokens: int = 1, pooler: bool = True) -> Tower:
    d = keys.size("hidden_size")
    front: list[Part] = [
        Vectors(tokens, d, "class_token"),
        Convolution(keys.size("num_channels"), d, square_of(keys)),
        LearnedPositions(patches_of(keys) + tokens, d),
    ]
    back: list[Part] = [LayerNorm(d, "final_norm")]
    if pooler:
        back.append(Linear(d, keys.optional("pooler_output_size") or d, True, "linear_1", VISION))
    return layers_as_tower(front, encoder_layer(keys, qkv_bias=keys.flag("qkv_bias")), layers_of(keys), back)


def _beit(keys: Keys) -> Tower:
    """ViT without biases of keys, whose layers are scaled; positions are learned, or scores by distance, or both."""
    d, n_heads, rows = keys.size("hidden_size"), keys.size("num_attention_heads"), patches_of(keys)
    front: list[Part] = [Vectors(1, d, "class_token"), Convolution(keys.size("num_channels"), d, square_of(keys))]
    if keys.flag("use_mask_token"):
        front.append(Vectors(1, d, "mask_embedding"))
    if keys.flag("use_absolute_position_embeddings"):
        front.append(LearnedPositions(rows + 1, d))
    side = 2 * int(rows**0.5) - 1
    table = Vectors(side**2 + 3, n_heads, "relative_bias")
    extra: list[Part] = [Vectors(2, d, "query_value_bias")]
    if keys.value("layer_scale_init_value"):
        extra.append(Vectors(2, d, "layer_scales"))
    if keys.flag("use_relative_position_bias"):
        extra.append(table)
    if keys.flag("use_shared_relative_position_bias"):
        front.append(table)
    return layers_as_tower(front, encoder_layer(keys, qkv_bias=False, extra=extra), layers_of(keys),
                           [LayerNorm(d, "final_norm")])  # fmt: skip


def _swin(normed: bool) -> Callable[[Keys], Tower]:
    """Stages whose layers see a window; between two, four patches become one, twice as wide."""

    def read(keys: Keys) -> Tower:
        d, depths = keys.size("embed_dim"), numbers_of(keys, "depths")
        heads = numbers_of(keys, "num_heads", len(depths))
        bias, window = keys.flag("qkv_bias"), keys.size("window_size")
        front: list[Part] = [Convolution(keys.size("num_channels"), d, square_of(keys)), LayerNorm(d, "embedding_norm")]
        if keys.flag("use_absolute_embeddings"):
            front.append(LearnedPositions(patches_of(keys), d))
        for i, (depth, n_heads) in enumerate(zip(depths, heads, strict=True), 1):
            if depth > MOST_LAYERS:
                raise InputError("depths", f"{depth:,} layers; more than {MOST_LAYERS:,} are not counted",
                                 code="too_many_layers", number=depth, most=MOST_LAYERS)  # fmt: skip
            layer = (
                LayerNorm(d, "attention_norm"),
                Attention(d, n_heads, n_heads, head_of(keys, d, n_heads, "num_heads"), bias, True, sees="all"),
                Vectors((2 * window - 1) ** 2, n_heads, "relative_bias"),
                LayerNorm(d, "feed_forward_norm"),
                FeedForward(d, inner_of(keys, d), bias=True),
            )
            last = i == len(depths)
            back = () if last else (LayerNorm(4 * d, "final_norm"), Linear(4 * d, 2 * d, False, "linear_1", VISION))
            front.append(Tower((), ((Block(layer), depth),), back, f"stage_{i}", VISION))
            d = d if last else 2 * d
        return Tower(tuple(front), (), (LayerNorm(d, "final_norm"),) if normed else (), VISION, VISION)

    return read


BY_TYPE: Mapping[str, Callable[[Keys], Tower]] = {
    "vit": _vit,
    "deit": lambda keys: _vit(keys, 2),
    "beit": _beit,
    "swin": _swin(True),
    "donut-swin": _swin(False),
    "wav2vec2": _wav2vec2,
    "hubert": _wav2vec2,
}
