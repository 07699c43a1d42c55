"""AltUp and LAuReL as Gemma 3n runs them: several streams, of which each layer runs one and foretells the others."""

from __future__ import annotations

from collections.abc import Sequence

from llmcalc.step import operations as op
from llmcalc.step.layer import Layer
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.registry import running
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Tensor
from llmcalc.transformer.model import Block


class Streams:
    """From the embedding to the streams, and from them to one: each but the first through a linear layer of its own,
    then as long as the first."""

    def __init__(self, s: Setting, inward: Sequence[Linear], outward: Sequence[Linear], channels: Dim) -> None:
        self.s, self.inward, self.outward, self.channels = s, inward, outward, channels
        self.all = s.dim("n_streams", 1 + len(inward))
        self.named: list[Tensor] = []  # what has a name while the layers run, and then until the final norm

    def apart(self, x: Tensor) -> Tensor:
        """The streams, (n_streams, batch, tokens, channels), of the embedding ``x``."""
        with self.s.tape.serving("connections"):
            streams = self._made(x, [x] * len(self.inward), self.inward, x.dtype)
            return self._joined(streams)

    def together(self, x: Tensor) -> Tensor:
        """The mean of the streams ``x``, as long as the first."""
        rows = self.s.rows(self.channels)
        with self.s.tape.serving("connections"):
            dtype = self.named[0].dtype
            target, first = self._length(op.take(x, *rows)), op.take(x, *rows)
            others = [op.take(x, *rows) for _ in self.outward]
            del x
            streams = self._made(first, others, self.outward, dtype, target)
            return op.mean(self._joined(streams), self.all)

    def _length(self, x: Tensor) -> Tensor:
        return op.power(op.mean(op.power(x), self.channels))

    def _made(
        self, first: Tensor, read: list[Tensor], layers: Sequence[Linear], dtype: str, target: Tensor | None = None
    ) -> list[Tensor]:
        """The first stream, and what the layers make of what they read, as long as ``target``."""
        target = self._length(first) if target is None else target
        streams = [first]
        self.named = [first, target]
        for linear, x in zip(layers, read, strict=True):
            projected = linear(x, self.s.rows(self.channels))
            current = self.s.tape.cast(projected, dtype)
            length = op.root(op.bounded(op.mean(op.power(current), self.channels)))
            current = op.divide(op.multiply(current, target), length)
            streams.append(current)
        self.named += [*streams[1:], projected, length]
        return streams

    def _joined(self, streams: list[Tensor]) -> Tensor:
        tape, widest = self.s.tape, max((x.dtype for x in streams), key=_WIDTHS.index)
        dims = (self.all, *self.s.rows(self.channels))
        return op.join([tape.cast(x, widest) for x in streams], dims, "streams")


_WIDTHS = ("bf16", "fp16", "fp32")


class AltUpLayer(Layer):
    """A layer that foretells all streams, runs one of them, and corrects the others by how far off that was. Beside
    attention is a branch of low rank (LAuReL); what the layer's own input adds goes to all streams but the first."""

    def __init__(self, s: Setting, block: Block) -> None:
        super().__init__(s, block)
        parts = {part.id: part for part in block.parts}
        with s.tape.serving("connections"):
            self.scale = running(parts["altup_scale"], s)
            self.correction, self.prediction, self.router, self.down, self.up = (
                running(parts[id], s)
                for id in ("altup_correction", "altup_prediction", "altup_router", "laurel_down", "laurel_up")
            )
        (self.channels,) = self.up.outputs
        (self.all,) = self.router.outputs
        self.others, self.from_all = s.dim("n_streams", self.all.value - 1), Dim("n_streams", self.all.value)
        self.router_norm: NormLayer = self.norms["altup_router_norm"]
        self.laurel_norm: NormLayer = self.norms["laurel_norm"]

    def __call__(
        self,
        x: Tensor,
        rotary: Rotary | None,
        mask: Tensor | None,
        *,
        source: Tensor | None = None,
        source_mask: Tensor | None = None,
        bias: Tensor | None = None,
        source_bias: Tensor | None = None,
        own: Tensor | None = None,
    ) -> Tensor:
        """All streams behind the layer; ``own`` is what a second embedding has for it."""
        s, tape, rows = self.s, self.s.tape, self.s.rows(self.channels)
        assert self.attention is not None
        assert self.feed_forward is not None
        with tape.serving("connections"):
            predictions = self._predicted(x)
            active = op.take(predictions, *rows)
        normed = self.norms["attention_norm"](active)
        begins = len(tape.again)
        with tape.serving("connections"):
            low = self.up(self.down(normed, s.rows(*self.down.outputs)), rows)
            laurel = op.add(normed, self.laurel_norm(low))
            del low
        s.aside = begins, len(tape.again)
        with tape.serving("attention"):
            attended, _weights = self.attention(normed, rotary, mask)
        attended = self.norms["attention_post_norm"](attended)
        with tape.serving("residual"):
            gated = op.add(active, attended, "residual")
            stream = op.scale(op.add(gated, laurel), "residual")
        second = self.norms["feed_forward_norm"](stream)
        with tape.serving(self.component):
            out = self.feed_forward(second)
        last = self.norms["feed_forward_post_norm"](out)
        with tape.serving("residual"):
            activated = op.add(stream, last, "residual")
        with tape.serving("connections"):
            corrected = self._corrected(predictions, activated)
        with tape.serving("per_layer_inputs"):
            assert self.per_layer is not None
            assert own is not None
            gate = self.per_layer.gate
            first = self.per_layer.behind_gate(gate(self._scaled(corrected), s.rows(*gate.outputs)), own)
        with tape.serving("connections"):
            some = (self.others, *rows)
            corrected = op.added_within(corrected, first, some)
            return op.written(corrected, op.take(corrected, *some))

    def _scaled(self, corrected: Tensor) -> Tensor:
        """A copy of the first stream, times a number for each channel."""
        with self.s.tape.serving("connections"):
            first = op.copied(op.take(corrected, *self.s.rows(self.channels)))
            scaled = op.multiply(self.s.tape.cast(first, self.scale.dtype), self.scale)
            return self.s.tape.cast(scaled, first.dtype)

    def _routed(self, x: Tensor) -> Tensor:
        """A number for each stream, of what ``x`` is."""
        routed = self.router(op.scale(self.router_norm(x)), self.s.rows(self.all))
        return self.s.tape.cast(op.tanh(self.s.tape.cast(routed, "fp32")), x.dtype)

    def _predicted(self, x: Tensor) -> Tensor:
        """Each stream, and what all of them add to it by the numbers of the first."""
        routed = self._routed(op.take(x, *self.s.rows(self.channels)))
        mixes = self.prediction(routed, self.s.rows(*self.prediction.outputs)).view(
            *self.s.rows(self.all, self.from_all)
        )
        out = op.contracted(x, mixes, x.dims, copies=(False, False))
        out = op.biased(out, x)
        return self.s.tape.cast(op.copied(out), x.dtype)

    def _corrected(self, predictions: Tensor, activated: Tensor) -> Tensor:
        """What was foretold, and of how far off the first was as much as each stream takes."""
        s = self.s
        routed = self._routed(activated)
        off = op.subtract(activated, op.take(predictions, *s.rows(self.channels)))
        off = op.copy(off, predictions.dims)
        if s.code.altup_clipped and s.tape.records:
            weight = op.bounded(self.correction.weight)
            shares = op.shift(op.linear(routed, weight, s.rows(self.all)))
        else:
            shares = op.shift(self.correction(routed, s.rows(self.all)))
        return op.biased(op.multiply(off, shares), predictions)
