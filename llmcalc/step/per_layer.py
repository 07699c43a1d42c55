"""A second embedding, of which each layer takes a vector of its own (Gemma 3n and 4), and linear layers of no kind."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.activations import activation
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.registry import Beside, runs
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Tensor
from llmcalc.transformer.embedding import PerLayerEmbedding
from llmcalc.transformer.piece import Projection


@runs(Projection)
def projection(part: Projection, s: Setting, beside: Beside) -> Linear:
    """A linear layer, called as the part is."""
    sides = {PER_LAYER[part.id][0]: part.d_in, PER_LAYER[part.id][1]: part.d_out}
    d_in, d_out = (s.dim(name, width) for name, width in sides.items())
    return Linear(s, (d_in,), (d_out,), part.bias, name=part.id)


# The sides of its linear layers
PER_LAYER = {
    "per_layer_model_projection": ("d_model", "channels"),
    "per_layer_gate": ("d_model", "d_per_layer"),
    "per_layer_projection": ("d_per_layer", "d_model"),
}


@runs(PerLayerEmbedding)
class PerLayerTable:
    """The table, whose rows hold a vector for each layer."""

    def __init__(self, part: PerLayerEmbedding, s: Setting, beside: Beside) -> None:
        self.s = s
        self.layers, self.width = s.dim("n_layers", part.n_layers), s.dim("d_per_layer", part.d_per_layer)
        vocabulary = s.dim("vocab_size", part.vocab_size)
        self.table = s.weight(vocabulary, self.layers, self.width, name="per_layer_embedding_parameters")

    def inputs(self, ids: Tensor, embedded: Tensor, projection: Linear, norm: NormLayer) -> Tensor:
        """The vectors of all layers: those of the table, and what is projected of the stream, normed."""
        dims = (*self.s.rows(), self.layers, self.width)
        rows = op.scale(op.lookup(self.table, ids, dims))
        projected = op.scale(projection(embedded, dims))
        return op.scale(op.add(norm(projected), rows))


class PerLayerBranch:
    """What a layer makes of its vector: a gate of it, projected to the stream, normed and added."""

    def __init__(self, s: Setting, gate: Linear, projection: Linear, norm: NormLayer) -> None:
        self.s, self.gate, self.projection, self.norm = s, gate, projection, norm

    def __call__(self, x: Tensor, own: Tensor) -> Tensor:
        """What is added to ``x``."""
        s = self.s
        out = activation(s.code.activation)(self.gate(x, s.rows(*self.gate.outputs)))
        out = op.multiply(out, own, "gated")
        return self.norm(self.projection(out, s.rows(*self.projection.outputs)))
