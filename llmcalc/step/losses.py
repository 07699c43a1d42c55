"""The loss as implementations compute it: on all logits at once, in pieces, or with its gradient made on the way."""

from __future__ import annotations

from collections.abc import Callable

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
    """Logits, and cross-entropy on them as they are: in the model's own code (nanoGPT), or in a loop outside it."""
    s = decoder.s
    logits = decoder.logits(hidden)
    if s.code.mask != "own":
        del hidden
    labels = s.constant((), "int64", "labels")
    return op.cross_entropy(logits, labels), logits


def shifted(decoder: Decoder, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """Logits, a copy of those of all tokens but the last, and cross-entropy on that: a loop outside the model."""
    logits = decoder.logits(hidden)
    del hidden
    return _of_all_but_the_last(decoder, logits, logits.dtype), logits


def shifted_in_fp32(decoder: Decoder, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """The same with the copy in fp32."""
    logits = decoder.logits(hidden)
    del hidden
    return _of_all_but_the_last(decoder, logits, "fp32"), logits


def _of_all_but_the_last(decoder: Decoder, logits: Tensor, dtype: str) -> Tensor:
    s = decoder.s
    rows = (s.batch, Dim("seq_len", s.run.seq_len - 1))
    seen = op.take(logits, *rows, decoder.vocabulary)
    wide = op.copied(seen, "logits") if dtype == logits.dtype else s.tape.cast(seen, dtype, "logits")
    del seen
    return op.cross_entropy(wide, s.constant(rows, "int64", "labels"))


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
    if decoder.transformed is not None:
        hidden = decoder.transformed(hidden)
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
    "shift_float": shifted_in_fp32,
    "shift_contig": shifted,
    "chunked": chunked,
    "fused": fused,
}
