"""How a family's code runs its layers: what parameters do not tell, and what decides which tensors are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

Norm = Literal[
    "layer_norm",
    "fused_rms",
    "rms",
    "rms_weight_fp32",
    "rms_power",
    "rms_cast_last",
    "rms_weight_cast",
    "layer_norm_in_python",
    "layer_norm_fp32",
    "layer_norm_1p",
    "layer_norm_by_head",
    "rms_t5",
]
NormPlace = Literal[
    "embedding_norm", "attention_norm", "feed_forward_norm", "final_norm", "query_norm", "key_norm", "value_norm"
]
Joined = Literal["no", "split", "copied", "slices", "indexed", "spread"]
Named = Literal[
    "embeddings",
    "narrow_embedding",
    "attention",
    "norm",
    "network",
    "weights",
    "rotated",
    "joined",
    "queries",
    "unmasked",
    "masked",
    "picked",
]
DropoutPlace = Literal["embedding", "attention", "activation", "residual", "projection", "feed_forward", "final"]


@dataclass(frozen=True, kw_only=True)
class Code:
    """One implementation of a decoder. The defaults are a plain one, written with PyTorch's own modules (nanoGPT's).

    Raises ValueError, naming the field and its choices, for a word that is none of them, and for a size that cannot be.
    """

    # Norms: names of `llmcalc.step.norms`
    norm: Norm = "layer_norm"
    # Norms stand after a "branch", before its sum with the stream (OLMo 2), or after the "sum"
    norm_after: Literal["", "branch", "sum"] = ""
    weightless_norms: tuple[NormPlace, ...] = ()  # those without weights, which are no parts but run
    qk_norm: Norm = "rms"  # of queries and keys
    qk_norm_by_head: bool = False  # head by head, even where each head has its own weights
    qk_norm_last: bool = False  # after the rotation

    # Linear layers
    products_by_hand: bool = False  # a product, whose cast weight autocast does not remember, and a sum (Falcon)
    inner_cast: bool = False  # a network's inside is brought to the format of the weight that reads it (T5)
    joined_gate: bool = False  # a network's gate and input come out of one product
    # Queries, keys and values come out of three products ("no"), or out of one: by "split", and "copied" perhaps as
    # heads are counted in groups (CodeGen), by "slices", by lists of indices that copy keys and values ("indexed"), or
    # copied for every head at once ("spread")
    joined_projections: Joined = "split"
    projections_clamped: bool = False
    queries_first: bool = False  # queries are normed and turned before keys and values are made (Gemma 3n and 4),
    values_last: bool = False  # and keys before values (Gemma 3n)
    gate_joined: bool = False  # queries and the gate of attention's output come out of one product (Qwen3-Next)
    delta_joined: bool = False  # the delta rule's queries, keys, values and gate do, head by head

    # Embeddings
    embedding_projected_last: bool = False  # a narrow embedding is widened after its norm (ELECTRA)
    positions_of_batch: bool = False  # each sequence has its own positions, counted from its ids (RoBERTa)

    per_layer_in_place: bool = False  # a second embedding's ids are copied, its projection scaled in place (Gemma 3n)
    positions_computed: bool = False  # rows of a buffer of sinusoids are added (M2M100)

    # Rotary positions
    rotary: bool = False
    # Of a head, joined with the rest even where that is nothing; None: whole heads
    rotary_fraction: float | None = None
    rotary_width: int | None = None  # so many channels of a head instead
    rotary_local: bool = False  # only local layers are rotated, where there are any
    rotary_tables: Literal[1, 2] = 1  # sets of angles; 2: local layers have their own
    rotary_tables_half: bool = False  # as wide as half of what turns
    rotary_of_batch: bool = False  # each sequence has its own
    rotary_tables_fp32: bool = False  # not brought to the format of the stream
    # Tables are spread out again in each "layer", or for each "tensor"
    rotary_spread: Literal["", "layer", "tensor"] = ""
    rotary_complex: bool = False  # cosine and sine are one table
    # Queries and keys are brought to fp32 first: "each" on its way, or "both" until both are turned (Cohere)
    rotary_inputs_fp32: Literal["", "each", "both"] = ""

    causal: bool = True  # a token does not see those behind it, for which a mask is made
    caches: bool = True  # it has a cache; without one all is read again for each new token (GPT)

    # Attention step by step
    # By 1/√d_h: "scores" or "queries" in a step of their own, or in the "product"
    scaled: Literal["scores", "queries", "product"] = "scores"
    scores_fp32: bool = False  # queries and keys are brought to fp32 for their product,
    scores_outside_autocast: bool = False  # which is not autocast
    scores_floored: bool = False  # a maximum with a constant is taken (XGLM)
    softcap: bool = False  # scores go through a tanh (Gemma 2)
    # A head's sink is one more "key" of its softmax (gpt-oss), or scales its "output"
    sinks: Literal["key", "output"] = "key"
    position_bias: Literal["", "added", "mask"] = ""  # ALiBi: "added" in fp32, or part of the "mask"
    # "added", "filled" in, or filled in from each layer's "own" buffer (nanoGPT)
    mask: Literal["added", "filled", "own"] = "own"
    mask_kept: bool = False  # a checkpointed layer takes it by position, which autograd keeps, and not by name
    local_mask: bool = True  # local layers have another than global ones
    both_masks: bool = False  # both are made, whichever layers there are
    softmax_fp32: bool = False  # the softmax asks for fp32

    disentangled: bool = False  # content and relative positions are scored each way (DeBERTa)

    # Attention in a fused kernel
    sdpa: bool = True  # there is one
    sdpa_grouped: bool = True  # it is told that key/value heads are fewer, and need not fall back
    sdpa_mask: bool = False  # it is given a mask even where a causal one is all that is needed

    # What still has a name, and so its memory, when it is no longer read: vectors of tokens and positions before they
    # are added ("embeddings"), or before they are widened, but then not after ("narrow_embedding"); "attention"'s
    # output and the "norm" before it while the network runs, and all that a gated "network" makes; the attention
    # "weights" of a layer until the next one is through; the pieces that "rotated" heads are joined from; while heads
    # are compared, the product that queries, keys and values were taken from ("joined") and "queries" laid out by
    # heads; while a softmax runs, the scores before they were masked ("unmasked") and those that it reads ("masked");
    # what an indexer "picked", until the next one has
    named: tuple[Named, ...] = ()

    # The rest of a layer, and of the model
    layer_runs: int = 1  # how many times all layers run, one after the other, with the same weights (ALBERT)
    network_inline: bool = False  # a layer runs its network itself: what that reads goes once its first product is made
    single_branch: bool = False  # a layer may be attention alone, or a network alone (Nemotron-H)
    # Where only the last token's logits are wanted, it goes alone through layers that borrow keys and values (Gemma 4)
    borrowers_last: bool = False
    parallel: bool = False  # attention and feed-forward network read the same input
    parallel_norm_last: bool = False  # its norm for the network runs behind attention (GPT-NeoX)
    activation: str = "gelu"  # as configs call it: `llmcalc.step.activations` says which it runs
    # Also: "activation"; one end of a branch only, attention's "projection" or "feed_forward"; and "final"
    dropout_at: tuple[DropoutPlace, ...] = ("embedding", "attention", "residual")
    embedding_scaled: bool = False  # multiplied by a number
    # Numbers of the config scale what goes into the parts of a layer, keys and gates too, and what comes out; attention
    # and states stand side by side (Falcon-H1)
    multiplied: bool = False
    norm_before_gate: bool = False  # what a state gives is normed before its gate
    altup_clipped: bool = False  # the weights by which AltUp corrects its streams are bounded (Gemma 3n)
    layer_scaled: bool = False  # what each layer gives is multiplied in place by a number of its own (Gemma 4)
    branch_scaled: bool = False  # what each branch adds to the stream is (Granite)
    logits_scaled: bool = False
    logits_fp32: bool = False  # the model gives them in fp32
    logits_biased: bool = False  # by a buffer (BART)
    head_input_scaled: bool = False  # what a tied head reads is multiplied by a number (T5)
    loss_fp32: bool = True  # its own loss is taken of an fp32 copy of the logits
    logits_capped: bool = False  # they go through a tanh (Gemma 2)

    # What is registered beside the weights: causal "masks", or "tables" of angles or sinusoids, for n_positions
    buffers: Literal["", "masks", "tables"] = ""
    buffers_in_layers: bool = True  # each layer has one; or the model does, so many
    buffers_outside: Literal[1, 2] = 1
    buffers_unfused_only: bool = False  # only where attention goes step by step (nanoGPT)
    buffer_format: Literal["weights", "bool", "fp32"] = "weights"  # that of the weights, or one of its own
    n_positions: int = 0

    # Mixtures of experts
    # Tokens sorted by expert, one product for all; "everywhere": every expert on every token
    experts: Literal["grouped", "everywhere"] = "grouped"
    shared_first: bool = False  # shared experts run before the others, and what they made waits
    # PEFT's "all-linear" means matrices of experts, which were modules once, and then no other of such networks
    experts_adapted: bool = False
    expert_gate: Literal["", "clamped"] = ""  # as in a feed-forward network; "clamped" (gpt-oss)
    # Of all logits, or their "sigmoid", or the "chosen_softmax" of those that were chosen
    router: Literal["softmax", "sigmoid", "chosen_softmax"] = "softmax"
    router_fp32: bool = False  # logits are computed in fp32,
    router_as_computed: bool = False  # or the scores stay in the format of the product (LFM2)
    router_outside_autocast: bool = False  # also under autocast
    router_normalised: bool = True  # the weights of the chosen are divided by their sum,
    router_scaled: bool = False  # multiplied by a number,
    router_cast: bool = False  # and brought to the format of the router's input

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            value = getattr(self, name)
            for word in value if name in LISTS else (value,):
                if word not in known:
                    raise ValueError(f"{name}: {word!r} is none of {', '.join(map(repr, known))}")
        if self.rotary_fraction is not None and not 0 <= self.rotary_fraction <= 1:
            raise ValueError(f"rotary_fraction: {self.rotary_fraction!r} is not between 0 and 1")
        if self.rotary_width is not None and self.rotary_width < 1:
            raise ValueError(f"rotary_width: {self.rotary_width!r} is less than 1")
        if self.layer_runs < 1:
            raise ValueError(f"layer_runs: {self.layer_runs!r} is less than 1")
        if self.n_positions < 0:
            raise ValueError(f"n_positions: {self.n_positions!r} is less than 0")


def _choices(hint: Any) -> tuple[Any, ...]:
    """What a field of that type, or each word of a tuple of them, can be; nothing where it is free."""
    if hint is bool:
        return (False, True)
    if get_origin(hint) is tuple:
        return _choices(get_args(hint)[0])
    return get_args(hint) if get_origin(hint) is Literal else ()


_TYPES = get_type_hints(Code)
CHOICES = {name: known for name, hint in _TYPES.items() if (known := _choices(hint))}
LISTS = frozenset(name for name, hint in _TYPES.items() if get_origin(hint) is tuple)  # fields of any number of words
PLAIN = Code()
