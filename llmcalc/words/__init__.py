"""Every word that a reader sees, by key: a drawer of ``.toml`` files for each language.

What a formula counts is said in English by its docstring, in other languages under ``formulas``. The language is that
of the context: `speak` sets it, in the app first of all in every run, which has a context of its own. A control's
callback comes before that, so it must not look up words.

{layers:# layer|# layers} is what stands before the bar where there is one, what stands behind it for any other number,
which # is written for.
"""

from __future__ import annotations

import functools
import string
import tomllib
from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

from llmcalc.units import Locale, exact, human

FOLDER = Path(__file__).parent
ENGLISH = "en"
# Every language that there is a drawer of, English first
LANGUAGES = (ENGLISH, *sorted({file.parent.name for file in FOLDER.glob("*/*.toml")} - {ENGLISH}))
_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


def speak(language: str) -> None:
    """Write in this language for the rest of the run."""
    _language.set(language)


def language() -> str:
    """The language of this run."""
    return _language.get()


@functools.cache
def dictionary(language: str) -> Mapping[str, str]:
    """All words of a language under dotted keys ("inputs.d_model.label")."""
    names = {f"options.lang.{other}": _drawer(other)["language.name"] for other in LANGUAGES}
    words = {**_drawer(language), **names}
    if language == ENGLISH:
        from llmcalc.reference import formulas  # which imports every module

        words |= {f"formulas.{f.id}": f.meaning for found in formulas().values() for f in found}
    return words


@functools.cache
def _drawer(language: str) -> Mapping[str, str]:
    words: dict[str, str] = {}
    for file in sorted((FOLDER / language).glob("*.toml")):
        words.update(_flat("", tomllib.loads(file.read_text(encoding="utf-8"))))
    return words


def language_asked(code: str) -> str:
    """The language that a browser asks for ("id-ID", "en_US"), where there are words in it; else English."""
    asked = code.lower().replace("_", "-").split("-")[0]
    return next((found for found in LANGUAGES if asked in _drawer(found)["language.codes"].split()), ENGLISH)


def in_this_language(make: Callable[[], str]) -> Callable[[], str]:
    """Something that is made later, outside of this run, in the language that this run speaks."""
    spoken = language()

    def made() -> str:
        speak(spoken)
        return make()

    return lambda: copy_context().run(made)


def words() -> Mapping[str, str]:
    """All words of this run's language."""
    return dictionary(_language.get())


def w(key: str, /, **values: Any) -> str:
    """The words under a key, with values put in. Raises KeyError for a key without words."""
    text = words()[key]
    return _WRITER.vformat(text, (), values) if values else text


def label_of(input_id: str) -> str:
    """What an input is called."""
    return w(f"inputs.{input_id}.label")


def value_of(input_id: str, value: Any) -> str:
    """An input's value as its control shows it."""
    match value:
        case None:
            return words().get(f"inputs.{input_id}.empty") or w("link.empty")
        case "":
            return w("link.nothing")
        case bool():
            return w("report.on" if value else "report.off")
        case int() | float():
            return exact(value, locale=locale())
    return words().get(f"options.{input_id}.{value}", str(value))


def locale() -> Locale:
    """How this run's language writes numbers."""
    return _locale(_language.get())


@functools.cache
def _locale(language: str) -> Locale:
    words = dictionary(language)
    counts = tuple(words[f"numbers.{count}"] for count in ("trillion", "billion", "million", "thousand"))
    times = tuple(words[f"numbers.{time}"] for time in ("day", "hour", "minute"))
    return Locale(words["numbers.decimal"], words["numbers.thousands"], counts, times)


_UNITS = {"bytes": "bytes", "parameters": "parameters", "FLOP": "FLOP", "seconds": "s"}


class _Writer(string.Formatter):
    """Puts values into words: numbers as the language writes them, a size as {peak:bytes}, {total:parameters},
    {work:FLOP} or {turn:seconds}, what is counted as {layers:# layer|# layers}."""

    def format_field(self, value: Any, spec: str) -> str:
        if "|" in spec:
            number = value if isinstance(value, str) else exact(value, locale=locale())
            one, several = spec.split("|")
            return (one if number == "1" else several).replace("#", number)
        if spec in _UNITS:
            return human(value, _UNITS[spec], locale())
        if spec == "," and isinstance(value, float) and value.is_integer():
            value = int(value)
        text = str(super().format_field(value, spec))
        return locale().marked(text) if isinstance(value, int | float) else text


_WRITER = _Writer()


def _flat(prefix: str, table: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        found += _flat(f"{prefix}{key}.", value) if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found
