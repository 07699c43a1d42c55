"""An encoder and a decoder that attends to it, as their code runs them: T5, BART and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmcalc.step import operations as op
from llmcalc.step.decoder import Decoder
from llmcalc.step.layer import Layer
from llmcalc.step.norms import NormLayer
from llmcalc.step.registry import running
from llmcalc.step.setting import Setting
from llmcalc.step.tables import Tokens
from llmcalc.step.tape import Parameter, Tensor
from llmcalc.transformer.model import Block, Model


def is_pair(layers: Sequence[Block]) -> bool:
    """Whether some of the layers attend to what others made of the source."""
    attending = [block.attends_to_source for block in layers]
    return any(attending) and not all(attending)


class Stack:
    """What stands in front of the layers of one of the two, and behind them."""

    def __init__(self, s: Setting, name: str, front: dict[str, Any], back: dict[str, Any]) -> None:
        self.s, self.is_decoder = s, name == "decoder"
        self.positions: Parameter | None = front.get(f"{name}_positions")
        self.bias: Parameter | None = front.get(f"{name}_relative_bias")
        self.norm: NormLayer | None = front.get(f"{name}_embedding_norm")
        self.final_norm: NormLayer | None = back.get(f"{name}_final_norm")

    def embedded(self, table: Parameter, ids: Tensor, tokens: Tokens) -> Tensor:
        """The stream that goes into its first layer."""
        s, code = self.s, self.s.code
        with s.tape.serving("embedding"):
            x = op.lookup(table, ids, s.rows(tokens.channels))
            if code.embedding_scaled:
                x = op.scale(x)
            if code.positions_computed:
                x = op.shift(x)
            if self.positions is not None:
                rows = s.rows() if code.positions_of_batch and not self.is_decoder else (s.tokens,)
                which = s.constant(rows, "int64", "positions")
                x = op.add(x, op.lookup(self.positions, which, (*rows, tokens.channels)))
            if self.norm is not None:
                x = self.norm(x)
            return op.dropout(x, s.run.dropout if "embedding" in code.dropout_at else 0)

    def position_bias(self, layer: Layer) -> Tensor | None:
        """A number for each head, token and key, which the first layer looks up for all (T5)."""
        if self.bias is None:
            return None
        s, heads = self.s, layer.heads
        with s.tape.serving("positions"):
            which = s.constant((s.tokens, s.keys), "int64", "position_buckets")
            return op.lookup(self.bias, which, (s.tokens, s.keys, heads)).view(heads, s.tokens, s.keys)

    def left(self, x: Tensor) -> Tensor:
        """What leaves its last layer."""
        x = self.final_norm(x) if self.final_norm is not None else x
        return op.dropout(x, self.s.run.dropout if "final" in self.s.code.dropout_at else 0)


class Pair(Decoder):
    """Both stacks, with the table that they share, and the head."""

    def __init__(self, s: Setting, model: Model, layers: Sequence[Block]) -> None:
        self.s = s
        front: dict[str, Any] = {part.id: running(part, s) for part in model.front}
        self.tokens: Tokens = front["embedding"]
        self.embedded, self.vocabulary, self.table = self.tokens.channels, self.tokens.vocabulary, self.tokens.table
        self.channels, self.inward, self.tied = self.embedded, None, self.tokens.original
        self.tables = [front.get(f"{name}_embedding") for name in ("encoder", "decoder")]
        with s.tape.at("loss", "back"):
            back = self._build_back(model)
        self.stacks = [Stack(s, name, front, back) for name in ("encoder", "decoder")]
        self.layers = []
        for i, block in enumerate(layers):
            with s.tape.at("forward", i):
                self.layers.append(Layer(s, block))
        self.first = next(i for i, layer in enumerate(self.layers) if layer.cross is not None)

    def hidden(self, ids: Tensor) -> Tensor:
        """The decoder's last hidden state."""
        s, (encoder, decoder) = self.s, self.stacks
        with s.tape.at("forward", "front"):
            x = encoder.embedded(self._table(0), ids, self.tokens)
            mask = self._padding_mask() if s.run.padding else None
        with s.tape.at("forward", 0):
            bias = encoder.position_bias(self.layers[0])
        for i in range(self.first):
            with s.tape.at("forward", i):
                x = self._run(self.layers[i], x, mask, None, bias, None)
        with s.tape.at("forward", self.first):
            source = encoder.left(x)
            del x
            shifted = s.constant(s.rows(), "int64", "ids")
            x = decoder.embedded(self._table(1), shifted, self.tokens)
            bias = decoder.position_bias(self.layers[self.first])
            causal = self._padding_mask() if s.run.padding or self.unfused else None
            zeros = self._no_bias() if bias is not None else None
        for i in range(self.first, len(self.layers)):
            with s.tape.at("forward", i):
                x = self._run(self.layers[i], x, causal, source, bias, zeros, mask)
        with s.tape.at("loss", "back"):
            x = decoder.left(x)
            return op.scale(x) if s.code.head_input_scaled and self.head is None else x

    def _run(
        self,
        layer: Layer,
        x: Tensor,
        mask: Tensor | None,
        source: Tensor | None,
        bias: Tensor | None,
        zeros: Tensor | None,
        source_mask: Tensor | None = None,
    ) -> Tensor:
        inputs = [t for t in (x, source, bias) if t is not None]

        def through(*given: Tensor) -> Tensor:
            x, *rest = given
            seen = rest.pop(0) if source is not None else None
            about = rest.pop(0) if bias is not None else None
            return layer(x, None, mask, source=seen, bias=about, source_mask=source_mask, source_bias=zeros)

        if self.s.run.recompute in ("full", "selective_ops"):
            return self.s.tape.checkpoint(through, *inputs, keeps=self.s.run.recompute == "selective_ops")
        return through(*inputs)

    def _table(self, stack: int) -> Parameter:
        return self.tables[stack] or self.table

    def _padding_mask(self) -> Tensor:
        s = self.s
        numbers = self.unfused
        with s.tape.serving("attention"):
            dtype = s.weight_dtype if numbers else "bool"
            return s.constant((s.batch, s.tokens, s.keys), dtype, "attention_mask")

    def _no_bias(self) -> Tensor:
        """Attention to the source adds a bias of zeros, made once (T5)."""
        s, heads = self.s, self.layers[self.first].heads
        return s.constant((heads, s.tokens, s.keys), s.tape.autocast or s.weight_dtype, "position_bias")
