"""Devices that are not among ours, known by how makers name them: which of ours are called most nearly so.

>>> unlisted("2 x a6000, llama 3 8b"), nearest_by_name("a6000")[0]
('a6000', 'RTX 6000 Ada')
"""

from __future__ import annotations

import math
import re

from llmcalc.catalog.accelerators import ACCELERATORS

MOST = 3
_FARTHEST = math.log(10.5)  # of numbers: an A800 is offered no A10
_CARD = "rtx"  # what NVIDIA's cards for desks are called, whatever their line
_CARDS = r"geforce|quadro|titan|rtx|gtx"
_OTHERS_CARDS = r"radeon|rx|arc"
_UNLISTED = re.compile(
    rf"(?<![a-z0-9.$-])(?:(?:nvidia|tesla|amd|intel|{_CARDS}|{_OTHERS_CARDS})[ -]?)*(?:"
    r"(?<=[a-z] )[a-z]?\d{3,4}|[2-6]0[5-9]0|\d{4}(?= xt)|[ablhvk]\d{2,4}[a-z]?|p(?:4|40|100)|gh200|gb10|"
    r"mi\d{2,3}[a-z]?|m\d(?= (?:pro|max|ultra))|tpu(?:[ -]?v\d[a-z]?)?|(?:gaudi|trainium|inferentia)[ -]?\d?"
    r")(?: ?(?:xtx?|ti|super|ada|pro|max|ultra))*(?=s?(?![a-z0-9]))"
)


def unlisted(text: str) -> str | None:
    """What in a text in small letters is the name of a device, if anything is."""
    found = _UNLISTED.search(text)
    return found[0] if found else None


def nearest_by_name(said: str) -> tuple[str, ...]:
    """Ours of the same make whose number is nearest, of each series one; none where no make is alike. What NVIDIA calls
    by one letter is of one make."""
    make, number = _named(said)

    def far(device: str) -> tuple[bool, float]:
        its_make, its_number = _named(device)
        return its_make != make, abs(math.log(max(number, 1) / its_number))

    def is_alike(device: str) -> bool:
        its_make, _ = _named(device)
        return its_make == make or (len(its_make) == len(make) == 1 and "m" not in make + its_make)

    found: dict[tuple[str, int], str] = {}
    for device in sorted(filter(is_alike, ACCELERATORS), key=far):
        if not number or far(device)[1] <= _FARTHEST:
            found.setdefault(_named(device), device)
    return tuple(found.values())[:MOST]


def _named(device: str) -> tuple[str, int]:
    """The make and the number that a name has. A letter and four digits are a card for desks, as digits alone are."""
    name = device.lower()
    found = re.search(r"([a-z]*)[ -]?v?(\d+)", name)
    letters, number = (found[1], int(found[2])) if found else (name, 0)
    if re.search(rf"\b(?:{_OTHERS_CARDS}|\d+ xtx?)\b", name):
        return "radeon", number
    if re.search(rf"\b(?:{_CARDS})\b", name) or not letters or (len(letters) == 1 and number >= 1000):
        return _CARD, number
    return {"gh": "h"}.get(letters, letters), number
