"""The weights of a step: which there are and which of them train, from the code that runs or from the parts counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from llmcalc.cached import cached_property
from llmcalc.step.run import TrainingRun
from llmcalc.step.simulation import trace
from llmcalc.step.tape import Dim, Kind, Parameter
from llmcalc.step.timeline import representatives
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import HEAD_TABLE, TOKEN_TABLE, Part, fixed_parameters, matrices, mixtures, widths


@dataclass(frozen=True, eq=False)
class Weight:
    """A weight, or what of a part's is in no matrix: its kind, and whether it trains."""

    kind: Kind
    trains: bool = True

    @property
    def is_adapted(self) -> bool:
        """Whether it is a linear layer's matrix."""
        return self.kind.role == "matrix"


@dataclass(frozen=True)
class Weights:
    """All weights of a model, each with how many times it is there."""

    each: tuple[tuple[Weight, int], ...]

    @cached_property
    def everything(self) -> int:
        """Numbers in all of them."""
        return self._numbers(self.each)

    @cached_property
    def trainable(self) -> int:
        """Numbers in those that train."""
        return self._numbers(self.training)

    @cached_property
    def adapted(self) -> int:
        """Numbers in the matrices of linear layers."""
        return self._numbers((w, times) for w, times in self.each if w.is_adapted)

    @property
    def adapters(self) -> Weights:
        """LoRA's adapters."""
        return Weights(tuple((w, n) for w, n in self.training if w.kind.role != "module"))

    @property
    def modules(self) -> Weights:
        """Whole modules that train beside the adapters, as copies."""
        return Weights(tuple((w, n) for w, n in self.training if w.kind.role == "module"))

    @property
    def training(self) -> tuple[tuple[Weight, int], ...]:
        """Those that train."""
        return tuple((w, times) for w, times in self.each if w.trains)

    @staticmethod
    def _numbers(each: Iterable[tuple[Weight, int]]) -> int:
        return sum(times * int(w.kind.elements) for w, times in each)


def of_traced(weights: Iterable[tuple[int | str, Parameter]]) -> dict[int | str, tuple[Weight, ...]]:
    """The weights that code ran on, by the layer that they are in."""
    found: dict[int | str, list[Weight]] = {}
    for place, weight in weights:
        found.setdefault(place, []).append(Weight(weight.storage.kind, weight.trains))
    return {place: tuple(there) for place, there in found.items()}


def weights_of(model: Model, run: TrainingRun, counted: Model | None = None) -> Weights:
    """The weights of a step of ``model``: of ``counted``, where ``model`` only stands in for its layers, with the
    adapters that stand in ``model``."""
    order = model.layers()
    shown, stands_for = representatives(order)
    traced = of_traced(trace(model, replace(run, batch_size=1, seq_len=1), shown).weights)

    def times(place: int | str) -> int:
        return len(stands_for[place]) if isinstance(place, int) else 1

    each = [(weight, times(place)) for place, weights in traced.items() for weight in weights]
    if counted is None or counted is model:
        return Weights(tuple(each))
    trains = not run.lora_rank
    adapters = [(weight, n) for weight, n in each if weight.trains] if run.lora_rank else []
    parts = [*((part, 1) for part in counted.front), *((part, 1) for part in counted.back)]
    parts += [(part, count) for block, count in counted.blocks for part in block.parts]
    found = [(weight, count) for part, count in parts for weight in of_part(part, trains=trains)]
    return Weights((*found, *adapters))


# By what weights in front of the layers and behind them are dealt out, those of which no code has been read
_SIDES = {"embedding": "vocab_size", "head": "vocab_size"}


def of_part(part: Part, *, trains: bool = True) -> tuple[Weight, ...]:
    """The weights of a part of which no code has been read: each matrix, all other numbers that train as one, and
    those that do not as another. ``trains``: whether those that can train do."""
    side = next((width.name for width in widths(part)), _SIDES.get(part.component, "width"))
    fixed = int(sum(q.value for q in fixed_parameters(part)))
    rest = int(part.parameters().value) - fixed
    found: list[Weight] = []

    def add(role: str, *dims: Dim, trains: bool) -> None:
        found.append(Weight(Kind("weights", part.component, role, dims, "fp32"), trains))

    for matrix in matrices(part):
        experts = [Dim("n_experts", matrix.experts)] if matrix.experts else []
        rows = int(matrix.parameters.value) // matrix.width
        role = "weight" if matrix.role in (TOKEN_TABLE, HEAD_TABLE) else "matrix"
        add(role, *experts, Dim(side, rows), Dim("width", matrix.width), trains=trains)
        rest -= matrix.numbers
    if rest:
        experts = [Dim("n_experts", mixture.n_experts) for mixture in mixtures([part])]
        add("weight", *experts, Dim(side, rest // experts[0].value if experts else rest), trains=trains)
    if fixed:
        add("weight", Dim("width", fixed), trains=False)
    return tuple(found)
