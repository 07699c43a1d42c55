"""Encoders that read entities, pool a sequence as it goes, share products among groups, or see by hashing.

One entry a model_type, read from the model class of that name; how it runs them was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.huggingface.decoders import LLAMA
from llmcalc.huggingface.encoders import UNREAD
from llmcalc.huggingface.family import COMMON, SAME_KV, Family
from llmcalc.huggingface.keys import MOST_LAYERS, Keys, shown
from llmcalc.huggingface.pairs import NO_HEAD
from llmcalc.huggingface.plan import Kit, Layer, Parts, layered, planned
from llmcalc.huggingface.stack import MaskedHead, QKNorm, Recipe, build, head_width
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.embedding import EmbeddingProjection, LearnedPositions, TokenEmbedding, TypeEmbedding
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.head import Head, TransformedHead
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Numbers, Projection
from llmcalc.transformer.tower import Linear, Vectors


def _luke(keys: Keys, task: str) -> Model:
    """RoBERTa with a table of entities, whose attention tells words and entities apart by queries of their own."""

    def also(keys: Keys) -> Parts:
        d = keys.dimension("d_model")
        aware = keys.flag("use_entity_aware_attention")
        return (Projection(d, 3 * d, "entity_queries", "attention", True),) if aware else ()

    d, width, rows = keys.dimension("d_model"), keys.size("entity_emb_size"), keys.size("entity_vocab_size")
    recipe = replace(UNREAD, padded=2, layer_also=also, tied=False, cross=False)
    model = build(keys, recipe, "base" if task == "language model" else task)
    entities: list[Part] = [TypeEmbedding(rows, width, "entity_embedding")]
    if width != d:
        entities.append(EmbeddingProjection(width, d, False, id="entity_projection"))
    entities += [
        LearnedPositions(keys.dimension("n_positions"), d, "entity_positions"),
        TypeEmbedding(keys.size("type_vocab_size"), d, "entity_types"),
        LayerNorm(d, "entity_norm"),
    ]
    heads: tuple[Part, ...] = ()
    if task == "language model":
        own = not keys.flag("tie_word_embeddings")
        heads = (
            TransformedHead(keys.dimension("vocab_size"), d, d, True),
            TransformedHead(rows, d, width, own, id="entity_head"),
        )
    return replace(model, front=(*model.front, *entities), back=(*model.back, *heads))


def _squeezebert(kit: Kit) -> Sequence[Layer]:
    """Products of groups: each of so many groups of channels goes only to its own share of what comes out."""
    keys, d = kit.keys, kit.d_model
    groups = keys.size("q_groups")
    for key in ("k_groups", "v_groups"):
        keys.refuse_other_than(key, (groups,))
    keys.refuse_other_than("post_attention_groups", (1,))
    keys.refuse_other_than("embedding_size", (d,))
    inner, first, second = keys.dimension("d_ff"), keys.size("intermediate_groups"), keys.size("output_groups")
    for key, number, width in (
        ("q_groups", groups, d),
        ("intermediate_groups", first, d),
        ("output_groups", second, inner),
    ):
        if width % number:
            raise InputError(key, f"{key!r} does not divide", code="key_not_modelled", key=key, found=shown(number))
    layer = (
        kit.plain(d_in=d // groups),
        *kit.norm("attention_norm"),
        Projection(d // first, inner, "grouped_up", "feed_forward", True),
        Projection(inner // second, d, "grouped_down", "feed_forward", True),
        *kit.norm("feed_forward_norm"),
    )
    return [(("dense",), layer)] * kit.n_layers


def _relative(kit: Kit, biased: bool) -> Parts:
    """Transformer-XL's attention: keys of distances, and vectors added to queries; ``biased``: as Funnel has it."""
    d, n_heads, width = kit.d_model, kit.keys.dimension("n_heads"), kit.d_head()
    inner = n_heads * width
    found: tuple[Part, ...] = (
        Attention(d, n_heads, n_heads, width, output_bias=biased, sees="all"),
        Projection(d, inner, "relative_projection", "attention"),
        Vectors(5, inner, "relative_bias", "attention"),
    )
    return (*found, Vectors(2, inner, "key_value_bias", "attention")) if biased else found


def _post(kit: Kit, mixer: Parts) -> Parts:
    return (*mixer, *kit.norm("attention_norm"), kit.dense(), *kit.norm("feed_forward_norm"))


