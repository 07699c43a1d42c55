"""PyTorch's operations: what each allocates, keeps for its backward, and allocates there.

What is kept is what PyTorch's ``derivatives.yaml`` names; which run in another format under autocast is what
``autocast_mode.h`` lists. A tensor's sides are named as they are in its product: batch, tokens, heads, channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmcalc.step.names import Name
from llmcalc.step.tape import Dim, Dims, Grads, Parameter, Tape, Tensor, given, needs_gradient

_RANK = {"int64": 0, "int32": 0, "bool": 0, "fp8": 1, "bf16": 2, "fp16": 2, "fp32": 3}


def wider(a: str, b: str) -> str:
    """The format that PyTorch promotes two to."""
    return a if _RANK[a] >= _RANK[b] else b


def new_like(x: Tensor, role: str, dtype: str | None = None, dims: Dims | None = None) -> Tensor:
    """A new tensor laid out as ``x`` is."""
    out = x.tape.new(x.dims if dims is None else dims, dtype or x.dtype, role)
    out.heads_first = x.heads_first
    return out


def _wanted(gradient_of: Tensor) -> tuple[bool, Dims, str, Name | None]:
    return needs_gradient(gradient_of), gradient_of.dims, gradient_of.dtype, gradient_of.weight


# Elementwise


def add(a: Tensor, b: Tensor, role: str = "sum") -> Tensor:
    """``a + b``: keeps nothing; both get the gradient itself."""
    out = new_like(a, role, wider(a.dtype, b.dtype))
    wanted = needs_gradient(a), needs_gradient(b)

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [g.detach() if of_it else None for of_it in wanted]

    return a.tape.operation(out, [a, b], [], rule)


def scale(x: Tensor, role: str = "scaled") -> Tensor:
    """``x`` times, or plus, a number: a new tensor both ways. Keeps nothing."""
    out = new_like(x, role)

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


def negate(x: Tensor) -> Tensor:
    """``-x``."""
    return scale(x, "negated")


def _unary(x: Tensor, role: str, keep: Sequence[str], temporaries: int = 0, dtype: str | None = None) -> Tensor:
    """One tensor to one alike, keeping its ``input`` or its ``output``; the backward makes ``temporaries`` besides."""
    out = new_like(x, role, dtype)
    saved = [{"input": x, "output": out}[which] for which in keep]

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        held = [tape.new(g.dims, g.dtype, "gradient") for _ in range(temporaries)]
        result = tape.new(g.dims, g.dtype, "gradient")
        del held
        return [result]

    return x.tape.operation(out, [x], saved, rule)


def _in_fp32(x: Tensor) -> Tensor:
    """Autocast runs some operations in fp32."""
    return x.tape.cast(x, "fp32") if x.tape.autocast else x


def power(x: Tensor, role: str = "power") -> Tensor:
    """``x ** n``: keeps its input; in fp32 under autocast."""
    return _unary(_in_fp32(x), role, ["input"], temporaries=2)


def mean(x: Tensor, over: Dim, role: str = "mean") -> Tensor:
    """The mean over one side: keeps nothing; its gradient is spread out again."""
    before = x.dims
    out = x.tape.new(tuple(d for d in before if d is not over), x.dtype, role)

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [], rule)


def reciprocal_root(x: Tensor) -> Tensor:
    """``rsqrt``: keeps its result."""
    return _unary(x, "reciprocal_root", ["output"], temporaries=1)


def silu(x: Tensor) -> Tensor:
    """SiLU: keeps its input; one kernel both ways."""
    return _unary(x, "activation", ["input"])


def gelu(x: Tensor) -> Tensor:
    """GELU, exact or with tanh: keeps its input; one kernel both ways."""
    return _unary(x, "activation", ["input"])


def relu(x: Tensor) -> Tensor:
    """ReLU: keeps its result."""
    return _unary(x, "activation", ["output"])


def tanh(x: Tensor) -> Tensor:
    """tanh: keeps its result."""
    return _unary(x, "tanh", ["output"])


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function: keeps its result."""
    return _unary(x, "sigmoid", ["output"])


def erf(x: Tensor) -> Tensor:
    """Error function: keeps its input."""
    return _unary(x, "erf", ["input"], temporaries=1)


