"""What programs print of memory: each figure's unit, and which of several printed ones counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from llmcalc.units import GiB, KiB, MiB, TiB

Together = Literal["most", "least", "sum"]
# vLLM, SGLang and PyTorch divide by 2³⁰ whether they write GB or GiB; so do ollama and nvidia-smi, which write GiB, MiB
_UNITS = {
    "bytes": 1,
    "B": 1,
    "KB": KiB,
    "KiB": KiB,
    "MB": MiB,
    "MiB": MiB,
    "GB": GiB,
    "GiB": GiB,
    "TB": TiB,
    "TiB": TiB,
}
_COUNTS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
LARGEST = 2.0**60
_WRITTEN = re.compile(r"-?\d+(?:\.(\d*))? ?([A-Za-z]*)")
UNSIGNED = r"\d[\d.]{0,19}(?:,\d{1,4})? ?(?:[KMGT]i?B|bytes|B)(?!\w)"
SIZE = f"-?{UNSIGNED}"
COUNT = r"(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,19})"
SHARE = r"\d[\d.]{0,9}"


@dataclass(frozen=True)
class Kind:
    """A figure's unit, and which counts of those of several devices: of what is taken the most, of what is left the
    least; parts of one whole add up. ``in_pieces``: what is printed of one device, line by line, adds up first."""

    unit: str
    together: Together
    in_pieces: bool = False


FIGURES: Mapping[str, Kind] = {
    # of the engine
    "weights": Kind("bytes", "most"),
    "activation_peak": Kind("bytes", "most"),
    "outside": Kind("bytes", "most"),
    "cuda_graphs": Kind("bytes", "most"),
    "limit": Kind("bytes", "least"),
    "kv_available": Kind("bytes", "least"),
    "kv_cache": Kind("bytes", "sum"),
    "pool": Kind("bytes", "sum"),
    "gpu_blocks": Kind("", "least"),
    "kv_tokens": Kind("tokens", "least"),
    "max_concurrency": Kind("", "least"),
    "longest_context": Kind("tokens", "least"),
    "request_cache": Kind("bytes", "most"),
    "device_weights": Kind("bytes", "most"),
    "stored_weights": Kind("bytes", "sum"),
    "host_weights": Kind("bytes", "sum"),
    "device_cache": Kind("bytes", "most", in_pieces=True),
    "host_cache": Kind("bytes", "sum"),
    "states": Kind("bytes", "sum"),
    "device_states": Kind("bytes", "most"),
    "host_states": Kind("bytes", "sum"),
    "compute_buffer": Kind("bytes", "most"),
    "host_buffer": Kind("bytes", "most"),
    "output_buffer": Kind("bytes", "most"),
    "needed": Kind("bytes", "most"),
    "parameters": Kind("parameters", "most"),
    # of the device, and of all that is on it
    "device_memory": Kind("bytes", "least"),
    "used": Kind("bytes", "most"),
    "in_process": Kind("bytes", "most"),
    "free_before": Kind("bytes", "least"),
    "free_after": Kind("bytes", "least"),
    # of PyTorch, as it ran out
    "allocated": Kind("bytes", "most"),
    "reserved": Kind("bytes", "most"),
    "reserved_unused": Kind("bytes", "most"),
    "tried": Kind("bytes", "most"),
    "free": Kind("bytes", "least"),
}


@dataclass(frozen=True)
class Figure:
    """A printed figure in the base unit. ``rounding`` is half of its last digit, ``printed`` how it was written,
    ``line`` where it stands, the first line being 1."""

    id: str
    value: float
    rounding: float
    printed: str
    line: int

    @property
    def unit(self) -> str:
        """The base unit."""
        return FIGURES[self.id].unit

    @property
    def written(self) -> tuple[int, int, str]:
        """How it was written: base units of one, digits behind its decimal mark, and the unit; of a sum its first."""
        found = _WRITTEN.match(self.printed.replace(",", "." if self.unit == "bytes" else ""))
        decimals, unit = (len(found[1] or ""), found[2]) if found else (0, "")
        factors = _UNITS if self.unit == "bytes" else _COUNTS
        return factors.get(unit, 1), decimals, unit


def figure(id: str, printed: str, line: int) -> Figure | None:
    """The figure that is written so; None for what is no number, or no size that anything could have."""
    if FIGURES[id].unit == "bytes":
        printed = printed.replace(",", ".")  # a decimal mark, in languages that have it
    found = re.fullmatch(r"(-?)(\d[\d,]*)(?:\.(\d*))? ?([A-Za-z]*)", printed, re.ASCII)
    if not found:
        return None
    sign, whole, decimals, unit = found[1], found[2].replace(",", ""), found[3] or "", found[4]
    factors: Mapping[str, int] = _UNITS if FIGURES[id].unit == "bytes" else _COUNTS
    if unit and unit not in factors:
        return None
    factor = factors[unit] if unit else 1
    value = float(f"{sign}{whole}.{decimals or 0}") * factor
    if abs(value) > LARGEST:
        return None
    rounding = 0.5 * 10.0 ** -len(decimals) * factor if decimals or unit else 0.0
    return Figure(id, int(value) if rounding == 0 else value, rounding, printed, line)


def later(first: Figure | None, second: Figure) -> Figure:
    """Of two figures of one thing that which is printed to more digits; of those alike what counts of several devices,
    and of the parts of a whole the later."""
    together = FIGURES[second.id].together
    if first is None or second.rounding < first.rounding / 2:
        return second
    if first.rounding < second.rounding / 2:
        return first
    if together == "sum":
        return second
    return max(first, second, key=lambda f: f.value if together == "most" else -f.value)


def added(first: Figure, second: Figure) -> Figure:
    """Two parts of one whole."""
    printed = f"{first.printed} + {second.printed}"
    return replace(first, value=first.value + second.value, rounding=first.rounding + second.rounding, printed=printed)
