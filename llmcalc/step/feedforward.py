"""Feed-forward networks as implementations run them: plain, gated, and mixtures of experts."""

from __future__ import annotations

from functools import partial

from llmcalc.step import operations as op
from llmcalc.step.activations import activation
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Tensor
from llmcalc.transformer.experts import Experts, Router, SharedGate
from llmcalc.transformer.feedforward import FeedForward


class Network:
    """Two linear layers with a nonlinearity between, or three of which one gates; ``inner_norm`` is before the last."""

    def __init__(self, s: Setting, part: FeedForward, inner_norm: NormLayer | None = None) -> None:
        self.s, self.part, self.inner_norm = s, part, inner_norm
        model, self.width = s.dim("d_model", part.d_model), s.dim("d_ff", part.d_ff)
        adapted = s.run.lora_targets == "all"
        if part.gated and s.code.joined_gate:
            self.both = s.dim("d_ff_pair", 2 * part.d_ff)
            self.joined = Linear(s, (model,), (self.both,), part.bias, "gate_up", adapted)
        else:
            self.up = Linear(s, (model,), (self.width,), part.bias, "up", adapted)
            if part.gated:
                self.gate = Linear(s, (model,), (self.width,), part.bias, "gate", adapted)
        self.down = Linear(s, (self.width,), (model,), part.bias, "down", adapted)
        self.activation = activation(s.code.activation)
        if part.learned_activation:
            self.activation = partial(self.activation, learned=s.weight(s.dim("width", part.learned_activation)))

    def __call__(self, x: Tensor) -> Tensor:
        s, act = self.s, self.activation
        wide = s.rows(self.width)
        if not self.part.gated:
            hidden = act(self.up(x, wide))
        elif s.code.joined_gate:
            gate, up = op.split(self.joined(x, s.rows(self.both)), wide, wide)
            hidden = op.multiply(up, act(gate), "gated")
            del gate, up
        else:
            hidden = op.multiply(act(self.gate(x, wide)), self.up(x, wide), "gated")
        del x
        if self.inner_norm is not None:
            hidden = self.inner_norm(hidden)
        hidden = op.dropout(hidden, s.run.dropout if "activation" in s.code.dropout_at else 0)
        out = self.down(hidden, s.rows(*self.down.outputs))
        del hidden
        dropped = {"residual", "feed_forward"} & set(s.code.dropout_at)
        return op.dropout(out, s.run.dropout if dropped else 0)


class Mixture:
    """Router, experts, and shared experts where there are any."""

    def __init__(
        self, s: Setting, router: Router, experts: Experts, shared: FeedForward | None, gate: SharedGate | None
    ) -> None:
        self.s, self.experts = s, experts
        part = experts.expert
        self.model = s.dim("d_model", part.d_model)
        self.choices, self.k = s.dim("n_experts", experts.n_experts), s.dim("top_k", experts.top_k)
        self.width, self.both = s.dim("d_ff", part.d_ff), s.dim("d_ff_pair", 2 * part.d_ff)
        with s.tape.serving("router"):
            self.router = Linear(s, (self.model,), (self.choices,), router.bias, "router")
        self.first = s.weight(self.choices, self.model, self.both if part.gated else self.width)
        self.second = s.weight(self.choices, self.width, self.model)
        self.biases = (
            [s.weight(self.choices, self.both if part.gated else self.width), s.weight(self.choices, self.model)]
            if part.bias
            else []
        )
        self.shared = Network(s, shared) if shared else None
        self.shared_gate = Linear(s, (self.model,), (s.dim("width", 1),)) if gate else None

    def __call__(self, x: Tensor) -> Tensor:
        with self.s.tape.serving("router"):
            scores, chosen = self._route(x)
        out = self._grouped(x, scores, chosen)
        if self.shared is None:
            return out
        with self.s.tape.serving("shared_experts"):
            common = self.shared(x)
            if self.shared_gate is not None:
                one = self.s.dim("width", 1)
                common = op.multiply(op.sigmoid(self.shared_gate(x, self.s.rows(one))), common)
        return op.add(out, common)

    def _route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The weight of each chosen expert, and which they are."""
        s = self.s
        logits = self.router(x, s.rows(self.choices))
        probabilities = op.softmax(s.tape.cast(logits, "fp32"))
        chosen = s.constant(s.rows(self.k), "int64", "router_choice")
        scores = op.gather(probabilities, chosen, s.rows(self.k))
        total = op.total(scores, self.k)
        return op.multiply(scores, total), chosen

    def _grouped(self, x: Tensor, scores: Tensor, chosen: Tensor) -> Tensor:
        """Tokens sorted by expert, one product for all experts: not autocast, in the weights' format."""
        s, act = self.s, activation(self.s.code.activation)
        pairs = s.rows(self.k)
        order = s.constant(pairs, "int64", "expert_order")
        rows = s.constant(pairs, "int64", "expert_order")
        selected = op.gather(x, rows, (*pairs, self.model), "expert_input")
        picked = op.gather(scores, order, pairs)
        ends = s.constant((self.choices,), "int32", "expert_order")
        hidden = op.grouped_product(selected, self.first, (*pairs, *self.first.dims[2:]), ends)
        del selected
        wide = (*pairs, self.width)
        if self.experts.expert.gated:
            gate, up = op.split(hidden, wide, wide)
            del hidden
            hidden = op.multiply(act(gate), up, "gated")
            del gate, up
        else:
            hidden = act(hidden)
        out = op.grouped_product(hidden, self.second, (*pairs, self.model), ends)
        del hidden
        out = op.multiply(out, picked, "expert_output")
        back = s.constant(pairs, "int64", "expert_order")
        out = op.gather(out, back, out.dims)
        out = op.total(out, self.k)
        return s.tape.cast(out, x.dtype)
