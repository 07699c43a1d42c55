"""A forward pass without a graph, of a model that reads a batch and does not train on it: a teacher, a reference."""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import HINTON_2015, MEASURED


@formula(r"M_\text{logits}", "bytes", HINTON_2015.at("sec. 2"))
def teacher_logits_memory(*, batch_size, seq_len, vocab_size, element_bytes):
    """The teacher's logits, which wait for those of the student."""
    return batch_size * seq_len * vocab_size * element_bytes


@formula(r"M_\text{pass}", "bytes", MEASURED.at("forward passes without a graph, of decoders with fused attention"))
def teacher_pass_memory(*, element_bytes, batch_size, seq_len, d_model, n_products, d_ff):
    """What a forward pass without a graph holds in one layer: four hidden states, and the feed-forward's products."""
    return element_bytes * batch_size * seq_len * (4 * d_model + n_products * d_ff)
