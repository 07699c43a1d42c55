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


def is_run(model: Model) -> bool:
    """Whether a step of the model is simulated: its family's code was read, and all its parts are known to run."""
    try:
        return model.code is not None and weights_of(model, TrainingRun()).everything > 0
    except InputError:
        return False
