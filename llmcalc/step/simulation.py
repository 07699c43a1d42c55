"""One training step, run on the tape: its events, of every layer or of one layer of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmcalc.errors import InputError
from llmcalc.step.decoder import Decoder
from llmcalc.step.losses import LOSSES
from llmcalc.step.pair import Pair, is_pair
from llmcalc.step.run import TrainingRun
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Event, Parameter, Place, Tape, Tensor
from llmcalc.transformer.model import Block, Model


@dataclass(frozen=True)
class Trace:
    """The events of a forward and a backward pass, and the weights that they ran on, each with the layer it is in."""

    events: list[Event]
    weights: list[tuple[int | str, Parameter]]


def trace(model: Model, run: TrainingRun, layers: Sequence[Block]) -> Trace:
    """Run a forward and a backward pass of ``model`` with these layers.

    Raises InputError for a model whose code has not been read.
    """
    if model.code is None:
        raise InputError("model", "how this family's code runs its layers is not known", code="no_code")
    tape = Tape(run.numbers.autocast)
    tape.offloads = run.activation_offload
    s = Setting(tape, run, model.code, bool(model.mixtures))
    if run.steps_in_backward:
        tape.step = s.step_of
    decoder = (Pair if is_pair(layers) else Decoder)(s, model, layers)
    if run.gradients_stay:
        decoder.hold_gradients()
    tape.place = Place("forward", "front")
    ids = tape.new(s.rows(), "int64", "ids", "inputs")
    tape.place = Place("loss", "back")
    loss, logits = _forward(decoder, ids)
    tape.place = Place("forward_end", "back")
    if logits is not None:
        logits.storage.becomes("held_logits")
    tape.leave_autocast()
    if not run.keep_logits:
        s.cache.clear()
    tape.backward(loss)
    tape.place = Place("backward", "front")  # where it is left, whether or not the front has a part in it
    s.cache.clear()
    s.shared.clear()
    s.kept_again.clear()
    del loss, logits
    events = list(tape.events)
    return Trace(events, [(weight.storage.born.layer, weight) for weight in s.weights])


def _forward(decoder: Decoder, ids: Tensor) -> tuple[Tensor, Tensor | None]:
    s = decoder.s
    hidden = [decoder.hidden(ids)]  # a loss outside the model's own code may let go of it
    with s.tape.at("loss", "back"), s.tape.serving("head"):
        loss, logits = LOSSES[s.run.loss](decoder, hidden.pop())
        if logits is not None and s.run.fp32_outputs:
            logits = s.tape.cast(logits, "fp32", "logits")
    return loss, logits if s.run.keep_logits else None
