"""The source article's own formulas, as printed, so that they can be set beside the right ones; and its errata.

E is the article's batch × sequence × width, the number of elements in one layer's output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import ARTICLE
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.model import Model

# B. Parameters


@formula(r"N_\text{emb}", "parameters", ARTICLE.at("B, embedding"))
def article_embedding(*, vocab_size, d_model):
    """Embedding: V·d."""
    return vocab_size * d_model


@formula(r"N_\text{attn}", "parameters", ARTICLE.at("B, attention"))
def article_attention(*, d_model):
    """Attention: query, key, value and output matrices, each d × d, without biases."""
    return 4 * d_model**2


@formula(r"N_\text{ffn}", "parameters", ARTICLE.at("B, feed-forward"))
def article_feed_forward(*, d_model, d_ff):
    """Feed-forward: two matrices and both biases."""
    return 2 * d_model * d_ff + d_model + d_ff


@formula(r"N_\text{norm}", "parameters", ARTICLE.at("B, layer norm"))
def article_norm(*, d_model):
    """Layer norm: scale and bias."""
    return 2 * d_model


@formula(r"N_\text{layer}", "parameters", ARTICLE.at("B, layer"))
def article_layer(*, attention_parameters, feed_forward_parameters, norm_parameters):
    """One layer: attention, feed-forward and two layer norms."""
    return attention_parameters + feed_forward_parameters + 2 * norm_parameters


@formula(r"N_\text{layers}", "parameters", ARTICLE.at("B, model"))
def article_layers(*, n_layers, block_parameters):
    """All layers."""
    return n_layers * block_parameters


def article_parameters(*, d_model: int, d_ff: int, n_layers: int, vocab_size: int) -> Quantity:
    """The article's whole count: layers and token embedding, the head tied; no positions, no final norm."""
    layer = article_layer(
        attention_parameters=article_attention(d_model=d_model),
        feed_forward_parameters=article_feed_forward(d_model=d_model, d_ff=d_ff),
        norm_parameters=article_norm(d_model=d_model),
    )
    return total(
        "article_parameters",
        "N",
        article_embedding(vocab_size=vocab_size, d_model=d_model),
        article_layers(n_layers=n_layers, block_parameters=layer),
    )


def article_components(dimensions: Dimensions) -> dict[str, int]:
    """The article's count for these dimensions by component, over all layers; it knows no others."""
    d, layers = dimensions.d_model, dimensions.n_layers
    return {
        "embedding": article_embedding(vocab_size=dimensions.vocab_size, d_model=d).value,
        "attention": layers * article_attention(d_model=d).value,
        "feed_forward": layers * article_feed_forward(d_model=d, d_ff=dimensions.ffn_width()).value,
        "norm": layers * 2 * article_norm(d_model=d).value,
    }


# C and D. Memory of the model, and rules of thumb


@formula(r"M_\text{inference}", "bytes", ARTICLE.at("D, inference"))
def inference_rule_of_thumb(*, model_bytes):
    """Inference needs about twice the model. Knows neither batch nor sequence length."""
    return 2 * model_bytes


@formula(r"M_\text{training}", "bytes", ARTICLE.at("D, training"))
def training_rule_of_thumb(*, model_bytes):
    """Training needs about four times the model: in fp32 exactly weights, gradients and Adam's two states."""
    return 4 * model_bytes


# E. Steady state


@formula(r"M_\text{weights}", "bytes", ARTICLE.at("E, weights"))
def article_weights(*, parameters):
    """Weights in fp32."""
    return 4 * parameters


@formula(r"M_\text{optimizer}", "bytes", ARTICLE.at("E, optimizer"))
def article_optimizer(*, parameters):
    """Adam: two fp32 states."""
    return 8 * parameters


@formula(r"M_\text{gradients}", "bytes", ARTICLE.at("E, gradients"))
def article_gradients(*, parameters):
    """Gradients in fp32."""
    return 4 * parameters


@formula(r"M_\text{input}", "bytes", ARTICLE.at("E, input"))
def article_input(*, batch_size, seq_len):
    """The batch of token ids, int64, with the article's D read as the sequence length."""
    return 8 * batch_size * seq_len


def article_steady_state(*, parameters: Quantity, batch_size: int, seq_len: int) -> Quantity:
    """M_steady = 16N + 8·B·D."""
    return total(
        "article_steady_state",
        r"M_\text{steady}",
        article_weights(parameters=parameters),
        article_optimizer(parameters=parameters),
        article_gradients(parameters=parameters),
        article_input(batch_size=batch_size, seq_len=seq_len),
    )


# F. The peak, as the article's final formula prints it


