"""How a training step is laid out over devices, and which layouts can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from llmcalc.errors import InputError
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import Width, widths

Size = Any  # int or bool, or an array in a table of plans

ZERO_STAGES = (0, 1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """``tensor_parallel`` × ``context_parallel`` × ``data_parallel`` × ``pipeline_parallel`` devices.

    A run's ``batch_size`` is that of one micro-batch on one data-parallel rank, and its ``gradient_accumulation`` the
    number of micro-batches that go through the pipeline in a step.

    ``zero_stage``: what is shared out among the ranks that hold the same weights: 1 the optimizer's states, 2 the
    gradients too, 3 the weights too (FSDP). ``sequence_parallel``: what tensor parallelism leaves whole is split by
    tokens. ``interleave``: stretches of layers that each pipeline rank holds. ``context_parallel``: ring attention.
    ``expert_parallel``: among how many of the data- and context-parallel ranks the experts are shared out.
    ``offload_optimizer``: the optimizer's states are in the host's memory, and it steps there.

    All may be arrays, for a table of plans.
    """

    data_parallel: Size = 1
    zero_stage: Size = 0
    tensor_parallel: Size = 1
    sequence_parallel: Size = False
    pipeline_parallel: Size = 1
    interleave: Size = 1
    context_parallel: Size = 1
    expert_parallel: Size = 1
    offload_optimizer: Size = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value, low = getattr(self, field.name), 0 if field.default in (0, False) else 1
            if np.any(np.asarray(value) < low):
                raise InputError(field.name, f"{field.name} must be at least {low}")
        if np.any(np.asarray(self.zero_stage) > ZERO_STAGES[-1]):
            raise InputError("zero_stage", f"zero_stage must be one of {ZERO_STAGES}", ZERO_STAGES)

    @property
    def devices(self) -> Size:
        """How many devices it takes."""
        return self.tensor_parallel * self.pipeline_parallel * self.replicas

    @property
    def replicas(self) -> Size:
        """How many ranks hold the same weights: those that ZeRO shares out among."""
        return self.data_parallel * self.context_parallel

    @property
    def divides_tokens_by(self) -> int:
        """Of what a sequence's length has to be a multiple."""
        return int(self.context_parallel * chosen(self.sequence_parallel, self.tensor_parallel, 1))

    def sharing(self, stage: int, *, experts: bool = False) -> Size:
        """How many ranks share out what ZeRO shares out from that stage on; experts have fewer replicas."""
        replicas = self.replicas // self.expert_parallel if experts else self.replicas
        return chosen(self.zero_stage >= stage, replicas, 1)


def chosen(condition: Size, then: Size, otherwise: Size) -> Size:
    """One of two sizes, cell by cell in a table."""
    if any(isinstance(x, np.ndarray) for x in (condition, then, otherwise)):
        return np.where(condition, then, otherwise)
    return then if condition else otherwise


@dataclass(frozen=True)
class Contradiction:
    """``broken`` says where a layout cannot be, by the input to change; ``code`` and ``details`` say why."""

    input_id: str
    code: str
    message: str
    broken: Size
    details: dict[str, Any]


def contradictions(model: Model, run: TrainingRun, layout: Layout) -> Iterator[Contradiction]:
    """All that can be wrong with laying ``run`` of ``model`` out so."""
    t, p, v = layout.tensor_parallel, layout.pipeline_parallel, layout.interleave
    for width in _whole_widths(model):
        # key/value heads fewer than the ranks are repeated; they are then dealt out evenly
        broken = np.asarray(width.number % t > 0) & ~(width.may_repeat & np.asarray(t % width.number == 0))
        yield _contradiction("tensor_parallel", "not_over_devices", broken, what=width.name, number=width.number)
    chunks, layers = p * v, model.n_layers
    yield _contradiction("pipeline_parallel", "more_stages_than_layers", chunks > layers, number=layers)
    interleaved = np.asarray(v > 1)
    yield _contradiction("interleave", "uneven_interleave", interleaved & (layers % chunks > 0), number=layers)
    few = interleaved & ((p == 1) | (run.gradient_accumulation % p > 0))
    yield _contradiction("interleave", "uneven_micro_batches", few, number=run.gradient_accumulation)
    tokens, c = run.seq_len, layout.context_parallel
    yield _contradiction("context_parallel", "not_over_devices", tokens % c > 0, what="seq_len", number=tokens)
    by_tokens = np.asarray(layout.sequence_parallel, bool) & (tokens // c % t > 0)
    yield _contradiction("sequence_parallel", "uneven_tokens", by_tokens, number=tokens)
    e = layout.expert_parallel
    for experts in {mixture.n_experts for mixture in model.mixtures} or {1}:
        yield _contradiction("expert_parallel", "not_over_devices", experts % e > 0, what="n_experts", number=experts)
    yield _contradiction("expert_parallel", "not_among_replicas", layout.replicas % e > 0, number=layout.replicas)


def check_layout(model: Model, run: TrainingRun, layout: Layout) -> None:
    """Raise InputError, naming the input to change, where this model cannot be laid out so."""
    for found in contradictions(model, run, layout):
        if np.any(found.broken):
            value = getattr(layout, found.input_id)
            raise InputError(found.input_id, found.message, code=found.code, value=value, **found.details)


def is_possible(model: Model, run: TrainingRun, layout: Layout) -> np.ndarray:
    """Which layouts of a table can be."""
    possible = np.asarray(True)
    for found in contradictions(model, run, layout):
        possible = possible & ~np.asarray(found.broken)
    return possible


def _contradiction(input_id: str, code: str, broken: Size, **details: Any) -> Contradiction:
    said = ", ".join(f"{name} {value}" for name, value in details.items())
    return Contradiction(input_id, code, f"{input_id}: {code.replace('_', ' ')} ({said})", broken, details)


def _whole_widths(model: Model) -> list[Width]:
    """What tensor parallelism deals out to each rank as it is, each once; what is joined of others is dealt out as they
    are."""
    found = dict.fromkeys(width for part in model.parts for width in widths(part))
    return [width for width in found if not (width.may_pad or width.joins)]
