"""The questions of each chapter, with the mistakes that their wrong answers are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from llmcalc.article import article_gpt3_layer, article_input, article_optimizer, article_steady_state
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import ZERO_STAGES
from llmcalc.lessons.accounts import korthikanti_of
from llmcalc.lessons.anatomy import one_layer_of, parameters_of
from llmcalc.lessons.facts import (
    cache_of_one,
    rate_of_one,
    read_for_one,
    rule_of_four,
    single_precision,
    training_state,
)
from llmcalc.lessons.formulas import attention_scores
from llmcalc.lessons.passage import Passage
from llmcalc.lessons.quiz import Question, always, times
from llmcalc.lessons.savings import DEVICES, shared_out
from llmcalc.lessons.tasks import GPT3_PARAMETERS
from llmcalc.quantity import Quantity
from llmcalc.scaling import (
    DEFAULT_LAW,
    LAWS,
    loss_of_larger_model,
    parameters_for_better_metric,
    parameters_for_lower_loss,
)
from llmcalc.scaling.forms import PF_DAY
from llmcalc.serving.held import model_memory

_HALF_PRECISION_BYTES = 2
_STATE_BYTES = 16  # fp32 weights and gradients, Adam's two states


def _n(config: Configuration) -> int:
    return config.model.parameters().value


def _layers(config: Configuration) -> int:
    return config.model.n_layers


def _percent_of_all(part: str, config: Configuration) -> float:
    return 100 * parameters_of(config.model, part).value / _n(config)


def _feed_forward_share(config: Configuration) -> float:
    return _percent_of_all("feed_forward", config)


def _share_without_embedding(config: Configuration) -> float:
    return 100 * parameters_of(config.model, "feed_forward").value / config.model.non_embedding_parameters().value


def _in_layers(config: Configuration) -> int:
    return sum(count * block.parameters().value for block, count in config.model.blocks)


def _attention(config: Configuration) -> Quantity:
    return one_layer_of(config.model, "attention")


def _output_projection(config: Configuration) -> float:
    """The matrix that leads from the heads back to the width, as large as any in multi-head attention."""
    parts = _attention(config).inputs
    found = [q.value for id, q in parts.items() if "output" in id and id.endswith("_parameters")]
    return sum(found) or _attention(config).value / 4


def _layer_twice_as_wide(config: Configuration) -> float:
    """How many times the parameters of a plain layer of these sizes one of twice the width has."""
    sizes = replace(config.dimensions, d_ff=config.dimensions.ffn_width(), d_head=config.dimensions.head_width())
    doubled = replace(sizes, d_model=2 * sizes.d_model, d_ff=2 * sizes.ffn_width(), d_head=2 * sizes.head_width())
    before, after = (shape.model().blocks[0][0].parameters().value for shape in (sizes, doubled))
    return after / before


def _decimal_under_a_binary_name(value: float) -> float:
    """What is shown where powers of 1000 are called GiB."""
    return value * 1.024 ** int(math.log(max(value, 1), 1024))


def _over_rule(config: Configuration) -> float:
    return config.step.peak.value / rule_of_four(config).value


def _tokens_that_suit(config: Configuration) -> Quantity:
    """By Chinchilla's law as it was fitted again."""
    return LAWS[DEFAULT_LAW].balanced_tokens(parameters=config.model.parameters())


def _tokens_by_kaplan(parameters: float) -> float:
    """The tokens with which Kaplan et al. would train so many parameters: their budget, spent as they say."""
    one = LAWS["kaplan_2020"].optimal(compute=PF_DAY)  # N grows with C to the 0.73, so D with N to the 0.27/0.73
    return float(one.tokens) * (parameters / float(one.parameters)) ** (0.27 / 0.73)


def _input(config: Configuration) -> Quantity:
    return article_input(batch_size=config.run.batch_size, seq_len=config.run.seq_len)


def _whole_steady_state(config: Configuration) -> Quantity:
    run = config.run
    return article_steady_state(parameters=config.model.parameters(), batch_size=run.batch_size, seq_len=run.seq_len)


def _scores(config: Configuration) -> Quantity:
    run = config.run
    return attention_scores(
        batch_size=run.batch_size,
        n_heads=config.dimensions.n_heads,
        seq_len=run.seq_len,
        score_bytes=_HALF_PRECISION_BYTES,
    )


def _with_run(config: Configuration, **changes: object) -> Configuration:
    return Configuration({**config.values, **changes})


def _peak(config: Configuration) -> float:
    return config.step.peak.value


def _matrices(config: Configuration) -> float:
    """The term of Korthikanti et al.'s formula that is the attention matrix."""
    run = config.run
    return 5 * _layers(config) * config.dimensions.n_heads * run.batch_size * run.seq_len**2


