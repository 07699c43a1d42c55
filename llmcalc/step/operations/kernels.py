"""Operations that are one kernel: attention, norms, the table of tokens, the loss."""

from __future__ import annotations

from collections.abc import Sequence

from llmcalc.step.operations.common import in_fp32, new_like, unary
from llmcalc.step.tape import Dim, Dims, Grads, Parameter, Rule, Tape, Tensor, given, needs_gradient


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out_dims: Dims,
    statistics: Dims,
    flash: bool,
    kept: Sequence[Tensor] = (),
    bias: Tensor | None = None,
) -> Tensor:
    """Flash or memory-efficient attention: keeps queries, keys, values, output and the log of each row's sum, and a
    ``bias`` of the scores, whose gradient is one for each sequence before it is added up.

    Flash lays its output out as the queries are, the memory-efficient kernel by tokens.
    """
    tape = query.tape
    if tape.autocast:
        query, key, value = (tape.cast(t, tape.autocast, "attention_input") for t in (query, key, value))
    out = tape.result(out_dims, query.dtype, "attention_output")
    out.heads_first = query.heads_first and flash
    rows = tape.result(statistics, "fp32", "log_sum_exp")
    state = [tape.result((), "int64", "random_state") for _ in range(2)]
    shapes = query.dims, key.dims, value.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        made: Grads = [tape.new(shape, g.dtype, "gradient") for shape in shapes]
        return [*made, tape.new(scores, g.dtype, "gradient")] if learns else made

    learns = bias is not None and needs_gradient(bias)
    scores = (*statistics, bias.dims[-1]) if bias is not None else ()
    added = [] if bias is None else [bias]
    inputs = [query, key, value, *(added if learns else [])]
    return tape.operation(out, inputs, [query, key, value, out, rows, *state, *kept, *added], rule)


def layer_norm(x: Tensor, weights: Sequence[Tensor], channels: Dim, dtype: str | None = None) -> Tensor:
    """Layer normalisation in one kernel: keeps its input and weight, and of each row mean and deviation in fp32.

    It runs in fp32 under autocast, unless the caller has brought all to ``dtype``.
    """
    x = in_fp32(x) if dtype is None else x
    tape = x.tape
    out = new_like(x, "norm_output")
    rows = tuple(d for d in x.dims if d is not channels)
    statistics = [tape.new(rows, "fp32", "norm_statistics") for _ in range(2)]
    return tape.operation(out, [x, *weights], [x, *weights[:1], *statistics], _norm_rule(weights))


def rms_norm(x: Tensor, weights: Sequence[Tensor], channels: Dim) -> Tensor:
    """RMS normalisation in one kernel: keeps its input, its weight and one fp32 number a row."""
    tape = x.tape
    out = new_like(x, "norm_output")
    rows = tape.new(tuple(d for d in x.dims if d is not channels), "fp32", "norm_statistics")
    return tape.operation(out, [x, *weights], [x, *weights, rows], _norm_rule(weights))


def _norm_rule(weights: Sequence[Tensor]) -> Rule:
    """A gradient of the input, and one of each weight."""
    shapes = [(w.dims, w.dtype, w.weight) for w in weights]

    def rule(tape: Tape, grads: Grads) -> Grads:
        g = given(grads)
        return [
            tape.new(g.dims, g.dtype, "gradient"),
            *(tape.new(dims, dtype, "gradient", weight=name) for dims, dtype, name in shapes),
        ]

    return rule


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
    log_probabilities = unary(logits, "log_probabilities", ["output"])
    picked = tape.cast(log_probabilities, "fp32", "log_probabilities") if tape.autocast else log_probabilities
    del log_probabilities
    loss = tape.new((), picked.dtype, "loss")
    weight = tape.new((), picked.dtype, "loss")
    dims = logits.dims

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [tape.new(dims, given(grads).dtype, "logits_gradient")]

    return tape.operation(loss, [picked], [picked, labels, weight], rule)
