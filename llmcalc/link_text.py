"""How a link says what inputs are: the text of each value, both ways, and what is wrong with what cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmcalc.errors import InputError, shortened
from llmcalc.inputs import DEFAULTS, INPUTS
from llmcalc.kinds import Input

LINK_VERSION = 7
READ_VERSIONS = ("2", "3", "4", "5", "6", "7")  # links of earlier versions keep their meaning: see `Link.on_page`


@dataclass(frozen=True)
class LinkProblem:
    """Something in a link that could not be used: the key, what it said, and the value used instead.

    ``code`` and ``details`` say why, as a key under ``problems`` in ``words/``. However long a link is, ``key`` and
    ``given`` are short enough to be told.
    """

    key: str
    given: str
    code: str
    used: Any = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", shortened(self.key))
        object.__setattr__(self, "given", shortened(self.given))


def read_parameters(
    parameters: Mapping[str, Sequence[str]], also_known: Iterable[str] = (), defaults: Mapping[str, Any] = DEFAULTS
) -> tuple[dict[str, Any], list[LinkProblem]]:
    """The inputs that a link's parameters set, and what is wrong with the others.

    ``defaults`` are used instead of what cannot be. ``also_known`` are keys that are no inputs but mean something, such
    as the host's embedding options. Of a key that is given several times, the last value that can be read is used. What
    is left empty is as the model has it.
    """
    known, read, problems = {"v", *also_known}, {}, []
    unknown = [key for key in parameters if key not in INPUTS and key not in known]
    for key, values in parameters.items():
        given = ", ".join(values)
        if key == "v" and given not in READ_VERSIONS:
            problems.append(LinkProblem(key, given, "other_version", LINK_VERSION))
        elif key in INPUTS:
            found, error = _read_last(INPUTS[key], values)
            if found and found[0] is not None:
                read[key] = found[0]
            used = read.get(key, defaults[key])
            if len(set(values)) > 1:
                problems.append(LinkProblem(key, given, "given_twice", used))
            elif error:
                problems.append(LinkProblem(key, given, error.code, used, error.details))
    if len(unknown) == 1:
        problems.append(LinkProblem(unknown[0], ", ".join(parameters[unknown[0]]), "unknown_key"))
    elif unknown:
        problems.append(LinkProblem(unknown[0], ", ".join(unknown), "unknown_keys", None, {"number": len(unknown)}))
    return read, problems


def _read_last(declared: Input, texts: Sequence[str]) -> tuple[list[Any], InputError | None]:
    """The value of the last text that can be read, if any; and why the last one cannot."""
    problem = None
    for text in reversed(texts):
        try:
            return [declared.read(text)], problem
        except InputError as error:
            problem = problem or error
            if error.code == "counted_apart":
                return [*error.suggestions], problem
    return [], problem


def link_parameters(values: Mapping[str, Any]) -> dict[str, str]:
    """Every input as a link writes it, defaults included, with the version: such a link keeps its meaning for good.

    A size that the model has not, such as positions in T5, and that cannot be left empty is not in it.
    """
    told = (key for key, declared in INPUTS.items() if values[key] is not None or declared.default is None)
    return {"v": str(LINK_VERSION)} | {key: written(values[key]) for key in told}


def link_differences(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """A shorter link, to be scanned: the version, the language, the model, and what differs from ``defaults``."""
    kept = ("lang", "model")
    different = {key: written(values[key]) for key in INPUTS if key in kept or values[key] != defaults[key]}
    return {"v": str(LINK_VERSION)} | different


def written(value: Any) -> str:
    """An input's value as a link writes it and `read` reads it back."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return repr(value).removesuffix(".0")
        case _:
            return str(value)
