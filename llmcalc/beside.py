"""Which models of the library one could be looked at beside: the next sizes of its family, and others about as large.

>>> from llmcalc.configuration import Configuration
>>> next_sizes(Configuration({"model": "GPT-2 Medium 355M"}))
('GPT-2 124M', 'GPT-2 Large 774M')
"""

from __future__ import annotations

import math
from functools import cache

from llmcalc.accuracy.counted_models import counted_models
from llmcalc.bases import LIBRARY, base
from llmcalc.catalog.presets import PRESETS
from llmcalc.configuration import Configuration
from llmcalc.inputs import MODELS, PASTED

ALIKE = math.log(1.3)  # sizes that differ by less are about as large
MOST_ALIKE = 2
ANOTHER = 1.2  # times as many parameters are another size


def next_sizes(config: Configuration) -> tuple[str, ...]:
    """Of the same family the next smaller model and the next larger one, as far as there are any."""
    size = float(config.model.parameters().value)
    family = [name for name in _library() if _group(name) == config.base.group and _writes(name) == _writes(config)]
    smaller = max((name for name in family if _size(name) * ANOTHER < size), key=_size, default=None)
    larger = min((name for name in family if _size(name) > size * ANOTHER), key=_size, default=None)
    return tuple(name for name in (smaller, larger) if name)


def as_large(config: Configuration) -> tuple[str, ...]:
    """Of other families the newest models about as large that write, or do not, as this one, each of another family."""
    size, found = float(config.model.parameters().value), dict[str, str]()

    def far(name: str) -> float:
        return abs(math.log(_size(name) / size))

    alike = [name for name in _library() if far(name) < ALIKE and _group(name) != config.base.group]
    for name in sorted(alike, key=lambda name: (-(base(name).year or 0), far(name))):
        if _group(name) not in found and _writes(name) == _writes(config):
            found[_group(name)] = name
        if len(found) == MOST_ALIKE:
            break
    return tuple(found.values())


def _library() -> tuple[str, ...]:
    return tuple(name for name in MODELS if name != PASTED and _group(name) != "Article")


def _writes(model: str | Configuration) -> bool:
    return (Configuration({"model": model}) if isinstance(model, str) else model).serving.writes


def _group(name: str) -> str:
    return PRESETS[name].group if name in PRESETS else LIBRARY[name].group


@cache
def _size(name: str) -> int:
    """Parameters, as they were counted where they were: to read every config would take seconds."""
    counted = counted_models().get(LIBRARY[name].id) if name in LIBRARY else None
    return counted.total if counted else base(name).parameters
