"""How a family's code runs its layers: what parameters do not tell, and what decides which tensors are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Code:
    """One implementation of a decoder. The defaults are a plain one, written with PyTorch's own modules (nanoGPT's).

    Norms: ``norm`` and ``qk_norm`` name norms of `llmcalc.step.norms`; ``norm_after`` says where those of the layout
    stand after a branch: "branch" before the sum with the residual stream (OLMo 2), "sum" after it (GPT-1).
    ``weightless_norms`` names those without weights, which are no parts but run. ``qk_norm_by_head``: queries and keys
    are normalised head by head even where each head has its own weights. ``qk_norm_last``: after the rotation.

    ``parallel``: attention and feed-forward network read the same input. ``activation`` names a nonlinearity of
    `llmcalc.step.activations`. ``joined_gate``: gate and input come out of one product.

    ``products_by_hand``: linear layers are a product with a transposed weight, whose cast autocast does not remember,
    and a sum with the bias, which is not autocast (Falcon).
    ``joined_projections``: how queries, keys and values come out of one product: "split" in three, "slices" by slicing,
    "indexed" keys and values by lists of indices, which copy (Falcon), "spread" copied for every head at once (Falcon's
    new architecture); "no": three products. ``projections_clamped``: they are clamped.

    ``rotary``: queries and keys are rotated. ``rotary_fraction``: that part of each head, which is then joined with the
    rest, even where that is nothing (None: whole heads); ``rotary_width``: so many channels instead.
    ``rotary_tables``: how many sets of angles there are (2: local layers have their own). ``rotary_spread``: tables are
    spread out again in each "layer" or for each "tensor" ("": never). ``rotary_tables_fp32``: they are left in fp32;
    ``rotary_inputs_fp32``: queries and keys are brought to fp32 first; ``rotary_tables_half``: as wide as half of what
    turns; ``rotary_complex``: cosine and sine are one table; ``rotary_local``: only local layers, where there are any,
    are rotated.

    Attention without a fused kernel: ``scores_fp32``: queries and keys are brought to fp32 for their product,
    ``scores_outside_autocast``: which is not autocast.
    ``scaled`` by 1/√d_h: "scores" or "queries" in a step of their own, or in the "product". ``softcap``: scores go
    through a tanh (Gemma 2). ``position_bias``: ALiBi is "added" in fp32, or part of the "mask". ``scores_floored``:
    a maximum with a constant is taken (XGLM). ``mask``: "added", "filled" in, or "own": filled in from a buffer of each
    layer (nanoGPT); ``local_mask``: local layers have another than global ones. ``softmax_fp32``: the softmax asks for it.
    ``sdpa``: there is a fused kernel; ``sdpa_grouped``: it is told that key/value heads are fewer (else it falls back);
    ``sdpa_mask``: it is given a mask even where a causal one is all that is needed.

    ``embedding_scaled``: embeddings are multiplied by a number. ``branch_scaled``: so is what each branch adds
    (Granite). ``logits_scaled``: so are logits; ``logits_capped``: they go through a tanh (Gemma 2).
    ``dropout_at`` names the places that a dropout rate applies to: embedding, attention, activation, and residual or
    feed_forward (the branches' ends, or only the second's).

    ``experts``: "grouped": tokens sorted by expert, one product for all; "everywhere": every expert on every token
    (Llama 4). ``expert_gate``: "" as in a feed-forward network; "clamped" (gpt-oss). ``router``: the weights of the
    chosen are a "softmax" or "sigmoid" of all logits, or the "chosen_softmax" of theirs; ``router_fp32``: logits are
    computed in fp32, also under autocast if ``router_outside_autocast``; ``router_normalised``: weights are divided by
    their sum; ``router_scaled``: multiplied by a number; ``router_cast``: brought to the format of their input.
    """

    norm: str = "layer_norm"
    norm_after: str = ""
    weightless_norms: tuple[str, ...] = ()
    qk_norm: str = "rms"
    qk_norm_by_head: bool = False
    qk_norm_last: bool = False
    parallel: bool = False
    activation: str = "gelu"
    joined_gate: bool = False
    products_by_hand: bool = False
    joined_projections: str = "split"
    projections_clamped: bool = False
    rotary: bool = False
    rotary_width: int | None = None
    rotary_fraction: float | None = None
    rotary_tables: int = 1
    rotary_spread: str = ""
    rotary_tables_fp32: bool = False
    rotary_inputs_fp32: bool = False
    rotary_tables_half: bool = False
    rotary_complex: bool = False
    rotary_local: bool = False
    scores_fp32: bool = False
    scores_outside_autocast: bool = False
    scaled: str = "scores"
    softcap: bool = False
    position_bias: str = ""
    scores_floored: bool = False
    mask: str = "own"
    local_mask: bool = True
    softmax_fp32: bool = False
    sdpa: bool = True
    sdpa_grouped: bool = True
    sdpa_mask: bool = False
    embedding_scaled: bool = False
    branch_scaled: bool = False
    logits_scaled: bool = False
    logits_capped: bool = False
    dropout_at: tuple[str, ...] = ("embedding", "attention", "residual")
    experts: str = "grouped"
    expert_gate: str = ""
    router: str = "softmax"
    router_fp32: bool = False
    router_outside_autocast: bool = False
    router_normalised: bool = True
    router_scaled: bool = False
    router_cast: bool = False


PLAIN = Code()
