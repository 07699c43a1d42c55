"""Decoders that are published with code of their own, read from that code. One entry a model_type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.decoders import DECODERS, LLAMA
from llmcalc.huggingface.family import COMMON, Family, expert_names, stack, unread
from llmcalc.huggingface.keys import Keys, shown, whole
from llmcalc.huggingface.mixtures import MIXTURES
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.stack import Mixture, QKNorm, Recipe, build
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Numbers, Projection

_NO_D_HEAD = {name: key for name, key in COMMON.items() if name != "d_head"}
_NO_KV = {name: key for name, key in COMMON.items() if name not in ("n_kv_heads", "d_head")}


def _chatglm(keys: Keys) -> Recipe:
    grouped = keys.flag("multi_query_attention")
    return Recipe(
        norm=RMSNorm if keys.flag("rmsnorm") else LayerNorm,
        grouped=grouped,
        qkv_bias="add_qkv_bias",
        output_bias="add_bias_linear",
        ffn_bias="add_bias_linear",
        final_norm=keys.flag("post_layer_norm"),
        tied=False,
    )


def _block_configs(kit: Kit) -> Sequence[Layer]:
    """Nemotron-NAS: ``block_configs`` says of each layer what its attention and its network are."""
    keys, d, n = kit.keys, kit.d_model, kit.n_layers
    rows = keys.value("block_configs") if keys.has("block_configs") else None
    if not isinstance(rows, list) or len(rows) != n or any(not isinstance(row, dict) for row in rows):
        message = f"this model's layers differ: 'block_configs' must say of each of {n} what it is made of"
        raise InputError("block_configs", message, code="block_configs", layers=n)
    keys.used["block_configs"] = [{of: _said(row, of) for of in ("attention", "ffn")} for row in rows]
    n_heads, found = keys.dimension("n_heads"), []
    for row in rows:
        attention, network = _said(row, "attention"), _said(row, "ffn")
        parts: list[Part] = []
        kinds = []
        if attention.get("no_op"):
            kinds.append("without")
        elif attention.get("replace_with_linear"):
            parts += [*kit.norm("attention_norm"), Projection(d, d, "linear_in_place", "attention")]
            kinds.append("linear")
        else:
            sharing = whole("n_heads_in_group", attention.get("n_heads_in_group"))
            kv = max(1, n_heads // sharing)
            parts += [*kit.norm("attention_norm"), *kit.attention(n_kv_heads=kv)]
            kinds.append("global")
        if network.get("no_op"):
            pass
        elif network.get("replace_with_linear"):
            parts += [*kit.norm("feed_forward_norm"), Projection(d, d, "network_in_place", "feed_forward")]
        else:
            width = network.get("intermediate_size")
            if width is None:
                width = _multiple(network.get("ffn_mult"), d)
            parts += [
                *kit.norm("feed_forward_norm"),
                FeedForward(d, whole("intermediate_size", width), True, keys.flag("mlp_bias")),
            ]
        if parts:  # a layer of neither lets its input through
            found.append((tuple(kinds or ("without",)), tuple(parts)))
    return found


def _said(row: dict[str, Any], of: str) -> dict[str, Any]:
    """What is said of a layer's attention or network, without what it has not: those are most of it."""
    given = row.get(of)
    return {key: value for key, value in given.items() if value not in (None, False)} if isinstance(given, dict) else {}


