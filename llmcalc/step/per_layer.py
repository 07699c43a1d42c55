"""A second embedding, of which each layer takes a vector of its own (Gemma 3n and 4)."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.activations import activation
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.registry import Beside, runs
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Tensor
from llmcalc.transformer.embedding import PerLayerEmbedding


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
        in_place = self.s.code.per_layer_in_place
        if in_place:
            ids = self.s.constant(ids.dims, ids.dtype, "ids")  # those that the table has, others set to zero
        rows = op.scale(op.lookup(self.table, ids, dims))
        projected = projection(embedded, dims)
        projected = op.scaled_in_place(projected) if in_place else op.scale(projected)
        return op.scale(op.add(norm(projected), rows))


class PerLayerBranch:
    """What a layer makes of its vector: a gate of it, projected to the stream, normed and added."""

    def __init__(self, s: Setting, gate: Linear, projection: Linear, norm: NormLayer) -> None:
        self.s, self.gate, self.projection, self.norm = s, gate, projection, norm

    def __call__(self, x: Tensor, own: Tensor) -> Tensor:
        """What is added to ``x``."""
        return self.behind_gate(self.gate(x, self.s.rows(*self.gate.outputs)), own)

    def behind_gate(self, gate: Tensor, own: Tensor) -> Tensor:
        """The same from the gate's product on."""
        s = self.s
        out = activation(s.code.activation)(gate)
        out = op.multiply(out, own, "gated")
        return self.norm(self.projection(out, s.rows(*self.projection.outputs)))
