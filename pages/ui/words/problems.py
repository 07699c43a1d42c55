"""What is wrong, and what was noticed, in the reader's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmcalc.bases import Base
from llmcalc.errors import InputError, shortened
from llmcalc.inputs import INPUTS
from llmcalc.words import label_of, value_of, w, words

# Details of a problem that name an input, and those that name a key of a config.json
_INPUTS, _KEYS = ("what", "name"), ("key", "whole_key", "first", "second")
_SEVERAL = {"engines": "engine"}  # those that are several values of an input

_MARKUP = re.compile(r"[\\`*\[\]<>$|~#&:@.]")  # with what would make a link of an address


def problem_words(error: InputError) -> str:
    """What is wrong, in the reader's words where the error has a code; and what is counted instead, if that is told."""
    details = {"reason": error, "key": error.input_id, **error.details}
    instead = details.pop("instead", None)
    said = coded_problem(error.code or "config_refused", **details)
    if instead is None:
        return said
    return f"{said} {w('problems.meanwhile', value=value_of(error.input_id, instead))}"


def coded_problem(code: str, **details: Any) -> str:
    """What is wrong, by its code; where it is a piece of a longer text, with that piece."""
    piece = details.pop("piece", None)
    details = _all_told(details)
    if f"reasons.{code}" in words():
        code, details["reason"] = "config_refused", w(f"reasons.{code}", **details)
    text = w(f"problems.{code}", **details)
    return w("problems.in_piece", piece=verbatim(shortened(piece)), problem=text) if piece is not None else text


def notice_words(id: str, text: str, details: Mapping[str, Any]) -> str:
    """What was noticed in a config, in the reader's words where there are any."""
    key = f"notices.{id}"
    told = {name: as_text(shortened(detail)) if isinstance(detail, str) else detail for name, detail in details.items()}
    return w(key, **told) if key in words() else as_text(shortened(text))


AT_THE_TITLE = ("like_llama", "language_part")  # what is worth saying wherever a model's numbers stand


def notes_of(start: Base) -> list[str]:
    """What is to be said of a model that one starts from: what it leaves out, and what was noticed in its config."""
    noticed = (notice for notice in start.notices if notice.id not in AT_THE_TITLE)
    return caveats_of(start) + [notice_words(notice.id, notice.text, notice.details) for notice in noticed]


def caveats_of(start: Base) -> list[str]:
    """The same, only what belongs beside its name: that part of it is left out, or that it is a guess."""
    notes = [w(f"model_notes.{start.note}")] if start.note else []
    return notes + [notice_words(n.id, n.text, n.details) for n in start.notices if n.id in AT_THE_TITLE]


def as_text(given: str) -> str:
    """What somebody gave, in Markdown: to be read, and nothing else."""
    return _MARKUP.sub(lambda mark: f"&#{ord(mark[0])};", _printable(given))


def verbatim(given: str) -> str:
    """The same as code."""
    text, fence = _printable(given), "`"
    while fence in text:
        fence += "`"
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"


def unmarked(told: str) -> str:
    """A message without its marks: it may quote what somebody gave, whose marks would be taken for ours."""
    return re.sub(r"&#(\d+);", lambda mark: chr(int(mark[1])), told.replace("**", ""))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _all_told(details: Mapping[str, Any], names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The details of a problem in words. Keys of a config.json are quoted; by ``names`` some are inputs of ours."""
    names = details.get("names", names or {})
    return {name: _told(name, detail, names) for name, detail in details.items()}


def _told(name: str, detail: Any, names: Mapping[str, str]) -> Any:
    """An input by its label, what kind of thing was found in words, another problem by why it is one."""
    if name in _INPUTS and detail in INPUTS:
        return label_of(detail)
    if name in _KEYS:
        return label_of(names[detail]) if detail in names else f"'{detail}'"
    if name in _SEVERAL:
        return ", ".join(value_of(_SEVERAL[name], value) for value in detail)
    if isinstance(detail, str) and name in INPUTS and detail in INPUTS[name].ends:
        return value_of(name, detail)
    if isinstance(detail, str):
        return words().get(f"phrases.{detail}") or as_text(shortened(detail))
    if not isinstance(detail, InputError):
        return detail
    details = _all_told(detail.details, names)
    keys = (f"{section}.{detail.code}" for section in ("reasons", "problems"))
    return next(
        (w(key, **details).removesuffix(".") for key in keys if key in words()), as_text(shortened(str(detail)))
    )
