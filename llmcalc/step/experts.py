"""Mixtures of experts as implementations run them: the router, the experts, and shared experts beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from llmcalc.step import operations as op
from llmcalc.step.activations import activation
from llmcalc.step.adapters import FoldedAdapter
from llmcalc.step.feedforward import Network
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.registry import Beside, running, runs
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Dims, Tensor
from llmcalc.transformer.experts import Experts, Router, SharedGate


@runs(Router)
class TokenRouter:
    """Scores every expert for every token, and chooses. Where it has scales, what it reads is normed, and times one of
    each channel, and what it gives times one of each expert (Gemma 4)."""

    def __init__(self, part: Router, s: Setting, beside: Beside) -> None:
        self.s, self.choices, model = s, s.dim("n_experts", part.n_experts), s.dim("d_model", part.d_model)
        self.is_module = "router_scale" in beside.parts
        self.linear = Linear(s, (model,), (self.choices,), part.bias, "router", module=self.is_module)
        self.norm: NormLayer | None = None
        if self.is_module:
            self.norm = NormLayer(s, s.code.norm, model, ())
            self.scale, self.of_each = (running(beside.parts[id], s) for id in ("router_scale", "expert_scale"))
        adapted = s.code.experts_adapted and s.adapts("router")
        self.adapter = FoldedAdapter(s, self.linear.weight, s.run.lora_rank) if adapted else None
        self.selection = s.weight(self.choices, name="selection_bias", trains=False) if part.selection else None

    def logits(self, x: Tensor) -> Tensor:
        """One number for each expert."""
        s, dims = self.s, self.s.rows(self.choices)
        if self.norm is not None:
            return self.linear(op.scale(op.multiply(self.norm(x), self.scale)), dims)
        weight = self.adapter.folded() if self.adapter else self.linear.weight
        if not s.code.router_fp32:
            return op.linear(x, weight, dims, self.linear.bias, "router", s.run.numbers.linear)
        with s.tape.without_autocast() if s.code.router_outside_autocast else nullcontext():
            x, weight = s.tape.cast(x, "fp32"), s.tape.cast(weight, "fp32")
            return op.linear(x, weight, dims, self.linear.bias, "router")

    def __call__(self, x: Tensor, k: Dim) -> Tensor:
        """The weight of each of the ``k`` chosen experts."""
        s, code, tape = self.s, self.s.code, self.s.tape
        logits = self.logits(x)
        dtype = x.dtype
        scores = logits if code.router_fp32 or code.router_as_computed else tape.cast(logits, "fp32")
        if code.router == "softmax":
            scores = op.softmax(scores, "fp32")
        if code.router == "sigmoid":
            scores = op.sigmoid(scores)
        del logits
        chosen = s.constant(s.rows(k), "int64", "router_choice")
        scores = op.gather(scores, chosen, s.rows(k))
        if code.router == "chosen_softmax":
            scores = op.softmax(scores)
        if code.router_normalised:
            scores = op.multiply(scores, op.total(scores, k))
        if code.router_scaled:
            scores = op.scale(scores)
        if self.norm is not None:
            scores = op.multiply(scores, op.gather(self.of_each, chosen, s.rows(k)))
        return tape.cast(scores, dtype) if code.router_cast else scores


@runs(SharedGate)
def shared_gate(part: SharedGate, s: Setting, beside: Beside) -> Linear:
    """One number for each token."""
    return Linear(s, (s.dim("d_model", part.d_model),), (s.dim("width", 1),), name="shared_gate")


@runs(Experts)
class Mixture:
    """Router, experts, and shared experts where there are any."""

    def __init__(self, experts: Experts, s: Setting, beside: Beside) -> None:
        self.s, self.gated = s, experts.expert.gated
        part = experts.expert
        latent = [beside.parts[id] for id in ("latent_down", "latent_up") if id in beside.parts]
        self.model = s.dim("d_in" if latent else "d_model", part.d_model)
        self.choices, self.k = s.dim("n_experts", experts.n_experts), s.dim("top_k", experts.top_k)
        self.width = s.dim("d_ff", part.d_ff)
        self.inner = s.dim("d_ff_pair", 2 * part.d_ff) if part.gated else self.width
        with s.tape.serving("router"):
            self.router: TokenRouter = running(beside.parts["router"], s, beside)
        self.latent: list[Linear] = [running(part, s) for part in latent]
        first = "gate_up" if part.gated else "up"
        self.first = s.weight(self.choices, self.model, self.inner, name=f"{first}_parameters")
        self.second = s.weight(self.choices, self.width, self.model, name="down_parameters")
        rank = s.run.lora_rank
        adapted = s.code.experts_adapted and s.adapts("experts")
        # of two matrices joined the adapter has both ranks
        self.first_adapter = FoldedAdapter(s, self.first, rank * (1 + part.gated)) if adapted else None
        self.second_adapter = FoldedAdapter(s, self.second, rank) if adapted else None
        self.first_bias = s.weight(self.choices, self.inner, name=f"{first}_bias") if part.bias else None
        self.second_bias = s.weight(self.choices, self.model, name="down_bias") if part.bias else None
        with s.tape.serving("shared_experts"):
            shared, gate = beside.parts.get("shared_experts"), beside.parts.get("shared_gate")
            self.shared: Network | None = running(shared, s) if shared else None
            self.shared_gate: Linear | None = running(gate, s) if gate else None

    def __call__(self, x: Tensor) -> Tensor:
        """What the experts make of each token, as the code runs them."""
        return EXPERTS[self.s.code.experts](self, x)

    def chosen(self, x: Tensor) -> Tensor:
        """Each token's experts, and the shared ones: before them or after, as the code does."""
        code = self.s.code
        common = self.of_all(x) if code.shared_first else None
        out = self._through_latents(x) if self.latent else grouped(self, x)
        common = self.of_all(x) if not code.shared_first else common
        if common is None:
            return out
        if self.shared_gate is not None:
            with self.s.tape.serving("shared_experts"):
                one = self.s.dim("width", 1)
                common = op.multiply(op.sigmoid(self.shared_gate(x, self.s.rows(one))), common)
        return op.add(out, common)

    def _through_latents(self, x: Tensor) -> Tensor:
        """What the experts make of a narrower vector, widened again (Nemotron-3): the router reads the whole one."""
        down, up = self.latent
        with self.s.tape.serving("router"):
            scores = self.router(x, self.k)
        narrow = grouped(self, down(x, self.s.rows(*down.outputs)), scores)
        return up(narrow, self.s.rows(*up.outputs))

    def matrices(self) -> tuple[Tensor, Tensor]:
        """Both matrices of all experts, with what adapters add to them."""
        first = self.first_adapter.folded() if self.first_adapter else self.first
        return first, self.second_adapter.folded() if self.second_adapter else self.second

    def of_all(self, x: Tensor) -> Tensor | None:
        """What the shared experts make of every token."""
        with self.s.tape.serving("shared_experts"):
            return None if self.shared is None else self.shared(x)


