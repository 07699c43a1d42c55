"""The kinds of inputs: what values each takes, and how it reads them from a link and from what a reader writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.errors import InputError, shortened
from llmcalc.units import Locale


@dataclass(frozen=True, kw_only=True)
class Integer:
    """A whole number between ``low`` and ``high``; ``scale`` are the slider's stops. With ``default`` None it may be
    left empty, and is then derived from others."""

    id: str
    group: str
    low: int
    high: int
    default: int | None
    scale: tuple[int, ...] = ()

    def read(self, text: str) -> int | None:
        """The value a link gives as text. Raises InputError where it is no whole number in range."""
        if text == "" and self.default is None:
            return None
        return self.checked(_number(self.id, text))

    def typed(self, text: str, locale: Locale) -> int:
        """The value that a reader writes in a language. Raises InputError where it is no whole number in range."""
        return self.checked(_typed(self.id, text, locale))

    def checked(self, number: float) -> int:
        """The same number as this input takes it. Raises InputError where it is not whole or not in range."""
        _check_range(self.id, number, self.low, self.high)
        if number != int(number):
            near = (math.floor(number), math.ceil(number))
            raise InputError(self.id, f"{number:,.15g} is not a whole number", near, code="not_whole")
        return int(number)

    def nearest_stop(self, value: int) -> int:
        """The slider's stop that is nearest to a value, by ratio."""
        return min(self.scale, key=lambda stop: abs(math.log(stop / value)))

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values between which everything must work."""
        return (self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Real:
    """A number between ``low`` and ``high``, on a slider in steps of ``step``. With ``default`` None it may be left
    empty, and is typed into a field."""

    id: str
    group: str
    low: float
    high: float
    default: float | None
    step: float

    def read(self, text: str) -> float | None:
        """The value a link gives as text. Raises InputError where it is no number in range."""
        if text == "" and self.default is None:
            return None
        return self.checked(_number(self.id, text))

    def typed(self, text: str, locale: Locale) -> float:
        """The value that a reader writes in a language. Raises InputError where it is no number in range."""
        return self.checked(_typed(self.id, text, locale))

    def checked(self, number: float) -> float:
        """The same number. Raises InputError where it is not in range."""
        _check_range(self.id, number, self.low, self.high)
        return number

    @cached_property
    def scale(self) -> tuple[float, ...]:
        """Whole steps from ``low`` on; none where it is typed."""
        if self.default is None:
            return ()
        steps = round((self.high - self.low) / self.step)
        return tuple(round(self.low + self.step * n, 9) for n in range(steps + 1))

    def nearest_stop(self, value: float) -> float:
        """The slider's stop that is nearest to a value."""
        return min(self.scale, key=lambda stop: abs(stop - value))

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values between which everything must work."""
        return (self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several names, the same in every language. ``former`` are names of links made before, each with the option
    that stands for it now."""

    id: str
    group: str
    options: tuple[str, ...]
    default: str
    former: Mapping[str, str] = field(default_factory=dict, hash=False)

    def read(self, text: str) -> str:
        """The option a link names. Raises InputError where there is no such option, or where it has another name."""
        if now := self.former.get(text):
            raise InputError(self.id, f"{text} has become {now}", (now,), code="counted_apart")
        if text not in self.options:
            raise InputError(self.id, f"unknown option {shortened(text)!r}", self.options, code="unknown_option")
        return text

    @property
    def ends(self) -> tuple[Any, ...]:
        """Every option."""
        return self.options


@dataclass(frozen=True, kw_only=True)
class Switch:
    """On or off."""

    id: str
    group: str
    default: bool

    def read(self, text: str) -> bool:
        """What a link says. Raises InputError for anything but true and false."""
        if text.lower() not in ("true", "false"):
            raise InputError(self.id, f"{shortened(text)!r} is neither true nor false", code="not_a_switch")
        return text.lower() == "true"

    @property
    def ends(self) -> tuple[Any, ...]:
        """Off and on."""
        return (False, True)


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text of at most ``longest`` characters; what it must say is checked by who reads it."""

    id: str
    group: str
    longest: int
    default: str = ""

    def read(self, text: str) -> str:
        """The text. Raises InputError where it is too long."""
        if len(text) > self.longest:
            raise InputError(self.id, f"longer than {self.longest:,} characters", code="too_long", longest=self.longest)
        return text

    @property
    def ends(self) -> tuple[Any, ...]:
        """Nothing at all."""
        return ("",)


Input = Integer | Real | Choice | Switch | Text


def _number(input_id: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise InputError(input_id, f"{shortened(text)!r} is not a number", code="not_a_number") from None
    if not math.isfinite(number):
        raise InputError(input_id, f"{shortened(text)!r} is not a finite number", code="not_a_number")
    return number


def _typed(input_id: str, text: str, locale: Locale) -> float:
    try:
        return locale.number(text)
    except ValueError:
        raise InputError(input_id, f"{shortened(text)!r} is not a number", code="not_a_number") from None


def _check_range(input_id: str, number: float, low: float, high: float) -> None:
    if not low <= number <= high:
        message = f"{number:,.15g} is not between {low:,} and {high:,}"
        nearest = low if number < low else high
        raise InputError(input_id, message, (nearest,), code="out_of_range", low=low, high=high)
