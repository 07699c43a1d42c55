"""Feed-forward networks as implementations run them: plain or gated."""

from __future__ import annotations

from functools import partial

from llmcalc.step import operations as op
from llmcalc.step.activations import activation, most_active
from llmcalc.step.linear import Linear
from llmcalc.step.registry import Beside, runs
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Tensor
from llmcalc.transformer.feedforward import FeedForward


@runs(FeedForward)
class Network:
    """Two linear layers with a nonlinearity between, or three of which one gates; ``inner_norm`` is before the last."""

    def __init__(self, part: FeedForward, s: Setting, beside: Beside) -> None:
        self.s, self.part, self.inner_norm = s, part, beside.norms.get("feed_forward_inner_norm")
        model, self.width = s.dim("d_model", part.d_model), s.dim("d_ff", part.d_ff)
        if part.gated and s.code.joined_gate:
            self.both = s.dim("d_ff_pair", 2 * part.d_ff)
            self.joined = Linear(s, (model,), (self.both,), part.bias, "gate_up")
        else:
            self.up = Linear(s, (model,), (self.width,), part.bias, "up")
            if part.gated:
                self.gate = Linear(s, (model,), (self.width,), part.bias, "gate")
        self.down = Linear(s, (self.width,), (model,), part.bias, "down")
        self.activation = activation(s.code.activation)
        if part.learned_activation:
            width = s.dim("width", part.learned_activation)
            self.activation = partial(self.activation, learned=s.weight(width, name="activation_parameters"))

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output for ``x``, which whoever called has a name for."""
        return self.of([x])

    def of(self, read: list[Tensor]) -> Tensor:
        """The network's output for what it takes out of ``read``, which goes once it is read, if nothing names it."""
        s, act, x = self.s, self.activation, read.pop()
        named: list[Tensor] = []
        wide = s.rows(self.width)
        if not self.part.gated:
            first = [self.up(x, wide)]
            del x
            hidden = act(first.pop())
        elif s.code.joined_gate:
            gate, up = op.split(self.joined(x, s.rows(self.both)), wide, wide)
            hidden = op.multiply(up, act(gate), "gated")
            del gate, up, x
        elif s.code.multiplied:
            up = self.up(x, wide)
            hidden = op.multiply(up, act(op.scale(self.gate(x, wide))), "gated")
            del up, x
        elif self.part.sparse or "network" in s.code.named:
            gate = self.gate(x, wide)
            if self.part.sparse:
                gate = most_active(gate, self.width, s.constant((), gate.dtype, "deviation"))
            active = act(gate)
            up = self.up(x, wide)
            hidden = op.multiply(active, up, "gated")
            named += [gate, active, up] if s.names("network") else []
            del gate, active, up, x
        else:
            hidden = op.multiply(act(self.gate(x, wide)), self.up(x, wide), "gated")
            del x
        if self.inner_norm is not None:
            hidden = self.inner_norm(hidden)
        hidden = op.dropout(hidden, s.run.dropout if "activation" in s.code.dropout_at else 0)
        if s.code.inner_cast:
            hidden = s.tape.cast(hidden, self.down.weight.dtype)
        out = self.down(hidden, s.rows(*self.down.outputs))
        if s.code.multiplied:
            out = op.scale(out)
        del hidden, named
        dropped = {"residual", "feed_forward"} & set(s.code.dropout_at)
        return op.dropout(out, s.run.dropout if dropped else 0)
