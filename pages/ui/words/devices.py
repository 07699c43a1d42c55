"""What is told of a device's memory: what its driver reports, and where that was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llmcalc.catalog.accelerators import ACCELERATORS, Accelerator
from llmcalc.sources import Citation
from llmcalc.units import GB
from llmcalc.words import w
from pages.ui.words.numbers import exact, human
from pages.ui.words.working import citation


def beside_tensors(device: Accelerator, with_cuda: str, elsewhere: str, **told: Any) -> str:
    """What is said of the memory that a process takes beside its tensors: one of two keys, as it is CUDA's or not."""
    return w(with_cuda if device.has_cuda else elsewhere, **told)


def process_name(device: Accelerator) -> str:
    """What the memory of a whole process is called."""
    return beside_tensors(device, "overhead.process", "overhead.process_elsewhere")


def printed_size(device: Accelerator) -> str:
    """A device's memory as its maker prints it: 80 GB."""
    return f"{exact(device.nominal_memory // GB)} GB"


def memory_told(device: Accelerator, cite: Callable[[Citation], str] = citation) -> str:
    """How much memory a program finds on a device and who says so, as markdown."""
    told = {"device": device.id, "memory": human(device.memory, "bytes"), "printed": printed_size(device)}
    if not device.memory_source:
        return w("reported.nominal", **told)
    ends = [human(end.memory, "bytes") for end in (device.readings[0], device.readings[-1])]
    source = cite(device.memory_source)
    if ends[0] == ends[1]:
        return w("reported.memory", source=source, **told)
    return w("reported.spread", source=source, least=ends[0], most=ends[1], **told)


def memory_cell(memory: int, devices: Sequence[str]) -> str:
    """The memory of a group of devices as tables have it, and whether it is nominal."""
    read = all(ACCELERATORS[id].memory_source for id in devices)
    return human(memory, "bytes") + ("" if read else f" ({w('reported.unread')})")
