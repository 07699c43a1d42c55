"""Every class of transformers' maps at its default config: as many parameters as the class, or a refusal.

``classes.jsonl`` was counted on the classes by ``tests/oracle/classes.py``.
"""

from __future__ import annotations

import json

import pytest
from golden_files import jsonl_rows

from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.huggingface import from_config, read_config
from llmcalc.inputs import PASTED

ROWS = jsonl_rows("classes.jsonl")
MAPS = sorted({row["map"] for row in ROWS})
# Of each map, how many classes may still be refused, or counted in part; the rest are counted exactly
REFUSED = {
    **{"masked": 1, "sequence to sequence": 2, "image and text": 4, "several kinds": 2, "speech": 1},
    **{"causal": 1, "sequence classification": 1, "without head": 4},
}


def counted(row):
    """What we count, None where it is refused, or said to be a guess or a part."""
    try:
        reading = read_config({"model_type": row["model_type"], "architectures": [row["class"]]})
    except InputError:
        return None
    said = {notice.id for notice in (*reading.warnings, *reading.notes)}
    guessed = said & {"like_llama", "other_head", "language_part", "thinker"}
    return None if guessed else reading.model.parameters().value


@pytest.mark.parametrize("map", MAPS)
def test_each_class_has_as_many_parameters_as_the_real_one_or_is_refused(map):
    rows = [row for row in ROWS if row["map"] == map and "total" in row]
    ours = {(row["model_type"], row["class"]): counted(row) for row in rows}
    theirs = {(row["model_type"], row["class"]): row["total"] for row in rows}
    assert {key: n - theirs[key] for key, n in ours.items() if n not in (None, theirs[key])} == {}
    assert sum(n is None for n in ours.values()) <= REFUSED.get(map, 0)


@pytest.mark.parametrize("row", jsonl_rows("sized_classes.jsonl"), ids=lambda row: row["config"]["model_type"])
def test_a_class_at_other_sizes_has_as_many_parameters_as_the_real_one(row):
    """Switches and sizes that are not the class's own; what was read of a config reads the same."""
    reading = read_config(row["config"])
    assert reading.model.parameters().value == row["total"]
    assert read_config(reading.used).model.parameters().value == row["total"]
    assert not reading.warnings


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "roberta", "xglm"])
def test_a_decoder_that_attends_to_another_models_output_is_estimated(model_type):
    """Nobody read a step with such an attention: what simulates the class without it would lack its weights."""
    config = {"model_type": model_type, "is_decoder": True, "add_cross_attention": True}
    assert from_config({"model_type": model_type}).code is not None
    assert from_config(config).code is None
    step = Configuration({"model": PASTED, "config": json.dumps(config), "batch_size": 2, "seq_len": 64})
    assert step.verdict.needed.value > 16 * from_config(config).parameters().value  # weights, gradients, two moments


LLAMA_8B = {
    **{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
    **{"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False},
}


def test_a_classifier_has_a_vector_for_each_label_in_place_of_the_head():
    def head(architecture, **changes):
        model = from_config({**LLAMA_8B, "architectures": [architecture], **changes})
        return model.components()["head"].value

    assert head("LlamaForCausalLM") == 128256 * 4096
    assert head("LlamaForSequenceClassification", num_labels=1) == 4096  # a reward
    assert head("LlamaForSequenceClassification", id2label={"0": "bad", "1": "good", "2": "better"}) == 3 * 4096
    assert head("LlamaForTokenClassification") == 2 * (4096 + 1)
    assert head("LlamaForRewardModel") == 4096


def test_a_decoder_alone_of_an_encoder_decoder_is_its_own_size():
    # the class MBartForCausalLM of transformers 5.23 at its default config, beside the whole model
    assert from_config({"model_type": "mbart", "architectures": ["MBartForCausalLM"]}).parameters().value == 254_086_144
    reading = read_config({"model_type": "mbart", "architectures": ["MBartForConditionalGeneration"]})
    assert reading.model.parameters().value == 406_295_552
    alone = read_config({"model_type": "bart", "architectures": ["BartForCausalLM"], "decoder_layers": 3})
    assert (alone.dimensions["n_layers"], alone.model.n_layers) == (3, 3)


def test_a_key_that_is_null_is_said_to_be_null_and_not_missing():
    nas = {**LLAMA_8B, "model_type": "some_nas", "intermediate_size": None, "block_configs": [{"n_heads_in_group": 8}]}
    for config, words in (
        (nas, "'intermediate_size' is null: this model's layers differ one by one"),
        ({**LLAMA_8B, "hidden_size": None}, "'hidden_size' is null"),
        ({**LLAMA_8B, "model_type": "no_such_model", "num_hidden_layers": None}, "'num_hidden_layers' is null"),
    ):
        with pytest.raises(InputError, match=words):
            from_config(config)
