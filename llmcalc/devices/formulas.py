"""What several devices add to the account of one: shares, micro-batches in flight, buffers."""

from __future__ import annotations

import numpy as np

from llmcalc.quantity import formula
from llmcalc.sources import (
    FEDUS_2021,
    KORTHIKANTI_2022,
    LIU_2023,
    NARAYANAN_2021,
    PYTORCH,
    RAJBHANDARI_2020,
    REN_2021,
    ZHAO_2023,
)

# What stays


@formula(r"M_\text{weights}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def rank_weights(*, rank_parameters, weight_bytes):
    """Weights of one rank: of its layers, as tensor parallelism cuts them up."""
    return rank_parameters * weight_bytes


@formula(r"M_\text{weights}", "bytes", RAJBHANDARI_2020.at("sec. 5.3"))
def shared_weights(*, rank_parameters, weight_bytes, shards):
    """Weights of one rank, shared out among the ranks that have the same (ZeRO stage 3)."""
    return rank_parameters * weight_bytes / shards


@formula(r"M_\text{gradients}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def rank_gradients(*, rank_parameters, gradient_bytes):
    """Gradients of one rank: one for each of its weights that trains."""
    return rank_parameters * gradient_bytes


@formula(r"M_\text{gradients}", "bytes", RAJBHANDARI_2020.at("sec. 5.2"))
def shared_gradients(*, rank_parameters, gradient_bytes, shards):
    """Gradients of one rank, shared out among the ranks that have the same weights (ZeRO stage 2)."""
    return rank_parameters * gradient_bytes / shards


@formula(r"M_\text{optimizer}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def rank_optimizer_state(*, rank_parameters, optimizer_bytes):
    """States and master copy of one rank, for each of its weights that trains."""
    return rank_parameters * optimizer_bytes


@formula(r"M_\text{optimizer}", "bytes", RAJBHANDARI_2020.at("sec. 5.1"))
def shared_optimizer_state(*, rank_parameters, optimizer_bytes, shards):
    """States and master copy of one rank, shared out among the ranks that have the same weights (ZeRO stage 1)."""
    return rank_parameters * optimizer_bytes / shards


@formula(r"M_\text{host}", "bytes", REN_2021.at("sec. 4.1"))
def offloaded_optimizer_state(*, rank_parameters, optimizer_bytes):
    """States and master copy of one rank in the memory of the host, which then steps the optimizer."""
    return rank_parameters * optimizer_bytes


@formula(r"M_\text{host}", "bytes", REN_2021.at("sec. 4.2"))
def shared_offloaded_optimizer_state(*, rank_parameters, optimizer_bytes, shards):
    """The same, shared out among the ranks that have the same weights (ZeRO stage 1)."""
    return rank_parameters * optimizer_bytes / shards


# Micro-batches in flight


@formula("k", "", NARAYANAN_2021.at("sec. 2.2.1"))
def micro_batches_in_flight(*, pipeline_parallel, stage, micro_batches):
    """Micro-batches whose activations a pipeline rank holds at once (1F1B): as many as there are stages from it on."""
    return np.minimum(pipeline_parallel - stage, micro_batches)


@formula("k", "", NARAYANAN_2021.at("sec. 2.2.2, and Megatron-LM's warm-up"))
def interleaved_in_flight(*, pipeline_parallel, interleave, stage, micro_batches):
    """The same where a rank holds v stretches of layers: on the first rank 1 + (p − 1)/pv times a whole pipeline's."""
    return np.minimum(
        pipeline_parallel + (2 * (pipeline_parallel - stage - 1) + 1 - pipeline_parallel) / interleave, micro_batches
    )


@formula(r"M_\text{in flight}", "bytes", NARAYANAN_2021.at("sec. 2.2.1"))
def other_micro_batches(*, in_flight, kept_bytes):
    """Activations of the micro-batches that wait while one is in its backward pass."""
    return (in_flight - 1) * kept_bytes


# Buffers


@formula(r"M_\text{all-gather}", "bytes", KORTHIKANTI_2022.at("sec. 4.2.2"))
def sequence_gather_buffer(*, element_bytes, batch_size, rank_tokens, d_model):
    """Sequence parallelism: the input of a product, gathered from all tensor-parallel ranks."""
    return element_bytes * batch_size * rank_tokens * d_model


@formula(r"M_\text{p2p}", "bytes", NARAYANAN_2021.at("sec. 3.2"))
def pipeline_buffers(*, element_bytes, batch_size, rank_tokens, d_model, split):
    """Pipeline: activations that come from the stage before, and gradients from the stage behind."""
    return 2 * element_bytes * batch_size * rank_tokens * d_model / split


@formula(r"M_\text{ring}", "bytes", LIU_2023.at("sec. 3"))
def ring_buffers(*, element_bytes, batch_size, rank_tokens, n_kv_heads, d_head):
    """Ring attention: the keys and values of the block that is attended to, and of the next, which is under way."""
    return 4 * element_bytes * batch_size * rank_tokens * n_kv_heads * d_head


@formula(r"M_\text{all-to-all}", "bytes", FEDUS_2021.at("sec. 2.2, capacity factor 1"))
def dispatch_buffers(*, element_bytes, batch_size, rank_tokens, top_k, d_model, split):
    """Expert parallelism: tokens sent to the experts of other ranks, and those received, evenly loaded."""
    return 2 * element_bytes * batch_size * rank_tokens * top_k * d_model / split


@formula(r"M_\text{gathered}", "bytes", ZHAO_2023.at("sec. 3.2, 3.3"))
def gathered_weights(*, root_bytes, layer_bytes):
    """ZeRO stage 3: whole weights of what is outside the layers, of the layer that runs, and of the prefetched next."""
    return root_bytes + 2 * layer_bytes


@formula(r"M_\text{gathered}", "bytes", PYTORCH.at("fully_shard, reshard_after_forward=False"))
def kept_weights(*, gathered_bytes):
    """ZeRO stage 3 with weights kept gathered: all of them whole."""
    return gathered_bytes


@formula(r"M_\text{added}", "bytes", PYTORCH.at("torch/distributed/pipelining/stage.py, backward_maybe_with_nosync"))
def added_gradients(*, gradients_added):
    """ZeRO stage 3 in a pipeline: gradients are added up whole, and reduced behind the last micro-batch."""
    return gradients_added


@formula(r"M_\text{reduce}", "bytes", ZHAO_2023.at("sec. 3.1"))
def gradients_to_reduce(*, layer_bytes):
    """ZeRO stage 3: whole gradients of what trains in one layer, in the format that they are reduced in."""
    return layer_bytes


@formula(r"M_\text{buckets}", "bytes", PYTORCH.at("torch/nn/parallel/distributed.py, gradient_as_bucket_view"))
def gradient_buckets(*, rank_parameters, gradient_bytes):
    """Data parallelism: buckets in which gradients are sent, as large as all of them together."""
    return rank_parameters * gradient_bytes


@formula(r"M_\text{reduce}", "bytes", ZHAO_2023.at("sec. 3.1"))
def reduce_buffer(*, block_parameters, gradient_bytes):
    """ZeRO stage 2: whole gradients of what trains in one layer, on their way to the ranks that keep them."""
    return block_parameters * gradient_bytes
