"""Floating-point operations: of one token through a model, and of a training step.

A multiplication and an addition are two operations. Norms, nonlinearities and softmax are left out, as everywhere.
"""

from __future__ import annotations

from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import CHEN_2016, CHOWDHERY_2022, KAPLAN_2020
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import mixers


@formula(r"C_\text{weights}", "FLOP", KAPLAN_2020.at("sec. 2.1, eq. 2.2"))
def weight_flops(*, parameters):
    """Each active non-embedding parameter multiplies once and adds once for a token."""
    return 2 * parameters


@formula(r"C_\text{logits}", "FLOP", KAPLAN_2020.at("sec. 2.1, table 1, de-embed"))
def logits_flops(*, vocab_size, d_model):
    """Matrix product with the output projection, tied or not, which Kaplan's N leaves out."""
    return 2 * vocab_size * d_model


@formula(r"n \cdot C", "FLOP", KAPLAN_2020.at("sec. 2.1, table 1"))
def repeated_flops(*, count, flops):
    """Operations of all layers alike: so many times those of one."""
    return count * flops


@formula(r"C_\text{adapters}", "FLOP", KAPLAN_2020.at("sec. 2.1, of the adapters"))
def adapter_flops(*, parameters):
    """Each parameter of LoRA's adapters multiplies once and adds once for a token."""
    return 2 * parameters


@formula(r"k \cdot C", "FLOP", CHEN_2016.at("sec. 3; passes as in sec. 2.1 of Kaplan et al."))
def work_of_passes(*, flops, passes):
    """Operations for a token in a step: one pass forward, two backward, one fewer where weights are frozen, one more
    where the backward pass runs it again."""
    return flops * passes


@formula(r"C_\text{PaLM}", "FLOP", CHOWDHERY_2022.at("app. B"))
def palm_flops(*, parameters, attention_flops):
    """PaLM's convention for a token of training: six operations for each parameter, and attention to the whole
    context, as if nothing were hidden."""
    return 6 * parameters + attention_flops


@formula(r"C_\text{attn}", "FLOP", CHOWDHERY_2022.at("app. B, 12 LHQT"))
def whole_attention_flops(*, n_attention_layers, n_heads, d_head, seq_len):
    """Scores and sums over the whole context, forward and backward, of layers alike."""
    return 12 * n_attention_layers * n_heads * d_head * seq_len


def forward_flops(model: Model, *, seq_len: Any) -> Quantity | None:
    """Operations of the forward pass for one token, averaged over a sequence of ``seq_len``.

    Kaplan et al.'s 2N + 2 n_layer n_ctx d_attn with the active parameters for N, each layer's own window and kind of
    attention, and the logits. None for an encoder, with or without a decoder: there a token does not go through all
    layers, or the layers share their weights. ``seq_len`` may be an array.
    """
    attention = [
        (count, f"{block.name}_{part.id}", part) for block, count in model.blocks for part in mixers(block.parts)
    ]
    table = model.token_table
    if table is None or any(part.sees != "past" for _, _, part in attention):
        return None
    products = [weight_flops(parameters=model.active_non_embedding_parameters())]
    if again := model.reused_parameters():
        products.append(weight_flops(parameters=again).named("flops_of_shared_weights"))
    logits = logits_flops(vocab_size=table.rows, d_model=table.width)
    seen = [
        repeated_flops(count=count, flops=part.mixing_flops(seq_len=seq_len)).named(id) for count, id, part in attention
    ]
    scores = [total("all_attention_flops", r"C_\text{attn}", *seen)] if seen else []
    return total("forward_flops", r"C_\text{forward}", *products, logits, *scores)


def component_flops(model: Model, *, seq_len: Any) -> dict[str, Quantity] | None:
    """The operations of `forward_flops` by component: of its weights, and "scores" of attention and "logits" beside.

    They add up to it. Weights that a layer runs again are "again".
    """
    forward = forward_flops(model, seq_len=seq_len)
    if forward is None:
        return None
    multiplied = model.multiplied_components()
    found = {component: weight_flops(parameters=q).named(component) for component, q in multiplied.items()}
    others = {"again": "flops_of_shared_weights", "scores": "all_attention_flops", "logits": "logits_flops"}
    return found | {name: forward.inputs[id] for name, id in others.items() if id in forward.inputs}


def palm_flops_of(model: Model, *, seq_len: Any) -> Quantity:
    """Operations of training for one token by PaLM's convention, with the active parameters of a mixture."""
    layers = [
        (count, f"{block.name}_{part.id}", mixer.heads)
        for block, count in model.blocks
        for part in block.caches()
        for mixer in mixers((part,))
    ]
    attention = [
        whole_attention_flops(
            n_attention_layers=count, n_heads=heads.n_heads, d_head=heads.d_head, seq_len=seq_len
        ).named(id)
        for count, id, heads in layers
    ]
    if not attention:
        attention = [whole_attention_flops(n_attention_layers=0, n_heads=0, d_head=0, seq_len=seq_len)]
    scores = total("all_attention_flops", r"C_\text{attn}", *attention)
    found: Quantity = palm_flops(parameters=model.active_parameters(), attention_flops=scores)
    return found
