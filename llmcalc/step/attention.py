"""Attention as implementations run it: projections, rotation, the kernel that PyTorch would choose, projection back."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NORMS
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Tensor
from llmcalc.transformer.attention import Attention
from llmcalc.transformer.part import Part

FLASH_WIDEST_HEAD = 256
_SIXTEEN_BIT = ("bf16", "fp16")


class Rotary:
    """Cosines and sines of every position, made once a forward pass; rotates queries and keys."""

    def __init__(self, s: Setting, width: int, dtype: str) -> None:
        self.kind, self.width = s.code.rotary, width
        self.channels = s.dim("d_head", width)
        self.half = s.dim("d_head", max(1, width // 2))
        with s.tape.serving("positions"):
            self.tables = [
                s.constant((s.tokens, self.channels), "fp32" if s.code.wide_rotary else dtype, "rotary")
                for _ in range(2 * s.code.rotary_tables)
            ]

    def __call__(self, s: Setting, x: Tensor, head: Dim) -> Tensor:
        """``x`` of heads ``head`` wide, rotated."""
        if head is self.channels:
            return self._rotate(x)
        rest = s.dim("d_head", head.value - self.width)
        others = tuple(d for d in x.dims if d is not head)
        turned, kept = op.take(x, *others, self.channels), op.take(x, *others, rest)
        turned = self._rotate(turned)
        return op.join([turned, kept], x.dims, "rotated", heads_first=True)

    def _rotate(self, x: Tensor) -> Tensor:
        cos, sin = self.tables[:2]
        return op.add(op.multiply(x, cos), op.multiply(self._turned(x), sin), "rotated")

    def _turned(self, x: Tensor) -> Tensor:
        others = tuple(d for d in x.dims if d is not self.channels)
        first, second = op.take(x, *others, self.half), op.take(x, *others, self.half)
        second = op.negate(second)
        return op.join([second, first], x.dims, heads_first=True)


class SelfAttention:
    """Attention with any number of key/value heads."""

    def __init__(self, s: Setting, part: Attention, norms: list[Part]) -> None:
        self.s, self.part = s, part
        self.head = s.dim("d_head", part.d_head)
        self.heads, self.kv_heads = s.dim("n_heads", part.n_heads), s.dim("n_kv_heads", part.n_kv_heads)
        if part.n_heads == part.n_kv_heads:
            self.kv_heads = self.heads
        model = s.dim("d_model", part.d_model)
        targets = s.run.lora_rank > 0
        if s.code.joined_projections == "no":
            self.query = Linear(s, (model,), (self.heads, self.head), part.qkv_bias, "query", targets)
            self.key = Linear(s, (model,), (self.kv_heads, self.head), part.qkv_bias, "key", targets)
            self.value = Linear(s, (model,), (self.kv_heads, self.head), part.qkv_bias, "value", targets)
        else:
            joined = s.dim("n_qkv_heads", part.n_heads + 2 * part.n_kv_heads)
            self.joined = Linear(s, (model,), (joined, self.head), part.qkv_bias, "query_key_value", targets)
        self.out = Linear(s, (self.heads, self.head), (model,), part.output_bias, "attention_projection", targets)
        self.norms = [(part, [s.weight(*self._norm_dims(i, part.width))]) for i, part in enumerate(norms)]
        self.mask_buffer = None

    def _norm_dims(self, which: int, width: int) -> tuple[Dim, ...]:
        heads = (self.heads, self.kv_heads)[which]
        return (self.head,) if width == self.part.d_head else (heads, self.head)

    def __call__(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Tensor:
        s, code = self.s, self.s.code
        query, key, value = self._project(x)
        del x
        if self.norms:
            query, key = self._normed(0, query), self._normed(1, key)
        if rotary is not None and code.rotary != "none":
            query, key = rotary(s, query, self.head), rotary(s, key, self.head)
        if code.query_scaled:
            query = op.scale(query)
        if s.run.recompute == "selective":
            out = s.tape.checkpoint(lambda q, k, v: self._attend(q, k, v, mask), query, key, value)
        else:
            out = self._attend(query, key, value, mask)
        del query, key, value
        out = op.contiguous(out, False, "attention_output")
        out = self.out(out, s.rows(*self.out.outputs))
        return op.dropout(out, s.run.dropout if "residual" in code.dropout_at else 0)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s = self.s
        query = (*s.rows(), self.heads, self.head)
        key = (*s.rows(), self.kv_heads, self.head)
        if s.code.joined_projections == "no":
            return self.query(x, query), self.key(x, key), self.value(x, key)
        joined = self.joined(x, s.rows(*self.joined.outputs))
        if s.code.joined_projections == "slices":
            return op.take(joined, *query), op.take(joined, *key), op.take(joined, *key)
        q, k, v = op.split(joined, query, key, key)
        return q, k, v

    def _normed(self, which: int, x: Tensor) -> Tensor:
        part, weights = self.norms[which]
        with self.s.tape.serving("norm"):
            return NORMS[self.s.code.qk_norm](x, weights, self.head)

    # The kernels

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        s = self.s
        if s.run.attention == "eager" or not s.code.sdpa:
            return self._unfused(query, key, value, mask)
        grouped = self.kv_heads is not self.heads
        if mask is not None and grouped:
            key, value = self._repeated(key), self._repeated(value)
            grouped = False
        dtype = s.tape.autocast or query.dtype
        flash = dtype in _SIXTEEN_BIT and mask is None and self.part.d_head <= FLASH_WIDEST_HEAD
        if not flash and grouped:
            return self._math(query, key, value)
        rows = (s.batch, self.heads, s.tokens)
        if mask is not None:  # a bool mask becomes numbers to add, which the kernel keeps
            added = s.constant(mask.dims, dtype, "attention_mask")
            return op.fused_attention(query, key, value, query.dims, rows, flash, [added])
        return op.fused_attention(query, key, value, query.dims, rows, flash)

    def _repeated(self, x: Tensor) -> Tensor:
        if self.kv_heads is self.heads:
            return x
        return op.repeat_heads(x, (self.s.batch, self.heads, self.s.tokens, self.head))

    def _scores(self) -> tuple[Dim, ...]:
        return (self.s.batch, self.heads, self.s.tokens, self.s.keys)

    def _unfused(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Scores, softmax and product as separate operations."""
        s, code = self.s, self.s.code
        dtype, value_dtype = query.dtype, value.dtype
        key, value = self._repeated(key), self._repeated(value)
        weights = op.batched_product(query, key, self._scores(), "scores")
        if not code.query_scaled:
            weights = op.scale(weights, "scores")
        if code.softcap:
            weights = op.scale(op.tanh(op.scale(weights)))
        if code.causal_buffer:
            hidden = s.constant((s.tokens, s.keys), "bool", "attention_mask")
            weights = op.masked(weights, hidden)
        elif mask is not None:
            weights = op.add(weights, mask, "scores")
        if code.softmax_fp32:
            weights = op.softmax(weights, "fp32")
            weights = s.tape.cast(weights, dtype, "softmax")
        else:
            weights = op.softmax(weights)
            if not code.causal_buffer:
                weights = s.tape.cast(weights, value_dtype, "softmax")
        weights = op.dropout(weights, s.run.dropout if "attention" in code.dropout_at else 0)
        return op.batched_product(weights, value, (s.batch, self.heads, s.tokens, self.head), "attention_output")

    def _math(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """PyTorch's own fallback where no fused kernel fits: heads repeated, the matrix stored."""
        s = self.s
        key, value = self._repeated(key), self._repeated(value)
        query, key = op.scale(query), op.scale(key)
        weights = op.batched_product(query, key, self._scores(), "scores")
        del query, key
        weights = op.softmax(op.shift(weights, "scores"))
        weights = op.dropout(weights, s.run.dropout if "attention" in s.code.dropout_at else 0)
        return op.batched_product(weights, value, (s.batch, self.heads, s.tokens, self.head), "attention_output")


