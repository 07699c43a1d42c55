"""Zamba: one or two blocks of attention shared by all hybrid layers, each before a Mamba layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from llmcalc.huggingface.family import Family
from llmcalc.huggingface.hybrids.mamba import mamba1
from llmcalc.huggingface.hybrids.pieces import LINEAR, PLAIN, WITHOUT_HEAD, expanded
from llmcalc.huggingface.plan import Kit, Layer, Parts, planned
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.mamba2 import Mamba2
from llmcalc.transformer.part import Part
from llmcalc.transformer.piece import Again, AttentionAgain, Projection


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
    mamba = (*kit.norm("mamba_norm"), replace(mamba1(kit), id="mamba"))
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


FAMILIES: Mapping[str, Family] = {
    "zamba": planned(PLAIN, _zamba, WITHOUT_HEAD),
    "zamba2": planned(PLAIN, _zamba2, WITHOUT_HEAD),
}
