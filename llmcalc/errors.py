"""The one kind of error that llmcalc raises for what it was given."""

from __future__ import annotations


class InputError(ValueError):
    """An input cannot be what it is. Names the input, says why, and what would be right.

    ``input_id`` is the name of the input or configuration key; ``suggestions`` are values of it that would do.
    """

    def __init__(self, input_id: str, message: str, suggestions: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.input_id = input_id
        self.suggestions = suggestions
