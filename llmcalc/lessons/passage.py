"""Why a pass through the layers takes time: weights are read once for all tokens, and each token is multiplied."""

from __future__ import annotations

from dataclasses import dataclass

from llmcalc.cached import cached_property
from llmcalc.catalog.accelerators import ACCELERATORS, Accelerator
from llmcalc.configuration import Configuration
from llmcalc.lessons.formulas import turning_tokens
from llmcalc.quantity import Quantity
from llmcalc.rates.flops import forward_flops, weight_flops
from llmcalc.serving.speed.formulas import product_seconds, reading_seconds
from llmcalc.serving.speed.machine import Machine, machine_of

_WITH_A_RATE = ACCELERATORS["H100 SXM"]


@dataclass(frozen=True)
class Passage:
    """The tokens of ``config``'s batch on their way through all layers of its model at once, forward, on one device.

    All of its weights are read, also those of experts that no token goes to; caches are left out.
    """

    config: Configuration

    @cached_property
    def device(self) -> Accelerator:
        """The one that is set; another where its maker does not say how fast it multiplies."""
        device = self.config.accelerator
        return _WITH_A_RATE if machine_of(device, self._format).product_flops is None else device

    @property
    def tokens(self) -> int:
        """How many go through at once."""
        return int(self.config.run.batch_size * self.config.run.seq_len)

    @cached_property
    def operations(self) -> Quantity:
        """For one token, in FLOP; of an encoder those of its weights."""
        model = self.config.model
        forward = forward_flops(model, seq_len=self.config.run.seq_len)
        return forward or weight_flops(parameters=model.active_parameters())

    @cached_property
    def reading(self) -> Quantity:
        """Seconds of reading, however many tokens there are."""
        found: Quantity = reading_seconds(read_bytes=self._weights, bandwidth=self._machine.bandwidth)
        return found

    @cached_property
    def arithmetic(self) -> Quantity:
        """Seconds of arithmetic for all tokens."""
        return self.arithmetic_of(self.tokens)

    @cached_property
    def turning(self) -> Quantity:
        """How many tokens at once take as long to multiply as the weights to read."""
        found: Quantity = turning_tokens(
            model_bytes=self._weights,
            bandwidth=self._machine.bandwidth,
            token_flops=self.operations,
            peak_flops=self._machine.product_flops,
        )
        return found

    def arithmetic_of(self, tokens: int) -> Quantity:
        """Seconds of arithmetic for so many tokens."""
        found: Quantity = product_seconds(
            pass_tokens=tokens,
            token_flops=self.operations,
            tensor_parallel=1,
            peak_flops=self._machine.product_flops,
        )
        return found

    @property
    def _format(self) -> str:
        return str(self.config.values["weight_format"])

    @property
    def _machine(self) -> Machine:
        return machine_of(self.device, self._format)

    @property
    def _weights(self) -> Quantity:
        return self.config.inference.inputs["weights"]
