"""Every device × how many × format of weights: whether the model fits, for how many, how fast, and at what price.

Memory is worked out once for each class of devices and each number of them, for all their memories and all formats at
once; speed once for each format.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.formats import GGUF_MIXTURES, WEIGHT_FORMATS
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity
from llmcalc.serving.job import OF_LLAMA_CPP, Serving, check, check_groups, runs_on
from llmcalc.serving.paged import Paged, habits, served_of
from llmcalc.serving.ranks import ranks
from llmcalc.serving.serve import reserved
from llmcalc.serving.speed import Load, Split, machines_of, speed
from llmcalc.serving.speed import formulas as of
from llmcalc.serving.weights import weights_line
from llmcalc.stored.weights import grouped_by
from llmcalc.transformer.model import Model

if TYPE_CHECKING:
    import pandas as pd

COUNTS = (1, 2, 4, 8)
_PLAIN = ("fp32", "bf16")
_OF_TRANSFORMERS = ("fp32", "bf16", "int8", "NF4")
COLUMNS = (
    *("device", "devices", "format", "tensor_parallel", "pipeline_parallel", "fits", "needed", "free", "users"),
    *("time_between_tokens", "tokens_per_second", "energy_per_token", "price"),
)


def formats_of(engine: str) -> tuple[str, ...]:
    """The formats of weights that are looked at for an engine: llama.cpp's files for what is built on it, all others
    else but MLX's."""
    files = tuple(id for id, format in WEIGHT_FORMATS.items() if format.stored == "gguf")
    if engine in OF_LLAMA_CPP:
        return (*_PLAIN, *files, *GGUF_MIXTURES)
    if engine == "transformers":
        return _OF_TRANSFORMERS
    return tuple(id for id, format in WEIGHT_FORMATS.items() if format.stored not in ("gguf", "tables"))


def offers(
    model: Model,
    job: Serving,
    *,
    devices: Sequence[str] = tuple(ACCELERATORS),
    counts: Iterable[int] = COUNTS,
    formats: Sequence[str] = (),
    price_per_hour: float | None = None,
) -> pd.DataFrame:
    """What a job is on all devices, so many of them, in all formats; those that the engine refuses are left out.

    ``free`` is what the requests leave of what the engine may take, ``users`` how many requests of the job's context
    are held at once; bytes on the device that needs most. Times, rates and the ``price`` of a million tokens are for
    the job's own users, and not a number where these do not fit, or where nothing is known of the device; nor is the
    price without one of an hour.
    """
    import pandas as pd

    formats = formats or formats_of(job.engine)
    devices = [id for id in devices if runs_on(job.engine, id)]
    frames = []
    for split in (split for n in counts if devices and (split := _shared_out(model, job, n)) is not None):
        needed, limit, users = _held(model, split, formats, devices)
        shape = needed.shape
        frames.append({
            "device": np.broadcast_to(np.array(devices, dtype=object), shape),
            "devices": np.full(shape, split.devices),
            "format": np.broadcast_to(np.array(formats, dtype=object)[:, None], shape),
            "tensor_parallel": np.full(shape, split.tensor_parallel),
            "pipeline_parallel": np.full(shape, split.pipeline_parallel),
            "needed": needed,
            "limit": limit,
            "users": users,
        })  # fmt: skip
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS))
    columns = {name: np.stack([frame[name] for frame in frames], axis=1) for name in frames[0]}
    speeds = _fast(model, job, formats, devices, columns["tensor_parallel"][0], columns["pipeline_parallel"][0])
    table = pd.DataFrame({name: values.reshape(-1) for name, values in (columns | speeds).items()})
    table = table[table["needed"].notna()].reset_index(drop=True)
    table["fits"] = table["needed"] <= table["limit"]
    table["free"] = table["limit"] - table["needed"]
    rate, count = table["tokens_per_second"].to_numpy(), table["devices"].to_numpy()
    hourly = np.nan if price_per_hour is None else price_per_hour
    table["price"] = of.million_token_price(price_per_hour=hourly, devices=count, token_rate=rate).value
    table.loc[~table["fits"], [*_OF_SPEED, "price"]] = np.nan
    return table[list(COLUMNS)]


_OF_SPEED = ("time_between_tokens", "tokens_per_second", "energy_per_token")


def _shared_out(model: Model, job: Serving, n: int) -> Serving | None:
    """The job on ``n`` devices: each layer shared out among them where the engine does that, else whole layers; None
    where neither can be."""
    if job.engine == "transformers" and n > 1:
        return None
    for tensor, stages in ((n, 1), (1, n)):
        tried = replace(job, tensor_parallel=tensor, pipeline_parallel=stages, data_parallel=1, expert_parallel=1)
        try:
            check(model, tried)
        except InputError:
            continue
        return tried
    return None


# Memory


