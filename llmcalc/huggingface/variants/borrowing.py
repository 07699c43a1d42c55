"""Gemma 3n and 4: layers that read the keys and values of others, and inputs of each layer's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.code import GEMMA3N_CODE, GEMMA4_CODE
from llmcalc.huggingface.decoders import GEMMA
from llmcalc.huggingface.family import COMMON, Family, expert_names
from llmcalc.huggingface.keys import Keys, shown, whole
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.huggingface.sparse import per_layer
from llmcalc.huggingface.variants.pieces import FULL, SLIDING
from llmcalc.transformer.code import Code
from llmcalc.transformer.embedding import PerLayerEmbedding
from llmcalc.transformer.experts import Experts, Router
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.norm import RMSNorm
from llmcalc.transformer.piece import Numbers, Projection


def _shares(kinds: list[str], shared: int) -> list[bool]:
    """Which layers borrow keys and values: the last so many, of the last layer before them of their kind."""
    first = len(kinds) - shared
    if shared and not set(kinds[first:]) <= set(kinds[: max(0, first)]):
        message = "no layer before those that share keys and values keeps any of their kind"
        raise InputError(
            "num_kv_shared_layers", message, code="key_not_modelled", key="num_kv_shared_layers", found=shown(shared)
        )
    return [shared > 0 and i >= first for i in range(len(kinds))]


def _lends(kinds: Sequence[str], borrowed: Sequence[bool]) -> list[bool]:
    """Which layers lend their keys and values: where any layer borrows, the last of each kind that has some of its own,
    even if no layer borrows those."""
    pairs = [*zip(kinds, borrowed, strict=True)]
    return [
        any(borrowed) and not borrows and (kind, False) not in pairs[i + 1 :] for i, (kind, borrows) in enumerate(pairs)
    ]


def _gemma_attention(kit: Kit, width: int, **changes: Any) -> Parts:
    attention = kit.plain(d_head=width, **changes)
    norms = (RMSNorm(width, "query_norm", "qk_norm"), RMSNorm(width, "key_norm", "qk_norm"))
    return (*(norms[:1] if attention.borrows else norms), attention)


def _per_layer_inputs(kit: Kit) -> Parts:
    """What a layer makes of the vector that its own embedding has for the token."""
    d, width = kit.d_model, kit.keys.size("hidden_size_per_layer_input", 0)
    if not width:
        return ()
    return (
        Projection(d, width, "per_layer_gate", "per_layer_inputs"),
        Projection(width, d, "per_layer_projection", "per_layer_inputs"),
        RMSNorm(d, "per_layer_norm"),
    )


def _per_layer_front(kit: Kit) -> Parts:
    keys = kit.keys
    width = keys.size("hidden_size_per_layer_input", 0) if keys.has("hidden_size_per_layer_input") else 0
    if not width:
        return ()
    total = kit.n_layers * width
    return (
        PerLayerEmbedding(keys.size("vocab_size_per_layer_input"), kit.n_layers, width),
        Projection(kit.d_model, total, "per_layer_model_projection", "per_layer_inputs"),
        RMSNorm(width, "per_layer_projection_norm"),
    )


def _gemma3n(kit: Kit) -> Sequence[Layer]:
    keys, d = kit.keys, kit.d_model
    kinds = kit.kinds(lambda i: SLIDING if (i + 1) % 5 else FULL, (FULL, SLIDING))
    value = keys.value("intermediate_size")
    widths = value if isinstance(value, list | tuple) else [value] * kit.n_layers
    if len(widths) != kit.n_layers:
        key = "intermediate_size"
        message = f"{key!r} has {len(widths)} entries for {kit.n_layers} layers"
        raise InputError(key, message, code="key_length", key=key, number=len(widths), layers=kit.n_layers)
    n, rank = keys.size("altup_num_inputs"), keys.size("laurel_rank")
    beside: Parts = (
        Numbers(d, "altup_scale", "connections"),
        Projection(n, n, "altup_correction", "connections"),
        Projection(n, n**2, "altup_prediction", "connections"),
        Projection(d, n, "altup_router", "connections"),
        RMSNorm(d, "altup_router_norm"),
        Projection(d, rank, "laurel_down", "connections"),
        Projection(rank, d, "laurel_up", "connections"),
        RMSNorm(d, "laurel_norm"),
        *_per_layer_inputs(kit),
    )
    window, d_head = keys.optional("sliding_window"), kit.d_head()
    borrowed = _shares(kinds, keys.size("num_kv_shared_layers", 0))
    found = []
    lent, sparse = _lends(kinds, borrowed), _sparse(kit)
    for kind, borrows, lends, width, cut in zip(kinds, borrowed, lent, widths, sparse, strict=True):
        changes = {"borrows": borrows, "lends": lends}
        attention = _gemma_attention(kit, d_head, window=window if kind == SLIDING else None, **changes)
        network = (FeedForward(d, whole("intermediate_size", width), True, sparse=cut),)
        told = ("local" if kind == SLIDING else "global", "borrowing" if borrows else "lending" if lends else "keeping")
        found.append((told, (*kit.sandwich(attention, network), *beside)))
    return found


def _sparse(kit: Kit) -> list[bool]:
    """In which layers only the largest of a network's gates are left: of many layers in the first ten."""
    key, n = "activation_sparsity_pattern", kit.n_layers
    shares = kit.keys.value(key)
    if shares is None:
        return [i < 10 < n for i in range(n)]
    if not isinstance(shares, list | tuple):
        message = f"{key!r} must be a list, not {shown(shares)}"
        raise InputError(key, message, code="key_not_a_list", key=key, found=shown(shares))
    if len(shares) != n:
        message = f"{key!r} has {len(shares)} entries for {n} layers"
        raise InputError(key, message, code="key_length", key=key, number=len(shares), layers=n)
    return [isinstance(share, int | float) and share > 0 for share in shares]


