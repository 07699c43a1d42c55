"""What stands in front of the layers and behind them: tables of tokens and positions, projections, the head."""

from __future__ import annotations

from llmcalc.step.activations import activation
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer, weights_of
from llmcalc.step.registry import Beside, runs
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Parameter, Tensor
from llmcalc.transformer.embedding import (
    EmbeddingProjection,
    LearnedPositions,
    RelativeBias,
    RelativeEmbedding,
    TokenEmbedding,
    TypeEmbedding,
)
from llmcalc.transformer.head import Head, TransformedHead
from llmcalc.transformer.norm import LayerNorm


@runs(TokenEmbedding)
class Tokens:
    """The table of the ``vocabulary``, so many ``channels`` wide. Where a copy of it trains, the head is still tied to
    the ``original``."""

    def __init__(self, part: TokenEmbedding, s: Setting, beside: Beside) -> None:
        self.vocabulary, self.channels = s.dim("vocab_size", part.vocab_size), s.dim("d_model", part.d_model)
        before = len(s.weights)
        sides = self.vocabulary, self.channels
        self.table = s.weight(*sides, name="token_embedding_parameters", module="token_embedding")
        self.original = s.weights[before]


@runs(LearnedPositions)
def positions(part: LearnedPositions, s: Setting, beside: Beside) -> Parameter:
    """The table of positions."""
    rows, channels = s.dim("n_positions", part.n_positions), s.dim("d_model", part.d_model)
    return s.weight(
        rows, channels, name="position_embedding_parameters", trains=part.trains, module="position_embedding"
    )


@runs(RelativeEmbedding)
def relative_embedding(part: RelativeEmbedding, s: Setting, beside: Beside) -> Parameter:
    """The table of relative positions: a vector for each, before and behind."""
    sides = s.dim("n_buckets", 2 * part.n_buckets), s.dim("d_model", part.d_model)
    return s.weight(*sides, name="relative_embedding_parameters")


@runs(RelativeBias)
def relative_bias(part: RelativeBias, s: Setting, beside: Beside) -> Parameter:
    """The table of relative positions: a number for each head."""
    return s.weight(s.dim("n_buckets", part.n_buckets), s.dim("n_heads", part.n_heads), name="relative_bias_parameters")


@runs(TypeEmbedding)
def types(part: TypeEmbedding, s: Setting, beside: Beside) -> Parameter:
    """The table of segments."""
    return s.weight(s.dim("n_types", part.n_types), s.dim("d_model", part.d_model), name="type_embedding_parameters")


@runs(EmbeddingProjection)
def projection(part: EmbeddingProjection, s: Setting, beside: Beside) -> Linear:
    """From the embedding's width to the model's, or back."""
    narrow, wide = s.dim("d_model", part.d_embedding), s.dim("d_model", part.d_model)
    inputs, outputs = (wide, narrow) if part.outward else (narrow, wide)
    return Linear(s, (inputs,), (outputs,), part.bias, name=part.id)


@runs(Head)
class Output:
    """A ``weight`` of its own, where it is not tied, and a ``bias``, where it has one."""

    def __init__(self, part: Head, s: Setting, beside: Beside) -> None:
        vocabulary = s.dim("vocab_size", part.vocab_size)
        self.weight = (
            s.weight(s.dim("d_model", part.d_model), vocabulary, name="head_parameters", module="head")
            if part.matrix
            else None
        )
        self.bias = s.weight(vocabulary, name="head_bias", module="head") if part.bias else None

    def transformed(self, x: Tensor) -> Tensor:
        """What the matrix reads: the last hidden state itself."""
        return x


@runs(TransformedHead)
class MaskedOutput:
    """BERT's head: a linear layer, a nonlinearity and a norm before the ``weight``, which is tied unless it has one of
    its own. ``spare`` is a bias beside its own that nothing reads."""

    def __init__(self, part: TransformedHead, s: Setting, beside: Beside) -> None:
        self.s, vocabulary = s, s.dim("vocab_size", part.vocab_size)
        wide, self.narrow = s.dim("d_model", part.d_model), s.dim("d_model", part.d_embedding)
        self.dense = Linear(s, (wide,), (self.narrow,), part.dense_bias, "transform", adapted=False)
        self.activation = activation(s.code.activation)
        norm = LayerNorm(part.d_embedding, "head_norm", part.norm_bias)
        self.norm = NormLayer(s, "layer_norm", self.narrow, weights_of(norm))
        self.weight = s.weight(self.narrow, vocabulary, name="head_parameters", module="head") if part.matrix else None
        self.bias = s.weight(vocabulary, name="head_bias", module="head") if part.bias else None
        if part.second_bias:
            s.weight(vocabulary, name="head_bias")

    def transformed(self, x: Tensor) -> Tensor:
        """What the matrix reads: the last hidden state through the transform."""
        return self.norm(self.activation(self.dense(x, (*x.dims[:-1], self.narrow))))
