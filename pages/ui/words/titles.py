"""What a base and a configuration are called on the screen."""

from __future__ import annotations

from llmcalc.bases import Base
from llmcalc.configuration import Configuration
from llmcalc.inputs import PASTED
from llmcalc.words import w


def start_title(start: Base) -> str:
    """Its name in the library; a pasted config.json by what it says of itself, else by what was made of it."""
    if start.id != PASTED:
        return start.id
    if start.called:
        return w("config.named", name=start.called)
    return w("config.nameless", kind=start.model_type or w("config.model"), parameters=start.parameters)


def title_of(config: Configuration) -> str:
    """What the configuration is called: a published shape, what a config.json calls itself, or one with changes."""
    if config.name and config.name != PASTED:
        return config.name
    start = start_title(config.base)
    return start if config.name else w("sidebar.custom", base=start)
