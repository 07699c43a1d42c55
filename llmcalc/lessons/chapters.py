"""The chapters: what part of the article each retells, its controls, its task, its questions, its formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmcalc.configuration import Configuration
from llmcalc.devices.layout import ZERO_STAGES
from llmcalc.inputs import CHAPTERS as NUMBERS
from llmcalc.lessons.accounts import korthikanti_of
from llmcalc.lessons.facts import (
    loss_by_kaplan,
    rate_of_one,
    read_for_one,
    rule_of_four,
    rule_of_two,
    training_state,
)
from llmcalc.lessons.passage import Passage
from llmcalc.lessons.questions import QUESTIONS
from llmcalc.lessons.quiz import Question
from llmcalc.lessons.savings import shared_out
from llmcalc.lessons.tasks import TASKS, Task
from llmcalc.quantity import Quantity
from llmcalc.scaling import parameters_for_lower_loss


@dataclass(frozen=True)
class Chapter:
    """``section`` is the article's, "" for one of our own. ``knobs`` are the inputs whose controls it shows."""

    number: str
    id: str
    section: str
    knobs: tuple[str, ...]
    task: Task
    questions: tuple[Question, ...]
    formulas: Callable[[Configuration], tuple[Quantity, ...]] = lambda _: ()


def _weights(config: Configuration) -> tuple[Quantity, ...]:
    return (config.inference.inputs["weights"],)


def _rules(config: Configuration) -> tuple[Quantity, ...]:
    return rule_of_two(config), rule_of_four(config)


def _steady(config: Configuration) -> tuple[Quantity, ...]:
    return (training_state(config),)


def _peak(config: Configuration) -> tuple[Quantity, ...]:
    return config.step.saved_activations, config.step.peak


def _accounts(config: Configuration) -> tuple[Quantity, ...]:
    return rule_of_four(config), korthikanti_of(config)


def _law(config: Configuration) -> tuple[Quantity, ...]:
    price = parameters_for_lower_loss(improvement=config.values["improvement"], alpha=config.values["alpha"])
    return loss_by_kaplan(config), price


def _shared(config: Configuration) -> tuple[Quantity, ...]:
    rank = shared_out(config, ZERO_STAGES[-1])
    return rank.weights, rank.gradients, rank.optimizer_state


def _read(config: Configuration) -> tuple[Quantity, ...]:
    return read_for_one(config), rate_of_one(config)


def _layer(config: Configuration) -> tuple[Quantity, ...]:
    return (config.model.blocks[0][0].parameters().named("block"),)


def _time(config: Configuration) -> tuple[Quantity, ...]:
    passage = Passage(config)
    return passage.reading, passage.arithmetic, passage.turning


def _chapters() -> dict[str, Chapter]:
    rows = (
        ("parts", "a", ("n_layers", "vocab_size"), "table", ("feed_forward_share", "twice_the_layers"), None),
        ("parameters", "b", ("d_model", "n_heads"), "slim", ("attention_parameters", "twice_as_wide"), None),
        ("weights", "c", ("weight_format", "accelerator"), "squeeze", ("weights_in_fp32", "largest_model"), _weights),
        ("rules", "d", ("batch_size", "seq_len"), "rule", ("left_by_the_rule", "peak_over_rule"), _rules),
        ("steady", "e", ("optimizer", "precision"), "lighter", ("adams_states", "another_batch"), _steady),
        ("peak", "f", ("batch_size", "attention"), "crossing", ("attention_matrix", "twice_the_batch"), _peak),
        ("calculators", "", ("batch_size", "attention"), "accident", ("korthikanti",), _accounts),
        ("scaling", "g", ("n_layers", "improvement"), "tenth", ("lower_loss", "twice_the_size", "how_long"), _law),
        ("techniques", "h", ("recompute", "loss"), "fit", ("full_recomputation", "zero_three"), _shared),
        ("gpt3", "i", ("d_model", "n_layers"), "gpt3", ("one_layer", "devices_for_gpt3"), _layer),
        ("serving", "", ("seq_len", "cache_format"), "crowd", ("read_for_a_token", "rate_of_one"), _read),
        ("time", "", ("batch_size", "seq_len"), "turn", ("operations_for_a_token", "turning"), _time),
    )
    found = {}
    for number, (id, section, knobs, task, questions, formulas) in zip(NUMBERS, rows, strict=True):
        asked = tuple(QUESTIONS[question] for question in questions)
        found[number] = Chapter(number, id, section, knobs, TASKS[task], asked, formulas or (lambda _: ()))
    return found


CHAPTERS = _chapters()
