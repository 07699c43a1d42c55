"""A model: parts in front, blocks of parts each repeated so many times, parts at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import KAPLAN_2020, VASWANI_2017
from llmcalc.transformer.part import Part


@formula(r"n \cdot N_\text{layer}", "parameters", VASWANI_2017.at("sec. 3.1"))
def stacked_parameters(*, count, block_parameters):
    """Identical layers stacked: so many times the parameters of one."""
    return count * block_parameters


@formula(r"n \cdot N", "parameters", VASWANI_2017.at("sec. 3.1"))
def repeated_parameters(*, count, parameters):
    """One component over all layers that have it: so many times the parameters of one."""
    return count * parameters


@formula("N_{-\\text{emb}}", "parameters", KAPLAN_2020.at("sec. 2.1, table 1"))
def non_embedding_parameters(*, parameters, embedding_parameters):
    """All parameters but the token and position embeddings (and a head of its own): Kaplan's N."""
    return parameters - embedding_parameters


@dataclass(frozen=True)
class Block:
    """One layer: its parts, in the order in which they run. ``name`` tells kinds of layers apart in one model."""

    parts: tuple[Part, ...]
    name: str = "block"

    def parameters(self) -> Quantity:
        """Parameters of one layer, by part."""
        return total(self.name, r"N_\text{layer}", *(part.parameters() for part in self.parts))

    def parts_of(self, component: str) -> tuple[Part, ...]:
        """The parts that belong to one component: both norms, say."""
        return tuple(part for part in self.parts if part.component == component)


@dataclass(frozen=True)
class Model:
    """A Transformer as a list of parts.

    ``front`` (embeddings), then ``blocks`` as (block, how many), then ``back`` (final norm, head). Parts of one block,
    and of front and back together, have different ids.
    """

    front: tuple[Part, ...]
    blocks: tuple[tuple[Block, int], ...]
    back: tuple[Part, ...]

    @property
    def n_layers(self) -> int:
        """Number of layers of all kinds."""
        return sum(count for _, count in self.blocks)

    @cached_property
    def _parameters(self) -> Quantity:
        stacks = [
            stacked_parameters(count=count, block_parameters=block.parameters()).named(f"{block.name}s")
            for block, count in self.blocks
        ]
        return total(
            "parameters", "N", *(p.parameters() for p in self.front), *stacks, *(p.parameters() for p in self.back)
        )

    def parameters(self) -> Quantity:
        """All trainable parameters, as the model is built: front, layers, back. Buffers are not counted."""
        return self._parameters

    @cached_property
    def _components(self) -> dict[str, Quantity]:
        found: dict[str, list[Quantity]] = {}
        for part in (*self.front, *self.back):
            found.setdefault(part.component, []).append(part.parameters())
        for block, count in self.blocks:
            for part in block.parts:
                repeated = repeated_parameters(count=count, parameters=part.parameters())
                found.setdefault(part.component, []).append(repeated.named(f"{block.name}_{part.id}"))
        return {
            component: total(component, rf"N_\text{{{component.replace('_', ' ')}}}", *parts)
            for component, parts in found.items()
        }

    def components(self) -> dict[str, Quantity]:
        """The same parameters by component (embedding, attention, …), over all layers. They add up to `parameters`."""
        return self._components

    def non_embedding_parameters(self) -> Quantity:
        """Parameters without token and position embeddings and without an untied head (Kaplan et al.'s N)."""
        tables = [q for component, q in self._components.items() if component in ("embedding", "positions", "head")]
        return non_embedding_parameters(
            parameters=self._parameters, embedding_parameters=total("embedding_tables", r"N_\text{emb}", *tables)
        )
