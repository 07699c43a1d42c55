"""Every formula there is, found in the modules themselves: nobody keeps a list."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType

import llmcalc
from llmcalc.quantity import Formula


@functools.cache
def modules() -> tuple[ModuleType, ...]:
    """All modules of llmcalc, imported, in alphabetical order."""
    found = pkgutil.walk_packages(llmcalc.__path__, prefix="llmcalc.")
    return tuple(importlib.import_module(module.name) for module in found)


@functools.cache
def formulas() -> dict[str, tuple[Formula, ...]]:
    """The formulas of each module that defines any, under the module's name, in the order in which they are written."""
    found = {}
    for module in modules():
        own = [f for f in vars(module).values() if isinstance(f, Formula) and f.function.__module__ == module.__name__]
        if own:
            found[module.__name__] = tuple(dict.fromkeys(own))
    return found
