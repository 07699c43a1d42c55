"""What the source article prints and what is right: its errata, and the right figures printed among them.

A figure's name and, where it is wrong, the reason are words: ``figures.<id>`` and ``errata.<id>.why``. What a layer
keeps for the backward pass is in the article's own unit, bytes for each of the E = batch × sequence × width elements
of its output, as a step under 16-bit autocast keeps it; `llmcalc.step` has the same in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from llmcalc.article import (
    article_attention,
    article_embedding,
    article_feed_forward,
    article_layers,
    article_norm,
    article_parameters,
    inference_rule_of_thumb,
    training_rule_of_thumb,
)
from llmcalc.catalog.precisions import BYTES
from llmcalc.catalog.presets import ARTICLE_EXAMPLE, PRESETS
from llmcalc.quantity import Quantity, formula, given_quantity, total
from llmcalc.scaling import KAPLAN_ALPHA, loss_of_larger_model, parameters_for_better_metric
from llmcalc.serving.held import model_memory
from llmcalc.sources import KAPLAN_2020, KORTHIKANTI_2022, PYTORCH
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.dimensions import Dimensions
from llmcalc.transformer.embedding import position_embedding_parameters
from llmcalc.transformer.head import head_parameters
from llmcalc.transformer.model import repeated_parameters

EXAMPLE = PRESETS[ARTICLE_EXAMPLE].dimensions
GPT3 = PRESETS["GPT-3 175B"].dimensions
# Where the article's peak is set beside ours: GPT-2 small with nanoGPT's padded vocabulary, attention matrix stored
PEAK_MODEL = Dimensions(vocab_size=50_304)
PEAK_RUN = TrainingRun(
    batch_size=12, seq_len=1024, precision="amp_bf16", attention="eager", loss="plain", keep_logits=True
)
# Under autocast the residual stream stays in fp32 and products are in 16 bits; the softmax is kept in both
RESIDUAL_BYTES, ACTIVATION_BYTES = BYTES["fp32"], BYTES["bf16"]
SCORE_BYTES = RESIDUAL_BYTES + ACTIVATION_BYTES
_ALPHA_AS_PRINTED = 0.07


@dataclass(frozen=True)
class PrintedFigure:
    """A figure of one section of the article, as printed and as computed; both in the unit of the computed one."""

    id: str
    section: str
    printed: float
    right: Callable[[], Quantity]


# B. Parameters


def example_parameters() -> Quantity:
    """The article's count of its worked example, computed rightly."""
    return article_parameters(
        d_model=EXAMPLE.d_model, d_ff=EXAMPLE.ffn_width(), n_layers=EXAMPLE.n_layers, vocab_size=EXAMPLE.vocab_size
    )


def complete_parameters(*, tied_head: bool) -> Quantity:
    """A real GPT-2 of the example's size: the article's count and, part by part, what that leaves out."""
    shape = replace(Dimensions(), vocab_size=EXAMPLE.vocab_size)
    real = shape.model().parameters().inputs
    attention = real["blocks"].inputs["block_parameters"].inputs["attention"]
    biases = total("attention_bias", r"N_\text{bias}", *(p for p in attention.parts if p.id.endswith("_bias")))
    parts = [
        example_parameters().named("article_parameters", r"N_\text{article}"),
        repeated_parameters(count=shape.n_layers, parameters=biases).named("attention_biases", r"N_\text{biases}"),
        position_embedding_parameters(n_positions=shape.n_positions, d_model=shape.d_model).named("positions"),
        real["final_norm"],
    ]
    if not tied_head:
        parts.append(head_parameters(vocab_size=shape.vocab_size, d_model=shape.d_model).named("head"))
    return total("complete_parameters", "N", *parts)


def _example_layers() -> Quantity:
    return example_parameters().inputs[article_layers.id]


def _example_layer() -> Quantity:
    return _example_layers().inputs["block_parameters"]


# C and D. Memory of the model


def example_memory(bits: int) -> Quantity:
    """The worked example's weights, in bytes, at so many bits each."""
    return model_memory(parameters=example_parameters(), bits_per_weight=bits)


# E. The batch


@formula(r"M_\text{batch}", "bytes", PYTORCH.at("torch.int64"))
def batch_memory(*, batch_size, seq_len):
    """Token ids and targets, both int64, where they are two tensors."""
    return 2 * 8 * batch_size * seq_len


# F. What a layer keeps, in bytes for each element of E


@formula(r"m_\text{norm}", "E", PYTORCH.at("autograd: tensors saved for backward"))
def norm_inputs_per_element(*, n_norms, residual_bytes):
    """Each norm keeps its input. Its two statistics, 8 bytes a token, are no part of E."""
    return n_norms * residual_bytes


@formula("m", "E", KORTHIKANTI_2022.at("sec. 4.1"))
def tensors_per_element(*, count, activation_bytes):
    """So many tensors of the layer's width, in the format of a matrix product's output."""
    return count * activation_bytes


@formula(r"m_\text{wide}", "E", KORTHIKANTI_2022.at("sec. 4.1"))
def wide_tensor_per_element(*, d_ff, d_model, activation_bytes):
    """One tensor of the feed-forward network's inner width, which is d_ff / d times as wide as E."""
    return d_ff / d_model * activation_bytes


