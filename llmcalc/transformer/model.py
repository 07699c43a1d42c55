"""A model: parts in front, blocks of parts each repeated so many times, parts at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from llmcalc.cached import cached_property
from llmcalc.quantity import Quantity, formula, total
from llmcalc.sources import FEDUS_2021, GU_2023, KAPLAN_2020, PYTORCH, SHAZEER_2019, VASWANI_2017
from llmcalc.transformer.cache import prompt_elements
from llmcalc.transformer.code import Code
from llmcalc.transformer.part import (
    TOKEN_TABLE,
    Caching,
    Matrix,
    Mixing,
    Part,
    Share,
    Sparse,
    active_parameters,
    caching,
    fixed_parameters,
    matrices,
    mixers,
    mixtures,
    norms,
    of_rank,
    pruned,
    reused_parameters,
    states,
)
from llmcalc.units import exact

_TABLES = ("embedding", "positions", "head")


@formula(r"n \cdot N_\text{layer}", "parameters", VASWANI_2017.at("sec. 3.1"))
def stacked_parameters(*, count, block_parameters):
    """Identical layers stacked: so many times the parameters of one."""
    return count * block_parameters


@formula(r"n \cdot N", "parameters", VASWANI_2017.at("sec. 3.1"))
def repeated_parameters(*, count, parameters):
    """One component over all layers that have it: so many times the parameters of one."""
    return count * parameters


@formula(r"n \cdot E", "elements", SHAZEER_2019.at("sec. 2.4.1"))
def repeated_elements(*, count, cache_elements):
    """The cache of all layers alike: so many times that of one."""
    return count * cache_elements


@formula(r"n \cdot E_\text{state}", "elements", GU_2023.at("sec. 3.4"))
def repeated_state(*, count, state_elements):
    """The states of all layers alike: so many times those of one."""
    return count * state_elements


@formula("N_{-\\text{emb}}", "parameters", KAPLAN_2020.at("sec. 2.1, table 1"))
def non_embedding_parameters(*, parameters, embedding_parameters):
    """All parameters but the token and position embeddings (and a head of its own): Kaplan's N."""
    return parameters - embedding_parameters


@formula("N_{-\\text{emb, active}}", "parameters", FEDUS_2021.at("sec. 2.1"))
def active_non_embedding_parameters(*, parameters, embedding_parameters):
    """The same of the parameters that one token goes through: what a token's matrix products read."""
    return parameters - embedding_parameters


@formula(r"N_\text{trainable}", "parameters", PYTORCH.at("torch.nn.Parameter: requires_grad"))
def trainable_parameters(*, parameters, fixed_parameters):
    """All parameters but those that the model's code sets itself: biases that balance experts, tables of sinusoids."""
    return parameters - fixed_parameters


@dataclass(frozen=True)
class Block:
    """One layer: its parts, in the order in which they run. ``name`` tells kinds of layers apart in one model."""

    parts: tuple[Part, ...]
    name: str = "block"

    @property
    def attends_to_source(self) -> bool:
        """Whether it attends to what the layers of an encoder made of a source, too."""
        return any(part.id == "cross_attention" for part in self.parts)

    @property
    def borrows(self) -> bool:
        """Whether it attends to keys and values of an earlier layer."""
        return any(getattr(part, "borrows", False) for part in self.parts)

    @property
    def sees_picked(self) -> bool:
        """Whether it attends to tokens that the indexer of an earlier layer picked."""
        picks = any(getattr(part, "selected", None) is not None for part in self.parts)
        return picks and all(part.id != "indexer" for part in self.parts)

    def parameters(self) -> Quantity:
        """Parameters of one layer, by part."""
        return total(self.name, r"N_\text{layer}", *(part.parameters() for part in self.parts))

    def active_parameters(self) -> Quantity:
        """Parameters of one layer that one token goes through: experts not chosen are left out."""
        return total(self.name, r"N_\text{layer}", *(active_parameters(part) for part in self.parts))

    def parts_of(self, component: str) -> tuple[Part, ...]:
        """The parts that belong to one component: both norms, say."""
        return tuple(part for part in self.parts if part.component == component)

    def pruned(self, share: float) -> Block:
        """The layer with ``share`` of its heads and inner channels. A norm over all heads of the queries or keys is as
        wide as they are; one over a single head stays."""
        left = {part: pruned(part, share) for part in self.parts}
        mixer = next(iter(mixers(self.parts)), None)
        if mixer is not None:
            width_after = dict(zip(mixer.normed_widths, mixer.pruned(share).normed_widths, strict=True))
            for norm in norms(self.parts_of("qk_norm")):
                left[norm] = norm.over(width_after.get(norm.width, norm.width))
        return replace(self, parts=tuple(left[part] for part in self.parts))

    def of_rank(self, share: Share) -> Block:
        """The layer as one of several ranks has it."""
        return replace(self, parts=tuple(of_rank(part, share) for part in self.parts))

    def caches(self) -> tuple[Caching, ...]:
        """The parts that keep something of each token: attention to the past, and to an encoder's output."""
        return tuple(part for part in caching(self.parts) if part.sees != "all")


