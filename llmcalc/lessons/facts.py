"""The numbers of a configuration that the lesson tells in words, under the names that its words fill in."""

from __future__ import annotations

from typing import Any

from llmcalc.article import inference_rule_of_thumb, training_rule_of_thumb
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.configuration import Configuration
from llmcalc.devices.layout import sequences_of
from llmcalc.lessons.formulas import rate_of_one_user, read_for_a_token
from llmcalc.lessons.passage import Passage
from llmcalc.quantity import Quantity, total
from llmcalc.scaling import KAPLAN_ALPHA, KAPLAN_CRITICAL_PARAMETERS, loss_from_parameters
from llmcalc.serving.held import model_memory
from llmcalc.units import GB


def single_precision(config: Configuration) -> Quantity:
    """The weights in fp32, in bytes: what the rules of thumb start from."""
    return model_memory(parameters=config.model.parameters(), bits_per_weight=32)


def rule_of_four(config: Configuration) -> Quantity:
    """What "four times the model" says of training, in bytes."""
    return training_rule_of_thumb(model_bytes=single_precision(config))


def rule_of_two(config: Configuration) -> Quantity:
    """What "twice the model" says of inference, in bytes."""
    return inference_rule_of_thumb(model_bytes=single_precision(config))


def training_state(config: Configuration) -> Quantity:
    """All that a step holds for each parameter once the backward pass is through: weights, gradients, optimizer."""
    step = config.step
    return total("training_state", r"M_\text{state}", step.weights, step.gradients, step.optimizer_state)


def loss_by_kaplan(config: Configuration) -> Quantity:
    """The loss of a model of this size by Kaplan et al.'s law, with their exponent."""
    return loss_from_parameters(
        critical_parameters=KAPLAN_CRITICAL_PARAMETERS,
        parameters=config.model.non_embedding_parameters(),
        alpha=KAPLAN_ALPHA,
    )


def cache_of_one(config: Configuration) -> Quantity:
    """What one user's sequence keeps in the cache, in bytes, with what layers keep as a state."""
    alone = config.inference_of(1, config.run.seq_len).inputs
    kept = (quantity for name, quantity in alone.items() if name != "weights")
    return total("user_cache", r"M_\text{cache}", *kept)


def read_for_one(config: Configuration) -> Quantity:
    """What is read to write one token for one user, in bytes."""
    return read_for_a_token(model_bytes=config.inference.inputs["weights"], user_cache_bytes=cache_of_one(config))


def rate_of_one(config: Configuration) -> Quantity:
    """How many tokens a second one user gets at most on one device."""
    return rate_of_one_user(bandwidth=config.accelerator.bandwidth, read_bytes=read_for_one(config))


def embedding_share(config: Configuration) -> float:
    """The part of all parameters that is in the token embedding."""
    return config.model.components()["embedding"].value / config.model.parameters().value


def tokens_per_step(config: Configuration) -> int:
    """Tokens that one optimizer step learns from, on all devices."""
    return int(sequences_of(config.run, config.layout) * config.run.seq_len)


def _box() -> dict[str, Any]:
    """A device whose memory is not what stands on its box, as an example for all."""
    device = ACCELERATORS["H100 SXM"]
    return {
        "box": device.id,
        "box_gb": device.nominal_memory / GB,
        "box_memory": device.memory,
        "box_bytes": device.memory / GB,
        "box_source": str(device.memory_source),
    }


_BOX = _box()


def facts(config: Configuration) -> dict[str, Any]:
    """The numbers of a configuration by name; bytes and parameters in base units."""
    model, sizes, run, step, article = config.model, config.dimensions, config.run, config.step, config.article
    passage = Passage(config)
    n, state, rule = model.parameters().value, training_state(config).value, rule_of_four(config).value
    return {
        "n": n,
        "per_layer": model.blocks[0][0].parameters().value,
        "layers": model.n_layers,
        "width": sizes.d_model,
        "heads": sizes.n_heads,
        "vocabulary": sizes.vocab_size,
        "embedding_share": embedding_share(config),
        "non_embedding": model.non_embedding_parameters().value,
        "loss": loss_by_kaplan(config).value,
        "weights": config.inference.inputs["weights"].value,
        "format": config.values["weight_format"],
        "device": config.accelerator.id,
        "memory": config.accelerator.memory,
        "for_tensors": config.verdict.for_tensors.value,
        "memory_gb": config.accelerator.nominal_memory / GB,
        **_BOX,
        "batch": run.batch_size,
        "length": run.seq_len,
        "tokens": tokens_per_step(config),
        "state": state,
        "state_each": state / n,
        "steady": step.steady_state.value,
        "saved": step.saved_activations.value,
        "peak": step.peak.value,
        "process": config.verdict.needed.value,
        "rule": rule,
        "over_rule": step.peak.value / rule,
        "article_peak": article.peak.value,
        "article_saved": article.saved_activations.value,
        "peak_ratio": article.peak.value / step.peak.value,
        "saved_ratio": article.saved_activations.value / step.saved_activations.value,
        "cache_each": cache_of_one(config).value,
        "read": read_for_one(config).value,
        "rate_most": rate_of_one(config).value,
        "users": config.values["concurrency"],
        "context": config.serving.context,
        "served": config.served.needed.value if config.served else 0,
        "engine_limit": config.served.limit.value if config.served else 0,
        "at_once": passage.tokens,
        "operations": passage.operations.value,
        "timed_on": passage.device.id,
        "reading": passage.reading.value,
        "arithmetic": passage.arithmetic.value,
        "turning": round(passage.turning.value),
        "over_arithmetic": passage.reading.value / passage.arithmetic.value,
        "alpha": config.values["alpha"],
        "improvement": config.values["improvement"],
    }
