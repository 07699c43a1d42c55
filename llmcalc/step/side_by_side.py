"""Attention and a state that read the same stream side by side, as Falcon-H1 runs them."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.registry import Attended, Beside, Mixer, running
from llmcalc.step.rotary import Rotary
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Tensor
from llmcalc.transformer.part import Part


class SideBySide:
    """What a state and attention make of the stream, each scaled, added up."""

    def __init__(self, s: Setting, state: Part, attention: Part, beside: Beside) -> None:
        self.s, self.component = s, state.component
        with s.tape.serving(self.component):
            self.state: Mixer = running(state, s, beside)
        self.attention: Mixer = running(attention, s, beside)
        self.heads, self.rotated = self.attention.heads, self.attention.rotated

    def __call__(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Attended:
        """The sum of both, and attention's weights."""
        with self.s.tape.serving(self.component):
            made, _ = self.state(x, None, None)
            made = op.scale(made)
        attended, weights = self.attention(op.scale(x), rotary, mask)
        attended = op.scale(attended)
        return op.add(made, attended), weights
