"""A linear layer that belongs to no attention and no feed-forward network."""

from __future__ import annotations

from llmcalc.quantity import formula
from llmcalc.sources import PYTORCH


@formula("W", "parameters", PYTORCH.at("torch.nn.Linear"))
def linear_parameters(*, d_in, d_out):
    """Linear layer from one width to another."""
    return d_in * d_out


@formula("b", "parameters", PYTORCH.at("torch.nn.Linear"))
def linear_bias(*, d_out):
    """Bias of a linear layer or a convolution: one for each channel that it writes."""
    return d_out