@formula(r"M_\text{layers}", "bytes", ARTICLE.at("F, M_act"))
def article_layer_activations(*, n_layers, batch_size, seq_len, d_model):
    """What all layers keep for the backward pass, attention matrix apart: 14E a layer, though its own list sums to
    20E with one norm and 24E with two."""
    return n_layers * 14 * batch_size * seq_len * d_model


@formula(r"M_\text{scores}", "bytes", ARTICLE.at("F, attention matrix"))
def article_attention_matrix(*, n_layers, batch_size, seq_len):
    """The attention matrix of all layers: 4·B·S² a layer, the number of heads forgotten."""
    return n_layers * 4 * batch_size * seq_len**2


@formula(r"M_\text{logits}", "bytes", ARTICLE.at("F, cross-entropy"))
def article_logits(*, batch_size, seq_len, vocab_size):
    """What the cross-entropy keeps."""
    return 6 * batch_size * seq_len * vocab_size


@formula(r"M_\text{loss gradient}", "bytes", ARTICLE.at("F, M_peak"))
def article_logits_gradient(*, batch_size, seq_len, vocab_size):
    """What is allocated as the backward pass starts: the gradient of the logits in fp32."""
    return 4 * batch_size * seq_len * vocab_size


def article_activations(*, n_layers: int, batch_size: int, seq_len: int, d_model: int, vocab_size: int) -> Quantity:
    """M_act = L·(14E + 4·B·S²) + 6·B·S·V."""
    return total(
        "article_activations",
        r"M_\text{act}",
        article_layer_activations(n_layers=n_layers, batch_size=batch_size, seq_len=seq_len, d_model=d_model),
        article_attention_matrix(n_layers=n_layers, batch_size=batch_size, seq_len=seq_len),
        article_logits(batch_size=batch_size, seq_len=seq_len, vocab_size=vocab_size),
    )


def article_peak(
    *, steady_state: Quantity, activations: Quantity, batch_size: int, seq_len: int, vocab_size: int
) -> Quantity:
    """M_peak = M_steady + M_act + 4·B·S·V."""
    return total(
        "article_peak",
        r"M_\text{peak}",
        steady_state,
        activations,
        article_logits_gradient(batch_size=batch_size, seq_len=seq_len, vocab_size=vocab_size),
    )


@dataclass(frozen=True)
class ArticleStep:
    """The article's memory of a training step, under the names that `llmcalc.step.step.Step` has for its own."""

    steady_state: Quantity
    saved_activations: Quantity
    peak: Quantity
    moments: dict[str, Quantity]

    @cached_property
    def peak_phase(self) -> str:
        """The moment whose total is the largest (first of equals)."""
        return max(self.moments, key=lambda moment: float(np.max(self.moments[moment].value)))


def article_step(model: Model, dimensions: Dimensions, *, batch_size: Any, seq_len: Any) -> ArticleStep:
    """M_steady, M_act and M_peak of ``model``, whose layers have ``dimensions``: fp32 and Adam, no heads.

    ``batch_size`` and ``seq_len`` may be arrays: then every quantity is a sweep.
    """
    n = model.parameters()
    tokens = {"batch_size": batch_size, "seq_len": seq_len}
    logits = {**tokens, "vocab_size": dimensions.vocab_size}
    layers = {**tokens, "n_layers": dimensions.n_layers}
    steady = article_steady_state(parameters=n, **tokens)
    activations = article_activations(**layers, d_model=dimensions.d_model, vocab_size=dimensions.vocab_size)
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
    return ArticleStep(
        steady_state=steady,
        saved_activations=activations,
        peak=article_peak(steady_state=steady, activations=activations, **logits),
        moments={
            "between_steps": total("between_steps", r"M_\text{steady}", *fixed),
            "loss_forward": total("loss_forward", r"M_\text{forward}", *fixed, *kept),
            "loss_backward": total("loss_backward", r"M_\text{peak}", *fixed, *kept, gradient),
        },
    )


# I. GPT-3


@formula(r"N_\text{layer}", "parameters", ARTICLE.at("I, per layer"))
def article_gpt3_layer(*, d_model, d_ff):
    """The article's formula for a layer of GPT-3, read literally; the 1.1 B that it prints is near 8·d², 1.21 B."""
    return 8 * d_model**2 + 8 * d_model * d_ff + 2 * d_model


# G. Scaling, as misprinted


@formula("k", "", ARTICLE.at("G, ten per cent better"))
def article_ten_percent(*, alpha):
    """ "10% better needs so many times the parameters", as printed: the base should be 1.1, not 10."""
    return 10 ** (1 / alpha)
