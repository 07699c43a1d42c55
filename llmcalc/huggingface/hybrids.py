"""Decoders some of whose layers keep a state: Mamba, delta nets, linear attention, convolutions, recurrences.

One entry a model_type, read from its model class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.code import (
    BAMBA_CODE,
    GRANITE_MOE_CODE,
    LFM2_CODE,
    NEMOTRON_H_CODE,
    QWEN3_5_CODE,
    QWEN3_5_MOE_CODE,
    QWEN3_NEXT_CODE,
)
from llmcalc.huggingface.decoders import GEMMA, LLAMA
from llmcalc.huggingface.family import COMMON, Family, expert_names
from llmcalc.huggingface.keys import Keys, shown, whole
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.stack import Mixture, QKNorm, Recipe
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.code import Code
from llmcalc.transformer.delta_net import DeltaNet
from llmcalc.transformer.experts import Experts, Router
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.lightning import Lightning
from llmcalc.transformer.mamba import Mamba
from llmcalc.transformer.mamba2 import Mamba2
from llmcalc.transformer.norm import LayerNorm, RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Again, AttentionAgain, Numbers, Projection
from llmcalc.transformer.rg_lru import RecurrentBlock
from llmcalc.transformer.rwkv import ChannelMix, TimeMix
from llmcalc.transformer.short_convolution import ShortConvolution
from llmcalc.transformer.xlstm import MatrixLSTM

LINEAR, FULL, SLIDING = "linear_attention", "full_attention", "sliding_attention"
# What tells kinds of layers apart on the screen
_TOLD = {LINEAR: "recurrent", FULL: "global", SLIDING: "local", "conv": "recurrent", "hybrid": "hybrid"}


def told(kind: str, sparse: bool) -> tuple[str, str]:
    """A layer's kind, and whether it has a mixture, in words of [kinds]."""
    return _TOLD[kind], "sparse" if sparse else "dense"


def _every(interval: str, default: int) -> Callable[[Kit], Callable[[int], str]]:
    """Linear attention, but full attention in the last of every so many layers."""

    def of(kit: Kit) -> Callable[[int], str]:
        every = kit.keys.optional(interval) or default
        return lambda i: LINEAR if (i + 1) % every else FULL

    return of


# Delta nets


def _delta_net(kit: Kit) -> DeltaNet:
    keys = kit.keys
    heads = keys.size("linear_num_key_heads"), keys.size("linear_num_value_heads")
    widths = keys.size("linear_key_head_dim"), keys.size("linear_value_head_dim")
    return DeltaNet(kit.d_model, *heads, *widths, keys.size("linear_conv_kernel_dim"))


def _qwen3_next(kit: Kit) -> Sequence[Layer]:
    kinds = kit.kinds(_every("full_attention_interval", 4)(kit), (LINEAR, FULL))
    attention = kit.attention()
    if kit.keys.flag("attention_bias"):
        width = kit.keys.dimension("n_heads") * kit.d_head()
        attention = (*attention, Numbers(width, "attention_gate_bias", "attention"))
    mixers: dict[str, Parts] = {LINEAR: (_delta_net(kit),), FULL: attention}
    networks = {sparse: kit.network(sparse) for sparse in set(kit.sparse())}
    return [
        (told(kind, sparse), kit.pre(mixers[kind], networks[sparse]))
        for kind, sparse in zip(kinds, kit.sparse(), strict=True)
    ]


