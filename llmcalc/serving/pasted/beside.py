"""What was printed beside what is predicted for the same settings, and why the two differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from llmcalc.cached import cached_property
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, formula, given_quantity, total
from llmcalc.serving.job import CUSTOM, OF_LLAMA_CPP, Serving
from llmcalc.serving.pasted.figures import Figure
from llmcalc.serving.pasted.pasted import Pasted
from llmcalc.serving.serve import serve
from llmcalc.serving.served import Served
from llmcalc.sources import VIM
from llmcalc.transformer.model import Model

_OF_POOL = ("gpu_blocks", "kv_tokens", "max_concurrency", "longest_context")
_FOLLOWS = 0.005  # of what a pool holds: what is printed of it is rounded
_NEAR = 0.02  # weights further off than this are others


@formula(r"\Delta", "", VIM.at("2.16, measurement error: a value minus the reference value"))
def printed_difference(*, predicted_value, printed_value):
    """What is predicted less what was printed."""
    return predicted_value - printed_value


@formula(r"\Delta", "", VIM.at("2.16, measurement error: a value minus the reference value"))
def taken_difference(*, predicted_value, printed_value):
    """What was printed less what is predicted: what is taken beyond that leaves less."""
    return printed_value - predicted_value


@dataclass(frozen=True, kw_only=True)
class Row:
    """A printed figure, and what is predicted: None where nothing of the kind is.

    ``of_printed``: the same predicted from the pool that was printed, not from settings alone. ``parts``: differences
    of what the figure is made of, which add up to its own. ``why``: a word for the reason (`reasons_printed` in
    ``words/``).
    """

    figure: Figure
    predicted: Quantity | None
    why: str
    of_printed: Quantity | None = None
    parts: tuple[Quantity, ...] = ()

    @cached_property
    def difference(self) -> Quantity | None:
        """What is predicted less what was printed."""
        return _difference(self.predicted, self.figure) if self.predicted else None

    @property
    def error(self) -> float | None:
        """The same as a share of what was printed."""
        return _off(self.predicted, self.figure)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """All that was printed beside what is predicted for ``job``. ``refused``: printed settings that cannot be; the
    job has the reader's own in their place."""

    pasted: Pasted
    job: Serving
    served: Served
    rows: tuple[Row, ...]
    refused: tuple[InputError, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """Fields of the job that were printed, and that it has so."""
        refused = {error.input_id for error in self.refused}
        named = ("engine",) * bool(self.pasted.engine) + ("device",) * bool(self.pasted.device)
        return tuple(name for name in (*named, *self.pasted.settings) if name not in refused)

    @property
    def assumed(self) -> tuple[str, ...]:
        """Fields of the job that bear on memory and that nothing printed says."""
        paged = ("tensor_parallel", "memory_utilization", "max_sequences", "batched_tokens")
        of_engine = ("micro_batch", "parallel_sequences", "flash_attention") if self.of_llama else paged
        wanted = ("context", "weights", "kv_cache", "engine_version", *of_engine)
        device = () if self.job.device == CUSTOM else ("device",)
        return tuple(name for name in (*device, *wanted) if name not in self.told)

    @property
    def of_llama(self) -> bool:
        """Whether it is llama.cpp, or what is built on it."""
        return self.job.engine in OF_LLAMA_CPP


def beside(pasted: Pasted, model: Model, start: Serving) -> Compared:
    """What was printed beside what is predicted for this model, started so; of ``start`` is what was not printed.

    Raises InputError where the engine would refuse the job, with its reason.
    """
    job, refused = pasted.job(start)
    served = serve(model, job)
    if job.engine == "sglang" and (free := pasted.figures.get("free_before")):
        # it says what is free, not what the device has
        job = replace(
            job, device=pasted.device or CUSTOM, device_memory=round(free.value + float(served.outside.value))
        )
        served = serve(model, job)
    rows = tuple(_rows(pasted, model, served))
    return Compared(pasted=pasted, job=job, served=served, rows=rows, refused=refused)


def _rows(pasted: Pasted, model: Model, served: Served) -> Iterator[Row]:
    of_pool = _of_printed_pool(pasted, model, served)
    for id, figure in pasted.figures.items():
        predict = _PREDICTED.get(id)
        predicted = predict(served, model) if predict else None
        if predicted is None:
            yield Row(figure=figure, predicted=None, why="not_predicted")
            continue
        from_pool = predict(of_pool, model) if predict and of_pool and id in _OF_POOL else None
        parts = tuple(_parts(pasted, served, model, figure)) if id == "kv_available" else ()
        agrees = _agrees(predicted, figure, _slack(pasted, served, id))
        why = "agrees" if agrees else _why(figure, predicted, from_pool, parts, served.job)
        yield Row(figure=figure, predicted=predicted, why=why, of_printed=from_pool, parts=parts)


def _of_printed_pool(pasted: Pasted, model: Model, served: Served) -> Served | None:
    """The same with the pool that was printed instead of one that follows from the device."""
    printed = pasted.figures.get("kv_available") or pasted.figures.get("pool")
    if printed is None or printed.value < 1 or served.job.engine in OF_LLAMA_CPP:
        return None
    return serve(model, replace(served.job, kv_cache_memory=int(printed.value)))


def _used(served: Served, model: Model) -> Quantity:
    """All that the process takes of the device, whatever of its pool is filled."""
    if served.job.engine in (*OF_LLAMA_CPP, "transformers"):
        return served.needed
    taken = (served.weights, served.activation_peak, served.outside, served.kv_cache)
    return total("used", r"M_\text{used}", *taken)


def _part(whole: Quantity, id: str) -> Quantity | None:
    return next((part for part in whole.parts if part.id == id), None)


def _graphs(served: Served, model: Model) -> Quantity | None:
    """CUDA graphs, where the build counts them."""
    return _part(served.outside, "cuda_graphs")


def _outside(served: Served, model: Model) -> Quantity:
    """What is outside of PyTorch, without them."""
    return _part(served.outside, "outside_memory") or served.outside


def _device_weights(served: Served, model: Model) -> Quantity | None:
    return _part(served.needed, "device_weights")


def _blocks(served: Served, model: Model) -> Quantity | None:
    return served.kv_cache.inputs.get("n_blocks")


def _request(served: Served, model: Model) -> Quantity | None:
    """The cache of one request of the longest length: of those that the job was asked for, each its share."""
    one = serve(model, replace(served.job, concurrency=1))
    return next((part for part in one.needed.parts if part.id in ("requests_memory", "tokens_memory")), None)


def _device(served: Served, model: Model) -> Quantity:
    return given_quantity("device_bytes", replace(served.job, device_memory=None).memory)


_PREDICTED: Mapping[str, Callable[[Served, Model], Quantity | None]] = {
    "weights": lambda served, model: served.weights,
    "stored_weights": lambda served, model: served.weights,
    "device_weights": _device_weights,
    "parameters": lambda served, model: model.parameters(),
    "activation_peak": lambda served, model: served.activation_peak,
    "outside": _outside,
    "cuda_graphs": _graphs,
    "limit": lambda served, model: served.limit,
    "kv_available": lambda served, model: served.kv_available,
    "kv_cache": lambda served, model: served.kv_cache,
    "device_cache": lambda served, model: _part(served.needed, "kv_cache"),
    "pool": lambda served, model: served.kv_cache,
    "gpu_blocks": _blocks,
    "kv_tokens": lambda served, model: served.kv_tokens,
    "max_concurrency": lambda served, model: served.max_concurrency,
    "longest_context": lambda served, model: served.longest_context,
    "request_cache": _request,
    "states": lambda served, model: served.states if served.states.value else None,
    "compute_buffer": lambda served, model: served.compute_buffer,
    "needed": lambda served, model: served.needed,
    "device_memory": lambda served, model: _device(served, model) if served.job.device != CUSTOM else None,
    "used": _used,
    "in_process": _used,
}


def _parts(pasted: Pasted, served: Served, model: Model, pool: Figure) -> Iterator[Quantity]:
    """Differences of the budget and of what it is spent on, and what is left of the pool's own."""
    found = []
    for id, predicted, counted in (
        ("limit", served.limit, printed_difference),
        ("weights", served.weights, taken_difference),
        ("activation_peak", served.activation_peak, taken_difference),
        ("outside", _outside(served, model), taken_difference),
        ("cuda_graphs", _graphs(served, model), taken_difference),
    ):
        figure = pasted.figures.get(id)
        if served.job.engine == "vllm" and figure and predicted is not None:
            values = {"predicted_value": predicted, "printed_value": _printed(figure)}
            found.append(replace(counted(**values), id=f"{id}_difference", unit="bytes"))
    if not found:
        return
    rest = float(served.kv_available.value) - pool.value - sum(part.value for part in found)
    meaning = "What was printed of none of these, and rounding."
    yield from found
    yield Quantity("rest_difference", rest, "bytes", r"\Delta_\text{rest}", meaning=meaning)


def _printed(figure: Figure) -> Quantity:
    return Quantity("printed_value", figure.value, figure.unit, r"x_\text{printed}", meaning="As it was printed.")


def _difference(predicted: Quantity, figure: Figure) -> Quantity:
    return replace(printed_difference(predicted_value=predicted, printed_value=_printed(figure)), unit=figure.unit)


def _off(predicted: Quantity | None, figure: Figure) -> float | None:
    if predicted is None or not figure.value:
        return None
    return float(predicted.value) / figure.value - 1


def _slack(pasted: Pasted, served: Served, id: str) -> float:
    """What the rounding of the device's own memory leaves open of the share that an engine takes."""
    total = pasted.figures.get("device_memory")
    return total.rounding * (served.job.memory_utilization or 1.0) if total and id == "limit" else 0.0


def _agrees(predicted: Quantity, figure: Figure, slack: float) -> bool:
    """Whether it is what was printed, to the last digit."""
    off = (figure.rounding or 0.5) + slack  # counts are printed whole; a half may be rounded either way
    return math.isclose(float(predicted.value), figure.value, rel_tol=1e-9, abs_tol=off * (1 + 1e-6))


def _why(
    figure: Figure, predicted: Quantity, from_pool: Quantity | None, parts: tuple[Quantity, ...], job: Serving
) -> str:
    """The word for what a difference comes from."""
    id, off = figure.id, abs(_off(predicted, figure) or 0.0)
    if id in ("weights", "stored_weights"):
        if off > _NEAR:
            return "other_weights"
        return {"sglang": "free_memory", "vllm": "allocator"}.get(job.engine, "file")
    if id == "kv_available":
        return "of_parts" if parts else "of_device"
    if id in _OF_POOL:
        follows = from_pool is not None and abs(_off(from_pool, figure) or 0.0) <= _FOLLOWS
        return "of_pool" if follows else "of_blocks"
    return _WHY[id]


_WHY: Mapping[str, str] = {
    "device_weights": "split",
    "parameters": "beside_language",
    "activation_peak": "sampler",
    "outside": "driver",
    "cuda_graphs": "graphs",
    "limit": "of_device",
    "kv_cache": "cells",
    "device_cache": "cells",
    "pool": "of_device",
    "request_cache": "of_blocks",
    "states": "cells",
    "compute_buffer": "build",
    "needed": "engine_estimate",
    "device_memory": "card",
    "used": "process",
    "in_process": "process",
}
