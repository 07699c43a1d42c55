"""The loss as implementations compute it: on all logits at once, in pieces, or with its gradient made on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llmcalc.step import operations as op
from llmcalc.step.decoder import Decoder
from llmcalc.step.tape import Dim, Grads, Tape, Tensor, needs_gradient

# Each returns the loss, and the logits where the caller gets them too.
Loss = Callable[[Decoder, Tensor], tuple[Tensor, Tensor | None]]


def hugging_face(decoder: Decoder, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """Logits, an fp32 copy of them, cross-entropy on that; the outputs hold the logits."""
    s = decoder.s
    if not s.code.loss_fp32:
        return plain(decoder, hidden)
    logits = decoder.logits(hidden)
    wide = s.tape.cast(logits, "fp32", "logits")
    labels = s.constant(s.rows(), "int64", "labels")
    return op.cross_entropy(wide, labels), logits


def plain(decoder: Decoder, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """Logits, and cross-entropy on them as they are."""
    s = decoder.s
    logits = decoder.logits(hidden)
    labels = s.constant((), "int64", "labels")
    return op.cross_entropy(logits, labels), logits


def shifted(decoder: Decoder, hidden: Tensor, role: str) -> tuple[Tensor, Tensor | None]:
    """Logits, of all tokens but the last a copy, in fp32 or as they are, and cross-entropy on that: own loops."""
    s = decoder.s
    logits = decoder.logits(hidden)
    rows = (s.batch, Dim("seq_len", s.run.seq_len - 1))
    seen = op.take(logits, *rows, decoder.vocabulary)
    if role == "float" and logits.dtype != "fp32":
        wide = s.tape.cast(seen, "fp32", "logits")
    else:
        wide = op.copied(seen, "logits")
    del seen
    return op.cross_entropy(wide, s.constant(rows, "int64", "labels")), logits


def chunked(decoder: Decoder, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """Logits and loss of one piece of the tokens at a time, which the backward pass computes again."""
    s, chunks = decoder.s, decoder.s.run.chunks
    piece = Dim("chunk_tokens", -(-s.run.batch_size * s.run.seq_len // chunks))
    summed: Tensor | None = None
    for _ in range(chunks):
        part = op.take(hidden, piece, decoder.read)

        def loss_of(x: Tensor) -> Tensor:
            wide = s.tape.cast(decoder.head_product(x, (piece, decoder.vocabulary)), "fp32", "logits")
            return op.cross_entropy(wide, s.constant((), "int64", "labels"))

        loss = s.tape.checkpoint(loss_of, part)
        summed = loss if summed is None else op.add(summed, loss)
    assert summed is not None
    return summed, None


def fused(decoder: Decoder, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """Logits, loss and their gradient of one piece at a time, in the forward pass (Liger's): no logits are kept."""
    s, tape = decoder.s, decoder.s.tape
    head = [weight for weight in (decoder.head_weight, decoder.head_bias) if weight is not None]
    x = tape.cast(hidden, tape.autocast) if tape.autocast else hidden
    operands = [x, *(tape.cast_weight(weight) for weight in head)]
    made = [
        tape.new(operand.dims, operand.dtype, "gradient" if operand.weight else "hidden_gradient", None, operand.weight)
        if needs_gradient(operand)
        else None
        for operand in operands
    ]
    piece = Dim("chunk_tokens", -(-s.run.batch_size * s.run.seq_len // s.run.chunks))
    logits = tape.new((piece, decoder.vocabulary), operands[1].dtype, "logits")
    wide = tape.cast(logits.detach(), "fp32", "logits")
    probabilities = tape.new(wide.dims, "fp32", "softmax")
    del wide, probabilities, logits
    loss = tape.new((), "fp32", "loss")
    count = len(operands)

    def rule(tape: Tape, grads: Grads) -> Grads:
        return [made.pop(0) for _ in range(count)]  # scaled in place

    return tape.operation(loss, operands, [], rule), None


LOSSES: dict[str, Loss] = {
    "hf": hugging_face,
    "plain": plain,
    "shift_float": partial(shifted, role="float"),
    "shift_contig": partial(shifted, role="contiguous"),
    "chunked": chunked,
    "fused": fused,
}
