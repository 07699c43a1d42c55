"""How a training step is laid out over devices, and which layouts can be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any

import numpy as np

from llmcalc.errors import InputError
from llmcalc.sizes import check_size
from llmcalc.step.run import TrainingRun
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import Width, widths

Size = Any  # int or bool, or an array in a table of plans

ZERO_STAGES = (0, 1, 2, 3)


def _declared(
    *,
    most: int = 1,
    takes_devices: bool = False,
    is_filled: bool = False,
    cuts_up: bool = False,
    is_planned: bool = True,
    switch: str = "",
) -> dict[str, Any]:
    """What goes by a field of a layout elsewhere.

    ``most`` is how far its control goes; ``is_filled``: left empty there, it takes the devices that are left.
    ``takes_devices``: so many times as many. ``cuts_up``: on it depends how a piece of memory is cut up.
    ``is_planned``: plans for a cluster try it. ``switch``: the technique it goes with, where that has another name.
    """
    said = {"most": most, "takes_devices": takes_devices, "is_filled": is_filled}
    return said | {"cuts_up": cuts_up, "is_planned": is_planned, "switch": switch}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """``tensor_parallel`` × ``context_parallel`` × ``data_parallel`` × ``pipeline_parallel`` devices.

    A run's ``batch_size`` is that of one micro-batch on one data-parallel rank, and its ``gradient_accumulation`` the
    number of micro-batches that go through the pipeline in a step.

    ``zero_stage``: what is shared out among the ranks that hold the same weights: 1 the optimizer's states, 2 the
    gradients too, 3 the weights too (FSDP). ``sequence_parallel``: what tensor parallelism leaves whole is split by
    tokens. ``interleave``: stretches of layers that each pipeline rank holds. ``context_parallel``: ring attention.
    ``expert_parallel``: among how many of the data- and context-parallel ranks the experts are shared out.
    ``offload_optimizer``: the optimizer's states are in the host's memory, and it steps there. ``ddp_bucket_view``:
    where replicas have whole gradients, these are views of the buckets that are sent (DistributedDataParallel's
    ``gradient_as_bucket_view``), not beside them. ``keep_gathered``: weights that ZeRO's stage 3 shares out stay whole
    from the forward pass to the backward pass (FSDP2's ``reshard_after_forward=False``), as in a pipeline they do.

    All may be arrays, for a table of plans.
    """

    data_parallel: Size = field(
        default=1, metadata=_declared(most=100_000, takes_devices=True, is_filled=True, cuts_up=True)
    )
    zero_stage: Size = field(default=0, metadata=_declared(most=ZERO_STAGES[-1], cuts_up=True, switch="zero"))
    tensor_parallel: Size = field(default=1, metadata=_declared(most=1_024, takes_devices=True, cuts_up=True))
    sequence_parallel: Size = field(default=False, metadata=_declared(cuts_up=True, switch="tensor_parallel"))
    pipeline_parallel: Size = field(default=1, metadata=_declared(most=1_000, takes_devices=True))
    interleave: Size = field(default=1, metadata=_declared(most=1_000, switch="pipeline_parallel"))
    context_parallel: Size = field(default=1, metadata=_declared(most=1_024, takes_devices=True, cuts_up=True))
    expert_parallel: Size = field(default=1, metadata=_declared(most=1_024, cuts_up=True))
    offload_optimizer: Size = field(default=False, metadata=_declared(is_planned=False, switch="offload"))
    ddp_bucket_view: Size = field(default=False, metadata=_declared(is_planned=False, switch="data_parallel"))
    keep_gathered: Size = field(default=False, metadata=_declared(is_planned=False, switch="zero"))

    def __post_init__(self) -> None:
        for declared in fields(self):
            if not isinstance(declared.default, bool):
                check_size(declared.name, getattr(self, declared.name), least(declared))
        if np.any(np.asarray(self.zero_stage) > ZERO_STAGES[-1]):
            raise InputError("zero_stage", f"zero_stage must be one of {ZERO_STAGES}", ZERO_STAGES)

    @property
    def devices(self) -> Size:
        """How many devices it takes."""
        return math.prod(getattr(self, name) for name in TAKES_DEVICES)

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


def sequences_of(run: TrainingRun, layout: Layout) -> Size:
    """How many sequences go through one optimizer step on all devices together: the global batch."""
    return run.batch_size * run.gradient_accumulation * layout.data_parallel


def least(declared: Field[Any]) -> int:
    """The least that a field of a layout can be: what is off, or shares out nothing, is 0."""
    default: Any = declared.default
    return min(1, int(default))


def is_switch(declared: Field[Any]) -> bool:
    """Whether a field of a layout is on or off, and no number."""
    return declared.default is False


def fields_that(key: str) -> tuple[str, ...]:
    """The fields of a layout of which something holds, such as "takes_devices"."""
    return tuple(declared.name for declared in fields(Layout) if declared.metadata[key])


TAKES_DEVICES = fields_that("takes_devices")


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
    # every stage of a decoder would hold the encoder's output, which only its first layers make: not modelled
    yield _contradiction("pipeline_parallel", "attends_to_encoder", np.asarray(p > 1) & model.is_pair)
    # keys and values that layers of several stages attend to would be sent along with what they make: not modelled
    borrowing = any(block.borrows for block, _ in model.blocks)
    yield _contradiction("pipeline_parallel", "borrows_across_stages", np.asarray(p > 1) & borrowing)
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
