"""How a family's code runs its layers: no word that nothing knows, and none that nothing asks for."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path

import pytest
from laws import for_each

from llmcalc.catalog.precisions import BYTES
from llmcalc.step.activations import ACTIVATIONS
from llmcalc.step.experts import EXPERTS
from llmcalc.step.norms import NORMS
from llmcalc.transformer.code import CHOICES, LISTS, PLAIN, Code

ROOT = Path(__file__).parent.parent / "llmcalc"
SIZES = {"rotary_fraction": (-0.1, 1.1), "rotary_width": (0, -1), "n_positions": (-1,), "layer_runs": (0, -1)}
FREE = {"activation"}  # what a config calls it, which a step runs or says that it does not


def test_every_field_is_checked():
    assert {field.name for field in fields(Code)} == CHOICES.keys() | SIZES.keys() | FREE
    assert {"dropout_at", "named", "weightless_norms"} == LISTS


@for_each("name", CHOICES)
def test_a_word_that_there_is_not_is_refused_with_the_field_and_its_choices(name):
    wrong = "no such"
    with pytest.raises(ValueError, match=rf"^{name}: 'no such' is none of ") as error:
        replace(PLAIN, **{name: (*CHOICES[name], wrong) if name in LISTS else wrong})
    assert all(repr(word) in str(error.value) for word in CHOICES[name])


@for_each("name", LISTS)
def test_a_word_alone_is_no_list_of_words(name):
    with pytest.raises(ValueError, match=rf"^{name}: "):
        replace(PLAIN, **{name: CHOICES[name][0]})


@for_each("name", CHOICES)
def test_every_word_that_there_is_is_taken(name):
    for word in CHOICES[name]:
        value = (word,) if name in LISTS else word
        assert getattr(replace(PLAIN, **{name: value}), name) == value


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name, each in SIZES.items() for wrong in each])
def test_a_size_that_cannot_be_is_refused(name, wrong):
    with pytest.raises(ValueError, match=rf"^{name}: {wrong}"):
        replace(PLAIN, **{name: wrong})


def test_a_step_runs_every_word_and_no_other():
    assert set(CHOICES["norm"]) == set(CHOICES["qk_norm"]) == set(NORMS)
    assert set(CHOICES["experts"]) == set(EXPERTS)
    assert set(CHOICES["buffer_format"]) - {"weights"} <= set(BYTES)
    assert PLAIN.activation in ACTIVATIONS


def asked() -> set[tuple[str, str]]:
    """Each field of a `Code` that is compared with a word somewhere, and the word."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Compare(ast.Attribute(attr=name), [ast.Eq() | ast.NotEq()], [ast.Constant(str(word))]):
                    code = node.left.value
                case ast.Compare(ast.Constant(str(word)), [ast.In() | ast.NotIn()], [ast.Attribute(attr=name)]):
                    code = node.comparators[0].value
                case _:
                    continue
            if "code" in ast.unparse(code) and name in CHOICES:
                found.add((name, word))
    return found


def test_what_is_asked_of_a_code_is_a_word_that_it_can_have():
    assert len(asked()) > 15
    assert [(name, word) for name, word in sorted(asked()) if word not in CHOICES[name]] == []
