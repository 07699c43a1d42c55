"""One layer of a decoder as its code runs it: its parts operation by operation, around a residual stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llmcalc.errors import InputError
from llmcalc.step import operations as op
from llmcalc.step.disentangled import DisentangledSelfAttention
from llmcalc.step.experts_beside import ExpertsBeside
from llmcalc.step.feedforward import Network
from llmcalc.step.norms import NormLayer
from llmcalc.step.per_layer import PerLayerBranch
from llmcalc.step.registry import Beside, Mixer, running
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.side_by_side import SideBySide
from llmcalc.step.tape import Dim, Tensor
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.model import Block
from llmcalc.transformer.part import Part, mixers, norms


def weightless(s: Setting, id: str, channels: Dim) -> NormLayer | None:
    """The norm of this id, where it has no weights."""
    return NormLayer(s, s.code.norm, channels, ()) if id in s.code.weightless_norms else None


# What a layer's other parts run themselves
_BESIDE = (
    *("router", "shared_experts", "shared_gate", "cross_attention", "indexer"),
    *("per_layer_gate", "per_layer_projection"),
    *("altup_scale", "altup_correction", "altup_prediction", "altup_router", "laurel_down", "laurel_up"),
    *("latent_down", "latent_up"),
)


def _is_run(part: Part, mixer: Part | None, network: Part | None) -> bool:
    """Whether a layer runs it: its mixer and its network, norms, and what these run."""
    return part in (mixer, network) or bool(norms([part])) or part.id in _BESIDE


class Layer:
    """One layer: its parts in the order in which its code runs them."""

    def __init__(self, s: Setting, block: Block) -> None:
        self.s = s
        parts = {part.id: part for part in block.parts}
        self.norms: dict[str, NormLayer] = {part.id: running(part, s) for part in block.parts_of("norm")}
        meet = [part for part in mixers(block.parts) if part.id not in ("cross_attention", "indexer")]
        both = "dense_post_norm" in parts
        network = parts["feed_forward"] if both else parts.get("experts", parts.get("feed_forward"))
        alone = "feed_forward_norm" not in self.norms and not s.code.parallel and s.code.single_branch
        two = len(meet) == 2 and s.code.multiplied
        if len(meet) != 1 and not two and not (alone and network is not None and not meet):
            raise InputError("model", "a training step of a model with such attention, or none, is not simulated")
        if network is None and not alone:
            raise InputError("model", "a training step of a layer without a feed-forward network is not simulated")
        mixer = meet[-1] if meet else None
        beside_dense = ("experts", "router_scale", "expert_scale") if both else ()
        unknown = [part.id for part in block.parts if not _is_run(part, mixer, network) and part not in meet]
        if unknown := [id for id in unknown if id not in beside_dense]:
            raise InputError("model", f"a training step of a model with such {unknown[0]} is not simulated")
        for id in ("attention_norm", "feed_forward_norm"):
            if mixer is not None and (norm := weightless(s, id, s.dim("d_model", mixer.d_model))) is not None:
                self.norms[id] = norm
        beside = Beside(parts, {norm.id: norm for norm in norms(block.parts_of("qk_norm"))}, self.norms)
        self.attention: Mixer | None = None
        with s.tape.serving("attention"):
            if mixer is not None and s.code.disentangled:
                self.attention = DisentangledSelfAttention(cast(Attention, mixer), s, beside)
            elif mixer is not None and two:
                self.attention = SideBySide(s, meet[0], mixer, beside)
            elif mixer is not None:
                self.attention = running(mixer, s, beside)
            cross = parts.get("cross_attention")
            self.cross: Any = running(cross, s, beside) if cross else None
        self.sees_picked, self.borrows = block.sees_picked, block.borrows
        self.window, self.component = (mixer.window if mixer else None), (network.component if network else "")
        self.feed_forward: Callable[[Tensor], Tensor] | None = None
        if network is not None:
            with s.tape.serving(self.component):
                self.feed_forward = running(network, s, beside)
        self.experts = ExpertsBeside(s, beside) if both else None
        self.per_layer: PerLayerBranch | None = None
        if "per_layer_gate" in parts:
            with s.tape.serving("per_layer_inputs"):
                gate, back = (running(parts[id], s) for id in ("per_layer_gate", "per_layer_projection"))
                self.per_layer = PerLayerBranch(s, gate, back, self.norms["per_layer_norm"])

    @property
    def heads(self) -> Dim:
        """The heads of its attention."""
        assert self.attention is not None
        return self.attention.heads

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
        """The residual stream behind the layer, which may attend to a ``source`` too; ``bias`` is added to scores.
        ``own`` is what a second embedding has for this layer."""
        if self.s.code.parallel:
            return self._parallel(x, rotary, mask)
        own_weights = None
        if self.attention is not None:
            residual = x
            x = self._before("attention", x)
            named = [x] if self.s.names("norm") else []
            with self.s.tape.serving("attention"):
                told = {} if bias is None else {"bias": bias}
                x, _weights = self.attention(x, rotary, mask, **told)
            named += [x] if self.s.names("attention") else []
            own_weights = _weights if self.s.names("weights") else None
            x = self._after("attention", x, residual)
        if self.cross is not None and source is not None:
            residual = x
            x = self._before("cross_attention", x)
            with self.s.tape.serving("attention"):
                x, _weights = self.cross(x, None, source_mask, source=source, bias=source_bias)
            x = self._after("cross_attention", x, residual)
        if self.feed_forward is not None:
            branch = "attention" if self.attention is None else "feed_forward"  # of one branch the norm is the first
            residual = x
            with self.s.tape.serving(self.component):
                x = self._network(branch, x)
            if self.experts is not None:
                _weights = None  # the router's scores take their name
                x, _named = self.experts(x, residual)
            x = self._after("feed_forward", x, residual)
        if self.per_layer is not None and own is not None:
            residual = x
            with self.s.tape.serving("per_layer_inputs"):
                x = self.per_layer(x, own)
            with self.s.tape.serving("residual"):
                x = op.add(residual, x, "residual")
        self.s.last_weights = own_weights  # those of the layer before stay until this one is through
        return op.scaled_in_place(x) if self.s.code.layer_scaled else x

    def _network(self, branch: str, x: Tensor) -> Tensor:
        """What the network makes of the stream."""
        assert self.feed_forward is not None
        if self.s.code.network_inline:
            return cast(Network, self.feed_forward).of([self._before(branch, x)])
        x = self._before(branch, x)
        return self.feed_forward(x)

    def _before(self, branch: str, x: Tensor) -> Tensor:
        norm = self.norms.get(f"{branch}_norm")
        return x if norm is None or self.s.code.norm_after else norm(x)

    def _after(self, branch: str, x: Tensor, residual: Tensor) -> Tensor:
        code = self.s.code
        norm = self.norms.get(f"{branch}_post_norm")
        if code.norm_after == "branch":
            norm = self.norms.get(f"{branch}_norm")
        if norm is not None:
            x = norm(x)
        with self.s.tape.serving("residual"):
            if code.branch_scaled:
                x = op.scale(x)
            x = op.add(residual, x, "residual")
        if code.norm_after == "sum":
            x = self.norms[f"{branch}_norm"](x)
        return x

    def _parallel(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Tensor:
        residual = x
        first = self.norms["attention_norm"](x)
        own = self.norms.get("feed_forward_norm")
        last = self.s.code.parallel_norm_last
        second = first if own is None or last else own(x)
        del x
        assert self.attention is not None
        assert self.feed_forward is not None
        with self.s.tape.serving("attention"):
            attended, _weights = self.attention(first, rotary, mask)
        del first
        if own is not None and last:
            second = own(residual)
        with self.s.tape.serving(self.component):
            out = self.feed_forward(second)
        del second
        self.s.last_weights = _weights if self.s.names("weights") else None
        with self.s.tape.serving("residual"):
            return op.add(op.add(attended, out), residual, "residual")
