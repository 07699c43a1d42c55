"""The source article's figures: each wrong one reproduced by what produced it, each right one computed live."""

from __future__ import annotations

import dataclasses

import pytest
from golden_files import csv_rows

from llmcalc import Dimensions, TrainingRun, errata, inference_memory, training_step
from llmcalc.article import (
    article_activations,
    article_attention,
    article_attention_matrix,
    article_components,
    article_embedding,
    article_feed_forward,
    article_gpt3_layer,
    article_input,
    article_layer,
    article_layer_activations,
    article_layers,
    article_norm,
    article_parameters,
    article_steady_state,
    article_step,
    article_ten_percent,
    inference_rule_of_thumb,
    training_rule_of_thumb,
)
from llmcalc.errata import ERRATA, EXAMPLE_STEPS, LAYER_TERMS, PEAK_MODEL, PEAK_RUN, complete_parameters
from llmcalc.quantity import Quantity
from llmcalc.scaling import (
    KAPLAN_ALPHA,
    KAPLAN_CRITICAL_PARAMETERS,
    loss_from_parameters,
    parameters_for_better_metric,
    parameters_for_lower_loss,
    performance_from_parameters,
)
from llmcalc.serving.held import model_memory

GOLDEN = {row["id"]: row for row in csv_rows("errata.csv")}
D, LAYERS, VOCABULARY, D_FF, HEADS = 768, 12, 50_000, 3072, 12
# what the article's worked example describes: no biases in the attention, no positions, no final norm, the head tied
EXAMPLE = Dimensions(
    d_model=D,
    n_layers=LAYERS,
    n_heads=HEADS,
    vocab_size=VOCABULARY,
    attention_bias=False,
    positions="none",
    final_norm=False,
)
GPT3 = Dimensions(d_model=12_288, n_layers=96, n_heads=96, n_positions=2048)
BATCH, LENGTH = 4, 256
E = BATCH * LENGTH * D
MATRIX = ("softmax", "cast", "attention_mask")  # in fp32, its 16-bit copy, and the causal mask


def terms(n_layers: int) -> dict[tuple[str, str], float]:
    """Bytes that a step under autocast with an unfused attention keeps, by component and role."""
    shape = dataclasses.replace(EXAMPLE, n_layers=n_layers)
    step = training_step(shape.model(), dataclasses.replace(PEAK_RUN, batch_size=BATCH, seq_len=LENGTH))
    return {
        (part.id.removeprefix("activations_"), term.id): term.value
        for part in step.saved_activations.parts
        for term in part.parts
    }


def kept(component: str, *roles: str) -> float:
    """Bytes that one layer keeps: what a second layer adds."""
    one, two = terms(1), terms(2)
    return sum(two[component, role] - one.get((component, role), 0) for role in roles)


def model_bytes(bits: int) -> float:
    return model_memory(parameters=EXAMPLE.model().parameters(), bits_per_weight=bits).value


def layer_activations() -> float:
    """Bytes in E of everything that one layer keeps, attention matrix and norm statistics apart."""
    added = sum(terms(2).values()) - sum(terms(1).values())
    statistics = kept("norm", "norm_statistics")
    return (added - statistics - kept("attention", *MATRIX)) / E


def components(dimensions: Dimensions) -> dict[str, Quantity]:
    return dimensions.model().components()


def in_a_layer(component: str, dimensions: Dimensions = EXAMPLE) -> int:
    return components(dimensions)[component].value // dimensions.n_layers


def block(dimensions: Dimensions) -> int:
    return dimensions.model().blocks[0][0].parameters().value


def loss(parameters: float) -> float:
    return loss_from_parameters(
        critical_parameters=KAPLAN_CRITICAL_PARAMETERS, parameters=parameters, alpha=KAPLAN_ALPHA
    ).value


