"""The lesson: tasks that can be solved and are not solved at first, questions whose answers tell mistakes apart."""

from __future__ import annotations

import functools
import math
import re
import string
from xml.etree import ElementTree

import pytest
from latex_evaluator import evaluate
from laws import for_each
from lesson_solutions import CHEATS, SOLUTIONS

from llmcalc import words
from llmcalc.accuracy import measured_steps
from llmcalc.bases import base
from llmcalc.configuration import Configuration
from llmcalc.inputs import CHAPTERS as NUMBERS
from llmcalc.inputs import DEFAULTS, INPUTS, MODELS, PASTED, Text
from llmcalc.lessons.accounts import ACCOUNTS, accounts_of_job, job
from llmcalc.lessons.anatomy import PARTS, parameters_of, part_of, stacks
from llmcalc.lessons.chapters import CHAPTERS
from llmcalc.lessons.facts import facts
from llmcalc.lessons.glossary import GLOSSARY
from llmcalc.lessons.questions import QUESTIONS
from llmcalc.lessons.quiz import RIGHT
from llmcalc.lessons.savings import peaks
from llmcalc.lessons.tasks import TASKS, UNTOUCHED
from llmcalc.transformer.breakdown import in_values
from llmcalc.units import human
from pages.ui.figures.diagram import drawing

EVERY_TASK = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
EVERY_QUESTION = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
LIBRARY = [model for model in MODELS if model != PASTED]
GPT2_LAYER, GPT2 = 12 * 768**2 + 13 * 768, 124_439_808


def configured(model: str = "GPT-2 124M", **changes: object) -> Configuration:
    return Configuration({**DEFAULTS, **base(model).values, "model": model, **changes})


