"""What every part of a Transformer can say of itself."""

from __future__ import annotations

from typing import Protocol

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
