"""Normalisation layers. A norm without parameters (OLMo's) is no part at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import BA_2016, ZHANG_2019


@formula(r"\gamma", "parameters", BA_2016.at("sec. 3.1"))
def norm_scale(*, width):
    """Scale of a layer norm: one for each channel."""
    return width


@formula(r"\beta", "parameters", BA_2016.at("sec. 3.1"))
def norm_bias(*, width):
    """Bias of a layer norm: one for each channel."""
    return width


@formula("g", "parameters", ZHANG_2019.at("sec. 4, eq. 4"))
def rms_norm_scale(*, width):
    """Scale of an RMSNorm: one for each channel, and no bias."""
    return width


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation over ``width`` channels, with a scale and, unless told otherwise, a bias.

    A norm of the queries or keys is ``component="qk_norm"``, d_head wide, or as wide as all heads together.
    """

    width: int
    id: str
    bias: bool = True
    component: str = "norm"

    def parameters(self) -> Quantity:
        parts = [norm_scale(width=self.width)]
        if self.bias:
            parts.append(norm_bias(width=self.width))
        return total(self.id, r"N_\text{norm}", *parts)

    def over(self, width: int) -> LayerNorm:
        return replace(self, width=width)


@dataclass(frozen=True)
class RMSNorm:
    """Root-mean-square normalisation over ``width`` channels: a scale, no bias, no mean."""

    width: int
    id: str
    component: str = "norm"

    def parameters(self) -> Quantity:
        return total(self.id, r"N_\text{norm}", rms_norm_scale(width=self.width))

    @property
    def traits(self) -> frozenset[str]:
        return frozenset({"RMSNorm"})

    def over(self, width: int) -> RMSNorm:
        return replace(self, width=width)


NORMS = {"LayerNorm": LayerNorm, "RMSNorm": RMSNorm}
