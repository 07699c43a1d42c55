"""Nonlinearities as implementations write them: one kernel, or several operations in Python, each keeping tensors."""

from __future__ import annotations

from collections.abc import Callable

from llmcalc.step import operations as op
from llmcalc.step.tape import Tensor


def gelu_new(x: Tensor) -> Tensor:
    """``0.5 * x * (1 + tanh(√(2/π) * (x + 0.044715 * x**3)))`` in Python: eight operations."""
    half = op.scale(x, "half")
    inner = op.scale(op.add(x, op.scale(op.power(x))))
    return op.multiply(half, op.shift(op.tanh(inner)), "activation")


def gelu_fast(x: Tensor) -> Tensor:
    """``0.5 * x * (1 + tanh(x * 0.797885 * (1 + 0.044715 * x * x)))`` in Python."""
    half = op.scale(x, "half")
    inner = op.multiply(op.scale(x), op.shift(op.multiply(op.scale(x), x)))
    return op.multiply(half, op.shift(op.tanh(inner)), "activation")


def quick_gelu(x: Tensor) -> Tensor:
    """``x * sigmoid(1.702 * x)`` in Python."""
    return op.multiply(x, op.sigmoid(op.scale(x)), "activation")


def relu_squared(x: Tensor) -> Tensor:
    """``relu(x) ** 2``."""
    return op.power(op.relu(x), "activation")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": op.gelu,
    "gelu_pytorch_tanh": op.gelu,
    "gelu_python_tanh": gelu_new,
    "gelu_new": gelu_new,
    "gelu_fast": gelu_fast,
    "quick_gelu": quick_gelu,
    "relu": op.relu,
    "relu2": relu_squared,
    "silu": op.silu,
    "swish": op.silu,
    "tanh": op.tanh,
    "sigmoid": op.sigmoid,
}
