"""A job of an engine, as speed understands it."""

from __future__ import annotations

from typing import Any

from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.serving.job import Serving
from llmcalc.serving.speed.machine import machine_of
from llmcalc.serving.speed.speed import Load, Speed, Split, speed
from llmcalc.transformer.model import Model


def speed_of(model: Model, job: Serving, *, seats: Any = None, concurrency: Any = None) -> Speed | None:
    """How fast a job is, all of which is on its devices; None where the device is not of the catalogue.

    ``job`` has an engine, a device, a format of weights, formats of keys and values, counts of devices, and requests.
    ``concurrency``: so many users instead, which may be an array. ``seats``: how many of the users the engine serves
    at a time, all replicas together; None: as many as it is told to.
    """
    device = ACCELERATORS.get(job.device)
    if device is None:
        return None
    keys, values = job.cache_formats
    return speed(
        model,
        machine=machine_of(device, job.weight_format),
        split=Split(
            tensor_parallel=job.tensor_parallel,
            pipeline_parallel=job.pipeline_parallel,
            data_parallel=job.data_parallel,
        ),
        load=Load(
            input_tokens=job.input_tokens,
            output_tokens=job.output_tokens,
            concurrency=job.concurrency if concurrency is None else concurrency,
            seats=job.seats if seats is None else seats,
            step_room=job.step_room,
        ),
        weight_format=job.weight_format,
        cache_bytes=(keys.bits + values.bits) / 16,
        engine=job.engine,
    )
