"""Memory of one training step of a decoder-only model, between steps and at its peaks.

The counting is that of a plain PyTorch loop (nanoGPT's): gradients are freed before the step (``set_to_none``), the
logits are held until the step ends. Batch size and sequence length may be arrays: then every quantity is a sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from llmcalc.article import (
    article_activations,
    article_attention_matrix,
    article_gradients,
    article_input,
    article_layer_activations,
    article_logits,
    article_logits_gradient,
    article_optimizer,
    article_peak,
    article_steady_state,
    article_weights,
)
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import DAO_2022, KORTHIKANTI_2022, NANOGPT, PYTORCH, RAJBHANDARI_2020
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.embedding import TokenEmbedding
from llmcalc.transformer.experts import Experts
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.latent_attention import LatentAttention
from llmcalc.transformer.model import Model

Size = Any  # int, or a float64 array in a sweep
_AUTOGRAD = PYTORCH.at("autograd: tensors saved for backward")


@formula(r"M_\text{weights}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def weights_memory(*, parameters, weight_bytes):
    """Weights, in the format in which the forward pass finds them."""
    return parameters * weight_bytes


@formula(r"M_\text{gradients}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def gradients_memory(*, parameters, gradient_bytes):
    """Gradients: one for each parameter, once the backward pass is through."""
    return parameters * gradient_bytes


@formula(r"M_\text{optimizer}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def optimizer_memory(*, parameters, n_states, state_bytes, master_bytes):
    """Optimizer: its states, and an fp32 master copy of the weights where the precision has one."""
    return parameters * (n_states * state_bytes + master_bytes)


@formula(r"M_\text{temporary}", "bytes", PYTORCH.at("torch/optim/adamw.py, foreach"))
def optimizer_temporary_memory(*, parameters, temporary_states, state_bytes):
    """What the optimizer step allocates while it runs: foreach AdamW the square root of its second state."""
    return parameters * temporary_states * state_bytes


@formula(r"M_\text{casts}", "bytes", PYTORCH.at("aten/src/ATen/autocast_mode.cpp, cached_cast"))
def weight_casts_memory(*, matmul_parameters, cast_bytes):
    """Autocast's 16-bit copy of every weight that enters a matrix product, kept until its backward."""
    return matmul_parameters * cast_bytes


@formula(r"M_\text{input}", "bytes", NANOGPT.at("train.py, get_batch"))
def input_memory(*, batch_size, seq_len):
    """Token ids and targets, both int64."""
    return 2 * 8 * batch_size * seq_len


@formula(r"M_\text{norm}", "bytes", _AUTOGRAD)
def norm_activations(*, n_norms, batch_size, seq_len, d_model, residual_bytes):
    """Norms: each keeps its input and two fp32 statistics a token."""
    return n_norms * batch_size * seq_len * (d_model * residual_bytes + 8)


@formula(r"M_\text{attn in}", "bytes", KORTHIKANTI_2022.at("sec. 4.1"))
def attention_input(*, n_layers, batch_size, seq_len, d_model, activation_bytes):
    """Input of the query, key and value projections, kept once for all three."""
    return n_layers * batch_size * seq_len * d_model * activation_bytes


@formula(r"M_\text{qkv}", "bytes", KORTHIKANTI_2022.at("sec. 4.1"))
def query_key_value(*, n_layers, batch_size, seq_len, d_head, n_heads, n_kv_heads, activation_bytes):
    """Queries, keys and values: three tensors, not one."""
    return n_layers * batch_size * seq_len * d_head * (n_heads + 2 * n_kv_heads) * activation_bytes


@formula(r"M_\text{scores}", "bytes", KORTHIKANTI_2022.at("sec. 4.1"))
def attention_matrix(*, n_layers, batch_size, n_heads, seq_len, score_bytes):
    """Unfused attention: scores and their softmax, for every head, and the causal mask once a layer."""
    return n_layers * seq_len**2 * (batch_size * n_heads * score_bytes + 1)


@formula(r"M_\text{lse}", "bytes", DAO_2022.at("sec. 3.1, algorithm 1"))
def attention_statistics(*, n_layers, batch_size, n_heads, seq_len):
    """Fused attention keeps no matrix, only the fp32 log-sum-exp of each row."""
    return n_layers * batch_size * n_heads * seq_len * 4