def grouped(mixture: Mixture, x: Tensor, scores: Tensor | None = None) -> Tensor:
    """Tokens sorted by expert, one product for all experts: not autocast, in the weights' format. The router reads
    ``x``, unless its ``scores`` are there already."""
    s = mixture.s
    if scores is None:
        with s.tape.serving("router"):
            scores = mixture.router(x, mixture.k)
    pairs = s.rows(mixture.k)
    order = s.constant(pairs, "int64", "expert_order")
    rows = s.constant(pairs, "int64", "expert_order")
    selected = op.gather(x, rows, (*pairs, mixture.model), "expert_input")
    picked = op.gather(scores, order, pairs)
    del order, rows, scores
    ends = s.constant((mixture.choices,), "int32", "expert_order")
    experts = s.constant(pairs, "int64", "expert_order")
    first, second = mixture.matrices()
    hidden = op.grouped_product(selected, first, (*pairs, mixture.inner), ends)
    if mixture.first_bias is not None:
        biases = op.gather(mixture.first_bias, experts, hidden.dims)  # has a name, and stays
        hidden = op.biased(hidden, biases)
    hidden = _activated(mixture, hidden, (*pairs, mixture.width))
    out = op.grouped_product(hidden, second, (*pairs, mixture.model), ends)
    del hidden
    if mixture.second_bias is not None:
        biases = op.gather(mixture.second_bias, experts, out.dims)
        out = op.biased(out, biases)
    weighted = op.multiply(out, picked, "expert_output")  # all three have names, and stay until the last is added up
    back = s.constant(pairs, "int64", "expert_order")
    weighted = op.gather(weighted, back, weighted.dims)
    weighted = op.total(weighted, mixture.k)
    return s.tape.cast(weighted, x.dtype)


def everywhere(mixture: Mixture, x: Tensor) -> Tensor:
    """Every expert on every token, those not chosen on zeros (Llama 4). What all read and made has names, and stays
    until it is added up, in place, to what the shared one made."""
    s, tape = mixture.s, mixture.s.tape
    copies = s.rows(mixture.choices)
    with tape.serving("router"):
        logits = mixture.router.logits(x)
        chosen = s.constant(s.rows(mixture.k), "int64", "router_choice")
        scores = op.scatter(op.gather(logits, chosen, chosen.dims), chosen, copies)
        scores = tape.cast(op.sigmoid(tape.cast(scores, "fp32")), logits.dtype)
        del logits
    selected = op.copy(x, (*copies, mixture.model))
    selected = op.multiply(selected, op.copy(scores), "expert_input")
    hidden = op.linear(selected, mixture.first, (*copies, mixture.inner), None, "expert_product")
    gated = _activated(mixture, hidden, (*copies, mixture.width))
    out = op.linear(gated, mixture.second, (*copies, mixture.model), None, "expert_product")
    del hidden, gated
    common = mixture.of_all(x)
    out = op.total(out, mixture.choices)
    return out if common is None else op.biased(common, out)


def _activated(mixture: Mixture, hidden: Tensor, wide: Dims) -> Tensor:
    act = activation(mixture.s.code.activation)
    if not mixture.gated:
        return act(hidden)
    if mixture.s.code.expert_gate == "clamped":
        return _clamped(op.take(hidden, *wide), op.take(hidden, *wide))
    gate, up = op.split(hidden, wide, wide)
    return op.multiply(act(gate), up, "gated")


def _clamped(gate: Tensor, up: Tensor) -> Tensor:
    """gpt-oss's: both clamped, and one is added to the input."""
    gate, up = op.bounded(gate), op.bounded(up)
    glu = op.multiply(gate, op.sigmoid(op.scale(gate)))
    return op.multiply(op.shift(up), glu, "gated")


EXPERTS: dict[str, Callable[[Mixture, Tensor], Tensor]] = {"grouped": Mixture.chosen, "everywhere": everywhere}