def _multiple(factor: Any, d_model: int) -> int:
    """The width of a network of DeciLM's: two thirds of so many times d_model, filled up to a multiple of 256."""
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 0 < factor < 10**6:
        raise InputError(
            "ffn_mult",
            f"'ffn_mult' must be a number, not {shown(factor)}",
            code="key_not_whole",
            key="ffn_mult",
            found=shown(factor),
        )
    return 256 * -(-int(2 * factor * d_model / 3) // 256)


def _internlm(keys: Keys) -> Recipe:
    bias = "bias" if keys.has("bias") else "attention_bias"
    return Recipe(qkv_bias=bias, output_bias=bias)


_DEEPSEEK1 = Recipe(
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    experts=Mixture(sparse=layers.after_dense("first_k_dense_replace"), shared="n_shared_experts"),
)


def _glm(keys: Keys) -> Recipe:
    """The first ChatGLM: GPT's layers with rotary positions, its head tied."""
    return Recipe(norm=LayerNorm, qkv_bias=True, output_bias=True, gated=False, ffn_bias=True)


def _read_chatglm(keys: Keys, task: str) -> Model:
    """The class without a head has one all the same; that is what published files name."""
    task = "language model" if task == "base" else task
    if not keys.given("padded_vocab_size") and keys.given("vocab_size"):
        keys = replace(keys, config={**keys.config, "padded_vocab_size": keys.config["vocab_size"]})
    return build(keys, _glm(keys) if keys.has("inner_hidden_size") else _chatglm(keys), task)


_CHATGLM = Family(
    _read_chatglm,
    {
        "d_model": "hidden_size",
        "n_layers": "num_layers",
        "n_heads": "num_attention_heads",
        "n_kv_heads": "multi_query_group_num",
        "d_head": "kv_channels",
        "d_ff": "ffn_hidden_size",
        "vocab_size": "padded_vocab_size",
    },
    defaults={
        "multi_query_attention": False,
        "multi_query_group_num": None,
        "kv_channels": None,
        "rmsnorm": True,
        "add_qkv_bias": False,
        "add_bias_linear": False,
        "post_layer_norm": True,
        "tie_word_embeddings": True,
    },
    aliases={"ffn_hidden_size": ("inner_hidden_size",)},
)


def _with_head(family: Family) -> Family:
    """A family whose class has a head though its name says none."""
    return replace(family, build=lambda keys, task: family.build(keys, "language model" if task == "base" else task))


def _minicpmv(keys: Keys, task: str) -> Model:
    """A model with a tower, whose version says which language model it has."""
    version = str(keys.value("version")) if keys.has("version") else ""
    recipe = Recipe(qkv_bias="attention_bias", output_bias="attention_bias")
    if version == "2.6":
        recipe = Recipe(qkv_bias=True)
    elif version == "4.5":
        recipe = replace(recipe, qk_norm=QKNorm())
    return build(keys, recipe, "language model" if task == "base" else task)


def _halved(kit: Kit) -> Parts:
    """A gated network whose config gives the width of both its inner matrices together."""
    return (kit.dense(d_ff=max(1, kit.keys.dimension("d_ff") // 2)),)


def _halved_networks(kit: Kit) -> Sequence[Layer]:
    return [(("dense",), kit.pre(kit.attention(), _halved(kit)))] * kit.n_layers


def _molmo_recipe(keys: Keys) -> Recipe:
    keys.refuse_other_than("norm_after", (False,))
    keys.refuse_other_than("layer_norm_type", ("rms",))
    return Recipe(qkv_bias="qkv_bias", qk_norm=QKNorm(width="all", when="attention_layer_norm"), tied="weight_tying")


def _openelm(kit: Kit) -> Sequence[Layer]:
    """Heads and widths of networks are listed layer by layer."""
    keys, d, n = kit.keys, kit.d_model, kit.n_layers
    queries, keys_of = (keys.list_of(key, int, n) for key in ("num_query_heads", "num_kv_heads"))
    multipliers, by = keys.value("ffn_multipliers"), keys.size("ffn_dim_divisor")
    if not isinstance(multipliers, list) or len(multipliers) != n or queries is None or keys_of is None:
        raise keys.missing("ffn_multipliers")
    width = keys.size("head_dim")
    found: list[Layer] = []
    for n_heads, n_kv_heads, factor in zip(queries, keys_of, multipliers, strict=True):
        inner = _filled_up(factor, d, by)
        heads = whole("num_query_heads", n_heads), whole("num_kv_heads", n_kv_heads)
        norms = (RMSNorm(width, "query_norm", "qk_norm"), RMSNorm(width, "key_norm", "qk_norm"))
        qk_norms = norms if keys.flag("normalize_qk_projections") else ()
        attention = Attention(d, *heads, width)
        found.append((("dense",), kit.pre((*qk_norms, attention), (FeedForward(d, inner, True),))))
    return found


def _filled_up(factor: Any, d_model: int, by: int) -> int:
    """So many times d_model, rounded to a multiple of ``by``, but not to less than nine tenths of it."""
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 0 < factor < 10**6:
        found = shown(factor)
        message = f"'ffn_multipliers' must hold numbers, not {found}"
        raise InputError("ffn_multipliers", message, code="key_not_whole", key="ffn_multipliers", found=found)
    wanted = factor * d_model
    rounded = max(by, int(wanted + by / 2) // by * by)
    return rounded if rounded >= 0.9 * wanted else rounded + by


def _yuan_filter(keys: Keys) -> Parts:
    """Two convolutions over two places, to half the width and back, and a norm, before queries and keys."""
    d = keys.dimension("d_model")
    half = d // 2
    weights = 2 * d * half + half + 2 * half * d + d
    return Numbers(weights, "local_filter", "attention"), RMSNorm(d, "local_filter_norm", "norm")


_NAMES_OF_LLADA = {
    **{"d_model": "d_model", "n_layers": "n_layers", "n_heads": "n_heads", "n_kv_heads": "n_kv_heads"},
    **{"d_ff": "mlp_hidden_size", "vocab_size": "embedding_size"},
}
_NAMES_OF_OPENELM = {"d_model": "model_dim", "n_layers": "num_transformer_layers", "vocab_size": "vocab_size"}
_PLAIN: dict[str, Any] = {"tie_word_embeddings": False, "num_key_value_heads": None, "head_dim": None}
_BIASED: dict[str, Any] = {**_PLAIN, "attention_bias": False, "mlp_bias": False}
_BAILING = Recipe(
    qkv_bias="use_qkv_bias",
    output_bias="use_bias",
    qk_norm=QKNorm(when="use_qk_norm"),
    experts=Mixture(sparse=layers.after_dense("first_k_dense_replace"), shared="num_shared_experts", buffers=True),
)
_BAILING_DEFAULTS: dict[str, Any] = {
    **_PLAIN,
    **{"use_qkv_bias": False, "use_bias": False, "use_qk_norm": False, "first_k_dense_replace": 0},
    "num_shared_experts": None,
}
_OWN: Mapping[str, Family] = {
    "Dream": _with_head(replace(unread(DECODERS["qwen2"]), defaults_of="qwen2")),
    "sdar": replace(unread(DECODERS["qwen3"]), defaults_of="qwen3"),
    "sdar_moe": replace(unread(MIXTURES["qwen3_moe"]), defaults_of="qwen3_moe"),
    "aquila": replace(stack(Recipe(), _NO_D_HEAD), defaults=_PLAIN),
    "xverse": replace(stack(Recipe(), _NO_D_HEAD), defaults=_PLAIN),
    "orion": replace(stack(Recipe(norm=LayerNorm), _NO_D_HEAD), defaults=_PLAIN),
    "bailing_moe": replace(stack(_BAILING, expert_names("num_experts")), defaults=_BAILING_DEFAULTS),
    "bailing_moe_v2": replace(
        stack(_BAILING, expert_names("num_experts")), defaults={**_BAILING_DEFAULTS, "use_qk_norm": True}
    ),
    "PanguEmbedded": replace(
        stack(Recipe(qkv_bias="bias", output_bias="bias"), _NO_D_HEAD), defaults={**_PLAIN, "bias": True}
    ),
    "dots_ocr": replace(stack(Recipe(qkv_bias="attention_bias")), defaults={**_PLAIN, "attention_bias": True}),
    "exaone": replace(
        stack(Recipe(), {**_NO_D_HEAD, "n_layers": "num_layers"}),
        defaults={**_PLAIN, "tie_word_embeddings": True},
        aliases={"num_layers": ("num_hidden_layers",)},
    ),
    "llada": replace(
        stack(
            Recipe(
                qkv_bias="include_qkv_bias", output_bias="include_bias", ffn_bias="include_bias", tied="weight_tying"
            ),
            _NAMES_OF_LLADA,
        ),
        defaults={"include_bias": False, "include_qkv_bias": False, "weight_tying": False, "n_kv_heads": None},
    ),
    "minicpm": replace(
        stack(Recipe(qkv_bias="attention_bias", output_bias="attention_bias")),
        defaults={**_BIASED, "tie_word_embeddings": True},
    ),
    "minicpmv": Family(_minicpmv, COMMON, defaults=_BIASED),
    "molmo": planned(
        _molmo_recipe,
        _halved_networks,
        {**_NO_D_HEAD, "vocab_size": "embedding_size"},
        defaults={
            **_PLAIN,
            **{"qkv_bias": False, "attention_layer_norm": False, "weight_tying": False, "additional_vocab_size": 128},
        },
        before=lambda kit: (
            Numbers(kit.keys.size("additional_vocab_size", 0) * kit.d_model, "image_token_rows", "embedding"),
        ),
    ),
    "openelm": planned(
        Recipe(tied="share_input_output_layers"),
        _openelm,
        _NAMES_OF_OPENELM,
        defaults={"share_input_output_layers": True, "normalize_qk_projections": True, "ffn_dim_divisor": 256},
    ),
    "phi3small": replace(
        stack(
            Recipe(norm=LayerNorm, qkv_bias=True, output_bias=True, ffn_bias=True),
            {**_NO_D_HEAD, "d_ff": "ff_intermediate_size"},
        ),
        defaults={"tie_word_embeddings": True},
    ),
    # OpenAssistant's: GPT-NeoX under one output with a bias
    "gpt_neox_reward_model": replace(unread(DECODERS["gpt_neox"]), defaults_of="gpt_neox"),
    "phi3_v": replace(unread(DECODERS["phi3"]), defaults_of="phi3"),
    "yuan": replace(stack(Recipe(layer_also=_yuan_filter), _NO_KV), defaults={"tie_word_embeddings": True}),
}
PUBLISHED: Mapping[str, Family] = {
    **_OWN,
    "chatglm": _CHATGLM,
    "qwen": replace(
        planned(replace(Recipe(qkv_bias=True), tied=False), _halved_networks, _NO_KV),
        defaults={"tie_word_embeddings": False},
        aliases={
            "hidden_size": ("n_embd",),
            "num_hidden_layers": ("n_layer",),
            "num_attention_heads": ("n_head",),
            "intermediate_size": ("ffn_hidden_size",),
            "max_position_embeddings": ("n_positions",),
        },
    ),
    "baichuan": replace(stack(Recipe(), _NO_KV), defaults={"tie_word_embeddings": False}),
    "internlm": replace(stack(_internlm, _NO_KV), defaults={"bias": True, "tie_word_embeddings": False}),
    "internlm2": replace(
        stack(_internlm, _NO_D_HEAD),
        defaults={"bias": False, "tie_word_embeddings": False, "num_key_value_heads": None},
    ),
    "deepseek": replace(
        stack(_DEEPSEEK1, {k: v for k, v in expert_names("n_routed_experts").items() if k != "d_head"}),
        defaults={
            "attention_bias": False,
            "first_k_dense_replace": 0,
            "moe_layer_freq": 1,
            "n_shared_experts": None,
            "num_key_value_heads": None,
            "tie_word_embeddings": False,
        },
    ),
    "nemotron-nas": planned(
        replace(LLAMA, code=None),
        _block_configs,
        {k: v for k, v in COMMON.items() if k not in ("n_kv_heads", "d_ff", "d_head")},
        defaults={"attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False},
    ),
}
