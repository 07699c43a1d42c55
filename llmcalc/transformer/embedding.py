"""Tables that turn tokens and positions into vectors, and the head that turns vectors back into tokens."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import BROWN_2020, PRESS_2017, RADFORD_2019, VASWANI_2017


@formula(r"N_\text{tok}", "parameters", VASWANI_2017.at("sec. 3.4"))
def token_embedding_parameters(*, vocab_size, d_model):
    """Token embedding: one vector of d_model for each entry of the vocabulary."""
    return vocab_size * d_model


@formula(r"N_\text{pos}", "parameters", RADFORD_2019.at("src/model.py, wpe"))
def position_embedding_parameters(*, n_positions, d_model):
    """Learned positions: one vector of d_model for each position that the model can see."""
    return n_positions * d_model


@formula(r"N_\text{head}", "parameters", PRESS_2017.at("sec. 1"))
def head_parameters(*, vocab_size, d_model):
    """Output projection of its own, from d_model to the vocabulary; a tied head reuses the token embedding instead."""
    return vocab_size * d_model


@formula(r"b_\text{head}", "parameters", BROWN_2020.at("sec. 2.1"))
def head_bias(*, vocab_size):
    """Bias of the output projection: one for each entry of the vocabulary."""
    return vocab_size


@dataclass(frozen=True)
class TokenEmbedding:
    """The table of token vectors, vocab_size × d_model."""

    vocab_size: int
    d_model: int
    id: str = "embedding"
    component: str = "embedding"

    def parameters(self) -> Quantity:
        return total(
            self.id, r"N_\text{emb}", token_embedding_parameters(vocab_size=self.vocab_size, d_model=self.d_model)
        )


@dataclass(frozen=True)
class LearnedPositions:
    """The table of position vectors, n_positions × d_model."""

    n_positions: int
    d_model: int
    id: str = "positions"
    component: str = "positions"

    def parameters(self) -> Quantity:
        return total(
            self.id, r"N_\text{pos}", position_embedding_parameters(n_positions=self.n_positions, d_model=self.d_model)
        )


@dataclass(frozen=True)
class Head:
    """The output projection, d_model × vocab_size; a model with a tied head has none."""

    vocab_size: int
    d_model: int
    bias: bool = False
    id: str = "head"
    component: str = "head"

    def parameters(self) -> Quantity:
        parts = [head_parameters(vocab_size=self.vocab_size, d_model=self.d_model)]
        if self.bias:
            parts.append(head_bias(vocab_size=self.vocab_size))
        return total(self.id, r"N_\text{head}", *parts)