def _held(
    model: Model, job: Serving, formats: Sequence[str], devices: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is needed, what the engine may take, and how many requests are held: a row a format, a column a device. Not
    a number where the engine refuses."""
    if job.engine in OF_LLAMA_CPP or job.engine == "transformers":
        return _one_by_one(model, job, formats, devices)
    taken = [format for format in formats if _is_taken(model, job, format)]
    needed, limit, users = (np.full((len(formats), len(devices)), np.nan) for _ in range(3))
    if not taken:
        return needed, limit, users
    rows = [formats.index(format) for format in taken]
    for columns in _classes(model, job, devices):
        memory = np.array([[ACCELERATORS[devices[at]].memory for at in columns]], float)
        representative = replace(job, device=devices[columns[0]])
        stages = [
            served_of(
                Paged(model, rank, representative, i, memory, _loaded(rank, tuple(taken), habits(job).angle_bytes))
            )
            for i, rank in enumerate(ranks(model, replace(job, weights="bf16")))
        ]
        shape, at = (len(taken), len(columns)), np.ix_(rows, columns)
        of_stages = [
            np.stack([np.broadcast_to(q.value, shape) for q in (stage.needed, stage.limit, stage.max_concurrency)])
            for stage in stages
        ]
        needed[at], limit[at], users[at] = _of_worst(np.stack(of_stages))
    return needed, limit, users


def _of_worst(of_stages: np.ndarray) -> np.ndarray:
    """Of the stage that holds fewest requests, or of those the one that needs most: needed, limit and users."""
    needed, users = of_stages[:, 0], of_stages[:, 2]
    worst = np.where(users == users.min(axis=0), needed, -np.inf).argmax(axis=0)
    return np.take_along_axis(of_stages, worst[None, None], axis=0)[0]


def _classes(model: Model, job: Serving, devices: Sequence[str]) -> list[list[int]]:
    """Devices on which the engine runs steps of the same size."""
    found: dict[tuple[int, int], list[int]] = {}
    for i, id in enumerate(devices):
        rank = Paged(model, model, replace(job, device=id), 0)
        found.setdefault((rank.max_sequences, rank.batched_tokens), []).append(i)
    return list(found.values())


@lru_cache(maxsize=64)
def _loaded(rank: Model, formats: tuple[str, ...], angle_bytes: int) -> Quantity:
    """What the weights of a rank take in each format, a row each."""
    sizes = [[float(weights_line(rank, format, angle_bytes=angle_bytes).value)] for format in formats]
    return Quantity("weights", np.array(sizes), "bytes", r"M_\text{weights}")


def _is_taken(model: Model, job: Serving, format: str) -> bool:
    """Whether rows of every rank are whole groups of a format."""
    return all(_is_whole(rank, grouped_by(format)) for rank in ranks(model, replace(job, weights="bf16")))


@lru_cache(maxsize=256)
def _is_whole(rank: Model, group: int) -> bool:
    """Whether its rows are whole groups of so many weights."""
    format = next((id for id in WEIGHT_FORMATS if grouped_by(id) == group), "bf16")
    try:
        check_groups(rank, Serving(weights=format))
    except InputError:
        return False
    return True


def _one_by_one(
    model: Model, job: Serving, formats: Sequence[str], devices: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same where what is needed does not hang on the device: a pass for each format."""
    shape = (len(formats), len(devices))
    limit = np.broadcast_to(np.array([float(ACCELERATORS[id].memory) for id in devices]), shape)
    needed, users = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, format in enumerate(formats):
        try:
            served = reserved(model, replace(job, weights=format, device=devices[0]))
        except InputError:
            continue
        needed[i] = served.needed.value
        users[i] = np.where(needed[i] <= limit[i], job.concurrency, 0)
    return needed, limit, users


# Speed


def _fast(
    model: Model, job: Serving, formats: Sequence[str], devices: Sequence[str], tensor: np.ndarray, stages: np.ndarray
) -> dict[str, np.ndarray]:
    """How fast it is, by column: a row a format, below it a row for each number of devices, a column a device."""
    keys, values = job.cache_formats
    each = [replace(job, device=id, device_memory=None, data_parallel=1) for id in devices]
    rooms, seats = [one.step_room for one in each], [one.seats for one in each]
    load = Load(
        input_tokens=job.input_tokens,
        output_tokens=job.output_tokens,
        concurrency=job.concurrency,
        seats=None if None in seats else np.array(seats, float),
        step_room=None if None in rooms else np.array(rooms, float),
    )
    split = Split(tensor_parallel=tensor.astype(float), pipeline_parallel=stages.astype(float))
    found: dict[str, list[np.ndarray]] = {name: [] for name in _OF_SPEED}
    for format in formats:
        machine = machines_of([ACCELERATORS[id] for id in devices], format)
        how = speed(
            model, machine=machine, split=split, load=load, weight_format=format,
            cache_bytes=(keys.bits + values.bits) / 16, engine=job.engine,
        )  # fmt: skip
        for name, rows in found.items():
            told: Any = getattr(how, name)
            rows.append(np.broadcast_to(np.nan if told is None else told.value, tensor.shape))
    return {name: np.stack(rows) for name, rows in found.items()}
