"""Whether what a process needs is there: on the device that needs most, everything that the process takes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.catalog.accelerators import Accelerator
from llmcalc.quantity import Quantity, given_quantity
from llmcalc.step.overhead import Overhead


@dataclass(frozen=True, eq=False)
class Verdict:
    """``allocated``: bytes of tensors, at the most, on the device that needs most of ``devices`` alike.

    ``overhead`` is what the process takes beside them.
    """

    allocated: Quantity
    device: Accelerator
    overhead: Overhead
    devices: int = 1

    @cached_property
    def reserved(self) -> Quantity:
        """What PyTorch's allocator holds of the device, in bytes."""
        return self.overhead.reserved(self.allocated)

    @cached_property
    def needed(self) -> Quantity:
        """What the process takes of the device: tensors at the peak, allocator, workspaces, context; in bytes."""
        return self.overhead.process(self.allocated)

    @cached_property
    def available(self) -> Quantity:
        """What the device has, in bytes."""
        return given_quantity("device_bytes", self.device.memory)

    @cached_property
    def for_tensors(self) -> Quantity:
        """What the process leaves of it for tensors: a peak within that fits, any other does not."""
        return self.overhead.budget(self.device.memory)

    @property
    def fits(self) -> bool:
        """Whether the device has what is needed."""
        return fits(self.needed.value, self.device)

    @property
    def left(self) -> float:
        """Bytes that are not needed; less than nothing where it does not fit."""
        return float(self.available.value - self.needed.value)


def needed_for(allocated: Any, overhead: Overhead) -> Any:
    """What a process needs for ``allocated`` bytes of tensors: a number, or an array in a sweep."""
    return overhead.process(given_quantity("allocated_bytes", allocated)).value


def fits(needed: float, device: Accelerator) -> bool:
    """Whether a device has so many bytes."""
    return bool(needed <= device.memory)
