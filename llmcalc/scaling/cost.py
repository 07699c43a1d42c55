"""What a run of training takes: operations, time, device-hours, energy, emissions, and money at the reader's price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.accelerators import ACCELERATORS, SHORT_NAMES, Accelerator
from llmcalc.catalog.grids import GRID_SOURCE, GRIDS, WORLD
from llmcalc.devices.passes import ATTENTION, LOGITS, WEIGHTS, work_of_step
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, given_quantity, total
from llmcalc.rates import costs
from llmcalc.rates.flops import component_flops, palm_flops_of, work_of_passes
from llmcalc.rates.times import compute_time
from llmcalc.scaling.formulas import training_flops
from llmcalc.step.run import TrainingRun
from llmcalc.symbols import SYMBOLS
from llmcalc.transformer.model import Model

_FORMATS = ("bf16", "fp16", "fp32", "fp8", "fp4")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How a model is trained, and on what.

    ``tokens`` in sequences of ``seq_len``, on so many ``devices`` of the catalogue. ``utilization`` is the share of
    their dense peak that all operations reach, those of ``recompute`` included (``recompute`` as in `TrainingRun`);
    ``format`` is what is multiplied in: bf16, or fp16 on devices that know no bf16. ``price_per_device_hour`` is the
    reader's, in any currency; ``power_usage_effectiveness`` what the building takes for each joule of the devices;
    ``watts`` those of a device where they are not its data sheet's. ``grid`` is the country whose electricity it is, by
    its ISO 3166 code, "WOR" for the world's average.

    ``tokens``, ``devices``, ``utilization`` and the price may be arrays that go together. Raises InputError, naming the
    field, for what cannot be.
    """

    tokens: Any
    seq_len: Any = 2048
    device: str = "H100 SXM"
    devices: Any = 1
    utilization: Any = 0.4
    recompute: str = "none"
    price_per_device_hour: Any = None
    power_usage_effectiveness: Any = 1.2
    grid: str = WORLD
    format: str = "bf16"
    watts: Any = None

    def __post_init__(self) -> None:
        for name, known in (("device", (*ACCELERATORS, *SHORT_NAMES)), ("grid", GRIDS), ("format", _FORMATS)):
            if vars(self)[name] not in known:
                options = tuple(known)
                raise InputError(name, f"unknown {name} {vars(self)[name]!r}; known: {', '.join(options)}", options)
        least = {"tokens": 1, "seq_len": 1, "devices": 1, "power_usage_effectiveness": 1}
        for name, low in least.items():
            if not np.all(np.asarray(vars(self)[name]) >= low):
                raise InputError(name, f"{name} must be at least {low}")
        share = np.asarray(self.utilization)
        if not np.all((share > 0) & (share <= 1)):
            raise InputError("utilization", "utilization is a share of the peak, above 0 and at most 1")
        for name in ("price_per_device_hour", "watts"):
            if vars(self)[name] is not None and not np.all(np.asarray(vars(self)[name]) >= 0):
                raise InputError(name, f"{name} must not be below 0")
        self.peak_flops  # noqa: B018
        self.run  # noqa: B018

    @property
    def accelerator(self) -> Accelerator:
        """The device's row of the catalogue."""
        return ACCELERATORS[SHORT_NAMES.get(self.device, self.device)]

    @property
    def peak_flops(self) -> float:
        """The dense rate of products on one device, in FLOP/s.

        Raises InputError where it is not known.
        """
        found = self.accelerator.peak_flops(self.format)
        if found is None and self.format == "bf16":
            found = self.accelerator.fp16_flops
        if found is None:
            known = tuple(row.id for row in ACCELERATORS.values() if row.peak_flops(self.format))
            raise InputError("device", f"no rate of {self.format} products is known of {self.device}", known)
        return found

    @property
    def run(self) -> TrainingRun:
        """A step of it, as far as it decides how many operations there are."""
        return TrainingRun(batch_size=1, seq_len=self.seq_len, recompute=self.recompute)


