"""A device as speed needs to know it: bandwidths, rates, power. Fields may be arrays, for many devices at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from llmcalc.catalog.accelerators import Accelerator

# Which formats of weights are multiplied in fewer than 16 bits, by devices that can; the others are unpacked first
_IN_FP8 = ("fp8", "fp8 rows", "fp8 128×128", "MXFP8", "MXFP6")
_IN_FP4 = ("NVFP4", "MXFP4 linear")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """``bandwidth`` of the memory and ``link`` to other devices, one direction, in bytes/s; ``product_flops`` is the
    rate of products with weights, ``score_flops`` that of 16 bits, in FLOP/s. Rate, link and watts are None where they
    are not known."""

    bandwidth: Any
    product_flops: Any = None
    score_flops: Any = None
    link: Any = None
    watts: Any = None

    @property
    def known(self) -> Machine:
        """The same, with rates that are not known not infinite, but not a number."""
        if not isinstance(self.product_flops, np.ndarray):
            return self
        rates = {name: np.where(np.isinf(vars(self)[name]), np.nan, vars(self)[name]) for name in _RATES}
        return replace(self, **rates)


_RATES = ("product_flops", "score_flops")


def machine_of(device: Accelerator, weight_format: str) -> Machine:
    """A device of the catalogue that multiplies weights of such a format."""
    sixteen = device.bf16_flops or device.fp16_flops
    rate = sixteen
    if weight_format in _IN_FP8:
        rate = device.fp8_flops or sixteen
    elif weight_format in _IN_FP4:
        rate = device.fp4_flops or sixteen
    return Machine(
        bandwidth=device.bandwidth, product_flops=rate, score_flops=sixteen, link=device.link, watts=device.watts
    )


def sixteen_bits(device: Accelerator) -> str:
    """The format of 16 bits that the device multiplies in: "bf16", or "fp16" where it has none; "" where its rates are
    not known."""
    return "bf16" if device.bf16_flops else "fp16" if device.fp16_flops else ""


def computed_in(device: Accelerator, weight_format: str) -> str:
    """The format that weights are brought into to be multiplied where the device cannot multiply them as they are
    stored: "bf16", or "fp16" where it has no bf16 either; "" where it can, or where its rates are not known."""
    sixteen = sixteen_bits(device)
    rates = {**dict.fromkeys(_IN_FP8, device.fp8_flops), **dict.fromkeys(_IN_FP4, device.fp4_flops)}
    rates["bf16"] = device.bf16_flops
    return sixteen if rates.get(weight_format, 1) is None else ""


def machines_of(devices: Iterable[Accelerator], weight_format: str) -> Machine:
    """Several devices as one whose fields are arrays. There an unknown rate or link is infinite, which adds no time to
    a step, and unknown watts are not a number."""
    found = [machine_of(device, weight_format) for device in devices]
    columns = {f.name: np.array([vars(one)[f.name] for one in found], dtype=float) for f in fields(Machine)}
    unknown = {name: np.nan if name == "watts" else np.inf for name in columns}
    return Machine(**{name: np.where(np.isnan(a), unknown[name], a) for name, a in columns.items()})
