"""What a docstring of llmcalc shows to be typed and to come out does come out."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import llmcalc

MODULES = [
    llmcalc,
    *map(importlib.import_module, (m.name for m in pkgutil.walk_packages(llmcalc.__path__, "llmcalc."))),
]


def test_what_a_docstring_shows_comes_out():
    found = {module.__name__: doctest.testmod(module) for module in MODULES}  # prints what comes out otherwise
    assert [name for name, result in found.items() if result.failed] == []
    assert len([name for name, result in found.items() if result.attempted]) >= 12