def expm1(x: Tensor) -> Tensor:
    """``exp(x) - 1``: keeps its result; in fp32 under autocast."""
    return _unary(_in_fp32(x), "expm1", ["output"])


def bounded(x: Tensor, role: str = "bounded") -> Tensor:
    """``x`` or a constant, whichever is larger or smaller: keeps its input."""
    return _unary(x, role, ["input"], temporaries=1)


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
    x = _in_fp32(x)
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
    out = _unary(x, role, ["input"], temporaries=backward)
    del held
    return out


def choose(a: Tensor, b: Tensor, role: str = "chosen") -> Tensor:
    """``where``: keeps the condition, a byte an element."""
    out = new_like(a, role, wider(a.dtype, b.dtype))
    condition = new_like(a, "condition", "bool")

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(g.dims, g.dtype, "gradient") for _ in range(2)]

    return a.tape.operation(out, [a, b], [condition], rule)


def softmax(x: Tensor, dtype: str | None = None, role: str = "softmax") -> Tensor:
    """Softmax: keeps its result; in fp32 under autocast, or in ``dtype`` where the code asks for one."""
    x = x.tape.cast(x, dtype) if dtype else _in_fp32(x)
    return _unary(x, role, ["output"])


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


# Moving and joining


def contiguous(x: Tensor, heads_first: bool, role: str = "copy") -> Tensor:
    """``x`` laid out by heads or by tokens: itself if it is, else a copy."""
    if x.heads_first == heads_first:
        return x
    out = x.tape.new(x.dims, x.dtype, role)
    out.heads_first = heads_first
    return x.tape.operation(out, [x], [], lambda tape, grads: [given(grads)])


def copy(x: Tensor, dims: Dims | None = None) -> Tensor:
    """A copy of a view, laid out by tokens; ``dims`` are those that it is spread out to."""
    before, spread = x.dims, dims is not None and frozenset(dims) != frozenset(x.dims)
    out = x.tape.new(dims or before, x.dtype, "copy")

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(before, g.dtype, "gradient") if spread else g.view(*before)]

    return x.tape.operation(out, [x], [], rule)


def split(x: Tensor, *pieces: Dims) -> list[Tensor]:
    """Views of parts of ``x``; the backward joins their gradients in a new tensor."""
    tape, dims = x.tape, x.dims
    views = [x.detach().view(*piece) for piece in pieces]

    def rule(tape: Tape, grads: Grads) -> Grads:
        dtype = next(g.dtype for g in grads if g is not None)
        return [tape.new(dims, dtype, "gradient")]

    tape.operation(views[0], [x], [], rule)
    for i, view in enumerate(views):
        view.node, view.index = views[0].node, i
        view.heads_first = x.heads_first
    return views


def take(x: Tensor, *dims: Dim) -> Tensor:
    """A view of a part of ``x``, by slicing; the backward puts the gradient into a new tensor of zeros."""
    before = x.dims
    view = x.detach().view(*dims)
    view.heads_first = x.heads_first

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(view, [x], [], rule)


def join(pieces: Sequence[Tensor], dims: Dims, role: str = "joined", heads_first: bool = False) -> Tensor:
    """Pieces put together in a new tensor; their gradients are views of its gradient."""
    dtype = pieces[0].dtype
    for piece in pieces:
        dtype = wider(dtype, piece.dtype)
    out = pieces[0].tape.new(dims, dtype, role)
    out.heads_first = heads_first
    shapes = [piece.dims for piece in pieces]

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [g.detach().view(*shape) for shape in shapes]

    return out.tape.operation(out, list(pieces), [], rule)


def filled(pieces: Sequence[Tensor], dims: Dims, dtype: str) -> Tensor:
    """Pieces copied into an empty tensor, laid out by heads; their gradients are copies of parts of its gradient."""
    out = pieces[0].tape.new(dims, dtype, "key")
    out.heads_first = True
    wanted = [(piece.dims, piece.dtype) for piece in pieces]

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(dims, dtype, "gradient") for dims, dtype in wanted]

    return out.tape.operation(out, list(pieces), [], rule)


