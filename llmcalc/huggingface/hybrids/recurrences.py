"""Decoders with short convolutions, linear attention or recurrences: LFM2, MiniMax, RecurrentGemma, RWKV, xLSTM.

One entry a model_type, read from its model class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.code import LFM2_CODE, LFM2_MOE_CODE
from llmcalc.huggingface.decoders import GEMMA
from llmcalc.huggingface.family import Family, expert_names
from llmcalc.huggingface.hybrids.pieces import FULL, LINEAR, MAMBA_NAMES, PLAIN, SLIDING, WITHOUT_HEAD, number, told
from llmcalc.huggingface.keys import shown
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.stack import Mixture, QKNorm, Recipe
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.lightning import Lightning
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Projection
from llmcalc.transformer.rg_lru import RecurrentBlock
from llmcalc.transformer.rwkv import ChannelMix, TimeMix
from llmcalc.transformer.short_convolution import ShortConvolution
from llmcalc.transformer.xlstm import MatrixLSTM


def _lfm2_width(kit: Kit) -> int:
    keys = kit.keys
    width = keys.size("block_ff_dim") if keys.given("block_ff_dim") else keys.dimension("d_ff")
    if not keys.flag("block_auto_adjust_ff_dim"):
        return width
    width = int(2 * width / 3)
    if (factor := keys.value("block_ffn_dim_multiplier")) is not None:
        if not isinstance(factor, int | float) or isinstance(factor, bool) or not 0 < factor < 10**6:
            key = "block_ffn_dim_multiplier"
            raise InputError(key, f"{key!r} must be a number", code="key_not_whole", key=key, found=shown(factor))
        multiple = keys.size("block_multiple_of")
        width = multiple * -(-int(factor * width) // multiple)
    return max(1, width)


def _lfm2(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    listed = keys.list_of("full_attn_idxs", int)
    kinds = kit.kinds(lambda i: FULL if listed is None or i in listed else "conv", ("conv", FULL))
    mixers: dict[str, Parts] = {
        FULL: kit.attention(),
        "conv": (ShortConvolution(kit.d_model, keys.size("conv_L_cache"), keys.flag("conv_bias")),),
    }
    network: Parts = (kit.dense(d_ff=_lfm2_width(kit)),)
    return [(told(kind, False), kit.pre(mixers[kind], network)) for kind in kinds]


def _lfm2_moe(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    kinds = kit.kinds(lambda i: "conv" if (i + 1) % 4 else FULL, ("conv", FULL))
    if not keys.given("layer_types"):
        text = "the config does not say which layers are attention: every fourth is assumed to be"
        keys.warn("assumed_layers", text)
    mixers: dict[str, Parts] = {
        FULL: kit.attention(),
        "conv": (ShortConvolution(kit.d_model, keys.size("conv_L_cache"), keys.flag("conv_bias")),),
    }
    networks = {sparse: kit.network(sparse) for sparse in set(kit.sparse())}
    return [
        (told(kind, sparse), kit.pre(mixers[kind], networks[sparse]))
        for kind, sparse in zip(kinds, kit.sparse(), strict=True)
    ]


def _lfm3(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    default = {2: FULL, 0: SLIDING}
    kinds = kit.kinds(lambda i: default.get(i % 4, "conv") if i > 0 else "conv", ("conv", FULL, SLIDING))
    gate: Parts = ()
    if keys.flag("use_attention_gate"):
        gate = (Projection(kit.d_model, keys.dimension("n_heads"), "head_gate", "attention"),)
    window = keys.optional("sliding_window")
    mixers: dict[str, Parts] = {
        FULL: (*kit.attention(), *gate),
        SLIDING: (*kit.attention(window=window), *gate),
        "conv": (ShortConvolution(kit.d_model, keys.size("conv_L_cache"), keys.flag("conv_bias")),),
    }
    around = kit.sandwich if keys.flag("use_sandwich_norm") else kit.pre
    return [(told(kind, False), around(mixers[kind], kit.network())) for kind in kinds]


def _minimax(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    listed = keys.list_of("attn_type_list", int, kit.n_layers) if keys.has("attn_type_list") else None
    default = (lambda i: FULL if listed[i] else LINEAR) if listed else (lambda i: LINEAR if i % 2 else FULL)
    kinds = kit.kinds(default, (LINEAR, FULL))
    lightning = Lightning(kit.d_model, keys.dimension("n_heads"), kit.d_head())
    mixers: dict[str, Parts] = {FULL: kit.attention(), LINEAR: (lightning,)}
    network = kit.network(True)
    return [(told(kind, True), kit.pre(mixers[kind], network)) for kind in kinds]


def _recurrent_gemma(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    cycle = keys.list_of("block_types", str) or ["recurrent", "recurrent", "attention"]
    n_heads = keys.dimension("n_heads")
    inner = keys.optional("lru_width") or d
    if inner % n_heads:
        raise InputError(
            "lru_width",
            "heads do not divide the recurrence",
            code="key_not_modelled",
            key="lru_width",
            found=shown(inner),
        )
    block = RecurrentBlock(d, inner, n_heads, keys.size("conv1d_width"))
    attention = kit.plain(window=keys.optional("attention_window_size"), output_bias=True)
    network = (kit.dense(d_ff=max(1, keys.dimension("d_ff") // 2)),)
    found = []
    for i in range(kit.n_layers):
        kind = cycle[i % len(cycle)]
        if kind not in ("recurrent", "attention"):
            message = f"layers of kind {shown(kind)} are not modelled"
            raise InputError("block_types", message, ("recurrent", "attention"), code="layer_types", found=shown(kind))
        mixer: Part = block if kind == "recurrent" else attention
        found.append((told(LINEAR if kind == "recurrent" else SLIDING, False), kit.pre((mixer,), network)))
    return found


def _rwkv(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    time = TimeMix(d, keys.optional("attention_hidden_size") or d)
    channel = ChannelMix(d, keys.dimension("d_ff", 4 * d))
    layer = kit.pre((time,), (channel,))
    first = (*kit.norm("embedding_norm"), *layer)
    return [(("first" if i == 0 else "later",), first if i == 0 else layer) for i in range(kit.n_layers)]


def _up_to(value: float, multiple: int) -> int:
    return int((value + multiple - 1) // multiple) * multiple


def _xlstm(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    n_heads, bias = keys.dimension("n_heads"), keys.flag("use_bias")
    keys_wide, values_wide = (int(d * number(keys, key)) for key in ("qk_dim_factor", "v_dim_factor"))
    d_ff = _up_to(d * number(keys, "ffn_proj_factor"), keys.size("ffn_round_up_to_multiple_of"))
    mixer = MatrixLSTM(d, n_heads, keys_wide, values_wide, bias)
    norm = LayerNorm if bias else RMSNorm
    network = FeedForward(d, d_ff, True, bias)
    layer = (norm(d, "attention_norm"), mixer, norm(d, "feed_forward_norm"), network)
    return [(told(LINEAR, False), layer)] * kit.n_layers


FAMILIES: Mapping[str, Family] = {
    "lfm2": planned(replace(PLAIN, qk_norm=QKNorm()), _lfm2, WITHOUT_HEAD, code=LFM2_CODE),
    "lfm2_moe": planned(
        replace(PLAIN, qk_norm=QKNorm(), experts=Mixture(sparse=layers.after_dense("num_dense_layers"), buffers=True)),
        _lfm2_moe,
        {
            **WITHOUT_HEAD,
            "n_experts": "num_experts",
            "top_k": "num_experts_per_tok",
            "d_expert": "moe_intermediate_size",
        },
        code=LFM2_MOE_CODE,
    ),
    "lfm3": planned(replace(GEMMA, qk_norm=QKNorm()), _lfm3),
    "minimax": planned(replace(PLAIN, experts=Mixture()), _minimax, expert_names("num_local_experts", d_expert=None)),
    "recurrent_gemma": planned(
        replace(PLAIN, qkv_bias="attention_bias", ffn_bias=True), _recurrent_gemma, WITHOUT_HEAD
    ),
    "rwkv": planned(
        Recipe(norm=LayerNorm),
        _rwkv,
        {**MAMBA_NAMES, "d_ff": "intermediate_size"},
    ),
    "xlstm": planned(
        PLAIN,
        _xlstm,
        {**MAMBA_NAMES, "n_heads": "num_heads"},
    ),
}
