"""Distillation: a student's training step with its teacher on the same device, beside the student's alone.

In a step the teacher reads the batch first, without a graph: one layer's activations at a time, and its logits, which
wait for the student's. At the loss both stand side by side, each as wide as the vocabulary, with their distributions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.catalog.precisions import BYTES
from llmcalc.quantity import Quantity, formula, total
from llmcalc.rates.flops import forward_flops
from llmcalc.sources import HINTON_2015
from llmcalc.step.scored import teacher_logits_memory, teacher_pass_memory
from llmcalc.step.step import Step
from llmcalc.stored.weights import stored_weights
from llmcalc.transformer.dimensions import plain_sizes
from llmcalc.transformer.model import Model

_WITH_LOGITS = ("forward", "loss_forward", "loss_backward")  # moments when the teacher's logits are still there
_AT_THE_LOSS = ("loss_forward", "loss_backward")


@formula(r"M_\text{soft targets}", "bytes", HINTON_2015.at("sec. 2"))
def soft_targets_memory(*, batch_size, seq_len, vocab_size, element_bytes):
    """Both distributions of the divergence in fp32: the teacher's probabilities and the student's log-probabilities."""
    return 2 * batch_size * seq_len * vocab_size * element_bytes


@formula(r"C_\text{distill} / C_\text{student}", "", HINTON_2015.at("sec. 2; operations as Kaplan et al. 2020"))
def distillation_work(*, student_flops, teacher_flops):
    """Operations of a step with a teacher, in terms of one without: the teacher's forward pass comes on top."""
    return (3 * student_flops + teacher_flops) / (3 * student_flops)


@dataclass(frozen=True, eq=False)
class Distillation:
    """A ``student``'s training step beside its ``teacher``, whose weights are in ``weight_format``; on one device."""

    student: Step
    teacher: Model
    weight_format: str

    @cached_property
    def teacher_weights(self) -> Quantity:
        """The teacher's weights; they do not train, so nothing else of it stays."""
        return stored_weights(self.teacher, self.weight_format).named("teacher_weights")

    @property
    def same_vocabulary(self) -> bool:
        """Whether both know as many tokens: without that their logits cannot be compared."""
        return self.teacher.vocab_size == self.student.counted.vocab_size

    @cached_property
    def _logits(self) -> Quantity:
        each = BYTES[self.student.run.numbers.autocast or self.student.run.numbers.weights]
        return teacher_logits_memory(**self._rows, element_bytes=each).named("teacher_logits")

    @cached_property
    def _soft_targets(self) -> Quantity:
        return soft_targets_memory(**self._rows, element_bytes=4).named("soft_targets")

    @property
    def _rows(self) -> dict[str, Any]:
        run = self.student.run
        pieces = run.chunks if run.loss in ("chunked", "fused") else 1
        tokens = -(-run.seq_len // pieces)  # a loss in pieces asks the teacher's head piece by piece too
        return {"batch_size": run.batch_size, "seq_len": tokens, "vocab_size": self.teacher.vocab_size}

    @cached_property
    def teacher_pass(self) -> Quantity:
        """The moment when the teacher reads the batch: what stays, its weights, one layer of it, its logits."""
        run, sizes = self.student.run, plain_sizes(self.teacher)
        in_layer = teacher_pass_memory(
            element_bytes=BYTES[run.numbers.autocast or run.numbers.weights],
            batch_size=run.batch_size,
            seq_len=run.seq_len,
            d_model=sizes.d_model,
            n_products=3 if sizes.gated else 2,
            d_ff=sizes.ffn_width(),
        ).named("teacher_layer")
        steady = self.student.steady_state.parts
        return total("teacher_pass", r"M_\text{pass}", *steady, self.teacher_weights, in_layer, self._logits)

    @cached_property
    def moments(self) -> dict[str, Quantity]:
        """Memory at each moment of the step: the teacher's pass, then the student's own moments with what is added."""
        found = {"teacher_pass": self.teacher_pass}
        for name in self.student.peak_by_moment:
            added = [self.teacher_weights]
            added += [self._logits] if name in _WITH_LOGITS else []
            added += [self._soft_targets] if name in _AT_THE_LOSS else []
            at = self.student.moments[name]
            found[name] = total(at.id, at.symbol, *at.parts, *added)
        return found

    @property
    def peak_phase(self) -> str:
        """The moment with the largest memory."""
        return max(self.moments, key=lambda name: self.moments[name].value)

    @property
    def peak(self) -> Quantity:
        """The most that is held at once by both together."""
        return self.moments[self.peak_phase].named("distillation_peak", r"M_\text{peak}")

    @cached_property
    def work(self) -> Quantity | None:
        """Operations in terms of a step without a teacher; None where one of them is an encoder."""
        length = self.student.run.seq_len
        student = forward_flops(self.student.counted, seq_len=length)
        teacher = forward_flops(self.teacher, seq_len=length)
        if student is None or teacher is None:
            return None
        return distillation_work(student_flops=student, teacher_flops=teacher)
