"""A budget read backwards: from money, or hours of devices, to operations, and to the best model that they train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, formula, given_quantity
from llmcalc.rates.costs import bought_flops
from llmcalc.scaling.cost import Budget
from llmcalc.scaling.laws import DEFAULT_LAW, LAWS, Law
from llmcalc.scaling.optimum import Optimum
from llmcalc.sources import PATTERSON_2021


@formula(r"t_\text{devices}", "h", PATTERSON_2021.at("sec. 2, eq. 2, at a price of an hour"))
def hours_for_money(*, money, price):
    """How many hours of a device so much money pays at the price of an hour."""
    return money / price


@dataclass(frozen=True, kw_only=True)
class Bought:
    """What ``device_hours`` of a device do, and the best model that they train by ``law``: the way back from
    `training_cost`, in a budget's words."""

    device_hours: Quantity
    budget: Budget
    law: Law

    @cached_property
    def compute(self) -> Quantity:
        """Operations that are done in these hours."""
        rate = given_quantity("peak_flops", self.budget.peak_flops)
        share = {"utilization": np.multiply(self.budget.utilization, 100), "peak_flops": rate}
        found: Quantity = bought_flops(devices=1, seconds=np.multiply(self.device_hours.value, 3600), **share)
        return found

    @cached_property
    def best(self) -> Optimum:
        """The best split of them."""
        return self.law.optimal(compute=self.compute)

    @property
    def parameters(self) -> Quantity:
        """Of the best model."""
        return self.best.parameters

    @property
    def tokens(self) -> Quantity:
        """That it is trained on."""
        return self.best.tokens

    @property
    def loss(self) -> Quantity | None:
        """That it reaches, where the law says one."""
        return self.best.loss


def best_bought(
    *,
    money: Any = None,
    device_hours: Any = None,
    price_per_device_hour: Any = None,
    law: str = DEFAULT_LAW,
    device: str = "H100 SXM",
    utilization: Any = 0.4,
    format: str = "bf16",
) -> Bought:
    """The best model for so much ``money`` at the reader's price of an hour, or for so many ``device_hours``.

    Raises InputError, naming the field, for an unknown law, money without a price, and neither or both of them.

    >>> import llmcalc
    >>> found = llmcalc.best_bought(money=1_000_000, price_per_device_hour=2.0)
    >>> f"{found.compute.value:.3g} FLOP, {found.parameters.value:.3g} parameters, {found.tokens.value:.3g} tokens"
    '7.12e+23 FLOP, 8.05e+10 parameters, 1.47e+12 tokens'
    """
    if law not in LAWS:
        raise InputError("law", f"unknown law {law!r}; known: {', '.join(LAWS)}", tuple(LAWS))
    if (money is None) == (device_hours is None):
        raise InputError("money", "either money or device_hours")
    if money is None:
        hours = given_quantity("device_hours", device_hours)
    elif price_per_device_hour is None or not np.all(np.asarray(price_per_device_hour) > 0):
        raise InputError("price_per_device_hour", "money buys hours at a price of an hour, above 0")
    else:
        hours = hours_for_money(money=money, price=price_per_device_hour)
    if not np.all(np.asarray(hours.value) > 0):
        raise InputError("money" if device_hours is None else "device_hours", "a budget is above 0")
    asked = Budget(tokens=1, device=device, utilization=utilization, format=format)
    return Bought(device_hours=hours, budget=asked, law=LAWS[law])
