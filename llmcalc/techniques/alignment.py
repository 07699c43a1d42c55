"""Preference and reinforcement learning as plans made of training steps: which models a device holds, and when most.

An estimate: each pass is the same simulated step, or one layer of a pass without a graph; what a trainer adds around
them (samples, advantages, masks) is small and left out. The defaults are those of TRL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from llmcalc.catalog.precisions import BYTES
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
from llmcalc.step.run import TrainingRun
from llmcalc.step.step import Step, training_step
from llmcalc.techniques.distillation import teacher_logits_memory, teacher_pass_memory
from llmcalc.transformer.dimensions import plain_sizes
from llmcalc.transformer.model import Model

STANDING = "estimate"
ENGINES = ("same", "beside", "sleeping")  # the policy itself generates, or an engine with a copy of it, which may sleep


@dataclass(frozen=True, kw_only=True)
class Method:
    """``sequences``: sequences that the policy reads in one batch for each of the run's: chosen and rejected are two.
    ``reference``, ``reward``, ``value``: which models there are beside it. ``generates``: whether sequences are made in
    the step. ``scores_vocabulary``: whether its loss needs log-probabilities of tokens."""

    id: str
    source: Citation
    sequences: int = 1
    reference: bool = False
    reward: bool = False
    value: bool = False
    generates: bool = False
    scores_vocabulary: bool = True


METHODS: Mapping[str, Method] = {
    row.id: row
    for row in (
        Method(id="dpo", source=RAFAILOV_2023.at("sec. 4"), sequences=2, reference=True),
        Method(id="kto", source=ETHAYARAJH_2024.at("sec. 4.1"), reference=True),
        Method(id="reward", source=OUYANG_2022.at("sec. 3.4"), sequences=2, scores_vocabulary=False),
        Method(
            id="ppo", source=SCHULMAN_2017.at("algorithm 1"), reference=True, reward=True, value=True, generates=True
        ),
        Method(id="grpo", source=SHAO_2024.at("sec. 4.1, algorithm 1"), generates=True),
    )
}


@formula(r"M_\text{model}", "bytes", TRL.at("trl/trainer, models that do not train"))
def held_model_memory(*, parameters, weight_bytes):
    """Weights of a model that is held beside the policy and does not train."""
    return parameters * weight_bytes


@formula(r"M_\text{head}", "bytes", TRL.at("AutoModelForCausalLMWithValueHead; num_labels=1"))
def value_head_memory(*, d_model, weight_bytes):
    """A head that gives one number for each position, on a body that is shared."""
    return d_model * weight_bytes


@dataclass(frozen=True, eq=False, kw_only=True)
class Alignment:
    """A step of ``method`` (a key of `METHODS`) that trains ``model`` as ``run`` says, on one device.

    The run's ``batch_size`` counts pairs (DPO, reward model), examples (KTO) or sequences that are generated and
    trained on (PPO, GRPO). ``has_reference``: None as the method's trainer has it (GRPO's has one only where its β is
    not 0). Under LoRA the reference is the policy with its adapters off, and reward and value are heads and adapters on
    the same base. ``packed_length``: sequences of so many tokens on average stand one behind the other in rows of the
    run's length, without padding; None: each has a row. ``full_logits``: log-probabilities of sequences are taken from
    logits of all tokens at once, as TRL does, not piece by piece. ``rollouts`` sequences are generated at a time, by an
    engine of `ENGINES`.

    Raises InputError, naming the field, for what is unknown.
    """

    method: str
    model: Model
    run: TrainingRun
    has_reference: bool | None = None
    packed_length: int | None = None
    full_logits: bool = True
    engine: str = "same"
    rollouts: int | None = None

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
    def rows(self) -> int:
        """Rows of tokens that the policy reads in one batch."""
        sequences = int(self.run.batch_size) * self.how.sequences
        return sequences if self.packed_length is None else -(-sequences * self.packed_length // self.run.seq_len)

    @cached_property
    def step(self) -> Step:
        """The policy's own training step: chosen and rejected in one batch."""
        pieces = self.how.scores_vocabulary and self.full_logits
        loss = "plain" if pieces else "fused"
        padding = self.packed_length is None and self.run.padding
        return training_step(self.model, replace(self.run, batch_size=self.rows, loss=loss, padding=padding))

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
        each = self.run.numbers.weight_bytes
        return held_model_memory(parameters=self.model.parameters(), weight_bytes=each).named(id)

    def _head(self, id: str) -> Quantity:
        return value_head_memory(d_model=self.model.width, weight_bytes=self.run.trained.weight_bytes).named(id)

    @cached_property
    def _value(self) -> Quantity:
        """The value model trains in the same step, on the same rows: its weights, gradients and states, and what its
        layers keep, without a vocabulary's logits."""
        step = training_step(self.model, replace(self.step.run, loss="fused"))
        parts = [step.weights, step.optimizer_state, step.gradients, step.saved_activations]
        return total("value_model", r"M_\text{value}", *(part for part in parts if part.value))

    @cached_property
    def _copy(self) -> Quantity:
        """An engine's own weights, 16 bits each, adapters merged."""
        weights = held_model_memory(parameters=self.model.parameters(), weight_bytes=BYTES["bf16"])
        return weights.named("engine_weights")

    @cached_property
    def cache(self) -> Quantity:
        """Keys and values of the sequences that are generated at a time, at their full length, 16 bits each."""
        sequences = self.rollouts or int(self.run.batch_size)
        return full_cache(self.model, batch_size=sequences, seq_len=self.run.seq_len).named("kv_cache")

    # When

    @cached_property
    def phases(self) -> dict[str, Quantity]:
        """The memory of each phase of the step: sequences are generated, models score them without a graph, the policy
        trains."""
        beside = list(self.held.values())
        steady = [part for part in self.step.steady_state.parts if part.value]
        found = {}
        if self.how.generates:
            engine = {"same": [self.cache], "sleeping": [self._copy, self.cache], "beside": []}[self.engine]
            found["rollout"] = total("rollout_phase", r"M_\text{rollout}", *steady, *beside, *engine)
        if self._has_reference or self.how.generates:
            found["scores"] = total("scores_phase", r"M_\text{scores}", *steady, *beside, *self._pass)
        found["train"] = total("train_phase", r"M_\text{train}", self.step.peak.named("step_peak"), *beside)
        return found

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
        rows = tokens if self.full_logits else tokens | {"seq_len": -(-run.seq_len // 16)}
        logits = teacher_logits_memory(**rows, vocab_size=self.model.vocab_size, element_bytes=each)
        return [layer.named("scored_layer"), logits.named("scored_logits")]

    @property
    def peak_phase(self) -> str:
        """The phase with the most."""
        return max(self.phases, key=lambda name: self.phases[name].value)

    @property
    def peak(self) -> Quantity:
        """The most that is held at once."""
        return self.phases[self.peak_phase].named("alignment_peak", r"M_\text{peak}")
