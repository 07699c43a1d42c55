"""Heads that are no language model's: classification, question answering, rewards. Which class has which.

Read from the classes of transformers 5.23, and from the code that reward models are published with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmcalc.errors import InputError
from llmcalc.huggingface.keys import Keys, shown, whole
from llmcalc.transformer.feedforward import FeedForward
from llmcalc.transformer.head import Classifier, Pooler
from llmcalc.transformer.model import Model
from llmcalc.transformer.norm import LayerNorm
from llmcalc.transformer.part import Part

# What a class with such a name is for, by the end of its name; the body that it has under its head is a task of `read`
TASKS: tuple[tuple[str, str], ...] = (
    ("ForSequenceClassification", "sequence"),
    ("ForTokenClassification", "token"),
    ("ForQuestionAnswering", "answers"),
    ("ForQuestionAnsweringSimple", "answers"),
    ("ForMultipleChoice", "choice"),
    ("ForNextSentencePrediction", "next_sentence"),
    ("ForProcessRewardModel", "process_reward"),
    ("ForRewardModel", "reward"),
    ("GPTNeoXRewardModel", "reward"),
    ("DoubleHeadsModel", "double"),
)
_POOLED = frozenset(
    {"albert", "bert", "megatron-bert", "ernie", "nomic_bert", "rembert", "deberta-v2", "big_bird", "deberta", "gte",
     "layoutlm", "roc_bert", "tapas", "luke", "squeezebert", "jina_embeddings_v3", "fnet", "mobilebert"}
)  # fmt: skip
_DENSE = frozenset(
    {"camembert", "data2vec-text", "electra", "ibert", "longformer", "mpnet", "roberta", "roberta-prelayernorm",
     "xlm-roberta", "xlm-roberta-xl", "distilbert", "eurobert", "big_bird", "bart", "mbart", "mvp", "plbart", "t5",
     "mt5", "umt5", "led", "bigbird_pegasus", "roformer", "convbert", "mra", "nystromformer", "yoso", "xmod",
     "xlnet", "funnel", "esmc"}
)  # fmt: skip
# Classes that choose among answers pool what those that classify do not
_POOLS_CHOICES = frozenset(
    {"camembert", "xlm-roberta", "data2vec-text", "ibert", "longformer", "mpnet", "roberta", "xlm-roberta-xl",
     "roberta-prelayernorm"}
)  # fmt: skip
_POOLS_ANSWERS = frozenset({"fnet", "squeezebert"})  # and only these answer questions with a pooler
_NARROW = frozenset({"mobilebert"})  # layers work on less than the stream's width
_SUMMARISED = frozenset({"xlm", "flaubert"})  # XLM's: one linear layer on the first token, with a bias
_BIASED = frozenset({"t5gemma", "ultrabert"})  # a linear layer on the last or first token, with a bias
_REVERSIBLE = frozenset({"reformer"})  # two streams come out, side by side
_WITHOUT_DECODER = frozenset({"funnel"})  # classes that give one answer for a text stand on its encoder
_BEAMS = frozenset({"xlnet"})  # answers of a beam, which are not modelled; its simple answers are
_TRANSFORMED = frozenset({"modernbert", "modernbert-decoder"})
_ENCODER_ALONE = frozenset({"t5", "mt5", "umt5"})  # of two stacks, their token classifiers have the encoder only
_LABELS: Mapping[str, int] = {"bart": 3, "led": 3}  # where a config names none, and transformers does not take two
_LABELS_OF_KIND = {"answers": 2, "choice": 1, "next_sentence": 2, "reward": 1, "process_reward": 2, "double": 1}
_MOST_LABELS = 1_000_000


@dataclass(frozen=True)
class HeadTask:
    """What a class has at its end: ``kind`` of `TASKS`, and what of the model it stands on."""

    kind: str
    body: str


def task_of(architecture: str, model_type: str) -> HeadTask | None:
    """The head of the class of that name; None where it is none of these."""
    kind = next((kind for ending, kind in TASKS if architecture.endswith(ending)), None)
    beams = model_type in _SUMMARISED | _BEAMS
    if kind is None or (beams and architecture.endswith("ForQuestionAnswering")):
        return None
    if kind == "double":
        return HeadTask(kind, "language model")
    alone = kind == "token" and model_type in _ENCODER_ALONE
    alone = alone or (kind in ("sequence", "choice") and model_type in _WITHOUT_DECODER)
    return HeadTask(kind, "encoder" if alone else "headless")


def with_head(model: Model, keys: Keys, head: HeadTask) -> Model:
    """The model with that head at its end."""
    width = keys.dimensions["d_model"] if keys.model_type in _NARROW else model.width
    parts = _head_parts(width, keys, head.kind)
    unpooled = head.kind == "answers" and keys.model_type not in _POOLS_ANSWERS
    ids = {part.id for part in parts} | ({"pooler"} if unpooled else set())
    return replace(model, back=(*(part for part in model.back if part.id not in ids), *parts))


def _head_parts(d_model: int, keys: Keys, kind: str) -> list[Part]:
    family = keys.model_type
    n_labels = _LABELS_OF_KIND.get(kind) or _labels(keys)
    linear = Classifier(d_model, n_labels)
    if kind == "next_sentence":
        return [Pooler(d_model), linear]
    if family in _REVERSIBLE:
        joined = Classifier(2 * d_model, n_labels if kind == "answers" else d_model, id="head_transform")
        return [replace(joined, id="classifier")] if kind == "answers" else [joined, linear]
    if kind in ("reward", "process_reward"):
        if family == "gpt_neox_reward_model":
            return [linear]
        return [replace(linear, dense=True) if family.startswith("qwen2") else replace(linear, bias=False)]
    if kind == "answers" and family == "big_bird":
        network = FeedForward(d_model, keys.dimensions["d_ff"], bias=True, id="head_feed_forward", component="head")
        return [network, LayerNorm(d_model, "head_norm", component="head"), linear]
    if kind in ("token", "answers", "double"):
        if family in _TRANSFORMED:
            return [*_transform(keys, d_model), linear]
        return [Pooler(d_model), linear] if family == "big_bird" and kind == "token" else [linear]
    if family in _TRANSFORMED:
        return [*_transform(keys, d_model), replace(linear, bias=family == "modernbert")]
    if kind == "choice":
        if family in ("roformer", "convbert"):
            return [linear]
        if family in _SUMMARISED:  # a score for each label, and one of these
            return [Classifier(d_model, _labels(keys)), Classifier(_labels(keys), 1, id="choice")]
        pools = family in _POOLED or family in _POOLS_CHOICES
        return [Pooler(d_model), linear] if pools else [replace(linear, dense=True)]
    if family in _SUMMARISED | _BIASED:
        return [linear]
    pooler = [Pooler(d_model)] if family in _POOLED else []
    if family in _DENSE:
        return [*pooler, replace(linear, dense=True)]
    return [*pooler, linear] if pooler else [replace(linear, bias=False)]


def _transform(keys: Keys, d_model: int) -> list[Part]:
    """ModernBERT's: a linear layer and a norm, each with a bias where the config says."""
    dense = Classifier(d_model, d_model, bias=keys.flag("classifier_bias"), id="head_transform")
    return [dense, LayerNorm(d_model, "head_norm", keys.flag("norm_bias"), component="head")]


def _labels(keys: Keys) -> int:
    """How many labels there are: as the config says, or as it names them."""
    named, given = keys.config.get("id2label"), keys.config.get("num_labels")
    if given is not None:
        keys.used["num_labels"] = given
        return _counted("num_labels", given)
    if isinstance(named, Mapping) and named:
        keys.used["num_labels"] = len(named)
        return _counted("id2label", len(named))
    if named is not None and not isinstance(named, Mapping):
        raise InputError(
            "id2label", f"'id2label' must be a JSON object, not {shown(named)}", code="key_not_object", key="id2label",
            found=shown(named),
        )  # fmt: skip
    return _LABELS.get(keys.model_type, 2)


def _counted(key: str, value: Any) -> int:
    number = whole(key, value)
    if number > _MOST_LABELS:
        message = f"{key!r} must be between 1 and {_MOST_LABELS:,}, not {number:,}"
        raise InputError(key, message, code="key_out_of_range", key=key, low=1, high=_MOST_LABELS, found=shown(number))
    return number
