"""How a family's code runs its layers: what parameters do not tell, and what decides which tensors are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Code:
    """One implementation of a decoder. The defaults are a plain one, written with PyTorch's own modules (nanoGPT's)."""

    # Norms: names of `llmcalc.step.norms`
    norm: str = "layer_norm"
    norm_after: str = ""  # norms stand after a "branch", before its sum with the stream (OLMo 2), or after the "sum"
    weightless_norms: tuple[str, ...] = ()  # those without weights, which are no parts but run
    qk_norm: str = "rms"  # of queries and keys
    qk_norm_by_head: bool = False  # head by head, even where each head has its own weights
    qk_norm_last: bool = False  # after the rotation

    # Linear layers
    products_by_hand: bool = False  # a product, whose cast weight autocast does not remember, and a sum (Falcon)
    joined_gate: bool = False  # a network's gate and input come out of one product
    # Queries, keys and values come out of three products ("no"), or out of one: by "split", by "slices", by lists of
    # indices that copy keys and values ("indexed"), or copied for every head at once ("spread")
    joined_projections: str = "split"
    projections_clamped: bool = False

    # Rotary positions
    rotary: bool = False
    rotary_fraction: float | None = (
        None  # of a head, joined with the rest even where that is nothing; None: whole heads
    )
    rotary_width: int | None = None  # so many channels of a head instead
    rotary_local: bool = False  # only local layers are rotated, where there are any
    rotary_tables: int = 1  # sets of angles; 2: local layers have their own
    rotary_tables_half: bool = False  # as wide as half of what turns
    rotary_tables_fp32: bool = False  # not brought to the format of the stream
    rotary_spread: str = ""  # tables are spread out again in each "layer", or for each "tensor"
    rotary_complex: bool = False  # cosine and sine are one table
    rotary_inputs_fp32: bool = False  # queries and keys are brought to fp32 first

    # Attention step by step
    scaled: str = "scores"  # by 1/√d_h: "scores" or "queries" in a step of their own, or in the "product"
    scores_fp32: bool = False  # queries and keys are brought to fp32 for their product,
    scores_outside_autocast: bool = False  # which is not autocast
    scores_floored: bool = False  # a maximum with a constant is taken (XGLM)
    softcap: bool = False  # scores go through a tanh (Gemma 2)
    sinks: str = "key"  # a head's sink is one more "key" of its softmax (gpt-oss), or scales its "output"
    position_bias: str = ""  # ALiBi: "added" in fp32, or part of the "mask"
    mask: str = "own"  # "added", "filled" in, or filled in from each layer's "own" buffer (nanoGPT)
    mask_kept: bool = False  # a checkpointed layer takes it by position, which autograd keeps, and not by name
    local_mask: bool = True  # local layers have another than global ones
    softmax_fp32: bool = False  # the softmax asks for fp32

    # Attention in a fused kernel
    sdpa: bool = True  # there is one
    sdpa_grouped: bool = True  # it is told that key/value heads are fewer, and need not fall back
    sdpa_mask: bool = False  # it is given a mask even where a causal one is all that is needed

    # The rest of a layer, and of the model
    parallel: bool = False  # attention and feed-forward network read the same input
    activation: str = "gelu"  # a name of `llmcalc.step.activations`
    dropout_at: tuple[str, ...] = (
        "embedding",
        "attention",
        "residual",
    )  # also: activation, feed_forward (its end only)
    embedding_scaled: bool = False  # multiplied by a number
    branch_scaled: bool = False  # what each branch adds to the stream is (Granite)
    logits_scaled: bool = False
    logits_capped: bool = False  # they go through a tanh (Gemma 2)

    # What is registered beside the weights: causal "masks", or "tables" of angles or sinusoids, for n_positions
    buffers: str = ""
    buffers_in_layers: bool = True  # each layer has one; or the model does
    buffers_unfused_only: bool = False  # only where attention goes step by step (nanoGPT)
    buffer_format: str = "weights"  # that of the weights, or one of its own
    n_positions: int = 0

    # Mixtures of experts
    experts: str = "grouped"  # tokens sorted by expert, one product for all; "everywhere": every expert on every token
    expert_gate: str = ""  # as in a feed-forward network; "clamped" (gpt-oss)
    router: str = "softmax"  # of all logits, or their "sigmoid", or the "chosen_softmax" of those that were chosen
    router_fp32: bool = False  # logits are computed in fp32,
    router_outside_autocast: bool = False  # also under autocast
    router_normalised: bool = True  # the weights of the chosen are divided by their sum,
    router_scaled: bool = False  # multiplied by a number,
    router_cast: bool = False  # and brought to the format of the router's input


PLAIN = Code()
