"""The smallest changes that make a training step fit: computed, not guessed, the least costly first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from llmcalc.devices.layout import Layout
from llmcalc.errors import InputError
from llmcalc.fit.job import Fields, Job
from llmcalc.step.run import TrainingRun

MOST_AT_ONCE = 3
MORE_DEVICES = 3  # the cost of a change that takes them
NEW_RANK = 16  # of adapters, where the reader has none
ONE_NODE = 8  # over so many devices tensor parallelism goes, as far as a fast link joins them


@dataclass(frozen=True)
class Change:
    """Something to change in a job. ``cost`` orders changes: 0 costs nothing, 1 time, 2 changes what is trained, 3 more
    devices."""

    id: str
    cost: int
    of: Callable[[TrainingRun, Layout], Fields | None]

    def fields(self, job: Job) -> Fields | None:
        """What to set, or None where that is so already."""
        return self.of(job.run, job.layout)


def _set(**fields: Any) -> Callable[[TrainingRun, Layout], Fields | None]:
    def of(run: TrainingRun, _: Layout) -> Fields | None:
        return None if all(getattr(run, name) == value for name, value in fields.items()) else fields

    return of


def _optimizer(name: str) -> Callable[[TrainingRun, Layout], Fields | None]:
    """Another AdamW in the place of PyTorch's plain ones."""

    def of(run: TrainingRun, _: Layout) -> Fields | None:
        return {"optimizer": name} if run.optimizer in ("adamw_foreach", "adamw_for_loop") else None

    return of


def _half_batch(run: TrainingRun, _: Layout) -> Fields | None:
    if run.batch_size < 2 or run.batch_size % 2:
        return None
    half = run.in_micro_batches(2)
    return {"batch_size": half.batch_size, "gradient_accumulation": half.gradient_accumulation}


def _selective(run: TrainingRun, _: Layout) -> Fields | None:
    return {"recompute": "selective"} if run.recompute == "none" and run.attention == "eager" else None


def _autocast(run: TrainingRun, _: Layout) -> Fields | None:
    return {"precision": "amp_bf16"} if run.precision == "fp32" else None


def _pure_bf16(run: TrainingRun, _: Layout) -> Fields | None:
    return None if run.precision == "bf16" else {"precision": "bf16"}


def _lora(run: TrainingRun, _: Layout) -> Fields | None:
    return None if run.lora_rank else {"lora_rank": NEW_RANK}


def _zero(stage: int) -> Callable[[TrainingRun, Layout], Fields | None]:
    """A stage of ZeRO, where there are replicas to share among."""

    def of(_: TrainingRun, layout: Layout) -> Fields | None:
        return {"zero_stage": stage} if layout.replicas > 1 and layout.zero_stage < stage else None

    return of


def _tensor_parallel(run: TrainingRun, layout: Layout) -> Fields | None:
    """The devices that hold copies of the model share out its products instead; every step has the same sequences."""
    n = layout.data_parallel
    if n == 1 or n > ONE_NODE or layout.tensor_parallel > 1 or layout.pipeline_parallel > 1:
        return None
    cut = {"tensor_parallel": n, "sequence_parallel": True, "data_parallel": 1, "zero_stage": 0, "expert_parallel": 1}
    return cut | {"gradient_accumulation": n * run.gradient_accumulation}


def _offload(_: TrainingRun, layout: Layout) -> Fields | None:
    return None if layout.offload_optimizer else {"offload_optimizer": True}


def _eight_devices(_: TrainingRun, layout: Layout) -> Fields | None:
    return {"data_parallel": 8, "zero_stage": 3} if layout.devices == 1 else None


