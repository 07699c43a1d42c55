"""What serving takes: the numbers that an engine prints when it starts, each with its working."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmcalc.cached import cached_property
from llmcalc.catalog.accelerators import ACCELERATORS, Accelerator
from llmcalc.quantity import Quantity, total
from llmcalc.serving.job import Serving
from llmcalc.serving.speed import Speed
from llmcalc.sources import KWON_2023


@dataclass(frozen=True, eq=False, kw_only=True)
class Served:
    """A `Serving` of a model on the device that needs most; bytes, tokens, requests.

    ``weights``: as the engine prints them. ``activation_peak``: what a step takes beside weights and cache.
    ``outside``: what PyTorch does not know of, context and buffers of messages. ``kv_bytes_per_token``: of cache on one
    device, as the engine counts. ``kv_available``: what is left for the cache; less than nothing where it does not fit.
    ``kv_cache``: what is allocated for it at the start. ``compute_buffer``: llama.cpp's. ``kv_tokens`` and
    ``max_concurrency``: tokens, and requests of ``context`` tokens, that the cache holds. ``longest_context``: of one
    request alone, tried by what ``holds``. ``needed``: all that ``concurrency`` requests of ``context`` tokens take,
    ``limit`` what the engine may take of the device. ``states``: of recurrent layers, where they are kept apart from
    the cache.

    ``speed``: how fast it is (`llmcalc.serving.speed`); None for a device that is not of the catalogue, and where
    layers, experts or the cache are left on the host.
    """

    job: Serving
    weights: Quantity
    activation_peak: Quantity
    outside: Quantity
    kv_bytes_per_token: Quantity
    kv_available: Quantity
    kv_cache: Quantity
    compute_buffer: Quantity
    kv_tokens: Quantity
    max_concurrency: Quantity
    holds: Callable[[int], bool]
    most_tokens: int
    needed: Quantity
    limit: Quantity
    states: Quantity
    speed: Speed | None = None

    @cached_property
    def longest_context(self) -> Quantity:
        """The longest request that fits alone, found by trying; no longer than the model was made for."""
        meaning = "The longest request that fits alone, found by trying; no longer than the model was made for."
        tokens = largest(self.holds, self.most_tokens)
        source = KWON_2023.at("sec. 4.1, KV blocks")
        return Quantity("longest_context", tokens, "tokens", r"S_\text{longest}", source, meaning=meaning)

    @property
    def allocated(self) -> Quantity:
        """The same without what PyTorch does not know of."""
        return total("allocated", r"M_\text{allocated}", *(q for q in self.needed.parts if q.id != self.outside.id))

    @property
    def device(self) -> Accelerator:
        """What it is served on."""
        return ACCELERATORS[self.job.device]

    @property
    def devices(self) -> int:
        """How many of them serve."""
        return self.job.devices

    @property
    def available(self) -> Quantity:
        """What the engine may take of the device."""
        return self.limit

    @property
    def left(self) -> float:
        """Bytes that are not needed; less than nothing where it does not fit."""
        return float(self.limit.value - self.needed.value)

    @property
    def share(self) -> float:
        """What part of a device the engine may take."""
        return float(self.limit.value / self.job.memory)

    @property
    def fits(self) -> bool:
        """Whether the engine starts and holds the requests."""
        return bool(self.needed.value <= self.limit.value)

    @property
    def time_to_first_token(self) -> Quantity | None:
        """Of the median request, in seconds: mostly queueing."""
        return self.speed.time_to_first_token if self.speed else None

    @property
    def time_between_tokens(self) -> Quantity | None:
        """Of the median request, in seconds."""
        return self.speed.time_between_tokens if self.speed else None

    @property
    def tokens_per_second(self) -> Quantity | None:
        """Tokens written for all users together."""
        return self.speed.tokens_per_second if self.speed else None

    @property
    def energy_per_token(self) -> Quantity | None:
        """Of the devices at their rated power, in joules."""
        return self.speed.energy_per_token if self.speed else None


def nothing(id: str, symbol: str, unit: str = "bytes") -> Quantity:
    """A term that is not there."""
    return Quantity(id, 0, unit, symbol, meaning="There is none.")


def largest(holds: Callable[[int], bool], most: int) -> int:
    """The largest whole number up to ``most`` that ``holds``, which no larger one does where it does not; 0: none."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
