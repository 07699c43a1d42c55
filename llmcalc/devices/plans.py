"""Every way to lay a training step out over a number of devices: what each rank needs, and what it costs in time.

All plans of one kind of recomputation are worked out at once, on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

from llmcalc.devices.layout import ZERO_STAGES, Layout, is_possible, is_switch
from llmcalc.devices.passes import recomputed_share
from llmcalc.devices.rank import candidates, senders
from llmcalc.devices.work import Work, under_ddp, with_same_events
from llmcalc.errors import InputError
from llmcalc.quantity import given_quantity
from llmcalc.rates.times import bubble
from llmcalc.step.overhead import Overhead
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.model import Model

if TYPE_CHECKING:
    import pandas as pd

Table = dict[str, np.ndarray]

INTERLEAVES = (1, 2, 4)
TRIED = ("none", "selective", "full")  # kinds of recomputation
SMALLEST_CONTEXT = 1024  # context parallelism leaves a rank so many tokens at least
LARGEST_MICRO_BATCH = 64
_ROWS_AT_ONCE = 16384  # arrays of so many numbers stay in the processor's cache
_LAYOUT = {
    declared.name: bool if is_switch(declared) else int
    for declared in fields(Layout)
    if declared.metadata["is_planned"]
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """``devices`` with ``memory`` bytes each, of which a process takes ``overhead`` beside its tensors. Tensor
    parallelism stays within a ``node`` of so many devices, which a fast link joins. A step goes through
    ``global_batch`` sequences on all of them together."""

    devices: int
    memory: float
    global_batch: int
    node: int = 8
    overhead: Overhead = field(default_factory=Overhead)


def plans(
    model: Model,
    run: TrainingRun,
    cluster: Cluster,
    *,
    counted: Model | None = None,
    layout: Layout = Layout(),  # noqa: B008  (it is frozen)
    progress: Callable[[float], None] = lambda _: None,
) -> pd.DataFrame:
    """A row for each plan that can be: those that fit first, by time, then by bytes sent, then by the peak.

    The sizes of a `Layout`, ``micro_batch``, ``micro_batches`` and ``recompute``; ``peak``, bytes of tensors on the
    rank that needs most, ``needed``, what its process takes, ``fits``; ``bubble``, the pipeline's idle time in terms of
    its work; ``again``, what recomputation adds to the operations; ``time``, one plus both; ``traffic``, bytes that a
    rank sends in a step.

    Of ``layout`` counts what plans do not try: where the optimizer is, how gradients are kept. ``progress`` is told
    what share is done. Raises InputError where nothing divides the global batch.
    """
    import pandas as pd

    grid = _grid(model, run, cluster)
    n_rows = len(grid["data_parallel"]) * len(TRIED)
    if not n_rows:
        raise InputError("n_devices", "no layout of so many devices divides this model and this batch", code="no_plan")
    done, tables = 0, []
    for recompute in TRIED:
        for micro_batch, micro_batches, rows in _by_events(grid):
            sample = replace(run, recompute=recompute, batch_size=micro_batch, gradient_accumulation=micro_batches)
            laid_out = _layout(rows, layout)
            sample = under_ddp(sample, laid_out)
            work = Work(model, with_same_events(sample, laid_out), counted or model)
            for part in _chunks(rows):
                tables.append(_counted(work, sample, part, cluster, layout))
                done += len(part["data_parallel"])
                progress(done / n_rows)
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    frame = pd.DataFrame(columns)
    whole = {**_LAYOUT, "micro_batch": int, "micro_batches": int}
    frame = frame.astype({name: "int64" if kind is int else kind for name, kind in whole.items()})
    fits = frame["fits"]  # what does not is sorted by its peak alone
    order = np.lexsort((frame["peak"], fits * frame["traffic"], fits * frame["time"].round(2), ~fits))
    return frame.iloc[order].reset_index(drop=True)


def _counted(work: Work, run: TrainingRun, rows: Table, cluster: Cluster, kept: Layout) -> Table:
    """The rows with what they need and cost."""
    run = replace(run, batch_size=rows["micro_batch"], gradient_accumulation=rows["micro_batches"])
    layout = _layout(rows, kept)
    peak, traffic = np.zeros(len(rows["micro_batch"])), np.zeros(len(rows["micro_batch"]))
    for stage in candidates(work, run, layout):
        peak = np.maximum(peak, stage.peak)
    for stage in senders(work, run, layout):
        traffic = np.maximum(traffic, stage.traffic.value)
    idle = bubble(
        pipeline_parallel=rows["pipeline_parallel"],
        interleave=rows["interleave"],
        micro_batches=rows["micro_batches"],
    ).value
    again = recomputed_share(work.counted, run)
    needed = cluster.overhead.process(given_quantity("allocated_bytes", peak)).value
    return rows | {
        "recompute": np.full(len(peak), run.recompute),
        "peak": peak,
        "needed": needed,
        "fits": needed <= cluster.memory,
        "bubble": idle,
        "again": np.full(len(peak), again),
        "time": (1 + again) * (1 + idle),
        "traffic": traffic,
    }


def settings(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the plans as the dashboard's inputs that put it to use."""
    layout = {name: kind(plan[name]) for name, kind in _LAYOUT.items()}
    run = {"batch_size": int(plan["micro_batch"]), "gradient_accumulation": int(plan["micro_batches"])}
    return layout | run | {"recompute": str(plan["recompute"])}


