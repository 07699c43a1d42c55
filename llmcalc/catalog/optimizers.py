"""Optimizers: what they keep for each weight, and what they allocate while they step, each a row of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from llmcalc.catalog.precisions import BYTES, Precision
from llmcalc.sizes import smaller
from llmcalc.sources import (
    CHEN_2023,
    DETTMERS_2022,
    DETTMERS_2023,
    JORDAN_2024,
    LOSHCHILOV_2019,
    PYTORCH,
    TRANSFORMERS,
    Citation,
)

Size = Any  # int, or a float64 array in a table of plans


def _rows(sides: Sequence[Size]) -> Size:
    return prod(sides[:-1]) if len(sides) > 1 else 0


def _columns(sides: Sequence[Size]) -> Size:
    return prod(sides[:-2]) * sides[-1] if len(sides) > 1 else 0


def _vector(sides: Sequence[Size]) -> Size:
    return prod(sides) if len(sides) == 1 else 0


def _square(sides: Sequence[Size]) -> Size:
    return prod(sides[:-2]) * smaller(sides[-2], sides[-1]) ** 2 if len(sides) > 1 else 0


def _one(sides: Sequence[Size]) -> Size:
    return 1


# How many numbers a tensor beside a weight has, from the weight's sides: as many as the weight, one for each row or
# column of a matrix, as many as a weight that is no matrix, the smaller side of a matrix squared, one
WHOLE = "whole"
SHAPES: Mapping[str, Callable[[Sequence[Size]], Size]] = {
    WHOLE: prod,
    "row": _rows,
    "column": _columns,
    "vector": _vector,
    "square": _square,
    "scalar": _one,
}


@dataclass(frozen=True)
class Beside:
    """``number`` tensors of a `SHAPES` beside a weight, in ``format``, None: that in which a precision keeps states.

    ``block``: there is an fp32 scale for so many numbers. ``if_cast``: they are copies of the weight and its gradient,
    made only where the optimizer finds these in another format.
    """

    number: int = 1
    shape: str = WHOLE
    format: str | None = None
    block: int | None = None
    if_cast: bool = False

    def numbers(self, sides: Sequence[Size]) -> Size:
        """How many numbers there are beside a weight with these sides."""
        return self.number * SHAPES[self.shape](sides)

    def bytes_each(self, precision: Precision) -> float:
        """Bytes of a number, scales included."""
        each = BYTES[self.format] if self.format else precision.state_bytes
        return each + BYTES["fp32"] / self.block if self.block else each

    def is_made(self, precision: Precision) -> bool:
        """Whether there are any in this precision."""
        return not self.if_cast or (precision.master or precision.weights) != self.format


@dataclass(frozen=True)
class Optimizer:
    """``states`` stay from step to step. While it steps it makes those ``of_all`` weights at once (PyTorch's foreach),
    and those ``of_each`` weight after the other: then the weight with the most counts. ``decays``: weight
    decay is added to a copy of the gradients, not taken off the weights."""

    id: str
    source: Citation
    states: tuple[Beside, ...] = ()
    of_all: tuple[Beside, ...] = ()
    of_each: tuple[Beside, ...] = ()
    decays: bool = False

    @property
    def n_states(self) -> int:
        """How many tensors of the weights' shape stay."""
        return sum(kept.number for kept in self.states if kept.shape == WHOLE)


_ONE, _TWO, _THREE = (Beside(n) for n in (1, 2, 3))
_BLOCKWISE = Beside(2, format="int8", block=256)


def _factored(format: str | None = None) -> tuple[Beside, ...]:
    """Adafactor's: of each matrix a row and a column, of a weight that is no matrix one as large."""
    return tuple(Beside(1, shape, format) for shape in ("row", "column", "vector"))


# transformers' Adafactor works in fp32, and keeps a number more for each weight
_IN_FP32 = Beside(2, format="fp32"), Beside(2, format="fp32", if_cast=True)
_RMS = Beside(1, "scalar", "fp32")
# Muon steps weights that are no matrix as Adam does; of a matrix it makes products with itself
_SECOND, _GRAMS = Beside(1, "vector"), Beside(2, "square")

OPTIMIZERS = {
    row.id: row
    for row in (
        Optimizer("adamw_foreach", PYTORCH.at("torch.optim.AdamW, foreach (the default)"), (_TWO,), of_all=(_ONE,)),
        Optimizer("adamw_for_loop", LOSHCHILOV_2019.at("algorithm 2"), (_TWO,), of_each=(_TWO,)),
        Optimizer("adamw_fused", PYTORCH.at("torch.optim.AdamW, fused=True"), (_TWO,)),
        Optimizer("adamw_8bit", DETTMERS_2022.at("sec. 2"), (_BLOCKWISE,)),
        Optimizer("sgd", PYTORCH.at("torch.optim.SGD, foreach"), decays=True),
        Optimizer("sgd_momentum", PYTORCH.at("torch.optim.SGD, momentum"), (_ONE,), decays=True),
        Optimizer(
            "adafactor", TRANSFORMERS.at("optimization.py, Adafactor"), (*_factored("fp32"), _RMS), of_each=_IN_FP32
        ),
        Optimizer("adafactor_torch", PYTORCH.at("torch.optim.Adafactor"), _factored(), of_each=(_ONE,)),
        Optimizer("lion", CHEN_2023.at("algorithm 2"), (_ONE,), of_each=(_ONE,)),
        Optimizer("muon", JORDAN_2024.at("algorithm 2"), (_ONE, _SECOND), of_each=(_THREE, _GRAMS)),
        Optimizer("rmsprop", PYTORCH.at("torch.optim.RMSprop, foreach"), (_ONE,), of_all=(_ONE,), decays=True),
        Optimizer("adamax", PYTORCH.at("torch.optim.Adamax, foreach"), (_TWO,), of_all=(_ONE,), decays=True),
        Optimizer("adamw_amsgrad", PYTORCH.at("torch.optim.AdamW, amsgrad, foreach"), (_THREE,), of_all=(_ONE,)),
        Optimizer("adamw_amsgrad_for", PYTORCH.at("torch.optim.AdamW, amsgrad"), (_THREE,), of_each=(_TWO,)),
        Optimizer("nadam", PYTORCH.at("torch.optim.NAdam, foreach"), (_TWO,), of_all=(_ONE,), decays=True),
        Optimizer("adagrad", PYTORCH.at("torch.optim.Adagrad, foreach"), (_ONE,), of_all=(_TWO,), decays=True),
        Optimizer("adafactor_torch_foreach", PYTORCH.at("torch.optim.Adafactor, foreach"), _factored(), of_all=(_ONE,)),
        Optimizer(
            "adafactor_hf_beta1",
            TRANSFORMERS.at("optimization.py, Adafactor, beta1"),
            (Beside(1, format="fp32"), *_factored("fp32"), _RMS),
            of_each=_IN_FP32,
        ),
        # its states are in memory that the driver pages out to the host, and that PyTorch does not count
        Optimizer("paged_adamw_8bit", DETTMERS_2023.at("sec. 3, paged optimizers")),
        Optimizer(
            "lion_8bit", DETTMERS_2022.at("sec. 2, with Lion's one state"), (Beside(1, format="int8", block=256),)
        ),
    )
}
