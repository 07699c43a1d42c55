"""What a budget buys at best by a law."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.errors import InputError
from llmcalc.quantity import Quantity
from llmcalc.scaling import formulas as of


@dataclass(frozen=True)
class Optimum:
    """The parameters and the tokens that are best for a budget, and the loss that they give.

    ``known_loss`` is None for a law that says how to spend a budget and not what comes of it. ``epochs``: where tokens
    are repeated, how many times the training goes through them. ``active_parameters``: of a mixture of experts.
    """

    compute: Quantity
    parameters: Quantity
    tokens: Quantity
    known_loss: Quantity | None = None
    epochs: Quantity | None = None
    active_parameters: Quantity | None = None

    @property
    def loss(self) -> Quantity:
        """The loss of such a model.

        Raises InputError where the law has none.
        """
        if self.known_loss is None:
            raise InputError("law", "this law says how to spend a budget, not what loss comes of it")
        return self.known_loss

    @property
    def tokens_per_parameter(self) -> Quantity:
        """How many tokens there are for each parameter."""
        found: Quantity = of.tokens_per_parameter(tokens=self.tokens, parameters=self.parameters)
        return found