@formula(r"M_\text{attn out}", "bytes", KORTHIKANTI_2022.at("sec. 4.1"))
def attention_output(*, n_layers, batch_size, seq_len, n_heads, d_head, activation_bytes):
    """Output of the attention, which is the input of the output projection."""
    return n_layers * batch_size * seq_len * n_heads * d_head * activation_bytes


@formula(r"M_\text{ffn in}", "bytes", KORTHIKANTI_2022.at("sec. 4.1"))
def feed_forward_input(*, n_layers, batch_size, seq_len, d_model, activation_bytes):
    """Input of the first linear layer."""
    return n_layers * batch_size * seq_len * d_model * activation_bytes


@formula(r"M_\text{ffn}", "bytes", KORTHIKANTI_2022.at("sec. 4.1"))
def feed_forward_hidden(*, n_layers, n_products, batch_size, seq_len, d_ff, activation_bytes):
    """Wide tensors: input of the nonlinearity and input of the second linear layer (two), with a gate four."""
    return n_layers * n_products * batch_size * seq_len * d_ff * activation_bytes


@formula(r"M_\text{head in}", "bytes", _AUTOGRAD)
def head_input(*, batch_size, seq_len, d_model, activation_bytes):
    """Input of the output projection."""
    return batch_size * seq_len * d_model * activation_bytes


@formula(r"M_\text{saved logits}", "bytes", NANOGPT.at("model.py, F.cross_entropy"))
def saved_logits(*, batch_size, seq_len, vocab_size, saved_loss_bytes):
    """What the cross-entropy keeps: log-probabilities, under autocast also an fp32 copy."""
    return batch_size * seq_len * vocab_size * saved_loss_bytes


@formula(r"M_\text{held logits}", "bytes", NANOGPT.at("train.py, logits, loss = model(X, Y)"))
def held_logits(*, batch_size, seq_len, vocab_size, logit_bytes):
    """The logits that the training loop still holds while it calls backward."""
    return batch_size * seq_len * vocab_size * logit_bytes


@formula(r"M_\text{logits gradient}", "bytes", PYTORCH.at("aten: _log_softmax_backward_data"))
def logits_gradient(*, batch_size, seq_len, vocab_size, loss_gradient_bytes):
    """Gradients of the loss with respect to the logits, the first thing that the backward pass allocates."""
    return batch_size * seq_len * vocab_size * loss_gradient_bytes


@formula(r"M_\text{emb grad}", "bytes", PYTORCH.at("autograd: accumulation of a tied weight's gradients"))
def embedding_gradient(*, batch_size, seq_len, d_model, residual_bytes):
    """Gradient of the first layer's input, alive while the token table's gradient is made."""
    return batch_size * seq_len * d_model * residual_bytes


@formula(r"M_\text{tied}", "bytes", PYTORCH.at("autograd: accumulation of a tied weight's gradients"))
def tied_gradient(*, vocab_size, d_model, gradient_bytes, tied_gradient_copies):
    """A tied token table gets a gradient from both ends; until they are added up, each takes memory."""
    return vocab_size * d_model * gradient_bytes * tied_gradient_copies


@formula(r"M_\text{peak}", "bytes", PYTORCH.at("torch.cuda.max_memory_allocated"))
def peak_memory(*, loss_backward_memory, backward_end_memory, optimizer_step_memory):
    """The most that is alive at once: where the backward pass starts, where it ends, or in the optimizer's step."""
    return np.maximum(np.maximum(loss_backward_memory, backward_end_memory), optimizer_step_memory)


ATTENTION_KERNELS = ("fused", "eager")


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """How a step is run. ``precision`` and ``optimizer`` are keys of the catalogue, ``attention`` is "fused" (flash,
    memory-efficient) or "eager" (the matrix is stored). ``batch_size`` and ``seq_len`` may be arrays.

    Raises InputError for an unknown key, and for a batch or sequence below one.
    """

    batch_size: Size = 8
    seq_len: Size = 1024
    precision: str = "bf16 autocast"
    optimizer: str = "AdamW"
    attention: str = "fused"

    def __post_init__(self) -> None:
        for name, options in (("precision", PRECISIONS), ("optimizer", OPTIMIZERS), ("attention", ATTENTION_KERNELS)):
            if getattr(self, name) not in options:
                raise InputError(name, f"unknown {name} {getattr(self, name)!r}; known: {', '.join(options)}")
        for name in ("batch_size", "seq_len"):
            if np.any(np.asarray(getattr(self, name)) < 1):
                raise InputError(name, f"{name} must be at least 1")


