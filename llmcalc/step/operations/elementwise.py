"""Operations number by number, and sums and means over a side."""

from __future__ import annotations

from llmcalc.step.operations.common import in_fp32, new_like, unary, wider
from llmcalc.step.tape import Dim, Dims, Grads, Tape, Tensor, given, needs_gradient


def add(a: Tensor, b: Tensor, role: str = "sum") -> Tensor:
    """``a + b``: keeps nothing; both get the gradient itself."""
    out = new_like(a, role, wider(a.dtype, b.dtype))
    wanted = needs_gradient(a), needs_gradient(b)

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [g.detach() if of_it else None for of_it in wanted]

    return a.tape.operation(out, [a, b], [], rule)


def subtract(a: Tensor, b: Tensor, role: str = "difference") -> Tensor:
    """``a - b``: keeps nothing; ``a`` gets the gradient itself, ``b`` its opposite, summed over what was broadcast."""
    out = new_like(a, role, wider(a.dtype, b.dtype))
    of_a, of_b = needs_gradient(a), needs_gradient(b)

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [g.detach() if of_a else None, tape.new(g.dims, g.dtype, "gradient") if of_b else None]

    return a.tape.operation(out, [a, b], [], rule)


def scale(x: Tensor, role: str = "scaled", dtype: str | None = None) -> Tensor:
    """``x`` times, or plus, a number, or numbers in a buffer of the format ``dtype``: a new tensor both ways. Keeps
    nothing."""
    out = new_like(x, role, wider(x.dtype, dtype) if dtype else None)

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(g.dims, g.dtype, "gradient")]

    return x.tape.operation(out, [x], [], rule)


def scaled_in_place(x: Tensor) -> Tensor:
    """``x`` times a number, in place; its gradient is a new tensor."""
    out = x.detach().laid_out_as(x)

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(g.dims, g.dtype, "gradient")]

    return x.tape.operation(out, [x], [], rule)


def shift(x: Tensor, role: str = "shifted") -> Tensor:
    """``x`` plus a number, or plus something without a gradient (a mask): the gradient goes back as it is."""
    out = new_like(x, role)
    return x.tape.operation(out, [x], [], lambda tape, grads: [given(grads)])


def multiply(a: Tensor, b: Tensor, role: str = "product") -> Tensor:
    """``a * b``: each is kept if the other needs a gradient."""
    larger = a if len(a.dims) >= len(b.dims) else b
    out = new_like(larger, role, wider(a.dtype, b.dtype))
    wanted = needs_gradient(a), needs_gradient(b)
    saved = [kept for kept, needed in zip((a, b), reversed(wanted), strict=True) if needed]

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(g.dims, g.dtype, "gradient") if of_it else None for of_it in wanted]

    return a.tape.operation(out, [a, b], saved, rule)


def divide(a: Tensor, b: Tensor) -> Tensor:
    """``a / b``, both of which need a gradient: keeps both. That of ``b`` takes two quotients and an opposite."""
    out = new_like(a, "quotient", wider(a.dtype, b.dtype))

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        held = [tape.new(g.dims, g.dtype, "gradient") for _ in range(3)]
        of_b = tape.new(g.dims, g.dtype, "gradient")
        del held
        return [tape.new(g.dims, g.dtype, "gradient"), of_b]

    return a.tape.operation(out, [a, b], [a, b], rule)


def negate(x: Tensor) -> Tensor:
    """``-x``."""
    return scale(x, "negated")


def power(x: Tensor, role: str = "power") -> Tensor:
    """``x ** n``: keeps its input; in fp32 under autocast."""
    return unary(in_fp32(x), role, ["input"], temporaries=2)


def mean(x: Tensor, over: Dim, role: str = "mean") -> Tensor:
    """The mean over one side: keeps nothing; its gradient is spread out again."""
    before = x.dims
    out = x.tape.new(tuple(d for d in before if d is not over), x.dtype, role)

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [], rule)


def reciprocal_root(x: Tensor) -> Tensor:
    """``rsqrt``: keeps its result."""
    return unary(x, "reciprocal_root", ["output"], temporaries=1)


def root(x: Tensor) -> Tensor:
    """``sqrt``: keeps its result."""
    return unary(x, "root", ["output"], temporaries=1)


def deviation(x: Tensor, over: Dim) -> Tensor:
    """The standard deviation over one side: keeps its input and its result."""
    before = x.dims
    out = x.tape.new(tuple(d for d in before if d is not over), x.dtype, "deviation")

    def rule(tape: Tape, grads: Grads) -> Grads:
        differences = tape.new(before, given(grads).dtype, "gradient")
        result = tape.new(before, given(grads).dtype, "gradient")
        del differences
        return [result]

    return x.tape.operation(out, [x], [x, out], rule)


