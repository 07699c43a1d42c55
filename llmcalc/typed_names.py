"""Models and devices as somebody would type their names: which one is meant, and which others could be.

>>> read_model("serve llama 3 70b")[0].others[:2]
('Llama 3.1 70B', 'Llama 3.3 70B')
>>> read_device("h100")[0].id
'H100 SXM'
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from llmcalc.bases import base
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.configuration import Configuration
from llmcalc.inputs import DEFAULTS, MODELS, PASTED
from llmcalc.units import GB
from llmcalc.unlisted_devices import nearest_by_name, unlisted

MOST_OTHERS = 3
AGREE = math.log(1.1)  # sizes that differ by less are one
PLACE = "|"  # where something was that has been read
# A size with its letter is one piece ("8x7b", "a22b", "1.5b"), and so are the digits of a number
_PIECE = re.compile(
    r"\d+x\d+(?:\.\d+)?b(?![a-z0-9])|[ae]\d+(?:\.\d+)?b(?![a-z0-9])|\d+(?:\.\d+)?(?:[bmt](?![a-z0-9]))?|[a-z]+"
)
_SIZE = re.compile(r"(?<![a-z0-9.$])(\d+(?:\.\d+)?)([bmt])(?![a-z0-9])")
_MEMORY = re.compile(r"(?<![a-z0-9.$])(\d+)\s*gi?b\b")
_FORM = re.compile(r"[\s-]+(pcie|sxm)(?![a-z0-9])")  # of a device, behind its memory
_VERSION = re.compile(r"[\s-]*[a-z]?(\d+(?:\.\d+)?)(?![a-z0-9.])")
_COUNTED = re.compile(
    r"\s+(?:(?:x|gpus?|cards?|devices?|units?|buah|kartu|perangkat|rtx|tpu|gaudi)\b|[a-z]{1,2}-?\d|\d+ ?gb)"
)
# What is a family's name and a word of such a question too: without more of a name, or a size, it is the word
_ORDINARY = frozenset({"article", "command", "opt", "seed", "switch", "transformer"})
_FACTORS = {"m": 1e6, "b": 1e9, "t": 1e12}

How = Literal["named", "first", "stands_for", "nearest", "none"]


@dataclass(frozen=True)
class Named:
    """What was typed, ``id`` of what was taken for it, and ``others`` that could be.

    how: it is "named"; it is the "first" of those whose names begin so; only its size was typed, which a
    model called by it "stands_for", or to which it is "nearest"; or there is "none": ``id`` is None and the others are
    nearest.
    """

    said: str
    id: str | None
    how: How
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Stretch:
    """The longest stretch of a text that begins names: its pieces, those names, and what is before and after it.
    ``version`` is one after it that none of the names has: the 4 of GPT-4."""

    said: str
    pieces: tuple[str, ...]
    found: tuple[str, ...]
    before: str
    after: str
    version: str = ""


def read_model(text: str) -> tuple[Named | None, str]:
    """The model that a text in small letters names, by its family or its size, and the text without that."""
    typed = _longest(text, _model_pieces())
    if typed is None:
        size = _SIZE.search(text)
        return (_nearest(size), _without(text, size)) if size else (None, text)
    rest = f"{typed.before}{PLACE}{typed.after}"
    size = _SIZE.search(rest)
    if any(_SIZE.fullmatch(piece) for piece in typed.pieces) or not (size or typed.version):
        return _chosen(typed, typed.found, _model_pieces(), typed.said), rest
    said, count = typed.said, None
    if size:
        said, count, rest = f"{said} {size[0]}", _count(size), _without(rest, size)
        fitting = sorted(typed.found, key=lambda name: _far(name, _count(size)))
        fitting = [name for name in fitting if _far(name, _count(size)) <= AGREE]
        if fitting and not typed.version:
            return _chosen(typed, fitting, _model_pieces(), said), rest
    return Named(said, None, "none", _relatives(typed, count)), rest


def read_device(text: str, mark: str = PLACE) -> tuple[Named | None, str]:
    """The same of a device, whose size is its memory, with a mark in its place. Of several the app's own is taken
    first, then an SXM, then what has most memory."""
    names = _device_pieces()
    text = _with_makes(re.sub(r"(?<=\bsxm)[345]\b", "", text))  # the socket goes with the device
    typed = _longest(text, names)
    if typed is None or typed.version:
        said = unlisted(text) or (typed.said if typed else "")
        return _no_device(said, text.replace(said, mark, 1)) if said else (None, text)
    rest, found = f"{typed.before}{mark}{typed.after}", sorted(typed.found, key=_usual)
    memory = _MEMORY.search(rest)
    form = _FORM.match(typed.after)
    if "gb" in typed.pieces and form and all(form[1] not in names[name] for name in found):
        alike = [name for name in names if name.startswith(found[0].split()[0] + " ")]
        return Named(typed.said + form[0], None, "none", tuple(alike[:MOST_OTHERS])), rest.replace(form[0], "", 1)
    if memory is None or "gb" in typed.pieces:
        return _chosen(typed, found, names, typed.said), rest
    said = f"{typed.said} {memory[0]}"
    fitting = [name for name in found if _other_memory(name, memory) <= AGREE]
    form = re.match(r"[\s-]+([a-z]+)(?![a-z])", rest[memory.end() :])
    if form and (of_form := [name for name in fitting if form[1] in names[name]]):
        fitting, said = of_form, f"{said} {form[1]}"
        rest = rest.replace(form[0], "", 1)
    rest = rest.replace(memory[0], " ", 1)
    if fitting:
        return _chosen(typed, fitting, names, said), rest
    return Named(said, None, "none", _nearest_by_memory(found, memory)), rest


def _no_device(said: str, rest: str) -> tuple[Named, str]:
    """One that is not among ours: those nearest by memory, where that is typed, else by name."""
    memory, alike = _MEMORY.search(rest), nearest_by_name(said)
    if memory is None:
        return Named(said, None, "none", alike), rest
    others = _nearest_by_memory(dict.fromkeys((*alike, *sorted(ACCELERATORS, key=_usual))), memory)
    return Named(f"{said} {memory[0]}", None, "none", others), rest.replace(memory[0], " ", 1)


def _nearest_by_memory(devices: Iterable[str], memory: re.Match[str]) -> tuple[str, ...]:
    return tuple(sorted(devices, key=lambda name: _other_memory(name, memory))[:MOST_OTHERS])


def _other_memory(device: str, memory: re.Match[str]) -> float:
    return _apart(ACCELERATORS[device].nominal_memory, int(memory[1]) * GB)


def _usual(device: str) -> tuple[bool, bool, int]:
    return device != DEFAULTS["accelerator"], "SXM" not in device, -ACCELERATORS[device].nominal_memory


def _chosen(typed: _Stretch, found: Sequence[str], names: Mapping[str, tuple[str, ...]], said: str) -> Named:
    """That which is called just so, else the first."""
    pieces = typed.pieces
    whole = [name for name in found if sorted(names[name]) == sorted(pieces)]
    if whole:
        return Named(said, whole[0], "named")
    others = tuple(found[1 : 1 + MOST_OTHERS])
    begun = r"[^a-z0-9.]*".join(map(re.escape, pieces))
    is_another_word = re.match(rf"{begun}[a-z]", found[0].lower())  # "L40" is no L40S
    is_whole = not others and not is_another_word and any(re.search(r"\d", piece) for piece in pieces)
    return Named(said, found[0], "named" if is_whole else "first", others)


def _nearest(size: re.Match[str]) -> Named:
    """The models that are nearest to a size, of those that write: first what is called by just that size, of each
    family one."""
    typed, found = _count(size), dict.fromkeys(_called_by(size[0]))
    how: How = "stands_for" if found else "nearest"
    for name in sorted(_model_pieces(), key=lambda name: _far(name, typed)):
        if len(found) >= MOST_OTHERS:
            break
        if _writes(name):
            found[name] = None
    first, *others = tuple(found)[:MOST_OTHERS]
    return Named(size[0], first, how, tuple(others))


def _called_by(size: str) -> list[str]:
    """The models whose names are a family's, perhaps with its version, and then just a size: of each family that with
    the shortest name, of these the newest, which stands last in the library. The family of most models comes first."""
    of_family: dict[str, list[str]] = {}
    for name, pieces in _model_pieces().items():
        of_family.setdefault(pieces[0], [])
        if pieces[-1] == size and _writes(name):
            of_family[pieces[0]].append(name)
    sizes = Counter(pieces[0] for pieces in _model_pieces().values())
    usual = sorted((family for family, names in of_family.items() if names), key=lambda family: -sizes[family])
    return [min(reversed(of_family[family]), key=_words_in) for family in usual]


def _words_in(model: str) -> int:
    return sum(piece.isalpha() for piece in _model_pieces()[model])


def _writes(model: str) -> bool:
    return Configuration({"model": model}).serving.writes


def _relatives(typed: _Stretch, count: float | None) -> tuple[str, ...]:
    """Of the same family, the nearest by size, where that is typed, and version."""
    was = _version((*typed.pieces, typed.version))

    def far(name: str) -> float:
        now = _version(_model_pieces()[name]) or 1
        return (0 if count is None else _far(name, count)) + (abs(math.log(was / now)) if was else 0)

    family = [name for name, own in _model_pieces().items() if own[0] == typed.pieces[0]]
    return tuple(sorted(family, key=far)[:MOST_OTHERS])


def _version(pieces: Sequence[str]) -> float:
    return next((float(piece) for piece in pieces[1:] if re.fullmatch(r"\d+(\.\d+)?", piece)), 0.0)


def _far(model: str, parameters: float) -> float:
    return _apart(base(model).parameters, parameters)


def _apart(one: float, other: float) -> float:
    return abs(math.log(one) - math.log(max(other, 1)))


def _count(size: re.Match[str]) -> float:
    return float(size[1]) * _FACTORS[size[2]]


@cache
def _model_pieces() -> Mapping[str, tuple[str, ...]]:
    return _pieces_of(name for name in MODELS if name != PASTED)


@cache
def _device_pieces() -> Mapping[str, tuple[str, ...]]:
    return _pieces_of(ACCELERATORS)


def first_words() -> frozenset[str]:
    """The first words of all models and devices, but for those that are words of such a question too."""
    names = (*_model_pieces(), *ACCELERATORS)
    found = (re.match(r"[a-z]+(?:[a-z]*\d+)?|[a-z]*\d+[a-z]*", name.lower()) for name in names)
    return frozenset(word[0] for word in found if word and len(word[0]) > 1) - _ORDINARY


def _with_makes(text: str) -> str:
    """The same where a device is called by its number alone: a 4090 is an RTX 4090."""
    for pieces in _device_pieces().values():
        if len(pieces) == 2 and re.fullmatch(r"\d{4,}", pieces[1]):
            make, number = pieces
            alone = rf"(?<!{make})(?<!{make}[ -])(?<![a-z0-9.$]){number}(?=s?(?![a-z0-9.]))"
            text = re.sub(alone, f"{make} {number}", text)
    return text


def _pieces_of(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(_PIECE.findall(name.lower())) for name in names}


def _without(text: str, found: re.Match[str]) -> str:
    return text.replace(found[0], PLACE, 1)


def _longest(text: str, names: Mapping[str, tuple[str, ...]]) -> _Stretch | None:
    """The longest stretch of a text that begins names, if any does."""
    pieces = list(_PIECE.finditer(text))
    best: tuple[int, int, list[str]] = (0, 0, [])
    for start, piece in enumerate(pieces):
        if not re.search(r"[a-z0-9.$]$", text[: piece.start()]):
            stop, found = _stretch(text, pieces, start, names)
            if stop - start > best[1] - best[0]:
                best = (start, stop, found)
    start, stop, found = best
    if not found:
        return None
    begin, end = pieces[start].start(), pieces[stop - 1].end()
    typed = tuple(piece[0] for piece in pieces[start:stop])
    version = None if re.search(r"\d", "".join(typed)) else _VERSION.match(text[end:])
    if version and _counts(text[end + version.end() :], version):
        version = None
    end += version.end() if version else 0
    after = re.sub(r"^s\b", "", text[end:])  # more than one of them
    return _Stretch(text[begin:end], typed, tuple(found), text[:begin], after, version[1] if version else "")


def _counts(after: str, number: re.Match[str]) -> bool:
    """Whether it is no version: it begins a device's name, or counts what comes after it, which a number of three
    digits and more does not where that is a memory: "RTX 3060 12GB"."""
    if len(number[1]) > 2 and re.match(r"\s+\d+ ?gb", after):
        return False
    begins = _longest(number[0].strip(), _device_pieces()) if re.match(r"\s+[a-z]", number[0]) else None
    return bool(begins or (number[0].startswith(" ") and _COUNTED.match(after)))


def _stretch(
    text: str, pieces: Sequence[re.Match[str]], start: int, names: Mapping[str, tuple[str, ...]]
) -> tuple[int, list[str]]:
    """Where the stretch from there ends, and the names: first what begins them, then what else they have of words."""
    stop, found = best = _beginning(text, pieces, start, names)
    while found and stop < len(pieces):
        said, glued = pieces[stop][0], pieces[stop - 1].end() == pieces[stop].start()
        found = [name for name in found if said in names[name]]
        if not found or not (glued or said.isalpha() or _SIZE.fullmatch(said)):
            break
        stop += 1
        if _is_name(text, pieces[start:stop]):
            best = (stop, found)
    return best


def _beginning(
    text: str, pieces: Sequence[re.Match[str]], start: int, names: Mapping[str, tuple[str, ...]]
) -> tuple[int, list[str]]:
    best: tuple[int, list[str]] = (start, [])
    for stop in range(start + 1, len(pieces) + 1):
        typed = tuple(piece[0] for piece in pieces[start:stop])
        found = [name for name, own in names.items() if own[: len(typed)] == typed]
        if not found:
            break
        if _is_name(text, pieces[start:stop]):
            best = (stop, found)
    return best


def _is_name(text: str, pieces: Sequence[re.Match[str]]) -> bool:
    """Whether a stretch ends where a word does, counts nothing that follows, and is more than a letter and a number."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1 and first[0] in _ORDINARY and not re.match(rf"[\s-]*{_SIZE.pattern}", text[first.end() :]):
        return False
    is_family = len(pieces) == 1 and len(first[0]) > 2 and first[0].isalpha()
    if not re.match(r"s?(?![a-z0-9])", text[last.end() :]) and not (is_family and _VERSION.match(text[last.end() :])):
        return False
    if last[0].isdigit() and re.match(r"\s+x\s+[a-z]", text[last.end() :]):
        return False
    if len(first[0]) > 2:
        return True
    is_glued = len(pieces) > 1 and text[first.end() : pieces[1].start()] in ("", "-")
    return is_glued or (len(pieces) > 1 and bool(_SIZE.fullmatch(pieces[1][0])))
