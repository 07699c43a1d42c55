"""What to try in each chapter: where it starts, and when it is done. Nothing is stored: the present inputs decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmcalc.bases import base
from llmcalc.cached import cached_property
from llmcalc.catalog.presets import PRESETS
from llmcalc.configuration import Configuration
from llmcalc.fit.verdict import fits
from llmcalc.inputs import DEFAULTS
from llmcalc.lessons.facts import (
    embedding_share,
    facts,
    loss_by_kaplan,
    rule_of_four,
    tokens_per_step,
    training_state,
)
from llmcalc.lessons.passage import Passage

# What a task leaves as the reader has it
UNTOUCHED = ("lang", "chapter", "compare", "config")
GPT3_PARAMETERS = PRESETS["GPT-3 175B"].dimensions.model().parameters().value


@dataclass(frozen=True)
class Condition:
    """``holds`` compares the present configuration with the one that the task starts from."""

    id: str
    holds: Callable[[Configuration, Configuration], bool]


@dataclass(frozen=True)
class Task:
    """``model`` and ``changes`` are what it starts from; it is solved when all ``conditions`` hold."""

    id: str
    model: str
    changes: Mapping[str, Any]
    conditions: tuple[Condition, ...]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The value of every input that the task sets."""
        values = DEFAULTS | dict(base(self.model).values) | {"model": self.model, **self.changes}
        return {id: value for id, value in values.items() if id not in UNTOUCHED}

    @cached_property
    def start(self) -> Configuration:
        """The configuration that it starts from."""
        return Configuration(DEFAULTS | self.settings)

    @cached_property
    def _start_facts(self) -> dict[str, Any]:
        return {f"start_{name}": value for name, value in facts(self.start).items()}

    def checklist(self, config: Configuration) -> dict[str, bool]:
        """Every condition, and whether it holds."""
        return {condition.id: condition.holds(config, self.start) for condition in self.conditions}

    def is_solved(self, config: Configuration) -> bool:
        """Whether all conditions hold."""
        return all(condition.holds(config, self.start) for condition in self.conditions)

    def is_at_start(self, config: Configuration) -> bool:
        """Whether every input is as the task sets it."""
        return all(config.values[id] == value for id, value in self.settings.items())

    def numbers(self, config: Configuration) -> dict[str, Any]:
        """What its words fill in: the facts of now, and of the start as ``start_…``."""
        return facts(config) | self._start_facts | {"gpt3": GPT3_PARAMETERS}


def _same(what: Callable[[Configuration], Any]) -> Callable[[Configuration, Configuration], bool]:
    return lambda now, start: what(now) == what(start)


def _parameters(config: Configuration) -> int:
    return config.model.parameters().value


def _non_embedding(config: Configuration) -> int:
    return config.model.non_embedding_parameters().value


def _with_one_sequence_less(config: Configuration) -> Configuration:
    return Configuration({**config.values, "batch_size": config.values["batch_size"] - 1})


def _activations_outweigh(config: Configuration) -> bool:
    return config.step.saved_activations.value > config.step.steady_state.value


def _computes_as_long(config: Configuration) -> bool:
    passage = Passage(config)
    return passage.arithmetic.value >= passage.reading.value


def _weights_fit(now: Configuration, start: Configuration) -> bool:
    return bool(now.inference.inputs["weights"].value <= start.verdict.for_tensors.value)


def _serves_all(now: Configuration, start: Configuration) -> bool:
    found = now.served
    return bool(found and found.fits and found.job.concurrency >= start.values["concurrency"])


def _within(share: float, a: float, b: float) -> bool:
    return abs(a / b - 1) <= share


SOUND = Condition("sound", lambda now, _: not now.problems)
SAME_PARAMETERS = Condition("same_parameters", _same(_parameters))
SAME_LAYERS = Condition("same_layers", _same(lambda config: config.model.n_layers))
SAME_WIDTH = Condition("same_width", _same(lambda config: config.dimensions.d_model))
SAME_VOCABULARY = Condition("same_vocabulary", _same(lambda config: config.dimensions.vocab_size))
SAME_LENGTH = Condition("same_length", _same(lambda config: config.run.seq_len))
SAME_DEVICE = Condition("same_device", _same(lambda config: config.accelerator.id))
SAME_TOKENS = Condition("same_tokens", _same(tokens_per_step))
SAME_NUMBERS = Condition("same_numbers", _same(lambda config: (config.run.precision, config.run.updates.n_states)))
ALL_TRAIN = Condition("all_train", lambda now, _: now.run.lora_rank == 0)
SAME_FORMAT = Condition("same_format", _same(lambda config: config.values["weight_format"]))
SAME_CONTEXT = Condition("same_context", _same(lambda config: config.serving.context))
ONE_SERVES = Condition("one_serves", lambda now, _: now.served is not None and now.served.job.devices == 1)
ONE_DEVICE = Condition("one_device", lambda now, _: now.layout.devices == 1 and not now.layout.offload_optimizer)

