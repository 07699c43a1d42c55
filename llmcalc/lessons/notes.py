"""What a reader has done of the lesson, as a text to keep: tasks solved, questions answered, options chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmcalc.lessons.questions import QUESTIONS
from llmcalc.lessons.quiz import RIGHT
from llmcalc.lessons.tasks import TASKS


@dataclass(frozen=True)
class Notes:
    """``solved`` are tasks, ``answered`` questions that were ever answered rightly, ``chosen`` the option that was last
    chosen of a question."""

    solved: frozenset[str] = frozenset()
    answered: frozenset[str] = frozenset()
    chosen: Mapping[str, str] = field(default_factory=dict)

    def with_option(self, question: str, option: str) -> Notes:
        """Another option was chosen."""
        answered = self.answered | {question} if option == RIGHT else self.answered
        return Notes(self.solved, answered, {**self.chosen, question: option})

    def with_solved(self, task: str) -> Notes:
        """Another task was solved."""
        return Notes(self.solved | {task}, self.answered, self.chosen)

    def after(self, earlier: Notes) -> Notes:
        """These and earlier ones; of two options that were chosen of a question, the later."""
        chosen = {**earlier.chosen, **self.chosen}
        return Notes(self.solved | earlier.solved, self.answered | earlier.answered, chosen)

    def written(self) -> str:
        """The same as a text."""
        lists = {"solved": sorted(self.solved), "answered": sorted(self.answered)}
        return json.dumps({**lists, "chosen": dict(sorted(self.chosen.items()))})


def read_notes(text: str) -> Notes:
    """What was written, without what is not of this lesson; nothing where it is no such text."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return Notes()
    if not isinstance(given, dict):
        return Notes()
    chosen = given.get("chosen")
    options = chosen.items() if isinstance(chosen, dict) else ()
    return Notes(
        frozenset(_names(given.get("solved"))) & TASKS.keys(),
        frozenset(_names(given.get("answered"))) & QUESTIONS.keys(),
        {question: option for question, option in options if _is_option(question, option)},
    )


def _names(given: Any) -> list[str]:
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []


def _is_option(question: str, option: Any) -> bool:
    return question in QUESTIONS and isinstance(option, str) and option in (RIGHT, *QUESTIONS[question].wrong)
