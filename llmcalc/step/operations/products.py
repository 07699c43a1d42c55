"""Products of matrices: with a weight, head by head, expert by expert."""

from __future__ import annotations

import numpy as np

from llmcalc.step.operations.common import gradient_of, wider
from llmcalc.step.operations.moving import contiguous
from llmcalc.step.tape import Dims, Grads, Tape, Tensor, given, needs_gradient


def linear(
    x: Tensor,
    weight: Tensor,
    dims: Dims,
    bias: Tensor | None = None,
    role: str = "linear",
    narrow: str | None = None,
) -> Tensor:
    """``x @ weight``: keeps both. Under autocast both are cast: the weight once a forward pass, the input every time.

    The weight is kept as (out, in), so that its gradient is a view of the product's. ``narrow`` is a format that both
    are cast to instead of autocast's, and kept in (fp8).
    """
    tape = x.tape
    if tape.autocast:
        x = tape.narrowed(x, narrow, "linear_input") if narrow else tape.cast(x, tape.autocast, "linear_input")
        weight = tape.cast_weight(weight, narrow)
        bias = tape.cast_weight(bias) if bias is not None else None
    out = tape.result(dims, weight.dtype, role, product=bias is None)
    of_x, of_weight = gradient_of(x), gradient_of(weight)
    biased = bias is not None and needs_gradient(bias)
    bias_dims, bias_name = (bias.dims, bias.weight) if bias is not None else ((), None)
    saved = [kept for kept, needed in ((x, of_weight[0]), (weight, of_x[0])) if needed]

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        results: Grads = []
        for wanted, dims, dtype, name in (of_x, of_weight):
            made = tape.new(dims, dtype, "gradient", weight=name) if wanted else None
            if made is not None:
                made.has_base = True
            results.append(made)
            del made
        return [*results, tape.new(bias_dims, g.dtype, "gradient", weight=bias_name)] if biased else results

    inputs = [x, weight, *([bias] if biased and bias is not None else [])]
    return tape.operation(out, inputs, saved, rule)


def is_alone(x: Tensor) -> bool:
    """Is it a batch of one, not in chunks, so that its sides can be taken by heads as they lie in memory?"""
    chunked = any(np.any(dim.value > 1) for dim in x.dims if dim.name == "n_chunks")
    return not chunked and all(np.all(dim.value == 1) for dim in x.dims if dim.name == "batch_size")


def by_heads(x: Tensor) -> Tensor:
    """Laid out by heads, for a product of each; a batch of one is as it is."""
    return x if is_alone(x) else contiguous(x, True)


def batched_product(a: Tensor, b: Tensor, dims: Dims, role: str) -> Tensor:
    """``a @ b`` head by head: both are brought into the layout by heads, and kept so; a batch of one is as it is."""
    tape = a.tape
    if tape.autocast:
        a, b = tape.cast(a, tape.autocast), tape.cast(b, tape.autocast)
    a, b = by_heads(a), by_heads(b)
    out = tape.new(dims, wider(a.dtype, b.dtype), role)
    out.heads_first = True
    wanted = [(x.dims, needs_gradient(x)) for x in (a, b)]
    saved = [kept for kept, (_, needed) in zip((b, a), wanted, strict=True) if needed]

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(shape, g.dtype, "gradient") if needed else None for shape, needed in wanted]

    return tape.operation(out, [a, b], saved[::-1], rule)


def grouped_product(x: Tensor, weight: Tensor, dims: Dims, ends: Tensor) -> Tensor:
    """One product for all experts, rows sorted by expert: keeps both, and where each expert's rows end."""
    x = x.tape.cast(x, weight.dtype)
    out = x.tape.new(dims, weight.dtype, "expert_product")
    of_x, of_weight = gradient_of(x), gradient_of(weight)

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [
            tape.new(shape, dtype, "gradient", weight=name) if wanted else None
            for wanted, shape, dtype, name in (of_x, of_weight)
        ]

    saved = [kept for kept, needed in ((x, of_weight[0]), (weight, of_x[0])) if needed]
    return x.tape.operation(out, [x, weight], [*saved, ends], rule)
