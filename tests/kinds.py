"""One model of each kind: a page draws parts, and models of one kind differ in sizes and names only."""

from __future__ import annotations

import functools

from llmcalc.bases import base
from llmcalc.errors import InputError
from llmcalc.inputs import MODELS, PASTED
from llmcalc.step.run import TrainingRun
from llmcalc.step.weights import weights_of
from llmcalc.transformer.model import Model

LIBRARY = [model for model in MODELS if model != PASTED]


@functools.cache
def kind(name: str) -> tuple[frozenset[type], bool, bool, bool]:
    """Which parts a model has, whether all its sizes may change, its code was read, and its layers are of one kind."""
    start = base(name)
    model = start.model(start.values)
    parts = (*model.front, *model.back, *(part for block, _ in model.blocks for part in block.parts))
    return frozenset(map(type, parts)), start.config is None, model.code is None, len(model.blocks) == 1


KINDS = list({kind(name): name for name in reversed(LIBRARY)}.values())


def some_with_every_part(turn: int, of: int) -> list[str]:
    """Of so many turns one's share of the kinds, and few more models that have the parts, and ways of what else tells
    kinds apart, which those have not."""
    traits = {name: {*kind(name)[0], *enumerate(kind(name)[1:])} for name in KINDS}
    chosen = KINDS[turn::of]
    while left := set().union(*traits.values()).difference(*map(traits.get, chosen)):
        chosen.append(max(KINDS, key=lambda name: len(traits[name] & left)))
    return chosen


def is_run(model: Model) -> bool:
    """Whether a step of the model is simulated: its family's code was read, and all its parts are known to run."""
    try:
        return model.code is not None and weights_of(model, TrainingRun()).everything > 0
    except InputError:
        return False
