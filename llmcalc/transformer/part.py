"""What every part of a Transformer can say of itself.

Nobody else knows what kind a part is: what depends on that is asked of it. A part answers the questions of `Part`, and
of those protocols below that fit it; for the others a function of the same name says what holds for parts without an
answer (`matrices`: it has none).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from llmcalc.quantity import Quantity

# The roles of the two matrices that are as long as the vocabulary
TOKEN_TABLE, HEAD_TABLE = "embedding", "head"


@dataclass(frozen=True)
class Matrix:
    """Weights in rows: what a token's vector is multiplied with, or looked up in.

    ``role`` is "query", "down" …, the same in every kind of part, ``width`` how many numbers a row has, as many as the
    product reads. ``experts`` is how many experts have one each, of which a router chooses; 0: it is no expert's.
    """

    role: str
    width: int
    parameters: Quantity
    experts: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers there are, of all experts together."""
        return max(1, self.experts) * int(self.parameters.value)

    @property
    def rows(self) -> int:
        """How many rows they stand in."""
        return self.numbers // self.width

    def of_experts(self, number: int) -> Matrix:
        """The same matrix, of which each of so many experts has one."""
        return replace(self, experts=number)


class Part(Protocol):
    """One module of a model: an embedding, an attention, a feed-forward network, a norm, a head.

    ``component`` groups parts under one name and one colour; ``id`` tells parts of one block apart.
    """

    @property
    def id(self) -> str: ...

    @property
    def component(self) -> str: ...

    def parameters(self) -> Quantity:
        """Trainable parameters, a `total` over the part's own weights and biases."""
        ...


@runtime_checkable
class Sparse(Part, Protocol):
    """A part of which a token uses only some: the experts of a mixture."""

    def active_parameters(self) -> Quantity:
        """The parameters that one token goes through."""
        ...


class Fixed(Part, Protocol):
    """A part that may keep parameters which do not train: the model's code sets them, and no gradient reaches them."""

    def fixed_parameters(self) -> tuple[Quantity, ...]:
        """Those of its parameters."""
        ...


@runtime_checkable
class Multiplying(Part, Protocol):
    """A part with `Matrix`es: formats for linear layers quantise them, and pruning zeroes them."""

    def matrices(self) -> tuple[Matrix, ...]:
        """Its matrices; norms, biases and learned numbers of another use are none."""
        ...


@runtime_checkable
class Caching(Part, Protocol):
    """A part that can keep something for every token it has seen, so that generation need not compute it again.

    ``sees`` is "past" (a decoder's own tokens: the cache grows with them), "all" (an encoder: nothing is kept) or
    "source" (cross-attention: one entry for each token of the encoder). ``cache_window`` bounds how many are kept.
    """

    @property
    def sees(self) -> str: ...

    @property
    def cache_window(self) -> int | None: ...

    def kv_elements_per_token(self) -> Quantity:
        """Numbers kept for one token in one layer."""
        ...

    def kv_cache_elements(self, *, seq_len: Any) -> Quantity:
        """Numbers kept once ``seq_len`` tokens have been seen, never more than the window holds."""
        ...


@runtime_checkable
class Attending(Part, Protocol):
    """A part in which a token looks at others: work that grows with the sequence, over and above its weights.

    ``sees`` is as in `Caching`.
    """

    @property
    def sees(self) -> str: ...

    def attention_flops(self, *, seq_len: Any) -> Quantity:
        """Operations for one token in one layer, averaged over a sequence of ``seq_len`` in which it sees the past."""
        ...


def active_parameters(part: Part) -> Quantity:
    """The parameters of ``part`` that one token goes through: all, but for the experts not chosen."""
    return part.active_parameters() if isinstance(part, Sparse) else part.parameters()


def fixed_parameters(part: Part) -> tuple[Quantity, ...]:
    """Those of its parameters that do not train."""
    return part.fixed_parameters() if isinstance(part, Fixed) else ()


def matrices(part: Part) -> tuple[Matrix, ...]:
    """Those of its weights that are a matrix."""
    return part.matrices() if isinstance(part, Multiplying) else ()