def _gemma3n_code(keys: Keys) -> Code | None:
    """How it runs; not where a layer's scale is not asked, or there is one stream."""
    if not keys.flag("altup_correct_scale") or keys.size("altup_num_inputs") < 2:
        return None
    return replace(GEMMA3N_CODE, altup_clipped=keys.value("altup_coef_clip") is not None)


def _streams(kit: Kit, way: str) -> Parts:
    """The linear layers of all streams but the first: from the embedding ("in"), or to the final norm ("out")."""
    n, d = kit.keys.size("altup_num_inputs"), kit.d_model
    return (Projection(d, (n - 1) * d, f"altup_{way}", "connections"),) if n > 1 else ()


def _gemma4(kit: Kit) -> Sequence[Layer]:
    keys = kit.keys
    kinds = kit.kinds(lambda i: SLIDING if (i + 1) % 6 else FULL, (FULL, SLIDING))
    kinds[-1] = FULL
    same = keys.flag("attention_k_eq_v")
    own = {"head_dim": (keys.optional("global_head_dim") if keys.has("global_head_dim") else None) or 512}
    n_global = keys.optional("num_global_key_value_heads") if keys.has("num_global_key_value_heads") else None
    if same and n_global:
        own["num_key_value_heads"] = n_global
    mine = per_layer(kit, [kind == FULL for kind in kinds], own)
    borrowed = _shares(kinds, keys.size("num_kv_shared_layers", 0))
    window = keys.optional("sliding_window")
    if keys.has("use_bidirectional_attention") and keys.value("use_bidirectional_attention") == "all":
        window = None if window is None else window // 2 + 1
    beside = _per_layer_inputs(kit) if keys.has("hidden_size_per_layer_input") else ()
    found = []
    for kind, borrows, lends, row in zip(kinds, borrowed, _lends(kinds, borrowed), mine, strict=True):
        changes: dict[str, Any] = {"window": window if kind == SLIDING else None, "borrows": borrows, "lends": lends}
        changes["key_is_value"] = same and kind == FULL
        if "num_key_value_heads" in row:
            changes["n_kv_heads"] = row["num_key_value_heads"]
        attention = _gemma_attention(kit, row.get("head_dim", kit.d_head()), **changes)
        wide = 2 if borrows and keys.flag("use_double_wide_mlp") else 1
        network: Parts = (kit.dense(d_ff=wide * kit.dense().d_ff),)
        if keys.has("enable_moe_block") and keys.flag("enable_moe_block"):
            network = (*network, *_gemma4_mixture(kit))
        told = ("local" if kind == SLIDING else "global", "borrowing" if borrows else "lending" if lends else "keeping")
        found.append((told, (*kit.sandwich(attention, network), *beside)))
    return found


def _gemma4_mixture(kit: Kit) -> Parts:
    d, n_experts = kit.d_model, kit.keys.dimension("n_experts")
    expert = FeedForward(d, kit.keys.dimension("d_expert"), True, id="expert")
    return (
        Router(d, n_experts),
        Numbers(d, "router_scale", "router"),
        Numbers(n_experts, "expert_scale", "router"),
        Experts(n_experts, kit.keys.chosen(n_experts), expert),
        RMSNorm(d, "dense_post_norm"),
        RMSNorm(d, "experts_norm"),
        RMSNorm(d, "experts_post_norm"),
    )


FAMILIES: Mapping[str, Family] = {
    "gemma3n_text": planned(
        GEMMA,
        _gemma3n,
        {k: v for k, v in COMMON.items() if k != "d_ff"},
        before=lambda kit: (*_per_layer_front(kit), *_streams(kit, "in")),
        after=lambda kit: _streams(kit, "out"),
        code=_gemma3n_code,
    ),
    "gemma4_text": planned(
        GEMMA,
        _gemma4,
        expert_names("num_experts", "top_k_experts"),
        before=_per_layer_front,
        code=GEMMA4_CODE,
    ),
    "gemma4_unified_text": planned(GEMMA, _gemma4),
}