@formula(r"m_\text{scores}", "B·S²", KORTHIKANTI_2022.at("sec. 4.1"))
def scores_per_pair(*, n_heads, score_bytes):
    """Unfused attention keeps a matrix for every head: bytes for each sequence and pair of positions. The causal
    mask, a byte a pair for the whole batch, is no part of it."""
    return n_heads * score_bytes


def _norms() -> Quantity:
    kept = norm_inputs_per_element(n_norms=2, residual_bytes=RESIDUAL_BYTES)
    return kept.named("norm_activations")


def _tensors(id: str, count: int = 1) -> Quantity:
    kept = tensors_per_element(count=count, activation_bytes=ACTIVATION_BYTES)
    return kept.named(id, rf"m_\text{{{id.replace('_', ' ')}}}")


def _wide(id: str) -> Quantity:
    kept = wide_tensor_per_element(d_ff=EXAMPLE.ffn_width(), d_model=EXAMPLE.d_model, activation_bytes=ACTIVATION_BYTES)
    return kept.named(id, rf"m_\text{{{id.replace('_', ' ')}}}")


def _layer_activations() -> Quantity:
    terms = (figure.right() for figure in LAYER_TERMS)
    return total("block_activations", r"m_\text{layer}", *terms)


# I. GPT-3


def gpt3_parameters() -> Quantity:
    """All parameters of GPT-3, part by part."""
    return GPT3.model().parameters()


def _gpt3_layers() -> Quantity:
    return gpt3_parameters().inputs["blocks"]


def _outside_gpt3_layers() -> Quantity:
    parts = (part for part in gpt3_parameters().parts if part.id != "blocks")
    return total("outside_layers", r"N_\text{rest}", *parts)


ERRATA = {
    row.id: row
    for row in (
        PrintedFigure(
            "feed_forward",
            "B",
            4_719_616,
            lambda: article_feed_forward(d_model=EXAMPLE.d_model, d_ff=EXAMPLE.ffn_width()),
        ),
        PrintedFigure("layer", "B", 7_081_984, _example_layer),
        PrintedFigure("layers", "B", 84_983_808, _example_layers),
        PrintedFigure("model", "B", 123_383_808, example_parameters),
        PrintedFigure("model_fp32", "C", 493_535_232, lambda: example_memory(32)),
        PrintedFigure("model_fp16", "C", 246_767_616, lambda: example_memory(16)),
        PrintedFigure(
            "inference_rule", "D", 988_000_000, lambda: inference_rule_of_thumb(model_bytes=example_memory(32))
        ),
        PrintedFigure(
            "training_rule", "D", 1_976_000_000, lambda: training_rule_of_thumb(model_bytes=example_memory(32))
        ),
        PrintedFigure("input_per_token", "E", 8, lambda: batch_memory(batch_size=1, seq_len=1)),
        PrintedFigure("norms", "F", 4, _norms),
        PrintedFigure("attention_input", "F", 0, lambda: _tensors("attention_input")),
        PrintedFigure("query_key_value", "F", 2, lambda: _tensors("query_key_value", count=3)),
        PrintedFigure("second_linear", "F", 2, lambda: _wide("second_linear_input")),
        PrintedFigure("layer_activations", "F", 14, _layer_activations),
        PrintedFigure(
            "attention_matrix",
            "F",
            4,
            lambda: scores_per_pair(n_heads=EXAMPLE.n_heads, score_bytes=SCORE_BYTES),
        ),
        PrintedFigure("doubling", "G", 1.0497, lambda: loss_of_larger_model(count=2, alpha=KAPLAN_ALPHA)),
        PrintedFigure(
            "alpha",
            "G",
            _ALPHA_AS_PRINTED,
            lambda: replace(given_quantity("alpha", KAPLAN_ALPHA), source=KAPLAN_2020.at("eq. 1.1")),
        ),
        PrintedFigure(
            "ten_per_cent",
            "G",
            3.7,
            lambda: parameters_for_better_metric(improvement=10, alpha=_ALPHA_AS_PRINTED),
        ),
        PrintedFigure("gpt3_layer", "I", 1_100_000_000, lambda: _gpt3_layers().inputs["block_parameters"]),
        PrintedFigure("gpt3_layers", "I", 105_600_000_000, _gpt3_layers),
        PrintedFigure("gpt3_rest", "I", 69_400_000_000, _outside_gpt3_layers),
    )
}

# The steps of the worked example, in the article's order
EXAMPLE_STEPS = (
    PrintedFigure(
        "embedding",
        "B",
        38_400_000,
        lambda: article_embedding(vocab_size=EXAMPLE.vocab_size, d_model=EXAMPLE.d_model),
    ),
    PrintedFigure("attention", "B", 2_359_296, lambda: article_attention(d_model=EXAMPLE.d_model)),
    ERRATA["feed_forward"],
    PrintedFigure("norm", "B", 1_536, lambda: article_norm(d_model=EXAMPLE.d_model)),
    ERRATA["layer"],
    ERRATA["layers"],
    ERRATA["model"],
)

# The article's list of what a layer keeps, attention matrix apart, and the term that it has not
LAYER_TERMS = (
    ERRATA["norms"],
    ERRATA["attention_input"],
    ERRATA["query_key_value"],
    PrintedFigure("attention_output", "F", 2, lambda: _tensors("attention_output")),
    PrintedFigure("first_linear", "F", 2, lambda: _tensors("feed_forward_input")),
    PrintedFigure("gelu", "F", 8, lambda: _wide("nonlinearity_input")),
    ERRATA["second_linear"],
)
