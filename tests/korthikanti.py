"""Korthikanti et al. 2022 (arXiv 2205.05198): closed formulas for a GPT in 16 bits with dropout, in bytes.

The attention matrix is stored. They are the check of `llmcalc.devices`, which counts any model from its simulated step.
"""

from __future__ import annotations


def korthikanti_layer(*, batch_size, seq_len, d_model, n_heads):
    """Activations of one layer on one device: sbh(34 + 5as/h); sec. 4.1, eq. 1."""
    return 34 * batch_size * seq_len * d_model + 5 * n_heads * batch_size * seq_len**2


def tensor_parallel_activations(*, batch_size, seq_len, d_model, n_heads, tensor_parallel):
    """Activations of one layer under tensor parallelism: sbh(10 + 24/t + 5as/ht); sec. 4.2.1, eq. 2."""
    return batch_size * seq_len * (10 * d_model + (24 * d_model + 5 * n_heads * seq_len) / tensor_parallel)


def sequence_parallel_activations(*, batch_size, seq_len, d_model, n_heads, tensor_parallel):
    """With sequence parallelism too: all of eq. 1 is divided by t; sec. 4.2.2, eq. 4."""
    return batch_size * seq_len * (34 * d_model + 5 * n_heads * seq_len) / tensor_parallel


def selective_activations(*, batch_size, seq_len, d_model, tensor_parallel):
    """With selective recomputation: no attention matrix; sec. 5, table 2."""
    return batch_size * seq_len * d_model * (10 + 24 / tensor_parallel)


def both_activations(*, batch_size, seq_len, d_model, tensor_parallel):
    """Activations of one layer with all three: 34sbh/t; sec. 5, eq. 6."""
    return 34 * batch_size * seq_len * d_model / tensor_parallel


def first_stage_layers(*, n_layers, pipeline_parallel, interleave):
    """Layers whose activations the first stage of an interleaved pipeline holds: L(1 + (p − 1)/pm); sec. 4.2.3."""
    return n_layers * (1 + (pipeline_parallel - 1) / (pipeline_parallel * interleave))


def parameters_and_optimizer(*, n_layers, d_model, tensor_parallel, pipeline_parallel):
    """Weights, fp32 gradients and Adam's states of one device: 18 bytes for each of its 12Lh²/tp parameters; fig. 1."""
    return 18 * 12 * n_layers * d_model**2 / (tensor_parallel * pipeline_parallel)