# The same figures from the parts of a model and from the account of a training step
COUNTED_ON_A_MODEL = {
    "feed_forward": lambda: in_a_layer("feed_forward"),
    "layer": lambda: block(EXAMPLE),
    "layers": lambda: 12 * block(EXAMPLE),
    "model": lambda: EXAMPLE.model().parameters().value,
    "model_fp32": lambda: model_bytes(32),
    "model_fp16": lambda: model_bytes(16),
    # ids and targets; in a step they are one tensor
    "input_per_token": lambda: 2 * training_step(EXAMPLE.model(), TrainingRun(batch_size=1, seq_len=1)).inputs.value,
    # two norms in the layer, whose inputs are the residual stream
    "norms": lambda: kept("residual", "residual") / E,
    "attention_input": lambda: kept("attention", "linear_input") / E,
    "query_key_value": lambda: kept("attention", "copy") / E,
    "attention_output": lambda: kept("attention", "attention_output") / E,
    "first_linear": lambda: kept("feed_forward", "linear_input") / E,
    "gelu": lambda: kept("feed_forward", "up") / E,
    "second_linear": lambda: kept("feed_forward", "activation") / E,
    "layer_activations": layer_activations,
    # the causal mask, a byte for each pair of positions, is shared by the batch
    "attention_matrix": lambda: (kept("attention", *MATRIX) - LENGTH**2) / (BATCH * LENGTH**2),
    "doubling": lambda: loss(2e9) / loss(1e9),
    "gpt3_layer": lambda: block(GPT3),
    "gpt3_layers": lambda: 96 * block(GPT3),
    "gpt3_rest": lambda: GPT3.model().parameters().value - 96 * block(GPT3),
}


# Each as the article comes to it: from the figure it printed before
PRINTED = {
    "feed_forward": lambda: article_feed_forward(d_model=D, d_ff=D_FF).value - (D + D_FF) + 1024,
    "layer": lambda: (
        article_layer(attention_parameters=2_359_296, feed_forward_parameters=4_719_616, norm_parameters=1_536).value
    ),
    "layers": lambda: article_layers(n_layers=LAYERS, block_parameters=7_081_984).value,
    "model": lambda: article_embedding(vocab_size=VOCABULARY, d_model=D).value + 84_983_808,
    "model_fp32": lambda: model_memory(parameters=123_383_808, bits_per_weight=32).value,
    "model_fp16": lambda: model_memory(parameters=123_383_808, bits_per_weight=16).value,
    "inference_rule": lambda: inference_rule_of_thumb(model_bytes=494_000_000).value,
    "training_rule": lambda: training_rule_of_thumb(model_bytes=494_000_000).value,
    "input_per_token": lambda: article_input(batch_size=1, seq_len=1).value,
    "attention_matrix": lambda: article_attention_matrix(n_layers=1, batch_size=1, seq_len=1).value,
    "layer_activations": lambda: article_layer_activations(n_layers=1, batch_size=1, seq_len=1, d_model=1).value,
    "doubling": lambda: performance_from_parameters(parameters=2, alpha=0.07).value,
    "ten_per_cent": lambda: parameters_for_better_metric(improvement=10, alpha=0.0728486).value,
    "gpt3_layers": lambda: article_layers(n_layers=96, block_parameters=1.1e9).value,
    "gpt3_rest": lambda: 175e9 - 105.6e9,
}
# terms of its list, whose sum is tested below, a figure it took from elsewhere, and one that its formula does not give
NOT_COMPUTED = {"norms", "attention_input", "query_key_value", "second_linear", "alpha", "gpt3_layer"}
UNITS = {
    "parameters": "parameters",
    "bytes": "bytes",
    "bytes per token": "bytes",
    "E per layer": "E",
    "bytes per B S S at 12 heads": "B·S²",
    "ratio": "",
    "exponent": "",
}


def test_the_errata_are_those_of_the_golden_file():
    assert ERRATA.keys() == GOLDEN.keys()
    assert PRINTED.keys() | NOT_COMPUTED == ERRATA.keys()
    assert not PRINTED.keys() & NOT_COMPUTED


