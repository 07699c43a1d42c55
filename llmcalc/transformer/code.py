"""How a family's code runs its layers: what parameters do not tell, and what decides which tensors are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Code:
    """One implementation of a decoder. The defaults are a plain one, written with PyTorch's own modules (nanoGPT's).

    ``norm`` and ``qk_norm`` name a norm of `llmcalc.step.norms`, ``activation`` one of `llmcalc.step.activations`.
    ``parameterless_norms``: norms have no weights, so that they are no parts, but they run.
    ``parallel``: attention and feed-forward network read the same input. ``norm_after``: where a norm of the layout
    stands after its branch: "branch" before the sum with the residual stream (OLMo 2), "sum" after it (BERT).

    ``joined_projections``: queries, keys and values come out of one product ("split": in three parts; "heads": head by
    head; "slices": by slicing; "no": three products). ``joined_gate``: gate and input likewise.
    ``rotary``: "none"; "half" rotates halves of a head, "partial" of a part of it, "interleaved" neighbours.
    ``rotary_width``: how many of a head's channels are rotated (None: all). ``rotary_tables``: how many angles there are
    (local and global layers). ``wide_rotary``: it runs in fp32.
    ``query_scaled``: queries are multiplied by 1/√d_h in a product of their own.
    ``softmax_fp32``: an unfused softmax asks for fp32. ``causal_buffer``: its mask is a bool of its own in each layer
    (nanoGPT); else one mask is added to all. ``softcap``: attention scores go through a tanh (Gemma 2).
    ``position_bias``: ALiBi: a bias for each head is added to the scores.

    ``embedding_scaled``: embeddings are multiplied by a number. ``branch_scaled``: so is what each branch adds
    (Granite). ``logits_scaled``: so are logits; ``logits_capped``: they go through a tanh (Gemma 2).
    ``dropout_at`` names the places that a dropout rate applies to: embedding, attention, residual, activation.
    ``experts``: "grouped" sorts tokens by expert and runs one product for all. ``router`` names how experts are chosen.
    ``loss_fp32``: the loss is computed on an fp32 copy of the logits (Hugging Face).
    """

    norm: str = "layer_norm"
    qk_norm: str = "rms"
    parameterless_norms: bool = False
    norm_after: str = ""
    parallel: bool = False
    activation: str = "gelu"
    joined_projections: str = "split"
    joined_gate: bool = False
    rotary: str = "none"
    rotary_width: int | None = None
    rotary_tables: int = 1
    wide_rotary: bool = False
    query_scaled: bool = False
    softmax_fp32: bool = False
    causal_buffer: bool = True
    softcap: bool = False
    position_bias: bool = False
    sdpa: bool = True
    embedding_scaled: bool = False
    branch_scaled: bool = False
    logits_scaled: bool = False
    logits_capped: bool = False
    dropout_at: tuple[str, ...] = ("embedding", "attention", "residual")
    experts: str = "grouped"
    router: str = "softmax_topk"
    loss_fp32: bool = False


PLAIN = Code()
