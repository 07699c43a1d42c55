"""The gated delta rule as transformers runs it without fused kernels: chunks of 64 tokens, one after the other.

What is between the projections is in fp32. In a chunk, tokens meet by matrices of 64 × 64; a loop over them passes a
state on. Where the package fla is there, its kernels keep far less.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from llmcalc.errors import InputError
from llmcalc.sizes import larger
from llmcalc.step import operations as op
from llmcalc.step.activations import activation
from llmcalc.step.convolution import CausalConvolution, without_padding
from llmcalc.step.linear import Linear
from llmcalc.step.norms import rms
from llmcalc.step.registry import Attended, Beside, runs
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Dims, Tensor
from llmcalc.transformer.delta_net import DeltaNet

CHUNK = 64  # tokens that are taken at once


class Mixed(NamedTuple):
    """What the projections give: all that is convolved, the gate, how much is written and what is forgotten."""

    mixed: Tensor
    gate: Tensor
    write: Tensor
    decay: Tensor
    named: tuple[Tensor, ...] = ()  # products that have a name while the rule runs


@runs(DeltaNet)
class GatedDeltaNet:
    """Projections, a convolution, the delta rule, a gated norm and the projection back."""

    def __init__(self, part: DeltaNet, s: Setting, beside: Beside) -> None:
        if part.channel_decay:
            raise InputError("model", f"a training step of a model with such {part.id} is not simulated")
        self.s, self.part = s, part
        self.rotated = None
        self.heads, self.key_heads = s.dim("n_value_heads", part.n_value_heads), s.dim("n_key_heads", part.n_key_heads)
        self.key, self.value = s.dim("d_key", part.d_key), s.dim("d_value", part.d_value)
        self.channels = s.dim("channels", part.channels)
        model = s.dim("d_model", part.d_model)
        values = self.heads, self.value
        if s.code.delta_joined:
            self.each = s.dim("channels", part.channels + part.n_value_heads * part.d_value)
            self.joined = Linear(s, (model,), (self.each,), name="delta_query_key_value_gate")
            self.both = s.dim("n_value_heads_pair", 2 * part.n_value_heads)
            self.decay_write = Linear(s, (model,), (self.both,), name="delta_decay")
        else:
            self.joined = Linear(s, (model,), (self.channels,), name="delta_query_key_value")
            self.gate = Linear(s, (model,), values, role="attention_gate", name="delta_gate")
            self.write = Linear(s, (model,), (self.heads,), name="delta_decay")
            self.decay = Linear(s, (model,), (self.heads,), name="delta_decay")
        self.convolution = CausalConvolution(s, self.channels, part.d_conv)
        self.step_bias = s.weight(self.heads, name="delta_head_parameters")
        self.decays = s.weight(self.heads, name="delta_head_parameters")
        self.norm = s.weight(self.value, name="rms_norm_scale")
        self.out = Linear(s, values, (model,), role="attention_projection", name="delta_output")
        self.rule = DeltaRule(s, self.heads, self.key_heads, self.key, self.value)

    def __call__(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Attended:
        """What the layer makes of ``x``; positions and masks are not asked."""
        s = self.s
        x = without_padding(s, x)
        mixed, gate, write, decay, _named = self._joined(x) if s.code.delta_joined else self._apart(x)
        mixed = activation(s.code.activation)(self.convolution(mixed))
        keys = (*s.rows(), self.key_heads, self.key)
        query, key, value = op.split(mixed, keys, keys, (*s.rows(), self.heads, self.value))
        write = op.sigmoid(write)
        log = op.negate(op.exponential(s.tape.cast(self.decays, "fp32")))
        steps = op.softplus(op.add(s.tape.cast(decay, "fp32"), self.step_bias))
        forgotten = op.multiply(log, steps)
        del log, steps
        out, _state = self.rule(query, key, value, forgotten, write)
        out = self._gated(out, gate)
        return self.out(out, s.rows(*self.out.outputs)), None

    def _apart(self, x: Tensor) -> Mixed:
        s = self.s
        each = s.rows(self.heads)
        mixed = self.joined(x, s.rows(self.channels))
        return Mixed(mixed, self.gate(x, (*s.rows(), *self.gate.outputs)), self.write(x, each), self.decay(x, each))

    def _joined(self, x: Tensor) -> Mixed:
        """Of one product, each head of the keys with its values: copied apart, and joined anew."""
        s, part = self.s, self.part
        joined = self.joined(x, s.rows(self.each))
        both = self.decay_write(x, s.rows(self.both))
        keys, values = (*s.rows(), self.key_heads, self.key), (*s.rows(), self.heads, self.value)
        query, key, value, gate = op.split(joined, keys, keys, values, values)
        write, decay = op.split(both, s.rows(self.heads), s.rows(self.heads))
        if part.n_value_heads != part.n_key_heads:
            value, gate = op.copied(value), op.copied(gate)
            write, decay = op.copied(write), op.copied(decay)
        else:
            value = op.copied(value)
        query, key = op.copied(query), op.copied(key)
        return Mixed(op.join([query, key, value], s.rows(self.channels)), gate, write, decay, (joined, both))

    def _gated(self, x: Tensor, gate: Tensor) -> Tensor:
        """Each head normed in fp32, times its gate."""
        tape, dtype = self.s.tape, x.dtype
        x = rms(x, [self.norm], self.value)
        x = op.multiply(x, activation(self.s.code.activation)(tape.cast(gate, "fp32")), "gated")
        return tape.cast(x, dtype, "gated")


class DeltaRule:
    """The rule itself, chunk by chunk: ``heads`` of ``key`` × ``value`` channels of state, in fp32."""

    def __init__(self, s: Setting, heads: Dim, key_heads: Dim, key: Dim, value: Dim) -> None:
        self.s, self.heads, self.key_heads, self.key, self.value = s, heads, key_heads, key, value
        chunks = -(-np.asarray(s.run.seq_len) // CHUNK)
        count = chunks if chunks.ndim else int(chunks)
        self.chunks, self.is_one = Dim("n_chunks", count), bool(np.all(chunks == 1))
        self.padded = Dim("padded_tokens", count * CHUNK)
        self.fills = bool(np.any(np.asarray(s.run.seq_len) % CHUNK))
        self.chunk, self.others = s.dim("chunk", CHUNK), Dim("chunk", CHUNK)
        # turns of the loop: those before the last two, all of these but the first, the last of them, and the next
        self.earlier, self.after_first = (Dim("n_chunks", larger(count - n, 0)) for n in (2, 3))
        self.last_earlier, self.before = (
            Dim("n_chunks", larger(count - n, 0) - larger(count - n - 1, 0)) for n in (2, 1)
        )

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, decay: Tensor, write: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Values read from the state, of every token, and the last state, where a cache keeps it."""
        s, dtype = self.s, query.dtype
        if self.key_heads.value != self.heads.value:
            wide = (*s.rows(), self.heads, self.key)
            query, key = op.copy(query, wide), op.copy(key, wide)
        query, key, value, write, decay = [
            op.brought(x, "fp32", heads_first=True) for x in (query, key, value, write, decay)
        ]
        query, key = self._unit(query), self._unit(key)
        query = op.scale(query)
        if s.decodes:
            return self._stepped(query, key, value, decay, write, dtype)
        rows, each = (s.batch, self.heads, self.chunks, self.chunk), (s.batch, self.heads, self.padded)
        query, key, value = (op.padded_with_zeros(x, (*each, x.dims[-1]), adds=self.fills) for x in (query, key, value))
        write, decay = (op.padded_with_zeros(x, each, adds=self.fills).view(*rows) for x in (write, decay))
        query, key, value = query.view(*rows, self.key), key.view(*rows, self.key), value.view(*rows, self.value)
        written_values, written_keys = op.multiply(value, write), op.multiply(key, write)
        later = s.constant((self.chunk, self.others), "bool", "attention_mask")
        summed = op.running_sum(decay)
        square = (*rows, self.others)
        pairs = op.outer_difference(summed, square)
        pairs = op.masked(pairs, later)
        pairs = op.exponential(pairs)
        system = op.multiply(op.batched_product(written_keys, key, square, "scores"), pairs)
        inside = op.multiply(op.batched_product(query, key, square, "scores"), pairs)
        decayed = op.multiply(written_keys, op.exponential(summed))
        new, read = op.solved(system, written_values), op.solved(system, decayed)
        state = s.constant((s.batch, self.heads, self.key, self.value), "fp32", "state")
        state.heads_first = True
        out = s.constant((*rows, self.value), "fp32", "recurrence_output")
        query = op.multiply(query, op.exponential(summed))
        ends = op.take(summed, s.batch, self.heads, self.chunks)
        key = op.multiply(key, op.exponential(op.add(op.negate(summed), ends)))
        faded = op.exponential(op.take(summed, s.batch, self.heads, self.chunks))
        pieces = [new, read, query, inside, key, faded]
        out, state = op.earlier_turns(pieces, out, state, self._kept(pieces))
        left = (s.batch, self.heads, self.last_earlier, self.chunk, self.value)
        named = {"changed": s.constant(left, "fp32", "new_values"), "between": s.constant(left, "fp32", "product")}
        out, state = self._turn(pieces, out, state, self.before, named)
        out, state = self._turn(pieces, out, state, None, named)
        if not self.is_one:  # a solved system, and what is made like it, lies in columns
            out = op.copied(out)
            out.heads_first = True
        return self._apart(out, dtype), s.state_kept(state)

    def _stepped(
        self, query: Tensor, key: Tensor, value: Tensor, decay: Tensor, write: Tensor, dtype: str
    ) -> tuple[Tensor, Tensor | None]:
        """One token behind a cached state, which fades, takes in what it did not have yet and is read."""
        s, wide = self.s, (self.s.batch, self.heads, self.key, self.value)
        out = s.constant(value.dims, "fp32", "recurrence_output")
        state = op.scale(op.spread(op.exponential(decay), *wide), "state")
        known = op.total(op.multiply(state, key), self.key)
        new = op.multiply(op.subtract(value, known), write)
        state = op.add(state, op.multiply(op.spread(key, *wide), new), "state")
        out = op.written(out, op.total(op.multiply(state, query), self.key))
        return s.tape.cast(out, dtype), s.state_kept(state)

    def _unit(self, x: Tensor) -> Tensor:
        """Of length one."""
        return op.multiply(x, op.reciprocal_root(op.shift(op.total(op.multiply(x, x), x.dims[-1]))), "normalised")

    def _kept(self, pieces: list[Tensor]) -> list[Tensor]:
        """What the earlier turns of the loop keep."""
        s, narrow = self.s, self.s.tape.autocast
        chunk, state = (self.chunk, self.value), (self.key, self.value)

        def of(turns: Dim, dims: Dims, dtype: str, role: str) -> Tensor:
            return s.constant((s.batch, self.heads, turns, *dims), dtype, role)

        keys = (self.chunk, self.key)
        if not narrow:
            _, read, query, inside, key, faded = pieces
            found = [of(self.earlier, chunk, "fp32", "new_values"), of(self.earlier, state, "fp32", "state")]
            found += [read, inside, faded]
            if query.heads_first or np.all(s.batch.value == 1):
                return [*found, query, key]
            return [*found, of(self.after_first, keys, "fp32", "copy"), of(self.earlier, keys, "fp32", "copy")]
        return [
            *(of(self.earlier, dims, narrow, "cast") for dims in (keys, state, state, chunk, chunk)),
            of(self.earlier, (self.chunk, self.others), narrow, "cast"),
            *(of(self.after_first, keys, narrow, "cast") for _ in range(2)),
            of(self.earlier, state, "fp32", "state"),
            pieces[-1],
        ]

    def _turn(
        self, pieces: list[Tensor], out: Tensor, state: Tensor, turns: Dim | None, named: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One turn of the loop; ``turns`` is one, or none where there are no two, and None the last, after which
        none but a cache needs the state. What is ``named`` stays until the next turn has another."""
        s, heads = self.s, self.heads
        rows = (s.batch, heads) if turns is None else (s.batch, heads, turns)
        keys, values = (*rows, self.chunk, self.key), (*rows, self.chunk, self.value)
        new, read, query, inside, key, faded = pieces
        changed = op.batched_product(op.take(read, *keys), state, values, "product")
        changed = named["changed"] = op.subtract(op.take(new, *values), changed, "new_values")
        between = named["between"] = op.batched_product(op.take(query, *keys), state, values, "product")
        within = op.batched_product(op.take(inside, *rows, self.chunk, self.others), changed, values, "product")
        out = op.written(out, op.add(between, within))
        del between, within
        if turns is not None or s.keeps_states:
            kept = op.multiply(state, op.take(faded, *rows), "state")
            added = op.batched_product(op.take(key, *keys), changed, (*rows, self.key, self.value), "product")
            state = op.add(kept, added, "state")
        return out, state

    def _apart(self, out: Tensor, dtype: str) -> Tensor:
        """All tokens without what was filled up, laid out by tokens."""
        s = self.s
        out = out.view(s.batch, self.heads, self.padded, self.value)
        tokens = (s.batch, s.tokens, self.heads, self.value)
        out = op.take(out, *tokens) if self.fills else out.view(*tokens)
        return op.contiguous(op.brought(out, dtype, heads_first=False), False)
