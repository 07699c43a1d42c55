"""Questions whose answers are computed, the wrong ones too: each is what a well-known mistake leads to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmcalc.configuration import Configuration
from llmcalc.quantity import Quantity
from llmcalc.units import human

RIGHT = "right"
MOST_WRONG = 3
_TELLABLE = 0.008  # how far two answers lie apart at least, as a share of the larger


@dataclass(frozen=True)
class Option:
    """One answer. ``id`` is `RIGHT`, or the mistake that leads to it."""

    id: str
    value: float


@dataclass(frozen=True)
class Question:
    """``right`` and what each mistake of ``wrong`` leads to, in ``unit``; mistakes in the order of preference."""

    id: str
    unit: str
    right: Callable[[Configuration], Quantity | float]
    wrong: Mapping[str, Callable[[Configuration], Quantity | float]]

    def answer(self, config: Configuration) -> float:
        """The right answer."""
        return float(self.right(config))

    def options(self, config: Configuration) -> tuple[Option, ...]:
        """The right answer and up to three wrong ones, the smallest first; no two of them look the same."""
        kept = [Option(RIGHT, self.answer(config))]
        for mistake, value_of in self.wrong.items():
            option = Option(mistake, float(value_of(config)))
            if len(kept) <= MOST_WRONG and all(self._differ(option.value, other.value) for other in kept):
                kept.append(option)
        return tuple(sorted(kept, key=lambda option: option.value))

    def _differ(self, a: float, b: float) -> bool:
        apart = abs(a - b) > _TELLABLE * max(abs(a), abs(b))
        return math.isfinite(a) and apart and human(a, self.unit) != human(b, self.unit)


def times(factor: float, value_of: Callable[[Configuration], Quantity | float]) -> Callable[[Configuration], float]:
    """So many times another number of the configuration."""
    return lambda config: factor * float(value_of(config))


def always(value: float) -> Callable[[Configuration], float]:
    """The same number whatever the configuration."""
    return lambda _: value
