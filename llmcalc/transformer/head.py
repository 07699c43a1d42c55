"""What turns the last vectors into an answer: the language-model head, BERT's head with a transform, the pooler."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import BROWN_2020, CLARK_2020, DEVLIN_2018, PRESS_2017
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.part import HEAD_TABLE, Matrix, Share, Width


@formula(r"W_\text{head}", "parameters", PRESS_2017.at("sec. 1"))
def head_parameters(*, vocab_size, d_model):
    """Output projection of its own, from d_model to the vocabulary; a tied head reuses the token embedding instead."""
    return vocab_size * d_model


@formula(r"b_\text{head}", "parameters", BROWN_2020.at("sec. 2.1"))
def head_bias(*, vocab_size):
    """Bias of the output projection: one for each entry of the vocabulary."""
    return vocab_size


@formula(r"W_\text{transform}", "parameters", DEVLIN_2018.at("run_pretraining.py, get_masked_lm_output"))
def transform_parameters(*, d_model, d_embedding):
    """Linear layer before the output projection, to the width of the embedding that the projection reuses."""
    return d_model * d_embedding


@formula(r"b_\text{transform}", "parameters", DEVLIN_2018.at("run_pretraining.py, get_masked_lm_output"))
def transform_bias(*, d_embedding):
    """Bias of that linear layer."""
    return d_embedding


@formula(r"W_\text{pool}", "parameters", DEVLIN_2018.at("modeling.py, pooler"))
def pooler_parameters(*, d_model):
    """Linear layer on the first token's vector."""
    return d_model**2


@formula(r"b_\text{pool}", "parameters", DEVLIN_2018.at("modeling.py, pooler"))
def pooler_bias(*, d_model):
    """Bias of the pooler."""
    return d_model


@formula(r"W_\text{cls}", "parameters", PRESS_2017.at("sec. 1"))
def label_parameters(*, n_labels, d_model):
    """Classifier without a bias: one weight vector for each label."""
    return n_labels * d_model


@formula(r"N_\text{cls}", "parameters", DEVLIN_2018.at("run_pretraining.py, get_next_sentence_output"))
def classifier_parameters(*, n_labels, d_model):
    """Classifier: one weight vector and one bias for each label."""
    return n_labels * (d_model + 1)


@formula(r"N_\text{dense}", "parameters", CLARK_2020.at("sec. 2; modeling of the discriminator head"))
def classifier_dense_parameters(*, d_model):
    """Linear layer before the classifier, with bias."""
    return d_model * (d_model + 1)


@dataclass(frozen=True)
class Head:
    """The output projection, d_model × vocab_size, and its bias.

    A tied head reuses the token table: it has no matrix of its own (``matrix=False``) but may still have a bias.
    """

    vocab_size: int
    d_model: int
    bias: bool = False
    matrix: bool = True
    id: str = "head"
    component: str = "head"

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        if self.bias:
            parts.append(head_bias(vocab_size=self.vocab_size))
        return total(self.id, r"N_\text{head}", *parts)

    def matrices(self) -> tuple[Matrix, ...]:
        if not self.matrix:
            return ()
        return (Matrix(HEAD_TABLE, self.d_model, head_parameters(vocab_size=self.vocab_size, d_model=self.d_model)),)

    def widths(self) -> tuple[Width, ...]:
        return (Width("vocab_size", self.vocab_size, may_pad=True),)

    def of_rank(self, share: Share) -> Head:
        return replace(self, vocab_size=share.of_vocabulary(self.vocab_size))


@dataclass(frozen=True)
class TransformedHead:
    """BERT's head: a linear layer and a norm, then the output projection (tied unless ``matrix``) and its bias.

    ``second_bias``: transformers keeps the bias of an untied projection beside the head's own.
    """

    vocab_size: int
    d_model: int
    d_embedding: int
    matrix: bool = False
    dense_bias: bool = True
    norm_bias: bool = True
    bias: bool = True
    second_bias: bool = False
    id: str = "head"
    component: str = "head"

    def parameters(self) -> Quantity:
        parts = [transform_parameters(d_model=self.d_model, d_embedding=self.d_embedding)]
        if self.dense_bias:
            parts.append(transform_bias(d_embedding=self.d_embedding))
        parts.append(LayerNorm(self.d_embedding, "head_norm", self.norm_bias).parameters())
        if self.matrix:
            parts.append(head_parameters(vocab_size=self.vocab_size, d_model=self.d_embedding))
        if self.bias:
            parts.append(head_bias(vocab_size=self.vocab_size))
        if self.second_bias:
            parts.append(head_bias(vocab_size=self.vocab_size).named("projection_bias"))
        return total(self.id, r"N_\text{head}", *parts)


@dataclass(frozen=True)
class Pooler:
    """A linear layer on the first token's vector, as BERT has for tasks on whole sentences."""

    d_model: int
    id: str = "pooler"
    component: str = "pooler"

    def parameters(self) -> Quantity:
        return total(
            self.id, r"N_\text{pool}", pooler_parameters(d_model=self.d_model), pooler_bias(d_model=self.d_model)
        )


@dataclass(frozen=True)
class Classifier:
    """A score for each of n_labels (next sentence, replaced token, reward), after a linear layer if ``dense``."""

    d_model: int
    n_labels: int
    dense: bool = False
    bias: bool = True
    id: str = "classifier"
    component: str = "head"

    def parameters(self) -> Quantity:
        parts = [classifier_dense_parameters(d_model=self.d_model)] if self.dense else []
        scores = classifier_parameters if self.bias else label_parameters
        parts.append(scores(n_labels=self.n_labels, d_model=self.d_model))
        return total(self.id, r"N_\text{cls}", *parts)
