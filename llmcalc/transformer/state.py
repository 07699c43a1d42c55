"""What a layer keeps of a sequence however long it is, in numbers (elements), and the work of keeping it up to date."""

from __future__ import annotations

from llmcalc.quantity import Quantity, formula
from llmcalc.sources import DAO_2024, GU_2023, PYTORCH
from llmcalc.transformer.part import State


@formula(r"W_\text{conv}", "parameters", GU_2023.at("sec. 3.4, fig. 3"))
def causal_convolution_parameters(*, channels, d_conv):
    """Convolution over time, each channel for itself: so many weights as it sees tokens."""
    return channels * d_conv


@formula(r"b_\text{conv}", "parameters", GU_2023.at("sec. 3.4, fig. 3"))
def causal_convolution_bias(*, channels):
    """Bias of the convolution: one for each channel."""
    return channels


@formula("a", "parameters", PYTORCH.at("torch.nn.Parameter"))
def learned_numbers(*, count):
    """Learned numbers that are no matrix: scales, decays, biases of gates."""
    return count


@formula(
    r"E_\text{conv}", "elements", GU_2023.at("sec. 3.4; mamba_ssm/modules/mamba_simple.py, allocate_inference_cache")
)
def convolution_state(*, channels, d_conv):
    """The last inputs of the convolution, as many as it sees."""
    return channels * d_conv


@formula(r"C_\text{state}", "FLOP", DAO_2024.at("sec. 3.1, eq. 7, as a recurrence"))
def state_flops(*, state_elements, operations_per_element):
    """Work of one token on the state: it decays, takes the token in, and is read out."""
    return state_elements * operations_per_element


# Of each number of a state: decays (1), product of key and value and its sum (2), read out by a product and a sum (2)
OUTER_PRODUCT = 5
# The delta rule reads the state with the key first, by a product and a sum
DELTA_RULE = 7


def states(
    *, convolution: Quantity | None, recurrent: Quantity | None, fp32: bool = True, fp32_inputs: bool = False
) -> tuple[State, ...]:
    """What one layer keeps: the window of its convolution, and its recurrent state, where it has them."""
    found: list[State] = []
    if convolution is not None:
        found.append(State(convolution, fp32_inputs, "inputs"))
    if recurrent is not None:
        found.append(State(recurrent, fp32))
    return tuple(found)


def recurrent_flops(recurrent: Quantity, operations: int) -> Quantity:
    """Work of one token on a recurrent state."""
    return state_flops(state_elements=recurrent, operations_per_element=operations)