def _olmo_hybrid(kit: Kit) -> Sequence[Layer]:
    n, keys = kit.n_layers, kit.keys
    kinds = kit.kinds(lambda i: FULL if i % 4 == 3 or (n < 4 and i == n - 1) else LINEAR, (LINEAR, FULL))
    n_heads = keys.dimension("n_heads")
    n_key = keys.optional("linear_num_key_heads") or n_heads
    d_key = keys.optional("linear_key_head_dim") or max(1, 3 * kit.d_model // (4 * n_key))
    values = keys.optional("linear_num_value_heads") or n_heads, keys.optional("linear_value_head_dim") or 2 * d_key
    net = DeltaNet(kit.d_model, n_key, values[0], d_key, values[1], keys.size("linear_conv_kernel_dim"))
    network = kit.network()
    post = (*kit.attention(), *kit.norm("attention_norm"), *network, *kit.norm("feed_forward_norm"))
    return [(told(kind, False), post if kind == FULL else kit.pre((net,), network)) for kind in kinds]


def kimi_delta(kit: Kit, width: int, n_heads: int, kernel: int, narrow: bool) -> DeltaNet:
    """Kimi delta attention; ``narrow``: decay and gate go through a vector as wide as a head."""
    rank = width if narrow else None
    shape = (kit.d_model, n_heads, n_heads, width, width, kernel)
    return DeltaNet(*shape, channel_decay=True, decay_rank=rank, gate_rank=rank, id="kimi_delta")


def _latent_sparse(kit: Kit, kinds: list[str], sparse: list[bool] | tuple[bool, ...], net: DeltaNet) -> Sequence[Layer]:
    keys = kit.keys
    gate: Parts = ()
    if keys.model_type == "bailing_hybrid":
        gate = (Projection(kit.d_model, keys.dimension("n_heads"), "head_gate", "attention"),)
    elif keys.flag("mla_use_output_gate"):
        width = keys.dimension("n_heads") * kit.latent().d_value
        gate = (Projection(kit.d_model, width, "output_gate", "attention"),)
    mixers: dict[str, Parts] = {LINEAR: (net,), FULL: (*kit.attention(), *gate)}
    networks = {is_sparse: _narrowed(kit, kit.network(is_sparse)) for is_sparse in set(sparse)}
    residuals = (
        *_residual(kit, "attention_residual_norm", "attention_residual_query"),
        *_residual(kit, "feed_forward_residual_norm", "feed_forward_residual_query"),
    )
    return [
        (told(kind, is_sparse), (*kit.pre(mixers[kind], networks[is_sparse]), *residuals))
        for kind, is_sparse in zip(kinds, sparse, strict=True)
    ]


def _narrowed(kit: Kit, network: Parts) -> Parts:
    """A mixture whose experts work on a vector of ``routed_expert_hidden_size``, its sum normed (Kimi K3)."""
    keys, d = kit.keys, kit.d_model
    width = keys.optional("routed_expert_hidden_size") if keys.has("routed_expert_hidden_size") else None
    if width is None:
        return network
    norm: Parts = (RMSNorm(width, "latent_sum_norm", "experts"),) if keys.flag("latent_moe_use_norm") else ()
    found: list[Part] = []
    for part in network:
        if isinstance(part, Experts):
            narrow = replace(part, expert=replace(part.expert, d_model=width))
            up = Projection(width, d, "latent_up", "experts")
            found += [Projection(d, width, "latent_down", "experts"), narrow, *norm, up]
        else:
            found.append(part)
    return tuple(found)


def _residual(kit: Kit, norm: str, query: str) -> Parts:
    """A norm and a query that weigh the outputs of earlier blocks of layers (Kimi K3's attention residuals)."""
    keys = kit.keys
    if not keys.has("attn_res_block_size") or keys.optional("attn_res_block_size") is None:
        return ()
    return (
        RMSNorm(kit.d_model, norm, "connections"),
        Projection(kit.d_model, 1, query, "connections"),
    )


def _kimi_linear(kit: Kit) -> Sequence[Layer]:
    keys, nested = kit.keys, kit.nested("linear_attn_config")

    def size(key: str, own: str) -> int:
        return whole(own, nested[own]) if own in nested else keys.size(key)

    full = nested.get("full_attn_layers") if "kda_layers" in nested else None
    if full is not None and (not isinstance(full, list) or any(type(i) is not int for i in full)):
        message = "'full_attn_layers' must hold only whole numbers"
        raise InputError("full_attn_layers", message, code="key_holds_no_numbers", key="full_attn_layers")
    is_full = (lambda i: i + 1 in full) if full is not None else (lambda i: i > 0 and i % 4 == 0)
    kinds = kit.kinds(lambda i: FULL if is_full(i) else LINEAR, (LINEAR, FULL))
    width, n_heads = size("linear_head_dim", "head_dim"), size("linear_num_heads", "num_heads")
    kernel = size("linear_conv_kernel_dim", "short_conv_kernel_size")
    net = kimi_delta(kit, width, n_heads, kernel, narrow=True)
    if nested.get("use_full_rank_gate") is True:
        net = replace(net, gate_rank=None)
    return _latent_sparse(kit, kinds, kit.sparse(), net)


def _bailing_hybrid(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    kinds = kit.kinds(_every("layer_group_size", 6)(kit), (LINEAR, FULL))
    n_heads, kernel = keys.dimension("n_heads"), keys.size("short_conv_kernel_size")
    net = kimi_delta(
        kit,
        keys.size("linear_head_dim" if keys.given("linear_head_dim") else "head_dim"),
        n_heads,
        kernel,
        narrow=False,
    )
    return _latent_sparse(kit, kinds, kit.sparse(), net)


# Mamba


def expanded(keys: Keys, key: str, d_model: int) -> int:
    """``d_model`` times the factor under ``key``, which may be no whole number, rounded down."""
    value = keys.value(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 10**6:
        raise InputError(
            key, f"{key!r} must be a number, not {shown(value)}", code="key_not_whole", key=key, found=shown(value)
        )
    return max(1, int(value * d_model))


def _rank(keys: Keys, key: str, d_model: int) -> int:
    value = keys.value(key) if keys.has(key) else "auto"
    return -(-d_model // 16) if value in ("auto", None) else whole(key, value)


def _mamba2(kit: Kit) -> Mamba2:
    """Mamba-2 under the names that Bamba gave it."""
    keys = kit.keys
    inner = (keys.optional("mamba_d_ssm") if keys.has("mamba_d_ssm") else None) or expanded(
        keys, "mamba_expand", kit.d_model
    )
    return Mamba2(
        kit.d_model,
        inner,
        keys.size("mamba_n_heads"),
        keys.size("mamba_d_state"),
        keys.size("mamba_n_groups"),
        keys.size("mamba_d_conv"),
        keys.flag("mamba_proj_bias"),
        keys.flag("mamba_conv_bias"),
        chunk_size=keys.size("mamba_chunk_size") if keys.has("mamba_chunk_size") else 256,
    )


def _bamba(kit: Kit) -> Sequence[Layer]:
    listed = kit.keys.list_of("attn_layer_indices", int) or ()
    mixers: dict[bool, Parts] = {True: kit.attention(), False: (_mamba2(kit),)}
    network = kit.network()
    return [
        (told(FULL if i in listed else LINEAR, False), kit.pre(mixers[i in listed], network))
        for i in range(kit.n_layers)
    ]


def _granite_hybrid(kit: Kit) -> Sequence[Layer]:
    kinds = kit.kinds(lambda i: LINEAR, (LINEAR, FULL))
    mixers: dict[str, Parts] = {FULL: kit.attention(), LINEAR: (_mamba2(kit),) if LINEAR in kinds else ()}
    n_experts = kit.keys.optional("num_local_experts", 0) or 0
    width = kit.keys.size("shared_intermediate_size", 0)
    network: Parts = kit.network(True) if n_experts else (kit.dense(d_ff=width),)
    return [(told(kind, n_experts > 0), kit.pre(mixers[kind], network)) for kind in kinds]


def _granite_code(keys: Keys) -> Code:
    """Granite 4 turns queries and keys only where its config says so."""
    key = "position_embedding_type"
    return replace(GRANITE_MOE_CODE, rotary=keys.has(key) and keys.value(key) == "rope")


def _falcon_h1(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    mamba = replace(_mamba2(kit), norm=keys.flag("mamba_rms_norm"))
    in_bias = keys.flag("mamba_proj_bias")
    extra: list[Part] = []
    if in_bias != keys.flag("projectors_bias"):  # the class takes the output projection's bias from another key
        mamba = replace(mamba, bias=False)
        width = mamba.d_inner + mamba.channels + mamba.n_heads if in_bias else kit.d_model
        extra.append(Numbers(width, "in_bias" if in_bias else "out_bias", "recurrent"))
    layer = kit.pre((mamba, *extra, *kit.attention()), kit.network())
    return [(told("hybrid", False), layer)] * kit.n_layers


def _mamba1(kit: Kit, inner_norms: bool = False) -> Mamba:
    """Mamba under the names that Jamba gave it."""
    keys, d = kit.keys, kit.d_model
    sizes = expanded(keys, "mamba_expand", d), keys.size("mamba_d_state"), keys.size("mamba_d_conv")
    flags = keys.flag("mamba_proj_bias"), keys.flag("mamba_conv_bias")
    return Mamba(d, *sizes, _rank(keys, "mamba_dt_rank", d), *flags, inner_norms)


def _jamba(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    period, offset = keys.size("attn_layer_period"), keys.size("attn_layer_offset", 0)
    experts = keys.size("expert_layer_period"), keys.size("expert_layer_offset", 0)
    several = (keys.optional("num_experts", 0) or 0) > 1
    mixers: dict[str, Parts] = {FULL: kit.attention(), LINEAR: (_mamba1(kit, True),)}
    networks = {False: kit.network(), True: kit.network(True) if several else ()}
    found = []
    for i in range(kit.n_layers):
        kind, sparse = FULL if i % period == offset else LINEAR, several and i % experts[0] == experts[1]
        found.append((told(kind, sparse), kit.pre(mixers[kind], networks[sparse])))
    return found


def _pure_mamba(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    sizes = expanded(keys, "expand", d), keys.size("state_size"), keys.size("conv_kernel")
    flags = keys.flag("use_bias"), keys.flag("use_conv_bias")
    layer = (*kit.norm("attention_norm"), Mamba(d, *sizes, _rank(keys, "time_step_rank", d), *flags))
    return [(told(LINEAR, False), layer)] * kit.n_layers


def _pure_mamba2(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    sizes = keys.size("num_heads"), keys.size("state_size"), keys.size("n_groups"), keys.size("conv_kernel")
    mamba = Mamba2(d, expanded(keys, "expand", d), *sizes, keys.flag("use_bias"), keys.flag("use_conv_bias"))
    return [(told(LINEAR, False), (*kit.norm("attention_norm"), mamba))] * kit.n_layers


# One layer's kind in Nemotron-H: the letter of `hybrid_override_pattern`
_PATTERN = {"M": LINEAR, "E": "moe", "*": FULL, "-": "mlp"}


def _nemotron_kinds(keys: Keys) -> list[str]:
    listed = keys.list_of("layers_block_type", str) if keys.has("layers_block_type") else None
    pattern = keys.value("hybrid_override_pattern") if keys.has("hybrid_override_pattern") else None
    if listed is None and pattern is not None:
        if not isinstance(pattern, str) or any(letter not in _PATTERN for letter in pattern) or len(pattern) > 10_000:
            message = f"'hybrid_override_pattern' = {shown(pattern)} is not modelled"
            raise InputError(
                "hybrid_override_pattern",
                message,
                code="key_not_modelled",
                key="hybrid_override_pattern",
                found=shown(pattern),
            )
        listed = [_PATTERN[letter] for letter in pattern]
    if not listed:
        listed = [LINEAR, "moe", FULL, "mlp"]
    old = {"mamba": LINEAR, "attention": FULL}
    listed = [old.get(kind, kind) for kind in listed]
    if unknown := [kind for kind in listed if kind not in (*_PATTERN.values(),)]:
        message = f"layers of kind {shown(unknown[0])} are not modelled"
        raise InputError("layers_block_type", message, code="layer_types", found=shown(unknown[0]))
    return listed


def _nemotron_h(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    kinds = _nemotron_kinds(keys)
    n_heads = keys.size("mamba_num_heads")
    groups = keys.size("mamba_n_groups") if keys.given("mamba_n_groups") else keys.size("n_groups")
    kernel = keys.size("mamba_d_conv") if keys.given("mamba_d_conv") else keys.size("conv_kernel")
    inner = n_heads * keys.size("mamba_head_dim")
    conv_bias = keys.flag("mamba_conv_bias") if keys.given("mamba_conv_bias") else keys.flag("use_conv_bias")
    size = "mamba_chunk_size" if keys.given("mamba_chunk_size") else "chunk_size"
    mamba = Mamba2(
        *(d, inner, n_heads, keys.size("ssm_state_size"), groups, kernel),
        *(keys.flag("use_bias"), conv_bias),
        chunk_size=keys.size(size) if keys.has(size) else 128,
    )
    parts: dict[str, Callable[[], Parts]] = {
        LINEAR: lambda: (mamba,),
        FULL: lambda: kit.attention(),
        "mlp": lambda: (kit.dense(),),
        "moe": lambda: _latent_mixture(kit),
    }
    names = {LINEAR: ("recurrent",), FULL: ("global",), "mlp": ("dense",), "moe": ("sparse",)}
    made = {kind: (*kit.norm("attention_norm"), *parts[kind]()) for kind in set(kinds)}
    return [(names[kind], made[kind]) for kind in kinds]


def _latent_mixture(kit: Kit) -> Parts:
    """Experts that work on a narrower vector, where ``moe_latent_size`` says so (Nemotron-3)."""
    keys, d = kit.keys, kit.d_model
    latent = keys.optional("moe_latent_size") if keys.has("moe_latent_size") else None
    n_experts, top_k = keys.dimension("n_experts"), keys.dimension("top_k")
    bias = keys.flag("mlp_bias")
    expert = FeedForward(latent or d, keys.dimension("d_expert"), id="expert")
    parts: list[Part] = [Router(d, n_experts)]
    if latent:
        parts.append(Projection(d, latent, "latent_down", "experts", bias))
    parts.append(Experts(n_experts, top_k, expert))
    if latent:
        parts.append(Projection(latent, d, "latent_up", "experts", bias))
    shared = keys.size("moe_shared_expert_intermediate_size", 0)
    if shared:
        parts.append(FeedForward(d, shared, bias=bias, id="shared_experts", component="shared_experts"))
    return tuple(parts)


# Zamba: one or two blocks of attention shared by all hybrid layers, each before a Mamba layer


def _zamba_kinds(kit: Kit, default: Callable[[int], str]) -> list[str]:
    return kit.kinds(default, (LINEAR, "hybrid"), "layers_block_type")


def _zamba(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    period, offset = keys.size("attn_layer_period"), keys.size("attn_layer_offset", 0)
    kinds = _zamba_kinds(kit, lambda i: "hybrid" if i == 2 or (i > 2 and (i - 3) % period == offset) else LINEAR)
    n_heads, inner = keys.dimension("n_heads"), keys.optional("attention_hidden_size") or 2 * d
    d_head = keys.optional("attention_head_dim") or 2 * d // n_heads
    attention = Attention(d, n_heads, keys.dimension("n_kv_heads", n_heads), d_head, d_in=inner)
    shared: Parts = (*kit.norm("attention_norm", inner), attention, *kit.norm("feed_forward_norm"), kit.dense())
    mamba = (*kit.norm("mamba_norm"), replace(_mamba1(kit), id="mamba"))
    return _with_shared(kit, kinds, lambda number: (shared, ()), mamba)


def _zamba2(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    hybrid = {6, 12, 18, 24, 30, 36, 42, 47, 51}
    kinds = _zamba_kinds(kit, lambda i: "hybrid" if i in hybrid else LINEAR)
    n_heads = keys.dimension("n_heads")
    bias, rank, d_ff = keys.flag("add_bias_linear"), keys.size("adapter_rank"), keys.dimension("d_ff", 4 * d)
    n_kv = keys.dimension("n_kv_heads", n_heads)
    attention = Attention(d, n_heads, n_kv, 2 * d // n_heads, d_in=2 * d)
    network = FeedForward(d, d_ff, True, bias)
    shared: Parts = (
        *(*kit.norm("attention_norm", 2 * d), attention),
        *(*kit.norm("feed_forward_norm"), network),
    )
    adapters: Parts = (
        Projection(d, rank, "adapter_down", "feed_forward"),
        Projection(rank, 2 * d_ff, "adapter_up", "feed_forward"),
    )
    if keys.flag("use_shared_attention_adapter"):
        adapters = (
            *adapters,
            *(Projection(2 * d, rank, f"{of}_adapter_down", "attention") for of in ("query", "key", "value")),
            *(Projection(rank, 2 * d, f"{of}_adapter_up", "attention") for of in ("query", "key", "value")),
        )
    inner = expanded(keys, "mamba_expand", d)
    sizes = (
        keys.size("n_mamba_heads"),
        keys.size("mamba_d_state"),
        keys.size("mamba_ngroups"),
        keys.size("mamba_d_conv"),
    )
    mamba = Mamba2(d, inner, *sizes, bias, True)
    blocks = keys.size("num_mem_blocks")
    return _with_shared(kit, kinds, lambda number: (shared, adapters), (*kit.norm("mamba_norm"), mamba), blocks)


def _with_shared(
    kit: Kit, kinds: list[str], shared: Callable[[int], tuple[Parts, Parts]], mamba: Parts, blocks: int = 1
) -> Sequence[Layer]:
    """Layers of which the hybrid ones run, in turn, ``blocks`` blocks that they share: each has its weights where it
    stands first. What a layer adds to them (adapters) is its own."""
    found: list[Layer] = []
    number = 0
    for kind in kinds:
        if kind == LINEAR:
            found.append((("", "recurrent"), mamba))
            continue
        common, own = shared(number)
        if number >= blocks:
            common = tuple(_again(part) for part in common)
        joint = Projection(kit.d_model, kit.d_model, "shared_projection", "attention")
        found.append((("first" if number < blocks else "later", "hybrid"), (*common, *own, joint, *mamba)))
        number += 1
    return found


def _again(part: Part) -> Part:
    return AttentionAgain(part) if isinstance(part, Attention) else Again(part)


# Convolutions


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


# Linear attention and recurrences


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


def _number(keys: Keys, key: str) -> float:
    value = keys.value(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 10**6:
        raise InputError(
            key, f"{key!r} must be a number, not {shown(value)}", code="key_not_whole", key=key, found=shown(value)
        )
    return float(value)


def _xlstm(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    n_heads, bias = keys.dimension("n_heads"), keys.flag("use_bias")
    keys_wide, values_wide = (int(d * _number(keys, key)) for key in ("qk_dim_factor", "v_dim_factor"))
    d_ff = _up_to(d * _number(keys, "ffn_proj_factor"), keys.size("ffn_round_up_to_multiple_of"))
    mixer = MatrixLSTM(d, n_heads, keys_wide, values_wide, bias)
    norm = LayerNorm if bias else RMSNorm
    network = FeedForward(d, d_ff, True, bias)
    layer = (norm(d, "attention_norm"), mixer, norm(d, "feed_forward_norm"), network)
    return [(told(LINEAR, False), layer)] * kit.n_layers


_QWEN = Recipe(
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    qk_norm=QKNorm(),
    gate=True,
    experts=Mixture(sparse=layers.qwen_sparse, shared_width="shared_expert_intermediate_size", shared_gate=True),
)
_QWEN_ALL = replace(_QWEN, experts=replace(_QWEN.experts, sparse=layers.all_sparse))  # type: ignore[type-var]
_KIMI = Recipe(
    latent=True,
    tied=False,
    experts=Mixture(sparse=layers.kimi_sparse, shared="n_shared_experts", buffers=True),
)
_GRANITE = replace(GEMMA, experts=Mixture(shared_width="shared_intermediate_size"))
_PLAIN = Recipe()
_MAMBA_NAMES = {"d_model": "hidden_size", "n_layers": "num_hidden_layers", "vocab_size": "vocab_size"}
_WITHOUT_HEAD = {name: key for name, key in COMMON.items() if name != "d_head"}

HYBRIDS: Mapping[str, Family] = {
    "qwen3_next": planned(_QWEN, _qwen3_next, expert_names("num_experts"), code=QWEN3_NEXT_CODE),
    "qwen3_5_text": planned(replace(_QWEN, experts=None), _qwen3_next, code=QWEN3_5_CODE),
    "qwen3_5_moe_text": planned(
        _QWEN_ALL,
        _qwen3_next,
        {**expert_names("num_experts"), "d_ff": "moe_intermediate_size"},
        code=QWEN3_5_MOE_CODE,
    ),
    "olmo_hybrid": planned(replace(GEMMA, qk_norm=QKNorm(width="all")), _olmo_hybrid, _WITHOUT_HEAD),
    "kimi_linear": planned(
        _KIMI,
        _kimi_linear,
        expert_names("num_local_experts"),
        after=lambda kit: _residual(kit, "final_residual_norm", "final_residual_query"),
    ),
    "bailing_hybrid": planned(_KIMI, _bailing_hybrid, expert_names("num_local_experts")),
    "bamba": planned(LLAMA, _bamba, _WITHOUT_HEAD, code=BAMBA_CODE),
    "granitemoehybrid": planned(
        _GRANITE,
        _granite_hybrid,
        {**_WITHOUT_HEAD, "n_experts": "num_local_experts", "top_k": "num_experts_per_tok"},
        code=_granite_code,
    ),
    "falcon_h1": planned(LLAMA, _falcon_h1, COMMON),
    "jamba": planned(
        replace(_PLAIN, experts=Mixture()),
        _jamba,
        {**_WITHOUT_HEAD, "n_experts": "num_experts", "top_k": "num_experts_per_tok"},
    ),
    "mamba": planned(_PLAIN, _pure_mamba, _MAMBA_NAMES),
    "falcon_mamba": planned(_PLAIN, _pure_mamba, _MAMBA_NAMES),
    "mamba2": planned(_PLAIN, _pure_mamba2, {**_MAMBA_NAMES, "n_heads": "num_heads"}),
    "nemotron_h": planned(
        replace(_PLAIN, tied=False, gated=False, ffn_bias="mlp_bias"),
        _nemotron_h,
        {**{k: v for k, v in expert_names("n_routed_experts").items() if k != "n_layers"}},
        code=NEMOTRON_H_CODE,
    ),
    "zamba": planned(_PLAIN, _zamba, _WITHOUT_HEAD),
    "zamba2": planned(_PLAIN, _zamba2, _WITHOUT_HEAD),
    "lfm2": planned(replace(_PLAIN, qk_norm=QKNorm()), _lfm2, _WITHOUT_HEAD, code=LFM2_CODE),
    "lfm2_moe": planned(
        replace(_PLAIN, qk_norm=QKNorm(), experts=Mixture(sparse=layers.after_dense("num_dense_layers"), buffers=True)),
        _lfm2_moe,
        {
            **_WITHOUT_HEAD,
            "n_experts": "num_experts",
            "top_k": "num_experts_per_tok",
            "d_expert": "moe_intermediate_size",
        },
    ),
    "lfm3": planned(replace(GEMMA, qk_norm=QKNorm()), _lfm3),
    "minimax": planned(replace(_PLAIN, experts=Mixture()), _minimax, expert_names("num_local_experts", d_expert=None)),
    "recurrent_gemma": planned(
        replace(_PLAIN, qkv_bias="attention_bias", ffn_bias=True), _recurrent_gemma, _WITHOUT_HEAD
    ),
    "rwkv": planned(
        Recipe(norm=LayerNorm),
        _rwkv,
        {**_MAMBA_NAMES, "d_ff": "intermediate_size"},
    ),
    "xlstm": planned(
        _PLAIN,
        _xlstm,
        {**_MAMBA_NAMES, "n_heads": "num_heads"},
    ),
}