def spread(x: Tensor, *dims: Dim) -> Tensor:
    """``expand``: ``x`` seen many times, without a copy; its gradient is a sum."""
    out = x.detach().view(*dims)
    before = x.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [], rule)


def repeat_heads(x: Tensor, dims: Dims, copies: bool = False, role: str = "repeated") -> Tensor:
    """Key or value heads repeated for every query head, in a new tensor laid out by heads; a single head is only seen
    many times, unless the code ``copies`` it."""
    before = x.dims
    if not copies and not any(dim.name == "n_kv_heads" and dim.value > 1 for dim in before):
        out = x.detach().view(*dims)
    else:
        out = x.tape.new(dims, x.dtype, role)
        out.heads_first = True

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [], rule)


# Products


def linear(
    x: Tensor,
    weight: Tensor,
    dims: Dims,
    bias: Tensor | None = None,
    role: str = "linear",
    narrow: str | None = None,
    unpacked: bool = False,
) -> Tensor:
    """``x @ weight``: keeps both. Under autocast both are cast: the weight once a forward pass, the input every time.

    The weight is kept as (out, in), so that its gradient is a view of the product's. ``narrow`` is a format that both
    are cast to instead of autocast's, and kept in (fp8). A weight that was ``unpacked`` for this product from a
    quantised one is not kept: the way back unpacks it again (bitsandbytes).
    """
    tape = x.tape
    if tape.autocast:
        x = tape.narrowed(x, narrow, "linear_input") if narrow else tape.cast(x, tape.autocast, "linear_input")
        weight = tape.cast_weight(weight, narrow)
        bias = tape.cast_weight(bias) if bias is not None else None
    out = tape.new(dims, weight.dtype, role)
    of_x, of_weight = _wanted(x), _wanted(weight)
    biased = bias is not None and needs_gradient(bias)
    bias_dims, bias_name = (bias.dims, bias.weight) if bias is not None else ((), None)
    saved = [kept for kept, needed in ((x, of_weight[0]), (weight, of_x[0] and not unpacked)) if needed]
    _, weight_dims, weight_dtype, weight_name = of_weight

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        _again = tape.new(weight_dims, weight_dtype, "dequantized", weight=weight_name) if unpacked else None
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


def _is_alone(x: Tensor) -> bool:
    """Is it a batch of one, so that its sides can be taken by heads as they lie in memory?"""
    return all(np.all(dim.value == 1) for dim in x.dims if dim.name == "batch_size")


def batched_product(a: Tensor, b: Tensor, dims: Dims, role: str) -> Tensor:
    """``a @ b`` head by head: both are brought into the layout by heads, and kept so; a batch of one is as it is."""
    tape = a.tape
    if tape.autocast:
        a, b = tape.cast(a, tape.autocast), tape.cast(b, tape.autocast)
    a, b = (x if _is_alone(x) else contiguous(x, True) for x in (a, b))
    out = tape.new(dims, wider(a.dtype, b.dtype), role)
    out.heads_first = True
    shapes = a.dims, b.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(shape, g.dtype, "gradient") for shape in shapes]

    return tape.operation(out, [a, b], [a, b], rule)


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out_dims: Dims,
    statistics: Dims,
    flash: bool,
    kept: Sequence[Tensor] = (),
) -> Tensor:
    """Flash or memory-efficient attention: keeps queries, keys, values, output and the log of each row's sum.

    Flash lays its output out as the queries are, the memory-efficient kernel by tokens.
    """
    tape = query.tape
    if tape.autocast:
        query, key, value = (tape.cast(t, tape.autocast, "attention_input") for t in (query, key, value))
    out = tape.new(out_dims, query.dtype, "attention_output")
    out.heads_first = query.heads_first and flash
    rows = tape.new(statistics, "fp32", "log_sum_exp")
    state = [tape.new((), "int64", "random_state") for _ in range(2)]
    shapes = query.dims, key.dims, value.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(shape, g.dtype, "gradient") for shape in shapes]

    return tape.operation(out, [query, key, value], [query, key, value, out, rows, *state, *kept], rule)


def gather(x: Tensor, rows: Tensor, dims: Dims, role: str = "gathered") -> Tensor:
    """Rows of ``x`` by index: keeps the index; the gradient is as large as ``x``."""
    out = x.tape.new(dims, x.dtype, role)
    before = x.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [rows], rule)