@functools.cache
def at_ends(every: bool) -> list[Configuration]:
    """The default with each input at its ends, with much at an end at once, and where the rule of four is right; of
    options every one, or of many some."""
    found = [
        configured(**{declared.id: end})
        for declared in INPUTS.values()
        if not isinstance(declared, Text) and declared.group not in ("language", "lesson", "base", "cluster")
        for end in declared.ends[:: 1 if every else len(declared.ends) // 8 or 1]
    ]
    least = {"batch_size": 1, "seq_len": 1, "n_layers": 1, "n_heads": 1}
    no_activations = {"precision": "fp32", "optimizer": "adamw_fused", "batch_size": 1, "seq_len": 4, "n_layers": 1000}
    found += [configured(**no_activations), configured(alpha=1.0, improvement=1.0)]
    return [*found, configured(**least), configured(**least, d_model=1, vocab_size=1), configured(d_model=2)]


# Chapters


def test_the_chapters_go_through_the_article_in_order_and_use_every_task_and_question_once():
    assert tuple(CHAPTERS) == NUMBERS
    assert "".join(chapter.section for chapter in CHAPTERS.values()) == "abcdefghi"
    assert [chapter.task for chapter in CHAPTERS.values()] == list(TASKS.values())
    assert [q for chapter in CHAPTERS.values() for q in chapter.questions] == list(QUESTIONS.values())
    for chapter in CHAPTERS.values():
        assert 1 <= len(chapter.knobs) <= 2
        assert set(chapter.knobs) <= set(INPUTS)


# Tasks


@EVERY_TASK
def test_a_task_sets_inputs_to_what_they_accept_and_leaves_language_chapter_and_pins(task):
    assert set(task.settings) == set(INPUTS) - set(UNTOUCHED)
    for id, value in task.settings.items():
        assert value is None or INPUTS[id].read(str(value)) == value
    assert not task.start.problems


@EVERY_TASK
def test_a_task_is_unsolved_where_it_starts_and_where_the_page_opens(task):
    assert task.is_at_start(task.start)
    assert not task.is_solved(task.start)
    assert not task.is_solved(Configuration(DEFAULTS))


@EVERY_TASK
def test_a_task_can_be_solved(task):
    solved = Configuration({**task.start.values, **SOLUTIONS[task.id]})
    assert task.checklist(solved) == dict.fromkeys(task.checklist(task.start), True)
    assert not task.is_at_start(solved)


@EVERY_TASK
def test_no_condition_of_a_task_can_be_got_round(task):
    for missed, changes in CHEATS[task.id].items():
        checklist = task.checklist(Configuration({**task.start.values, **changes}))
        assert checklist[missed] is False, missed
    kept = {id for id, holds in task.checklist(task.start).items() if holds}
    assert kept - set(CHEATS[task.id]) <= {"same_parameters", "parts_disagree"}


def test_the_thresholds_of_the_tasks_are_those_of_arithmetic():
    def solved(task: str, **changes: object) -> bool:
        return TASKS[task].is_solved(Configuration({**TASKS[task].start.values, **changes}))

    table, rest = 50_257 * 768, 1024 * 768 + 2 * 768
    layers = [n for n in range(1, 13) if table > n * GPT2_LAYER + rest]
    assert [n for n in range(1, 13) if solved("table", n_layers=n)] == layers == [1, 2, 3, 4, 5]
    outside = [n for n in range(12, 60) if (n * GPT2_LAYER + 1536) / (12 * GPT2_LAYER + 1536) >= 0.9 ** (-1 / 0.076)]
    assert [n for n in range(12, 55) if solved("tenth", n_layers=n)] == [n for n in outside if n <= 54]
    assert [b for b in range(1, 9) if solved("crossing", batch_size=b)] == [3]
    # an A100: 312 TFLOP/s and 2,039 GB/s, two bytes a weight and two operations
    assert [b for b in range(1, 40) if solved("turn", batch_size=b)] == [math.ceil(312e12 / 2.039e12 / 8)]
    assert not solved("squeeze", weight_format="bf16")
    assert solved("squeeze", weight_format="NF4")


# Questions


def check_options(question, config) -> set[str]:
    """The ids of a question's options, after a look at them."""
    options = question.options(config)
    shown = [human(option.value, question.unit) for option in options]
    assert len(set(shown)) == len(shown) >= 3, (question.id, shown)
    assert [option.id for option in options].count(RIGHT) == 1
    assert {option.id for option in options} <= {RIGHT, *question.wrong}
    assert next(o.value for o in options if o.id == RIGHT) == question.answer(config)
    assert [option.value for option in options] == sorted(option.value for option in options)
    return {option.id for option in options}


@pytest.mark.parametrize("model", LIBRARY[::12])
def test_every_question_has_distinct_answers_for_any_model(model):
    for question in QUESTIONS.values():
        check_options(question, configured(model))


@EVERY_QUESTION
@pytest.mark.parametrize("every", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_question_has_distinct_answers_at_the_ends_of_inputs_and_every_mistake_is_made_somewhere(question, every):
    configurations = [*at_ends(every), *(configured(model) for model in LIBRARY[::40])]
    made = set().union(*(check_options(question, config) for config in configurations))
    assert made == {RIGHT, *question.wrong}


def test_right_answers_are_those_of_arithmetic_for_gpt2():
    peak = configured().step.peak.value
    expected = {
        "feed_forward_share": 100 * 12 * (8 * 768**2 + 5 * 768) / GPT2,
        "twice_the_layers": GPT2 + 12 * GPT2_LAYER,
        "attention_parameters": 4 * 768**2 + 4 * 768,
        "twice_as_wide": (12 * 1536**2 + 13 * 1536) / GPT2_LAYER,
        "weights_in_fp32": 4 * GPT2,
        "largest_model": 79.18 * 2**30 / 2,
        "left_by_the_rule": 0,
        "peak_over_rule": peak / (16 * GPT2),
        "adams_states": 8 * GPT2,
        "another_batch": 8 * 8 * 1024,
        "attention_matrix": 2 * 8 * 12 * 1024**2,
        "korthikanti": 12 * 8 * 1024 * (34 * 768 + 5 * 12 * 1024),
        "lower_loss": 0.9 ** (-1 / 0.076),
        "twice_the_size": 100 * (1 - 2**-0.076),
        # (βB/(αA))^(1/β) · N^(α/β) with the constants that Besiroglu et al. print
        "how_long": (0.3658 * 2085.43 / (0.3478 * 482.01)) ** (1 / 0.3658) * GPT2 ** (0.3478 / 0.3658),
        "zero_three": 16 * GPT2 / 8,
        "one_layer": GPT2_LAYER,
        "read_for_a_token": 2 * GPT2 + 2 * 2 * 12 * 768 * 1024,
        "rate_of_one": 3.35e12 / (2 * GPT2 + 2 * 2 * 12 * 768 * 1024),
        # Kaplan et al., eq. 2.2: 2N + 2 n_layer n_ctx d_attn; and the head's product, which their N leaves out
        "operations_for_a_token": 2 * (12 * GPT2_LAYER + 1536) + 2 * 12 * 1024 * 768 + 2 * 50_257 * 768,
        "turning": 989e12 / 3.35e12 * 2 * GPT2 / (2 * (12 * GPT2_LAYER + 1536 + 12 * 1024 * 768 + 50_257 * 768)),
        "devices_for_gpt3": math.ceil(16 * 174_604_259_328 / (79.18 * 2**30)),
    }
    for id, value in expected.items():
        assert QUESTIONS[id].answer(configured()) == pytest.approx(value, rel=1e-6), id
    once, twice, kept = configured(), configured(batch_size=16), configured(recompute="full").step
    assert peak < QUESTIONS["twice_the_batch"].answer(once) == twice.step.peak.value < 2 * peak
    assert QUESTIONS["full_recomputation"].answer(once) == kept.saved_activations.value


def test_mistakes_lead_where_they_say():
    wrong = {q.id: {m: float(value(configured())) for m, value in q.wrong.items()} for q in QUESTIONS.values()}
    assert wrong["attention_parameters"] == {
        "no_output": 3 * 768**2 + 4 * 768,
        "times_heads": 12 * (4 * 768**2 + 4 * 768),
        "one_matrix": 768**2,
    }
    assert wrong["attention_matrix"]["no_heads"] == 2 * 8 * 1024**2
    assert wrong["attention_matrix"]["no_square"] == 2 * 8 * 12 * 1024
    assert wrong["adams_states"] == {"one_state": 4 * GPT2, "weights_too": 12 * GPT2, "all_sixteen": 16 * GPT2}
    assert wrong["weights_in_fp32"]["gb_for_gib"] == pytest.approx(4 * GPT2 / 10**6 * 2**20)
    assert wrong["largest_model"]["printed_on_the_box"] == 80e9 / 2
    assert wrong["lower_loss"]["better_for_lower"] == pytest.approx(1.1 ** (1 / 0.076))
    assert wrong["one_layer"]["as_printed"] == 8 * 768**2 + 8 * 768 * 3072 + 2 * 768
    assert wrong["korthikanti"]["without_matrix"] == 34 * 12 * 8 * 1024 * 768
    assert wrong["korthikanti"]["no_heads_here"] == 12 * 8 * 1024 * (34 * 768 + 5 * 1024)
    assert wrong["zero_three"]["optimizer_only"] == 8 * GPT2 + 8 * GPT2 / 8


# What calculators say, what techniques save


def test_the_measured_figures_are_those_of_a_measured_row():
    row, accounts = job(), accounts_of_job()
    assert row in measured_steps()
    assert str(row) == "gpt2 8 × 1024 amp_bf16 sdpa adamw_foreach"
    assert tuple(accounts) == ACCOUNTS
    assert (accounts["measured"].saved, accounts["measured"].peak) == (row.saved, row.peak)
    assert accounts["llmcalc"].peak == pytest.approx(row.peak, rel=0.01)
    n, e = row.parameters, 8 * 1024 * 768
    assert accounts["four_weights"].peak == 16 * n
    assert accounts["korthikanti"].saved == 12 * (34 * e + 5 * 12 * 8 * 1024**2)
    article = 12 * (14 * e + 4 * 8 * 1024**2) + 6 * 8 * 1024 * 50_257
    assert accounts["article"].saved == article
    assert accounts["article"].peak == 16 * n + 8 * 8 * 1024 + article + 4 * 8 * 1024 * 50_257


@pytest.mark.parametrize("model", ["GPT-2 124M", "Llama 3 8B", "T5 small"])
def test_each_technique_alone_lowers_the_peak(model):
    config = configured(model, data_parallel=4, zero_stage=1)
    found = peaks(config)
    assert list(found.values()) == sorted(found.values())
    assert max(found.values()) < config.step.peak.value
    assert {"zero_3", "full_recomputation"} <= set(found)
    assert found["zero_3"] <= min(found["zero_1"], found["zero_2"])
    same = configured(model, recompute="full")
    assert found["full_recomputation"] == same.step.peak.value


# The drawing


@for_each("model", LIBRARY)
def test_the_boxes_of_the_drawing_hold_all_parameters(model):
    counted = configured(model).model
    counted = counted.language  # towers are not drawn
    assert {part_of(component) for component in counted.components()} <= set(PARTS)
    assert sum(parameters_of(counted, part).value for part in PARTS) == counted.parameters().value
    drawn = stacks(counted)
    assert sum(stack.layers for stack in drawn.values()) == counted.n_layers
    if len(drawn) == 1:
        (stack,) = drawn.values()
        assert sum(stack.counts.values()) == counted.parameters().value


@pytest.mark.parametrize(
    ("model", "stacks_drawn"),
    [
        ("GPT-2 124M", {"decoder": 12}),
        ("BERT base (encoder)", {"encoder": 12}),
        ("T5 small", {"encoder": 6, "decoder": 6}),
    ],
)
@pytest.mark.parametrize("language", ["en", "id"])
def test_the_drawing_says_what_is_lit_and_which_stack_is_missing(model, stacks_drawn, language):
    words.speak(language)
    try:
        counted, spoken = configured(model).model, words.dictionary(language)
        assert {name: stack.layers for name, stack in stacks(counted).items()} == stacks_drawn
        for lit in (*PARTS, "layer", "model"):
            picture = ElementTree.fromstring(drawing(counted, lit))
            texts = [element.text for element in picture.iter("text")]
            count = parameters_of(counted, lit).value
            assert human(count, "parameters", words.locale()) in texts
            assert picture.get("role") == "img"
            assert spoken[f"learn.part.{lit}.label"] in picture.get("aria-label")
            assert picture.find("title").text == picture.get("aria-label")
            for stack in ("encoder", "decoder"):
                assert (spoken[f"learn.diagram.no_{stack}"] in texts) == (stack not in stacks_drawn)
    finally:
        words.speak("en")


def test_only_what_is_lit_is_filled():
    counted = configured().model
    fills = {
        lit: {fill for fill in re.findall(r"fill:light-dark\((#\w+),#\w+\);stroke", drawing(counted, lit))}
        for lit in (*PARTS, "model")
    }
    assert all(len(fills[part]) == 1 for part in PARTS)
    assert len(set(map(frozenset, fills.values()))) == len(PARTS) + 1
    assert set().union(*(fills[part] for part in PARTS)) == fills["model"]


@pytest.mark.parametrize("model", ["GPT-2 124M", "Llama 3 8B", "DeepSeek-V3 671B", "T5 small"])
def test_a_formula_with_its_values_put_in_gives_its_value(model):
    for part in configured(model).model.blocks[0][0].parameters().parts:
        assert evaluate(in_values(part), {}) == part.value


# Words


def wanted_words() -> set[str]:
    wanted = {f"learn.part.{part}.{what}" for part in PARTS for what in ("label", "text")}
    wanted |= {f"learn.part.{part}.label" for part in ("layer", "model")}
    wanted |= {f"learn.chapters.{chapter.id}.{what}" for chapter in CHAPTERS.values() for what in ("title", "text")}
    wanted |= {f"learn.tasks.{task}.{what}" for task in TASKS for what in ("title", "text", "hint", "solved")}
    wanted |= {f"learn.conditions.{condition.id}" for task in TASKS.values() for condition in task.conditions}
    wanted |= {f"learn.questions.{question}.{what}" for question in QUESTIONS for what in ("text", "right")}
    wanted |= {f"learn.mistakes.{mistake}" for question in QUESTIONS.values() for mistake in question.wrong}
    wanted |= {f"learn.{table}.{word}" for table in ("glossary", "glossary_names") for word in GLOSSARY}
    wanted.add("learn.glossary.title")
    wanted |= {f"learn.accounts.{account}" for account in ACCOUNTS} | {f"learn.zero.zero_{n}" for n in (1, 2, 3)}
    return wanted


@pytest.mark.parametrize("language", ["en", "id"])
def test_everything_in_the_lesson_has_words_and_no_words_are_left_over(language):
    tables = tuple(f"learn.{table}." for table in ("part", "chapters", "tasks", "conditions", "questions", "mistakes"))
    tables += ("learn.accounts.", "learn.zero.", "learn.glossary.", "learn.glossary_names.")
    assert {key for key in words.dictionary(language) if key.startswith(tables)} == wanted_words()


@pytest.mark.parametrize("language", ["en", "id"])
def test_words_fill_in_only_numbers_that_there_are(language):
    now, start = set(facts(configured())), {f"start_{name}" for name in facts(configured())}
    spoken = words.dictionary(language)
    used = set()
    for table, known in (
        ("chapters", now),
        ("glossary", now),
        ("questions", now | {"right"}),
        ("tasks", now | start | {"gpt3"}),
        ("conditions", now | start | {"gpt3"}),
    ):
        for key, text in spoken.items():
            if key.startswith(f"learn.{table}."):
                fields = {field for _, field, *_ in string.Formatter().parse(text) if field}
                assert fields <= known, key
                used |= fields
    assert now <= used | {name.removeprefix("start_") for name in used}, "a number that no words fill in"


@pytest.mark.parametrize("language", ["en", "id"])
def test_every_word_that_the_lesson_explains_is_linked_from_a_chapter_and_no_link_leads_nowhere(language):
    spoken = words.dictionary(language)
    texts = [spoken[f"learn.chapters.{chapter.id}.text"] for chapter in CHAPTERS.values()]
    assert set(re.findall(r"\]\(#(\w+)\)", "".join(texts))) == set(GLOSSARY)


@pytest.mark.parametrize("language", ["en", "id"])
def test_a_chapter_is_told_without_the_article_but_for_the_one_that_compares_calculators(language):
    spoken, named = words.dictionary(language), {"en": "article", "id": "artikel"}[language]
    for chapter in CHAPTERS.values():
        questions = [f"learn.questions.{q.id}.{what}" for q in chapter.questions for what in ("text", "right")]
        mistakes = [f"learn.mistakes.{mistake}" for q in chapter.questions for mistake in q.wrong]
        for key in (f"learn.chapters.{chapter.id}.text", *questions, *mistakes):
            assert (named in spoken[key].lower()) <= (chapter.id == "calculators"), key