_XL = replace(
    UNREAD, positions=None, types=None, embedding_norm=False, pooler=False, cross=False, head=None, head_bias=True
)


def _xlnet(kit: Kit) -> Sequence[Layer]:
    return [(("dense",), _post(kit, _relative(kit, False)))] * kit.n_layers


def _funnel(keys: Keys, task: str) -> Model:
    """Blocks of layers, each on half as many tokens as the one before, then a decoder on all of them.

    ``task`` "encoder" is without that decoder.
    """
    kit = Kit(keys, replace(_XL, embedding_norm=True))
    sizes, repeats = keys.list_of("block_sizes", int) or [], keys.list_of("block_repeats", int)
    if not sizes or min(sizes) < 1 or sum(sizes) > MOST_LAYERS:
        raise InputError("block_sizes", f"'block_sizes' = {shown(sizes)} is not modelled", code="key_not_modelled",
                         key="block_sizes", found=shown(sizes))  # fmt: skip
    if repeats and set(repeats) != {1}:
        raise InputError("block_repeats", "'block_repeats' is not modelled", code="key_not_modelled",
                         key="block_repeats", found=shown(repeats))  # fmt: skip
    decoders = 0 if task == "encoder" else keys.layers("n_decoder_layers")
    layer = _post(kit, _relative(kit, True))
    found: list[Layer] = [(("encoder",), layer)] * sum(sizes)
    found += [(("decoder",), layer)] * decoders
    d, vocab_size = kit.d_model, keys.dimension("vocab_size")
    back: list[Part] = []
    if task not in NO_HEAD:
        back.append(Head(vocab_size, d, True, not keys.flag("tie_word_embeddings")))
    return layered((TokenEmbedding(vocab_size, d), LayerNorm(d, "embedding_norm")), found, tuple(back))


def _esmc(kit: Kit) -> Sequence[Layer]:
    return [(("dense",), kit.pre(kit.attention(), kit.network()))] * kit.n_layers


def _reformer(keys: Keys, task: str) -> Model:
    """Two streams that are reversible; layers see near tokens, or those of a like hash, whose queries are keys."""
    kit = Kit(keys, Recipe(norm=LayerNorm, gated=False, ffn_bias=True))
    d, n_heads, width = kit.d_model, keys.dimension("n_heads"), keys.dimension("d_head")
    kinds = keys.list_of("attn_layers", str) or []
    if not kinds or any(kind not in ("local", "lsh") for kind in kinds):
        raise InputError("attn_layers", "'attn_layers' must name local and lsh layers", ("local", "lsh"),
                         code="layer_types", found=shown(kinds[0] if kinds else kinds))  # fmt: skip
    sees = "past" if keys.has("is_decoder") and keys.flag("is_decoder") else "all"
    attention = Attention(d, n_heads, n_heads, width, sees=sees)
    shared = replace(attention, key_is_value=True)  # one product fewer: queries are keys
    network = (*kit.norm("feed_forward_norm"), FeedForward(d, keys.dimension("d_ff"), bias=True))
    found = [
        (
            ("global" if kind == "lsh" else "local",),
            (*kit.norm("attention_norm"), shared if kind == "lsh" else attention, *network),
        )
        for kind in kinds
    ]
    vocab_size = keys.dimension("vocab_size")
    front: list[Part] = [TokenEmbedding(vocab_size, d)]
    if keys.flag("axial_pos_embds"):
        rows, widths = keys.list_of("axial_pos_shape", int) or [], keys.list_of("axial_pos_embds_dim", int) or []
        if len(rows) != len(widths) or not rows or min(*rows, *widths) < 1 or sum(widths) != d:
            raise InputError("axial_pos_embds_dim", "'axial_pos_embds_dim' must add up to 'hidden_size'",
                             code="key_not_modelled", key="axial_pos_embds_dim", found=shown(widths))  # fmt: skip
        front.append(Numbers(sum(r * w for r, w in zip(rows, widths, strict=True)), "axial_positions", "embedding"))
    else:
        front.append(LearnedPositions(keys.dimension("n_positions"), d))
    back: list[Part] = [LayerNorm(2 * d, "final_norm")]
    if task not in NO_HEAD:
        keys.refuse_other_than("tie_word_embeddings", (False,))
        back.append(Head(vocab_size, 2 * d, True))
    return layered(tuple(front), found, tuple(back))


