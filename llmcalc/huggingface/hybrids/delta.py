"""Decoders some of whose layers are delta nets: Qwen3-Next and Qwen3.5, OLMo hybrids, Kimi.

One entry a model_type, read from its model class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface import layers
from llmcalc.huggingface.code import QWEN3_5_CODE, QWEN3_5_MOE_CODE, QWEN3_NEXT_CODE
from llmcalc.huggingface.decoders import GEMMA
from llmcalc.huggingface.family import Family, expert_names
from llmcalc.huggingface.hybrids.pieces import FULL, LINEAR, WITHOUT_HEAD, told
from llmcalc.huggingface.keys import whole
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.stack import Mixture, QKNorm, Recipe
from llmcalc.transformer.delta_net import DeltaNet
from llmcalc.transformer.experts import Experts
from llmcalc.transformer.norm import RMSNorm
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Numbers, Projection


def every(interval: str, default: int) -> Callable[[Kit], Callable[[int], str]]:
    """Linear attention, but full attention in the last of every so many layers."""

    def of(kit: Kit) -> Callable[[int], str]:
        every = kit.keys.optional(interval) or default
        return lambda i: LINEAR if (i + 1) % every else FULL

    return of


def delta_net(kit: Kit) -> DeltaNet:
    """Qwen's gated delta net, as the keys say."""
    keys = kit.keys
    heads = keys.size("linear_num_key_heads"), keys.size("linear_num_value_heads")
    widths = keys.size("linear_key_head_dim"), keys.size("linear_value_head_dim")
    return DeltaNet(kit.d_model, *heads, *widths, keys.size("linear_conv_kernel_dim"))


def gated_attention(kit: Kit, **changes: Any) -> Parts:
    """Attention whose gate is projected with its queries, and has a bias where they have one."""
    attention = kit.attention(**changes)
    if not kit.keys.flag("attention_bias"):
        return attention
    width = kit.keys.dimension("n_heads") * kit.d_head()
    return (*attention, Numbers(width, "attention_gate_bias", "attention"))


def _qwen3_next(kit: Kit) -> Sequence[Layer]:
    kinds = kit.kinds(every("full_attention_interval", 4)(kit), (LINEAR, FULL))
    mixers: dict[str, Parts] = {LINEAR: (delta_net(kit),), FULL: gated_attention(kit)}
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
    kinds = kit.kinds(every("layer_group_size", 6)(kit), (LINEAR, FULL))
    n_heads, kernel = keys.dimension("n_heads"), keys.size("short_conv_kernel_size")
    net = kimi_delta(
        kit,
        keys.size("linear_head_dim" if keys.given("linear_head_dim") else "head_dim"),
        n_heads,
        kernel,
        narrow=False,
    )
    return _latent_sparse(kit, kinds, kit.sparse(), net)


_QWEN_EXPERTS = Mixture(sparse=layers.qwen_sparse, shared_width="shared_expert_intermediate_size", shared_gate=True)
_QWEN = Recipe(
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    qk_norm=QKNorm(),
    gate=True,
    experts=_QWEN_EXPERTS,
)
QWEN_ALL = replace(_QWEN, experts=replace(_QWEN_EXPERTS, sparse=layers.all_sparse))
_KIMI = Recipe(
    latent=True,
    tied=False,
    experts=Mixture(sparse=layers.kimi_sparse, shared="n_shared_experts", buffers=True),
)
FAMILIES: Mapping[str, Family] = {
    "qwen3_next": planned(_QWEN, _qwen3_next, expert_names("num_experts"), code=QWEN3_NEXT_CODE),
    "qwen3_5_text": planned(replace(_QWEN, experts=None), _qwen3_next, code=QWEN3_5_CODE),
    "qwen3_5_moe_text": planned(
        QWEN_ALL,
        _qwen3_next,
        {**expert_names("num_experts"), "d_ff": "moe_intermediate_size"},
        code=QWEN3_5_MOE_CODE,
    ),
    "olmo_hybrid": planned(replace(GEMMA, qk_norm=QKNorm(width="all")), _olmo_hybrid, WITHOUT_HEAD),
    "kimi_linear": planned(
        _KIMI,
        _kimi_linear,
        expert_names("num_local_experts"),
        after=lambda kit: _residual(kit, "final_residual_norm", "final_residual_query"),
    ),
    "bailing_hybrid": planned(_KIMI, _bailing_hybrid, expert_names("num_local_experts")),
}
