"""DeepSeek's indexer as transformers runs it without its own kernel: every token scored for every other, by all heads.

No gradient goes through it, so that it keeps nothing; but while it runs, the key that its heads share is spread out for
every token, which for long sequences is more than all else in the layer.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from llmcalc.step import operations as op
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.registry import Beside, runs
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Dims, Tensor
from llmcalc.transformer.indexer import Indexer


@runs(Indexer)
class TokenIndexer:
    """Scores, and picks for each token those that it sees."""

    def __init__(self, part: Indexer, s: Setting, beside: Beside) -> None:
        self.s = s
        self.heads, self.index = s.dim("n_index_heads", part.n_heads), s.dim("d_index", part.d_index)
        model, narrow = s.dim("d_model", part.d_model), s.dim("q_lora_rank", part.d_query)
        asked = partial(Linear, s, adapted=False, trains=False)
        self.query = asked((narrow,), (self.heads, self.index), name="index_query")
        self.key = asked((model,), (self.index,), name="index_key")
        self.share = asked((model,), (self.heads,), name="index_weight")
        self.norm = NormLayer(s, "layer_norm", self.index, ("norm_scale", "norm_bias"), trains=False)

    def __call__(self, x: Tensor, narrow: Tensor, rotary: Rotary | None, mask: Tensor | None, picked: Dim) -> Tensor:
        """The ``picked`` tokens that each token sees, by number; ``narrow`` is what queries are projected from."""
        s, tape = self.s, self.s.tape
        rows = s.rows()
        with tape.without_gradients():
            whole_query = self.query(narrow, (*rows, self.heads, self.index))
            whole_key = self.norm(self.key(x, s.rows(self.index)))
            query, _turned_query = self._turned(whole_query, rotary)
            key, _turned_key = self._turned(whole_key, rotary)
            key = s.index_cached(key)
            scores = op.scale(self._scored(tape.cast(query, "fp32"), tape.cast(key, "fp32")), "scores")
            scores = op.relu(scores)
            share = op.scale(tape.cast(self.share(x, s.rows(self.heads)), "fp32"))
            dtype = tape.autocast or "fp32"
            share = tape.cast(share, dtype)
            total = tape.new(s.rows(s.keys), dtype, "scores")
            if mask is not None and mask.dtype == "bool":
                hidden = tape.new(mask.dims, "bool", "attention_mask")
                total = tape.new(total.dims, total.dtype, "scores")
                del hidden
            elif mask is not None:
                total = tape.new(total.dims, op.wider(total.dtype, mask.dtype), "scores")
            values = tape.new(s.rows(picked), total.dtype, "scores")
            found = tape.new(s.rows(picked), "int64", "router_choice")
            del values
            return tape.cast(found, "int32", "router_choice")

    def _turned(self, x: Tensor, rotary: Rotary | None) -> tuple[Tensor, Tensor]:
        """The first channels of a head turned, joined with the rest and alone."""
        if rotary is None:
            return x, x
        s, others = self.s, x.dims[:-1]
        rest = s.dim("d_index", max(0, self.index.value - rotary.head.value))
        turned = rotary.one(op.take(x, *others, rotary.head), local=False)
        return op.join([turned, op.take(x, *others, rest)], x.dims, "rotated"), turned

    def _scored(self, query: Tensor, key: Tensor) -> Tensor:
        """The product of all heads of each token with the keys of all tokens, copied for each token where there are
        more than one, of more than one sequence."""
        s, tape = self.s, self.s.tape
        dtype = tape.autocast or "fp32"
        query, key = tape.cast(query, dtype), tape.cast(key, dtype)
        if not op.is_alone(query) and np.any(s.tokens.value > 1):
            key = tape.new((s.batch, s.tokens, self.index, s.keys), dtype, "copy")
        return tape.new((s.batch, s.tokens, self.heads, s.keys), dtype, "scores")


def seen_of(s: Setting, picked: Dims, mask: Tensor | None) -> Tensor | None:
    """The mask of a layer whose tokens see what an indexer picked, a tensor of sides ``picked``."""
    if mask is None:
        return None
    tape, square = s.tape, (s.batch, s.tokens, s.keys)
    ones = tape.new(square, "bool", "attention_mask")
    places = tape.new(picked, "int64", "router_choice")
    hidden = tape.new(square, "bool", "attention_mask")
    del ones, places
    if mask.dtype == "bool":
        shown = tape.new(square, "bool", "attention_mask")
        both = tape.new(square, "bool", "attention_mask")
        del shown, hidden
        return both
    return tape.new(square, mask.dtype, "attention_mask")