@pytest.mark.parametrize("id", GOLDEN)
def test_an_erratum_is_printed_in_its_section_and_is_one(id):
    erratum, golden = ERRATA[id], GOLDEN[id]
    assert (erratum.section, erratum.printed) == (golden["place"][0], float(golden["printed"]))
    assert erratum.right().unit == UNITS[golden["unit"]]
    assert erratum.printed != erratum.right().value


@pytest.mark.parametrize("id", GOLDEN)
def test_the_right_figure_is_what_llmcalc_computes(id):
    assert _as_printed(ERRATA[id].right().value, GOLDEN[id]["right"]) == float(GOLDEN[id]["right"])


@pytest.mark.parametrize("figure", {f.id: f for f in (*ERRATA.values(), *EXAMPLE_STEPS, *LAYER_TERMS)}.values())
def test_the_right_figure_has_a_working_or_a_source(figure):
    right = figure.right()
    assert right.source or right.is_total


@pytest.mark.parametrize("figure", [f for f in (*EXAMPLE_STEPS, *LAYER_TERMS) if f.id not in ERRATA])
def test_what_is_no_erratum_is_printed_rightly(figure):
    assert figure.printed == figure.right().value


@pytest.mark.parametrize("id", COUNTED_ON_A_MODEL)
def test_a_model_and_a_training_step_have_the_same_figure(id):
    figures = ERRATA | {figure.id: figure for figure in LAYER_TERMS}
    assert figures[id].right().value == pytest.approx(COUNTED_ON_A_MODEL[id](), rel=1e-12)


@pytest.mark.parametrize("id", PRINTED)
def test_the_printed_figure_is_what_its_own_formula_and_slip_give(id):
    assert _as_printed(PRINTED[id](), GOLDEN[id]["printed"]) == float(GOLDEN[id]["printed"])


def _as_printed(value: float, printed: str) -> float:
    """A value rounded to as many decimals as were printed."""
    if "e" in printed:
        mantissa = printed.partition("e")[0]
        return float(f"{value:.{len(mantissa.replace('.', '')) - 1}e}")
    return round(value, len(printed.partition(".")[2]))


# B. Parameters


def test_the_worked_example_is_the_preset():
    assert (errata.EXAMPLE, errata.GPT3) == (EXAMPLE, GPT3)


def test_the_worked_example_adds_up_to_its_right_total():
    # 38,400,000 + 12 × (2,359,296 + 4,722,432 + 2 × 1,536)
    assert article_embedding(vocab_size=VOCABULARY, d_model=D).value == 38_400_000
    assert article_attention(d_model=D).value == 2_359_296
    assert article_feed_forward(d_model=D, d_ff=D_FF).value == 4_722_432
    assert article_norm(d_model=D).value == 1_536
    count = article_parameters(d_model=D, d_ff=D_FF, n_layers=LAYERS, vocab_size=VOCABULARY)
    assert count.value == 123_417_600 == EXAMPLE.model().parameters().value


def test_the_articles_formulas_and_the_parts_of_the_model_agree_where_both_count():
    articles = article_components(EXAMPLE)
    assert articles == {id: quantity.value for id, quantity in components(EXAMPLE).items()}


def test_what_gpt2_has_more_than_the_article_counts_is_named():
    attention_biases, positions, final_norm, vocabulary = 12 * 4 * 768, 1024 * 768, 2 * 768, 257 * 768
    assert (attention_biases, positions, final_norm) == (36_864, 786_432, 1_536)
    gpt2 = Dimensions()
    assert gpt2.model().parameters().value == 124_439_808
    assert attention_biases + positions + final_norm + vocabulary == 124_439_808 - 123_417_600

    same_vocabulary = dataclasses.replace(gpt2, vocab_size=VOCABULARY)
    assert same_vocabulary.model().parameters().value == 124_242_432
    assert dataclasses.replace(same_vocabulary, tied_head=False).model().parameters().value == 162_642_432
    assert complete_parameters(tied_head=True).value == 124_242_432
    assert complete_parameters(tied_head=False).value == 162_642_432
    left_out = {part.id: part.value for part in complete_parameters(tied_head=True).parts[1:]}
    assert left_out == {"attention_biases": attention_biases, "positions": positions, "final_norm": final_norm}

    articles, real = article_components(same_vocabulary), components(same_vocabulary)
    difference = {id: real[id].value - articles.get(id, 0) for id in real}
    assert difference == {
        "embedding": 0,
        "positions": positions,
        "attention": attention_biases,
        "feed_forward": 0,
        "norm": final_norm,
    }


