"""Which settings the measured steps have, and which no row has: listed from the rows and from what can be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache

from llmcalc.accuracy.compare import Errors
from llmcalc.accuracy.rows import MeasuredStep, every_step
from llmcalc.accuracy.standing import PLAIN, SWITCHES, Setting, off, settings_of_rows
from llmcalc.catalog.optimizers import OPTIMIZERS
from llmcalc.catalog.precisions import PRECISIONS
from llmcalc.devices.layout import ZERO_STAGES, Layout
from llmcalc.step.run import ATTENTIONS, LORA_BASES, LORA_TARGETS, LOSSES, RECOMPUTATIONS

# On or off, and off by default
_ON = (
    *("keep_logits", "padding", "use_cache", "fp32_outputs", "activation_offload", "optimizer_in_backward"),
    *("kbit_prepared", "input_require_grads"),
)


@dataclass(frozen=True)
class Coverage:
    """The steps that have a setting, held back and seen, of which families, and how far off the held-back ones are.

    ``can_be_said`` is false where no input asks for it, ``unpredicted`` are steps with it that were run as no input can
    say. Without a setting: how the tool starts.
    """

    setting: Setting | None
    can_be_said: bool
    held_back: tuple[MeasuredStep, ...]
    seen: tuple[MeasuredStep, ...]
    unpredicted: tuple[MeasuredStep, ...]

    @property
    def families(self) -> tuple[str, ...]:
        """The families of the held-back steps."""
        return tuple(dict.fromkeys(row.family for row in self.held_back))

    @property
    def errors(self) -> Errors | None:
        """How far off the peaks of the held-back steps are; None without any, or without predictions."""
        return off(self.held_back)


def can_be_asked() -> Iterator[Setting]:
    """Every setting away from its default that an input can ask for."""
    choices = {
        "precision": PRECISIONS,
        "attention": ATTENTIONS,
        "recompute": RECOMPUTATIONS,
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
    }
    for name, options in choices.items():
        yield from ((name, option) for option in options if option != PLAIN[name])
    yield from ((name, True) for name in (*sorted(SWITCHES), *_ON))
    yield ("lora_precision", "same")
    yield ("set_to_none", False)
    yield from (("lora", f"{targets}/{base}") for targets in LORA_TARGETS for base in LORA_BASES)
    yield from (("zero_stage", stage) for stage in ZERO_STAGES[1:])
    yield from ((f.name, True) for f in fields(Layout) if f.name != "zero_stage")


@cache
def _covered(rows: tuple[MeasuredStep, ...]) -> tuple[Coverage, ...]:
    found: dict[Setting | None, list[MeasuredStep]] = {None: [], **{setting: [] for setting in can_be_asked()}}
    asked = set(found)
    for row, settings in zip(rows, settings_of_rows(rows), strict=True):
        for setting in settings or (None,):
            found.setdefault(setting, []).append(row)
    return tuple(
        Coverage(
            setting,
            setting in asked,
            tuple(row for row in having if row.can_be_said and not row.seen),
            tuple(row for row in having if row.can_be_said and row.seen),
            tuple(row for row in having if not row.can_be_said),
        )
        for setting, having in found.items()
    )


def covered(rows: Sequence[MeasuredStep] | None = None) -> tuple[Coverage, ...]:
    """Every setting that can be asked for, or that a row has, with the rows that have it."""
    return _covered(every_step() if rows is None else tuple(rows))