@dataclass(frozen=True)
class TrainingCost:
    """What it takes to train ``model`` so. Every figure is a quantity with its working."""

    model: Model
    budget: Budget

    @cached_property
    def _work(self) -> Mapping[str, Quantity]:
        work = work_of_step(self.model, self.budget.run)
        if work is None:
            raise InputError("model", "operations are counted of decoders: here a token does not go through all layers")
        return work

    @cached_property
    def token_flops(self) -> Quantity:
        """Operations for a token in all passes, recomputation included."""
        parts = [q.named(f"passes_{id}") for id, q in self._work.items()]
        return total("token_flops", r"C_\text{token}", *parts)

    @cached_property
    def components(self) -> dict[str, Quantity]:
        """The same by component: what is multiplied, "scores" of attention, "logits"."""
        forward = component_flops(self.model, seq_len=self.budget.seq_len)
        assert forward is not None
        passes = {id: q.inputs["passes"].value for id, q in self._work.items()}
        of = {"scores": ATTENTION, "logits": LOGITS}
        return {
            component: work_of_passes(flops=q, passes=passes[of.get(component, WEIGHTS)]).named(component)
            for component, q in forward.items()
        }

    @cached_property
    def flops(self) -> Quantity:
        """All operations of the run, recomputation included."""
        return _whole(self.token_flops, self.budget.tokens).named("hardware_flops", r"C_\text{hardware}")

    @cached_property
    def model_flops(self) -> Quantity:
        """Those that the model asks for: forward once, backward twice."""
        plain = work_of_step(self.model, TrainingRun(batch_size=1, seq_len=self.budget.seq_len))
        assert plain is not None
        parts = [q.named(f"passes_{id}") for id, q in plain.items()]
        each = total("token_flops", r"C_\text{token}", *parts)
        return _whole(each, self.budget.tokens).named("model_flops", r"C_\text{model}")

    @cached_property
    def six_nd(self) -> Quantity:
        """The rule of thumb: six operations for each active parameter and token."""
        found: Quantity = training_flops(parameters=self.model.active_parameters(), tokens=self.budget.tokens)
        return found

    @cached_property
    def palm(self) -> Quantity:
        """PaLM's convention: 6N and attention to the whole context, as if nothing were hidden."""
        return _whole(palm_flops_of(self.model, seq_len=self.budget.seq_len), self.budget.tokens)

    @cached_property
    def time(self) -> Quantity:
        """How long it takes, in s."""
        found: Quantity = compute_time(
            flops=self.token_flops,
            tokens=self.budget.tokens,
            devices=self.budget.devices,
            peak_flops=self.budget.peak_flops,
            utilization=np.multiply(self.budget.utilization, 100),
        )
        return found

    @cached_property
    def device_hours(self) -> Quantity:
        """Hours of all devices together."""
        found: Quantity = costs.device_hours(devices=self.budget.devices, seconds=self.time)
        return found

    @cached_property
    def energy(self) -> Quantity | None:
        """Electricity in J; None where the device's power is not known."""
        watts = self.budget.accelerator.watts if self.budget.watts is None else self.budget.watts
        if watts is None:
            return None
        building = {"power_usage_effectiveness": self.budget.power_usage_effectiveness}
        found: Quantity = costs.training_energy(devices=self.budget.devices, seconds=self.time, watts=watts, **building)
        return found

    @cached_property
    def carbon(self) -> Quantity | None:
        """Emissions in kg of CO2 equivalent; None where the energy is not known."""
        if self.energy is None:
            return None
        symbol = SYMBOLS["grid_intensity"]
        intensity = Quantity(
            "grid_intensity", GRIDS[self.budget.grid], symbol.unit, symbol.tex, GRID_SOURCE, meaning=self.budget.grid
        )
        found: Quantity = costs.training_carbon(energy=self.energy, grid_intensity=intensity)
        return found

    @cached_property
    def money(self) -> Quantity | None:
        """What it costs at the reader's price, in the reader's currency; None without one."""
        if self.budget.price_per_device_hour is None:
            return None
        found: Quantity = costs.training_money(device_hours=self.device_hours, price=self.budget.price_per_device_hour)
        return found

    @cached_property
    def hardware_flops_utilization(self) -> Quantity:
        """The share of the peak that all operations take."""
        return self._share(self.flops).named("hardware_flops_utilization", r"\text{HFU}")

    @cached_property
    def model_flops_utilization(self) -> Quantity:
        """The share of the peak that the model's own operations take."""
        return self._share(self.model_flops).named("model_flops_utilization", r"\text{MFU}")

    def _share(self, flops: Quantity) -> Quantity:
        rates = {"devices": self.budget.devices, "peak_flops": given_quantity("peak_flops", self.budget.peak_flops)}
        found: Quantity = costs.flops_utilization(flops=flops, seconds=self.time, **rates)
        return found


def _whole(token_flops: Quantity, tokens: Any) -> Quantity:
    found: Quantity = costs.run_flops(token_flops=token_flops, tokens=tokens)
    return found


def training_cost(model: Model, budget: Budget) -> TrainingCost:
    """What it takes to train a model so.

    Raises InputError for a model whose operations are not counted, an encoder.

    >>> import llmcalc
    >>> model = llmcalc.Dimensions().model()
    >>> cost = llmcalc.training_cost(model, llmcalc.Budget(tokens=10**10, devices=8))
    >>> round(cost.device_hours.value, 1)
    6.0
    """
    found = TrainingCost(model, budget)
    found.token_flops  # noqa: B018
    return found
