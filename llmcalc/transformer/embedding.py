"""Tables that turn tokens, positions and segments into vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import DEVLIN_2018, HE_2020, LAN_2019, RADFORD_2019, RAFFEL_2019, TRANSFORMERS, VASWANI_2017
from llmcalc.transformer.part import TOKEN_TABLE, Matrix, Share, Width


@formula(r"W_\text{tok}", "parameters", VASWANI_2017.at("sec. 3.4"))
def token_embedding_parameters(*, vocab_size, d_model):
    """Token embedding: one vector of d_model for each entry of the vocabulary."""
    return vocab_size * d_model


@formula(r"W_\text{pos}", "parameters", RADFORD_2019.at("src/model.py, wpe"))
def position_embedding_parameters(*, n_positions, d_model):
    """Learned positions: one vector of d_model for each position that the model can see."""
    return n_positions * d_model


@formula(r"W_\text{ple}", "parameters", TRANSFORMERS.at("modeling_gemma3n.py, embed_tokens_per_layer"))
def per_layer_embedding_parameters(*, vocab_size, n_layers, d_per_layer):
    """Per-layer embedding: for each entry of the vocabulary one vector of d_per_layer for each layer."""
    return vocab_size * n_layers * d_per_layer


@formula(r"N_\text{type}", "parameters", DEVLIN_2018.at("sec. 3, Input/Output Representations"))
def type_embedding_parameters(*, n_types, d_model):
    """Segment embedding: one vector for each kind of segment (sentence A, sentence B)."""
    return n_types * d_model


@formula(r"W_\text{proj}", "parameters", LAN_2019.at("sec. 3.1, factorized embedding parameterization"))
def embedding_projection_parameters(*, d_embedding, d_model):
    """Projection between an embedding narrower (or wider) than the model and the model's own width."""
    return d_embedding * d_model


@formula(r"b_\text{proj}", "parameters", LAN_2019.at("sec. 3.1, factorized embedding parameterization"))
def embedding_projection_bias(*, width):
    """Bias of that projection: one for each channel that it writes."""
    return width


@formula(r"N_\text{rel}", "parameters", RAFFEL_2019.at("sec. 2.1"))
def relative_bias_parameters(*, n_buckets, n_heads):
    """Relative position bias: one number for each bucket of distances and each head, added to the scores."""
    return n_buckets * n_heads


@formula(r"N_\text{rel}", "parameters", HE_2020.at("sec. 3.1"))
def relative_embedding_parameters(*, n_buckets, d_model):
    """Relative position embedding: one vector for each bucket of distances, before and after a token."""
    return 2 * n_buckets * d_model


@dataclass(frozen=True)
class TokenEmbedding:
    """The table of token vectors, vocab_size × d_model (the embedding's own width where that differs)."""

    vocab_size: int
    d_model: int
    id: str = "embedding"
    component: str = "embedding"

    def parameters(self) -> Quantity:
        return total(self.id, r"N_\text{emb}", *(matrix.parameters for matrix in self.matrices()))

    def matrices(self) -> tuple[Matrix, ...]:
        table = token_embedding_parameters(vocab_size=self.vocab_size, d_model=self.d_model)
        return (Matrix(TOKEN_TABLE, self.d_model, table),)

    def widths(self) -> tuple[Width, ...]:
        return (Width("vocab_size", self.vocab_size, may_pad=True),)

    def of_rank(self, share: Share) -> TokenEmbedding:
        return replace(self, vocab_size=share.of_vocabulary(self.vocab_size))


# The tables that are asked for every token's place in its text, and not for one on a page, say
_OF_TOKENS = ("positions", "encoder_positions", "decoder_positions")


@dataclass(frozen=True)
class LearnedPositions:
    """The table of position vectors, n_positions × d_model, with every row that is allocated.

    Positions that are computed (sinusoidal, rotary, ALiBi) have no parameters and no part. A table of sinusoids that
    is kept as a parameter (Marian's) does not train. ``skipped`` rows stand ahead of that of the first token (OPT's,
    RoBERTa's).
    """

    n_positions: int
    d_model: int
    id: str = "positions"
    component: str = "positions"
    trains: bool = True
    skipped: int = 0

    @property
    def longest_sequence(self) -> int | None:
        """How many tokens it has a row for, each at its place in the text; None where its rows are other places."""
        return max(1, self.n_positions - self.skipped) if self.id in _OF_TOKENS else None

    def parameters(self) -> Quantity:
        return total(self.id, r"N_\text{pos}", self._table())

    @property
    def traits(self) -> frozenset[str]:
        return frozenset({"learned"})

    def fixed_parameters(self) -> tuple[Quantity, ...]:
        """The table, where it holds sinusoids."""
        return () if self.trains else (self._table(),)

    def _table(self) -> Quantity:
        return position_embedding_parameters(n_positions=self.n_positions, d_model=self.d_model)


@dataclass(frozen=True)
class RelativeBias:
    """T5's position bias: a number for each bucket and head, one table for a stack or one a layer."""

    n_buckets: int
    n_heads: int
    id: str = "relative_bias"
    component: str = "positions"

    def parameters(self) -> Quantity:
        return total(self.id, r"N_\text{rel}", relative_bias_parameters(n_buckets=self.n_buckets, n_heads=self.n_heads))


@dataclass(frozen=True)
class RelativeEmbedding:
    """DeBERTa's table of relative positions: 2 × n_buckets vectors of d_model, shared by all layers."""

    n_buckets: int
    d_model: int
    id: str = "relative_embedding"
    component: str = "positions"

    def parameters(self) -> Quantity:
        return total(
            self.id, r"N_\text{rel}", relative_embedding_parameters(n_buckets=self.n_buckets, d_model=self.d_model)
        )


@dataclass(frozen=True)
class TypeEmbedding:
    """The table of segment (token type) vectors, n_types × d_model."""

    n_types: int
    d_model: int
    id: str = "type_embedding"
    component: str = "embedding"

    def parameters(self) -> Quantity:
        return total(self.id, r"N_\text{type}", type_embedding_parameters(n_types=self.n_types, d_model=self.d_model))


@dataclass(frozen=True)
class PerLayerEmbedding:
    """A second table of token vectors: one of d_per_layer for each layer (Gemma 3n and 4). It is only looked up."""

    vocab_size: int
    n_layers: int
    d_per_layer: int
    id: str = "per_layer_embedding"
    component: str = "embedding"

    def parameters(self) -> Quantity:
        widths = {"n_layers": self.n_layers, "d_per_layer": self.d_per_layer}
        return total(self.id, r"N_\text{emb}", per_layer_embedding_parameters(vocab_size=self.vocab_size, **widths))


@dataclass(frozen=True)
class EmbeddingProjection:
    """From the embedding's width to the model's, or back (``outward``), with or without a bias."""

    d_embedding: int
    d_model: int
    bias: bool = False
    outward: bool = False
    id: str = "embedding_projection"
    component: str = "embedding"

    def parameters(self) -> Quantity:
        parts = [embedding_projection_parameters(d_embedding=self.d_embedding, d_model=self.d_model)]
        if self.bias:
            parts.append(embedding_projection_bias(width=self.d_embedding if self.outward else self.d_model))
        return total(self.id, r"N_\text{proj}", *parts)
