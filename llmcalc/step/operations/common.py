"""What operations have in common: the format of a result, and one tensor to one alike."""

from __future__ import annotations

from collections.abc import Sequence

from llmcalc.step.names import Name
from llmcalc.step.tape import Dims, Grads, Tape, Tensor, given, needs_gradient

_RANK = {"int64": 0, "int32": 0, "bool": 0, "fp8": 1, "bf16": 2, "fp16": 2, "fp32": 3}


def wider(a: str, b: str) -> str:
    """The format that PyTorch promotes two to."""
    return a if _RANK[a] >= _RANK[b] else b


def new_like(x: Tensor, role: str, dtype: str | None = None, dims: Dims | None = None) -> Tensor:
    """A new tensor laid out as ``x`` is."""
    out = x.tape.new(x.dims if dims is None else dims, dtype or x.dtype, role)
    out.heads_first = x.heads_first
    return out


def gradient_of(x: Tensor) -> tuple[bool, Dims, str, Name | None]:
    """Whether a gradient of ``x`` is wanted, and its sides, its format and its weight."""
    return needs_gradient(x), x.dims, x.dtype, x.weight


def unary(x: Tensor, role: str, keep: Sequence[str], temporaries: int = 0) -> Tensor:
    """One tensor to one alike, keeping its ``input`` or its ``output``; the backward makes ``temporaries`` besides."""
    out = new_like(x, role)
    saved = [{"input": x, "output": out}[which] for which in keep]

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        held = [tape.new(g.dims, g.dtype, "gradient") for _ in range(temporaries)]
        result = tape.new(g.dims, g.dtype, "gradient")
        del held
        return [result]

    return x.tape.operation(out, [x], saved, rule)


def in_fp32(x: Tensor) -> Tensor:
    """Autocast runs some operations in fp32."""
    return x.tape.cast(x, "fp32") if x.tape.autocast else x
