"""Mamba-2 as transformers runs it without fused kernels: chunks of tokens that meet by products, without a loop.

What is between the projections is in fp32, but for products under autocast. Of every chunk a matrix of tokens by tokens
is kept for each head, three times over: where the package mamba_ssm is there, its kernels keep none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llmcalc.errors import InputError
from llmcalc.step import operations as op
from llmcalc.step.convolution import CausalConvolution, without_padding
from llmcalc.step.linear import Linear
from llmcalc.step.registry import Attended, Beside, runs
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Dims, Tensor
from llmcalc.transformer.mamba2 import Mamba2


@runs(Mamba2)
class StateSpace:
    """Projections, a convolution, the states, a gated norm and the projection back."""

    def __init__(self, part: Mamba2, s: Setting, beside: Beside) -> None:
        if part.n_heads % part.n_groups:
            raise InputError("model", f"a training step of a model with such {part.id} is not simulated")
        self.s, self.part = s, part
        self.rotated = None
        model, self.inner = s.dim("d_model", part.d_model), s.dim("d_inner", part.d_inner)
        self.heads, self.groups = s.dim("n_mamba_heads", part.n_heads), s.dim("n_groups", part.n_groups)
        self.head = s.dim("d_head", part.d_inner // part.n_heads)
        self.in_group = s.dim("width", part.d_inner // part.n_groups)
        self.channels, self.state = s.dim("channels", part.channels), s.dim("d_state", part.d_state)
        self.each = s.dim("channels", part.d_inner + part.channels + part.n_heads)
        self.joined = Linear(s, (model,), (self.each,), part.bias, name="mamba2_in")
        self.convolution = CausalConvolution(s, self.channels, part.d_conv, part.conv_bias)
        self.step_bias, self.decays, self.passing = (
            s.weight(self.heads, name="mamba2_head_parameters") for _ in range(3)
        )
        self.norm = s.weight(self.inner, name="rms_norm_scale") if part.norm else None
        self.out = Linear(s, (self.inner,), (model,), part.bias, "attention_projection", name="mamba_out")
        size = part.chunk_size
        chunks = -(-np.asarray(s.run.seq_len) // size)
        count: Any = chunks if chunks.ndim else int(chunks)
        self.is_one = bool(np.all(chunks == 1))  # one chunk holds all tokens
        self.fills = bool(np.any(np.asarray(s.run.seq_len) % size))
        self.chunks, self.padded = Dim("n_chunks", count), Dim("padded_tokens", count * size)
        self.chunk, self.others = s.dim("chunk", size), Dim("chunk", size)
        self.starts, self.from_starts = Dim("n_chunks_and_one", count + 1), Dim("n_chunks_and_one", count + 1)

    def __call__(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Attended:
        """What the layer makes of ``x``; positions and masks are not asked."""
        s, tape, dtype = self.s, self.s.tape, x.dtype
        x = without_padding(s, x)
        if s.code.multiplied:
            joined = op.scale(self.joined(op.scale(x), s.rows(self.each)), dtype=s.weight_dtype)
        else:
            joined = self.joined(x, s.rows(self.each))
        decay = op.negate(op.exponential(tape.cast(self.decays, "fp32")))
        wide = s.rows(self.inner)
        gate, mixed, step = op.split(joined, wide, s.rows(self.channels), s.rows(self.heads))
        mixed = without_padding(s, self.convolution(mixed, op.silu))
        narrow = s.rows(self.groups, self.state)
        heads = s.rows(self.heads, self.head)
        inside, write, read = op.split(mixed, heads, narrow, narrow)
        if s.decodes:
            out = self._stepped(inside, step, decay, write, read)
        else:
            out, _state = self._scanned(inside, step, decay, write, read)
        out = self._gated(out.view(*wide), gate)
        return self.out(tape.cast(out, dtype), s.rows(*self.out.outputs)), None

    def _gated(self, x: Tensor, gate: Tensor) -> Tensor:
        """Times its gate, then normed group by group, all in fp32; or normed first, or only gated, as it is."""
        s, tape = self.s, self.s.tape
        if self.norm is None:
            return op.multiply(x, op.silu(gate), "gated")
        dtype = x.dtype
        x = tape.cast(x, "fp32")
        if not s.code.norm_before_gate:
            x = op.multiply(x, op.silu(tape.cast(gate, "fp32")), "gated")
        grouped = x.view(*s.rows(self.groups, self.in_group))
        variance = op.mean(op.power(grouped), self.in_group)
        grouped = op.multiply(grouped, op.reciprocal_root(op.shift(variance)), "normalised")
        grouped = tape.cast(grouped.view(*s.rows(self.inner)), dtype)
        x = op.multiply(grouped, self.norm, "norm_output")
        return op.multiply(x, op.silu(tape.cast(gate, "fp32")), "gated") if s.code.norm_before_gate else x

    def _stepped(self, x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor) -> Tensor:
        """Of one token behind a cached state, which fades, takes the token in and is read."""
        s, tape = self.s, self.s.tape
        heads, each = (s.batch, self.heads, self.head), (s.batch, self.heads, self.state)
        wide = (*heads, self.state)
        step = op.add(op.spread(step, *heads), tape.cast(self.step_bias, step.dtype))
        step = op.softplus(step)
        decay = op.exponential(op.multiply(op.spread(tape.cast(step, "fp32"), *wide), decay))
        write = op.copy(write, each)
        written = op.multiply(op.spread(step, *wide), write)
        added = op.multiply(written, x)
        state = op.add(op.scale(decay), added, "state")
        read = op.copy(read, each)
        state = tape.cast(state, read.dtype)
        out = op.contracted(state, read, heads, copies=(False, False))
        return op.add(out, op.multiply(x, self.passing), "recurrence_output")

    def _scanned(
        self, x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Of all tokens, and the last state, where a cache keeps it: as part of those of all chunks."""
        s, tape = self.s, self.s.tape
        step = op.add(step, tape.cast(self.step_bias, step.dtype))
        step = op.bounded(op.softplus(step))
        x = tape.cast(x, "fp32")
        wide = s.rows(self.heads, self.state)
        write = op.copy(tape.cast(write, "fp32"), wide)
        read = op.copy(tape.cast(read, "fp32"), wide)
        passed = op.multiply(self._filled(x, self.head), self.passing)
        x = op.multiply(x, tape.cast(step, "fp32"))
        decay = op.multiply(tape.cast(step, "fp32"), decay)
        rows = (s.batch, self.chunks, self.chunk, self.heads)
        x = self._filled(x, self.head).view(*rows, self.head)
        decay = self._filled(decay).view(*rows)
        write, read = (self._filled(t, self.state).view(*rows, self.state) for t in (write, read))
        summed = op.running_sum(decay)
        square = (s.batch, self.heads, self.chunks, self.chunk, self.others)
        pairs = op.exponential(self._segments(decay, square))
        scores = op.contracted(read, write, square, copies=(True, True))
        met = op.multiply(scores, pairs)
        values = (*rows, self.head)
        within = op.contracted(met, x, values, copies=(False, not self.is_one))
        ends = op.take(summed, s.batch, self.heads, self.chunks)
        faded = op.multiply(write, op.exponential(op.add(op.negate(summed), ends)))
        states = (s.batch, self.chunks, self.heads, self.head, self.state)
        made = op.contracted(faded, x, states, copies=(True, not self.is_one))
        first = s.constant((s.batch, self.heads, self.head, self.state), made.dtype, "state")
        all_states = (s.batch, self.starts, *states[2:])
        made = op.join([first, made], all_states, "state")
        last = op.take(summed, s.batch, self.heads, self.chunks)
        last = op.padded_with_zeros(last, (s.batch, self.heads, self.starts), adds=True)
        between = (s.batch, self.heads, self.from_starts, self.starts)
        carried = op.exponential(self._segments(last, between))
        reached = op.contracted(carried, made, (s.batch, self.from_starts, *states[2:]), copies=(False, True))
        last_state = reached.view(s.batch, self.heads, self.head, self.state)
        made = op.take(reached, *states)
        leaving = op.exponential(summed)
        gathered = op.contracted(read, made, values, copies=(True, not self.is_one))
        brought = op.multiply(gathered, leaving)
        out = op.copied(op.add(brought, within))
        out = op.add(out.view(s.batch, self.padded, self.heads, self.head), passed, "recurrence_output")
        tokens = s.rows(self.heads, self.head)
        return op.take(out, *tokens) if self.fills else out.view(*tokens), s.state_kept(last_state)

    def _filled(self, x: Tensor, *channels: Dim) -> Tensor:
        """Filled up to whole chunks."""
        return op.padded_with_zeros(x, (self.s.batch, self.padded, self.heads, *channels), adds=self.fills)

    def _segments(self, x: Tensor, square: Dims) -> Tensor:
        """Sums of what lies between each two places: seen once for every place, masked, summed, and masked again."""
        s, mask = self.s, square[-2:]
        spread = op.masked(op.spread(x, *square), s.constant(mask, "bool", "attention_mask"))
        return op.masked(op.running_sum(spread), s.constant(mask, "bool", "attention_mask"))
