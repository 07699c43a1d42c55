"""A decoder as its code runs it: embedding, layers, final norm, head and loss, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from llmcalc.errors import InputError
from llmcalc.step import operations as op
from llmcalc.step.adapters import asking_for_a_gradient
from llmcalc.step.disentangled import DisentangledSelfAttention
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.per_layer import PerLayerBranch, PerLayerTable
from llmcalc.step.registry import Beside, Mixer, running
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tables import MaskedOutput, Output, Tokens
from llmcalc.step.tape import Dim, Dims, Parameter, Tensor
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.part import Part, mixers, norms


def _weightless(s: Setting, id: str, channels: Dim) -> NormLayer | None:
    """The norm of this id, where it has no weights."""
    return NormLayer(s, s.code.norm, channels, ()) if id in s.code.weightless_norms else None


# What a layer's other parts run themselves
_BESIDE = (
    *("router", "shared_experts", "shared_gate", "cross_attention", "indexer"),
    *("per_layer_gate", "per_layer_projection"),
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
        network = parts.get("experts", parts.get("feed_forward"))
        alone = "feed_forward_norm" not in self.norms and not s.code.parallel and s.code.single_branch
        if len(meet) != 1 and not (alone and network is not None and not meet):
            raise InputError("model", "a training step of a model with such attention, or none, is not simulated")
        if network is None and not alone:
            raise InputError("model", "a training step of a layer without a feed-forward network is not simulated")
        mixer = meet[0] if meet else None
        if unknown := [part.id for part in block.parts if not _is_run(part, mixer, network)]:
            raise InputError("model", f"a training step of a model with such {unknown[0]} is not simulated")
        for id in ("attention_norm", "feed_forward_norm"):
            if mixer is not None and (norm := _weightless(s, id, s.dim("d_model", mixer.d_model))) is not None:
                self.norms[id] = norm
        beside = Beside(parts, {norm.id: norm for norm in norms(block.parts_of("qk_norm"))}, self.norms)
        self.attention: Mixer | None = None
        with s.tape.serving("attention"):
            if mixer is not None and s.code.disentangled:
                self.attention = DisentangledSelfAttention(cast(Attention, mixer), s, beside)
            elif mixer is not None:
                self.attention = running(mixer, s, beside)
            cross = parts.get("cross_attention")
            self.cross: Any = running(cross, s, beside) if cross else None
        self.sees_picked = block.sees_picked
        self.window, self.component = (mixer.window if mixer else None), (network.component if network else "")
        self.feed_forward: Callable[[Tensor], Tensor] | None = None
        if network is not None:
            with s.tape.serving(self.component):
                self.feed_forward = running(network, s, beside)
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
        if self.attention is not None:
            residual = x
            x = self._before("attention", x)
            named = [x] if self._names("norm") else []
            with self.s.tape.serving("attention"):
                told = {} if bias is None else {"bias": bias}
                x, _weights = self.attention(x, rotary, mask, **told)
            named += [x] if self._names("attention") else []
            self.s.last_weights = _weights if self._names("weights") else None
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
            x = self._before(branch, x)
            with self.s.tape.serving(self.component):
                x = self.feed_forward(x)
            x = self._after("feed_forward", x, residual)
        if self.per_layer is not None and own is not None:
            residual = x
            with self.s.tape.serving("per_layer_inputs"):
                x = self.per_layer(x, own)
            with self.s.tape.serving("residual"):
                x = op.add(residual, x, "residual")
        return op.scaled_in_place(x) if self.s.code.layer_scaled else x

    def _names(self, what: str) -> bool:
        """Whether this keeps a name beyond its use: where a gradient is wanted autograd keeps most of it anyway."""
        return not self.s.tape.records and what in self.s.code.named

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
        second = self.norms["feed_forward_norm"](x) if "feed_forward_norm" in self.norms else first
        del x
        assert self.attention is not None
        assert self.feed_forward is not None
        with self.s.tape.serving("attention"):
            attended, _weights = self.attention(first, rotary, mask)
        self.s.last_weights = _weights if self._names("weights") else None
        del first
        with self.s.tape.serving(self.component):
            out = self.feed_forward(second)
        del second
        with self.s.tape.serving("residual"):
            return op.add(op.add(attended, out), residual, "residual")


class Decoder:
    """Embedding, layers, final norm and head; ``layers`` are the blocks to run, from first to last."""

    def __init__(self, s: Setting, model: Model, layers: Sequence[Block]) -> None:
        self.s = s
        front: dict[str, Any] = {part.id: running(part, s) for part in model.front}
        if "embedding" not in front:
            raise InputError("model", "a training step of a model without a table of tokens is not simulated")
        tokens: Tokens = front["embedding"]
        self.embedded, self.vocabulary, self.table = tokens.channels, tokens.vocabulary, tokens.table
        self.tied = tokens.original
        self.inward: Linear | None = front.get("embedding_projection")
        self.channels = self.inward.outputs[0] if self.inward else self.embedded
        self.per_layer: PerLayerTable | None = front.get("per_layer_embedding")
        self.per_layer_projection: Linear | None = front.get("per_layer_model_projection")
        self.per_layer_norm: NormLayer | None = front.get("per_layer_projection_norm")
        self.positions: Parameter | None = front.get("positions")
        self.types: list[Parameter] = [front[id] for id in ("type_embedding", "task_embedding") if id in front]
        self.relative: Parameter | None = front.get("relative_embedding")
        self.relative_norm: NormLayer | None = front.get("relative_norm")
        self.embedding_norm: NormLayer | None = front.get("embedding_norm")
        self.embedding_norm = self.embedding_norm or _weightless(s, "embedding_norm", self.channels)
        self.looked_up = self.embedded if s.code.embedding_projected_last or not self.inward else self.channels
        with s.tape.at("loss", "back"):
            self._build_back(model)
        self.layers = []
        for i, block in enumerate(layers):
            with s.tape.at("forward", i):
                self.layers.append(Layer(s, block))
        s.lends_picked = any(layer.sees_picked for layer in self.layers)

    def _build_back(self, model: Model) -> dict[str, Any]:
        back: dict[str, Any] = {part.id: running(part, self.s) for part in model.back}
        self.final_norm: NormLayer | None = back.get("final_norm")
        self.final_norm = self.final_norm or _weightless(self.s, "final_norm", self.channels)
        self.outward: Linear | None = back.get("output_projection")
        self.read = self.embedded if self.outward else self.channels
        head: Output | MaskedOutput | None = back.get("head")
        self.transformed = head.transformed if head else None
        self.head, self.head_bias = (head.weight, head.bias) if head else (None, None)
        if self.head is None:
            self.head = self.s.copied("head", self.tied)
        return back

    named: list[Tensor] | None = None

    def hidden(self, ids: Tensor) -> Tensor:
        """The last hidden state."""
        s = self.s
        with s.tape.at("forward", "front"):
            with s.tape.serving("embedding"):
                x = self._embed(ids)
                embedded = [x] if self.named is None else self.named
                per_layer = self._per_layer(ids, x)
            rotary, masks = self._rotary(x), self._masks(x)
            if self.relative is not None:
                s.relative = self.relative if self.relative_norm is None else self.relative_norm(self.relative)
        for i, layer in [*enumerate(self.layers)] * s.code.layer_runs:
            with s.tape.at("forward", i):
                mask = masks.get(self._mask_of(layer.window))
                own = None
                if self.per_layer is not None and per_layer is not None:
                    own = op.take(per_layer, *s.rows(self.per_layer.width))
                run = partial(layer, rotary=rotary, mask=mask, own=own)
                if s.run.recompute in ("full", "selective_ops"):
                    x = s.tape.checkpoint(run, x, keeps=s.run.recompute == "selective_ops")
                else:
                    x = run(x)
                    del run
                del own
        if s.run.recompute not in ("full", "selective_ops"):
            s.shared.clear()
        s.picked = None
        if self.final_norm is not None:
            with s.tape.at("loss", "back"):
                x = self.final_norm(x)
        if self.outward is not None:
            with s.tape.at("loss", "back"), s.tape.serving("embedding"):
                x = self.outward(x, s.rows(self.read))
        s.relative = s.last_weights = self.named = None
        del embedded
        return x

    def _embed(self, ids: Tensor) -> Tensor:
        s = self.s
        x = op.lookup(self.table, ids, s.rows(self.embedded))
        self.named = [x] if "embeddings" in s.code.named and not s.tape.records else None
        if s.run.input_require_grads:
            x = asking_for_a_gradient(x)
        if s.code.embedding_scaled:
            x = op.scale(x)
        last = s.code.embedding_projected_last
        if self.inward is not None and not last:
            x = self.inward(x, s.rows(self.channels))
        for table in self.types:
            x = op.add(x, op.lookup(table, s.constant((s.tokens,), "int64", "types"), s.rows(self.looked_up)))
        if self.positions is not None:
            with s.tape.serving("positions"):
                rows = s.rows() if s.code.positions_of_batch else (s.tokens,)
                which = s.constant(rows, "int64", "positions")
                places = op.lookup(self.positions, which, (*rows, self.looked_up))
                x = op.add(x, places)
                self.named = None if self.named is None else [*self.named, places]
                del places
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        x = op.dropout(x, s.run.dropout if "embedding" in s.code.dropout_at else 0)
        return self.inward(x, s.rows(self.channels)) if self.inward is not None and last else x

    def _per_layer(self, ids: Tensor, x: Tensor) -> Tensor | None:
        """What a second embedding has for all layers, where there is one."""
        if self.per_layer is None or self.per_layer_projection is None or self.per_layer_norm is None:
            return None
        return self.per_layer.inputs(ids, x, self.per_layer_projection, self.per_layer_norm)

    def _rotary(self, x: Tensor) -> Rotary | None:
        code = self.s.code
        turning = [
            (layer.window, layer.attention.rotated)
            for layer in self.layers
            if layer.attention is not None and layer.attention.rotated is not None
        ]
        if not code.rotary or not turning:
            return None
        heads = [next((h for window, h in turning if bool(window) is local), turning[0][1]) for local in (False, True)]
        return Rotary(self.s, heads[0], x.dtype, heads[1])

    def _mask_of(self, window: int | None) -> str:
        """Which mask a layer with this window takes: a fused kernel needs none for a window that holds all tokens."""
        s = self.s
        if window is None or not s.code.local_mask:
            return "global"
        return "local" if self.unfused or s.run.padding or _all(s.run.seq_len >= window) else "global"

    @property
    def unfused(self) -> bool:
        """Whether attention runs step by step."""
        return self.s.run.attention == "eager" or not self.s.code.sdpa

    def _masks(self, x: Tensor) -> dict[str, Tensor]:
        """The masks of global and of local layers, where they need one: a fused kernel knows which token follows which,
        but neither a window nor which tokens are padding."""
        s, code = self.s, self.s.code
        if code.mask == "own" and not s.run.padding:
            return {}
        numbers = code.position_bias == "mask" or (self.unfused and code.mask == "added")
        dims = (*([self._heads()] if code.position_bias == "mask" else []), s.tokens, s.keys)
        if numbers or s.run.padding:  # else all sequences see one mask
            dims = (s.batch, *dims)
        wanted = sorted({self._mask_of(layer.window) for layer in self.layers})
        with s.tape.serving("attention"):
            return {
                which: s.constant(dims, x.dtype if numbers else "bool", "attention_mask")
                for which in wanted
                if (self.unfused and code.causal) or which == "local" or code.sdpa_mask or s.run.padding
            }

    def _heads(self) -> Dim:
        return next(layer.heads for layer in self.layers if layer.attention is not None)

    def logits(self, x: Tensor) -> Tensor:
        """Logits of all tokens."""
        out = self.head_product(x, self.s.rows(self.vocabulary))
        return self.s.tape.cast(out, "fp32", "logits") if self.s.code.logits_fp32 else out

    def head_product(self, x: Tensor, dims: Dims) -> Tensor:
        """The head's product, scaled and capped where the code does so."""
        code = self.s.code
        if self.transformed is not None:
            x = self.transformed(x)
        out = op.linear(x, self.head_weight, dims, self.head_bias, "logits")
        if code.logits_biased:
            out = op.add(out, self.s.constant((self.vocabulary,), self.s.weight_dtype, "logits_bias"), "logits")
        if code.logits_scaled:
            out = op.scale(out, "logits")
        if code.logits_capped:
            out = op.scale(op.tanh(op.scale(out, "logits")), "logits")
        return out

    @property
    def head_weight(self) -> Parameter:
        """The matrix of the head: its own, or the table that it is tied to."""
        return self.tied if self.head is None else self.head

    def hold_gradients(self) -> None:
        """Give every weight the gradient of a step before, which is counted elsewhere."""
        for weight in self.s.weights:
            weight.grad = weight.detach()


def _all(condition: Any) -> bool:
    """One answer for a whole sweep: local layers are masked where the longest sequence is."""
    return bool(np.all(condition))
