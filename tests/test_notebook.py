"""What a quantity, a model and a step show of themselves in a notebook and at a prompt."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

import llmcalc
from llmcalc import Dimensions, TrainingRun, training_step
from llmcalc.bases import LIBRARY, base
from llmcalc.devices.layout import Layout
from llmcalc.devices.rank import rank_memory
from llmcalc.transformer.feedforward import up_bias

GPT2 = Dimensions().model()


def balanced(markdown: str) -> bool:
    return markdown.count("<details>") == markdown.count("</details>") and markdown.count("$") % 2 == 0


def test_a_quantity_is_told_by_name_value_formula_values_and_source():
    shown = up_bias(d_ff=3072)._repr_markdown_()
    for piece in ("3,072", r"d_\text{ff}", "](https://arxiv.org/abs/1706.03762)"):
        assert piece in shown
    whole = GPT2.parameters()._repr_markdown_()
    for piece in ("124,439,808", "124 M", r"V \cdot d = 50{,}257 \cdot 768 = 38{,}597{,}376"):
        assert piece in whole
    assert balanced(whole)


def test_what_a_prompt_prints_is_one_short_line():
    run = TrainingRun(batch_size=2, seq_len=64)
    step, rank = training_step(GPT2, run), rank_memory(GPT2, run, Layout(data_parallel=2))
    assert repr(GPT2.parameters()) == "<parameters = 124,439,808 parameters>"
    for shown in (GPT2, step, rank, step.peak, llmcalc.inference_memory(GPT2, batch_size=1, seq_len=8)):
        assert re.fullmatch(r".{10,120}", repr(shown))


def test_no_step_of_a_working_says_the_same_twice():
    for _, quantity in GPT2.parameters().collapsed.walk():
        sides = re.split(" = |^= ", " = ".join(quantity.steps))
        assert all(left != right for left, right in pairwise(filter(None, sides)) if not quantity.is_given), quantity


@pytest.mark.parametrize("name", list(LIBRARY)[::12])
def test_models_and_steps_show_themselves_whole(name):
    start = base(name)
    model = start.model(start.values)
    assert balanced(model._repr_markdown_())
    assert f"{model.parameters().value:,}" in model._repr_markdown_()


def test_a_sweep_and_a_quantity_of_the_readers_own_show_themselves():
    sweep = llmcalc.inference_memory(GPT2, batch_size=np.array([1, 64]), seq_len=8)
    assert "…" in sweep._repr_markdown_()
    mine = llmcalc.total("what_i_add", "X", GPT2.parameters())
    assert "what_i_add" in mine._repr_markdown_()
