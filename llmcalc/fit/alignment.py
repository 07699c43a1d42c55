"""Preference and reinforcement learning as plans made of training steps: which models a device holds, and when most.

An estimate: the policy trains as in any other step, sequences are written with a cache, and models that do not train
read them one layer at a time; what a trainer adds around them (samples, advantages, masks) is small and left out. The
defaults are those of TRL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from llmcalc.cached import cached_property
from llmcalc.catalog.precisions import BYTES
from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import RankMemory, peak_on_each, step_on_each
from llmcalc.errors import InputError
from llmcalc.quantity import Quantity, formula, total
from llmcalc.serving.held import full_cache
from llmcalc.sources import (
    ETHAYARAJH_2024,
    OUYANG_2022,
    RAFAILOV_2023,
    SCHULMAN_2017,
    SHAO_2024,
    TRL,
    Citation,
)
from llmcalc.step.course import Course
from llmcalc.step.run import TrainingRun
from llmcalc.step.scored import teacher_logits_memory, teacher_pass_memory
from llmcalc.step.step import Step, swept, training_step
from llmcalc.step.tape import Kind
from llmcalc.step.timeline import Change, Segment, Stretch, Timeline, larger, piece
from llmcalc.transformer.dimensions import plain_sizes
from llmcalc.transformer.model import Model

Size = Any  # int, or a float64 array in a sweep

NEXT_TOKEN = "tokens"  # what is learnt where there are no preferences: the next token
ENGINES = ("same", "beside", "sleeping")  # the policy itself generates, or an engine with a copy of it, which may sleep


@dataclass(frozen=True, kw_only=True)
class Method:
    """``sequences``: sequences that the policy reads in one batch for each of the run's: chosen and rejected are two.
    ``reference``, ``reward``, ``value``: which models there are beside it; ``by_beta``: a reference where β is not 0.
    ``generates``: whether sequences are made in the step, ``at_once`` of them at most at a time. ``scores_vocabulary``:
    whether its loss needs log-probabilities of tokens."""

    id: str
    source: Citation
    sequences: int = 1
    reference: bool = False
    by_beta: bool = False
    reward: bool = False
    value: bool = False
    generates: bool = False
    at_once: int | None = None
    scores_vocabulary: bool = True


METHODS: Mapping[str, Method] = {
    row.id: row
    for row in (
        Method(id="dpo", source=RAFAILOV_2023.at("sec. 4"), sequences=2, reference=True),
        Method(id="kto", source=ETHAYARAJH_2024.at("sec. 4.1"), reference=True),
        Method(id="reward", source=OUYANG_2022.at("sec. 3.4"), sequences=2, scores_vocabulary=False),
        Method(
            id="ppo", source=SCHULMAN_2017.at("algorithm 1"), reference=True, reward=True, value=True, generates=True,
            at_once=64,  # local_rollout_forward_batch_size
        ),
        Method(id="grpo", source=SHAO_2024.at("sec. 4.1, algorithm 1"), by_beta=True, generates=True),
    )
}  # fmt: skip


@formula(r"M_\text{head}", "bytes", TRL.at("AutoModelForCausalLMWithValueHead; num_labels=1"))
def value_head_memory(*, d_model, weight_bytes):
    """A head that gives one number for each position, on a body that is shared."""
    return d_model * weight_bytes


@formula(r"M_\text{model}", "bytes", TRL.at("trl/trainer/grpo_trainer.py: vllm_mode, colocate"))
def engine_weights_memory(*, parameters, weight_bytes):
    """An engine's own copy of the weights."""
    return parameters * weight_bytes


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is learnt: ``objective`` is "tokens", the next one, or a key of `METHODS`. ``beta`` is how much a
    difference from the reference costs. Each prompt is answered ``generations`` times where sequences are compared
    with each other (GRPO), by an engine of `ENGINES`.

    Raises InputError, naming the field, for what is unknown.
    """

    objective: str = NEXT_TOKEN
    beta: float = 0.1
    generations: int = 8
    rollout_engine: str = "same"

    def __post_init__(self) -> None:
        for name, options in (("objective", (NEXT_TOKEN, *METHODS)), ("rollout_engine", ENGINES)):
            if getattr(self, name) not in options:
                raise InputError(name, f"unknown {name} {getattr(self, name)!r}", options)

    @property
    def is_next_token(self) -> bool:
        """Whether it is plain training."""
        return self.objective == NEXT_TOKEN

    @property
    def compares_generations(self) -> bool:
        """Whether answers to the same prompt are compared with each other."""
        return self.objective == "grpo"

    def plan(self, model: Model, run: TrainingRun, layout: Layout, counted: Model) -> Alignment:
        """The step that learns so."""
        how = METHODS[self.objective]
        has_reference = how.reference or (how.by_beta and self.beta > 0)
        return Alignment(
            method=self.objective, model=model, run=run, has_reference=has_reference, engine=self.rollout_engine,
            layout=layout, counted=counted,
        )  # fmt: skip

    def problem(self, run: TrainingRun, layout: Layout) -> InputError | None:
        """What the trainer refuses: sequences of a step that are no whole number of groups."""
        sequences = int(run.batch_size * run.gradient_accumulation * layout.replicas)
        if not self.compares_generations or sequences % self.generations == 0:
            return None
        message = f"{sequences:,} sequences of a step are no multiple of the {self.generations:,} of a prompt"
        fitting = tuple(n for n in range(min(self.generations, sequences), 1, -1) if sequences % n == 0)[:3]
        return InputError(
            "generations", message, fitting, code="generations_do_not_divide", sequences=sequences,
            generations=self.generations,
        )  # fmt: skip


NEXT = Objective()
OF_OBJECTIVE = tuple(field.name for field in fields(Objective))


_ON_ONE = Layout()


@dataclass(frozen=True, eq=False, kw_only=True)
class Alignment:
    """A step of ``method`` (a key of `METHODS`) that trains ``model`` as ``run`` says, on the device that needs most of
    those that ``layout`` takes.

    The run's ``batch_size`` counts pairs (DPO, reward model), examples (KTO) or sequences that are generated and
    trained on (PPO, GRPO). ``has_reference``: None as the method has it. Under LoRA the reference is the policy with
    its adapters off, and reward and value are heads and adapters on the same base. ``packed_length``: sequences of so
    many tokens on average stand one behind the other in rows of the run's length, without padding; None: each has a
    row. ``full_logits``: log-probabilities of sequences are taken from logits of all tokens at once, as TRL does, not
    piece by piece; None: unless the run's loss is in pieces. ``rollouts`` sequences are generated at a time, by an
    engine of `ENGINES`; None: all that a step trains on, or as many as the method's trainer takes at once.
    ``counted`` is the model whose parameters are counted, where ``model`` only stands in for its layers.

    Raises InputError, naming the field, for what is unknown.
    """

    method: str
    model: Model
    run: TrainingRun
    has_reference: bool | None = None
    packed_length: int | None = None
    full_logits: bool | None = None
    engine: str = "same"
    rollouts: int | None = None
    layout: Layout = _ON_ONE
    counted: Model | None = None

    def __post_init__(self) -> None:
        for name, options in (("method", METHODS), ("engine", ENGINES)):
            if getattr(self, name) not in options:
                raise InputError(name, f"unknown {name} {getattr(self, name)!r}", tuple(options))
        if self.packed_length is not None and not 0 < self.packed_length <= self.run.seq_len:
            raise InputError("packed_length", "packed_length must be from 1 to the length of a row")

    @property
    def how(self) -> Method:
        """What the method is made of."""
        return METHODS[self.method]

    @property
    def shares_base(self) -> bool:
        """Whether all models are one base with adapters."""
        return self.run.lora_rank > 0

    @property
    def rows(self) -> Size:
        """Rows of tokens that the policy reads in one batch."""
        sequences = self.run.batch_size * self.how.sequences
        return sequences if self.packed_length is None else -(-sequences * self.packed_length // self.run.seq_len)

    @property
    def takes_full_logits(self) -> bool:
        """Whether all tokens' logits are there at once."""
        asked = self.full_logits
        return self.run.loss not in ("chunked", "fused") if asked is None else asked

    @property
    def policy(self) -> TrainingRun:
        """The policy's own run: chosen and rejected in one batch."""
        loss = "plain" if self.how.scores_vocabulary and self.takes_full_logits else "fused"
        padding = self.packed_length is None and self.run.padding
        return replace(self.run, batch_size=self.rows, loss=loss, padding=padding)

    @cached_property
    def step(self) -> Step | RankMemory:
        """The policy's own training step."""
        if self._is_sweep:
            return training_step(self.model, self.policy, counted=self.counted)
        return step_on_each(self.model, self.policy, self.layout, counted=self.counted)

    @cached_property
    def at_rest(self) -> Step | RankMemory:
        """The same of one of the sizes of a sweep: what stays is the same whatever they are."""
        if not self._is_sweep:
            return self.step
        run = self.policy
        run = replace(run, batch_size=int(np.min(run.batch_size)), seq_len=int(np.min(run.seq_len)))
        return step_on_each(self.model, run, self.layout, counted=self.counted)

    @property
    def _is_sweep(self) -> bool:
        return any(isinstance(size, np.ndarray) for size in (self.run.batch_size, self.run.seq_len))

    # What is held

    @cached_property
    def held(self) -> dict[str, Quantity]:
        """What is there beside the policy through the whole step, by its part: a reference, a reward and a value model,
        an engine that does not sleep."""
        found = {}
        if self._has_reference and not self.shares_base:
            found["reference"] = self._frozen("reference_model")
        if self.how.reward:
            found["reward"] = self._head("reward_head") if self.shares_base else self._frozen("reward_model")
        if self.how.value:
            found["value"] = self._head("value_head") if self.shares_base else self._value
        if self.how.generates and self.engine == "beside":
            found["engine"] = total("rollout_engine", r"M_\text{engine}", self._copy, self.cache)
        return found

    @property
    def _has_reference(self) -> bool:
        return self.how.reference if self.has_reference is None else self.has_reference

    def _frozen(self, id: str) -> Quantity:
        """A model of the same size in the same format, laid out as the policy is, that does not train."""
        return self.at_rest.weights.named(id, rf"M_\text{{{id.replace('_', ' ')}}}")

    def _head(self, id: str) -> Quantity:
        return value_head_memory(d_model=self.model.width, weight_bytes=self.run.trained.weight_bytes).named(id)

    @cached_property
    def _value(self) -> Quantity:
        """The value model trains in the same step, on the same rows: its own peak, without a vocabulary's logits."""
        run = replace(self.policy, loss="fused")
        peak = peak_on_each(self.model, run, self.layout, counted=self.counted)
        meaning = "The peak of a training step of the value model, whose loss needs no logits of a vocabulary."
        value = peak if self._is_sweep else float(peak)
        return Quantity("value_model", value, "bytes", r"M_\text{value}", meaning=meaning)

    @cached_property
    def _copy(self) -> Quantity:
        """An engine's own weights, 16 bits each, adapters merged."""
        parameters = (self.counted or self.model).parameters()
        weights: Quantity = engine_weights_memory(parameters=parameters, weight_bytes=BYTES["bf16"])
        return weights.named("engine_weights")

    @cached_property
    def cache(self) -> Quantity:
        """Keys and values of the sequences that are generated at a time, at their full length, 16 bits each."""
        return full_cache(self.model, batch_size=self._at_once, seq_len=self.run.seq_len).named("kv_cache")

    @property
    def _at_once(self) -> Size:
        if self.rollouts:
            return self.rollouts
        sequences = self.run.batch_size * self.run.gradient_accumulation
        return sequences if self.how.at_once is None else np.minimum(sequences, self.how.at_once)

    # When

    @cached_property
    def before(self) -> dict[str, list[Quantity]]:
        """What there is besides in the phases before the policy trains: sequences are generated, models score them
        without a graph."""
        found: dict[str, list[Quantity]] = {}
        if self.how.generates:
            found["rollout"] = {"same": [self.cache], "sleeping": [self._copy, self.cache], "beside": []}[self.engine]
        if self._has_reference or self.how.generates:
            found["scores"] = self._pass
        return found

    @cached_property
    def phases(self) -> dict[str, Quantity]:
        """The memory of each phase of the step."""
        beside = list(self.held.values())
        steady = [part for part in self.step.steady_state.parts if part.value]
        found = {
            name: total(f"{name}_phase", rf"M_\text{{{name}}}", *steady, *beside, *parts)
            for name, parts in self.before.items()
        }
        found["train"] = total("train_phase", r"M_\text{train}", self.step.peak.named("step_peak"), *beside)
        return found

    @property
    def peak_phase(self) -> str:
        """The phase with the most."""
        return max(self.phases, key=lambda name: self.phases[name].value)

    @property
    def peak(self) -> Quantity:
        """The most that is held at once."""
        return self.phases[self.peak_phase].named("alignment_peak", r"M_\text{peak}")

    @property
    def _pass(self) -> list[Quantity]:
        """A pass without a graph: one layer of it, and logits, of all rows or a sixteenth of them."""
        run, sizes = self.run, plain_sizes(self.model)
        each = BYTES[run.numbers.autocast or run.numbers.weights]
        tokens = {"batch_size": self.rows, "seq_len": run.seq_len}
        layer = teacher_pass_memory(
            **tokens,
            element_bytes=each,
            d_model=sizes.d_model,
            n_products=3 if sizes.gated else 2,
            d_ff=sizes.ffn_width(),
        )
        rows = tokens if self.takes_full_logits else tokens | {"seq_len": -(-run.seq_len // 16)}
        logits = teacher_logits_memory(**rows, vocab_size=self.model.vocab_size, element_bytes=each)
        return [layer.named("scored_layer"), logits.named("scored_logits")]

    def pieces(self, phase: str, inputs: Size) -> list[Kind]:
        """What is allocated for a phase before the policy trains: the batch, and what the phase needs."""
        needed = [piece(_DRAWN[part.id], part.id, part.value, "fp8") for part in self.before[phase]]
        return [piece("inputs", "ids", inputs, "fp8"), *needed]

    @cached_property
    def course(self) -> AlignedStep:
        """The whole step as it goes by."""
        return AlignedStep(self.step.model, self.step.run, self)


# What a piece of memory is drawn as
_DRAWN = {
    "kv_cache": "kv_cache",
    "engine_weights": "other_models",
    "scored_layer": "layer_activations",
    "scored_logits": "logits",
}


@dataclass(frozen=True, eq=False, repr=False)
class AlignedStep(Course):
    """The memory of one device through the step of a plan: that of the policy's own, what is held beside it, and the
    phases before it trains."""

    model: Model
    run: TrainingRun
    plan: Alignment

    @property
    def own(self) -> Step | RankMemory:
        """The policy's own step."""
        return self.plan.step

    @property
    def weights(self) -> Quantity:
        """Weights as the forward pass finds them."""
        return self.own.weights

    @property
    def buffers(self) -> Quantity:
        """What the model's class registers beside its weights."""
        return self.own.buffers

    @property
    def gradients(self) -> Quantity:
        """Gradients once the backward pass is through."""
        return self.own.gradients

    @property
    def optimizer_state(self) -> Quantity:
        """What the optimizer keeps from step to step."""
        return self.own.optimizer_state

    @property
    def optimizer_temporary(self) -> Quantity:
        """What the optimizer allocates while it steps."""
        return self.own.optimizer_temporary

    @property
    def inputs(self) -> Quantity:
        """The batch of token ids."""
        return self.own.inputs

    @property
    def offloads_optimizer(self) -> bool:
        """Whether the optimizer's states are in the host's memory."""
        return self.own.offloads_optimizer

    @property
    def between_steps(self) -> Sequence[Quantity]:
        """What else stays from step to step: the other models among it."""
        return [*self.own.between_steps, *self.plan.held.values()]

    def between_devices(self, alive: Mapping[Kind, int]) -> list[Quantity]:
        """The other models; what there is only while sequences are written or scored; messages."""
        there = {kind.role for kind in alive}
        of_phases = {part.id: part for parts in self.plan.before.values() for part in parts}
        shown = [part for id, part in of_phases.items() if id in there]
        return [*self.own.between_devices(alive), *self.plan.held.values(), *shown]

    @cached_property
    def course(self) -> Timeline:
        """All changes of memory, in order."""
        own, held = self.own.course, sum(part.value for part in self.plan.held.values())
        before = [Stretch(name, "back", Segment(list(self._changes(name)))) for name in self.plan.before]
        return Timeline(own.base + held, [*before, *own.stretches])

    def _changes(self, phase: str) -> Iterator[Change]:
        """The batch, and what the phase needs, which all goes at its end."""
        kinds = self.plan.pieces(phase, self.inputs.value)
        yield from (Change(sign, kind) for sign in (1, -1) for kind in kinds)

    @property
    def _steady_by_category(self) -> dict[str, int]:
        others = int(sum(part.value for part in self.plan.held.values()))
        return {**self.own._steady_by_category, **({"other_models": others} if others else {})}


def aligned_peaks(plan: Alignment) -> np.ndarray:
    """The peak of the device that needs most, in bytes, over arrays of batch size and sequence length, shaped as they
    broadcast."""

    def peak_of(run: TrainingRun) -> Size:
        part = replace(plan, run=run)
        if plan.layout == Layout():
            return part.course.peak.value
        peak: Size = peak_on_each(plan.model, part.policy, plan.layout, counted=plan.counted)
        resting = part.at_rest
        each = resting.inputs.value / (resting.run.batch_size * resting.run.seq_len)
        for phase in part.before:
            kinds = part.pieces(phase, each * part.policy.batch_size * run.seq_len)
            peak = larger(peak, resting.course.base + sum(kind.bytes for kind in kinds))
        return peak + sum(part.value for part in part.held.values())

    return swept(plan.model, plan.run, peak_of)
