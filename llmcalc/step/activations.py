"""Nonlinearities as implementations write them: one kernel, or several operations in Python, each keeping tensors."""

from __future__ import annotations

from collections.abc import Callable

from llmcalc.errors import InputError
from llmcalc.step import operations as op
from llmcalc.step.tape import Dim, Tensor


def gelu_new(x: Tensor) -> Tensor:
    """``0.5 * x * (1 + tanh(√(2/π) * (x + 0.044715 * x**3)))`` in Python: eight operations."""
    half = op.scale(x, "half")  # nothing else has a name: it goes as soon as it is read
    return op.multiply(half, op.shift(op.tanh(op.scale(op.add(x, op.scale(op.power(x)))))), "activation")


def gelu_fast(x: Tensor) -> Tensor:
    """``0.5 * x * (1 + tanh(x * 0.797885 * (1 + 0.044715 * x * x)))`` in Python."""
    half = op.scale(x, "half")
    return op.multiply(
        half, op.shift(op.tanh(op.multiply(op.scale(x), op.shift(op.multiply(op.scale(x), x))))), "activation"
    )


def quick_gelu(x: Tensor) -> Tensor:
    """``x * sigmoid(1.702 * x)`` in Python."""
    return op.multiply(x, op.sigmoid(op.scale(x)), "activation")


def gelu_erf(x: Tensor) -> Tensor:
    """``x * 0.5 * (1 + erf(x / √2))`` in Python."""
    return op.multiply(op.scale(x, "half"), op.shift(op.erf(op.scale(x))), "activation")


def bloom_gelu(x: Tensor) -> Tensor:
    """BLOOM's: Python both ways, in a function of its own that keeps only its input."""
    return op.in_python(x, "activation", forward=3, backward=4)


def xielu(x: Tensor, learned: Tensor) -> Tensor:
    """Apertus's xIELU in Python: both of its branches for every number, then a choice."""
    condition = op.condition_of(x)
    positive = op.add(op.multiply(op.multiply(learned, x), x), op.scale(x))
    return op.choose(
        condition,
        positive,
        op.add(op.multiply(op.add(op.expm1(op.bounded(x)), op.negate(x)), learned), op.scale(x)),
        "activation",
    )


def most_active(x: Tensor, channels: Dim, deviations: Tensor) -> Tensor:
    """Gemma 3n's: by how much each number is more than so many standard deviations above the mean of its ``channels``,
    zero where it is not."""
    mean = op.mean(x, channels)
    cutoff = op.add(mean, op.multiply(op.deviation(x, channels), deviations))
    return op.relu(op.subtract(x, cutoff))


def relu_squared(x: Tensor) -> Tensor:
    """``relu(x) ** 2``."""
    return op.power(op.relu(x), "activation")


Activation = Callable[..., Tensor]  # of its input, and of learned numbers where it has some

ACTIVATIONS: dict[str, Activation] = {
    "gelu": op.gelu,
    "gelu_pytorch_tanh": op.gelu,
    "gelu_python_tanh": gelu_new,
    "gelu_new": gelu_new,
    "gelu_accurate": gelu_new,
    "gelu_python": gelu_erf,
    "bloom_gelu": bloom_gelu,
    "gelu_fast": gelu_fast,
    "quick_gelu": quick_gelu,
    "relu": op.relu,
    "relu2": relu_squared,
    "silu": op.silu,
    "swish": op.silu,
    "tanh": op.tanh,
    "sigmoid": op.sigmoid,
    "xielu": xielu,
}


def activation(name: str) -> Activation:
    """The nonlinearity that configs call ``name``.

    Raises InputError for one that has not been read.
    """
    if name not in ACTIVATIONS:
        raise InputError("hidden_act", f"a training step with the nonlinearity {name!r} is not simulated")
    return ACTIVATIONS[name]
