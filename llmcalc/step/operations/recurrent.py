"""Operations of layers that keep a state: convolutions over time, running sums, decays, systems solved by chunks."""

from __future__ import annotations

from collections.abc import Sequence

from llmcalc.step.operations.common import gradient_of, in_fp32, new_like, unary, wider
from llmcalc.step.operations.moving import copied
from llmcalc.step.tape import Dims, Grads, Tape, Tensor, given, needs_gradient


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, dims: Dims) -> Tensor:
    """A convolution over time, each channel for itself: keeps input and weight. Under autocast both are cast, the
    weight too anew every time, because the code gives it as a view."""
    tape = x.tape
    if tape.autocast:
        x = tape.cast(x, tape.autocast, "convolution_input")
        weight = tape.cast(weight, tape.autocast, "weight_cast", "weight_casts")
        bias = tape.cast(bias, tape.autocast, "weight_cast", "weight_casts") if bias is not None else None
    out = tape.new(dims, x.dtype, "convolution")
    inputs = [x, weight, *([] if bias is None else [bias])]
    of = [gradient_of(t) for t in inputs]

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(dims, dtype, "gradient", weight=name) if wanted else None for wanted, dims, dtype, name in of]

    return tape.operation(out, inputs, [x, weight], rule)


def exponential(x: Tensor) -> Tensor:
    """``exp``: keeps its result; in fp32 under autocast."""
    return unary(in_fp32(x), "exponential", ["output"])


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``: keeps its input; in fp32 under autocast."""
    return unary(in_fp32(x), "softplus", ["input"])


def running_sum(x: Tensor) -> Tensor:
    """``cumsum``: keeps nothing; its gradient is one from behind, turned round before and after."""
    x = in_fp32(x)
    return unary(x, "running_sum", [], temporaries=2)


def padded_with_zeros(x: Tensor, dims: Dims, *, adds: bool) -> Tensor:
    """``F.pad``: a copy, laid out by heads if anything is added, else as it was; its gradient is a copy of a part."""
    out = x.tape.new(dims, x.dtype, "filled_up")
    out.heads_first, before = adds or x.heads_first, x.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [], rule)


def outer_difference(x: Tensor, dims: Dims) -> Tensor:
    """Every number of a side less every other: keeps nothing; each of both gradients is summed over a side."""
    out = x.tape.new(dims, x.dtype, "differences")

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [g.detach(), tape.new(g.dims, g.dtype, "gradient")]

    return x.tape.operation(out, [x, x], [], rule)


def solved(system: Tensor, x: Tensor) -> Tensor:
    """A triangular system solved: keeps it and its result, which is laid out by heads."""
    out = new_like(x, "solved")
    out.heads_first = True
    before, wide = x.dims, system.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        dtype = given(grads).dtype
        of_x = tape.new(before, dtype, "gradient")
        product = tape.new(wide, dtype, "gradient")
        negated = tape.new(wide, dtype, "gradient")
        del product
        triangle = tape.new(wide, dtype, "gradient")
        del negated
        return [triangle, of_x]

    return x.tape.operation(out, [system, x], [system, out], rule)


def brought(x: Tensor, dtype: str, *, heads_first: bool) -> Tensor:
    """``to`` a format and, where that is another, the layout by heads or by tokens: in the same format it is left."""
    if x.dtype == dtype:
        return x
    out = x.tape.new(x.dims, dtype, "cast")
    out.heads_first, before = heads_first, x.dtype

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.cast(given(grads), before, "gradient")]

    return x.tape.operation(out, [x], [], rule)


def written(whole: Tensor, piece: Tensor) -> Tensor:
    """A piece copied into its place in ``whole``: on the way back the gradient of all of it is copied, and the piece's
    share of it set to zero there."""
    out = whole.detach().laid_out_as(whole)
    of_whole, of_piece, (dims, dtype) = whole.dims, needs_gradient(piece), (piece.dims, piece.dtype)

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        copied = tape.new(of_whole, g.dtype, "gradient")
        share = tape.new(dims, g.dtype, "gradient")
        _zeros = tape.new(dims, g.dtype, "gradient")
        return [copied, tape.cast(share, dtype, "gradient") if of_piece else None]

    return whole.tape.operation(out, [whole, piece], [], rule)


def added_within(whole: Tensor, piece: Tensor, dims: Dims) -> Tensor:
    """A piece added in place to a part of ``whole`` with sides ``dims``: on the way back the gradient of all of it is
    copied, and so is that of the part, which is the piece's."""
    out = whole.detach().laid_out_as(whole)
    of_whole = whole.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [tape.new(of_whole, g.dtype, "gradient"), tape.new(dims, g.dtype, "gradient")]

    return whole.tape.operation(out, [whole, piece], [], rule)


def earlier_turns(pieces: Sequence[Tensor], whole: Tensor, state: Tensor, kept: Sequence[Tensor]) -> Sequence[Tensor]:
    """The turns of a loop before its last two, which write into ``whole`` and pass on a ``state``: they keep ``kept``,
    and on the way back what they allocate is no more than what the later ones did: the gradients are there."""
    outs, count = [t.detach().laid_out_as(t) for t in (whole, state)], len(pieces)
    whole.tape.operation(outs[0], list(pieces), kept, lambda tape, grads: [None] * count)
    for i, out in enumerate(outs):
        out.node, out.index = outs[0].node, i
    return outs


def contracted(a: Tensor, b: Tensor, dims: Dims, *, copies: tuple[bool, bool]) -> Tensor:
    """``einsum`` of two: one product, before which those that do not lie as it needs them are copied (``copies``), each
    in autocast's format."""
    tape = a.tape
    if tape.autocast:
        a, b = tape.cast(a, tape.autocast), tape.cast(b, tape.autocast)
    a, b = (copied(x) if copies_it else x for x, copies_it in zip((a, b), copies, strict=True))
    out = tape.new(dims, wider(a.dtype, b.dtype), "product")
    wanted = [(x.dims, x.dtype, needs_gradient(x)) for x in (a, b)]

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(dims, dtype, "gradient") if needed else None for dims, dtype, needed in wanted]

    return tape.operation(out, [a, b], [a, b], rule)
