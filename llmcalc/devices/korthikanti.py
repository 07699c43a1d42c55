"""Korthikanti et al.'s closed formulas for a GPT in 16 bits with dropout, its attention matrix stored.

They are the check of `llmcalc.devices`, which counts any model from the simulation of its step.
"""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import KORTHIKANTI_2022


@formula(r"M_\text{layer}", "bytes", KORTHIKANTI_2022.at("sec. 4.1, eq. 1"))
def korthikanti_layer(*, batch_size, seq_len, d_model, n_heads):
    """Activations of one layer on one device: sbh(34 + 5as/h)."""
    return 34 * batch_size * seq_len * d_model + 5 * n_heads * batch_size * seq_len**2


@formula(r"M_\text{layer}", "bytes", KORTHIKANTI_2022.at("sec. 4.2.1, eq. 2"))
def tensor_parallel_activations(*, batch_size, seq_len, d_model, n_heads, tensor_parallel):
    """Activations of one layer under tensor parallelism: sbh(10 + 24/t + 5as/ht)."""
    return batch_size * seq_len * (10 * d_model + (24 * d_model + 5 * n_heads * seq_len) / tensor_parallel)


@formula(r"M_\text{layer}", "bytes", KORTHIKANTI_2022.at("sec. 4.2.2, eq. 4"))
def sequence_parallel_activations(*, batch_size, seq_len, d_model, n_heads, tensor_parallel):
    """Activations of one layer under tensor and sequence parallelism: all of eq. 1 is divided by t."""
    return batch_size * seq_len * (34 * d_model + 5 * n_heads * seq_len) / tensor_parallel


@formula(r"M_\text{layer}", "bytes", KORTHIKANTI_2022.at("sec. 5, table 2"))
def selective_activations(*, batch_size, seq_len, d_model, tensor_parallel):
    """Activations of one layer under tensor parallelism with selective recomputation: no attention matrix."""
    return batch_size * seq_len * d_model * (10 + 24 / tensor_parallel)


@formula(r"M_\text{layer}", "bytes", KORTHIKANTI_2022.at("sec. 5, eq. 6"))
def selective_sequence_parallel_activations(*, batch_size, seq_len, d_model, tensor_parallel):
    """Activations of one layer under tensor and sequence parallelism with selective recomputation: 34sbh/t."""
    return 34 * batch_size * seq_len * d_model / tensor_parallel


@formula(r"M_\text{layer}", "bytes", KORTHIKANTI_2022.at("sec. 5, table 2"))
def full_recomputation_activations(*, batch_size, seq_len, d_model):
    """Activations of one layer with full recomputation: its input alone, 2sbh."""
    return 2 * batch_size * seq_len * d_model


@formula(r"L_\text{first}", "", KORTHIKANTI_2022.at("sec. 4.2.3"))
def first_stage_layers(*, n_layers, pipeline_parallel, interleave):
    """Layers whose activations the first stage of an interleaved pipeline holds: L(1 + (p − 1)/pm)."""
    return n_layers * (1 + (pipeline_parallel - 1) / (pipeline_parallel * interleave))


@formula(r"M_\text{state}", "bytes", KORTHIKANTI_2022.at("fig. 1"))
def parameters_and_optimizer(*, n_layers, d_model, tensor_parallel, pipeline_parallel):
    """Weights, fp32 gradients and Adam's states of one device: 18 bytes for each of its 12Lh²/tp parameters."""
    return 18 * 12 * n_layers * d_model**2 / (tensor_parallel * pipeline_parallel)
