"""What the weights of a step are called: by the formulas that count them, and by how the code joins and copies them."""

from __future__ import annotations

from typing import NamedTuple

from llmcalc.quantity import Formula
from llmcalc.transformer import attention, embedding, experts, feedforward, head, latent_attention, norm

_COUNTED: tuple[Formula, ...] = (
    *(embedding.token_embedding_parameters, embedding.position_embedding_parameters),
    *(embedding.embedding_projection_parameters, embedding.embedding_projection_bias),
    *(attention.query_parameters, attention.key_parameters, attention.value_parameters, attention.output_parameters),
    *(attention.query_bias, attention.key_bias, attention.value_bias, attention.output_bias),
    *(attention.attention_gate_parameters, attention.sink_parameters),
    *(latent_attention.query_down_parameters, latent_attention.query_up_parameters, latent_attention.query_down_bias),
    *(latent_attention.key_value_down_parameters, latent_attention.key_value_up_parameters),
    latent_attention.key_value_down_bias,
    *(feedforward.up_parameters, feedforward.gate_parameters, feedforward.down_parameters),
    *(feedforward.up_bias, feedforward.gate_bias, feedforward.down_bias, feedforward.activation_parameters),
    *(experts.router_parameters, experts.router_bias, experts.selection_bias, experts.shared_gate_parameters),
    *(norm.norm_scale, norm.norm_bias, norm.rms_norm_scale, head.head_parameters, head.head_bias),
)
# What a layer may have in several networks
_OF_A_NETWORK = tuple(f"{role}_{what}" for role in ("up", "gate", "down", "gate_up") for what in ("parameters", "bias"))
_NETWORKS = {"experts": r"\text{experts}", "shared_experts": r"\text{shared}"}


class Name(NamedTuple):
    """What a weight is called: an id that has words, and its symbol."""

    id: str
    symbol: str

    def within(self, component: str) -> Name:
        """The same in this part of a layer: that of experts is told apart from that of a network of its own."""
        if self.id not in _OF_A_NETWORK or component not in _NETWORKS:
            return self
        return Name(f"{self.id}_of_{component}", rf"{self.symbol}^{_NETWORKS[component]}")

    @property
    def adapters(self) -> tuple[Name, Name]:
        """LoRA's thin matrices beside it: A reads the product's input, B writes its output."""
        a, b = (Name(f"{self.id}_lora_{which}", rf"{which.upper()}_{{{self.symbol}}}") for which in "ab")
        return a, b


NAMES = {formula.id: Name(formula.id, formula.symbol) for formula in _COUNTED} | {
    name.id: name
    for name in (
        Name("query_key_value_parameters", "W_{QKV}"),
        Name("query_key_value_bias", "b_{QKV}"),
        Name("gate_up_parameters", r"W_\text{gate, up}"),
        Name("gate_up_bias", r"b_\text{gate, up}"),
        Name("output_projection_parameters", r"W_\text{proj out}"),
        Name("output_projection_bias", r"b_\text{proj out}"),
    )
}
