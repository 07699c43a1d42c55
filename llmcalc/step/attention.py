"""Attention as implementations run it: projections, rotation, the kernel that PyTorch would choose, projection back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext

from llmcalc.step import operations as op
from llmcalc.step.linear import Linear
from llmcalc.step.masks import (
    FLASH_STEP,
    FLASH_WIDEST_HEAD,
    added_mask,
    added_numbers,
    biased_mask,
    padded,
    sdpa_kernel,
)
from llmcalc.step.norms import NormLayer, weights_of
from llmcalc.step.registry import Attended, Beside, runs
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Dims, Tensor
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.part import Norm

_HEAD_GROUPS = 4  # that CodeGen counts its heads in (``mp_num`` of its modeling file); of one each, none is copied


class Kernels:
    """What comes between the projections, fused or step by step: ``heads`` of ``head``, values of ``value_head``."""

    s: Setting
    heads: Dim
    kv_heads: Dim
    head: Dim
    value_head: Dim
    sinks: Tensor | None
    is_causal: bool = True

    def _recomputed(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None = None
    ) -> Attended:
        """What `_attend` gives, computed again in the backward pass if the run says so."""
        if self.s.run.recompute != "selective":
            return self._attend(query, key, value, mask, bias)
        inputs = [query, key, value, *([] if bias is None else [bias])]
        return self.s.tape.checkpoint(lambda q, k, v, *b: self._attend(q, k, v, mask, *b)[0], *inputs), None

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None = None
    ) -> Attended:
        s, code = self.s, self.s.code
        if s.run.attention == "eager" or not code.sdpa:
            return self._unfused(query, key, value, mask, bias)
        packed = s.decodes and code.sdpa_grouped  # heads of one token take the place of tokens
        grouped = self.kv_heads is not self.heads and not packed
        if code.sdpa_grouped and grouped and (mask is not None or self.head.value > FLASH_WIDEST_HEAD):
            key, value = self._repeated(key), self._repeated(value)
            grouped = False
        dtype = s.tape.autocast or query.dtype
        if bias is not None:
            added = biased_mask(s, bias, mask, dtype, causal=self.is_causal)
            rows = (s.batch, self.heads, s.tokens)
            return op.fused_attention(query, key, value, self._out(), rows, False, [], added), None
        widths = {"head": self.head.value, "value_head": self.value_head.value}
        kernel = sdpa_kernel(dtype=dtype, **widths, masked=mask is not None, grouped=grouped)
        if kernel == "math" or (grouped and not code.sdpa_grouped):
            return self._math(query, key, value, mask), None
        rows, out = (s.batch, self.heads, s.tokens), self._out()
        if kernel == "flash" and self.head.value % FLASH_STEP:
            query, key, value = padded(s, query), padded(s, key), padded(s, value)
            wide = op.fused_attention(query, key, value, (*out[:-1], query.dims[-1]), rows, True)
            return op.take(wide, *out), None
        kept = [] if mask is None else [added_mask(s, mask, dtype)]
        return op.fused_attention(query, key, value, out, rows, kernel == "flash", kept), None

    def _repeated(self, x: Tensor, copies: bool = False) -> Tensor:
        if self.kv_heads is self.heads:
            return x
        return op.repeat_heads(x, (self.s.batch, self.heads, x.dims[1], x.dims[-1]), copies)

    def _out(self) -> Dims:
        return (self.s.batch, self.heads, self.s.tokens, self.value_head)

    def _scores(self) -> Dims:
        return (self.s.batch, self.heads, self.s.tokens, self.s.keys)

    def _unfused(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None = None
    ) -> Attended:
        """Scores, softmax and product as separate operations."""
        s, code = self.s, self.s.code
        dtype, value_dtype = query.dtype, value.dtype
        key, value = self._repeated(key), self._repeated(value)
        query = op.by_heads(query) if s.names("queries") else query
        with s.tape.without_autocast() if code.scores_outside_autocast else nullcontext():
            if code.scores_fp32:
                query, key = s.tape.cast(query, "fp32"), s.tape.cast(key, "fp32")
            weights = op.batched_product(query, key, self._scores(), "scores")
        if code.scaled == "scores":
            weights = op.scale(weights, "scores")
        if code.softcap:
            weights = op.scale(op.tanh(op.scale(weights)), "scores")
        if code.position_bias == "added":
            weights = op.add(weights, s.constant((self.heads, s.keys), "fp32", "position_bias"), "scores")
        if bias is not None:
            weights = op.add(weights, bias, "scores")
        unmasked = weights if s.names("unmasked") else None
        weights = self._masked(weights, mask)
        if code.scores_floored and mask is not None:
            weights = op.floored(weights)
        masked = weights if s.names("masked") else None
        if self.sinks is not None and code.sinks == "key":
            return self._with_sinks(weights, self.sinks, value)
        left = None if self.sinks is None else self._left_by_sinks(weights, self.sinks)
        if code.softmax_fp32:
            weights = op.softmax(weights, "fp32")
            weights = s.tape.cast(weights, dtype, "softmax")
        else:
            weights = op.softmax(weights)
            if code.mask != "own":
                weights = s.tape.cast(weights, value_dtype, "softmax")
        del unmasked, masked
        weights = op.dropout(weights, s.run.dropout if "attention" in code.dropout_at else 0)
        out = op.batched_product(weights, value, self._out(), "attention_output")
        return (out if left is None else op.multiply(out, s.tape.cast(left, out.dtype))), weights

    def _left_by_sinks(self, weights: Tensor, sinks: Tensor) -> Tensor:
        """The share of each row that its head's sink leaves to the tokens: a sigmoid of their log-sum less the sink."""
        rows = op.log_sum_exp(weights, weights.dims[:-1])
        return op.sigmoid(self.s.tape.cast(op.add(rows, sinks), "fp32"))

    def _with_sinks(self, weights: Tensor, sinks: Tensor, value: Tensor) -> Attended:
        """A sink of each head is one more key, whose share of the softmax is dropped (gpt-oss)."""
        s = self.s
        wide = s.keys_and_sink
        dims = (s.batch, self.heads, s.tokens, wide)
        column = op.spread(sinks, *dims[:-1], s.dim("width", 1))
        joined = op.join([weights, column], dims, "scores", heads_first=True)
        del weights
        joined = op.shift(joined, "scores")
        shares = op.softmax(joined, joined.dtype)
        shares = op.take(shares, *self._scores())
        shares = op.dropout(shares, s.run.dropout if "attention" in s.code.dropout_at else 0)
        shares = s.tape.cast(shares, value.dtype)
        return op.batched_product(shares, value, self._out(), "attention_output"), shares

    def _masked(self, weights: Tensor, mask: Tensor | None) -> Tensor:
        s, code = self.s, self.s.code
        if code.mask == "own":
            weights = op.masked(weights, s.constant((s.tokens, s.keys), "bool", "attention_mask"))
            return weights if mask is None else op.masked(weights, mask)
        if mask is None:
            return weights
        return op.masked(weights, mask) if code.mask == "filled" else op.add(weights, mask, "scores")

    def _math(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """PyTorch's own fallback where no fused kernel fits: in fp32, heads repeated, the matrix stored.

        As in its ``attention.cpp``, what goes in has a name to the end, and the matrix is given back beside the output.
        """
        s, dtype = self.s, self.s.tape.autocast or query.dtype
        with s.tape.without_autocast():
            _numbers = None if mask is None else added_numbers(s, mask, dtype)
            query, key, value = (s.tape.cast(s.tape.cast(t, dtype), "fp32") for t in (query, key, value))
            copies = s.code.sdpa_grouped
            keys, values = (self._repeated(x, copies=True) if copies else x for x in (key, value))
            scaled, keys = op.scale(query), op.scale(keys)
            weights = op.batched_product(scaled, keys if copies else self._repeated(keys), self._scores(), "scores")
            del keys
            weights = op.softmax(weights)  # to which the mask was added in place
            weights = op.dropout(weights, s.run.dropout if "attention" in s.code.dropout_at else 0)
            _given_back = s.tape.cast(weights, dtype, "softmax")
            values = values if copies else self._repeated(values)
            out = op.batched_product(weights, values, self._out(), "attention_output")
        return s.tape.cast(out, dtype)


@runs(Attention)
class SelfAttention(Kernels):
    """Attention with any number of key/value heads; ``inner_norm`` stands before the projection back (BitNet)."""

    def __init__(self, part: Attention, s: Setting, beside: Beside) -> None:
        self.s, self.part, self.inner_norm = s, part, beside.norms.get("attention_inner_norm")
        self.is_causal = part.sees == "past"
        self.head = self.value_head = self.rotated = s.dim("d_head", part.d_head)
        self.heads, self.kv_heads = s.dim("n_heads", part.n_heads), s.dim("n_kv_heads", part.n_kv_heads)
        if part.n_heads == part.n_kv_heads:
            self.kv_heads = self.heads
        model = s.dim("d_model", part.d_model)
        targets = s.run.lora_rank > 0
        self.gate_joined = part.gate and s.code.gate_joined
        if s.code.joined_projections == "no" and s.code.queries_first:
            self.query = Linear(s, (model,), (self.heads, self.head), part.qkv_bias, "query", targets)
            if not part.borrows:
                self.key = Linear(s, (model,), (self.kv_heads, self.head), part.qkv_bias, "key", targets)
            if not (part.borrows or part.key_is_value):
                self.value = Linear(s, (model,), (self.kv_heads, self.head), part.qkv_bias, "value", targets)
            self.value_norm = NormLayer(s, s.code.qk_norm, self.head, ())
        elif s.code.joined_projections == "no":
            if self.gate_joined:
                self.pair = s.dim("d_head_pair", 2 * part.d_head)
                self.query = Linear(s, (model,), (self.heads, self.pair), part.qkv_bias, "query", targets, "query_gate")
            else:
                self.query = Linear(s, (model,), (self.heads, self.head), part.qkv_bias, "query", targets)
            self.key = Linear(s, (model,), (self.kv_heads, self.head), part.qkv_bias, "key", targets)
            self.value = Linear(s, (model,), (self.kv_heads, self.head), part.qkv_bias, "value", targets)
        else:
            joined = s.dim("n_qkv_heads", part.n_heads + 2 * part.n_kv_heads)
            self.joined = Linear(s, (model,), (joined, self.head), part.qkv_bias, "query_key_value", targets)
        values = self.heads, self.head
        self.out = Linear(s, values, (model,), part.output_bias, "attention_projection", targets, "output")
        apart = part.gate and not self.gate_joined
        self.gate = Linear(s, (model,), (self.heads, self.head), role="attention_gate") if apart else None
        self.sinks = s.weight(self.heads, name="sink_parameters") if part.sinks else None
        self.query_norm = self._norm("query_norm", beside.qk_norms, self.heads)
        self.key_norm = self._norm("key_norm", beside.qk_norms, self.kv_heads)

    def _norm(self, id: str, norms: Mapping[str, Norm], heads: Dim) -> Callable[[Tensor], Tensor] | None:
        """The norm of queries or keys: of each head, or of all heads at once."""
        s, part = self.s, norms.get(id)
        if part is None:
            return NormLayer(s, s.code.qk_norm, self.head, ()) if id in s.code.weightless_norms else None
        weights, width = weights_of(part), part.width
        if width == self.part.d_head:
            return NormLayer(s, s.code.qk_norm, self.head, weights)
        if s.code.qk_norm_by_head:
            return NormLayer(s, s.code.qk_norm, self.head, weights, (heads, self.head))
        all_heads = s.dim("width", width)
        norm = NormLayer(s, s.code.qk_norm, all_heads, weights)
        return lambda x: norm(x.view(*s.rows(all_heads))).view(*s.rows(heads, self.head))

    def __call__(
        self,
        x: Tensor,
        rotary: Rotary | None,
        mask: Tensor | None,
        *,
        source: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Attended:
        """Attention of ``x`` to itself, or to a ``source``; ``bias`` is added to the scores."""
        s, code = self.s, self.s.code
        if code.queries_first:
            query, key, value = self._queries_first(x, rotary)
            del x
            return self._back(*self._recomputed(query, key, value, mask, bias), None)
        gate, named = None, list[Tensor]()
        if self.gate_joined:
            wide = (*s.rows(), self.heads, self.head)
            query, gate = op.split(self.query(x, (*s.rows(), self.heads, self.pair)), wide, wide)
            gate, narrow = op.copied(gate), (*s.rows(), self.kv_heads, self.head)
            query = self.query_norm(query) if self.query_norm else query
            key = self.key(x, narrow)
            key = self.key_norm(key) if self.key_norm else key
            value = self.value(x, narrow)
        else:
            query, key, value = self._project(x, source, named)
            key = op.scale(key) if code.multiplied else key
        if self.gate is not None:
            gate = self.gate(x, (*s.rows(), self.heads, self.head))
        del x
        if not code.qk_norm_last and not self.gate_joined and self.query_norm and self.key_norm:
            query = self.query_norm(query)  # what it was is gone before keys are normed
            key = self.key_norm(key)
        local = self.part.window is not None
        if rotary is not None and (local or not code.rotary_local):
            query, key = rotary(query, key, local=local)
            if code.qk_norm_last:
                query, key = self._normed(query, key)
        if code.scaled == "queries":
            query = op.scale(query)
        key, value = s.cached(key, value, self.part.cache_window)
        out, weights = self._recomputed(query, key, value, mask, bias)
        out = op.contiguous(out, False, "attention_output")
        del query, key, value, named
        if rotary is not None:
            rotary.pieces.clear()
        return self._back(out, weights, gate)

    def _back(self, out: Tensor, weights: Tensor | None, gate: Tensor | None) -> Attended:
        """What heads have gathered, gated and normed where there is that, through the projection back."""
        s, code = self.s, self.s.code
        out = op.contiguous(out, False, "attention_output")
        if gate is not None:
            out = op.multiply(out, op.sigmoid(gate), "gated")
        if self.inner_norm is not None:
            out = self.inner_norm(out.view(*s.rows(self.inner_norm.channels))).view(*s.rows(self.heads, self.head))
        out = self.out(out, s.rows(*self.out.outputs))
        dropped = {"residual", "projection"} & set(code.dropout_at)
        return op.dropout(out, s.run.dropout if dropped else 0), weights

    def _queries_first(self, x: Tensor, rotary: Rotary | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, then keys and values: those of an earlier layer, where this one borrows them (Gemma 3n and 4)."""
        s, part = self.s, self.part
        local = part.window is not None
        kind = "local" if local else "global"

        def turned(x: Tensor) -> Tensor:
            return x if rotary is None else rotary.one(x, local)

        before = len(s.tape.again)
        query = self.query(x, (*s.rows(), self.heads, self.head))
        query = turned(self.query_norm(query) if self.query_norm else query)
        if part.borrows:
            return query, *s.shared[kind]
        after = len(s.tape.again)
        wide = (*s.rows(), self.kv_heads, self.head)
        key = self.key(x, wide)
        if s.code.values_last:
            key = turned(self.key_norm(key) if self.key_norm else key)
            value = self.value_norm(self.value(x, wide))
        else:
            value = key if part.key_is_value else self.value(x, wide)
            key = turned(self.key_norm(key) if self.key_norm else key)
            value = self.value_norm(value)
        key, value = s.cached(key, value, part.cache_window)
        if part.lends:
            # computed again they replace what they were, and their graph, which stays, what it keeps
            s.shared[kind] = key, value
            for lent in (key, value):
                lent.storage.plays("lent")
            begins, ends = s.aside
            s.kept_again += [*s.tape.again[:begins], *s.tape.again[ends:before], *s.tape.again[after:]]
        return query, key, value

    def _project(self, x: Tensor, source: Tensor | None, named: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values; the product that they were taken from is ``named``, where the code names it."""
        s, how = self.s, self.s.code.joined_projections
        query, key = (*s.rows(), self.heads, self.head), (*s.rows(), self.kv_heads, self.head)
        if how == "no":
            read = x if source is None else source
            q, k, v = self.query(x, query), self.key(read, key), self.value(read, key)
        else:
            joined = self.joined(x, s.rows(*self.joined.outputs))
            named += [joined] if s.names("joined") else []
            if how in ("split", "copied"):
                q, k, v = op.split(joined, query, key, key)
            else:
                q, k, v = op.take(joined, *query), op.take(joined, *key), op.take(joined, *key)
        if how == "copied" and self.heads.value > _HEAD_GROUPS:
            q, k, v = op.copy(q), op.copy(k), op.copy(v)
        if how == "indexed":
            k, v = op.copy(k), op.copy(v)
        if how == "spread":
            self.kv_heads = self.heads
            q, k, v = op.copy(q), op.copy(k, query), op.copy(v, query)
        if s.code.projections_clamped:
            q, k, v = op.bounded(q), op.bounded(k), op.bounded(v)
        return q, k, v

    def _normed(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        if self.query_norm is None or self.key_norm is None:
            return query, key
        return self.query_norm(query), self.key_norm(key)
