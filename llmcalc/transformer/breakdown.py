"""A model's parameters taken apart: down to single matrices and biases, part by part, layer by layer.

Nothing is lost on the way: what is inside adds up to what it is inside of, and so to the whole model.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from llmcalc import tex
from llmcalc.quantity import Quantity
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.part import Part, active_parameters

_STACKS = ("encoder", "decoder")


@dataclass(frozen=True)
class Piece:
    """``copies`` of ``one`` alike, in all layers and experts together. ``pieces`` add up to it; a matrix has none.

    ``id`` says what it is where it stands, and differs from that of its siblings.
    """

    id: str
    one: Quantity
    copies: int
    pieces: tuple[Piece, ...]

    @property
    def value(self) -> int:
        """Parameters of all copies."""
        return self.copies * self.one.value

    def walk(self, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Piece]]:
        """This piece and all inside it, each with the ids on the way to it, outermost first."""
        path = (*above, self.id)
        yield path, self
        for piece in self.pieces:
            yield from piece.walk(path)


def breakdown(model: Model) -> Piece:
    """The model's parameters by component, these by part, and these by weight and bias."""
    whole = model.parameters()
    return Piece(whole.id, whole, 1, tuple(_piece(component, 1) for component in model.components().values()))


def _piece(quantity: Quantity, copies: int) -> Piece:
    """What holds only one thing stands for that thing, under its own id: so no level shows the same number twice."""
    id = quantity.id
    while (inner := _only_content(quantity)) is not None:
        given = [q.value for q in quantity.inputs.values() if q is not inner]
        quantity, copies = inner, copies * math.prod(given)
    return Piece(id, quantity, copies, tuple(_piece(part, copies) for part in quantity.parts))


def _only_content(quantity: Quantity) -> Quantity | None:
    """The one quantity of which this is a multiple, or a sum of nothing else."""
    content = [q for q in quantity.inputs.values() if q.unit == quantity.unit]
    return content[0] if len(content) == 1 else None


def in_symbols(quantity: Quantity) -> str:
    """Its formula as LaTeX, down to what a reader can set. Like terms are added up: 2·d·h·d_h for query and output."""
    return _written(quantity, lambda given: given.symbol)


def in_values(quantity: Quantity) -> str:
    """The same with values put in."""
    return _written(quantity, lambda given: tex.number(given.value))


def _written(quantity: Quantity, given: Callable[[Quantity], str]) -> str:
    if quantity.is_given:
        return given(quantity)
    if not quantity.is_total:
        assert quantity.expression is not None
        return tex.render(quantity.expression, {name: _written(q, given) for name, q in quantity.inputs.items()})
    alike: dict[tuple[object, ...], list[str]] = {}
    for part in quantity.parts:
        term = _written(part, given)
        alike.setdefault((part.value, *sorted(term.split(r" \cdot "))), []).append(term)
    return " + ".join(_times(len(terms), terms[0]) for terms in alike.values())


def _times(count: int, term: str) -> str:
    product = ast.BinOp(ast.Constant(count), ast.Mult(), ast.Name("term"))
    return term if count == 1 else tex.render(product, {"term": term})


class Count(NamedTuple):
    """All parameters, and those that one token goes through."""

    total: int
    active: int


@dataclass(frozen=True)
class Line:
    """One line of the invoice: a part, and how many ``layers`` have it (None: it stands outside of them). No token of
    text goes through what ``is_beside`` the language model."""

    id: str
    part: Part
    layers: int | None
    is_beside: bool = False

    @property
    def count(self) -> Count:
        """Parameters in all layers."""
        copies = 1 if self.layers is None else self.layers
        active = 0 if self.is_beside else copies * active_parameters(self.part).value
        return Count(copies * self.part.parameters().value, active)


def invoice(model: Model) -> list[Line]:
    """Every part of the model. One that several kinds of layers have alike is one line, named by what they share, if
    those that do not have it do not share that too."""
    outside = [Line(part.id, part, None) for part in (*model.front, *model.back)]
    outside += [Line(part.id, part, None, is_beside=True) for part in model.beside]
    standing: dict[Part, dict[str, int]] = {}
    for block, count in model.blocks:
        for part in block.parts:
            standing.setdefault(part, {})[block.name] = count
    every = {block.name for block, _ in model.blocks}
    lines = []
    for part, counts in standing.items():
        shared = _shared_name(list(counts))
        if any(set(shared.split("_")) <= set(other.split("_")) for other in every - set(counts)):
            lines += [Line(f"{block_name}_{part.id}", part, count) for block_name, count in counts.items()]
        else:
            lines.append(Line(f"{shared}_{part.id}", part, sum(counts.values())))
    return outside + lines


def _shared_name(block_names: list[str]) -> str:
    """The words that all have: local_block for local_dense_block and local_sparse_block."""
    first, *others = (name.split("_") for name in block_names)
    return "_".join(word for word in first if all(word in other for other in others))


def by_component(lines: Iterable[Line]) -> dict[str, Count]:
    """The lines added up by component, in the order in which components first come."""
    found: dict[str, Count] = {}
    for line in lines:
        so_far = found.get(line.part.component, Count(0, 0))
        found[line.part.component] = Count(so_far.total + line.count.total, so_far.active + line.count.active)
    return found


def layer_components(block: Block) -> dict[str, Count]:
    """One layer's parameters by component."""
    return by_component(Line(part.id, part, None) for part in block.parts)


def numbered_layers(model: Model) -> list[tuple[int, Block]]:
    """Every layer, in order, with its number, from 1. An encoder and a decoder each count their own."""
    seen = dict.fromkeys(("", *_STACKS), 0)
    numbered = []
    for block in model.layers():
        stack = next((stack for stack in _STACKS if block.name.startswith(stack)), "")
        seen[stack] += 1
        numbered.append((seen[stack], block))
    return numbered
