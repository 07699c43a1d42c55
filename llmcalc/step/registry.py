"""Which part is run by what: each file here registers the kinds of parts that it runs, and nobody keeps a list.

A kind of part of your own needs a class, or a function, that is built as ``(part, s, beside)``:

    @runs(MyAttention)
    class MySelfAttention: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, singledispatch
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import llmcalc.step
from llmcalc.errors import InputError
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Dim, Tensor
from llmcalc.transformer.part import Norm, Part

if TYPE_CHECKING:
    from llmcalc.step.norms import NormLayer
    from llmcalc.step.rotary import Rotary

Made = TypeVar("Made", bound=Callable[..., Any])
# What attention gives, and the weights that its function returns besides, which the layer holds until its end
Attended = tuple[Tensor, Tensor | None]


class Mixer(Protocol):
    """What runs a part in which tokens meet: it has ``heads``."""

    heads: Dim

    @property
    def rotated(self) -> Dim | None:
        """How many channels of a head rotary positions turn; None where they are not asked."""
        ...

    def __call__(self, x: Tensor, rotary: Rotary | None, mask: Tensor | None) -> Attended:
        """What the part makes of ``x``."""
        ...


@dataclass(frozen=True)
class Beside:
    """What stands beside a part in its layer, by id: the ``parts`` as they are, norms of queries and keys, which
    attention builds as its code asks, and all other ``norms``, built."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    qk_norms: Mapping[str, Norm] = field(default_factory=dict)
    norms: Mapping[str, NormLayer] = field(default_factory=dict)


ALONE = Beside()


@singledispatch
def _running(part: Part, s: Setting, beside: Beside) -> Any:
    raise InputError("model", f"a training step of a model with such {part.id} is not simulated")


def runs(*kinds: type) -> Callable[[Made], Made]:
    """Say of a class, or a function, that it runs parts of these kinds."""

    def register(made: Made) -> Made:
        for kind in kinds:
            _running.register(kind, made)
        return made

    return register


def running(part: Part, s: Setting, beside: Beside = ALONE) -> Any:
    """What runs the part, built on the tape of ``s``.

    Raises InputError for a kind of part that nothing here runs.
    """
    _read_all()
    return _running(part, s, beside)


@cache
def _read_all() -> None:
    for module in pkgutil.iter_modules(llmcalc.step.__path__):
        importlib.import_module(f"{llmcalc.step.__name__}.{module.name}")
