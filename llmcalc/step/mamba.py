"""The first Mamba as transformers runs it without fused kernels, with Jamba's norms: token by token, in a loop.

Of every token a state of every channel is kept, in fp32 and in the format of the stream, beside two tensors as large of
all tokens: where the package mamba_ssm is there, its kernels keep none of them.
"""

from __future__ import annotations

from llmcalc.errors import InputError
from llmcalc.sizes import larger
from llmcalc.step import operations as op
from llmcalc.step.convolution import CausalConvolution, without_padding
from llmcalc.step.linear import Linear
from llmcalc.step.norms import NormLayer
from llmcalc.step.registry import Attended, Beside, runs
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Tensor
from llmcalc.transformer.mamba import Mamba


@runs(Mamba)
class SelectiveState:
    """Projections, a convolution, what each token chooses, normed, the states, a gate and the projection back."""

    def __init__(self, part: Mamba, s: Setting, beside: Beside) -> None:
        if not part.inner_norms or part.bias:
            raise InputError("model", f"a training step of a model with such {part.id} is not simulated")
        self.s, self.rotated = s, None
        self.model, self.inner = s.dim("d_model", part.d_model), s.dim("d_inner", part.d_inner)
        self.heads, self.both = s.dim("n_heads", 1), s.dim("channels", 2 * part.d_inner)
        self.rank, self.state = s.dim("dt_rank", part.dt_rank), s.dim("d_state", part.d_state)
        self.chosen = s.dim("channels", part.dt_rank + 2 * part.d_state)
        self.joined = Linear(s, (self.model,), (self.both,), name="mamba_in")
        self.convolution = CausalConvolution(s, self.inner, part.d_conv, part.conv_bias)
        self.selection = Linear(s, (self.inner,), (self.chosen,), name="mamba_selection")
        # its code multiplies with the weight itself: an adapter beside it would be passed by
        self.step = Linear(s, (self.rank,), (self.inner,), adapted=False, name="mamba_step")
        self.step_bias = s.weight(self.inner, name="mamba_step_bias")
        self.decays = s.weight(self.inner, self.state, name="mamba_decay_parameters")
        self.passing = s.weight(self.inner, name="mamba_skip_parameters")
        self.norms = [
            NormLayer(s, s.code.norm, dim, ("mamba_norm_parameters",)) for dim in (self.rank, self.state, self.state)
        ]
        self.out = Linear(s, (self.inner,), (self.model,), name="mamba_out")

    def _turns(self) -> tuple[Dim, Dim, Dim]:
        """Turns of the loop: those before the last two, all of these but the first, and the one before the last."""
        tokens = self.s.tokens.value
        earlier, after_first, before = (larger(tokens - n, 0) for n in (2, 3, 1))
        return Dim("seq_len", earlier), Dim("seq_len", after_first), Dim("seq_len", before - earlier)

    def __call__(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Attended:
        """What the layer makes of ``x``; positions and masks are not asked."""
        s, tape, dtype = self.s, self.s.tape, x.dtype
        rows, narrow = s.rows(self.inner), s.rows(self.state)
        joined = self.joined(without_padding(s, x), s.rows(self.both))
        decay = op.negate(op.exponential(tape.cast(self.decays, "fp32")))
        mixed, gate = op.split(joined, rows, rows)
        mixed = without_padding(s, self.convolution(mixed, op.silu))
        chosen = self.selection(self._by_tokens(mixed), s.rows(self.chosen))
        step, write, read = op.split(chosen, s.rows(self.rank), narrow, narrow)
        step, write, read = (norm(t) for norm, t in zip(self.norms, (step, write, read), strict=True))
        step = self.step(step, rows)
        scan = self._stepped if s.decodes else self._scanned
        out, _state = scan(mixed, step, decay, write, read, gate)
        return self.out(self._by_tokens(tape.cast(out, dtype)), s.rows(self.model)), None

    def _by_tokens(self, x: Tensor) -> Tensor:
        """Channels beside each other, for a product: a copy, but of one sequence."""
        return x if op.is_alone(x) else op.copied(x)

    def _stepped(
        self, x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, gate: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The same of one token behind a cached state, which fades, takes the token in and is read."""
        s, tape = self.s, self.s.tape
        rows, wide = (s.batch, self.inner), (s.batch, self.inner, self.state)
        step = op.softplus(op.add(step, tape.cast(tape.cast(self.step_bias, "fp32"), step.dtype)))
        decay = op.exponential(op.multiply(op.spread(tape.cast(step, "fp32"), *wide), decay))
        steps = op.multiply(op.spread(tape.cast(step, "fp32"), *wide), tape.cast(write, "fp32"))
        added = op.multiply(steps, tape.cast(x, "fp32"))
        state = op.add(op.scale(decay), added, "state")
        out = op.contracted(tape.cast(state, read.dtype), read, rows, copies=(False, False))
        out = op.add(out, op.multiply(x, self.passing))
        return op.multiply(out, op.silu(gate), "gated").view(*s.rows(self.inner)), None

    def _scanned(
        self, x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, gate: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """What is read of the states of all tokens, what goes past them, and the gate; and the last state, where a
        cache keeps it."""
        s, tape, dtype = self.s, self.s.tape, x.dtype
        wide = s.rows(self.inner, self.state)
        bias = tape.cast(tape.cast(self.step_bias, "fp32"), step.dtype)
        step = op.softplus(op.add(step, bias))
        decays = op.exponential(op.multiply(op.spread(decay, *wide), step))
        steps = op.multiply(op.spread(step, *wide), tape.cast(write, "fp32"))
        added = op.multiply(steps, tape.cast(x, "fp32"))
        state = s.constant((s.batch, self.inner, self.state), dtype, "state")
        turns, after_first, before = self._turns()
        earlier = s.constant((s.batch, self.inner, turns), dtype, "recurrence_output")
        kept = self._kept(state, dtype, turns, after_first)
        earlier, state = op.earlier_turns([decays, added, read], earlier, self._wide(state), kept)
        first, state = self._turn(decays, added, read, state, dtype, (before,))
        last, state = self._turn(decays, added, read, state, dtype, ())
        out = op.join([earlier, first, last], s.rows(self.inner), "recurrence_output")
        out = op.add(out, op.multiply(x, tape.cast(self.passing, "fp32")))
        return op.multiply(out, op.silu(gate), "gated"), s.state_kept(state)

    def _wide(self, state: Tensor) -> Tensor:
        """The state that the earlier turns leave, in fp32 whatever the first was."""
        return self.s.constant(state.dims, "fp32", "state")

    def _kept(self, state: Tensor, dtype: str, turns: Dim, after_first: Dim) -> list[Tensor]:
        """What so many earlier turns of the loop keep: every state from the first (``state``) on, and a copy of it in
        another format; under autocast of what reads it too."""
        s, one = self.s, (self.inner, self.state)
        sides = [(turns, *one)] * (dtype != "fp32") + [(turns, self.state)] * bool(s.tape.autocast)
        if not s.tape.keeps:
            return [state] * (2 + len(sides))  # only their number counts
        states = s.constant((s.batch, after_first, *one), "fp32", "state")
        return [state, states, *(s.constant((s.batch, *dims), s.tape.autocast or dtype, "cast") for dims in sides)]

    def _turn(
        self, decays: Tensor, added: Tensor, read: Tensor, state: Tensor, dtype: str, turns: tuple[Dim, ...]
    ) -> tuple[Tensor, Tensor]:
        """What a turn of the loop reads, and the state behind it; ``turns`` is one, or none where there are no two."""
        rows = (self.s.batch, *turns)
        one = (*rows, self.inner, self.state)
        state = op.add(op.multiply(op.take(decays, *one), state), op.take(added, *one), "state")
        seen = self.s.tape.cast(state, dtype)
        return op.contracted(seen, op.take(read, *rows, self.state), (*rows, self.inner), copies=(False, False)), state