def scatter(x: Tensor, places: Tensor, dims: Dims) -> Tensor:
    """``x`` put into a constant tensor at ``places``, which it keeps."""
    out = x.tape.new(dims, x.dtype, "scattered")
    before = x.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [places], rule)


def biased(x: Tensor, bias: Tensor) -> Tensor:
    """``x`` with a bias added in place."""
    out = x.detach()

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [g.detach(), g.detach()]

    return x.tape.operation(out, [x, bias], [], rule)


def total(x: Tensor, over: Dim) -> Tensor:
    """The sum over one side: keeps nothing; its gradient is a view spread out again."""
    before = x.dims
    out = x.tape.new(tuple(d for d in before if d is not over), x.dtype, "sum")
    return x.tape.operation(out, [x], [], lambda tape, grads: [given(grads).view(*before)])


def grouped_product(x: Tensor, weight: Tensor, dims: Dims, ends: Tensor) -> Tensor:
    """One product for all experts, rows sorted by expert: keeps both, and where each expert's rows end."""
    x = x.tape.cast(x, weight.dtype)
    out = x.tape.new(dims, weight.dtype, "expert_product")
    of_x, of_weight = _wanted(x), _wanted(weight)

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [
            tape.new(shape, dtype, "gradient", weight=name) if wanted else None
            for wanted, shape, dtype, name in (of_x, of_weight)
        ]

    return x.tape.operation(out, [x, weight], [x, weight, ends], rule)


# Norms, tables, loss


def layer_norm(x: Tensor, weights: Sequence[Tensor], channels: Dim, dtype: str | None = None) -> Tensor:
    """Layer normalisation in one kernel: keeps its input and weight, and of each row mean and deviation in fp32.

    It runs in fp32 under autocast, unless the caller has brought all to ``dtype``.
    """
    x = _in_fp32(x) if dtype is None else x
    tape = x.tape
    out = new_like(x, "norm_output")
    rows = tuple(d for d in x.dims if d is not channels)
    statistics = [tape.new(rows, "fp32", "norm_statistics") for _ in range(2)]
    shapes = [(w.dims, w.dtype, w.weight) for w in weights]

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [
            tape.new(g.dims, g.dtype, "gradient"),
            *(tape.new(dims, dtype, "gradient", weight=name) for dims, dtype, name in shapes),
        ]

    return tape.operation(out, [x, *weights], [x, *weights[:1], *statistics], rule)


def rms_norm(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """RMS normalisation in one kernel: keeps its input, its weight and one fp32 number a row."""
    tape = x.tape
    out = new_like(x, "norm_output")
    rows = tape.new(tuple(d for d in x.dims if d is not channels), "fp32", "norm_statistics")
    shapes = [(w.dims, w.dtype, w.weight) for w in weights]

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [
            tape.new(g.dims, g.dtype, "gradient"),
            *(tape.new(dims, dtype, "gradient", weight=name) for dims, dtype, name in shapes),
        ]

    return tape.operation(out, [x, *weights], [x, *weights, rows], rule)


def lookup(table: Parameter, ids: Tensor, dims: Dims) -> Tensor:
    """Rows of a table: keeps the ids; the table's gradient is as large as the table."""
    out = ids.tape.new(dims, table.dtype, "embedding")
    shape, dtype, name = table.dims, table.dtype, table.weight

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(shape, dtype, "gradient", weight=name)]

    return ids.tape.operation(out, [table], [ids], rule)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-softmax, kept, and the mean of what it gives the labels; under autocast kept again in fp32.

    Its backward first spreads the gradient out over all logits, then goes back through the softmax.
    """
    tape = logits.tape
    log_probabilities = _unary(logits, "log_probabilities", ["output"])
    picked = tape.cast(log_probabilities, "fp32", "log_probabilities") if tape.autocast else log_probabilities
    del log_probabilities
    loss = tape.new((), picked.dtype, "loss")
    weight = tape.new((), picked.dtype, "loss")
    dims = logits.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(dims, given(grads).dtype, "logits_gradient")]

    return tape.operation(loss, [picked], [picked, labels, weight], rule)
