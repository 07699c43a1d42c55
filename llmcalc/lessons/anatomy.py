"""A model as a drawing shows it: an encoder, a decoder, and what each box of them holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmcalc.quantity import Quantity, total
from llmcalc.transformer.model import Block, Model
from llmcalc.transformer.part import Part, mixers

# What a reader looks at, and the components that belong to it
PARTS: Mapping[str, tuple[str, ...]] = {
    "embedding": ("embedding",),
    "positions": ("positions",),
    "attention": ("attention", "recurrent", "indexer"),
    "feed_forward": ("feed_forward", "experts", "shared_experts", "router", "per_layer_inputs"),
    "norm": ("norm", "qk_norm", "connections"),
    "head": ("head", "pooler"),
}
CROSS_ATTENTION = "cross_attention"
STACKS = ("encoder", "decoder")


@dataclass(frozen=True)
class Stack:
    """One column of the drawing: how many ``layers``, and the parameters in each of its boxes, over all layers.

    A table that both stacks use is in the boxes of both.
    """

    layers: int
    counts: Mapping[str, int] = field(default_factory=dict)


def part_of(component: str) -> str:
    """The part of the drawing that a component belongs to."""
    return next(part for part, components in PARTS.items() if component in components)


def stacks(model: Model) -> dict[str, Stack]:
    """The model's stacks, one or both of `STACKS`."""
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for block, count in model.blocks:
        layers, counts = found.setdefault(_stack_of(block), (0, {}))
        for part in block.parts:
            box = CROSS_ATTENTION if part.id == CROSS_ATTENTION else part_of(part.component)
            counts[box] = counts.get(box, 0) + count * part.parameters().value
        found[_stack_of(block)] = layers + count, counts
    for part in (*model.front, *model.back):
        for stack in _stacks_of(part, tuple(found)):
            counts, box = found[stack][1], part_of(part.component)
            counts[box] = counts.get(box, 0) + part.parameters().value
    return {stack: Stack(*found[stack]) for stack in STACKS if stack in found}


def parameters_of(model: Model, part: str) -> Quantity:
    """All parameters of one of `PARTS`; of "layer" those of the first layer, of "model" all.

    A model has not always all parts: then there are none, and nothing was added up.
    """
    if part == "model":
        return model.parameters()
    if part == "layer":
        return model.blocks[0][0].parameters().named("block")
    found = [q for component, q in model.components().items() if component in PARTS[part]]
    if len(found) == 1:
        return found[0]
    return total(part, rf"N_\text{{{part.replace('_', ' ')}}}", *found) if found else _nothing(part)


def one_layer_of(model: Model, part: str) -> Quantity:
    """Parameters of a part in the first layer; of a part that stands outside of the layers all of it."""
    within = [p.parameters() for p in model.blocks[0][0].parts if p.component in PARTS.get(part, ())]
    if not within:
        return parameters_of(model, part)
    return within[0] if len(within) == 1 else total(part, rf"N_\text{{{part.replace('_', ' ')}}}", *within)


def _nothing(part: str) -> Quantity:
    return Quantity(part, 0, "parameters", rf"N_\text{{{part.replace('_', ' ')}}}")


def _stack_of(block: Block) -> str:
    named = next((stack for stack in STACKS if block.name.startswith(stack)), None)
    looks_everywhere = any(mixer.sees == "all" for mixer in mixers(block.parts))
    return named or ("encoder" if looks_everywhere else "decoder")


def _stacks_of(part: Part, present: tuple[str, ...]) -> tuple[str, ...]:
    """Those that a part outside of the layers belongs to: the one it is named after, the last for a head, else all."""
    if part_of(part.component) == "head":
        return ("decoder",) if "decoder" in present else present
    return tuple(stack for stack in present if part.id.startswith(stack)) or present