# C to F. Memory


def test_four_times_the_model_is_the_steady_state_without_any_batch():
    n = EXAMPLE.model().parameters()
    rule = training_rule_of_thumb(model_bytes=model_memory(parameters=n, bits_per_weight=32))
    assert rule.value == 16 * 123_417_600
    assert article_steady_state(parameters=n, batch_size=0, seq_len=0).value == rule.value


def test_the_models_bytes_are_those_that_inference_loads():
    for weight_format, right in (("fp32", 493_670_400), ("bf16", 246_835_200)):
        memory = inference_memory(EXAMPLE.model(), batch_size=1, seq_len=1, weight_format=weight_format)
        assert memory.inputs["weights"].value == right


def test_the_articles_own_list_sums_to_more_than_it_prints():
    # layer norm 4, twice; queries, keys and values 2; attention output 2; first linear 2; GELU 8; second linear 2
    listed = sum(term.printed for term in LAYER_TERMS) + ERRATA["norms"].printed
    assert listed == 4 + 4 + 2 + 2 + 2 + 8 + 2 == 24
    assert article_layer_activations(n_layers=1, batch_size=1, seq_len=1, d_model=1).value == 14


def test_the_articles_peak_is_set_beside_ours_at_its_own_setting():
    # 9.65 GiB by its formula, with the 124,475,904 parameters of this vocabulary
    articles = article_step(PEAK_MODEL.model(), PEAK_MODEL, batch_size=12, seq_len=1024).peak
    elements, pairs, logits = 12 * 1024 * 768, 12 * 1024**2, 12 * 1024 * 50_304
    assert articles.value == 16 * 124_475_904 + 8 * 12 * 1024 + 12 * (14 * elements + 4 * pairs) + 10 * logits
    assert articles.value / 2**30 == pytest.approx(9.65, abs=0.005)
    assert training_step(PEAK_MODEL.model(), PEAK_RUN).peak.value > 2 * articles.value


def test_the_articles_activations_are_its_formula():
    layers, batch, length, d, vocabulary = 3, 5, 7, 11, 13
    by_hand = layers * (14 * batch * length * d + 4 * batch * length**2) + 6 * batch * length * vocabulary
    activations = article_activations(
        n_layers=layers, batch_size=batch, seq_len=length, d_model=d, vocab_size=vocabulary
    )
    assert activations.value == by_hand


# G. Scaling


@pytest.mark.parametrize("row", csv_rows("ten_percent_rule.csv"), ids=lambda row: row["alpha"])
def test_ten_per_cent_better_costs_what_the_table_says(row):
    alpha = float(row["alpha"])
    metric = parameters_for_better_metric(improvement=10, alpha=alpha)
    lower = parameters_for_lower_loss(improvement=10, alpha=alpha)
    assert metric.value == pytest.approx(float(row["metric_up_10_percent"]), rel=1e-9)
    assert lower.value == pytest.approx(float(row["loss_down_10_percent"]), rel=1e-9)
    assert article_ten_percent(alpha=alpha).value == pytest.approx(float(row["as_printed"]), rel=1e-9)


# I. GPT-3


def test_the_articles_layer_of_gpt3_is_not_what_it_prints():
    literal = article_gpt3_layer(d_model=12_288, d_ff=49_152)
    assert literal.value == 6_039_822_336
    assert article_layers(n_layers=96, block_parameters=literal).value == 579_822_944_256
    assert 8 * 12_288**2 == 1_207_959_552  # the nearest to its 1.1 B


def test_the_right_layer_of_gpt3_has_its_closed_form():
    assert block(GPT3) == 12 * 12_288**2 + 13 * 12_288
