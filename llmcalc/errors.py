"""The one kind of error that llmcalc raises for what it was given."""

from __future__ import annotations

from typing import Any

MOST_TOLD = 200  # characters of what a reader or a link gave, where it is told back


class InputError(ValueError):
    """An input cannot be what it is. Names the input, says why, and what would be right.

    ``input_id`` is the name of the input or configuration key; ``suggestions`` are values of it that would do. ``code``
    and ``details`` let a page say the same in another language (``problems`` in ``words/``).
    """

    def __init__(
        self, input_id: str, message: str, suggestions: tuple[Any, ...] = (), *, code: str = "", **details: Any
    ) -> None:
        super().__init__(message)
        self.input_id = input_id
        self.suggestions = suggestions
        self.code = code
        self.details = details

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InputError) and (self.args, vars(self)) == (other.args, vars(other))

    def __hash__(self) -> int:
        return hash(self.args)


def shortened(text: str) -> str:
    """As much of a text that somebody gave as is told back."""
    return text if len(text) <= MOST_TOLD else text[: MOST_TOLD - 1] + "…"
