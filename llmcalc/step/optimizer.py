"""What an optimizer keeps for the weights that train, and what it makes while it steps, whatever its row says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llmcalc.catalog.optimizers import WHOLE, Beside
from llmcalc.catalog.precisions import Precision
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import PYTORCH, RAJBHANDARI_2020, SHAZEER_2018
from llmcalc.step.run import TrainingRun
from llmcalc.step.tape import Kind
from llmcalc.step.weights import Weight, Weights

Size = Any  # int, or a float64 array in a table of plans


@formula(r"M_\text{optimizer}", "bytes", RAJBHANDARI_2020.at("sec. 3.1"))
def optimizer_memory(*, parameters, n_states, state_bytes, master_bytes):
    """Optimizer: its states, and an fp32 master copy of the weights where the precision has one."""
    return parameters * (n_states * state_bytes + master_bytes)


@formula(r"M_\text{factors}", "bytes", SHAZEER_2018.at("sec. 3, algorithm 4"))
def factored_optimizer_memory(*, factor_numbers, state_bytes):
    """Tensors of the optimizer that are smaller than their weight: of a matrix a row and a column, of a weight that is
    no matrix one as large."""
    return factor_numbers * state_bytes


@formula(r"M_\text{temporary}", "bytes", PYTORCH.at("torch/optim/adamw.py, foreach"))
def optimizer_temporary_memory(*, parameters, temporary_states, state_bytes):
    """What the optimizer's step allocates while it runs: foreach AdamW the square root of its second state."""
    return parameters * temporary_states * state_bytes


@formula(r"M_\text{temporary}", "bytes", PYTORCH.at("torch/optim/adamw.py, for-loop"))
def largest_temporary_memory(*, largest_parameters, temporary_states, state_bytes):
    """What an optimizer that goes weight by weight allocates at its largest weight."""
    return largest_parameters * temporary_states * state_bytes


def bytes_beside(kind: Kind, tensors: Iterable[Beside], precision: Precision) -> Size:
    """Bytes of an optimizer's tensors beside one weight."""
    return sum(t.numbers(kind.sides) * t.bytes_each(precision) for t in tensors if t.is_made(precision))


def whole_bytes(tensors: Iterable[Beside], precision: Precision) -> float:
    """Of the tensors as large as their weight, bytes for each of its numbers."""
    return sum(t.number * t.bytes_each(precision) for t in tensors if t.shape == WHOLE and t.is_made(precision))


def factors(tensors: Iterable[Beside]) -> tuple[Beside, ...]:
    """The tensors that are smaller than their weight."""
    return tuple(t for t in tensors if t.shape != WHOLE)


def optimizer_state(
    run: TrainingRun, weights: Callable[[], Weights], trainable: Quantity, numbers: Precision
) -> Quantity:
    """What stays from step to step where ``trainable`` numbers train in these formats. ``weights`` gives them one by
    one, which takes a run of the code, for optimizers that keep something of another size than theirs."""
    states = run.updates.states
    number, each = _whole(states, numbers)
    whole = optimizer_memory(parameters=trainable, n_states=number, state_bytes=each, master_bytes=numbers.master_bytes)
    return _with_factors("optimizer_state", whole, states, lambda: weights().training, numbers)


def optimizer_temporary(
    run: TrainingRun, weights: Callable[[], Weights], trainable: Quantity, numbers: Precision
) -> Quantity:
    """What is made while the optimizer steps: for all weights at once, or where it goes weight by weight, for that one
    for which it makes most."""
    id, optimizer, made = "optimizer_temporary", run.updates, run.made_of_all
    if not (optimizer.of_each and trainable.value):
        number, each = _whole(made, numbers)
        of_all = optimizer_temporary_memory(parameters=trainable, temporary_states=number, state_bytes=each)
        return _with_factors(id, of_all, made, lambda: weights().training, numbers)
    number, each = _whole(optimizer.of_each, numbers)
    most = max(weights().training, key=lambda held: bytes_beside(held[0].kind, optimizer.of_each, numbers))[0]
    of_each = largest_temporary_memory(
        largest_parameters=int(most.kind.elements), temporary_states=number, state_bytes=each
    )
    return _with_factors(id, of_each, optimizer.of_each, lambda: [(most, 1)], numbers)


def _whole(tensors: Iterable[Beside], precision: Precision) -> tuple[int, float]:
    """Of the tensors as large as their weight, how many there are, and the bytes of a number of each."""
    made = [t for t in tensors if t.shape == WHOLE and t.is_made(precision)]
    number = sum(t.number for t in made)
    return number, _each(made, whole_bytes(made, precision), number, precision)


def _each(tensors: Iterable[Beside], size: float, numbers: float, precision: Precision) -> float:
    """Bytes of one number of these tensors, on average where they differ."""
    sizes = {t.bytes_each(precision) for t in tensors} or {precision.state_bytes}
    return sizes.pop() if len(sizes) == 1 else size / numbers


def _with_factors(
    id: str,
    whole: Quantity,
    tensors: Iterable[Beside],
    held: Callable[[], Iterable[tuple[Weight, int]]],
    precision: Precision,
) -> Quantity:
    """``whole``, and what there is beside it of tensors smaller than the weights that are ``held``."""
    small = [t for t in factors(tensors) if t.is_made(precision)]
    if not small:
        return whole.named(id)
    each_held = list(held())
    numbers = sum(n * sum(t.numbers(w.kind.sides) for t in small) for w, n in each_held)
    size = sum(n * bytes_beside(w.kind, small, precision) for w, n in each_held)
    each = _each(small, size, numbers, precision)
    beside = factored_optimizer_memory(factor_numbers=int(numbers), state_bytes=each)
    return total(id, whole.symbol, whole, beside) if whole.value else beside.named(id)
