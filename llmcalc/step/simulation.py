"""One training step, run on the tape: its events, of every layer or of one layer of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmcalc.step.decoder import Decoder
from llmcalc.step.losses import LOSSES
from llmcalc.step.run import TrainingRun
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Event, Tape, Tensor
from llmcalc.transformer.model import Block, Model


@dataclass(frozen=True)
class Trace:
    """The events of a forward and a backward pass; ``forward`` is how many of them the forward pass has."""

    events: list[Event]
    forward: int


def trace(model: Model, run: TrainingRun, layers: Sequence[Block]) -> Trace:
    """Run a forward and a backward pass of ``model`` with these layers."""
    tape = Tape(run.numbers.autocast)
    s = Setting(tape, run, model.code)
    decoder = Decoder(s, model, layers)
    if run.gradients_stay:
        decoder.hold_gradients()
    tape.events.clear()
    ids = tape.new(s.rows(), "int64", "ids", "inputs")
    loss, logits = _forward(decoder, ids)
    if logits is not None:
        logits.storage.becomes("held_logits")
    tape.leave_autocast()
    forward = len(tape.events)
    tape.backward(loss)
    return Trace(tape.events, forward)


def _forward(decoder: Decoder, ids: Tensor) -> tuple[Tensor, Tensor | None]:
    s = decoder.s
    hidden = decoder.hidden(ids)
    with s.tape.at("loss", "back"), s.tape.serving("head"):
        loss, logits = LOSSES[s.run.loss](decoder, hidden)
    return loss, logits if s.run.keep_logits else None
