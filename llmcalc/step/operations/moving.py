"""Operations that move numbers: copies, views, pieces joined and taken apart, rows by index."""

from __future__ import annotations

from collections.abc import Sequence

from llmcalc.step.operations.common import wider
from llmcalc.step.tape import Dim, Dims, Grads, Tape, Tensor, given


def contiguous(x: Tensor, heads_first: bool, role: str = "copy") -> Tensor:
    """``x`` laid out by heads or by tokens: itself if it is, else a copy."""
    if x.heads_first == heads_first:
        return x
    out = x.tape.new(x.dims, x.dtype, role)
    out.heads_first = heads_first
    return x.tape.operation(out, [x], [], lambda tape, grads: [given(grads)])


def copied(x: Tensor, role: str = "copy") -> Tensor:
    """``contiguous()`` of a part of a tensor: a copy, whose gradient goes back as it is."""
    out = x.tape.new(x.dims, x.dtype, role)
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


def joined_with_nothing(x: Tensor, dtype: str) -> Tensor:
    """``torch.cat`` of an empty tensor in ``dtype`` and ``x``: a copy laid out by heads, in the wider format."""
    out = x.tape.new(x.dims, wider(x.dtype, dtype), "cached")
    out.heads_first, before = True, x.dims
    return x.tape.operation(out, [x], [], lambda tape, grads: [given(grads).detach().view(*before)])


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


def gather(x: Tensor, rows: Tensor, dims: Dims, role: str = "gathered", keeps: bool = False) -> Tensor:
    """Rows of ``x`` by index: keeps the index; the gradient is as large as ``x``. ``torch.gather``
    ``keeps`` ``x`` too."""
    out = x.tape.new(dims, x.dtype, role)
    before = x.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [x, rows] if keeps else [rows], rule)


def scatter(x: Tensor, places: Tensor, dims: Dims) -> Tensor:
    """``x`` put into a constant tensor at ``places``, which it keeps."""
    out = x.tape.new(dims, x.dtype, "scattered")
    before = x.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(before, given(grads).dtype, "gradient")]

    return x.tape.operation(out, [x], [places], rule)