def silu(x: Tensor) -> Tensor:
    """SiLU: keeps its input; one kernel both ways."""
    return unary(x, "activation", ["input"])


def gelu(x: Tensor) -> Tensor:
    """GELU, exact or with tanh: keeps its input; one kernel both ways."""
    return unary(x, "activation", ["input"])


def relu(x: Tensor) -> Tensor:
    """ReLU: keeps its result."""
    return unary(x, "activation", ["output"])


def tanh(x: Tensor) -> Tensor:
    """tanh: keeps its result."""
    return unary(x, "tanh", ["output"])


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function: keeps its result."""
    return unary(x, "sigmoid", ["output"])


def erf(x: Tensor) -> Tensor:
    """Error function: keeps its input."""
    return unary(x, "erf", ["input"], temporaries=1)


def expm1(x: Tensor) -> Tensor:
    """``exp(x) - 1``: keeps its result; in fp32 under autocast."""
    return unary(in_fp32(x), "expm1", ["output"])


def bounded(x: Tensor, role: str = "bounded") -> Tensor:
    """``x`` or a constant, whichever is larger or smaller: keeps its input."""
    return unary(x, role, ["input"], temporaries=1)


def floored(x: Tensor) -> Tensor:
    """The maximum with a tensor that holds a constant: keeps ``x``; the backward compares both twice."""
    out = new_like(x, "scores")

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        compared = [tape.new(g.dims, "bool", "gradient") for _ in range(2)]
        halved, result = (tape.new(g.dims, g.dtype, "gradient") for _ in range(2))
        del compared, halved
        return [result]

    return x.tape.operation(out, [x], [x], rule)


def log_sum_exp(x: Tensor, rows: Dims) -> Tensor:
    """The log of the sum of exponentials over the last side: keeps its input and its result."""
    x = in_fp32(x)
    out = x.tape.new(rows, x.dtype, "log_sum_exp")
    before = x.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        differences, shares, result = (tape.new(before, given(grads).dtype, "gradient") for _ in range(3))
        del differences, shares
        return [result]

    return x.tape.operation(out, [x], [x, out], rule)


def in_python(x: Tensor, role: str, forward: int, backward: int) -> Tensor:
    """An autograd function written in Python, with so many temporaries each way: keeps its input."""
    held = [new_like(x, role) for _ in range(forward)]
    out = unary(x, role, ["input"], temporaries=backward)
    del held
    return out


def condition_of(x: Tensor) -> Tensor:
    """A comparison of every element with a number: a byte each."""
    return new_like(x, "condition", "bool")


def choose(condition: Tensor, a: Tensor, b: Tensor, role: str = "chosen") -> Tensor:
    """``where``: keeps the condition."""
    out = new_like(a, role, wider(a.dtype, b.dtype))

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(g.dims, g.dtype, "gradient") for _ in range(2)]

    return a.tape.operation(out, [a, b], [condition], rule)


def chosen_by(x: Tensor, condition: Tensor, dims: Dims) -> Tensor:
    """``where(condition, x, a number)``: keeps the condition."""
    out = x.tape.new(dims, x.dtype, "chosen")

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(g.dims, g.dtype, "gradient")]

    return x.tape.operation(out, [x], [condition], rule)


def softmax(x: Tensor, dtype: str | None = None, role: str = "softmax") -> Tensor:
    """Softmax: keeps its result; in fp32 under autocast, or in ``dtype`` where the code asks for one."""
    x = x.tape.cast(x, dtype) if dtype else in_fp32(x)
    return unary(x, role, ["output"])


def dropout(x: Tensor, p: float) -> Tensor:
    """Dropout: keeps a mask of one byte an element; without it (``p`` = 0) nothing happens at all."""
    if not p:
        return x
    out = new_like(x, "dropped_out")
    mask = new_like(x, "dropout_mask", "bool")

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(g.dims, g.dtype, "gradient")]

    return x.tape.operation(out, [x], [mask], rule)


def masked(x: Tensor, mask: Tensor) -> Tensor:
    """``masked_fill``: keeps the mask."""
    out = new_like(x, "scores")

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(g.dims, g.dtype, "gradient")]

    return x.tape.operation(out, [x], [mask], rule)


def total(x: Tensor, over: Dim) -> Tensor:
    """The sum over one side: keeps nothing; its gradient is a view spread out again."""
    before = x.dims
    out = x.tape.new(tuple(d for d in before if d is not over), x.dtype, "sum")
    return x.tape.operation(out, [x], [], lambda tape, grads: [given(grads).view(*before)])


def biased(x: Tensor, bias: Tensor) -> Tensor:
    """``x`` with a bias added in place."""
    out = x.detach()

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [g.detach(), g.detach()]

    return x.tape.operation(out, [x, bias], [], rule)