@dataclass(frozen=True)
class TrainingMemory:
    """Memory of one step: ``phases`` maps the moments of a step to totals over what is alive then, in step order;
    ``steady_state`` is what stays for the whole run, ``activations`` what is kept for the backward pass."""

    steady_state: Quantity
    activations: Quantity
    peak: Quantity
    phases: dict[str, Quantity]

    @cached_property
    def peak_phase(self) -> str:
        """The phase whose total is the largest (first of equals)."""
        return max(self.phases, key=lambda phase: float(np.max(self.phases[phase].value)))


def training_memory(dimensions: Dimensions, run: TrainingRun, model: Model | None = None) -> TrainingMemory:
    """Memory of one training step, term by term, as PyTorch allocates it.

    ``model`` is the model to count where ``dimensions`` only stand for the sizes of its activations
    (`activation_sizes`): then weights, gradients and optimizer are exact and the activations an estimate.

    Covers full-precision, autocast and pure 16-bit training without dropout and without recomputation. Buffers,
    allocator fragmentation and the CUDA context are not counted.
    """
    model = model or dimensions.model()
    precision, optimizer = PRECISIONS[run.precision], OPTIMIZERS[run.optimizer]
    n = model.parameters()
    state_bytes = precision.state_bytes if optimizer.quantized_state_bytes is None else optimizer.quantized_state_bytes
    weights = weights_memory(parameters=n, weight_bytes=precision.weight_bytes).named("weights")
    gradients = gradients_memory(parameters=n, gradient_bytes=precision.gradient_bytes).named("gradients")
    states = optimizer_memory(
        parameters=n, n_states=optimizer.n_states, state_bytes=state_bytes, master_bytes=precision.master_bytes
    ).named("optimizer_state")
    temporary = optimizer_temporary_memory(
        parameters=n, temporary_states=optimizer.temporary_states, state_bytes=precision.state_bytes
    ).named("optimizer_temporary")
    casts = weight_casts_memory(matmul_parameters=_matmul_parameters(model), cast_bytes=precision.cast_bytes).named(
        "weight_casts"
    )
    tokens = {"batch_size": run.batch_size, "seq_len": run.seq_len}
    ids = input_memory(**tokens).named("inputs")
    logits = {**tokens, "vocab_size": dimensions.vocab_size}
    saved = _saved_activations(dimensions, run)
    held = held_logits(**logits, logit_bytes=precision.logit_bytes).named("held_logits")
    gradient = logits_gradient(**logits, loss_gradient_bytes=precision.loss_gradient_bytes).named("logits_gradient")

    steady = total("between_steps", r"M_\text{steady}", weights, states, ids)
    loss = total("loss_backward", r"M_\text{loss}", weights, states, ids, casts, *saved, held, gradient)
    first = embedding_gradient(**tokens, d_model=dimensions.d_model, residual_bytes=precision.residual_bytes)
    end_terms = [weights, states, gradients, ids, first]
    if dimensions.tied_head:
        end_terms.append(
            tied_gradient(
                vocab_size=dimensions.vocab_size,
                d_model=dimensions.d_model,
                gradient_bytes=precision.gradient_bytes,
                tied_gradient_copies=precision.tied_gradient_copies,
            )
        )
    end = total("backward_end", r"M_\text{end}", *end_terms)
    step = total("optimizer_step", r"M_\text{step}", weights, states, gradients, temporary, ids)
    return TrainingMemory(
        steady_state=steady,
        activations=total("activations", r"M_\text{act}", *saved),
        peak=peak_memory(loss_backward_memory=loss, backward_end_memory=end, optimizer_step_memory=step).named("peak"),
        phases={"between_steps": steady, "loss_backward": loss, "backward_end": end, "optimizer_step": step},
    )