def _kept(recompute: str) -> Callable[[Configuration], float]:
    return lambda config: _with_run(config, recompute=recompute).step.saved_activations.value


def _fall(config: Configuration) -> float:
    return 100 * (1 - loss_of_larger_model(count=2, alpha=config.values["alpha"]).value)


def _shared_state(config: Configuration, stage: int) -> float:
    rank = shared_out(config, stage)
    return rank.weights.value + rank.gradients.value + rank.optimizer_state.value


def _plain_layer(config: Configuration) -> Quantity:
    return config.model.blocks[0][0].parameters()


def _weights(config: Configuration) -> float:
    return config.inference.inputs["weights"].value


def _rate_of(read: Callable[[Configuration], float]) -> Callable[[Configuration], float]:
    """Tokens a second, if only so many bytes were read for one."""
    return lambda config: config.accelerator.bandwidth / max(read(config), 1)


def _operations(config: Configuration) -> Quantity:
    return Passage(config).operations


def _turning(config: Configuration) -> Quantity:
    return Passage(config).turning


def _devices(bytes_each: int) -> Callable[[Configuration], float]:
    return lambda config: math.ceil(bytes_each * GPT3_PARAMETERS / config.accelerator.memory)


QUESTIONS = {
    question.id: question
    for question in (
        Question(
            "feed_forward_share",
            "%",
            _feed_forward_share,
            {
                "attention_instead": lambda config: _percent_of_all("attention", config),
                "one_layer_only": lambda config: _feed_forward_share(config) / _layers(config),
                "without_embedding": _share_without_embedding,
                "all_of_it": always(100),
            },
        ),
        Question(
            "twice_the_layers",
            "parameters",
            lambda config: _n(config) + _in_layers(config),
            {
                "everything_doubles": times(2, _n),
                "one_layer_more": lambda config: _n(config) + _plain_layer(config).value,
                "nothing_changes": _n,
                "with_the_square": times(4, _n),
            },
        ),
        Question(
            "attention_parameters",
            "parameters",
            _attention,
            {
                "no_output": lambda config: _attention(config).value - _output_projection(config),
                "times_heads": lambda config: _attention(config).value * config.dimensions.n_heads,
                "one_matrix": _output_projection,
            },
        ),
        Question(
            "twice_as_wide",
            "×",
            _layer_twice_as_wide,
            {"in_proportion": always(2), "with_the_cube": always(8), "with_the_layers": always(16)},
        ),
        Question(
            "weights_in_fp32",
            "bytes",
            single_precision,
            {
                "gb_for_gib": lambda config: _decimal_under_a_binary_name(single_precision(config).value),
                "half_precision": lambda config: model_memory(parameters=config.model.parameters(), bits_per_weight=16),
                "bits_for_bytes": times(8, single_precision),
            },
        ),
        Question(
            "largest_model",
            "parameters",
            lambda config: config.accelerator.memory / _HALF_PRECISION_BYTES,
            {
                "printed_on_the_box": lambda config: config.accelerator.nominal_memory / _HALF_PRECISION_BYTES,
                "full_precision": lambda config: config.accelerator.memory / 4,
                "one_byte": lambda config: config.accelerator.memory,
            },
        ),
        Question(
            "left_by_the_rule",
            "bytes",
            always(0),
            {"second_state": times(4, _n), "adams_states": times(8, _n), "all_but_weights": times(12, _n)},
        ),
        Question(
            "peak_over_rule",
            "×",
            _over_rule,
            {
                "rule_is_right": always(1),
                "upside_down": lambda config: 1 / _over_rule(config),
                "beside_the_weights": times(4, _over_rule),
                "rule_of_two": times(2, _over_rule),
            },
        ),
        Question(
            "adams_states",
            "bytes",
            lambda config: article_optimizer(parameters=config.model.parameters()),
            {"one_state": times(4, _n), "weights_too": times(12, _n), "all_sixteen": times(16, _n)},
        ),
        Question(
            "another_batch",
            "bytes",
            _input,
            {
                "everything_doubles": _whole_steady_state,
                "vectors": lambda config: 4 * config.dimensions.d_model * float(_input(config)) / 8,
                "int32": times(0.5, _input),
                "nothing_changes": always(0),
            },
        ),
        Question(
            "attention_matrix",
            "bytes",
            _scores,
            {
                "no_heads": lambda config: _scores(config).value / config.dimensions.n_heads,
                "no_square": lambda config: _scores(config).value / config.run.seq_len,
                "all_layers": lambda config: _scores(config).value * _layers(config),
                "single_precision": times(2, _scores),
                "numbers_for_bytes": times(0.5, _scores),
            },
        ),
        Question(
            "twice_the_batch",
            "bytes",
            lambda config: _peak(_with_run(config, batch_size=2 * config.run.batch_size)),
            {
                "everything_doubles": times(2, _peak),
                "nothing_changes": _peak,
                "state_doubles": lambda config: _peak(config) + config.step.steady_state.value,
                "with_the_square": times(4, _peak),
            },
        ),
        Question(
            "korthikanti",
            "bytes",
            korthikanti_of,
            {
                "without_matrix": lambda config: korthikanti_of(config).value - _matrices(config),
                "no_heads_here": lambda config: (
                    korthikanti_of(config).value - _matrices(config) * (1 - 1 / config.dimensions.n_heads)
                ),
                "one_layer_only": lambda config: korthikanti_of(config).value / _layers(config),
                "single_precision": times(2, korthikanti_of),
                "one_element": times(1 / 2, korthikanti_of),
            },
        ),
        Question(
            "lower_loss",
            "×",
            lambda config: parameters_for_lower_loss(
                improvement=config.values["improvement"], alpha=config.values["alpha"]
            ),
            {
                "better_for_lower": lambda config: parameters_for_better_metric(
                    improvement=config.values["improvement"], alpha=config.values["alpha"]
                ),
                "ten_times": lambda config: 10 ** (1 / config.values["alpha"]),
                "linear_price": lambda config: 1 + config.values["improvement"] / 100,
                "fewer": lambda config: (1 - config.values["improvement"] / 100) ** (1 / config.values["alpha"]),
            },
        ),
        Question(
            "twice_the_size",
            "%",
            _fall,
            {
                "halves": always(50),
                "wrong_way": lambda config: 100 * (2 ** config.values["alpha"] - 1),
                "exponent_itself": lambda config: 100 * config.values["alpha"],
                "no_gain": always(0),
            },
        ),
        Question(
            "how_long",
            "tokens",
            _tokens_that_suit,
            {
                "one_each": _n,
                "by_kaplan": lambda config: _tokens_by_kaplan(_n(config)),
                "a_tenth": times(0.1, _tokens_that_suit),
            },
        ),
        Question(
            "full_recomputation",
            "bytes",
            _kept("full"),
            {
                "keeps_nothing": always(0),
                "keeps_all": _kept("none"),
                "keeps_half": times(0.5, _kept("none")),
            },
        ),
        Question(
            "zero_three",
            "bytes",
            lambda config: _shared_state(config, ZERO_STAGES[-1]),
            {
                "optimizer_only": lambda config: _shared_state(config, 1),
                "not_shared": training_state,
                "stage_as_divisor": times(1 / ZERO_STAGES[-1], training_state),
                "squared_devices": times(1 / DEVICES**2, training_state),
            },
        ),
        Question(
            "one_layer",
            "parameters",
            _plain_layer,
            {
                "as_printed": lambda config: article_gpt3_layer(
                    d_model=config.dimensions.d_model, d_ff=config.dimensions.ffn_width()
                ),
                "eight_squares": lambda config: 8 * config.dimensions.d_model**2,
                "attention_only": _attention,
                "whole_stack": _in_layers,
            },
        ),
        Question(
            "devices_for_gpt3",
            "",
            _devices(_STATE_BYTES),
            {
                "weights_in_16": _devices(2),
                "weights_in_32": _devices(4),
                "without_adam": _devices(8),
            },
        ),
        Question(
            "read_for_a_token",
            "bytes",
            read_for_one,
            {
                "new_token_only": cache_of_one,
                "layer_by_layer": lambda config: _weights(config) / _layers(config),
                "prompt_again": lambda config: _weights(config) * config.run.seq_len,
                "operations_for_bytes": lambda config: 2 * _n(config),
                "twice_read": lambda config: 2 * read_for_one(config).value,
            },
        ),
        Question(
            "rate_of_one",
            "tokens/s",
            rate_of_one,
            {
                "layer_read": _rate_of(lambda config: read_for_one(config).value / _layers(config)),
                "bandwidth_in_gb": lambda config: config.accelerator.bandwidth / 1e9,
                "half_rate": lambda config: rate_of_one(config).value / 2,
                "arithmetic": lambda config: (config.accelerator.bf16_flops or 0) / (2 * _n(config)),
            },
        ),
        Question(
            "operations_for_a_token",
            "FLOP",
            _operations,
            {
                "one_operation": times(0.5, _operations),
                "with_backward": times(3, _operations),
                "whole_text": lambda config: _operations(config).value * config.run.seq_len,
                "one_layer_only": lambda config: _operations(config).value / _layers(config),
            },
        ),
        Question(
            "turning",
            "tokens",
            _turning,
            {
                "one_operation": times(2, _turning),
                "bits_for_bytes": times(8, _turning),
                "layers_cancel": lambda config: _turning(config).value * _layers(config),
            },
        ),
    )
}
