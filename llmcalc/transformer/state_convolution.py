"""A convolution over time beside the parts of a layer: its window of inputs is a state."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.quantity import Quantity, total
from llmcalc.transformer.part import State
from llmcalc.transformer.state import causal_convolution_bias, causal_convolution_parameters, convolution_state, states


@dataclass(frozen=True)
class Convolution:
    """A convolution of ``channels`` over the last ``d_conv`` tokens, each channel for itself; ``fp32``: in 32 bits,
    whatever the model is in."""

    channels: int
    d_conv: int
    id: str
    component: str = "recurrent"
    bias: bool = False
    fp32: bool = False

    def parameters(self) -> Quantity:
        parts = [causal_convolution_parameters(channels=self.channels, d_conv=self.d_conv)]
        if self.bias:
            parts.append(causal_convolution_bias(channels=self.channels))
        return total(self.id, r"N_\text{conv}", *parts)

    def states(self) -> tuple[State, ...]:
        window = convolution_state(channels=self.channels, d_conv=self.d_conv)
        return states(convolution=window, recurrent=None, fp32_inputs=self.fp32)