def article_training_memory(dimensions: Dimensions, run: TrainingRun, model: Model | None = None) -> TrainingMemory:
    """The article's M_steady, M_act and M_peak, as it prints them: fp32 and Adam whatever the run says, no heads."""
    n = (model or dimensions.model()).parameters()
    tokens = {"batch_size": run.batch_size, "seq_len": run.seq_len}
    logits = {**tokens, "vocab_size": dimensions.vocab_size}
    layers = {**tokens, "n_layers": dimensions.n_layers}
    steady = article_steady_state(parameters=n, **tokens)
    activations = article_activations(**layers, d_model=dimensions.d_model, vocab_size=dimensions.vocab_size)
    peak = article_peak(steady_state=steady, activations=activations, **logits)
    fixed = (
        article_weights(parameters=n).named("weights"),
        article_optimizer(parameters=n).named("optimizer_state"),
        article_gradients(parameters=n).named("gradients"),
        article_input(**tokens).named("inputs"),
    )
    kept = (
        article_layer_activations(**layers, d_model=dimensions.d_model).named("layer_activations"),
        article_attention_matrix(**layers).named("attention_matrix"),
        article_logits(**logits).named("saved_logits"),
    )
    gradient = article_logits_gradient(**logits).named("logits_gradient")
    return TrainingMemory(
        steady_state=steady,
        activations=activations,
        peak=peak,
        phases={
            "between_steps": total("between_steps", r"M_\text{steady}", *fixed),
            "forward_end": total("forward_end", r"M_\text{forward}", *fixed, *kept),
            "loss_backward": total("loss_backward", r"M_\text{peak}", *fixed, *kept, gradient),
        },
    )


ACCOUNTS = {"corrected": training_memory, "article": article_training_memory}


def _saved_activations(dimensions: Dimensions, run: TrainingRun) -> list[Quantity]:
    """What autograd keeps for the backward pass, over all layers, each term under its own id."""
    precision, norms_per_layer = PRECISIONS[run.precision], 2
    d, heads = dimensions.d_model, dimensions.n_heads
    tokens = {"batch_size": run.batch_size, "seq_len": run.seq_len}
    c = {"activation_bytes": precision.activation_bytes}
    layers = {**tokens, "n_layers": dimensions.n_layers}
    n_norms = norms_per_layer * dimensions.n_layers + int(dimensions.final_norm)
    if run.attention == "eager":
        scores = attention_matrix(**layers, n_heads=heads, score_bytes=precision.score_bytes)
    else:
        scores = attention_statistics(**layers, n_heads=heads)
    head = {"n_heads": heads, "d_head": dimensions.head_width()}
    return [
        norm_activations(**tokens, n_norms=n_norms, d_model=d, residual_bytes=precision.residual_bytes),
        attention_input(**layers, d_model=d, **c),
        query_key_value(**layers, **head, n_kv_heads=dimensions.kv_heads(), **c),
        scores.named("attention_matrix"),
        attention_output(**layers, **head, **c),
        feed_forward_input(**layers, d_model=d, **c),
        feed_forward_hidden(**layers, n_products=4 if dimensions.gated else 2, d_ff=dimensions.ffn_width(), **c),
        head_input(**tokens, d_model=d, **c),
        saved_logits(**tokens, vocab_size=dimensions.vocab_size, saved_loss_bytes=precision.saved_loss_bytes),
    ]


def _matmul_parameters(model: Model) -> Quantity:
    """Weights that enter a matrix product: all but norms and tables; a tied token table is the head's matrix."""
    components = model.components()
    multiplied = [q for component, q in components.items() if component not in ("embedding", "positions", "norm")]
    if "head" not in components:
        multiplied.append(components["embedding"].named("head"))
    return total("matmul_parameters", r"N_\text{matmul}", *multiplied)


def activation_sizes(model: Model) -> Dimensions:
    """Dimensions of the plain decoder whose layers keep about as much for backward as this model's do.

    Heads are those of the first layer that has any; the feed-forward width is the mean over layers of what one token
    goes through, shared and chosen experts added up.
    """
    parts = [(part, count) for block, count in model.blocks for part in block.parts]
    attention = next(part for part, _ in parts if isinstance(part, Attention | LatentAttention))
    networks = [(p.expert, p.top_k * n) if isinstance(p, Experts) else (p, n) for p, n in parts]
    feed_forward = [(p, n) for p, n in networks if isinstance(p, FeedForward)]
    width = round(sum(p.d_ff * n for p, n in feed_forward) / model.n_layers)
    tokens = next(part for part in model.front if isinstance(part, TokenEmbedding))
    if isinstance(attention, Attention):
        n_kv_heads, d_head = attention.n_kv_heads, attention.d_head
    else:
        n_kv_heads, d_head = attention.n_heads, attention.d_nope + attention.d_rope
    return Dimensions(
        d_model=attention.d_model,
        n_layers=model.n_layers,
        n_heads=attention.n_heads,
        vocab_size=tokens.vocab_size,
        d_ff=max(1, width),
        n_kv_heads=n_kv_heads,
        d_head=d_head,
        gated=any(p.gated for p, _ in feed_forward),
        positions="none",
        tied_head="head" not in model.components(),
    )