# The grid


def _grid(model: Model, run: TrainingRun, cluster: Cluster) -> Table:
    """The sizes of every plan that can be."""
    n, length = cluster.devices, run.seq_len
    rows: Table = {"tensor_parallel": np.array(divisors(n, cluster.node), float)}
    rows = _crossed(rows, "pipeline_parallel", divisors(n, model.n_layers))
    rows = _crossed(rows, "context_parallel", divisors(n, max(1, length // SMALLEST_CONTEXT)))
    rows["data_parallel"] = n / (rows["tensor_parallel"] * rows["pipeline_parallel"] * rows["context_parallel"])
    rows = _where(rows, rows["data_parallel"] % 1 == 0)
    rows = _where(rows, cluster.global_batch % rows["data_parallel"] == 0)
    rows = _crossed(rows, "micro_batch", [2**i for i in range(LARGEST_MICRO_BATCH.bit_length())])
    rows["micro_batches"] = cluster.global_batch / (rows["data_parallel"] * rows["micro_batch"])
    rows = _where(rows, rows["micro_batches"] % 1 == 0)
    rows = _crossed(rows, "sequence_parallel", (False, True))
    rows = _where(rows, (rows["sequence_parallel"] == 0) | (rows["tensor_parallel"] > 1))
    rows = _crossed(rows, "interleave", INTERLEAVES)
    rows = _with_experts(rows, model)
    replicas = rows["data_parallel"] * rows["context_parallel"]
    rows = _crossed(rows | {"replicas": replicas}, "zero_stage", ZERO_STAGES)
    rows = _where(rows, (rows["zero_stage"] == 0) | (rows.pop("replicas") > 1))
    sizes = replace(run, batch_size=rows["micro_batch"], gradient_accumulation=rows["micro_batches"])
    return _where(rows, is_possible(model, sizes, _layout(rows, Layout()))) if len(rows["micro_batch"]) else rows


def _with_experts(rows: Table, model: Model) -> Table:
    """Experts whole on every rank, or shared out among as many as divide them."""
    numbers = [mixture.n_experts for mixture in model.mixtures]
    replicas = rows["data_parallel"] * rows["context_parallel"]
    shared = np.array([gcd(*numbers, int(n)) if numbers else 1 for n in replicas], float)
    whole = rows | {"expert_parallel": np.ones(len(replicas))}
    dealt_out = _where(rows | {"expert_parallel": shared}, shared > 1)
    return {name: np.concatenate([whole[name], dealt_out[name]]) for name in whole}


def divisors(number: int, most: int) -> list[int]:
    """What divides a number and is no more than ``most``, ascending."""
    return [n for n in range(1, min(number, most) + 1) if number % n == 0]


def _crossed(rows: Table, name: str, options: Sequence[Any]) -> Table:
    """Every row with every option."""
    n = len(next(iter(rows.values())))
    return {key: np.repeat(column, len(options)) for key, column in rows.items()} | {
        name: np.tile(np.array(options, float), n)
    }


def _where(rows: Table, condition: np.ndarray) -> Table:
    return {name: column[condition] for name, column in rows.items()}


def _by_events(rows: Table) -> Iterator[tuple[int, int, Table]]:
    """Rows whose steps have the same events, with a micro-batch and a number of them that stand for all: of several,
    gradients stay through the step; one of a single sequence needs no copies of its heads; replicas may share out
    their weights, or send whole gradients."""
    alone, once = rows["micro_batch"] == 1, rows["micro_batches"] == 1
    replicas = rows["data_parallel"] * rows["context_parallel"]
    how = np.where(rows["zero_stage"] == 0, replicas > 1, 2 * (rows["zero_stage"] == ZERO_STAGES[-1]))
    for size, number, kind in product((1, 2), (1, 2), (0, 1, 2)):
        here = (alone == (size == 1)) & (once == (number == 1)) & (how == kind)
        if np.any(here):
            yield size, number, _where(rows, here)


def _chunks(rows: Table) -> Iterator[Table]:
    n = len(rows["micro_batch"])
    for start in range(0, n, _ROWS_AT_ONCE):
        yield {name: column[start : start + _ROWS_AT_ONCE] for name, column in rows.items()}


def _layout(rows: Table, kept: Layout) -> Layout:
    columns: dict[str, Any] = {name: rows[name] > 0 if kind is bool else rows[name] for name, kind in _LAYOUT.items()}
    return replace(kept, **columns)
