"""Look up what is written on the screen: every word of it lives in ``llmcalc/words/<language>.toml``."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

import llmcalc

LANGUAGE = "en"


@functools.cache
def dictionary(language: str = LANGUAGE) -> dict[str, str]:
    """All words of a language under dotted keys ("inputs.d_model.label")."""
    file = Path(llmcalc.__file__).parent / "words" / f"{language}.toml"
    return dict(_flat("", tomllib.loads(file.read_text(encoding="utf-8"))))


def w(key: str, /, **values: Any) -> str:
    """The words under a key, with values put in. Raises KeyError for a key without words."""
    text = dictionary()[key]
    return text.format(**values) if values else text


def _flat(prefix: str, table: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        found += _flat(f"{prefix}{key}.", value) if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found