def _neomme(keys: Keys, task: str) -> Model:
    """Norms without weights, a gate behind attention, images in the same layers, and embeddings of values."""
    d, rank, vocab_size = keys.dimension("d_model"), keys.size("embedding_rank"), keys.dimension("vocab_size")
    n_heads, n_kv_heads = keys.dimension("n_heads"), keys.dimension("n_kv_heads")
    width, patch = head_width(keys, d, n_heads), 3 * keys.size("patch_size") ** 2
    bias = keys.flag("attention_bias")
    layer = (
        Attention(d, n_heads, n_kv_heads, width, bias, bias, gate=True, sees="all"),
        Numbers(n_heads, "query_scales", "attention"),
        FeedForward(d, keys.dimension("d_ff"), bias=keys.flag("mlp_bias")),
        Numbers(2, "connections", "connections"),
    )
    front = (
        TokenEmbedding(vocab_size, rank),
        EmbeddingProjection(rank, d, False),
        TypeEmbedding(vocab_size, n_kv_heads * width, "value_embedding"),
        LayerNorm(patch, "projector_norm", component="embedding"),
        Linear(patch, 2 * d, False, "linear_1", "embedding"),
        Linear(2 * d, d, True, "linear_2", "embedding"),
    )
    back: list[Part] = []
    if task not in NO_HEAD and not keys.flag("tie_word_embeddings"):
        back = [Projection(rank, d, "output_projection", "head"), Head(vocab_size, rank)]
    return layered(front, [(("dense",), layer)] * keys.layers(), tuple(back))


def _ultrabert(keys: Keys, task: str) -> Model:
    """LLaMA's layers that see all, and a narrow network before the head."""
    model = build(keys, replace(LLAMA, causal=False, code=None), task)
    if task in NO_HEAD:
        return model
    d, width = keys.dimension("d_model"), keys.size("prediction_head_size")
    narrow = (Projection(d, width, "head_down", "head"), Projection(width, d, "head_up", "head"))
    back = [part for part in model.back if part.id != "head"]
    rest = [part for part in model.back if part.id == "head"]
    return replace(model, back=(*back, *narrow, *rest))


_XLNET_NAMES = {
    **{"d_model": "d_model", "n_layers": "n_layer", "n_heads": "n_head", "d_ff": "d_inner", "vocab_size": "vocab_size"},
}
MORE_ENCODERS: Mapping[str, Family] = {
    "luke": Family(_luke, SAME_KV),
    "squeezebert": planned(replace(UNREAD, pooler_always=True, cross=False, head=MaskedHead()), _squeezebert, SAME_KV),
    "xlnet": planned(
        replace(_XL, front_also=lambda keys: (Vectors(1, keys.dimension("d_model"), "mask_embedding", "embedding"),)),
        _xlnet,
        _XLNET_NAMES,
    ),
    "funnel": Family(
        _funnel,
        {
            **{"d_model": "d_model", "n_decoder_layers": "num_decoder_layers", "n_heads": "n_head"},
            **{"d_head": "d_head", "d_ff": "d_inner", "vocab_size": "vocab_size"},
        },
        defaults={"block_sizes": [4, 4, 4]},
    ),
    "esmc": planned(
        Recipe(
            norm=LayerNorm,
            final_norm=False,
            causal=False,
            tied=False,
            qkv_bias="attention_bias",
            output_bias="attention_bias",
            ffn_bias="mlp_bias",
            qk_norm=QKNorm(width="all"),
            head=MaskedHead(second_bias=False),
        ),
        _esmc,
        after=lambda kit: (LayerNorm(kit.d_model, "final_norm", bias=False),),
    ),
    "reformer": Family(
        _reformer,
        {
            **{"d_model": "hidden_size", "n_heads": "num_attention_heads", "d_head": "attention_head_size"},
            **{"d_ff": "feed_forward_size", "vocab_size": "vocab_size", "n_positions": "max_position_embeddings"},
        },
        defaults={
            **{"attn_layers": ["local", "lsh", "local", "lsh", "local", "lsh"]},
            **{"axial_pos_shape": [64, 64], "axial_pos_embds_dim": [64, 192]},
        },
    ),
    "neomme": Family(_neomme, COMMON),
    "ultrabert": Family(_ultrabert, COMMON),
}
