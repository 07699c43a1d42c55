"""RWKV-4: time mixing in place of attention, channel mixing in place of a feed-forward network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import PENG_2023
from llmcalc.transformer.part import Heads, Matrix, State
from llmcalc.transformer.state import recurrent_flops, states


@formula(r"W_{rkv}", "parameters", PENG_2023.at("sec. 3.1.1, eq. 11 to 13"))
def time_mix_in_parameters(*, d_model, d_inner):
    """Receptance, key and value."""
    return 3 * d_model * d_inner


@formula("W_o", "parameters", PENG_2023.at("sec. 3.1.3, eq. 17"))
def time_mix_out_parameters(*, d_inner, d_model):
    """Output projection."""
    return d_inner * d_model


@formula(r"\mu, w, u", "parameters", PENG_2023.at("sec. 3.1, eq. 11 to 16"))
def time_mix_vectors(*, d_model, d_inner):
    """Three mixes with the token before, each channel's decay, and its bonus for the present token."""
    return 3 * d_model + 2 * d_inner


@formula(r"W'_{kv}", "parameters", PENG_2023.at("sec. 3.1.1, eq. 14, 15 and 18"))
def channel_mix_parameters(*, d_model, d_ff):
    """Key and value of channel mixing: to d_ff and back."""
    return 2 * d_model * d_ff


@formula("W'_r", "parameters", PENG_2023.at("sec. 3.1.1, eq. 14"))
def channel_receptance_parameters(*, d_model):
    """Receptance of channel mixing."""
    return d_model**2


@formula(r"\mu'", "parameters", PENG_2023.at("sec. 3.1.1, eq. 14 and 15"))
def channel_mix_vectors(*, d_model):
    """Two mixes with the token before."""
    return 2 * d_model


@formula(r"E_{wkv}", "elements", PENG_2023.at("appendix D, eq. 23 to 27: numerator, denominator, maximum"))
def time_mix_state(*, d_inner):
    """For each channel a numerator, a denominator, and the largest exponent so far."""
    return 3 * d_inner


@formula(r"E_\text{shift}", "elements", PENG_2023.at("sec. 3.1.1, token shift"))
def shift_state(*, d_model):
    """The token before, as it came in."""
    return d_model


@dataclass(frozen=True)
class TimeMix:
    """RWKV's time mixing over d_inner channels."""

    d_model: int
    d_inner: int
    id: str = "time_mix"
    component: str = "recurrent"
    sees: str = "past"
    window: int | None = None

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        return total(self.id, r"N_\text{rec}", *parts, time_mix_vectors(d_model=self.d_model, d_inner=self.d_inner))

    def matrices(self) -> tuple[Matrix, ...]:
        d, inner = self.d_model, self.d_inner
        return (
            Matrix("in", d, time_mix_in_parameters(d_model=d, d_inner=inner)),
            Matrix("out", inner, time_mix_out_parameters(d_inner=inner, d_model=d)),
        )

    def states(self) -> tuple[State, ...]:
        return (
            State(shift_state(d_model=self.d_model), False, "inputs"),
            *states(convolution=None, recurrent=self._state()),
        )

    def _state(self) -> Quantity:
        return time_mix_state(d_inner=self.d_inner)

    @property
    def heads(self) -> Heads:
        return Heads(1, 1, self.d_inner)

    @property
    def normed_widths(self) -> tuple[int, ...]:
        return ()

    def pruned(self, share: float) -> TimeMix:
        """All of it stays: it has no heads."""
        return self

    def mixing_flops(self, *, seq_len: Any) -> Quantity:
        """Each number decays and takes the token in, and is read out: two products and a sum, and a product and sum."""
        return recurrent_flops(self._state(), 5)


@dataclass(frozen=True)
class ChannelMix:
    """RWKV's channel mixing: a network whose input is mixed with the token before, and whose output is gated."""

    d_model: int
    d_ff: int
    id: str = "channel_mix"
    component: str = "feed_forward"

    def parameters(self) -> Quantity:
        parts = [matrix.parameters for matrix in self.matrices()]
        return total(self.id, r"N_\text{ffn}", *parts, channel_mix_vectors(d_model=self.d_model))

    def matrices(self) -> tuple[Matrix, ...]:
        d = self.d_model
        return (
            Matrix("key_value", d, channel_mix_parameters(d_model=d, d_ff=self.d_ff)),
            Matrix("receptance", d, channel_receptance_parameters(d_model=d)),
        )

    def states(self) -> tuple[State, ...]:
        return (State(shift_state(d_model=self.d_model), False, "inputs"),)

    @property
    def inner_width(self) -> int:
        return self.d_ff

    @property
    def gated(self) -> bool:
        return False
