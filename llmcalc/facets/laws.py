"""Scaling laws on the model that is counted: where it stands by the chosen one, what is bought, what training costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.errors import InputError
from llmcalc.facets.devices import Devices
from llmcalc.quantity import Quantity
from llmcalc.rates.costs import bought_flops
from llmcalc.rates.flops import forward_flops
from llmcalc.scaling.cost import Budget, TrainingCost, training_cost
from llmcalc.scaling.forms import Repeating
from llmcalc.scaling.formulas import training_flops
from llmcalc.scaling.laws import LAWS, Law
from llmcalc.scaling.optimum import Optimum
from llmcalc.transformer.model import Model

DAY = 86_400


@dataclass(frozen=True)
class Laws:
    """The model, trained on as many tokens as the reader says."""

    values: Mapping[str, Any]
    devices: Devices

    @property
    def model(self) -> Model:
        """The model that is counted."""
        return self.devices.training.model

    @property
    def law(self) -> Law:
        """The law that the reader chose."""
        return LAWS[self.values["law"]]

    @property
    def tokens(self) -> int:
        """The tokens of training."""
        return int(self.values["train_tokens"] * 10**9)

    @cached_property
    def is_of_decoder(self) -> bool:
        """Whether a token goes through all layers of the model: of such models the laws are, and operations counted."""
        return forward_flops(self.model, seq_len=self.values["seq_len"]) is not None

    @cached_property
    def parameters(self) -> Quantity:
        """What the law counts as the model's parameters."""
        return self.law.parameters_of(self.model)

    @cached_property
    def compute(self) -> Quantity:
        """The budget that these parameters and tokens take: 6ND."""
        found: Quantity = training_flops(parameters=self.parameters, tokens=self.tokens)
        return found

    @cached_property
    def loss(self) -> Quantity:
        """The loss of the model by the law."""
        return self.law.loss(parameters=self.parameters, tokens=self.tokens)

    @cached_property
    def best(self) -> Optimum:
        """The best use of the same budget."""
        return self.law.optimal(compute=self.compute)

    @cached_property
    def served(self) -> Optimum | None:
        """The model of the same loss that is cheapest to train and then to serve as many tokens as the reader says;
        None where none are served, or the law has no such thing."""
        if not self.values["served_tokens"] or "cheapest" not in self.law.answers:
            return None
        try:
            return self.law.cheapest(loss=self.loss.value, served_tokens=self.values["served_tokens"] * 10**9)
        except InputError:  # the law has no serving, or the loss is below its floor
            return None

    @property
    def epochs(self) -> float:
        """How many times the tokens go by, where only so many of them differ."""
        unique = self.values["unique_tokens"]
        return 1.0 if unique is None else max(1.0, self.values["train_tokens"] / unique)

    @cached_property
    def repeated(self) -> tuple[Quantity, Quantity] | None:
        """What the tokens are worth in tokens that differ, and the loss that is reached, where they are repeated, by
        Muennighoff et al.; None where they are not."""
        if self.epochs == 1:
            return None
        law, unique = LAWS["muennighoff_2023"], self.values["unique_tokens"] * 10**9
        form = law.form
        assert isinstance(form, Repeating)
        worth = form.effective_tokens(tokens=self.tokens, unique_tokens=unique)
        sizes = {"parameters": law.parameters_of(self.model), "tokens": self.tokens}
        return worth, law.loss(**sizes, unique_tokens=unique)

    @cached_property
    def bought(self) -> Quantity | None:
        """What the devices do in the days that the reader has; None where their rate is not known."""
        device = self.devices.accelerator
        rate = device.bf16_flops or device.fp16_flops
        if rate is None:
            return None
        share = {"utilization": self.values["utilization"], "seconds": self.values["train_days"] * DAY}
        found: Quantity = bought_flops(devices=self.devices.n_devices, peak_flops=rate, **share)
        return found

    def cost_with(self, **changes: Any) -> TrainingCost | None:
        """What the training takes, with some fields of the budget set; None where it is not known."""
        values = self.values
        asked: dict[str, Any] = {
            "tokens": self.tokens,
            "seq_len": values["seq_len"],
            "device": self.devices.accelerator.id,
            "devices": self.devices.n_devices,
            "utilization": values["utilization"] / 100,
            "recompute": values["recompute"],
            "price_per_device_hour": values["price_per_hour"],
            "power_usage_effectiveness": values["power_usage"],
            "grid": values["grid"],
        }
        try:
            return training_cost(self.model, Budget(**asked | changes))
        except InputError:
            return None

    @cached_property
    def cost(self) -> TrainingCost | None:
        """The same as it is."""
        return self.cost_with()