class Angles(NamedTuple):
    """A table of cosines and sines: a row for each of so many positions, ``channels`` of a head that are rotated.
    ``sections``: each position is one of three kinds (time, height, width)."""

    positions: int
    channels: int
    sections: bool = False


@dataclass(frozen=True, repr=False)
class Model:
    """A Transformer as a list of parts.

    ``front`` (embeddings), then ``blocks`` as (block, how many), then ``back`` (final norm, head). Parts of one block,
    and of front and back together, have different ids, and blocks have different names. ``order`` names the block of
    every layer from first to last where kinds alternate; empty means that they run in the order of ``blocks``.
    ``code`` says how an implementation runs them, which decides what a training step keeps; None where
    that is not known. ``beside`` is what a token of text does not go through: towers, projectors, layers that predict
    further tokens. ``unconverted`` are the components that a quantised file of it leaves in 16 bits ("attention.3": of
    that layer, "attention/output": that matrix of them), ``converted`` those that it has in another format than the
    rest, with it. ``context`` is how many tokens it was made for, None where that is not said, ``angles`` the distinct
    tables of its rotary positions. ``predicts_ahead``: layers that predict further tokens are published with it.
    """

    front: tuple[Part, ...]
    blocks: tuple[tuple[Block, int], ...]
    back: tuple[Part, ...]
    order: tuple[str, ...] = ()
    code: Code | None = None
    beside: tuple[Part, ...] = ()
    unconverted: frozenset[str] = frozenset()
    converted: frozenset[tuple[str, str]] = frozenset()
    context: int | None = None
    angles: tuple[Angles, ...] = ()
    predicts_ahead: bool = False

    def of_rank(self, share: Share) -> Model:
        """The model as one of several ranks of tensor parallelism has it."""
        front, back, beside = (
            tuple(of_rank(part, share) for part in parts) for parts in (self.front, self.back, self.beside)
        )
        blocks = tuple((block.of_rank(share), count) for block, count in self.blocks)
        return replace(self, front=front, blocks=blocks, back=back, beside=beside)

    def stage(self, first: int, last: int, *, begins: bool, ends: bool) -> Model:
        """Layers ``first`` to ``last`` (left out) alone: with what is in front where it ``begins``, with what is behind
        where it ``ends``, the table too that a head is tied to."""
        held = self.layers()[first:last]
        counts = {block.name: sum(1 for other in held if other is block) for block in held}
        blocks = tuple((block, counts[block.name]) for block, _ in self.blocks if block.name in counts)
        of_head = tuple(part for part in self.front if ends and self.tied and matrices(part))
        front = self.front if begins else of_head
        order = tuple(block.name for block in held)
        back = self.back if ends else ()
        return replace(self, front=front, blocks=blocks, back=back, order=order, beside=self.beside if begins else ())

    def __repr__(self) -> str:
        blocks = " + ".join(f"{count} × {block.name}" for block, count in self.blocks)
        return f"<Model of {blocks}, {exact(self.parameters().value)} parameters>"

    def _repr_markdown_(self) -> str:
        from llmcalc import notebook

        return notebook.model(self)

    @property
    def width(self) -> int:
        """Channels of the stream that goes through the layers; an embedding may be narrower (OPT-350m, ALBERT)."""
        in_layers = (part for block, _ in self.blocks for part in block.parts)
        widths = (getattr(part, "d_model", None) for part in (*in_layers, *reversed(self.front)))
        return next(width for width in widths if width is not None)

    @cached_property
    def token_table(self) -> Matrix | None:
        """The table of token vectors; None where there is none."""
        tables = (matrix for part in self.front for matrix in matrices(part))
        return next((table for table in tables if table.role == TOKEN_TABLE), None)

    @property
    def vocab_size(self) -> int:
        """Entries of its vocabulary, 0 where it has none."""
        return self.token_table.rows if self.token_table else 0

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding table: there may still be a bias of its own."""
        return not any(part.component == "head" and getattr(part, "matrix", True) for part in self.back)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Every part of the language model, those of a kind of layer once: front, layers, back."""
        return (*self.front, *(part for block, _ in self.blocks for part in block.parts), *self.back)

    @cached_property
    def mixers(self) -> tuple[Mixing, ...]:
        """All parts in which tokens meet, one of each kind of layer."""
        return mixers(self.parts)

    @cached_property
    def mixtures(self) -> tuple[Sparse, ...]:
        """Its mixtures of experts, one of each kind of layer."""
        return mixtures(self.parts)

    @property
    def is_pair(self) -> bool:
        """Whether a decoder attends to what an encoder made of a source."""
        return any(block.attends_to_source for block, _ in self.blocks)

    @cached_property
    def longest_sequence(self) -> int | None:
        """The longest that its tables of learned positions have rows for; None without one."""
        ends = (getattr(part, "longest_sequence", None) for part in self.front)
        return min((end for end in ends if end is not None), default=None)

    @property
    def hears(self) -> bool:
        """Whether its first layers are given sounds, which convolutions shorten, and not tokens alone."""
        return any(hasattr(part, "kernel") for part in self.front)

    @property
    def chunk_sizes(self) -> list[int]:
        """How many tokens its layers with a state take at once, where the code of a part says so."""
        return sorted({part.chunk_size for part in self.parts if hasattr(part, "chunk_size")})

    @property
    def n_layers(self) -> int:
        """Number of layers of all kinds."""
        return sum(count for _, count in self.blocks)

    def layers(self) -> tuple[Block, ...]:
        """Every layer's block, from first to last: parameters by layer are ``[b.parameters() for b in layers()]``."""
        if not self.order:
            return tuple(block for block, count in self.blocks for _ in range(count))
        by_name = {block.name: block for block, _ in self.blocks}
        return tuple(by_name[name] for name in self.order)

    @cached_property
    def _parameters(self) -> Quantity:
        return self._total("parameters", "N", lambda part: part.parameters(), Block.parameters)

    def parameters(self) -> Quantity:
        """All parameters, as the model is built: front, layers, back, and what is beside. Buffers are not counted."""
        return self._parameters

    def trainable_parameters(self) -> Quantity:
        """The parameters that a gradient reaches: all, but in the few models whose code sets some itself."""
        fixed = [q.named(part.id) for part in self._outside for q in fixed_parameters(part)]
        fixed += [
            repeated_parameters(count=count, parameters=q).named(f"{block.name}_{part.id}")
            for block, count in self.blocks
            for part in block.parts
            for q in fixed_parameters(part)
        ]
        if not fixed:
            return self._parameters
        return trainable_parameters(
            parameters=self._parameters,
            fixed_parameters=total("fixed_parameters", r"N_\text{fixed}", *fixed),
        )

    @cached_property
    def _active(self) -> Quantity:
        return self.language._total("active_parameters", r"N_\text{active}", active_parameters, Block.active_parameters)

    def active_parameters(self) -> Quantity:
        """Parameters that one token of text goes through: all but experts not chosen, and what is beside.

        The convention counts embedding tables, head, router and shared experts whole. A dense model's are all active.
        """
        return self._active

    def _total(
        self, id: str, symbol: str, of_part: Callable[[Part], Quantity], of_block: Callable[[Block], Quantity]
    ) -> Quantity:
        stacks = [
            stacked_parameters(count=count, block_parameters=of_block(block)).named(f"{block.name}s")
            for block, count in self.blocks
        ]
        return total(id, symbol, *map(of_part, self.front), *stacks, *map(of_part, (*self.back, *self.beside)))

    @cached_property
    def language(self) -> Model:
        """The language model alone."""
        return replace(self, beside=()) if self.beside else self

    @property
    def _outside(self) -> tuple[Part, ...]:
        """The parts that are in no layer of the language model."""
        return (*self.front, *self.back, *self.beside)

    @cached_property
    def _components(self) -> dict[str, Quantity]:
        return self._by_component(lambda part: part.parameters())

    def _by_component(self, of_part: Callable[[Part], Quantity]) -> dict[str, Quantity]:
        found: dict[str, list[Quantity]] = {}
        for part in self._outside:
            found.setdefault(part.component, []).append(of_part(part))
        for block, count in self.blocks:
            for part in block.parts:
                repeated = repeated_parameters(count=count, parameters=of_part(part))
                found.setdefault(part.component, []).append(repeated.named(f"{block.name}_{part.id}"))
        return {
            component: total(component, rf"N_\text{{{component.replace('_', ' ')}}}", *parts)
            for component, parts in found.items()
        }

    def components(self) -> dict[str, Quantity]:
        """The same parameters by component (embedding, attention, …), over all layers. They add up to `parameters`."""
        return self._components

    def multiplied_components(self) -> dict[str, Quantity]:
        """The parameters that one token of text goes through, without embeddings and an untied head, by component."""
        active = self.language._by_component(active_parameters)
        return {component: q for component, q in active.items() if component not in _TABLES}

    def embedding_parameters(self) -> Quantity:
        """Token and position tables, and an untied head."""
        tables = [q for component, q in self._components.items() if component in _TABLES]
        return total("embedding_tables", r"N_\text{emb}", *tables)

    def non_embedding_parameters(self) -> Quantity:
        """Parameters of the language model without token and position embeddings and without an untied head (Kaplan et
        al.'s N)."""
        return non_embedding_parameters(
            parameters=self.language._parameters, embedding_parameters=self.embedding_parameters()
        )

    def active_non_embedding_parameters(self) -> Quantity:
        """The same of the active parameters: N in "2N FLOPs a token" for a mixture of experts."""
        return active_non_embedding_parameters(
            parameters=self._active, embedding_parameters=self.embedding_parameters()
        )

    def kv_elements_per_token(self) -> Quantity:
        """Numbers cached for one more token, over all layers, while no window is full. An encoder's are 0."""
        return self._cached("kv_elements_per_token", lambda part: part.kv_elements_per_token(), ("past",))

    def kv_cache_elements(self, *, seq_len: Any, source_len: Any = None) -> Quantity:
        """Numbers cached by all layers for one sequence of ``seq_len`` tokens while it is decoded, windows respected.

        Cross-attention keeps ``source_len`` tokens of the encoder (``seq_len`` where that is not given).
        """
        lengths = {"past": seq_len, "source": seq_len if source_len is None else source_len}
        return self._cached(
            "kv_cache_elements", lambda part: part.kv_cache_elements(seq_len=lengths[part.sees]), ("past", "source")
        )

    def prompt_cache_elements(self, *, seq_len: Any) -> Quantity:
        """Numbers that transformers' cache holds when a prompt of ``seq_len`` tokens was read in one pass and no token
        has been decoded yet: layers with a window still hold all of it."""

        def held(part: Caching) -> Quantity:
            if part.sees == "past" and part.cache_window is not None:
                return prompt_elements(seq_len=seq_len, kv_elements=part.kv_elements_per_token())
            return part.kv_cache_elements(seq_len=seq_len)

        return self._cached("prompt_cache_elements", held, ("past", "source"))

    def state_elements(self, *, fp32: bool | None = None) -> Quantity:
        """Numbers that all layers keep of one sequence however long it is: recurrent states and windows of
        convolutions. ``fp32``: only those that the code keeps in fp32, or only the others."""
        kept = [
            repeated_state(count=count, state_elements=state.elements).named(f"{block.name}_{part.id}_{state.kind}")
            for block, count in self.blocks
            for part in block.parts
            for state in states(part)
            if fp32 is None or state.fp32 is fp32
        ]
        if not kept:
            return Quantity("state_elements", 0, "elements", r"E_\text{state}", meaning="No layer keeps a state.")
        return total("state_elements", r"E_\text{state}", *kept)

    @property
    def keeps_states(self) -> bool:
        """Whether any layer keeps a state."""
        return any(states(part) for part in self.parts)

    def reused_parameters(self) -> Quantity | None:
        """Weights that a token goes through once more, in layers that run those of others; None where none are."""
        again = [
            repeated_parameters(count=count, parameters=q).named(f"{block.name}_{part.id}")
            for block, count in self.blocks
            for part in block.parts
            for q in reused_parameters(part)
        ]
        return total("reused_parameters", r"N_\text{again}", *again) if again else None

    def _cached(self, id: str, of_part: Callable[[Caching], Quantity], seen: tuple[str, ...]) -> Quantity:
        parts = [
            repeated_elements(count=count, cache_elements=of_part(part)).named(f"{block.name}_{part.id}_cache")
            for block, count in self.blocks
            for part in block.caches()
            if part.sees in seen
        ]
        if not parts:
            return Quantity(id, 0, "elements", r"E_\text{kv}", meaning="Nothing is kept for each token.")
        return total(id, r"E_\text{kv}", *parts)