CHANGES = (
    Change("fused_attention", 0, _set(attention="sdpa")),
    Change("drop_logits", 0, _set(keep_logits=False)),
    Change("fused_optimizer", 0, _optimizer("adamw_fused")),
    Change("fused_loss", 0, _set(loss="fused")),
    Change("autocast", 1, _autocast),
    Change("selective_recomputation", 1, _selective),
    Change("full_recomputation", 1, _set(recompute="full")),
    Change("half_batch", 1, _half_batch),
    Change("zero_1", 1, _zero(1)),
    Change("zero_2", 1, _zero(2)),
    Change("zero_3", 1, _zero(3)),
    Change("tensor_parallel", 1, _tensor_parallel),
    Change("offload_optimizer", 1, _offload),
    Change("eight_bit_optimizer", 2, _optimizer("adamw_8bit")),
    Change("pure_bf16", 2, _pure_bf16),
    Change("lora", 2, _lora),
    Change("eight_devices", MORE_DEVICES, _eight_devices),
)


@dataclass(frozen=True)
class Advice:
    """``changes`` to make together: the inputs that they set, and the peak in bytes that they lead to."""

    changes: tuple[Change, ...]
    fields: Fields
    peak: float
    saved: float
    fits: bool

    @property
    def cost(self) -> int:
        """That of its most costly change."""
        return max(change.cost for change in self.changes)


def single_changes(job: Job, changes: Iterable[Change] = CHANGES) -> list[Advice]:
    """Every change alone that saves memory, those that save most first."""
    found = [advice for change in changes if (advice := _made(job, (change,)))]
    return sorted((a for a in found if a.saved > 0), key=lambda a: -a.saved)


def changes_by_cost(job: Job) -> Iterator[Advice]:
    """The same, the least costly first and of those what saves most. What costs more is worked out only once it is
    asked for: each is a step of its own."""
    for cost in sorted({change.cost for change in CHANGES}):
        yield from single_changes(job, [change for change in CHANGES if change.cost == cost])


def smallest_changes(job: Job, most: int = 4) -> list[Advice]:
    """The fewest and least costly changes after which the job fits, on the devices that there are: none if it does
    already, else all of the smallest number that does, at most ``most``; only where none does the best of those that
    take more devices. Nothing where no three changes together do."""
    if job.fits:
        return []
    useful = [advice.changes[0] for advice in single_changes(job)]
    here = [change for change in useful if change.cost < MORE_DEVICES]
    if found := _fitting(job, here):
        return found[:most]
    elsewhere = (_fitting(job, here, start) for start in useful if start.cost == MORE_DEVICES)
    return [advice for found in elsewhere for advice in found[:1]]


def _fitting(job: Job, changes: list[Change], *first: Change) -> list[Advice]:
    """The smallest sets of changes, ``first`` in each, after which it fits, the best first."""
    if not _sharpest(job, [*first, *changes]).fits:
        return []
    for number in range(1 - len(first), MOST_AT_ONCE + 1 - len(first)):
        made = (_made(job, (*first, *together)) for together in combinations(changes, number))
        fitting = [advice for advice in made if advice and advice.fits]
        if fitting:
            return sorted(fitting, key=lambda a: (a.cost, sum(c.cost for c in a.changes), a.peak))
    return []


def _sharpest(job: Job, changes: Iterable[Change]) -> Job:
    """All changes that go together and go on saving memory, what saves most first: no few of them need less."""
    settled: set[str] = set()
    for change in changes:
        more = change.fields(job)
        if more is None or set(more) & settled:
            continue
        changed = job.changed(more)
        if _less(changed, job):
            settled |= set(more)
            job = changed
    return job


def _less(changed: Job, job: Job) -> bool:
    try:
        return changed.peak < job.peak
    except InputError:  # a layout that cannot be
        return False


def _made(job: Job, changes: tuple[Change, ...]) -> Advice | None:
    """The changes one after the other; None where one of them changes nothing, undoes another, or cannot be."""
    changed, fields = job, dict[str, Any]()
    for change in changes:
        more = change.fields(changed)
        if more is None or set(more) & set(fields):
            return None
        fields |= more
        changed = changed.changed(more)
    try:
        return Advice(changes, fields, changed.peak, job.peak - changed.peak, changed.fits)
    except InputError:  # a layout that cannot be
        return None
