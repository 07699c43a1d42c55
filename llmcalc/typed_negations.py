"""What a typed question says is not meant, "without LoRA", "not on H100": it sets nothing.

>>> read_negations("full, without lora, on 2 l4", {"lora": "lora"})
((Negated(said='without lora', ask='lora'),), 'full, |, on 2 l4')
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from llmcalc import typed_formats, typed_settings
from llmcalc.typed_names import PLACE, first_words

_NOT = (
    r"(?:without|not?|non|never|don'?t|tanpa|bukan|tidak|jangan)(?:[\s-]+(?:a|an|any|the|use|using|with|in|on|for|as|its?|"
    r"pakai|memakai|menggunakan|dengan|di|untuk|dalam))*[\s-]+"
)
_UNTIL = r"[^,;:!?]*?(?=\s*(?:[,;:!?]|$|\b(?:but|tapi|tetapi|melainkan)\b))"


@dataclass(frozen=True)
class Negated:
    """What was negated, with the word for not, and which ask that is, if any."""

    said: str
    ask: str | None = None


def read_negations(text: str, asks: Mapping[str, str]) -> tuple[tuple[Negated, ...], str]:
    """What a text in small letters negates: an ask (the expressions of each), a setting, a format, a model or a device;
    and the text without that."""
    found: list[Negated] = []
    for ask, expression in (*asks.items(), (None, _others())):
        for typed in re.finditer(rf"(?<![a-z0-9]){_NOT}(?:{expression})(?![a-z0-9])", text):
            found.append(Negated(typed[0], ask))
            text = text.replace(typed[0], PLACE, 1)
    return tuple(found), text


@cache
def _others() -> str:
    names = "|".join(map(re.escape, sorted(first_words(), key=len, reverse=True)))
    said = "|".join((*typed_formats.expressions(), *typed_settings.expressions()))
    return rf"{said}|(?:{names})(?![a-z]){_UNTIL}"
