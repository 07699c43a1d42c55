"""What stands in front of the layers and behind them: tables of tokens and positions, projections, the head."""

from __future__ import annotations

from llmcalc.step.linear import Linear
from llmcalc.step.registry import Beside, runs
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Parameter
from llmcalc.transformer.embedding import EmbeddingProjection, LearnedPositions, TokenEmbedding
from llmcalc.transformer.head import Head


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
    return s.weight(rows, channels, name="position_embedding_parameters", module="position_embedding")


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
