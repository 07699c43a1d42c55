"""A decoder as its code runs it: embedding, layers, final norm, head and loss, operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from llmcalc.errors import InputError
from llmcalc.step import operations as op
from llmcalc.step.adapters import asking_for_a_gradient
from llmcalc.step.altup import AltUpLayer, Streams
from llmcalc.step.layer import Layer, weightless
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.per_layer import PerLayerTable
from llmcalc.step.registry import running
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tables import MaskedOutput, Output, Tokens
from llmcalc.step.tape import Dim, Dims, Parameter, Tensor
from llmcalc.transformer.model import Block, Model


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
        self.embedding_norm = self.embedding_norm or weightless(s, "embedding_norm", self.channels)
        self.looked_up = self.embedded if s.code.embedding_projected_last or not self.inward else self.channels
        with s.tape.at("loss", "back"):
            back = self._build_back(model)
        self.streams = Streams(s, front["altup_in"], back["altup_out"], self.channels) if "altup_in" in front else None
        self.layers: list[Layer] = []
        for i, block in enumerate(layers):
            with s.tape.at("forward", i):
                self.layers.append((AltUpLayer if self.streams else Layer)(s, block))
        s.lends_picked = any(layer.sees_picked for layer in self.layers)

    def _build_back(self, model: Model) -> dict[str, Any]:
        back: dict[str, Any] = {part.id: running(part, self.s) for part in model.back}
        self.final_norm: NormLayer | None = back.get("final_norm")
        self.final_norm = self.final_norm or weightless(self.s, "final_norm", self.channels)
        self.outward: Linear | None = back.get("output_projection")
        self.read = self.embedded if self.outward else self.channels
        head: Output | MaskedOutput | None = back.get("head")
        self.transformed = head.transformed if head else None
        self.head, self.head_bias = (head.weight, head.bias) if head else (None, None)
        if self.head is None:
            self.head = self.s.copied("head", self.tied)
        return back

    named: list[Tensor] | None = None

    def _last(self, x: Tensor, masks: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The stream and the masks, of the last of the tokens where from here on it goes on alone."""
        s, tokens = self.s, self.s.tokens
        goes_on = s.last_goes_on(masked=all(self._mask_of(layer.window) in masks for layer in self.layers))
        if not goes_on or s.tokens is tokens:
            return x, masks
        rows = {which: [s.tokens if dim is tokens else dim for dim in mask.dims] for which, mask in masks.items()}
        return op.take(x, *s.rows(self.channels)), {which: masks[which].view(*dims) for which, dims in rows.items()}

    def hidden(self, ids: Tensor) -> Tensor:
        """The last hidden state."""
        s = self.s
        with s.tape.at("forward", "front"):
            with s.tape.serving("embedding"):
                x = self._embed(ids)
                embedded = [x] if self.named is None else self.named
                per_layer = self._per_layer(ids, x)
            masks = self._masks(x)
            if self.streams is not None:
                x = self.streams.apart(x)
            rotary = self._rotary(x)
            if self.relative is not None:
                s.relative = self.relative if self.relative_norm is None else self.relative_norm(self.relative)
        for i, layer in [*enumerate(self.layers)] * s.code.layer_runs:
            with s.tape.at("forward", i):
                if layer.borrows and s.code.borrowers_last:
                    x, masks = self._last(x, masks)
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
        s.picked = s.lent = None
        if self.streams is not None:
            with s.tape.at("loss", "back"):
                x = self.streams.together(x)
        if self.final_norm is not None:
            with s.tape.at("loss", "back"):
                x = self.final_norm(x)
        if self.outward is not None:
            with s.tape.at("loss", "back"), s.tape.serving("embedding"):
                x = self.outward(x, s.rows(self.read))
        s.relative = s.last_weights = self.named = None
        del embedded
        if self.streams is not None:
            self.streams.named.clear()
        return x

    def _embed(self, ids: Tensor) -> Tensor:
        s = self.s
        x = op.lookup(self.table, ids, s.rows(self.embedded))
        self.named = [x] if s.names("embeddings") else None
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
        elif s.code.positions_computed:
            places = s.constant((s.tokens, self.looked_up), x.dtype, "positions")
            x = op.add(x, places)
            self.named = None if self.named is None else [*self.named, places]
            del places
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        self.named = [x] if s.names("narrow_embedding") else self.named
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
        rows = (*([self._heads()] if code.position_bias == "mask" else []), s.tokens)
        if numbers or s.run.padding:  # else all sequences see one mask
            rows = (s.batch, *rows)
        wanted = {self._mask_of(layer.window): layer.window for layer in self.layers}
        if code.both_masks and self.unfused:
            wanted = {"global": None, "local": None, **wanted}
        with s.tape.serving("attention"):
            return {
                which: s.constant((*rows, s.masked_keys(window)), x.dtype if numbers else "bool", "attention_mask")
                for which, window in sorted(wanted.items())
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
            out = op.scale(out, "logits")
            out = op.tanh(out)
            out = op.scale(out, "logits")
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
