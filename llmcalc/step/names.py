"""What the weights of a step are called: by the formulas that count them, and by how the code joins and copies them."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

from llmcalc import transformer
from llmcalc.quantity import Formula

# What a layer may have in several networks
_OF_A_NETWORK = tuple(f"{role}_{what}" for role in ("up", "gate", "down", "gate_up") for what in ("parameters", "bias"))
# Linear layers by themselves
_PROJECTIONS = (
    *("per_layer_model_projection_parameters", "per_layer_gate_parameters", "per_layer_projection_parameters"),
    *("altup_in_parameters", "altup_out_parameters", "altup_router_parameters"),
    *("altup_prediction_parameters", "altup_correction_parameters"),
    *("laurel_down_parameters", "laurel_up_parameters", "latent_down_parameters", "latent_up_parameters"),
)
_SCALES = ("altup_scale_parameters", "router_scale_parameters", "expert_scale_parameters")
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


def _counted() -> Iterator[Name]:
    """A name for each formula of a part that counts parameters."""
    for module in pkgutil.iter_modules(transformer.__path__, f"{transformer.__name__}."):
        for formula in vars(import_module(module.name)).values():
            if isinstance(formula, Formula) and formula.unit == "parameters":
                yield Name(formula.id, formula.symbol)


NAMES = {name.id: name for name in _counted()} | {
    name.id: name
    for name in (
        Name("position_key_bias", "b_{K,r}"),
        Name("position_query_bias", "b_{Q,r}"),
        Name("query_key_value_parameters", "W_{QKV}"),
        Name("query_key_value_bias", "b_{QKV}"),
        Name("query_gate_parameters", "W_{QG}"),
        Name("delta_query_key_value_parameters", "W_{QK,V}"),
        Name("delta_query_key_value_gate_parameters", "W_{QK,V,Z}"),
        Name("latent_down_bias", "b"),
        Name("latent_up_bias", "b"),
        Name("gated_convolution_in_bias", "b"),
        Name("gated_convolution_out_bias", "b"),
        *(Name(id, "W") for id in _PROJECTIONS),
        *(Name(id, "g") for id in _SCALES),
        Name("gate_up_parameters", r"W_\text{gate, up}"),
        Name("gate_up_bias", r"b_\text{gate, up}"),
        Name("output_projection_parameters", r"W_\text{proj out}"),
        Name("output_projection_bias", r"b_\text{proj out}"),
    )
}
