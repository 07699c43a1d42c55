"""What every part of a Transformer can say of itself."""

from __future__ import annotations

from typing import Any, Protocol, cast, runtime_checkable

from llmcalc.quantity import Quantity


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
    return cast(Fixed, part).fixed_parameters() if hasattr(part, "fixed_parameters") else ()
