"""The smallest changes that make a training step fit: computed, not guessed, the least costly first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from llmcalc.step.run import TrainingRun
from llmcalc.step.step import training_step
from llmcalc.transformer.model import Model

MOST_AT_ONCE = 3
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """Something to change in a run. ``cost`` orders changes: 0 costs nothing, 1 time, 2 changes what is trained."""

    id: str
    cost: int
    of: Callable[[TrainingRun], Fields | None]

    def fields(self, run: TrainingRun) -> Fields | None:
        """What to set, or None where that is so already."""
        return self.of(run)


def _set(**fields: Any) -> Callable[[TrainingRun], Fields | None]:
    def of(run: TrainingRun) -> Fields | None:
        return None if all(getattr(run, name) == value for name, value in fields.items()) else fields

    return of


def _half_batch(run: TrainingRun) -> Fields | None:
    if run.batch_size < 2 or run.batch_size % 2:
        return None
    return {"batch_size": run.batch_size // 2, "gradient_accumulation": 2 * run.gradient_accumulation}


def _selective(run: TrainingRun) -> Fields | None:
    return {"recompute": "selective"} if run.recompute == "none" and run.attention == "eager" else None


def _autocast(run: TrainingRun) -> Fields | None:
    return {"precision": "amp_bf16"} if run.precision == "fp32" else None


CHANGES = (
    Change("fused_attention", 0, _set(attention="sdpa")),
    Change("drop_logits", 0, _set(keep_logits=False)),
    Change("fused_optimizer", 0, lambda run: _set(optimizer="adamw_fused")(run) if _is_adamw(run) else None),
    Change("fused_loss", 0, _set(loss="fused")),
    Change("autocast", 1, _autocast),
    Change("selective_recomputation", 1, _selective),
    Change("full_recomputation", 1, _set(recompute="full")),
    Change("half_batch", 1, _half_batch),
    Change("eight_bit_optimizer", 2, lambda run: _set(optimizer="adamw_8bit")(run) if _is_adamw(run) else None),
    Change("pure_bf16", 2, lambda run: None if run.precision == "bf16" else {"precision": "bf16"}),
    Change("lora", 2, lambda run: None if run.lora_rank else {"lora_rank": 16}),
)


def _is_adamw(run: TrainingRun) -> bool:
    return run.optimizer in ("adamw_foreach", "adamw_for_loop")


@dataclass(frozen=True)
class Advice:
    """``changes`` to make together: the fields of the run that they set, and the peak in bytes that they lead to."""

    changes: tuple[Change, ...]
    fields: Fields
    peak: int
    saved: int

    @property
    def cost(self) -> int:
        """That of its most costly change."""
        return max(change.cost for change in self.changes)


def single_changes(model: Model, run: TrainingRun, *, counted: Model | None = None) -> list[Advice]:
    """Every change alone that saves memory, those that save most first."""
    now = _peak(model, run, counted)
    found = [advice for change in CHANGES if (advice := _made(model, run, (change,), counted, now))]
    return sorted((a for a in found if a.saved > 0), key=lambda a: -a.saved)


def smallest_changes(
    model: Model, run: TrainingRun, memory: float, *, counted: Model | None = None, most: int = 4
) -> list[Advice]:
    """The fewest and least costly changes after which the peak is within ``memory`` bytes: none if it is so already,
    else all of the smallest number that does, at most ``most``, or nothing where no three changes together do."""
    now = _peak(model, run, counted)
    if now <= memory:
        return []
    useful = [advice.changes[0] for advice in single_changes(model, run, counted=counted)]
    for number in range(1, MOST_AT_ONCE + 1):
        fitting = [
            advice
            for together in combinations(useful, number)
            if (advice := _made(model, run, together, counted, now)) and advice.peak <= memory
        ]
        if fitting:
            return sorted(fitting, key=lambda a: (a.cost, sum(c.cost for c in a.changes), a.peak))[:most]
    return []


def _made(
    model: Model, run: TrainingRun, changes: tuple[Change, ...], counted: Model | None, now: int
) -> Advice | None:
    """The changes one after the other; None where one of them changes nothing, or undoes another."""
    changed, fields = run, dict[str, Any]()
    for change in changes:
        more = change.fields(changed)
        if more is None or set(more) & set(fields):
            return None
        fields |= more
        changed = replace(changed, **more)
    peak = _peak(model, changed, counted)
    return Advice(changes, fields, peak, now - peak)


def _peak(model: Model, run: TrainingRun, counted: Model | None) -> int:
    return int(max(training_step(model, run, counted=counted).peak_by_moment.values()))