TASKS = {
    task.id: task
    for task in (
        Task(
            "table",
            "GPT-2 124M",
            {},
            (Condition("half_embedding", lambda now, _: embedding_share(now) > 0.5), SAME_WIDTH, SAME_VOCABULARY),
        ),
        Task(
            "slim",
            "GPT-2 124M",
            {},
            (
                Condition("under_hundred", lambda now, _: _parameters(now) < 100_000_000),
                SAME_LAYERS,
                SAME_VOCABULARY,
                SOUND,
            ),
        ),
        Task(
            "squeeze",
            "Llama 2 13B",
            {"accelerator": "RTX 4090", "batch_size": 1},
            (
                Condition("weights_fit", _weights_fit),
                SAME_PARAMETERS,
                SAME_DEVICE,
            ),
        ),
        Task(
            "rule",
            "GPT-2 124M",
            {"optimizer": "adamw_fused"},
            (
                Condition("rule_holds", lambda now, _: _within(0.1, now.step.peak.value, rule_of_four(now).value)),
                SAME_PARAMETERS,
                SAME_NUMBERS,
                ALL_TRAIN,
            ),
        ),
        Task(
            "lighter",
            "GPT-2 XL 1.5B",
            {"batch_size": 1},
            (
                Condition(
                    "half_state", lambda now, start: 2 * training_state(now).value <= training_state(start).value
                ),
                SAME_PARAMETERS,
                ALL_TRAIN,
            ),
        ),
        Task(
            "crossing",
            "GPT-2 124M",
            {"batch_size": 1},
            (
                Condition("outweighs", lambda now, _: _activations_outweigh(now)),
                Condition(
                    "just",
                    lambda now, _: now.run.batch_size > 1 and not _activations_outweigh(_with_one_sequence_less(now)),
                ),
                SAME_LENGTH,
                SAME_PARAMETERS,
            ),
        ),
        Task(
            "accident",
            "GPT-2 124M",
            {},
            (
                Condition("peaks_agree", lambda now, _: _within(0.05, now.article.peak.value, now.step.peak.value)),
                Condition(
                    "parts_disagree",
                    lambda now, _: (
                        not _within(0.1, now.article.saved_activations.value, now.step.saved_activations.value)
                    ),
                ),
                SAME_LENGTH,
                SAME_PARAMETERS,
            ),
        ),
        Task(
            "tenth",
            "GPT-2 124M",
            {},
            (
                Condition(
                    "lower_loss", lambda now, start: loss_by_kaplan(now).value <= 0.9 * loss_by_kaplan(start).value
                ),
                Condition("frugal", lambda now, start: _non_embedding(now) <= 4.5 * _non_embedding(start)),
                SOUND,
            ),
        ),
        Task(
            "fit",
            "GPT-2 Large 774M",
            {"batch_size": 16, "accelerator": "RTX 4090"},
            (
                Condition("step_fits", lambda now, start: fits(now.verdict.needed.value, start.accelerator)),
                SAME_PARAMETERS,
                SAME_TOKENS,
                SAME_NUMBERS,
                ALL_TRAIN,
                SAME_DEVICE,
                ONE_DEVICE,
            ),
        ),
        Task(
            "gpt3",
            "GPT-2 124M",
            {},
            (
                Condition("ninety_six", lambda now, _: now.model.n_layers == 96),
                Condition("gpt3_size", lambda now, _: _within(0.01, _parameters(now), GPT3_PARAMETERS)),
                SOUND,
            ),
        ),
        Task(
            "crowd",
            "Llama 2 13B",
            {"accelerator": "A100 80GB SXM", "concurrency": 32, "context": 4096, "seq_len": 4096},
            (
                Condition("all_served", _serves_all),
                SAME_PARAMETERS,
                SAME_CONTEXT,
                SAME_DEVICE,
                ONE_SERVES,
            ),
        ),
        Task(
            "turn",
            "GPT-2 XL 1.5B",
            {"batch_size": 1, "seq_len": 8, "accelerator": "A100 80GB SXM"},
            (
                Condition("computes", lambda now, _: _computes_as_long(now)),
                Condition(
                    "just_computes",
                    lambda now, _: now.run.batch_size > 1 and not _computes_as_long(_with_one_sequence_less(now)),
                ),
                SAME_LENGTH,
                SAME_PARAMETERS,
                SAME_DEVICE,
                SAME_FORMAT,
            ),
        ),
    )
}
