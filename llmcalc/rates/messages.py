"""Bytes that a rank of a training step on several devices sends to the others."""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import FEDUS_2021, LIU_2023, NARAYANAN_2021, RAJBHANDARI_2020, SHOEYBI_2019


@formula(r"C_\text{TP}", "bytes", SHOEYBI_2019.at("sec. 3, fig. 4"))
def tensor_messages(*, all_reduces, tensor_parallel, rank_layers, micro_batches, hidden_bytes):
    """Tensor parallelism: all-reduces of the hidden state in each layer, two forward and two backward, as rings."""
    return all_reduces * rank_layers * micro_batches * hidden_bytes * 2 * (tensor_parallel - 1) / tensor_parallel


@formula(r"C_\text{PP}", "bytes", NARAYANAN_2021.at("sec. 3.2"))
def pipeline_messages(*, interleave, pipeline_ends, micro_batches, hidden_bytes, split):
    """Pipeline: hidden states to the next stage and their gradients back, for each stretch of layers, but none over the
    pipeline's ends, where a rank has one."""
    return (2 * interleave - pipeline_ends) * micro_batches * hidden_bytes / split


@formula(r"C_\text{CP}", "bytes", LIU_2023.at("sec. 3"))
def ring_messages(*, context_parallel, rank_layers, micro_batches, block_bytes):
    """Ring attention: keys and values once around forward; backward they and their gradients."""
    return 3 * (context_parallel - 1) * rank_layers * micro_batches * block_bytes


@formula(r"C_\text{EP}", "bytes", FEDUS_2021.at("sec. 2.2"))
def dispatch_messages(*, expert_parallel, rank_layers, micro_batches, dispatched_bytes):
    """Expert parallelism: tokens to their experts and back, forward and backward."""
    return 4 * rank_layers * micro_batches * dispatched_bytes * (expert_parallel - 1) / expert_parallel


@formula(r"C_\text{DP}", "bytes", RAJBHANDARI_2020.at("sec. 7.1"))
def gradient_messages(*, rank_parameters, gradient_bytes, replicas):
    """Data parallelism, ZeRO stages 0 to 2: gradients reduced and results gathered, as rings."""
    return 2 * rank_parameters * gradient_bytes * (replicas - 1) / replicas


@formula(r"C_\text{FSDP}", "bytes", RAJBHANDARI_2020.at("sec. 7.2"))
def sharded_messages(*, rank_parameters, gradient_bytes, gathered_bytes, micro_batches, replicas):
    """ZeRO stage 3: gradients of what trains reduced, and all weights, frozen ones too, gathered forward and backward
    for every micro-batch."""
    return (rank_parameters * gradient_bytes + 2 * gathered_bytes * micro_batches) * (replicas - 1) / replicas
